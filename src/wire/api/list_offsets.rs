//! ListOffsets (2), v7 to v9: the offset at a time, at the start or at the end of partitions.

use super::fetch::IsolationLevel;
use crate::error::ErrorCode;

/// As a timestamp: the end of the log.
pub(crate) const LATEST: i64 = -1;
/// As a timestamp: the start of the log.
pub(crate) const EARLIEST: i64 = -2;

#[derive(Debug, Clone)]
pub(crate) struct ListOffsetsRequest {
    pub(crate) isolation_level: IsolationLevel,
    pub(crate) topics: Vec<(String, Vec<ListOffsetsPartition>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListOffsetsPartition {
    pub(crate) index: i32,
    pub(crate) current_leader_epoch: i32,
    /// Milliseconds since 1970, or `LATEST`, or `EARLIEST`.
    pub(crate) timestamp_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListOffsetsResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) topics: Vec<(String, Vec<ListedOffset>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedOffset {
    pub(crate) index: i32,
    pub(crate) error: ErrorCode,
    pub(crate) timestamp_ms: i64,
    /// -1: no record at or after the time asked for.
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
}
