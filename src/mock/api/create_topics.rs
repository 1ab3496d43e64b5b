//! CreateTopics (19), v2 to v7.
//!
//! * v4: -1 for the cluster's own count of partitions and replicas. v5: configs, counts in the answer. v7: topic ids.
//! * Any broker takes it, as brokers pass it on to the controller.

use super::text;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::hooks::When;
use crate::mock::names::is_topic_name;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut names = BTreeSet::new();
    let twice: BTreeSet<_> =
        request.topics.iter().map(|topic| &topic.name).filter(|name| !names.insert(*name)).cloned().collect();
    let mut results = Vec::new();
    for topic in &request.topics {
        if twice.contains(&topic.name) && results.iter().any(|r: &CreatableTopicResult| r.name == topic.name)
        {
            continue;
        }
        let made = match context.fault {
            Some((code, When::Before)) => Err((code, String::new())),
            _ if twice.contains(&topic.name) => {
                Err((ErrorCode::INVALID_REQUEST, "the topic is named twice".to_owned()))
            }
            _ => create(core, topic, request.validate_only),
        };
        let made = match context.fault {
            Some((code, When::After)) => made.and(Err((code, String::new()))),
            _ => made,
        };
        results.push(told(core, context, topic, made));
    }
    CreateTopicsResponse::default().with_topics(results)
}

/// A topic as it was made, or would have been.
struct Made {
    id: Uuid,
    partitions: i32,
    replication: i16,
    configs: BTreeMap<String, String>,
}

fn create(core: &mut Core, topic: &CreatableTopic, validate_only: bool) -> Result<Made, (ErrorCode, String)> {
    let name = topic.name.as_str();
    if !is_topic_name(name) {
        return Err((ErrorCode::INVALID_TOPIC_EXCEPTION, format!("the name {name:?} is not legal")));
    }
    if core.topics.get(name).is_some() {
        return Err((ErrorCode::TOPIC_ALREADY_EXISTS, format!("Topic '{name}' already exists.")));
    }
    if let Some(other) = core.topics.iter().find(|other| metric_name(&other.name) == metric_name(name)) {
        let why = format!("Topic '{name}' collides with existing topic: {}", other.name);
        return Err((ErrorCode::INVALID_TOPIC_EXCEPTION, why));
    }
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let invalid = |why| (ErrorCode::INVALID_CONFIG, why);
        let no_value =
            || invalid(format!("Null value not supported for topic configs: {}", config.name.as_str()));
        let value = config.value.as_ref().ok_or_else(no_value)?;
        core.configs.check_topic(&config.name, value).map_err(invalid)?;
        configs.insert(config.name.to_string(), value.to_string());
    }
    if !topic.assignments.is_empty() {
        return assigned(core, topic, configs, validate_only);
    }
    let partitions = match topic.num_partitions {
        -1 => core.settings.default_partitions,
        count if count > 0 => count,
        count => return Err((ErrorCode::INVALID_PARTITIONS, format!("{count} partitions are not possible"))),
    };
    let registered = i16::try_from(core.brokers.len()).unwrap_or(i16::MAX);
    let replication = match topic.replication_factor {
        -1 => core.settings.replication(),
        count if count > 0 && count <= registered => count,
        count => {
            return Err((
                ErrorCode::INVALID_REPLICATION_FACTOR,
                format!(
                    "Unable to replicate the partition {count} time(s): The target replication factor of \
                     {count} cannot be reached because only {registered} broker(s) are registered."
                ),
            ));
        }
    };
    let id = if validate_only {
        core.random.uuid()
    } else {
        core.create_topic(name, partitions, replication, configs.clone())
    };
    Ok(Made { id, partitions, replication, configs })
}

/// Topics whose names differ in dots and underscores only would share their metrics.
fn metric_name(name: &str) -> String {
    name.replace('.', "_")
}

fn assigned(
    core: &mut Core,
    topic: &CreatableTopic,
    configs: BTreeMap<String, String>,
    validate_only: bool,
) -> Result<Made, (ErrorCode, String)> {
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let why = "an assignment goes with neither a count of partitions nor a replication factor".to_owned();
        return Err((ErrorCode::INVALID_REQUEST, why));
    }
    let by_index: BTreeMap<i32, Vec<i32>> = topic
        .assignments
        .iter()
        .map(|one| (one.partition_index, one.broker_ids.iter().map(|id| id.0).collect()))
        .collect();
    let is_dense = (0i32..).zip(by_index.keys()).all(|(at, index)| at == *index);
    let known = |ids: &Vec<i32>| !ids.is_empty() && ids.iter().all(|id| core.brokers.contains_key(id));
    let known = |ids: &Vec<i32>| known(ids) && ids.iter().collect::<BTreeSet<_>>().len() == ids.len();
    let first = by_index.values().next().map(Vec::len);
    let is_even = by_index.values().all(|ids| Some(ids.len()) == first);
    if !is_dense || by_index.len() != topic.assignments.len() || !by_index.values().all(known) || !is_even {
        let why = "the assignment skips a partition or names a broker that is not there".to_owned();
        return Err((ErrorCode::INVALID_REPLICA_ASSIGNMENT, why));
    }
    let partitions = i32::try_from(by_index.len()).unwrap_or(i32::MAX);
    let replication = by_index.values().next().and_then(|ids| i16::try_from(ids.len()).ok()).unwrap_or(1);
    let replicas = by_index.into_values().collect();
    let id = if validate_only {
        core.random.uuid()
    } else {
        core.create_topic_on(&topic.name, replicas, configs.clone())
    };
    Ok(Made { id, partitions, replication, configs })
}

fn told(
    core: &Core,
    context: &Context,
    topic: &CreatableTopic,
    made: Result<Made, (ErrorCode, String)>,
) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(topic.name.clone());
    let made = match made {
        Ok(made) => made,
        Err((code, message)) => {
            return result.with_error_code(code.0).with_error_message(Some(text(message)));
        }
    };
    let result = result.with_topic_id(made.id).with_error_message(None);
    if context.version < 5 {
        return result;
    }
    let configs = core.configs.of_topic(&made.configs).into_iter().map(|config| {
        CreatableTopicConfigs::default()
            .with_name(text(config.name))
            .with_value(Some(text(config.value)))
            .with_config_source(config.source)
    });
    result
        .with_num_partitions(made.partitions)
        .with_replication_factor(made.replication)
        .with_configs(Some(configs.collect()))
}
