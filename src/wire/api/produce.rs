//! Produce (0), v9 to v12: record batches to the leaders of many partitions in one request.
//!
//! The request is framed here whole, so that sealed batches go to the socket as they are, without a copy.

use super::{error_code, port};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{ApiKey, VersionRange, reader::Reader, request::Body},
};
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;

/// The versions this client writes and reads; from v13 on topics go by id.
pub(crate) const PRODUCE_VERSIONS: VersionRange = VersionRange::new(9, 12);

/// From this length on a batch is a segment of its own; below, copying it costs less than one more buffer to write.
const SEGMENT_BYTES_MIN: usize = 1024;
const ACKS_ALL: i16 = -1;

const TOPIC_BYTES_MIN: usize = 1 + 1 + 1;
const PARTITION_BYTES_MIN: usize = 4 + 2 + 8 + 8 + 8 + 1 + 1 + 1;
const RECORD_ERROR_BYTES_MIN: usize = 4 + 1 + 1;
const NODE_ENDPOINT_BYTES_MIN: usize = 4 + 1 + 4 + 1 + 1;

/// A sealed record batch for a partition, of which a request has one at most.
#[derive(Debug, Clone)]
pub(crate) struct ProduceBatch {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) bytes: Bytes,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ProduceResponse {
    pub(crate) throttle_time_ms: i32,
    /// Of all topics, in the order of the answer.
    pub(crate) partitions: Vec<ProducePartitionResponse>,
    /// v10 (KIP-951): where the leaders named in `current_leader` are.
    pub(crate) node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProducePartitionResponse {
    /// The topic's name as it came.
    pub(crate) topic: Bytes,
    pub(crate) index: i32,
    pub(crate) error: ErrorCode,
    /// -1 where the broker does not say (a duplicate, for instance).
    pub(crate) base_offset: i64,
    /// -1 unless the topic stamps records itself (LogAppendTime).
    pub(crate) log_append_time_ms: i64,
    pub(crate) log_start_offset: i64,
    /// KIP-467: (index of the record in the batch, message).
    pub(crate) record_errors: Vec<(i32, Option<String>)>,
    pub(crate) error_message: Option<String>,
    /// v10 (KIP-951): leader id and leader epoch, with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH.
    pub(crate) current_leader: Option<LeaderIdAndEpoch>,
}

/// KIP-951's hint who leads a partition now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaderIdAndEpoch {
    pub(crate) leader_id: i32,
    pub(crate) leader_epoch: i32,
}

/// KIP-951's address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeEndpoint {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) rack: Option<String>,
}

/// A Produce request (acks=all, no transactional id) ready to be sent, as segments: heads written to `heads`, and the
/// batches themselves. `heads` is given again for the next request, so that its memory is used again.
pub(crate) fn produce_body(
    version: i16,
    timeout_ms: i32,
    batches: &[ProduceBatch],
    heads: &mut BytesMut,
) -> Result<Body, EncodeError> {
    let failed = EncodeError { api: ApiKey::Produce.name(), version };
    if !(PRODUCE_VERSIONS.min..=PRODUCE_VERSIONS.max).contains(&version) {
        return Err(failed);
    }
    let segments = write_segments(timeout_ms, batches, heads).ok_or(failed)?;
    Ok(Body { key: ApiKey::Produce, version, segments })
}

/// `None` if a count or length does not fit its field. All versions spoken have one layout.
fn write_segments(timeout_ms: i32, batches: &[ProduceBatch], head: &mut BytesMut) -> Option<Vec<Bytes>> {
    let (head_bytes, segment_count) = room(batches);
    let mut segments = Vec::with_capacity(segment_count);
    head.clear();
    head.reserve(head_bytes);
    head.put_u8(0); // transactional id: null
    head.put_i16(ACKS_ALL);
    head.put_i32(timeout_ms);
    put_compact_len(head, firsts(batches).count())?;
    for first in firsts(batches) {
        let name = &batches[first].topic;
        let of_topic = || batches[first..].iter().filter(|batch| Arc::ptr_eq(&batch.topic, name));
        put_compact_len(head, name.len())?;
        head.put_slice(name.as_bytes());
        put_compact_len(head, of_topic().count())?;
        for batch in of_topic() {
            head.put_i32(batch.partition);
            put_compact_len(head, batch.bytes.len())?;
            if batch.bytes.len() < SEGMENT_BYTES_MIN {
                head.put_slice(&batch.bytes);
            } else {
                segments.push(head.split().freeze());
                segments.push(batch.bytes.clone());
            }
            head.put_u8(0); // the partition's tagged fields
        }
        head.put_u8(0); // the topic's tagged fields
    }
    head.put_u8(0); // the request's tagged fields
    segments.push(head.split().freeze());
    Some(segments)
}

