//! What leaves the buffer: every hand-out checks that the reading it belongs to is the current one.

use super::Core;
use crate::consumer::{
    buffer::Chunk,
    error::ConsumeError,
    positions::AssignmentId,
    record::{Origin, TopicPartition},
};
use std::time::Instant;

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

impl Core {
    /// The next error to report, before any record that came after it.
    pub(crate) fn take_error(&mut self) -> Option<ConsumeError> {
        let error = self.errors.pop_front();
        if error.is_some() {
            self.polls.handle_waiting();
        }
        error
    }

    /// The next chunk to hand out. It leaves the buffer, so its partition may be fetched on.
    pub(crate) fn take_chunk(&mut self) -> Option<Chunk> {
        let taken = loop {
            let Some(chunk) = self.buffer.pop() else {
                self.polls.handle_waiting();
                return None;
            };
            if let Some(state) = self.partitions.current(chunk.assignment, chunk.serial) {
                state.buffered_bytes = state.buffered_bytes.saturating_sub(chunk.bytes);
                if state.is_withheld {
                    self.wakes.lanes.extend(state.source());
                }
                break chunk;
            }
        };
        if self.is_full && self.buffer.bytes() <= self.config.buffer_bytes / 2 {
            self.is_full = false;
            self.wakes.lanes.extend(self.partitions.iter().filter_map(|(_, state)| state.source()));
        }
        Some(taken)
    }

    /// Where a reading stands and what it is called, `None` if it is not the current one.
    pub(crate) fn reading(&mut self, id: AssignmentId, serial: u64) -> Option<(i64, Origin, TopicPartition)> {
        let state = self.partitions.current(id, serial)?;
        let origin = Origin { assignment: id, lineage: state.lineage };
        Some((state.tracker.position(), origin, state.name.clone()))
    }

    /// So many records up to `last_offset` are handed out now, unless the answer says otherwise.
    pub(crate) fn hand_out(
        &mut self,
        id: AssignmentId,
        serial: u64,
        last_offset: i64,
        leader_epoch: i32,
        count: usize,
        now: Instant,
    ) -> HandOut {
        if self.lease_until.is_some_and(|until| until <= now) {
            // The coordinator will say, in a moment, that all is lost; or that it is not.
            self.wakes.coordinator = true;
            return HandOut::NotNow;
        }
        match self.partitions.current(id, serial) {
            Some(state) => {
                state.counts.handed_out(count);
                self.counts.handed_out(count);
                self.polls.handle_taken(now);
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

    /// What is fetched and not handed out.
    #[cfg(test)]
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffer.bytes()
    }
}
