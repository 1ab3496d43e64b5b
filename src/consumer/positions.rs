//! Where each partition of a consumer stands: what is fetched next, what is handed out next, who leads it.
//!
//! A partition's *assignment* is one stay of it with this consumer. Within it, a *reading* is one unbroken run of
//! fetched data, named by a serial that no other reading ever has: a seek, a pause, a reset, a truncation, a corrupt
//! batch and a revoke each end the reading, and whatever was fetched for an earlier one is worthless from then on,
//! wherever it is. A *lineage* is one unbroken run of hand-outs, which acks belong to; only a jump of the position
//! ends it. Invariant: the fetch position is never below the position.

use super::{
    group::offsets::Tracker, metrics::PartitionCounts, record::TopicPartition, stall::StallWatch,
    start::StartFrom,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Names one stay of a partition with this consumer; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AssignmentId(pub(crate) u64);

/// What a partition is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The group's committed offset.
    Committed,
    /// The offset that a start rule stands for.
    Lookup(StartFrom),
    /// Nothing: it is read.
    Reading,
    /// A seek by the caller, after an error that only the caller can judge.
    Stopped,
    /// The last commit before it is given back.
    Revoking,
}

/// One assigned partition.
#[derive(Debug)]
pub(crate) struct PartitionState {
    pub(crate) name: TopicPartition,
    pub(crate) topic_id: Uuid,
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    /// Another replica that the leader wants it read from (KIP-392), and until when.
    pub(crate) read_replica: Option<(i32, Instant)>,
    pub(crate) phase: Phase,
    /// The current reading.
    pub(crate) serial: u64,
    /// The current run of hand-outs.
    pub(crate) lineage: u64,
    pub(crate) is_paused: bool,
    /// Its topic was deleted, and another has the name: nothing of it may be committed.
    pub(crate) is_replaced: bool,
    pub(crate) fetch_position: i64,
    /// The leader epoch of what was fetched last, -1 when it is not known.
    pub(crate) fetch_epoch: i32,
    /// The leader's epoch is a newer one, and the leader has not said yet whether it has what was read.
    pub(crate) is_unvalidated: bool,
    pub(crate) tracker: Tracker,
    pub(crate) buffered_bytes: usize,
    /// A lane left it out because its share of the buffer is full.
    pub(crate) is_withheld: bool,
    /// Where a batch was found corrupt that is being fetched a second time.
    pub(crate) corrupt_at: Option<i64>,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) failures: u32,
    /// A question about its offset is under way.
    pub(crate) is_looked_up: bool,
    /// From the last answer, -1 before it.
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) stall: StallWatch,
    pub(crate) counts: PartitionCounts,
}

impl PartitionState {
    fn new(name: TopicPartition, topic_id: Uuid, phase: Phase, serial: u64) -> Self {
        Self {
            name,
            topic_id,
            leader: None,
            leader_epoch: -1,
            read_replica: None,
            phase,
            serial,
            lineage: serial,
            is_paused: false,
            is_replaced: false,
            fetch_position: -1,
            fetch_epoch: -1,
            is_unvalidated: false,
            tracker: Tracker::new(-1, -1, None),
            buffered_bytes: 0,
            is_withheld: false,
            corrupt_at: None,
            retry_at: None,
            failures: 0,
            is_looked_up: false,
            high_watermark: -1,
            last_stable_offset: -1,
            stall: StallWatch::default(),
            counts: PartitionCounts::default(),
        }
    }

    /// Whether a position is known, so that acks and commits mean something.
    pub(crate) fn has_position(&self) -> bool {
        self.tracker.position() >= 0
    }

    /// Whether something is to be committed.
    pub(crate) fn is_dirty(&self) -> bool {
        self.has_position() && !self.is_replaced && self.tracker.is_dirty()
    }

    /// Reads on from `offset`, whatever was read before.
    pub(crate) fn start_at(&mut self, offset: i64, leader_epoch: i32, committed: Option<i64>, serial: u64) {
        self.phase = Phase::Reading;
        self.tracker = Tracker::new(offset, leader_epoch, committed);
        self.lineage = serial;
        self.corrupt_at = None;
        self.is_unvalidated = false;
        self.rewind(serial);
    }

    /// Ends the reading: what was fetched and not handed out will be fetched again.
    pub(crate) fn rewind(&mut self, serial: u64) {
        self.serial = serial;
        self.fetch_position = self.tracker.position();
        self.fetch_epoch = self.tracker.position_epoch();
        self.buffered_bytes = 0;
        self.is_withheld = false;
        self.is_looked_up = false;
        self.clear_failures();
    }

    /// What was read before a newer leader epoch may not be in that leader's log.
    pub(crate) fn compare_epochs(&mut self) {
        let is_older = (0..self.leader_epoch).contains(&self.fetch_epoch);
        self.is_unvalidated = is_older && self.phase == Phase::Reading;
    }

    /// The broker that it is fetched from.
    pub(crate) fn source(&self) -> Option<i32> {
        self.read_replica.map(|(broker, _)| broker).or(self.leader)
    }

