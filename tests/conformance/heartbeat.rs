//! Task: ConsumerGroupHeartbeat (68): membership of a group (KIP-848).

use crate::{
    case::cases,
    checklist::versions_of,
    connection::Connection,
    target::{Target, text},
};
use craftwire_test_support::eventually;
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    consumer_group_heartbeat_request::TopicPartitions,
};
use std::time::Duration;
use uuid::Uuid;

cases! {
    1 brokers;
    ConsumerGroupHeartbeat:
        joins_and_leaves_in_every_version
        tells_the_assignment_once
        gives_partitions_up_before_another_gets_them
        fences_members_of_another_epoch
        refuses_members_that_it_does_not_know
        refuses_requests_that_make_no_sense
        refuses_assignors_that_it_does_not_know
        takes_a_member_back_from_the_start
        follows_changes_of_the_subscription
        assigns_nothing_of_topics_that_are_not_there
        notices_topics_that_come_later;
}

/// A member's first heartbeat.
pub(crate) fn join(group: &str, member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    beat(group, member, 0)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(topics.iter().map(|name| text(name).into()).collect()))
        .with_topic_partitions(Some(Vec::new()))
}

/// A heartbeat that says nothing new.
pub(crate) fn beat(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text(group).into())
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_instance_id(None)
        .with_rack_id(None)
        .with_rebalance_timeout_ms(-1)
        .with_subscribed_topic_names(None)
        .with_subscribed_topic_regex(None)
        .with_server_assignor(None)
        .with_topic_partitions(None)
}

/// A member's last heartbeat.
pub(crate) fn leave(group: &str, member: &str) -> ConsumerGroupHeartbeatRequest {
    beat(group, member, -1)
}

/// A heartbeat that says what the member owns.
fn owning(
    group: &str,
    member: &str,
    epoch: i32,
    owned: &[(Uuid, Vec<i32>)],
) -> ConsumerGroupHeartbeatRequest {
    let of_topic = |(id, partitions): &(Uuid, Vec<i32>)| {
        TopicPartitions::default().with_topic_id(*id).with_partitions(partitions.clone())
    };
    beat(group, member, epoch).with_topic_partitions(Some(owned.iter().map(of_topic).collect()))
}

/// The partitions that an answer assigns, in order; `None` if it says nothing of them.
fn assigned(answer: &ConsumerGroupHeartbeatResponse) -> Option<Vec<(Uuid, Vec<i32>)>> {
    let assignment = answer.assignment.as_ref()?;
    let mut topics: Vec<_> =
        assignment.topic_partitions.iter().map(|topic| (topic.topic_id, topic.partitions.clone())).collect();
    for (_, partitions) in &mut topics {
        partitions.sort_unstable();
    }
    topics.sort_unstable_by_key(|(_, partitions)| partitions.len());
    Some(topics)
}

/// Asks and notes the answer, its partitions in order.
async fn ask(
    target: &Target,
    connection: &mut Connection<'_>,
    label: &str,
    version: i16,
    request: &ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let mut answer = connection.ask(version, request).await;
    for topic in answer.assignment.iter_mut().flat_map(|assignment| &mut assignment.topic_partitions) {
        topic.partitions.sort_unstable();
    }
    target.note(&format!("{label} v{version}"), &answer);
    answer
}

async fn joins_and_leaves_in_every_version(target: &Target) {
    let topic = target.topic("joins_and_leaves", 2, &[]).await;
    for version in versions_of(ApiKey::ConsumerGroupHeartbeat) {
        let group = format!("joins_and_leaves_{version}");
        target.coordinator(&group).await;
        let mut connection = target.connect().await;
        let answer =
            ask(target, &mut connection, "join", version, &join(&group, "member", &[&topic.name])).await;
        assert_eq!(answer.error_code, 0);
        assert_eq!(assigned(&answer), Some(vec![(topic.id, vec![0, 1])]));
        assert_eq!(answer.heartbeat_interval_ms, 1000);
        let request = owning(&group, "member", answer.member_epoch, &[(topic.id, vec![0, 1])]);
        let answer = ask(target, &mut connection, "beat", version, &request).await;
        assert_eq!((answer.error_code, assigned(&answer)), (0, None));
        let answer = ask(target, &mut connection, "leave", version, &leave(&group, "member")).await;
        assert_eq!((answer.error_code, answer.member_epoch), (0, -1));
        let answer = ask(target, &mut connection, "left", version, &beat(&group, "member", 1)).await;
        assert_eq!(answer.error_code, 25);
    }
    // In v0 the broker gives the id.
    target.coordinator("joins_and_leaves_by_id").await;
    let mut connection = target.connect().await;
    let answer = connection.ask(0, &join("joins_and_leaves_by_id", "", &[&topic.name])).await;
    let id = answer.member_id.as_ref().unwrap().to_string();
    assert!(!id.is_empty());
    target.mask(&id, "member");
    target.note("given an id", &answer);
}

