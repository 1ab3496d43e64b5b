//! A member with neither a broker nor a runtime: the work it gives is answered by hand, and time is a number.

use super::{
    member::Member,
    work::{Done, Work},
};
use crate::{
    cluster::{Topic, Topology},
    consumer::{
        config::ConsumerConfig,
        core::{CommitEntry, Core},
        error::CommitError,
        record::TopicPartition,
        shared::Shared,
    },
    error::{ErrorCode, RequestError},
    net::clock,
    wire::api::{
        consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse},
        offset_commit::{CommittedPartition, OffsetCommitRequest, OffsetCommitResponse},
        offset_fetch::OffsetFetchResponse,
    },
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

const TOPIC: Uuid = Uuid::from_u128(7);
const BROKER: i32 = 3;

struct Group {
    member: Member,
    shared: Arc<Shared>,
    topology: Topology,
    now: Instant,
    work: VecDeque<Work>,
    steps: u32,
}

impl Group {
    fn new() -> Self {
        let config = ConsumerConfig {
            group: Some("g".into()),
            topics: vec!["t".into()],
            session_timeout: Some(Duration::from_secs(45)),
            ..ConsumerConfig::default()
        };
        let shared = Arc::new(Shared::new(Core::new(Arc::new(config))));
        let topic = Topic { name: "t".into(), id: TOPIC, error: ErrorCode::NONE, partitions: Vec::new() };
        let mut topology = Topology::default();
        topology.topics.insert("t".into(), Arc::new(topic));
        let member = Member::new(shared.clone(), "g".into(), 1);
        Self { member, shared, topology, now: clock::now(), work: VecDeque::new(), steps: 0 }
    }

    /// A member that owns partitions 0 and 1, both at offset 5, which is committed.
    fn reading() -> Self {
        let mut group = Self::new();
        group.find();
        group.join();
        group
    }

    /// Joins, and is given partitions 0 and 1, both at offset 5, which is committed.
    fn join(&mut self) {
        let (number, _) = self.heartbeat();
        self.answer_heartbeat(number, 1, Some(&[0, 1]));
        let mut is_told = false;
        while !is_told || self.assignment().is_empty() || self.is_awaiting_offsets() {
            match self.next() {
                Work::Heartbeat { number, .. } => {
                    self.answer_heartbeat(number, 1, None);
                    is_told = true;
                }
                Work::FetchOffsets { asked, .. } => {
                    let committed =
                        |index| CommittedPartition { index, offset: 5, leader_epoch: 0, metadata: None };
                    let found = asked.iter().map(|(_, name)| (committed(name.partition), ErrorCode::NONE));
                    let outcome = Ok(OffsetFetchResponse {
                        throttle_time_ms: 0,
                        group_id: "g".to_owned(),
                        error: ErrorCode::NONE,
                        topics: vec![("t".to_owned(), found.collect())],
                    });
                    self.done(Done::FetchOffsets { asked, outcome });
                }
                other => panic!("not expected of a member that joins: {other:?}"),
            }
        }
        self.idle();
    }

    fn done(&mut self, done: Done) {
        self.member.handle_done(done, self.now);
    }

    fn advance(&mut self) {
        self.steps += 1;
        assert!(self.steps < 1000, "it comes to no end");
        self.member.advance(&self.topology, self.now);
        self.work.extend(std::iter::from_fn(|| self.member.poll_work()));
    }

    /// The next work; time passes only when there is none now.
    fn next(&mut self) -> Work {
        loop {
            self.advance();
            if let Some(work) = self.work.pop_front() {
                return work;
            }
            self.now = self.member.poll_timeout(self.now).expect("something is to be waited for");
        }
    }

    fn idle(&mut self) {
        self.advance();
        assert!(self.work.is_empty(), "{:?}", self.work);
    }

    fn find(&mut self) {
        assert!(matches!(self.next(), Work::FindCoordinator));
        self.done(Done::FindCoordinator(Ok(BROKER)));
        assert!(matches!(self.next(), Work::Connect(BROKER)));
    }

    fn heartbeat(&mut self) -> (u64, ConsumerGroupHeartbeatRequest) {
        match self.next() {
            Work::Heartbeat { number, request } => (number, request),
            other => panic!("a heartbeat was due, not {other:?}"),
        }
    }

    fn answer_heartbeat(&mut self, number: u64, epoch: i32, partitions: Option<&[i32]>) {
        let outcome = Ok(ConsumerGroupHeartbeatResponse {
            throttle_time_ms: 0,
            error: ErrorCode::NONE,
            error_message: None,
            member_id: None,
            member_epoch: epoch,
            heartbeat_interval_ms: 3000,
            assignment: partitions.map(|partitions| vec![(TOPIC, partitions.to_vec())]),
        });
        self.done(Done::Heartbeat { number, outcome });
    }