    /// Whether it can be in a fetch, its share of the buffer and its back-off aside.
    pub(crate) fn is_readable(&self) -> bool {
        self.phase == Phase::Reading && !self.is_paused && !self.is_unvalidated && self.leader.is_some()
    }

    /// Where what may be handed out ends, -1 while that is not known.
    pub(crate) fn readable_end(&self, is_read_committed: bool) -> i64 {
        if is_read_committed { self.last_stable_offset } else { self.high_watermark }
    }

    pub(crate) fn handle_failure(&mut self, now: Instant) {
        self.retry_at = Some(now + retry_delay(self.failures, self.serial));
        self.failures = self.failures.saturating_add(1);
    }

    pub(crate) fn clear_failures(&mut self) {
        self.retry_at = None;
        self.failures = 0;
    }
}

/// All assigned partitions, in the order in which they were assigned.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    states: BTreeMap<AssignmentId, PartitionState>,
    names: BTreeMap<TopicPartition, AssignmentId>,
    last_id: u64,
    last_serial: u64,
}

impl Partitions {
    /// A serial that was never used.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// Takes a partition in. One of the same name that is still here is replaced.
    pub(crate) fn assign(&mut self, name: TopicPartition, topic_id: Uuid, phase: Phase) -> AssignmentId {
        self.last_id += 1;
        let id = AssignmentId(self.last_id);
        let serial = self.next_serial();
        if let Some(before) = self.names.insert(name.clone(), id) {
            self.states.remove(&before);
        }
        self.states.insert(id, PartitionState::new(name, topic_id, phase, serial));
        id
    }

    pub(crate) fn remove(&mut self, id: AssignmentId) -> Option<PartitionState> {
        let state = self.states.remove(&id)?;
        if self.names.get(&state.name) == Some(&id) {
            self.names.remove(&state.name);
        }
        Some(state)
    }

    pub(crate) fn get(&self, id: AssignmentId) -> Option<&PartitionState> {
        self.states.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: AssignmentId) -> Option<&mut PartitionState> {
        self.states.get_mut(&id)
    }

    /// The partition, if `serial` still is its reading.
    pub(crate) fn current(&mut self, id: AssignmentId, serial: u64) -> Option<&mut PartitionState> {
        self.states.get_mut(&id).filter(|state| state.serial == serial)
    }

    pub(crate) fn id_of(&self, name: &TopicPartition) -> Option<AssignmentId> {
        self.names.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AssignmentId, &PartitionState)> {
        self.states.iter().map(|(id, state)| (*id, state))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (AssignmentId, &mut PartitionState)> {
        self.states.iter_mut().map(|(id, state)| (*id, state))
    }
}

/// KIP-580: 100 ms, doubled up to 1 s, spread by a fifth either way so that partitions do not retry in step.
pub(crate) fn retry_delay(failures: u32, salt: u64) -> Duration {
    let base_ms = 100_u64.saturating_mul(1 << failures.min(4)).min(1000);
    let spread = (salt.wrapping_add(u64::from(failures))).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    Duration::from_millis(base_ms * (80 + spread % 41) / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    #[test]
    fn ids_and_serials_are_never_used_twice() {
        let mut partitions = Partitions::default();
        let first = partitions.assign(name(0), Uuid::nil(), Phase::Committed);
        let serial = partitions.get(first).unwrap().serial;
        partitions.remove(first);
        let second = partitions.assign(name(0), Uuid::nil(), Phase::Committed);
        assert_ne!(first, second);
        assert_ne!(partitions.get(second).unwrap().serial, serial);
        assert!(partitions.current(second, serial).is_none());
        assert!(partitions.current(first, serial).is_none());
    }

    #[test]
    fn assigning_a_name_again_replaces_the_earlier_stay() {
        let mut partitions = Partitions::default();
        let first = partitions.assign(name(0), Uuid::nil(), Phase::Committed);
        let second = partitions.assign(name(0), Uuid::nil(), Phase::Committed);
        assert!(partitions.get(first).is_none());
        partitions.remove(first);
        assert_eq!(partitions.id_of(&name(0)), Some(second));
    }

    #[test]
    fn a_rewind_goes_back_to_what_was_handed_out() {
        let mut partitions = Partitions::default();
        let id = partitions.assign(name(0), Uuid::nil(), Phase::Committed);
        let state = partitions.get_mut(id).unwrap();
        state.start_at(5, 2, Some(5), 10);
        state.tracker.hand_out(8, 3);
        state.fetch_position = 20;
        state.buffered_bytes = 100;
        state.rewind(11);
        assert_eq!((state.fetch_position, state.fetch_epoch, state.buffered_bytes), (8, 3, 0));
        assert_eq!((state.serial, state.lineage), (11, 10));
    }

    #[test]
    fn retries_grow_to_about_a_second() {
        for salt in 0..100 {
            let first = retry_delay(0, salt).as_millis();
            let last = retry_delay(u32::MAX, salt).as_millis();
            assert!((80..=120).contains(&first) && (800..=1200).contains(&last), "{first} {last}");
        }
    }
}
