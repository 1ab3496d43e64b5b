//! Where reading starts and stands: by commits, rules, lookups and the caller's word; and whose log it is.

use super::{Core, Validation, is_refusal};
use crate::{
    consumer::{
        error::{ConsumeError, NotAssigned},
        event::ConsumerEvent,
        positions::{AssignmentId, PartitionState, Phase},
        record::TopicPartition,
        start::StartFrom,
    },
    error::{ConnectionError, ErrorCode},
    wire::api::produce::{LeaderIdAndEpoch, NodeEndpoint},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};
use uuid::Uuid;

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
    pub(crate) validations: Vec<Validation>,
    /// When to come again although nothing woke the driver.
    pub(crate) retry_at: Option<Instant>,
}

/// Who leads a partition, as the metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub(crate) topic_id: Uuid,
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
}

impl Core {
    pub(super) fn start_at(
        &mut self,
        id: AssignmentId,
        offset: i64,
        leader_epoch: i32,
        committed: Option<i64>,
    ) {
        let serial = self.partitions.next_serial();
        let Some(state) = self.partitions.get_mut(id) else { return };
        state.start_at(offset, leader_epoch, committed, serial);
        self.wakes.lanes.extend(state.source());
        self.buffer.purge(id);
    }

    /// A partition has no position, or one that does not exist: the rule for that decides.
    pub(super) fn apply_rule(&mut self, id: AssignmentId, out_of_range: Option<i64>) {
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
            self.fail(ConsumeError::of_partition(partition, code));
        }
        self.work.refresh = true;
        self.wakes.driver = true;
    }

    /// The leader cannot be asked for offsets. It is told once, and asked again all the same: it may be replaced.
    pub(crate) fn handle_unsupported(&mut self, lookup: &Lookup, source: &ConnectionError) {
        let state = self.partitions.current(lookup.assignment, lookup.serial);
        if state.is_some_and(|state| state.failures == 0) {
            self.fail(ConsumeError::Unsupported { broker: lookup.leader, source: source.clone() });
        }
    }

    /// What the driver has to do now. Lookups and validations that it is given count as under way.
    pub(crate) fn take_driver_work(&mut self, now: Instant) -> DriverWork {
        let mut work = std::mem::take(&mut self.work);
        for (assignment, state) in self.partitions.iter_mut() {
            let start = match state.phase {
                Phase::Lookup(start) => Some(start),
                Phase::Reading if state.is_unvalidated => None,
                _ => continue,
            };
            let Some(leader) = state.leader.filter(|_| !state.is_looked_up) else { continue };
            if let Some(at) = state.retry_at.filter(|&at| at > now) {
                work.retry_at = Some(work.retry_at.map_or(at, |before: Instant| before.min(at)));
                continue;
            }
            state.is_looked_up = true;
            let (serial, name, leader_epoch) = (state.serial, state.name.clone(), state.leader_epoch);
            if let Some(start) = start {
                work.lookups.push(Lookup { assignment, serial, name, leader, leader_epoch, start });
            } else {
                let (offset, epoch) = (state.fetch_position, state.fetch_epoch);
                let asked = Validation { assignment, serial, name, leader, leader_epoch, offset, epoch };
                work.validations.push(asked);
            }
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
                if self.names_topics_by_id {
                    state.is_replaced = true;
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
                state.read_replica = None;
                // The pause was for the old leader (librdkafka #4970), and so was the question under way.
                state.clear_failures();
                state.is_looked_up = false;
                state.compare_epochs();
                self.wakes.lanes.extend(leader);
                self.wakes.driver = true;
            }
            // A partition that has lost its leader is asked for at the last one known, which answers with an error;
            // that costs less than a gap in which nothing is known.
            is_leaderless |= leader.is_none();
            leaders.extend([state.leader, state.source()].into_iter().flatten());
        }
        for (id, topic_id) in recreated {
            self.handle_recreated(id, topic_id);
        }
        self.lane_count = leaders.len().max(1);
        (leaders, is_leaderless)
    }

    /// The topic was deleted and made again: its old offsets do not exist any more.
    fn handle_recreated(&mut self, id: AssignmentId, topic_id: Uuid) {
        let Some(state) = self.partitions.get_mut(id) else { return };
        state.topic_id = topic_id;
        if state.phase == Phase::Reading {
            let offset = state.tracker.position();
            self.apply_rule(id, Some(offset));
        }
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
            self.wakes.lanes.extend(state.source());
            self.wakes.driver = true;
        }
        Ok(())
    }

    /// The next offset to hand out, `None` while it is not known.
    pub(crate) fn position(&self, name: &TopicPartition) -> Option<i64> {
        let state = self.partitions.get(self.partitions.id_of(name)?)?;
        state.has_position().then(|| state.tracker.position())
    }

    /// The epoch that the next fetch tells of what was fetched last.
    #[cfg(test)]
    pub(crate) fn fetch_epoch(&self, name: &TopicPartition) -> i32 {
        let state = self.partitions.id_of(name).and_then(|id| self.partitions.get(id));
        state.map_or(-1, |state| state.fetch_epoch)
    }

    /// How many offsets lie between the position and the end, per partition whose end is known.
    pub(crate) fn lag(&self) -> BTreeMap<TopicPartition, i64> {
        let states = self.partitions.iter().map(|(_, state)| state);
        states.filter_map(|state| Some((state.name.clone(), self.lag_of(state)?))).collect()
    }

    pub(super) fn lag_of(&self, state: &PartitionState) -> Option<i64> {
        let end = state.readable_end(self.config.is_read_committed());
        (state.has_position() && end >= 0).then(|| (end - state.tracker.position()).max(0))
    }

    fn assigned(&self, name: &TopicPartition) -> Result<AssignmentId, NotAssigned> {
        let id = self
            .partitions
            .id_of(name)
            .filter(|&id| self.partitions.get(id).is_some_and(|state| state.phase != Phase::Revoking));
        id.ok_or_else(|| NotAssigned { partition: name.clone() })
    }
}
