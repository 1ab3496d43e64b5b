//! OffsetForLeaderEpoch (23), v4: where a leader epoch ends in the leader's log (KIP-320).

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::offset_for_leader_epoch_request as message;

const CONSUMER: i32 = -1;
const TOPIC_BYTES_MIN: usize = 1 + 1 + 1;
const PARTITION_BYTES_MIN: usize = 2 + 4 + 4 + 8 + 1;

#[derive(Debug, Clone)]
pub(crate) struct OffsetForLeaderEpochRequest {
    pub(crate) topics: Vec<(String, Vec<AskedEpoch>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedEpoch {
    pub(crate) index: i32,
    pub(crate) current_leader_epoch: i32,
    /// Whose end is asked for.
    pub(crate) leader_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetForLeaderEpochResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) topics: Vec<(String, Vec<EpochEnd>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EpochEnd {
    pub(crate) index: i32,
    pub(crate) error: ErrorCode,
    /// The largest epoch at or below the one that was asked for, -1 when the leader knows none.
    pub(crate) leader_epoch: i32,
    /// Where the next epoch begins, or the log ends; -1 when the leader knows no epoch.
    pub(crate) end_offset: i64,
}

impl Api for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    const VERSIONS: VersionRange = VersionRange::new(4, 4);
    type Response = OffsetForLeaderEpochResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let partition = |asked: &AskedEpoch| {
            message::OffsetForLeaderPartition::default()
                .with_partition(asked.index)
                .with_current_leader_epoch(asked.current_leader_epoch)
                .with_leader_epoch(asked.leader_epoch)
        };
        let topic = |(name, partitions): &(String, Vec<AskedEpoch>)| {
            message::OffsetForLeaderTopic::default()
                .with_topic(text(name))
                .with_partitions(partitions.iter().map(partition).collect())
        };
        let request = message::OffsetForLeaderEpochRequest::default()
            .with_replica_id(CONSUMER.into())
            .with_topics(self.topics.iter().map(topic).collect());
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let topics = reader.compact_array("topics", TOPIC_BYTES_MIN, topic)?;
        reader.skip_tagged_fields()?;
        Ok(OffsetForLeaderEpochResponse { throttle_time_ms, topics })
    }
}

fn topic(reader: &mut Reader) -> Result<(String, Vec<EpochEnd>), DecodeError> {
    let name = reader.compact_string("topic name")?;
    let partitions = reader.compact_array("partitions", PARTITION_BYTES_MIN, partition)?;
    reader.skip_tagged_fields()?;
    Ok((name, partitions))
}

fn partition(reader: &mut Reader) -> Result<EpochEnd, DecodeError> {
    let end = EpochEnd {
        error: error_code(reader)?,
        index: reader.i32("partition")?,
        leader_epoch: reader.i32("leader epoch")?,
        end_offset: reader.i64("end offset")?,
    };
    reader.skip_tagged_fields()?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::offset_for_leader_epoch_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let partition = answer::EpochEndOffset::default()
            .with_error_code(74)
            .with_partition(3)
            .with_leader_epoch(4)
            .with_end_offset(12);
        let topic = answer::OffsetForLeaderTopicResult::default()
            .with_topic(text("events"))
            .with_partitions(vec![tagged!(partition)]);
        let answer = answer::OffsetForLeaderEpochResponse::default().with_throttle_time_ms(1);
        let answer = tagged!(answer).with_topics(vec![tagged!(topic)]);
        let end =
            EpochEnd { index: 3, error: ErrorCode::FENCED_LEADER_EPOCH, leader_epoch: 4, end_offset: 12 };
        let topics = vec![("events".to_owned(), vec![end])];
        let expected = OffsetForLeaderEpochResponse { throttle_time_ms: 1, topics };
        for version in versions(OffsetForLeaderEpochRequest::VERSIONS) {
            check_answer::<OffsetForLeaderEpochRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(OffsetForLeaderEpochRequest::VERSIONS) {
            let topic = answer::OffsetForLeaderTopicResult::default();
            let partitions = vec![answer::EpochEndOffset::default(); MANY];
            for topics in [vec![topic.clone(); MANY], vec![topic.with_partitions(partitions)]] {
                let answer = answer::OffsetForLeaderEpochResponse::default().with_topics(topics);
                check_shortest::<OffsetForLeaderEpochRequest>(version, &answer);
            }
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let asked = AskedEpoch { index: 6, current_leader_epoch: 5, leader_epoch: 2 };
        let request = OffsetForLeaderEpochRequest { topics: vec![("events".to_owned(), vec![asked])] };
        for version in versions(OffsetForLeaderEpochRequest::VERSIONS) {
            let read: message::OffsetForLeaderEpochRequest = sent(&request, version);
            assert_eq!((*read.replica_id, &*read.topics[0].topic.0), (-1, "events"));
            let expected = message::OffsetForLeaderPartition::default()
                .with_partition(6)
                .with_current_leader_epoch(5)
                .with_leader_epoch(2);
            assert_eq!(read.topics[0].partitions, [expected]);
        }
    }
}
