//! A member of a group against a coordinator that knows what it has given, and when it was given back.

use super::{BROKER, GROUP, NAME, TOPIC, UNKNOWN_TOPIC, no_answer, shared, topology};
use crate::{
    cluster::Topology,
    consumer::{
        core::{CommitEntry, Core},
        group::{
            committed::Asked,
            member::Member,
            membership::OwnedPartition,
            work::{Done, Work},
        },
        record::TopicPartition,
        shared::Shared,
    },
    error::ErrorCode,
    wire::{
        api::{
            consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse},
            offset_commit::{CommittedPartition, OffsetCommitRequest, OffsetCommitResponse},
            offset_fetch::OffsetFetchResponse,
        },
        fuzz::Choices,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// A revoke that takes longer than this gives up on its last commit.
const REVOKE_TIME: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(3000);
/// What may be asked for at once: as in `answers`.
const WORK_MAX: usize = 16;
/// How long a coordinator that behaves has to bring a member to rest, and the requests it may take to do so.
const REST_TIME: Duration = Duration::from_secs(120);
const REST_REQUESTS_MAX: usize = 150;

/// Runs a member by the bytes: answers in any order, late, lost or refused, partitions given and taken, time, commits.
///
/// # Panics
///
/// If the member carries an epoch it was not given, has two heartbeats under way, delivers or commits what is no longer
/// its own, delivers past its session, tells somebody who waits too early, twice or never, asks without an end, or does
/// not come to rest once the coordinator behaves.
pub fn check_membership_ops(data: &[u8], start: Instant) {
    let mut run = Run::new(Choices(data), start);
    run.advance();
    while let Some(op) = run.input.next() {
        run.step(op);
        run.advance();
        if run.member.is_over(run.now) {
            break;
        }
    }
    if !run.is_closed && !run.is_refused {
        run.come_to_rest();
    }
    run.member.handle_end();
    run.take_answers();
    assert!(run.waiting.is_empty(), "everybody who waits is told in the end");
}

struct Heartbeat {
    number: u64,
    request: ConsumerGroupHeartbeatRequest,
    sent_at: Instant,
}

struct Commit {
    number: usize,
    entries: Vec<CommitEntry>,
    /// A revoke has waited for it for long enough.
    is_given_up: bool,
}

struct Run<'a> {
    input: Choices<'a>,
    member: Member,
    shared: Arc<Shared>,
    topology: Topology,
    now: Instant,
    is_finding: bool,
    is_closed: bool,
    is_refused: bool,
    is_commit_refused: bool,
    /// Unanswered, in the order in which they were sent.
    heartbeats: VecDeque<Heartbeat>,
    /// The one that the member waits for, which an earlier membership's is not.
    live_heartbeat: Option<u64>,
    commits: VecDeque<Commit>,
    live_commit: Option<usize>,
    fetches: VecDeque<Asked>,
    /// As the last answer said.
    epoch: i32,
    target: BTreeSet<OwnedPartition>,
    /// What the group counts as this member's: given, and not given back.
    mine: BTreeSet<OwnedPartition>,
    /// When an answer first left out what is still `mine`, whether or not a later one names it again.
    revoked_at: BTreeMap<OwnedPartition, Instant>,
    /// When the last heartbeat that was answered well was sent.
    good_since: Option<Instant>,
    requests: usize,
    begun_commits: usize,
    /// The last commit of which all was taken.
    taken_commit: usize,
    /// Who waits for a commit, and how many commits had begun when it asked.
    waiting: BTreeMap<u64, usize>,
    last_waiter: u64,
}

impl<'a> Run<'a> {
    fn new(input: Choices<'a>, now: Instant) -> Self {
        let shared = shared(Some(SESSION_TIMEOUT));
        Self {
            input,
            member: Member::new(shared.clone(), GROUP.into(), 1),
            shared,
            topology: topology(),
            now,
            is_finding: false,
            is_closed: false,
            is_refused: false,
            is_commit_refused: false,
            heartbeats: VecDeque::new(),
            live_heartbeat: None,
            commits: VecDeque::new(),
            live_commit: None,
            fetches: VecDeque::new(),
            epoch: 0,
            target: BTreeSet::new(),
            mine: BTreeSet::new(),
            revoked_at: BTreeMap::new(),
            good_since: None,
            requests: 0,
            begun_commits: 0,
            taken_commit: 0,
            waiting: BTreeMap::new(),
            last_waiter: 0,
        }
    }

