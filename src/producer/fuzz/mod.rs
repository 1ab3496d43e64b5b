//! The body of the fuzz target `producer_ops`: partitions and lanes against brokers that do as the bytes say.

mod broker;
mod run;

use self::run::Run;
use crate::{net::Request, wire::fuzz::Choices};
use std::time::{Duration, Instant};

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs three partitions and the lanes of three brokers by the bytes: records, answers of every kind, connections that
/// end with requests in them which may still be processed, leaders that move and lose what was not committed, deadlines,
/// time. Then all goes well, and the log is compared with what the producer said of it.
///
/// # Panics
///
/// If a record has no outcome or more than one, an acked one is missing or where it was not said to be, one that was not
/// sent is in the log, any is there twice or out of order; if a stamp names two batches that may both be written, more
/// than five batches of a partition are under way, memory does not come back, or it takes too many requests.
pub fn check_producer_ops(data: &[u8], start: Instant) {
    check_producer_run(data, start, Settings { delivery_timeout: DELIVERY_TIMEOUT, reader: |_| {} });
}

/// The same with other settings; says what the run came to.
pub(super) fn check_producer_run(data: &[u8], start: Instant, settings: Settings) -> Totals {
    let mut run = Run::new(Choices(data), start, settings);
    run.operate();
    run.come_to_rest();
    run.check()
}

/// What differs between the uses of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) delivery_timeout: Duration,
    /// Sees each request before the brokers do.
    pub(super) reader: fn(&Request),
}

/// What a run came to: outcomes of records, and what its brokers saw.
#[derive(Debug, Default)]
#[cfg_attr(not(test), expect(dead_code, reason = "the test by seeds reads them"))]
pub(super) struct Totals {
    pub(super) acked: u64,
    pub(super) not_sent: u64,
    pub(super) unknown: u64,
    pub(super) bumps: u64,
    pub(super) duplicates: u64,
    pub(super) resends: u64,
    pub(super) cuts: u64,
}
