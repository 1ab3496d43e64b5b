//! What a member asks of its task, and what came of it.

use super::{
    classic::{Answer, Question},
    committed::Asked,
};
use crate::{
    consumer::core::CommitEntry,
    error::RequestError,
    wire::api::{
        consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse},
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse},
        offset_commit::{OffsetCommitRequest, OffsetCommitResponse},
        offset_fetch::{OffsetFetchRequest, OffsetFetchResponse},
    },
};
use std::sync::Arc;

/// What only a task can do; to be begun in the order in which it is given.
#[derive(Debug)]
pub(crate) enum Work {
    /// Look the coordinator up.
    FindCoordinator,
    /// This broker is the coordinator: ask it from now on.
    Connect(i32),
    /// It is not the coordinator any more: drop the connection, and forget who it was.
    Disconnect,
    /// Topics are not known by name.
    RefreshMetadata,
    /// Topics that other members read are to be in the metadata.
    LearnTopics(Vec<Arc<str>>),
    /// Ask any broker.
    ReadSessionTimeout(DescribeConfigsRequest),
    /// Ask the coordinator, as for what follows.
    Heartbeat {
        number: u64,
        request: ConsumerGroupHeartbeatRequest,
    },
    Classic {
        number: u64,
        question: Question,
    },
    FetchOffsets {
        asked: Asked,
        request: OffsetFetchRequest,
    },
    Commit {
        entries: Vec<CommitEntry>,
        request: OffsetCommitRequest,
    },
}

/// What came of the work of the same name.
#[derive(Debug)]
pub(crate) enum Done {
    FindCoordinator(Result<i32, RequestError>),
    ReadSessionTimeout(Result<DescribeConfigsResponse, RequestError>),
    Heartbeat { number: u64, outcome: Result<ConsumerGroupHeartbeatResponse, RequestError> },
    Classic { number: u64, outcome: Result<Answer, RequestError> },
    FetchOffsets { asked: Asked, outcome: Result<OffsetFetchResponse, RequestError> },
    Commit { entries: Vec<CommitEntry>, outcome: Result<OffsetCommitResponse, RequestError> },
}
