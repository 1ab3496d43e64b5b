//! OffsetFetch (9), v9: where groups stand.

use super::offset_commit::CommittedPartition;
use crate::error::ErrorCode;

/// Asks for one group. (The protocol takes several; nothing here needs that.)
#[derive(Debug, Clone)]
pub(crate) struct OffsetFetchRequest {
    pub(crate) group_id: String,
    pub(crate) member_id: Option<String>,
    /// -1 outside a group.
    pub(crate) member_epoch: i32,
    /// `None`: all partitions that have an offset.
    pub(crate) topics: Option<Vec<(String, Vec<i32>)>>,
    /// Wait out open transactions' commits (KIP-447).
    pub(crate) require_stable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OffsetFetchResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) group_id: String,
    pub(crate) error: ErrorCode,
    /// Offset -1: none committed.
    pub(crate) topics: Vec<(String, Vec<(CommittedPartition, ErrorCode)>)>,
}
