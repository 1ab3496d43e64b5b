//! What a consumer can report besides records.

use super::{event::StallCause, record::TopicPartition};
use crate::{
    config::ConfigError,
    error::{AuthenticationError, AuthorizationError, ConnectionError, DecodeError, ErrorCode, RequestError},
};
use std::{sync::Arc, time::Duration};

/// What went wrong while consuming.
///
/// After an error that is not fatal the stream goes on; the other partitions are not affected.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The consumer was configured in a way that cannot work.
    #[error("the consumer's settings cannot work")]
    Config(#[source] ConfigError),
    /// The cluster could not be asked for what the consumer needs to start; try again once it can be reached.
    #[error("the consumer cannot start")]
    Start(#[source] RequestError),
    /// A record batch is damaged, also when fetched a second time over a new connection. The partition stops; seek
    /// past the batch to go on without it.
    #[error("{partition}: the batch at offset {offset} is corrupt; seek past it to go on without it")]
    CorruptBatch {
        /// Where it is.
        partition: TopicPartition,
        /// The batch's first offset.
        offset: i64,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// The offset to read does not exist (any more), and the rule for that is to fail. The partition stops; seek to
    /// go on.
    #[error("{partition}: offset {offset} does not exist there; seek to where reading shall go on")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was asked for.
        offset: i64,
    },
    /// The group has no committed offset, and the rule for that is to fail. The partition stops; seek to go on.
    #[error("{partition}: the group has no committed offset; seek to where reading shall start")]
    NoOffset {
        /// The partition.
        partition: TopicPartition,
    },
    /// The log was cut back below what had been read (an unclean leader election). Reading goes on at `to`: records
    /// in between that were handed out are gone, and others may take their offsets.
    #[error("{partition}: the log was cut back from offset {from} to {to}; reading goes on there")]
    LogTruncated {
        /// The partition.
        partition: TopicPartition,
        /// The position before.
        from: i64,
        /// The position now.
        to: i64,
    },
    /// The broker refuses to serve the partition. It is tried again with pauses.
    #[error("{partition}: the broker refuses to serve it; it is tried again")]
    Partition {
        /// The partition.
        partition: TopicPartition,
        /// What the broker says.
        #[source]
        code: ErrorCode,
    },
    /// The broker does not let this client read the partition, or see the group's offset of it. It is tried again with
    /// pauses, so that it goes on once that is granted; other topics go on meanwhile.
    #[error("{partition}: not allowed; it is tried again")]
    Unauthorized {
        /// The partition.
        partition: TopicPartition,
        /// What to grant.
        #[source]
        source: AuthorizationError,
    },
    /// The broker and this client have no common version of an API that reading takes. What it leads is not read until
    /// another broker leads it, or this one was replaced; the others' partitions are.
    #[error("broker {broker} cannot be read from; use brokers of Kafka 3.9 or later")]
    Unsupported {
        /// The broker.
        broker: i32,
        /// The API, and the versions of both sides.
        #[source]
        source: ConnectionError,
    },
    /// A partition that should go forward has not for [`stall_limit`](super::ConsumerBuilder::stall_limit). It is tried on.
    #[error("{partition}: nothing came for {after:?}, {cause}; check its leader and the group's coordinator")]
    Stalled {
        /// The partition.
        partition: TopicPartition,
        /// Whom it waits for.
        cause: StallCause,
        /// How long it has not gone forward.
        after: Duration,
    },
    /// The application did not ask for records in time, and the consumer was told to leave its group then. What was finished
    /// is committed.
    #[error("no records were asked for in {after:?}, so the group was left; build another consumer")]
    MaxPollExceeded {
        /// How long it did not ask.
        after: Duration,
    },
    /// A broker does not take this client for who it says it is.
    #[error(transparent)]
    Authentication(AuthenticationError),
    /// The group's coordinator refuses this member for good.
    #[error("group {group:?} refuses this member; check the group's protocol, name and permissions")]
    Group {
        /// The group's name.
        group: Arc<str>,
        /// What was refused.
        #[source]
        source: RequestError,
    },
}

impl ConsumeError {
    /// Whether the consumer is over: nothing more will come from it.
    pub const fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::Start(_)
                | Self::Authentication(_)
                | Self::Group { .. }
                | Self::MaxPollExceeded { .. }
        )
    }

    /// Whether it may pass without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Start(source) => source.is_retriable(),
            Self::Authentication(source) => source.is_retriable(),
            Self::Partition { .. } | Self::LogTruncated { .. } | Self::Stalled { .. } => true,
            _ => false,
        }
    }
}

impl ConsumeError {
    /// The cluster could not be asked.
    pub(crate) fn of_start(source: RequestError) -> Self {
        match source.fatal_authentication() {
            Some(error) => Self::Authentication(error.clone()),
            None => Self::Start(source),
        }
    }

    /// The broker refused a partition.
    pub(crate) fn of_partition(partition: TopicPartition, code: ErrorCode) -> Self {
        match AuthorizationError::of(code, &partition.topic, "READ") {
            Some(source) => Self::Unauthorized { partition, source },
            None => Self::Partition { partition, code },
        }
    }
}

/// Why a commit did not happen.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The consumer has no group to commit to; name one when building it.
    #[error("the consumer has no group; name one when building it")]
    NoGroup,
    /// The partitions were taken away before the commit was through; their new owner reads on from the last one.
    #[error("the partitions were taken away before the commit was through")]
    Lost,
    /// The broker refused the offset of one partition.
    #[error("{partition}: the offset was refused")]
    Refused {
        /// The partition.
        partition: TopicPartition,
        /// What the broker says.
        #[source]
        code: ErrorCode,
    },
    /// The broker does not let this client commit to the topic or the group.
    #[error("{partition}: not allowed")]
    Unauthorized {
        /// The partition.
        partition: TopicPartition,
        /// What to grant.
        #[source]
        source: AuthorizationError,
    },
    /// The coordinator could not be asked; what is finished is committed with the next try.
    #[error("the group's coordinator did not take the commit")]
    Request(#[source] RequestError),
    /// The consumer was closed.
    #[error("the consumer is closed")]
    Closed,
}

impl CommitError {
    /// The broker refused the offset of a partition.
    pub(crate) fn of_partition(partition: TopicPartition, group: &str, code: ErrorCode) -> Self {
        let is_group = code == ErrorCode::GROUP_AUTHORIZATION_FAILED;
        let name = if is_group { group } else { &*partition.topic };
        match AuthorizationError::of(code, name, "READ") {
            Some(source) => Self::Unauthorized { partition, source },
            None => Self::Refused { partition, code },
        }
    }

    /// Whether another try may succeed without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Request(source) => source.is_retriable(),
            Self::NoGroup | Self::Lost | Self::Closed | Self::Unauthorized { .. } => false,
        }
    }
}

/// A seek, pause or resume named a partition that this consumer does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{partition} is not assigned to this consumer")]
pub struct NotAssigned {
    /// The partition.
    pub partition: TopicPartition,
}
