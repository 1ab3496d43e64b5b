//! CreateTopics (19), v7.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::create_topics_request as message;
use uuid::Uuid;

const TOPIC_BYTES_MIN: usize = 1 + 16 + 2 + 1 + 4 + 2 + 1 + 1;
const CONFIG_BYTES_MIN: usize = 1 + 1 + 1 + 1 + 1 + 1;

#[derive(Debug, Clone)]
pub(crate) struct CreateTopicsRequest {
    pub(crate) topics: Vec<CreatableTopic>,
    pub(crate) timeout_ms: i32,
    pub(crate) validate_only: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct CreatableTopic {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i16,
    pub(crate) configs: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreateTopicsResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) topics: Vec<CreatedTopic>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreatedTopic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i16,
}

impl Api for CreateTopicsRequest {
    const KEY: ApiKey = ApiKey::CreateTopics;
    const VERSIONS: VersionRange = VersionRange::new(7, 7);
    type Response = CreateTopicsResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let config = |(name, value): &(String, String)| {
            message::CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let topic = |topic: &CreatableTopic| {
            message::CreatableTopic::default()
                .with_name(text(&topic.name))
                .with_num_partitions(topic.partitions)
                .with_replication_factor(topic.replication_factor)
                .with_configs(topic.configs.iter().map(config).collect())
        };
        let request = message::CreateTopicsRequest::default()
            .with_topics(self.topics.iter().map(topic).collect())
            .with_timeout_ms(self.timeout_ms)
            .with_validate_only(self.validate_only);
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let topics = reader.compact_array("topics", TOPIC_BYTES_MIN, topic)?;
        reader.skip_tagged_fields()?;
        Ok(CreateTopicsResponse { throttle_time_ms, topics })
    }
}

fn topic(reader: &mut Reader) -> Result<CreatedTopic, DecodeError> {
    let topic = CreatedTopic {
        name: reader.compact_string("topic name")?,
        id: reader.uuid("topic id")?,
        error: error_code(reader)?,
        error_message: reader.compact_nullable_string("error message")?,
        partitions: reader.i32("partition count")?,
        replication_factor: reader.i16("replication factor")?,
    };
    reader.compact_nullable_array("configs", CONFIG_BYTES_MIN, skip_config)?;
    reader.skip_tagged_fields()?;
    Ok(topic)
}

fn skip_config(reader: &mut Reader) -> Result<(), DecodeError> {
    reader.compact_nullable_bytes("config name")?;
    reader.compact_nullable_bytes("config value")?;
    reader.bool("is read only")?;
    reader.i8("config source")?;
    reader.bool("is sensitive")?;
    reader.skip_tagged_fields()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::create_topics_response as answer;

    fn answer(topics: Vec<answer::CreatableTopicResult>) -> answer::CreateTopicsResponse {
        tagged!(answer::CreateTopicsResponse::default()).with_throttle_time_ms(6).with_topics(topics)
    }

    #[test]
    fn answers_of_all_versions_are_read() {
        let config = answer::CreatableTopicConfigs::default()
            .with_name("retention.ms".into())
            .with_value(Some("1000".into()))
            .with_read_only(true)
            .with_config_source(1)
            .with_is_sensitive(true);
        let topic = answer::CreatableTopicResult::default()
            .with_name(text("events"))
            .with_topic_id(Uuid::from_u128(3))
            .with_error_code(38)
            .with_error_message(Some("too few brokers".into()))
            .with_topic_config_error_code(29)
            .with_num_partitions(16)
            .with_replication_factor(3)
            .with_configs(Some(vec![tagged!(config)]));
        let unread = topic.clone().with_configs(None);
        let created = CreatedTopic {
            name: "events".to_owned(),
            id: Uuid::from_u128(3),
            error: ErrorCode::INVALID_REPLICATION_FACTOR,
            error_message: Some("too few brokers".to_owned()),
            partitions: 16,
            replication_factor: 3,
        };
        let expected = CreateTopicsResponse { throttle_time_ms: 6, topics: vec![created.clone(), created] };
        for version in versions(CreateTopicsRequest::VERSIONS) {
            check_answer::<CreateTopicsRequest>(
                version,
                &answer(vec![tagged!(topic.clone()), unread.clone()]),
                &expected,
            );
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(CreateTopicsRequest::VERSIONS) {
            let topic = answer::CreatableTopicResult::default().with_error_message(None).with_configs(None);
            let config = answer::CreatableTopicConfigs::default().with_value(None);
            let with_configs = topic.clone().with_configs(Some(vec![config; MANY]));
            check_shortest::<CreateTopicsRequest>(version, &answer(vec![topic; MANY]));
            check_shortest::<CreateTopicsRequest>(version, &answer(vec![with_configs]));
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let topic = CreatableTopic {
            name: "events".to_owned(),
            partitions: 16,
            replication_factor: 3,
            configs: vec![("retention.ms".to_owned(), "1000".to_owned())],
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: true };
        let config = message::CreatableTopicConfig::default()
            .with_name("retention.ms".into())
            .with_value(Some("1000".into()));
        let topic = message::CreatableTopic::default()
            .with_name(text("events"))
            .with_num_partitions(16)
            .with_replication_factor(3)
            .with_configs(vec![config]);
        let expected = message::CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(30_000)
            .with_validate_only(true);
        for version in versions(CreateTopicsRequest::VERSIONS) {
            assert_eq!(sent::<_, message::CreateTopicsRequest>(&request, version), expected);
        }
    }
}
