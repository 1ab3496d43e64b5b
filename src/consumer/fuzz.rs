//! The body of the fuzz target `fetch_session_ops`: one fetch session against a model of the broker's side.

use super::{
    fetch_session::{FetchSession, PartitionKey, SessionRequest, Wanted},
    positions::AssignmentId,
};
use crate::{
    error::ErrorCode,
    wire::{api::fetch::FetchPartition, fuzz::Choices},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Runs a fetch session by the bytes: what is wanted changes, and requests and answers get through, get lost or fail.
///
/// # Panics
///
/// If the broker would fetch anything else than what is wanted, is told of a partition twice, or hears anything but
/// everything after an error or an answer that did not come.
pub fn check_fetch_session_ops(data: &[u8]) {
    let mut run = Run { input: Choices(data), ..Run::default() };
    while let Some(op) = run.input.next() {
        run.step(op);
    }
    // After two exchanges that go well there is nothing left to tell.
    run.broker.is_cache_full = false;
    run.exchange();
    run.exchange();
    let request = run.build();
    assert!(request.session_epoch > 0 && request.topics.is_empty() && request.forgotten.is_empty());
}

#[derive(Default)]
struct Run<'a> {
    input: Choices<'a>,
    session: FetchSession,
    broker: Broker,
    wanted: BTreeMap<PartitionKey, Wanted>,
    /// The next request must tell everything.
    is_full_due: bool,
    serial: u64,
}

impl Run<'_> {
    fn step(&mut self, op: u8) {
        match op % 12 {
            0..=2 => self.want(),
            3 => {
                let key = self.key();
                self.wanted.remove(&key);
            }
            4..=6 => self.exchange(),
            // The broker never saw the request.
            7 => {
                let _unseen = self.build();
                self.lose();
            }
            // It did, and its answer is lost.
            8 => {
                let request = self.build();
                self.broker.handle(&request);
                self.lose();
            }
            9 => self.fail(),
            10 => self.broker.session = None,
            _ => self.broker.is_cache_full = !self.broker.is_cache_full,
        }
    }

    fn key(&mut self) -> PartitionKey {
        let choice = self.input.byte();
        (Uuid::from_u128(u128::from(choice & 1)), i32::from(choice >> 1) % 5)
    }

    fn want(&mut self) {
        let (topic_id, index) = self.key();
        let spec = FetchPartition {
            index,
            current_leader_epoch: 0,
            fetch_offset: i64::from(self.input.byte()),
            last_fetched_epoch: -1,
            max_bytes: 1024,
        };
        self.serial += 1;
        let wanted = Wanted { topic_id, spec, assignment: AssignmentId(1), serial: self.serial };
        self.wanted.insert((topic_id, index), wanted);
    }

    fn build(&mut self) -> SessionRequest {
        let request = self.session.build(self.wanted.values().cloned().collect());
        assert!(!self.is_full_due || request.session_epoch == 0, "everything is told again");
        if request.session_epoch == 0 {
            let told: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
            assert_eq!((told, request.forgotten.len()), (self.wanted.len(), 0));
        }
        for topic in 0..2 {
            for index in 0..5 {
                let key = (Uuid::from_u128(topic), index);
                assert_eq!(self.session.told(key.0, key.1), self.wanted.get(&key));
            }
        }
        request
    }

    /// A request and the answer to it.
    fn exchange(&mut self) {
        let request = self.build();
        let (code, session_id) = self.broker.handle(&request);
        if code.is_ok() {
            let wanted = self.wanted.iter().map(|(key, wanted)| (*key, wanted.spec.clone())).collect();
            assert_eq!(self.broker.fetched, wanted, "the broker fetches what is wanted");
        }
        self.answer(code, session_id);
    }

    fn answer(&mut self, code: ErrorCode, session_id: i32) {
        let is_taken = self.session.handle_answer(code, session_id);
        assert!(code.is_ok() || !is_taken);
        self.is_full_due = !is_taken || session_id == 0;
    }

    fn lose(&mut self) {
        self.session.handle_lost();
        self.is_full_due = true;
    }

    /// The broker says something else than what follows from the request, having acted on it or not.
    fn fail(&mut self) {
        let request = self.build();
        let choice = self.input.byte();
        if choice & 1 == 0 {
            self.broker.handle(&request);
        }
        match choice >> 1 {
            0..64 => {
                let code = self.input.one(&[70, 71, 106, -1, 56, 29, 3]);
                self.answer(ErrorCode(code), 0);
            }
            // A session that was never opened: a first answer may name any.
            foreign if request.session_epoch > 0 => {
                self.answer_foreign(i32::from(foreign) - 1000);
            }
            _ => self.lose(),
        }
    }

    fn answer_foreign(&mut self, session_id: i32) {
        assert!(
            !self.session.handle_answer(ErrorCode::NONE, session_id),
            "the answer is for another session"
        );
        self.is_full_due = true;
    }
}

/// Kafka's `FetchManager`, as far as one consumer sees it.
#[derive(Debug, Default)]
struct Broker {
    session: Option<Session>,
    last_id: i32,
    is_cache_full: bool,
    /// What the last request had it fetch.
    fetched: BTreeMap<PartitionKey, FetchPartition>,
}

#[derive(Debug)]
struct Session {
    id: i32,
    epoch: i32,
    partitions: BTreeMap<PartitionKey, FetchPartition>,
}

impl Broker {
    fn handle(&mut self, request: &SessionRequest) -> (ErrorCode, i32) {
        if request.session_epoch == 0 {
            self.session.take_if(|session| session.id == request.session_id);
            self.fetched = BTreeMap::new();
            put_all(&mut self.fetched, request);
            if self.is_cache_full {
                return (ErrorCode::NONE, 0);
            }
            self.last_id += 1;
            self.session = Some(Session { id: self.last_id, epoch: 1, partitions: self.fetched.clone() });
            return (ErrorCode::NONE, self.last_id);
        }
        let Some(session) = self.session.as_mut().filter(|session| session.id == request.session_id) else {
            return (ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0);
        };
        if session.epoch != request.session_epoch {
            return (ErrorCode::INVALID_FETCH_SESSION_EPOCH, 0);
        }
        session.epoch += 1;
        for (topic_id, indexes) in &request.forgotten {
            for index in indexes {
                assert!(session.partitions.remove(&(*topic_id, *index)).is_some(), "it was never told");
            }
        }
        put_all(&mut session.partitions, request);
        self.fetched = session.partitions.clone();
        (ErrorCode::NONE, session.id)
    }
}

fn put_all(partitions: &mut BTreeMap<PartitionKey, FetchPartition>, request: &SessionRequest) {
    let mut told = BTreeMap::new();
    for topic in &request.topics {
        for spec in &topic.partitions {
            assert!(told.insert((topic.topic_id, spec.index), spec.clone()).is_none(), "it is told twice");
        }
    }
    partitions.append(&mut told);
}
