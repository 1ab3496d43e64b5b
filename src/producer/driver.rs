//! Task: follows who leads what, gives each broker that leads something a lane, and gives up records whose time is over.
//!
//! One per producer. It sleeps until metadata changes, the oldest record is due, or somebody rings.

use super::{
    delivery::BatchState,
    door::Door,
    lane::{LaneSettings, ProduceLane},
    settle::GiveUp,
    shared::{IdWish, Shared},
    topic::TopicHandle,
};
use crate::{
    backoff::Backoff,
    cluster::{Cluster, LaneTask, Target, Topology},
    error::RequestError,
    net::clock,
    wire::api::init_producer_id::InitProducerIdRequest,
};
use std::{
    collections::BTreeMap,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{select, time::sleep_until};

/// The driver; see [`run`](Self::run).
pub(super) struct Driver {
    shared: Arc<Shared>,
    lanes: BTreeMap<i32, (Arc<Door>, LaneTask)>,
    new_id: Option<Pin<Box<dyn Future<Output = i64> + Send>>>,
    drained: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// A topic that somebody wants to write to without waiting is looked at.
    learnt: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, lanes: BTreeMap::new(), new_id: None, drained: None, learnt: None }
    }

    /// Runs until the producer is closed, or abandoned and empty.
    pub(super) async fn run(mut self) {
        let mut topology = self.shared.cluster.watch();
        loop {
            let current = topology.latest();
            self.route_all(&current);
            self.look_after_ids();
            self.look_after_wishes(&current);
            let due = self.give_up_overdue();
            if self.shared.is_stopped() {
                return;
            }
            if self.drained.is_none() && self.shared.is_abandoned() {
                self.drained = Some(Box::pin(settle_all(self.abandoned())));
            }
            select! {
                biased;
                () = self.shared.rung() => {}
                changed = topology.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                id = wait_for(&mut self.new_id) => {
                    self.new_id = None;
                    self.shared.set_producer_id(id);
                    self.offer_id();
                }
                () = wait_for(&mut self.learnt) => self.learnt = None,
                () = wait_for(&mut self.drained) => return,
                () = sleep_until(due.unwrap_or_else(far_away).into()) => {}
            }
        }
    }

    fn route_all(&mut self, topology: &Topology) {
        // A lane whose task has died settled its requests as lost; another takes its place.
        self.lanes.retain(|_, (_, task)| !task.is_finished());
        for topic in self.shared.topics() {
            self.route(&topic, topology);
        }
    }

    fn route(&mut self, handle: &TopicHandle, topology: &Topology) {
        // A topic that is missing, or has no partitions, in one answer may be back in the next: nothing changes.
        let Some(topic) = topology.topic(handle.name()).filter(|topic| topic.error.is_ok()) else { return };
        if topic.partitions.is_empty() {
            return;
        }
        if handle.is_recreated(topic.id) {
            tracing::warn!(topic = %handle.name(), "the topic was deleted and created again");
            for slot in handle.slots() {
                self.shared.give_up(slot, &GiveUp::TopicRecreated);
            }
        }
        handle.grow(topic.partitions.len(), self.shared.producer_id());
        for slot in handle.slots() {
            let Some(partition) = topic.partition(slot.partition) else { continue };
            let lane = partition.leader.map(|broker_id| self.lane(broker_id));
            let list_with = slot.lock().route(lane.as_ref(), partition.leader_epoch);
            if let Some(lane) = list_with {
                lane.list(slot.clone());
            }
        }
    }

    /// The lane of a broker, started if there is none.
    fn lane(&mut self, broker_id: i32) -> Arc<Door> {
        let shared = &self.shared;
        let (door, _) = self.lanes.entry(broker_id).or_insert_with(|| {
            let door = Arc::new(Door::new(broker_id).counted(shared.broker_counters(broker_id)));
            let settings = LaneSettings::new(&shared.config, shared.cluster.config().request_timeout);
            let lane = ProduceLane::new(door.clone(), shared.clone(), shared.counters.clone(), settings);
            let task = shared.cluster.spawn_lane(broker_id, lane, door.waker());
            (door, task)
        });
        door.clone()
    }

    /// Gives up what is overdue. The next deadline, if any record waits for its outcome.
    fn give_up_overdue(&self) -> Option<Instant> {
        let now = clock::now();
        self.shared.unwatch();
        let mut next = None;
        for topic in self.shared.topics() {
            for slot in topic.slots() {
                let deadline = slot.lock().next_deadline();
                if deadline.is_some_and(|deadline| deadline <= now) {
                    self.shared.give_up(slot, &GiveUp::Overdue(now));
                }
                next = earliest(next, slot.lock().next_deadline());
            }
        }
        if next.is_some() {
            self.shared.watch();
        }
        next
    }

    fn look_after_ids(&mut self) {
        match self.shared.take_id_wish() {
            None => {}
            Some(IdWish::Current) => self.offer_id(),
            Some(IdWish::New) if self.new_id.is_some() => {}
            Some(IdWish::New) => {
                let cluster = self.shared.cluster.clone();
                self.new_id = Some(Box::pin(async move {
                    loop {
                        match new_producer_id(&cluster, ID_PATIENCE).await {
                            Ok(id) => return id,
                            Err(error) => {
                                tracing::warn!(%error, "no new producer id; trying on");
                                // A refusal comes at once.
                                sleep_until((clock::now() + ID_PAUSE).into()).await;
                            }
                        }
                    }
                }));
            }
        }
    }

    fn look_after_wishes(&mut self, topology: &Topology) {
        if self.learnt.is_some() {
            return;
        }
        let is_ready = |name: &&Arc<str>| topology.topic(name).is_some_and(|topic| topic.is_ready());
        let Some(name) = self.shared.wished().iter().find(is_ready).cloned() else { return };
        let shared = self.shared.clone();
        self.learnt = Some(Box::pin(async move {
            if let Err(error) = shared.learn(&name).await {
                tracing::debug!(%error, topic = %name, "a topic cannot be written to");
            }
            shared.wished().remove(&name);
        }));
    }

    fn offer_id(&self) {
        let id = self.shared.producer_id();
        for topic in self.shared.topics() {
            for slot in topic.slots() {
                let list_with = slot.lock().offer_producer_id(id);
                if let Some(lane) = list_with {
                    lane.list(slot.clone());
                }
            }
        }
    }

    fn abandoned(&self) -> Vec<Arc<BatchState>> {
        self.shared.close_intake();
        let outstanding = self.shared.outstanding();
        if !outstanding.is_empty() {
            let records: u64 = outstanding.iter().map(|(_, records)| u64::from(*records)).sum();
            tracing::warn!(
                records,
                "a producer was dropped with records on their way; close it to learn of them"
            );
        }
        outstanding.into_iter().map(|(state, _)| state).collect()
    }
}

