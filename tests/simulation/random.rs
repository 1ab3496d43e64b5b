//! What the simulation draws from one seed.

use craftwire_test_support::SplitMix;

/// Equal seeds give equal sequences.
#[derive(Debug, Clone)]
pub(crate) struct Random(SplitMix);

impl Random {
    /// A generator of its own for one purpose, so that what draws from one changes nothing for the others.
    pub(crate) fn of(seed: u64, purpose: &str) -> Self {
        let mut state = Self(SplitMix(seed));
        for byte in purpose.bytes() {
            state = Self(SplitMix(state.next() ^ u64::from(byte)));
        }
        state
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0.draw()
    }

    /// From `low` to `high`, both included.
    pub(crate) const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// An index below `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    pub(crate) const fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}
