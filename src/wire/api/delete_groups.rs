//! DeleteGroups (42), v2.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::delete_groups_request as message;

const GROUP_BYTES_MIN: usize = 1 + 2 + 1;

#[derive(Debug, Clone)]
pub(crate) struct DeleteGroupsRequest {
    pub(crate) group_ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeleteGroupsResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) groups: Vec<(String, ErrorCode)>,
}

impl Api for DeleteGroupsRequest {
    const KEY: ApiKey = ApiKey::DeleteGroups;
    const VERSIONS: VersionRange = VersionRange::new(2, 2);
    type Response = DeleteGroupsResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let request = message::DeleteGroupsRequest::default()
            .with_groups_names(self.group_ids.iter().map(|group_id| text(group_id)).collect());
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let throttle_time_ms = reader.i32("throttle time")?;
        let groups = reader.compact_array("groups", GROUP_BYTES_MIN, |r| {
            let group = (r.compact_string("group id")?, error_code(r)?);
            r.skip_tagged_fields()?;
            Ok(group)
        })?;
        reader.skip_tagged_fields()?;
        Ok(DeleteGroupsResponse { throttle_time_ms, groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::delete_groups_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let group =
            answer::DeletableGroupResult::default().with_group_id(text("workers")).with_error_code(68);
        let answer = tagged!(answer::DeleteGroupsResponse::default())
            .with_throttle_time_ms(6)
            .with_results(vec![tagged!(group)]);
        let groups = vec![("workers".to_owned(), ErrorCode::NON_EMPTY_GROUP)];
        let expected = DeleteGroupsResponse { throttle_time_ms: 6, groups };
        for version in versions(DeleteGroupsRequest::VERSIONS) {
            check_answer::<DeleteGroupsRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(DeleteGroupsRequest::VERSIONS) {
            let groups = vec![answer::DeletableGroupResult::default(); MANY];
            let answer = answer::DeleteGroupsResponse::default().with_results(groups);
            check_shortest::<DeleteGroupsRequest>(version, &answer);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let request = DeleteGroupsRequest { group_ids: vec!["a".to_owned(), "b".to_owned()] };
        let expected = message::DeleteGroupsRequest::default().with_groups_names(vec![text("a"), text("b")]);
        for version in versions(DeleteGroupsRequest::VERSIONS) {
            assert_eq!(sent::<_, message::DeleteGroupsRequest>(&request, version), expected);
        }
    }
}
