//! The producer's side of one broker's connection: builds the requests, takes the answers. Pure.
//!
//! Each request carries one batch of every partition that has something to send, starting where the last one stopped, so
//! that none starves. Absent: the order and the fate of batches (`partition`, `settle`), the rule of leaving (`gate`).

use super::{
    config::ProducerConfig,
    door::{Door, Rest},
    error::Unsupported,
    gate::{Gate, Leave},
    metrics::{Counters, add, take},
    partition::Poll,
    settle::{Answer, GiveUp},
    slot::PartitionSlot,
};
use crate::{
    error::ConnectionError,
    net::{self, Lane, Request, Versions},
    wire::{
        ApiKey,
        api::produce::{
            LeaderIdAndEpoch, NodeEndpoint, PRODUCE_VERSIONS, ProduceBatch, ProducePartitionResponse,
            ProduceResponse, produce_body,
        },
        compression::{Compression, Compressor},
        request::response_body,
    },
};
use bytes::{Bytes, BytesMut};
use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a lane has to tell the rest of the client. All of it returns at once.
pub(crate) trait Outside: fmt::Debug + Send + Sync {
    /// An answer says that the metadata may be stale.
    fn refresh(&self);
    /// An answer names the leader.
    fn leader_hint(&self, topic: &str, partition: i32, hint: LeaderIdAndEpoch, endpoints: &[NodeEndpoint]);
    /// A partition has used this producer id up.
    fn need_producer_id(&self, spent: i64);
}

/// What a lane goes by.
#[derive(Debug, Clone)]
pub(crate) struct LaneSettings {
    pub(crate) compression: Compression,
    pub(crate) enough_bytes: usize,
    pub(crate) request_bytes: usize,
    pub(crate) in_flight_bytes: usize,
    pub(crate) gap: Duration,
    pub(crate) depth: usize,
    /// How long the oldest request may be without an answer.
    pub(crate) request_timeout: Duration,
}

impl LaneSettings {
    pub(crate) fn new(config: &ProducerConfig, request_timeout: Duration) -> Self {
        Self {
            compression: config.compression,
            enough_bytes: config.batch_bytes,
            request_bytes: config.request_bytes,
            in_flight_bytes: config.in_flight_bytes,
            gap: config.gap,
            depth: config.depth,
            request_timeout,
        }
    }

    /// How long the broker may wait for its replicas: less than the answer may take, so that it comes in time.
    fn ack_timeout_ms(&self) -> i32 {
        i32::try_from((self.request_timeout * 3 / 4).as_millis()).unwrap_or(i32::MAX)
    }
}

/// The machine behind one connection for producing.
pub(crate) struct ProduceLane {
    door: Arc<Door>,
    outside: Arc<dyn Outside>,
    counters: Arc<Counters>,
    settings: LaneSettings,
    gate: Gate,
    compressor: Compressor,
    /// `None` while there is no connection.
    version: Option<i16>,
    /// The broker speaks none that this client does.
    unsupported: Option<Unsupported>,
    /// No connection was tried yet: the first is made ahead of the first record.
    cold: bool,
    ready: VecDeque<Arc<PartitionSlot>>,
    /// Partitions that wait for a retry.
    later: Vec<(Instant, Arc<PartitionSlot>)>,
    in_flight: VecDeque<SentRequest>,
    in_flight_bytes: usize,
    next_token: u64,
    wake_at: Option<Instant>,
    scratch: Scratch,
}

#[derive(Debug)]
struct SentRequest {
    token: u64,
    bytes: usize,
    sent_at: Instant,
    batches: AnsweredFor,
}

/// What a request answers for; the id names the batch within its partition.
type AnsweredFor = Vec<Option<(Arc<PartitionSlot>, u64)>>;

/// Memory that one request after the other uses.
#[derive(Debug, Default)]
struct Scratch {
    /// Empty between requests: a batch's memory is used again only when nobody else holds it.
    outgoing: Vec<ProduceBatch>,
    heads: BytesMut,
    /// Empty ones, as many as there may be requests under way.
    answered_for: Vec<AnsweredFor>,
    response: ProduceResponse,
}