    fn step(&mut self, op: u8) {
        match op % 20 {
            0..=4 => {
                let epoch = self.chosen_epoch();
                let assignment = self.chosen_assignment();
                let is_newest = !self.input.byte().is_multiple_of(8);
                self.answer_heartbeat(is_newest, ErrorCode::NONE, epoch, assignment);
            }
            5 => {
                let code = self.input.one(&HEARTBEAT_CODES);
                self.answer_heartbeat(true, ErrorCode(code), 0, None);
            }
            6 => self.lose_heartbeat(),
            7 | 8 => self.now += Duration::from_millis(20) * u32::from(self.input.byte()),
            9 | 10 => {
                if let Some(at) = self.member.poll_timeout(self.now) {
                    self.now = at;
                }
            }
            11 => self.now += Duration::from_secs(1) * u32::from(self.input.byte() % 60),
            12 => {
                let is_found = !self.input.byte().is_multiple_of(8);
                self.find(is_found);
            }
            13 => self.answer_fetch(),
            14 => self.answer_commit(),
            15 | 16 => {
                let (index, offset) = (i32::from(self.input.byte() % 4), i64::from(self.input.byte()));
                let name = TopicPartition::new(NAME, index);
                let _not_assigned = self.shared.with(|core| core.seek(&name, offset));
            }
            17 => {
                self.last_waiter += 1;
                self.waiting.insert(self.last_waiter, self.begun_commits);
                self.member.handle_commit_asked(self.last_waiter, self.now);
            }
            18 => self.find(true),
            _ => {
                if self.input.byte() == 0xff {
                    self.is_closed = true;
                    self.shared.with(Core::close);
                    self.member.handle_close();
                }
            }
        }
    }

    fn chosen_epoch(&mut self) -> i32 {
        match self.input.byte() {
            0xff => 0,
            0xfe => -5,
            0xfd => i32::MAX,
            rise => self.epoch.saturating_add(i32::from(rise % 3)).max(1),
        }
    }

    /// Six bits say which partitions; another that nothing has changed.
    fn chosen_assignment(&mut self) -> Option<BTreeSet<OwnedPartition>> {
        let bits = self.input.byte();
        let all = [(TOPIC, 0), (TOPIC, 1), (TOPIC, 2), (TOPIC, 3), (UNKNOWN_TOPIC, 0), (UNKNOWN_TOPIC, 1)];
        let chosen = all.into_iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
        (bits & 0x80 == 0).then(|| chosen.map(|(_, partition)| partition).collect())
    }

    fn answer_heartbeat(
        &mut self,
        is_newest: bool,
        error: ErrorCode,
        member_epoch: i32,
        assignment: Option<BTreeSet<OwnedPartition>>,
    ) {
        let heartbeat = if is_newest { self.heartbeats.pop_back() } else { self.heartbeats.pop_front() };
        let Some(Heartbeat { number, request, sent_at }) = heartbeat else { return };
        if self.live_heartbeat.take_if(|live| *live == number).is_some() && request.member_epoch >= 0 {
            let is_join = request.member_epoch == 0;
            self.take_heartbeat_answer(is_join, error, member_epoch, assignment.as_ref(), sent_at);
        }
        let answer = ConsumerGroupHeartbeatResponse {
            throttle_time_ms: 0,
            error,
            error_message: None,
            member_id: None,
            member_epoch,
            heartbeat_interval_ms: 3000,
            assignment: assignment.as_ref().map(by_topic),
        };
        self.done(Done::Heartbeat { number, outcome: Ok(answer) });
    }