async fn tells_the_assignment_once(target: &Target) {
    let topic = target.topic("tells_the_assignment_once", 1, &[]).await;
    let group = "tells_the_assignment_once";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    let first = ask(target, &mut connection, "join", 1, &join(group, "member", &[&topic.name])).await;
    let epoch = first.member_epoch;
    let bare = ask(target, &mut connection, "bare", 1, &beat(group, "member", epoch)).await;
    assert_eq!(assigned(&bare), None);
    ask(target, &mut connection, "owns nothing yet", 1, &owning(group, "member", epoch, &[])).await;
    let owns = [(topic.id, vec![0])];
    ask(target, &mut connection, "owns it", 1, &owning(group, "member", epoch, &owns)).await;
    // A full heartbeat, as after a lost answer, is told all.
    let full = join(group, "member", &[&topic.name])
        .with_member_epoch(epoch)
        .with_topic_partitions(owning("", "", 0, &owns).topic_partitions);
    let full = ask(target, &mut connection, "full", 1, &full).await;
    assert_eq!(assigned(&full), Some(owns.to_vec()));
}

async fn gives_partitions_up_before_another_gets_them(target: &Target) {
    let topic = target.topic("gives_partitions_up", 4, &[]).await;
    let group = "gives_partitions_up";
    target.coordinator(group).await;
    let (mut one, mut other) = (target.connect().await, target.connect().await);
    let all = vec![(topic.id, vec![0, 1, 2, 3])];
    let first = ask(target, &mut one, "one joins", 1, &join(group, "one", &[&topic.name])).await;
    ask(target, &mut one, "one owns all", 1, &owning(group, "one", first.member_epoch, &all)).await;
    let second = ask(target, &mut other, "other joins", 1, &join(group, "other", &[&topic.name])).await;
    assert_eq!(assigned(&second), Some(Vec::new()), "nothing is free yet");

    let told = one.ask(1, &beat(group, "one", first.member_epoch)).await;
    let kept = assigned(&told).unwrap();
    // Which two it keeps is the broker's choice.
    target.note("one is told", &(told.error_code, told.member_epoch, kept[0].1.len()));
    assert_eq!(kept[0].1.len(), 2);
    let waiting = ask(target, &mut other, "other waits", 1, &beat(group, "other", second.member_epoch)).await;
    assert_eq!(assigned(&waiting), None);
    ask(target, &mut one, "one still owns all", 1, &owning(group, "one", told.member_epoch, &all)).await;
    let waiting =
        ask(target, &mut other, "other still waits", 1, &beat(group, "other", second.member_epoch)).await;
    assert_eq!(assigned(&waiting), None);

    let given = one.ask(1, &owning(group, "one", told.member_epoch, &kept)).await;
    target.note("one gave up", &(given.error_code, given.member_epoch, assigned(&given).is_some()));
    let told = other.ask(1, &beat(group, "other", second.member_epoch)).await;
    let got = assigned(&told).unwrap();
    target.note("other is told", &(told.error_code, told.member_epoch, got[0].1.len()));
    assert!(got[0].1.iter().all(|index| !kept[0].1.contains(index)));
    let owns = other.ask(1, &owning(group, "other", told.member_epoch, &got)).await;
    target.note("other owns it", &(owns.error_code, owns.member_epoch, assigned(&owns).is_some()));

    ask(target, &mut other, "other leaves", 1, &leave(group, "other")).await;
    let back =
        ask(target, &mut one, "one gets all back", 1, &owning(group, "one", given.member_epoch, &kept)).await;
    assert_eq!(assigned(&back), Some(all));
}

async fn fences_members_of_another_epoch(target: &Target) {
    let topic = target.topic("fences_members", 1, &[]).await;
    let group = "fences_members";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    let epoch =
        ask(target, &mut connection, "join", 1, &join(group, "member", &[&topic.name])).await.member_epoch;
    let answer = ask(target, &mut connection, "ahead", 1, &beat(group, "member", epoch + 1)).await;
    assert_eq!(answer.error_code, 110);
    // The epoch rises when another member joins.
    ask(target, &mut connection, "other joins", 1, &join(group, "other", &[&topic.name])).await;
    let owns = [(topic.id, vec![0])];
    let risen =
        ask(target, &mut connection, "rises", 1, &owning(group, "member", epoch, &owns)).await.member_epoch;
    assert!(risen > epoch);
    let again = ask(target, &mut connection, "lost answer", 1, &owning(group, "member", epoch, &owns)).await;
    assert_eq!((again.error_code, again.member_epoch), (0, risen));
    let bare = ask(target, &mut connection, "bare, one behind", 1, &beat(group, "member", epoch)).await;
    assert_eq!(bare.error_code, 110);
    let more = [(topic.id, vec![0, 1])];
    let more = ask(target, &mut connection, "owns too much", 1, &owning(group, "member", epoch, &more)).await;
    assert_eq!(more.error_code, 110);
}

