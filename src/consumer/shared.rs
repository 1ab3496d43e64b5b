//! Task: the lock around a consumer's state, and the wake-ups that follow a change.
//!
//! All waiting is by level: whoever is woken looks at the state, so a wake-up may be early or double but never lost.

use super::{core::Core, core::Wakes};
use crate::net::waker::LaneWaker;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};
use tokio::sync::Notify;

/// What the lanes, the tasks and the handles of one consumer share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    lanes: Mutex<BTreeMap<i32, LaneWaker>>,
    reader: Mutex<Option<Waker>>,
    pub(crate) driver: Notify,
    pub(crate) coordinator: Notify,
    events: Mutex<Vec<Waker>>,
}

impl Shared {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            core: Mutex::new(core),
            lanes: Mutex::default(),
            reader: Mutex::default(),
            driver: Notify::new(),
            coordinator: Notify::new(),
            events: Mutex::default(),
        }
    }

    /// Changes the state under its lock, then wakes whom the change concerns.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Core) -> R) -> R {
        let (result, wakes) = {
            let mut core = lock(&self.core);
            let result = change(&mut core);
            (result, std::mem::take(&mut core.wakes))
        };
        self.wake(wakes);
        result
    }

    /// A waker may run its task at once, so no lock is held while one is called.
    fn wake(&self, wakes: Wakes) {
        let reader = if wakes.reader { lock(&self.reader).take() } else { None };
        if let Some(reader) = reader {
            reader.wake();
        }
        if wakes.driver {
            self.driver.notify_one();
        }
        if wakes.coordinator {
            self.coordinator.notify_one();
        }
        if wakes.events {
            let waiting = std::mem::take(&mut *lock(&self.events));
            waiting.into_iter().for_each(Waker::wake);
        }
        if !wakes.lanes.is_empty() {
            let lanes = lock(&self.lanes);
            for lane in wakes.lanes.iter().filter_map(|broker| lanes.get(broker)) {
                lane.wake();
            }
        }
    }

    /// Has `waker` called when there may be something to hand out. To be called before looking.
    pub(crate) fn wait_for_records(&self, waker: &Waker) {
        let mut reader = lock(&self.reader);
        if !reader.as_ref().is_some_and(|before| before.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
    }

    /// Has `waker` called when there may be an event. To be called before looking.
    pub(crate) fn wait_for_events(&self, waker: &Waker) {
        let mut waiting = lock(&self.events);
        if !waiting.iter().any(|before| before.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    pub(crate) fn add_lane(&self, broker: i32, waker: LaneWaker) {
        lock(&self.lanes).insert(broker, waker);
    }

    pub(crate) fn remove_lane(&self, broker: i32) {
        lock(&self.lanes).remove(&broker);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
