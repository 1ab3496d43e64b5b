//! Task: the door of a lane: which partitions have something to send, and the way to wake the lane.
//!
//! Invariant: a partition that is put here while the lane rests wakes it, once; while the lane is awake, or will wake by
//! itself, nobody pays for waking it.

use super::{metrics::BrokerCounters, slot::PartitionSlot};
use crate::net::waker::LaneWaker;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Shared by a lane, the partitions that belong to it, and the driver.
#[derive(Debug)]
pub(crate) struct Door {
    broker_id: i32,
    counters: Arc<BrokerCounters>,
    waker: LaneWaker,
    inbox: Mutex<Inbox>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Inbox {
    slots: Vec<Arc<PartitionSlot>>,
    rest: Rest,
}

/// What a lane that does nothing now is to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: it is awake, or an answer or a timer will wake it anyway.
    Nothing,
    /// A full batch: it waits for the gap to pass.
    Filled,
    /// Anything to send.
    Listed,
}

impl Door {
    pub(crate) fn new(broker_id: i32) -> Self {
        let inbox = Mutex::new(Inbox { slots: Vec::new(), rest: Rest::Listed });
        let counters = Arc::default();
        Self { broker_id, counters, waker: LaneWaker::default(), inbox, closed: AtomicBool::new(false) }
    }

    /// The same, counted with the lanes that the broker had before.
    pub(crate) fn counted(self, counters: Arc<BrokerCounters>) -> Self {
        Self { counters, ..self }
    }

    pub(crate) fn counters(&self) -> &BrokerCounters {
        &self.counters
    }

    pub(crate) fn broker_id(&self) -> i32 {
        self.broker_id
    }

    pub(crate) fn waker(&self) -> LaneWaker {
        self.waker.clone()
    }

    /// Puts a partition on the lane's list.
    pub(crate) fn list(&self, slot: Arc<PartitionSlot>) {
        let mut inbox = self.inbox();
        inbox.slots.push(slot);
        self.wake_from(inbox, |rest| rest == Rest::Listed);
    }

    /// A batch of a listed partition is full.
    pub(crate) fn filled(&self) {
        self.wake_from(self.inbox(), |rest| rest != Rest::Nothing);
    }

    /// Moves what was listed to the end of `ready`.
    pub(crate) fn take_into(&self, ready: &mut VecDeque<Arc<PartitionSlot>>) {
        let mut inbox = self.inbox();
        inbox.rest = Rest::Nothing;
        ready.extend(inbox.slots.drain(..));
    }

    /// The lane has nothing to do. `false` if something was listed meanwhile, so that it is to look again.
    pub(crate) fn rest(&self, rest: Rest) -> bool {
        let mut inbox = self.inbox();
        if rest == Rest::Listed && !inbox.slots.is_empty() {
            return false;
        }
        inbox.rest = rest;
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inbox().slots.is_empty()
    }

    /// Ends the lane.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn wake_from(&self, mut inbox: MutexGuard<'_, Inbox>, wakes: impl FnOnce(Rest) -> bool) {
        if wakes(inbox.rest) {
            inbox.rest = Rest::Nothing;
            drop(inbox);
            self.waker.wake();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
