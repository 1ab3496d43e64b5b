//! Membership in a group by the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup (KIP-62, 345, 394, 429).
//!
//! ```text
//! Joining ──all have joined──▶ Leading (one of them) ──▶ Syncing ──▶ Stable ──called to join──▶ Joining
//!    ▲                            others ────────────────▲  │                   (eager: Revoking first)
//!    └──────────────── Revoking ◀──some of it goes to another (cooperative)
//! ```
//!
//! The machine says what to do next ([`Action`]) and takes what came of it. Invariants: a question of each kind is
//! unanswered at most once, and carries the generation; an answer to another than the last question changes nothing,
//! nor does a heartbeat's that was sent in an earlier generation; the member joins again only once what it must let go of
//! is neither read nor held for a commit; when nothing was heard of the group for the session timeout, counted from when
//! what was answered was sent, the member takes itself for dropped. Heartbeats go on while JoinGroup waits for the other
//! members: what is kept is read on, so it must be known that the group still counts on it.

mod assignor;
mod leading;
mod question;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use question::{Answer, Question};

use crate::{
    backoff::Backoff,
    cluster::Topology,
    consumer::{protocol::Assignor, record::TopicPartition},
    error::ErrorCode,
    wire::{
        ApiKey,
        api::{
            heartbeat::HeartbeatRequest,
            join_group::{JoinGroupRequest, JoinGroupResponse},
            leave_group::LeaveGroupRequest,
            sync_group::{SyncGroupRequest, SyncGroupResponse},
        },
        consumer_protocol::{NO_GENERATION, Subscription, decode_assignment},
    },
};
use bytes::Bytes;
use leading::{Leader, by_topic, named};
use state::{Asked, Joining, Leading, Leaving, Revoking, Stable, State, Syncing};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// What a member is told once.
#[derive(Debug, Clone)]
pub(crate) struct ClassicConfig {
    pub(crate) group: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) rack: Option<Arc<str>>,
    /// Best first.
    pub(crate) assignors: Vec<Assignor>,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
}

/// What is to be done now.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ask this and give the outcome, with its number, to `handle_answer` or `handle_no_answer`.
    Ask { number: u64, question: Question },
    /// End the delivery of these, commit what is finished, then call `handle_revoked`.
    Revoke(BTreeSet<TopicPartition>),
    /// Read these from now on.
    Assign(BTreeSet<TopicPartition>),
    /// The membership has ended: end the delivery of these, if any, at once; nothing of it can be committed.
    Lose(BTreeSet<TopicPartition>),
    /// Other members read these: have them in the metadata.
    LearnTopics(Vec<Arc<str>>),
    /// The coordinator is another broker now: find it.
    FindCoordinator,
    /// The group refuses this member for good.
    Fail { api: ApiKey, code: ErrorCode },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ClassicMembership {
    config: ClassicConfig,
    /// Empty until the group has given one.
    member_id: String,
    /// [`NO_GENERATION`] outside of the group.
    generation: i32,
    state: State,
    /// What it reads, and what is being revoked.
    owned: BTreeSet<TopicPartition>,
    /// The unanswered heartbeat, with its generation.
    heartbeat: Option<(Asked, i32)>,
    next_heartbeat_at: Option<Instant>,
    /// When the last question that was answered well was asked.
    good_since: Option<Instant>,
    has_coordinator: bool,
    last_number: u64,
    backoff: Backoff,
    /// Things to do before anything else.
    todo: VecDeque<Action>,
}

impl ClassicMembership {
    /// A member that has no id yet; `seed` spreads its retries.
    pub(crate) fn new(config: ClassicConfig, seed: u64) -> Self {
        Self {
            config,
            member_id: String::new(),
            generation: NO_GENERATION,
            state: State::Joining(Joining::default()),
            owned: BTreeSet::new(),
            heartbeat: None,
            next_heartbeat_at: None,
            good_since: None,
            has_coordinator: false,
            last_number: 0,
            backoff: Backoff::new(RETRY_MIN, RETRY_MAX, seed),
            todo: VecDeque::new(),
        }
    }

    pub(crate) fn member_id(&self) -> &str {
        &self.member_id
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    /// Whether the group takes commits of this member, as far as it can be known here. Between JoinGroup's answer and
    /// SyncGroup's it does not.
    pub(crate) fn is_joined(&self) -> bool {
        let is_settled = matches!(self.state, State::Stable(_) | State::Revoking(_) | State::Joining(_));
        is_settled && self.generation >= 0
    }

    /// Whether nothing more will happen.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Left | State::Failed) && self.todo.is_empty()
    }

