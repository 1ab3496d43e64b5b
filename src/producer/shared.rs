//! Task: what a producer's handles, its driver and its lanes share.

use super::{
    config::ProducerConfig,
    delivery::{BatchState, Delivery},
    durability::TopicFinding,
    error::{SendError, TrySendCause},
    lane::Outside,
    memory::{Grant, Memory},
    metrics::{BrokerCounters, Counters, ProducerMetrics, count},
    partition::{Limits, Notice, Refused},
    settle::GiveUp,
    slot::PartitionSlot,
    topic::TopicHandle,
};
use crate::{
    cluster::{Cluster, Topic},
    net::clock,
    wire::{
        api::produce::{LeaderIdAndEpoch, NodeEndpoint},
        record_batch::RecordParts,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use tokio::sync::Notify;

/// One producer's state.
pub(crate) struct Shared {
    pub(super) cluster: Cluster,
    pub(super) config: ProducerConfig,
    pub(super) memory: Memory,
    pub(super) counters: Arc<Counters>,
    brokers: Mutex<BTreeMap<i32, Arc<BrokerCounters>>>,
    producer_id: AtomicI64,
    topics: RwLock<Topics>,
    /// Held by who looks at a topic before its first record.
    pub(super) learning: tokio::sync::Mutex<()>,
    /// The topics that the driver is to look at.
    wished: Mutex<BTreeSet<Arc<str>>>,
    /// Rung when the driver has something to look at.
    bell: Notify,
    /// The driver will wake at the deadline of the oldest record, or was told that there is one.
    watched: AtomicBool,
    /// The producer ids that partitions have used up.
    spent_ids: Mutex<Vec<i64>>,
    abandoned: AtomicBool,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<Arc<str>, TopicHandle>,
    /// What was found when they were looked at, by name.
    findings: BTreeMap<Arc<str>, Vec<TopicFinding>>,
    /// The topics that this producer does not write to, and why, as of the last look.
    refused: BTreeMap<Arc<str>, SendError>,
    closed: bool,
}

impl Shared {
    pub(super) fn new(cluster: Cluster, config: ProducerConfig, producer_id: i64) -> Self {
        Self {
            memory: Memory::new(config.buffer_bytes),
            cluster,
            config,
            counters: Arc::default(),
            brokers: Mutex::default(),
            producer_id: AtomicI64::new(producer_id),
            topics: RwLock::default(),
            learning: tokio::sync::Mutex::default(),
            wished: Mutex::default(),
            bell: Notify::new(),
            watched: AtomicBool::new(false),
            spent_ids: Mutex::default(),
            abandoned: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// The topic, if its partitions are known to this producer.
    pub(super) fn known_topic(&self, name: &str) -> Result<Option<TopicHandle>, SendError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if topics.closed {
            return Err(SendError::Closed);
        }
        Ok(topics.by_name.get(name).cloned())
    }

    /// Takes a topic in, as metadata describes it.
    pub(super) fn take_in(
        &self,
        topic: &Topic,
        limits: Limits,
        findings: Vec<TopicFinding>,
    ) -> Result<TopicHandle, SendError> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.closed {
            return Err(SendError::Closed);
        }
        if let Some(known) = topics.by_name.get(&topic.name) {
            return Ok(known.clone());
        }
        let count = topic.partitions.len();
        let handle = TopicHandle::new(topic.name.clone(), topic.id, count, self.producer_id(), limits);
        topics.by_name.insert(topic.name.clone(), handle.clone());
        topics.refused.remove(&topic.name);
        topics.findings.insert(topic.name.clone(), findings);
        drop(topics);
        self.bell.notify_one();
        Ok(handle)
    }

    /// Notes why a topic was not taken in.
    pub(super) fn note_refusal(&self, name: &Arc<str>, error: &SendError) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.refused.insert(name.clone(), error.clone());
    }

    /// Has the driver look at a topic that somebody wants to write to without waiting. Why not, if that is known.
    pub(super) fn wish_for(&self, name: &str) -> Option<SendError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let refused = topics.refused.get(name).cloned();
        drop(topics);
        if refused.is_none() {
            let name: Arc<str> = name.into();
            self.cluster.add_topics([name.clone()]);
            if self.wished().insert(name) {
                self.bell.notify_one();
            }
        }
        refused
    }

    /// The topics to look at, each until it was looked at.
    pub(super) fn wished(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.wished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be known of the topics taken in, by their names.
    pub(super) fn findings(&self) -> Vec<TopicFinding> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.findings.values().flatten().cloned().collect()
    }

    pub(super) fn topics(&self) -> Vec<TopicHandle> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.by_name.values().cloned().collect()
    }

    /// Appends a record to its partition, and tells whom it concerns.
    pub(super) fn append(
        &self,
        slot: &Arc<PartitionSlot>,
        record: &RecordParts<'_>,
        extra: &mut Option<Grant>,
    ) -> Result<Delivery, Refused> {
        let appended = slot.append(record, &self.memory, extra, clock::now)?;
        match appended.notice {
            Notice::Nothing => {}
            Notice::Listed(lane) => lane.list(slot.clone()),
            Notice::Filled(lane) => lane.filled(),
        }
        if appended.opened
            && !self.watched.load(Ordering::SeqCst)
            && !self.watched.swap(true, Ordering::SeqCst)
        {
            self.bell.notify_one();
        }
        Ok(Delivery::new(appended.state, appended.index, record.timestamp_ms))
    }

    /// Appends a record if that needs no waiting.
    pub(super) fn try_append(
        &self,
        topic: &TopicHandle,
        partition: Option<i32>,
        record: &RecordParts<'_>,
    ) -> Result<Delivery, TrySendCause> {
        let slot = topic.place(partition, record.key, record_bytes(record))?;
        self.append(slot, record, &mut None).map_err(|refused| match refused {
            Refused::NeedMemory(_) => TrySendCause::Full,
            Refused::TooLarge(bytes) => TrySendCause::Refused(topic.too_large(bytes)),
            Refused::Closed => TrySendCause::Refused(SendError::Closed),
        })
    }

    /// The batches without an outcome, and how many records each has.
    pub(super) fn outstanding(&self) -> Vec<(Arc<BatchState>, u32)> {
        let mut outstanding = Vec::new();
        for topic in self.topics() {
            for slot in topic.slots() {
                outstanding.extend(slot.lock().outstanding());
            }
        }
        outstanding
    }

    /// Takes no record any more, and ends the waiting of those who wanted to hand one over.
    pub(super) fn close_intake(&self) {
        self.topics.write().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.memory.close();
        for topic in self.topics() {
            for slot in topic.slots() {
                slot.lock().close();
            }
        }
    }

    /// Gives records up in one partition.
    pub(super) fn give_up(&self, slot: &Arc<PartitionSlot>, which: &GiveUp) {
        let (completions, lane) = {
            let mut queue = slot.lock();
            let completions = queue.give_up(which);
            slot.note_queued(&queue);
            let lane = if completions.is_empty() { None } else { queue.list() };
            (completions, lane)
        };
        for completion in completions {
            completion.tell(&self.counters);
        }
        if let Some(lane) = lane {
            lane.list(slot.clone());
        }
    }

    /// Gives all records up that have no outcome.
    pub(super) fn give_up_all(&self, which: &GiveUp) {
        for topic in self.topics() {
            for slot in topic.slots() {
                self.give_up(slot, which);
            }
        }
    }

    pub(super) fn metrics(&self) -> ProducerMetrics {
        let brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let brokers = brokers.iter().map(|(id, counters)| counters.snapshot(*id)).collect();
        let topics = self.topics().iter().map(TopicHandle::metrics).collect();
        ProducerMetrics {
            buffered_bytes: count(self.memory.used()),
            buffer_bytes: count(self.config.buffer_bytes),
            ..self.counters.snapshot().with(brokers, topics)
        }
    }

    /// The counters of a broker, which stay when its lane is replaced.
    pub(super) fn broker_counters(&self, broker_id: i32) -> Arc<BrokerCounters> {
        let mut brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.entry(broker_id).or_default().clone()
    }

    pub(super) fn producer_id(&self) -> i64 {
        self.producer_id.load(Ordering::Acquire)
    }

    pub(super) fn set_producer_id(&self, producer_id: i64) {
        self.producer_id.store(producer_id, Ordering::Release);
    }

    /// Whether a partition waits for another producer id than the current one; `None` if none waits for any.
    pub(super) fn take_id_wish(&self) -> Option<IdWish> {
        let spent = std::mem::take(&mut *self.spent_ids.lock().unwrap_or_else(PoisonError::into_inner));
        if spent.contains(&self.producer_id()) {
            Some(IdWish::New)
        } else if spent.is_empty() {
            None
        } else {
            Some(IdWish::Current)
        }
    }

    /// The driver looks at all deadlines now: whoever opens a batch from here on has to ring.
    pub(super) fn unwatch(&self) {
        self.watched.store(false, Ordering::SeqCst);
    }

    /// The driver will wake at the oldest deadline.
    pub(super) fn watch(&self) {
        self.watched.store(true, Ordering::SeqCst);
    }

    /// Waits until there is something for the driver to look at.
    ///
    /// # Cancel safety
    ///
    /// Safe: a ring that was not returned is kept.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// No handle is left: the driver sends what there is, and ends.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::SeqCst)
    }

    /// Ends the driver and its lanes.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

/// Which producer id partitions wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdWish {
    /// The one that the others have already.
    Current,
    New,
}

impl Outside for Shared {
    fn refresh(&self) {
        self.cluster.request_refresh();
    }

    fn leader_hint(&self, topic: &str, partition: i32, hint: LeaderIdAndEpoch, endpoints: &[NodeEndpoint]) {
        self.cluster.apply_leader_hint(topic, partition, hint, endpoints);
    }

    fn need_producer_id(&self, spent: i64) {
        self.spent_ids.lock().unwrap_or_else(PoisonError::into_inner).push(spent);
        self.bell.notify_one();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a record weighs where partitions take turns.
pub(super) fn record_bytes(record: &RecordParts<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)
}
