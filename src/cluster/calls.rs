//! One question, one answer: a lane that sends what callers ask and hands each its answer.
//!
//! Invariant: every call ends once, with an answer, the connection's end, or its deadline. A call that was not sent
//! when a connection attempt fails is told so, so that its caller can ask another broker.

use crate::{
    error::ConnectionError,
    net::{Lane, Request, Versions, throttle},
    wire::{
        Api, ApiKey, VersionRange,
        request::{Body, decode_response, throttle_time_ms},
    },
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

type Encode = Box<dyn FnOnce(i16) -> Result<Body, ConnectionError> + Send>;
type Done = Box<dyn FnOnce(Result<(i16, Bytes), ConnectionError>) -> Result<(), ConnectionError> + Send>;

/// A question whose answer is awaited somewhere.
pub(crate) struct Call {
    key: ApiKey,
    versions: VersionRange,
    encode: Encode,
    done: Done,
    timeout: Duration,
    expires_at: Instant,
}

impl Call {
    /// A call that gives its outcome to `done`, by `expires_at` at the latest.
    pub(crate) fn new<A: Api + Send + 'static>(
        request: A,
        timeout: Duration,
        expires_at: Instant,
        done: impl FnOnce(Result<A::Response, ConnectionError>) + Send + 'static,
    ) -> Self {
        Self {
            key: A::KEY,
            versions: A::VERSIONS,
            encode: Box::new(move |version| Body::encode(&request, version).map_err(ConnectionError::Encode)),
            done: Box::new(move |outcome| {
                let (version, frame) = match outcome {
                    Ok(answer) => answer,
                    Err(cause) => {
                        done(Err(cause));
                        return Ok(());
                    }
                };
                match decode_response::<A>(version, frame) {
                    Ok(response) => {
                        done(Ok(response));
                        Ok(())
                    }
                    Err(source) => {
                        let cause = ConnectionError::Protocol { api: A::KEY.name(), source };
                        done(Err(cause.clone()));
                        Err(cause)
                    }
                }
            }),
            timeout,
            expires_at,
        }
    }

    fn fail(self, cause: ConnectionError) {
        // The outcome is an error already, so there is nothing to decode and no second error to tell.
        let _told = (self.done)(Err(cause));
    }
}

/// The calls of one connection, shared by the callers and the lane.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    queue: VecDeque<Call>,
    closed: bool,
}