    fn fail_heartbeat(&mut self, number: u64, error: ErrorCode) {
        let outcome = Ok(ConsumerGroupHeartbeatResponse {
            throttle_time_ms: 0,
            error,
            error_message: None,
            member_id: None,
            member_epoch: 0,
            heartbeat_interval_ms: 0,
            assignment: None,
        });
        self.done(Done::Heartbeat { number, outcome });
    }

    fn commit(&mut self) -> (Vec<CommitEntry>, OffsetCommitRequest) {
        match self.next() {
            Work::Commit { entries, request } => (entries, request),
            other => panic!("a commit was due, not {other:?}"),
        }
    }

    fn answer_commit(&mut self, entries: Vec<CommitEntry>, code: ErrorCode) {
        let codes = entries.iter().map(|entry| (entry.name.partition, code)).collect();
        let outcome = Ok(OffsetCommitResponse { throttle_time_ms: 0, topics: vec![("t".to_owned(), codes)] });
        self.done(Done::Commit { entries, outcome });
    }

    fn lose_commit(&mut self, entries: Vec<CommitEntry>) {
        self.done(Done::Commit { entries, outcome: Err(lost()) });
        assert!(matches!(self.next(), Work::Disconnect));
    }

    /// Has something to commit for `partition`.
    fn seek(&mut self, partition: i32, offset: i64) {
        let name = TopicPartition::new("t", partition);
        self.shared.with(|core| core.seek(&name, offset)).unwrap();
    }

    fn close(&mut self) {
        self.shared.with(Core::close);
        self.member.handle_close();
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.with(|core| core.assignment())
    }

    fn is_awaiting_offsets(&self) -> bool {
        self.shared.with(|core| !core.awaiting_committed().is_empty())
    }

    fn has_dirty(&self) -> bool {
        self.shared.with(|core| core.has_dirty())
    }

    /// What the waiters were told.
    fn answers(&mut self) -> Vec<(u64, Option<Result<(), CommitError>>)> {
        std::iter::from_fn(|| self.member.poll_answer()).collect()
    }
}

fn lost() -> RequestError {
    RequestError::TimedOut { api: "test", after: Duration::ZERO, last: None }
}

fn offsets(entries: &[CommitEntry]) -> Vec<(i32, i64)> {
    entries.iter().map(|entry| (entry.name.partition, entry.offset)).collect()
}

#[test]
fn nothing_is_asked_of_a_coordinator_that_was_not_found() {
    let mut group = Group::new();
    let start = group.now;
    for _ in 0..5 {
        assert!(matches!(group.next(), Work::FindCoordinator));
        group.idle();
        group.done(Done::FindCoordinator(Err(lost())));
    }
    assert!(group.now > start, "there are pauses between the tries");
    group.find();
    assert_eq!(group.heartbeat().1.member_epoch, 0);
}

#[test]
fn a_commit_lost_with_its_connection_is_tried_again_while_the_partitions_are_owned() {
    let mut group = Group::reading();
    group.seek(0, 8);
    group.member.handle_commit_asked(1, group.now);
    let (entries, _) = group.commit();
    group.lose_commit(entries);
    assert!(group.answers().is_empty(), "whoever waits for it waits on");
    group.find();
    let (entries, _) = group.commit();
    assert_eq!(offsets(&entries), [(0, 8)]);
    group.answer_commit(entries, ErrorCode::NONE);
    assert!(matches!(group.answers()[..], [(1, Some(Ok(())))]));
    assert!(!group.has_dirty());
}

#[test]
fn a_waiter_is_told_of_a_commit_that_began_after_it_asked() {
    let mut group = Group::reading();
    group.seek(0, 8);
    group.member.handle_commit_asked(1, group.now);
    let (first, _) = group.commit();
    group.seek(0, 9);
    group.member.handle_commit_asked(2, group.now);
    group.idle();
    group.answer_commit(first, ErrorCode::NONE);
    assert!(matches!(group.answers()[..], [(1, Some(Ok(())))]));
    let (second, _) = group.commit();
    assert_eq!(offsets(&second), [(0, 9)]);
    group.answer_commit(second, ErrorCode::NONE);
    assert!(matches!(group.answers()[..], [(2, Some(Ok(())))]));
}

#[test]
fn what_was_revoked_is_committed_first_and_never_after() {
    let mut group = Group::reading();
    let (number, _) = group.heartbeat();
    group.seek(0, 8);
    group.seek(1, 9);
    group.answer_heartbeat(number, 2, Some(&[0]));
    let (entries, _) = group.commit();
    assert_eq!(offsets(&entries), [(0, 8), (1, 9)]);
    assert_eq!(group.assignment(), [TopicPartition::new("t", 0)]);
    group.idle();
    group.answer_commit(entries, ErrorCode::NONE);
    let (number, request) = group.heartbeat();
    assert_eq!(request.owned, Some(vec![(TOPIC, vec![0])]), "the group hears of it only now");
    group.answer_heartbeat(number, 2, None);
    group.seek(0, 20);
    let (entries, _) = group.commit();
    assert_eq!(offsets(&entries), [(0, 20)]);
}

