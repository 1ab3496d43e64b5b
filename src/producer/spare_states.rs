//! The states of a partition's resolved batches, kept for its next ones.
//!
//! Invariant: a state is used again only once no delivery and nobody else knows it.

use super::delivery::BatchState;
use std::{collections::VecDeque, sync::Arc};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SpareStates(VecDeque<Arc<BatchState>>);

impl SpareStates {
    /// A state as good as new, if there is one that nobody else knows.
    pub(crate) fn take(&mut self) -> Option<Arc<BatchState>> {
        let at = self.0.iter_mut().position(|state| match Arc::get_mut(state) {
            Some(state) => {
                state.renew();
                true
            }
            None => false,
        })?;
        self.0.remove(at)
    }

    /// Keeps the state of a batch that is resolved, or is about to be, in place of the oldest.
    pub(crate) fn put(&mut self, state: Arc<BatchState>) {
        if self.0.len() >= KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(state);
    }
}

/// About as many batches as a partition has under way, and those whose outcomes are being read.
const KEPT_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producer::delivery::{AckTime, Outcome};

    #[test]
    fn a_state_is_used_again_when_nobody_else_knows_it() {
        let mut spare = SpareStates::default();
        let state = Arc::new(BatchState::new("topic".into(), 3));
        spare.put(state.clone());
        state.complete(Outcome::Acked { base_offset: Some(7), time: AckTime::OfRecord });
        assert!(spare.take().is_none(), "a delivery may still ask it");
        let address = Arc::as_ptr(&state);
        drop(state);
        let again = spare.take().unwrap();
        assert_eq!((Arc::as_ptr(&again), again.outcome()), (address, None));
        assert!(spare.take().is_none());
    }

    #[test]
    fn states_that_stay_known_make_room_for_others() {
        let mut spare = SpareStates::default();
        let known: Vec<_> = (0..KEPT_MAX).map(|_| Arc::new(BatchState::new("topic".into(), 3))).collect();
        known.iter().for_each(|state| spare.put(state.clone()));
        spare.put(Arc::new(BatchState::new("topic".into(), 3)));
        assert!(spare.take().is_some());
    }
}
