//! The records of an opened batch, one at a time and borrowed; headers only if asked for.
//!
//! Every record is checked as it comes: lengths against the bytes in hand, offsets rising within what the batch's
//! header states, no bytes left over. The first fault ends the walk.

use super::{BATCH_HEADER_BYTES, decode::OpenBatch, varint::Cursor};
use crate::error::DecodeError;
use std::iter::FusedIterator;

/// Java's clients have no bound of their own; nobody sends this many.
const HEADER_COUNT_MAX: usize = 10_000;
/// The lengths of a key and of a value.
const HEADER_BYTES_MIN: usize = 2;

/// A record, borrowed from its batch. `Bytes::slice_ref` on the batch's data makes parts of it owned, without a copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordRef<'a> {
    pub(crate) offset: i64,
    /// The producer's, or in a LogAppendTime batch the broker's.
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    header_count: usize,
    raw_headers: Cursor<'a>,
}

impl<'a> RecordRef<'a> {
    /// The headers in the record's order, equal keys kept.
    pub(crate) fn headers(&self) -> Headers<'a> {
        Headers { rest: self.raw_headers, left: self.header_count }
    }

    /// How many headers the record states, which is known to be possible.
    pub(crate) fn header_count(&self) -> usize {
        self.header_count
    }
}

/// The headers of one record: (key, value). Keys are bytes, since brokers do not check that they are UTF-8.
#[derive(Debug, Clone)]
pub(crate) struct Headers<'a> {
    rest: Cursor<'a>,
    left: usize,
}

impl<'a> Headers<'a> {
    /// The headers in `raw`, as [`Self::raw`] gave them.
    pub(crate) fn new(raw: &'a [u8], count: usize) -> Self {
        Self { rest: Cursor::new(raw, 0), left: count }
    }

    /// The bytes that are left to read, which `new` takes.
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.rest.rest()
    }

    fn read(&mut self) -> Result<(&'a [u8], Option<&'a [u8]>), DecodeError> {
        let len = self.rest.length("header key's length")?;
        let key = self.rest.take("header key", len)?;
        let value = self.rest.nullable_bytes("header value")?;
        if self.left == 0 {
            no_bytes_left("bytes after the last header", &self.rest)?;
        }
        Ok((key, value))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a [u8], Option<&'a [u8]>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let header = self.read();
        if header.is_err() {
            self.left = 0;
        }
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl FusedIterator for Headers<'_> {}

/// The records of a batch that is at hand for as long as they are.
#[derive(Debug, Clone)]
pub(crate) struct Records<'a> {
    batch: &'a OpenBatch,
    cursor: RecordCursor,
}

impl<'a> Records<'a> {
    pub(super) fn new(batch: &'a OpenBatch) -> Self {
        Self { batch, cursor: RecordCursor::new(batch) }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(self.batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.cursor.left).ok())
    }
}

impl FusedIterator for Records<'_> {}

/// A place in a batch's records that can be kept beside the batch, for reading on later.
#[derive(Debug, Clone)]
pub(crate) struct RecordCursor {
    at: usize,
    left: u32,
    /// The least offset delta that the next record may have.
    least_delta: u32,
    done: bool,
}

impl RecordCursor {
    /// The place before the first record.
    pub(crate) fn new(batch: &OpenBatch) -> Self {
        Self { at: 0, left: batch.header.record_count, least_delta: 0, done: false }
    }

    /// The next record of `batch`, which is the one that the cursor was made for; `None` after the last one or an
    /// error.
    #[inline]
    pub(crate) fn next<'a>(&mut self, batch: &'a OpenBatch) -> Option<Result<RecordRef<'a>, DecodeError>> {
        if self.done {
            return None;
        }
        let bytes = batch.data.get(self.at..).unwrap_or_default();
        // Positions in errors are those of a plain batch.
        let mut rest = Cursor::new(bytes, BATCH_HEADER_BYTES + self.at);
        if self.left == 0 {
            self.done = true;
            return no_bytes_left("bytes after the last record", &rest).err().map(Err);
        }
        let record = self.read(batch, &mut rest);
        self.left -= 1;
        self.at = batch.data.len() - rest.remaining();
        self.done = record.is_err();
        Some(record)
    }

    #[inline]
    fn read<'a>(&mut self, batch: &OpenBatch, rest: &mut Cursor<'a>) -> Result<RecordRef<'a>, DecodeError> {
        let len = rest.length("record's length")?;
        let at = rest.position();
        let mut record = Cursor::new(rest.take("record", len)?, at);
        record.byte("record's attributes")?;

        let header = &batch.header;
        let timestamp_at = record.position();
        let timestamp_delta = record.varlong("timestamp delta")?;
        let timestamp_ms = if header.is_log_append_time {
            header.max_timestamp_ms
        } else {
            header.base_timestamp_ms.checked_add(timestamp_delta).ok_or(DecodeError::Invalid {
                what: "timestamp delta",
                at: timestamp_at,
                value: timestamp_delta,
            })?
        };

        let delta_at = record.position();
        let stated_delta = record.varint("offset delta")?;
        let delta = u32::try_from(stated_delta)
            .ok()
            .filter(|delta| (self.least_delta..=header.last_offset_delta).contains(delta))
            .ok_or(DecodeError::Invalid {
                what: "offset delta",
                at: delta_at,
                value: i64::from(stated_delta),
            })?;
        self.least_delta = delta + 1;

        let key = record.nullable_bytes("key")?;
        let value = record.nullable_bytes("value")?;
        let count_at = record.position();
        let header_count = record.length("header count")?;
        let limit = HEADER_COUNT_MAX.min(record.remaining() / HEADER_BYTES_MIN);
        if header_count > limit {
            let value = i64::try_from(header_count).unwrap_or(i64::MAX);
            return Err(DecodeError::OverLimit { what: "header count", at: count_at, value, limit });
        }
        if header_count == 0 {
            no_bytes_left("bytes after the record's value", &record)?;
        }
        // The header's check of the last offset holds for this one, which is not above it.
        let offset = header.base_offset.saturating_add(i64::from(delta));
        Ok(RecordRef { offset, timestamp_ms, key, value, header_count, raw_headers: record })
    }
}

fn no_bytes_left(what: &'static str, rest: &Cursor<'_>) -> Result<(), DecodeError> {
    match rest.remaining() {
        0 => Ok(()),
        left => Err(DecodeError::OverLimit {
            what,
            at: rest.position(),
            value: i64::try_from(left).unwrap_or(i64::MAX),
            limit: 0,
        }),
    }
}
