//! Task: ListOffsets (2).

use crate::{
    case::cases,
    checklist::versions_of,
    connection::Connection,
    produce::produce,
    records::{Batch, FIRST_MS},
    target::{Target, Topic},
};
use kafka_protocol::messages::{
    ApiKey, ListOffsetsRequest,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    list_offsets_response::ListOffsetsPartitionResponse,
};

cases! {
    1 brokers;
    ListOffsets:
        finds_both_ends_in_every_version
        finds_offsets_by_time
        finds_the_latest_of_what_is_committed
        follows_the_start_of_the_log
        refuses_unknown_topics_and_partitions
        refuses_leader_epochs_that_are_not
        answers_times_that_mean_something_else;
}

pub(crate) fn list(topic: &Topic, index: i32, timestamp: i64, leader_epoch: i32) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(index)
        .with_timestamp(timestamp)
        .with_current_leader_epoch(leader_epoch);
    let topic =
        ListOffsetsTopic::default().with_name(topic.name.clone().into()).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

async fn ask(
    connection: &mut Connection<'_>,
    version: i16,
    request: &ListOffsetsRequest,
) -> ListOffsetsPartitionResponse {
    connection.noted("list", version, request).await.topics[0].partitions[0].clone()
}

/// Two batches of two records, a second apart.
async fn filled(target: &Target, name: &str) -> Topic {
    let topic = target.topic(name, 2, &[]).await;
    let mut connection = target.connect().await;
    for second in 0..2 {
        let batch = Batch { base_timestamp_ms: FIRST_MS + 1000 * second, ..Batch::of(2) };
        connection.ask(12, &produce(&topic, 0, batch.bytes())).await;
    }
    topic
}

async fn finds_both_ends_in_every_version(target: &Target) {
    let topic = filled(target, "finds_both_ends").await;
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::ListOffsets) {
        let latest = ask(&mut connection, version, &list(&topic, 0, -1, -1)).await;
        assert_eq!((latest.error_code, latest.offset), (0, 4));
        let earliest = ask(&mut connection, version, &list(&topic, 0, -2, -1)).await;
        assert_eq!((earliest.error_code, earliest.offset), (0, 0));
        for timestamp in [-1, -2] {
            let empty = ask(&mut connection, version, &list(&topic, 1, timestamp, -1)).await;
            assert_eq!((empty.error_code, empty.offset), (0, 0));
        }
    }
}

async fn finds_offsets_by_time(target: &Target) {
    let topic = filled(target, "finds_offsets_by_time").await;
    let mut connection = target.connect().await;
    for (ms, offset) in [(-5, 0), (0, 0), (1, 1), (2, 2), (1000, 2), (1001, 3), (1002, -1)] {
        let found = ask(&mut connection, 9, &list(&topic, 0, FIRST_MS + ms, -1)).await;
        assert_eq!((found.error_code, found.offset), (0, offset), "{ms}");
    }
    let empty = ask(&mut connection, 9, &list(&topic, 1, FIRST_MS, -1)).await;
    assert_eq!((empty.error_code, empty.offset), (0, -1));
}

async fn finds_the_latest_of_what_is_committed(target: &Target) {
    let topic = filled(target, "finds_the_latest_of_what_is_committed").await;
    let mut connection = target.connect().await;
    let latest = ask(&mut connection, 9, &list(&topic, 0, -1, -1).with_isolation_level(1)).await;
    assert_eq!(latest.offset, 4);
}

async fn follows_the_start_of_the_log(target: &Target) {
    let topic = filled(target, "follows_the_start_of_the_log").await;
    let mut connection = target.connect().await;
    target.delete_records(&topic, 0, 3).await;
    assert_eq!(ask(&mut connection, 9, &list(&topic, 0, -2, -1)).await.offset, 3);
    assert_eq!(ask(&mut connection, 9, &list(&topic, 0, FIRST_MS, -1)).await.offset, 3);
}

async fn refuses_unknown_topics_and_partitions(target: &Target) {
    let topic = target.topic("refuses_unknown_topics_of_lists", 1, &[]).await;
    let mut connection = target.connect().await;
    assert_eq!(ask(&mut connection, 9, &list(&topic, 1, -1, -1)).await.error_code, 3);
    let nowhere = Topic { name: "nobody_created_this".into(), ..topic };
    assert_eq!(ask(&mut connection, 9, &list(&nowhere, 0, -1, -1)).await.error_code, 3);
}

async fn refuses_leader_epochs_that_are_not(target: &Target) {
    let topic = filled(target, "refuses_leader_epochs_of_lists").await;
    let mut connection = target.connect().await;
    assert_eq!(ask(&mut connection, 9, &list(&topic, 0, -1, 0)).await.error_code, 0);
    assert_eq!(ask(&mut connection, 9, &list(&topic, 0, -1, 1)).await.error_code, 75);
}

async fn answers_times_that_mean_something_else(target: &Target) {
    let topic = filled(target, "answers_times_that_mean_something_else").await;
    let mut connection = target.connect().await;
    for timestamp in [-3, -4, -5] {
        for partition in [0, 1] {
            ask(&mut connection, 9, &list(&topic, partition, timestamp, -1)).await;
        }
    }
}
