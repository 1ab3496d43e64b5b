//! The state of one consumer, which its lanes, its tasks and its handles share under one lock.
//!
//! It owns the partitions, the buffer and what is to be reported, and decides everything that concerns more than one
//! of them. Every hand-out checks, here, that the reading it belongs to is the current one, and a revoke ends the
//! reading here: so nothing is handed out after a revoke. Methods change state and note whom to wake; `shared` does
//! the waking once the lock is free. Absent: the group's protocol, which is `group`'s.

use super::{
    aborted::AbortedFilter,
    buffer::{Buffer, Chunk},
    config::ConsumerConfig,
    error::{ConsumeError, NotAssigned},
    event::ConsumerEvent,
    fetch_session::Wanted,
    positions::{AssignmentId, Partitions, Phase},
    record::{Origin, TopicPartition},
    start::StartFrom,
};
use crate::{
    error::{DecodeError, ErrorCode},
    wire::{
        api::{
            fetch::FetchPartition,
            produce::{LeaderIdAndEpoch, NodeEndpoint},
        },
        record_batch::RawBatch,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
    time::Instant,
};
use uuid::Uuid;

/// Whom a change concerns.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    pub(crate) reader: bool,
    pub(crate) driver: bool,
    pub(crate) coordinator: bool,
    pub(crate) events: bool,
    /// The lanes of these brokers.
    pub(crate) lanes: BTreeSet<i32>,
}

/// What a lane may fetch from its broker now.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) max_bytes: i32,
    /// Something was left out because its share of the buffer is full: do not wait long for the others.
    pub(crate) is_withholding: bool,
    /// When a partition that is backing off may be asked for again.
    pub(crate) retry_at: Option<Instant>,
}

/// One partition's part of a fetch answer, its batch headers walked.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) assignment: AssignmentId,
    pub(crate) serial: u64,
    /// The offset that was asked for.
    pub(crate) requested: i64,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) outcome: Outcome,
}

/// What a broker answered for one partition.
#[derive(Debug)]
pub(crate) enum Outcome {
    Data {
        batches: VecDeque<RawBatch>,
        bytes: usize,
        /// Where the next fetch reads on.
        next_offset: i64,
        leader_epoch: i32,
        aborted: AbortedFilter,
        /// What stopped the walk.
        corrupt: Option<DecodeError>,
    },
    /// The leader's log does not hold what was read (KIP-320): they part at this epoch and offset.
    Diverged {
        leader_epoch: i32,
        end_offset: i64,
    },
    Failed {
        code: ErrorCode,
        hint: Option<LeaderIdAndEpoch>,
    },
}

/// An offset that the driver is to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lookup {
    pub(crate) assignment: AssignmentId,
    pub(crate) serial: u64,
    pub(crate) name: TopicPartition,
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) start: StartFrom,
}

/// What only a task can do.
#[derive(Debug, Default)]
pub(crate) struct DriverWork {
    pub(crate) refresh: bool,
    pub(crate) hints: Vec<(TopicPartition, LeaderIdAndEpoch, Arc<[NodeEndpoint]>)>,
    /// Brokers whose fetch connection is to be replaced.
    pub(crate) reconnect: BTreeSet<i32>,
    pub(crate) lookups: Vec<Lookup>,
    /// When to come again although nothing woke the driver.
    pub(crate) retry_at: Option<Instant>,
}

/// Whether records may be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandOut {
    /// Yes; an ack of the first covers the offsets from here on.
    Covers { from: i64 },
    /// Not now; the reader is woken when it may ask again.
    NotNow,
    /// Never: their reading has ended.
    Ended,
}

/// An offset that is to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitEntry {
    pub(crate) origin: Origin,
    pub(crate) name: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
}

