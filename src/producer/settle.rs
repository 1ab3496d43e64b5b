//! What answers, lost connections and passed deadlines do to a partition's batches.
//!
//! Invariants: a batch is called written or not written only when an answer proves it; one that may have been written
//! is sent again as it is, and is never put under another stamp. Once a sequence is, or may be, missing in the log,
//! no new batch goes out before all older ones are resolved and a new epoch has begun, which fences whatever is left
//! of the old one.

use super::{
    batch::{Completion, Moved, Phase, SentBatch},
    cut::Cut,
    delivery::{AckTime, Outcome},
    door::Door,
    error::{NotSent, Unknown, Unsupported},
    idempotence::{Verdict, sequence_after, verdict},
    partition::PartitionQueue,
};
use crate::error::{AuthenticationError, ErrorCode};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What came of a request, for one batch in it.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The broker's, for its partition.
    Broker {
        code: ErrorCode,
        message: Option<Arc<str>>,
        base_offset: Option<i64>,
        log_append_time_ms: Option<i64>,
        /// KIP-467: the records at fault, by their index in the batch, and what is wrong with each.
        record_errors: Vec<(i32, Option<String>)>,
    },
    /// None: the connection ended, or the answer left the partition out.
    Lost,
}

/// What follows from a settled batch, to be done once no lock is held.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) completion: Option<Completion>,
    /// It was taken apart.
    pub(crate) moved: Option<Moved>,
    /// The metadata may be stale.
    pub(crate) refresh: bool,
    /// It will be sent again.
    pub(crate) retried: bool,
    /// The broker seems to have lost records that it had acked.
    pub(crate) loss_suspected: bool,
    /// The lane to list the partition with.
    pub(crate) list: Option<Arc<Door>>,
}

/// Which records are given up, and why.
#[derive(Debug, Clone)]
pub(crate) enum GiveUp {
    /// Those whose deadline has passed.
    Overdue(Instant),
    /// All: their topic is another one now.
    TopicRecreated,
    /// All: their leader does not speak what this client does.
    Unsupported(Unsupported),
    /// All: their leader does not take this client for who it says it is.
    Authentication(AuthenticationError),
    /// All: the producer closes.
    Closed,
}

impl PartitionQueue {
    /// Takes the answer to the batch `id`.
    pub(crate) fn settle(&mut self, id: u64, answer: &Answer, now: Instant) -> Settled {
        let mut settled = Settled::default();
        let found = self.unresolved.iter().position(|batch| batch.id == id);
        let Some(at) = found.filter(|at| self.unresolved[*at].phase == Phase::InFlight) else {
            return settled;
        };
        self.in_flight -= 1;
        self.unresolved[at].phase = Phase::Waiting;
        match answer {
            Answer::Lost => self.may_be_written(at, now, &mut settled),
            Answer::Broker { code, message, base_offset, log_append_time_ms, record_errors } => {
                self.unresolved[at].last_error = (!code.is_ok()).then_some(*code);
                match verdict(*code) {
                    Verdict::Written => {
                        self.last_written = Some(now);
                        self.sequencer.confirm(self.unresolved[at].stamp);
                        self.backoff.reset();
                        self.retry_at = None;
                        let time = self.ack_time(at, *code, *log_append_time_ms);
                        let outcome = Outcome::Acked { base_offset: *base_offset, time };
                        settled.completion = self.resolve(at, outcome);
                    }
                    Verdict::Rejected => {
                        self.rejected(at, *code, message.clone(), record_errors, &mut settled);
                    }
                    Verdict::NotYet => self.retry(now, &mut settled),
                    Verdict::Open => self.may_be_written(at, now, &mut settled),
                    Verdict::OutOfSequence => self.out_of_sequence(at, *code, now, &mut settled),
                    Verdict::Fenced => {
                        self.id_spent = true;
                        self.bump_pending = true;
                        self.out_of_sequence(at, *code, now, &mut settled);
                    }
                }
            }
        }
        // What was given up while it was in a request is only waited for, whatever the answer.
        if self.unresolved.get(at).is_some_and(|batch| batch.id == id && batch.given_up) {
            settled.retried = false;
            settled.completion = self.resolve(at, Outcome::Unknown(Unknown::Closed));
        }
        self.recovering &= !self.unresolved.is_empty();
        settled.list = self.move_if_free().or_else(|| self.list());
        settled
    }

