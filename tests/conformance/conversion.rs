//! Task: groups that go from the classic protocol to KIP-848 while they have members, and back.

use crate::{
    case::cases,
    connection::Connection,
    heartbeat::{beat, join, leave},
    offsets::{commit, committed},
    target::{Target, Topic, text},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use craftwire_test_support::eventually;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest, consumer_protocol_assignment,
    consumer_protocol_subscription, join_group_request::JoinGroupRequestProtocol,
    leave_group_request::MemberIdentity, sync_group_request::SyncGroupRequestAssignment,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use std::time::Duration;

cases! {
    1 brokers;
    ConsumerGroupHeartbeat:
        takes_a_classic_group_over_and_gives_it_back
        leaves_groups_of_others_alone;
    JoinGroup:
        lets_a_classic_member_into_a_group_of_kip_848;
}

/// A classic member that does as it is told.
struct Classic<'a> {
    target: &'a Target,
    connection: Connection<'a>,
    group: &'static str,
    topic: Topic,
    id: String,
    generation: i32,
    owned: Vec<i32>,
}

impl<'a> Classic<'a> {
    async fn new(target: &'a Target, group: &'static str, topic: &Topic) -> Self {
        let connection = target.connect_to(target.coordinator(group).await).await;
        Self {
            target,
            connection,
            group,
            topic: topic.clone(),
            id: String::new(),
            generation: -1,
            owned: Vec::new(),
        }
    }

