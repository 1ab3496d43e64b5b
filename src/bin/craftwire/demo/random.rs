//! Chance, from a seed: the same seed plays the same game.

use std::time::Duration;
use uuid::Uuid;

/// SplitMix64: small, fast, and good enough for players.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end` - 1; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// True so many times out of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let at = self.below(u64::try_from(of.len()).unwrap_or(0));
        of.get(usize::try_from(at).unwrap_or(0)).copied()
    }

    /// A length of time as it lies between things that happen by chance: `mean` on average.
    pub(crate) fn exponential(&mut self, mean: Duration) -> Duration {
        // 1 to 2^32, so that the logarithm is finite.
        let draw = u32::try_from(self.next() >> 32).unwrap_or(0);
        let unit = (f64::from(draw) + 1.0) / (f64::from(u32::MAX) + 1.0);
        Duration::try_from_secs_f64(mean.as_secs_f64() * -unit.ln()).unwrap_or(mean)
    }

    /// A UUID as version 4 has them.
    pub(crate) fn uuid(&mut self) -> Uuid {
        let (high, low) = (self.next(), self.next());
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
            .into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_game() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (random.next(), random.uuid())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(Random::new(1).uuid().get_version_num(), 4);
    }

    #[test]
    fn chance_is_about_what_was_asked() {
        let mut random = Random::new(3);
        let hits = (0..10_000).filter(|_| random.percent(30)).count();
        assert!((2_700..3_300).contains(&hits), "{hits}");
        let total: Duration = (0..10_000).map(|_| random.exponential(Duration::from_secs(6))).sum();
        let mean = total / 10_000;
        assert!((5.7..6.3).contains(&mean.as_secs_f64()), "{mean:?}");
    }
}