impl Drop for Driver {
    /// However the driver ends, nobody waits for an outcome for ever.
    fn drop(&mut self) {
        self.shared.close_intake();
        self.shared.give_up_all(&GiveUp::Closed);
        for (door, _) in self.lanes.values() {
            door.close();
        }
    }
}

/// Asks for a producer id until there is one or `within` has passed.
///
/// # Errors
///
/// The last refusal or failure.
///
/// # Cancel safety
///
/// Safe: an id that is not used costs nothing.
pub(super) async fn new_producer_id(cluster: &Cluster, within: Duration) -> Result<i64, RequestError> {
    let until = clock::now() + within;
    let seed = cluster.config().entropy.seed();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), seed);
    loop {
        let left = until.saturating_duration_since(clock::now()).max(Duration::from_millis(1));
        let error = match cluster.call(Target::Any, InitProducerIdRequest, left).await {
            Ok(answer) if answer.error.is_ok() => return Ok(answer.producer_id),
            Ok(answer) => {
                let grant = "WRITE on a topic, or IDEMPOTENT_WRITE on the cluster";
                RequestError::refused("InitProducerId", answer.error, None, "", grant)
            }
            Err(error) => error,
        };
        let next = clock::now() + backoff.next_delay();
        if !error.is_retriable() || next >= until {
            return Err(error);
        }
        sleep_until(next.into()).await;
    }
}

/// Waits until all of these batches' records have their outcome, wherever they are moved.
///
/// # Cancel safety
///
/// Safe: nothing is taken.
pub(super) async fn settle_all(mut batches: Vec<Arc<BatchState>>) {
    while let Some(batch) = batches.pop() {
        batch.settled().await;
        batches.extend(batch.successors().cloned());
    }
}

/// The future's result, never if there is none.
async fn wait_for<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn far_away() -> Instant {
    clock::now() + Duration::from_secs(24 * 3600)
}

/// One series of attempts to get a producer id.
const ID_PATIENCE: Duration = Duration::from_secs(30);
/// Between two of them.
const ID_PAUSE: Duration = Duration::from_secs(1);
