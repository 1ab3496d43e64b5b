//! What a producer counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A producer's counts since its start, taken at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// Memory taken by records without an outcome now.
    pub buffered_bytes: u64,
    /// Records acked.
    pub records_acked: u64,
    /// Records not sent.
    pub records_not_sent: u64,
    /// Records whose outcome is unknown.
    pub records_unknown: u64,
    /// Times that a broker seemed to have lost records that it had acked.
    pub loss_suspected: u64,
}

/// The counters behind the metrics; touched per batch and per request, never per record.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) bytes_uncompressed: AtomicU64,
    pub(crate) bytes_compressed: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) requests_in_flight: AtomicU64,
    pub(crate) records_acked: AtomicU64,
    pub(crate) records_not_sent: AtomicU64,
    pub(crate) records_unknown: AtomicU64,
    pub(crate) loss_suspected: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self, buffered_bytes: usize) -> ProducerMetrics {
        ProducerMetrics {
            records: self.records.load(Relaxed),
            batches: self.batches.load(Relaxed),
            bytes_uncompressed: self.bytes_uncompressed.load(Relaxed),
            bytes_compressed: self.bytes_compressed.load(Relaxed),
            requests: self.requests.load(Relaxed),
            retries: self.retries.load(Relaxed),
            requests_in_flight: self.requests_in_flight.load(Relaxed),
            buffered_bytes: count(buffered_bytes),
            records_acked: self.records_acked.load(Relaxed),
            records_not_sent: self.records_not_sent.load(Relaxed),
            records_unknown: self.records_unknown.load(Relaxed),
            loss_suspected: self.loss_suspected.load(Relaxed),
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
