//! How producing can fail, per operation: starting, handing a record over, and delivering it.

use crate::{
    config::ConfigError,
    error::{AuthenticationError, AuthorizationError, ErrorCode, RequestError},
    producer::{durability::TopicFinding, record::ProducerRecord},
};
use std::{fmt, sync::Arc, time::Duration};

/// Why a producer could not be started.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be used.
    #[error("the producer's settings cannot be used")]
    Config(#[from] ConfigError),
    /// The cluster gave no producer id.
    #[error("the cluster gave no producer id; check that a broker is up and lets this client write")]
    ProducerId(#[source] RequestError),
}

impl StartError {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::ProducerId(source) if source.is_retriable())
    }
}

/// Why a record was not taken. Nothing of it was, or will be, sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The topic's partitions could not be learnt.
    #[error("topic {topic:?}: its partitions are not known")]
    Topic {
        /// The topic.
        topic: Arc<str>,
        /// What asking for them came to.
        #[source]
        source: RequestError,
    },
    /// The topic does not keep what the producer was told to require.
    #[error("{0}; change that, or go without require_durability")]
    NotDurable(TopicFinding),
    /// The topic has no such partition.
    #[error("partition: must be below the topic's count of {count}, not {partition}")]
    UnknownPartition {
        /// The partition that the record names.
        partition: i32,
        /// How many the topic has.
        count: usize,
    },
    /// The record is larger than the broker takes, even in a batch of its own.
    #[error(
        "record: {bytes} bytes in a batch of its own exceed the limit max_message_bytes = {limit}; send less, or \
         raise the producer's and the topic's (max.message.bytes), of which the smaller counts"
    )]
    TooLarge {
        /// The batch's size, its header included, before compression.
        bytes: usize,
        /// The producer's `max_message_bytes` or the topic's `max.message.bytes`, whichever is smaller.
        limit: usize,
    },
    /// The producer was closed.
    #[error("the producer is closed")]
    Closed,
}

impl SendError {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Topic { source, .. } if source.is_retriable())
    }
}

/// Why `try_send` did not take a record.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TrySendCause {
    /// The memory for records without an outcome is used up; wait with `send`, or drop the record.
    #[error("the producer's buffer is full")]
    Full,
    /// The topic's partitions are not known yet; `send` waits for them, and so does `prepare`.
    #[error("topic {topic:?}: its partitions are not known yet")]
    TopicNotReady {
        /// The topic.
        topic: Arc<str>,
    },
    /// It cannot be taken later either.
    #[error(transparent)]
    Refused(#[from] SendError),
}

impl TrySendCause {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Full | Self::TopicNotReady { .. } => true,
            Self::Refused(cause) => cause.is_retriable(),
        }
    }
}

/// What `try_send` gives back: the record, and why it was not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the record was not taken")]
pub struct TrySendError {
    /// The record, as it was given.
    pub record: Box<ProducerRecord>,
    /// Why.
    #[source]
    pub cause: TrySendCause,
}

/// Why a record that was taken has no place in the log that the producer could name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The record is not in the log and never will be. Sending it again makes no duplicate.
    #[error("the record was not sent")]
    NotSent(#[source] NotSent),
    /// The record may or may not be in the log. Sending it again may make a duplicate.
    #[error("whether the record was written is unknown")]
    Unknown(#[source] Unknown),
}

impl DeliveryError {
    /// Whether sending the record again may succeed, and surely makes no duplicate.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::NotSent(cause) if cause.is_retriable())
    }
}

