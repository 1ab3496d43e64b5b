//! SyncGroup (14), v5: the leader of a classic group brings the assignments, every member takes its own.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::sync_group_request as message;

#[derive(Debug, Clone)]
pub(crate) struct SyncGroupRequest {
    pub(crate) group_id: String,
    pub(crate) generation_id: i32,
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) protocol_type: &'static str,
    pub(crate) protocol_name: String,
    /// By member id; from the leader only.
    pub(crate) assignments: Vec<(String, Bytes)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyncGroupResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
    pub(crate) protocol_name: Option<String>,
    pub(crate) assignment: Bytes,
}

impl Api for SyncGroupRequest {
    const KEY: ApiKey = ApiKey::SyncGroup;
    const VERSIONS: VersionRange = VersionRange::new(5, 5);
    type Response = SyncGroupResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let assignment = |(member_id, assignment): &(String, Bytes)| {
            message::SyncGroupRequestAssignment::default()
                .with_member_id(text(member_id))
                .with_assignment(assignment.clone())
        };
        let request = message::SyncGroupRequest::default()
            .with_group_id(text(&self.group_id))
            .with_generation_id(self.generation_id)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.group_instance_id.as_deref().map(text))
            .with_protocol_type(Some(text(self.protocol_type)))
            .with_protocol_name(Some(text(&self.protocol_name)))
            .with_assignments(self.assignments.iter().map(assignment).collect());
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let error = error_code(reader)?;
        reader.compact_nullable_string("protocol type")?;
        let protocol_name = reader.compact_nullable_string("protocol name")?;
        // What is refused has none.
        let assignment = reader.compact_nullable_bytes("assignment")?.unwrap_or_default();
        reader.skip_tagged_fields()?;
        Ok(SyncGroupResponse { throttle_time_ms, error, protocol_name, assignment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{sent, tagged, text, versions, written};
    use kafka_protocol::messages::sync_group_response as answer;

    #[test]
    fn answers_of_all_versions_are_read_and_cut_ones_refused() {
        let answer = tagged!(answer::SyncGroupResponse::default())
            .with_throttle_time_ms(6)
            .with_error_code(22)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignment(Bytes::from_static(b"all"));
        let expected = SyncGroupResponse {
            throttle_time_ms: 6,
            error: ErrorCode::ILLEGAL_GENERATION,
            protocol_name: Some("range".to_owned()),
            assignment: Bytes::from_static(b"all"),
        };
        for version in versions(SyncGroupRequest::VERSIONS) {
            let bytes = written(&answer, version);
            let read = |bytes| SyncGroupRequest::decode(version, &mut Reader::new(bytes));
            assert_eq!(read(bytes.clone()).unwrap(), expected);
            for cut in 0..bytes.len() {
                assert!(read(bytes.slice(..cut)).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let request = SyncGroupRequest {
            group_id: "workers".to_owned(),
            generation_id: 3,
            member_id: "one".to_owned(),
            group_instance_id: Some("first".to_owned()),
            protocol_type: "consumer",
            protocol_name: "range".to_owned(),
            assignments: vec![("one".to_owned(), Bytes::from_static(b"all"))],
        };
        let given = message::SyncGroupRequestAssignment::default()
            .with_member_id(text("one"))
            .with_assignment(Bytes::from_static(b"all"));
        let expected = message::SyncGroupRequest::default()
            .with_group_id(text("workers"))
            .with_generation_id(3)
            .with_member_id(text("one"))
            .with_group_instance_id(Some(text("first")))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(vec![given]);
        for version in versions(SyncGroupRequest::VERSIONS) {
            assert_eq!(sent::<_, message::SyncGroupRequest>(&request, version), expected);
        }
    }
}
