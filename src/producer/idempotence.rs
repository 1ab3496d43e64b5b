//! What makes retries harmless: producer id, epoch and sequence of one partition, and what each answer proves.
//!
//! Invariants: a sequence number names one record for ever; after `i32::MAX` comes 0; a new epoch starts at 0. The
//! epoch is bumped here, without a request: asking the broker would give another producer id and leave what an old
//! batch may still do unfenced (design: Kafka's rule 3). Absent: what to do about an answer, see `partition`.

use crate::{error::ErrorCode, wire::record_batch::ProducerStamp};

/// The most batches of one partition without a final answer; brokers remember this many for finding duplicates.
pub(crate) const UNRESOLVED_BATCHES_MAX: usize = 5;

/// What an answer proves about the batch it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in the log.
    Written,
    /// This attempt wrote nothing, and no other will.
    Rejected,
    /// This attempt wrote nothing; a later one may.
    NotYet,
    /// This attempt wrote nothing, since the batch before it is not there (or the broker forgot about it).
    OutOfSequence,
    /// This attempt wrote nothing, since the producer's id or epoch is not (or no longer) good.
    Fenced,
    /// It may or may not be in the log.
    Open,
}

/// What `code` proves.
///
/// Rejections are a list of codes that brokers raise before they touch the log; everything else may come after a local
/// append, NOT_LEADER_OR_FOLLOWER on a first try included (KAFKA-13574).
pub(crate) const fn verdict(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Verdict::Written,
        ErrorCode::NOT_ENOUGH_REPLICAS => Verdict::NotYet,
        ErrorCode::MESSAGE_TOO_LARGE
        | ErrorCode::INVALID_TOPIC_EXCEPTION
        | ErrorCode::RECORD_LIST_TOO_LARGE
        | ErrorCode::INVALID_REQUIRED_ACKS
        | ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::INVALID_TIMESTAMP
        | ErrorCode::UNSUPPORTED_VERSION
        | ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT
        | ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
        | ErrorCode::INVALID_RECORD => Verdict::Rejected,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::UNKNOWN_PRODUCER_ID => Verdict::OutOfSequence,
        ErrorCode::INVALID_PRODUCER_EPOCH
        | ErrorCode::PRODUCER_FENCED
        | ErrorCode::INVALID_PRODUCER_ID_MAPPING => Verdict::Fenced,
        _ => Verdict::Open,
    }
}

/// Hands out the producer id, epoch and sequences of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Sequencer {
    producer_id: i64,
    epoch: i16,
    next_sequence: i32,
    confirmed: bool,
}

impl Sequencer {
    pub(crate) fn new(producer_id: i64) -> Self {
        Self { producer_id, epoch: 0, next_sequence: 0, confirmed: false }
    }

    pub(crate) fn producer_id(&self) -> i64 {
        self.producer_id
    }

    /// The stamp of the next batch, of `record_count` records.
    pub(crate) fn stamp(&mut self, record_count: u32) -> ProducerStamp {
        let stamp = self.peek();
        self.next_sequence = sequence_after(self.next_sequence, record_count);
        stamp
    }

    /// Takes a stamp back whose batch surely wrote nothing and had no batch after it.
    pub(crate) fn take_back(&mut self, stamp: ProducerStamp) {
        if stamp.producer_id == self.producer_id && stamp.producer_epoch == self.epoch {
            self.next_sequence = stamp.base_sequence;
        }
    }

    /// Starts the next epoch at sequence 0. `false` if there is none: a new producer id is needed.
    pub(crate) fn bump(&mut self) -> bool {
        let Some(epoch) = self.epoch.checked_add(1) else { return false };
        self.epoch = epoch;
        self.next_sequence = 0;
        self.confirmed = false;
        true
    }

    /// Starts over under another producer id.
    pub(crate) fn adopt(&mut self, producer_id: i64) {
        *self = Self::new(producer_id);
    }

