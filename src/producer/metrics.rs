//! What a producer counts: in all, by broker, by topic.
//!
//! Invariant: counting is done per batch and per request, never per record, and takes no lock; a snapshot does.

use crate::metrics::{Histogram, Recorder};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// A producer's counts since its start, taken at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerMetrics {
    /// Records put into requests for the first time.
    pub records: u64,
    /// Batches put into requests for the first time.
    pub batches: u64,
    /// Their bytes before compression, batch headers included.
    pub bytes_uncompressed: u64,
    /// Their bytes as sent.
    pub bytes_compressed: u64,
    /// Requests sent.
    pub requests: u64,
    /// Batches that have to be sent again.
    pub retries: u64,
    /// Requests without an answer now.
    pub requests_in_flight: u64,
    /// Memory taken by records without an outcome now, or set aside for who waits in `send`.
    pub buffered_bytes: u64,
    /// The memory that there is for them.
    pub buffer_bytes: u64,
    /// Records acked.
    pub records_acked: u64,
    /// Records not sent.
    pub records_not_sent: u64,
    /// Records whose outcome is unknown.
    pub records_unknown: u64,
    /// Times that a broker seemed to have lost records that it had acked.
    pub loss_suspected: u64,
    /// Each broker that led a partition of this producer, by its id.
    pub brokers: Vec<BrokerMetrics>,
    /// Each topic that this producer sends to, by its name.
    pub topics: Vec<TopicMetrics>,
}

/// What a producer counted of one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerMetrics {
    /// The broker.
    pub broker_id: i32,
    /// Requests sent.
    pub requests: u64,
    /// Requests without an answer now.
    pub requests_in_flight: u64,
    /// Requests that got no answer: the connection ended, or the time was over.
    pub requests_lost: u64,
    /// Bytes of batches in requests, those sent again among them.
    pub bytes_sent: u64,
    /// Records in a request, those sent again among them.
    pub records_per_request: Histogram,
    /// From sending a request to its answer, in microseconds.
    pub ack_time_us: Histogram,
}

/// What a producer counted of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicMetrics {
    /// The topic.
    pub topic: Arc<str>,
    /// Records put into requests for the first time.
    pub records: u64,
    /// Batches put into requests for the first time.
    pub batches: u64,
    /// Their bytes before compression, batch headers included.
    pub bytes_uncompressed: u64,
    /// Their bytes as sent.
    pub bytes_compressed: u64,
    /// Batches that have to be sent again, or in parts.
    pub retries: u64,
    /// Batches that were taken apart: too large, or with records that were refused.
    pub batches_cut: u64,
    /// Batches in requests without an answer now.
    pub batches_in_flight: u64,
    /// Batches that were sent and have no final answer yet, those in flight among them.
    pub batches_unresolved: u64,
    /// Bytes that wait to be sent for the first time now.
    pub queued_bytes: u64,
    /// From a batch's first record to the request that it first goes out in, in microseconds.
    pub queue_time_us: Histogram,
    /// From sending a batch, for the last time, to the answer that it is written, in microseconds.
    pub ack_time_us: Histogram,
}

/// The counters behind the totals.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) requests_in_flight: AtomicU64,
    pub(crate) records_acked: AtomicU64,
    pub(crate) records_not_sent: AtomicU64,
    pub(crate) records_unknown: AtomicU64,
    pub(crate) loss_suspected: AtomicU64,
}

impl Counters {
    /// The totals that are counted by themselves; those of batches are the sums over topics.
    pub(crate) fn snapshot(&self) -> ProducerMetrics {
        ProducerMetrics {
            requests: self.requests.load(Relaxed),
            retries: self.retries.load(Relaxed),
            requests_in_flight: self.requests_in_flight.load(Relaxed),
            records_acked: self.records_acked.load(Relaxed),
            records_not_sent: self.records_not_sent.load(Relaxed),
            records_unknown: self.records_unknown.load(Relaxed),
            loss_suspected: self.loss_suspected.load(Relaxed),
            ..ProducerMetrics::default()
        }
    }
}

impl ProducerMetrics {
    /// Adds what was counted of the topics and brokers.
    pub(super) fn with(mut self, brokers: Vec<BrokerMetrics>, topics: Vec<TopicMetrics>) -> Self {
        for topic in &topics {
            self.records += topic.records;
            self.batches += topic.batches;
            self.bytes_uncompressed += topic.bytes_uncompressed;
            self.bytes_compressed += topic.bytes_compressed;
        }
        Self { brokers, topics, ..self }
    }
}

/// What is counted of one broker, whichever lane it has.
#[derive(Debug, Default)]
pub(crate) struct BrokerCounters {
    requests: AtomicU64,
    answers: AtomicU64,
    requests_lost: AtomicU64,
    bytes_sent: AtomicU64,
    records_per_request: Recorder,
    ack_time: Recorder,
}

impl BrokerCounters {
    pub(crate) fn sent(&self, bytes: usize, records: u64) {
        add(&self.requests, 1);
        add(&self.bytes_sent, count(bytes));
        self.records_per_request.record(records);
    }

    pub(crate) fn answered(&self, ack_time: Duration) {
        add(&self.answers, 1);
        self.ack_time.record_time(ack_time);
    }

    pub(crate) fn lost(&self) {
        add(&self.requests_lost, 1);
    }

    pub(crate) fn snapshot(&self, broker_id: i32) -> BrokerMetrics {
        let (answers, requests_lost) = (self.answers.load(Relaxed), self.requests_lost.load(Relaxed));
        let requests = self.requests.load(Relaxed);
        BrokerMetrics {
            broker_id,
            requests,
            requests_in_flight: requests.saturating_sub(answers + requests_lost),
            requests_lost,
            bytes_sent: self.bytes_sent.load(Relaxed),
            records_per_request: self.records_per_request.snapshot(),
            ack_time_us: self.ack_time.snapshot(),
        }
    }
}

/// What is counted of one topic; its partitions share it.
#[derive(Debug, Default)]
pub(crate) struct TopicCounters {
    records: AtomicU64,
    batches: AtomicU64,
    bytes_uncompressed: AtomicU64,
    bytes_compressed: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) batches_cut: AtomicU64,
    queue_time: Recorder,
    pub(crate) ack_time: Recorder,
}

impl TopicCounters {
    /// Counts a batch that goes out for the first time.
    pub(crate) fn sent(&self, records: u32, uncompressed: usize, compressed: usize, queued_for: Duration) {
        add(&self.batches, 1);
        add(&self.records, u64::from(records));
        add(&self.bytes_uncompressed, count(uncompressed));
        add(&self.bytes_compressed, count(compressed));
        self.queue_time.record_time(queued_for);
    }

    /// What was counted; what there is now is for the caller to fill in.
    pub(crate) fn snapshot(&self, topic: Arc<str>) -> TopicMetrics {
        TopicMetrics {
            topic,
            records: self.records.load(Relaxed),
            batches: self.batches.load(Relaxed),
            bytes_uncompressed: self.bytes_uncompressed.load(Relaxed),
            bytes_compressed: self.bytes_compressed.load(Relaxed),
            retries: self.retries.load(Relaxed),
            batches_cut: self.batches_cut.load(Relaxed),
            batches_in_flight: 0,
            batches_unresolved: 0,
            queued_bytes: 0,
            queue_time_us: self.queue_time.snapshot(),
            ack_time_us: self.ack_time.snapshot(),
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}

/// Takes from a gauge.
pub(crate) fn take(gauge: &AtomicU64, by: u64) {
    gauge.fetch_sub(by, Relaxed);
}

/// A length as a count.
pub(crate) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
