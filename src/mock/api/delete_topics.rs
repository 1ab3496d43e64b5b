//! DeleteTopics (20), v1 to v6.
//!
//! * v5: error messages. v6: topics by name or by id.

use super::{text, topic_name};
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::hooks::When;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use std::collections::BTreeSet;
use uuid::Uuid;

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter().map(|name| (Some(name), Uuid::nil()));
    let by_state = request.topics.into_iter().map(|topic| (topic.name, topic.topic_id));
    let asked: Vec<_> = by_name.chain(by_state).collect();
    let mut told = BTreeSet::new();
    let mut results = Vec::new();
    for (name, id) in &asked {
        if !told.insert((name, id)) {
            continue;
        }
        let is_twice = asked.iter().filter(|other| *other == &(name.clone(), *id)).count() > 1;
        results.push(if is_twice || name.is_some() != id.is_nil() {
            refused(context, name.clone(), *id, ErrorCode::INVALID_REQUEST)
        } else {
            one(core, context, name.clone(), *id)
        });
    }
    DeleteTopicsResponse::default().with_responses(results)
}

fn one(core: &mut Core, context: &Context, name: Option<TopicName>, id: Uuid) -> DeletableTopicResult {
    let found = match &name {
        Some(name) => core.topics.get(name).map(|topic| (topic.name.clone(), topic.id)),
        None => core.topics.by_id(id).map(|topic| (topic.name.clone(), topic.id)),
    };
    let result = match (context.fault, found) {
        (Some((code, When::Before)), _) => Err(code),
        (_, None) if name.is_none() => Err(ErrorCode::UNKNOWN_TOPIC_ID),
        (_, None) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (fault, Some((name, id))) => {
            core.delete_topic(&name);
            match fault {
                Some((code, _)) => Err(code),
                None => Ok((name, id)),
            }
        }
    };
    match result {
        Ok((name, id)) => {
            let told = if context.version >= 6 { id } else { Uuid::nil() };
            DeletableTopicResult::default().with_name(Some(topic_name(&name))).with_topic_id(told)
        }
        Err(code) => refused(context, name, id, code),
    }
}

fn refused(context: &Context, name: Option<TopicName>, id: Uuid, code: ErrorCode) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(name)
        .with_topic_id(if context.version >= 6 { id } else { Uuid::nil() })
        .with_error_code(code.0)
        .with_error_message((context.version >= 5).then(|| text(code.to_string())))
}
