//! A member of a classic group whose questions are answered by hand, and time is a number.

use super::*;
use crate::{
    cluster::{Partition, Topic},
    net::clock,
    wire::{
        api::{heartbeat::HeartbeatResponse, join_group::JoinedMember, leave_group::LeaveGroupResponse},
        consumer_protocol::encode_assignment,
    },
};
use uuid::Uuid;

const SESSION: Duration = Duration::from_secs(10);

struct Group {
    member: ClassicMembership,
    topology: Topology,
    now: Instant,
}

impl Group {
    fn new(assignor: Assignor) -> Self {
        Self::with(assignor, None)
    }

    fn with(assignor: Assignor, instance_id: Option<&str>) -> Self {
        let config = ClassicConfig {
            group: "g".into(),
            instance_id: instance_id.map(Into::into),
            topics: vec!["t".into()],
            rack: None,
            assignors: vec![assignor],
            rebalance_timeout: Duration::from_secs(60),
            session_timeout: SESSION,
            heartbeat_interval: Duration::from_secs(3),
        };
        let mut member = ClassicMembership::new(config, 1);
        member.handle_coordinator();
        let mut group = Self { member, topology: Topology::default(), now: clock::now() };
        group.grow("t", 4);
        group
    }

    /// A follower in generation 1 that owns partitions 0 and 1.
    fn stable(assignor: Assignor) -> Self {
        let mut group = Self::new(assignor);
        let join = group.join();
        group.answer_join(join, 1);
        let sync = group.sync();
        group.answer_sync(sync, &[0, 1]);
        assert_eq!(group.assigned(), [0, 1]);
        group
    }

    fn grow(&mut self, topic: &str, count: usize) {
        let partition = Partition {
            leader: Some(1),
            leader_epoch: 0,
            replicas: vec![1],
            isr: vec![1],
            error: ErrorCode::NONE,
        };
        let topic = Topic {
            name: topic.into(),
            id: Uuid::from_u128(7),
            error: ErrorCode::NONE,
            partitions: vec![partition; count],
        };
        self.topology.topics.insert(topic.name.clone(), Arc::new(topic));
    }

    /// What is to be done; time passes only where there is nothing to do now.
    fn next(&mut self) -> Action {
        for _ in 0..100 {
            if let Some(action) = self.member.poll_action(&self.topology, self.now) {
                return action;
            }
            self.now = self.member.poll_timeout().expect("something is to be waited for");
        }
        panic!("it comes to no end");
    }

    fn idle(&mut self) {
        let action = self.member.poll_action(&self.topology, self.now);
        assert!(action.is_none(), "{action:?}");
    }

    fn join(&mut self) -> u64 {
        match self.next() {
            Action::Ask { number, question: Question::Join(_) } => number,
            other => panic!("JoinGroup was due, not {other:?}"),
        }
    }

    fn sync(&mut self) -> u64 {
        match self.next() {
            Action::Ask { number, question: Question::Sync(_) } => number,
            other => panic!("SyncGroup was due, not {other:?}"),
        }
    }

    fn heartbeat(&mut self) -> u64 {
        match self.next() {
            Action::Ask { number, question: Question::Heartbeat(_) } => number,
            other => panic!("a heartbeat was due, not {other:?}"),
        }
    }

    fn assigned(&mut self) -> Vec<i32> {
        match self.next() {
            Action::Assign(partitions) => numbers(&partitions),
            other => panic!("an assignment was due, not {other:?}"),
        }
    }

    fn revoked(&mut self) -> Vec<i32> {
        match self.next() {
            Action::Revoke(partitions) => numbers(&partitions),
            other => panic!("a revoke was due, not {other:?}"),
        }
    }

    fn lost(&mut self) -> Vec<i32> {
        match self.next() {
            Action::Lose(partitions) => numbers(&partitions),
            other => panic!("a loss was due, not {other:?}"),
        }
    }

    fn joined(error: ErrorCode, generation_id: i32, protocol: Assignor) -> JoinGroupResponse {
        JoinGroupResponse {
            throttle_time_ms: 0,
            error,
            generation_id,
            protocol_name: error.is_ok().then(|| protocol.name().to_owned()),
            leader: "other".to_owned(),
            skip_assignment: false,
            member_id: "me".to_owned(),
            members: Vec::new(),
        }
    }

