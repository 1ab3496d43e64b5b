//! What a reader has finished with, and therefore what may be committed, for one partition.
//!
//! Every record that is handed out covers the offsets from where the one before it ended up to its own, so that
//! offsets which are no records (compacted away, control batches, aborted data) never hold anything back. Acks may
//! come in any order. Invariants: what can be committed is never past a record that was handed out and not acked,
//! and it never goes back.

use std::collections::BTreeMap;

/// Follows one partition for as long as it stays with this consumer, or until a seek.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    /// All records below were acked.
    finished: i64,
    finished_epoch: i32,
    /// The end of the last record that was handed out.
    handed: i64,
    /// Where reading stands; above `handed` when only gaps followed the last record.
    position: i64,
    position_epoch: i32,
    /// Acked ranges above `finished`, apart from each other: start → (end, leader epoch).
    acked: BTreeMap<i64, (i64, i32)>,
    /// What the broker is known to hold, `None` when it is known to hold nothing.
    committed: Option<i64>,
    was_acked: bool,
}

/// What a commit would say of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committable {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
}

impl Tracker {
    /// Reading starts at `position`; `committed` is what the broker holds.
    pub(crate) fn new(position: i64, leader_epoch: i32, committed: Option<i64>) -> Self {
        Self {
            finished: position,
            finished_epoch: leader_epoch,
            handed: position,
            position,
            position_epoch: leader_epoch,
            acked: BTreeMap::new(),
            committed,
            was_acked: false,
        }
    }

    /// Where reading stands: the next offset to hand out or to step over.
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// The leader epoch of what was read last, -1 when it is not known.
    pub(crate) fn position_epoch(&self) -> i32 {
        self.position_epoch
    }

    /// What the broker is known to hold.
    #[cfg(test)]
    pub(crate) fn committed(&self) -> Option<i64> {
        self.committed
    }

    /// Records that end before `to` are handed out; gives the start of the range that an ack of them covers.
    pub(crate) fn hand_out(&mut self, to: i64, leader_epoch: i32) -> i64 {
        if self.finished >= self.handed && self.position > self.handed {
            // The gap behind the last record could be committed, and may have been.
            (self.finished, self.finished_epoch) = (self.position, self.position_epoch);
            self.handed = self.position;
        }
        let covers_from = self.handed;
        self.handed = self.handed.max(to);
        self.step_over(to, leader_epoch);
        covers_from
    }

    /// Reading has passed offsets that hold no record for the reader.
    pub(crate) fn step_over(&mut self, to: i64, leader_epoch: i32) {
        if to > self.position {
            self.position = to;
            self.position_epoch = leader_epoch;
        }
    }

    /// The reader is done with all it was given of `from..to`. What was never handed out is left alone.
    pub(crate) fn ack(&mut self, from: i64, to: i64, leader_epoch: i32) {
        let to = to.min(self.handed);
        let from = from.max(self.finished);
        if from >= to {
            return;
        }
        self.was_acked = true;
        if from > self.finished {
            self.keep(from, to, leader_epoch);
            return;
        }
        self.finished = to;
        self.finished_epoch = leader_epoch;
        while let Some((&start, &(end, epoch))) = self.acked.first_key_value() {
            if start > self.finished {
                break;
            }
            self.acked.remove(&start);
            if end > self.finished {
                self.finished = end;
                self.finished_epoch = epoch;
            }
        }
    }

    fn keep(&mut self, mut from: i64, mut to: i64, mut leader_epoch: i32) {
        while let Some((&start, &(end, epoch))) = self.acked.range(..=to).next_back() {
            if end < from {
                break;
            }
            self.acked.remove(&start);
            from = from.min(start);
            if end > to {
                to = end;
                leader_epoch = epoch;
            }
        }
        self.acked.insert(from, (to, leader_epoch));
    }

    /// The finished prefix; once all that was handed out is acked, where reading stands.
    pub(crate) fn committable(&self) -> Committable {
        if self.finished >= self.handed {
            Committable { offset: self.position, leader_epoch: self.position_epoch }
        } else {
            Committable { offset: self.finished, leader_epoch: self.finished_epoch }
        }
    }

    /// Whether a commit would tell the broker something new. A position that was resolved without a committed offset
    /// is new at once: a crash before the first commit must not resolve it again, somewhere else.
    pub(crate) fn is_dirty(&self) -> bool {
        self.committed.is_none_or(|committed| committed < self.committable().offset)
    }

    /// The broker has taken `offset`.
    pub(crate) fn handle_committed(&mut self, offset: i64) {
        self.committed = Some(self.committed.map_or(offset, |before| before.max(offset)));
    }

