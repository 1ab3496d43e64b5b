//! Task: one consumer's supervisor: a fetch lane for every broker that leads one of its partitions, offsets looked up
//! by rule, what lanes learn of leaders passed on to the cluster, and a look at everything from time to time.

use super::{
    core::{Leadership, Lookup, Validation},
    lane::FetchLane,
    positions::Phase,
    record::TopicPartition,
    shared::Shared,
    start::StartFrom,
};
use crate::{
    backoff::Backoff,
    cluster::{Cluster, LaneTask, Target, Topology},
    error::{ConnectionError, ErrorCode, RequestError},
    net::{clock, waker::LaneWaker},
    wire::api::{
        list_offsets::{
            EARLIEST, LATEST, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListedOffset,
        },
        offset_for_leader_epoch::{AskedEpoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{select, task::JoinSet, time::sleep_until};

enum Answered {
    Lookups(Vec<Lookup>, Result<ListOffsetsResponse, RequestError>),
    Validations(Vec<Validation>, Result<OffsetForLeaderEpochResponse, RequestError>),
}

/// See the module.
pub(crate) struct Driver {
    cluster: Cluster,
    shared: Arc<Shared>,
    lanes: BTreeMap<i32, LaneTask>,
    asked: JoinSet<Answered>,
    /// When the metadata is asked for again because a partition has no leader.
    refresh_at: Option<Instant>,
    refresh_backoff: Backoff,
}

impl Driver {
    pub(crate) fn new(cluster: Cluster, shared: Arc<Shared>) -> Self {
        let seed = cluster.config().entropy.seed();
        Self {
            cluster,
            shared,
            lanes: BTreeMap::new(),
            asked: JoinSet::new(),
            refresh_at: None,
            refresh_backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(1), seed),
        }
    }

    /// Runs until the consumer is closed.
    pub(crate) async fn run(mut self) {
        let mut topology = self.cluster.watch();
        loop {
            if self.shared.with(|core| core.is_closed()) {
                break;
            }
            let now = clock::now();
            let snapshot = topology.latest();
            let retry_at = self.step(&snapshot, now);
            let watch_at = self.shared.with(|core| core.watch(now));
            let wake_at =
                [retry_at, self.refresh_at, watch_at].into_iter().flatten().min().unwrap_or(now + FAR_AWAY);
            select! {
                biased;
                Some(done) = self.asked.join_next(), if !self.asked.is_empty() => match done {
                    Ok(Answered::Lookups(asked, outcome)) => {
                        self.handle_lookup(&asked, outcome, clock::now());
                    }
                    Ok(Answered::Validations(asked, outcome)) => {
                        self.handle_validation(&asked, outcome, clock::now());
                    }
                    Err(_) => {}
                },
                () = self.shared.driver.notified() => {}
                changed = topology.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                () = sleep_until(wake_at.into()) => {}
            }
        }
        // The lanes are closed by their own look at the state, or by being dropped here.
        for broker in self.lanes.keys() {
            self.shared.remove_lane(*broker);
        }
    }

    fn step(&mut self, topology: &Topology, now: Instant) -> Option<Instant> {
        self.follow_topics(topology);
        let (leaders, is_leaderless) =
            self.shared.with(|core| core.apply_leaders(|name| leadership(topology, name)));
        let work = self.shared.with(|core| core.take_driver_work(now));
        for (name, hint, endpoints) in work.hints {
            self.cluster.apply_leader_hint(&name.topic, name.partition, hint, &endpoints);
        }
        if work.refresh {
            self.cluster.request_refresh();
        }
        self.refresh_while(is_leaderless, now);
        self.keep_lanes(&leaders, &work.reconnect);
        self.look_up(work.lookups);
        self.validate(work.validations);
        work.retry_at
    }

    /// Without a group, all partitions of the topics are read, also those that are added later.
    fn follow_topics(&self, topology: &Topology) {
        let config = self.shared.with(|core| core.config.clone());
        for name in config.topic_names() {
            let Some(topic) = topology.topic(&name) else { continue };
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            let added = self.shared.with(|core| core.note_partition_count(name.clone(), count));
            if config.group.is_some() || config.topics.is_empty() || added.is_empty() {
                continue;
            }
            let is_first = added.start == 0;
            let start = if is_first { config.start_from } else { StartFrom::Earliest };
            let partitions = added.map(|partition| {
                (TopicPartition { topic: name.clone(), partition }, topic.id, Phase::Lookup(start))
            });
            self.shared.with(|core| core.assign(partitions));
        }
    }

    fn refresh_while(&mut self, is_leaderless: bool, now: Instant) {
        if !is_leaderless {
            self.refresh_at = None;
            self.refresh_backoff.reset();
        } else if self.refresh_at.is_none_or(|at| at <= now) {
            self.cluster.request_refresh();
            self.refresh_at = Some(now + self.refresh_backoff.next_delay());
        }
    }

    fn keep_lanes(&mut self, leaders: &BTreeSet<i32>, reconnect: &BTreeSet<i32>) {
        let shared = &self.shared;
        self.lanes.retain(|broker, lane| {
            let stays = leaders.contains(broker) && !reconnect.contains(broker) && !lane.is_finished();
            if !stays {
                shared.remove_lane(*broker);
            }
            stays
        });
        let request_timeout = self.cluster.config().request_timeout;
        for &broker in leaders {
            self.lanes.entry(broker).or_insert_with(|| {
                let waker = LaneWaker::default();
                let lane = FetchLane::new(shared.clone(), broker, request_timeout);
                shared.add_lane(broker, waker.clone());
                self.cluster.spawn_lane(broker, lane, waker)
            });
        }
    }

    /// Asks the leaders, each once for all its partitions.
    fn look_up(&mut self, lookups: Vec<Lookup>) {
        let isolation_level = self.shared.with(|core| core.config.isolation);
        let mut by_leader: BTreeMap<i32, Vec<Lookup>> = BTreeMap::new();
        for lookup in lookups {
            by_leader.entry(lookup.leader).or_default().push(lookup);
        }
        for (leader, asked) in by_leader {
            let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
            for lookup in &asked {
                topics.entry(&lookup.name.topic).or_default().push(ListOffsetsPartition {
                    index: lookup.name.partition,
                    current_leader_epoch: lookup.leader_epoch,
                    timestamp_ms: match lookup.start {
                        StartFrom::Latest => LATEST,
                        StartFrom::TimestampMs(ms) => ms.max(0),
                        _ => EARLIEST,
                    },
                });
            }
            let topics = topics.into_iter().map(|(topic, list)| (topic.to_owned(), list)).collect();
            let request = ListOffsetsRequest { isolation_level, topics };
            let (cluster, within) = (self.cluster.clone(), self.cluster.config().request_timeout);
            self.asked.spawn(async move {
                Answered::Lookups(asked, cluster.call(Target::Broker(leader), request, within).await)
            });
        }
    }

    /// Asks the leaders whether they have what was read, each once for all its partitions.
    fn validate(&mut self, validations: Vec<Validation>) {
        let mut by_leader: BTreeMap<i32, Vec<Validation>> = BTreeMap::new();
        for validation in validations {
            by_leader.entry(validation.leader).or_default().push(validation);
        }
        for (leader, asked) in by_leader {
            let mut topics: BTreeMap<&str, Vec<AskedEpoch>> = BTreeMap::new();
            for one in &asked {
                topics.entry(&one.name.topic).or_default().push(AskedEpoch {
                    index: one.name.partition,
                    current_leader_epoch: one.leader_epoch,
                    leader_epoch: one.epoch,
                });
            }
            let topics = topics.into_iter().map(|(topic, list)| (topic.to_owned(), list)).collect();
            let request = OffsetForLeaderEpochRequest { topics };
            let (cluster, within) = (self.cluster.clone(), self.cluster.config().request_timeout);
            self.asked.spawn(async move {
                Answered::Validations(asked, cluster.call(Target::Broker(leader), request, within).await)
            });
        }
    }

    fn handle_validation(
        &self,
        asked: &[Validation],
        outcome: Result<OffsetForLeaderEpochResponse, RequestError>,
        now: Instant,
    ) {
        let outcome =
            outcome.inspect_err(|error| tracing::debug!(%error, "a leader does not say where epochs end"));
        let is_unsupported =
            matches!(&outcome, Err(RequestError::Connection { source: ConnectionError::Version { .. }, .. }));
        let answer = outcome.as_ref().ok();
        let find = |one: &Validation| {
            let (_, list) = answer?.topics.iter().find(|(topic, _)| **topic == *one.name.topic)?;
            list.iter().find(|end| end.index == one.name.partition)
        };
        self.shared.with(|core| {
            for one in asked {
                match find(one) {
                    _ if is_unsupported => core.handle_validation_unsupported(one),
                    Some(end) if end.error.is_ok() => {
                        core.handle_validated(one, end.leader_epoch, end.end_offset);
                    }
                    Some(end) => core.handle_validation_failed(one, Some(end.error), now),
                    None => core.handle_validation_failed(one, None, now),
                }
            }
        });
    }

    fn handle_lookup(
        &self,
        asked: &[Lookup],
        outcome: Result<ListOffsetsResponse, RequestError>,
        now: Instant,
    ) {
        let outcome = outcome.inspect_err(|error| tracing::debug!(%error, "no offsets from a leader"));
        let unsupported = match &outcome {
            Err(RequestError::Connection { source: source @ ConnectionError::Version { .. }, .. }) => {
                Some(source)
            }
            _ => None,
        };
        if let (Some(source), Some(lookup)) = (unsupported, asked.first()) {
            self.shared.with(|core| core.handle_unsupported(lookup, source));
        }
        let answer = outcome.as_ref().ok();
        let find = |lookup: &Lookup| -> Option<ListedOffset> {
            let (_, list) = answer?.topics.iter().find(|(topic, _)| **topic == *lookup.name.topic)?;
            list.iter().find(|listed| listed.index == lookup.name.partition).cloned()
        };
        self.shared.with(|core| {
            for lookup in asked {
                match find(lookup) {
                    Some(found) if !found.error.is_ok() => {
                        core.handle_lookup_failed(lookup, Some(found.error), now);
                    }
                    Some(found) if found.offset >= 0 => {
                        core.handle_lookup(lookup, found.offset, found.leader_epoch);
                    }
                    Some(_) if matches!(lookup.start, StartFrom::TimestampMs(_)) => {
                        core.handle_lookup_at_end(lookup);
                    }
                    Some(_) => core.handle_lookup_failed(lookup, Some(ErrorCode::OFFSET_NOT_AVAILABLE), now),
                    None => core.handle_lookup_failed(lookup, None, now),
                }
            }
        });
    }
}

fn leadership(topology: &Topology, name: &TopicPartition) -> Option<Leadership> {
    let topic = topology.topic(&name.topic)?;
    let partition = topic.partition(name.partition)?;
    Some(Leadership { topic_id: topic.id, leader: partition.leader, leader_epoch: partition.leader_epoch })
}

const FAR_AWAY: Duration = Duration::from_secs(3600);
