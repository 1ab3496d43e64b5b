//! OffsetFetch (9), v9: where groups stand.

use super::{error_code, offset_commit::CommittedPartition, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::offset_fetch_request as message;

const GROUP_BYTES_MIN: usize = 1 + 1 + 2 + 1;
const TOPIC_BYTES_MIN: usize = 1 + 1 + 1;
const PARTITION_BYTES_MIN: usize = 4 + 8 + 4 + 1 + 2 + 1;

/// Asks for one group. (The protocol takes several; nothing here needs that.)
#[derive(Debug, Clone)]
pub(crate) struct OffsetFetchRequest {
    pub(crate) group_id: String,
    pub(crate) member_id: Option<String>,
    /// -1 outside a group.
    pub(crate) member_epoch: i32,
    /// `None`: all partitions that have an offset.
    pub(crate) topics: Option<Vec<(String, Vec<i32>)>>,
    /// Wait out open transactions' commits (KIP-447).
    pub(crate) require_stable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetFetchResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) group_id: String,
    pub(crate) error: ErrorCode,
    /// Offset -1: none committed.
    pub(crate) topics: Vec<(String, Vec<(CommittedPartition, ErrorCode)>)>,
}

impl Api for OffsetFetchRequest {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    const VERSIONS: VersionRange = VersionRange::new(9, 9);
    type Response = OffsetFetchResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let topic = |(name, partitions): &(String, Vec<i32>)| {
            message::OffsetFetchRequestTopics::default()
                .with_name(text(name))
                .with_partition_indexes(partitions.clone())
        };
        let group = message::OffsetFetchRequestGroup::default()
            .with_group_id(text(&self.group_id))
            .with_member_id(self.member_id.as_deref().map(text))
            .with_member_epoch(self.member_epoch)
            .with_topics(self.topics.as_ref().map(|topics| topics.iter().map(topic).collect()));
        let request = message::OffsetFetchRequest::default()
            .with_groups(vec![group])
            .with_require_stable(self.require_stable);
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let groups_at = reader.position();
        let mut groups =
            reader.compact_array("groups", GROUP_BYTES_MIN, |r| group(throttle_time_ms, r))?.into_iter();
        reader.skip_tagged_fields()?;
        match (groups.next(), groups.len()) {
            (Some(group), 0) => Ok(group),
            // One group is asked for.
            (first, more) => {
                let count = usize::from(first.is_some()) + more;
                let value = i64::try_from(count).unwrap_or(i64::MAX);
                Err(DecodeError::Invalid { what: "groups", at: groups_at, value })
            }
        }
    }
}

fn group(throttle_time_ms: i32, reader: &mut Reader) -> Result<OffsetFetchResponse, DecodeError> {
    let group_id = reader.compact_string("group id")?;
    let topics = reader.compact_array("topics", TOPIC_BYTES_MIN, topic)?;
    let error = error_code(reader)?;
    reader.skip_tagged_fields()?;
    Ok(OffsetFetchResponse { throttle_time_ms, group_id, error, topics })
}

fn topic(reader: &mut Reader) -> Result<(String, Vec<(CommittedPartition, ErrorCode)>), DecodeError> {
    let name = reader.compact_string("topic name")?;
    let partitions = reader.compact_array("partitions", PARTITION_BYTES_MIN, partition)?;
    reader.skip_tagged_fields()?;
    Ok((name, partitions))
}

fn partition(reader: &mut Reader) -> Result<(CommittedPartition, ErrorCode), DecodeError> {
    let partition = CommittedPartition {
        index: reader.i32("partition")?,
        offset: reader.i64("committed offset")?,
        leader_epoch: reader.i32("leader epoch")?,
        metadata: reader.compact_nullable_string("metadata")?,
    };
    let error = error_code(reader)?;
    reader.skip_tagged_fields()?;
    Ok((partition, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{
        MANY, check_answer, check_shortest, sent, tagged, text, versions, written,
    };
    use kafka_protocol::messages::offset_fetch_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let partition = answer::OffsetFetchResponsePartitions::default()
            .with_partition_index(3)
            .with_committed_offset(1_000)
            .with_committed_leader_epoch(5)
            .with_metadata(Some("note".into()))
            .with_error_code(88);
        let topic = answer::OffsetFetchResponseTopics::default()
            .with_name(text("events"))
            .with_partitions(vec![tagged!(partition)]);
        let group = answer::OffsetFetchResponseGroup::default()
            .with_group_id(text("workers"))
            .with_topics(vec![tagged!(topic)])
            .with_error_code(16);
        let answer = tagged!(answer::OffsetFetchResponse::default())
            .with_throttle_time_ms(6)
            .with_groups(vec![tagged!(group)]);
        let partition = CommittedPartition {
            index: 3,
            offset: 1_000,
            leader_epoch: 5,
            metadata: Some("note".to_owned()),
        };
        let expected = OffsetFetchResponse {
            throttle_time_ms: 6,
            group_id: "workers".to_owned(),
            error: ErrorCode::NOT_COORDINATOR,
            topics: vec![("events".to_owned(), vec![(partition, ErrorCode::UNSTABLE_OFFSET_COMMIT)])],
        };
        for version in versions(OffsetFetchRequest::VERSIONS) {
            check_answer::<OffsetFetchRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn an_answer_for_no_group_or_for_two_is_refused() {
        for count in [0, 2] {
            let groups = vec![answer::OffsetFetchResponseGroup::default(); count];
            let answer = answer::OffsetFetchResponse::default().with_groups(groups);
            let error = OffsetFetchRequest::decode(9, &mut Reader::new(written(&answer, 9))).unwrap_err();
            let value = i64::try_from(count).unwrap();
            assert_eq!(error, DecodeError::Invalid { what: "groups", at: 4, value });
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(OffsetFetchRequest::VERSIONS) {
            let topic = answer::OffsetFetchResponseTopics::default();
            let partition = answer::OffsetFetchResponsePartitions::default().with_metadata(None);
            let partitions = vec![partition; MANY];
            for topics in [vec![], vec![topic.clone(); MANY], vec![topic.with_partitions(partitions)]] {
                let group = answer::OffsetFetchResponseGroup::default().with_topics(topics);
                let answer = answer::OffsetFetchResponse::default().with_groups(vec![group]);
                check_shortest::<OffsetFetchRequest>(version, &answer);
            }
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        for topics in [None, Some(vec![]), Some(vec![("events".to_owned(), vec![0, 7])])] {
            let topic = |(name, partitions): (String, Vec<i32>)| {
                message::OffsetFetchRequestTopics::default()
                    .with_name(super::text(&name))
                    .with_partition_indexes(partitions)
            };
            let group = message::OffsetFetchRequestGroup::default()
                .with_group_id(text("workers"))
                .with_member_id(Some("member".into()))
                .with_member_epoch(4)
                .with_topics(topics.clone().map(|topics| topics.into_iter().map(topic).collect()));
            let expected =
                message::OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
            let request = OffsetFetchRequest {
                group_id: "workers".to_owned(),
                member_id: Some("member".to_owned()),
                member_epoch: 4,
                topics,
                require_stable: true,
            };
            for version in versions(OffsetFetchRequest::VERSIONS) {
                assert_eq!(sent::<_, message::OffsetFetchRequest>(&request, version), expected);
            }
        }
    }
}