impl ProduceLane {
    pub(crate) fn new(
        door: Arc<Door>,
        outside: Arc<dyn Outside>,
        counters: Arc<Counters>,
        settings: LaneSettings,
    ) -> Self {
        Self {
            gate: Gate::new(settings.gap, settings.depth),
            door,
            outside,
            counters,
            settings,
            compressor: Compressor::default(),
            version: None,
            unsupported: None,
            cold: true,
            ready: VecDeque::new(),
            later: Vec::new(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            next_token: 0,
            wake_at: None,
            scratch: Scratch { heads: BytesMut::with_capacity(HEADS_BYTES), ..Scratch::default() },
        }
    }

    fn build(&mut self, version: i16, now: Instant) -> Option<Request> {
        let mut batches = self.scratch.answered_for.pop().unwrap_or_default();
        let (mut bytes, mut records) = (0, 0);
        for _ in 0..self.ready.len() {
            let room = self.settings.in_flight_bytes.saturating_sub(self.in_flight_bytes);
            if bytes >= self.settings.request_bytes.min(room) {
                break;
            }
            let Some(slot) = self.ready.pop_front() else { break };
            let Some((id, batch, record_count)) = self.next_batch(&slot, now) else { continue };
            bytes += batch.len();
            records += u64::from(record_count);
            let (topic, partition) = (slot.topic.clone(), slot.partition);
            self.scratch.outgoing.push(ProduceBatch { topic, partition, bytes: batch });
            batches.push(Some((slot, id)));
        }
        if batches.is_empty() {
            self.keep(batches);
            return None;
        }
        let token = self.next_token;
        self.next_token += 1;
        let Scratch { outgoing, heads, .. } = &mut self.scratch;
        let body = produce_body(version, self.settings.ack_timeout_ms(), outgoing, heads);
        outgoing.clear();
        self.in_flight.push_back(SentRequest { token, bytes, sent_at: now, batches });
        self.in_flight_bytes += bytes;
        add(&self.counters.requests, 1);
        add(&self.counters.requests_in_flight, 1);
        self.door.counters().sent(bytes, records);
        match body {
            Ok(body) => {
                self.gate.sent(now);
                Some(Request { token, body, timeout: self.settings.request_timeout })
            }
            Err(error) => {
                // Batches are far below what the protocol's lengths hold, so this cannot be.
                tracing::error!(%error, "a request cannot be written");
                self.lose_last(now);
                None
            }
        }
    }

    fn keep(&mut self, mut batches: AnsweredFor) {
        if self.scratch.answered_for.len() < self.settings.depth {
            batches.clear();
            self.scratch.answered_for.push(batches);
        }
    }

    /// The batch of `slot` for the next request, if it has one to send now.
    fn next_batch(&mut self, slot: &Arc<PartitionSlot>, now: Instant) -> Option<(u64, Bytes, u32)> {
        match slot.poll(&self.door, self.next_token, now) {
            Poll::Nothing => None,
            Poll::Later(at) => {
                self.later.push((at, slot.clone()));
                None
            }
            Poll::NeedProducerId(spent) => {
                self.outside.need_producer_id(spent);
                None
            }
            Poll::Resend { id, bytes, record_count } => Some((id, bytes, record_count)),
            Poll::Seal { id, builder, stamp, more, queued_for } => {
                // Compressing is done without the lock, so that appending goes on meanwhile.
                let sealed = builder.seal(self.settings.compression, stamp, &mut self.compressor);
                let record_count = sealed.record_count;
                if let Some(queued_for) = queued_for {
                    let (before, after) = (sealed.uncompressed_len, sealed.bytes.len());
                    slot.counters.sent(record_count, before, after, queued_for);
                }
                let bytes = sealed.bytes.clone();
                slot.lock().sealed(id, sealed);
                if more {
                    self.ready.push_back(slot.clone());
                }
                Some((id, bytes, record_count))
            }
        }
    }

    /// Takes the answer for one batch. `true` if the metadata may be stale.
    fn settle(&mut self, slot: &Arc<PartitionSlot>, id: u64, answer: &Answer, now: Instant) -> bool {
        let settled = slot.lock().settle(id, answer, now);
        if let Some(completion) = settled.completion {
            completion.of_topic(&slot.topic).tell(&self.counters);
        }
        if let Some(moved) = settled.moved {
            add(&self.counters.records_not_sent, u64::from(moved.refused));
            add(&slot.counters.batches_cut, 1);
            moved.tell();
        }
        if settled.retried {
            add(&self.counters.retries, 1);
            add(&slot.counters.retries, 1);
            tracing::debug!(topic = %slot.topic, partition = slot.partition, ?answer, "a batch is sent again");
        }
        if settled.loss_suspected {
            add(&self.counters.loss_suspected, 1);
            tracing::warn!(
                topic = %slot.topic, partition = slot.partition,
                "the broker lacks records that it had acked; was a replica out of sync elected?"
            );
        }
        match settled.list {
            Some(lane) if Arc::ptr_eq(&lane, &self.door) => self.ready.push_back(slot.clone()),
            Some(lane) => lane.list(slot.clone()),
            None => {}
        }
        settled.refresh
    }

    /// The newest request will get no answer.
    fn lose_last(&mut self, now: Instant) {
        if let Some(request) = self.in_flight.pop_back() {
            self.lose(request, now);
        }
    }

    fn lose(&mut self, request: SentRequest, now: Instant) {
        self.in_flight_bytes -= request.bytes;
        take(&self.counters.requests_in_flight, 1);
        self.door.counters().lost();
        for (slot, id) in request.batches.into_iter().flatten() {
            self.settle(&slot, id, &Answer::Lost, now);
        }
    }

    /// Partitions that moved to another lane are none of this one's business, nor a reason to connect.
    fn forget_moved(&mut self) {
        let door = &self.door;
        self.door.take_into(&mut self.ready);
        self.ready.retain(|slot| slot.lock().is_of(door));
        self.later.retain(|(_, slot)| slot.lock().is_of(door));
    }

    fn take_due(&mut self, now: Instant) {
        let ready = &mut self.ready;
        self.later.retain(|(at, slot)| {
            let due = *at <= now;
            if due {
                ready.push_back(slot.clone());
            }
            !due
        });
    }

    /// Gives up what is listed: the records would wait in vain for as long as they may.
    fn refuse_all(&mut self, cause: &GiveUp) {
        loop {
            self.door.take_into(&mut self.ready);
            let later = self.later.drain(..).map(|(_, slot)| slot);
            let slots: Vec<_> = self.ready.drain(..).chain(later).collect();
            for slot in slots {
                let mut queue = slot.lock();
                let given_up = match queue.unlist(&self.door) {
                    true => queue.give_up(cause),
                    false => Vec::new(),
                };
                slot.note_queued(&queue);
                drop(queue);
                for completion in given_up {
                    completion.tell(&self.counters);
                }
            }
            if self.door.rest(Rest::Listed) {
                return;
            }
        }
    }

    fn has_enough(&self) -> bool {
        let mut left = self.settings.enough_bytes;
        self.ready.iter().any(|slot| {
            left = left.saturating_sub(slot.queued_bytes());
            left == 0
        })
    }

    fn next_retry(&self) -> Option<Instant> {
        self.later.iter().map(|(at, _)| *at).min()
    }
}

impl Lane for ProduceLane {
    fn handle_connected(&mut self, versions: &Versions, _now: Instant) {
        self.cold = false;
        self.gate.reset();
        self.unsupported = None;
        match versions.choose(ApiKey::Produce, PRODUCE_VERSIONS) {
            Ok(version) => self.version = Some(version),
            Err(error) => {
                let broker_id = self.door.broker_id();
                tracing::error!(%error, broker_id, "cannot produce to this broker");
                if let ConnectionError::Version { ours, theirs, .. } = error {
                    self.unsupported = Some(Unsupported { broker_id, ours, theirs });
                }
            }
        }
    }

