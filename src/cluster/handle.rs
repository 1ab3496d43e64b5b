//! Task: the handle to a cluster: snapshots of its metadata, requests to its brokers, lanes of one's own.

use super::{
    Broker, Topic, Topology,
    calls::{Call, CallLane, Calls},
    lane_task::{LaneTask, NextAddress},
    published::{Follower, Published},
    refresher::{self, Refresh},
};
use crate::{
    config::HostPort,
    error::{AuthenticationError, ConnectionError, ErrorCode, RequestError},
    net::{Lane, clock, settings::ClientConfig, waker::LaneWaker},
    wire::{
        Api,
        api::{
            metadata::{MetadataRequest, MetadataResponse},
            produce::{LeaderIdAndEpoch, NodeEndpoint},
        },
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout_at};

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Any broker that answers.
    Any,
    /// The broker with this id.
    Broker(i32),
}

/// A connected cluster. Cheap to clone; connections close when the last clone and all lanes are gone.
#[derive(Clone)]
pub(crate) struct Cluster(pub(super) Arc<Inner>);

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("bootstrap", &self.0.config.bootstrap).finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    pub(super) config: Arc<ClientConfig>,
    topology: Published<Topology>,
    wanted: Mutex<BTreeSet<Arc<str>>>,
    refresh: Refresh,
    /// The connection for questions that any broker can answer.
    any: Caller,
    /// Connections for questions to one broker, by its id.
    callers: Mutex<BTreeMap<i32, Caller>>,
    pub(super) coordinators: Mutex<BTreeMap<Arc<str>, i32>>,
    refresher: Mutex<Option<JoinHandle<()>>>,
}

impl Cluster {
    /// Asks the bootstrap servers for the cluster's brokers, until one answers or `connect_timeout` has passed; and each
    /// once, however long the others took by saying nothing.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping it closes what was opened.
    pub(crate) async fn connect(config: ClientConfig) -> Result<Self, RequestError> {
        let within = config.connect_timeout;
        let config = Arc::new(config);
        let topology = Published::new(Topology::default());
        let refresh = Refresh::default();
        let attempts = Arc::new(AtomicUsize::new(0));
        let next_address = rotating(config.clone(), topology.follow(), attempts.clone());
        let any = Caller::spawn(config.clone(), next_address, refresh.clone());
        let inner = Arc::new(Inner {
            config,
            topology,
            wanted: Mutex::default(),
            refresh: refresh.clone(),
            any,
            callers: Mutex::default(),
            coordinators: Mutex::default(),
            refresher: Mutex::default(),
        });
        let answer = loop {
            match inner.call_any(MetadataRequest { topics: Some(Vec::new()) }, within).await {
                Err(RequestError::TimedOut { .. })
                    if attempts.load(Ordering::Relaxed) < inner.config.bootstrap.len() => {}
                outcome => break outcome?,
            }
        };
        inner.apply(answer);
        let max_age = inner.config.metadata_max_age;
        let seed = inner.config.entropy.seed();
        let task = tokio::spawn(refresher::run(Arc::downgrade(&inner), refresh, max_age, seed));
        *lock(&inner.refresher) = Some(task);
        Ok(Self(inner))
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// What is known of the cluster now.
    pub(crate) fn topology(&self) -> Arc<Topology> {
        self.0.topology.get()
    }

    /// Follows what is known of the cluster.
    pub(crate) fn watch(&self) -> Follower<Topology> {
        self.0.topology.follow()
    }

    /// The metadata looks stale: have it fetched again soon. May be called from machines.
    pub(crate) fn request_refresh(&self) {
        self.0.refresh.request();
    }

    /// Takes in who leads a partition now, from a broker's answer (KIP-951).
    pub(crate) fn apply_leader_hint(
        &self,
        topic: &str,
        partition: i32,
        hint: LeaderIdAndEpoch,
        endpoints: &[NodeEndpoint],
    ) {
        self.0.topology.change(|topology| {
            let mut changed = topology.clone();
            changed.apply_hint(topic, partition, hint, endpoints).then_some(changed)
        });
    }

    /// Has these topics kept fresh from now on.
    pub(crate) fn add_topics(&self, names: impl IntoIterator<Item = Arc<str>>) {
        let mut wanted = lock(&self.0.wanted);
        let mut is_new = false;
        for name in names {
            is_new |= wanted.insert(name);
        }
        drop(wanted);
        if is_new {
            self.request_refresh();
        }
    }

    /// The topic, once it is known with a leader for each partition; it is kept fresh from now on.
    ///
    /// # Errors
    ///
    /// [`RequestError::UnknownTopic`] or another error when it does not become ready `within` that time.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn topic(&self, name: &str, within: Duration) -> Result<Arc<Topic>, RequestError> {
        self.topic_that(name, within, Topic::is_ready).await
    }