    fn answer_join(&mut self, number: u64, generation: i32) {
        let assignor = self.member.config.assignors[0];
        let answer = Self::joined(ErrorCode::NONE, generation, assignor);
        self.member.handle_answer(number, Answer::Join(answer), self.now);
    }

    fn refuse_join(&mut self, number: u64, error: ErrorCode) {
        let answer = Self::joined(error, -1, Assignor::Range);
        self.member.handle_answer(number, Answer::Join(answer), self.now);
    }

    fn answer_sync(&mut self, number: u64, partitions: &[i32]) {
        let assignment = encode_assignment(&vec![("t".to_owned(), partitions.to_vec())]).unwrap();
        self.end_sync(number, ErrorCode::NONE, assignment);
    }

    fn end_sync(&mut self, number: u64, error: ErrorCode, assignment: Bytes) {
        let answer = SyncGroupResponse { throttle_time_ms: 0, error, protocol_name: None, assignment };
        self.member.handle_answer(number, Answer::Sync(answer), self.now);
    }

    fn answer_heartbeat(&mut self, number: u64, error: ErrorCode) {
        let answer = HeartbeatResponse { throttle_time_ms: 0, error };
        self.member.handle_answer(number, Answer::Heartbeat(answer), self.now);
    }
}

fn numbers(partitions: &BTreeSet<TopicPartition>) -> Vec<i32> {
    partitions.iter().map(|name| name.partition).collect()
}

#[test]
fn a_member_without_an_id_is_given_one_and_joins_with_it() {
    let mut group = Group::new(Assignor::Range);
    let Action::Ask { number, question: Question::Join(request) } = group.next() else { panic!() };
    assert_eq!(request.member_id, "");
    group.refuse_join(number, ErrorCode::MEMBER_ID_REQUIRED);
    let Action::Ask { question: Question::Join(request), .. } = group.next() else { panic!() };
    assert_eq!(request.member_id, "me");
    group.idle();
}

#[test]
fn a_cooperative_member_reads_on_while_it_joins_and_gives_back_only_what_moves() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    let beat = group.heartbeat();
    group.answer_heartbeat(beat, ErrorCode::REBALANCE_IN_PROGRESS);
    let join = group.join();
    assert!(group.member.is_joined(), "commits go on under the old generation");
    let beat = group.heartbeat();
    group.answer_heartbeat(beat, ErrorCode::REBALANCE_IN_PROGRESS);
    group.answer_join(join, 2);
    let sync = group.sync();
    assert!(!group.member.is_joined());
    group.answer_sync(sync, &[1]);
    assert_eq!(group.revoked(), [0]);
    assert!(group.member.is_joined(), "what is finished of it can be committed");
    group.idle();
    group.member.handle_revoked();
    let Action::Ask { question: Question::Join(request), .. } = group.next() else { panic!() };
    let told = Subscription::decode(request.protocols[0].1.clone()).unwrap();
    assert_eq!((told.owned, told.generation), (vec![("t".to_owned(), vec![1])], 2));
}