#[test]
fn a_revoke_whose_commit_is_never_taken_ends_by_its_time() {
    let mut group = Group::reading();
    let (number, _) = group.heartbeat();
    group.seek(1, 9);
    group.answer_heartbeat(number, 2, Some(&[0]));
    let start = group.now;
    loop {
        match group.next() {
            Work::Commit { entries, .. } => {
                assert_eq!(offsets(&entries), [(1, 9)]);
                group.answer_commit(entries, ErrorCode::UNKNOWN_SERVER_ERROR);
            }
            Work::Heartbeat { number, request } => {
                group.answer_heartbeat(number, 2, None);
                if request.owned == Some(vec![(TOPIC, vec![0])]) {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(group.now - start <= Duration::from_secs(31), "{:?}", group.now - start);
    assert!(!group.has_dirty(), "nothing of it is left to be committed");
    group.idle();
}

#[test]
fn a_fenced_commit_commits_nothing_more_and_joins_again() {
    let mut group = Group::reading();
    group.seek(0, 8);
    group.member.handle_commit_asked(1, group.now);
    let (entries, _) = group.commit();
    group.member.handle_commit_asked(2, group.now);
    group.answer_commit(entries, ErrorCode::UNKNOWN_MEMBER_ID);
    let (_, request) = group.heartbeat();
    assert_eq!(request.member_epoch, 0);
    assert!(group.assignment().is_empty() && !group.has_dirty());
    let told = group.answers();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|(_, outcome)| matches!(outcome, Some(Err(CommitError::Lost)))));
}

#[test]
fn an_answer_to_a_commit_of_an_earlier_membership_says_nothing_of_a_later_one() {
    let mut group = Group::reading();
    group.seek(0, 8);
    group.member.handle_commit_asked(1, group.now);
    let (earlier, _) = group.commit();
    group.member.handle_commit_asked(2, group.now);
    let (number, _) = group.heartbeat();
    group.fail_heartbeat(number, ErrorCode::UNKNOWN_MEMBER_ID);
    group.join();
    group.seek(0, 20);
    group.member.handle_commit_asked(3, group.now);
    let (later, _) = group.commit();
    group.answers();
    group.answer_commit(earlier, ErrorCode::NONE);
    group.advance();
    assert!(group.answers().is_empty(), "whoever waits now waits for the later commit");
    group.answer_commit(later, ErrorCode::NONE);
    assert!(matches!(group.answers()[..], [(3, Some(Ok(())))]));
}

#[test]
fn a_coordinator_lost_while_closing_is_looked_for_again() {
    let mut group = Group::reading();
    group.seek(0, 8);
    group.member.handle_commit_asked(1, group.now);
    group.close();
    let (entries, _) = group.commit();
    group.lose_commit(entries);
    group.find();
    let (entries, _) = group.commit();
    assert_eq!(offsets(&entries), [(0, 8)]);
    group.answer_commit(entries, ErrorCode::NONE);
    let (number, request) = group.heartbeat();
    assert_eq!(request.member_epoch, -1, "all is committed: the group is left");
    assert!(!group.member.is_over(group.now));
    group.answer_heartbeat(number, -1, None);
    group.idle();
    assert!(group.member.is_over(group.now));
    assert!(matches!(group.answers()[..], [(1, Some(Ok(())))]));
}

#[test]
fn a_member_that_leaves_without_its_last_commit_commits_nothing_after() {
    let mut group = Group::reading();
    group.seek(0, 8);
    group.close();
    let (entries, _) = group.commit();
    group.answer_commit(entries, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    group.now += Duration::from_secs(6);
    let (_, request) = group.heartbeat();
    assert_eq!(request.member_epoch, -1, "the commit was tried for long enough");
    group.idle();
}

#[test]
fn closing_without_a_coordinator_ends_by_its_deadline() {
    let mut group = Group::reading();
    group.seek(0, 8);
    group.member.handle_commit_asked(1, group.now);
    let (entries, _) = group.commit();
    group.close();
    group.lose_commit(entries);
    let start = group.now;
    while !group.member.is_over(group.now) {
        group.advance();
        match group.work.pop_front() {
            Some(Work::FindCoordinator) => group.done(Done::FindCoordinator(Err(lost()))),
            Some(other) => panic!("nobody is there for it: {other:?}"),
            None => group.now = group.member.poll_timeout(group.now).unwrap(),
        }
    }
    assert_eq!(group.now - start, Duration::from_secs(10));
    group.member.handle_end();
    assert!(matches!(group.answers()[..], [(1, Some(Err(CommitError::Closed)))]));
}
