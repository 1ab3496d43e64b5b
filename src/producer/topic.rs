//! A topic as the producer sees it: its partitions, found without a lock.
//!
//! Invariant: a partition's state lives as long as the producer, whatever metadata says meanwhile; a topic that is
//! missing in an answer, or has fewer partitions there, changes nothing (a sequence that starts again at 0 makes the
//! broker take new records for duplicates).

use super::{
    error::SendError,
    metrics::{TopicCounters, TopicMetrics, count},
    partition::Limits,
    partitioner::{StickyPartitioner, partition_for_key},
    slot::PartitionSlot,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use uuid::Uuid;

/// A topic's partitions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TopicHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Arc<str>,
    /// The topic's id when the partitions were last looked at.
    id: Mutex<Uuid>,
    first: Generation,
    sticky: Mutex<StickyPartitioner>,
    limits: Limits,
    counters: Arc<TopicCounters>,
}

/// The partitions at one count. A topic grows rarely: finding the last generation is one look at an empty cell.
#[derive(Debug)]
struct Generation {
    slots: Box<[Arc<PartitionSlot>]>,
    next: OnceLock<Box<Self>>,
}

impl TopicHandle {
    pub(crate) fn new(name: Arc<str>, id: Uuid, count: usize, producer_id: i64, limits: Limits) -> Self {
        let counters = Arc::default();
        let slots = new_slots(&name, 0, count, producer_id, limits, &counters).collect();
        let sticky = StickyPartitioner::new(limits.batch_bytes, producer_id.cast_unsigned());
        Self(Arc::new(Inner {
            name,
            id: Mutex::new(id),
            first: Generation { slots, next: OnceLock::new() },
            sticky: Mutex::new(sticky),
            limits,
            counters,
        }))
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The error for a record that has so many bytes in a batch of its own.
    pub(crate) fn too_large(&self, bytes: usize) -> SendError {
        SendError::TooLarge { bytes, limit: self.0.limits.max_message_bytes }
    }

    /// What was counted of it, and what is under way now.
    pub(crate) fn metrics(&self) -> TopicMetrics {
        let mut metrics = self.0.counters.snapshot(self.0.name.clone());
        for slot in self.slots() {
            let (in_flight, unresolved) = slot.lock().under_way();
            metrics.batches_in_flight += count(in_flight);
            metrics.batches_unresolved += count(unresolved);
            metrics.queued_bytes += count(slot.queued_bytes());
        }
        metrics
    }

    /// The partitions, by id.
    pub(crate) fn slots(&self) -> &[Arc<PartitionSlot>] {
        &self.last().slots
    }

    /// The partition of a record: the one it names, or its key's, or the one whose turn it is.
    pub(crate) fn place(
        &self,
        partition: Option<i32>,
        key: Option<&[u8]>,
        record_bytes: usize,
    ) -> Result<&Arc<PartitionSlot>, SendError> {
        let slots = self.slots();
        let count = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let chosen = match (partition, key) {
            (Some(partition), _) => usize::try_from(partition).ok(),
            (None, Some(key)) => usize::try_from(partition_for_key(key, count)).ok(),
            (None, None) => {
                let mut sticky = self.0.sticky.lock().unwrap_or_else(PoisonError::into_inner);
                let queued = || slots.iter().map(|slot| queued(slot)).collect();
                usize::try_from(sticky.next(record_bytes, queued)).ok()
            }
        };
        chosen
            .and_then(|at| slots.get(at))
            .ok_or(SendError::UnknownPartition { partition: partition.unwrap_or(0), count: slots.len() })
    }

    /// Adds partitions up to `count`; never takes one away. One caller at a time.
    pub(crate) fn grow(&self, count: usize, producer_id: i64) {
        let last = self.last();
        let known = last.slots.len();
        if count <= known {
            return;
        }
        let new = new_slots(&self.0.name, known, count, producer_id, self.0.limits, &self.0.counters);
        let slots = last.slots.iter().cloned().chain(new).collect();
        drop(last.next.set(Box::new(Generation { slots, next: OnceLock::new() })));
    }

    /// Notes the topic's id; `true` if it is another topic than before, under the same name.
    pub(crate) fn is_recreated(&self, id: Uuid) -> bool {
        let mut known = self.0.id.lock().unwrap_or_else(PoisonError::into_inner);
        if id.is_nil() || *known == id {
            return false;
        }
        let before = std::mem::replace(&mut *known, id);
        !before.is_nil()
    }

    fn last(&self) -> &Generation {
        let mut last = &self.0.first;
        while let Some(next) = last.next.get() {
            last = next;
        }
        last
    }
}

/// What waits in a partition, `None` if it has no leader.
fn queued(slot: &PartitionSlot) -> Option<usize> {
    slot.lock().has_lane().then(|| slot.queued_bytes())
}

fn new_slots(
    name: &Arc<str>,
    from: usize,
    to: usize,
    producer_id: i64,
    limits: Limits,
    counters: &Arc<TopicCounters>,
) -> impl Iterator<Item = Arc<PartitionSlot>> {
    let (name, counters) = (name.clone(), counters.clone());
    (from..to).map_while(move |id| {
        let id = i32::try_from(id).ok()?;
        Some(Arc::new(PartitionSlot::new(name.clone(), id, producer_id, limits).counted(counters.clone())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn topic(count: usize) -> TopicHandle {
        let limits = Limits {
            batch_bytes: 1_000,
            max_message_bytes: 10_000,
            delivery_timeout: Duration::from_secs(1),
            retry_backoff: (Duration::from_millis(100), Duration::from_secs(1)),
        };
        TopicHandle::new("t".into(), Uuid::nil(), count, 7, limits)
    }

    #[test]
    fn partitions_stay_the_same_when_the_topic_grows() {
        let topic = topic(2);
        let first = topic.slots()[0].clone();
        topic.grow(5, 7);
        topic.grow(3, 7);
        assert_eq!(topic.slots().len(), 5, "it never shrinks");
        assert!(Arc::ptr_eq(&first, &topic.slots()[0]));
        assert_eq!(topic.slots().iter().map(|slot| slot.partition).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn keys_follow_the_current_count() {
        let topic = topic(16);
        let at = |topic: &TopicHandle| topic.place(None, Some(b"21"), 10).unwrap().partition;
        assert_eq!(at(&topic), 1_173_551_340 % 16);
        topic.grow(24, 7);
        assert_eq!(at(&topic), 1_173_551_340 % 24);
    }

    #[test]
    fn a_partition_that_is_not_there_is_named() {
        let topic = topic(2);
        for wrong in [-1, 2] {
            let error = topic.place(Some(wrong), None, 10).unwrap_err();
            assert!(error.to_string().contains(&wrong.to_string()), "{error}");
        }
        assert_eq!(topic.place(Some(1), Some(b"x"), 10).unwrap().partition, 1);
    }

    #[test]
    fn only_another_id_is_another_topic() {
        let topic = topic(1);
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(!topic.is_recreated(a), "the id was not known");
        assert!(!topic.is_recreated(Uuid::nil()), "an answer without ids");
        assert!(!topic.is_recreated(a));
        assert!(topic.is_recreated(b));
        assert!(!topic.is_recreated(b));
    }
}
