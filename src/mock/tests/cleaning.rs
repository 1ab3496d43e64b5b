//! Compaction and retention, and what they leave to be read.

use super::{Rig, topic};
use crate::mock::batch::{BatchHeader, crc_matches};
use crate::mock::records::encode;
use crate::mock::{MockCluster, StoredBatch};
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn rig(configs: &[(&str, &str)]) -> Rig {
    let rig = Rig::new(MockCluster::builder());
    rig.mock.create_topic_with("t", 1, configs).unwrap();
    rig
}

/// One batch of these (key, value) pairs, an empty value for a tombstone.
fn batch(pairs: &[(&'static str, &'static str)]) -> Bytes {
    let part = |part: &'static str| (!part.is_empty()).then(|| Bytes::from_static(part.as_bytes()));
    let records: Vec<_> = pairs.iter().map(|(key, value)| (part(key), part(value), 1_000)).collect();
    encode(&records).unwrap()
}

fn append(rig: &Rig, pairs: &[(&'static str, &'static str)]) {
    rig.mock.append_batch("t", 0, &batch(pairs)).unwrap();
}

fn compact(rig: &Rig) {
    assert!(rig.core(|core| core.compact("t", 0, rig.now)));
    for batch in rig.mock.batches("t", 0) {
        let header = BatchHeader::read(&batch.bytes).unwrap();
        assert!(crc_matches(&batch.bytes, &header) && header.len == batch.bytes.len(), "{batch:?}");
    }
}

/// (first offset, last offset, records) of each batch.
fn batches(rig: &Rig) -> Vec<(i64, i64, i32)> {
    let told = |batch: StoredBatch| (batch.base_offset, batch.last_offset, batch.record_count);
    rig.mock.batches("t", 0).into_iter().map(told).collect()
}

fn offsets(rig: &Rig) -> Vec<i64> {
    rig.mock.records("t", 0).into_iter().map(|record| record.offset).collect()
}

#[test]
fn batches_keep_their_offsets_and_emptied_ones_leave_a_gap() {
    let rig = rig(&[]);
    append(&rig, &[("a", "1"), ("b", "1"), ("c", "1")]);
    append(&rig, &[("b", "2")]);
    append(&rig, &[("", "no key")]);
    append(&rig, &[("b", "3"), ("c", "2"), ("", "no key")]);
    append(&rig, &[("b", "the last batch is not cleaned, and supersedes nothing")]);
    compact(&rig);
    assert_eq!(batches(&rig), [(0, 2, 1), (5, 7, 2), (8, 8, 1)]);
    assert_eq!(offsets(&rig), [0, 5, 6, 8]);
    assert_eq!(rig.mock.offsets("t", 0), Some((0, 9)));
    assert!(rig.mock.records("t", 0).iter().all(|record| record.timestamp_ms == 1_000));
    let before = rig.mock.batches("t", 0);
    compact(&rig);
    assert_eq!(rig.mock.batches("t", 0), before);
}

#[test]
fn a_fetch_in_a_gap_gives_the_batch_after_it() {
    let rig = rig(&[]);
    for value in ["1", "2", "3"] {
        append(&rig, &[("a", value)]);
    }
    append(&rig, &[("a", "last")]);
    compact(&rig);
    assert_eq!(batches(&rig), [(2, 2, 1), (3, 3, 1)]);
    let partition = FetchPartition::default().with_fetch_offset(0).with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default().with_topic(topic("t")).with_partitions(vec![partition]);
    let request = FetchRequest::default().with_max_bytes(1 << 20).with_session_epoch(-1);
    let response = rig.ask(1, 12, &request.with_topics(vec![asked]));
    let data = &response.responses[0].partitions[0];
    assert_eq!(data.error_code, 0);
    assert_eq!(BatchHeader::read(data.records.as_ref().unwrap()).unwrap().base_offset, 2);
}

#[test]
fn tombstones_go_after_their_retention() {
    let mut rig = rig(&[("delete.retention.ms", "3600000")]);
    append(&rig, &[("a", "1"), ("b", "1")]);
    append(&rig, &[("a", ""), ("c", "1")]);
    append(&rig, &[("z", "last")]);
    compact(&rig);
    assert_eq!(offsets(&rig), [1, 2, 3, 4]);
    let header = BatchHeader::read(&rig.mock.batches("t", 0)[1].bytes).unwrap();
    let horizon = rig.core(|core| core.unix_ms(rig.now)) + 3_600_000;
    assert_eq!(header.delete_horizon_ms(), Some(horizon));
    rig.after(HOUR - Duration::from_secs(1));
    compact(&rig);
    assert_eq!(offsets(&rig), [1, 2, 3, 4]);
    rig.after(Duration::from_secs(1));
    compact(&rig);
    assert_eq!(offsets(&rig), [1, 3, 4]);
    assert_eq!(rig.mock.records("t", 0)[1].timestamp_ms, 1_000, "told from the horizon");
}

