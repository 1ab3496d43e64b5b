//! What a partition remembers of idempotent producers, as Kafka 4.1 does.
//!
//! Per producer id: its epoch and its last five batches. One of those sent again is answered with its first offset;
//! an older one is out of order (45), because 4.1 never answers DUPLICATE_SEQUENCE_NUMBER. A partition that knows
//! nothing of a producer id takes any first sequence.

use super::batch::BatchHeader;
use super::transaction_index::TransactionIndex;
use crate::error::ErrorCode;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is new and in order.
    Append,
    /// It is in the log already, from this offset on.
    Duplicate(i64),
    /// It must not be appended.
    Refuse(ErrorCode),
}

/// The producers that one partition remembers.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    entries: BTreeMap<i64, Entry>,
}

#[derive(Debug)]
struct Entry {
    epoch: i16,
    /// (first sequence, last sequence, first offset), oldest first.
    batches: VecDeque<(i32, i32, i64)>,
    last_used: Instant,
}

impl Producers {
    /// Judges a batch; producers that were idle for `expiration` are forgotten first.
    ///
    /// One with an open transaction is not, and all that it writes belongs to that.
    pub(crate) fn judge(
        &mut self,
        batch: &BatchHeader,
        now: Instant,
        expiration: Duration,
        transactions: &TransactionIndex,
    ) -> Verdict {
        if batch.producer_id < 0 {
            return Verdict::Append;
        }
        self.entries.retain(|id, entry| {
            now.saturating_duration_since(entry.last_used) < expiration || transactions.is_open(*id)
        });
        let Some(entry) = self.entries.get(&batch.producer_id) else { return Verdict::Append };
        if batch.producer_epoch < entry.epoch {
            return Verdict::Refuse(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if batch.producer_epoch > entry.epoch {
            return if batch.base_sequence == 0 {
                Verdict::Append
            } else {
                Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
            };
        }
        let same = |(first, last, _): &&(i32, i32, i64)| {
            *first == batch.base_sequence && *last == batch.last_sequence()
        };
        if let Some((_, _, base_offset)) = entry.batches.iter().find(same) {
            return Verdict::Duplicate(*base_offset);
        }
        match entry.batches.back() {
            Some((_, last, _)) if next_sequence(*last) != batch.base_sequence => {
                Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
            }
            None if batch.base_sequence != 0 => Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
            _ if transactions.is_open(batch.producer_id) && !batch.is_transactional() => {
                Verdict::Refuse(ErrorCode::INVALID_TXN_STATE)
            }
            _ => Verdict::Append,
        }
    }

    /// Remembers a batch that was appended at `base_offset`.
    pub(crate) fn appended(&mut self, batch: &BatchHeader, base_offset: i64, now: Instant) {
        if batch.producer_id < 0 {
            return;
        }
        let fresh = || Entry { epoch: batch.producer_epoch, batches: VecDeque::new(), last_used: now };
        let entry = self.entries.entry(batch.producer_id).or_insert_with(fresh);
        if entry.epoch != batch.producer_epoch {
            *entry = fresh();
        }
        entry.last_used = now;
        if batch.is_control() {
            return;
        }
        entry.batches.push_back((batch.base_sequence, batch.last_sequence(), base_offset));
        if entry.batches.len() > BATCHES_REMEMBERED {
            entry.batches.pop_front();
        }
    }

    /// A remembered producer's (last offset, if any batch of its epoch is remembered, and epoch).
    pub(crate) fn last_record(&self, producer_id: i64) -> Option<(Option<i64>, i16)> {
        let entry = self.entries.get(&producer_id)?;
        let last_offset = entry.batches.back().map(|(first, last, base_offset)| {
            base_offset.saturating_add(i64::from(last.wrapping_sub(*first) & i32::MAX))
        });
        Some((last_offset, entry.epoch))
    }

    /// Goes back to what a log says that was cut at `end`.
    ///
    /// Batches that retention took are remembered as far as the producer had no newer epoch.
    pub(crate) fn truncate<'a>(&mut self, end: i64, log: impl Iterator<Item = &'a BatchHeader>) {
        let before = std::mem::take(&mut self.entries);
        for batch in log {
            if let Some(entry) = before.get(&batch.producer_id) {
                self.appended(batch, batch.base_offset, entry.last_used);
            }
        }
        for (id, mut entry) in before {
            entry.batches.retain(|(_, _, base_offset)| *base_offset < end);
            if !entry.batches.is_empty() {
                self.entries.entry(id).or_insert(entry);
            }
        }
    }

    /// Forgets all producers, as their silent expiry does.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

const fn next_sequence(last: i32) -> i32 {
    last.wrapping_add(1) & i32::MAX
}

const BATCHES_REMEMBERED: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::batch::HEADER_BYTES;

    const DAY: Duration = Duration::from_secs(86_400);
    const OUT_OF_ORDER: Verdict = Verdict::Refuse(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);

    fn batch(epoch: i16, first: i32, count: i32) -> BatchHeader {
        let mut bytes = [0; HEADER_BYTES];
        bytes[11] = 49;
        BatchHeader {
            producer_id: 9,
            producer_epoch: epoch,
            base_sequence: first,
            last_offset_delta: count - 1,
            ..BatchHeader::read(&bytes).unwrap()
        }
    }

    struct Check(Producers, i64, Instant);

    impl Check {
        fn new() -> Self {
            Self(Producers::default(), 100, crate::mock::clock::now())
        }

        fn send(&mut self, batch: BatchHeader) -> Verdict {
            let verdict = self.0.judge(&batch, self.2, DAY, &TransactionIndex::default());
            if verdict == Verdict::Append {
                self.0.appended(&batch, self.1, self.2);
                self.1 += i64::from(batch.last_offset_delta) + 1;
            }
            verdict
        }
    }

    #[test]
    fn any_first_sequence_is_taken_and_the_next_must_follow() {
        let mut check = Check::new();
        assert_eq!(check.send(batch(0, 40, 2)), Verdict::Append);
        assert_eq!(check.send(batch(0, 43, 1)), OUT_OF_ORDER);
        assert_eq!(check.send(batch(0, 42, 1)), Verdict::Append);
        assert_eq!(check.send(batch(0, 0, 1)), OUT_OF_ORDER);
    }

    #[test]
    fn five_batches_are_remembered() {
        let mut check = Check::new();
        for first in 0..6 {
            assert_eq!(check.send(batch(0, first, 1)), Verdict::Append);
        }
        for first in 1..6 {
            assert_eq!(check.send(batch(0, first, 1)), Verdict::Duplicate(100 + i64::from(first)));
        }
        assert_eq!(check.send(batch(0, 0, 1)), OUT_OF_ORDER);
        assert_eq!(check.send(batch(0, 5, 2)), OUT_OF_ORDER, "same start, other length");
    }

    #[test]
    fn sequences_go_on_at_zero_after_the_largest() {
        let mut check = Check::new();
        assert_eq!(check.send(batch(0, i32::MAX - 1, 2)), Verdict::Append);
        assert_eq!(check.send(batch(0, 0, 1)), Verdict::Append);
        let mut check = Check::new();
        assert_eq!(check.send(batch(0, i32::MAX, 3)), Verdict::Append);
        assert_eq!(check.send(batch(0, 2, 1)), Verdict::Append);
    }

    #[test]
    fn epochs_fence_and_a_new_one_starts_at_zero() {
        let mut check = Check::new();
        assert_eq!(check.send(batch(1, 0, 1)), Verdict::Append);
        assert_eq!(check.send(batch(0, 1, 1)), Verdict::Refuse(ErrorCode::INVALID_PRODUCER_EPOCH));
        assert_eq!(check.send(batch(2, 1, 1)), OUT_OF_ORDER);
        assert_eq!(check.send(batch(2, 0, 1)), Verdict::Append);
        assert_eq!(check.send(batch(2, 0, 1)), Verdict::Duplicate(101));
    }

    #[test]
    fn idle_producers_are_forgotten() {
        let mut check = Check::new();
        check.send(batch(0, 0, 1));
        check.2 += DAY;
        assert_eq!(check.send(batch(0, 7, 1)), Verdict::Append);
    }
}