impl Calls {
    /// Puts a call in the queue; once closed it fails at once.
    pub(crate) fn push(&self, call: Call) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            call.fail(ConnectionError::Shutdown);
        } else {
            state.queue.push_back(call);
        }
    }

    /// Fails what is queued and takes nothing more.
    pub(crate) fn close(&self) {
        let queue = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.queue)
        };
        for call in queue {
            call.fail(ConnectionError::Shutdown);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lane behind a caller.
pub(crate) struct CallLane {
    calls: Calls,
    versions: Option<Versions>,
    in_flight: BTreeMap<u64, Sent>,
    next_token: u64,
    /// The broker wants to be left alone until then; it would let what is sent wait, and the answer be late.
    throttled_until: Option<Instant>,
}

struct Sent {
    key: ApiKey,
    version: i16,
    done: Done,
}

impl CallLane {
    pub(crate) const fn new(calls: Calls) -> Self {
        Self { calls, versions: None, in_flight: BTreeMap::new(), next_token: 0, throttled_until: None }
    }
}

impl Lane for CallLane {
    fn handle_connected(&mut self, versions: &Versions, _now: Instant) {
        self.versions = Some(versions.clone());
    }

    fn poll_request(&mut self, now: Instant) -> Option<Request> {
        let versions = self.versions.as_ref()?;
        if self.throttled_until.is_some_and(|until| now < until) {
            return None;
        }
        loop {
            let call = self.calls.lock().queue.pop_front()?;
            if call.expires_at <= now {
                let after = call.timeout;
                let api = call.key.name();
                call.fail(ConnectionError::TimedOut { api, after });
                continue;
            }
            let version = match versions.choose(call.key, call.versions) {
                Ok(version) => version,
                Err(cause) => {
                    call.fail(cause);
                    continue;
                }
            };
            match (call.encode)(version) {
                Ok(body) => {
                    let token = self.next_token;
                    self.next_token += 1;
                    self.in_flight.insert(token, Sent { key: call.key, version, done: call.done });
                    return Some(Request { token, body, timeout: call.timeout });
                }
                Err(cause) => {
                    let _told = (call.done)(Err(cause));
                }
            }
        }
    }

    fn handle_response(&mut self, token: u64, frame: Bytes, now: Instant) -> Result<(), ConnectionError> {
        let Some(Sent { key, version, done }) = self.in_flight.remove(&token) else { return Ok(()) };
        // What cannot be read is told by the answer's own decoding.
        let pause = throttle_time_ms(key, version, frame.clone()).map_or(Duration::ZERO, throttle);
        done(Ok((version, frame)))?;
        if !pause.is_zero() {
            let until = now + pause;
            self.throttled_until = Some(self.throttled_until.map_or(until, |other| other.max(until)));
        }
        Ok(())
    }

    fn handle_disconnected(&mut self, cause: &ConnectionError, _now: Instant) {
        let was_connected = self.versions.take().is_some();
        self.throttled_until = None;
        for Sent { done, .. } in std::mem::take(&mut self.in_flight).into_values() {
            let _told = done(Err(cause.clone()));
        }
        if !was_connected {
            let queue = std::mem::take(&mut self.calls.lock().queue);
            for call in queue {
                call.fail(cause.clone());
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.throttled_until = self.throttled_until.filter(|&until| until > now);
        let expired: VecDeque<Call> = {
            let mut state = self.calls.lock();
            let (expired, rest) =
                std::mem::take(&mut state.queue).into_iter().partition(|call| call.expires_at <= now);
            state.queue = rest;
            expired
        };
        for call in expired {
            let cause = ConnectionError::TimedOut { api: call.key.name(), after: call.timeout };
            call.fail(cause);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.calls.lock().queue.iter().map(|call| call.expires_at).min();
        // With nothing to send the end of a pause concerns nobody.
        expiry.map(|at| self.throttled_until.map_or(at, |until| until.min(at)))
    }

    fn wants_connection(&self) -> bool {
        !self.calls.lock().queue.is_empty()
    }

    fn is_finished(&self) -> bool {
        self.calls.lock().closed
    }
}

impl Drop for CallLane {
    fn drop(&mut self) {
        self.calls.close();
        for Sent { done, .. } in std::mem::take(&mut self.in_flight).into_values() {
            let _told = done(Err(ConnectionError::Shutdown));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::clock,
        wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
    };
    use bytes::{BufMut, BytesMut};
    use std::sync::mpsc::{Receiver, channel};

    type Outcome = Result<InitProducerIdResponse, ConnectionError>;

    const SECOND: Duration = Duration::from_secs(1);

    fn ask(calls: &Calls, now: Instant) -> Receiver<Outcome> {
        let (sender, receiver) = channel();
        calls.push(Call::new(InitProducerIdRequest, SECOND, now + SECOND, move |outcome| {
            sender.send(outcome).unwrap();
        }));
        receiver
    }

    fn connected(calls: &Calls, now: Instant) -> CallLane {
        let mut lane = CallLane::new(calls.clone());
        let range = InitProducerIdRequest::VERSIONS;
        lane.handle_connected(&Versions::new([(ApiKey::InitProducerId as i16, range)]), now);
        lane
    }

    fn answer(producer_id: i64) -> Bytes {
        throttled_answer(producer_id, 0)
    }

    fn throttled_answer(producer_id: i64, throttle_time_ms: i32) -> Bytes {
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        frame.put_u8(0);
        frame.put_i32(throttle_time_ms);
        frame.put_i16(0);
        frame.put_i64(producer_id);
        frame.put_i16(0);
        frame.put_u8(0);
        frame.freeze()
    }

    #[test]
    fn each_caller_gets_its_own_answer() {
        let (calls, now) = (Calls::default(), clock::now());
        let mut lane = connected(&calls, now);
        let (first, second) = (ask(&calls, now), ask(&calls, now));
        let a = lane.poll_request(now).unwrap().token;
        let b = lane.poll_request(now).unwrap().token;
        assert!(lane.poll_request(now).is_none());
        lane.handle_response(b, answer(2), now).unwrap();
        lane.handle_response(a, answer(1), now).unwrap();
        assert_eq!(first.try_recv().unwrap().unwrap().producer_id, 1);
        assert_eq!(second.try_recv().unwrap().unwrap().producer_id, 2);
    }

    #[test]
    fn a_lost_connection_fails_what_was_sent_and_keeps_what_was_not() {
        let (calls, now) = (Calls::default(), clock::now());
        let mut lane = connected(&calls, now);
        let sent = ask(&calls, now);
        lane.poll_request(now).unwrap();
        let queued = ask(&calls, now);
        lane.handle_disconnected(&ConnectionError::Closed, now);
        assert!(matches!(sent.try_recv().unwrap(), Err(ConnectionError::Closed)));
        assert!(queued.try_recv().is_err(), "a queued call may still go out on the next connection");
        assert!(lane.wants_connection());
        lane.handle_disconnected(&ConnectionError::NoAddress, now);
        assert!(matches!(queued.try_recv().unwrap(), Err(ConnectionError::NoAddress)));
    }

    #[test]
    fn a_call_that_waits_too_long_is_told_so() {
        let (calls, now) = (Calls::default(), clock::now());
        let mut lane = CallLane::new(calls.clone());
        let waiting = ask(&calls, now);
        assert_eq!(lane.poll_timeout(), Some(now + SECOND));
        lane.handle_timeout(now + SECOND);
        assert!(matches!(waiting.try_recv().unwrap(), Err(ConnectionError::TimedOut { .. })));
        assert_eq!(lane.poll_timeout(), None);
    }

    #[test]
    fn a_broker_that_wants_a_pause_gets_one_of_sense() {
        for (throttle_time_ms, pause) in [(5_000, 5), (i32::MAX, 30), (0, 0), (-1, 0), (i32::MIN, 0)] {
            let (calls, now) = (Calls::default(), clock::now());
            let mut lane = connected(&calls, now);
            let first = ask(&calls, now);
            let token = lane.poll_request(now).unwrap().token;
            lane.handle_response(token, throttled_answer(1, throttle_time_ms), now).unwrap();
            assert!(first.try_recv().unwrap().is_ok());
            let until = now + pause * SECOND;
            let second = ask(&calls, until);
            if pause > 0 {
                assert!(lane.poll_request(until - SECOND / 1_000).is_none());
                assert_eq!(lane.poll_timeout(), Some(until));
                lane.handle_timeout(until);
                assert_eq!(lane.poll_timeout(), Some(until + SECOND), "the end of the call");
            }
            assert!(lane.poll_request(until).is_some(), "{throttle_time_ms}");
            assert!(second.try_recv().is_err());
            drop(lane);
        }
    }

    #[test]
    fn a_pause_ends_with_its_connection_and_calls_expire_in_it() {
        let (calls, now) = (Calls::default(), clock::now());
        let mut lane = connected(&calls, now);
        let _first = ask(&calls, now);
        let token = lane.poll_request(now).unwrap().token;
        lane.handle_response(token, throttled_answer(1, i32::MAX), now).unwrap();
        let second = ask(&calls, now);
        assert_eq!(lane.poll_timeout(), Some(now + SECOND));
        lane.handle_timeout(now + SECOND);
        assert!(matches!(second.try_recv().unwrap(), Err(ConnectionError::TimedOut { .. })));
        let _third = ask(&calls, now + SECOND);
        lane.handle_disconnected(&ConnectionError::Closed, now + SECOND);
        let range = InitProducerIdRequest::VERSIONS;
        lane.handle_connected(&Versions::new([(ApiKey::InitProducerId as i16, range)]), now + SECOND);
        assert!(lane.poll_request(now + SECOND).is_some());
        drop(lane);
    }

    #[test]
    fn an_answer_that_cannot_be_read_fails_the_call_and_the_connection() {
        let (calls, now) = (Calls::default(), clock::now());
        let mut lane = connected(&calls, now);
        let asked = ask(&calls, now);
        let token = lane.poll_request(now).unwrap().token;
        let cut = answer(1).slice(..9);
        assert!(matches!(
            lane.handle_response(token, cut, now),
            Err(ConnectionError::Protocol { api: "InitProducerId", .. })
        ));
        assert!(asked.try_recv().unwrap().is_err());
    }

    #[test]
    fn a_version_that_the_broker_lacks_fails_the_call_alone() {
        let (calls, now) = (Calls::default(), clock::now());
        let mut lane = CallLane::new(calls.clone());
        lane.handle_connected(&Versions::default(), now);
        let asked = ask(&calls, now);
        assert!(lane.poll_request(now).is_none());
        assert!(matches!(
            asked.try_recv().unwrap(),
            Err(ConnectionError::Version { api: "InitProducerId", theirs: None, .. })
        ));
    }

    #[test]
    fn closing_ends_every_call() {
        let (calls, now) = (Calls::default(), clock::now());
        let mut lane = connected(&calls, now);
        let sent = ask(&calls, now);
        lane.poll_request(now).unwrap();
        let queued = ask(&calls, now);
        calls.close();
        assert!(lane.is_finished());
        drop(lane);
        let late = ask(&calls, now);
        for outcome in [sent, queued, late] {
            assert!(matches!(outcome.try_recv().unwrap(), Err(ConnectionError::Shutdown)));
        }
    }
}
