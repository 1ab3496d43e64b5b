//! Task: a value that changes, and those who follow it.
//!
//! In place of Tokio's `watch`, which wakes its followers in a random order: one seed must be one run. Invariant: they are
//! woken in the order in which they began to wait, and no change is missed, though many may be seen as one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The value's owner. When it is dropped, followers are told so.
#[derive(Debug)]
pub(crate) struct Published<T>(Arc<Inner<T>>);

/// Follows a value. Clones follow it on from where this one is.
#[derive(Debug)]
pub(crate) struct Follower<T> {
    inner: Arc<Inner<T>>,
    seen: u64,
}

/// The owner is gone: the value changes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

#[derive(Debug)]
struct Inner<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    value: Arc<T>,
    version: u64,
    is_gone: bool,
}

impl<T> Published<T> {
    pub(crate) fn new(value: T) -> Self {
        let state = State { value: Arc::new(value), version: 0, is_gone: false };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: Notify::new() }))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        self.0.lock().value.clone()
    }

    /// Follows the value; what it is now counts as seen.
    pub(crate) fn follow(&self) -> Follower<T> {
        let seen = self.0.lock().version;
        Follower { inner: self.0.clone(), seen }
    }

    /// Puts another value in place, if `change` makes one. Whether it did.
    pub(crate) fn change(&self, change: impl FnOnce(&T) -> Option<T>) -> bool {
        let mut state = self.0.lock();
        let Some(value) = change(&state.value) else { return false };
        state.value = Arc::new(value);
        state.version += 1;
        drop(state);
        self.0.changed.notify_waiters();
        true
    }
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        self.0.lock().is_gone = true;
        self.0.changed.notify_waiters();
    }
}

impl<T> Follower<T> {
    /// The value, without taking it for seen.
    pub(crate) fn get(&self) -> Arc<T> {
        self.inner.lock().value.clone()
    }

    /// The value, which counts as seen.
    pub(crate) fn latest(&mut self) -> Arc<T> {
        let state = self.inner.lock();
        self.seen = state.version;
        state.value.clone()
    }

    /// Waits for a value that was not seen.
    ///
    /// # Errors
    ///
    /// [`Gone`] once there will be none.
    ///
    /// # Cancel safety
    ///
    /// Safe: a change counts as seen only when this returns.
    pub(crate) async fn changed(&mut self) -> Result<(), Gone> {
        loop {
            // It counts from here on, so that nothing is missed after the look.
            let changed = self.inner.changed.notified();
            {
                let state = self.inner.lock();
                if state.version != self.seen {
                    self.seen = state.version;
                    return Ok(());
                }
                if state.is_gone {
                    return Err(Gone);
                }
            }
            changed.await;
        }
    }

    /// Waits for a value that is as wanted; the present one may be.
    ///
    /// # Errors
    ///
    /// [`Gone`] once there will be none.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn wait_for(&mut self, is_wanted: impl Fn(&T) -> bool) -> Result<Arc<T>, Gone> {
        loop {
            let value = self.latest();
            if is_wanted(&value) {
                return Ok(value);
            }
            self.changed().await?;
        }
    }
}

impl<T> Clone for Follower<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), seen: self.seen }
    }
}

impl<T> Inner<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::{Future, poll_fn},
        pin::pin,
        task::Poll,
    };

    #[tokio::test]
    async fn a_change_is_seen_once_and_none_is_missed() {
        let published = Published::new(1);
        let mut follower = published.follow();
        published.change(|_| Some(2));
        published.change(|_| Some(3));
        assert_eq!(follower.changed().await, Ok(()));
        assert_eq!(*follower.latest(), 3);
        assert!(!published.change(|_| None));
        {
            let mut waiting = pin!(follower.changed());
            let is_pending = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
            assert!(is_pending);
            published.change(|value| Some(value + 1));
            assert_eq!(waiting.await, Ok(()));
        }
        assert_eq!(*follower.get(), 4);
    }

    #[tokio::test]
    async fn a_follower_waits_for_what_it_wants_or_for_the_end() {
        let published = Published::new(1);
        let mut follower = published.follow();
        assert_eq!(follower.wait_for(|value| *value == 1).await, Ok(Arc::new(1)));
        let waits = tokio::spawn(async move { follower.wait_for(|value| *value == 3).await });
        tokio::task::yield_now().await;
        published.change(|_| Some(2));
        tokio::task::yield_now().await;
        published.change(|_| Some(3));
        assert_eq!(waits.await.unwrap(), Ok(Arc::new(3)));
        let mut follower = published.follow();
        drop(published);
        assert_eq!(follower.changed().await, Err(Gone));
        assert_eq!(follower.wait_for(|value| *value == 9).await, Err(Gone));
    }
}
