//! Task: OffsetForLeaderEpoch (23): where leader epochs end.

use crate::{
    case::cases,
    connection::Connection,
    produce::produce,
    records::Batch,
    target::{Target, Topic},
};
use kafka_protocol::messages::{
    OffsetForLeaderEpochRequest,
    offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
    offset_for_leader_epoch_response::EpochEndOffset,
};

cases! {
    1 brokers;
    OffsetForLeaderEpoch:
        tells_where_an_epoch_ends_in_every_version
        knows_no_end_of_epochs_to_come
        refuses_epochs_and_partitions_that_are_not;
}

/// Asked of a leader that is known under `current`.
pub(crate) fn end_of(topic: &Topic, index: i32, current: i32, epoch: i32) -> OffsetForLeaderEpochRequest {
    let partition = OffsetForLeaderPartition::default()
        .with_partition(index)
        .with_current_leader_epoch(current)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(topic.name.clone().into())
        .with_partitions(vec![partition]);
    OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

pub(crate) async fn ask(
    connection: &mut Connection<'_>,
    version: i16,
    request: &OffsetForLeaderEpochRequest,
) -> EpochEndOffset {
    connection.noted("end", version, request).await.topics[0].partitions[0].clone()
}

async fn filled(target: &Target, name: &str) -> Topic {
    let topic = target.topic(name, 2, &[]).await;
    target.connect().await.ask(12, &produce(&topic, 0, Batch::of(3).bytes())).await;
    topic
}

async fn tells_where_an_epoch_ends_in_every_version(target: &Target) {
    let topic = filled(target, "tells_where_an_epoch_ends").await;
    let mut connection = target.connect().await;
    // All that the crate of the messages can write; the client speaks the last.
    for version in 2..=4 {
        for (partition, end) in [(0, 3), (1, 0)] {
            let found = ask(&mut connection, version, &end_of(&topic, partition, 0, 0)).await;
            assert_eq!((found.error_code, found.leader_epoch, found.end_offset), (0, 0, end));
        }
    }
}

async fn knows_no_end_of_epochs_to_come(target: &Target) {
    let topic = filled(target, "knows_no_end_of_epochs_to_come").await;
    let mut connection = target.connect().await;
    for (current, epoch) in [(0, 1), (-1, 7), (0, -1), (-1, -1)] {
        let found = ask(&mut connection, 4, &end_of(&topic, 0, current, epoch)).await;
        assert_eq!((found.error_code, found.leader_epoch, found.end_offset), (0, -1, -1));
    }
    assert_eq!(ask(&mut connection, 4, &end_of(&topic, 0, -1, 0)).await.end_offset, 3);
}

async fn refuses_epochs_and_partitions_that_are_not(target: &Target) {
    let topic = filled(target, "refuses_epochs_that_are_not").await;
    let mut connection = target.connect().await;
    assert_eq!(ask(&mut connection, 4, &end_of(&topic, 0, 1, 0)).await.error_code, 75);
    assert_eq!(ask(&mut connection, 4, &end_of(&topic, 2, -1, 0)).await.error_code, 3);
    let nowhere = Topic { name: "nobody_created_this".into(), ..topic };
    assert_eq!(ask(&mut connection, 4, &end_of(&nowhere, 0, -1, 0)).await.error_code, 3);
}
