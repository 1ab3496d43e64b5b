//! One partition's records on their way: what is appended, what may be sent next.
//!
//! Invariants: batches are sent in the order of their records; at most [`UNRESOLVED_BATCHES_MAX`] are without a final
//! answer, one until the first is confirmed; a partition belongs to one lane at a time and moves only while none of its
//! batches is in a request. After a failure only the oldest batch is sent, alone, until nothing is unresolved. What an
//! answer does is in `settle`.
//!
//! [`UNRESOLVED_BATCHES_MAX`]: super::idempotence::UNRESOLVED_BATCHES_MAX

use super::{
    batch::{OpenBatch, Phase, SentBatch},
    delivery::BatchState,
    door::Door,
    idempotence::Sequencer,
    memory::{Grant, Memory},
    spare_states::SpareStates,
};
use crate::{
    backoff::Backoff,
    wire::record_batch::{BATCH_HEADER_BYTES, BatchBuilder, ProducerStamp, RecordParts, SealedBatch},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a partition's batches are measured by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) batch_bytes: usize,
    pub(crate) max_message_bytes: usize,
    pub(crate) delivery_timeout: Duration,
    pub(crate) retry_backoff: (Duration, Duration),
}

/// A record has its place.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) state: Arc<BatchState>,
    pub(crate) index: u32,
    /// It is the first of its batch.
    pub(crate) opened: bool,
    /// Whom to tell, and what.
    pub(crate) notice: Notice,
}

/// What the lane is to be told after an append, once the lock is free.
#[derive(Debug)]
pub(crate) enum Notice {
    Nothing,
    /// The partition has something to send, which it had not before.
    Listed(Arc<Door>),
    /// A batch is full.
    Filled(Arc<Door>),
}

/// Why a record has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Come again with a grant of so many bytes: it will do, whatever else is appended meanwhile.
    NeedMemory(usize),
    /// In a batch of its own it has so many bytes.
    TooLarge(usize),
    Closed,
}

/// What a lane is to do with a partition.
#[derive(Debug)]
pub(crate) enum Poll {
    /// Nothing; it will be listed again.
    Nothing,
    /// Nothing before this instant.
    Later(Instant),
    /// Its epochs are used up: it needs another producer id than this.
    NeedProducerId(i64),
    /// Send these bytes again.
    Resend { id: u64, bytes: Bytes, record_count: u32 },
    /// Seal this batch, hand it to `sealed`, and send it. `more`: it has more to send at once. `queued_for`: how long its
    /// first record waited; `None` if its records were in another batch before.
    Seal { id: u64, builder: BatchBuilder, stamp: ProducerStamp, more: bool, queued_for: Option<Duration> },
}

/// The machine of one partition.
#[derive(Debug)]
pub(crate) struct PartitionQueue {
    topic: Arc<str>,
    partition: i32,
    limits: Limits,
    pub(super) open: Option<OpenBatch>,
    pub(super) filled: VecDeque<OpenBatch>,
    /// In the order of their records.
    pub(super) unresolved: VecDeque<SentBatch>,
    /// The states of batches that are resolved, for the next ones.
    pub(super) spare_states: SpareStates,
    pub(super) queued_bytes: usize,
    pub(super) in_flight: usize,
    pub(super) sequencer: Sequencer,
    /// Something failed: only the oldest batch is sent, until nothing is unresolved.
    pub(super) recovering: bool,
    /// Sequences have a gap, or may have one: after all is resolved a new epoch starts.
    pub(super) bump_pending: bool,
    /// The epoch is of no use any more: a new producer id is needed.
    pub(super) id_spent: bool,
    pub(super) backoff: Backoff,
    pub(super) retry_at: Option<Instant>,
    pub(super) last_written: Option<Instant>,
    /// Whether the topic stamps records itself (LogAppendTime); `None` until an answer told.
    pub(super) stamps_appends: Option<bool>,
    lane: Option<Arc<Door>>,
    wanted: Option<Arc<Door>>,
    leader_epoch: i32,
    listing: Listing,
    /// The lane's last request that has a batch of this partition: each has one at most.
    last_request: Option<u64>,
    next_id: u64,
    /// What the last batches took, so that the next one starts with about as much.
    usual_bytes: usize,
    closed: bool,
}

/// Whether the lane knows that there is something to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// It does not: the next append says so.
    Unlisted,
    Listed,
    /// It waits for something else than an append.
    Blocked,
}

