//! One partition's log: whole batches in offset order, kept as bytes.
//!
//! Invariant: batches do not overlap and their offsets rise; gaps are legal. The high watermark is the end of the log
//! unless followers may be behind.

use super::batch::{BatchHeader, stamped};
use super::records;
use super::transaction_index::TransactionIndex;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeSet, VecDeque};

/// One batch in the log.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) header: BatchHeader,
    pub(crate) bytes: Bytes,
}

/// A partition's batches.
#[derive(Debug, Default)]
pub(crate) struct Log {
    batches: VecDeque<Stored>,
    start_offset: i64,
    end_offset: i64,
    high_watermark: i64,
    /// Whether the high watermark waits for followers.
    is_held: bool,
    /// (leader epoch, first offset written under it), rising.
    epochs: Vec<(i32, i64)>,
    transactions: TransactionIndex,
}

impl Log {
    pub(crate) const fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset that the next record gets.
    pub(crate) const fn end_offset(&self) -> i64 {
        self.end_offset
    }

    pub(crate) const fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// Raises the high watermark to what all replicas in sync have.
    pub(crate) fn raise_high_watermark(&mut self, offset: i64) {
        self.high_watermark = offset.clamp(self.high_watermark, self.end_offset);
    }

    /// Whether appends leave the high watermark where it is, or take it along to the end.
    pub(crate) const fn hold_high_watermark(&mut self, is_held: bool) {
        self.is_held = is_held;
        if !is_held {
            self.high_watermark = self.end_offset;
        }
    }

