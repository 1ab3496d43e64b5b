//! Groups of the classic protocol, through raw requests, in a time of the test's own.

mod generations;
mod kinds;
mod requests;
mod static_members;

use super::{Rig, answer, text, topic};
use crate::error::ErrorCode;
use crate::mock::core::{Origin, Outcome};
use crate::mock::{Api, MockCluster, MockClusterBuilder};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DescribeGroupsRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, SyncGroupRequest, SyncGroupResponse,
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

/// The leader of a generation of two that is to be synced, and the other.
fn two_joined(rig: &mut Rig) -> (Player, Player) {
    let (mut one, mut two) = (Player::new(1), Player::new(2));
    assert!(parked(&one.come(rig)) && parked(&two.come(rig)));
    rig.after(DELAY * 2);
    one.hear(rig);
    two.hear(rig);
    if leader(rig) == one.id { (one, two) } else { (two, one) }
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

fn describe(rig: &Rig) -> kafka_protocol::messages::describe_groups_response::DescribedGroup {
    let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
    rig.ask(1, 6, &request).groups.remove(0)
}
