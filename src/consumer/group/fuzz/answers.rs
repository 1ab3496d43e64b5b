//! Any bytes as the answers that a member of a group gets.

use super::{BROKER, GROUP, no_answer, shared, topology};
use crate::{
    cluster::Topology,
    consumer::group::{
        classic::{Answer, Question},
        member::Member,
        work::{Done, Work},
    },
    error::RequestError,
    wire::{
        Api,
        api::{
            consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
            describe_configs::DescribeConfigsRequest, heartbeat::HeartbeatRequest,
            join_group::JoinGroupRequest, leave_group::LeaveGroupRequest, offset_commit::OffsetCommitRequest,
            offset_fetch::OffsetFetchRequest, sync_group::SyncGroupRequest,
        },
        reader::Reader,
    },
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a member waits for each piece of the input.
const PACE: Duration = Duration::from_millis(700);
/// What a member may ask for at once: one request of each kind, and after a loss the same again; and a commit more for
/// whoever waits.
const WORK_MAX: usize = 16;

/// Has a member live on these answers. A piece of the input is the API's number, the version, the length in two bytes,
/// and the body; it answers what the member asked of that kind, if it did. Whatever the bytes are, this returns.
///
/// # Panics
///
/// If the member comes to no end, or asks for more than it has a reason to.
pub fn check_group_metadata(data: &[u8], start: Instant) {
    let mut group = Group {
        member: Member::new(shared(None), GROUP.into(), 1),
        topology: topology(),
        now: start,
        asked: VecDeque::new(),
    };
    let mut rest = data;
    while let &[key, version, high, low, ref later @ ..] = rest {
        group.advance();
        let length = usize::from(u16::from_be_bytes([high, low])).min(later.len());
        let (body, later) = later.split_at(length);
        group.answer(key, i16::from(version), body);
        group.now += PACE;
        rest = later;
    }
    group.member.handle_close();
    group.advance();
    group.now += Duration::from_secs(60);
    group.advance();
    assert!(group.member.is_over(group.now), "it closes, whatever it was told");
}

struct Group {
    member: Member,
    topology: Topology,
    now: Instant,
    asked: VecDeque<Work>,
}

impl Group {
    fn advance(&mut self) {
        self.member.handle_commit_asked(1, self.now);
        self.member.advance(&self.topology, self.now);
        let mut given = 0;
        while let Some(work) = self.member.poll_work() {
            given += 1;
            match work {
                Work::FindCoordinator => self.done(Done::FindCoordinator(Ok(BROKER))),
                Work::Connect(_) | Work::Disconnect | Work::RefreshMetadata | Work::LearnTopics(_) => {}
                asked => self.asked.push_back(asked),
            }
        }
        assert!(given <= WORK_MAX, "{given} things at once");
        while self.member.poll_answer().is_some() {}
    }

    fn done(&mut self, done: Done) {
        self.member.handle_done(done, self.now);
    }

    fn answer(&mut self, key: u8, version: i16, body: &[u8]) {
        let Some(at) = self.asked.iter().position(|work| key_of(work) == i16::from(key)) else { return };
        match self.asked.remove(at) {
            Some(Work::ReadSessionTimeout(request)) => {
                let outcome = read(&request, version, body);
                self.done(Done::ReadSessionTimeout(outcome));
            }
            Some(Work::Heartbeat { number, request }) => {
                let outcome = read(&request, version, body);
                self.done(Done::Heartbeat { number, outcome });
            }
            Some(Work::Classic { number, question }) => {
                let outcome = match question {
                    Question::Join(request) => read(&request, version, body).map(Answer::Join),
                    Question::Sync(request) => read(&request, version, body).map(Answer::Sync),
                    Question::Heartbeat(request) => read(&request, version, body).map(Answer::Heartbeat),
                    Question::Leave(request) => read(&request, version, body).map(Answer::Leave),
                };
                self.done(Done::Classic { number, outcome });
            }
            Some(Work::FetchOffsets { asked, request }) => {
                let outcome = read(&request, version, body);
                self.done(Done::FetchOffsets { asked, outcome });
            }
            Some(Work::Commit { entries, request }) => {
                let outcome = read(&request, version, body);
                self.done(Done::Commit { entries, outcome });
            }
            _ => {}
        }
    }
}

/// The answer that the bytes are; one that cannot be read is none.
fn read<A: Api>(_request: &A, version: i16, body: &[u8]) -> Result<A::Response, RequestError> {
    A::decode(version, &mut Reader::new(Bytes::copy_from_slice(body))).map_err(|_| no_answer())
}

fn key_of(work: &Work) -> i16 {
    let key = match work {
        Work::ReadSessionTimeout(_) => DescribeConfigsRequest::KEY,
        Work::Heartbeat { .. } => ConsumerGroupHeartbeatRequest::KEY,
        Work::FetchOffsets { .. } => OffsetFetchRequest::KEY,
        Work::Commit { .. } => OffsetCommitRequest::KEY,
        Work::Classic { question: Question::Join(_), .. } => JoinGroupRequest::KEY,
        Work::Classic { question: Question::Sync(_), .. } => SyncGroupRequest::KEY,
        Work::Classic { question: Question::Heartbeat(_), .. } => HeartbeatRequest::KEY,
        Work::Classic { question: Question::Leave(_), .. } => LeaveGroupRequest::KEY,
        Work::FindCoordinator
        | Work::Connect(_)
        | Work::Disconnect
        | Work::RefreshMetadata
        | Work::LearnTopics(_) => return -1,
    };
    key as i16
}
