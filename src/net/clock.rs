//! Task: the one file that reads the clocks.
#![expect(clippy::disallowed_methods, reason = "this is the one file that reads the clocks")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time, which all deadlines are counted in. Under a paused runtime it is the runtime's.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Milliseconds since 1970, for timestamps only.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
