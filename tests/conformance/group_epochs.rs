//! Task: what ConsumerGroupHeartbeat (68) and OffsetFetch (9) make of epochs that are not the present one, of static
//! members, and of groups that are not there; and what ConsumerGroupDescribe (69) tells.

use crate::{
    case::cases,
    connection::Connection,
    target::{Target, Topic, text},
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    DescribeGroupsRequest, JoinGroupRequest, OffsetFetchRequest,
    offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics},
};

cases! {
    1 brokers;
    ConsumerGroupHeartbeat:
        knows_no_members_of_a_group_that_is_not_there
        lets_a_member_start_afresh_only_while_its_first_answer_may_be_lost
        accepts_the_epoch_before_from_a_member_that_owns_no_more
        holds_the_place_of_a_static_member
        takes_an_empty_classic_group_over;
    OffsetFetch:
        answers_members_of_the_present_epoch;
    ConsumerGroupDescribe:
        describes_groups_of_either_protocol;
}

/// A member's heartbeats, on a connection to the coordinator.
struct Member<'a> {
    connection: Connection<'a>,
    topic: &'a Topic,
    request: ConsumerGroupHeartbeatRequest,
}

impl<'a> Member<'a> {
    async fn new(target: &'a Target, topic: &'a Topic, group: &str, id: &str) -> Self {
        let coordinator = target.coordinator(group).await;
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(text(group).into())
            .with_member_id(text(id))
            .with_rebalance_timeout_ms(30_000)
            .with_subscribed_topic_names(Some(vec![topic.name.clone().into()]))
            .with_topic_partitions(Some(vec![]));
        Self { connection: target.connect_to(coordinator).await, topic, request }
    }

    async fn of_instance(target: &'a Target, topic: &'a Topic, group: &str, id: &str) -> Self {
        let mut member = Self::new(target, topic, group, id).await;
        member.request.instance_id = Some(text("i"));
        member
    }

    async fn beat(&mut self, label: &str, epoch: i32) -> ConsumerGroupHeartbeatResponse {
        self.request.member_epoch = epoch;
        let mut answer = self.connection.ask(1, &self.request).await;
        if let Some(assignment) = &mut answer.assignment {
            assignment.topic_partitions.iter_mut().for_each(|topic| topic.partitions.sort_unstable());
        }
        self.connection.note(label, &answer);
        answer
    }

    async fn code(&mut self, label: &str, epoch: i32) -> i16 {
        self.beat(label, epoch).await.error_code
    }

    /// Lists this topic's partitions as owned from now on.
    fn owns(&mut self, partitions: &[i32]) {
        let owned = kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions::default()
            .with_topic_id(self.topic.id)
            .with_partitions(partitions.to_vec());
        self.request.topic_partitions = Some(if partitions.is_empty() { vec![] } else { vec![owned] });
    }
}

async fn knows_no_members_of_a_group_that_is_not_there(target: &Target) {
    let topic = target.topic("knows_no_members", 2, &[]).await;
    let mut member = Member::new(target, &topic, "knows_no_members", "m").await;
    assert_eq!(member.code("goes on", 1).await, 69);
    assert_eq!(member.code("leaves", -1).await, 69);
    let mut fixed = Member::of_instance(target, &topic, "knows_no_members", "m").await;
    assert_eq!(fixed.code("a static member leaves for a while", -2).await, 69);
    assert_eq!(member.code("comes", 0).await, 0);
    assert_eq!(member.code("leaves", -1).await, 0);
    assert_eq!(member.code("goes on in an empty group", 1).await, 25);
    assert_eq!(member.code("leaves an empty group", -1).await, 25);
}

async fn lets_a_member_start_afresh_only_while_its_first_answer_may_be_lost(target: &Target) {
    let topic = target.topic("starts_afresh", 2, &[]).await;
    let mut one = Member::new(target, &topic, "starts_afresh", "one").await;
    let first = one.beat("comes", 0).await;
    let again = one.beat("the answer was lost", 0).await;
    assert_eq!((again.error_code, again.member_epoch), (0, first.member_epoch));
    assert_eq!(one.code("too high", first.member_epoch + 1).await, 110);
    let mut two = Member::new(target, &topic, "starts_afresh", "two").await;
    assert_eq!(two.code("the second comes", 0).await, 0);
    one.owns(&[0, 1]);
    let told = one.beat("gives back", first.member_epoch).await;
    let kept = told.assignment.unwrap().topic_partitions[0].partitions.clone();
    one.owns(&kept);
    let higher = one.beat("gave back", first.member_epoch).await;
    assert!(higher.member_epoch > first.member_epoch);
    one.owns(&[]);
    assert_eq!(one.code("starts afresh", 0).await, 110);
}

async fn accepts_the_epoch_before_from_a_member_that_owns_no_more(target: &Target) {
    let topic = target.topic("the_epoch_before", 2, &[]).await;
    let mut one = Member::new(target, &topic, "the_epoch_before", "one").await;
    let first = one.beat("comes", 0).await.member_epoch;
    let mut two = Member::new(target, &topic, "the_epoch_before", "two").await;
    two.beat("the second comes", 0).await;
    one.owns(&[0, 1]);
    let told = one.beat("gives back", first).await;
    let kept = told.assignment.unwrap().topic_partitions[0].partitions.clone();
    one.owns(&kept);
    one.beat("gave back", first).await;
    assert_eq!(one.code("the answer was lost", first).await, 0);
    one.owns(&[0, 1]);
    assert_eq!(one.code("owns what it should not", first).await, 110);
}

