//! LeaveGroup (13), v5: a member of a classic group goes for good.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::leave_group_request as message;

const MEMBER_BYTES_MIN: usize = 1 + 1 + 2 + 1;

/// Takes one member out. (The protocol takes several; nothing here needs that.)
#[derive(Debug, Clone)]
pub(crate) struct LeaveGroupRequest {
    pub(crate) group_id: String,
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaveGroupResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
    /// By member.
    pub(crate) errors: Vec<ErrorCode>,
}

impl Api for LeaveGroupRequest {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    const VERSIONS: VersionRange = VersionRange::new(5, 5);
    type Response = LeaveGroupResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let member = message::MemberIdentity::default()
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.group_instance_id.as_deref().map(text));
        let request = message::LeaveGroupRequest::default()
            .with_group_id(text(&self.group_id))
            .with_members(vec![member]);
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let error = error_code(reader)?;
        let errors = reader.compact_array("members", MEMBER_BYTES_MIN, |r| {
            r.compact_string("member id")?;
            r.compact_nullable_string("instance id")?;
            let error = error_code(r)?;
            r.skip_tagged_fields()?;
            Ok(error)
        })?;
        reader.skip_tagged_fields()?;
        Ok(LeaveGroupResponse { throttle_time_ms, error, errors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::leave_group_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let member = answer::MemberResponse::default()
            .with_member_id(text("one"))
            .with_group_instance_id(Some(text("first")))
            .with_error_code(25);
        let answer = tagged!(answer::LeaveGroupResponse::default())
            .with_throttle_time_ms(6)
            .with_error_code(16)
            .with_members(vec![tagged!(member)]);
        let expected = LeaveGroupResponse {
            throttle_time_ms: 6,
            error: ErrorCode::NOT_COORDINATOR,
            errors: vec![ErrorCode::UNKNOWN_MEMBER_ID],
        };
        for version in versions(LeaveGroupRequest::VERSIONS) {
            check_answer::<LeaveGroupRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(LeaveGroupRequest::VERSIONS) {
            let members = vec![answer::MemberResponse::default(); MANY];
            let answer = answer::LeaveGroupResponse::default().with_members(members);
            check_shortest::<LeaveGroupRequest>(version, &answer);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let request = LeaveGroupRequest {
            group_id: "workers".to_owned(),
            member_id: "one".to_owned(),
            group_instance_id: Some("first".to_owned()),
        };
        let member = message::MemberIdentity::default()
            .with_member_id(text("one"))
            .with_group_instance_id(Some(text("first")));
        let expected =
            message::LeaveGroupRequest::default().with_group_id(text("workers")).with_members(vec![member]);
        for version in versions(LeaveGroupRequest::VERSIONS) {
            assert_eq!(sent::<_, message::LeaveGroupRequest>(&request, version), expected);
        }
    }
}
