//! Task: the one file of the mock that reads the clocks.
#![expect(
    clippy::disallowed_methods,
    reason = "the mock imports nothing of net, so it reads the clocks here"
)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time; under a paused runtime it is the runtime's.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Milliseconds since 1970. Read once, when the cluster starts; from then on they advance with [`now`].
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