    fn take_heartbeat_answer(
        &mut self,
        is_join: bool,
        error: ErrorCode,
        member_epoch: i32,
        assignment: Option<&BTreeSet<OwnedPartition>>,
        sent_at: Instant,
    ) {
        match error {
            code if FENCED.contains(&code) => self.end_membership(),
            ErrorCode::GROUP_ID_NOT_FOUND if !is_join => self.end_membership(),
            code if LAST_WORDS.contains(&code) => self.is_refused = true,
            _ => {}
        }
        if !error.is_ok() || member_epoch <= 0 {
            return;
        }
        self.epoch = member_epoch;
        self.good_since = Some(sent_at);
        if let Some(assignment) = assignment {
            self.target.clone_from(assignment);
            self.mine.extend(assignment);
            for left_out in self.mine.difference(assignment) {
                self.revoked_at.entry(*left_out).or_insert(self.now);
            }
        }
    }

    fn lose_heartbeat(&mut self) {
        if let Some(Heartbeat { number, .. }) = self.heartbeats.pop_back() {
            self.live_heartbeat.take_if(|live| *live == number);
            self.done(Done::Heartbeat { number, outcome: Err(no_answer()) });
        }
    }

    fn find(&mut self, is_found: bool) {
        if std::mem::take(&mut self.is_finding) {
            self.done(Done::FindCoordinator(if is_found { Ok(BROKER) } else { Err(no_answer()) }));
        }
    }

    fn answer_fetch(&mut self) {
        let Some(asked) = self.fetches.pop_front() else { return };
        let choice = self.input.byte();
        let code = ErrorCode(self.input.one(&[0, 0, 0, 0, 88, 14, 16, 25, 113]));
        let offset = i64::from(choice) - 1;
        let found =
            asked.iter().filter(|(_, name)| choice & (1 << name.partition) != 0 || choice & 0x80 != 0);
        let found = found.map(|(_, name)| {
            let index = name.partition;
            (CommittedPartition { index, offset, leader_epoch: 0, metadata: None }, code)
        });
        let topics = vec![(NAME.to_owned(), found.collect())];
        let error = if choice & 0x40 == 0 { ErrorCode::NONE } else { code };
        let answer = OffsetFetchResponse { throttle_time_ms: 0, group_id: GROUP.to_owned(), error, topics };
        let is_lost = choice == 0xff;
        if !is_lost && FENCED.contains(&error) {
            self.end_membership();
        }
        let outcome = if is_lost { Err(no_answer()) } else { Ok(answer) };
        self.done(Done::FetchOffsets { asked, outcome });
    }

    fn answer_commit(&mut self) {
        let is_newest = !self.input.byte().is_multiple_of(4);
        let code = self.input.one(&[0, 0, 0, 0, 0, 14, 16, 25, 110, 113, 27, 29, -1, LOST]);
        let commit = if is_newest { self.commits.pop_back() } else { self.commits.pop_front() };
        let Some(Commit { number, entries, .. }) = commit else { return };
        let is_live = self.live_commit.take_if(|live| *live == number).is_some();
        if code == LOST {
            self.done(Done::Commit { entries, outcome: Err(no_answer()) });
            return;
        }
        if is_live && code == 0 {
            self.taken_commit = number;
        }
        // It is not tried again, until there is something new to commit.
        self.is_commit_refused |= REFUSED.contains(&code);
        if is_live && FENCED.contains(&ErrorCode(code)) {
            self.end_membership();
        }
        let codes = entries.iter().map(|entry| (entry.name.partition, ErrorCode(code))).collect();
        let answer = OffsetCommitResponse { throttle_time_ms: 0, topics: vec![(NAME.to_owned(), codes)] };
        self.done(Done::Commit { entries, outcome: Ok(answer) });
    }

    fn done(&mut self, done: Done) {
        self.member.handle_done(done, self.now);
        self.take_answers();
    }