async fn holds_the_place_of_a_static_member(target: &Target) {
    let topic = target.topic("holds_the_place", 2, &[]).await;
    let group = "holds_the_place";
    let mut old = Member::of_instance(target, &topic, group, "old").await;
    let mut new = Member::of_instance(target, &topic, group, "new").await;
    let epoch = old.beat("comes", 0).await.member_epoch;
    assert_eq!(old.code("the answer was lost", 0).await, 111);
    assert_eq!(new.code("another in its place", 0).await, 111);
    assert_eq!(new.code("another goes on", epoch).await, 82);
    assert_eq!(new.code("another leaves", -1).await, 82);
    assert_eq!(old.code("goes on", epoch).await, 0);
    let mut stranger = Member::of_instance(target, &topic, group, "stranger").await;
    stranger.request.instance_id = Some(text("j"));
    assert_eq!(stranger.code("an instance that is not there", epoch).await, 25);
    assert_eq!(stranger.code("leaves", -1).await, 25);
    assert_eq!(old.code("away", -2).await, 0);
    assert_eq!(old.code("goes on nevertheless", epoch).await, 110);
    assert_eq!(old.code("away once more", -2).await, 0);
    let back = new.beat("back under another id", 0).await;
    assert_eq!((back.error_code, back.member_epoch), (0, epoch));
    assert_eq!(old.code("the old one", epoch).await, 82);
    assert_eq!(new.code("away", -2).await, 0);
    assert_eq!(new.code("back under the same id", 0).await, 0);
    assert_eq!(new.code("leaves for good", -1).await, 0);
}

async fn takes_an_empty_classic_group_over(target: &Target) {
    let topic = target.topic("takes_over", 1, &[]).await;
    let group = "takes_over";
    let mut member = Member::new(target, &topic, group, "m").await;
    let join = JoinGroupRequest::default()
        .with_group_id(text(group).into())
        .with_session_timeout_ms(10_000)
        .with_protocol_type(text("consumer"));
    // Refused, but the group is there from then on.
    assert_eq!(member.connection.noted("refused", 9, &join).await.error_code, 23);
    assert_eq!(member.code("goes on", 1).await, 69);
    assert_eq!(member.code("comes", 0).await, 0);
    let describe = DescribeGroupsRequest::default().with_groups(vec![text(group).into()]);
    member.connection.noted("no classic group", 6, &describe).await;
}

async fn answers_members_of_the_present_epoch(target: &Target) {
    let topic = target.topic("answers_members", 1, &[]).await;
    let group = "answers_members";
    let fetch = |group: &str, member: Option<&str>, epoch| {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic.name.clone().into())
            .with_partition_indexes(vec![0]);
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(text(group).into())
            .with_member_id(member.map(text))
            .with_member_epoch(epoch)
            .with_topics(Some(vec![topic]));
        OffsetFetchRequest::default().with_groups(vec![asked])
    };
    let mut member = Member::new(target, &topic, group, "m").await;
    member.connection.noted("no group", 9, &fetch("nobody_is_here", Some("m"), 1)).await;
    let epoch = member.beat("comes", 0).await.member_epoch;
    let requests = [
        ("the member", fetch(group, Some("m"), epoch)),
        ("older", fetch(group, Some("m"), epoch - 1)),
        ("newer", fetch(group, Some("m"), epoch + 1)),
        ("without an epoch", fetch(group, Some("m"), -1)),
        ("unknown", fetch(group, Some("x"), epoch)),
        ("unknown without an epoch", fetch(group, Some("x"), -1)),
        ("unnamed without an epoch", fetch(group, Some(""), -1)),
        ("nobody", fetch(group, None, -1)),
    ];
    for (label, request) in &requests {
        member.connection.noted(label, 9, request).await;
    }
    member.connection.noted("no member can be named", 8, &fetch(group, None, -1)).await;
}

async fn describes_groups_of_either_protocol(target: &Target) {
    let topic = target.topic("describes_either", 2, &[]).await;
    let group = "describes_either";
    let mut member = Member::of_instance(target, &topic, group, "m").await;
    let describe = |group| ConsumerGroupDescribeRequest::default().with_group_ids(vec![text(group).into()]);
    let epoch = member.beat("comes", 0).await.member_epoch;
    member.owns(&[0, 1]);
    assert_eq!(member.code("settled", epoch).await, 0);
    for version in 0..=1 {
        member.connection.noted("not there", version, &describe("nobody_is_here")).await;
        member.connection.noted("without a name", version, &describe("")).await;
        let mut described = member.connection.ask(version, &describe(group)).await;
        for member in &mut described.groups[0].members {
            for assignment in [&mut member.assignment, &mut member.target_assignment] {
                assignment.topic_partitions.iter_mut().for_each(|topic| topic.partitions.sort_unstable());
            }
        }
        target.note(&format!("described v{version}"), &described);
    }
    member.owns(&[]);
    assert_eq!(member.code("leaves", -1).await, 0);
    member.connection.noted("empty", 1, &describe(group)).await;
}