    /// Whether a reader that acks what it gets still holds records without an ack.
    pub(crate) fn awaits_acks(&self) -> bool {
        self.was_acked && self.finished < self.handed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offset(tracker: &Tracker) -> i64 {
        tracker.committable().offset
    }

    #[test]
    fn a_gap_that_could_be_committed_stays_so_when_the_next_record_comes() {
        let mut tracker = Tracker::new(0, 3, Some(0));
        tracker.hand_out(6, 3);
        tracker.ack(0, 6, 3);
        tracker.step_over(7, 4);
        let with_gap = Committable { offset: 7, leader_epoch: 4 };
        assert_eq!(tracker.committable(), with_gap);
        // The commit of it may be under way, so one that goes less far must not follow.
        assert_eq!(tracker.hand_out(8, 5), 7);
        assert_eq!(tracker.committable(), with_gap);
        tracker.ack(7, 8, 5);
        assert_eq!(offset(&tracker), 8);
    }

    #[test]
    fn acks_in_any_order_move_the_prefix_only_when_it_is_whole() {
        let mut tracker = Tracker::new(0, -1, Some(0));
        for to in 1..=4 {
            assert_eq!(tracker.hand_out(to, 0), to - 1);
        }
        tracker.ack(2, 3, 0);
        tracker.ack(1, 2, 0);
        assert!(!tracker.is_dirty());
        tracker.ack(0, 1, 0);
        assert_eq!(offset(&tracker), 3);
        assert!(tracker.is_dirty());
        tracker.handle_committed(3);
        assert!(!tracker.is_dirty());
    }

    #[test]
    fn gaps_between_records_hold_nothing_back() {
        let mut tracker = Tracker::new(10, 3, Some(10));
        let first = tracker.hand_out(15, 3); // 10 to 13 were compacted away
        tracker.step_over(18, 4); // control batches
        let second = tracker.hand_out(25, 4);
        assert_eq!((first, second), (10, 15));
        tracker.ack(first, 15, 3);
        assert_eq!(tracker.committable(), Committable { offset: 15, leader_epoch: 3 });
        tracker.ack(second, 25, 4);
        assert_eq!(tracker.committable(), Committable { offset: 25, leader_epoch: 4 });
    }

    #[test]
    fn trailing_gaps_are_committed_once_all_is_acked() {
        let mut tracker = Tracker::new(0, 0, Some(0));
        tracker.hand_out(5, 0);
        tracker.step_over(9, 1);
        assert_eq!(offset(&tracker), 0);
        tracker.ack(0, 5, 0);
        assert_eq!(tracker.committable(), Committable { offset: 9, leader_epoch: 1 });
    }

    #[test]
    fn a_resolved_position_is_to_be_committed_at_once() {
        let mut tracker = Tracker::new(42, -1, None);
        assert!(tracker.is_dirty());
        tracker.handle_committed(42);
        assert!(!tracker.is_dirty());
    }

    #[test]
    fn acks_of_what_was_never_handed_out_change_nothing() {
        let mut tracker = Tracker::new(5, 0, Some(5));
        tracker.ack(0, 100, 0);
        tracker.ack(7, 3, 0);
        assert_eq!(offset(&tracker), 5);
        assert!(!tracker.awaits_acks());
    }

    #[test]
    fn a_commit_confirmed_late_does_not_go_back() {
        let mut tracker = Tracker::new(0, 0, Some(0));
        tracker.handle_committed(8);
        tracker.handle_committed(3);
        assert_eq!(tracker.committed(), Some(8));
    }

    proptest! {
        /// Records with gaps, acked in any order, some twice: the prefix ends exactly before the first unacked record,
        /// and never goes back.
        #[test]
        fn prefix_ends_before_the_first_unacked_record(
            gaps in prop::collection::vec((0_i64..4, 0_i64..3), 1..40),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        ) {
            let mut tracker = Tracker::new(0, -1, Some(0));
            let mut records = Vec::new();
            let mut offset_now = 0;
            for (gap, tail) in gaps {
                let record = offset_now + gap;
                let from = tracker.hand_out(record + 1, 0);
                records.push((from, record, false));
                tracker.step_over(record + 1 + tail, 0);
                offset_now = record + 1 + tail;
            }
            let mut last = offset(&tracker);
            for index in order {
                let record = index.get_mut(&mut records);
                record.2 = true;
                let (from, at, _) = *record;
                tracker.ack(from, at + 1, 0);
                let prefix = offset(&tracker);
                prop_assert!(prefix >= last);
                last = prefix;
                let expected = records.iter().find(|record| !record.2).map_or(offset_now, |record| record.0);
                prop_assert_eq!(prefix, expected);
            }
        }
    }
}
