//! What was fetched and not yet handed out, in the order it came.
//!
//! One entry is one partition's batches of one answer, still compressed and unchecked. Invariant: `bytes` is the sum
//! of the entries; the fetch lanes ask for no more than the budget leaves, so it is bounded.

use super::{aborted::AbortedFilter, positions::AssignmentId};
use crate::wire::record_batch::RawBatch;
use std::collections::VecDeque;

/// One partition's batches of one fetch answer.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) assignment: AssignmentId,
    /// The reading that asked for it; data of an earlier reading is dropped.
    pub(crate) serial: u64,
    pub(crate) batches: VecDeque<RawBatch>,
    pub(crate) aborted: AbortedFilter,
    pub(crate) bytes: usize,
}

/// The fetched chunks of all partitions of a consumer.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

impl Buffer {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn push(&mut self, chunk: Chunk) {
        self.bytes += chunk.bytes;
        self.chunks.push_back(chunk);
    }

    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.bytes -= chunk.bytes;
        Some(chunk)
    }

    /// Drops all that one partition has here.
    pub(crate) fn purge(&mut self, assignment: AssignmentId) {
        self.chunks.retain(|chunk| chunk.assignment != assignment);
        self.bytes = self.chunks.iter().map(|chunk| chunk.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(assignment: u64, bytes: usize) -> Chunk {
        Chunk {
            assignment: AssignmentId(assignment),
            serial: 1,
            batches: VecDeque::new(),
            aborted: AbortedFilter::default(),
            bytes,
        }
    }

    #[test]
    fn purging_one_partition_leaves_the_others_in_order() {
        let mut buffer = Buffer::default();
        for (assignment, bytes) in [(1, 10), (2, 20), (1, 30), (3, 40)] {
            buffer.push(chunk(assignment, bytes));
        }
        assert_eq!(buffer.bytes(), 100);
        buffer.purge(AssignmentId(1));
        assert_eq!(buffer.bytes(), 60);
        assert_eq!(buffer.pop().map(|c| c.assignment), Some(AssignmentId(2)));
        assert_eq!(buffer.pop().map(|c| c.assignment), Some(AssignmentId(3)));
        assert!(buffer.pop().is_none());
        assert!(buffer.is_empty());
        assert_eq!(buffer.bytes(), 0);
    }
}
