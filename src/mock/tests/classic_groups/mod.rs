//! Groups of the classic protocol, through raw requests, in a time of the test's own.

use super::{Rig, answer, text, topic};
use crate::error::ErrorCode;
use crate::mock::core::{Origin, Outcome};
use crate::mock::{Api, MockCluster, MockClusterBuilder};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerProtocolAssignment,
    DescribeGroupsRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    ListGroupsRequest, OffsetCommitRequest, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::Encodable;
use std::time::Duration;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_secs(3);

fn builder() -> MockClusterBuilder {
    MockCluster::builder().topic("t", 2)
}

fn rig() -> Rig {
    Rig::new(builder())
}

fn group() -> GroupId {
    GroupId(text("g"))
}

/// A member, on a connection of its own.
#[derive(Clone)]
struct Player {
    connection: u64,
    id: String,
    instance: Option<&'static str>,
    generation: i32,
    protocols: Vec<(&'static str, &'static str)>,
}

impl Player {
    fn new(connection: u64) -> Self {
        let protocols = vec![("range", "metadata")];
        Self { connection, id: String::new(), instance: None, generation: -1, protocols }
    }

    fn of_instance(connection: u64, instance: &'static str) -> Self {
        Self { instance: Some(instance), ..Self::new(connection) }
    }

    fn protocols(self, protocols: &[(&'static str, &'static str)]) -> Self {
        Self { protocols: protocols.to_vec(), ..self }
    }

    fn origin(&self) -> Origin {
        Origin { broker: 1, connection: self.connection }
    }

    fn join_request(&self) -> JoinGroupRequest {
        let protocol = |(name, metadata): &(&str, &'static str)| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(Bytes::from_static(metadata.as_bytes()))
        };
        JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text))
            .with_protocol_type(text("consumer"))
            .with_protocols(self.protocols.iter().map(protocol).collect())
    }

    fn join(&self, rig: &Rig) -> Outcome {
        rig.send_on(self.origin(), 9, &self.join_request())
    }

    /// Asks for an id, then joins with it.
    fn come(&mut self, rig: &Rig) -> Outcome {
        let given = answer::<JoinGroupRequest>(9, self.join(rig));
        assert_eq!(ErrorCode(given.error_code), ErrorCode::MEMBER_ID_REQUIRED);
        self.id = given.member_id.to_string();
        self.join(rig)
    }

    fn resume(&self, rig: &Rig) -> Outcome {
        rig.core(|core| core.resume(rig.now, self.origin()))
    }

    fn joined(&mut self, outcome: Outcome) -> JoinGroupResponse {
        let joined = answer::<JoinGroupRequest>(9, outcome);
        assert_eq!(joined.error_code, 0, "{joined:?}");
        self.id = joined.member_id.to_string();
        self.generation = joined.generation_id;
        joined
    }

    fn hear(&mut self, rig: &Rig) -> JoinGroupResponse {
        let outcome = self.resume(rig);
        self.joined(outcome)
    }

    fn sync(&self, rig: &Rig, assignments: &[(&str, &str)]) -> Outcome {
        let given = assignments.iter().map(|(id, bytes)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(id))
                .with_assignment(Bytes::copy_from_slice(bytes.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(group())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(given.collect());
        rig.send_on(self.origin(), 5, &request)
    }

    fn beat(&self, rig: &Rig) -> ErrorCode {
        let request = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text));
        ErrorCode(answer::<HeartbeatRequest>(4, rig.send_on(self.origin(), 4, &request)).error_code)
    }

    fn leave(&self, rig: &Rig) -> ErrorCode {
        leave(rig, &[(&self.id, self.instance)])[0]
    }

    fn commit(&self, rig: &Rig, offset: i64) -> ErrorCode {
        let partition =
            OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
        let asked =
            OffsetCommitRequestTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text))
            .with_generation_id_or_member_epoch(self.generation)
            .with_topics(vec![asked]);
        ErrorCode(rig.ask(1, 8, &request).topics[0].partitions[0].error_code)
    }
}

