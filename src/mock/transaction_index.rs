//! What a log knows of the transactions in it, as Kafka's leader does: those that are open, and those that ended.
//!
//! Invariant: it follows from the log's batches alone, in their order. The first batch of a producer opens its
//! transaction, a marker ends it; a marker without a transaction changes nothing.

use super::batch::{BatchHeader, HEADER_BYTES};
use super::raw_record;
use std::collections::BTreeMap;

/// The key of a marker's one record: version 0, then 0 for an abort and 1 for a commit.
const ABORT_KEY: [u8; 4] = [0, 0, 0, 0];
const COMMIT_KEY: [u8; 4] = [0, 0, 0, 1];

/// Open and ended transactions of a partition.
#[derive(Debug, Default)]
pub(crate) struct TransactionIndex {
    /// Producer id to the offset of the transaction's first record.
    open: BTreeMap<i64, i64>,
    /// In the order of their markers. Those that were committed stay until they are replicated, those that were
    /// aborted until retention takes them.
    ended: Vec<Ended>,
}

/// A transaction with a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The marker's own offset.
    pub(crate) last_offset: i64,
    pub(crate) is_aborted: bool,
}

/// What a control batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Abort,
    Commit,
}

impl Marker {
    /// What the control batch says; `None` where it is no marker of a transaction.
    pub(crate) fn read(header: &BatchHeader, batch: &[u8]) -> Option<Self> {
        let plain = batch.get(HEADER_BYTES..header.len).filter(|_| header.is_control())?;
        let key = raw_record::read_all(plain, header.record_count)?.first()?.key?;
        match key {
            key if key == ABORT_KEY => Some(Self::Abort),
            key if key == COMMIT_KEY => Some(Self::Commit),
            _ => None,
        }
    }

    /// The records of a marker's batch, as coordinator epoch 0 writes them.
    pub(crate) fn records(self) -> Vec<u8> {
        let key = match self {
            Self::Abort => ABORT_KEY,
            Self::Commit => COMMIT_KEY,
        };
        raw_record::write_plain(&key, &[0; 6])
    }
}

impl TransactionIndex {
    /// Takes note of a batch that was appended; `high_watermark` is the log's.
    pub(crate) fn appended(&mut self, header: &BatchHeader, batch: &[u8], high_watermark: i64) {
        self.ended.retain(|ended| ended.is_aborted || ended.last_offset >= high_watermark);
        if !header.is_transactional() {
            return;
        }
        if !header.is_control() {
            self.open.entry(header.producer_id).or_insert(header.base_offset);
            return;
        }
        let Some(marker) = Marker::read(header, batch) else { return };
        let Some(first_offset) = self.open.remove(&header.producer_id) else { return };
        self.ended.push(Ended {
            producer_id: header.producer_id,
            first_offset,
            last_offset: header.last_offset(),
            is_aborted: marker == Marker::Abort,
        });
    }

    /// Whether the producer has a transaction open.
    pub(crate) fn is_open(&self, producer_id: i64) -> bool {
        self.open.contains_key(&producer_id)
    }

    /// The first offset that a reader of committed data may not see yet: of an open transaction, or of one whose
    /// marker is not replicated.
    pub(crate) fn first_unstable_offset(&self, high_watermark: i64) -> Option<i64> {
        let pending = self.ended.iter().filter(|ended| ended.last_offset >= high_watermark);
        self.open.values().copied().chain(pending.map(|ended| ended.first_offset)).min()
    }

    /// The aborted transactions with a record in `from..to`, in the order of their markers.
    pub(crate) fn aborted(&self, from: i64, to: i64) -> impl Iterator<Item = &Ended> {
        let aborted = self.ended.iter().filter(|ended| ended.is_aborted);
        aborted.filter(move |ended| ended.last_offset >= from && ended.first_offset < to)
    }

    /// Forgets those aborted transactions for which `keep` does not hold.
    pub(crate) fn retain_aborted(&mut self, keep: impl Fn(&Ended) -> bool) {
        self.ended.retain(|ended| !ended.is_aborted || keep(ended));
    }

    /// Follows a log whose batches from `offset` on are cut off: what ended there is open again.
    pub(crate) fn truncate(&mut self, offset: i64) {
        let (kept, undone) = self.ended.iter().partition(|ended| ended.last_offset < offset);
        self.ended = kept;
        self.open.extend(undone.iter().map(|ended: &Ended| (ended.producer_id, ended.first_offset)));
        self.open.retain(|_, first_offset| *first_offset < offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::records::{encode_transactional, marker};

    struct Check(TransactionIndex, i64);

    impl Check {
        fn note(&mut self, batch: &[u8], high_watermark: i64) {
            let header = BatchHeader { base_offset: self.1, ..BatchHeader::read(batch).unwrap() };
            self.0.appended(&header, batch, high_watermark);
            self.1 += 1;
        }

        fn data(&mut self, producer_id: i64) {
            self.note(&encode_transactional(&[(None, None, 0)], (producer_id, 0, 0)).unwrap(), self.1);
        }

        fn end(&mut self, producer_id: i64, kind: Marker) {
            self.note(&marker(producer_id, 0, kind, 0), self.1);
        }

        fn aborted(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
            self.0.aborted(from, to).map(|ended| (ended.producer_id, ended.first_offset)).collect()
        }
    }

    /// Producer 1 aborts 0..=4, producer 2 commits 1..=3, producer 3 is open from 5.
    fn three() -> Check {
        let mut check = Check(TransactionIndex::default(), 0);
        for producer in [1, 2, 1] {
            check.data(producer);
        }
        check.end(2, Marker::Commit);
        check.end(1, Marker::Abort);
        check.data(3);
        check
    }

    #[test]
    fn open_transactions_and_unreplicated_markers_are_unstable() {
        let check = three();
        assert_eq!(check.0.first_unstable_offset(6), Some(5));
        assert_eq!(check.0.first_unstable_offset(4), Some(0));
        assert!(check.0.is_open(3) && !check.0.is_open(1));
    }

    #[test]
    fn aborted_ones_are_listed_where_they_overlap_in_the_order_of_their_markers() {
        let mut check = three();
        assert_eq!(check.aborted(0, 6), [(1, 0)]);
        assert_eq!(check.aborted(4, 5), [(1, 0)]);
        assert!(check.aborted(5, 6).is_empty());
        check.end(9, Marker::Abort);
        assert_eq!(check.aborted(0, 99), [(1, 0)], "a marker without a transaction");
        check.end(3, Marker::Abort);
        assert_eq!(check.aborted(0, 99), [(1, 0), (3, 5)]);
    }

    #[test]
    fn a_cut_log_opens_what_it_loses_the_marker_of() {
        let mut check = three();
        check.0.truncate(4);
        assert!(check.0.is_open(1) && !check.0.is_open(3));
        assert!(check.aborted(0, 99).is_empty());
        assert_eq!(check.0.first_unstable_offset(4), Some(0));
    }
}