/// Who leads a partition, as the metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub(crate) topic_id: Uuid,
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Arc<ConsumerConfig>,
    partitions: Partitions,
    buffer: Buffer,
    errors: VecDeque<ConsumeError>,
    events: VecDeque<ConsumerEvent>,
    work: DriverWork,
    pub(crate) wakes: Wakes,
    /// How many partitions each topic had at the start. What is added later is read whole.
    first_counts: BTreeMap<Arc<str>, i32>,
    /// How many it has now.
    partition_counts: BTreeMap<Arc<str>, i32>,
    /// How many lanes share the buffer.
    lane_count: usize,
    /// A lane was told to wait until the buffer has room.
    is_full: bool,
    /// The coordinator knows that there is something to commit.
    commit_noticed: bool,
    /// What is to be committed shall not wait for the interval.
    commit_urgent: bool,
    /// Nothing is handed out after this time.
    lease_until: Option<Instant>,
    is_closed: bool,
}

impl Core {
    pub(crate) fn new(config: Arc<ConsumerConfig>) -> Self {
        Self {
            config,
            partitions: Partitions::default(),
            buffer: Buffer::default(),
            errors: VecDeque::new(),
            events: VecDeque::new(),
            work: DriverWork::default(),
            wakes: Wakes::default(),
            first_counts: BTreeMap::new(),
            partition_counts: BTreeMap::new(),
            lane_count: 1,
            is_full: false,
            commit_noticed: false,
            commit_urgent: false,
            lease_until: None,
            is_closed: false,
        }
    }

    // --- Assignment ---------------------------------------------------------------------------------------------

    /// Notes how many partitions a topic has. Gives those that were not known before.
    pub(crate) fn note_partition_count(&mut self, topic: Arc<str>, count: i32) -> Range<i32> {
        let known = self.partition_counts.entry(topic.clone()).or_insert(0);
        let added = *known..count.max(*known);
        *known = added.end;
        if count > 0 {
            self.first_counts.entry(topic).or_insert(count);
        }
        added
    }

