//! The fetches of one consumer from one broker: at most one unanswered, the next one out before the last is decoded.
//!
//! Of an answer only the batch headers are looked at: they say where the next fetch reads on. Checksums,
//! decompression and records are the reader's, later. A broker holds a fetch back until there is data, so a lane has
//! its connection to itself. Invariant: what is fetched and under way stays within the consumer's buffer, but for a
//! single batch that is larger than its share.

use super::{
    aborted::AbortedFilter,
    core::{Fetched, Outcome, Wants},
    error::ConsumeError,
    fetch_session::{FetchSession, Wanted},
    positions::retry_delay,
    shared::Shared,
};
use crate::{
    error::{ConnectionError, DecodeError},
    net::{self, Lane, Request, Versions},
    wire::{
        ApiKey,
        api::fetch::{FetchPartitionResponse, FetchRequest, FetchResponse},
        record_batch::walk,
        request::{Body, decode_response},
    },
};
use bytes::Bytes;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct FetchLane {
    shared: Arc<Shared>,
    broker: i32,
    /// How long an answer may take beyond the time that the broker may hold it back.
    request_timeout: Duration,
    session: FetchSession,
    version: Option<i16>,
    in_flight: Option<u64>,
    last_token: u64,
    /// Nothing is sent before.
    blocked_until: Option<Instant>,
    /// When a partition that was left out may be asked for.
    look_again_at: Option<Instant>,
    failures: u32,
    /// Answers without data in a row, while a partition was withheld.
    idle_answers: u32,
    is_withholding: bool,
}

impl FetchLane {
    pub(crate) fn new(shared: Arc<Shared>, broker: i32, request_timeout: Duration) -> Self {
        Self {
            shared,
            broker,
            request_timeout,
            session: FetchSession::default(),
            version: None,
            in_flight: None,
            last_token: 0,
            blocked_until: None,
            look_again_at: None,
            failures: 0,
            idle_answers: 0,
            is_withholding: false,
        }
    }

    /// How long the broker may hold the fetch back. While a partition is withheld the answer must come soon, or that
    /// partition would wait for the others to get data.
    fn max_wait(&self, configured: Duration) -> Duration {
        if !self.is_withholding {
            return configured;
        }
        let patience = WITHHOLDING_WAIT_MIN * (1 << self.idle_answers.min(8));
        configured.min(patience).min(WITHHOLDING_WAIT_MAX)
    }

    /// The next fetch, if one shall go out now; it counts as unanswered.
    pub(super) fn next_fetch(&mut self, now: Instant) -> Option<(FetchRequest, Duration)> {
        if self.in_flight.is_some() || self.blocked_until.is_some_and(|at| at > now) {
            return None;
        }
        let (wants, config) = self.shared.with(|core| (core.wants(self.broker, now), core.config.clone()));
        let Wants { wanted, max_bytes, is_withholding, retry_at } = wants;
        self.look_again_at = retry_at;
        if wanted.is_empty() {
            return None;
        }
        // A partition that backs off must not wait for the others' data either.
        self.is_withholding = is_withholding || retry_at.is_some();
        let max_wait = self.max_wait(config.fetch_max_wait);
        let session = self.session.build(wanted);
        self.last_token += 1;
        self.in_flight = Some(self.last_token);
        let request = FetchRequest {
            max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: config.fetch_min_bytes,
            max_bytes,
            isolation_level: config.isolation,
            session_id: session.session_id,
            session_epoch: session.session_epoch,
            topics: session.topics,
            forgotten: session.forgotten,
            rack_id: config.rack.as_deref().unwrap_or_default().to_owned(),
        };
        Some((request, max_wait))
    }

    pub(super) fn handle_fetch(&mut self, answer: FetchResponse, now: Instant) {
        self.in_flight = None;
        if !self.session.handle_answer(answer.error, answer.session_id) {
            tracing::debug!(error = %answer.error, broker = self.broker, "the fetch session starts again");
            self.back_off(now);
            return;
        }
        self.failures = 0;
        let throttle = net::throttle(answer.throttle_time_ms);
        self.blocked_until = (!throttle.is_zero()).then(|| now + throttle);
        let mut seen = BTreeSet::new();
        let mut fetched = Vec::new();
        let mut has_data = false;
        for topic in answer.topics {
            for partition in topic.partitions {
                let Some(told) = self.session.told(topic.topic_id, partition.index) else { continue };
                if seen.insert((topic.topic_id, partition.index)) {
                    has_data |= !partition.records.is_empty();
                    fetched.push(take_in(told, partition));
                }
            }
        }
        self.idle_answers = if has_data { 0 } else { self.idle_answers.saturating_add(1) };
        let endpoints = answer.node_endpoints.into();
        self.shared.with(|core| core.handle_fetched(self.broker, fetched, &endpoints, now));
    }

