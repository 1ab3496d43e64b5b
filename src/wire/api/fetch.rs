//! Fetch (1), v13 to v17: record batches from many partitions, topics by id (KIP-516), sessions (KIP-227).

use super::produce::{LeaderIdAndEpoch, NodeEndpoint};
use crate::error::ErrorCode;
use bytes::Bytes;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IsolationLevel {
    ReadUncommitted,
    ReadCommitted,
}

#[derive(Debug, Clone)]
pub(crate) struct FetchRequest {
    pub(crate) max_wait_ms: i32,
    pub(crate) min_bytes: i32,
    pub(crate) max_bytes: i32,
    pub(crate) isolation_level: IsolationLevel,
    /// 0 asks for a new session.
    pub(crate) session_id: i32,
    /// 0 opens a session with the partitions given, -1 wants none, above 0 continues one.
    pub(crate) session_epoch: i32,
    pub(crate) topics: Vec<FetchTopic>,
    /// Partitions that the session shall drop: (topic id, partitions).
    pub(crate) forgotten: Vec<(Uuid, Vec<i32>)>,
    pub(crate) rack_id: String,
}

#[derive(Debug, Clone)]
pub(crate) struct FetchTopic {
    pub(crate) topic_id: Uuid,
    pub(crate) partitions: Vec<FetchPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchPartition {
    pub(crate) index: i32,
    /// -1: not known.
    pub(crate) current_leader_epoch: i32,
    pub(crate) fetch_offset: i64,
    /// The epoch of the last record read, -1: none (KIP-320).
    pub(crate) last_fetched_epoch: i32,
    pub(crate) max_bytes: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
    pub(crate) session_id: i32,
    pub(crate) topics: Vec<FetchTopicResponse>,
    /// v16 (KIP-951).
    pub(crate) node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchTopicResponse {
    pub(crate) topic_id: Uuid,
    pub(crate) partitions: Vec<FetchPartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchPartitionResponse {
    pub(crate) index: i32,
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    /// KIP-320: (epoch, end offset) where the reader's log and the leader's part.
    pub(crate) diverging_epoch: Option<(i32, i64)>,
    pub(crate) current_leader: Option<LeaderIdAndEpoch>,
    /// In the order of the answer, which is not always sorted: (producer id, first offset).
    pub(crate) aborted_transactions: Vec<(i64, i64)>,
    /// -1: read on from the leader (KIP-392).
    pub(crate) preferred_read_replica: i32,
    /// A slice of the frame: whole batches, the last one perhaps cut.
    pub(crate) records: Bytes,
}
