//! Records as they are handed out: owned and cheap to clone, or borrowed from their batch.
//!
//! Both are views of the batch's decompressed bytes, shared and never copied. A batch is checked whole before any of
//! it is handed out, headers included, so that reading it cannot fail half-way.

use super::positions::AssignmentId;
use crate::{
    error::DecodeError,
    wire::record_batch::{self, OpenBatch, RecordCursor},
};
use bytes::Bytes;
use std::{fmt, iter::FusedIterator, ops::Range, sync::Arc};

/// A partition of a topic, by the topic's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of that number.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What an ack or a hand-out belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) assignment: AssignmentId,
    pub(crate) lineage: u64,
}

/// A record that a consumer was given.
///
/// It is `Send`, owns no memory of its own and clones by counting references. It keeps its whole batch in memory:
/// copy the key or the value out of records that are kept for long.
#[derive(Clone)]
pub struct ConsumerRecord {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    leader_epoch: i32,
    data: Bytes,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
    header_count: usize,
    origin: Origin,
    covers_from: i64,
}

impl ConsumerRecord {
    /// The topic's name.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The topic and the partition.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition: self.partition }
    }

    /// The record's offset in its partition.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Milliseconds since 1970: the producer's time, or the broker's where the topic says so.
    pub fn timestamp_ms(&self) -> i64 {
        self.timestamp_ms
    }

    /// The epoch of the leader that wrote the record, -1 when it is not known.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The key, if the record has one.
    pub fn key(&self) -> Option<&[u8]> {
        self.key.clone().and_then(|range| self.data.get(range))
    }

    /// The value, `None` for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.clone().and_then(|range| self.data.get(range))
    }

    /// The key as shared bytes.
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key.clone().map(|range| self.data.slice(range))
    }

    /// The value as shared bytes.
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value.clone().map(|range| self.data.slice(range))
    }

    /// The headers in the record's order; keys may repeat.
    pub fn headers(&self) -> Headers<'_> {
        let raw = self.data.get(self.headers.clone()).unwrap_or_default();
        Headers(record_batch::Headers::new(raw, self.header_count))
    }

    /// The value of the first header of that name; `None` if there is none, or its value is null.
    pub fn header(&self, key: &str) -> Option<&[u8]> {
        self.headers().find(|(name, _)| *name == key.as_bytes()).and_then(|(_, value)| value)
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// The offsets that an ack of this record finishes: it, and the gap in front of it.
    pub(crate) fn covers(&self) -> Range<i64> {
        self.covers_from..self.offset.saturating_add(1)
    }

    pub(crate) fn with_covers_from(mut self, covers_from: i64) -> Self {
        self.covers_from = covers_from;
        self
    }
}

impl fmt::Debug for ConsumerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("timestamp_ms", &self.timestamp_ms)
            .field("key", &self.key_bytes())
            .field("value", &self.value_bytes())
            .field("headers", &self.header_count)
            .finish_non_exhaustive()
    }
}

/// The headers of a record: (key, value). Brokers do not check that keys are UTF-8, so they are bytes.
#[derive(Debug, Clone)]
pub struct Headers<'a>(record_batch::Headers<'a>);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()?.ok()
    }
}

impl FusedIterator for Headers<'_> {}

/// The records of one batch of one partition, handed out together.
///
/// Iterating allocates nothing. Clones share the bytes.
#[derive(Clone)]
pub struct Records {
    name: TopicPartition,
    batch: OpenBatch,
    /// Where the records that are handed out begin: this one is the next to be read.
    start: RecordCursor,
    count: usize,
    last_offset: i64,
    origin: Origin,
    covers_from: i64,
}

impl Records {
    /// Checks every record of `batch`; those below `position` are left out. `None`: no record is left.
    pub(crate) fn check(
        name: TopicPartition,
        batch: OpenBatch,
        position: i64,
        origin: Origin,
    ) -> Result<Option<Self>, DecodeError> {
        let mut cursor = batch.cursor();
        let mut start = cursor.clone();
        let mut count = 0;
        let mut last_offset = position;
        while let Some(record) = cursor.next(&batch) {
            let record = record?;
            for header in record.headers() {
                header?;
            }
            if record.offset < position {
                start = cursor.clone();
            } else {
                count += 1;
                last_offset = record.offset;
            }
        }
        let records = Self { name, batch, start, count, last_offset, origin, covers_from: position };
        Ok((count > 0).then_some(records))
    }

    /// The topic's name.
    pub fn topic(&self) -> &Arc<str> {
        &self.name.topic
    }

