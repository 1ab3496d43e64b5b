//! DeleteTopics (20), v6.

use crate::error::ErrorCode;

#[derive(Debug, Clone)]
pub(crate) struct DeleteTopicsRequest {
    pub(crate) names: Vec<String>,
    pub(crate) timeout_ms: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeleteTopicsResponse {
    pub(crate) throttle_time_ms: i32,
    /// (name, code, message).
    pub(crate) topics: Vec<(Option<String>, ErrorCode, Option<String>)>,
}
