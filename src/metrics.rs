//! Histograms of fixed size: counted without a lock, read as a whole.
//!
//! Buckets are log-linear: eight to a doubling, so that a value is known to within an eighth of itself, whatever its size.
//! Invariant: counting allocates nothing and takes no lock. Absent: who counts what.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// How often values occurred, by size. The unit is the name's of whatever holds it: `_us` for microseconds.
///
/// ```
/// # #[cfg(feature = "mock")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # use craftwire::producer::ProducerRecord;
/// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
/// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
/// # let producer = client.producer().build().await?;
/// producer.send(ProducerRecord::new("orders", "one sword")).await?.await?;
/// let metrics = producer.metrics();
/// let ack_time_us = &metrics.brokers[0].ack_time_us;
/// println!("{} answers, p99 {} µs, max {} µs", ack_time_us.count(), ack_time_us.p99(), ack_time_us.max());
/// # assert_eq!(ack_time_us.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    sum: u64,
    max: u64,
}

impl Histogram {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest, exactly; 0 if there was none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Their mean, rounded down; 0 if there was none.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count()).unwrap_or(0)
    }

    /// The median; see [`at_permille`](Self::at_permille).
    pub fn p50(&self) -> u64 {
        self.at_permille(500)
    }

    /// What 99 of 100 values do not exceed; see [`at_permille`](Self::at_permille).
    pub fn p99(&self) -> u64 {
        self.at_permille(990)
    }

    /// What 999 of 1 000 values do not exceed; see [`at_permille`](Self::at_permille).
    pub fn p999(&self) -> u64 {
        self.at_permille(999)
    }

    /// What so many of a thousand values do not exceed: an upper bound, by an eighth at most; 0 if there is no value.
    pub fn at_permille(&self, permille: u64) -> u64 {
        let count = self.count();
        let wanted = (u128::from(count) * u128::from(permille.min(1_000))).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (upper, in_bucket) in self.buckets() {
            seen += u128::from(in_bucket);
            // The last bucket has no bound.
            if seen >= wanted && upper < LAST_UPPER {
                return upper.min(self.max);
            }
        }
        self.max
    }

    /// The buckets that hold something: the largest value that falls into each, and how many did.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (0..).zip(self.buckets.iter()).filter(|(_, count)| **count > 0).map(|(at, count)| (upper(at), *count))
    }

    /// Adds another one's values to these.
    pub fn merge(&mut self, other: &Self) {
        for (mine, others) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *mine += others;
        }
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), sum: 0, max: 0 }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("p50", &self.p50())
            .field("p99", &self.p99())
            .field("max", &self.max)
            .finish()
    }
}

/// A histogram that is counted into, by any number of threads.
pub(crate) struct Recorder {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Recorder {
    pub(crate) fn record(&self, value: u64) {
        self.buckets[bucket(value)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
        // Looking first is cheaper than writing, and a new maximum is rare.
        if value > self.max.load(Relaxed) {
            self.max.fetch_max(value, Relaxed);
        }
    }

    /// Counts a time, in microseconds.
    pub(crate) fn record_time(&self, time: std::time::Duration) {
        self.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        let mut histogram = Histogram::default();
        for (copy, bucket) in histogram.buckets.iter_mut().zip(&self.buckets) {
            *copy = bucket.load(Relaxed);
        }
        histogram.sum = self.sum.load(Relaxed);
        histogram.max = self.max.load(Relaxed);
        histogram
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// The bucket of a value: its own for values below eight, then eight to each doubling; the last takes what is larger.
fn bucket(value: u64) -> usize {
    let Some(doubling) = value.checked_ilog2().and_then(|log| log.checked_sub(SUB_BITS)) else {
        return usize::try_from(value).unwrap_or(0);
    };
    // The three bits behind the highest one.
    let sub = (value >> doubling) & (SUBS - 1);
    let at = (u64::from(doubling) + 1) * SUBS + sub;
    usize::try_from(at).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The largest value that falls into a bucket.
fn upper(bucket: u64) -> u64 {
    let (doubling, sub) = (bucket / SUBS, bucket % SUBS);
    match doubling.checked_sub(1) {
        None => sub,
        Some(shift) => ((SUBS + sub + 1) << shift) - 1,
    }
}

const SUB_BITS: u32 = 3;
const SUBS: u64 = 1 << SUB_BITS;
/// Up to 2^31, which is more than half an hour of microseconds.
const BUCKETS: usize = 29 * 8;
const LAST_UPPER: u64 = (1 << 31) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_within_its_bucket_and_an_eighth_of_its_bound() {
        let values = (0..200).chain((0..31).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]));
        for value in values.filter(|value| *value < 1 << 31) {
            let at = bucket(value);
            let bound = upper(u64::try_from(at).unwrap());
            assert!(value <= bound, "{value} is in {at}, up to {bound}");
            assert!(at == 0 || upper(u64::try_from(at).unwrap() - 1) < value, "{value} is in {at}");
            assert!(bound - value <= value / 8, "{value} is told as {bound}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket((1 << 31) - 1), BUCKETS - 1);
    }

    #[test]
    fn what_was_counted_is_read() {
        let recorder = Recorder::default();
        (1..=1_000).for_each(|value| recorder.record(value));
        let histogram = recorder.snapshot();
        assert_eq!((histogram.count(), histogram.sum(), histogram.mean()), (1_000, 500_500, 500));
        assert_eq!((histogram.max(), histogram.at_permille(1_000)), (1_000, 1_000));
        assert!((500..=562).contains(&histogram.p50()), "{histogram:?}");
        assert!((990..=1_000).contains(&histogram.p99()), "{histogram:?}");
        assert_eq!(histogram.at_permille(0), 1, "the smallest");
        assert_eq!(histogram.buckets().map(|(_, count)| count).sum::<u64>(), 1_000);
    }

    #[test]
    fn nothing_counted_is_zero_all_over() {
        let histogram = Histogram::default();
        assert_eq!((histogram.count(), histogram.mean(), histogram.p999(), histogram.max()), (0, 0, 0, 0));
    }

    #[test]
    fn what_is_beyond_all_buckets_is_told_by_the_maximum() {
        let recorder = Recorder::default();
        recorder.record(u64::MAX / 2);
        assert_eq!(recorder.snapshot().max(), u64::MAX / 2);
        assert!(recorder.snapshot().p50() == u64::MAX / 2);
    }

    #[test]
    fn merged_histograms_count_together() {
        let (low, high) = (Recorder::default(), Recorder::default());
        low.record(3);
        high.record(300);
        let mut both = low.snapshot();
        both.merge(&high.snapshot());
        assert_eq!((both.count(), both.sum(), both.max(), both.at_permille(500)), (2, 303, 300, 3));
    }
}
