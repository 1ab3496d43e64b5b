//! A partition as appenders, its lane and the driver share it: the machine behind a lock, and what is read without it.

use super::{
    door::Door,
    idempotence::Sequencer,
    memory::{Grant, Memory},
    metrics::TopicCounters,
    partition::{Appended, Limits, PartitionQueue, Poll, Refused},
};
use crate::wire::record_batch::RecordParts;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct PartitionSlot {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) counters: Arc<TopicCounters>,
    queue: Mutex<PartitionQueue>,
    /// The bytes that wait to be sent for the first time; read without the lock, so it may lag.
    queued_bytes: AtomicUsize,
}

impl PartitionSlot {
    pub(crate) fn new(topic: Arc<str>, partition: i32, producer_id: i64, limits: Limits) -> Self {
        let queue = PartitionQueue::new(topic.clone(), partition, Sequencer::new(producer_id), limits);
        let (queue, queued_bytes) = (Mutex::new(queue), AtomicUsize::new(0));
        Self { topic, partition, counters: Arc::default(), queue, queued_bytes }
    }

    /// The same, counted with others of its topic.
    pub(crate) fn counted(self, counters: Arc<TopicCounters>) -> Self {
        Self { counters, ..self }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PartitionQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    /// Appends a record; see [`PartitionQueue::append`].
    pub(crate) fn append(
        &self,
        record: &RecordParts<'_>,
        memory: &Memory,
        extra: &mut Option<Grant>,
        now: impl FnOnce() -> Instant,
    ) -> Result<Appended, Refused> {
        let mut queue = self.lock();
        let appended = queue.append(record, memory, extra, now);
        self.note_queued(&queue);
        appended
    }

    /// What to send next; see [`PartitionQueue::poll`].
    pub(crate) fn poll(&self, lane: &Arc<Door>, request: u64, now: Instant) -> Poll {
        let mut queue = self.lock();
        let poll = queue.poll(lane, request, now);
        self.note_queued(&queue);
        poll
    }

    pub(crate) fn note_queued(&self, queue: &PartitionQueue) {
        self.queued_bytes.store(queue.queued_bytes, Ordering::Relaxed);
    }
}
