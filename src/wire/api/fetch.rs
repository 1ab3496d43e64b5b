//! Fetch (1), v13 to v17: record batches from many partitions, topics by id (KIP-516), sessions (KIP-227).

use super::{
    error_code,
    produce::{LeaderIdAndEpoch, NodeEndpoint, current_leader, tagged_node_endpoints},
    text, write,
};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_request as message;
use uuid::Uuid;

const TOPIC_BYTES_MIN: usize = 16 + 1 + 1;
const PARTITION_BYTES_MIN: usize = 4 + 2 + 8 + 8 + 8 + 1 + 4 + 1 + 1;
const ABORTED_TRANSACTION_BYTES_MIN: usize = 8 + 8 + 1;

/// Whether records of open and aborted transactions are delivered, by Kafka's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum IsolationLevel {
    ReadUncommitted = 0,
    ReadCommitted = 1,
}

#[derive(Debug, Clone)]
pub(crate) struct FetchRequest {
    pub(crate) max_wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) isolation_level: IsolationLevel,
    /// 0 asks for a new session.
    pub(crate) session_id: i32,
    /// 0 opens a session with the partitions given, -1 wants none, above 0 continues one.
    pub(crate) session_epoch: i32,
    pub(crate) topics: Vec<FetchTopic>,
    /// Partitions that the session shall drop: (topic id, partitions).
    pub(crate) forgotten: Vec<(Uuid, Vec<i32>)>,
    pub(crate) rack_id: String,
}

#[derive(Debug, Clone)]
pub(crate) struct FetchTopic {
    pub(crate) topic_id: Uuid,
    pub(crate) partitions: Vec<FetchPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchPartition {
    pub(crate) index: i32,
    /// -1: not known.
    pub(crate) current_leader_epoch: i32,
    pub(crate) fetch_offset: i64,
    /// The epoch of the last record read, -1: none (KIP-320).
    pub(crate) last_fetched_epoch: i32,
    pub(crate) max_bytes: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
    pub(crate) session_id: i32,
    pub(crate) topics: Vec<FetchTopicResponse>,
    /// v16 (KIP-951).
    pub(crate) node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchTopicResponse {
    pub(crate) topic_id: Uuid,
    pub(crate) partitions: Vec<FetchPartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchPartitionResponse {
    pub(crate) index: i32,
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    /// KIP-320: (epoch, end offset) where the reader's log and the leader's part.
    pub(crate) diverging_epoch: Option<(i32, i64)>,
    pub(crate) current_leader: Option<LeaderIdAndEpoch>,
    /// In the order of the answer, which is not always sorted: (producer id, first offset).
    pub(crate) aborted_transactions: Vec<(i64, i64)>,
    /// -1: read on from the leader (KIP-392).
    pub(crate) preferred_read_replica: i32,
    /// A slice of the frame: whole batches, the last one perhaps cut.
    pub(crate) records: Bytes,
}

impl Api for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    const VERSIONS: VersionRange = VersionRange::new(13, 17);
    type Response = FetchResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let partition = |partition: &FetchPartition| {
            message::FetchPartition::default()
                .with_partition(partition.index)
                .with_current_leader_epoch(partition.current_leader_epoch)
                .with_fetch_offset(partition.fetch_offset)
                .with_last_fetched_epoch(partition.last_fetched_epoch)
                .with_partition_max_bytes(partition.max_bytes)
        };
        let topic = |topic: &FetchTopic| {
            message::FetchTopic::default()
                .with_topic_id(topic.topic_id)
                .with_partitions(topic.partitions.iter().map(partition).collect())
        };
        let forgotten = |(topic_id, partitions): &(Uuid, Vec<i32>)| {
            message::ForgottenTopic::default().with_topic_id(*topic_id).with_partitions(partitions.clone())
        };
        let request = message::FetchRequest::default()
            .with_max_wait_ms(self.max_wait_ms)
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.max_bytes)
            .with_isolation_level(self.isolation_level as i8)
            .with_session_id(self.session_id)
            .with_session_epoch(self.session_epoch)
            .with_topics(self.topics.iter().map(topic).collect())
            .with_forgotten_topics_data(self.forgotten.iter().map(forgotten).collect())
            .with_rack_id(text(&self.rack_id));
        write::<Self>(&request, version, out)
    }

