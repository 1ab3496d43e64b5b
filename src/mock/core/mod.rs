//! The cluster as one machine: a request's bytes in, an answer's bytes out, or a wait.
//!
//! Invariant: it never awaits, reads no clock and draws no randomness but from its seed, so the same calls give the
//! same answers. All brokers share it; what differs by broker is told by [`Origin`].

mod serving;

use self::serving::Job;
use super::api::{self, Api, Pending};
use super::batch::BatchHeader;
use super::bend::{Effect, Ending};
use super::brokers::{Broker, Process};
use super::compaction::compact;
use super::configs::Configs;
use super::error::MockError;
use super::fetch_session::Sessions;
use super::followers::{Lags, Rules};
use super::forged::Forgeries;
use super::group::Group;
use super::group::classic::Reply;
use super::hooks::{Call, Hooks, When};
use super::quotas::{Direction, Quotas};
use super::random::Random;
use super::retention::Retention;
use super::settings::Settings;
use super::topics::{Topics, place_replicas};
use crate::error::ErrorCode;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The broker that a request came to, and the connection it came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) broker: i32,
    pub(crate) connection: u64,
}

/// What the front does next on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Write this frame (its length in front), then read on.
    Reply(Bytes),
    /// Read on without an answer (acks=0).
    Silent,
    /// Call `resume` when woken, or at this time at the latest; read nothing till then.
    Park(Instant),
    /// Never write again, but keep the connection open.
    Hang,
    /// Close the connection.
    Close,
    /// Write this, then end the connection so.
    Last(Bytes, Ending),
    /// Let this happen to the cluster, then `resume`.
    Act(Effect),
}

/// Who asks what, while a request is worked on.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) now: Instant,
    pub(crate) origin: Origin,
    pub(crate) api: Api,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: String,
    /// The request as hooks see it.
    pub(crate) call: Arc<Call>,
    /// What the answer says of keeping quiet.
    pub(crate) throttle_time_ms: i32,
    /// A code that a hook wants in all of the answer.
    pub(crate) fault: Option<(ErrorCode, When)>,
}

/// What an API's handler gives.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A whole frame.
    Frame(Bytes),
    /// Nothing yet.
    Park(Pending, Instant),
    /// Nothing at all.
    Silent,
    /// The request cannot be served on this connection.
    Close,
}

/// The whole state of a mock cluster.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) cluster_id: String,
    pub(crate) brokers: BTreeMap<i32, Broker>,
    pub(crate) topics: Topics,
    pub(crate) lags: Lags,
    pub(crate) sessions: Sessions,
    pub(crate) groups: BTreeMap<String, Group>,
    /// Groups whose coordinator was set by hand.
    pub(crate) coordinators: BTreeMap<String, i32>,
    pub(crate) configs: Configs,
    pub(crate) next_producer_id: i64,
    pub(crate) random: Random,
    pub(crate) hooks: Hooks,
    pub(crate) forgeries: Forgeries,
    pub(crate) quotas: Quotas,
    #[cfg(feature = "sasl")]
    pub(crate) sasl: super::sasl::Sasl,
    requests: BTreeMap<Api, u64>,
    /// When retention is checked next.
    retention_due: Instant,
    parked: BTreeMap<u64, (Instant, Job)>,
    /// Answers that come after the next one, by connection.
    held_back: BTreeMap<u64, Bytes>,
    /// Connections that are not read until then.
    muted: BTreeMap<u64, Instant>,
    /// Connections with a request parked on a partition.
    watchers: BTreeMap<(Uuid, i32), BTreeSet<u64>>,
    /// What parked members of classic groups are to be told, by connection.
    replies: BTreeMap<u64, Reply>,
    /// The connection whose request is worked on.
    served: u64,
    woken: BTreeSet<u64>,
    /// The latest time that was told.
    pub(crate) now: Instant,
    started: Instant,
    started_unix_ms: i64,
}

impl Core {
    pub(crate) fn new(
        settings: Settings,
        brokers: BTreeMap<i32, Broker>,
        now: Instant,
        unix_ms: i64,
    ) -> Self {
        let mut random = Random::new(settings.seed);
        let retention_due = now + settings.retention_check_interval.min(FIRST_RETENTION_CHECK);
        Self {
            configs: Configs::new(&settings),
            #[cfg(feature = "sasl")]
            sasl: settings.sasl.clone(),
            settings,
            cluster_id: random.uuid().simple().to_string(),
            brokers,
            topics: Topics::default(),
            lags: Lags::default(),
            sessions: Sessions::default(),
            groups: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            next_producer_id: 1000,
            random,
            hooks: Hooks::default(),
            forgeries: Forgeries::default(),
            quotas: Quotas::default(),
            requests: BTreeMap::new(),
            retention_due,
            parked: BTreeMap::new(),
            held_back: BTreeMap::new(),
            muted: BTreeMap::new(),
            watchers: BTreeMap::new(),
            replies: BTreeMap::new(),
            served: 0,
            woken: BTreeSet::new(),
            now,
            started: now,
            started_unix_ms: unix_ms,
        }
    }

