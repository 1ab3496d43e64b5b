//! Metadata (3), v12 and v13: brokers, topics, leaders and their epochs.

use crate::error::ErrorCode;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct MetadataRequest {
    /// `None` asks for all topics, an empty list for none.
    pub(crate) topics: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataResponse {
    pub(crate) throttle_time_ms: i32,
    pub(crate) brokers: Vec<MetadataBroker>,
    pub(crate) cluster_id: Option<String>,
    pub(crate) controller_id: i32,
    pub(crate) topics: Vec<MetadataTopic>,
    /// v13: REBOOTSTRAP_REQUIRED and the like; `NONE` before.
    pub(crate) error: ErrorCode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataBroker {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataTopic {
    pub(crate) error: ErrorCode,
    pub(crate) name: Option<String>,
    pub(crate) id: Uuid,
    pub(crate) is_internal: bool,
    /// In the order of the answer, which Kafka does not sort.
    pub(crate) partitions: Vec<MetadataPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataPartition {
    pub(crate) error: ErrorCode,
    pub(crate) index: i32,
    /// -1 while there is none.
    pub(crate) leader_id: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
}