#[test]
fn an_eager_member_gives_all_back_before_it_joins() {
    let mut group = Group::stable(Assignor::Range);
    let beat = group.heartbeat();
    group.answer_heartbeat(beat, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(group.revoked(), [0, 1]);
    let beat = group.heartbeat();
    group.answer_heartbeat(beat, ErrorCode::REBALANCE_IN_PROGRESS);
    group.idle();
    group.member.handle_revoked();
    let join = group.join();
    group.answer_join(join, 2);
    let sync = group.sync();
    group.answer_sync(sync, &[1, 2]);
    assert_eq!(group.assigned(), [1, 2]);
}

#[test]
fn promise_22_answers_of_an_earlier_generation_change_nothing() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    let late = group.heartbeat();
    let mut others = Group::stable(Assignor::CooperativeSticky);
    // It hears by a commit that it is to look; the first heartbeat's answer is under way.
    group.member.join_again(group.now);
    let join = group.join();
    group.answer_heartbeat(late, ErrorCode::ILLEGAL_GENERATION);
    group.idle();
    group.answer_join(join, 2);
    group.answer_join(join, 7);
    let sync = group.sync();
    group.answer_sync(sync, &[0, 1]);
    assert_eq!(group.member.generation(), 2);
    group.answer_heartbeat(late, ErrorCode::UNKNOWN_MEMBER_ID);
    group.answer_sync(sync, &[]);
    group.refuse_join(join, ErrorCode::UNKNOWN_MEMBER_ID);
    group.idle();
    assert_eq!(group.member.owned.len(), 2);

    let beat = others.heartbeat();
    others.answer_heartbeat(beat, ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(others.lost(), [0, 1], "of its own generation it is the last word");
    let Action::Ask { question: Question::Join(request), .. } = others.next() else { panic!() };
    assert_eq!(request.member_id, "me", "the id is kept");
}

#[test]
fn an_unknown_member_loses_all_and_joins_as_another_after_a_pause() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    let beat = group.heartbeat();
    let start = group.now;
    group.answer_heartbeat(beat, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(group.lost(), [0, 1]);
    group.idle();
    let Action::Ask { question: Question::Join(request), .. } = group.next() else { panic!() };
    assert_eq!(request.member_id, "");
    assert!(group.now > start);
}

#[test]
fn promise_21_without_a_good_heartbeat_all_is_lost_when_the_session_ends() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    let beat = group.heartbeat();
    let sent_at = group.now;
    group.now += Duration::from_secs(1);
    group.answer_heartbeat(beat, ErrorCode::NONE);
    let beat = group.heartbeat();
    group.member.handle_no_answer(beat, group.now);
    assert!(matches!(group.next(), Action::FindCoordinator));
    assert_eq!(group.lost(), [0, 1]);
    assert_eq!(group.now, sent_at + SESSION, "counted from when the last good one was sent");
    assert!(!group.member.is_joined());
}

#[test]
fn a_member_that_waits_for_the_others_is_fenced_only_when_heartbeats_are_not_answered() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    group.member.join_again(group.now);
    let join = group.join();
    let start = group.now;
    while group.now < start + 3 * SESSION {
        let beat = group.heartbeat();
        group.answer_heartbeat(beat, ErrorCode::REBALANCE_IN_PROGRESS);
    }
    let _unanswered = group.heartbeat();
    assert_eq!(group.lost(), [0, 1]);
    // What it is given after that is its own.
    group.answer_join(join, 2);
    let sync = group.sync();
    group.answer_sync(sync, &[0, 1]);
    assert_eq!(group.assigned(), [0, 1]);
}

#[test]
fn a_lost_sync_is_made_up_for_by_joining_again() {
    let mut group = Group::new(Assignor::CooperativeSticky);
    let join = group.join();
    group.answer_join(join, 1);
    let sync = group.sync();
    group.member.handle_no_answer(sync, group.now);
    assert!(matches!(group.next(), Action::FindCoordinator));
    group.member.handle_coordinator();
    group.answer_sync(sync, &[0]);
    group.join();
}

#[test]
fn the_leader_waits_for_topics_of_others_and_joins_again_when_there_are_more_partitions() {
    let mut group = Group::new(Assignor::CooperativeSticky);
    let join = group.join();
    let metadata = |topics: &[&str]| {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Subscription { topics, generation: -1, ..Subscription::default() }.encode().unwrap()
    };
    let member =
        |id: &str, metadata| JoinedMember { member_id: id.to_owned(), group_instance_id: None, metadata };
    let mut answer = Group::joined(ErrorCode::NONE, 1, Assignor::CooperativeSticky);
    answer.leader = "me".to_owned();
    answer.members = vec![
        member("me", metadata(&["t"])),
        member("other", metadata(&["t", "u"])),
        member("odd", Bytes::from_static(b"?")),
    ];
    group.member.handle_answer(join, Answer::Join(answer), group.now);
    assert!(matches!(group.next(), Action::LearnTopics(names) if names == ["u".into()]));
    group.idle();
    assert!(group.member.wants_topics());
    group.grow("u", 2);
    let Action::Ask { number, question: Question::Sync(request) } = group.next() else { panic!() };
    let given: Vec<_> = request
        .assignments
        .iter()
        .map(|(id, bytes)| (id.as_str(), named(decode_assignment(bytes.clone()).unwrap()).len()))
        .collect();
    assert_eq!(given, [("me", 3), ("odd", 0), ("other", 3)]);
    group.answer_sync(number, &[0, 1, 2]);
    assert_eq!(group.assigned(), [0, 1, 2]);
    group.idle();
    group.grow("u", 3);
    group.join();
}

