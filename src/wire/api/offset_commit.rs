//! OffsetCommit (8), v9: where a group stands.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::offset_commit_request as message;

const TOPIC_BYTES_MIN: usize = 1 + 1 + 1;
const PARTITION_BYTES_MIN: usize = 4 + 2 + 1;

#[derive(Debug, Clone)]
pub(crate) struct OffsetCommitRequest {
    pub(crate) group_id: String,
    /// The member epoch (KIP-848) or generation; -1 outside a group.
    pub(crate) generation_or_member_epoch: i32,
    /// Empty outside a group.
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) topics: Vec<(String, Vec<CommittedPartition>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommittedPartition {
    pub(crate) index: i32,
    /// The next offset to read.
    pub(crate) offset: i64,
    /// -1: none.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetCommitResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) topics: Vec<(String, Vec<(i32, ErrorCode)>)>,
}

impl Api for OffsetCommitRequest {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    const VERSIONS: VersionRange = VersionRange::new(9, 9);
    type Response = OffsetCommitResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let partition = |partition: &CommittedPartition| {
            message::OffsetCommitRequestPartition::default()
                .with_partition_index(partition.index)
                .with_committed_offset(partition.offset)
                .with_committed_leader_epoch(partition.leader_epoch)
                .with_committed_metadata(partition.metadata.as_deref().map(text))
        };
        let topic = |(name, partitions): &(String, Vec<CommittedPartition>)| {
            message::OffsetCommitRequestTopic::default()
                .with_name(text(name))
                .with_partitions(partitions.iter().map(partition).collect())
        };
        let request = message::OffsetCommitRequest::default()
            .with_group_id(text(&self.group_id))
            .with_generation_id_or_member_epoch(self.generation_or_member_epoch)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.group_instance_id.as_deref().map(text))
            .with_topics(self.topics.iter().map(topic).collect());
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let topics = reader.compact_array("topics", TOPIC_BYTES_MIN, topic)?;
        reader.skip_tagged_fields()?;
        Ok(OffsetCommitResponse { throttle_time_ms, topics })
    }
}

fn topic(reader: &mut Reader) -> Result<(String, Vec<(i32, ErrorCode)>), DecodeError> {
    let name = reader.compact_string("topic name")?;
    let partitions = reader.compact_array("partitions", PARTITION_BYTES_MIN, |r| {
        let partition = (r.i32("partition")?, error_code(r)?);
        r.skip_tagged_fields()?;
        Ok(partition)
    })?;
    reader.skip_tagged_fields()?;
    Ok((name, partitions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::offset_commit_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let partition =
            answer::OffsetCommitResponsePartition::default().with_partition_index(3).with_error_code(113);
        let topic = answer::OffsetCommitResponseTopic::default()
            .with_name(text("events"))
            .with_partitions(vec![tagged!(partition)]);
        let answer = tagged!(answer::OffsetCommitResponse::default())
            .with_throttle_time_ms(6)
            .with_topics(vec![tagged!(topic)]);
        let topics = vec![("events".to_owned(), vec![(3, ErrorCode::STALE_MEMBER_EPOCH)])];
        let expected = OffsetCommitResponse { throttle_time_ms: 6, topics };
        for version in versions(OffsetCommitRequest::VERSIONS) {
            check_answer::<OffsetCommitRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(OffsetCommitRequest::VERSIONS) {
            let topic = answer::OffsetCommitResponseTopic::default();
            let partitions = vec![answer::OffsetCommitResponsePartition::default(); MANY];
            for topics in [vec![topic.clone(); MANY], vec![topic.with_partitions(partitions)]] {
                let answer = answer::OffsetCommitResponse::default().with_topics(topics);
                check_shortest::<OffsetCommitRequest>(version, &answer);
            }
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let partition = CommittedPartition {
            index: 3,
            offset: 1_000,
            leader_epoch: 5,
            metadata: Some("note".to_owned()),
        };
        let plain = CommittedPartition { metadata: None, ..partition.clone() };
        let request = OffsetCommitRequest {
            group_id: "workers".to_owned(),
            generation_or_member_epoch: 12,
            member_id: "member".to_owned(),
            group_instance_id: Some("instance".to_owned()),
            topics: vec![("events".to_owned(), vec![partition, plain])],
        };
        let partition = message::OffsetCommitRequestPartition::default()
            .with_partition_index(3)
            .with_committed_offset(1_000)
            .with_committed_leader_epoch(5)
            .with_committed_metadata(Some("note".into()));
        let plain = partition.clone().with_committed_metadata(None);
        let topic = message::OffsetCommitRequestTopic::default()
            .with_name(text("events"))
            .with_partitions(vec![partition, plain]);
        let expected = message::OffsetCommitRequest::default()
            .with_group_id(text("workers"))
            .with_generation_id_or_member_epoch(12)
            .with_member_id("member".into())
            .with_group_instance_id(Some("instance".into()))
            .with_topics(vec![topic]);
        for version in versions(OffsetCommitRequest::VERSIONS) {
            assert_eq!(sent::<_, message::OffsetCommitRequest>(&request, version), expected);
        }
    }
}
