//! DeleteGroups (42), v2.

use crate::error::ErrorCode;

#[derive(Debug, Clone)]
pub(crate) struct DeleteGroupsRequest {
    pub(crate) group_ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeleteGroupsResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) groups: Vec<(String, ErrorCode)>,
}
