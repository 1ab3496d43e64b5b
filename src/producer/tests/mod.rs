//! Tests of the machines together: partitions and lanes against answers made by hand, and against a simulated broker.

mod cut;
mod lane;
mod partition;
mod rig;
mod simulation;

use super::{
    door::Door,
    lane::{LaneSettings, Outside},
    memory::{Grant, Memory},
    partition::{Appended, Limits, Refused},
    slot::PartitionSlot,
};
use crate::{
    net::{Request, Versions},
    wire::{
        VersionRange,
        api::produce::{LeaderIdAndEpoch, NodeEndpoint},
        compression::{Compression, Decompressor},
        record_batch::{BatchHeader, RecordParts, walk},
    },
};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{ProduceRequest, ProduceResponse, TopicName, produce_response},
    protocol::{Decodable, Encodable, StrBytes},
};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const MS: Duration = Duration::from_millis(1);
const VERSION: i16 = 11;

fn start() -> Instant {
    crate::net::clock::now()
}

fn limits(batch_bytes: usize) -> Limits {
    Limits {
        batch_bytes,
        max_message_bytes: 10_000,
        delivery_timeout: Duration::from_secs(120),
        retry_backoff: (100 * MS, 1_000 * MS),
    }
}

fn slot(partition: i32, limits: Limits) -> Arc<PartitionSlot> {
    Arc::new(PartitionSlot::new("t".into(), partition, 7, limits))
}

fn settings() -> LaneSettings {
    LaneSettings {
        compression: Compression::None,
        enough_bytes: 1_000,
        request_bytes: 100_000,
        in_flight_bytes: 100_000,
        gap: 2 * MS,
        depth: 2,
        request_timeout: Duration::from_secs(10),
    }
}

/// A record whose value starts with `id` and has `bytes` in all.
fn append(
    slot: &PartitionSlot,
    memory: &Memory,
    id: u64,
    bytes: usize,
    now: Instant,
) -> Result<Appended, Refused> {
    append_with(slot, memory, &mut None, id, bytes, now)
}

fn append_with(
    slot: &PartitionSlot,
    memory: &Memory,
    extra: &mut Option<Grant>,
    id: u64,
    bytes: usize,
    now: Instant,
) -> Result<Appended, Refused> {
    let mut value = id.to_be_bytes().to_vec();
    value.resize(bytes.max(8), 0);
    let parts = RecordParts { key: None, value: Some(&value), headers: &[], timestamp_ms: 1 };
    slot.append(&parts, memory, extra, || now)
}

/// The ids of the records in a sealed batch.
fn ids(batch: &Bytes) -> Vec<u64> {
    let raw = walk(batch.clone()).next().unwrap().unwrap();
    let open = raw.open(1 << 20, &mut Decompressor::default()).unwrap();
    open.records()
        .map(|record| u64::from_be_bytes(*record.unwrap().value.unwrap().first_chunk().unwrap()))
        .collect()
}

fn header(batch: &Bytes) -> BatchHeader {
    walk(batch.clone()).next().unwrap().unwrap().header
}

fn stamp(batch: &Bytes) -> (i64, i16, i32) {
    let header = header(batch);
    (header.producer_id, header.producer_epoch, header.base_sequence)
}

fn versions() -> Versions {
    Versions::new([(0, VersionRange::new(3, VERSION))])
}

/// What a request carries, as Kafka's own reader of requests sees it.
fn batches_of(request: &Request) -> Vec<(String, i32, Bytes)> {
    let mut body = BytesMut::new();
    for segment in &request.body.segments {
        body.put_slice(segment);
    }
    let decoded = ProduceRequest::decode(&mut body.freeze(), request.body.version).unwrap();
    assert_eq!(decoded.acks, -1);
    let mut batches = Vec::new();
    for topic in decoded.topic_data {
        for partition in topic.partition_data {
            batches.push((topic.name.to_string(), partition.index, partition.records.unwrap()));
        }
    }
    batches
}

/// A broker's answer for one partition.
#[derive(Debug, Clone, Copy)]
struct Said {
    partition: i32,
    code: i16,
    base_offset: i64,
    /// The record at fault.
    record_error: Option<i32>,
}

fn response(said: &[Said], throttle_ms: i32) -> Bytes {
    let partitions = said
        .iter()
        .map(|said| {
            let record_error =
                |index| produce_response::BatchIndexAndErrorMessage::default().with_batch_index(index);
            produce_response::PartitionProduceResponse::default()
                .with_record_errors(said.record_error.map(record_error).into_iter().collect())
                .with_index(said.partition)
                .with_error_code(said.code)
                .with_base_offset(said.base_offset)
        })
        .collect();
    let topic = produce_response::TopicProduceResponse::default()
        .with_name(TopicName(StrBytes::from_static_str("t")))
        .with_partition_responses(partitions);
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    frame.put_u8(0);
    ProduceResponse::default()
        .with_responses(vec![topic])
        .with_throttle_time_ms(throttle_ms)
        .encode(&mut frame, VERSION)
        .unwrap();
    frame.freeze()
}

/// What lanes told the rest of the client.
#[derive(Debug, Default)]
struct Heard {
    refreshes: Mutex<usize>,
    hints: Mutex<Vec<(i32, i32)>>,
    spent: Mutex<Vec<i64>>,
}

impl Outside for Heard {
    fn refresh(&self) {
        *self.refreshes.lock().unwrap() += 1;
    }

    fn leader_hint(&self, _: &str, partition: i32, hint: LeaderIdAndEpoch, _: &[NodeEndpoint]) {
        self.hints.lock().unwrap().push((partition, hint.leader_id));
    }

    fn need_producer_id(&self, spent: i64) {
        self.spent.lock().unwrap().push(spent);
    }
}

fn door(broker_id: i32) -> Arc<Door> {
    Arc::new(Door::new(broker_id))
}
