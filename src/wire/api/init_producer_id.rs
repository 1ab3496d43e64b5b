//! InitProducerId (22), v4 and v5: a producer id for idempotent producing.

use crate::error::ErrorCode;

/// Asks for a fresh producer id (no transactional id).
#[derive(Debug, Clone)]
pub(crate) struct InitProducerIdRequest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InitProducerIdResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) error: ErrorCode,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
}
