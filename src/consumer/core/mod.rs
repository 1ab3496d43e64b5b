//! The state of one consumer, which its lanes, its tasks and its handles share under one lock.
//!
//! It owns the partitions, the buffer and what is to be reported, and decides everything that concerns more than one
//! of them. Every hand-out checks, here, that the reading it belongs to is the current one, and a revoke ends the
//! reading here: so nothing is handed out after a revoke. Methods change state and note whom to wake; `shared` does
//! the waking once the lock is free. Absent: the group's protocol, which is `group`'s.

mod assignment;
mod commits;
mod fetching;
mod handing_out;
mod positions;
mod validating;
mod watching;

pub(crate) use self::{
    commits::CommitEntry,
    fetching::{Fetched, Outcome, Wants},
    handing_out::HandOut,
    positions::{DriverWork, Leadership, Lookup},
    validating::Validation,
};

use super::{
    buffer::Buffer,
    config::ConsumerConfig,
    error::ConsumeError,
    event::ConsumerEvent,
    metrics::{BrokerCounts, PartitionCounts},
    positions::Partitions,
    stall::PollWatch,
};
use crate::error::ErrorCode;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

/// Whom a change concerns.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    pub(crate) reader: bool,
    pub(crate) driver: bool,
    pub(crate) coordinator: bool,
    pub(crate) events: bool,
    /// The lanes of these brokers.
    pub(crate) lanes: BTreeSet<i32>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Arc<ConsumerConfig>,
    partitions: Partitions,
    buffer: Buffer,
    errors: VecDeque<ConsumeError>,
    events: VecDeque<ConsumerEvent>,
    work: DriverWork,
    pub(crate) wakes: Wakes,
    /// How many partitions each topic had at the start. What is added later is read whole.
    first_counts: BTreeMap<Arc<str>, i32>,
    /// How many it has now.
    partition_counts: BTreeMap<Arc<str>, i32>,
    /// The group names partitions by topic id: a topic that is made again is handed out as one of its own.
    names_topics_by_id: bool,
    /// How many lanes share the buffer.
    lane_count: usize,
    /// A lane was told to wait until the buffer has room.
    is_full: bool,
    /// The coordinator knows that there is something to commit.
    commit_noticed: bool,
    /// What is to be committed shall not wait for the interval.
    commit_urgent: bool,
    /// Nothing is handed out after this time.
    lease_until: Option<Instant>,
    is_closed: bool,
    brokers: BTreeMap<i32, BrokerCounts>,
    polls: PollWatch,
    /// When partitions are looked at for stalls.
    watch_at: Option<Instant>,
    counts: PartitionCounts,
    stalls: u64,
    polls_missed: u64,
}

impl Core {
    pub(crate) fn new(config: Arc<ConsumerConfig>) -> Self {
        Self {
            config,
            partitions: Partitions::default(),
            buffer: Buffer::default(),
            errors: VecDeque::new(),
            events: VecDeque::new(),
            work: DriverWork::default(),
            wakes: Wakes::default(),
            first_counts: BTreeMap::new(),
            partition_counts: BTreeMap::new(),
            names_topics_by_id: false,
            lane_count: 1,
            is_full: false,
            commit_noticed: false,
            commit_urgent: false,
            lease_until: None,
            is_closed: false,
            brokers: BTreeMap::new(),
            polls: PollWatch::default(),
            watch_at: None,
            counts: PartitionCounts::default(),
            stalls: 0,
            polls_missed: 0,
        }
    }

    fn report(&mut self, event: ConsumerEvent) {
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
        self.wakes.events = true;
    }

    pub(crate) fn take_event(&mut self) -> Option<ConsumerEvent> {
        self.events.pop_front()
    }

    /// Has the reader see `error`, in order. When nobody reads, the oldest give way to the newest.
    pub(crate) fn fail(&mut self, error: ConsumeError) {
        if self.is_closed && error.is_fatal() {
            return; // it is over already, and the first reason counts
        }
        if self.errors.len() == ERRORS_KEPT {
            self.errors.pop_front();
        }
        if error.is_fatal() {
            self.close();
        }
        self.errors.push_back(error);
        self.wakes.reader = true;
    }

    /// Nothing is handed out any more; lanes and tasks end.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        let ids: Vec<_> = self.partitions.iter().map(|(id, _)| id).collect();
        self.stop(&ids);
        self.wakes.reader = true;
        self.wakes.driver = true;
        self.wakes.coordinator = true;
        self.wakes.events = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }
}

/// Whether a broker's answer is worth the caller's attention at once: it will hardly pass by itself.
fn is_refusal(code: ErrorCode) -> bool {
    !code.is_retriable() && code != ErrorCode::UNKNOWN_SERVER_ERROR
}

/// Events and errors that are kept while nobody takes them.
const EVENTS_KEPT: usize = 1024;
const ERRORS_KEPT: usize = 256;
