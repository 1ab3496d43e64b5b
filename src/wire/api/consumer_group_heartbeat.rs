//! ConsumerGroupHeartbeat (68), v0 and v1: the one request of KIP-848 membership.

use crate::error::ErrorCode;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct ConsumerGroupHeartbeatRequest {
    pub(crate) group_id: String,
    /// v1 wants the member's own UUID; v0 takes it, too.
    pub(crate) member_id: String,
    /// 0 joins, -1 leaves, -2 leaves for a while (static membership).
    pub(crate) member_epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    /// -1: as last said.
    pub(crate) rebalance_timeout_ms: i32,
    /// `None`: as last said.
    pub(crate) subscribed_topic_names: Option<Vec<String>>,
    pub(crate) server_assignor: Option<String>,
    /// What the member owns; `None`: as last said.
    pub(crate) owned: Option<Vec<(Uuid, Vec<i32>)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsumerGroupHeartbeatResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
    pub(crate) member_id: Option<String>,
    pub(crate) member_epoch: i32,
    pub(crate) heartbeat_interval_ms: i32,
    /// `None`: as last said.
    pub(crate) assignment: Option<Vec<(Uuid, Vec<i32>)>>,
}
