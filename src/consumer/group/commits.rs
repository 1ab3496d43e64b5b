//! When a group's offsets are committed: one commit unanswered at most, the rest coalesced into the next.

use crate::backoff::Backoff;
use std::time::{Duration, Instant};

/// Decides when the next commit begins.
#[derive(Debug)]
pub(crate) struct Commits {
    /// `None`: only when asked to.
    interval: Option<Duration>,
    due_at: Option<Instant>,
    is_requested: bool,
    is_in_flight: bool,
    /// The broker does not take commits of this member epoch any more; the next heartbeat brings a newer one.
    is_held: bool,
    retry_at: Option<Instant>,
    backoff: Backoff,
}

impl Commits {
    pub(crate) fn new(interval: Option<Duration>, seed: u64) -> Self {
        Self {
            interval,
            due_at: None,
            is_requested: false,
            is_in_flight: false,
            is_held: false,
            retry_at: None,
            backoff: Backoff::new(RETRY_MIN, RETRY_MAX, seed),
        }
    }

    /// Someone waits for a commit: it begins as soon as none is under way.
    pub(crate) fn request(&mut self) {
        self.is_requested = true;
    }

    /// There is something to commit; when it is `urgent` it does not wait for the interval.
    pub(crate) fn handle_notice(&mut self, urgent: bool, now: Instant) {
        self.is_requested |= urgent;
        if let Some(interval) = self.interval {
            self.due_at.get_or_insert(now + interval);
        }
    }

    /// Whether a commit shall begin now. If so it counts as under way.
    pub(crate) fn poll_begin(&mut self, now: Instant) -> bool {
        if self.is_in_flight || self.is_held || self.retry_at.is_some_and(|at| at > now) {
            return false;
        }
        if !self.is_requested && self.due_at.is_none_or(|at| at > now) {
            return false;
        }
        self.is_requested = false;
        self.due_at = None;
        self.retry_at = None;
        self.is_in_flight = true;
        true
    }

    /// The commit that began is through, or there was nothing to commit.
    pub(crate) fn handle_done(&mut self) {
        self.is_in_flight = false;
        self.backoff.reset();
    }

    /// The commit that began is to be tried again.
    pub(crate) fn handle_failed(&mut self, now: Instant) {
        self.is_in_flight = false;
        self.is_requested = true;
        self.retry_at = Some(now + self.backoff.next_delay());
    }

    /// The commit that began was for an epoch that has passed: it is tried again once `handle_heartbeat` was called.
    pub(crate) fn handle_stale(&mut self) {
        self.is_in_flight = false;
        self.is_requested = true;
        self.is_held = true;
    }

    /// A heartbeat was answered well.
    pub(crate) fn handle_heartbeat(&mut self) {
        self.is_held = false;
    }

    /// The membership ended: what was under way concerns nobody any more.
    pub(crate) fn reset(&mut self) {
        self.is_in_flight = false;
        self.is_requested = false;
        self.is_held = false;
        self.due_at = None;
        self.retry_at = None;
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.is_in_flight
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.is_in_flight || self.is_held {
            return None;
        }
        let due = if self.is_requested { self.retry_at } else { self.due_at };
        due.max(self.retry_at)
    }
}

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    fn commits(interval_ms: Option<u64>) -> (Commits, Instant) {
        (Commits::new(interval_ms.map(Duration::from_millis), 1), clock::now())
    }

    #[test]
    fn notices_wait_for_the_interval_counted_from_the_first() {
        let (mut commits, now) = commits(Some(1000));
        commits.handle_notice(false, now);
        commits.handle_notice(false, now + Duration::from_millis(900));
        assert!(!commits.poll_begin(now + Duration::from_millis(999)));
        assert_eq!(commits.poll_timeout(), Some(now + Duration::from_secs(1)));
        assert!(commits.poll_begin(now + Duration::from_secs(1)));
        assert_eq!(commits.poll_timeout(), None);
    }

    #[test]
    fn one_is_under_way_at_most_and_the_rest_is_one_more() {
        let (mut commits, now) = commits(None);
        commits.request();
        assert!(commits.poll_begin(now));
        commits.request();
        commits.request();
        assert!(!commits.poll_begin(now));
        commits.handle_done();
        assert!(commits.poll_begin(now));
        commits.handle_done();
        assert!(!commits.poll_begin(now));
    }

    #[test]
    fn without_an_interval_only_urgent_notices_begin_a_commit() {
        let (mut commits, now) = commits(None);
        commits.handle_notice(false, now);
        assert!(!commits.poll_begin(now + Duration::from_secs(60)));
        commits.handle_notice(true, now);
        assert!(commits.poll_begin(now));
    }

    #[test]
    fn failures_are_retried_after_a_pause() {
        let (mut commits, now) = commits(None);
        commits.request();
        commits.poll_begin(now);
        commits.handle_failed(now);
        assert!(!commits.poll_begin(now));
        let at = commits.poll_timeout().unwrap();
        assert!(at > now);
        assert!(commits.poll_begin(at));
    }

    #[test]
    fn a_stale_epoch_waits_for_the_next_heartbeat() {
        let (mut commits, now) = commits(None);
        commits.request();
        commits.poll_begin(now);
        commits.handle_stale();
        assert!(!commits.poll_begin(now));
        commits.handle_heartbeat();
        assert!(commits.poll_begin(now));
    }
}
