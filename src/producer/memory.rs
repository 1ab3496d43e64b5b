//! Task: the bytes that records without an outcome may take, granted in the order of asking.
//!
//! Invariant: a grant is given back when it is dropped, and nobody overtakes who waits. Batches are charged, not
//! records: a grant is asked for when a batch is opened and when it grows.

use super::spare::Spare;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// A budget of bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    free: Arc<Semaphore>,
    total: usize,
    spare: Arc<Spare>,
}

impl Memory {
    pub(crate) fn new(total: usize) -> Self {
        let total = total.min(Semaphore::MAX_PERMITS);
        let spare = Arc::new(Spare::new(total / SPARE_PART));
        Self { free: Arc::new(Semaphore::new(total)), total, spare }
    }

    /// `bytes` of the budget, `None` if they are not free, somebody waits for them, or it is closed.
    pub(crate) fn try_grant(&self, bytes: usize) -> Option<Grant> {
        let bytes = u32::try_from(bytes).ok()?;
        match self.free.clone().try_acquire_many_owned(bytes) {
            Ok(permit) => Some(self.granted(permit)),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => None,
        }
    }

    /// Waits for `bytes` of the budget; `None` once it is closed, or if there is not so much in all.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future gives back what was set aside for it, and its place in the queue.
    pub(crate) async fn grant(&self, bytes: usize) -> Option<Grant> {
        if bytes > self.total {
            return None;
        }
        let bytes = u32::try_from(bytes).ok()?;
        let permit = self.free.clone().acquire_many_owned(bytes).await.ok()?;
        Some(self.granted(permit))
    }

    fn granted(&self, permit: OwnedSemaphorePermit) -> Grant {
        Grant { permit, spare: self.spare.clone() }
    }

    /// Ends all waiting; from now on nothing is granted.
    pub(crate) fn close(&self) {
        self.free.close();
    }

    /// Granted, or set aside for who waits.
    pub(crate) fn used(&self) -> usize {
        self.total - self.free.available_permits().min(self.total)
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Grant {
    permit: OwnedSemaphorePermit,
    spare: Arc<Spare>,
}

impl Grant {
    pub(crate) fn bytes(&self) -> usize {
        self.permit.num_permits()
    }

    /// An empty buffer of its size.
    pub(crate) fn buffer(&self) -> BytesMut {
        self.spare.take(self.bytes())
    }

    /// Gives it back, and the memory it stood for to the next batch.
    pub(crate) fn give_back(self, buffer: Option<Bytes>) {
        if let Some(buffer) = buffer {
            self.spare.put(buffer);
        }
    }

    /// Takes `bytes` out of it; `None` if it has not so many.
    pub(crate) fn split(&mut self, bytes: usize) -> Option<Self> {
        let permit = self.permit.split(bytes)?;
        Some(Self { permit, spare: self.spare.clone() })
    }

    /// Adds another part of the same budget.
    pub(crate) fn add(&mut self, other: Self) {
        self.permit.merge(other.permit);
    }
}

/// What is kept for the next batches, as a part of the budget, which it comes on top of.
const SPARE_PART: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::Future, pin::pin, task::Context};

    #[test]
    fn what_is_granted_comes_back() {
        let memory = Memory::new(100);
        let mut grant = memory.try_grant(60).unwrap();
        assert!(memory.try_grant(41).is_none());
        grant.add(memory.try_grant(40).unwrap());
        assert_eq!((grant.bytes(), memory.used()), (100, 100));
        assert!(grant.split(101).is_none());
        drop(grant.split(30));
        assert_eq!((grant.bytes(), memory.used()), (70, 70));
        drop(grant);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn nobody_overtakes_who_waits() {
        let memory = Memory::new(100);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let held = memory.try_grant(90).unwrap();
        let mut large = pin!(memory.grant(80));
        assert!(large.as_mut().poll(&mut cx).is_pending());
        let mut small = pin!(memory.grant(5));
        assert!(small.as_mut().poll(&mut cx).is_pending(), "the ten free bytes are set aside for the first");
        assert!(memory.try_grant(5).is_none());
        drop(held);
        assert!(large.as_mut().poll(&mut cx).is_ready());
        assert!(small.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn a_waiter_that_gives_up_frees_its_place() {
        let memory = Memory::new(100);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _held = memory.try_grant(90).unwrap();
        {
            let mut large = pin!(memory.grant(80));
            assert!(large.as_mut().poll(&mut cx).is_pending());
        }
        assert!(memory.try_grant(10).is_some());
    }

    #[test]
    fn closing_ends_all_waiting() {
        let memory = Memory::new(10);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _held = memory.try_grant(10).unwrap();
        let mut waiting = pin!(memory.grant(1));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        memory.close();
        assert!(matches!(waiting.as_mut().poll(&mut cx), std::task::Poll::Ready(None)));
        assert!(memory.try_grant(0).is_none());
    }
}
