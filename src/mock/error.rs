//! Why the mock refuses what a test asks of it.

/// Why the mock refused to do what a test asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MockError {
    /// A topic cannot have that name.
    #[error("topic name {0:?}: 1 to 249 of [a-zA-Z0-9._-] are legal")]
    TopicName(String),
    /// A topic of that name is there already.
    #[error("topic {0:?} exists already")]
    TopicExists(String),
    /// A topic needs one partition at least, and never loses one.
    #[error("topic {topic:?}: {count} partitions are not possible")]
    PartitionCount {
        /// The topic.
        topic: String,
        /// What was asked for.
        count: i32,
    },
    /// A topic has no such config, or not with that value.
    #[error("topic {topic:?}: {reason}")]
    Config {
        /// The topic.
        topic: String,
        /// The config, and what is wrong with it.
        reason: String,
    },
    /// There is no such partition.
    #[error("partition {partition} of topic {topic:?} does not exist")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The broker is no replica in sync of the partition, or is stopped.
    #[error("broker {broker} cannot lead partition {partition} of topic {topic:?}: it is no replica in sync")]
    NotInSync {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The broker.
        broker: i32,
    },
    /// The broker holds no replica of the partition, does not exist, or does not run.
    #[error("broker {broker} holds no running replica of partition {partition} of topic {topic:?}")]
    NoReplica {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The broker.
        broker: i32,
    },
    /// The bytes or the record cannot be appended.
    #[error("this is not one whole record batch of magic 2")]
    Batch,
}