#[test]
fn the_last_batch_of_a_producer_stays_without_records() {
    let rig = rig(&[]);
    for sequence in 0..3 {
        let record =
            (Some(Bytes::from_static(b"a")), Some(Bytes::new()), rig.core(|core| core.unix_ms(rig.now)));
        let batch = crate::mock::records::encode_as(&[record], (7, 0, sequence)).unwrap();
        let data = PartitionProduceData::default().with_records(Some(batch));
        let asked = TopicProduceData::default().with_name(topic("t")).with_partition_data(vec![data]);
        let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![asked]);
        assert_eq!(rig.ask(1, 12, &request).responses[0].partition_responses[0].error_code, 0);
    }
    append(&rig, &[("a", "newer")]);
    append(&rig, &[("z", "last")]);
    compact(&rig);
    assert_eq!(batches(&rig), [(2, 2, 0), (3, 3, 1), (4, 4, 1)]);
    assert_eq!(rig.mock.batches("t", 0)[0].base_sequence, 2);
    assert_eq!(offsets(&rig), [3, 4]);
    rig.mock.forget_producers("t", 0).unwrap();
    compact(&rig);
    assert_eq!(batches(&rig), [(3, 3, 1), (4, 4, 1)]);
}

#[test]
fn aborted_data_goes_and_its_marker_two_cleanings_later() {
    let mut rig = rig(&[("delete.retention.ms", "3600000")]);
    append(&rig, &[("a", "1")]);
    let (mut dropped, mut kept) = (rig.mock.transaction(), rig.mock.transaction());
    dropped.append("t", 0, Some(b"a"), Some(b"2")).unwrap();
    kept.append("t", 0, Some(b"b"), Some(b"1")).unwrap();
    dropped.abort().unwrap();
    kept.commit().unwrap();
    append(&rig, &[("z", "last")]);
    rig.mock.forget_producers("t", 0).unwrap();
    let aborted = |rig: &Rig| {
        rig.core(|core| core.topics.partition("t", 0).unwrap().log.transactions().aborted(0, 99).count())
    };
    compact(&rig);
    assert_eq!(batches(&rig), [(0, 0, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1), (5, 5, 1)]);
    assert_eq!((offsets(&rig), aborted(&rig)), (vec![0, 2, 5], 1), "aborted data supersedes nothing");
    compact(&rig);
    assert_eq!((batches(&rig).len(), aborted(&rig)), (5, 0), "the marker has its time set now");
    rig.after(HOUR);
    compact(&rig);
    assert_eq!(batches(&rig), [(0, 0, 1), (2, 2, 1), (4, 4, 1), (5, 5, 1)]);
    assert_eq!(rig.mock.last_stable_offset("t", 0), Some(6));
}

#[test]
fn nothing_above_the_last_stable_offset_is_cleaned() {
    let rig = rig(&[]);
    append(&rig, &[("a", "1")]);
    append(&rig, &[("a", "2")]);
    rig.mock.transaction().append("t", 0, Some(b"x"), None).unwrap();
    append(&rig, &[("a", "3")]);
    append(&rig, &[("a", "4")]);
    compact(&rig);
    assert_eq!(offsets(&rig), [1, 2, 3, 4]);
}

#[test]
fn retention_is_checked_as_time_goes_by() {
    let mut rig = rig(&[("retention.ms", "600000"), ("segment.ms", "1")]);
    rig.mock.append("t", 0, None, Some(b"1")).unwrap();
    let tick = |rig: &Rig| {
        rig.core(|core| core.keep_retention(rig.now));
        rig.mock.offsets("t", 0).unwrap()
    };
    rig.after(Duration::from_secs(600));
    assert_eq!(tick(&rig), (0, 1), "the last check was at 330 s");
    rig.after(Duration::from_secs(330));
    assert_eq!(tick(&rig), (1, 1), "at 930 s it is over");
}

#[test]
fn retention_leaves_topics_that_are_only_compacted() {
    let mut rig = rig(&[("retention.ms", "1"), ("cleanup.policy", "compact")]);
    append(&rig, &[("a", "1")]);
    rig.after(HOUR);
    rig.core(|core| core.run_retention(rig.now));
    assert_eq!(rig.mock.offsets("t", 0), Some((0, 1)));
}

#[test]
fn retention_does_not_make_producers_forgotten() {
    let mut rig = rig(&[("retention.ms", "1")]);
    let send = |rig: &Rig, sequence| {
        let record = (None, Some(Bytes::new()), rig.core(|core| core.unix_ms(rig.now)));
        let batch = crate::mock::records::encode_as(&[record], (7, 0, sequence)).unwrap();
        let data = PartitionProduceData::default().with_records(Some(batch));
        let asked = TopicProduceData::default().with_name(topic("t")).with_partition_data(vec![data]);
        let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![asked]);
        let answer = rig.ask(1, 12, &request).responses.remove(0).partition_responses.remove(0);
        (answer.error_code, answer.base_offset)
    };
    assert_eq!(send(&rig, i32::MAX), (0, 0));
    rig.after(HOUR);
    rig.core(|core| core.run_retention(rig.now));
    assert_eq!(rig.mock.offsets("t", 0), Some((1, 1)));
    assert_eq!(send(&rig, i32::MAX), (0, 0), "a duplicate of what is gone");
    assert_eq!(send(&rig, 5).0, 45);
    assert_eq!(send(&rig, 0), (0, 1), "sequences go on at 0");
    rig.after(24 * HOUR);
    assert_eq!(send(&rig, 5), (0, 2), "forgotten, so any sequence is the first");
}