    fn advance(&mut self) {
        self.member.advance(&self.topology, self.now);
        let mut given = 0;
        while let Some(work) = self.member.poll_work() {
            given += 1;
            self.requests += 1;
            match work {
                Work::FindCoordinator => {
                    assert!(!self.is_finding, "it is being looked for already");
                    self.is_finding = true;
                }
                Work::Connect(_) | Work::Disconnect | Work::RefreshMetadata | Work::ReadSessionTimeout(_) => {
                }
                Work::Heartbeat { number, request } => self.take_heartbeat(number, request),
                Work::FetchOffsets { asked, request } => {
                    assert!(request.member_epoch > 0 && request.member_epoch == self.epoch);
                    self.fetches.push_back(asked);
                }
                Work::Commit { entries, request } => self.take_commit(entries, &request),
            }
        }
        assert!(given <= WORK_MAX, "{given} things at once");
        self.take_answers();
        self.check_delivered();
    }

    fn take_heartbeat(&mut self, number: u64, request: ConsumerGroupHeartbeatRequest) {
        match request.member_epoch {
            0 => self.end_membership(),
            -1 => {
                // What is under way when it leaves by itself is answered still, and whoever waits for it is told.
                let last_commit = self.live_commit.filter(|_| self.is_closed);
                self.end_membership();
                self.live_commit = last_commit;
            }
            epoch => {
                assert!(self.live_heartbeat.is_none(), "one heartbeat is unanswered at most");
                assert_eq!(epoch, self.epoch, "the epoch is the one that was given last");
            }
        }
        if let Some(owned) = &request.owned {
            let owned: BTreeSet<OwnedPartition> = owned
                .iter()
                .flat_map(|(topic, indexes)| indexes.iter().map(|index| (*topic, *index)))
                .collect();
            let given_back: BTreeSet<_> = self
                .mine
                .iter()
                .filter(|p| !owned.contains(p) && !self.target.contains(p))
                .copied()
                .collect();
            let live_commit = self.live_commit;
            for commit in self.commits.iter_mut().filter(|commit| live_commit == Some(commit.number)) {
                for (topic, index) in &given_back {
                    let is_held =
                        *topic == TOPIC && commit.entries.iter().any(|e| e.name.partition == *index);
                    let since = self.revoked_at.get(&(*topic, *index));
                    commit.is_given_up |=
                        is_held && since.is_none_or(|&since| self.now - since >= REVOKE_TIME);
                    assert!(!is_held || commit.is_given_up, "it is given back while its commit is under way");
                }
            }
            for partition in &given_back {
                self.mine.remove(partition);
                self.revoked_at.remove(partition);
            }
        }
        self.live_heartbeat = Some(number);
        self.heartbeats.push_back(Heartbeat { number, request, sent_at: self.now });
    }

    fn take_commit(&mut self, entries: Vec<CommitEntry>, request: &OffsetCommitRequest) {
        assert!(request.generation_or_member_epoch > 0, "a member commits, or nobody");
        assert_eq!(request.generation_or_member_epoch, self.epoch);
        for entry in &entries {
            assert!(
                self.mine.contains(&(TOPIC, entry.name.partition)),
                "{} is no longer its own",
                entry.name
            );
        }
        self.begun_commits += 1;
        self.live_commit = Some(self.begun_commits);
        self.commits.push_back(Commit { number: self.begun_commits, entries, is_given_up: false });
    }

    fn end_membership(&mut self) {
        self.epoch = 0;
        self.target.clear();
        self.mine.clear();
        self.revoked_at.clear();
        self.good_since = None;
        self.live_heartbeat = None;
        self.live_commit = None;
    }

    fn check_delivered(&mut self) {
        let delivered = self.shared.with(|core| core.assignment());
        if self.good_since.is_some_and(|since| self.now >= since + SESSION_TIMEOUT) {
            self.end_membership();
        }
        // Once it is closed, nothing is handed out, whatever is left of the assignment.
        for name in delivered.into_iter().filter(|_| !self.is_closed) {
            assert!(self.mine.contains(&(TOPIC, name.partition)), "{name} is delivered and not its own");
        }
    }

    fn take_answers(&mut self) {
        while let Some((id, outcome)) = self.member.poll_answer() {
            let asked_after = self.waiting.remove(&id);
            assert!(asked_after.is_some(), "{id} is told twice");
            if let Some(Ok(())) = outcome {
                let is_taken = asked_after.is_some_and(|begun| self.taken_commit > begun);
                assert!(is_taken || !self.shared.with(|core| core.has_dirty()), "{id} is told too early");
            }
        }
    }

