//! Byte quotas by client id, worked out as Kafka does: a rate over eleven samples of a second each.
//!
//! Invariant: a rate is kept for each broker, direction and client id, and only where a quota applies. Quotas of users
//! and of request time are not there.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How many bytes a second a client may send and read; `None` is no limit.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use craftwire::mock::{MockCluster, Quota};
///
/// let mock = MockCluster::builder().start_in_memory()?;
/// mock.set_quota(Some("crafting"), Quota { produce_bytes_per_s: Some(50_000), fetch_bytes_per_s: None });
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Bytes of Produce requests a second.
    pub produce_bytes_per_s: Option<u64>,
    /// Bytes of fetched records a second.
    pub fetch_bytes_per_s: Option<u64>,
}

/// Which of a client's quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Produce,
    Fetch,
}

/// Quotas and what their clients have used of them.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// By client id; `None` is for all that have none of their own.
    quotas: BTreeMap<Option<String>, Quota>,
    rates: BTreeMap<(i32, Direction, String), Rate>,
}

impl Quotas {
    pub(crate) fn set(&mut self, client_id: Option<&str>, quota: Quota) {
        self.quotas.insert(client_id.map(str::to_owned), quota);
    }

    /// Counts bytes, and gives the time for which the client is to keep quiet: none while within its quota.
    pub(crate) fn record(
        &mut self,
        (broker, direction, client_id): (i32, Direction, &str),
        bytes: usize,
        now: Instant,
    ) -> Duration {
        let Some(limit) = self.limit(direction, client_id) else { return Duration::ZERO };
        let rate = self.rates.entry((broker, direction, client_id.to_owned())).or_default();
        rate.add(u64::try_from(bytes).unwrap_or(u64::MAX), now);
        rate.excess(limit.max(1), now)
    }

    /// Takes back bytes that were counted last, since they are not sent after all.
    pub(crate) fn unrecord(&mut self, (broker, direction, client_id): (i32, Direction, &str), bytes: usize) {
        let rate = self.rates.get_mut(&(broker, direction, client_id.to_owned()));
        if let Some(sample) = rate.and_then(|rate| rate.samples.back_mut()) {
            sample.1 = sample.1.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// The most that one fetch gives: what a whole window allows.
    pub(crate) fn fetch_bytes_max(&self, client_id: &str) -> usize {
        let limit = self.limit(Direction::Fetch, client_id);
        let window = limit.map(|limit| limit.saturating_mul(FULL_SAMPLES));
        window.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
    }

    fn limit(&self, direction: Direction, client_id: &str) -> Option<u64> {
        let own = self.quotas.get(&Some(client_id.to_owned()));
        let quota = own.or_else(|| self.quotas.get(&None))?;
        match direction {
            Direction::Produce => quota.produce_bytes_per_s,
            Direction::Fetch => quota.fetch_bytes_per_s,
        }
    }
}

#[derive(Debug, Default)]
struct Rate {
    /// (begin, bytes), oldest first.
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn add(&mut self, bytes: u64, now: Instant) {
        let window = SAMPLE.saturating_mul(SAMPLES);
        self.samples.retain(|(begin, _)| now.saturating_duration_since(*begin) < window);
        match self.samples.back_mut() {
            Some((begin, sum)) if now.saturating_duration_since(*begin) < SAMPLE => *sum += bytes,
            _ => self.samples.push_back((now, bytes)),
        }
    }

    /// After how long the bytes so far would be within the limit. A window counts as ten samples at least, so that the
    /// first second is no burst.
    fn excess(&self, limit: u64, now: Instant) -> Duration {
        let total: u64 = self.samples.iter().map(|(_, sum)| *sum).sum();
        let oldest = self.samples.front().map_or(now, |(begin, _)| *begin);
        let elapsed = u64::try_from(now.saturating_duration_since(oldest).as_millis()).unwrap_or(u64::MAX);
        let missing = FULL_SAMPLES.saturating_sub(elapsed / SAMPLE_MS);
        let window_ms = elapsed.saturating_add(missing * SAMPLE_MS);
        let excess = total.saturating_mul(1000).saturating_sub(limit.saturating_mul(window_ms));
        Duration::from_millis(excess / limit)
    }
}

const SAMPLE: Duration = Duration::from_millis(SAMPLE_MS);
const SAMPLE_MS: u64 = 1000;
const SAMPLES: u32 = 11;
const FULL_SAMPLES: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: (i32, Direction, &str) = (1, Direction::Produce, "a");

    fn quotas() -> Quotas {
        let mut quotas = Quotas::default();
        quotas.set(Some("a"), Quota { produce_bytes_per_s: Some(1000), fetch_bytes_per_s: None });
        quotas
    }

    #[test]
    fn a_window_of_bytes_is_free_and_what_exceeds_it_takes_its_time() {
        let (mut quotas, now) = (quotas(), crate::mock::clock::now());
        assert_eq!(quotas.record(WHO, 10_000, now), Duration::ZERO);
        assert_eq!(quotas.record(WHO, 500, now), Duration::from_millis(500));
        assert_eq!(quotas.record((2, Direction::Produce, "a"), 10_000, now), Duration::ZERO);
        let later = now + Duration::from_secs(11);
        assert_eq!(quotas.record(WHO, 10_001, later), Duration::from_millis(1));
        quotas.unrecord(WHO, 10_001);
        assert_eq!(quotas.record(WHO, 10_000, later), Duration::ZERO);
    }

    #[test]
    fn a_quota_is_for_one_client_or_for_all_others() {
        let (mut quotas, now) = (quotas(), crate::mock::clock::now());
        let other = (1, Direction::Fetch, "b");
        assert_eq!(quotas.record(other, usize::MAX, now), Duration::ZERO);
        assert_eq!(quotas.fetch_bytes_max("b"), usize::MAX);
        quotas.set(None, Quota { produce_bytes_per_s: None, fetch_bytes_per_s: Some(5) });
        assert_eq!(quotas.fetch_bytes_max("b"), 50);
        assert!(quotas.record(other, 51, now) > Duration::ZERO);
        assert_eq!(quotas.record((1, Direction::Fetch, "a"), usize::MAX, now), Duration::ZERO);
    }
}
