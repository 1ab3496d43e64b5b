//! DescribeConfigs (32), v4: settings of topics, brokers and groups.

use crate::error::ErrorCode;

/// What a setting belongs to, by Kafka's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum ResourceType {
    Topic = 2,
    Broker = 4,
    Group = 32,
}

#[derive(Debug, Clone)]
pub(crate) struct DescribeConfigsRequest {
    /// (type, name, keys; `None`: all).
    pub(crate) resources: Vec<(ResourceType, String, Option<Vec<String>>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribeConfigsResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) resources: Vec<DescribedResource>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedResource {
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
    pub(crate) resource_type: i8,
    pub(crate) name: String,
    pub(crate) configs: Vec<DescribedConfig>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedConfig {
    pub(crate) name: String,
    /// `None` for secrets.
    pub(crate) value: Option<String>,
    pub(crate) read_only: bool,
    /// Kafka's number: 1 set on the topic, 2 and 3 on the broker, 4 static broker file, 5 default, 8 set on the group.
    pub(crate) source: i8,
    pub(crate) is_sensitive: bool,
}
