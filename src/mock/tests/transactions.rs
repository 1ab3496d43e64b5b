//! Transactions in the log: what readers of committed and of uncommitted data are told.

use super::{Rig, answer, topic};
use crate::error::ErrorCode;
use crate::mock::MockCluster;
use crate::mock::core::{Origin, Outcome};
use crate::mock::records::{encode_as, encode_transactional};
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, ProduceRequest};
use std::time::Duration;

const UNCOMMITTED: i8 = 0;
const COMMITTED: i8 = 1;

fn rig() -> Rig {
    Rig::new(MockCluster::builder().topic("t", 1))
}

fn fetch_of(offset: i64, isolation: i8, max_bytes: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(max_bytes);
    let asked = FetchTopic::default().with_topic(topic("t")).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_isolation_level(isolation)
        .with_topics(vec![asked])
}

fn fetch(rig: &Rig, offset: i64, isolation: i8, max_bytes: i32) -> PartitionData {
    let mut response = rig.ask(1, 12, &fetch_of(offset, isolation, max_bytes));
    response.responses.remove(0).partitions.remove(0)
}

fn aborted(data: &PartitionData) -> Vec<(i64, i64)> {
    let listed = data.aborted_transactions.as_ref().unwrap();
    listed.iter().map(|aborted| (aborted.producer_id.0, aborted.first_offset)).collect()
}

fn len(rig: &Rig, upto: i64) -> usize {
    let batches = rig.mock.batches("t", 0);
    batches.iter().filter(|batch| batch.last_offset < upto).map(|batch| batch.bytes.len()).sum()
}

fn produce(rig: &Rig, batch: Bytes, transactional_id: Option<&str>) -> ErrorCode {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let asked = TopicProduceData::default().with_name(topic("t")).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_transactional_id(transactional_id.map(|id| super::text(id).into()))
        .with_topic_data(vec![asked]);
    ErrorCode(rig.ask(1, 12, &request).responses[0].partition_responses[0].error_code)
}

#[test]
fn readers_of_committed_data_stop_before_the_first_open_transaction() {
    let rig = rig();
    let (mut first, mut second) = (rig.mock.transaction(), rig.mock.transaction());
    rig.mock.append("t", 0, None, Some(b"plain")).unwrap();
    first.append("t", 0, None, Some(b"a")).unwrap();
    second.append("t", 0, None, Some(b"b")).unwrap();
    second.commit().unwrap();
    let committed = fetch(&rig, 0, COMMITTED, 1 << 20);
    assert_eq!((committed.last_stable_offset, committed.high_watermark), (1, 4));
    assert_eq!(committed.records.as_ref().unwrap().len(), len(&rig, 1));
    let uncommitted = fetch(&rig, 0, UNCOMMITTED, 1 << 20);
    assert_eq!((uncommitted.last_stable_offset, uncommitted.high_watermark), (1, 4));
    assert_eq!(uncommitted.records.as_ref().unwrap().len(), len(&rig, 4));
    assert_eq!(uncommitted.aborted_transactions, None);
    let at_the_end = fetch(&rig, 1, COMMITTED, 1 << 20);
    assert_eq!((at_the_end.error_code, at_the_end.records), (0, Some(Bytes::new())));
    first.commit().unwrap();
    assert_eq!(rig.mock.last_stable_offset("t", 0), Some(5));
    assert_eq!(rig.mock.records("t", 0).len(), 3, "markers are no records");
}

#[test]
fn aborted_transactions_are_listed_where_they_overlap_what_is_read() {
    let rig = rig();
    let (mut long, mut short) = (rig.mock.transaction(), rig.mock.transaction());
    long.append("t", 0, None, Some(b"0")).unwrap();
    short.append("t", 0, None, Some(b"1")).unwrap();
    short.abort().unwrap();
    long.append("t", 0, None, Some(b"3")).unwrap();
    long.abort().unwrap();
    let (long, short) = (long.producer_id(), short.producer_id());
    let all = fetch(&rig, 0, COMMITTED, 1 << 20);
    assert_eq!(aborted(&all), [(short, 1), (long, 0)], "in the order of their markers");
    let one_batch = fetch(&rig, 0, COMMITTED, 1);
    assert_eq!(aborted(&one_batch), aborted(&all), "what begins soon after what is read is listed, too");
    assert_eq!(aborted(&fetch(&rig, 3, COMMITTED, 1 << 20)), [(long, 0)], "the other ended before");
    assert!(aborted(&fetch(&rig, 5, COMMITTED, 1 << 20)).is_empty());
}