async fn refuses_members_that_it_does_not_know(target: &Target) {
    let topic = target.topic("refuses_unknown_members", 1, &[]).await;
    let group = "refuses_unknown_members";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    let answer = ask(target, &mut connection, "no group", 1, &beat(group, "member", 1)).await;
    assert_eq!(answer.error_code, 69);
    ask(target, &mut connection, "leave no group", 1, &leave(group, "member")).await;
    ask(target, &mut connection, "join", 1, &join(group, "member", &[&topic.name])).await;
    let answer = ask(target, &mut connection, "stranger", 1, &beat(group, "stranger", 1)).await;
    assert_eq!(answer.error_code, 25);
    let answer = ask(target, &mut connection, "stranger leaves", 1, &leave(group, "stranger")).await;
    assert_eq!(answer.error_code, 25);
}

async fn refuses_requests_that_make_no_sense(target: &Target) {
    let group = "refuses_requests_that_make_no_sense";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    let good = join(group, "member", &["a_topic"]);
    let bad = [
        ("no group", good.clone().with_group_id(text("").into())),
        ("no member", good.clone().with_member_id(text(""))),
        ("no rebalance timeout", good.clone().with_rebalance_timeout_ms(-1)),
        ("owns something", good.clone().with_topic_partitions(Some(vec![TopicPartitions::default()]))),
        ("owns who knows what", good.clone().with_topic_partitions(None)),
        ("no topics", good.clone().with_subscribed_topic_names(None)),
        ("empty instance", good.clone().with_instance_id(Some(text("")))),
        ("leaves for a while without instance", beat(group, "member", -2)),
        ("epoch of nothing", beat(group, "member", -3)),
        ("empty rack", good.clone().with_rack_id(Some(text("")))),
    ];
    for (label, request) in bad {
        let answer = ask(target, &mut connection, label, 1, &request).await;
        assert_eq!(answer.error_code, 42, "{label}");
    }
    // A list of topics may be empty.
    ask(target, &mut connection, "empty topics", 1, &good.with_subscribed_topic_names(Some(Vec::new())))
        .await;
}

async fn refuses_assignors_that_it_does_not_know(target: &Target) {
    let topic = target.topic("refuses_assignors", 1, &[]).await;
    let group = "refuses_assignors";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    let good = join(group, "member", &[&topic.name]);
    let answer =
        ask(target, &mut connection, "unknown", 1, &good.clone().with_server_assignor(Some(text("best"))))
            .await;
    assert_eq!(answer.error_code, 112);
    for assignor in ["uniform", "range"] {
        let request = good.clone().with_server_assignor(Some(text(assignor)));
        assert_eq!(ask(target, &mut connection, assignor, 1, &request).await.error_code, 0);
    }
}

async fn takes_a_member_back_from_the_start(target: &Target) {
    let topic = target.topic("takes_a_member_back", 2, &[]).await;
    let group = "takes_a_member_back";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    for label in ["join", "join again", "and again"] {
        let answer = ask(target, &mut connection, label, 1, &join(group, "member", &[&topic.name])).await;
        assert_eq!(answer.error_code, 0);
        assert_eq!(assigned(&answer), Some(vec![(topic.id, vec![0, 1])]));
    }
    ask(target, &mut connection, "leave", 1, &leave(group, "member")).await;
    let answer =
        ask(target, &mut connection, "after leaving", 1, &join(group, "member", &[&topic.name])).await;
    assert_eq!(answer.error_code, 0);
}

async fn follows_changes_of_the_subscription(target: &Target) {
    let (one, other) =
        (target.topic("follows_changes_1", 1, &[]).await, target.topic("follows_changes_2", 2, &[]).await);
    let group = "follows_changes";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    let first = ask(target, &mut connection, "join", 1, &join(group, "member", &[&one.name])).await;
    let change = owning(group, "member", first.member_epoch, &[(one.id, vec![0])])
        .with_subscribed_topic_names(Some(vec![other.name.clone().into()]));
    let answer = ask(target, &mut connection, "another topic", 1, &change).await;
    assert_eq!(answer.error_code, 0);
    let answer =
        ask(target, &mut connection, "gave up", 1, &owning(group, "member", answer.member_epoch, &[])).await;
    assert_eq!(assigned(&answer), Some(vec![(other.id, vec![0, 1])]));
}

async fn assigns_nothing_of_topics_that_are_not_there(target: &Target) {
    let group = "assigns_nothing";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    let answer =
        ask(target, &mut connection, "join", 1, &join(group, "member", &["nobody_created_this"])).await;
    assert_eq!((answer.error_code, assigned(&answer)), (0, Some(Vec::new())));
    ask(target, &mut connection, "beat", 1, &owning(group, "member", answer.member_epoch, &[])).await;
}

async fn notices_topics_that_come_later(target: &Target) {
    let group = "notices_topics";
    target.coordinator(group).await;
    let mut connection = target.connect().await;
    let answer = ask(target, &mut connection, "join", 1, &join(group, "member", &["notices_topics"])).await;
    let topic = target.topic("notices_topics", 1, &[]).await;
    let told = eventually("the topic is assigned", Duration::from_secs(20), async || {
        let told = connection.ask(1, &owning(group, "member", answer.member_epoch, &[])).await;
        assert_eq!(told.error_code, 0);
        told.assignment.is_some().then_some(told)
    })
    .await;
    target.note("told", &told);
    assert_eq!(assigned(&told), Some(vec![(topic.id, vec![0])]));
}