    /// Forgets a connection that is closed.
    pub(crate) fn disconnected(&mut self, connection: u64) {
        #[cfg(feature = "sasl")]
        self.sasl.disconnected(connection);
        self.parked.remove(&connection);
        self.held_back.remove(&connection);
        self.replies.remove(&connection);
        self.muted.remove(&connection);
        self.woken.remove(&connection);
        for waiting in self.watchers.values_mut() {
            waiting.remove(&connection);
        }
    }

    /// The parked connections to `resume`.
    pub(crate) fn take_woken(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.woken)
    }

    /// Wakes the requests that wait for a partition.
    pub(crate) fn wake(&mut self, topic: Uuid, partition: i32) {
        if let Some(waiting) = self.watchers.get_mut(&(topic, partition)) {
            self.woken.append(waiting);
        }
    }

    pub(crate) fn watch(&mut self, connection: u64, topic: Uuid, partition: i32) {
        self.watchers.entry((topic, partition)).or_default().insert(connection);
    }

    /// A group at that time: what was due before has happened, and whoever waited for it is woken.
    pub(crate) fn group(&mut self, id: &str, now: Instant) -> Option<&mut Group> {
        let coordinator = api::find_coordinator::coordinator_of(self, id);
        let (_, session_timeout) = self.configs.group_times(id);
        let group = self.groups.get_mut(id)?;
        if let Some(broker) = coordinator {
            group.coordinated_by(broker, session_timeout, now);
        }
        group.expire(now);
        group.give_back(self.settings.classic, &self.topics, now);
        self.deliver(id);
        self.groups.get_mut(id)
    }

    /// Hands out what a classic group has to tell those that wait on their connections, and wakes those that may wait
    /// less than they were told.
    pub(crate) fn deliver(&mut self, id: &str) {
        let Some(classic) = self.groups.get_mut(id).and_then(Group::classic_mut) else { return };
        for (connection, reply) in classic.take_replies() {
            if self.served == connection || self.parked.contains_key(&connection) {
                self.replies.insert(connection, reply);
                self.woken.insert(connection);
            }
        }
        self.woken.extend(classic.take_called());
    }

    /// What a parked member of a classic group is to be told.
    pub(crate) fn take_reply(&mut self, connection: u64) -> Option<Reply> {
        self.replies.remove(&connection)
    }

    pub(crate) fn request_count(&self, api: Api) -> u64 {
        self.requests.get(&api).copied().unwrap_or(0)
    }

    /// Milliseconds since 1970 at `now`.
    pub(crate) fn unix_ms(&self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(self.started).as_millis();
        self.started_unix_ms.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }

    /// What decides when the replicas of a topic are in sync.
    pub(crate) fn rules(&self, topic: &str) -> Option<Rules> {
        Some(self.topics.get(topic)?.rules(self.settings.replica_lag_time_max))
    }

    /// Brings a partition's replicas to where they are at `now`, and wakes whoever waits for that.
    pub(crate) fn advance(&mut self, now: Instant, name: &str, index: i32) {
        let lag_time_max = self.settings.replica_lag_time_max;
        let Some(topic) = self.topics.get_mut(name) else { return };
        let (id, rules) = (topic.id, topic.rules(lag_time_max));
        let partition = usize::try_from(index).ok().and_then(|index| topic.partitions.get_mut(index));
        if partition.is_some_and(|partition| partition.advance(now, rules)) {
            self.wake(id, index);
        }
    }

    /// When a partition's replicas change next by themselves, if that is before `until`; else `until`.
    pub(crate) fn next_look(&self, name: &str, index: i32, until: Instant) -> Instant {
        let rules = self.rules(name);
        let change =
            self.topics.partition(name, index).zip(rules).and_then(|(found, rules)| found.next_change(rules));
        let fence = self.next_fence().map(|(at, _)| at);
        [change, fence].into_iter().flatten().fold(until, Instant::min)
    }

    /// Wakes all requests that wait for a partition.
    pub(crate) fn wake_watchers(&mut self) {
        for waiting in self.watchers.values_mut() {
            self.woken.append(waiting);
        }
    }

    /// Wakes all connections that wait for anything.
    pub(crate) fn wake_parked(&mut self) {
        self.woken.extend(self.parked.keys());
    }

    /// A code that a hook wants for one partition of the answer.
    pub(crate) fn fault(&mut self, context: &Context, topic: &str, index: i32) -> Option<(ErrorCode, When)> {
        context.fault.or_else(|| self.hooks.judge_partition(&context.call, topic, index))
    }

    /// Counts bytes on a client's quota. Past it the connection is not read for a time, which is told in the answer.
    pub(crate) fn use_quota(&mut self, context: &Context, direction: Direction, bytes: usize) -> i32 {
        let who = (context.origin.broker, direction, context.client_id.as_str());
        let throttle = self.quotas.record(who, bytes, context.now);
        if !throttle.is_zero() {
            self.muted.insert(context.origin.connection, context.now + throttle);
        }
        i32::try_from(throttle.as_millis()).unwrap_or(i32::MAX)
    }

    /// Does the retention checks that were due up to `now`, as they would have been done then.
    pub(crate) fn keep_retention(&mut self, now: Instant) {
        let interval = self.settings.retention_check_interval.max(Duration::from_millis(1));
        let Some(late) = now.checked_duration_since(self.retention_due) else { return };
        let missed = u32::try_from(late.as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX);
        let last_due = self.retention_due + interval.saturating_mul(missed);
        self.retention_due = last_due + interval;
        self.run_retention(last_due);
    }

    /// Deletes what the topics' retention no longer covers at `now`.
    pub(crate) fn run_retention(&mut self, now: Instant) {
        let now_ms = self.unix_ms(now);
        for topic in self.topics.iter_mut() {
            if !self.configs.topic_value(topic, "cleanup.policy").contains("delete") {
                continue;
            }
            let number = |name| self.configs.topic_number(topic, name);
            let retention = Retention {
                retention_ms: number("retention.ms"),
                retention_bytes: number("retention.bytes"),
                segment_ms: number("segment.ms"),
                segment_bytes: number("segment.bytes"),
            };
            for partition in &mut topic.partitions {
                retention.apply(&mut partition.log, now_ms);
            }
        }
    }

    /// Cleans a partition as compaction does. Whether it is there.
    pub(crate) fn compact(&mut self, topic: &str, partition: i32, now: Instant) -> bool {
        let now_ms = self.unix_ms(now);
        let Some(found) = self.topics.get(topic) else { return false };
        let delete_retention_ms = self.configs.topic_number(found, "delete.retention.ms");
        let Some(found) = self.topics.partition_mut(topic, partition) else { return false };
        compact(&mut found.log, &found.producers, now_ms, delete_retention_ms);
        true
    }

    /// Appends a batch that a test brings, past all checks but as one of its producer.
    pub(crate) fn append_outside(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &[u8],
        now: Instant,
    ) -> Result<i64, MockError> {
        self.keep_retention(now);
        let header = BatchHeader::read(batch).ok_or(MockError::Batch)?;
        let id = self.topics.get(topic).map(|topic| topic.id);
        let found = self.topics.partition_mut(topic, partition);
        let Some((id, found)) = id.zip(found) else {
            return Err(MockError::UnknownPartition { topic: topic.to_owned(), partition });
        };
        let offset = found.log.append(batch, header.base_offset, found.leader_epoch, None);
        found.producers.appended(&header, offset, now);
        self.advance(now, topic, partition);
        self.wake(id, partition);
        Ok(offset)
    }

    /// Creates a topic; the caller has checked the name, the counts and the configs.
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        replication: i16,
        configs: BTreeMap<String, String>,
    ) -> Uuid {
        let brokers: Vec<i32> = self.brokers.keys().copied().collect();
        let replicas = place_replicas(&brokers, partitions, replication, self.topics.len());
        self.create_topic_on(name, replicas, configs)
    }

    /// Creates a topic with its replicas given.
    pub(crate) fn create_topic_on(
        &mut self,
        name: &str,
        replicas: Vec<Vec<i32>>,
        configs: BTreeMap<String, String>,
    ) -> Uuid {
        let id = self.random.uuid();
        let up = self.brokers_up();
        self.topics.create(name, id, replicas, configs, &up);
        self.settle_replicas();
        id
    }

    /// Deletes a topic and wakes whoever waits for it. Whether it was there.
    pub(crate) fn delete_topic(&mut self, name: &str) -> bool {
        let Some(topic) = self.topics.delete(name) else { return false };
        for index in (0i32..).take(topic.partitions.len()) {
            self.wake(topic.id, index);
            self.watchers.remove(&(topic.id, index));
        }
        // As Kafka's coordinators do once they hear of it.
        for group in self.groups.values_mut() {
            group.offsets.retain(|(topic, _), _| topic != name);
        }
        true
    }

    /// Tells new partitions which brokers run and how they lag, where that is not as usual.
    pub(crate) fn settle_replicas(&mut self) {
        let all_run = self.brokers.values().all(|broker| broker.process == Process::Running);
        if !(all_run && self.lags.are_none()) {
            self.change_replicas(self.now, |_, _, _, _| {});
        }
    }
}

/// Kafka's `log.initial.task.delay.ms`.
const FIRST_RETENTION_CHECK: Duration = Duration::from_secs(30);

/// Puts the length in front of what `write` appends.
pub(crate) fn with_length<E>(write: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<Bytes, E> {
    let mut out = BytesMut::new();
    out.put_i32(0);
    write(&mut out)?;
    let len = i32::try_from(out.len() - 4).unwrap_or(i32::MAX);
    if let Some(prefix) = out.first_chunk_mut::<4>() {
        *prefix = len.to_be_bytes();
    }
    Ok(out.freeze())
}