    fn poll_request(&mut self, now: Instant) -> Option<Request> {
        if let Some(cause) = self.unsupported {
            self.refuse_all(&GiveUp::Unsupported(cause));
        }
        let version = self.version?;
        loop {
            self.wake_at = None;
            self.door.take_into(&mut self.ready);
            self.take_due(now);
            if !self.ready.is_empty() {
                let full = self.in_flight_bytes >= self.settings.in_flight_bytes;
                let leave = self.gate.leave(now, self.in_flight.len(), self.has_enough());
                match leave {
                    _ if full => {}
                    Leave::AfterAnswer => {}
                    Leave::Now => {
                        if let Some(request) = self.build(version, now) {
                            return Some(request);
                        }
                    }
                    Leave::At(at) | Leave::NotBefore(at) => self.wake_at = Some(at),
                }
                let rest = match leave {
                    Leave::At(_) if !full => Rest::Filled,
                    _ if self.ready.is_empty() => Rest::Listed,
                    _ => Rest::Nothing,
                };
                if self.door.rest(rest) {
                    break;
                }
            } else if self.door.rest(Rest::Listed) {
                break;
            }
        }
        if let Some(retry) = self.next_retry() {
            // While the gate is closed a retry need not wake anybody.
            self.wake_at = if self.ready.is_empty() { Some(retry) } else { self.wake_at };
        }
        None
    }

