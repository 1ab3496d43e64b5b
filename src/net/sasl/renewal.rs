//! Task: authenticates a connection that is in use again, before the broker's patience ends (KIP-368).
//!
//! Requests that were sent before go on, and their answers come first. From the first message to the last the connection
//! sends nothing else: a broker takes any other request between them as an attack. What takes long is done before or beside,
//! while other requests flow.

use super::{
    Sasl,
    authenticator::{Authenticator, Step},
    work::{self, Doing},
};
use crate::{
    backoff::SplitMix,
    error::ConnectionError,
    net::{Request, Versions},
};
use bytes::Bytes;
use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// When a connection authenticates again, and how far that is.
#[derive(Debug)]
pub(crate) struct Renewal {
    sasl: Sasl,
    random: SplitMix,
    due: Option<Instant>,
    running: Option<Running>,
    /// When the last message left: the broker counts from a time after it.
    asked_at: Instant,
    /// For each answer; one to what was sent before has its own time.
    timeout: Duration,
}

struct Running {
    authenticator: Authenticator,
    doing: Option<Doing>,
    /// Something was sent, so that nothing else may be.
    has_begun: bool,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("has_begun", &self.has_begun).finish_non_exhaustive()
    }
}

impl Renewal {
    /// For a connection that is authenticated at once. `seed` decides the jitter.
    pub(crate) fn new(sasl: Sasl, seed: u64, timeout: Duration, now: Instant) -> Self {
        Self { sasl, random: SplitMix(seed), due: Some(now), running: None, asked_at: now, timeout }
    }

    /// Whether the connection belongs to the authentication alone.
    pub(crate) fn holds_the_wire(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.has_begun)
    }

    /// Whether nothing is under way, and nothing due.
    pub(crate) fn is_settled(&self, now: Instant) -> bool {
        self.running.is_none() && self.due.is_none_or(|due| due > now)
    }

    /// When to call [`poll`](Self::poll) although nothing happened.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.running.is_none())
    }

    /// Takes the answer to a request of [`poll`](Self::poll).
    pub(crate) fn handle_answer(
        &mut self,
        frame: Bytes,
        now: Instant,
    ) -> Result<Option<Request>, ConnectionError> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let step = running.authenticator.handle_answer(frame, nonce)?;
        Ok(self.take(step, now))
    }

    /// Begins when it is due, and goes on with what takes long. Gives what is to be sent, if anything is.
    pub(crate) fn poll(
        &mut self,
        versions: &Versions,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<Option<Request>, ConnectionError> {
        if self.running.is_none() {
            if self.due.is_none_or(|due| due > now) {
                return Ok(None);
            }
            let (authenticator, step) = Authenticator::start(&self.sasl, versions)?;
            self.running = Some(Running { authenticator, doing: None, has_begun: false });
            let request = self.take(step, now);
            if request.is_some() {
                return Ok(request);
            }
        }
        loop {
            let Some(running) = &mut self.running else { return Ok(None) };
            let Some(doing) = &mut running.doing else { return Ok(None) };
            let Poll::Ready(done) = doing.as_mut().poll(cx) else { return Ok(None) };
            running.doing = None;
            let step = running.authenticator.handle_done(done)?;
            let request = self.take(step, now);
            if request.is_some() {
                return Ok(request);
            }
        }
    }

    /// Nothing was sent, so the connection is as good as before: it is tried again while it lives.
    pub(crate) fn postpone(&mut self, now: Instant) {
        self.running = None;
        self.due = Some(now + RETRY);
    }

    fn take(&mut self, step: Step, now: Instant) -> Option<Request> {
        let running = self.running.as_mut()?;
        match step {
            Step::Ask(body) => {
                running.has_begun = true;
                self.asked_at = now;
                Some(Request { token: SASL_TOKEN, body, timeout: self.timeout })
            }
            Step::Work(work) => {
                running.doing = Some(work::start(work, self.random.next()));
                None
            }
            Step::Done(lifetime) => {
                self.running = None;
                self.due = lifetime.map(|lifetime| renew_at(self.asked_at, lifetime, self.random.next()));
                None
            }
        }
    }
}

/// 85 to 95 % of the session's lifetime, so that many clients do not come at once. Brokers refuse a second time within a
/// second.
fn renew_at(from: Instant, lifetime: Duration, random: u64) -> Instant {
    let permille = 850 + u32::try_from(random % 101).unwrap_or(0);
    from + (lifetime.min(LIFETIME_MAX) / 1_000 * permille).max(RENEWAL_MIN)
}

/// 244 bits that nobody can guess, in letters that need no escape.
fn nonce() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// The name of an authentication's requests among those of the lane, which counts its own from 0 on.
pub(crate) const SASL_TOKEN: u64 = u64::MAX;
/// Before a provider that had no token is asked again, on a connection that goes on meanwhile.
const RETRY: Duration = Duration::from_secs(1);
const RENEWAL_MIN: Duration = Duration::from_millis(1_100);
/// A lifetime that is a number without sense is as good as none.
const LIFETIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_before_the_end_and_not_all_the_time() {
        let now = crate::net::clock::now();
        for random in 0..200 {
            let after = renew_at(now, Duration::from_secs(100), random) - now;
            assert!((85.0..=95.0).contains(&after.as_secs_f64()), "{after:?}");
        }
        assert_eq!(renew_at(now, Duration::from_millis(1), 7) - now, RENEWAL_MIN);
        assert!(renew_at(now, Duration::MAX, 7) - now <= LIFETIME_MAX);
    }

    #[test]
    fn nonces_differ_and_have_no_comma() {
        assert_ne!(nonce(), nonce());
        assert!(nonce().len() == 64 && nonce().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
