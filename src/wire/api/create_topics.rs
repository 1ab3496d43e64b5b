//! CreateTopics (19), v7.

use crate::error::ErrorCode;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct CreateTopicsRequest {
    pub(crate) topics: Vec<CreatableTopic>,
    pub(crate) timeout_ms: i32,
    pub(crate) validate_only: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct CreatableTopic {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i16,
    pub(crate) configs: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreateTopicsResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) topics: Vec<CreatedTopic>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreatedTopic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i16,
}