    fn handle_response(&mut self, token: u64, frame: Bytes, now: Instant) -> Result<(), ConnectionError> {
        let api = ApiKey::Produce.name();
        let version = self.version.unwrap_or(PRODUCE_VERSIONS.max);
        let mut response = std::mem::take(&mut self.scratch.response);
        response_body(ApiKey::Produce, version, frame)
            .and_then(|mut reader| response.read(version, &mut reader))
            .map_err(|source| ConnectionError::Protocol { api, source })?;
        if self.in_flight.front().is_none_or(|request| request.token != token) {
            return Ok(()); // answers come in the order of the requests, so this was none of ours
        }
        let Some(mut request) = self.in_flight.pop_front() else { return Ok(()) };
        self.in_flight_bytes -= request.bytes;
        take(&self.counters.requests_in_flight, 1);
        let ack_time = now.saturating_duration_since(request.sent_at);
        self.door.counters().answered(ack_time);
        self.gate.answered(ack_time, net::throttle(response.throttle_time_ms), now);
        let mut stale = false;
        let mut next = 0;
        for partition in response.partitions.drain(..) {
            // Answers come in the order of the request as a rule: looking starts behind the last one found.
            let Some(at) = find(&request.batches, next, &partition.topic, partition.index) else { continue };
            next = at + 1;
            let Some((slot, id)) = request.batches[at].take() else { continue };
            if let Some(hint) = partition.current_leader {
                self.outside.leader_hint(&slot.topic, partition.index, hint, &response.node_endpoints);
            }
            if partition.error.is_ok() {
                slot.counters.ack_time.record_time(ack_time);
            }
            stale |= self.settle(&slot, id, &answer(partition), now);
        }
        for (slot, id) in request.batches.drain(..).flatten() {
            stale |= self.settle(&slot, id, &Answer::Lost, now);
        }
        if stale {
            self.outside.refresh();
        }
        self.keep(request.batches);
        self.scratch.response = response;
        Ok(())
    }

    fn handle_disconnected(&mut self, cause: &ConnectionError, now: Instant) {
        tracing::debug!(broker = self.door.broker_id(), %cause, "the produce connection ended");
        self.version = None;
        self.unsupported = None;
        self.wake_at = None;
        // A broker that leads nothing any more is not worth further attempts.
        self.cold = false;
        while let Some(request) = self.in_flight.pop_front() {
            self.lose(request, now);
        }
        self.forget_moved();
        if let Some(error) = cause.fatal_authentication() {
            self.refuse_all(&GiveUp::Authentication(error.clone()));
        }
        // Nobody polls a lane that needs no connection: what is listed next has to wake it, or lies there for ever.
        // If something was listed already, the lane connects anyway.
        let _nothing_listed = self.door.rest(Rest::Listed);
        self.outside.refresh();
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.wake_at = None;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
    }

    fn wants_connection(&self) -> bool {
        self.cold || !self.ready.is_empty() || !self.later.is_empty() || !self.door.is_empty()
    }

    fn is_finished(&self) -> bool {
        self.door.is_closed()
    }
}

impl Drop for ProduceLane {
    /// However the lane's task ends, its partitions are free to go on elsewhere.
    fn drop(&mut self) {
        while let Some(request) = self.in_flight.pop_front() {
            let sent_at = request.sent_at;
            self.lose(request, sent_at);
        }
    }
}

fn answer(partition: ProducePartitionResponse) -> Answer {
    let known = |value: i64| (value >= 0).then_some(value);
    Answer::Broker {
        code: partition.error,
        message: partition.error_message.map(Arc::from),
        base_offset: known(partition.base_offset),
        log_append_time_ms: known(partition.log_append_time_ms),
        record_errors: partition.record_errors,
    }
}

/// Where `batches` has this partition, looked for from `start` on and around the end.
fn find(
    batches: &[Option<(Arc<PartitionSlot>, u64)>],
    start: usize,
    topic: &[u8],
    partition: i32,
) -> Option<usize> {
    let is_it = |at: &usize| {
        batches[*at]
            .as_ref()
            .is_some_and(|(slot, _)| slot.partition == partition && slot.topic.as_bytes() == topic)
    };
    (start..batches.len()).find(is_it).or_else(|| (0..start.min(batches.len())).find(is_it))
}

/// Room for the heads of several requests: once it is used up and all of them are sent, it is used again.
const HEADS_BYTES: usize = 4096;