    /// The topic, once it is known, whether its partitions have leaders or not; it is kept fresh from now on.
    ///
    /// # Errors
    ///
    /// As for [`topic`](Self::topic).
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn known_topic(&self, name: &str, within: Duration) -> Result<Arc<Topic>, RequestError> {
        self.topic_that(name, within, Topic::is_known).await
    }

    async fn topic_that(
        &self,
        name: &str,
        within: Duration,
        is_wanted: impl Fn(&Topic) -> bool,
    ) -> Result<Arc<Topic>, RequestError> {
        let mut topology = self.watch();
        self.add_topics([Arc::from(name)]);
        if let Some(topic) = topology.latest().topic(name).filter(|topic| is_wanted(topic)) {
            return Ok(topic.clone());
        }
        self.0.topology.change(|topology| {
            let mut changed = topology.clone();
            changed.forget_refusals(name).then_some(changed)
        });
        self.request_refresh();
        let is_settled = |topology: &Topology| {
            let is_told = |topic: &Arc<Topic>| is_wanted(topic) || topic.is_forbidden();
            topology.stranger.is_some() || topology.topic(name).is_some_and(is_told)
        };
        let until = (clock::now() + within).into();
        match timeout_at(until, topology.wait_for(is_settled)).await {
            Ok(Ok(topology)) => match (topology.topic(name), &topology.stranger) {
                (Some(topic), _) if is_wanted(topic) => Ok(topic.clone()),
                (_, Some(error)) => {
                    let source = ConnectionError::Authentication(Box::new(error.clone()));
                    Err(RequestError::Connection { api: "Metadata", source })
                }
                (Some(topic), None) => Err(refused(name, topic.error)),
                (None, None) => Err(RequestError::UnknownTopic { topic: name.into() }),
            },
            Ok(Err(_)) => Err(RequestError::Closed),
            Err(_) => Err(match self.topology().topic(name) {
                Some(topic) if topic.error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                    RequestError::UnknownTopic { topic: name.into() }
                }
                Some(topic) if !topic.error.is_ok() => refused(name, topic.error),
                _ => RequestError::TimedOut { api: "Metadata", after: within, last: None },
            }),
        }
    }

    /// The topic as a broker describes it now. It is not kept fresh.
    ///
    /// # Errors
    ///
    /// [`RequestError::UnknownTopic`] when it is not there.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn describe_topic(
        &self,
        name: &str,
        within: Duration,
    ) -> Result<Arc<Topic>, RequestError> {
        let request = MetadataRequest { topics: Some(vec![name.to_owned()]) };
        let mut now = Topology::default();
        now.apply(self.0.call_any(request, within).await?);
        let unknown = || RequestError::UnknownTopic { topic: name.into() };
        let topic = now.topic(name).ok_or_else(unknown)?;
        match topic.error {
            ErrorCode::NONE => Ok(topic.clone()),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Err(unknown()),
            code => Err(refused(name, code)),
        }
    }

    /// Stops keeping a topic fresh, before it is deleted.
    pub(crate) fn forget_topic(&self, name: &str) {
        lock(&self.0.wanted).remove(name);
    }

    /// Asks a broker once; a question to [`Target::Any`] goes to another broker when a connection fails.
    ///
    /// # Errors
    ///
    /// Whatever kept the answer away. Error codes within the answer are the caller's to read.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses the answer; the request may have been sent and may take effect.
    pub(crate) async fn call<A: Api + Clone + Send + Sync + 'static>(
        &self,
        target: Target,
        request: A,
        within: Duration,
    ) -> Result<A::Response, RequestError> {
        match target {
            Target::Any => self.0.call_any(request, within).await,
            Target::Broker(id) => self.caller(id).call(request, within).await,
        }
    }

    /// Gives `lane` a connection of its own to a broker, kept up until the lane is finished or the task is dropped.
    pub(crate) fn spawn_lane<L: Lane>(&self, broker_id: i32, lane: L, waker: LaneWaker) -> LaneTask {
        let next_address = self.address_of(broker_id);
        LaneTask::spawn(self.0.config.clone(), next_address, lane, waker, self.0.refresh.clone())
    }

    /// A connection of one's own to a broker, for questions that may not wait behind others.
    pub(crate) fn dedicated_caller(&self, broker_id: i32) -> Caller {
        Caller::spawn(self.0.config.clone(), self.address_of(broker_id), self.0.refresh.clone())
    }

    fn caller(&self, broker_id: i32) -> Caller {
        lock(&self.0.callers).entry(broker_id).or_insert_with(|| self.dedicated_caller(broker_id)).clone()
    }

    fn address_of(&self, broker_id: i32) -> NextAddress {
        let topology = self.watch();
        Box::new(move || topology.get().brokers.get(&broker_id).map(address))
    }
}

