//! DescribeConfigs (32), v1 to v4: topics (2), brokers (4) and groups (32).
//!
//! * v3: the types of values. Synonyms and documentation are not told.
//! * A group need not exist to have configs.

use super::text;
use crate::error::ErrorCode;
use crate::mock::configs::Described;
use crate::mock::core::{Context, Core};
use crate::mock::names::is_topic_name;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_message(Some(text("")));
        match context.fault.map_or_else(|| configs_of(core, context, resource), |(code, _)| Err(code)) {
            Ok(configs) => result.with_configs(configs),
            Err(code) => result.with_error_code(code.0).with_error_message(Some(text(message_of(code)))),
        }
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// Kafka has nothing to say of a topic that is not there.
fn message_of(code: ErrorCode) -> String {
    if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION { String::new() } else { code.to_string() }
}

fn configs_of(
    core: &Core,
    context: &Context,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, ErrorCode> {
    let name = resource.resource_name.as_str();
    let all = match resource.resource_type {
        TOPIC if !is_topic_name(name) => return Err(ErrorCode::INVALID_TOPIC_EXCEPTION),
        TOPIC => {
            let topic = core.topics.get(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
            core.configs.of_topic(&topic.configs)
        }
        BROKER if name.is_empty() || name.parse() == Ok(context.origin.broker) => {
            core.configs.of_broker(name)
        }
        BROKER => return Err(ErrorCode::INVALID_REQUEST),
        GROUP if name.is_empty() => return Err(ErrorCode::INVALID_REQUEST),
        GROUP => core.configs.of_group(name),
        _ => return Err(ErrorCode::INVALID_REQUEST),
    };
    let wanted = |config: &Described| {
        let keys = resource.configuration_keys.as_ref();
        keys.is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| key.as_str() == config.name))
    };
    let told = all.into_iter().filter(wanted).map(|config| {
        DescribeConfigsResourceResult::default()
            .with_name(text(config.name))
            .with_value(Some(text(config.value)))
            .with_read_only(config.is_read_only)
            .with_config_source(config.source)
            .with_config_type(if context.version >= 3 { config.kind } else { 0 })
            .with_documentation(None)
    });
    Ok(told.collect())
}

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
pub(crate) const GROUP: i8 = 32;
