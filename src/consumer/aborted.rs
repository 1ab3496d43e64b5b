//! Steps over what aborted transactions wrote, for readers that want committed data only (KIP-98).
//!
//! A fetch answer lists, per partition, the aborted transactions that its batches may belong to. A producer's batches
//! are dropped from its listed first offset up to its abort marker. The list need not be sorted, and a marker without
//! an entry (its transaction wrote nothing here) is nothing special. One filter serves one partition of one answer.

use crate::wire::record_batch::{BatchHeader, ControlKind};
use std::collections::BTreeSet;

/// The aborted transactions of one partition in one fetch answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct AbortedFilter {
    /// (first offset, producer id), the highest first offset in front, so that the next to begin is at the end.
    to_come: Vec<(i64, i64)>,
    aborting: BTreeSet<i64>,
}

impl AbortedFilter {
    /// From the answer's list of (producer id, first offset).
    pub(crate) fn new(listed: &[(i64, i64)]) -> Self {
        let mut to_come: Vec<_> = listed.iter().map(|&(producer_id, first)| (first, producer_id)).collect();
        to_come.sort_unstable_by(|a, b| b.cmp(a));
        Self { to_come, aborting: BTreeSet::new() }
    }

    /// Whether the data of this batch was aborted. Takes every batch of the answer, in order.
    pub(crate) fn is_aborted(&mut self, header: &BatchHeader, control: Option<ControlKind>) -> bool {
        while let Some((first, producer_id)) = self.to_come.pop_if(|next| next.0 <= header.last_offset()) {
            self.aborting.insert(producer_id);
            debug_assert!(first <= header.last_offset());
        }
        if header.is_control {
            if matches!(control, Some(ControlKind::Abort)) {
                self.aborting.remove(&header.producer_id);
            }
            return false;
        }
        header.is_transactional && self.aborting.contains(&header.producer_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::test_batches::header;

    fn data(base_offset: i64, producer_id: i64) -> BatchHeader {
        BatchHeader { producer_id, is_transactional: true, ..header(base_offset, 2) }
    }

    fn marker(base_offset: i64, producer_id: i64) -> BatchHeader {
        BatchHeader { is_control: true, ..data(base_offset, producer_id) }
    }

    #[test]
    fn data_is_dropped_from_its_first_offset_to_its_marker() {
        let mut filter = AbortedFilter::new(&[(7, 10)]);
        assert!(!filter.is_aborted(&data(0, 7), None));
        assert!(filter.is_aborted(&data(10, 7), None));
        assert!(!filter.is_aborted(&data(12, 8), None));
        assert!(!filter.is_aborted(&marker(14, 7), Some(ControlKind::Abort)));
        assert!(!filter.is_aborted(&data(16, 7), None));
    }

    #[test]
    fn an_unsorted_list_with_two_transactions_of_one_producer_works() {
        let mut filter = AbortedFilter::new(&[(7, 20), (9, 4), (7, 0)]);
        assert!(filter.is_aborted(&data(0, 7), None));
        assert!(filter.is_aborted(&data(4, 9), None));
        filter.is_aborted(&marker(8, 7), Some(ControlKind::Abort));
        assert!(!filter.is_aborted(&data(12, 7), None));
        assert!(filter.is_aborted(&data(20, 7), None));
        assert!(filter.is_aborted(&data(22, 9), None));
    }

    #[test]
    fn markers_without_an_entry_and_second_markers_are_nothing_special() {
        let mut filter = AbortedFilter::new(&[(7, 0)]);
        assert!(!filter.is_aborted(&marker(0, 99), Some(ControlKind::Abort)));
        assert!(filter.is_aborted(&data(2, 7), None));
        filter.is_aborted(&marker(4, 7), Some(ControlKind::Abort));
        filter.is_aborted(&marker(6, 7), Some(ControlKind::Abort));
        assert!(!filter.is_aborted(&data(8, 7), None));
    }

    #[test]
    fn data_outside_transactions_is_kept_whoever_wrote_it() {
        let mut filter = AbortedFilter::new(&[(7, 0)]);
        let plain = BatchHeader { is_transactional: false, ..data(0, 7) };
        assert!(!filter.is_aborted(&plain, None));
    }
}
