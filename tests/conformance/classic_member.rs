//! Task: a member of a classic group, for the cases that are about such groups.

use crate::{
    connection::Connection,
    target::{Target, text},
};
use bytes::{BufMut, Bytes, BytesMut};
use craftwire_test_support::eventually;
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    SyncGroupRequest, SyncGroupResponse, join_group_request::JoinGroupRequestProtocol,
    leave_group_request::MemberIdentity, sync_group_request::SyncGroupRequestAssignment,
};
use kafka_protocol::protocol::Encodable;
use std::time::Duration;

/// A member of a classic group, on a connection of its own to the coordinator.
pub(crate) struct Member<'a> {
    pub(crate) connection: Connection<'a>,
    pub(crate) group: String,
    pub(crate) id: String,
    pub(crate) instance: Option<&'static str>,
    pub(crate) generation: i32,
    /// Names, each with what the member tells the leader besides its topics.
    pub(crate) protocols: Vec<(&'static str, &'static str)>,
}

impl<'a> Member<'a> {
    pub(crate) async fn new(target: &'a Target, group: &str) -> Self {
        let coordinator = target.coordinator(group).await;
        Self {
            connection: target.connect_to(coordinator).await,
            group: group.to_owned(),
            id: String::new(),
            instance: None,
            generation: -1,
            protocols: vec![("range", "first")],
        }
    }

    pub(crate) async fn of_instance(target: &'a Target, group: &str, instance: &'static str) -> Self {
        Self { instance: Some(instance), ..Self::new(target, group).await }
    }

    pub(crate) fn join_request(&self) -> JoinGroupRequest {
        let protocol = |(name, user_data): &(&str, &str)| {
            JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(subscription(user_data))
        };
        JoinGroupRequest::default()
            .with_group_id(text(&self.group).into())
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text))
            .with_protocol_type(text("consumer"))
            .with_protocols(self.protocols.iter().map(protocol).collect())
    }

    pub(crate) fn sync_request(
        &self,
        version: i16,
        assignments: &[(&str, &'static str)],
    ) -> SyncGroupRequest {
        let given = assignments.iter().map(|(id, bytes)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(id))
                .with_assignment(Bytes::from_static(bytes.as_bytes()))
        });
        let stated = |value| (version >= 5).then(|| text(value));
        SyncGroupRequest::default()
            .with_group_id(text(&self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text))
            .with_protocol_type(stated("consumer"))
            .with_protocol_name(stated("range"))
            .with_assignments(given.collect())
    }

    pub(crate) fn heartbeat_request(&self) -> HeartbeatRequest {
        HeartbeatRequest::default()
            .with_group_id(text(&self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text))
    }

    /// Sends JoinGroup, with an id if it is a dynamic member's first.
    pub(crate) async fn send_join(&mut self) {
        if self.id.is_empty() && self.instance.is_none() {
            let given = self.connection.ask(9, &self.join_request()).await;
            assert_eq!(given.error_code, 79);
            self.id = given.member_id.to_string();
        }
        self.connection.send(9, &self.join_request()).await;
    }

    /// Waits for what comes of JoinGroup.
    pub(crate) async fn joined(&mut self, target: &Target, label: &str) -> JoinGroupResponse {
        let mut joined = self.connection.receive::<JoinGroupRequest>(9).await.expect("an answer");
        joined.members.sort_by(|one, other| one.metadata.cmp(&other.metadata));
        target.note(label, &joined);
        if joined.error_code == 0 {
            self.id = joined.member_id.to_string();
            self.generation = joined.generation_id;
        }
        joined
    }

    pub(crate) async fn join(&mut self, target: &Target, label: &str) -> JoinGroupResponse {
        self.send_join().await;
        self.joined(target, label).await
    }

    pub(crate) async fn sync(
        &mut self,
        label: &str,
        assignments: &[(&str, &'static str)],
    ) -> SyncGroupResponse {
        let request = self.sync_request(5, assignments);
        self.connection.noted(label, 5, &request).await
    }

    pub(crate) async fn beat(&mut self, label: &str) -> i16 {
        let request = self.heartbeat_request();
        self.connection.noted(label, 4, &request).await.error_code
    }

    /// Beats until it hears of a new generation: another member's request came on another connection.
    pub(crate) async fn called(&mut self) {
        let request = self.heartbeat_request();
        eventually("the member is called", PATIENCE, async || {
            (self.connection.ask(4, &request).await.error_code == 27).then_some(())
        })
        .await;
    }

    pub(crate) async fn leave(&mut self, label: &str) {
        let member = MemberIdentity::default()
            .with_member_id(text(&self.id))
            .with_group_instance_id(self.instance.map(text));
        let request =
            LeaveGroupRequest::default().with_group_id(text(&self.group).into()).with_members(vec![member]);
        self.connection.noted(label, 5, &request).await;
    }

    /// Alone in a generation that is complete.
    pub(crate) async fn stable(target: &'a Target, group: &str) -> Self {
        let mut member = Self::new(target, group).await;
        assert_eq!(member.join(target, "the first joins").await.error_code, 0);
        let id = member.id.clone();
        assert_eq!(member.sync("the first syncs", &[(&id, "all")]).await.assignment, "all".as_bytes());
        member
    }
}

/// What a consumer of the topic "t" tells the leader. Kafka 4.1 never answers where it cannot read that.
fn subscription(user_data: &str) -> Bytes {
    let subscription = ConsumerProtocolSubscription::default()
        .with_topics(vec![text("t")])
        .with_user_data(Some(Bytes::copy_from_slice(user_data.as_bytes())));
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    subscription.encode(&mut bytes, 0).unwrap();
    bytes.freeze()
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
