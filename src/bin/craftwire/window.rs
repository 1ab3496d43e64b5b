//! Task: what was handed to the publisher and has no answer yet, in order, and not more than so many.

use craftwire::crafting::{PublishError, Published, Receipt};
use std::collections::VecDeque;

/// Receipts with what each is for, the oldest first.
#[derive(Debug)]
pub(crate) struct Window<T> {
    waiting: VecDeque<(T, Receipt)>,
    count_max: usize,
}

impl<T: Copy> Window<T> {
    pub(crate) fn new(count_max: usize) -> Self {
        Self { waiting: VecDeque::new(), count_max }
    }

    pub(crate) fn push(&mut self, what: T, receipt: Receipt) {
        self.waiting.push_back((what, receipt));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether an answer must come before more is handed over.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.count_max
    }

    /// The answer to the oldest; waits for ever if there is none.
    ///
    /// Cancel safe: an answer that was not returned is kept.
    pub(crate) async fn next(&mut self) -> (T, Result<Published, PublishError>) {
        let Some((what, receipt)) = self.waiting.front_mut() else { return std::future::pending().await };
        let answered = (*what, receipt.await);
        self.waiting.pop_front();
        answered
    }
}