    async fn join(&mut self, label: &str) -> JoinGroupResponse {
        let owned = consumer_protocol_subscription::TopicPartition::default()
            .with_topic(self.topic.name.clone().into())
            .with_partitions(self.owned.clone());
        let subscription = ConsumerProtocolSubscription::default()
            .with_topics(vec![self.topic.name.clone()])
            .with_owned_partitions(if self.owned.is_empty() { Vec::new() } else { vec![owned] });
        let mut told = BytesMut::new();
        told.put_i16(1);
        subscription.encode(&mut told, 1).unwrap();
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text("sticky")).with_metadata(told.freeze());
        let request = JoinGroupRequest::default()
            .with_group_id(text(self.group).into())
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(text(&self.id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let joined = self.connection.ask(9, &request).await;
        self.id = joined.member_id.to_string();
        self.generation = joined.generation_id;
        let mut told = joined.clone();
        // A group of KIP-848 gives out ids of another form.
        told.member_id = text("its id");
        let is_leader = told.leader == joined.member_id;
        told.leader = if is_leader { told.member_id.clone() } else { told.leader };
        told.members.iter_mut().for_each(|member| member.member_id = text("its id"));
        self.target.note(label, &told);
        joined
    }

    /// What it is assigned; as the leader of its group it gives itself all.
    async fn sync(&mut self, label: &str) -> Vec<i32> {
        let all = consumer_protocol_assignment::TopicPartition::default()
            .with_topic(self.topic.name.clone().into())
            .with_partitions(vec![0, 1]);
        let assigned = ConsumerProtocolAssignment::default().with_assigned_partitions(vec![all]);
        let mut bytes = BytesMut::new();
        bytes.put_i16(1);
        assigned.encode(&mut bytes, 1).unwrap();
        let given = SyncGroupRequestAssignment::default()
            .with_member_id(text(&self.id))
            .with_assignment(bytes.freeze());
        let request = SyncGroupRequest::default()
            .with_group_id(text(self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("sticky")))
            .with_assignments(vec![given]);
        let synced = self.connection.noted(label, 5, &request).await;
        assert_eq!(synced.error_code, 0);
        self.owned = partitions(synced.assignment);
        self.owned.clone()
    }

    async fn beat(&mut self, label: &str) -> i16 {
        let request = self.heartbeat();
        self.connection.noted(label, 4, &request).await.error_code
    }

    fn heartbeat(&self) -> HeartbeatRequest {
        HeartbeatRequest::default()
            .with_group_id(text(self.group).into())
            .with_generation_id(self.generation)
            .with_member_id(text(&self.id))
    }

    async fn commit(&mut self, label: &str) -> i16 {
        let request = commit(self.group, &self.id, self.generation, &self.topic, 0, 7);
        committed(&mut self.connection, label, &request).await
    }
}

fn partitions(mut assignment: Bytes) -> Vec<i32> {
    let version = assignment.get_i16();
    let decoded = ConsumerProtocolAssignment::decode(&mut assignment, version).unwrap();
    let mut all: Vec<i32> =
        decoded.assigned_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect();
    all.sort_unstable();
    all
}

async fn takes_a_classic_group_over_and_gives_it_back(target: &Target) {
    const GROUP: &str = "takes_a_classic_group_over";
    let topic = target.topic(GROUP, 2, &[]).await;
    let mut classic = Classic::new(target, GROUP, &topic).await;
    assert_eq!(classic.join("the classic member comes").await.error_code, 79);
    assert_eq!(classic.join("the classic member joins").await.generation_id, 1);
    assert_eq!(classic.sync("it leads").await, [0, 1]);

    let mut modern = target.connect_to(target.coordinator(GROUP).await).await;
    let came = modern.noted("one of KIP-848 comes", 1, &join(GROUP, "modern", &[&topic.name])).await;
    assert_eq!((came.error_code, came.member_epoch), (0, 2));
    assert_eq!(classic.beat("it is called").await, 27);
    assert_eq!(classic.commit("it commits what it finished").await, 0);
    assert_eq!(classic.join("it joins again").await.generation_id, 1);
    let kept = classic.sync("it hears what it keeps").await;
    assert_eq!(kept.len(), 1);
    assert_eq!(classic.beat("it is called to tell that it has let go").await, 27);
    assert_eq!(classic.join("it tells").await.generation_id, 2);
    assert_eq!(classic.sync("it hears the same").await, kept);
    assert_eq!(classic.beat("it is where it should be").await, 0);
    assert_eq!(classic.commit("it commits under its generation").await, 0);
    let stale = commit(GROUP, &classic.id, 1, &topic, 0, 8);
    assert_eq!(committed(&mut classic.connection, "it commits under an old one", &stale).await, 22);
    let mut stale = classic.heartbeat();
    stale.generation_id = 1;
    assert_eq!(classic.connection.noted("it beats under an old one", 4, &stale).await.error_code, 22);
    let now = modern.noted("the other has the rest", 1, &beat(GROUP, "modern", 2)).await;
    let given = &now.assignment.as_ref().expect("it is new").topic_partitions;
    assert_eq!(given.iter().map(|topic| topic.partitions.len()).sum::<usize>(), 1);
    let stranger = HeartbeatRequest::default()
        .with_group_id(text(GROUP).into())
        .with_generation_id(2)
        .with_member_id(text("modern"));
    assert_eq!(modern.noted("it speaks as a classic one", 4, &stranger).await.error_code, 25);

    modern.noted("the other leaves", 1, &leave(GROUP, "modern")).await;
    assert_eq!(classic.beat("it is called to a classic group").await, 27);
    assert_eq!(classic.join("it joins a classic group").await.leader.as_str(), classic.id);
    assert_eq!(classic.sync("it leads again").await, [0, 1]);
    let gone = modern.noted("the other is not known", 1, &beat(GROUP, "modern", 2)).await;
    assert_ne!(gone.error_code, 0);
    let leaving = MemberIdentity::default().with_member_id(text(&classic.id));
    let request = LeaveGroupRequest::default().with_group_id(text(GROUP).into()).with_members(vec![leaving]);
    classic.connection.noted("it leaves", 5, &request).await;
}

async fn leaves_groups_of_others_alone(target: &Target) {
    const GROUP: &str = "leaves_groups_of_others_alone";
    let mut connection = target.connect_to(target.coordinator(GROUP).await).await;
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("compatible"))
        .with_metadata(Bytes::from_static(b"a worker's"));
    let mut request = JoinGroupRequest::default()
        .with_group_id(text(GROUP).into())
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text("connect"))
        .with_protocols(vec![protocol]);
    request.member_id = connection.ask(9, &request).await.member_id;
    assert_eq!(connection.noted("a worker joins", 9, &request).await.error_code, 0);
    let answer = connection.noted("a consumer comes", 1, &join(GROUP, "modern", &["t"])).await;
    assert_eq!(answer.error_code, 69);
}

async fn lets_a_classic_member_into_a_group_of_kip_848(target: &Target) {
    const GROUP: &str = "lets_a_classic_member_into";
    let topic = target.topic(GROUP, 2, &[]).await;
    let mut modern = target.connect_to(target.coordinator(GROUP).await).await;
    let came = modern.noted("one of KIP-848 comes", 1, &join(GROUP, "modern", &[&topic.name])).await;
    assert_eq!((came.error_code, came.member_epoch), (0, 1));
    let mut classic = Classic::new(target, GROUP, &topic).await;
    assert_eq!(classic.join("a classic member comes").await.error_code, 79);
    let joined = classic.join("a classic member joins").await;
    assert_eq!((joined.error_code, joined.generation_id, joined.leader.as_str()), (0, 2, ""));
    assert_eq!(classic.sync("nothing is free yet").await, [0; 0]);
    modern.noted("the first member hears of it", 1, &beat(GROUP, "modern", 1)).await;
    modern.noted("the first member leaves", 1, &leave(GROUP, "modern")).await;
    eventually("the classic member is called", Duration::from_secs(20), async || {
        let request = classic.heartbeat();
        (classic.connection.ask(4, &request).await.error_code == 27).then_some(())
    })
    .await;
    assert_eq!(classic.join("it joins again").await.leader.as_str(), classic.id);
    assert_eq!(classic.sync("it leads").await, [0, 1]);
}
