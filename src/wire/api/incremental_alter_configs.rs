//! IncrementalAlterConfigs (44), v1: single settings of topics, brokers and groups.

use super::describe_configs::ResourceType;
use crate::error::ErrorCode;

#[derive(Debug, Clone)]
pub(crate) struct IncrementalAlterConfigsRequest {
    pub(crate) resources: Vec<AlteredResource>,
    pub(crate) validate_only: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct AlteredResource {
    pub(crate) resource_type: ResourceType,
    pub(crate) name: String,
    /// (key, value); `None` takes the setting away.
    pub(crate) configs: Vec<(String, Option<String>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncrementalAlterConfigsResponse {
    pub(crate) throttle_time_ms: i32,
    /// (code, message, resource type, name).
    pub(crate) resources: Vec<(ErrorCode, Option<String>, i8, String)>,
}