impl Inner {
    pub(super) fn wanted_topics(&self) -> Vec<String> {
        lock(&self.wanted).iter().map(ToString::to_string).collect()
    }

    /// Takes in a broker's answer; says whether it tells all that is wanted.
    pub(super) fn apply(&self, answer: MetadataResponse) -> bool {
        if !answer.error.is_ok() || answer.brokers.is_empty() {
            return false;
        }
        self.topology.change(|topology| {
            let mut changed = topology.clone();
            changed.apply(answer);
            Some(changed)
        });
        let topology = self.topology.get();
        lock(&self.wanted).iter().all(|name| topology.topic(name).is_some_and(|topic| topic.is_ready()))
    }

    /// A broker did not take this client for who it says it is.
    pub(super) fn note_stranger(&self, error: &AuthenticationError) {
        self.topology.change(|topology| Some(Topology { stranger: Some(error.clone()), ..topology.clone() }));
    }

    pub(super) async fn call_any<A: Api + Clone + Send + Sync + 'static>(
        &self,
        request: A,
        within: Duration,
    ) -> Result<A::Response, RequestError> {
        let until = clock::now() + within;
        let mut last = None;
        loop {
            // However long the caller has: a broker that says nothing leaves time for another.
            let at_most = remaining(until).min(self.config.request_timeout);
            let error = match self.any.call(request.clone(), at_most).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if !error.is_retriable() {
                return Err(error);
            }
            // That the rest of the time was too short for another try says less than what became of the one before.
            if !matches!(error, RequestError::TimedOut { .. }) {
                last = Some(Box::new(error));
            }
            if clock::now() >= until {
                return Err(RequestError::TimedOut { api: A::KEY.name(), after: within, last });
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.refresher).take() {
            task.abort();
        }
    }
}

/// Asks questions over one connection. Cheap to clone; the connection closes with the last clone.
#[derive(Clone)]
pub(crate) struct Caller(Arc<CallerInner>);

struct CallerInner {
    calls: Calls,
    waker: LaneWaker,
    _task: LaneTask,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller")
    }
}

