//! What is counted while the demo runs: latencies, and what became of each event.

use hdrhistogram::Histogram;

use super::checks::Finding;

/// A distribution of latencies, to the microsecond and three digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    /// `None` only if the bounds below made no sense.
    histogram: Option<Histogram<u64>>,
}

/// The points of a distribution that are shown, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { histogram: Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok() }
    }

    pub(crate) fn record(&mut self, latency_us: u64) {
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(latency_us.max(1));
        }
    }

    /// Adds all of `other` and empties it.
    pub(crate) fn take_from(&mut self, other: &mut Self) {
        if let (Some(ours), Some(theirs)) = (&mut self.histogram, &mut other.histogram) {
            // Both have the same bounds, so everything fits.
            let _ = ours.add(&*theirs);
            theirs.reset();
        }
    }

    pub(crate) fn quantiles(&self) -> Quantiles {
        let Some(histogram) = self.histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Quantiles::default();
        };
        Quantiles {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

/// When latencies and rates are judged, in microseconds from the start of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    pub(crate) from_us: u64,
    pub(crate) until_us: u64,
}

/// What one member of a group counts.
#[derive(Debug)]
pub(crate) struct MemberStats {
    judged: Judged,
    /// Since it was last collected.
    window: Latencies,
    /// Of events that were due while latencies are judged.
    steady: Latencies,
    pub(crate) tally: Tally,
}

/// What became of the events of a topic that were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events of this run, each once.
    pub(crate) received: u64,
    /// Those of them that were handed out while rates are judged.
    pub(crate) received_judged: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    /// Events of other publishers; only the shared topics have any.
    pub(crate) foreign: u64,
    /// Errors of the stream.
    pub(crate) errors: u64,
}

impl MemberStats {
    pub(crate) fn new(judged: Judged) -> Self {
        Self { judged, window: Latencies::new(), steady: Latencies::new(), tally: Tally::default() }
    }

    /// Counts an event of this run.
    pub(crate) fn received(&mut self, due_us: u64, now_us: u64, finding: Finding) {
        match finding {
            Finding::Duplicate => {
                self.tally.duplicates += 1;
                return;
            }
            Finding::OutOfOrder => self.tally.out_of_order += 1,
            Finding::InOrder => {}
        }
        self.tally.received += 1;
        let latency_us = now_us.saturating_sub(due_us);
        self.window.record(latency_us);
        if due_us >= self.judged.from_us {
            self.steady.record(latency_us);
        }
        if (self.judged.from_us..self.judged.until_us).contains(&now_us) {
            self.tally.received_judged += 1;
        }
    }

    /// Moves what was measured since the last time.
    pub(crate) fn collect_window(&mut self, into: &mut Latencies) {
        into.take_from(&mut self.window);
    }

    /// Moves what was measured while latencies are judged.
    pub(crate) fn collect_steady(&mut self, into: &mut Latencies) {
        into.take_from(&mut self.steady);
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.received_judged += other.received_judged;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.foreign += other.foreign;
        self.errors += other.errors;
    }
}

/// A minute: whatever took longer is counted as that.
const LONGEST_US: u64 = 60_000_000;
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_all_members() {
        let (mut first, mut second, mut all) = (Latencies::new(), Latencies::new(), Latencies::new());
        (1..=500).for_each(|us| first.record(us));
        (501..=1000).for_each(|us| second.record(us));
        all.take_from(&mut first);
        all.take_from(&mut second);
        let found = all.quantiles();
        assert_eq!(found, Quantiles { count: 1000, p50_us: 500, p99_us: 990, p999_us: 999, max_us: 1000 });
        assert_eq!(first.quantiles(), Quantiles::default(), "collected once");
        all.record(u64::MAX);
        assert!(all.quantiles().max_us >= LONGEST_US);
    }

    #[test]
    fn the_warm_up_is_shown_but_not_judged() {
        let mut stats = MemberStats::new(Judged { from_us: 1000, until_us: 2000 });
        stats.received(999, 1500, Finding::InOrder);
        stats.received(1000, 2500, Finding::OutOfOrder);
        stats.received(1000, 2600, Finding::Duplicate);
        let (mut window, mut steady) = (Latencies::new(), Latencies::new());
        stats.collect_window(&mut window);
        stats.collect_steady(&mut steady);
        assert_eq!((window.quantiles().count, steady.quantiles().count), (2, 1));
        let Tally { received, received_judged, duplicates, out_of_order, .. } = stats.tally;
        assert_eq!((received, received_judged, duplicates, out_of_order), (2, 1, 1, 1));
    }
}
