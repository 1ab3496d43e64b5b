//! Task: Fetch (1): what partitions give, errors, and the wait for records.

use crate::{
    case::cases,
    checklist::versions_of,
    connection::Connection,
    produce::produce,
    records::{Batch, Header, headers},
    target::{Target, Topic},
};
use kafka_protocol::messages::{
    ApiKey, FetchRequest, FetchResponse,
    fetch_request::{FetchPartition, FetchTopic},
    fetch_response::PartitionData,
};
use tokio::join;
use uuid::Uuid;

cases! {
    1 brokers;
    Fetch:
        reads_in_every_version
        reads_from_within_a_batch
        refuses_offsets_out_of_range
        refuses_unknown_topics_and_partitions
        refuses_leader_epochs_that_are_not
        tells_where_an_epoch_diverges
        the_first_batch_comes_whole_however_large
        limits_of_bytes_cut_the_answer
        waits_for_enough_bytes_and_no_longer
        an_error_ends_the_wait
        a_reader_of_committed_records_gets_a_list_of_what_was_aborted;
}

pub(crate) fn partition(index: i32, offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_partition(index)
        .with_fetch_offset(offset)
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1 << 20)
}

/// A full fetch without a session, which does not wait.
pub(crate) fn fetch(topic: &Topic, partitions: Vec<FetchPartition>) -> FetchRequest {
    let topics = FetchTopic::default().with_topic_id(topic.id).with_partitions(partitions);
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(1 << 20)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(vec![topics])
}

/// Notes an answer: its records as headers, and its partitions one by one, by code and index, for brokers list them in
/// no order that a client could build on. Gives the headers in the order of the answer.
pub(crate) fn note(target: &Target, label: &str, answer: &FetchResponse) -> Vec<Vec<Header>> {
    let mut answer = answer.clone();
    let mut read = Vec::new();
    let mut partitions = Vec::new();
    for topic in std::mem::take(&mut answer.responses) {
        assert_eq!(topic.topic.0.len(), 0, "only the id is told");
        for mut partition in topic.partitions {
            let found = headers(&partition.records.take().unwrap_or_default());
            let order = (partition.error_code, partition.partition_index);
            partitions.push((order, topic.topic_id, format!("{found:#?}"), partition));
            read.push(found);
        }
    }
    partitions.sort_by_key(|(order, ..)| *order);
    target.note(label, &answer);
    for ((_, index), topic_id, records, partition) in &partitions {
        target.note(&format!("{label}: partition {index}"), &(topic_id, partition));
        target.note(&format!("{label}: records of {index}"), &records.lines().collect::<Vec<_>>());
    }
    read
}

/// Fetches in the highest version, notes the answer, and gives its first partition without records, and the headers.
async fn one(
    target: &Target,
    connection: &mut Connection<'_>,
    label: &str,
    request: &FetchRequest,
) -> (PartitionData, Vec<Header>) {
    let answer = connection.ask(17, request).await;
    let read = note(target, label, &answer).remove(0);
    (answer.responses[0].partitions[0].clone(), read)
}

/// A topic whose partition 0 holds three batches of two records, by producer epochs that do not matter.
async fn filled(target: &Target, name: &str) -> Topic {
    let topic = target.topic(name, 2, &[]).await;
    let mut connection = target.connect().await;
    for _ in 0..3 {
        let answer = connection.ask(12, &produce(&topic, 0, Batch::of(2).bytes())).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    topic
}

async fn reads_in_every_version(target: &Target) {
    let topic = filled(target, "reads_in_every_version").await;
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::Fetch) {
        let request = fetch(&topic, vec![partition(0, 0), partition(1, 0)]);
        let answer = connection.ask(version, &request).await;
        let read = note(target, &format!("fetch v{version}"), &answer);
        assert_eq!(read[0].len(), 3);
        assert_eq!(read[1].len(), 0);
    }
}

async fn reads_from_within_a_batch(target: &Target) {
    let topic = filled(target, "reads_from_within_a_batch").await;
    let mut connection = target.connect().await;
    for (offset, first) in [(1, Some(0)), (2, Some(2)), (5, Some(4)), (6, None)] {
        let (answer, read) =
            one(target, &mut connection, "fetch", &fetch(&topic, vec![partition(0, offset)])).await;
        assert_eq!((answer.error_code, answer.high_watermark), (0, 6));
        assert_eq!(read.first().map(|header| header.base_offset), first);
    }
}

