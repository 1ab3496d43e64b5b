//! Commits of what is finished: what they say, what their answers mean, and who is told of it.
//!
//! [`Commits`] decides when one begins. Invariants: whoever asked for a commit (a waiter) is told exactly once, of a
//! commit that began after it asked, or that nothing is left to commit; what the broker has not taken stays to be
//! committed, unless it refused it for good; an answer that comes after the membership ended changes nothing.

use super::{
    commits::Commits,
    request::{Identity, Setback, by_topic},
};
use crate::{
    consumer::{config::ConsumerConfig, core::CommitEntry, error::CommitError, shared::Shared},
    error::{ErrorCode, RequestError},
    wire::api::offset_commit::{CommittedPartition, OffsetCommitRequest, OffsetCommitResponse},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Who asked for a commit; a number of the task's choice.
pub(crate) type WaiterId = u64;

/// What a waiter is told. `None`: it has waited long enough, and nothing is known.
pub(crate) type CommitAnswer = (WaiterId, Option<Result<(), CommitError>>);

#[derive(Debug)]
struct Waiter {
    id: WaiterId,
    until: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Committing {
    shared: Arc<Shared>,
    group: Arc<str>,
    is_member: bool,
    commits: Commits,
    /// Who waits for the next commit, and for the one under way.
    waiting: Vec<Waiter>,
    committing: Vec<Waiter>,
    /// What the commit under way says; that of an earlier membership named other assignments.
    under_way: Vec<CommitEntry>,
    answers: VecDeque<CommitAnswer>,
}

impl Committing {
    pub(crate) fn new(shared: Arc<Shared>, group: Arc<str>, config: &ConsumerConfig, seed: u64) -> Self {
        Self {
            shared,
            group,
            is_member: config.is_member(),
            commits: Commits::new(config.commit_interval, seed),
            waiting: Vec::new(),
            committing: Vec::new(),
            under_way: Vec::new(),
            answers: VecDeque::new(),
        }
    }

    /// A commit is wanted now; nobody waits for it.
    pub(crate) fn request(&mut self) {
        self.commits.request();
    }

    /// Somebody waits for a commit of what is finished now.
    pub(crate) fn handle_asked(&mut self, id: WaiterId, now: Instant) {
        self.commits.request();
        self.waiting.push(Waiter { id, until: now + COMMIT_WAIT });
    }

    /// Looks whether there is something to commit.
    pub(crate) fn take_notice(&mut self, now: Instant) {
        let (is_noticed, is_urgent) = self.shared.with(|core| core.commit_notice());
        if is_noticed {
            self.commits.handle_notice(is_urgent, now);
        }
    }

    /// A heartbeat was answered well: a commit that was held back for a newer epoch may begin.
    pub(crate) fn handle_heartbeat(&mut self) {
        self.commits.handle_heartbeat();
    }

    /// The membership ended: nothing that it owned can be committed.
    pub(crate) fn lose(&mut self) {
        self.commits.reset();
        for waiter in self.committing.drain(..).chain(self.waiting.drain(..)) {
            self.answers.push_back((waiter.id, Some(Err(CommitError::Lost))));
        }
    }

    /// Nothing will be committed any more.
    pub(crate) fn end(&mut self) {
        let outcome = if self.has_dirty() { Err(CommitError::Closed) } else { Ok(()) };
        self.committing.append(&mut self.waiting);
        self.end_committing(&outcome);
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.commits.is_in_flight()
    }

    /// Whether something finished is not committed yet.
    pub(crate) fn has_dirty(&self) -> bool {
        self.shared.with(|core| core.has_dirty())
    }

    /// What to ask the coordinator to take now, if anything. It counts as under way then.
    pub(crate) fn poll_request(
        &mut self,
        identity: Option<Identity>,
        now: Instant,
    ) -> Option<(Vec<CommitEntry>, OffsetCommitRequest)> {
        if !self.waiting.is_empty() && !self.commits.is_in_flight() && !self.has_dirty() {
            let told = self.waiting.drain(..).map(|waiter| (waiter.id, Some(Ok(()))));
            self.answers.extend(told);
        }
        let Identity { member_id, epoch, instance_id } = identity?;
        if !self.commits.poll_begin(now) {
            return None;
        }
        self.committing.append(&mut self.waiting);
        let entries = self.shared.with(|core| core.commit_entries());
        if entries.is_empty() {
            self.commits.handle_done();
            self.end_committing(&Ok(()));
            return None;
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
            group_instance_id: instance_id,
            topics: by_topic(offsets),
        };
        self.under_way.clone_from(&entries);
        Some((entries, request))
    }

    /// What came of the commit of `entries`.
    pub(crate) fn handle_answer(
        &mut self,
        entries: &[CommitEntry],
        outcome: Result<OffsetCommitResponse, RequestError>,
        now: Instant,
    ) -> Option<Setback> {
        if !self.commits.is_in_flight() || entries != self.under_way {
            // The membership it was for has ended.
            return None;
        }
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, group = %self.group, "a commit has no answer");
                self.retry(&CommitError::Request(error.clone()), now);
                return Some(Setback::of_no_answer(error));
            }
        };
        let Some((failed, code)) = self.take_taken(entries, answer) else {
            self.commits.handle_done();
            self.end_committing(&Ok(()));
            return None;
        };
        let refused = CommitError::of_partition(failed.name.clone(), &self.group, code);
        match code {
            // The group may have gone on since the commit was sent; the next heartbeat says what has become of it.
            ErrorCode::STALE_MEMBER_EPOCH => return Some(self.hold()),
            ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::REBALANCE_IN_PROGRESS
            | ErrorCode::FENCED_INSTANCE_ID
                if self.is_member =>
            {
                return Some(self.hold());
            }
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH if self.is_member => {
                self.lose();
                return Some(Setback::Fenced);
            }
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.retry(&refused, now);
                return Some(Setback::CoordinatorLost);
            }
            code if code.is_retriable() || code == ErrorCode::UNKNOWN_SERVER_ERROR => {
                self.retry(&refused, now);
            }
            code => {
                tracing::warn!(%code, group = %self.group, partition = %failed.name, "a commit was refused");
                self.commits.handle_done();
                self.end_committing(&Err(refused));
            }
        }
        None
    }

    /// Notes what the broker has taken. Gives the first that it has not, and why.
    fn take_taken<'a>(
        &self,
        entries: &'a [CommitEntry],
        answer: OffsetCommitResponse,
    ) -> Option<(&'a CommitEntry, ErrorCode)> {
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
        entries.iter().map(|entry| (entry, code_of(entry))).find(|(_, code)| !code.is_ok())
    }

    /// Until the next heartbeat was answered well.
    fn hold(&mut self) -> Setback {
        self.commits.handle_stale();
        self.waiting.append(&mut self.committing);
        Setback::Stale
    }

    fn retry(&mut self, error: &CommitError, now: Instant) {
        self.commits.handle_failed(now);
        self.shared.with(|core| core.handle_commit_failed());
        for waiter in self.committing.drain(..) {
            if waiter.until > now {
                self.waiting.push(waiter);
            } else {
                self.answers.push_back((waiter.id, Some(Err(error.clone()))));
            }
        }
    }

    fn end_committing(&mut self, outcome: &Result<(), CommitError>) {
        let told = self.committing.drain(..).map(|waiter| (waiter.id, Some(outcome.clone())));
        self.answers.extend(told);
    }

    /// Gives up on those who wait for the next commit for too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        let answers = &mut self.answers;
        self.waiting.retain(|waiter| {
            let is_patient = waiter.until > now;
            if !is_patient {
                answers.push_back((waiter.id, None));
            }
            is_patient
        });
    }

    /// Whom to tell what.
    pub(crate) fn poll_answer(&mut self) -> Option<CommitAnswer> {
        self.answers.pop_front()
    }

    /// When something is due although nothing happened.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let waiters = self.waiting.iter().map(|waiter| waiter.until);
        waiters.chain(self.commits.poll_timeout()).filter(|&at| at > now).min()
    }
}

/// How long a commit that was asked for is tried.
const COMMIT_WAIT: Duration = Duration::from_secs(30);