    /// Whether a change of the metadata matters.
    pub(crate) fn wants_topics(&self) -> bool {
        matches!(self.state, State::Leading(_) | State::Stable(Stable { divided: Some(_) }))
    }

    /// What to do now; to be called until it gives `None`.
    pub(crate) fn poll_action(&mut self, topology: &Topology, now: Instant) -> Option<Action> {
        if self.todo.is_empty() && self.fenced_at().is_some_and(|at| at <= now) {
            self.lose_for_time();
        }
        if self.todo.is_empty() {
            self.lead(topology, now);
        }
        self.todo.pop_front().or_else(|| self.ask(now)).or_else(|| self.todo.pop_front())
    }

    /// What the leader does with what is known of topics.
    fn lead(&mut self, topology: &Topology, now: Instant) {
        match &mut self.state {
            State::Leading(leading) => {
                let missing = leading.leader.missing(topology);
                if !missing.is_empty() && now < leading.until {
                    if !std::mem::replace(&mut leading.has_asked, true) {
                        self.todo.push_back(Action::LearnTopics(missing));
                    }
                    return;
                }
                let divided = leading.leader.divided(topology);
                let assignments = leading.leader.assignments(leading.assignor, topology);
                let protocol = leading.assignor.name().to_owned();
                self.sync(protocol, assignments, Some(divided));
            }
            State::Stable(Stable { divided: Some(divided) }) if divided.is_outgrown(topology) => {
                self.join_again(now);
            }
            _ => {}
        }
    }

    fn sync(
        &mut self,
        protocol: String,
        assignments: Vec<(String, Bytes)>,
        divided: Option<leading::Divided>,
    ) {
        self.state = State::Syncing(Syncing { asked: None, protocol, assignments, divided });
    }

    fn ask(&mut self, now: Instant) -> Option<Action> {
        if !self.has_coordinator {
            return None;
        }
        let is_due = |at: Option<Instant>| at.is_none_or(|at| at <= now);
        let asked = Asked { number: self.last_number + 1, sent_at: now };
        let question = match &mut self.state {
            State::Joining(joining) if joining.asked.is_none() && is_due(joining.at) => {
                joining.asked = Some(asked);
                self.join_question().map(Question::Join)
            }
            State::Syncing(syncing) if syncing.asked.is_none() => {
                syncing.asked = Some(asked);
                Some(Question::Sync(SyncGroupRequest {
                    group_id: self.config.group.to_string(),
                    generation_id: self.generation,
                    member_id: self.member_id.clone(),
                    group_instance_id: instance_id(&self.config),
                    protocol_type: PROTOCOL_TYPE,
                    protocol_name: syncing.protocol.clone(),
                    assignments: std::mem::take(&mut syncing.assignments),
                }))
            }
            State::Leaving(leaving) if leaving.asked.is_none() && !leaving.joins && is_due(leaving.at) => {
                leaving.asked = Some(asked);
                Some(Question::Leave(LeaveGroupRequest {
                    group_id: self.config.group.to_string(),
                    member_id: self.member_id.clone(),
                    group_instance_id: instance_id(&self.config),
                }))
            }
            _ => None,
        };
        let question = question.or_else(|| self.heartbeat_question(asked))?;
        self.last_number = asked.number;
        Some(Action::Ask { number: asked.number, question })
    }

