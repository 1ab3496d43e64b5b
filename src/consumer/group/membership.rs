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
            member_epoch: if leaves { LEAVE_EPOCH } else { self.epoch },
            instance_id: None,
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
            code => {
                self.lose();
                self.state = State::Failed;
                // Taken from the end: first the loss, then its reason.
                self.todo.insert(0, Action::Fail { code, message });
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Uuid = Uuid::from_u128(7);

    struct Group {
        member: Membership,
        now: Instant,
    }

    impl Group {
        fn new() -> Self {
            let config = MembershipConfig {
                group: "g".into(),
                topics: vec!["t".into()],
                rack: None,
                rebalance_timeout: Duration::from_secs(60),
                session_timeout: Duration::from_secs(45),
            };
            let mut member = Membership::new(config, 1);
            member.handle_coordinator();
            Self { member, now: crate::net::clock::now() }
        }

        fn heartbeat(&mut self) -> (u64, ConsumerGroupHeartbeatRequest) {
            match self.member.poll_action(self.now) {
                Some(Action::Heartbeat { number, request }) => (number, request),
                other => panic!("a heartbeat was due, not {other:?}"),
            }
        }

        fn answer(&mut self, number: u64, epoch: i32, partitions: Option<&[i32]>) {
            let answer = answer(ErrorCode::NONE, epoch, partitions);
            self.member.handle_answer(number, answer, self.now);
        }

        fn fail(&mut self, number: u64, code: ErrorCode) {
            self.member.handle_answer(number, answer(code, 0, None), self.now);
        }

        fn idle(&mut self) {
            assert!(self.member.poll_action(self.now).is_none());
        }

        /// Lets time pass until the machine wants to be called.
        fn wait(&mut self) {
            self.now = self.now.max(self.member.poll_timeout().unwrap());
        }

        /// A member that owns partitions 0 and 1 at epoch 1 and has said so.
        fn stable() -> Self {
            let mut group = Self::new();
            let (number, _) = group.heartbeat();
            group.answer(number, 1, Some(&[0, 1]));
            assert!(
                matches!(group.member.poll_action(group.now), Some(Action::Assign(added)) if added == set(&[0, 1]))
            );
            let (number, _) = group.heartbeat();
            group.answer(number, 1, None);
            group.idle();
            group
        }
    }

    fn answer(error: ErrorCode, epoch: i32, partitions: Option<&[i32]>) -> ConsumerGroupHeartbeatResponse {
        ConsumerGroupHeartbeatResponse {
            throttle_time_ms: 0,
            error,
            error_message: None,
            member_id: None,
            member_epoch: epoch,
            heartbeat_interval_ms: 3000,
            assignment: partitions.map(|partitions| vec![(TOPIC, partitions.to_vec())]),
        }
    }

    fn set(partitions: &[i32]) -> BTreeSet<OwnedPartition> {
        partitions.iter().map(|&index| (TOPIC, index)).collect()
    }

    #[test]
    fn joining_tells_everything_under_an_id_of_its_own() {
        let mut group = Group::new();
        let (_, request) = group.heartbeat();
        assert_eq!(request.member_epoch, 0);
        assert_eq!(Uuid::parse_str(&request.member_id).unwrap().get_version_num(), 4);
        assert_eq!(request.owned, Some(vec![]));
        assert_eq!(request.subscribed_topic_names, Some(vec!["t".to_owned()]));
        assert_eq!(request.rebalance_timeout_ms, 60_000);
        group.idle();
    }

    #[test]
    fn what_is_assigned_is_acknowledged_at_once_and_then_heartbeats_keep_to_the_interval() {
        let mut group = Group::new();
        let (number, _) = group.heartbeat();
        group.answer(number, 5, Some(&[0, 1]));
        assert!(matches!(group.member.poll_action(group.now), Some(Action::Assign(_))));
        let (number, request) = group.heartbeat();
        assert_eq!((request.member_epoch, request.owned), (5, Some(vec![(TOPIC, vec![0, 1])])));
        assert_eq!((request.subscribed_topic_names, request.rebalance_timeout_ms), (None, -1));
        group.answer(number, 5, None);
        group.idle();
        let before = group.now;
        group.wait();
        assert_eq!(group.now - before, Duration::from_secs(3));
        assert_eq!(group.heartbeat().1.owned, None);
    }

    #[test]
    fn a_revoke_is_acknowledged_only_when_it_is_done_and_heartbeats_go_on_meanwhile() {
        let mut group = Group::stable();
        group.wait();
        let (number, _) = group.heartbeat();
        group.answer(number, 1, Some(&[1, 2]));
        assert!(
            matches!(group.member.poll_action(group.now), Some(Action::Revoke(gone)) if gone == set(&[0]))
        );
        group.idle();
        group.wait();
        let (number, request) = group.heartbeat();
        assert_eq!(request.owned, None, "not acknowledged yet");
        group.answer(number, 1, None);
        group.idle();
        group.member.handle_revoked();
        assert!(matches!(group.member.poll_action(group.now), Some(Action::Assign(new)) if new == set(&[2])));
        assert_eq!(group.heartbeat().1.owned, Some(vec![(TOPIC, vec![1, 2])]));
    }

    #[test]
    fn a_partition_that_comes_back_while_it_is_revoked_is_taken_anew() {
        let mut group = Group::stable();
        group.wait();
        let (number, _) = group.heartbeat();
        group.answer(number, 1, Some(&[1]));
        assert!(matches!(group.member.poll_action(group.now), Some(Action::Revoke(_))));
        group.wait();
        let (number, _) = group.heartbeat();
        group.answer(number, 2, Some(&[0, 1]));
        group.idle();
        group.member.handle_revoked();
        assert!(matches!(group.member.poll_action(group.now), Some(Action::Assign(new)) if new == set(&[0])));
    }

    /// The heartbeat that takes `id` out of the group; it is answered with `code`.
    fn retire(group: &mut Group, id: &str, code: ErrorCode) {
        let (number, request) = group.heartbeat();
        assert_eq!((request.member_epoch, request.owned), (-1, None));
        assert_eq!(request.member_id, id);
        group.member.handle_answer(number, answer(code, -1, None), group.now);
    }

    #[test]
    fn a_fenced_member_loses_all_without_commit_and_joins_again() {
        for code in [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::FENCED_MEMBER_EPOCH] {
            let mut group = Group::stable();
            let id = group.member.member_id().to_owned();
            group.wait();
            let (number, _) = group.heartbeat();
            group.fail(number, code);
            assert!(
                matches!(group.member.poll_action(group.now), Some(Action::Lose(lost)) if lost == set(&[0, 1]))
            );
            assert!(!group.member.is_joined());
            group.idle();
            group.wait();
            let (number, request) = group.heartbeat();
            assert_eq!((request.member_epoch, request.owned), (0, Some(vec![])));
            assert_eq!(request.member_id, id);
            group.fail(number, code);
            group.wait();
            // The group still counts on the old member: it is taken out before another joins.
            retire(&mut group, &id, ErrorCode::NONE);
            let (_, request) = group.heartbeat();
            assert_eq!(request.member_epoch, 0);
            assert_ne!(request.member_id, id, "a join that is refused is tried under another id");
        }
    }

    #[test]
    fn without_a_good_heartbeat_for_the_session_timeout_the_member_takes_itself_for_fenced() {
        let mut group = Group::stable();
        let start = group.now;
        let lost_at = loop {
            match group.member.poll_action(group.now) {
                Some(Action::Heartbeat { number, .. }) => group.member.handle_no_answer(number, group.now),
                Some(Action::FindCoordinator) => group.member.handle_coordinator(),
                Some(Action::Lose(lost)) => {
                    assert_eq!(lost, set(&[0, 1]));
                    break group.now;
                }
                Some(other) => panic!("{other:?}"),
                None => group.wait(),
            }
        };
        assert_eq!(lost_at - start, Duration::from_secs(45));
        let id = group.member.member_id().to_owned();
        retire(&mut group, &id, ErrorCode::UNKNOWN_MEMBER_ID);
        assert_eq!(group.heartbeat().1.member_epoch, 0);
    }

    #[test]
    fn a_member_with_nothing_to_lose_goes_on_at_once_when_it_fences_itself() {
        let mut group = Group::new();
        let (number, _) = group.heartbeat();
        group.now += Duration::from_secs(48);
        group.answer(number, 1, Some(&[0]));
        assert!(
            matches!(group.member.poll_action(group.now), Some(Action::Lose(lost)) if lost.is_empty()),
            "a commit of what it gave back may be under way"
        );
        assert_eq!(group.heartbeat().1.member_epoch, -1, "the answer to its join came too late");
    }

    #[test]
    fn a_member_that_fenced_itself_is_taken_out_before_it_joins_again() {
        let mut group = Group::stable();
        let id = group.member.member_id().to_owned();
        group.now += Duration::from_secs(60);
        assert!(matches!(group.member.poll_action(group.now), Some(Action::Lose(_))));
        let (number, request) = group.heartbeat();
        assert_eq!((request.member_epoch, &request.member_id), (-1, &id));
        group.member.handle_no_answer(number, group.now);
        assert!(matches!(group.member.poll_action(group.now), Some(Action::FindCoordinator)));
        group.member.handle_coordinator();
        group.wait();
        retire(&mut group, &id, ErrorCode::NONE);
        let (number, request) = group.heartbeat();
        assert_eq!((request.member_epoch, request.owned), (0, Some(vec![])));
        group.answer(number, 3, Some(&[0]));
        assert!(group.member.is_joined());
    }

    #[test]
    fn closing_while_the_old_member_is_taken_out_ends_with_that() {
        let mut group = Group::stable();
        group.now += Duration::from_secs(60);
        assert!(matches!(group.member.poll_action(group.now), Some(Action::Lose(_))));
        group.member.leave();
        let (number, request) = group.heartbeat();
        assert_eq!(request.member_epoch, -1);
        group.answer(number, -1, None);
        assert!(group.member.is_over());
    }

    #[test]
    fn a_heartbeat_that_hangs_does_not_keep_the_member_from_fencing_itself() {
        let mut group = Group::stable();
        group.wait();
        let (number, _) = group.heartbeat();
        group.wait();
        assert!(matches!(group.member.poll_action(group.now), Some(Action::Lose(_))));
        let id = group.member.member_id().to_owned();
        retire(&mut group, &id, ErrorCode::NONE);
        let (join, _) = group.heartbeat();
        group.answer(number, 9, Some(&[0, 1]));
        assert_eq!(group.member.epoch(), 0, "the late answer belongs to an earlier membership");
        group.answer(join, 10, None);
        assert_eq!(group.member.epoch(), 10);
    }

    #[test]
    fn after_an_error_everything_is_told_again() {
        let mut group = Group::stable();
        group.wait();
        let (number, _) = group.heartbeat();
        group.fail(number, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        group.idle();
        group.wait();
        let (number, request) = group.heartbeat();
        assert_eq!(request.owned, Some(vec![(TOPIC, vec![0, 1])]));
        assert!(request.subscribed_topic_names.is_some());
        group.fail(number, ErrorCode::NOT_COORDINATOR);
        assert!(matches!(group.member.poll_action(group.now), Some(Action::FindCoordinator)));
        group.idle();
        assert!(group.member.is_joined());
        group.member.handle_coordinator();
        group.wait();
        group.heartbeat();
    }

    #[test]
    fn a_refusal_for_good_loses_all_and_says_why() {
        let mut group = Group::stable();
        group.wait();
        let (number, _) = group.heartbeat();
        group.fail(number, ErrorCode::GROUP_AUTHORIZATION_FAILED);
        assert!(matches!(group.member.poll_action(group.now), Some(Action::Lose(_))));
        assert!(
            matches!(group.member.poll_action(group.now), Some(Action::Fail { code, .. }) if code == ErrorCode::GROUP_AUTHORIZATION_FAILED)
        );
        group.idle();
        assert!(group.member.is_over());
        assert!(group.member.poll_timeout().is_none());
    }

    #[test]
    fn a_stale_epoch_is_renewed_without_waiting_for_the_interval() {
        let mut group = Group::stable();
        let before = group.now;
        group.member.handle_stale(before);
        group.wait();
        assert_eq!(group.now - before, RETRY_MIN);
        group.heartbeat();
    }

    #[test]
    fn leaving_says_so_until_it_is_heard() {
        let mut group = Group::stable();
        group.member.leave();
        let (number, request) = group.heartbeat();
        group.member.leave();
        group.idle();
        assert_eq!((request.member_epoch, request.owned), (-1, None));
        group.member.handle_no_answer(number, group.now);
        assert!(matches!(group.member.poll_action(group.now), Some(Action::FindCoordinator)));
        group.member.handle_coordinator();
        group.wait();
        let (number, _) = group.heartbeat();
        group.answer(number, -1, None);
        group.idle();
        assert!(group.member.is_over());
    }

    #[test]
    fn leaving_before_joining_needs_no_request() {
        let mut group = Group::new();
        group.member.leave();
        group.idle();
        assert!(group.member.is_over());
    }

    #[test]
    fn negative_epochs_and_repeated_partitions_are_nothing_to_trip_over() {
        let mut group = Group::new();
        let (number, _) = group.heartbeat();
        group.answer(number, -5, Some(&[0]));
        assert_eq!(group.member.epoch(), 0);
        group.wait();
        let (number, _) = group.heartbeat();
        group.answer(number, 1, Some(&[3, 3, 3]));
        assert!(matches!(group.member.poll_action(group.now), Some(Action::Assign(new)) if new == set(&[3])));
    }
}