impl Caller {
    fn spawn(config: Arc<ClientConfig>, next_address: NextAddress, refresh: Refresh) -> Self {
        let (calls, waker) = (Calls::default(), LaneWaker::default());
        let lane = CallLane::new(calls.clone());
        let task = LaneTask::spawn(config, next_address, lane, waker.clone(), refresh);
        Self(Arc::new(CallerInner { calls, waker, _task: task }))
    }

    /// Asks once.
    ///
    /// # Errors
    ///
    /// Whatever kept the answer away.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses the answer; the request may have been sent and may take effect.
    pub(crate) async fn call<A: Api + Send + 'static>(
        &self,
        request: A,
        within: Duration,
    ) -> Result<A::Response, RequestError> {
        let (sender, receiver) = oneshot::channel();
        let until = clock::now() + within;
        // Somebody who no longer waits does not want the answer.
        let call = Call::new(request, within, until, |outcome| drop(sender.send(outcome)));
        self.0.calls.push(call);
        self.0.waker.wake();
        let api = A::KEY.name();
        match timeout_at(until.into(), receiver).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(source))) => Err(RequestError::Connection { api, source }),
            Ok(Err(_)) => Err(RequestError::Connection { api, source: ConnectionError::Shutdown }),
            Err(_) => Err(RequestError::TimedOut { api, after: within, last: None }),
        }
    }
}

/// Attempts go to a known broker and to a bootstrap server in turn, to each of them round and round: brokers that all
/// moved are found through the names they were first found by, also when their old addresses swallow every attempt.
fn rotating(
    config: Arc<ClientConfig>,
    topology: Follower<Topology>,
    attempts: Arc<AtomicUsize>,
) -> NextAddress {
    Box::new(move || {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        let known: Vec<HostPort> = topology.get().brokers.values().map(address).collect();
        in_turn(&known, &config.bootstrap, attempt)
    })
}

fn in_turn(known: &[HostPort], bootstrap: &[HostPort], attempt: usize) -> Option<HostPort> {
    let names: Vec<&HostPort> = bootstrap.iter().filter(|name| !known.contains(name)).collect();
    let (round, is_name) = match (known.len(), names.len()) {
        (0, _) => (attempt, true),
        (_, 0) => (attempt, false),
        _ => (attempt / 2, attempt % 2 == 1),
    };
    if is_name {
        names.get(round.checked_rem(names.len())?).copied().cloned()
    } else {
        known.get(round.checked_rem(known.len())?).cloned()
    }
}

fn refused(topic: &str, code: ErrorCode) -> RequestError {
    RequestError::refused("Metadata", code, None, topic, "DESCRIBE, or READ or WRITE")
}

fn address(broker: &Broker) -> HostPort {
    HostPort { host: broker.host.clone(), port: broker.port }
}

pub(super) fn remaining(until: Instant) -> Duration {
    until.saturating_duration_since(clock::now())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(names: &[&str]) -> Vec<HostPort> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn turns(known: &[&str], bootstrap: &[&str]) -> Vec<String> {
        let (known, bootstrap) = (servers(known), servers(bootstrap));
        (0..6)
            .filter_map(|attempt| in_turn(&known, &bootstrap, attempt))
            .map(|next| next.to_string())
            .collect()
    }

    #[test]
    fn a_name_is_tried_before_every_known_broker_was() {
        let turns = turns(&["b1:1", "b2:1", "b3:1"], &["name:1"]);
        assert_eq!(turns, ["b1:1", "name:1", "b2:1", "name:1", "b3:1", "name:1"]);
    }

    #[test]
    fn no_address_is_tried_twice_in_a_row_when_there_are_others() {
        assert_eq!(turns(&[], &["a:1", "b:1"])[..3], ["a:1", "b:1", "a:1"]);
        assert_eq!(turns(&["b1:1", "b2:1"], &["b2:1", "b1:1"])[..3], ["b1:1", "b2:1", "b1:1"]);
        assert_eq!(turns(&["b1:1", "b2:1"], &["b1:1", "c:1"])[..4], ["b1:1", "c:1", "b2:1", "c:1"]);
        assert!(turns(&[], &[]).is_empty());
    }
}
