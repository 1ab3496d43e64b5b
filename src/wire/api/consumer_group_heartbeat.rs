//! ConsumerGroupHeartbeat (68), v0 and v1: the one request of KIP-848 membership.

use super::{error_code, ids, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::consumer_group_heartbeat_request as message;
use uuid::Uuid;

type Topics = Vec<(Uuid, Vec<i32>)>;

const TOPIC_BYTES_MIN: usize = 16 + 1 + 1;

#[derive(Debug, Clone)]
pub(crate) struct ConsumerGroupHeartbeatRequest {
    pub(crate) group_id: String,
    /// v1 wants the member's own UUID; v0 takes it, too.
    pub(crate) member_id: String,
    /// 0 joins, -1 leaves, -2 leaves for a while (static membership).
    pub(crate) member_epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    /// -1: as last said.
    pub(crate) rebalance_timeout_ms: i32,
    /// `None`: as last said.
    pub(crate) subscribed_topic_names: Option<Vec<String>>,
    pub(crate) server_assignor: Option<String>,
    /// What the member owns; `None`: as last said.
    pub(crate) owned: Option<Vec<(Uuid, Vec<i32>)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumerGroupHeartbeatResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
    pub(crate) member_id: Option<String>,
    pub(crate) member_epoch: i32,
    pub(crate) heartbeat_interval_ms: i32,
    /// `None`: as last said.
    pub(crate) assignment: Option<Vec<(Uuid, Vec<i32>)>>,
}

impl Api for ConsumerGroupHeartbeatRequest {
    const KEY: ApiKey = ApiKey::ConsumerGroupHeartbeat;
    const VERSIONS: VersionRange = VersionRange::new(0, 1);
    type Response = ConsumerGroupHeartbeatResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let owned = |(topic_id, partitions): &(Uuid, Vec<i32>)| {
            message::TopicPartitions::default().with_topic_id(*topic_id).with_partitions(partitions.clone())
        };
        let names = self.subscribed_topic_names.as_ref();
        let request = message::ConsumerGroupHeartbeatRequest::default()
            .with_group_id(text(&self.group_id))
            .with_member_id(text(&self.member_id))
            .with_member_epoch(self.member_epoch)
            .with_instance_id(self.instance_id.as_deref().map(text))
            .with_rack_id(self.rack_id.as_deref().map(text))
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_subscribed_topic_names(names.map(|names| names.iter().map(|name| text(name)).collect()))
            .with_server_assignor(self.server_assignor.as_deref().map(text))
            .with_topic_partitions(self.owned.as_ref().map(|topics| topics.iter().map(owned).collect()));
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let response = ConsumerGroupHeartbeatResponse {
            throttle_time_ms: reader.i32("throttle time")?,
            error: error_code(reader)?,
            error_message: reader.compact_nullable_string("error message")?,
            member_id: reader.compact_nullable_string("member id")?,
            member_epoch: reader.i32("member epoch")?,
            heartbeat_interval_ms: reader.i32("heartbeat interval")?,
            assignment: assignment(reader)?,
        };
        reader.skip_tagged_fields()?;
        Ok(response)
    }
}

/// A structure that may be null: one byte says whether it is there, negative for null.
fn assignment(reader: &mut Reader) -> Result<Option<Topics>, DecodeError> {
    if reader.i8("assignment")? < 0 {
        return Ok(None);
    }
    let topics = reader.compact_array("assigned topics", TOPIC_BYTES_MIN, |r| {
        let topic = (r.uuid("topic id")?, ids(r, "assigned partitions")?);
        r.skip_tagged_fields()?;
        Ok(topic)
    })?;
    reader.skip_tagged_fields()?;
    Ok(Some(topics))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::consumer_group_heartbeat_response as answer;

    fn answer(topics: Option<Vec<answer::TopicPartitions>>) -> answer::ConsumerGroupHeartbeatResponse {
        let assignment =
            topics.map(|topics| tagged!(answer::Assignment::default()).with_topic_partitions(topics));
        tagged!(answer::ConsumerGroupHeartbeatResponse::default())
            .with_throttle_time_ms(6)
            .with_error_code(110)
            .with_error_message(Some("fenced".into()))
            .with_member_id(Some("member".into()))
            .with_member_epoch(4)
            .with_heartbeat_interval_ms(5_000)
            .with_assignment(assignment)
    }

    fn expected(assignment: Option<Vec<(Uuid, Vec<i32>)>>) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse {
            throttle_time_ms: 6,
            error: ErrorCode::FENCED_MEMBER_EPOCH,
            error_message: Some("fenced".to_owned()),
            member_id: Some("member".to_owned()),
            member_epoch: 4,
            heartbeat_interval_ms: 5_000,
            assignment,
        }
    }

    #[test]
    fn answers_of_all_versions_are_read() {
        let id = Uuid::from_u128(9);
        let topic = answer::TopicPartitions::default().with_topic_id(id).with_partitions(vec![0, 5]);
        for version in versions(ConsumerGroupHeartbeatRequest::VERSIONS) {
            let check = |topics, assignment| {
                check_answer::<ConsumerGroupHeartbeatRequest>(
                    version,
                    &answer(topics),
                    &expected(assignment),
                );
            };
            check(Some(vec![tagged!(topic.clone())]), Some(vec![(id, vec![0, 5])]));
            check(Some(Vec::new()), Some(Vec::new()));
            check(None, None);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(ConsumerGroupHeartbeatRequest::VERSIONS) {
            let answer = answer(Some(vec![answer::TopicPartitions::default(); MANY]));
            check_shortest::<ConsumerGroupHeartbeatRequest>(version, &answer);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let id = Uuid::from_u128(9);
        let first = ConsumerGroupHeartbeatRequest {
            group_id: "workers".to_owned(),
            member_id: "member".to_owned(),
            member_epoch: 0,
            instance_id: Some("instance".to_owned()),
            rack_id: Some("b".to_owned()),
            rebalance_timeout_ms: 45_000,
            subscribed_topic_names: Some(vec!["events".to_owned()]),
            server_assignor: Some("uniform".to_owned()),
            owned: Some(vec![(id, vec![1, 2])]),
        };
        let next = ConsumerGroupHeartbeatRequest {
            member_epoch: 3,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            subscribed_topic_names: None,
            server_assignor: None,
            owned: None,
            ..first.clone()
        };
        let named = message::ConsumerGroupHeartbeatRequest::default()
            .with_group_id(text("workers"))
            .with_member_id("member".into());
        let owned = message::TopicPartitions::default().with_topic_id(id).with_partitions(vec![1, 2]);
        let first_read = named
            .clone()
            .with_instance_id(Some("instance".into()))
            .with_rack_id(Some("b".into()))
            .with_rebalance_timeout_ms(45_000)
            .with_subscribed_topic_names(Some(vec![text("events")]))
            .with_server_assignor(Some("uniform".into()))
            .with_topic_partitions(Some(vec![owned]));
        let next_read = named.with_member_epoch(3);
        for version in versions(ConsumerGroupHeartbeatRequest::VERSIONS) {
            assert_eq!(sent::<_, message::ConsumerGroupHeartbeatRequest>(&first, version), first_read);
            assert_eq!(sent::<_, message::ConsumerGroupHeartbeatRequest>(&next, version), next_read);
        }
    }
}
