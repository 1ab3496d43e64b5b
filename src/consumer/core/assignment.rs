//! Which partitions are the consumer's: how they come, how their delivery ends, and how they go.

use super::Core;
use crate::consumer::{
    event::ConsumerEvent,
    positions::{AssignmentId, Phase},
    record::TopicPartition,
    start::StartFrom,
};
use std::{ops::Range, sync::Arc};
use uuid::Uuid;

impl Core {
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

    /// The group names partitions by topic id.
    pub(crate) fn note_topic_ids(&mut self) {
        self.names_topics_by_id = true;
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

    pub(super) fn stop(&mut self, ids: &[AssignmentId]) -> Vec<TopicPartition> {
        let mut names = Vec::new();
        for &id in ids {
            let serial = self.partitions.next_serial();
            let Some(state) = self.partitions.get_mut(id) else { continue };
            state.phase = Phase::Revoking;
            state.rewind(serial);
            names.push(state.name.clone());
            self.wakes.lanes.extend(state.source());
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
            if let Some(state) = self.partitions.get_mut(id) {
                state.compare_epochs();
                self.wakes.driver |= state.is_unvalidated;
            }
        } else {
            self.apply_rule(id, None);
        }
    }
}