fn leave(rig: &Rig, members: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
    let member = |(id, instance): &(&str, Option<&str>)| {
        MemberIdentity::default().with_member_id(text(id)).with_group_instance_id(instance.map(text))
    };
    let request = LeaveGroupRequest::default()
        .with_group_id(group())
        .with_members(members.iter().map(member).collect());
    let response = rig.ask(1, 5, &request);
    assert_eq!(response.error_code, 0);
    response.members.iter().map(|member| ErrorCode(member.error_code)).collect()
}

fn parked(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Park(_))
}

fn code_of_join(outcome: Outcome) -> ErrorCode {
    ErrorCode(answer::<JoinGroupRequest>(9, outcome).error_code)
}

fn synced(outcome: Outcome) -> SyncGroupResponse {
    answer::<SyncGroupRequest>(5, outcome)
}

fn code_of_sync(outcome: Outcome) -> ErrorCode {
    ErrorCode(synced(outcome).error_code)
}

/// Members in a generation that is complete; the first one leads, and each is assigned "to-" and its connection.
fn stable(rig: &mut Rig, mut players: Vec<Player>) -> Vec<Player> {
    for player in &mut players {
        let outcome = if player.instance.is_some() { player.join(rig) } else { player.come(rig) };
        assert!(parked(&outcome));
    }
    rig.after(DELAY);
    rig.after(DELAY);
    for player in &mut players {
        player.hear(rig);
    }
    settle(rig, &players);
    players
}

/// The leader gives out assignments, all others ask for theirs.
fn settle(rig: &Rig, players: &[Player]) {
    let leader = leader(rig);
    let given: Vec<(String, String)> =
        players.iter().map(|player| (player.id.clone(), format!("to-{}", player.connection))).collect();
    let given: Vec<(&str, &str)> = given.iter().map(|(id, bytes)| (id.as_str(), bytes.as_str())).collect();
    let first = players.iter().find(|player| player.id == leader).unwrap();
    assert_eq!(code_of_sync(first.sync(rig, &given)), ErrorCode::NONE);
    for player in players {
        let told = synced(player.sync(rig, &[]));
        assert_eq!(
            (told.error_code, told.assignment.as_ref()),
            (0, format!("to-{}", player.connection).as_bytes())
        );
    }
}

fn leader(rig: &Rig) -> String {
    rig.core(|core| {
        let classic = core.groups.get_mut("g").unwrap().classic_mut().unwrap();
        classic.leader().unwrap_or_default().to_owned()
    })
}

fn state(rig: &Rig) -> &'static str {
    rig.core(|core| core.group("g", rig.now).unwrap().state())
}

#[test]
fn a_first_join_is_given_an_id_from_v4_on() {
    let rig = rig();
    let given = answer::<JoinGroupRequest>(9, Player::new(1).join(&rig));
    assert_eq!(ErrorCode(given.error_code), ErrorCode::MEMBER_ID_REQUIRED);
    assert!(given.member_id.starts_with("test-"), "the client's id and a UUID");
    assert_eq!(given.generation_id, -1);
    for version in 0..4 {
        let origin = Origin { broker: 1, connection: 10 + u64::try_from(version).unwrap() };
        assert!(parked(&rig.send_on(origin, version, &Player::new(0).join_request())), "v{version}");
    }
    assert!(parked(&Player::of_instance(2, "i").join(&rig)), "a static member needs none");
}

