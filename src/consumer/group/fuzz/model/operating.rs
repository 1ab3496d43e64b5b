//! What the bytes do to the member: answers of its coordinator, callers, time. And how it comes to rest.

use super::{Commit, FENCED, Heartbeat, Run};
use crate::{
    consumer::{
        core::Core,
        group::{
            fuzz::{BROKER, GROUP, NAME, TOPIC, UNKNOWN_TOPIC, no_answer},
            membership::OwnedPartition,
            work::Done,
        },
        record::TopicPartition,
    },
    error::ErrorCode,
    wire::api::{
        consumer_group_heartbeat::ConsumerGroupHeartbeatResponse,
        offset_commit::{CommittedPartition, OffsetCommitResponse},
        offset_fetch::OffsetFetchResponse,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const INTERVAL: Duration = Duration::from_millis(3000);
/// How long a coordinator that behaves has to bring a member to rest, and the requests it may take to do so.
const REST_TIME: Duration = Duration::from_secs(120);
const REST_REQUESTS_MAX: usize = 150;

impl Run<'_> {
    pub(super) fn step(&mut self, op: u8) {
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

    /// From here on the coordinator behaves, and gives two partitions.
    pub(super) fn come_to_rest(&mut self) {
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
/// Codes by which a commit is refused for good.
const REFUSED: [i16; 1] = [29];
/// No code: the answer does not come.
const LOST: i16 = 1000;
