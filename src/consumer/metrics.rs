//! What a consumer counts: in all, by broker, by partition.
//!
//! Invariant: counting is done under the lock that is held anyway, and allocates nothing; a snapshot looks at everything.

use super::{event::StallCause, record::TopicPartition};
use std::time::Instant;

/// A consumer's counts since its start, taken at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerMetrics {
    /// Records handed out.
    pub records: u64,
    /// Answers that held batches, counted for each partition.
    pub fetches: u64,
    /// Bytes of batches that came, as they were sent; those that came twice count twice.
    pub bytes: u64,
    /// Memory taken by what was fetched and not handed out now, in bytes as sent.
    pub buffered_bytes: u64,
    /// The memory that there is for it.
    pub buffer_bytes: u64,
    /// Times that a partition stalled.
    pub stalls: u64,
    /// Times that the application did not ask for records in time.
    pub max_polls_exceeded: u64,
    /// Each broker that was asked for records, by its id.
    pub brokers: Vec<BrokerMetrics>,
    /// Each partition that is assigned now, in the order in which they came.
    pub partitions: Vec<PartitionMetrics>,
}

/// What a consumer counted of one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerMetrics {
    /// The broker.
    pub broker_id: i32,
    /// Fetch requests sent.
    pub fetches: u64,
    /// Those that were answered without an error of the whole.
    pub answers: u64,
    /// Bytes of batches that came from it.
    pub bytes: u64,
}

/// What a consumer counted of one partition since it was assigned, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionMetrics {
    /// The partition.
    pub partition: TopicPartition,
    /// The broker it is read from, `None` while that is not known.
    pub broker_id: Option<i32>,
    /// The offset after the last record handed out; `None` while it is not known.
    pub position: Option<i64>,
    /// How many offsets lie between the position and the end; `None` while either is not known.
    pub lag: Option<i64>,
    /// Memory taken by what was fetched of it and not handed out, in bytes as sent.
    pub buffered_bytes: u64,
    /// Records handed out.
    pub records: u64,
    /// Answers that held batches of it.
    pub fetches: u64,
    /// Bytes of batches that came.
    pub bytes: u64,
    /// Whether the application has paused it.
    pub is_paused: bool,
    /// Times that it stalled.
    pub stalls: u64,
    /// Whom it waits for, if it is stalled now.
    pub stalled: Option<StallCause>,
}

/// What is counted of one broker.
#[derive(Debug, Default)]
pub(crate) struct BrokerCounts {
    pub(crate) fetches: u64,
    pub(crate) answers: u64,
    pub(crate) bytes: u64,
    /// When it answered last.
    pub(crate) answered_at: Option<Instant>,
}

impl BrokerCounts {
    pub(crate) fn snapshot(&self, broker_id: i32) -> BrokerMetrics {
        let Self { fetches, answers, bytes, .. } = *self;
        BrokerMetrics { broker_id, fetches, answers, bytes }
    }
}

/// What is counted of one partition, and of all.
#[derive(Debug, Default)]
pub(crate) struct PartitionCounts {
    pub(crate) records: u64,
    pub(crate) fetches: u64,
    pub(crate) bytes: u64,
}

impl PartitionCounts {
    pub(crate) fn fetched(&mut self, bytes: usize) {
        self.fetches += 1;
        self.bytes += count(bytes);
    }

    pub(crate) fn handed_out(&mut self, records: usize) {
        self.records += count(records);
    }
}

/// A length as a count.
pub(crate) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
