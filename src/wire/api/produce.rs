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

/// The batches of one topic, one per partition.
#[derive(Debug, Clone)]
pub(crate) struct ProduceTopic {
    pub(crate) name: Arc<str>,
    /// (partition, sealed record batch); a partition appears once.
    pub(crate) partitions: Vec<(i32, Bytes)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProduceResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) topics: Vec<ProduceTopicResponse>,
    /// v10 (KIP-951): where the leaders named in `current_leader` are.
    pub(crate) node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProduceTopicResponse {
    pub(crate) name: String,
    pub(crate) partitions: Vec<ProducePartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProducePartitionResponse {
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

/// A Produce request ready to be sent; see [`encode_produce`].
pub(crate) fn produce_body(
    version: i16,
    timeout_ms: i32,
    topics: &[ProduceTopic],
) -> Result<Body, EncodeError> {
    let segments = encode_produce(version, timeout_ms, topics)?;
    Ok(Body { key: ApiKey::Produce, version, segments })
}

/// Writes a Produce body (acks=all, no transactional id) as segments: heads written here and the batches themselves.
/// The segments put one after the other are the body.
pub(crate) fn encode_produce(
    version: i16,
    timeout_ms: i32,
    topics: &[ProduceTopic],
) -> Result<Vec<Bytes>, EncodeError> {
    let failed = EncodeError { api: ApiKey::Produce.name(), version };
    if !(PRODUCE_VERSIONS.min..=PRODUCE_VERSIONS.max).contains(&version) {
        return Err(failed);
    }
    write_segments(timeout_ms, topics).ok_or(failed)
}

/// `None` if a count or length does not fit its field. All versions spoken have one layout.
fn write_segments(timeout_ms: i32, topics: &[ProduceTopic]) -> Option<Vec<Bytes>> {
    let (head_bytes, segment_count) = room(topics);
    let mut segments = Vec::with_capacity(segment_count);
    let mut head = BytesMut::with_capacity(head_bytes);
    head.put_u8(0); // transactional id: null
    head.put_i16(ACKS_ALL);
    head.put_i32(timeout_ms);
    put_compact_len(&mut head, topics.len())?;
    for topic in topics {
        put_compact_len(&mut head, topic.name.len())?;
        head.put_slice(topic.name.as_bytes());
        put_compact_len(&mut head, topic.partitions.len())?;
        for (partition, batch) in &topic.partitions {
            head.put_i32(*partition);
            put_compact_len(&mut head, batch.len())?;
            if batch.len() < SEGMENT_BYTES_MIN {
                head.put_slice(batch);
            } else {
                segments.push(head.split().freeze());
                segments.push(batch.clone());
            }
            head.put_u8(0); // the partition's tagged fields
        }
        head.put_u8(0); // the topic's tagged fields
    }
    head.put_u8(0); // the request's tagged fields
    segments.push(head.freeze());
    Some(segments)
}

/// At most how many bytes go into heads, so that they are one allocation, and how many segments there will be.
fn room(topics: &[ProduceTopic]) -> (usize, usize) {
    const VARINT: usize = 5;
    let mut head_bytes = 1 + 2 + 4 + VARINT + 1;
    let mut segment_count = 1;
    for topic in topics {
        head_bytes += VARINT + topic.name.len() + VARINT + 1;
        for (_, batch) in &topic.partitions {
            head_bytes += 4 + VARINT + 1;
            if batch.len() < SEGMENT_BYTES_MIN {
                head_bytes += batch.len();
            } else {
                segment_count += 2;
            }
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

/// Reads the answer's body, header taken off.
pub(crate) fn decode_produce(version: i16, reader: &mut Reader) -> Result<ProduceResponse, DecodeError> {
    let topics = reader.compact_array("topics", TOPIC_BYTES_MIN, |r| topic(version, r))?;
    let throttle_time_ms = reader.i32("throttle time")?;
    let node_endpoints = tagged_node_endpoints(version >= 10, reader)?;
    Ok(ProduceResponse { throttle_time_ms, topics, node_endpoints })
}

fn topic(version: i16, reader: &mut Reader) -> Result<ProduceTopicResponse, DecodeError> {
    let name = reader.compact_string("topic name")?;
    let partitions = reader.compact_array("partitions", PARTITION_BYTES_MIN, |r| partition(version, r))?;
    reader.skip_tagged_fields()?;
    Ok(ProduceTopicResponse { name, partitions })
}

fn partition(version: i16, reader: &mut Reader) -> Result<ProducePartitionResponse, DecodeError> {
    let mut partition = ProducePartitionResponse {
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

    fn expected(version: i16) -> ProduceResponse {
        let plain = ProducePartitionResponse {
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
            topics: vec![ProduceTopicResponse { name: "events".to_owned(), partitions: vec![moved, plain] }],
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
            assert_eq!(read.topics[0].partitions[0].current_leader, None);
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

    fn topics() -> Vec<ProduceTopic> {
        let batch = |len: usize| Bytes::from(vec![u8::try_from(len % 251).unwrap(); len]);
        vec![
            ProduceTopic { name: "empty".into(), partitions: Vec::new() },
            ProduceTopic { name: "small".into(), partitions: vec![(0, batch(61)), (7, batch(1023))] },
            ProduceTopic {
                name: "a".repeat(249).into(),
                partitions: vec![(1, batch(1024)), (2, batch(126)), (3, batch(127)), (4, batch(200_000))],
            },
        ]
    }

    #[test]
    fn the_broker_reads_the_request() {
        for version in versions(PRODUCE_VERSIONS) {
            for topics in [Vec::new(), topics()] {
                let body = produce_body(version, 12_345, &topics).unwrap();
                assert_eq!((body.key, body.version), (ApiKey::Produce, version));
                let read: message::ProduceRequest = read_whole(body.segments.concat().into(), version);
                assert_eq!((read.acks, read.timeout_ms, &read.transactional_id), (-1, 12_345, &None));
                let read: Vec<_> = read
                    .topic_data
                    .into_iter()
                    .map(|topic| {
                        let batches = topic.partition_data.into_iter();
                        let batches = batches.map(|data| (data.index, data.records.unwrap()));
                        (topic.name.to_string(), batches.collect::<Vec<_>>())
                    })
                    .collect();
                let asked: Vec<_> =
                    topics.into_iter().map(|topic| (topic.name.to_string(), topic.partitions)).collect();
                assert_eq!(read, asked);
            }
        }
    }

    #[test]
    fn large_batches_are_not_copied_and_the_heads_are_one_allocation() {
        let topics = topics();
        let segments = encode_produce(12, 1, &topics).unwrap();
        assert_eq!(segments.len(), 5);
        assert_eq!(segments[1].as_ptr(), topics[2].partitions[0].1.as_ptr());
        assert_eq!(segments[3].as_ptr(), topics[2].partitions[3].1.as_ptr());
        assert_eq!(segments[2].as_ptr(), segments[0].as_ptr_range().end);
        assert_eq!(segments[4].as_ptr(), segments[2].as_ptr_range().end);
        assert_eq!(segments.capacity(), 5);
    }

    #[test]
    fn versions_that_are_not_spoken_are_refused() {
        for version in [8, 13] {
            let refused = EncodeError { api: "Produce", version };
            assert_eq!(encode_produce(version, 1, &topics()).unwrap_err(), refused);
        }
    }
}
