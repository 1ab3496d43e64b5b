//! Task: how the outside tells a lane's task that there is something to do.

use std::sync::Arc;
use tokio::sync::{Notify, futures::Notified};

/// Wakes one lane's task. Cheap to clone; a wake-up before the task waits is kept, so none is lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneWaker(Arc<Notify>);

impl LaneWaker {
    /// Has the task look at its lane again.
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Resolves at the next `wake`, or at once if it was called since the last wait.
    ///
    /// # Cancel safety
    ///
    /// Safe: a wake-up that was not returned is kept.
    pub(crate) fn woken(&self) -> Notified<'_> {
        self.0.notified()
    }
}