/// Why a record was surely not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// It could not be sent within the delivery timeout; check that the partition has a leader and enough replicas.
    #[error("it could not be sent within {after:?}{}", last_answer(.last))]
    TimedOut {
        /// The delivery timeout.
        after: Duration,
        /// The broker's last answer for the partition, if there was one.
        last: Option<ErrorCode>,
    },
    /// The broker refused its batch.
    #[error("the broker refused its batch{}", explained(.message))]
    Rejected {
        /// The broker's code.
        #[source]
        code: ErrorCode,
        /// What the broker said besides.
        message: Option<Arc<str>>,
    },
    /// The broker does not let this client write there. Records for other topics are not concerned.
    #[error(transparent)]
    Unauthorized(AuthorizationError),
    /// The broker refused this record; those around it were sent without it.
    #[error("the broker refused the record{}", explained(.message))]
    RecordRejected {
        /// The broker's code for the batch that it was in.
        #[source]
        code: ErrorCode,
        /// What the broker said of the record.
        message: Option<Arc<str>>,
    },
    /// It is larger than the topic's `max.message.bytes` allows, even in a batch of its own.
    #[error(
        "it is larger than the topic allows, in a batch of its own of {bytes} bytes; send less, or raise the topic's max.message.bytes"
    )]
    TooLarge {
        /// The batch as it was sent, its header included.
        bytes: usize,
    },
    /// The partition's leader is too old, or too new, for this client.
    #[error("{0}")]
    Unsupported(Unsupported),
    /// The partition's leader does not take this client for who it says it is.
    #[error(transparent)]
    Authentication(AuthenticationError),
    /// The topic was deleted and created again while the record waited.
    #[error("the topic was deleted and created again")]
    TopicRecreated,
    /// The producer was closed before it was sent.
    #[error("the producer was closed before it was sent")]
    Closed,
}

impl NotSent {
    /// Whether sending the record again, without anything being changed, may succeed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::TopicRecreated => true,
            Self::Rejected { code, .. } => code.is_retriable(),
            Self::RecordRejected { .. } | Self::Unauthorized(_) => false,
            Self::TooLarge { .. } | Self::Unsupported(_) | Self::Authentication(_) | Self::Closed => false,
        }
    }
}

/// Why it is not known whether a record was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// It was sent, and no answer that settles it came within the delivery timeout.
    #[error("no final answer within {after:?}{}", last_answer(.last))]
    TimedOut {
        /// The delivery timeout.
        after: Duration,
        /// The last answer to it, if there was one.
        last: Option<ErrorCode>,
    },
    /// An earlier attempt may have written it, and the answer to a later one does not tell.
    #[error("an earlier attempt may have written it, and the last answer does not tell")]
    Refused {
        /// The last answer.
        #[source]
        code: ErrorCode,
    },
    /// The partition's leader was changed for one that is too old, or too new, for this client.
    #[error("{0}")]
    Unsupported(Unsupported),
    /// The partition's leader does not take this client for who it says it is any more.
    #[error(transparent)]
    Authentication(AuthenticationError),
    /// The topic was deleted and created again while an answer was awaited.
    #[error("the topic was deleted and created again before an answer came")]
    TopicRecreated,
    /// The producer was closed while an answer was awaited.
    #[error("the producer was closed before an answer came")]
    Closed,
}

/// A broker and this client have no version of Produce in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsupported {
    /// The broker.
    pub broker_id: i32,
    /// The versions of Produce that this client speaks, lowest and highest.
    pub ours: (i16, i16),
    /// Those that the broker speaks; `None` if it has no Produce.
    pub theirs: Option<(i16, i16)>,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker_id, ours: (min, max), theirs } = self;
        write!(f, "broker {broker_id}: this client speaks Produce {min} to {max}, the broker ")?;
        match theirs {
            Some((min, max)) => write!(f, "{min} to {max}; ")?,
            None => f.write_str("none; ")?,
        }
        f.write_str("use a broker of Kafka 3.9 or later")
    }
}

fn last_answer(last: &Option<ErrorCode>) -> String {
    last.map(|code| format!("; the last answer was {code}")).unwrap_or_default()
}

fn explained(message: &Option<Arc<str>>) -> String {
    message.as_ref().map(|message| format!(": {message}")).unwrap_or_default()
}