async fn refuses_offsets_out_of_range(target: &Target) {
    let topic = filled(target, "refuses_offsets_out_of_range").await;
    let mut connection = target.connect().await;
    for offset in [7, i64::MAX, -1] {
        let (answer, _) =
            one(target, &mut connection, "fetch", &fetch(&topic, vec![partition(0, offset)])).await;
        assert_eq!(answer.error_code, 1, "at {offset}");
    }
    target.delete_records(&topic, 0, 2).await;
    let (answer, _) =
        one(target, &mut connection, "below the start", &fetch(&topic, vec![partition(0, 1)])).await;
    assert_eq!(answer.error_code, 1);
    let (answer, read) =
        one(target, &mut connection, "at the start", &fetch(&topic, vec![partition(0, 2)])).await;
    assert_eq!((answer.error_code, answer.log_start_offset, read.len()), (0, 2, 2));
}

async fn refuses_unknown_topics_and_partitions(target: &Target) {
    let topic = filled(target, "refuses_unknown_topics_of_fetches").await;
    let mut connection = target.connect().await;
    let nowhere = Topic { id: Uuid::from_u128(0x1234), ..topic.clone() };
    let (answer, _) = one(target, &mut connection, "topic", &fetch(&nowhere, vec![partition(0, 0)])).await;
    assert_eq!(answer.error_code, 100);
    let nil = Topic { id: Uuid::nil(), ..topic.clone() };
    one(target, &mut connection, "no topic", &fetch(&nil, vec![partition(0, 0)])).await;
    let (answer, _) = one(target, &mut connection, "partition", &fetch(&topic, vec![partition(7, 0)])).await;
    assert_eq!(answer.error_code, 3);
    // The good ones of a request give what they have.
    let mut mixed = fetch(&topic, vec![partition(0, 0), partition(7, 0)]);
    mixed.topics.extend(fetch(&nowhere, vec![partition(0, 0)]).topics);
    note(target, "mixed", &connection.ask(17, &mixed).await);
}

async fn refuses_leader_epochs_that_are_not(target: &Target) {
    let topic = filled(target, "refuses_leader_epochs_that_are_not").await;
    let mut connection = target.connect().await;
    let right = partition(0, 0).with_current_leader_epoch(0);
    let (answer, _) = one(target, &mut connection, "right", &fetch(&topic, vec![right])).await;
    assert_eq!(answer.error_code, 0);
    let ahead = partition(0, 0).with_current_leader_epoch(1);
    let (answer, _) = one(target, &mut connection, "ahead", &fetch(&topic, vec![ahead])).await;
    assert_eq!(answer.error_code, 75);
}

async fn tells_where_an_epoch_diverges(target: &Target) {
    let topic = filled(target, "tells_where_an_epoch_diverges").await;
    let mut connection = target.connect().await;
    let same = partition(0, 6).with_last_fetched_epoch(0);
    let (answer, _) = one(target, &mut connection, "same", &fetch(&topic, vec![same])).await;
    assert_eq!((answer.error_code, answer.diverging_epoch.end_offset), (0, -1));
    // Records past the end of the log, under an epoch that this leader has.
    let past = partition(0, 9).with_last_fetched_epoch(0);
    let (answer, _) = one(target, &mut connection, "past the end", &fetch(&topic, vec![past])).await;
    assert_eq!((answer.diverging_epoch.epoch, answer.diverging_epoch.end_offset), (0, 6));
    // An epoch that this leader never heard of.
    let later = partition(0, 6).with_last_fetched_epoch(3);
    one(target, &mut connection, "a later epoch", &fetch(&topic, vec![later])).await;
    let known = partition(0, 6).with_last_fetched_epoch(3).with_current_leader_epoch(0);
    one(target, &mut connection, "a later epoch than the leader's", &fetch(&topic, vec![known])).await;
}