    /// Where readers of committed data stop: before the first open transaction.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        let high_watermark = self.high_watermark();
        let unstable = self.transactions.first_unstable_offset(high_watermark);
        unstable.map_or(high_watermark, |offset| offset.clamp(self.start_offset, high_watermark))
    }

    pub(crate) const fn transactions(&self) -> &TransactionIndex {
        &self.transactions
    }

    pub(crate) fn batches(&self) -> impl Iterator<Item = &Stored> {
        self.batches.iter()
    }

    /// Notes that a leader takes over here.
    pub(crate) fn begin_epoch(&mut self, leader_epoch: i32) {
        if self.epochs.last().is_none_or(|(epoch, _)| *epoch < leader_epoch) {
            self.epochs.push((leader_epoch, self.end_offset));
        }
    }

    /// Appends `batch` at `base_offset`, which is not below the end, and returns that offset.
    pub(crate) fn append(
        &mut self,
        batch: &[u8],
        base_offset: i64,
        leader_epoch: i32,
        append_time_ms: Option<i64>,
    ) -> i64 {
        let base_offset = base_offset.max(self.end_offset);
        let bytes = stamped(batch, base_offset, leader_epoch, append_time_ms);
        let Some(header) = BatchHeader::read(&bytes) else { return base_offset };
        self.begin_epoch(leader_epoch);
        self.transactions.appended(&header, &bytes, self.high_watermark());
        self.end_offset = header.last_offset().saturating_add(1);
        self.hold_high_watermark(self.is_held);
        self.batches.push_back(Stored { header, bytes });
        base_offset
    }

    /// The batches below `end` from the one that holds `offset` on, cut after `max_bytes` wherever that is, as Kafka
    /// cuts.
    ///
    /// With `at_least_one` the first batch comes whole, however large; without it a first batch that does not fit
    /// gives nothing (KIP-74).
    pub(crate) fn read(&self, offset: i64, end: i64, max_bytes: usize, at_least_one: bool) -> Bytes {
        let from = self.batches.partition_point(|batch| batch.header.last_offset() < offset);
        let to = self.batches.partition_point(|batch| batch.header.last_offset() < end);
        let Some(first) = self.batches.get(from).filter(|_| from < to) else { return Bytes::new() };
        let room = if at_least_one { max_bytes.max(first.bytes.len()) } else { max_bytes };
        if first.bytes.len() > room {
            return Bytes::new();
        }
        if to == from + 1 {
            return first.bytes.clone();
        }
        let mut out = BytesMut::new();
        for batch in self.batches.range(from..to) {
            let fits = batch.bytes.len().min(room - out.len());
            out.extend_from_slice(batch.bytes.get(..fits).unwrap_or_default());
            if out.len() == room {
                break;
            }
        }
        out.freeze()
    }

    /// The offset up to which `len` bytes reach that were read from `offset` on: that of the next batch.
    pub(crate) fn reach(&self, offset: i64, len: usize) -> i64 {
        let from = self.batches.partition_point(|batch| batch.header.last_offset() < offset);
        let mut left = len;
        for batch in self.batches.range(from..) {
            if left == 0 {
                return batch.header.base_offset;
            }
            left = left.saturating_sub(batch.bytes.len());
        }
        self.end_offset
    }

    /// The first record at or after `timestamp_ms`: (its timestamp, its offset, the batch's leader epoch).
    pub(crate) fn find_time(&self, timestamp_ms: i64) -> Option<(i64, i64, i32)> {
        let batch = self.batches.iter().find(|batch| batch.header.max_timestamp_ms >= timestamp_ms)?;
        let epoch = batch.header.leader_epoch;
        let record = records::decode(batch)
            .into_iter()
            .flatten()
            .find(|record| record.timestamp_ms >= timestamp_ms && record.offset >= self.start_offset);
        Some(record.map_or_else(
            || (batch.header.max_timestamp_ms, batch.header.base_offset, epoch),
            |record| (record.timestamp_ms, record.offset, epoch),
        ))
    }

    /// The record with the highest timestamp: (timestamp, offset, leader epoch).
    pub(crate) fn find_max_time(&self) -> Option<(i64, i64, i32)> {
        let highest = self.batches.iter().map(|batch| batch.header.max_timestamp_ms).max()?;
        self.find_time(highest)
    }

    /// The leader epoch that `offset` was written under.
    pub(crate) fn epoch_at(&self, offset: i64) -> i32 {
        let after = self.epochs.partition_point(|(_, first)| *first <= offset);
        after.checked_sub(1).and_then(|at| self.epochs.get(at)).map_or(-1, |(epoch, _)| *epoch)
    }

    /// KIP-320: the largest epoch at or below `epoch` and the offset where it ends. One that is older than all that are
    /// known ends where they begin, and of one that is newer nothing is known, as Kafka's `LeaderEpochFileCache` has it.
    pub(crate) fn end_of_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        if epoch < 0 || self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            return None;
        }
        let after = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let end = self.epochs.get(after).map(|(_, first)| *first);
        match after.checked_sub(1).and_then(|at| self.epochs.get(at)) {
            Some((found, _)) => Some((*found, end.unwrap_or(self.end_offset))),
            None => end.map(|end| (epoch, end)),
        }
    }

    /// Puts what compaction left in place of the batches; the aborted transactions of these markers have no data left.
    pub(crate) fn replace(&mut self, batches: VecDeque<Stored>, emptied_markers: &BTreeSet<i64>) {
        self.batches = batches;
        self.transactions.retain_aborted(|aborted| !emptied_markers.contains(&aborted.last_offset));
    }

    /// Where the last leader epoch begins.
    pub(crate) fn epoch_start(&self) -> i64 {
        self.epochs.last().map_or(0, |(_, first)| *first)
    }

    /// Cuts the log at `end`, which lies between two batches, as a follower's is that had more than its new leader.
    pub(crate) fn truncate(&mut self, end: i64) {
        while self.batches.back().is_some_and(|batch| batch.header.last_offset() >= end) {
            self.batches.pop_back();
        }
        self.end_offset = end.min(self.end_offset);
        self.start_offset = self.start_offset.min(end);
        self.high_watermark = self.high_watermark.min(end);
        self.epochs.retain(|(_, first)| *first < end);
        self.transactions.truncate(end);
    }

    /// Moves the start of the log up, as DeleteRecords and retention do.
    pub(crate) fn delete_before(&mut self, offset: i64) {
        self.start_offset = offset.clamp(self.start_offset, self.end_offset);
        while self.batches.front().is_some_and(|batch| batch.header.last_offset() < self.start_offset) {
            self.batches.pop_front();
        }
        let start_offset = self.start_offset;
        self.transactions.retain_aborted(|aborted| aborted.last_offset >= start_offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::records::encode;

    fn log_of(counts: &[usize]) -> Log {
        let mut log = Log::default();
        for (at, count) in (0i32..).zip(counts) {
            let records: Vec<_> = (0..*count)
                .map(|_| (None, Some(Bytes::from_static(b"value")), 1000 + i64::from(at)))
                .collect();
            log.append(&encode(&records).unwrap(), 0, at / 2, None);
        }
        log
    }

    #[test]
    fn reads_start_at_the_batch_that_holds_the_offset_and_are_cut_at_the_limit() {
        let log = log_of(&[3, 2, 1]);
        assert_eq!(log.end_offset(), 6);
        let whole = log.read(0, 6, usize::MAX, false);
        let from_four = log.read(4, 6, usize::MAX, false);
        assert_eq!(BatchHeader::read(&from_four).unwrap().base_offset, 3);
        let first = BatchHeader::read(&whole).unwrap().len;
        assert_eq!(log.read(0, 6, first + 10, false).len(), first + 10);
        assert_eq!(log.read(0, 6, first - 1, false).len(), 0);
        assert_eq!(log.read(0, 6, 1, true).len(), first);
        assert!(log.read(6, 6, usize::MAX, true).is_empty());
        assert_eq!(log.read(0, 3, usize::MAX, false).len(), first);
        assert!(log.read(3, 3, usize::MAX, true).is_empty());
        assert_eq!([0, 1, first, first + 1].map(|len| log.reach(0, len)), [0, 3, 3, 5]);
        assert_eq!(log.reach(5, first), 6);
    }

    #[test]
    fn times_and_epochs_are_found() {
        let log = log_of(&[3, 2, 1]);
        assert_eq!(log.find_time(0), Some((1000, 0, 0)));
        assert_eq!(log.find_time(1001), Some((1001, 3, 0)));
        assert_eq!(log.find_time(1003), None);
        assert_eq!(log.find_max_time(), Some((1002, 5, 1)));
        assert_eq!((log.epoch_at(4), log.epoch_at(5)), (0, 1));
        assert_eq!(log.end_of_epoch(0), Some((0, 5)));
        assert_eq!((log.end_of_epoch(1), log.end_of_epoch(2)), (Some((1, 6)), None));
        let mut emptied = log_of(&[3]);
        emptied.truncate(0);
        assert_eq!(emptied.end_of_epoch(0), None);
        emptied.begin_epoch(4);
        assert_eq!(emptied.end_of_epoch(0), Some((0, 0)), "older than all that are known");
    }

    #[test]
    fn deleting_keeps_the_batch_that_holds_the_new_start() {
        let mut log = log_of(&[3, 2, 1]);
        log.delete_before(4);
        assert_eq!((log.start_offset(), log.batches().count()), (4, 2));
        log.delete_before(99);
        assert_eq!((log.start_offset(), log.end_offset(), log.batches().count()), (6, 6, 0));
    }
}