/// Where each topic's first batch is.
fn firsts(batches: &[ProduceBatch]) -> impl Iterator<Item = usize> {
    let is_first = |at: &usize| {
        let topic = &batches[*at].topic;
        !batches[..*at].iter().any(|before| Arc::ptr_eq(&before.topic, topic))
    };
    (0..batches.len()).filter(is_first)
}

/// At most how many bytes go into heads, so that they are one allocation, and how many segments there will be.
fn room(batches: &[ProduceBatch]) -> (usize, usize) {
    const VARINT: usize = 5;
    let mut head_bytes = 1 + 2 + 4 + VARINT + 1;
    let mut segment_count = 1;
    for first in firsts(batches) {
        head_bytes += VARINT + batches[first].topic.len() + VARINT + 1;
    }
    for batch in batches {
        head_bytes += 4 + VARINT + 1;
        if batch.bytes.len() < SEGMENT_BYTES_MIN {
            head_bytes += batch.bytes.len();
        } else {
            segment_count += 2;
        }
    }
    (head_bytes, segment_count)
}

/// A compact length or count: one more than it is, as an unsigned varint; an `i32` to every reader.
fn put_compact_len(out: &mut BytesMut, len: usize) -> Option<()> {
    let mut rest = u32::try_from(i32::try_from(len).ok()?.checked_add(1)?).ok()?;
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            out.put_u8(low & 0x7f);
            return Some(());
        }
        out.put_u8(low | 0x80);
    }
}

impl ProduceResponse {
    /// Reads the answer's body, header taken off, in place of what was read before.
    pub(crate) fn read(&mut self, version: i16, reader: &mut Reader) -> Result<(), DecodeError> {
        let partitions = &mut self.partitions;
        partitions.clear();
        reader.each_in_compact_array("topics", TOPIC_BYTES_MIN, |reader| {
            let at = reader.position();
            let name = reader.compact_nullable_bytes("topic name")?;
            let name = name.ok_or(DecodeError::Null { what: "topic name", at })?;
            reader.each_in_compact_array("partitions", PARTITION_BYTES_MIN, |reader| {
                partitions.push(partition(version, name.clone(), reader)?);
                Ok(())
            })?;
            reader.skip_tagged_fields()
        })?;
        self.throttle_time_ms = reader.i32("throttle time")?;
        self.node_endpoints = tagged_node_endpoints(version >= 10, reader)?;
        Ok(())
    }
}

fn partition(
    version: i16,
    topic: Bytes,
    reader: &mut Reader,
) -> Result<ProducePartitionResponse, DecodeError> {
    let mut partition = ProducePartitionResponse {
        topic,
        index: reader.i32("partition")?,
        error: error_code(reader)?,
        base_offset: reader.i64("base offset")?,
        log_append_time_ms: reader.i64("log append time")?,
        log_start_offset: reader.i64("log start offset")?,
        record_errors: reader.compact_array("record errors", RECORD_ERROR_BYTES_MIN, record_error)?,
        error_message: reader.compact_nullable_string("error message")?,
        current_leader: None,
    };
    reader.tagged_fields(|tag, field| {
        if tag == 0 && version >= 10 {
            partition.current_leader = current_leader(field)?;
        }
        Ok(())
    })?;
    Ok(partition)
}

fn record_error(reader: &mut Reader) -> Result<(i32, Option<String>), DecodeError> {
    let index = reader.i32("record's index")?;
    let message = reader.compact_nullable_string("record's error message")?;
    reader.skip_tagged_fields()?;
    Ok((index, message))
}

/// KIP-951's hint, `None` where the broker does not know the leader either.
pub(super) fn current_leader(reader: &mut Reader) -> Result<Option<LeaderIdAndEpoch>, DecodeError> {
    let leader_id = reader.i32("current leader")?;
    let leader_epoch = reader.i32("current leader's epoch")?;
    reader.skip_tagged_fields()?;
    Ok((leader_id >= 0 && leader_epoch >= 0).then_some(LeaderIdAndEpoch { leader_id, leader_epoch }))
}

