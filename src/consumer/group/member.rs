//! One consumer's side of its group: when the coordinator is looked for, how a revoke and the end go step by step, and
//! what an answer changes.
//!
//! It joins the machines [`Participation`], [`Owned`], [`CommittedOffsets`] and [`Committing`], and says what is to be
//! done as [`Work`]. Invariants: nothing is asked of the coordinator before it was found, and it is looked for whenever
//! there is none; of partitions that were revoked or lost nothing is committed; closing commits what is finished, then
//! leaves, and is over by its deadline whatever was reached.

use super::{
    classic::{Answer, ClassicConfig, ClassicMembership},
    committed::CommittedOffsets,
    committing::{CommitAnswer, Committing, WaiterId},
    membership::{Membership, MembershipConfig},
    owned::{Owned, RevokeStep},
    participation::{Action, Participation},
    request::{Identity, Setback},
    session_timeout::{self, SessionTimeout},
    work::{Done, Work},
};
use crate::{
    backoff::Backoff,
    cluster::Topology,
    consumer::{config::ConsumerConfig, error::ConsumeError, protocol::GroupProtocol, shared::Shared},
    error::{ConnectionError, ErrorCode, RequestError},
    wire::{ApiKey, api::consumer_group_heartbeat::ConsumerGroupHeartbeatResponse},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Member {
    shared: Arc<Shared>,
    group: Arc<str>,
    /// `None`: the caller assigned the partitions itself and only commits to the group.
    membership: Option<Participation>,
    /// Whether the classic protocol is to be spoken where the broker does not know the other.
    may_fall_back: bool,
    config: Arc<ConsumerConfig>,
    seed: u64,
    owned: Owned,
    committed: CommittedOffsets,
    committing: Committing,
    session_timeout: SessionTimeout,
    has_coordinator: bool,
    is_finding: bool,
    find_at: Option<Instant>,
    find_backoff: Backoff,
    work: VecDeque<Work>,
    is_closing: bool,
    /// Until then, the last commit is tried; then the group is left without it.
    close_by: Option<Instant>,
    /// Then it is over whatever was reached.
    end_by: Option<Instant>,
}

impl Member {
    /// Under a member id that the random `seed` decides.
    pub(crate) fn new(shared: Arc<Shared>, group: Arc<str>, seed: u64) -> Self {
        let config = shared.with(|core| core.config.clone());
        let is_classic = config.group_protocol == GroupProtocol::Classic;
        let membership = config.is_member().then(|| {
            if is_classic {
                Participation::Classic(ClassicMembership::new(classic_config(&group, &config), seed))
            } else {
                Participation::Consumer(Membership::new(membership_config(&group, &config), seed))
            }
        });
        let reads_timeout = membership.is_some() && !is_classic && config.session_timeout.is_none();
        Self {
            membership,
            may_fall_back: config.group_protocol == GroupProtocol::Auto,
            owned: Owned::new(shared.clone(), &config),
            committed: CommittedOffsets::new(shared.clone(), group.clone(), seed),
            committing: Committing::new(shared.clone(), group.clone(), &config, seed),
            session_timeout: SessionTimeout::new(group.clone(), reads_timeout),
            shared,
            group,
            config,
            seed,
            has_coordinator: false,
            is_finding: false,
            find_at: None,
            find_backoff: Backoff::new(RETRY_MIN, RETRY_MAX, seed),
            work: VecDeque::new(),
            is_closing: false,
            close_by: None,
            end_by: None,
        }
    }

    /// Decides all that can be decided now. To be called after every change and at `poll_timeout`; `poll_work` and
    /// `poll_answer` then give what follows.
    pub(crate) fn advance(&mut self, topology: &Topology, now: Instant) {
        // The group is to hear without delay that a revoke has ended, and more may follow from it.
        while self.step(topology, now) {}
    }

    /// Says whether a revoke has ended.
    fn step(&mut self, topology: &Topology, now: Instant) -> bool {
        self.committing.take_notice(now);
        if let Some(request) = self.session_timeout.poll_request(now) {
            self.work.push_back(Work::ReadSessionTimeout(request));
        }
        if self.is_closing {
            self.close_step(now);
        }
        while let Some(action) = self.membership.as_mut().and_then(|it| it.poll_action(topology, now)) {
            self.perform(action, now);
        }
        if let Some(membership) = &self.membership {
            self.shared.with(|core| core.set_lease(membership.fenced_at()));
        }
        self.owned.resolve(topology);
        if self.owned.has_unresolved() {
            self.work.push_back(Work::RefreshMetadata);
        }
        let has_revoked = self.revoke_step(now);
        if !self.is_closing
            && let Some((asked, request)) = self.committed.poll_request(self.reader(), now)
        {
            self.work.push_back(Work::FetchOffsets { asked, request });
        }
        if let Some((entries, request)) = self.committing.poll_request(self.committer(), now) {
            self.work.push_back(Work::Commit { entries, request });
        }
        self.committing.expire(now);
        // Last, since what comes before may have found that the coordinator is another: nothing else would wake the task.
        self.find_coordinator(now);
        has_revoked
    }

    pub(crate) fn poll_work(&mut self) -> Option<Work> {
        self.work.pop_front()
    }

    /// Whom to tell what came of a commit.
    pub(crate) fn poll_answer(&mut self) -> Option<CommitAnswer> {
        self.committing.poll_answer()
    }

    /// When to `advance` although nothing happened. What is due already waits for something else.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let times = [
            self.membership.as_ref().and_then(Participation::poll_timeout),
            self.owned.poll_timeout(now),
            self.committed.poll_timeout(now),
            self.committing.poll_timeout(now),
            self.session_timeout.poll_timeout(),
            self.find_at,
            self.close_by,
            self.end_by,
        ];
        times.into_iter().flatten().filter(|&at| at > now).min()
    }

    /// Whether nothing more is to be done.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let is_done = match &self.membership {
            Some(membership) => membership.is_over(),
            None => self.is_closing && !self.committing.is_in_flight() && !self.committing.has_dirty(),
        };
        is_done || self.end_by.is_some_and(|at| at <= now)
    }

    /// Whether a change of the metadata may help.
    pub(crate) fn wants_topics(&self) -> bool {
        self.owned.has_unresolved() || self.membership.as_ref().is_some_and(Participation::wants_topics)
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Commit what is finished, leave the group, and be over.
    pub(crate) fn handle_close(&mut self) {
        self.is_closing = true;
    }

    /// Nobody will do any more work: whoever waits is told so.
    pub(crate) fn handle_end(&mut self) {
        self.committing.end();
    }

    /// Somebody waits for a commit of what is finished now.
    pub(crate) fn handle_commit_asked(&mut self, id: WaiterId, now: Instant) {
        self.committing.handle_asked(id, now);
    }

    /// What came of some work.
    pub(crate) fn handle_done(&mut self, done: Done, now: Instant) {
        match done {
            Done::FindCoordinator(outcome) => self.handle_found(outcome, now),
            Done::ReadSessionTimeout(outcome) => {
                let is_joined = self.membership.as_ref().is_some_and(Participation::is_joined);
                let timeout = self.session_timeout.handle_answer(outcome.ok(), is_joined, now);
                if let (Some(Participation::Consumer(membership)), Some(timeout)) =
                    (&mut self.membership, timeout)
                {
                    membership.set_session_timeout(timeout);
                }
            }
            Done::Heartbeat { number, outcome } => self.handle_heartbeat(number, outcome, now),
            Done::Classic { number, outcome } => self.handle_classic(number, outcome, now),
            Done::FetchOffsets { asked, outcome } => {
                let is_member = self.membership.is_some();
                let setback = self.committed.handle_answer(&asked, outcome, is_member, now);
                self.handle_setback(setback, now);
            }
            Done::Commit { entries, outcome } => {
                let setback = self.committing.handle_answer(&entries, outcome, now);
                self.handle_setback(setback, now);
            }
        }
    }

    fn handle_found(&mut self, outcome: Result<i32, RequestError>, now: Instant) {
        self.is_finding = false;
        match outcome {
            Ok(broker) => {
                self.find_backoff.reset();
                self.has_coordinator = true;
                self.work.push_back(Work::Connect(broker));
                if let Some(membership) = &mut self.membership {
                    membership.handle_coordinator();
                }
            }
            Err(error) => {
                tracing::warn!(%error, group = %self.group, "the group's coordinator cannot be found");
                self.find_at = Some(now + self.find_backoff.next_delay());
                match error {
                    RequestError::Unauthorized { .. }
                    | RequestError::Connection { source: ConnectionError::Version { .. }, .. } => {
                        self.refuse(error);
                    }
                    error if error.fatal_authentication().is_some() => self.refuse(error),
                    _ => {}
                }
            }
        }
    }

    fn handle_heartbeat(
        &mut self,
        number: u64,
        outcome: Result<ConsumerGroupHeartbeatResponse, RequestError>,
        now: Instant,
    ) {
        let Some(Participation::Consumer(membership)) = &mut self.membership else { return };
        match outcome {
            Ok(answer) => {
                let is_good = answer.error.is_ok();
                membership.handle_answer(number, answer, now);
                if is_good {
                    self.committing.handle_heartbeat();
                }
            }
            Err(error) => {
                tracing::debug!(%error, group = %self.group, "a heartbeat has no answer");
                membership.handle_no_answer(number, now);
                let lacks_api = matches!(
                    &error,
                    RequestError::Connection { source: ConnectionError::Version { .. }, .. }
                );
                let falls_back = lacks_api && self.fall_back();
                if !error.is_retriable() && !falls_back {
                    self.refuse(error);
                }
            }
        }
    }

    fn handle_classic(&mut self, number: u64, outcome: Result<Answer, RequestError>, now: Instant) {
        let Some(Participation::Classic(membership)) = &mut self.membership else { return };
        match outcome {
            Ok(answer) => {
                let is_good = answer.confirms();
                membership.handle_answer(number, answer, now);
                if is_good {
                    self.committing.handle_heartbeat();
                }
            }
            Err(error) => {
                tracing::debug!(%error, group = %self.group, "a question to the group's coordinator has no answer");
                membership.handle_no_answer(number, now);
                if !error.is_retriable() {
                    self.refuse(error);
                }
            }
        }
    }

    /// The broker does not know KIP-848: goes on by the classic protocol, if that may be.
    fn fall_back(&mut self) -> bool {
        if !std::mem::take(&mut self.may_fall_back) {
            return false;
        }
        tracing::info!(group = %self.group, "the brokers have no KIP-848 groups; the classic protocol is spoken");
        self.owned.lose_all();
        self.committing.lose();
        self.session_timeout = SessionTimeout::new(self.group.clone(), false);
        let mut membership = ClassicMembership::new(classic_config(&self.group, &self.config), self.seed);
        if self.has_coordinator {
            membership.handle_coordinator();
        }
        self.membership = Some(Participation::Classic(membership));
        true
    }

    fn handle_setback(&mut self, setback: Option<Setback>, now: Instant) {
        match (setback, &mut self.membership) {
            (Some(Setback::CoordinatorLost), _) => self.lose_coordinator(),
            (Some(Setback::Refused(error)), _) => self.refuse(error),
            (Some(Setback::Fenced), Some(membership)) => membership.handle_fenced(now),
            (Some(Setback::Stale), Some(membership)) => membership.handle_stale(now),
            _ => {}
        }
    }

    fn find_coordinator(&mut self, now: Instant) {
        if self.has_coordinator || self.is_finding || self.find_at.is_some_and(|at| at > now) {
            return;
        }
        self.is_finding = true;
        self.find_at = None;
        self.work.push_back(Work::FindCoordinator);
    }

    fn lose_coordinator(&mut self) {
        self.has_coordinator = false;
        if let Some(membership) = &mut self.membership {
            membership.handle_coordinator_lost();
        }
        self.work.push_back(Work::Disconnect);
    }

    fn refuse(&self, source: RequestError) {
        let source = match source {
            RequestError::Broker { api, code, message } => {
                // A refusal for a topic does not say which of them it is about.
                let topics: Vec<_> = self.config.topic_names().iter().map(ToString::to_string).collect();
                let is_topic = code == ErrorCode::TOPIC_AUTHORIZATION_FAILED;
                let name = if is_topic { topics.join(", ") } else { self.group.to_string() };
                RequestError::refused(
                    api,
                    code,
                    message,
                    &name,
                    if is_topic { "DESCRIBE and READ" } else { "READ" },
                )
            }
            other => other,
        };
        let error = match source.fatal_authentication() {
            Some(error) => ConsumeError::Authentication(error.clone()),
            None => ConsumeError::Group { group: self.group.clone(), source },
        };
        self.shared.with(|core| core.fail(error));
    }

    /// Under which name commits are made, `None` while none can be.
    fn committer(&self) -> Option<Identity> {
        match &self.membership {
            _ if !self.has_coordinator => None,
            None => Some(Identity::outside()),
            Some(membership) if membership.is_joined() => {
                Some(membership.committer(self.config.group_instance_id.as_deref()))
            }
            Some(_) => None,
        }
    }

    /// Under which name the coordinator can be asked for committed offsets, `None` while it cannot.
    fn reader(&self) -> Option<Identity> {
        match &self.membership {
            _ if !self.has_coordinator => None,
            None => Some(Identity::outside()),
            Some(membership) => membership.is_joined().then(|| membership.reader()),
        }
    }

    fn perform(&mut self, action: Action, now: Instant) {
        match action {
            Action::Ask { work, .. } if self.has_coordinator => self.work.push_back(work),
            Action::Ask { number, .. } => {
                if let Some(membership) = &mut self.membership {
                    membership.handle_no_answer(number, now);
                }
            }
            Action::Revoke(partitions) => self.owned.revoke(&partitions, now),
            Action::Assign(partitions) => self.owned.assign(partitions),
            Action::Lose(partitions) => {
                self.owned.lose(&partitions);
                self.committing.lose();
            }
            Action::LearnTopics(names) => self.work.push_back(Work::LearnTopics(names)),
            Action::FindCoordinator => self.lose_coordinator(),
            Action::Fail { api, code, message } => {
                let lacks_848 =
                    api == ApiKey::ConsumerGroupHeartbeat && code == ErrorCode::UNSUPPORTED_VERSION;
                if !(lacks_848 && self.fall_back()) {
                    self.refuse(RequestError::Broker { api: api.name(), code, message });
                }
            }
        }
    }

    /// Ends a revoke once what was finished is committed. Says whether one has ended.
    fn revoke_step(&mut self, now: Instant) -> bool {
        let step = self.owned.poll_revoke(self.committing.is_in_flight(), now);
        match step {
            RevokeStep::Wait => {}
            RevokeStep::Commit => self.committing.request(),
            RevokeStep::Revoked => {
                if let Some(membership) = &mut self.membership {
                    membership.handle_revoked();
                }
            }
        }
        step == RevokeStep::Revoked
    }

    fn close_step(&mut self, now: Instant) {
        let close_by = *self.close_by.get_or_insert(now + COMMIT_TIME);
        self.end_by.get_or_insert(now + 2 * COMMIT_TIME);
        let has_work = self.committing.has_dirty() || self.committing.is_in_flight();
        // A coordinator that is being looked for may be found in time.
        let can_commit = self.membership.as_ref().is_none_or(Participation::is_joined);
        if now < close_by && has_work && can_commit {
            self.committing.request();
            return;
        }
        if let Some(membership) = &mut self.membership {
            membership.leave();
        }
    }
}

fn membership_config(group: &Arc<str>, config: &ConsumerConfig) -> MembershipConfig {
    MembershipConfig {
        group: group.clone(),
        instance_id: config.group_instance_id.clone(),
        topics: config.topics.clone(),
        rack: config.rack.clone(),
        rebalance_timeout: config.rebalance_timeout,
        session_timeout: config.session_timeout.unwrap_or(session_timeout::DEFAULT),
    }
}

fn classic_config(group: &Arc<str>, config: &ConsumerConfig) -> ClassicConfig {
    let session_timeout = config.session_timeout.unwrap_or(config.classic_session_timeout);
    ClassicConfig {
        group: group.clone(),
        instance_id: config.group_instance_id.clone(),
        topics: config.topics.clone(),
        rack: config.rack.clone(),
        assignors: config.assignors.clone(),
        rebalance_timeout: config.rebalance_timeout,
        session_timeout,
        heartbeat_interval: config.heartbeat_interval.min(session_timeout / 3),
    }
}

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long the last commit is tried when the consumer closes.
const COMMIT_TIME: Duration = Duration::from_secs(5);
