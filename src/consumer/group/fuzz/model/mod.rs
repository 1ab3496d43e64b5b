//! A member of a group against a coordinator that knows what it has given, and when it was given back: what must hold.

mod operating;

use super::{GROUP, TOPIC, shared, topology};
use crate::{
    cluster::Topology,
    consumer::{
        core::CommitEntry,
        group::{
            committed::Asked,
            member::Member,
            membership::OwnedPartition,
            work::{Done, Work},
        },
        shared::Shared,
    },
    error::ErrorCode,
    wire::{
        api::{consumer_group_heartbeat::ConsumerGroupHeartbeatRequest, offset_commit::OffsetCommitRequest},
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
/// What may be asked for at once: as in `answers`.
const WORK_MAX: usize = 16;

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
            let is_classic = matches!(work, Work::LearnTopics(_) | Work::Classic { .. });
            assert!(!is_classic, "the broker knows KIP-848");
            match work {
                Work::FindCoordinator => {
                    assert!(!self.is_finding, "it is being looked for already");
                    self.is_finding = true;
                }
                Work::Connect(_)
                | Work::Disconnect
                | Work::RefreshMetadata
                | Work::ReadSessionTimeout(_)
                | Work::LearnTopics(_)
                | Work::Classic { .. } => {}
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
}

/// Those by which a member learns that it is none.
const FENCED: [ErrorCode; 2] = [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::FENCED_MEMBER_EPOCH];
/// Those after which a member does not try again.
const LAST_WORDS: [ErrorCode; 4] = [
    ErrorCode::GROUP_AUTHORIZATION_FAILED,
    ErrorCode::INVALID_REQUEST,
    ErrorCode::GROUP_ID_NOT_FOUND,
    ErrorCode(112),
];