    fn join_question(&mut self) -> Option<JoinGroupRequest> {
        let subscription = Subscription {
            topics: self.config.topics.iter().map(|topic| topic.to_string()).collect(),
            owned: by_topic(&self.owned),
            generation: self.generation,
            rack: self.config.rack.as_deref().map(str::to_owned),
        };
        let Ok(metadata) = subscription.encode() else {
            self.fail(ApiKey::JoinGroup, ErrorCode::INVALID_REQUEST);
            return None;
        };
        let protocols = self.config.assignors.iter().map(|assignor| (assignor.name(), metadata.clone()));
        Some(JoinGroupRequest {
            group_id: self.config.group.to_string(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: self.member_id.clone(),
            group_instance_id: instance_id(&self.config),
            protocol_type: PROTOCOL_TYPE,
            protocols: protocols.collect(),
        })
    }

    fn heartbeat_question(&mut self, asked: Asked) -> Option<Question> {
        let is_in = self.generation >= 0 && !matches!(self.state, State::Leaving(_));
        let is_due = self.next_heartbeat_at.is_some_and(|at| at <= asked.sent_at);
        if !is_in || !is_due || self.heartbeat.is_some() {
            return None;
        }
        self.heartbeat = Some((asked, self.generation));
        self.next_heartbeat_at = Some(asked.sent_at + self.config.heartbeat_interval);
        Some(Question::Heartbeat(HeartbeatRequest {
            group_id: self.config.group.to_string(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: instance_id(&self.config),
        }))
    }

    /// When `poll_action` may have something to do although nothing happened.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let heartbeat = self.next_heartbeat_at.filter(|_| self.heartbeat.is_none() && self.has_coordinator);
        let state = match &self.state {
            State::Joining(Joining { asked: None, at }) => at.filter(|_| self.has_coordinator),
            State::Leading(leading) => Some(leading.until),
            State::Leaving(Leaving { asked: None, at, .. }) => at.filter(|_| self.has_coordinator),
            _ => None,
        };
        [heartbeat, state, self.fenced_at()].into_iter().flatten().min()
    }

    /// The answer to question `number`.
    pub(crate) fn handle_answer(&mut self, number: u64, answer: Answer, now: Instant) {
        let (api, code) = (answer.api(), answer.error());
        let sent_at = match &mut self.state {
            State::Leaving(leaving) => {
                if leaving.asked.take_if(|asked| asked.number == number).is_some() {
                    self.handle_left(code, now);
                } else if let (Answer::Join(joined), true) = (answer, leaving.joins) {
                    self.handle_joined_while_leaving(joined);
                }
                return;
            }
            State::Joining(Joining { asked: asked @ Some(_), .. })
            | State::Syncing(Syncing { asked: asked @ Some(_), .. })
                if asked.is_some_and(|asked| asked.number == number) =>
            {
                asked.take().map(|asked| asked.sent_at)
            }
            _ => None,
        };
        match (answer, sent_at) {
            (Answer::Join(joined), Some(_)) if code.is_ok() => self.handle_joined(joined, now),
            (Answer::Sync(synced), Some(sent_at)) if code.is_ok() => {
                self.handle_synced(synced, sent_at, now);
            }
            (Answer::Join(joined), Some(_)) if code == ErrorCode::MEMBER_ID_REQUIRED => {
                // It joins with the id that it was given.
                self.member_id = joined.member_id;
                self.state = State::Joining(Joining::default());
            }
            (_, Some(_)) => self.handle_refused(api, code, now),
            (Answer::Heartbeat(_), None) => {
                let beat = self.heartbeat.take_if(|(asked, _)| asked.number == number);
                if let Some((asked, generation)) = beat {
                    self.handle_heartbeat(code, generation, asked.sent_at, now);
                }
            }
            _ => {}
        }
    }

    fn handle_joined(&mut self, joined: JoinGroupResponse, now: Instant) {
        let named = joined.protocol_name.as_deref();
        let assignor = self.config.assignors.iter().find(|assignor| Some(assignor.name()) == named).copied();
        let Some(assignor) = assignor.filter(|_| joined.generation_id >= 0 && !joined.member_id.is_empty())
        else {
            // No broker says that of a member; it is asked again.
            self.state = State::Joining(Joining { asked: None, at: Some(now + self.backoff.next_delay()) });
            return;
        };
        self.member_id = joined.member_id;
        self.generation = joined.generation_id;
        self.heartbeat = None;
        self.next_heartbeat_at = Some(now + self.config.heartbeat_interval);
        if joined.leader == self.member_id && !joined.skip_assignment {
            let leader = Leader::new(joined.members);
            let until = now + TOPICS_TIME;
            self.state = State::Leading(Leading { leader, assignor, until, has_asked: false });
        } else {
            self.sync(assignor.name().to_owned(), Vec::new(), None);
        }
    }

    fn handle_synced(&mut self, synced: SyncGroupResponse, sent_at: Instant, now: Instant) {
        let divided = match &mut self.state {
            State::Syncing(syncing) => syncing.divided.take(),
            _ => None,
        };
        self.good_since = self.good_since.max(Some(sent_at));
        self.backoff.reset();
        let target = match decode_assignment(synced.assignment) {
            Ok(topics) => named(topics),
            Err(error) => {
                tracing::warn!(%error, group = %self.config.group, "what the leader assigned cannot be read");
                self.state =
                    State::Joining(Joining { asked: None, at: Some(now + self.backoff.next_delay()) });
                return;
            }
        };
        let revoked: BTreeSet<_> = self.owned.difference(&target).cloned().collect();
        let added: BTreeSet<_> = target.difference(&self.owned).cloned().collect();
        self.state = State::Stable(Stable { divided });
        if !revoked.is_empty() {
            self.revoke(revoked);
        }
        if !added.is_empty() {
            self.owned.extend(added.iter().cloned());
            self.todo.push_back(Action::Assign(added));
        }
    }

    fn handle_heartbeat(&mut self, code: ErrorCode, generation: i32, sent_at: Instant, now: Instant) {
        let is_present = generation == self.generation;
        let is_settled = matches!(self.state, State::Stable(_) | State::Revoking(_));
        match code {
            ErrorCode::NONE | ErrorCode::REBALANCE_IN_PROGRESS if is_present => {
                self.good_since = self.good_since.max(Some(sent_at));
                if code.is_ok() {
                    self.backoff.reset();
                } else if matches!(self.state, State::Stable(_)) {
                    self.join_again(now);
                }
            }
            // JoinGroup or SyncGroup, which is under way, says what it means.
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION | ErrorCode::GROUP_ID_NOT_FOUND
                if !is_present || !is_settled => {}
            ErrorCode::NONE | ErrorCode::REBALANCE_IN_PROGRESS => {}
            // Only the heartbeat is sent again: JoinGroup may wait for the others all the while.
            ErrorCode::UNKNOWN_SERVER_ERROR | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {
                self.next_heartbeat_at = Some(now + self.backoff.next_delay());
            }
            code => self.handle_refused(ApiKey::Heartbeat, code, now),
        }
    }

    /// What an error means to a member that wants to stay.
    fn handle_refused(&mut self, api: ApiKey, code: ErrorCode, now: Instant) {
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.retry(now);
                self.lose_coordinator();
            }
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::GROUP_ID_NOT_FOUND => {
                self.lose();
                self.member_id.clear();
                self.retry(now);
            }
            ErrorCode::ILLEGAL_GENERATION => {
                self.lose();
                self.retry(now);
            }
            // A new generation has begun before this one was complete.
            ErrorCode::REBALANCE_IN_PROGRESS => self.state = State::Joining(Joining::default()),
            ErrorCode::UNKNOWN_SERVER_ERROR => self.retry(now),
            code if code.is_retriable() => self.retry(now),
            code => self.fail(api, code),
        }
    }

    fn handle_left(&mut self, code: ErrorCode, now: Instant) {
        let again = matches!(code, ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE);
        if again {
            self.lose_coordinator();
        }
        if again || code.is_retriable() {
            self.retry(now);
        } else {
            // Left, or not known there any more, which is the same.
            self.state = State::Left;
            self.generation = NO_GENERATION;
        }
    }

    /// The first JoinGroup of a member that had no id was under way when it was told to leave.
    fn handle_joined_while_leaving(&mut self, joined: JoinGroupResponse) {
        self.member_id = joined.member_id;
        self.state = match joined.error {
            ErrorCode::NONE | ErrorCode::MEMBER_ID_REQUIRED => State::Leaving(Leaving::default()),
            _ => State::Left,
        };
    }

    /// Question `number` will not be answered: the broker may or may not have seen it.
    pub(crate) fn handle_no_answer(&mut self, number: u64, now: Instant) {
        let is = |asked: &Option<Asked>| asked.is_some_and(|asked| asked.number == number);
        let is_last = match &self.state {
            State::Joining(joining) => is(&joining.asked),
            State::Syncing(syncing) => is(&syncing.asked),
            State::Leaving(leaving) => is(&leaving.asked) || leaving.joins,
            _ => false,
        };
        let beat = self.heartbeat.take_if(|(asked, _)| asked.number == number);
        if is_last || beat.is_some() {
            self.retry(now);
            self.lose_coordinator();
        }
    }

    fn lose_coordinator(&mut self) {
        self.handle_coordinator_lost();
        self.todo.push_back(Action::FindCoordinator);
    }

    /// The coordinator is being looked for; what was asked of it is asked again once it is found.
    pub(crate) fn handle_coordinator_lost(&mut self) {
        self.has_coordinator = false;
        self.heartbeat = None;
        match &mut self.state {
            State::Joining(joining) => joining.asked = None,
            State::Syncing(_) => self.state = State::Joining(Joining::default()),
            // Without an id there is nothing to leave.
            State::Leaving(leaving) if leaving.joins => self.state = State::Left,
            State::Leaving(leaving) => leaving.asked = None,
            _ => {}
        }
    }

    /// The coordinator was found (again).
    pub(crate) fn handle_coordinator(&mut self) {
        self.has_coordinator = true;
    }

    /// The answer to a commit says that the group has gone on, or does not count this member: the next heartbeat says
    /// which, and need not wait for the interval.
    pub(crate) fn handle_stale(&mut self, now: Instant) {
        let soon = now + RETRY_MIN;
        self.next_heartbeat_at = self.next_heartbeat_at.map(|at| at.min(soon));
    }

    /// The group does not count this member any more, as an answer to another request says: join again.
    pub(crate) fn handle_fenced(&mut self, now: Instant) {
        if !matches!(self.state, State::Leaving(_) | State::Left | State::Failed) {
            self.lose();
            self.member_id.clear();
            self.retry(now);
        }
    }

    /// The group is about to have a new generation. Where not all agree on the cooperative protocol, everything is let
    /// go of first.
    fn join_again(&mut self, now: Instant) {
        if self.is_cooperative() || self.owned.is_empty() {
            self.state = State::Joining(Joining { asked: None, at: Some(now) });
        } else {
            self.revoke(self.owned.clone());
        }
    }

    fn is_cooperative(&self) -> bool {
        self.config.assignors.iter().all(|assignor| *assignor == Assignor::CooperativeSticky)
    }

    fn revoke(&mut self, partitions: BTreeSet<TopicPartition>) {
        self.state = State::Revoking(Revoking { partitions: partitions.clone() });
        self.todo.push_back(Action::Revoke(partitions));
    }

    /// The partitions of the last `Revoke` are out of use: nothing of them is delivered or committed any more. The
    /// group hears of it when the member joins again.
    pub(crate) fn handle_revoked(&mut self) {
        if let State::Revoking(Revoking { partitions }) = &self.state {
            self.owned.retain(|partition| !partitions.contains(partition));
            self.state = State::Joining(Joining::default());
        }
    }

    fn lose(&mut self) {
        let lost = std::mem::take(&mut self.owned);
        // Told even if there is nothing to lose: a commit may be under way of what was given back.
        if self.generation >= 0 || !lost.is_empty() {
            self.todo.push_back(Action::Lose(lost));
        }
        self.generation = NO_GENERATION;
        self.heartbeat = None;
        self.next_heartbeat_at = None;
        self.good_since = None;
        self.state = State::Joining(Joining::default());
    }

    fn lose_for_time(&mut self) {
        let joining = match &mut self.state {
            // It waits for the others, and what it is given then is its own.
            State::Joining(joining) => Some(std::mem::take(joining)),
            _ => None,
        };
        self.lose();
        if let Some(joining) = joining {
            self.state = State::Joining(joining);
        }
    }

    fn fail(&mut self, api: ApiKey, code: ErrorCode) {
        self.lose();
        self.state = State::Failed;
        self.todo.push_back(Action::Fail { api, code });
    }

    /// Leaves the group. What is owned must be out of use. A static member stays in it for those who count on its
    /// return, until its session ends.
    pub(crate) fn leave(&mut self) {
        if matches!(self.state, State::Leaving(_) | State::Left | State::Failed) {
            return;
        }
        let joins = matches!(self.state, State::Joining(Joining { asked: Some(_), .. }));
        let is_known = !self.member_id.is_empty();
        self.owned.clear();
        self.heartbeat = None;
        self.next_heartbeat_at = None;
        self.good_since = None;
        self.state = if self.config.instance_id.is_some() || !(is_known || joins) {
            State::Left
        } else {
            State::Leaving(Leaving { asked: None, at: None, joins: joins && !is_known })
        };
    }

    fn retry(&mut self, now: Instant) {
        let at = now + self.backoff.next_delay();
        match &mut self.state {
            State::Joining(joining) => *joining = Joining { asked: None, at: Some(at) },
            State::Syncing(_) => self.state = State::Joining(Joining { asked: None, at: Some(at) }),
            State::Leaving(leaving) => leaving.at = Some(at),
            State::Leading(_) | State::Stable(_) | State::Revoking(_) => self.next_heartbeat_at = Some(at),
            State::Left | State::Failed => {}
        }
    }

    /// Until when the group is known to count on this member, `None` outside of a membership.
    pub(crate) fn fenced_at(&self) -> Option<Instant> {
        Some(self.good_since? + self.config.session_timeout)
    }
}

fn instance_id(config: &ClassicConfig) -> Option<String> {
    config.instance_id.as_deref().map(str::to_owned)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// What JoinGroup calls a group of consumers.
const PROTOCOL_TYPE: &str = "consumer";
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long a leader waits to hear of the topics of the others, while they all wait for it.
const TOPICS_TIME: Duration = Duration::from_secs(5);
