//! Groups of either kind: listed, described, and changed into each other.

use super::*;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerProtocolAssignment,
    ListGroupsRequest,
};

fn heartbeat_848(rig: &Rig, member: &str, epoch: i32) -> ErrorCode {
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![topic("t")]))
        .with_topic_partitions(Some(vec![]));
    ErrorCode(rig.ask(1, 1, &request).error_code)
}

#[test]
fn an_empty_group_changes_its_protocol_and_keeps_its_offsets() {
    let mut rig = rig();
    assert_eq!(Player::new(9).commit(&rig, 5), ErrorCode::NONE);
    assert_eq!(heartbeat_848(&rig, "m", 3), ErrorCode::GROUP_ID_NOT_FOUND, "it is none of KIP-848");
    assert_eq!(heartbeat_848(&rig, "m", 0), ErrorCode::NONE);
    let player = Player { id: "x".into(), generation: 1, ..Player::new(1) };
    assert_eq!(player.beat(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(code_of_join(Player::new(1).join(&rig)), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(heartbeat_848(&rig, "m", -1), ErrorCode::NONE);
    let player = stable(&mut rig, vec![Player::new(1)]).remove(0);
    assert_eq!(rig.mock.committed("g", "t", 0), Some(5));
    assert_eq!(heartbeat_848(&rig, "m", 0), ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(player.beat(&rig), ErrorCode::NONE);
}

#[test]
fn groups_are_listed_and_described_as_what_they_are() {
    let mut rig = rig();
    let player = stable(&mut rig, vec![Player::of_instance(1, "i")]).remove(0);
    let list = |version, states: &[&str], types: &[&str]| {
        let request = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|kind| text(kind)).collect());
        let listed = rig.ask(1, version, &request).groups;
        listed
            .into_iter()
            .map(|group| (group.group_state.to_string(), group.group_type.to_string()))
            .collect::<Vec<_>>()
    };
    let of = |state: &str, kind: &str| vec![(state.to_owned(), kind.to_owned())];
    assert_eq!(list(5, &[], &[]), of("Stable", "classic"));
    assert_eq!(list(4, &["stable"], &[]), of("Stable", ""));
    assert_eq!(list(0, &[], &[]), of("", ""));
    assert_eq!(list(5, &["empty"], &[]), []);
    assert_eq!(list(5, &[], &["Consumer"]), []);
    let described = describe(&rig);
    assert_eq!((described.group_state.as_str(), described.protocol_type.as_str()), ("Stable", "consumer"));
    assert_eq!(described.protocol_data.as_str(), "range");
    let member = &described.members[0];
    assert_eq!((member.client_id.as_str(), member.member_assignment.as_ref()), ("test", &b"to-1"[..]));
    assert_eq!(member.group_instance_id.as_deref(), Some("i"));
    let describe_848 = || {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
        rig.ask(1, 1, &request).groups.remove(0)
    };
    assert_eq!(ErrorCode(describe_848().error_code), ErrorCode::GROUP_ID_NOT_FOUND);
    player.leave(&rig);
    assert_eq!(describe(&rig).group_state.as_str(), "Empty");
    assert_eq!(heartbeat_848(&rig, "m", 0), ErrorCode::NONE);
    let modern = describe_848();
    assert_eq!((modern.error_code, modern.group_state.as_str(), modern.members.len()), (0, "Stable", 1));
    assert_eq!(modern.members[0].assignment.topic_partitions[0].partitions, [0, 1]);
    assert_eq!(list(5, &[], &["consumer"]), of("Stable", "consumer"));
    let gone = describe(&rig);
    assert_eq!(
        (ErrorCode(gone.error_code), gone.group_state.as_str()),
        (ErrorCode::GROUP_ID_NOT_FOUND, "Dead")
    );
    let old = rig.ask(1, 5, &DescribeGroupsRequest::default().with_groups(vec![group()]));
    assert_eq!((old.groups[0].error_code, old.groups[0].group_state.as_str()), (0, "Dead"));
}

#[test]
fn assignments_of_consumers_can_be_read() {
    let mut rig = rig();
    let player = stable(&mut rig, vec![Player::new(1)]).remove(0);
    assert_eq!(rig.mock.assignments("g")[&player.id], [], "no assignment of a consumer");
    let assigned = TopicPartition::default().with_topic(topic("t")).with_partitions(vec![1, 0]);
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(vec![assigned]);
    assignment.encode(&mut bytes, 1).unwrap();
    let outcome = player.join(&rig);
    let mut player = player;
    player.joined(outcome);
    let given = SyncGroupRequestAssignment::default()
        .with_member_id(text(&player.id))
        .with_assignment(bytes.freeze());
    let request = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(player.generation)
        .with_member_id(text(&player.id))
        .with_assignments(vec![given]);
    assert_eq!(rig.ask(1, 3, &request).error_code, 0);
    assert_eq!(rig.mock.assignments("g")[&player.id], [("t".to_owned(), 1), ("t".to_owned(), 0)]);
}
