//! Heartbeat (12), v4: a member of a classic group is alive, and hears whether it is to join again.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::heartbeat_request as message;

#[derive(Debug, Clone)]
pub(crate) struct HeartbeatRequest {
    pub(crate) group_id: String,
    pub(crate) generation_id: i32,
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeartbeatResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
}

impl Api for HeartbeatRequest {
    const KEY: ApiKey = ApiKey::Heartbeat;
    const VERSIONS: VersionRange = VersionRange::new(4, 4);
    type Response = HeartbeatResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let request = message::HeartbeatRequest::default()
            .with_group_id(text(&self.group_id))
            .with_generation_id(self.generation_id)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.group_instance_id.as_deref().map(text));
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let response =
            HeartbeatResponse { throttle_time_ms: reader.i32("throttle time")?, error: error_code(reader)? };
        reader.skip_tagged_fields()?;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{sent, tagged, text, versions, written};
    use kafka_protocol::messages::heartbeat_response as answer;

    #[test]
    fn answers_of_all_versions_are_read_and_cut_ones_refused() {
        let answer =
            tagged!(answer::HeartbeatResponse::default()).with_throttle_time_ms(6).with_error_code(27);
        let expected = HeartbeatResponse { throttle_time_ms: 6, error: ErrorCode::REBALANCE_IN_PROGRESS };
        for version in versions(HeartbeatRequest::VERSIONS) {
            let bytes = written(&answer, version);
            let read = |bytes| HeartbeatRequest::decode(version, &mut Reader::new(bytes));
            assert_eq!(read(bytes.clone()).unwrap(), expected);
            for cut in 0..bytes.len() {
                assert!(read(bytes.slice(..cut)).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let request = HeartbeatRequest {
            group_id: "workers".to_owned(),
            generation_id: 3,
            member_id: "one".to_owned(),
            group_instance_id: Some("first".to_owned()),
        };
        let expected = message::HeartbeatRequest::default()
            .with_group_id(text("workers"))
            .with_generation_id(3)
            .with_member_id(text("one"))
            .with_group_instance_id(Some(text("first")));
        for version in versions(HeartbeatRequest::VERSIONS) {
            assert_eq!(sent::<_, message::HeartbeatRequest>(&request, version), expected);
        }
    }
}
