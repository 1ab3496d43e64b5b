//! IncrementalAlterConfigs (44), v0 and v1: sets (0), deletes (1), appends (2) and subtracts (3).
//!
//! A resource's changes are taken all or none. A group's times are held to the broker's minima (INVALID_CONFIG).

use super::describe_configs::{BROKER, GROUP, TOPIC};
use super::text;
use crate::error::ErrorCode;
use crate::mock::configs::{Changes, apply, is_list, topic_default};
use crate::mock::core::{Context, Core};
use crate::mock::hooks::When;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use std::collections::BTreeMap;

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        let changed = match context.fault {
            Some((code, When::Before)) => Err((code, String::new())),
            Some((code, When::After)) => {
                alter(core, resource, request.validate_only).and(Err((code, String::new())))
            }
            None => alter(core, resource, request.validate_only),
        };
        let (code, message) = match changed {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, message)) => (code, Some(text(message))),
        };
        AlterConfigsResourceResponse::default()
            .with_error_code(code.0)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    let responses = responses.collect();
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

fn alter(
    core: &mut Core,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), (ErrorCode, String)> {
    let name = resource.resource_name.as_str();
    let invalid = |why: String| (ErrorCode::INVALID_CONFIG, why);
    match resource.resource_type {
        TOPIC => {
            let topic =
                core.topics.get(name).ok_or((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, String::new()))?;
            let changes = changes(&resource.configs, &topic.configs).map_err(invalid)?;
            for (config, value) in &changes {
                let value = value.as_deref().unwrap_or_else(|| topic_default(config));
                core.configs.check_topic(config, value).map_err(invalid)?;
            }
            if let Some(topic) = core.topics.get_mut(name).filter(|_| !validate_only) {
                apply(&mut topic.configs, &changes);
            }
        }
        GROUP => {
            let changes = changes(&resource.configs, &BTreeMap::new()).map_err(invalid)?;
            core.configs.set_group(name, &changes, validate_only).map_err(invalid)?;
        }
        BROKER => {
            let set = core.configs.broker_set(name);
            let changes = changes(&resource.configs, &set).map_err(invalid)?;
            if !validate_only {
                core.configs.set_broker(name, &changes);
            }
        }
        _ => return Err((ErrorCode::INVALID_REQUEST, "resources are topics, brokers and groups".to_owned())),
    }
    Ok(())
}

fn changes(configs: &[AlterableConfig], set: &BTreeMap<String, String>) -> Result<Changes, String> {
    let mut changes = Changes::new();
    for config in configs {
        let name = config.name.as_str();
        let value = config.value.as_ref().map(ToString::to_string);
        let new = match (config.config_operation, value) {
            (SET, Some(value)) => Some(value),
            (DELETE, _) => None,
            (APPEND | SUBTRACT, Some(value)) if is_list(name) => {
                let now = set.get(name).map_or_else(|| topic_default(name), String::as_str);
                let mut items: Vec<&str> = now.split(',').filter(|item| *item != value).collect();
                if config.config_operation == APPEND {
                    items.push(&value);
                }
                Some(items.join(","))
            }
            _ => return Err(format!("the operation cannot be applied to {name}")),
        };
        if changes.insert(name.to_owned(), new).is_some() {
            return Err(format!("{name} is changed twice"));
        }
    }
    Ok(changes)
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
