//! Waits between attempts: exponential, with jitter, so that many clients do not come back in step (KIP-580).

use std::time::Duration;

/// The waits of one series of attempts: each twice the last, up to a limit, each ±20 %.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    attempts: u32,
    random: SplitMix,
}

impl Backoff {
    /// Waits from `min` to `max`; `seed` decides the jitter.
    pub(crate) const fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self { min, max, attempts: 0, random: SplitMix(seed) }
    }

    /// How long to wait before the next attempt.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let doubled = self.min.saturating_mul(1_u32 << self.attempts.min(20));
        self.attempts = self.attempts.saturating_add(1);
        let percent = 80 + u32::try_from(self.random.next() % 41).unwrap_or(20);
        doubled.min(self.max) * percent / 100
    }

    /// An attempt succeeded: the next series starts at the shortest wait.
    pub(crate) const fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A small seeded generator (SplitMix64): jitter needs no more, and the same seed gives the same run.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_with_a_fifth_of_jitter() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 7);
        for expected_ms in [100, 200, 400, 800, 1_000, 1_000] {
            let wait = backoff.next_delay().as_millis();
            assert!((expected_ms * 80 / 100..=expected_ms * 120 / 100).contains(&wait), "{wait}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(120));
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), 7);
        for _ in 0..1_000 {
            assert!(backoff.next_delay() <= Duration::from_millis(1_200));
        }
    }
}
