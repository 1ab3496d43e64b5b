//! OffsetCommit (8), v9: where a group stands.

use crate::error::ErrorCode;

#[derive(Debug, Clone)]
pub(crate) struct OffsetCommitRequest {
    pub(crate) group_id: String,
    /// The member epoch (KIP-848) or generation; -1 outside a group.
    pub(crate) generation_or_member_epoch: i32,
    /// Empty outside a group.
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) topics: Vec<(String, Vec<CommittedPartition>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommittedPartition {
    pub(crate) index: i32,
    /// The next offset to read.
    pub(crate) offset: i64,
    /// -1: none.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetCommitResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) topics: Vec<(String, Vec<(i32, ErrorCode)>)>,
}