    fn decode(version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let error = error_code(reader)?;
        let session_id = reader.i32("session id")?;
        let topics = reader.compact_array("topics", TOPIC_BYTES_MIN, topic)?;
        let node_endpoints = tagged_node_endpoints(version >= 16, reader)?;
        Ok(FetchResponse { throttle_time_ms, error, session_id, topics, node_endpoints })
    }
}

fn topic(reader: &mut Reader) -> Result<FetchTopicResponse, DecodeError> {
    let topic_id = reader.uuid("topic id")?;
    let partitions = reader.compact_array("partitions", PARTITION_BYTES_MIN, partition)?;
    reader.skip_tagged_fields()?;
    Ok(FetchTopicResponse { topic_id, partitions })
}

fn partition(reader: &mut Reader) -> Result<FetchPartitionResponse, DecodeError> {
    let mut partition = FetchPartitionResponse {
        index: reader.i32("partition")?,
        error: error_code(reader)?,
        high_watermark: reader.i64("high watermark")?,
        last_stable_offset: reader.i64("last stable offset")?,
        log_start_offset: reader.i64("log start offset")?,
        diverging_epoch: None,
        current_leader: None,
        aborted_transactions: reader
            .compact_nullable_array(
                "aborted transactions",
                ABORTED_TRANSACTION_BYTES_MIN,
                aborted_transaction,
            )?
            .unwrap_or_default(),
        preferred_read_replica: reader.i32("preferred read replica")?,
        records: reader.compact_nullable_bytes("records")?.unwrap_or_default(),
    };
    reader.tagged_fields(|tag, field| {
        match tag {
            0 => partition.diverging_epoch = diverging_epoch(field)?,
            1 => partition.current_leader = current_leader(field)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(partition)
}

fn aborted_transaction(reader: &mut Reader) -> Result<(i64, i64), DecodeError> {
    let transaction = (reader.i64("producer id")?, reader.i64("first offset")?);
    reader.skip_tagged_fields()?;
    Ok(transaction)
}

fn diverging_epoch(reader: &mut Reader) -> Result<Option<(i32, i64)>, DecodeError> {
    let epoch = reader.i32("diverging epoch")?;
    let end_offset = reader.i64("diverging epoch's end offset")?;
    reader.skip_tagged_fields()?;
    Ok((epoch >= 0).then_some((epoch, end_offset)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, versions, written};
    use kafka_protocol::messages::fetch_response as answer;

    const RECORDS: &[u8] = b"record batches, for all that this layer knows";

    fn answer(version: i16) -> answer::FetchResponse {
        let aborted =
            answer::AbortedTransaction::default().with_producer_id(4_000.into()).with_first_offset(70);
        let epoch = answer::EpochEndOffset::default().with_epoch(3).with_end_offset(50);
        let leader = answer::LeaderIdAndEpoch::default().with_leader_id(2.into()).with_leader_epoch(9);
        let snapshot = answer::SnapshotId::default().with_end_offset(1).with_epoch(1);
        let partition = answer::PartitionData::default()
            .with_partition_index(5)
            .with_error_code(6)
            .with_high_watermark(100)
            .with_last_stable_offset(90)
            .with_log_start_offset(10)
            .with_diverging_epoch(tagged!(epoch))
            .with_current_leader(tagged!(leader))
            .with_snapshot_id(tagged!(snapshot))
            .with_aborted_transactions(Some(vec![tagged!(aborted)]))
            .with_preferred_read_replica(1.into())
            .with_records(Some(Bytes::from_static(RECORDS)));
        let nulls = answer::PartitionData::default().with_aborted_transactions(None).with_records(None);
        let topic = answer::FetchableTopicResponse::default()
            .with_topic_id(Uuid::from_u128(7))
            .with_partitions(vec![tagged!(partition), nulls]);
        let mut answer = tagged!(answer::FetchResponse::default())
            .with_throttle_time_ms(8)
            .with_error_code(70)
            .with_session_id(-5)
            .with_responses(vec![tagged!(topic)]);
        if version >= 16 {
            let endpoint = answer::NodeEndpoint::default()
                .with_node_id(2.into())
                .with_host("kafka-2".into())
                .with_port(65_535)
                .with_rack(Some("a".into()));
            answer = answer.with_node_endpoints(vec![tagged!(endpoint)]);
        }
        answer
    }

    fn expected(version: i16) -> FetchResponse {
        let partition = FetchPartitionResponse {
            index: 5,
            error: ErrorCode::NOT_LEADER_OR_FOLLOWER,
            high_watermark: 100,
            last_stable_offset: 90,
            log_start_offset: 10,
            diverging_epoch: Some((3, 50)),
            current_leader: Some(LeaderIdAndEpoch { leader_id: 2, leader_epoch: 9 }),
            aborted_transactions: vec![(4_000, 70)],
            preferred_read_replica: 1,
            records: Bytes::from_static(RECORDS),
        };
        let nulls = FetchPartitionResponse {
            index: 0,
            error: ErrorCode::NONE,
            high_watermark: 0,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            current_leader: None,
            aborted_transactions: Vec::new(),
            preferred_read_replica: -1,
            records: Bytes::new(),
        };
        let endpoint =
            NodeEndpoint { id: 2, host: "kafka-2".to_owned(), port: 65_535, rack: Some("a".to_owned()) };
        FetchResponse {
            throttle_time_ms: 8,
            error: ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
            session_id: -5,
            topics: vec![FetchTopicResponse {
                topic_id: Uuid::from_u128(7),
                partitions: vec![partition, nulls],
            }],
            node_endpoints: if version >= 16 { vec![endpoint] } else { Vec::new() },
        }
    }

    #[test]
    fn answers_of_all_versions_are_read() {
        for version in versions(FetchRequest::VERSIONS) {
            check_answer::<FetchRequest>(version, &answer(version), &expected(version));
        }
    }

    #[test]
    fn records_are_a_slice_of_the_frame() {
        let frame = written(&answer(17), 17);
        let read = FetchRequest::decode(17, &mut Reader::new(frame.clone())).unwrap();
        let records = &read.topics[0].partitions[0].records;
        assert!(frame.as_ptr_range().contains(&records.as_ptr()));
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(FetchRequest::VERSIONS) {
            let topic = answer::FetchableTopicResponse::default();
            let partition = answer::PartitionData::default();
            let aborted = vec![answer::AbortedTransaction::default(); MANY];
            let aborted = partition.clone().with_aborted_transactions(Some(aborted));
            for topics in [
                vec![topic.clone(); MANY],
                vec![topic.clone().with_partitions(vec![partition; MANY])],
                vec![topic.with_partitions(vec![aborted])],
            ] {
                let answer = answer::FetchResponse::default().with_responses(topics);
                check_shortest::<FetchRequest>(version, &answer);
            }
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let partition = FetchPartition {
            index: 4,
            current_leader_epoch: 8,
            fetch_offset: 1_000,
            last_fetched_epoch: 7,
            max_bytes: 1 << 20,
        };
        let request = FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 50 << 20,
            isolation_level: IsolationLevel::ReadCommitted,
            session_id: 77,
            session_epoch: 3,
            topics: vec![FetchTopic { topic_id: Uuid::from_u128(1), partitions: vec![partition] }],
            forgotten: vec![(Uuid::from_u128(2), vec![5, 6])],
            rack_id: "b".to_owned(),
        };
        for version in versions(FetchRequest::VERSIONS) {
            let read: message::FetchRequest = sent(&request, version);
            let partition = message::FetchPartition::default()
                .with_partition(4)
                .with_current_leader_epoch(8)
                .with_fetch_offset(1_000)
                .with_last_fetched_epoch(7)
                .with_partition_max_bytes(1 << 20);
            let topic = message::FetchTopic::default()
                .with_topic_id(Uuid::from_u128(1))
                .with_partitions(vec![partition]);
            let forgotten = message::ForgottenTopic::default()
                .with_topic_id(Uuid::from_u128(2))
                .with_partitions(vec![5, 6]);
            let expected = message::FetchRequest::default()
                .with_max_wait_ms(500)
                .with_min_bytes(1)
                .with_max_bytes(50 << 20)
                .with_isolation_level(1)
                .with_session_id(77)
                .with_session_epoch(3)
                .with_topics(vec![topic])
                .with_forgotten_topics_data(vec![forgotten])
                .with_rack_id("b".into());
            assert_eq!(read, expected);
        }
    }
}
