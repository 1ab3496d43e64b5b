//! Membership in a group by the KIP-848 protocol: one kind of request, the heartbeat, and the answer says what to own.
//!
//! The machine says what to do next ([`Action`]) and takes what came of it. Invariants: a revoke is acknowledged only
//! once its partitions are neither read nor held for a commit; one heartbeat is unanswered at most, and an answer to an
//! earlier membership changes nothing; when no heartbeat succeeded for the session timeout, counted from when the last
//! good one was sent, the member takes itself for fenced, since by then the broker may have given its partitions away.

use crate::{
    backoff::{Backoff, SplitMix},
    error::ErrorCode,
    wire::api::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Topic id and partition, as the protocol names partitions.
pub(crate) type OwnedPartition = (Uuid, i32);

/// What a member is told once.
#[derive(Debug, Clone)]
pub(crate) struct MembershipConfig {
    pub(crate) group: Arc<str>,
    /// Of a static member (KIP-345).
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) rack: Option<Arc<str>>,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) session_timeout: Duration,
}

/// Where a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not in the group: the next heartbeat joins with epoch 0.
    Unjoined,
    /// Not in the group for itself, but the group may still count on it: the next heartbeat takes it out, and the one
    /// after joins. Else its partitions would be read by nobody until the session of the member that was ends.
    Retiring,
    /// In the group, and what it owns is what it was told to own, as far as it can be resolved.
    Stable,
    /// Delivery of some partitions has ended; their last commit is under way.
    Revoking,
    /// What it owns has changed, and the broker is to hear of it without delay.
    Acknowledging,
    /// The next heartbeat says good-bye.
    Leaving,
    /// It has left.
    Left,
    /// The group refused it for good.
    Failed,
}

/// What is to be done now.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send this and give the outcome, with its number, to `handle_answer` or `handle_no_answer`.
    Heartbeat { number: u64, request: ConsumerGroupHeartbeatRequest },
    /// End the delivery of these, commit what is finished, then call `handle_revoked`.
    Revoke(BTreeSet<OwnedPartition>),
    /// Read these from now on.
    Assign(BTreeSet<OwnedPartition>),
    /// The membership has ended: end the delivery of these, if any, at once; nothing of it can be committed.
    Lose(BTreeSet<OwnedPartition>),
    /// The coordinator is another broker now: find it.
    FindCoordinator,
    /// The group refuses this member for good.
    Fail { code: ErrorCode, message: Option<String> },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Membership {
    config: MembershipConfig,
    member_id: String,
    epoch: i32,
    state: State,
    /// What the broker last said this member may own.
    target: BTreeSet<OwnedPartition>,
    owned: BTreeSet<OwnedPartition>,
    revoking: BTreeSet<OwnedPartition>,
    heartbeat_interval: Duration,
    next_heartbeat_at: Option<Instant>,
    /// Whether there is somebody to send heartbeats to.
    has_coordinator: bool,
    /// The unanswered heartbeat: its number and when it was sent.
    in_flight: Option<(u64, Instant)>,
    last_number: u64,
    /// When the last heartbeat that was answered well was sent.
    good_since: Option<Instant>,
    /// The broker may not know what it was told before: tell everything.
    tell_all: bool,
    /// A heartbeat that joins was not answered, so that the group may know the member.
    is_join_lost: bool,
    /// Since when the group says that another member has this one's instance id.
    unreleased_since: Option<Instant>,
    backoff: Backoff,
    ids: SplitMix,
    /// Things to do before anything else.
    todo: Vec<Action>,
}

impl Membership {
    /// A member under an id of its own; the random `seed` decides it, and spreads its retries.
    pub(crate) fn new(config: MembershipConfig, seed: u64) -> Self {
        let mut ids = SplitMix(seed);
        Self {
            config,
            member_id: next_id(&mut ids),
            epoch: 0,
            state: State::Unjoined,
            target: BTreeSet::new(),
            owned: BTreeSet::new(),
            revoking: BTreeSet::new(),
            heartbeat_interval: HEARTBEAT_INTERVAL,
            next_heartbeat_at: None,
            has_coordinator: false,
            in_flight: None,
            last_number: 0,
            good_since: None,
            tell_all: true,
            is_join_lost: false,
            unreleased_since: None,
            backoff: Backoff::new(RETRY_MIN, RETRY_MAX, seed),
            ids,
            todo: Vec::new(),
        }
    }

