//! The body of the fuzz target `producer_ops`: partitions and lanes against brokers that do as the bytes say.

mod broker;
mod run;

use self::run::Run;
use crate::wire::fuzz::Choices;
use std::time::Instant;

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
    let mut run = Run::new(Choices(data), start);
    run.operate();
    run.come_to_rest();
    run.check();
}