#[test]
fn a_fenced_instance_is_the_end_and_does_not_leave() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    let beat = group.heartbeat();
    group.answer_heartbeat(beat, ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(group.lost(), [0, 1]);
    assert!(matches!(group.next(), Action::Fail { code: ErrorCode::FENCED_INSTANCE_ID, .. }));
    group.member.leave();
    group.idle();
    assert!(group.member.is_over());
}

#[test]
fn a_dynamic_member_leaves_and_a_static_one_does_not() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    group.member.leave();
    let Action::Ask { number, question: Question::Leave(request) } = group.next() else { panic!() };
    assert_eq!(request.member_id, "me");
    let answer = LeaveGroupResponse { throttle_time_ms: 0, error: ErrorCode::NONE, errors: vec![] };
    group.member.handle_answer(number, Answer::Leave(answer), group.now);
    assert!(group.member.is_over());

    let mut group = Group::with(Assignor::CooperativeSticky, Some("one"));
    let join = group.join();
    group.answer_join(join, 1);
    group.member.leave();
    group.idle();
    assert!(group.member.is_over());
}

#[test]
fn an_id_that_comes_while_it_leaves_is_given_back() {
    let mut group = Group::new(Assignor::Range);
    let join = group.join();
    group.member.leave();
    group.idle();
    assert!(!group.member.is_over());
    group.refuse_join(join, ErrorCode::MEMBER_ID_REQUIRED);
    let Action::Ask { question: Question::Leave(request), .. } = group.next() else { panic!() };
    assert_eq!(request.member_id, "me");
}

#[test]
fn a_generation_that_ends_before_it_is_complete_is_joined_anew_and_all_is_kept() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    group.member.join_again(group.now);
    let join = group.join();
    group.answer_join(join, 2);
    let (sync, start) = (group.sync(), group.now);
    group.end_sync(sync, ErrorCode::REBALANCE_IN_PROGRESS, Bytes::new());
    group.join();
    assert_eq!((group.now, group.member.owned.len()), (start, 2));
}

#[test]
fn an_assignment_that_cannot_be_read_changes_nothing() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    group.member.join_again(group.now);
    let join = group.join();
    group.answer_join(join, 2);
    let (sync, start) = (group.sync(), group.now);
    group.end_sync(sync, ErrorCode::NONE, Bytes::from_static(b"?"));
    group.join();
    assert_eq!(group.member.owned.len(), 2);
    assert!(group.now > start, "after a pause");
}

#[test]
fn an_assignor_that_was_not_offered_makes_no_generation() {
    let mut group = Group::new(Assignor::Range);
    let join = group.join();
    let answer = Group::joined(ErrorCode::NONE, 1, Assignor::RoundRobin);
    group.member.handle_answer(join, Answer::Join(answer), group.now);
    group.idle();
    assert_eq!(group.member.generation(), NO_GENERATION);
    group.join();
}

#[test]
fn a_coordinator_that_moved_is_looked_for_and_nothing_is_given_up() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    let beat = group.heartbeat();
    group.answer_heartbeat(beat, ErrorCode::NOT_COORDINATOR);
    assert!(matches!(group.next(), Action::FindCoordinator));
    group.idle();
    group.member.handle_coordinator();
    let beat = group.heartbeat();
    group.answer_heartbeat(beat, ErrorCode::NONE);
    group.idle();
    assert_eq!((group.member.generation(), group.member.owned.len()), (1, 2));
}

#[test]
fn a_stale_commit_brings_the_next_heartbeat_forward() {
    let mut group = Group::stable(Assignor::CooperativeSticky);
    let start = group.now;
    group.member.handle_stale(start);
    group.heartbeat();
    assert_eq!(group.now, start + RETRY_MIN);
}

/// KIP-814: the broker keeps what the instance had, and asks nothing of it.
#[test]
fn a_static_leader_that_is_back_divides_nothing() {
    let mut group = Group::with(Assignor::CooperativeSticky, Some("one"));
    let join = group.join();
    let mut answer = Group::joined(ErrorCode::NONE, 1, Assignor::CooperativeSticky);
    answer.leader = "me".to_owned();
    answer.skip_assignment = true;
    group.member.handle_answer(join, Answer::Join(answer), group.now);
    let Action::Ask { number, question: Question::Sync(request) } = group.next() else { panic!() };
    assert!(request.assignments.is_empty());
    group.answer_sync(number, &[0, 1]);
    assert_eq!(group.assigned(), [0, 1]);
}
