//! DeleteTopics (20), v6.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::delete_topics_request as message;

const TOPIC_BYTES_MIN: usize = 1 + 16 + 2 + 1 + 1;

#[derive(Debug, Clone)]
pub(crate) struct DeleteTopicsRequest {
    pub(crate) names: Vec<String>,
    pub(crate) timeout_ms: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeleteTopicsResponse {
    pub(crate) throttle_time_ms: i32,
    /// (name, code, message).
    pub(crate) topics: Vec<(Option<String>, ErrorCode, Option<String>)>,
}

impl Api for DeleteTopicsRequest {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    const VERSIONS: VersionRange = VersionRange::new(6, 6);
    type Response = DeleteTopicsResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let topic = |name: &String| message::DeleteTopicState::default().with_name(Some(text(name)));
        let request = message::DeleteTopicsRequest::default()
            .with_topics(self.names.iter().map(topic).collect())
            .with_timeout_ms(self.timeout_ms);
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let topics = reader.compact_array("topics", TOPIC_BYTES_MIN, topic)?;
        reader.skip_tagged_fields()?;
        Ok(DeleteTopicsResponse { throttle_time_ms, topics })
    }
}

fn topic(reader: &mut Reader) -> Result<(Option<String>, ErrorCode, Option<String>), DecodeError> {
    let name = reader.compact_nullable_string("topic name")?;
    reader.uuid("topic id")?;
    let error = error_code(reader)?;
    let error_message = reader.compact_nullable_string("error message")?;
    reader.skip_tagged_fields()?;
    Ok((name, error, error_message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::delete_topics_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let topic = answer::DeletableTopicResult::default()
            .with_name(Some(text("events")))
            .with_topic_id(uuid::Uuid::from_u128(1))
            .with_error_code(73)
            .with_error_message(Some("not here".into()));
        let nameless = topic.clone().with_name(None);
        let answer = tagged!(answer::DeleteTopicsResponse::default())
            .with_throttle_time_ms(6)
            .with_responses(vec![tagged!(topic), nameless]);
        let message = || Some("not here".to_owned());
        let topics = vec![
            (Some("events".to_owned()), ErrorCode::TOPIC_DELETION_DISABLED, message()),
            (None, ErrorCode::TOPIC_DELETION_DISABLED, message()),
        ];
        let expected = DeleteTopicsResponse { throttle_time_ms: 6, topics };
        for version in versions(DeleteTopicsRequest::VERSIONS) {
            check_answer::<DeleteTopicsRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(DeleteTopicsRequest::VERSIONS) {
            let topic = answer::DeletableTopicResult::default().with_name(None);
            let answer = answer::DeleteTopicsResponse::default().with_responses(vec![topic; MANY]);
            check_shortest::<DeleteTopicsRequest>(version, &answer);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let request = DeleteTopicsRequest { names: vec!["events".to_owned()], timeout_ms: 30_000 };
        let topic = message::DeleteTopicState::default().with_name(Some(text("events")));
        let expected =
            message::DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        for version in versions(DeleteTopicsRequest::VERSIONS) {
            assert_eq!(sent::<_, message::DeleteTopicsRequest>(&request, version), expected);
        }
    }
}