    /// Gives records up. Those in a request get their outcome now, and what the answer says changes nothing for them.
    pub(crate) fn give_up(&mut self, which: &GiveUp) -> Vec<Completion> {
        let mut completions = Vec::new();
        let after = self.delivery_timeout();
        let mut at = 0;
        while let Some(batch) = self.unresolved.get_mut(at) {
            if !which.covers(batch.deadline) || batch.given_up {
                at += 1;
            } else if batch.phase == Phase::InFlight {
                batch.given_up = true;
                completions.push(Completion {
                    state: batch.state.clone(),
                    outcome: which.unknown(after, batch.last_error),
                    record_count: batch.record_count,
                    grant: None,
                    buffer: None,
                });
                self.recovering = true;
                self.bump_pending = true;
                at += 1;
            } else {
                let (ambiguous, last) = (batch.ambiguous, batch.last_error);
                let outcome =
                    if ambiguous { which.unknown(after, last) } else { which.not_sent(after, last) };
                if ambiguous {
                    self.bump_pending = true;
                } else {
                    self.leave_gap(at);
                }
                completions.extend(self.resolve(at, outcome));
            }
        }
        while self.filled.front().or(self.open.as_ref()).is_some_and(|batch| which.covers(batch.deadline)) {
            let Some(batch) = self.filled.pop_front().or_else(|| self.open.take()) else { break };
            self.queued_bytes -= batch.builder.len();
            completions.push(Completion {
                record_count: batch.record_count(),
                state: batch.state,
                outcome: which.not_sent(after, None),
                grant: Some(batch.grant),
                buffer: None,
            });
        }
        completions
    }

    /// Removes a batch from the unresolved ones; `None` if its outcome was told before.
    fn resolve(&mut self, at: usize, outcome: Outcome) -> Option<Completion> {
        let SentBatch { state, grant, record_count, given_up, sealed, .. } = self.unresolved.remove(at)?;
        let buffer = sealed.map(|sealed| sealed.bytes);
        self.spare_states.put(state.clone());
        (!given_up).then_some(Completion { state, outcome, record_count, grant, buffer })
    }

    /// Which timestamps a written batch has. An answer without a time says that this attempt was appended as it is, unless it
    /// is the code for duplicates. For a duplicate a broker tells the largest timestamp of the batch in its log, whoever
    /// stamped it: if that is the batch's own too, the topic decides, of which other answers tell.
    fn ack_time(&mut self, at: usize, code: ErrorCode, told_ms: Option<i64>) -> AckTime {
        let batch = &self.unresolved[at];
        let own_ms = batch.sealed.as_ref().map(|sealed| sealed.max_timestamp_ms);
        if code.is_ok() && (!batch.ambiguous || told_ms.is_none() || told_ms != own_ms) {
            self.stamps_appends = Some(told_ms.is_some());
        }
        match (self.stamps_appends, told_ms) {
            (Some(false), _) => AckTime::OfRecord,
            (Some(true), Some(time_ms)) => AckTime::OfBroker(time_ms),
            (Some(true), None) | (None, _) => AckTime::NotKnown,
        }
    }

    /// It may be in the log: it is sent again until an answer proves it.
    fn may_be_written(&mut self, at: usize, now: Instant, settled: &mut Settled) {
        self.unresolved[at].ambiguous = true;
        settled.refresh = true;
        self.retry(now, settled);
    }

    fn retry(&mut self, now: Instant, settled: &mut Settled) {
        self.recovering = true;
        settled.retried = true;
        // The batches behind a failed one fail with it: one wait for all of them.
        if self.retry_at.is_none_or(|at| at <= now) {
            self.retry_at = Some(now + self.backoff.next_delay());
        }
    }

    fn rejected(
        &mut self,
        at: usize,
        code: ErrorCode,
        message: Option<Arc<str>>,
        record_errors: &[(i32, Option<String>)],
        settled: &mut Settled,
    ) {
        let batch = &self.unresolved[at];
        if batch.ambiguous {
            // This attempt wrote nothing, but the one before may have.
            self.bump_pending = true;
            self.recovering = true;
            settled.completion = self.resolve(at, Outcome::Unknown(Unknown::Refused { code }));
            return;
        }
        let bytes = batch.sealed.as_ref().map_or(0, |sealed| sealed.bytes.len());
        let is_too_large = matches!(code, ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE);
        let cut = match &batch.sealed {
            // Nobody waits for its records any more.
            Some(_) if batch.given_up => None,
            Some(sealed) if is_too_large => Cut::in_two(sealed, &batch.state),
            Some(sealed) => Cut::without(sealed, &batch.state, record_errors, code, message.as_ref()),
            None => None,
        };
        if let Some(cut) = cut {
            if is_too_large {
                self.learn_too_large(bytes);
            }
            self.replace(at, cut, settled);
            return;
        }
        let cause = match code {
            ErrorCode::MESSAGE_TOO_LARGE => NotSent::TooLarge { bytes },
            code => NotSent::Rejected { code, message },
        };
        self.leave_gap(at);
        settled.completion = self.resolve(at, Outcome::NotSent(cause));
    }