impl PartitionQueue {
    pub(super) fn new(topic: Arc<str>, partition: i32, sequencer: Sequencer, limits: Limits) -> Self {
        let seed = u64::from(super::partitioner::murmur2(topic.as_bytes())) << 32
            ^ u64::from(partition.cast_unsigned())
            ^ sequencer.producer_id().cast_unsigned().rotate_left(17);
        let (min, max) = limits.retry_backoff;
        Self {
            topic,
            partition,
            limits,
            open: None,
            filled: VecDeque::new(),
            unresolved: VecDeque::new(),
            spare_states: SpareStates::default(),
            queued_bytes: 0,
            in_flight: 0,
            sequencer,
            recovering: false,
            bump_pending: false,
            id_spent: false,
            backoff: Backoff::new(min, max, seed),
            retry_at: None,
            last_written: None,
            stamps_appends: None,
            lane: None,
            wanted: None,
            leader_epoch: -1,
            listing: Listing::Unlisted,
            last_request: None,
            next_id: 0,
            usual_bytes: OPEN_BYTES_MIN,
            closed: false,
        }
    }

    /// Takes a record into the open batch, or a new one. `extra` is memory that was waited for; what is not used of it
    /// stays there.
    pub(crate) fn append(
        &mut self,
        record: &RecordParts<'_>,
        memory: &Memory,
        extra: &mut Option<Grant>,
        now: impl FnOnce() -> Instant,
    ) -> Result<Appended, Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        let batch_bytes = self.limits.batch_bytes;
        let mut opened = false;
        let mut filled = false;
        let room = self.open.as_ref().and_then(|open| {
            let len = open.builder.len() + open.builder.record_len(record);
            (len <= batch_bytes && open.builder.record_count() < BATCH_RECORDS_MAX).then_some(len)
        });
        match (room, &mut self.open) {
            (Some(len), Some(open)) if len <= open.grant.bytes() => {}
            (Some(len), Some(open)) => {
                let more = (2 * open.grant.bytes()).clamp(len, batch_bytes) - open.grant.bytes();
                let grant = extra.take().or_else(|| memory.try_grant(more));
                let Some(grant) = grant else {
                    return Err(Refused::NeedMemory(more.max(BatchBuilder::lone_len(record))));
                };
                open.grant.add(grant);
            }
            _ => {
                let lone = BatchBuilder::lone_len(record);
                if lone > self.limits.max_message_bytes {
                    return Err(Refused::TooLarge(lone));
                }
                let bytes = self.usual_bytes.max(lone);
                let Some(grant) = extra.take().or_else(|| memory.try_grant(bytes)) else {
                    return Err(Refused::NeedMemory(bytes));
                };
                filled = self.close_open();
                opened = true;
                self.open = Some(OpenBatch {
                    builder: BatchBuilder::in_buffer(grant.buffer()),
                    state: self
                        .spare_states
                        .take()
                        .unwrap_or_else(|| Arc::new(BatchState::new(self.topic.clone(), self.partition))),
                    grant,
                    deadline: now() + self.limits.delivery_timeout,
                });
                self.queued_bytes += BATCH_HEADER_BYTES;
            }
        }
        let Some(open) = &mut self.open else { return Err(Refused::Closed) };
        let (index, before) = (open.record_count(), open.builder.len());
        open.builder.append(record);
        self.queued_bytes += open.builder.len() - before;
        let state = open.state.clone();
        Ok(Appended { state, index, opened, notice: self.notice(filled) })
    }

    /// What to send next, asked by `lane` for its `request`.
    pub(crate) fn poll(&mut self, lane: &Arc<Door>, request: u64, now: Instant) -> Poll {
        // A partition that moved is on the list of its new lane; one that moved there and back may be on a list twice.
        if !self.is_of(lane) || self.listing != Listing::Listed || self.last_request == Some(request) {
            return Poll::Nothing;
        }
        let poll = self.poll_listed(now);
        if matches!(poll, Poll::Resend { .. } | Poll::Seal { .. }) {
            self.last_request = Some(request);
        }
        poll
    }

    fn poll_listed(&mut self, now: Instant) -> Poll {
        self.listing = Listing::Unlisted;
        if self.wants_to_move() {
            self.listing = Listing::Blocked;
            return Poll::Nothing;
        }
        if self.recovering || self.bump_pending {
            if self.in_flight > 0 {
                self.listing = Listing::Blocked;
                return Poll::Nothing;
            }
            if let Some(at) = self.retry_at
                && now < at
            {
                self.listing = Listing::Listed;
                return Poll::Later(at);
            }
            if !self.unresolved.iter().any(|batch| batch.phase == Phase::Waiting) && !self.restart() {
                self.listing = Listing::Blocked;
                return Poll::NeedProducerId(self.sequencer.producer_id());
            }
            if self.recovering {
                self.listing = Listing::Blocked;
                return self.resend().unwrap_or(Poll::Nothing);
            }
        }
        self.take_new(now)
    }

    /// `lane` looked at the partition and cannot send anything of it: an append lists it again. Whether it is the lane's.
    pub(crate) fn unlist(&mut self, lane: &Arc<Door>) -> bool {
        let is_of = self.is_of(lane);
        if is_of {
            self.listing = Listing::Unlisted;
        }
        is_of
    }

    /// The sealed form of the batch that `poll` gave out.
    pub(crate) fn sealed(&mut self, id: u64, sealed: SealedBatch) {
        if let Some(batch) = self.unresolved.iter_mut().find(|batch| batch.id == id) {
            batch.sealed = Some(sealed);
        }
    }

    /// The lane of the partition's leader, `None` while there is none. If the partition moves at once and has something
    /// to send: the lane to list it with.
    pub(crate) fn route(&mut self, leader: Option<&Arc<Door>>, leader_epoch: i32) -> Option<Arc<Door>> {
        if self.leader_epoch != leader_epoch {
            self.leader_epoch = leader_epoch;
            // Who leads now may know nothing of this producer.
            self.sequencer.doubt();
        }
        self.wanted = leader.cloned();
        if self.wants_to_move() { self.move_if_free() } else { None }
    }

    /// Moves to the wanted lane if nothing is in a request. If there is something to send: the lane to list it with.
    pub(super) fn move_if_free(&mut self) -> Option<Arc<Door>> {
        if self.in_flight > 0 || !self.wants_to_move() {
            return None;
        }
        self.lane = self.wanted.clone();
        self.sequencer.doubt();
        self.retry_at = None;
        self.last_request = None;
        self.listing = Listing::Unlisted;
        self.list()
    }

    /// Gives a partition that asked for it another producer id. The lane to list it with, if it has something to send.
    pub(crate) fn offer_producer_id(&mut self, producer_id: i64) -> Option<Arc<Door>> {
        let drained = self.in_flight == 0 && !self.unresolved.iter().any(|b| b.phase == Phase::Waiting);
        if !self.id_spent || !drained || producer_id == self.sequencer.producer_id() {
            return None;
        }
        self.sequencer.adopt(producer_id);
        self.id_spent = false;
        self.bump_pending = false;
        self.restamp_parked();
        self.list()
    }

    /// Lists the partition if there is something to send and it is not listed: the lane to tell.
    pub(super) fn list(&mut self) -> Option<Arc<Door>> {
        if self.listing == Listing::Listed {
            return None;
        }
        // Whatever it waited for has happened: from here on an append lists it again.
        self.listing = Listing::Unlisted;
        if !self.has_work() {
            return None;
        }
        let lane = self.lane.clone()?;
        self.listing = Listing::Listed;
        Some(lane)
    }

    /// Whether the partition belongs to `lane`.
    pub(crate) fn is_of(&self, lane: &Arc<Door>) -> bool {
        self.lane.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, lane))
    }

    /// Whether the partition has a lane, so that its records can be sent.
    pub(crate) fn has_lane(&self) -> bool {
        self.lane.is_some()
    }

    /// Takes no record any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// The batches without an outcome, and how many records each has.
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = (Arc<BatchState>, u32)> + '_ {
        let sent = self.unresolved.iter().filter(|batch| !batch.given_up);
        let sent = sent.map(|batch| (batch.state.clone(), batch.record_count));
        let unsent = self.filled.iter().chain(&self.open);
        sent.chain(unsent.map(|batch| (batch.state.clone(), batch.record_count())))
    }

    /// How many batches are in a request, and how many have no final answer.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        (self.in_flight, self.unresolved.len())
    }

    /// When the oldest record without an outcome is to be given up.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let sent = self.unresolved.iter().filter(|batch| !batch.given_up).map(|batch| batch.deadline);
        sent.chain(self.filled.iter().chain(&self.open).map(|batch| batch.deadline)).min()
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        self.limits.delivery_timeout
    }

    /// Gives the parked batches stamps of the new epoch, in their order; each is sent alone.
    pub(super) fn restamp_parked(&mut self) {
        for batch in &mut self.unresolved {
            if batch.phase == Phase::Parked {
                batch.stamp = self.sequencer.stamp(batch.record_count);
                batch.sealed = batch.sealed.take().map(|sealed| sealed.restamped(batch.stamp));
                batch.phase = Phase::Waiting;
            }
        }
    }

    /// Nothing waits in the old epoch: starts the next, if one is due. `false` if that takes a new producer id.
    fn restart(&mut self) -> bool {
        if self.bump_pending {
            if self.id_spent || !self.sequencer.bump() {
                self.id_spent = true;
                return false;
            }
            self.bump_pending = false;
            self.restamp_parked();
        }
        self.recovering = !self.unresolved.is_empty();
        true
    }

    fn resend(&mut self) -> Option<Poll> {
        let head = self.unresolved.iter_mut().find(|batch| batch.phase == Phase::Waiting)?;
        let (id, stamp) = (head.id, head.stamp);
        let poll = match head.part.take() {
            Some(builder) => Poll::Seal { id, builder, stamp, more: false, queued_for: None },
            None => {
                let bytes = head.sealed.as_ref()?.bytes.clone();
                Poll::Resend { id, bytes, record_count: head.record_count }
            }
        };
        head.phase = Phase::InFlight;
        self.in_flight += 1;
        Some(poll)
    }

    fn take_new(&mut self, now: Instant) -> Poll {
        if self.unresolved.is_empty() && self.last_written.is_some_and(|at| now > at + STATE_KEPT_AT_LEAST) {
            self.sequencer.doubt();
        }
        if self.unresolved.len() >= self.sequencer.window() {
            self.listing = Listing::Blocked;
            return Poll::Nothing;
        }
        let was_filled = !self.filled.is_empty();
        let Some(batch) = self.filled.pop_front().or_else(|| self.open.take()) else { return Poll::Nothing };
        let record_count = batch.record_count();
        let OpenBatch { builder, state, grant, deadline } = batch;
        self.queued_bytes -= builder.len();
        self.usual_bytes = match was_filled {
            true => self.limits.batch_bytes,
            // A quarter more than this one had, for the next may be larger.
            false => (builder.len() + builder.len() / 4).clamp(OPEN_BYTES_MIN, self.limits.batch_bytes),
        };
        let stamp = self.sequencer.stamp(record_count);
        let id = self.new_id();
        self.unresolved.push_back(SentBatch {
            id,
            state,
            grant: Some(grant),
            deadline,
            stamp,
            record_count,
            sealed: None,
            part: None,
            phase: Phase::InFlight,
            ambiguous: false,
            given_up: false,
            last_error: None,
        });
        self.in_flight += 1;
        let rest = self.open.is_some() || !self.filled.is_empty();
        let more = rest && self.unresolved.len() < self.sequencer.window();
        self.listing = match (rest, more) {
            (_, true) => Listing::Listed,
            (true, false) => Listing::Blocked,
            (false, _) => Listing::Unlisted,
        };
        let left = deadline.saturating_duration_since(now);
        let queued_for = Some(self.limits.delivery_timeout.saturating_sub(left));
        Poll::Seal { id, builder, stamp, more, queued_for }
    }

    pub(super) fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// A batch of `bytes` was larger than the topic allows: the next ones are smaller, else each would be refused first.
    pub(super) fn learn_too_large(&mut self, bytes: usize) {
        let limit = (bytes / 2).clamp(OPEN_BYTES_MIN, self.limits.batch_bytes);
        self.limits.batch_bytes = limit;
        self.usual_bytes = self.usual_bytes.min(limit);
    }

    fn close_open(&mut self) -> bool {
        match self.open.take() {
            Some(open) => {
                self.filled.push_back(open);
                true
            }
            None => false,
        }
    }

    fn notice(&mut self, filled: bool) -> Notice {
        match self.listing {
            Listing::Unlisted => match self.list() {
                Some(lane) => Notice::Listed(lane),
                None => Notice::Nothing,
            },
            Listing::Listed if filled => self.lane.clone().map_or(Notice::Nothing, Notice::Filled),
            Listing::Listed | Listing::Blocked => Notice::Nothing,
        }
    }

    fn has_work(&self) -> bool {
        self.open.is_some()
            || !self.filled.is_empty()
            || self.unresolved.iter().any(|batch| batch.phase != Phase::InFlight)
    }

    fn wants_to_move(&self) -> bool {
        match (&self.lane, &self.wanted) {
            (None, None) => false,
            (Some(lane), Some(wanted)) => !Arc::ptr_eq(lane, wanted),
            (None, Some(_)) | (Some(_), None) => true,
        }
    }
}

/// What a batch starts with at least.
const OPEN_BYTES_MIN: usize = 1024;
/// Far below what the protocol's numbers hold.
const BATCH_RECORDS_MAX: usize = 1 << 20;
/// Brokers forget idle producers after a time that may be set (24 h by default), and say nothing of it. After a pause of
/// this length the first batch goes alone, as if the broker knew nothing.
const STATE_KEPT_AT_LEAST: Duration = Duration::from_secs(60);
