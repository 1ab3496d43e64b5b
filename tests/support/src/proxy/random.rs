//! Chance that can be had again: numbers from a seed and a place, with no state between them.

use crate::random::SplitMix;
use std::time::Duration;

/// One draw, for one purpose. The same seed, rule and count give the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn of(seed: u64, rule: u64, count: u64) -> Self {
        Self(mix(mix(mix(seed) ^ rule) ^ count))
    }

    /// Another draw from the same place, for another purpose.
    pub(super) fn other(self, purpose: u64) -> Self {
        Self(mix(self.0 ^ mix(purpose)))
    }

    /// Below `bound`; 0 when that is 0.
    pub(super) fn below(self, bound: u64) -> u64 {
        self.0.checked_rem(bound).unwrap_or(0)
    }

    /// From `least` to `most`, in steps of a microsecond.
    pub(super) fn between(self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.below(span.saturating_add(1)))
    }
}

/// The first number of a sequence: every bit of the seed moves half the bits of it.
const fn mix(seed: u64) -> u64 {
    SplitMix(seed).draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_can_be_had_again_and_places_differ() {
        assert_eq!(Draw::of(1, 2, 3).0, Draw::of(1, 2, 3).0);
        let others = [Draw::of(2, 2, 3), Draw::of(1, 3, 3), Draw::of(1, 2, 4), Draw::of(1, 2, 3).other(1)];
        assert!(others.iter().all(|other| other.0 != Draw::of(1, 2, 3).0));
    }

    #[test]
    fn draws_reach_all_of_their_range_and_no_more() {
        let mut seen = [0_u32; 8];
        for count in 0..800 {
            seen[usize::try_from(Draw::of(7, 0, count).below(8)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&times| times > 50), "{seen:?}");
        assert_eq!(Draw::of(7, 0, 0).below(0), 0);
        let (least, most) = (Duration::from_millis(500), Duration::from_millis(1500));
        assert!((0..100).all(|n| (least..=most).contains(&Draw::of(7, 1, n).between(least, most))));
        assert_eq!(Draw::of(7, 1, 0).between(most, least), most);
    }
}