#[test]
fn an_id_that_was_given_out_is_void_after_the_session() {
    let mut rig = rig();
    let mut player = Player::new(1);
    player.id = answer::<JoinGroupRequest>(9, player.join(&rig)).member_id.to_string();
    rig.after(SESSION);
    assert_eq!(code_of_join(player.join(&rig)), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(code_of_join(Player { id: "x".into(), ..player }.join(&rig)), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn the_first_generation_waits_for_more_members_as_long_as_they_come() {
    let mut rig = rig();
    let (mut one, mut two) = (Player::new(1), Player::new(2));
    assert_eq!(one.come(&rig), Outcome::Park(rig.now + DELAY));
    rig.after(Duration::from_secs(2));
    assert!(parked(&two.come(&rig)));
    rig.after(Duration::from_secs(1));
    assert_eq!(one.resume(&rig), Outcome::Park(rig.now + DELAY), "the second came: 3 s more");
    rig.after(DELAY);
    let (first, second) = (one.hear(&rig), two.hear(&rig));
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(first.leader, second.leader);
    let (of_leader, of_other) =
        if first.leader == first.member_id { (&first, &second) } else { (&second, &first) };
    assert_eq!(
        (of_leader.members.len(), of_other.members.len()),
        (2, 0),
        "the leader alone hears who is there"
    );
    assert_eq!(of_leader.members[0].metadata, "metadata".as_bytes());
    assert_eq!(first.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(first.protocol_name.as_deref(), Some("range"));
}

#[test]
fn without_a_delay_the_first_member_is_answered_at_once() {
    let rig = Rig::new(builder().initial_rebalance_delay(Duration::ZERO));
    let mut player = Player::new(1);
    let outcome = player.come(&rig);
    assert_eq!(player.joined(outcome).generation_id, 1);
}

#[test]
fn sync_waits_for_the_leader() {
    let mut rig = rig();
    let (mut one, mut two) = (Player::new(1), Player::new(2));
    assert!(parked(&one.come(&rig)) && parked(&two.come(&rig)));
    rig.after(DELAY * 2);
    one.hear(&rig);
    two.hear(&rig);
    let (first, other) = if leader(&rig) == one.id { (one, two) } else { (two, one) };
    assert!(parked(&other.sync(&rig, &[])));
    assert_eq!(state(&rig), "CompletingRebalance");
    let own = synced(first.sync(&rig, &[(&first.id, "a"), (&other.id, "b")]));
    assert_eq!((own.error_code, own.assignment.as_ref()), (0, &b"a"[..]));
    let told = synced(other.resume(&rig));
    assert_eq!((told.error_code, told.assignment.as_ref()), (0, &b"b"[..]));
    assert_eq!(told.protocol_name.as_deref(), Some("range"));
    assert_eq!(state(&rig), "Stable");
}

#[test]
fn sync_and_heartbeat_are_fenced_by_member_and_generation() {
    let mut rig = rig();
    let player = stable(&mut rig, vec![Player::new(1)]).remove(0);
    assert_eq!(player.beat(&rig), ErrorCode::NONE);
    let of = |change: fn(&mut Player)| {
        let mut other = player.clone();
        change(&mut other);
        (other.beat(&rig), code_of_sync(other.sync(&rig, &[])))
    };
    let both = |code| (code, code);
    assert_eq!(of(|player| player.generation -= 1), both(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(of(|player| player.generation += 1), both(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(of(|player| player.id = "x".into()), both(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(of(|player| player.instance = Some("i")), both(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn sync_states_the_protocol() {
    let mut rig = rig();
    let player = stable(&mut rig, vec![Player::new(1)]).remove(0);
    let sync = |version, kind: Option<&str>, name: Option<&str>| {
        let request = SyncGroupRequest::default()
            .with_group_id(group())
            .with_generation_id(player.generation)
            .with_member_id(text(&player.id))
            .with_protocol_type(kind.map(text))
            .with_protocol_name(name.map(text));
        ErrorCode(rig.ask(1, version, &request).error_code)
    };
    assert_eq!(sync(5, Some("consumer"), Some("range")), ErrorCode::NONE);
    assert_eq!(sync(5, Some("connect"), Some("range")), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(sync(5, Some("consumer"), Some("sticky")), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(sync(5, None, None), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    for version in 0..5 {
        assert_eq!(sync(version, None, None), ErrorCode::NONE, "v{version}");
    }
}

#[test]
fn a_new_member_calls_the_others_to_a_new_generation() {
    let mut rig = rig();
    let mut one = stable(&mut rig, vec![Player::new(1)]).remove(0);
    let mut two = Player::new(2);
    assert!(parked(&two.come(&rig)), "no delay, but the first must come");
    assert_eq!(one.beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(code_of_sync(one.sync(&rig, &[])), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(one.commit(&rig, 7), ErrorCode::NONE, "commits go on until all have joined");
    let outcome = one.join(&rig);
    assert_eq!(one.joined(outcome).generation_id, 2);
    assert_eq!(one.commit(&rig, 8), ErrorCode::REBALANCE_IN_PROGRESS, "but not before SyncGroup");
    two.hear(&rig);
    settle(&rig, &[one, two]);
    assert_eq!(rig.mock.committed("g", "t", 0), Some(7));
}

#[test]
fn who_does_not_join_within_the_rebalance_timeout_is_taken_out() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let mut three = Player::new(3);
    assert!(parked(&three.come(&rig)));
    let mut two = players.remove(1);
    assert!(parked(&two.join(&rig)));
    // The first keeps its session up, and never joins.
    for _ in 0..11 {
        rig.after(Duration::from_secs(5));
        assert_eq!(players[0].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    assert!(parked(&two.resume(&rig)));
    rig.after(REBALANCE - Duration::from_secs(55));
    assert_eq!(two.hear(&rig).generation_id, 2);
    three.hear(&rig);
    assert_eq!(players[0].beat(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
    settle(&rig, &[two, three]);
}

#[test]
fn a_silent_member_is_taken_out_after_its_session_and_the_others_are_called() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    rig.after(SESSION / 2);
    assert_eq!(players[0].beat(&rig), ErrorCode::NONE);
    rig.after(SESSION / 2);
    assert_eq!(players[0].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    let outcome = players[0].join(&rig);
    assert_eq!(players[0].joined(outcome).generation_id, 2);
    assert_eq!(players[1].beat(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn members_that_wait_need_no_heartbeat() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let mut three = Player::new(3);
    assert!(parked(&three.come(&rig)) && parked(&players[1].join(&rig)));
    for _ in 0..4 {
        rig.after(SESSION / 2);
        assert_eq!(players[0].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    let outcome = players[0].join(&rig);
    assert_eq!(players[0].joined(outcome).generation_id, 2);
    players[1].hear(&rig);
    three.hear(&rig);
    players.push(three);
    settle(&rig, &players);
}

#[test]
fn a_member_that_never_syncs_is_taken_out() {
    let mut rig = rig();
    let (mut one, mut two) = (Player::new(1), Player::new(2));
    assert!(parked(&one.come(&rig)) && parked(&two.come(&rig)));
    rig.after(DELAY * 2);
    one.hear(&rig);
    two.hear(&rig);
    let (first, other) = if leader(&rig) == one.id { (one, two) } else { (two, one) };
    assert_eq!(code_of_sync(first.sync(&rig, &[])), ErrorCode::NONE);
    for _ in 0..11 {
        rig.after(Duration::from_secs(5));
        assert_eq!((first.beat(&rig), other.beat(&rig)), (ErrorCode::NONE, ErrorCode::NONE));
    }
    rig.after(Duration::from_secs(5));
    assert_eq!(other.beat(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(first.beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_member_that_leaves_makes_room_at_once() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    assert_eq!(players.remove(0).leave(&rig), ErrorCode::NONE);
    assert_eq!(players[0].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
    let outcome = players[0].join(&rig);
    let joined = players[0].joined(outcome);
    assert_eq!((joined.generation_id, joined.leader == joined.member_id), (2, true));
    settle(&rig, &players);
    assert_eq!(players[0].leave(&rig), ErrorCode::NONE);
    assert_eq!((state(&rig), players[0].leave(&rig)), ("Empty", ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn many_members_leave_in_one_request_each_with_its_own_answer() {
    let mut rig = rig();
    let players = stable(&mut rig, vec![Player::new(1), Player::new(2), Player::of_instance(3, "i")]);
    let codes = leave(
        &rig,
        &[(&players[0].id, None), ("x", None), ("", Some("i")), ("", Some("j")), (&players[1].id, Some("i"))],
    );
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(codes, [ErrorCode::NONE, unknown, ErrorCode::NONE, unknown, unknown]);
    for version in 0..3 {
        let request = LeaveGroupRequest::default().with_group_id(group()).with_member_id(text("x"));
        assert_eq!(ErrorCode(rig.ask(1, version, &request).error_code), unknown, "v{version}");
    }
    assert_eq!(players[1].leave(&rig), ErrorCode::NONE);
    assert_eq!(state(&rig), "Empty");
}

#[test]
fn an_assignment_that_is_being_made_is_void_when_somebody_comes() {
    let mut rig = rig();
    let (mut one, mut two) = (Player::new(1), Player::new(2));
    assert!(parked(&one.come(&rig)) && parked(&two.come(&rig)));
    rig.after(DELAY * 2);
    one.hear(&rig);
    two.hear(&rig);
    let (first, other) = if leader(&rig) == one.id { (one, two) } else { (two, one) };
    assert!(parked(&other.sync(&rig, &[])));
    assert!(parked(&Player::new(3).come(&rig)));
    assert_eq!(code_of_sync(other.resume(&rig)), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(code_of_sync(first.sync(&rig, &[])), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_lost_join_answer_is_given_again_without_a_new_generation() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let leader = leader(&rig);
    players.sort_by_key(|player| player.id != leader);
    let outcome = players[1].join(&rig);
    assert_eq!(players[1].joined(outcome).generation_id, 1, "a follower whose metadata is the same");
    players[1].protocols = vec![("range", "other topics")];
    assert!(parked(&players[1].join(&rig)), "other metadata need a new generation");
    let outcome = players[0].join(&rig);
    assert_eq!(players[0].joined(outcome).generation_id, 2);
    assert_eq!(players[1].hear(&rig).generation_id, 2);
    let outcome = players[0].join(&rig);
    assert_eq!(players[0].joined(outcome).generation_id, 2, "not yet synced: the same once more");
    settle(&rig, &players);
    assert!(parked(&players[0].join(&rig)), "a leader asks for a new assignment");
    assert_eq!(players[1].beat(&rig), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn all_members_follow_one_protocol_that_all_support() {
    let mut rig = rig();
    let mut one = Player::new(1).protocols(&[("sticky", ""), ("range", "r1")]);
    let mut two = Player::new(2).protocols(&[("range", "r2"), ("robin", "")]);
    assert!(parked(&one.come(&rig)) && parked(&two.come(&rig)));
    rig.after(DELAY * 2);
    let joined = [one.hear(&rig), two.hear(&rig)];
    assert!(joined.iter().all(|joined| joined.protocol_name.as_deref() == Some("range")));
    let members: Vec<_> = joined.iter().flat_map(|joined| joined.members.clone()).collect();
    assert_eq!(members.len(), 2);
    assert!(members.iter().all(|member| member.metadata.starts_with(b"r")));
}

#[test]
fn a_member_that_cannot_follow_is_refused() {
    let mut rig = rig();
    let inconsistent = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
    assert_eq!(code_of_join(Player::new(1).protocols(&[]).join(&rig)), inconsistent, "no protocol at all");
    stable(&mut rig, vec![Player::new(1)]);
    assert_eq!(code_of_join(Player::new(2).protocols(&[("sticky", "")]).join(&rig)), inconsistent);
    let connect = Player::new(2).join_request().with_protocol_type(text("connect"));
    let refused = answer::<JoinGroupRequest>(9, rig.send_on(Player::new(2).origin(), 9, &connect));
    assert_eq!(ErrorCode(refused.error_code), inconsistent);
}

#[test]
fn a_session_timeout_has_its_bounds() {
    let rig = Rig::new(builder().classic_session_timeouts(Duration::from_secs(1), Duration::from_secs(20)));
    let join = |ms| {
        let request = Player::new(1).join_request().with_session_timeout_ms(ms);
        ErrorCode(rig.ask(1, 9, &request).error_code)
    };
    assert_eq!(
        (join(999), join(20_001)),
        (ErrorCode::INVALID_SESSION_TIMEOUT, ErrorCode::INVALID_SESSION_TIMEOUT)
    );
    assert_eq!((join(1000), join(20_000)), (ErrorCode::MEMBER_ID_REQUIRED, ErrorCode::MEMBER_ID_REQUIRED));
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut rig = Rig::new(builder().classic_group_max_size(1));
    let mut one = stable(&mut rig, vec![Player::new(1)]).remove(0);
    assert_eq!(code_of_join(Player::new(2).join(&rig)), ErrorCode::GROUP_MAX_SIZE_REACHED);
    let outcome = one.join(&rig);
    one.joined(outcome);
}

#[test]
fn a_static_member_that_is_back_keeps_its_assignment_without_a_new_generation() {
    let mut rig = rig();
    let players = stable(&mut rig, vec![Player::of_instance(1, "i"), Player::of_instance(2, "j")]);
    let leader = leader(&rig);
    for (connection, old) in (11..).zip(&players) {
        let mut back = Player::of_instance(connection, old.instance.unwrap());
        let outcome = back.join(&rig);
        let joined = back.joined(outcome);
        assert_ne!(back.id, old.id);
        assert_eq!(joined.generation_id, 1);
        assert_eq!(joined.skip_assignment, old.id == leader, "a leader is told to keep what is assigned");
        assert_eq!(joined.members.len(), if old.id == leader { 2 } else { 0 });
        assert_eq!(synced(back.sync(&rig, &[])).assignment, format!("to-{}", old.connection).as_bytes());
        assert_eq!(old.beat(&rig), ErrorCode::FENCED_INSTANCE_ID);
        assert_eq!(code_of_join(old.join(&rig)), ErrorCode::FENCED_INSTANCE_ID);
        assert_eq!(code_of_sync(old.sync(&rig, &[])), ErrorCode::FENCED_INSTANCE_ID);
        assert_eq!(old.commit(&rig, 5), ErrorCode::FENCED_INSTANCE_ID);
        assert_eq!(old.leave(&rig), ErrorCode::FENCED_INSTANCE_ID);
    }
    assert_eq!(state(&rig), "Stable");
}

#[test]
fn a_static_member_that_is_back_with_other_topics_begins_a_new_generation_only_for_another_protocol() {
    let mut rig = rig();
    stable(&mut rig, vec![Player::of_instance(1, "i")]);
    let mut back = Player::of_instance(2, "i").protocols(&[("range", "other")]);
    let outcome = back.join(&rig);
    assert_eq!(back.joined(outcome).generation_id, 1);
    let mut again = Player::of_instance(3, "i").protocols(&[("range", "other"), ("sticky", "")]);
    let outcome = again.join(&rig);
    assert_eq!(again.joined(outcome).generation_id, 1);
    let mut other = Player::of_instance(4, "i").protocols(&[("sticky", ""), ("range", "other")]);
    let outcome = other.join(&rig);
    assert_eq!(other.joined(outcome).generation_id, 2);
}

#[test]
fn a_static_member_that_waits_is_fenced_by_its_successor() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::of_instance(1, "i"), Player::new(2)]);
    assert!(parked(&Player::new(3).come(&rig)));
    assert!(parked(&players[0].join(&rig)));
    assert!(parked(&Player::of_instance(4, "i").join(&rig)));
    let told = answer::<JoinGroupRequest>(9, players[0].resume(&rig));
    assert_eq!(ErrorCode(told.error_code), ErrorCode::FENCED_INSTANCE_ID);
    let outcome = players[1].join(&rig);
    players[1].joined(outcome);
}

#[test]
fn a_static_member_is_not_taken_out_by_the_rebalance_timeout() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::of_instance(1, "i"), Player::new(2)]);
    assert!(parked(&players[1].clone().protocols(&[("range", "new")]).join(&rig)));
    for _ in 0..12 {
        rig.after(Duration::from_secs(5));
        players[0].beat(&rig);
    }
    assert_eq!(players[1].hear(&rig).generation_id, 2);
    let described = describe(&rig);
    assert_eq!(described.members.len(), 2, "its session decides");
}

#[test]
fn commits_are_fenced_by_generation_unless_the_group_is_empty() {
    let mut rig = rig();
    let alone = Player::new(9);
    assert_eq!(alone.commit(&rig, 1), ErrorCode::NONE, "a consumer without a group makes it");
    assert_eq!((state(&rig), rig.mock.committed("g", "t", 0)), ("Empty", Some(1)));
    let player = stable(&mut rig, vec![Player::new(1)]).remove(0);
    assert_eq!(rig.mock.committed("g", "t", 0), Some(1));
    assert_eq!(player.commit(&rig, 2), ErrorCode::NONE);
    assert_eq!(alone.commit(&rig, 3), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(Player { generation: 9, ..player.clone() }.commit(&rig, 3), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(Player { id: "x".into(), ..player.clone() }.commit(&rig, 3), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(rig.mock.committed("g", "t", 0), Some(2));
    player.leave(&rig);
    assert_eq!(player.commit(&rig, 4), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(alone.commit(&rig, 4), ErrorCode::NONE);
}

#[test]
fn a_parked_member_hears_that_its_coordinator_moved() {
    let mut rig = Rig::new(builder().brokers(2));
    rig.mock.move_coordinator("g", 1);
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let mut three = Player::new(3);
    assert!(parked(&three.come(&rig)));
    assert!(parked(&players[0].join(&rig)));
    rig.mock.move_coordinator("g", 2);
    assert_eq!(code_of_join(players[0].resume(&rig)), ErrorCode::NOT_COORDINATOR);
    assert_eq!(code_of_join(three.resume(&rig)), ErrorCode::NOT_COORDINATOR);
    assert_eq!(players[1].beat(&rig), ErrorCode::NOT_COORDINATOR);
    rig.mock.move_coordinator("g", 1);
    assert_eq!(players[1].beat(&rig), ErrorCode::NONE, "what was written down is the generation before");
    assert_eq!((players[0].beat(&rig), three.beat(&rig)), (ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID));
    rig.after(SESSION);
    assert_eq!(players.remove(0).beat(&rig), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_connection_that_closes_leaves_its_member_waiting() {
    let mut rig = rig();
    let mut players = stable(&mut rig, vec![Player::new(1), Player::new(2)]);
    let mut three = Player::new(3);
    assert!(parked(&three.come(&rig)));
    rig.core(|core| core.disconnected(3));
    for player in &mut players {
        let _ = player.join(&rig);
    }
    assert_eq!(players[0].hear(&rig).generation_id, 2);
    assert_eq!(describe(&rig).members.len(), 3, "nobody has told the coordinator");
}

#[test]
fn hooks_reach_every_request_of_a_member() {
    let mut rig = rig();
    for api in [Api::JoinGroup, Api::SyncGroup, Api::Heartbeat] {
        rig.mock.on(api).fail(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    }
    let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    let player = Player { id: "x".into(), ..Player::new(1) };
    assert_eq!((code_of_join(player.join(&rig)), player.beat(&rig)), (loading, loading));
    assert_eq!(code_of_sync(player.sync(&rig, &[])), loading);
    rig.mock.on(Api::JoinGroup).skip(1).fail_after(ErrorCode::NOT_COORDINATOR);
    let mut one = Player::new(1);
    assert!(parked(&one.come(&rig)));
    rig.after(DELAY);
    assert_eq!(code_of_join(one.resume(&rig)), ErrorCode::NOT_COORDINATOR);
    assert_eq!(state(&rig), "CompletingRebalance", "it took effect");
}

fn describe(rig: &Rig) -> kafka_protocol::messages::describe_groups_response::DescribedGroup {
    let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
    rig.ask(1, 6, &request).groups.remove(0)
}

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