    /// A batch with this stamp is in the log, so the broker has state for it and checks sequences from now on.
    pub(crate) fn confirm(&mut self, stamp: ProducerStamp) {
        self.confirmed |= stamp.producer_id == self.producer_id && stamp.producer_epoch == self.epoch;
    }

    /// Whoever leads the partition now may know nothing of this producer, and then takes any sequence as the first.
    pub(crate) fn doubt(&mut self) {
        self.confirmed = false;
    }

    /// How many batches may be without a final answer. One until the first is confirmed: a broker without state takes
    /// any sequence, so a second batch could be written without the first, which then never could (KAFKA-15591).
    pub(crate) fn window(&self) -> usize {
        if self.confirmed { UNRESOLVED_BATCHES_MAX } else { 1 }
    }

    fn peek(&self) -> ProducerStamp {
        ProducerStamp {
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            base_sequence: self.next_sequence,
        }
    }

    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn at(producer_id: i64, epoch: i16, next_sequence: i32) -> Self {
        Self { producer_id, epoch, next_sequence, confirmed: false }
    }
}

/// Kafka's `DefaultRecordBatch.incrementSequence`: after `i32::MAX` comes 0.
pub(crate) fn sequence_after(sequence: i32, record_count: u32) -> i32 {
    let next = (i64::from(sequence) + i64::from(record_count)) & i64::from(i32::MAX);
    i32::try_from(next).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(sequence_after(i32::MAX - 2, 2), i32::MAX);
        assert_eq!(sequence_after(i32::MAX - 2, 3), 0);
        assert_eq!(sequence_after(i32::MAX, 1), 0);
        assert_eq!(sequence_after(i32::MAX, 10), 9);
    }

    #[test]
    fn stamps_follow_one_another_across_the_wrap() {
        let mut sequencer = Sequencer::at(7, 3, i32::MAX - 1);
        assert_eq!(sequencer.stamp(4).base_sequence, i32::MAX - 1);
        let next = sequencer.stamp(1);
        assert_eq!((next.producer_id, next.producer_epoch, next.base_sequence), (7, 3, 2));
    }

    #[test]
    fn a_bump_starts_at_zero_and_ends_at_the_last_epoch() {
        let mut sequencer = Sequencer::at(7, i16::MAX - 1, 55);
        assert!(sequencer.bump());
        let stamp = sequencer.stamp(1);
        assert_eq!((stamp.producer_epoch, stamp.base_sequence), (i16::MAX, 0));
        assert!(!sequencer.bump(), "an epoch is never negative");
        sequencer.adopt(8);
        let stamp = sequencer.stamp(1);
        assert_eq!((stamp.producer_id, stamp.producer_epoch, stamp.base_sequence), (8, 0, 0));
    }

    #[test]
    fn one_batch_until_the_first_is_confirmed() {
        let mut sequencer = Sequencer::new(7);
        let first = sequencer.stamp(1);
        assert_eq!(sequencer.window(), 1);
        sequencer.confirm(first);
        assert_eq!(sequencer.window(), UNRESOLVED_BATCHES_MAX);
        sequencer.doubt();
        assert_eq!(sequencer.window(), 1);
    }

    #[test]
    fn a_confirmation_of_an_old_epoch_proves_nothing() {
        let mut sequencer = Sequencer::new(7);
        let old = sequencer.stamp(1);
        assert!(sequencer.bump());
        sequencer.confirm(old);
        assert_eq!(sequencer.window(), 1);
    }

    #[test]
    fn only_listed_codes_are_definite() {
        for code in [10, 18, 29, 32, 43, 76, 87] {
            assert_eq!(verdict(ErrorCode(code)), Verdict::Rejected, "{code}");
        }
        assert_eq!(verdict(ErrorCode::NOT_ENOUGH_REPLICAS), Verdict::NotYet);
        for code in [-1, 2, 3, 5, 6, 7, 13, 20, 56, 74, 999] {
            assert_eq!(verdict(ErrorCode(code)), Verdict::Open, "{code}");
        }
    }
}
