//! Batches out of what a broker sent: first only their headers, then checksum and decompression, then records.
//!
//! A Fetch answer's last batch may be cut off, which ends the walk without an error.

use super::{
    ATTRIBUTES_AT, BATCH_HEADER_BYTES, RECORD_COUNT_AT,
    header::BatchHeader,
    record::{RecordCursor, Records},
};
use crate::{
    error::DecodeError,
    wire::compression::{Compression, Decompressor},
};
use bytes::Bytes;
use std::iter::FusedIterator;

/// The least a record takes: seven fields of a byte each.
const RECORD_BYTES_MIN: usize = 7;
/// In a control record's key: a version, then the kind.
const CONTROL_KIND_AT: usize = 2;

/// Steps through the batches of one partition's records by their headers. Checksums are not looked at.
pub(crate) fn walk(records: Bytes) -> Walk {
    Walk { rest: records, at: 0 }
}

/// See [`walk`]. Ends after the last whole batch or the first error.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    rest: Bytes,
    at: usize,
}

#[cfg(test)]
impl Walk {
    /// The bytes not stepped over: after the walk's end, those of the batch that is cut off.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl Iterator for Walk {
    type Item = Result<RawBatch, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match BatchHeader::read(&self.rest, self.at) {
            Ok(Some(header)) => {
                self.at += header.batch_len;
                Some(Ok(RawBatch { header, bytes: self.rest.split_to(header.batch_len) }))
            }
            Ok(None) => None,
            Err(error) => {
                self.rest.clear();
                Some(Err(error))
            }
        }
    }
}

impl FusedIterator for Walk {}

/// A whole batch as it came, of which only the header was looked at.
#[derive(Debug, Clone)]
pub(crate) struct RawBatch {
    pub(crate) header: BatchHeader,
    pub(crate) bytes: Bytes,
}

/// What a control batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlKind {
    /// The transaction of its producer id was aborted.
    Abort,
    /// It was committed.
    Commit,
    /// Nothing a client needs to know; -1 if compaction took the record.
    Other(i16),
}

impl RawBatch {
    /// Compares the batch's checksum with its bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Crc`].
    pub(crate) fn verify_crc(&self) -> Result<(), DecodeError> {
        let found = crc32c::crc32c(&self.bytes[ATTRIBUTES_AT..]);
        if found == self.header.crc {
            return Ok(());
        }
        Err(DecodeError::Crc { base_offset: self.header.base_offset, stated: self.header.crc, found })
    }

    /// What a control batch says; the checksum is checked.
    ///
    /// # Errors
    ///
    /// The batch is damaged, or not a control batch.
    pub(crate) fn control_kind(&self) -> Result<ControlKind, DecodeError> {
        let invalid = |what, value| DecodeError::Invalid { what, at: ATTRIBUTES_AT, value };
        if !self.header.is_control {
            return Err(invalid("control batch's attributes", 0));
        }
        if self.header.codec != Compression::None {
            return Err(invalid("control batch's codec", i64::from(self.header.codec.id())));
        }
        let batch = self.open(0, &mut Decompressor::new())?;
        let Some(record) = batch.records().next().transpose()? else { return Ok(ControlKind::Other(-1)) };
        let key = record.key.unwrap_or_default();
        let Some(kind) = key.get(CONTROL_KIND_AT..).and_then(<[u8]>::first_chunk::<2>) else {
            return Err(DecodeError::Truncated {
                what: "control record's key",
                at: BATCH_HEADER_BYTES,
                needed: CONTROL_KIND_AT + 2,
                left: key.len(),
            });
        };
        Ok(match i16::from_be_bytes(*kind) {
            0 => ControlKind::Abort,
            1 => ControlKind::Commit,
            other => ControlKind::Other(other),
        })
    }

    /// Checks the checksum and decompresses the records to at most `limit` bytes. Plain ones are shared, not copied.
    ///
    /// # Errors
    ///
    /// The checksum does not match, the codec refuses the bytes, they would exceed `limit`, or there cannot be as many
    /// records as the header states.
    pub(crate) fn open(
        &self,
        limit: usize,
        decompressor: &mut Decompressor,
    ) -> Result<OpenBatch, DecodeError> {
        self.verify_crc()?;
        let records = self.bytes.slice(BATCH_HEADER_BYTES..);
        let data = match self.header.codec {
            Compression::None => records,
            // A batch emptied by compaction keeps its header only.
            _ if records.is_empty() && self.header.record_count == 0 => records,
            codec => decompressor.decompress(codec, &records, limit)?,
        };
        let count_max = data.len() / RECORD_BYTES_MIN;
        if !usize::try_from(self.header.record_count).is_ok_and(|count| count <= count_max) {
            return Err(DecodeError::OverLimit {
                what: "record count",
                at: RECORD_COUNT_AT,
                value: i64::from(self.header.record_count),
                limit: count_max,
            });
        }
        Ok(OpenBatch { header: self.header, data })
    }
}

/// A batch whose checksum matched, with its records in the plain.
#[derive(Debug, Clone)]
pub(crate) struct OpenBatch {
    pub(crate) header: BatchHeader,
    /// The records, one after the other.
    pub(crate) data: Bytes,
}

impl OpenBatch {
    /// The records, each checked as it comes; the first error ends them.
    pub(crate) fn records(&self) -> Records<'_> {
        Records::new(self)
    }

    /// A place in the records that does not borrow the batch.
    pub(crate) fn cursor(&self) -> RecordCursor {
        RecordCursor::new(self)
    }
}
