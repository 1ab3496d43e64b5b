//! FindCoordinator (10), v4 to v6: which broker coordinates a group.

use crate::error::ErrorCode;

#[derive(Debug, Clone)]
pub(crate) struct FindCoordinatorRequest {
    pub(crate) group_ids: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FindCoordinatorResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) coordinators: Vec<Coordinator>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coordinator {
    pub(crate) group_id: String,
    pub(crate) broker_id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
}
