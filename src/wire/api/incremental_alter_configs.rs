//! IncrementalAlterConfigs (44), v1: single settings of topics, brokers and groups.

use super::{describe_configs::ResourceType, error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::incremental_alter_configs_request as message;

const SET: i8 = 0;
const DELETE: i8 = 1;
const RESOURCE_BYTES_MIN: usize = 2 + 1 + 1 + 1 + 1;

#[derive(Debug, Clone)]
pub(crate) struct IncrementalAlterConfigsRequest {
    pub(crate) resources: Vec<AlteredResource>,
    pub(crate) validate_only: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct AlteredResource {
    pub(crate) resource_type: ResourceType,
    pub(crate) name: String,
    /// (key, value); `None` takes the setting away.
    pub(crate) configs: Vec<(String, Option<String>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncrementalAlterConfigsResponse {
    pub(crate) throttle_time_ms: i32,
    /// (code, message, resource type, name).
    pub(crate) resources: Vec<(ErrorCode, Option<String>, i8, String)>,
}

impl Api for IncrementalAlterConfigsRequest {
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
    const VERSIONS: VersionRange = VersionRange::new(1, 1);
    type Response = IncrementalAlterConfigsResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let config = |(name, value): &(String, Option<String>)| {
            message::AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.as_deref().map(text))
        };
        let resource = |resource: &AlteredResource| {
            message::AlterConfigsResource::default()
                .with_resource_type(resource.resource_type as i8)
                .with_resource_name(text(&resource.name))
                .with_configs(resource.configs.iter().map(config).collect())
        };
        let request = message::IncrementalAlterConfigsRequest::default()
            .with_resources(self.resources.iter().map(resource).collect())
            .with_validate_only(self.validate_only);
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let resources = reader.compact_array("resources", RESOURCE_BYTES_MIN, resource)?;
        reader.skip_tagged_fields()?;
        Ok(IncrementalAlterConfigsResponse { throttle_time_ms, resources })
    }
}

fn resource(reader: &mut Reader) -> Result<(ErrorCode, Option<String>, i8, String), DecodeError> {
    let resource = (
        error_code(reader)?,
        reader.compact_nullable_string("error message")?,
        reader.i8("resource type")?,
        reader.compact_string("resource name")?,
    );
    reader.skip_tagged_fields()?;
    Ok(resource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, versions};
    use kafka_protocol::messages::incremental_alter_configs_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let resource = answer::AlterConfigsResourceResponse::default()
            .with_error_code(40)
            .with_error_message(Some("no such key".into()))
            .with_resource_type(32)
            .with_resource_name("workers".into());
        let answer = tagged!(answer::IncrementalAlterConfigsResponse::default())
            .with_throttle_time_ms(6)
            .with_responses(vec![tagged!(resource)]);
        let message = Some("no such key".to_owned());
        let resources = vec![(ErrorCode::INVALID_CONFIG, message, 32, "workers".to_owned())];
        let expected = IncrementalAlterConfigsResponse { throttle_time_ms: 6, resources };
        for version in versions(IncrementalAlterConfigsRequest::VERSIONS) {
            check_answer::<IncrementalAlterConfigsRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(IncrementalAlterConfigsRequest::VERSIONS) {
            let resource = answer::AlterConfigsResourceResponse::default().with_error_message(None);
            let answer =
                answer::IncrementalAlterConfigsResponse::default().with_responses(vec![resource; MANY]);
            check_shortest::<IncrementalAlterConfigsRequest>(version, &answer);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let set = ("consumer.session.timeout.ms".to_owned(), Some("30000".to_owned()));
        let taken_away = ("consumer.heartbeat.interval.ms".to_owned(), None);
        let resource = AlteredResource {
            resource_type: ResourceType::Group,
            name: "workers".to_owned(),
            configs: vec![set, taken_away],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: true };
        let config = |name: &'static str, operation, value| {
            message::AlterableConfig::default()
                .with_name(name.into())
                .with_config_operation(operation)
                .with_value(value)
        };
        let resource = message::AlterConfigsResource::default()
            .with_resource_type(32)
            .with_resource_name("workers".into())
            .with_configs(vec![
                config("consumer.session.timeout.ms", 0, Some("30000".into())),
                config("consumer.heartbeat.interval.ms", 1, None),
            ]);
        let expected = message::IncrementalAlterConfigsRequest::default()
            .with_resources(vec![resource])
            .with_validate_only(true);
        for version in versions(IncrementalAlterConfigsRequest::VERSIONS) {
            assert_eq!(sent::<_, message::IncrementalAlterConfigsRequest>(&request, version), expected);
        }
    }
}
