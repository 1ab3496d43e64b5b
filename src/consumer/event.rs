//! What happens to a consumer besides records and errors.

use super::record::TopicPartition;

/// A change in the life of a consumer, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// These partitions are read from now on.
    Assigned(Vec<TopicPartition>),
    /// These partitions go to another member; nothing of them is handed out any more. What was finished is
    /// being committed.
    Revoked(Vec<TopicPartition>),
    /// The group dropped this member, or could not be reached for so long that it must have. Nothing of these
    /// partitions is handed out any more, and nothing of them could be committed.
    Lost(Vec<TopicPartition>),
    /// Reading of a partition starts at an offset that a rule chose, not a commit or the caller.
    Reset {
        /// The partition.
        partition: TopicPartition,
        /// The offset that does not exist any more, `None` if there was none.
        from: Option<i64>,
        /// Where reading goes on.
        to: i64,
    },
    /// The log was cut back below what had been read (an unclean leader election).
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// The position before.
        from: i64,
        /// The position now.
        to: i64,
    },
}
