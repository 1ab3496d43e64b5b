//! DeleteTopics (20), v1 to v6.
//!
//! * v5: error messages. v6: topics by name or by id.

use super::topic_name;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::hooks::When;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use uuid::Uuid;

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = request.topic_names.into_iter().map(|name| (Some(name), Uuid::nil()));
    let by_state = request.topics.into_iter().map(|topic| (topic.name, topic.topic_id));
    let asked: Vec<_> = by_name.chain(by_state).collect();
    let results = asked.into_iter().map(|(name, id)| one(core, context, name, id));
    DeleteTopicsResponse::default().with_responses(results.collect())
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
        Err(code) => DeletableTopicResult::default()
            .with_name(name)
            .with_topic_id(if context.version >= 6 { id } else { Uuid::nil() })
            .with_error_code(code.0),
    }
}
