//! One batch's life: open, closed, sent with a stamp, resolved.
//!
//! Invariant: a stamped batch keeps its bytes until it is resolved; a resend is the same bytes (a batch rebuilt from
//! other records under a used sequence is taken for a duplicate, and its records are lost).

use crate::{
    error::{AuthorizationError, ErrorCode},
    producer::{
        delivery::{BatchState, Outcome, Run},
        error::NotSent,
        memory::Grant,
        metrics::{Counters, add},
    },
    wire::record_batch::{BatchBuilder, ProducerStamp, SealedBatch},
};
use bytes::Bytes;
use std::{sync::Arc, time::Instant};

/// A batch that takes records, or that is full and waits to be sent.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    pub(crate) builder: BatchBuilder,
    pub(crate) state: Arc<BatchState>,
    /// The memory it may grow to.
    pub(crate) grant: Grant,
    /// When its records are given up; counted from its first.
    pub(crate) deadline: Instant,
}

impl OpenBatch {
    pub(crate) fn record_count(&self) -> u32 {
        u32::try_from(self.builder.record_count()).unwrap_or(u32::MAX)
    }
}

/// A batch with a stamp: at the broker, or on its way there again.
#[derive(Debug)]
pub(crate) struct SentBatch {
    /// Names it within its partition, whatever its stamp.
    pub(crate) id: u64,
    pub(crate) state: Arc<BatchState>,
    /// The memory it takes.
    pub(crate) grant: Option<Grant>,
    pub(crate) deadline: Instant,
    pub(crate) stamp: ProducerStamp,
    pub(crate) record_count: u32,
    /// `None` while the lane seals it, for its first attempt.
    pub(crate) sealed: Option<SealedBatch>,
    /// What it was made of if it is a part of another one, until it is sealed.
    pub(crate) part: Option<BatchBuilder>,
    pub(crate) phase: Phase,
    /// Some attempt may have written it.
    pub(crate) ambiguous: bool,
    /// Its records have their outcome, though an answer is still to come.
    pub(crate) given_up: bool,
    pub(crate) last_error: Option<ErrorCode>,
}

/// Where a stamped batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In a request without an answer.
    InFlight,
    /// To be sent again, as it is.
    Waiting,
    /// Surely not written, and it never will be with this stamp: it gets another one.
    Parked,
}

/// An outcome to be told once no lock is held.
#[derive(Debug)]
#[must_use]
pub(crate) struct Completion {
    pub(crate) state: Arc<BatchState>,
    pub(crate) outcome: Outcome,
    pub(crate) record_count: u32,
    /// Given back when the outcome is told; `None` while the bytes are still in a request.
    pub(crate) grant: Option<Grant>,
    /// What was sent.
    pub(crate) buffer: Option<Bytes>,
}

impl Completion {
    /// Names the topic where it is not allowed to be written to.
    pub(crate) fn of_topic(mut self, topic: &str) -> Self {
        if let Outcome::NotSent(NotSent::Rejected { code, .. }) = &self.outcome
            && let Some(error) = AuthorizationError::of(*code, topic, "WRITE")
        {
            self.outcome = Outcome::NotSent(NotSent::Unauthorized(error));
        }
        self
    }

    /// Counts the records by what became of them, and tells who waits.
    pub(crate) fn tell(self, counters: &Counters) {
        let Self { state, outcome, record_count, grant, buffer } = self;
        let counter = match outcome {
            Outcome::Acked { .. } => &counters.records_acked,
            Outcome::NotSent(_) => &counters.records_not_sent,
            Outcome::Unknown(_) => &counters.records_unknown,
        };
        add(counter, u64::from(record_count));
        if let Some(grant) = grant {
            grant.give_back(buffer);
        }
        state.complete(outcome);
    }
}

/// A batch that was taken apart, to be told once no lock is held.
#[derive(Debug)]
#[must_use]
pub(crate) struct Moved {
    pub(crate) state: Arc<BatchState>,
    pub(crate) runs: Box<[Run]>,
    /// The records that were refused: they have their outcome where `runs` says.
    pub(crate) refused: u32,
    /// The memory of what no batch holds any more.
    pub(crate) grant: Option<Grant>,
}

impl Moved {
    pub(crate) fn tell(self) {
        let Self { state, runs, grant, .. } = self;
        drop(grant);
        state.take_apart(runs);
    }
}
