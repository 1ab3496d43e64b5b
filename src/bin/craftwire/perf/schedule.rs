//! When records are due: an open loop, looked at in slots of half a millisecond.

use std::time::Duration;

/// Record `i` is due at `start_ns + i / rate`, whatever happened before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// Nanoseconds since 1970.
    pub(crate) start_ns: u64,
    /// Records a second.
    pub(crate) rate: u64,
    /// How many there are in all.
    pub(crate) total: u64,
}

impl Schedule {
    pub(crate) fn due_ns(&self, number: u64) -> u64 {
        let after_ns = u128::from(number) * 1_000_000_000 / u128::from(self.rate.max(1));
        self.start_ns.saturating_add(u64::try_from(after_ns).unwrap_or(u64::MAX))
    }

    /// When to look again after a look at `looked_ns`: at the start of the next slot.
    pub(crate) fn wait(&self, looked_ns: u64, now_ns: u64) -> Duration {
        let slots = looked_ns.saturating_sub(self.start_ns) / SLOT_NS;
        let begun = looked_ns >= self.start_ns;
        let next_ns = self.start_ns + if begun { (slots + 1) * SLOT_NS } else { 0 };
        Duration::from_nanos(next_ns.saturating_sub(now_ns))
    }
}

/// The pacing slot, the same for all clients that are compared.
const SLOT_NS: u64 = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    const AT_10_000: Schedule = Schedule { start_ns: 1_000_000_000, rate: 10_000, total: 100 };

    #[test]
    fn records_are_due_at_the_rate() {
        assert_eq!(AT_10_000.due_ns(0), 1_000_000_000);
        assert_eq!(AT_10_000.due_ns(3), 1_000_300_000);
        assert_eq!(AT_10_000.due_ns(10_000), 2_000_000_000);
    }

    #[test]
    fn slots_do_not_drift() {
        let wait = |looked_ns, now_ns| AT_10_000.wait(looked_ns, now_ns);
        assert_eq!(wait(999_000_000, 999_000_000), Duration::from_millis(1));
        assert_eq!(wait(1_000_000_000, 1_000_000_000), Duration::from_micros(500));
        assert_eq!(wait(1_000_400_000, 1_000_450_000), Duration::from_micros(50));
        assert_eq!(wait(1_000_400_000, 1_000_900_000), Duration::ZERO, "it is late already");
    }
}
