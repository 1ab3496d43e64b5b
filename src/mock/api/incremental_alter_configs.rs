//! IncrementalAlterConfigs (44), v0 and v1: sets (0), deletes (1), appends (2) and subtracts (3).
//!
//! A resource's changes are taken all or none. A group's times are held to the broker's minima (INVALID_CONFIG).

use super::describe_configs::{BROKER, GROUP, TOPIC};
use super::text;
use crate::error::ErrorCode;
use crate::mock::configs::{Changes, apply, is_list, topic_default};
use crate::mock::core::{Context, Core};
use crate::mock::hooks::When;
use crate::mock::names::is_topic_name;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use std::collections::BTreeMap;

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let resource_of =
        |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
    let mut responses = Vec::new();
    for resource in &request.resources {
        let same = request.resources.iter().filter(|other| resource_of(other) == resource_of(resource));
        let changed = match context.fault {
            _ if same.count() > 1 => {
                Err((ErrorCode::INVALID_REQUEST, Some("a resource is there twice".to_owned())))
            }
            Some((code, When::Before)) => Err((code, None)),
            Some((code, When::After)) => alter(core, resource, request.validate_only).and(Err((code, None))),
            None => alter(core, resource, request.validate_only),
        };
        let (code, message) = match changed {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, message)) => (code, message.map(text)),
        };
        responses.push(
            AlterConfigsResourceResponse::default()
                .with_error_code(code.0)
                .with_error_message(message)
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone()),
        );
    }
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

type Refusal = (ErrorCode, Option<String>);

fn alter(core: &mut Core, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let name = resource.resource_name.as_str();
    let refused = |code, why: &str| (code, Some(why.to_owned()));
    let invalid = |why: String| refused(ErrorCode::INVALID_CONFIG, &why);
    if name.is_empty() && [TOPIC, GROUP].contains(&resource.resource_type) {
        return Err(refused(ErrorCode::INVALID_REQUEST, "the resource has no name"));
    }
    match resource.resource_type {
        TOPIC if !is_topic_name(name) => {
            return Err(refused(ErrorCode::INVALID_TOPIC_EXCEPTION, "the name is not legal"));
        }
        TOPIC => {
            let unknown = || refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "the topic is not there");
            let topic = core.topics.get(name).ok_or_else(unknown)?;
            let changes = changes(&resource.configs, &topic.configs)?;
            for (config, value) in &changes {
                // What is taken back to its default need not even be known.
                if let Some(value) = value {
                    core.configs.check_topic(config, value).map_err(invalid)?;
                }
            }
            if let Some(topic) = core.topics.get_mut(name).filter(|_| !validate_only) {
                apply(&mut topic.configs, &changes);
            }
        }
        GROUP => {
            let changes = changes(&resource.configs, &BTreeMap::new())?;
            core.configs.set_group(name, &changes, validate_only).map_err(invalid)?;
        }
        BROKER => {
            let set = core.configs.broker_set(name);
            let changes = changes(&resource.configs, &set)?;
            if !validate_only {
                core.configs.set_broker(name, &changes);
            }
        }
        _ => return Err(refused(ErrorCode::INVALID_REQUEST, "resources are topics, brokers and groups")),
    }
    Ok(())
}

fn changes(configs: &[AlterableConfig], set: &BTreeMap<String, String>) -> Result<Changes, Refusal> {
    let mut changes = Changes::new();
    for config in configs {
        let name = config.name.as_str();
        let refused = |code, why: &str| Err((code, Some(format!("{name}: {why}"))));
        let new = match (config.config_operation, config.value.as_deref()) {
            (DELETE, _) => None,
            (SET | APPEND | SUBTRACT, None) => {
                return refused(ErrorCode::INVALID_REQUEST, "a value is missing");
            }
            (SET, Some(value)) => Some(value.to_owned()),
            (APPEND | SUBTRACT, Some(_)) if !is_list(name) => {
                return refused(
                    ErrorCode::INVALID_CONFIG,
                    "only lists can be appended to and subtracted from",
                );
            }
            (APPEND, Some(value)) => Some(appended(listed(name, set), value)),
            (SUBTRACT, Some(value)) => {
                let mut items = listed(name, set);
                items.retain(|item| !value.split(',').any(|taken| taken.trim() == *item));
                Some(items.join(","))
            }
            _ => return Err((ErrorCode::UNKNOWN_SERVER_ERROR, None)),
        };
        if changes.insert(name.to_owned(), new).is_some() {
            return refused(ErrorCode::INVALID_REQUEST, "it is changed twice");
        }
    }
    Ok(changes)
}

/// The items of a list as it is now.
fn listed<'a>(name: &str, set: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let now = set.get(name).map_or_else(|| topic_default(name), String::as_str);
    now.split(',').filter(|item| !item.is_empty()).collect()
}

fn appended<'a>(mut items: Vec<&'a str>, value: &'a str) -> String {
    let new: Vec<&str> = value.split(',').map(str::trim).filter(|item| !items.contains(item)).collect();
    items.extend(new);
    items.join(",")
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