    /// The partition's number.
    pub fn partition(&self) -> i32 {
        self.name.partition
    }

    /// The topic and the partition.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.name
    }

    /// How many records there are, at least one.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Never: a batch without records is not handed out.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.last_offset
    }

    /// The size of the records, decompressed.
    pub fn bytes(&self) -> usize {
        self.batch.data.len()
    }

    /// The records in the order of their offsets.
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter { records: self, rest: self.rest() }
    }

    /// A place in the records that does not borrow them.
    pub(crate) fn rest(&self) -> Rest {
        Rest { cursor: self.start.clone(), left: self.count, covers_from: self.covers_from }
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn leader_epoch(&self) -> i32 {
        self.batch.header.partition_leader_epoch
    }

    /// The offsets that an ack of all records finishes.
    pub(crate) fn covers(&self) -> Range<i64> {
        self.covers_from..self.last_offset.saturating_add(1)
    }

    pub(crate) fn next_offset(&self) -> i64 {
        self.batch.header.next_offset()
    }

    /// Only what `rest` has not passed.
    pub(crate) fn narrowed_to(mut self, rest: Rest) -> Self {
        self.start = rest.cursor;
        self.count = rest.left;
        self.covers_from = rest.covers_from;
        self
    }

    pub(crate) fn with_covers_from(mut self, covers_from: i64) -> Self {
        self.covers_from = covers_from;
        self
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("partition", &self.name)
            .field("count", &self.count)
            .field("last_offset", &self.last_offset)
            .finish_non_exhaustive()
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = RecordRef<'a>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// What is left of a batch that is handed out record by record.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    cursor: RecordCursor,
    left: usize,
    covers_from: i64,
}

impl Rest {
    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.left
    }

    /// The next record of `records`, which is what this is the rest of.
    pub(crate) fn next<'a>(&mut self, records: &'a Records) -> Option<RecordRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        // Every record was checked already, so an error cannot come.
        let record = self.cursor.next(&records.batch)?.ok()?;
        let covers_from = std::mem::replace(&mut self.covers_from, record.offset.saturating_add(1));
        Some(RecordRef { records, record, covers_from })
    }
}

/// The records of a batch, borrowed one at a time.
#[derive(Debug, Clone)]
pub struct RecordsIter<'a> {
    records: &'a Records,
    rest: Rest,
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = RecordRef<'a>;

    fn next(&mut self) -> Option<RecordRef<'a>> {
        self.rest.next(self.records)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest.left, Some(self.rest.left))
    }
}

impl ExactSizeIterator for RecordsIter<'_> {}
impl FusedIterator for RecordsIter<'_> {}

/// A record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    records: &'a Records,
    record: record_batch::RecordRef<'a>,
    covers_from: i64,
}

impl<'a> RecordRef<'a> {
    /// The record's offset in its partition.
    pub fn offset(&self) -> i64 {
        self.record.offset
    }

    /// Milliseconds since 1970: the producer's time, or the broker's where the topic says so.
    pub fn timestamp_ms(&self) -> i64 {
        self.record.timestamp_ms
    }

    /// The key, if the record has one.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key
    }

    /// The value, `None` for a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.record.value
    }

    /// The headers in the record's order; keys may repeat.
    pub fn headers(&self) -> Headers<'a> {
        Headers(self.record.headers())
    }

    pub(crate) fn origin(&self) -> Origin {
        self.records.origin
    }

    pub(crate) fn leader_epoch(&self) -> i32 {
        self.records.leader_epoch()
    }

    /// The offsets that an ack of this record finishes: it, and the gap in front of it.
    pub(crate) fn covers(&self) -> Range<i64> {
        self.covers_from..self.record.offset.saturating_add(1)
    }

    /// The record as a value of its own, which shares the batch's bytes.
    pub fn to_owned(&self) -> ConsumerRecord {
        let data = &self.records.batch.data;
        ConsumerRecord {
            topic: self.records.name.topic.clone(),
            partition: self.records.name.partition,
            offset: self.record.offset,
            timestamp_ms: self.record.timestamp_ms,
            leader_epoch: self.records.leader_epoch(),
            key: self.record.key.map(|key| range_in(data, key)),
            value: self.record.value.map(|value| range_in(data, value)),
            headers: range_in(data, self.record.headers().raw()),
            header_count: self.record.header_count(),
            data: data.clone(),
            origin: self.records.origin,
            covers_from: self.covers_from,
        }
    }
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}