#[test]
fn the_list_can_come_in_any_order() {
    let rig = Rig::new(MockCluster::builder().topic("t", 1).unsorted_aborted_transactions(true));
    for _ in 0..20 {
        let mut transaction = rig.mock.transaction();
        transaction.append("t", 0, None, None).unwrap();
        transaction.abort().unwrap();
    }
    let mut listed = aborted(&fetch(&rig, 0, COMMITTED, 1 << 20));
    assert!(!listed.is_sorted());
    listed.sort_unstable();
    assert_eq!(listed.iter().map(|one| one.1).collect::<Vec<_>>(), (0..40).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_marker_ends_the_wait_of_a_reader_of_committed_data() {
    let rig = rig();
    let mut transaction = rig.mock.transaction();
    transaction.append("t", 0, None, None).unwrap();
    let request = fetch_of(0, COMMITTED, 1 << 20).with_max_wait_ms(500).with_min_bytes(1);
    let origin = Origin { broker: 1, connection: 1 };
    assert!(matches!(rig.send(1, 12, &request), Outcome::Park(_)));
    transaction.append("t", 0, None, None).unwrap();
    assert!(matches!(rig.core(|core| core.resume(rig.now, origin)), Outcome::Park(_)));
    transaction.commit().unwrap();
    let response = answer::<FetchRequest>(12, rig.core(|core| core.resume(rig.now, origin)));
    assert_eq!(response.responses[0].partitions[0].records.as_ref().unwrap().len(), len(&rig, 3));
}

#[test]
fn offsets_are_listed_by_isolation() {
    let rig = rig();
    rig.mock.append("t", 0, None, None).unwrap();
    let timestamp = rig.mock.records("t", 0)[0].timestamp_ms;
    rig.mock.transaction().append("t", 0, None, None).unwrap();
    let list = |isolation, time| {
        let partition = ListOffsetsPartition::default().with_timestamp(time);
        let asked = ListOffsetsTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_isolation_level(isolation).with_topics(vec![asked]);
        rig.ask(1, 7, &request).topics[0].partitions[0].offset
    };
    assert_eq!([list(COMMITTED, -1), list(UNCOMMITTED, -1)], [1, 2]);
    assert_eq!([list(COMMITTED, timestamp), list(UNCOMMITTED, timestamp)], [0, 0]);
    rig.mock.delete_records("t", 0, 1).unwrap();
    assert_eq!([list(COMMITTED, timestamp), list(UNCOMMITTED, timestamp)], [-1, 1]);
}

#[test]
fn transactions_over_the_wire_are_refused_as_without_a_coordinator_that_knows_them() {
    let rig = rig();
    let batch = || encode_transactional(&[(None, None, 0)], (5, 0, 0)).unwrap();
    assert_eq!(produce(&rig, batch(), None), ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_eq!(produce(&rig, batch(), Some("id")), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    assert_eq!(rig.mock.offsets("t", 0), Some((0, 0)));
}

#[test]
fn a_producer_with_a_transaction_open_writes_nothing_outside_it_and_is_not_forgotten() {
    let mut rig = rig();
    let mut transaction = rig.mock.transaction();
    transaction.append("t", 0, None, None).unwrap();
    let plain = |sequence| encode_as(&[(None, None, 0)], (transaction.producer_id(), 0, sequence)).unwrap();
    assert_eq!(produce(&rig, plain(1), None), ErrorCode::INVALID_TXN_STATE);
    rig.after(Duration::from_secs(48 * 3600));
    assert_eq!(produce(&rig, plain(7), None), ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    let plain = plain(1);
    transaction.commit().unwrap();
    assert_eq!(produce(&rig, plain, None), ErrorCode::NONE);
}

#[test]
fn a_marker_without_a_transaction_lists_nothing() {
    let rig = rig();
    let mut transaction = rig.mock.transaction();
    transaction.append_marker("t", 0, false).unwrap();
    transaction.append_marker("t", 0, false).unwrap();
    let data = fetch(&rig, 0, COMMITTED, 1 << 20);
    assert_eq!((aborted(&data), data.last_stable_offset), (vec![], 2));
}
