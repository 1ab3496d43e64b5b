//! Task: transactions that a test writes into the logs from outside, without a producer on the wire.

use super::cluster::Shared;
use super::error::MockError;
use super::transaction_index::Marker;
use super::{clock, records};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A transactional producer of the test's own; made by [`MockCluster::transaction`](super::MockCluster::transaction).
///
/// The first append begins a transaction; [`commit`](Self::commit) and [`abort`](Self::abort) write their marker to
/// every partition that it appended to, and the next append begins another one under the same producer id. A
/// transaction that is never ended stays open for ever, dropped or not: readers of committed data hang before it.
///
/// Markers bear the epoch of the data (as without `transaction.version` 2), and no coordinator is asked.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use craftwire::mock::MockCluster;
///
/// let mock = MockCluster::builder().topic("orders", 1).start_in_memory()?;
/// let mut transaction = mock.transaction();
/// transaction.append("orders", 0, Some(b"key"), Some(b"taken back"))?;
/// assert_eq!(mock.last_stable_offset("orders", 0), Some(0));
/// transaction.abort()?;
/// transaction.append("orders", 0, Some(b"key"), Some(b"for good"))?;
/// transaction.commit()?;
/// // Two records and two markers.
/// assert_eq!(mock.last_stable_offset("orders", 0), Some(4));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Transaction {
    shared: Arc<Shared>,
    producer_id: i64,
    producer_epoch: i16,
    sequences: BTreeMap<(String, i32), i32>,
    /// The partitions of the transaction that is open.
    partitions: BTreeSet<(String, i32)>,
}

/// A record to be written: its key and its value, `None` for null.
pub type KeyValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

impl Transaction {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let producer_id = shared.with_core(|core| {
            core.next_producer_id += 1;
            core.next_producer_id - 1
        });
        Self {
            shared: Arc::clone(shared),
            producer_id,
            producer_epoch: 0,
            sequences: BTreeMap::new(),
            partitions: BTreeSet::new(),
        }
    }

    /// The producer id that all of its batches and markers bear.
    pub const fn producer_id(&self) -> i64 {
        self.producer_id
    }

    /// Whether something was appended since the last end.
    pub fn is_open(&self) -> bool {
        !self.partitions.is_empty()
    }

    /// Appends one record, and returns its offset.
    ///
    /// # Errors
    ///
    /// There is no such partition.
    pub fn append(
        &mut self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<i64, MockError> {
        self.append_all(topic, partition, &[(key, value)])
    }

    /// Appends records as one batch, and returns the offset of the first.
    ///
    /// # Errors
    ///
    /// There is no such partition, or there are no records.
    pub fn append_all(
        &mut self,
        topic: &str,
        partition: i32,
        records: &[KeyValue<'_>],
    ) -> Result<i64, MockError> {
        let now = clock::now();
        let at = (topic.to_owned(), partition);
        let sequence = self.sequences.get(&at).copied().unwrap_or(0);
        let producer = (self.producer_id, self.producer_epoch, sequence);
        let offset = self.shared.with_core(|core| {
            let timestamp = core.unix_ms(now);
            let plain = |(key, value): &KeyValue<'_>| {
                (key.map(Bytes::copy_from_slice), value.map(Bytes::copy_from_slice), timestamp)
            };
            let plain: Vec<_> = records.iter().map(plain).collect();
            let batch = records::encode_transactional(&plain, producer).ok_or(MockError::Batch)?;
            core.append_outside(topic, partition, &batch, now)
        })?;
        let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
        self.sequences.insert(at.clone(), sequence.wrapping_add(count) & i32::MAX);
        self.partitions.insert(at);
        Ok(offset)
    }

    /// Ends the transaction with a commit marker on each of its partitions.
    ///
    /// # Errors
    ///
    /// A partition is gone meanwhile; the others have their marker all the same.
    pub fn commit(&mut self) -> Result<(), MockError> {
        self.end(Marker::Commit)
    }

    /// Ends the transaction with an abort marker on each of its partitions.
    ///
    /// # Errors
    ///
    /// A partition is gone meanwhile; the others have their marker all the same.
    pub fn abort(&mut self) -> Result<(), MockError> {
        self.end(Marker::Abort)
    }

    /// Writes a marker to one partition whether or not a transaction is open there, as a coordinator does that starts
    /// again; `is_commit` says which.
    ///
    /// # Errors
    ///
    /// There is no such partition.
    pub fn append_marker(&mut self, topic: &str, partition: i32, is_commit: bool) -> Result<i64, MockError> {
        self.partitions.remove(&(topic.to_owned(), partition));
        self.mark(topic, partition, if is_commit { Marker::Commit } else { Marker::Abort })
    }

    /// Each end bumps the epoch, and the markers bear the new one already (KIP-890).
    fn end(&mut self, marker: Marker) -> Result<(), MockError> {
        let ended = std::mem::take(&mut self.partitions);
        if !ended.is_empty() {
            self.producer_epoch = self.producer_epoch.saturating_add(1);
            self.sequences.clear();
        }
        let marked = ended.iter().map(|(topic, partition)| self.mark(topic, *partition, marker).map(drop));
        marked.fold(Ok(()), Result::and)
    }

    fn mark(&self, topic: &str, partition: i32, marker: Marker) -> Result<i64, MockError> {
        let now = clock::now();
        self.shared.with_core(|core| {
            let batch = records::marker(self.producer_id, self.producer_epoch, marker, core.unix_ms(now));
            core.append_outside(topic, partition, &batch, now)
        })
    }
}
