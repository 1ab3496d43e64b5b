//! What was handled, and what of it is to be committed.

use super::Core;
use crate::consumer::{
    positions::{AssignmentId, PartitionState, Phase},
    record::{Origin, TopicPartition},
};
use std::ops::Range;

/// An offset that is to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitEntry {
    pub(crate) origin: Origin,
    pub(crate) name: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
}

impl Core {
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

    pub(super) fn notice_commit(&mut self, urgent: bool) {
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
        let dirty = self.partitions.iter().filter(|(_, state)| state.is_dirty());
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
        self.config.commits() && self.partitions.iter().any(|(_, state)| state.is_dirty())
    }

    /// Whether anything of these partitions is to be committed.
    pub(crate) fn is_dirty(&self, ids: &[AssignmentId]) -> bool {
        let mut states = ids.iter().filter_map(|&id| self.partitions.get(id));
        states.any(PartitionState::is_dirty)
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
}