    /// Takes partitions in; each waits in the given phase until its position is known.
    pub(crate) fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = (TopicPartition, Uuid, Phase)>,
    ) -> Vec<AssignmentId> {
        let mut names = Vec::new();
        let mut ids = Vec::new();
        for (name, topic_id, phase) in partitions {
            let id = self.partitions.assign(name.clone(), topic_id, phase);
            if let Phase::Lookup(StartFrom::Offset(offset)) = phase {
                self.start_at(id, offset, -1, None);
            }
            names.push(name);
            ids.push(id);
        }
        if !names.is_empty() {
            self.report(ConsumerEvent::Assigned(names));
            self.wakes.driver = true;
            self.wakes.coordinator = true;
        }
        ids
    }

    /// Ends the delivery of these partitions; what is finished can still be committed, and acked, until `remove`.
    pub(crate) fn revoke(&mut self, ids: &[AssignmentId]) {
        let names = self.stop(ids);
        if !names.is_empty() {
            self.report(ConsumerEvent::Revoked(names));
        }
    }

    /// Ends the delivery of these partitions and forgets them: nothing of them can be committed any more.
    pub(crate) fn lose(&mut self, ids: &[AssignmentId]) {
        let names = self.stop(ids);
        self.remove(ids);
        if !names.is_empty() {
            self.report(ConsumerEvent::Lost(names));
        }
    }

    /// Forgets partitions that were revoked.
    pub(crate) fn remove(&mut self, ids: &[AssignmentId]) {
        for &id in ids {
            self.partitions.remove(id);
        }
    }

    fn stop(&mut self, ids: &[AssignmentId]) -> Vec<TopicPartition> {
        let mut names = Vec::new();
        for &id in ids {
            let serial = self.partitions.next_serial();
            let Some(state) = self.partitions.get_mut(id) else { continue };
            state.phase = Phase::Revoking;
            state.rewind(serial);
            names.push(state.name.clone());
            self.wakes.lanes.extend(state.leader);
            self.buffer.purge(id);
        }
        names
    }

    /// Whether handlers still hold records of these partitions whose acks may come.
    pub(crate) fn awaits_acks(&self, ids: &[AssignmentId]) -> bool {
        ids.iter().filter_map(|&id| self.partitions.get(id)).any(|state| state.tracker.awaits_acks())
    }

    /// All partitions that are here, and not on their way out.
    pub(crate) fn assignment(&self) -> Vec<TopicPartition> {
        let assigned = self.partitions.iter().filter(|(_, state)| state.phase != Phase::Revoking);
        assigned.map(|(_, state)| state.name.clone()).collect()
    }

    /// The partitions whose committed offset is to be asked for.
    pub(crate) fn awaiting_committed(&self) -> Vec<(AssignmentId, TopicPartition)> {
        let waiting = self.partitions.iter().filter(|(_, state)| state.phase == Phase::Committed);
        waiting.map(|(id, state)| (id, state.name.clone())).collect()
    }

    /// The broker said what the group has committed.
    pub(crate) fn handle_committed_offset(&mut self, id: AssignmentId, offset: i64, leader_epoch: i32) {
        if self.partitions.get(id).is_none_or(|state| state.phase != Phase::Committed) {
            return;
        }
        if offset >= 0 {
            self.start_at(id, offset, leader_epoch, Some(offset));
        } else {
            self.apply_rule(id, None);
        }
    }

    // --- Positions ----------------------------------------------------------------------------------------------

    /// What is fetched and not handed out.
    #[cfg(test)]
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffer.bytes()
    }

    fn start_at(&mut self, id: AssignmentId, offset: i64, leader_epoch: i32, committed: Option<i64>) {
        let serial = self.partitions.next_serial();
        let Some(state) = self.partitions.get_mut(id) else { return };
        state.start_at(offset, leader_epoch, committed, serial);
        self.wakes.lanes.extend(state.leader);
        self.buffer.purge(id);
    }

    /// A partition has no position, or one that does not exist: the rule for that decides.
    fn apply_rule(&mut self, id: AssignmentId, out_of_range: Option<i64>) {
        let serial = self.partitions.next_serial();
        let Some(state) = self.partitions.get_mut(id) else { return };
        let rule = match out_of_range {
            None if self.first_counts.get(&state.name.topic).is_some_and(|&n| state.name.partition >= n) => {
                StartFrom::Earliest
            }
            None => self.config.start_from,
            Some(_) => self.config.out_of_range_rule(),
        };
        let partition = state.name.clone();
        state.rewind(serial);
        self.buffer.purge(id);
        match (rule, out_of_range) {
            (StartFrom::Fail, None) => {
                state.phase = Phase::Stopped;
                self.fail(ConsumeError::NoOffset { partition });
            }
            (StartFrom::Fail, Some(offset)) => {
                state.phase = Phase::Stopped;
                self.fail(ConsumeError::OffsetOutOfRange { partition, offset });
            }
            (StartFrom::Offset(to), _) => {
                self.report(ConsumerEvent::Reset { partition, from: out_of_range, to });
                self.start_at(id, to, -1, None);
                self.notice_commit(true);
            }
            (rule, _) => {
                state.phase = Phase::Lookup(rule);
                self.wakes.driver = true;
            }
        }
    }

    /// The offset that a rule stands for was found; it is committed at once.
    pub(crate) fn handle_lookup(&mut self, lookup: &Lookup, offset: i64, leader_epoch: i32) {
        let Some(state) = self.partitions.current(lookup.assignment, lookup.serial) else { return };
        state.is_looked_up = false;
        if !matches!(state.phase, Phase::Lookup(_)) {
            return;
        }
        let before = state.tracker.position();
        let partition = state.name.clone();
        let from = (before >= 0).then_some(before);
        self.report(ConsumerEvent::Reset { partition, from, to: offset });
        self.start_at(lookup.assignment, offset, leader_epoch, None);
        self.notice_commit(true);
    }

    /// The time asked for is after every record: the end it is.
    pub(crate) fn handle_lookup_at_end(&mut self, lookup: &Lookup) {
        if let Some(state) = self.partitions.current(lookup.assignment, lookup.serial) {
            state.is_looked_up = false;
            if matches!(state.phase, Phase::Lookup(_)) {
                state.phase = Phase::Lookup(StartFrom::Latest);
                self.wakes.driver = true;
            }
        }
    }

    /// A lookup has no answer; it is tried again after a pause, with fresh metadata.
    pub(crate) fn handle_lookup_failed(&mut self, lookup: &Lookup, code: Option<ErrorCode>, now: Instant) {
        let Some(state) = self.partitions.current(lookup.assignment, lookup.serial) else { return };
        state.is_looked_up = false;
        let first = state.failures == 0;
        state.handle_failure(now);
        let partition = state.name.clone();
        if let Some(code) = code.filter(|&code| first && is_refusal(code)) {
            self.fail(ConsumeError::Partition { partition, code });
        }
        self.work.refresh = true;
        self.wakes.driver = true;
    }

    /// What the driver has to do now. Lookups that it is given count as under way.
    pub(crate) fn take_driver_work(&mut self, now: Instant) -> DriverWork {
        let mut work = std::mem::take(&mut self.work);
        for (id, state) in self.partitions.iter_mut() {
            let Phase::Lookup(start) = state.phase else { continue };
            let Some(leader) = state.leader.filter(|_| !state.is_looked_up) else { continue };
            if let Some(at) = state.retry_at.filter(|&at| at > now) {
                work.retry_at = Some(work.retry_at.map_or(at, |before: Instant| before.min(at)));
                continue;
            }
            state.is_looked_up = true;
            work.lookups.push(Lookup {
                assignment: id,
                serial: state.serial,
                name: state.name.clone(),
                leader,
                leader_epoch: state.leader_epoch,
                start,
            });
        }
        work
    }

    /// Takes in who leads what. Gives the brokers that need a lane, and whether a partition is without a leader.
    pub(crate) fn apply_leaders(
        &mut self,
        find: impl Fn(&TopicPartition) -> Option<Leadership>,
    ) -> (BTreeSet<i32>, bool) {
        let mut leaders = BTreeSet::new();
        let mut is_leaderless = false;
        let mut recreated = Vec::new();
        for (id, state) in self.partitions.iter_mut() {
            let found = find(&state.name);
            let (leader, leader_epoch) = found.map_or((None, -1), |found| (found.leader, found.leader_epoch));
            if let Some(found) = found.filter(|found| found.topic_id != state.topic_id) {
                // In a group the coordinator hands out the new topic as one of its own.
                if self.config.is_member() {
                    continue;
                }
                if state.topic_id.is_nil() {
                    state.topic_id = found.topic_id;
                } else {
                    recreated.push((id, found.topic_id));
                }
            }
            if (leader, leader_epoch) != (state.leader, state.leader_epoch) && leader.is_some() {
                state.leader = leader;
                state.leader_epoch = leader_epoch;
                // The pause was for the old leader (librdkafka #4970).
                state.clear_failures();
                self.wakes.lanes.extend(leader);
                self.wakes.driver = true;
            }
            // A partition that has lost its leader is asked for at the last one known, which answers with an error;
            // that costs less than a gap in which nothing is known.
            is_leaderless |= leader.is_none();
            leaders.extend(state.leader);
        }
        for (id, topic_id) in recreated {
            self.handle_recreated(id, topic_id);
        }
        self.lane_count = leaders.len().max(1);
        (leaders, is_leaderless)
    }

    /// The topic was deleted and made again: its old offsets mean nothing.
    fn handle_recreated(&mut self, id: AssignmentId, topic_id: Uuid) {
        let Some(state) = self.partitions.get_mut(id) else { return };
        state.topic_id = topic_id;
        let (partition, from) = (state.name.clone(), state.tracker.position());
        if state.has_position() {
            self.report(ConsumerEvent::Truncated { partition: partition.clone(), from, to: 0 });
            self.fail(ConsumeError::LogTruncated { partition, from, to: 0 });
            self.start_at(id, 0, -1, None);
        }
    }

    // --- Fetching -----------------------------------------------------------------------------------------------

    /// What `broker` shall be asked for now.
    pub(crate) fn wants(&mut self, broker: i32, now: Instant) -> Wants {
        let mut wants = Wants::default();
        // Half of the buffer is for what was fetched, half for what the lanes may have under way.
        self.is_full = self.buffer.bytes() > self.config.buffer_bytes / 2;
        if self.is_full {
            return wants;
        }
        let share = self.config.buffer_bytes / (2 * self.lane_count);
        wants.max_bytes = saturating_i32(share.min(self.config.fetch_max_bytes));
        let partition_bytes = self.config.partition_fetch_bytes.min(share);
        for (id, state) in self.partitions.iter_mut() {
            if state.leader != Some(broker) || !state.is_readable() {
                continue;
            }
            if let Some(at) = state.retry_at.filter(|&at| at > now) {
                wants.retry_at = Some(wants.retry_at.map_or(at, |before| before.min(at)));
                continue;
            }
            let would_hold = state.buffered_bytes.saturating_add(partition_bytes);
            state.is_withheld = state.buffered_bytes > 0 && would_hold > self.config.partition_buffer_bytes;
            if state.is_withheld {
                wants.is_withholding = true;
                continue;
            }
            wants.wanted.push(Wanted {
                topic_id: state.topic_id,
                spec: FetchPartition {
                    index: state.name.partition,
                    current_leader_epoch: state.leader_epoch,
                    fetch_offset: state.fetch_position,
                    last_fetched_epoch: state.fetch_epoch,
                    max_bytes: saturating_i32(partition_bytes),
                },
                assignment: id,
                serial: state.serial,
            });
        }
        wants
    }

    /// Takes in a fetch answer. What belongs to an earlier reading, or was not asked for like this, is dropped.
    pub(crate) fn handle_fetched(
        &mut self,
        broker: i32,
        answer: Vec<Fetched>,
        endpoints: &Arc<[NodeEndpoint]>,
        now: Instant,
    ) {
        for part in answer {
            let Some(state) = self.partitions.current(part.assignment, part.serial) else { continue };
            if state.phase != Phase::Reading || state.fetch_position != part.requested {
                continue;
            }
            let id = part.assignment;
            match part.outcome {
                Outcome::Data { batches, bytes, next_offset, leader_epoch, aborted, corrupt } => {
                    state.high_watermark = part.high_watermark;
                    state.last_stable_offset = part.last_stable_offset;
                    state.clear_failures();
                    if !batches.is_empty() {
                        state.fetch_position = next_offset;
                        state.fetch_epoch = leader_epoch;
                        state.buffered_bytes += bytes;
                        let serial = state.serial;
                        self.buffer.push(Chunk { assignment: id, serial, batches, aborted, bytes });
                        self.wakes.reader = true;
                    }
                    if let Some(error) = corrupt {
                        // What came before it is handed out first, if it is not to be fetched again anyway.
                        self.handle_corrupt(id, part.serial, next_offset, error);
                    }
                }
                Outcome::Diverged { leader_epoch, end_offset } => {
                    self.handle_diverged(id, leader_epoch, end_offset);
                }
                Outcome::Failed { code, hint } => {
                    if let Some(hint) = hint {
                        self.work.hints.push((state.name.clone(), hint, endpoints.clone()));
                        self.wakes.driver = true;
                    }
                    if state.leader == Some(broker) {
                        self.handle_fetch_failed(id, code, now);
                    }
                }
            }
        }
    }

    fn handle_fetch_failed(&mut self, id: AssignmentId, code: ErrorCode, now: Instant) {
        let Some(state) = self.partitions.get_mut(id) else { return };
        if code == ErrorCode::OFFSET_OUT_OF_RANGE {
            let offset = state.fetch_position;
            if state.buffered_bytes > 0 || offset != state.tracker.position() {
                // What was fetched before is still good; the offset counts once reading stands there.
                state.handle_failure(now);
            } else {
                self.apply_rule(id, Some(offset));
            }
            return;
        }
        let first = state.failures == 0;
        state.handle_failure(now);
        let partition = state.name.clone();
        if first && is_refusal(code) {
            self.fail(ConsumeError::Partition { partition, code });
        }
        self.work.refresh = true;
        self.wakes.driver = true;
    }

    fn handle_diverged(&mut self, id: AssignmentId, leader_epoch: i32, end_offset: i64) {
        let serial = self.partitions.next_serial();
        let Some(state) = self.partitions.get_mut(id) else { return };
        self.wakes.lanes.extend(state.leader);
        if end_offset < 0 {
            // -1 is "no epoch", never an order to go back to the start (franz-go #1331).
            state.fetch_epoch = -1;
            return;
        }
        let (partition, from) = (state.name.clone(), state.tracker.position());
        if end_offset >= from {
            // What was handed out is still there. What was fetched ahead may not be.
            let fetched_ahead = state.fetch_position > from;
            state.rewind(serial);
            if !fetched_ahead {
                state.fetch_epoch = leader_epoch;
            }
            self.buffer.purge(id);
            return;
        }
        let to = end_offset;
        self.report(ConsumerEvent::Truncated { partition: partition.clone(), from, to });
        self.fail(ConsumeError::LogTruncated { partition, from, to });
        self.start_at(id, to, leader_epoch, None);
        self.notice_commit(false);
    }

    /// A batch is damaged. Once, everything from there on is fetched again over a new connection; when that does not
    /// help the partition stops.
    pub(crate) fn handle_corrupt(&mut self, id: AssignmentId, serial: u64, offset: i64, source: DecodeError) {
        let next_serial = self.partitions.next_serial();
        let Some(state) = self.partitions.current(id, serial) else { return };
        let is_second = state.corrupt_at.is_some_and(|at| at == offset);
        state.rewind(next_serial);
        state.corrupt_at = Some(offset);
        self.buffer.purge(id);
        if is_second {
            state.phase = Phase::Stopped;
            let partition = state.name.clone();
            self.fail(ConsumeError::CorruptBatch { partition, offset, source });
        } else {
            self.work.reconnect.extend(state.leader);
            self.wakes.driver = true;
        }
    }

    /// A fetch lane lost its connection: the metadata may be stale.
    pub(crate) fn handle_disconnected(&mut self) {
        self.work.refresh = true;
        self.wakes.driver = true;
    }

    // --- Handing out --------------------------------------------------------------------------------------------

    /// The next error to report, before any record that came after it.
    pub(crate) fn take_error(&mut self) -> Option<ConsumeError> {
        self.errors.pop_front()
    }

    /// The next chunk to hand out. It leaves the buffer, so its partition may be fetched on.
    pub(crate) fn take_chunk(&mut self) -> Option<Chunk> {
        let taken = loop {
            let chunk = self.buffer.pop()?;
            if let Some(state) = self.partitions.current(chunk.assignment, chunk.serial) {
                state.buffered_bytes = state.buffered_bytes.saturating_sub(chunk.bytes);
                if state.is_withheld {
                    self.wakes.lanes.extend(state.leader);
                }
                break chunk;
            }
        };
        if self.is_full && self.buffer.bytes() <= self.config.buffer_bytes / 2 {
            self.is_full = false;
            self.wakes.lanes.extend(self.partitions.iter().filter_map(|(_, state)| state.leader));
        }
        Some(taken)
    }

    /// Where a reading stands and what it is called, `None` if it is not the current one.
    pub(crate) fn reading(&mut self, id: AssignmentId, serial: u64) -> Option<(i64, Origin, TopicPartition)> {
        let state = self.partitions.current(id, serial)?;
        let origin = Origin { assignment: id, lineage: state.lineage };
        Some((state.tracker.position(), origin, state.name.clone()))
    }

    /// Records up to `last_offset` are handed out now, unless the answer says otherwise.
    pub(crate) fn hand_out(
        &mut self,
        id: AssignmentId,
        serial: u64,
        last_offset: i64,
        leader_epoch: i32,
        now: Instant,
    ) -> HandOut {
        if self.lease_until.is_some_and(|until| until <= now) {
            // The coordinator will say, in a moment, that all is lost; or that it is not.
            self.wakes.coordinator = true;
            return HandOut::NotNow;
        }
        match self.partitions.current(id, serial) {
            Some(state) => {
                let covers_from = state.tracker.hand_out(last_offset.saturating_add(1), leader_epoch);
                HandOut::Covers { from: covers_from }
            }
            None => HandOut::Ended,
        }
    }

    /// Until when the group is known to count on this member. A process that was stopped for longer than that hands
    /// out nothing when it goes on, however its tasks are scheduled.
    pub(crate) fn set_lease(&mut self, until: Option<Instant>) {
        if self.lease_until != until {
            self.lease_until = until;
            self.wakes.reader = true;
        }
    }

    /// A batch was passed, all its records handed out before. `false`: the reading has ended.
    pub(crate) fn step_over(&mut self, id: AssignmentId, serial: u64, to: i64, leader_epoch: i32) -> bool {
        let Some(state) = self.partitions.current(id, serial) else { return false };
        state.tracker.step_over(to, leader_epoch);
        if state.corrupt_at.is_some_and(|at| at < to) {
            state.corrupt_at = None;
        }
        if state.tracker.is_dirty() {
            self.notice_commit(false);
        }
        true
    }

    // --- What the caller asks for -------------------------------------------------------------------------------

    /// Offsets were handled. `false`: the partition was taken away, or its position moved, since they were handed out.
    pub(crate) fn ack(&mut self, origin: Origin, offsets: Range<i64>, leader_epoch: i32) -> bool {
        let Some(state) = self.partitions.get_mut(origin.assignment) else { return false };
        if state.lineage != origin.lineage {
            return false;
        }
        state.tracker.ack(offsets.start, offsets.end, leader_epoch);
        let is_dirty = state.tracker.is_dirty();
        if state.phase == Phase::Revoking {
            // The coordinator waits for the last acks.
            self.wakes.coordinator |= !state.tracker.awaits_acks();
        }
        if is_dirty {
            self.notice_commit(false);
        }
        true
    }

    pub(crate) fn seek(&mut self, name: &TopicPartition, offset: i64) -> Result<(), NotAssigned> {
        let id = self.assigned(name)?;
        self.start_at(id, offset, -1, None);
        self.notice_commit(false);
        Ok(())
    }

    pub(crate) fn pause(&mut self, name: &TopicPartition) -> Result<(), NotAssigned> {
        let id = self.assigned(name)?;
        let serial = self.partitions.next_serial();
        if let Some(state) = self.partitions.get_mut(id).filter(|state| !state.is_paused) {
            state.is_paused = true;
            state.rewind(serial);
            self.buffer.purge(id);
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self, name: &TopicPartition) -> Result<(), NotAssigned> {
        let id = self.assigned(name)?;
        if let Some(state) = self.partitions.get_mut(id) {
            state.is_paused = false;
            self.wakes.lanes.extend(state.leader);
            self.wakes.driver = true;
        }
        Ok(())
    }

    /// The next offset to hand out, `None` while it is not known.
    pub(crate) fn position(&self, name: &TopicPartition) -> Option<i64> {
        let state = self.partitions.get(self.partitions.id_of(name)?)?;
        state.has_position().then(|| state.tracker.position())
    }

    /// How many offsets lie between the position and the end, per partition whose end is known.
    pub(crate) fn lag(&self) -> BTreeMap<TopicPartition, i64> {
        let known = self.partitions.iter().filter(|(_, state)| state.has_position());
        known
            .filter_map(|(_, state)| {
                let end = if self.config.is_read_committed() {
                    state.last_stable_offset
                } else {
                    state.high_watermark
                };
                (end >= 0).then(|| (state.name.clone(), (end - state.tracker.position()).max(0)))
            })
            .collect()
    }

    fn assigned(&self, name: &TopicPartition) -> Result<AssignmentId, NotAssigned> {
        let id = self
            .partitions
            .id_of(name)
            .filter(|&id| self.partitions.get(id).is_some_and(|state| state.phase != Phase::Revoking));
        id.ok_or_else(|| NotAssigned { partition: name.clone() })
    }

    // --- Commits ------------------------------------------------------------------------------------------------

    fn notice_commit(&mut self, urgent: bool) {
        if !self.config.commits() {
            return;
        }
        self.wakes.coordinator |= !self.commit_noticed || (urgent && !self.commit_urgent);
        self.commit_noticed = true;
        self.commit_urgent |= urgent;
    }

    /// Whether there may be something to commit, and whether it shall not wait.
    pub(crate) fn commit_notice(&self) -> (bool, bool) {
        (self.commit_noticed, self.commit_urgent)
    }

    /// What would be committed now. Of `None`, all partitions.
    pub(crate) fn commit_entries(&mut self) -> Vec<CommitEntry> {
        self.commit_noticed = false;
        self.commit_urgent = false;
        let dirty = self.partitions.iter().filter(|(_, s)| s.has_position() && s.tracker.is_dirty());
        dirty
            .map(|(id, state)| {
                let committable = state.tracker.committable();
                CommitEntry {
                    origin: Origin { assignment: id, lineage: state.lineage },
                    name: state.name.clone(),
                    offset: committable.offset,
                    leader_epoch: committable.leader_epoch,
                }
            })
            .collect()
    }

    /// Whether anything is to be committed.
    pub(crate) fn has_dirty(&self) -> bool {
        self.config.commits()
            && self.partitions.iter().any(|(_, state)| state.has_position() && state.tracker.is_dirty())
    }

    /// Whether anything of these partitions is to be committed.
    pub(crate) fn is_dirty(&self, ids: &[AssignmentId]) -> bool {
        let mut states = ids.iter().filter_map(|&id| self.partitions.get(id));
        states.any(|state| state.has_position() && state.tracker.is_dirty())
    }

    /// The broker has taken this offset.
    pub(crate) fn handle_committed(&mut self, entry: &CommitEntry) {
        let Some(state) = self.partitions.get_mut(entry.origin.assignment) else { return };
        if state.lineage == entry.origin.lineage {
            state.tracker.handle_committed(entry.offset);
            if state.tracker.is_dirty() {
                self.notice_commit(false);
            }
        }
    }

    /// The broker has not taken these; they are tried again.
    pub(crate) fn handle_commit_failed(&mut self) {
        self.notice_commit(false);
    }

    // --- Reports ------------------------------------------------------------------------------------------------

    fn report(&mut self, event: ConsumerEvent) {
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
        self.wakes.events = true;
    }

    pub(crate) fn take_event(&mut self) -> Option<ConsumerEvent> {
        self.events.pop_front()
    }

    /// Has the reader see `error`, in order. When nobody reads, the oldest give way to the newest.
    pub(crate) fn fail(&mut self, error: ConsumeError) {
        if self.errors.len() == ERRORS_KEPT {
            self.errors.pop_front();
        }
        if error.is_fatal() {
            self.close();
        }
        self.errors.push_back(error);
        self.wakes.reader = true;
    }

    /// Nothing is handed out any more; lanes and tasks end.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        let ids: Vec<_> = self.partitions.iter().map(|(id, _)| id).collect();
        self.stop(&ids);
        self.wakes.reader = true;
        self.wakes.driver = true;
        self.wakes.coordinator = true;
        self.wakes.events = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }
}

/// Whether a broker's answer is worth the caller's attention at once: it will hardly pass by itself.
fn is_refusal(code: ErrorCode) -> bool {
    !code.is_retriable() && code != ErrorCode::UNKNOWN_SERVER_ERROR
}

fn saturating_i32(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// Events and errors that are kept while nobody takes them.
const EVENTS_KEPT: usize = 1024;
const ERRORS_KEPT: usize = 256;