    fn back_off(&mut self, now: Instant) {
        self.blocked_until = Some(now + retry_delay(self.failures, u64::from(self.broker.unsigned_abs())));
        self.failures = self.failures.saturating_add(1);
    }
}

impl Lane for FetchLane {
    fn handle_connected(&mut self, versions: &Versions, _now: Instant) {
        match versions.of::<FetchRequest>() {
            Ok(version) => self.version = Some(version),
            Err(source) => {
                self.version = None;
                let error = ConsumeError::Unsupported { broker: self.broker, source };
                self.shared.with(|core| core.fail(error));
            }
        }
    }

    fn poll_request(&mut self, now: Instant) -> Option<Request> {
        let version = self.version?;
        let (request, max_wait) = self.next_fetch(now)?;
        match Body::encode(&request, version) {
            Ok(body) => {
                Some(Request { token: self.last_token, body, timeout: max_wait + self.request_timeout })
            }
            Err(error) => {
                tracing::error!(%error, broker = self.broker, "a fetch cannot be written");
                self.in_flight = None;
                self.session.handle_lost();
                self.back_off(now);
                None
            }
        }
    }

    fn handle_response(&mut self, token: u64, frame: Bytes, now: Instant) -> Result<(), ConnectionError> {
        let Some(version) = self.version.filter(|_| self.in_flight == Some(token)) else { return Ok(()) };
        let answer = decode_response::<FetchRequest>(version, frame)
            .map_err(|source| ConnectionError::Protocol { api: ApiKey::Fetch.name(), source })?;
        self.handle_fetch(answer, now);
        Ok(())
    }

    fn handle_disconnected(&mut self, cause: &ConnectionError, now: Instant) {
        self.version = None;
        self.in_flight = None;
        self.session.handle_lost();
        if let Some(error) = cause.fatal_authentication() {
            self.shared.with(|core| core.fail(ConsumeError::Authentication(error.clone())));
        }
        self.shared.with(|core| core.handle_disconnected(self.broker, now));
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.blocked_until = self.blocked_until.filter(|&at| at > now);
        self.look_again_at = self.look_again_at.filter(|&at| at > now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.in_flight.is_some() {
            return None;
        }
        self.blocked_until.or(self.look_again_at)
    }

    fn wants_connection(&self) -> bool {
        true
    }

    fn is_finished(&self) -> bool {
        self.shared.with(|core| core.is_closed())
    }
}

/// Walks the batch headers of one partition's answer.
fn take_in(told: &Wanted, answer: FetchPartitionResponse) -> Fetched {
    let requested = told.spec.fetch_offset;
    let outcome = if !answer.error.is_ok() {
        Outcome::Failed { code: answer.error, hint: answer.current_leader }
    } else if let Some((leader_epoch, end_offset)) = answer.diverging_epoch {
        Outcome::Diverged { leader_epoch, end_offset }
    } else {
        let mut batches = VecDeque::new();
        let (mut bytes, mut next_offset, mut leader_epoch) = (0, requested, told.spec.last_fetched_epoch);
        let mut corrupt = None;
        for batch in walk(answer.records) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => {
                    corrupt = Some(error);
                    break;
                }
            };
            let header = &batch.header;
            if header.next_offset() <= requested && batches.is_empty() {
                continue;
            }
            if header.base_offset < next_offset && !batches.is_empty() {
                // The checksum does not cover the base offset, so it is held against its neighbours.
                corrupt =
                    Some(DecodeError::Invalid { what: "base offset", at: bytes, value: header.base_offset });
                break;
            }
            next_offset = header.next_offset();
            leader_epoch = header.partition_leader_epoch;
            bytes += header.batch_len;
            batches.push_back(batch);
        }
        let aborted = AbortedFilter::new(&answer.aborted_transactions);
        Outcome::Data { batches, bytes, next_offset, leader_epoch, aborted, corrupt }
    };
    Fetched {
        assignment: told.assignment,
        serial: told.serial,
        requested,
        high_watermark: answer.high_watermark,
        last_stable_offset: answer.last_stable_offset,
        preferred_read_replica: answer.preferred_read_replica,
        outcome,
    }
}

/// While a partition is withheld: at first, and after a few answers without data.
const WITHHOLDING_WAIT_MIN: Duration = Duration::from_millis(5);
const WITHHOLDING_WAIT_MAX: Duration = Duration::from_millis(100);
