//! FindCoordinator (10), v4 to v6: which broker coordinates a group.

use super::{checked_port, error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::find_coordinator_request as message;

/// What is looked for: a group's coordinator.
const KEY_TYPE_GROUP: i8 = 0;
const COORDINATOR_BYTES_MIN: usize = 1 + 4 + 1 + 4 + 2 + 1 + 1;

#[derive(Debug, Clone)]
pub(crate) struct FindCoordinatorRequest {
    pub(crate) group_ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FindCoordinatorResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) coordinators: Vec<Coordinator>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coordinator {
    pub(crate) group_id: String,
    pub(crate) broker_id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
}

impl Api for FindCoordinatorRequest {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    const VERSIONS: VersionRange = VersionRange::new(4, 6);
    type Response = FindCoordinatorResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let request = message::FindCoordinatorRequest::default()
            .with_key_type(KEY_TYPE_GROUP)
            .with_coordinator_keys(self.group_ids.iter().map(|group_id| text(group_id)).collect());
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let coordinators = reader.compact_array("coordinators", COORDINATOR_BYTES_MIN, coordinator)?;
        reader.skip_tagged_fields()?;
        Ok(FindCoordinatorResponse { throttle_time_ms, coordinators })
    }
}

fn coordinator(reader: &mut Reader) -> Result<Coordinator, DecodeError> {
    let group_id = reader.compact_string("group id")?;
    let broker_id = reader.i32("broker id")?;
    let host = reader.compact_string("host")?;
    let port_at = reader.position();
    let port = reader.i32("port")?;
    let error = error_code(reader)?;
    // An error comes with the address of no broker: id -1, no host, port -1.
    let port = if error.is_ok() { checked_port(port, port_at)? } else { 0 };
    let error_message = reader.compact_nullable_string("error message")?;
    reader.skip_tagged_fields()?;
    Ok(Coordinator { group_id, broker_id, host, port, error, error_message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, versions, written};
    use kafka_protocol::messages::find_coordinator_response as answer;

    fn coordinator(port: i32, error: i16) -> answer::Coordinator {
        tagged!(answer::Coordinator::default())
            .with_key("workers".into())
            .with_node_id(2.into())
            .with_host("kafka-2".into())
            .with_port(port)
            .with_error_code(error)
            .with_error_message(Some("said".into()))
    }

    #[test]
    fn answers_of_all_versions_are_read() {
        let answer = tagged!(answer::FindCoordinatorResponse::default())
            .with_throttle_time_ms(2)
            .with_coordinators(vec![coordinator(9092, 0), coordinator(-1, 15)]);
        let found = Coordinator {
            group_id: "workers".to_owned(),
            broker_id: 2,
            host: "kafka-2".to_owned(),
            port: 9092,
            error: ErrorCode::NONE,
            error_message: Some("said".to_owned()),
        };
        let none = Coordinator { port: 0, error: ErrorCode::COORDINATOR_NOT_AVAILABLE, ..found.clone() };
        let expected = FindCoordinatorResponse { throttle_time_ms: 2, coordinators: vec![found, none] };
        for version in versions(FindCoordinatorRequest::VERSIONS) {
            check_answer::<FindCoordinatorRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn a_coordinator_without_a_port_is_refused() {
        let answer = answer::FindCoordinatorResponse::default().with_coordinators(vec![coordinator(-1, 0)]);
        let error = FindCoordinatorRequest::decode(6, &mut Reader::new(written(&answer, 6))).unwrap_err();
        assert_eq!(error, DecodeError::Invalid { what: "port", at: 25, value: -1 });
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(FindCoordinatorRequest::VERSIONS) {
            let coordinator = answer::Coordinator::default().with_port(1).with_error_message(None);
            let answer =
                answer::FindCoordinatorResponse::default().with_coordinators(vec![coordinator; MANY]);
            check_shortest::<FindCoordinatorRequest>(version, &answer);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let request = FindCoordinatorRequest { group_ids: vec!["a".to_owned(), "b".to_owned()] };
        for version in versions(FindCoordinatorRequest::VERSIONS) {
            let read: message::FindCoordinatorRequest = sent(&request, version);
            let expected = message::FindCoordinatorRequest::default()
                .with_key_type(0)
                .with_coordinator_keys(vec!["a".into(), "b".into()]);
            assert_eq!(read, expected);
        }
    }
}
