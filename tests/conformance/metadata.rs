//! Task: Metadata (3), and DescribeCluster (60).

use crate::{
    case::cases,
    checklist::versions_of,
    connection::Connection,
    target::{Target, text},
};
use kafka_protocol::messages::{
    ApiKey, DescribeClusterRequest, MetadataRequest, MetadataResponse, metadata_request::MetadataRequestTopic,
};
use uuid::Uuid;

cases! {
    1 brokers;
    Metadata:
        tells_of_a_topic_by_name_in_every_version
        tells_of_a_topic_by_id
        refuses_unknown_topics
        refuses_names_that_are_not_legal
        tells_of_all_topics_or_none
        creates_nothing_unless_told_so
        tells_of_deleted_topics_no_more;
    DescribeCluster:
        tells_the_brokers_in_every_version
        answers_for_brokers_only;
}

fn by_name(names: &[&str]) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(text(name).into()));
    MetadataRequest::default()
        .with_topics(Some(names.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(false)
}

fn by_id(id: Uuid) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false)
}

/// Asks, and notes the answer with its topics and partitions in order.
async fn ask(
    target: &Target,
    connection: &mut Connection<'_>,
    label: &str,
    version: i16,
    request: &MetadataRequest,
) -> MetadataResponse {
    let mut answer = connection.ask(version, request).await;
    answer.topics.sort_by_key(|topic| topic.name.as_ref().map(|name| name.0.to_string()));
    for topic in &mut answer.topics {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
    }
    target.note(&format!("{label} v{version}"), &answer);
    answer
}

async fn tells_of_a_topic_by_name_in_every_version(target: &Target) {
    let topic = target.topic("tells_of_a_topic_by_name", 3, &[]).await;
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::Metadata) {
        let answer = ask(target, &mut connection, "by name", version, &by_name(&[&topic.name])).await;
        assert_eq!((answer.topics[0].error_code, answer.topics[0].topic_id), (0, topic.id));
        assert_eq!(answer.topics[0].partitions.len(), 3);
    }
}

async fn tells_of_a_topic_by_id(target: &Target) {
    let topic = target.topic("tells_of_a_topic_by_id", 1, &[]).await;
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::Metadata) {
        let answer = ask(target, &mut connection, "by id", version, &by_id(topic.id)).await;
        assert_eq!(answer.topics[0].name.as_ref().unwrap().0, topic.name);
        let answer =
            ask(target, &mut connection, "unknown id", version, &by_id(Uuid::from_u128(0x123))).await;
        assert_eq!(answer.topics[0].error_code, 100);
    }
}

async fn refuses_unknown_topics(target: &Target) {
    let topic = target.topic("refuses_unknown_topics_of_metadata", 1, &[]).await;
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::Metadata) {
        let names = by_name(&["nobody_created_this", &topic.name]);
        let answer = ask(target, &mut connection, "unknown", version, &names).await;
        assert_eq!(answer.topics.iter().map(|topic| topic.error_code).collect::<Vec<_>>(), [3, 0]);
    }
}

async fn refuses_names_that_are_not_legal(target: &Target) {
    let mut connection = target.connect().await;
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "ä", &long] {
        ask(target, &mut connection, "illegal", 13, &by_name(&[name])).await;
        let may_create = by_name(&[name]).with_allow_auto_topic_creation(true);
        ask(target, &mut connection, "illegal, to be created", 13, &may_create).await;
    }
}

async fn tells_of_all_topics_or_none(target: &Target) {
    let topic = target.topic("tells_of_all_topics_or_none", 1, &[]).await;
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::Metadata) {
        let mut all = connection.ask(version, &by_name(&[]).with_topics(None)).await;
        // Other cases' topics are on one of the clusters only.
        all.topics.retain(|other| other.name.as_ref().is_some_and(|name| name.0 == topic.name));
        target.note("all", &all);
        assert_eq!(all.topics.len(), 1);
        let none = ask(target, &mut connection, "none", version, &by_name(&[])).await;
        assert_eq!(none.topics.len(), 0);
    }
}

async fn creates_nothing_unless_told_so(target: &Target) {
    let mut connection = target.connect().await;
    let request = by_name(&["creates_nothing"]).with_allow_auto_topic_creation(true);
    for _ in 0..2 {
        // Both clusters are set up so that nothing is created.
        let answer = ask(target, &mut connection, "may create", 13, &request).await;
        assert_eq!(answer.topics[0].error_code, 3);
    }
}

async fn tells_of_deleted_topics_no_more(target: &Target) {
    let topic = target.topic("tells_of_deleted_topics_no_more", 1, &[]).await;
    let mut connection = target.connect().await;
    target.delete_topic(&topic).await;
    let answer = ask(target, &mut connection, "by name", 13, &by_name(&[&topic.name])).await;
    assert_eq!(answer.topics[0].error_code, 3);
    let answer = ask(target, &mut connection, "by id", 13, &by_id(topic.id)).await;
    assert_eq!(answer.topics[0].error_code, 100);
    let again = target.topic("tells_of_deleted_topics_no_more", 1, &[]).await;
    assert_ne!(again.id, topic.id);
    ask(target, &mut connection, "another one of that name", 13, &by_name(&[&topic.name])).await;
}

async fn tells_the_brokers_in_every_version(target: &Target) {
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::DescribeCluster) {
        for include_fenced in [false, true] {
            let request = DescribeClusterRequest::default().with_include_fenced_brokers(include_fenced);
            let answer = connection.noted("describe", version, &request).await;
            assert_eq!((answer.error_code, answer.brokers.len()), (0, 1));
        }
    }
}

async fn answers_for_brokers_only(target: &Target) {
    let mut connection = target.connect().await;
    for endpoint_type in [2, 3] {
        let request = DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
        connection.noted("endpoints", 2, &request).await;
    }
}
