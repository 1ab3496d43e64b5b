//! The requests of one connection that have no answer yet: correlation, order, deadline.
//!
//! Invariants: answers come in the order of the requests, so an answer that is not to the oldest one means that the
//! stream can no longer be trusted; each request is answered once or lost with the connection. A broker takes up a
//! request when it has answered the one before, so the deadline counts for the oldest only, from when it became that.

use crate::{error::ConnectionError, wire::ApiKey};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A request that was written and has no answer yet.
#[derive(Debug)]
struct Sent {
    correlation_id: i32,
    token: u64,
    api: ApiKey,
    timeout: Duration,
}

/// The unanswered requests of one connection, oldest first.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    sent: VecDeque<Sent>,
    next_correlation_id: i32,
    /// When the oldest request became the oldest.
    head_since: Option<Instant>,
}

impl InFlight {
    /// Notes a request that is about to be written and gives its correlation id.
    pub(crate) fn submit(&mut self, token: u64, api: ApiKey, timeout: Duration, now: Instant) -> i32 {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        if self.sent.is_empty() {
            self.head_since = Some(now);
        }
        self.sent.push_back(Sent { correlation_id, token, api, timeout });
        correlation_id
    }

    /// The API of the oldest unanswered request.
    pub(crate) fn oldest_api(&self) -> Option<ApiKey> {
        self.sent.front().map(|oldest| oldest.api)
    }

    /// The token of the request that an answer with this correlation id belongs to.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Correlation`] when it is not the oldest request's.
    pub(crate) fn answer(&mut self, correlation_id: i32, now: Instant) -> Result<u64, ConnectionError> {
        match self.sent.front() {
            Some(oldest) if oldest.correlation_id == correlation_id => {}
            other => {
                let expected = other.map(|oldest| oldest.correlation_id);
                return Err(ConnectionError::Correlation { expected, found: correlation_id });
            }
        }
        let answered = self.sent.pop_front();
        self.head_since = (!self.sent.is_empty()).then_some(now);
        answered
            .map(|sent| sent.token)
            .ok_or(ConnectionError::Correlation { expected: None, found: correlation_id })
    }

    /// When the oldest request has waited too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Some(self.head_since? + self.sent.front()?.timeout)
    }

    /// The error to end the connection with, if the deadline has passed.
    pub(crate) fn overdue(&self, now: Instant) -> Option<ConnectionError> {
        let oldest = self.sent.front()?;
        (self.deadline()? <= now)
            .then(|| ConnectionError::TimedOut { api: oldest.api.name(), after: oldest.timeout })
    }

    /// How many requests have no answer.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Instant {
        crate::net::clock::now()
    }

    #[test]
    fn answers_in_order_give_their_tokens() {
        let (mut in_flight, now) = (InFlight::default(), start());
        let first = in_flight.submit(10, ApiKey::Fetch, SECOND, now);
        let second = in_flight.submit(11, ApiKey::Fetch, SECOND, now);
        assert_eq!(in_flight.answer(first, now).unwrap(), 10);
        assert_eq!(in_flight.answer(second, now).unwrap(), 11);
        assert_eq!(in_flight.len(), 0);
    }

    #[test]
    fn swapped_repeated_and_unasked_answers_are_refused() {
        let (mut in_flight, now) = (InFlight::default(), start());
        assert!(in_flight.answer(0, now).is_err());
        let first = in_flight.submit(10, ApiKey::Fetch, SECOND, now);
        let second = in_flight.submit(11, ApiKey::Fetch, SECOND, now);
        assert!(in_flight.answer(second, now).is_err());
        assert!(in_flight.answer(first, now).is_ok());
        assert!(in_flight.answer(first, now).is_err());
    }

    #[test]
    fn the_deadline_is_the_oldest_ones_and_armed_again_by_each_answer() {
        let (mut in_flight, now) = (InFlight::default(), start());
        assert_eq!(in_flight.deadline(), None);
        let first = in_flight.submit(1, ApiKey::Produce, SECOND, now);
        in_flight.submit(2, ApiKey::Produce, SECOND, now);
        assert_eq!(in_flight.deadline(), Some(now + SECOND));
        let later = now + SECOND / 2;
        in_flight.answer(first, later).unwrap();
        assert_eq!(in_flight.deadline(), Some(later + SECOND));
        assert!(in_flight.overdue(now + SECOND).is_none());
        assert!(matches!(
            in_flight.overdue(later + SECOND),
            Some(ConnectionError::TimedOut { api: "Produce", .. })
        ));
    }

    #[test]
    fn correlation_ids_wrap_to_zero() {
        let (mut in_flight, now) =
            (InFlight { next_correlation_id: i32::MAX, ..InFlight::default() }, start());
        assert_eq!(in_flight.submit(1, ApiKey::Fetch, SECOND, now), i32::MAX);
        assert_eq!(in_flight.submit(2, ApiKey::Fetch, SECOND, now), 0);
    }
}
