//! Whether the leader's log still holds what was read (KIP-320), asked by OffsetForLeaderEpoch.
//!
//! It is asked when the leader's epoch is newer than that of what was read last, which the group's commit may say or the
//! metadata; nothing is fetched before the answer. A fetch carries that epoch too, and its answer may say the same: but
//! a broker need not look at it. An answer counts for the position and the leader epoch that it was asked for.

use super::{Core, is_refusal};
use crate::{
    consumer::{error::ConsumeError, positions::AssignmentId, record::TopicPartition},
    error::ErrorCode,
};
use std::time::Instant;

/// A position that the leader is to be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validation {
    pub(crate) assignment: AssignmentId,
    pub(crate) serial: u64,
    pub(crate) name: TopicPartition,
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    /// What would be fetched next, and the epoch of what was fetched before it.
    pub(crate) offset: i64,
    pub(crate) epoch: i32,
}

impl Core {
    /// The leader said where the epoch ends in its log, and which epoch that is; -1 each if it knows none.
    pub(crate) fn handle_validated(&mut self, asked: &Validation, leader_epoch: i32, end_offset: i64) {
        let Some(state) = self.partitions.current(asked.assignment, asked.serial) else { return };
        let stands = (state.leader_epoch, state.fetch_position, state.fetch_epoch);
        if stands != (asked.leader_epoch, asked.offset, asked.epoch) {
            // A fetch was answered meanwhile, or the leader is another: it is asked again.
            state.is_looked_up &= state.leader_epoch != asked.leader_epoch;
            self.wakes.driver = true;
            return;
        }
        state.is_looked_up = false;
        state.is_unvalidated = false;
        state.clear_failures();
        self.wakes.lanes.extend(state.source());
        if leader_epoch < 0 || end_offset < asked.offset {
            self.handle_diverged(asked.assignment, leader_epoch, end_offset);
        }
    }

    /// The leader does not say; it is asked again after a pause, with fresh metadata.
    pub(crate) fn handle_validation_failed(
        &mut self,
        asked: &Validation,
        code: Option<ErrorCode>,
        now: Instant,
    ) {
        let Some(state) = self.partitions.current(asked.assignment, asked.serial) else { return };
        if state.leader_epoch != asked.leader_epoch {
            return;
        }
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

    /// The leader cannot be asked: what fetches say must do.
    pub(crate) fn handle_validation_unsupported(&mut self, asked: &Validation) {
        let Some(state) = self.partitions.current(asked.assignment, asked.serial) else { return };
        state.is_looked_up = false;
        state.is_unvalidated = false;
        self.wakes.lanes.extend(state.source());
    }
}
