//! ListOffsets (2), v7 to v9: the offset at a time, at the start or at the end of partitions.

use super::{error_code, fetch::IsolationLevel, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::list_offsets_request as message;

/// As a timestamp: the end of the log.
pub(crate) const LATEST: i64 = -1;
/// As a timestamp: the start of the log.
pub(crate) const EARLIEST: i64 = -2;

const CONSUMER: i32 = -1;
const TOPIC_BYTES_MIN: usize = 1 + 1 + 1;
const PARTITION_BYTES_MIN: usize = 4 + 2 + 8 + 8 + 4 + 1;

#[derive(Debug, Clone)]
pub(crate) struct ListOffsetsRequest {
    pub(crate) isolation_level: IsolationLevel,
    pub(crate) topics: Vec<(String, Vec<ListOffsetsPartition>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListOffsetsPartition {
    pub(crate) index: i32,
    pub(crate) current_leader_epoch: i32,
    /// Milliseconds since 1970, or `LATEST`, or `EARLIEST`.
    pub(crate) timestamp_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListOffsetsResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) topics: Vec<(String, Vec<ListedOffset>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedOffset {
    pub(crate) index: i32,
    pub(crate) error: ErrorCode,
    pub(crate) timestamp_ms: i64,
    /// -1: no record at or after the time asked for.
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
}

impl Api for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    const VERSIONS: VersionRange = VersionRange::new(7, 9);
    type Response = ListOffsetsResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let partition = |partition: &ListOffsetsPartition| {
            message::ListOffsetsPartition::default()
                .with_partition_index(partition.index)
                .with_current_leader_epoch(partition.current_leader_epoch)
                .with_timestamp(partition.timestamp_ms)
        };
        let topic = |(name, partitions): &(String, Vec<ListOffsetsPartition>)| {
            message::ListOffsetsTopic::default()
                .with_name(text(name))
                .with_partitions(partitions.iter().map(partition).collect())
        };
        let request = message::ListOffsetsRequest::default()
            .with_replica_id(CONSUMER.into())
            .with_isolation_level(self.isolation_level as i8)
            .with_topics(self.topics.iter().map(topic).collect());
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let topics = reader.compact_array("topics", TOPIC_BYTES_MIN, topic)?;
        reader.skip_tagged_fields()?;
        Ok(ListOffsetsResponse { throttle_time_ms, topics })
    }
}

fn topic(reader: &mut Reader) -> Result<(String, Vec<ListedOffset>), DecodeError> {
    let name = reader.compact_string("topic name")?;
    let partitions = reader.compact_array("partitions", PARTITION_BYTES_MIN, partition)?;
    reader.skip_tagged_fields()?;
    Ok((name, partitions))
}

fn partition(reader: &mut Reader) -> Result<ListedOffset, DecodeError> {
    let partition = ListedOffset {
        index: reader.i32("partition")?,
        error: error_code(reader)?,
        timestamp_ms: reader.i64("timestamp")?,
        offset: reader.i64("offset")?,
        leader_epoch: reader.i32("leader epoch")?,
    };
    reader.skip_tagged_fields()?;
    Ok(partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::list_offsets_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let partition = answer::ListOffsetsPartitionResponse::default()
            .with_partition_index(3)
            .with_error_code(74)
            .with_timestamp(1_700_000_000_000)
            .with_offset(12)
            .with_leader_epoch(4);
        let topic = answer::ListOffsetsTopicResponse::default()
            .with_name(text("events"))
            .with_partitions(vec![tagged!(partition)]);
        let answer = answer::ListOffsetsResponse::default().with_throttle_time_ms(1);
        let answer = tagged!(answer).with_topics(vec![tagged!(topic)]);
        let listed = ListedOffset {
            index: 3,
            error: ErrorCode::FENCED_LEADER_EPOCH,
            timestamp_ms: 1_700_000_000_000,
            offset: 12,
            leader_epoch: 4,
        };
        let expected =
            ListOffsetsResponse { throttle_time_ms: 1, topics: vec![("events".to_owned(), vec![listed])] };
        for version in versions(ListOffsetsRequest::VERSIONS) {
            check_answer::<ListOffsetsRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(ListOffsetsRequest::VERSIONS) {
            let topic = answer::ListOffsetsTopicResponse::default();
            let partitions = vec![answer::ListOffsetsPartitionResponse::default(); MANY];
            for topics in [vec![topic.clone(); MANY], vec![topic.with_partitions(partitions)]] {
                let answer = answer::ListOffsetsResponse::default().with_topics(topics);
                check_shortest::<ListOffsetsRequest>(version, &answer);
            }
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let partition = ListOffsetsPartition { index: 6, current_leader_epoch: 2, timestamp_ms: EARLIEST };
        for (isolation_level, number) in
            [(IsolationLevel::ReadUncommitted, 0), (IsolationLevel::ReadCommitted, 1)]
        {
            let topics = vec![("events".to_owned(), vec![partition.clone()])];
            let request = ListOffsetsRequest { isolation_level, topics };
            for version in versions(ListOffsetsRequest::VERSIONS) {
                let read: message::ListOffsetsRequest = sent(&request, version);
                assert_eq!((*read.replica_id, read.isolation_level), (-1, number));
                let expected = message::ListOffsetsPartition::default()
                    .with_partition_index(6)
                    .with_current_leader_epoch(2)
                    .with_timestamp(-2);
                assert_eq!(&*read.topics[0].name, "events");
                assert_eq!(read.topics[0].partitions, [expected]);
            }
        }
    }
}
