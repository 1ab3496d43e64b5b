//! JoinGroup (11), v9: a member of a classic group comes, and waits until all have come.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::join_group_request as message;

const MEMBER_BYTES_MIN: usize = 1 + 1 + 1 + 1;

#[derive(Debug, Clone)]
pub(crate) struct JoinGroupRequest {
    pub(crate) group_id: String,
    pub(crate) session_timeout_ms: i32,
    /// How long the group waits for this member to join again.
    pub(crate) rebalance_timeout_ms: i32,
    /// Empty: it has none yet.
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) protocol_type: &'static str,
    /// Names, best first, each with what the leader is told of this member.
    pub(crate) protocols: Vec<(&'static str, Bytes)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinGroupResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
    pub(crate) generation_id: i32,
    pub(crate) protocol_name: Option<String>,
    pub(crate) leader: String,
    /// The leader is to leave the assignment as it is (KIP-814).
    pub(crate) skip_assignment: bool,
    pub(crate) member_id: String,
    /// All members, for the leader; nobody for the others.
    pub(crate) members: Vec<JoinedMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) metadata: Bytes,
}

impl Api for JoinGroupRequest {
    const KEY: ApiKey = ApiKey::JoinGroup;
    const VERSIONS: VersionRange = VersionRange::new(9, 9);
    type Response = JoinGroupResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let protocol = |(name, metadata): &(&str, Bytes)| {
            message::JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata.clone())
        };
        let request = message::JoinGroupRequest::default()
            .with_group_id(text(&self.group_id))
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(self.group_instance_id.as_deref().map(text))
            .with_protocol_type(text(self.protocol_type))
            .with_protocols(self.protocols.iter().map(protocol).collect());
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let error = error_code(reader)?;
        let generation_id = reader.i32("generation")?;
        reader.compact_nullable_string("protocol type")?;
        let response = JoinGroupResponse {
            throttle_time_ms,
            error,
            generation_id,
            protocol_name: reader.compact_nullable_string("protocol name")?,
            leader: reader.compact_string("leader")?,
            skip_assignment: reader.bool("skip assignment")?,
            member_id: reader.compact_string("member id")?,
            members: reader.compact_array("members", MEMBER_BYTES_MIN, member)?,
        };
        reader.skip_tagged_fields()?;
        Ok(response)
    }
}

fn member(reader: &mut Reader) -> Result<JoinedMember, DecodeError> {
    let at = reader.position();
    let member = JoinedMember {
        member_id: reader.compact_string("member id")?,
        group_instance_id: reader.compact_nullable_string("instance id")?,
        metadata: reader
            .compact_nullable_bytes("member metadata")?
            .ok_or(DecodeError::Null { what: "member metadata", at })?,
    };
    reader.skip_tagged_fields()?;
    Ok(member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::join_group_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let member = answer::JoinGroupResponseMember::default()
            .with_member_id(text("one"))
            .with_group_instance_id(Some(text("first")))
            .with_metadata(Bytes::from_static(b"topics"));
        let answer = tagged!(answer::JoinGroupResponse::default())
            .with_throttle_time_ms(6)
            .with_error_code(27)
            .with_generation_id(3)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_leader(text("one"))
            .with_skip_assignment(true)
            .with_member_id(text("two"))
            .with_members(vec![tagged!(member)]);
        let member = JoinedMember {
            member_id: "one".to_owned(),
            group_instance_id: Some("first".to_owned()),
            metadata: Bytes::from_static(b"topics"),
        };
        let expected = JoinGroupResponse {
            throttle_time_ms: 6,
            error: ErrorCode::REBALANCE_IN_PROGRESS,
            generation_id: 3,
            protocol_name: Some("range".to_owned()),
            leader: "one".to_owned(),
            skip_assignment: true,
            member_id: "two".to_owned(),
            members: vec![member],
        };
        for version in versions(JoinGroupRequest::VERSIONS) {
            check_answer::<JoinGroupRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(JoinGroupRequest::VERSIONS) {
            let members = vec![answer::JoinGroupResponseMember::default(); MANY];
            let answer = answer::JoinGroupResponse::default().with_members(members);
            check_shortest::<JoinGroupRequest>(version, &answer);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let request = JoinGroupRequest {
            group_id: "workers".to_owned(),
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 60_000,
            member_id: "one".to_owned(),
            group_instance_id: Some("first".to_owned()),
            protocol_type: "consumer",
            protocols: vec![("range", Bytes::from_static(b"topics"))],
        };
        let protocol = message::JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"topics"));
        let expected = message::JoinGroupRequest::default()
            .with_group_id(text("workers"))
            .with_session_timeout_ms(45_000)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(text("one"))
            .with_group_instance_id(Some(text("first")))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        for version in versions(JoinGroupRequest::VERSIONS) {
            assert_eq!(sent::<_, message::JoinGroupRequest>(&request, version), expected);
        }
    }
}
