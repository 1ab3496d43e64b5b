//! Where the jitter of back-offs and the ids of members come from: the system's randomness, or one seed.
//!
//! Invariant: with a seed, tasks that ask in the same order are given the same numbers, so that a run can be repeated.

use crate::backoff::SplitMix;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use uuid::Uuid;

/// A source of seeds. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entropy {
    /// How many seeds were given, and what they derive from; `None`: the system's randomness.
    seeded: Option<(u64, Arc<AtomicU64>)>,
}

impl Entropy {
    /// All that is random follows from `seed`.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { seeded: Some((seed, Arc::default())) }
    }

    /// A seed of one's own.
    pub(crate) fn seed(&self) -> u64 {
        match &self.seeded {
            None => Uuid::new_v4().as_u64_pair().0,
            Some((seed, given)) => {
                let number = given.fetch_add(1, Relaxed);
                SplitMix(SplitMix(*seed).next() ^ number).next()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three(entropy: &Entropy) -> [u64; 3] {
        [entropy.seed(), entropy.seed(), entropy.seed()]
    }

    #[test]
    fn one_seed_is_one_sequence() {
        let (one, again) = (three(&Entropy::seeded(7)), three(&Entropy::seeded(7)));
        assert_eq!(one, again);
        assert_ne!(one, three(&Entropy::seeded(8)));
        assert!(one[0] != one[1] && one[1] != one[2]);
    }

    #[test]
    fn clones_share_it_and_without_a_seed_no_two_are_alike() {
        let entropy = Entropy::seeded(7);
        assert_ne!(entropy.seed(), entropy.clone().seed());
        assert_ne!(Entropy::default().seed(), Entropy::default().seed());
    }
}