/// The tagged fields that end an answer, of which the first are KIP-951's addresses in the versions that have them.
pub(super) fn tagged_node_endpoints(
    has_endpoints: bool,
    reader: &mut Reader,
) -> Result<Vec<NodeEndpoint>, DecodeError> {
    let mut endpoints = Vec::new();
    reader.tagged_fields(|tag, field| {
        if tag == 0 && has_endpoints {
            endpoints = field.compact_array("node endpoints", NODE_ENDPOINT_BYTES_MIN, node_endpoint)?;
        }
        Ok(())
    })?;
    Ok(endpoints)
}

fn node_endpoint(reader: &mut Reader) -> Result<NodeEndpoint, DecodeError> {
    let endpoint = NodeEndpoint {
        id: reader.i32("broker id")?,
        host: reader.compact_string("host")?,
        port: port(reader)?,
        rack: reader.compact_nullable_string("rack")?,
    };
    reader.skip_tagged_fields()?;
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{
        MANY, check_answer_with, check_shortest_with, read_whole, tagged, text, versions,
    };
    use kafka_protocol::messages::{produce_request as message, produce_response as answer};

    fn answer(version: i16) -> answer::ProduceResponse {
        let record_error = answer::BatchIndexAndErrorMessage::default()
            .with_batch_index(2)
            .with_batch_index_error_message(Some("bad".into()));
        let mut partition = answer::PartitionProduceResponse::default()
            .with_index(5)
            .with_error_code(6)
            .with_base_offset(1_000)
            .with_log_append_time_ms(1_700_000_000_000)
            .with_log_start_offset(900)
            .with_record_errors(vec![tagged!(record_error)])
            .with_error_message(Some("moved".into()));
        let mut answer = tagged!(answer::ProduceResponse::default()).with_throttle_time_ms(8);
        if version >= 10 {
            let leader = answer::LeaderIdAndEpoch::default().with_leader_id(2.into()).with_leader_epoch(9);
            partition = partition.with_current_leader(tagged!(leader));
            let endpoint = answer::NodeEndpoint::default()
                .with_node_id(2.into())
                .with_host("kafka-2".into())
                .with_port(9093)
                .with_rack(Some("a".into()));
            answer = answer.with_node_endpoints(vec![tagged!(endpoint)]);
        }
        let topic = answer::TopicProduceResponse::default()
            .with_name(text("events"))
            .with_partition_responses(vec![tagged!(partition), answer::PartitionProduceResponse::default()]);
        answer.with_responses(vec![tagged!(topic)])
    }

    fn decode_produce(version: i16, reader: &mut Reader) -> Result<ProduceResponse, DecodeError> {
        let mut response = ProduceResponse::default();
        response.read(version, reader)?;
        Ok(response)
    }

    fn expected(version: i16) -> ProduceResponse {
        let plain = ProducePartitionResponse {
            topic: "events".into(),
            index: 0,
            error: ErrorCode::NONE,
            base_offset: 0,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        };
        let moved = ProducePartitionResponse {
            topic: "events".into(),
            index: 5,
            error: ErrorCode::NOT_LEADER_OR_FOLLOWER,
            base_offset: 1_000,
            log_append_time_ms: 1_700_000_000_000,
            log_start_offset: 900,
            record_errors: vec![(2, Some("bad".to_owned()))],
            error_message: Some("moved".to_owned()),
            current_leader: (version >= 10).then_some(LeaderIdAndEpoch { leader_id: 2, leader_epoch: 9 }),
        };
        let endpoint =
            NodeEndpoint { id: 2, host: "kafka-2".to_owned(), port: 9093, rack: Some("a".to_owned()) };
        ProduceResponse {
            throttle_time_ms: 8,
            partitions: vec![moved, plain],
            node_endpoints: if version >= 10 { vec![endpoint] } else { Vec::new() },
        }
    }

    #[test]
    fn answers_of_all_versions_are_read() {
        for version in versions(PRODUCE_VERSIONS) {
            check_answer_with(decode_produce, version, &answer(version), &expected(version));
        }
    }

    #[test]
    fn a_hint_without_a_leader_or_an_epoch_is_none() {
        for (id, epoch) in [(2, -1), (-1, 3)] {
            let leader =
                answer::LeaderIdAndEpoch::default().with_leader_id(id.into()).with_leader_epoch(epoch);
            let partition = answer::PartitionProduceResponse::default().with_current_leader(leader);
            let topic = answer::TopicProduceResponse::default().with_partition_responses(vec![partition]);
            let read = check_shortest_with(
                decode_produce,
                12,
                &answer::ProduceResponse::default().with_responses(vec![topic]),
            );
            assert_eq!(read.partitions[0].current_leader, None);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(PRODUCE_VERSIONS) {
            let errors = vec![answer::BatchIndexAndErrorMessage::default(); MANY];
            let partition = answer::PartitionProduceResponse::default();
            let topic = answer::TopicProduceResponse::default();
            let with = |topic: answer::TopicProduceResponse, count| {
                answer::ProduceResponse::default().with_responses(vec![topic; count])
            };
            check_shortest_with(decode_produce, version, &with(topic.clone(), MANY));
            let many = topic.clone().with_partition_responses(vec![partition.clone(); MANY]);
            check_shortest_with(decode_produce, version, &with(many, 1));
            let many = topic.with_partition_responses(vec![partition.with_record_errors(errors)]);
            check_shortest_with(decode_produce, version, &with(many, 1));
            if version >= 10 {
                let endpoint = answer::NodeEndpoint::default().with_port(1);
                let answer = answer::ProduceResponse::default().with_node_endpoints(vec![endpoint; MANY]);
                check_shortest_with(decode_produce, version, &answer);
            }
        }
    }

    /// Of two topics in turn.
    fn batches() -> Vec<ProduceBatch> {
        let topics: [Arc<str>; 2] = ["small".into(), "a".repeat(249).into()];
        let lens = [(0, 0, 61), (1, 1, 1024), (1, 2, 126), (0, 7, 1023), (1, 3, 127), (1, 4, 200_000)];
        let batch = |(topic, partition, len): (usize, i32, usize)| ProduceBatch {
            topic: topics[topic].clone(),
            partition,
            bytes: Bytes::from(vec![u8::try_from(len % 251).unwrap(); len]),
        };
        lens.map(batch).into()
    }

    #[test]
    fn the_broker_reads_the_request() {
        for version in versions(PRODUCE_VERSIONS) {
            let mut heads = BytesMut::new();
            for batches in [Vec::new(), batches(), batches()[..1].to_vec()] {
                let body = produce_body(version, 12_345, &batches, &mut heads).unwrap();
                assert_eq!((body.key, body.version), (ApiKey::Produce, version));
                let read: message::ProduceRequest = read_whole(body.segments.concat().into(), version);
                assert_eq!((read.acks, read.timeout_ms, &read.transactional_id), (-1, 12_345, &None));
                let topics: Vec<_> = read.topic_data.iter().map(|topic| topic.name.to_string()).collect();
                assert!(topics.iter().all(|name| topics.iter().filter(|other| *other == name).count() == 1));
                let read = read.topic_data.iter().flat_map(|topic| {
                    let batches = topic.partition_data.iter();
                    batches.map(|data| (&**topic.name, data.index, data.records.clone().unwrap()))
                });
                let mut asked = batches.clone();
                asked.sort_by_key(|batch| batch.topic.len());
                let asked = asked.iter().map(|batch| (&*batch.topic, batch.partition, batch.bytes.clone()));
                assert_eq!(read.collect::<Vec<_>>(), asked.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn large_batches_are_not_copied_and_the_heads_are_one_allocation() {
        let batches = batches();
        let mut heads = BytesMut::new();
        let segments = produce_body(12, 1, &batches, &mut heads).unwrap().segments;
        assert_eq!(segments.len(), 5);
        assert_eq!(segments[1].as_ptr(), batches[1].bytes.as_ptr());
        assert_eq!(segments[3].as_ptr(), batches[5].bytes.as_ptr());
        assert_eq!(segments[2].as_ptr(), segments[0].as_ptr_range().end);
        assert_eq!(segments[4].as_ptr(), segments[2].as_ptr_range().end);
        assert_eq!(segments.capacity(), 5);
    }

    #[test]
    fn heads_that_were_sent_leave_their_memory_to_the_next() {
        let mut heads = BytesMut::with_capacity(1_024);
        let first = produce_body(12, 1, &batches()[..1], &mut heads).unwrap().segments;
        let address = first[0].as_ptr();
        let meanwhile = produce_body(12, 2, &batches()[..1], &mut heads).unwrap().segments;
        assert_eq!(first[0].len(), meanwhile[0].len());
        assert_ne!(first, meanwhile);
        drop((first, meanwhile));
        heads.reserve(1_024);
        assert_eq!(heads.as_ptr(), address);
    }

    #[test]
    fn versions_that_are_not_spoken_are_refused() {
        for version in [8, 13] {
            let refused = EncodeError { api: "Produce", version };
            assert_eq!(produce_body(version, 1, &batches(), &mut BytesMut::new()).unwrap_err(), refused);
        }
    }
}
