//! Task: one consumer's dealings with its group's coordinator: heartbeats, committed offsets, commits.
//!
//! It drives the machines [`Membership`] and [`Commits`] over a connection of its own, and never waits for the caller
//! to ask for records. Its only loop waits for an answer, a wake-up or a deadline, whichever comes first.

use super::{
    commits::Commits,
    membership::{Action, Membership, MembershipConfig, OwnedPartition},
};
use crate::{
    backoff::Backoff,
    cluster::{Caller, Cluster, Target, Topology},
    consumer::{
        core::CommitEntry,
        error::{CommitError, ConsumeError},
        positions::{AssignmentId, Phase},
        record::TopicPartition,
        shared::Shared,
    },
    error::{ErrorCode, RequestError},
    net::clock,
    wire::{
        ApiKey,
        api::{
            consumer_group_heartbeat::ConsumerGroupHeartbeatResponse,
            describe_configs::{DescribeConfigsRequest, ResourceType},
            offset_commit::{CommittedPartition, OffsetCommitRequest, OffsetCommitResponse},
            offset_fetch::{OffsetFetchRequest, OffsetFetchResponse},
        },
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::sleep_until,
};
use uuid::Uuid;

/// What a handle asks for.
pub(crate) enum Command {
    /// Commit what is finished now.
    Commit(oneshot::Sender<Result<(), CommitError>>),
    /// Commit what is finished, leave the group, and end.
    Close,
}

/// What a request of this task came to.
enum Done {
    Found(Result<i32, RequestError>),
    SessionTimeout(Option<Duration>),
    Heartbeat { number: u64, outcome: Result<ConsumerGroupHeartbeatResponse, RequestError> },
    Offsets { asked: Vec<(AssignmentId, TopicPartition)>, outcome: Result<OffsetFetchResponse, RequestError> },
    Commit { entries: Vec<CommitEntry>, outcome: Result<OffsetCommitResponse, RequestError> },
}

/// Partitions on their way out.
struct Revocation {
    ids: Vec<AssignmentId>,
    /// Until then, handlers that still hold records may ack them.
    acks_until: Instant,
    /// Until then, commits are tried.
    until: Instant,
}

struct Waiter {
    answer: oneshot::Sender<Result<(), CommitError>>,
    until: Instant,
}

/// See the module.
pub(crate) struct Coordinator {
    cluster: Cluster,
    shared: Arc<Shared>,
    group: Arc<str>,
    revoke_grace: Duration,
    /// How long the last commit of revoked partitions is tried.
    revoke_time: Duration,
    request_timeout: Duration,
    /// `None`: the caller assigned the partitions itself and only commits to the group.
    membership: Option<Membership>,
    commits: Commits,
    caller: Option<Caller>,
    is_finding: bool,
    find_at: Option<Instant>,
    find_backoff: Backoff,
    running: JoinSet<Done>,
    /// What the member owns, as far as the topic ids are known here.
    owned: BTreeMap<OwnedPartition, AssignmentId>,
    /// What the member owns of topics whose names are not known here yet.
    unresolved: BTreeSet<OwnedPartition>,
    revocation: Option<Revocation>,
    is_fetching_offsets: bool,
    offsets_at: Option<Instant>,
    offsets_backoff: Backoff,
    /// Commits that were asked for: for the next one, and for the one under way.
    waiting: Vec<Waiter>,
    committing: Vec<Waiter>,
    is_closing: bool,
    /// Until then, the last commit is tried; then the group is left without it.
    close_by: Option<Instant>,
    /// Then the task ends whatever was reached.
    end_by: Option<Instant>,
}

impl Coordinator {
    pub(crate) fn new(cluster: Cluster, shared: Arc<Shared>, group: Arc<str>) -> Self {
        let config = shared.with(|core| core.config.clone());
        let seed = Uuid::new_v4().as_u64_pair().0;
        let membership = config.is_member().then(|| {
            let config = MembershipConfig {
                group: group.clone(),
                topics: config.topics.clone(),
                rack: config.rack.clone(),
                rebalance_timeout: config.rebalance_timeout,
                session_timeout: config.session_timeout.unwrap_or(SESSION_TIMEOUT),
            };
            Membership::new(config, seed)
        });
        Self {
            request_timeout: cluster.config().request_timeout,
            cluster,
            shared,
            group,
            revoke_grace: config.revoke_grace,
            revoke_time: (config.rebalance_timeout / 2).min(REVOKE_TIME_MAX),
            membership,
            commits: Commits::new(config.commit_interval, seed),
            caller: None,
            is_finding: false,
            find_at: None,
            find_backoff: Backoff::new(RETRY_MIN, RETRY_MAX, seed),
            running: JoinSet::new(),
            owned: BTreeMap::new(),
            unresolved: BTreeSet::new(),
            revocation: None,
            is_fetching_offsets: false,
            offsets_at: None,
            offsets_backoff: Backoff::new(RETRY_MIN, RETRY_MAX, seed),
            waiting: Vec::new(),
            committing: Vec::new(),
            is_closing: false,
            close_by: None,
            end_by: None,
        }
    }

    /// Runs until it was told to close and the group was left, or until the group refused the member.
    pub(crate) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut topology = self.cluster.watch();
        self.read_session_timeout();
        loop {
            self.is_closing |= self.shared.with(|core| core.is_closed());
            if self.is_closing {
                self.take_last_commands(&mut commands);
            }
            let now = clock::now();
            self.step(&topology, now);
            if self.is_over() || self.end_by.is_some_and(|at| at <= now) {
                break;
            }
            let wake_at = self.poll_timeout(now).unwrap_or(now + FAR_AWAY);
            let wants_topics = !self.unresolved.is_empty();
            select! {
                biased;
                Some(done) = self.running.join_next(), if !self.running.is_empty() => {
                    if let Ok(done) = done {
                        self.handle(done, clock::now());
                    }
                }
                // Once closed, the channel is always ready with its end: it must not be asked again.
                command = commands.recv(), if !self.is_closing => match command {
                    Some(Command::Commit(answer)) => self.handle_commit_asked(answer, clock::now()),
                    // Nobody is left to ask for more.
                    Some(Command::Close) | None => self.is_closing = true,
                },
                () = self.shared.coordinator.notified() => {}
                changed = topology.changed(), if wants_topics => {
                    if changed.is_err() {
                        break;
                    }
                }
                () = sleep_until(wake_at.into()) => {}
            }
        }
        self.take_last_commands(&mut commands);
        let outcome = if self.has_dirty() { Err(CommitError::Closed) } else { Ok(()) };
        self.end_committing(&outcome);
        self.committing.append(&mut self.waiting);
        self.end_committing(&outcome);
    }

    /// Commands that come after this are answered by the channel's end.
    fn take_last_commands(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) {
        commands.close();
        while let Ok(command) = commands.try_recv() {
            if let Command::Commit(answer) = command {
                self.handle_commit_asked(answer, clock::now());
            }
        }
    }

    fn is_over(&self) -> bool {
        match &self.membership {
            Some(membership) => membership.is_over(),
            None => self.is_closing && !self.commits.is_in_flight() && !self.has_dirty(),
        }
    }

    /// Does all that can be done now.
    fn step(&mut self, topology: &watch::Receiver<Arc<Topology>>, now: Instant) {
        let (is_noticed, is_urgent) = self.shared.with(|core| core.commit_notice());
        if is_noticed {
            self.commits.handle_notice(is_urgent, now);
        }
        if self.is_closing {
            self.close_step(now);
        }
        while let Some(action) = self.membership.as_mut().and_then(|membership| membership.poll_action(now)) {
            self.perform(action, now);
        }
        if let Some(membership) = &self.membership {
            self.shared.with(|core| core.set_lease(membership.fenced_at()));
        }
        self.resolve(&topology.borrow());
        self.revoke_step(now);
        self.fetch_offsets(now);
        self.commit(now);
        self.waiting.retain(|waiter| waiter.until > now);
        // Last, since what comes before may have found that the coordinator is another: nothing else would wake the task.
        self.find_coordinator(now);
    }

    /// What is due already waits for something else.
    fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let revocation = self.revocation.as_ref();
        let times = [
            self.membership.as_ref().and_then(Membership::poll_timeout),
            self.commits.poll_timeout(),
            self.find_at,
            self.offsets_at,
            revocation.map(|revocation| revocation.acks_until),
            revocation.map(|revocation| revocation.until),
            self.waiting.iter().map(|waiter| waiter.until).min(),
            self.close_by,
            self.end_by,
        ];
        times.into_iter().flatten().filter(|&at| at > now).min()
    }

    fn handle(&mut self, done: Done, now: Instant) {
        match done {
            Done::Found(outcome) => self.handle_found(outcome, now),
            Done::SessionTimeout(timeout) => {
                if let (Some(membership), Some(timeout)) = (&mut self.membership, timeout) {
                    membership.set_session_timeout(timeout);
                }
            }
            Done::Heartbeat { number, outcome } => self.handle_heartbeat(number, outcome, now),
            Done::Offsets { asked, outcome } => self.handle_offsets(&asked, outcome, now),
            Done::Commit { entries, outcome } => self.handle_commit(&entries, outcome, now),
        }
    }

    // --- The coordinator ----------------------------------------------------------------------------------------

    fn find_coordinator(&mut self, now: Instant) {
        if self.caller.is_some() || self.is_finding || self.find_at.is_some_and(|at| at > now) {
            return;
        }
        self.is_finding = true;
        self.find_at = None;
        let (cluster, group, within) = (self.cluster.clone(), self.group.clone(), self.request_timeout);
        self.running.spawn(async move { Done::Found(cluster.coordinator(&group, within).await) });
    }

    fn handle_found(&mut self, outcome: Result<i32, RequestError>, now: Instant) {
        self.is_finding = false;
        match outcome {
            Ok(broker) => {
                self.find_backoff.reset();
                self.caller = Some(self.cluster.dedicated_caller(broker));
                if let Some(membership) = &mut self.membership {
                    membership.handle_coordinator();
                }
            }
            Err(error) => {
                tracing::warn!(%error, group = %self.group, "the group's coordinator cannot be found");
                self.find_at = Some(now + self.find_backoff.next_delay());
                if let RequestError::Broker { code: ErrorCode::GROUP_AUTHORIZATION_FAILED, .. } = error {
                    self.refuse(error);
                }
            }
        }
    }

    fn lose_coordinator(&mut self) {
        self.caller = None;
        if let Some(membership) = &mut self.membership {
            membership.handle_coordinator_lost();
        }
        self.cluster.forget_coordinator(&self.group);
    }

    /// The group's session timeout is in no answer of the protocol; it is read once.
    fn read_session_timeout(&mut self) {
        let is_set = self.shared.with(|core| core.config.session_timeout.is_some());
        if self.membership.is_none() || is_set {
            return;
        }
        let (cluster, within) = (self.cluster.clone(), self.request_timeout);
        let key = "consumer.session.timeout.ms".to_owned();
        let resource = (ResourceType::Group, self.group.to_string(), Some(vec![key.clone()]));
        self.running.spawn(async move {
            let request = DescribeConfigsRequest { resources: vec![resource] };
            let answer = cluster.call(Target::Any, request, within).await.ok();
            let resource = answer.and_then(|answer| answer.resources.into_iter().next());
            let config =
                resource.and_then(|resource| resource.configs.into_iter().find(|config| config.name == key));
            let timeout_ms = config.and_then(|config| config.value?.parse().ok());
            Done::SessionTimeout(timeout_ms.filter(|&ms| ms > 0).map(Duration::from_millis))
        });
    }

    fn refuse(&mut self, source: RequestError) {
        let group = self.group.clone();
        self.shared.with(|core| core.fail(ConsumeError::Group { group, source }));
    }

    // --- Membership ---------------------------------------------------------------------------------------------

    fn perform(&mut self, action: Action, now: Instant) {
        match action {
            Action::Heartbeat { number, request } => {
                let Some(caller) = self.caller.clone() else {
                    if let Some(membership) = &mut self.membership {
                        membership.handle_no_answer(number, now);
                    }
                    return;
                };
                let within = self.request_timeout;
                self.running.spawn(async move {
                    Done::Heartbeat { number, outcome: caller.call(request, within).await }
                });
            }
            Action::Revoke(partitions) => {
                let ids = self.take_out(&partitions);
                self.shared.with(|core| core.revoke(&ids));
                let acks_until = now + self.revoke_grace;
                let until = acks_until + self.revoke_time;
                self.revocation = Some(Revocation { ids, acks_until, until });
            }
            Action::Assign(partitions) => self.unresolved.extend(partitions),
            Action::Lose(partitions) => {
                let mut ids = self.take_out(&partitions);
                ids.extend(self.revocation.take().into_iter().flat_map(|revocation| revocation.ids));
                self.shared.with(|core| core.lose(&ids));
                self.commits.reset();
                self.end_waiting(&CommitError::Lost);
            }
            Action::FindCoordinator => self.lose_coordinator(),
            Action::Fail { code, message } => {
                let api = ApiKey::ConsumerGroupHeartbeat.name();
                self.refuse(RequestError::Broker { api, code, message });
            }
        }
    }

    fn handle_heartbeat(
        &mut self,
        number: u64,
        outcome: Result<ConsumerGroupHeartbeatResponse, RequestError>,
        now: Instant,
    ) {
        let Some(membership) = &mut self.membership else { return };
        match outcome {
            Ok(answer) => {
                let is_good = answer.error.is_ok();
                membership.handle_answer(number, answer, now);
                if is_good {
                    self.commits.handle_heartbeat();
                }
            }
            Err(error) => {
                tracing::debug!(%error, group = %self.group, "a heartbeat has no answer");
                membership.handle_no_answer(number, now);
                if !error.is_retriable() {
                    self.refuse(error);
                }
            }
        }
    }

    fn take_out(&mut self, partitions: &BTreeSet<OwnedPartition>) -> Vec<AssignmentId> {
        let mut ids = Vec::new();
        for partition in partitions {
            self.unresolved.remove(partition);
            ids.extend(self.owned.remove(partition));
        }
        ids
    }

    /// Takes up what the member owns of topics that are known by name.
    fn resolve(&mut self, topology: &Topology) {
        if self.unresolved.is_empty() {
            return;
        }
        let mut resolved = Vec::new();
        self.unresolved.retain(|&(id, partition)| {
            let Some(topic) = topology.topic_by_id(id) else { return true };
            let name = TopicPartition { topic: topic.name.clone(), partition };
            resolved.push(((id, partition), name));
            false
        });
        if !self.unresolved.is_empty() {
            self.cluster.request_refresh();
        }
        if !resolved.is_empty() {
            let partitions = resolved.iter().map(|(key, name)| (name.clone(), key.0, Phase::Committed));
            let ids = self.shared.with(|core| core.assign(partitions));
            self.owned.extend(resolved.into_iter().map(|(key, _)| key).zip(ids));
        }
    }

    /// Ends a revoke once what was finished is committed.
    fn revoke_step(&mut self, now: Instant) {
        let Some(revocation) = &self.revocation else { return };
        let (awaits_acks, is_dirty) =
            self.shared.with(|core| (core.awaits_acks(&revocation.ids), core.is_dirty(&revocation.ids)));
        if awaits_acks && now < revocation.acks_until {
            return;
        }
        if is_dirty && now < revocation.until {
            self.commits.request();
            return;
        }
        if self.commits.is_in_flight() && now < revocation.until {
            // It may hold these partitions still.
            return;
        }
        if let Some(revocation) = self.revocation.take() {
            self.shared.with(|core| core.remove(&revocation.ids));
        }
        if let Some(membership) = &mut self.membership {
            membership.handle_revoked();
        }
        // What follows from it is done in the same step of the loop.
        self.shared.coordinator.notify_one();
    }

    fn close_step(&mut self, now: Instant) {
        let close_by = *self.close_by.get_or_insert(now + COMMIT_TIME);
        self.end_by.get_or_insert(now + 2 * COMMIT_TIME);
        let awaits_commit = now < close_by && (self.has_dirty() || self.commits.is_in_flight());
        // A coordinator that is being looked for may be found in time.
        let can_commit = self.membership.as_ref().is_none_or(Membership::is_joined);
        if awaits_commit && can_commit {
            self.commits.request();
            return;
        }
        if let Some(membership) = &mut self.membership {
            membership.leave();
        }
    }

    fn has_dirty(&self) -> bool {
        self.shared.with(|core| core.has_dirty())
    }

    // --- Committed offsets --------------------------------------------------------------------------------------

    /// The member's id and epoch as requests carry them, `None` while there is no membership to act under.
    fn identity(&self) -> Option<(String, i32)> {
        match &self.membership {
            None => Some((String::new(), NO_EPOCH)),
            Some(membership) if membership.is_joined() => {
                Some((membership.member_id().to_owned(), membership.epoch()))
            }
            Some(_) => None,
        }
    }

    fn fetch_offsets(&mut self, now: Instant) {
        if self.is_fetching_offsets || self.is_closing || self.offsets_at.is_some_and(|at| at > now) {
            return;
        }
        let (Some(caller), Some((member_id, member_epoch))) = (self.caller.clone(), self.identity()) else {
            return;
        };
        let asked = self.shared.with(|core| core.awaiting_committed());
        if asked.is_empty() {
            return;
        }
        self.offsets_at = None;
        self.is_fetching_offsets = true;
        let names = asked.iter().map(|(_, name)| (name, name.partition));
        let request = OffsetFetchRequest {
            group_id: self.group.to_string(),
            member_id: (!member_id.is_empty()).then_some(member_id),
            member_epoch,
            topics: Some(by_topic(names)),
            require_stable: true,
        };
        let within = self.request_timeout;
        self.running
            .spawn(async move { Done::Offsets { asked, outcome: caller.call(request, within).await } });
    }

    fn handle_offsets(
        &mut self,
        asked: &[(AssignmentId, TopicPartition)],
        outcome: Result<OffsetFetchResponse, RequestError>,
        now: Instant,
    ) {
        self.is_fetching_offsets = false;
        let mut retries = true;
        match outcome {
            Ok(answer) if answer.error.is_ok() => retries = self.take_offsets(asked, answer),
            Ok(answer) => self.handle_group_error(answer.error, ApiKey::OffsetFetch, now),
            Err(error) => {
                tracing::debug!(%error, group = %self.group, "no committed offsets");
                self.lose_coordinator();
            }
        }
        if retries {
            self.offsets_at = Some(now + self.offsets_backoff.next_delay());
        } else {
            self.offsets_backoff.reset();
        }
    }

    /// Gives each partition its offset. Says whether some have none yet.
    fn take_offsets(&self, asked: &[(AssignmentId, TopicPartition)], answer: OffsetFetchResponse) -> bool {
        let mut answered: BTreeMap<(String, i32), (CommittedPartition, ErrorCode)> = BTreeMap::new();
        for (topic, partitions) in answer.topics {
            for (partition, error) in partitions {
                answered.insert((topic.clone(), partition.index), (partition, error));
            }
        }
        let mut is_missing = false;
        self.shared.with(|core| {
            for (id, name) in asked {
                match answered.get(&(name.topic.to_string(), name.partition)) {
                    Some((found, code)) if code.is_ok() => {
                        core.handle_committed_offset(*id, found.offset, found.leader_epoch);
                    }
                    Some((_, code)) => {
                        tracing::debug!(%code, partition = %name, "no committed offset yet");
                        is_missing = true;
                    }
                    // An answer that leaves a partition out says nothing of it.
                    None => is_missing = true,
                }
            }
        });
        is_missing
    }

    /// What an error for the whole group means, whatever was asked.
    fn handle_group_error(&mut self, code: ErrorCode, api: ApiKey, now: Instant) {
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => self.lose_coordinator(),
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH => {
                if let Some(membership) = &mut self.membership {
                    membership.handle_fenced(now);
                }
            }
            // After the next heartbeat there is a newer epoch to ask under.
            ErrorCode::STALE_MEMBER_EPOCH => {
                if let Some(membership) = &mut self.membership {
                    membership.handle_stale(now);
                }
            }
            code if code.is_retriable() || self.membership.is_some() => {
                tracing::debug!(%code, api = api.name(), group = %self.group, "the coordinator refused");
            }
            code => self.refuse(RequestError::Broker { api: api.name(), code, message: None }),
        }
    }

    // --- Commits ------------------------------------------------------------------------------------------------

    fn handle_commit_asked(&mut self, answer: oneshot::Sender<Result<(), CommitError>>, now: Instant) {
        self.commits.request();
        self.waiting.push(Waiter { answer, until: now + COMMIT_WAIT });
    }

    fn commit(&mut self, now: Instant) {
        if !self.waiting.is_empty() && !self.commits.is_in_flight() && !self.has_dirty() {
            for waiter in self.waiting.drain(..) {
                let _gone = waiter.answer.send(Ok(()));
            }
        }
        let (Some(caller), Some((member_id, epoch))) = (self.caller.clone(), self.identity()) else { return };
        if !self.commits.poll_begin(now) {
            return;
        }
        self.committing.append(&mut self.waiting);
        let entries = self.shared.with(|core| core.commit_entries());
        if entries.is_empty() {
            self.commits.handle_done();
            self.end_committing(&Ok(()));
            return;
        }
        let offsets = entries.iter().map(|entry| {
            let committed = CommittedPartition {
                index: entry.name.partition,
                offset: entry.offset,
                leader_epoch: entry.leader_epoch,
                metadata: None,
            };
            (&entry.name, committed)
        });
        let request = OffsetCommitRequest {
            group_id: self.group.to_string(),
            generation_or_member_epoch: epoch,
            member_id,
            group_instance_id: None,
            topics: by_topic(offsets),
        };
        let within = self.request_timeout;
        self.running
            .spawn(async move { Done::Commit { entries, outcome: caller.call(request, within).await } });
    }

    fn handle_commit(
        &mut self,
        entries: &[CommitEntry],
        outcome: Result<OffsetCommitResponse, RequestError>,
        now: Instant,
    ) {
        if !self.commits.is_in_flight() {
            // The membership it was for has ended.
            return;
        }
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, group = %self.group, "a commit has no answer");
                self.lose_coordinator();
                self.retry_commit(now, CommitError::Request(error));
                return;
            }
        };
        let mut codes: BTreeMap<(String, i32), ErrorCode> = BTreeMap::new();
        for (topic, partitions) in answer.topics {
            codes.extend(partitions.into_iter().map(|(index, code)| ((topic.clone(), index), code)));
        }
        let code_of = |entry: &CommitEntry| {
            let code = codes.get(&(entry.name.topic.to_string(), entry.name.partition));
            code.copied().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR)
        };
        self.shared.with(|core| {
            for entry in entries.iter().filter(|entry| code_of(entry).is_ok()) {
                core.handle_committed(entry);
            }
        });
        let Some(failed) = entries.iter().find(|entry| !code_of(entry).is_ok()) else {
            self.commits.handle_done();
            self.end_committing(&Ok(()));
            return;
        };
        let code = code_of(failed);
        let refused = CommitError::Refused { partition: failed.name.clone(), code };
        match code {
            ErrorCode::STALE_MEMBER_EPOCH => {
                self.commits.handle_stale();
                if let Some(membership) = &mut self.membership {
                    membership.handle_stale(now);
                }
                self.waiting.append(&mut self.committing);
            }
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH if self.membership.is_some() => {
                self.commits.reset();
                self.handle_group_error(code, ApiKey::OffsetCommit, now);
                self.end_waiting(&CommitError::Lost);
            }
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.lose_coordinator();
                self.retry_commit(now, refused);
            }
            code if code.is_retriable() || code == ErrorCode::UNKNOWN_SERVER_ERROR => {
                self.retry_commit(now, refused);
            }
            code => {
                tracing::warn!(%code, group = %self.group, partition = %failed.name, "a commit was refused");
                self.commits.handle_done();
                self.end_committing(&Err(refused));
            }
        }
    }

    fn retry_commit(&mut self, now: Instant, error: CommitError) {
        self.commits.handle_failed(now);
        self.shared.with(|core| core.handle_commit_failed());
        let (patient, over): (Vec<_>, Vec<_>) =
            self.committing.drain(..).partition(|waiter| waiter.until > now);
        self.waiting.extend(patient);
        for waiter in over {
            let _gone = waiter.answer.send(Err(error.clone()));
        }
    }

    fn end_committing(&mut self, outcome: &Result<(), CommitError>) {
        for waiter in self.committing.drain(..) {
            let _gone = waiter.answer.send(outcome.clone());
        }
    }

    fn end_waiting(&mut self, error: &CommitError) {
        for waiter in self.committing.drain(..).chain(self.waiting.drain(..)) {
            let _gone = waiter.answer.send(Err(error.clone()));
        }
    }
}

/// Groups what belongs to partitions by topic, as requests want it.
fn by_topic<'a, T>(items: impl Iterator<Item = (&'a TopicPartition, T)>) -> Vec<(String, Vec<T>)> {
    let mut topics: BTreeMap<&str, Vec<T>> = BTreeMap::new();
    for (name, item) in items {
        topics.entry(&name.topic).or_default().push(item);
    }
    topics.into_iter().map(|(topic, items)| (topic.to_owned(), items)).collect()
}

/// Kafka's default, where the group's own cannot be read.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Without a coordinator nobody can be given the partitions, so there is no hurry; but the group waits.
const REVOKE_TIME_MAX: Duration = Duration::from_secs(30);
/// How long the last commit is tried when the consumer closes.
const COMMIT_TIME: Duration = Duration::from_secs(5);
/// How long a commit that was asked for is tried.
const COMMIT_WAIT: Duration = Duration::from_secs(30);
/// Outside of a membership.
const NO_EPOCH: i32 = -1;
const FAR_AWAY: Duration = Duration::from_secs(3600);