async fn the_first_batch_comes_whole_however_large(target: &Target) {
    let topic = filled(target, "the_first_batch_comes_whole").await;
    let mut connection = target.connect().await;
    let small = partition(0, 0).with_partition_max_bytes(1);
    let (_, read) = one(target, &mut connection, "by partition", &fetch(&topic, vec![small])).await;
    assert!(read.len() == 1 && read[0].is_whole, "{read:?}");
    let request = fetch(&topic, vec![partition(0, 0)]).with_max_bytes(1);
    let (_, read) = one(target, &mut connection, "by request", &request).await;
    assert!(read.len() == 1 && read[0].is_whole, "{read:?}");
}

async fn limits_of_bytes_cut_the_answer(target: &Target) {
    let topic = filled(target, "limits_of_bytes_cut_the_answer").await;
    let mut connection = target.connect().await;
    for _ in 0..2 {
        connection.ask(12, &produce(&topic, 1, Batch::of(2).bytes())).await;
    }
    let bytes = i32::try_from(Batch::of(2).bytes().len()).unwrap();
    for limit in [bytes, bytes + 1, bytes + 70, 2 * bytes - 1, 2 * bytes, 3 * bytes] {
        let limited = partition(0, 0).with_partition_max_bytes(limit);
        one(target, &mut connection, "limited", &fetch(&topic, vec![limited])).await;
    }
    // What the first partition leaves is the second one's.
    for limit in [1, bytes, 3 * bytes, 4 * bytes, 5 * bytes - 1] {
        let request = fetch(&topic, vec![partition(0, 0), partition(1, 0)]).with_max_bytes(limit);
        let answer = connection.ask(17, &request).await;
        note(target, "two partitions", &answer);
    }
}

async fn waits_for_enough_bytes_and_no_longer(target: &Target) {
    let topic = filled(target, "waits_for_enough_bytes").await;
    let (mut reader, mut writer) = (target.connect().await, target.connect().await);
    let waiting = fetch(&topic, vec![partition(0, 6)]).with_max_wait_ms(60_000).with_min_bytes(1);
    let write = async {
        let answer = writer.ask(12, &produce(&topic, 0, Batch::of(1).bytes())).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    };
    let (answer, ()) = join!(reader.ask(17, &waiting), write);
    assert_eq!(note(target, "woken", &answer)[0].len(), 1);
    let short = fetch(&topic, vec![partition(0, 7)]).with_max_wait_ms(20).with_min_bytes(1);
    let (answer, read) = one(target, &mut reader, "nothing came", &short).await;
    assert_eq!((answer.error_code, read.len()), (0, 0));
    // Enough is there at once, and nothing is enough if nothing is asked for.
    let now = fetch(&topic, vec![partition(0, 0)]).with_max_wait_ms(60_000).with_min_bytes(1);
    one(target, &mut reader, "at once", &now).await;
    let none = fetch(&topic, vec![partition(0, 7)]).with_max_wait_ms(60_000).with_min_bytes(0);
    one(target, &mut reader, "none", &none).await;
}

async fn an_error_ends_the_wait(target: &Target) {
    let topic = filled(target, "an_error_ends_the_wait").await;
    let mut connection = target.connect().await;
    let patient = |partitions| fetch(&topic, partitions).with_max_wait_ms(60_000).with_min_bytes(1);
    let (answer, _) = one(target, &mut connection, "out of range", &patient(vec![partition(0, 99)])).await;
    assert_eq!(answer.error_code, 1);
    let answer = connection.ask(17, &patient(vec![partition(0, 99), partition(1, 0)])).await;
    note(target, "one of two", &answer);
    let answer = connection.ask(17, &patient(vec![partition(9, 0)])).await;
    note(target, "nothing but unknown", &answer);
    let diverged = partition(0, 9).with_last_fetched_epoch(0);
    one(target, &mut connection, "diverged", &patient(vec![diverged])).await;
}

async fn a_reader_of_committed_records_gets_a_list_of_what_was_aborted(target: &Target) {
    let topic = filled(target, "a_reader_of_committed_records").await;
    let mut connection = target.connect().await;
    let request = fetch(&topic, vec![partition(0, 0), partition(1, 0)]).with_isolation_level(1);
    let answer = connection.ask(17, &request).await;
    note(target, "committed", &answer);
    assert_eq!(answer.responses[0].partitions[0].last_stable_offset, 6);
    let request = fetch(&topic, vec![partition(0, 99), partition(9, 0)]).with_isolation_level(1);
    note(target, "errors", &connection.ask(17, &request).await);
}
