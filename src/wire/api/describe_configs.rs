//! DescribeConfigs (32), v4: settings of topics, brokers and groups.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::describe_configs_request as message;

const RESOURCE_BYTES_MIN: usize = 2 + 1 + 1 + 1 + 1 + 1;
const CONFIG_BYTES_MIN: usize = 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1;
const SYNONYM_BYTES_MIN: usize = 1 + 1 + 1 + 1;

/// What a setting belongs to, by Kafka's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum ResourceType {
    Topic = 2,
    Broker = 4,
    Group = 32,
}

#[derive(Debug, Clone)]
pub(crate) struct DescribeConfigsRequest {
    /// (type, name, keys; `None`: all).
    pub(crate) resources: Vec<(ResourceType, String, Option<Vec<String>>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribeConfigsResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) resources: Vec<DescribedResource>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedResource {
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
    pub(crate) resource_type: i8,
    pub(crate) name: String,
    pub(crate) configs: Vec<DescribedConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedConfig {
    pub(crate) name: String,
    /// `None` for secrets.
    pub(crate) value: Option<String>,
    pub(crate) read_only: bool,
    /// Kafka's number: 1 set on the topic, 2 and 3 on the broker, 4 static broker file, 5 default, 8 set on the group.
    pub(crate) source: i8,
    pub(crate) is_sensitive: bool,
}

impl Api for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    const VERSIONS: VersionRange = VersionRange::new(4, 4);
    type Response = DescribeConfigsResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let resource = |(resource_type, name, keys): &(ResourceType, String, Option<Vec<String>>)| {
            let keys = keys.as_ref().map(|keys| keys.iter().map(|key| text(key)).collect());
            message::DescribeConfigsResource::default()
                .with_resource_type(*resource_type as i8)
                .with_resource_name(text(name))
                .with_configuration_keys(keys)
        };
        let request = message::DescribeConfigsRequest::default()
            .with_resources(self.resources.iter().map(resource).collect());
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let resources = reader.compact_array("resources", RESOURCE_BYTES_MIN, resource)?;
        reader.skip_tagged_fields()?;
        Ok(DescribeConfigsResponse { throttle_time_ms, resources })
    }
}

fn resource(reader: &mut Reader) -> Result<DescribedResource, DecodeError> {
    let resource = DescribedResource {
        error: error_code(reader)?,
        error_message: reader.compact_nullable_string("error message")?,
        resource_type: reader.i8("resource type")?,
        name: reader.compact_string("resource name")?,
        configs: reader.compact_array("configs", CONFIG_BYTES_MIN, config)?,
    };
    reader.skip_tagged_fields()?;
    Ok(resource)
}

fn config(reader: &mut Reader) -> Result<DescribedConfig, DecodeError> {
    let config = DescribedConfig {
        name: reader.compact_string("config name")?,
        value: reader.compact_nullable_string("config value")?,
        read_only: reader.bool("is read only")?,
        source: reader.i8("config source")?,
        is_sensitive: reader.bool("is sensitive")?,
    };
    reader.compact_array("config synonyms", SYNONYM_BYTES_MIN, skip_synonym)?;
    reader.i8("config type")?;
    reader.compact_nullable_bytes("config documentation")?;
    reader.skip_tagged_fields()?;
    Ok(config)
}

fn skip_synonym(reader: &mut Reader) -> Result<(), DecodeError> {
    reader.compact_nullable_bytes("synonym's name")?;
    reader.compact_nullable_bytes("synonym's value")?;
    reader.i8("synonym's source")?;
    reader.skip_tagged_fields()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, versions};
    use kafka_protocol::messages::describe_configs_response as answer;

    fn answer(resources: Vec<answer::DescribeConfigsResult>) -> answer::DescribeConfigsResponse {
        tagged!(answer::DescribeConfigsResponse::default()).with_throttle_time_ms(6).with_results(resources)
    }

    #[test]
    fn answers_of_all_versions_are_read() {
        let synonym = answer::DescribeConfigsSynonym::default()
            .with_name("log.retention.ms".into())
            .with_value(Some("1".into()))
            .with_source(5);
        let config = answer::DescribeConfigsResourceResult::default()
            .with_name("retention.ms".into())
            .with_value(Some("1000".into()))
            .with_read_only(true)
            .with_config_source(1)
            .with_is_sensitive(true)
            .with_synonyms(vec![tagged!(synonym)])
            .with_config_type(5)
            .with_documentation(Some("how long".into()));
        let secret = config.clone().with_value(None).with_documentation(None);
        let resource = answer::DescribeConfigsResult::default()
            .with_error_code(29)
            .with_error_message(Some("not allowed".into()))
            .with_resource_type(2)
            .with_resource_name("events".into())
            .with_configs(vec![tagged!(config), secret]);
        let config = DescribedConfig {
            name: "retention.ms".to_owned(),
            value: Some("1000".to_owned()),
            read_only: true,
            source: 1,
            is_sensitive: true,
        };
        let secret = DescribedConfig { value: None, ..config.clone() };
        let described = DescribedResource {
            error: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            error_message: Some("not allowed".to_owned()),
            resource_type: 2,
            name: "events".to_owned(),
            configs: vec![config, secret],
        };
        let expected = DescribeConfigsResponse { throttle_time_ms: 6, resources: vec![described] };
        for version in versions(DescribeConfigsRequest::VERSIONS) {
            check_answer::<DescribeConfigsRequest>(
                version,
                &answer(vec![tagged!(resource.clone())]),
                &expected,
            );
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(DescribeConfigsRequest::VERSIONS) {
            let synonym = answer::DescribeConfigsSynonym::default().with_value(None);
            let config =
                answer::DescribeConfigsResourceResult::default().with_value(None).with_documentation(None);
            let resource = answer::DescribeConfigsResult::default().with_error_message(None);
            let synonyms = config.clone().with_synonyms(vec![synonym; MANY]);
            for resources in [
                vec![resource.clone(); MANY],
                vec![resource.clone().with_configs(vec![config; MANY])],
                vec![resource.with_configs(vec![synonyms])],
            ] {
                check_shortest::<DescribeConfigsRequest>(version, &answer(resources));
            }
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let keys = Some(vec!["retention.ms".to_owned()]);
        let request = DescribeConfigsRequest {
            resources: vec![
                (ResourceType::Topic, "events".to_owned(), keys),
                (ResourceType::Broker, "1".to_owned(), None),
                (ResourceType::Group, "workers".to_owned(), None),
            ],
        };
        let resource = |number, name: &'static str, keys| {
            message::DescribeConfigsResource::default()
                .with_resource_type(number)
                .with_resource_name(name.into())
                .with_configuration_keys(keys)
        };
        let expected = message::DescribeConfigsRequest::default().with_resources(vec![
            resource(2, "events", Some(vec!["retention.ms".into()])),
            resource(4, "1", None),
            resource(32, "workers", None),
        ]);
        for version in versions(DescribeConfigsRequest::VERSIONS) {
            assert_eq!(sent::<_, message::DescribeConfigsRequest>(&request, version), expected);
        }
    }
}
