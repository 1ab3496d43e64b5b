//! Task: the one file of the program that reads the clocks.
#![expect(
    clippy::disallowed_methods,
    reason = "the program is outside the library, so it reads the clocks here"
)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A point in time from which microseconds are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    /// From now on.
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since then.
    pub(crate) fn elapsed_us(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Nanoseconds since 1970 that never step back: the wall clock read once, the monotonic one from then on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SteadyClock {
    began: Instant,
    began_ns: u64,
}

impl SteadyClock {
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX) }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.began_ns.saturating_add(since)
    }
}

/// Milliseconds since 1970.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