    /// From here on the coordinator behaves, and gives two partitions.
    fn come_to_rest(&mut self) {
        let given = BTreeSet::from([(TOPIC, 0), (TOPIC, 1)]);
        let (start, mut steps) = (self.now, 0);
        self.requests = 0;
        self.heartbeats.drain(..self.heartbeats.len().saturating_sub(1));
        while self.now < start + REST_TIME {
            steps += 1;
            assert!(steps < 1000 && self.requests <= REST_REQUESTS_MAX, "{} requests", self.requests);
            self.find(true);
            if let Some(heartbeat) = self.heartbeats.back() {
                let epoch = if heartbeat.request.member_epoch < 0 { -1 } else { self.epoch.max(1) };
                self.answer_heartbeat(true, ErrorCode::NONE, epoch, Some(given.clone()));
            }
            while let Some(asked) = self.fetches.pop_front() {
                let found = asked.iter().map(|(_, name)| {
                    let index = name.partition;
                    (
                        CommittedPartition { index, offset: 5, leader_epoch: 0, metadata: None },
                        ErrorCode::NONE,
                    )
                });
                let topics = vec![(NAME.to_owned(), found.collect())];
                let (error, group_id) = (ErrorCode::NONE, GROUP.to_owned());
                let answer = OffsetFetchResponse { throttle_time_ms: 0, group_id, error, topics };
                self.done(Done::FetchOffsets { asked, outcome: Ok(answer) });
            }
            while let Some(Commit { number, entries, .. }) = self.commits.pop_front() {
                if self.live_commit.take_if(|live| *live == number).is_some() {
                    self.taken_commit = number;
                }
                let codes = entries.iter().map(|entry| (entry.name.partition, ErrorCode::NONE)).collect();
                let topics = vec![(NAME.to_owned(), codes)];
                let outcome = Ok(OffsetCommitResponse { throttle_time_ms: 0, topics });
                self.done(Done::Commit { entries, outcome });
            }
            self.advance();
            let is_asked = self.is_finding
                || !self.heartbeats.is_empty()
                || !self.fetches.is_empty()
                || !self.commits.is_empty();
            if !is_asked {
                let at = self.member.poll_timeout(self.now);
                self.now = at.unwrap_or(start + REST_TIME);
            }
        }
        let mut delivered = self.shared.with(|core| core.assignment());
        delivered.sort();
        assert_eq!(delivered, [TopicPartition::new(NAME, 0), TopicPartition::new(NAME, 1)]);
        let is_dirty = self.shared.with(|core| core.has_dirty());
        assert!(!is_dirty || self.is_commit_refused, "all is committed");
        assert!(self.requests >= usize::try_from(REST_TIME.as_secs() / INTERVAL.as_secs()).unwrap_or(0) / 2);
    }
}

fn by_topic(partitions: &BTreeSet<OwnedPartition>) -> Vec<(uuid::Uuid, Vec<i32>)> {
    let mut topics: BTreeMap<uuid::Uuid, Vec<i32>> = BTreeMap::new();
    for &(topic, index) in partitions {
        topics.entry(topic).or_default().push(index);
    }
    topics.into_iter().collect()
}

/// Load in progress, no coordinator, another coordinator, unknown member, fenced, not authorized, invalid request,
/// unknown error, group not found, unsupported assignor, timed out.
const HEARTBEAT_CODES: [i16; 13] = [14, 15, 16, 25, 110, 25, 110, 30, 42, -1, 69, 112, 7];
/// Those by which a member learns that it is none.
const FENCED: [ErrorCode; 2] = [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::FENCED_MEMBER_EPOCH];
/// Those after which a member does not try again.
const LAST_WORDS: [ErrorCode; 4] = [
    ErrorCode::GROUP_AUTHORIZATION_FAILED,
    ErrorCode::INVALID_REQUEST,
    ErrorCode::GROUP_ID_NOT_FOUND,
    ErrorCode(112),
];
/// Codes by which a commit is refused for good.
const REFUSED: [i16; 2] = [27, 29];
/// No code: the answer does not come.
const LOST: i16 = 1000;