    /// Puts what is left of a batch that surely was not written in its place, to be sent before all behind it.
    ///
    /// The parts of a batch cut in two keep the sequences of their records, so what is behind them fits as it is. Where
    /// records are left out the rest is renumbered: within the epoch if nothing is behind it, else the next epoch begins.
    fn replace(&mut self, at: usize, cut: Cut, settled: &mut Settled) {
        let is_renumbered = cut.refused > 0;
        let is_last = at + 1 == self.unresolved.len();
        if is_renumbered {
            self.leave_gap(at);
        }
        let Some(SentBatch { state, mut grant, deadline, mut stamp, last_error, .. }) =
            self.unresolved.remove(at)
        else {
            return;
        };
        for (part, place) in cut.parts.into_iter().zip(at..) {
            let record_count = u32::try_from(part.builder.record_count()).unwrap_or(u32::MAX);
            let own_stamp = if is_renumbered && is_last { self.sequencer.stamp(record_count) } else { stamp };
            stamp.base_sequence = sequence_after(stamp.base_sequence, record_count);
            let own_grant =
                grant.as_mut().and_then(|grant| grant.split(part.builder.len().min(grant.bytes())));
            let id = self.new_id();
            let batch = SentBatch {
                id,
                state: part.state,
                grant: own_grant,
                deadline,
                stamp: own_stamp,
                record_count,
                sealed: None,
                part: Some(part.builder),
                phase: if is_renumbered && !is_last { Phase::Parked } else { Phase::Waiting },
                ambiguous: false,
                given_up: false,
                last_error,
            };
            self.unresolved.insert(place, batch);
            self.recovering = true;
            settled.retried = true;
        }
        settled.moved = Some(Moved { state, runs: cut.runs, refused: cut.refused, grant });
    }

    fn out_of_sequence(&mut self, at: usize, code: ErrorCode, now: Instant, settled: &mut Settled) {
        let older_unresolved = self.unresolved.range(..at).any(|batch| batch.phase != Phase::Parked);
        let batch = &mut self.unresolved[at];
        if batch.ambiguous {
            // An attempt that was written would make this one a duplicate, one that was not would make it the next.
            settled.loss_suspected = !older_unresolved && !self.bump_pending;
            self.bump_pending = true;
            self.recovering = true;
            settled.completion = self.resolve(at, Outcome::Unknown(Unknown::Refused { code }));
        } else if older_unresolved && !self.bump_pending {
            // It comes before its time: the one before it decides.
            self.retry(now, settled);
        } else {
            settled.loss_suspected = !self.bump_pending;
            settled.retried = true;
            batch.phase = Phase::Parked;
            self.bump_pending = true;
            self.recovering = true;
        }
    }

    /// The batch `at` surely wrote nothing and is about to be removed. If it is the last its sequence is free again;
    /// else those behind it cannot be written in this epoch.
    fn leave_gap(&mut self, at: usize) {
        if at + 1 == self.unresolved.len() {
            if self.unresolved[at].phase != Phase::Parked {
                self.sequencer.take_back(self.unresolved[at].stamp);
            }
            return;
        }
        self.bump_pending = true;
        self.recovering = true;
        for later in self.unresolved.range_mut(at + 1..) {
            if later.phase == Phase::Waiting && !later.ambiguous {
                later.phase = Phase::Parked;
            }
        }
    }
}

impl GiveUp {
    fn covers(&self, deadline: Instant) -> bool {
        match self {
            Self::Overdue(now) => deadline <= *now,
            Self::TopicRecreated | Self::Unsupported(_) | Self::Authentication(_) | Self::Closed => true,
        }
    }

    fn not_sent(&self, after: Duration, last: Option<ErrorCode>) -> Outcome {
        Outcome::NotSent(match self {
            Self::Overdue(_) => NotSent::TimedOut { after, last },
            Self::TopicRecreated => NotSent::TopicRecreated,
            Self::Unsupported(cause) => NotSent::Unsupported(*cause),
            Self::Authentication(cause) => NotSent::Authentication(cause.clone()),
            Self::Closed => NotSent::Closed,
        })
    }

    fn unknown(&self, after: Duration, last: Option<ErrorCode>) -> Outcome {
        Outcome::Unknown(match self {
            Self::Overdue(_) => Unknown::TimedOut { after, last },
            Self::TopicRecreated => Unknown::TopicRecreated,
            Self::Unsupported(cause) => Unknown::Unsupported(*cause),
            Self::Authentication(cause) => Unknown::Authentication(cause.clone()),
            Self::Closed => Unknown::Closed,
        })
    }
}
