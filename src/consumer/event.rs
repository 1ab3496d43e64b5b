//! What happens to a consumer besides records and errors.

use super::record::TopicPartition;
use std::{fmt, time::Duration};

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
    /// A partition that should go forward has not for [`stall_after`](super::ConsumerBuilder::stall_after). Told once for each stall.
    Stalled {
        /// The partition.
        partition: TopicPartition,
        /// Whom it waits for.
        cause: StallCause,
        /// How long it has not gone forward.
        after: Duration,
    },
    /// A partition that was stalled goes forward again, or has nothing more to wait for.
    Resumed {
        /// The partition.
        partition: TopicPartition,
    },
    /// The application has not asked for records for [`max_poll_interval`](super::ConsumerBuilder::max_poll_interval), though
    /// there were some or it holds one. The consumer stays in its group unless
    /// [`leave_after_max_poll`](super::ConsumerBuilder::leave_after_max_poll) says otherwise.
    MaxPollExceeded {
        /// How long it has not asked.
        after: Duration,
    },
}

/// Whom a partition waits for that does not go forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StallCause {
    /// Records are here, and the application does not take them.
    Application,
    /// The broker does not give records that it should have, refuses them, or does not answer.
    Broker,
    /// Where to read is not known: nobody answers what the group has committed, or where the log begins or ends.
    Position,
    /// Only records behind a transaction that is still open are left, which
    /// [`ReadCommitted`](super::Isolation::ReadCommitted) does not give.
    OpenTransaction,
}

impl fmt::Display for StallCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Application => "the application takes no records",
            Self::Broker => "the broker gives no records",
            Self::Position => "the offset to read from is not known",
            Self::OpenTransaction => "a transaction is still open",
        })
    }
}
