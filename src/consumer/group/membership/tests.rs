//! A member whose heartbeats are answered by hand.

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
            instance_id: None,
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
    assert!(matches!(group.member.poll_action(group.now), Some(Action::Revoke(gone)) if gone == set(&[0])));
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

/// KAFKA-9823, franz-go 824e34d2: an answer to an earlier request, or of an earlier membership, changed the member's epoch, and
/// it read on as a zombie until the next heartbeat.
#[test]
fn killer_24_a_stale_answer_changes_nothing() {
    let mut group = Group::stable();
    group.wait();
    let (first, _) = group.heartbeat();
    group.member.handle_no_answer(first, group.now);
    group.member.handle_coordinator();
    while !matches!(group.member.poll_action(group.now), Some(Action::FindCoordinator) | None) {}
    group.wait();
    let (second, request) = group.heartbeat();
    let (id, epoch) = (group.member.member_id().to_owned(), group.member.epoch());
    assert_eq!((epoch, request.member_epoch), (1, 1));
    // The first is answered after all: by a broker that had dropped the member, and as if it were two epochs on.
    group.fail(first, ErrorCode::FENCED_MEMBER_EPOCH);
    group.answer(first, 3, Some(&[]));
    assert_eq!((group.member.member_id(), group.member.epoch()), (&*id, 1));
    group.idle();

    // What counts is the answer to the second; and of the membership that it ends, nothing counts later.
    group.fail(second, ErrorCode::FENCED_MEMBER_EPOCH);
    assert!(matches!(group.member.poll_action(group.now), Some(Action::Lose(lost)) if lost == set(&[0, 1])));
    group.answer(second, 7, Some(&[0, 1]));
    assert_eq!(group.member.epoch(), 0, "it has to join again");
    assert!(!matches!(group.member.poll_action(group.now), Some(Action::Assign(_))));
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