    pub(crate) fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The epoch that commits and lookups carry; 0 and below outside the group.
    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Whether the group knows this member, as far as it can be known here.
    pub(crate) fn is_joined(&self) -> bool {
        self.epoch > 0 && !matches!(self.state, State::Leaving | State::Left | State::Failed)
    }

    /// Whether nothing more will happen.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Left | State::Failed) && self.todo.is_empty()
    }

    /// The group's session timeout, as it was read or set.
    pub(crate) fn set_session_timeout(&mut self, timeout: Duration) {
        self.config.session_timeout = timeout;
    }

    /// What to do now; to be called until it gives `None`.
    pub(crate) fn poll_action(&mut self, now: Instant) -> Option<Action> {
        if let Some(action) = self.todo.pop() {
            return Some(action);
        }
        if self.is_fenced_by_time(now) {
            self.lose();
            self.state = State::Retiring;
            // Nothing else would wake a member that had nothing to lose, so it goes on.
            if let Some(loss) = self.todo.pop() {
                return Some(loss);
            }
        }
        if matches!(self.state, State::Stable | State::Acknowledging) {
            let revoked: BTreeSet<_> = self.owned.difference(&self.target).copied().collect();
            if !revoked.is_empty() {
                self.state = State::Revoking;
                self.revoking = revoked.clone();
                return Some(Action::Revoke(revoked));
            }
            let added: BTreeSet<_> = self.target.difference(&self.owned).copied().collect();
            if !added.is_empty() {
                self.owned.extend(&added);
                self.acknowledge();
                return Some(Action::Assign(added));
            }
        }
        self.heartbeat(now)
    }

    fn heartbeat(&mut self, now: Instant) -> Option<Action> {
        let is_over = matches!(self.state, State::Left | State::Failed);
        if self.in_flight.is_some() || !self.has_coordinator || is_over {
            return None;
        }
        if self.next_heartbeat_at.is_some_and(|at| at > now) {
            return None;
        }
        let joins = self.state == State::Unjoined;
        let leaves = matches!(self.state, State::Leaving | State::Retiring);
        let tells_all = joins || self.tell_all;
        let tells_owned = !leaves && (tells_all || self.state == State::Acknowledging);
        let names = || self.config.topics.iter().map(|topic| topic.to_string()).collect();
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.config.group.to_string(),
            member_id: self.member_id.clone(),
            member_epoch: if leaves { self.leave_epoch() } else { self.epoch },
            instance_id: self.config.instance_id.as_deref().map(str::to_owned),
            rack_id: self.config.rack.as_ref().filter(|_| tells_all && !leaves).map(|rack| rack.to_string()),
            rebalance_timeout_ms: if tells_all && !leaves {
                i32::try_from(self.config.rebalance_timeout.as_millis()).unwrap_or(i32::MAX)
            } else {
                -1
            },
            subscribed_topic_names: (tells_all && !leaves).then(names),
            server_assignor: None,
            owned: tells_owned.then(|| by_topic(&self.owned)),
        };
        if self.state == State::Acknowledging {
            self.state = State::Stable;
        }
        self.tell_all = false;
        self.last_number += 1;
        self.in_flight = Some((self.last_number, now));
        self.next_heartbeat_at = Some(now + self.heartbeat_interval);
        Some(Action::Heartbeat { number: self.last_number, request })
    }

    /// When `poll_action` may have something to do although nothing happened.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if matches!(self.state, State::Left | State::Failed) {
            return None;
        }
        let can_send = self.in_flight.is_none() && self.has_coordinator;
        let heartbeat = self.next_heartbeat_at.filter(|_| can_send);
        let fenced = self.fenced_at();
        match (heartbeat, fenced) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The answer to heartbeat `number`.
    pub(crate) fn handle_answer(
        &mut self,
        number: u64,
        answer: ConsumerGroupHeartbeatResponse,
        now: Instant,
    ) {
        let Some((_, sent_at)) = self.in_flight.take_if(|(sent, _)| *sent == number) else { return };
        if matches!(self.state, State::Leaving | State::Retiring) {
            self.handle_leave_answer(answer.error, now);
            return;
        }
        if !answer.error.is_ok() {
            self.handle_error(answer.error, answer.error_message, now);
            return;
        }
        self.backoff.reset();
        if answer.member_epoch <= 0 {
            // No live member has such an epoch; the next heartbeat asks again.
            self.tell_all = true;
            return;
        }
        if let Some(id) = answer.member_id.filter(|id| !id.is_empty()) {
            self.member_id = id;
        }
        self.good_since = Some(sent_at);
        self.is_join_lost = false;
        self.unreleased_since = None;
        self.epoch = answer.member_epoch;
        if let Ok(interval_ms @ 1..) = u64::try_from(answer.heartbeat_interval_ms) {
            self.heartbeat_interval = Duration::from_millis(interval_ms);
        }
        self.next_heartbeat_at = Some(sent_at + self.heartbeat_interval);
        if self.state == State::Unjoined {
            self.state = State::Stable;
        }
        if let Some(assignment) = answer.assignment {
            self.target = assignment
                .into_iter()
                .flat_map(|(topic, partitions)| partitions.into_iter().map(move |index| (topic, index)))
                .collect();
        }
        if self.state == State::Acknowledging {
            self.next_heartbeat_at = Some(now);
        }
    }

    /// Heartbeat `number` will not be answered: the broker may or may not have seen it.
    pub(crate) fn handle_no_answer(&mut self, number: u64, now: Instant) {
        if self.in_flight.take_if(|(sent, _)| *sent == number).is_none() {
            return;
        }
        self.tell_all = true;
        self.is_join_lost |= self.state == State::Unjoined;
        self.retry(now);
        self.lose_coordinator();
    }

    fn lose_coordinator(&mut self) {
        self.has_coordinator = false;
        self.todo.push(Action::FindCoordinator);
    }

    /// The coordinator is being looked for; heartbeats wait until it is found.
    pub(crate) fn handle_coordinator_lost(&mut self) {
        self.has_coordinator = false;
    }

    /// The coordinator was found (again).
    pub(crate) fn handle_coordinator(&mut self) {
        self.has_coordinator = true;
    }

    fn handle_error(&mut self, code: ErrorCode, message: Option<String>, now: Instant) {
        self.tell_all = true;
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.retry(now);
                self.lose_coordinator();
            }
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH => self.handle_fenced(now),
            // The group was deleted: joining makes it again. To a join it means that the group is of another kind.
            ErrorCode::GROUP_ID_NOT_FOUND if self.state != State::Unjoined => self.handle_fenced(now),
            ErrorCode::UNKNOWN_SERVER_ERROR => self.retry(now),
            code if code.is_retriable() => self.retry(now),
            ErrorCode::UNRELEASED_INSTANCE_ID if self.state == State::Unjoined => {
                self.handle_unreleased(message, now);
            }
            code => self.fail(code, message),
        }
    }

    fn handle_leave_answer(&mut self, code: ErrorCode, now: Instant) {
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.retry(now);
                self.lose_coordinator();
            }
            code if code.is_retriable() => self.retry(now),
            // Left, or not known there any more, which is the same.
            _ if self.state == State::Retiring => {
                self.state = State::Unjoined;
                self.member_id = next_id(&mut self.ids);
                self.next_heartbeat_at = None;
            }
            _ => {
                self.state = State::Left;
                self.epoch = 0;
            }
        }
    }

    /// The broker does not count this member any more, as an answer of it or to a commit says: join again.
    pub(crate) fn handle_fenced(&mut self, now: Instant) {
        if matches!(self.state, State::Retiring | State::Leaving | State::Left | State::Failed) {
            return;
        }
        let was_joining = self.state == State::Unjoined;
        self.lose();
        if was_joining {
            // Kafka 4.0 refuses a member that it still knows when it joins again (KAFKA-19233).
            self.state = State::Retiring;
        }
        self.retry(now);
    }

    /// The broker has a newer epoch for this member, as an answer to another request says: the next heartbeat brings
    /// it, and need not wait for the interval.
    pub(crate) fn handle_stale(&mut self, now: Instant) {
        let soon = now + RETRY_MIN;
        self.next_heartbeat_at = self.next_heartbeat_at.map(|at| at.min(soon));
    }

    fn lose(&mut self) {
        let mut lost = std::mem::take(&mut self.owned);
        lost.append(&mut self.revoking);
        // Told even if there is nothing to lose: a commit may be under way of what was given back.
        if self.epoch != 0 || !lost.is_empty() {
            self.todo.push(Action::Lose(lost));
        }
        self.state = State::Unjoined;
        self.epoch = 0;
        self.target.clear();
        self.good_since = None;
        self.in_flight = None;
        self.tell_all = true;
        self.next_heartbeat_at = None;
    }

    /// The partitions of the last `Revoke` are out of use: nothing of them is delivered or committed any more.
    pub(crate) fn handle_revoked(&mut self) {
        if self.state != State::Revoking {
            return;
        }
        for partition in std::mem::take(&mut self.revoking) {
            self.owned.remove(&partition);
        }
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        self.state = State::Acknowledging;
        self.next_heartbeat_at = None;
    }

    /// Says good-bye with the next heartbeat. What is owned must be out of use.
    pub(crate) fn leave(&mut self) {
        if matches!(self.state, State::Leaving | State::Left | State::Failed) {
            return;
        }
        if self.state == State::Unjoined && self.in_flight.is_none() {
            self.state = State::Left;
            return;
        }
        // A heartbeat that is under way is not waited for; its answer is stale.
        self.in_flight = None;
        self.owned.clear();
        self.state = State::Leaving;
        self.next_heartbeat_at = None;
    }

    fn leave_epoch(&self) -> i32 {
        if self.config.instance_id.is_some() { LEAVE_FOR_A_WHILE_EPOCH } else { LEAVE_EPOCH }
    }

    /// The instance id is another member's, which may be gone without a word: the broker frees it when its session
    /// ends. Or it is this one's, whose join was taken without an answer.
    fn handle_unreleased(&mut self, message: Option<String>, now: Instant) {
        if std::mem::take(&mut self.is_join_lost) {
            self.state = State::Retiring;
            self.next_heartbeat_at = None;
            return;
        }
        let since = *self.unreleased_since.get_or_insert_with(|| {
            let (group, instance_id) = (&self.config.group, &self.config.instance_id);
            tracing::warn!(%group, ?instance_id, "another member has this instance id; waiting for its session to end");
            now
        });
        if now >= since + self.config.session_timeout + UNRELEASED_MARGIN {
            self.fail(ErrorCode::UNRELEASED_INSTANCE_ID, message);
        } else {
            self.retry(now);
        }
    }

    fn fail(&mut self, code: ErrorCode, message: Option<String>) {
        self.lose();
        self.state = State::Failed;
        // Taken from the end: first the loss, then its reason.
        self.todo.insert(0, Action::Fail { code, message });
    }

    fn retry(&mut self, now: Instant) {
        self.next_heartbeat_at = Some(now + self.backoff.next_delay());
    }

    /// Until when the group is known to count on this member, `None` outside of a membership.
    pub(crate) fn fenced_at(&self) -> Option<Instant> {
        let good_since = self.good_since.filter(|_| self.state != State::Leaving)?;
        Some(good_since + self.config.session_timeout)
    }

    fn is_fenced_by_time(&self, now: Instant) -> bool {
        self.fenced_at().is_some_and(|at| at <= now)
    }
}

/// A version 4 UUID, as the protocol wants member ids to be.
fn next_id(random: &mut SplitMix) -> String {
    let bits = u128::from(random.next()) << 64 | u128::from(random.next());
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
}

fn by_topic(owned: &BTreeSet<OwnedPartition>) -> Vec<(Uuid, Vec<i32>)> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for &(topic, index) in owned {
        topics.entry(topic).or_default().push(index);
    }
    topics.into_iter().collect()
}

/// Until the broker says otherwise.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
const LEAVE_EPOCH: i32 = -1;
/// A static member's: it keeps its partitions, for when it is back.
const LEAVE_FOR_A_WHILE_EPOCH: i32 = -2;
/// How much longer than a session another member of the same instance is waited for.
const UNRELEASED_MARGIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
