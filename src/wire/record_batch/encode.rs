//! A batch that records are appended to, and what it becomes when it is sealed.
//!
//! Records are written where they stay: each one's length is computed beforehand, so nothing is shifted and nothing is
//! allocated but when the buffer grows. The header's 61 bytes are kept free until the batch is sealed.
//! The caller bounds the sizes: a batch stays under 2 GiB and 2^31 records, as any broker asks far earlier.

use super::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, BATCH_HEADER_BYTES, CRC_AT, LAST_OFFSET_DELTA_AT,
    LEADER_EPOCH_AT, LENGTH_AT, MAGIC, MAGIC_AT, MAX_TIMESTAMP_AT, PRODUCER_EPOCH_AT, PRODUCER_ID_AT,
    RECORD_COUNT_AT, UNCOUNTED_BYTES,
    varint::{VARINT_BYTES_MAX, one_byte, put_zigzag, zigzag_len},
};
use crate::wire::compression::{Compression, Compressor};
use bytes::{BufMut, Bytes, BytesMut};

/// The length, the attributes, two deltas and the key's length.
const RECORD_PREFIX_BYTES_MAX: usize = 4 * VARINT_BYTES_MAX + 1;
const NO_LEADER_EPOCH: i32 = -1;

/// One record to append; everything is borrowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordParts<'a> {
    pub(crate) key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub(crate) timestamp_ms: i64,
}

/// Who wrote a batch, and which of that producer's records it starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerStamp {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
}

#[cfg(test)]
impl ProducerStamp {
    /// Of a producer that is not idempotent.
    pub(crate) const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

/// An open batch.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    buffer: BytesMut,
    record_count: u32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

impl BatchBuilder {
    /// An empty batch with room for `bytes`, header included.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self::in_buffer(BytesMut::with_capacity(bytes.max(BATCH_HEADER_BYTES)))
    }

    /// An empty batch in `buffer`, which is empty.
    pub(crate) fn in_buffer(mut buffer: BytesMut) -> Self {
        buffer.put_bytes(0, BATCH_HEADER_BYTES);
        Self { buffer, record_count: 0, base_timestamp_ms: -1, max_timestamp_ms: -1 }
    }

    /// The bytes that [`append`](Self::append) would add for this record now.
    pub(crate) fn record_len(&self, record: &RecordParts<'_>) -> usize {
        let body_len = self.layout(record).body_len;
        zigzag_len(signed(body_len)) + body_len
    }

    /// The bytes of a batch that holds this record only, uncompressed.
    pub(crate) fn lone_len(record: &RecordParts<'_>) -> usize {
        let empty =
            Self { buffer: BytesMut::new(), record_count: 0, base_timestamp_ms: -1, max_timestamp_ms: -1 };
        BATCH_HEADER_BYTES + empty.record_len(record)
    }

    /// Adds a record. Time stamps may go backwards.
    pub(crate) fn append(&mut self, record: &RecordParts<'_>) {
        let layout = self.layout(record);
        if self.record_count == 0 {
            self.base_timestamp_ms = record.timestamp_ms;
            self.max_timestamp_ms = record.timestamp_ms;
        } else {
            self.max_timestamp_ms = self.max_timestamp_ms.max(record.timestamp_ms);
        }

        let mut prefix = [0; RECORD_PREFIX_BYTES_MAX];
        let mut end = put_zigzag(&mut prefix, 0, signed(layout.body_len));
        self.buffer.reserve(end + layout.body_len);
        end += 1; // the record's attributes: none are defined
        end = put_zigzag(&mut prefix, end, layout.timestamp_delta);
        end = put_zigzag(&mut prefix, end, layout.offset_delta);
        end = put_zigzag(&mut prefix, end, nullable_len(record.key));
        self.buffer.put_slice(&prefix[..end]);
        self.buffer.put_slice(record.key.unwrap_or_default());
        self.put_varint(nullable_len(record.value));
        self.buffer.put_slice(record.value.unwrap_or_default());
        self.put_varint(signed(record.headers.len()));
        for (key, value) in record.headers {
            self.put_varint(signed(key.len()));
            self.buffer.put_slice(key.as_bytes());
            self.put_varint(nullable_len(*value));
            self.buffer.put_slice(value.unwrap_or_default());
        }
        self.record_count += 1;
    }

    /// The batch's size if it were sealed plain now.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The memory the batch holds.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    pub(crate) fn record_count(&self) -> usize {
        usize::try_from(self.record_count).unwrap_or(usize::MAX)
    }

    /// Compresses the records, unless they do not get smaller, and writes the header.
    pub(crate) fn seal(
        mut self,
        codec: Compression,
        stamp: ProducerStamp,
        compressor: &mut Compressor,
    ) -> SealedBatch {
        let uncompressed_len = self.buffer.len();
        let codec = self.compress(codec, compressor);

        let last_offset_delta = self.record_count.saturating_sub(1);
        let batch_length = self.buffer.len() - UNCOUNTED_BYTES;
        let header = &mut self.buffer;
        put_at(header, 0, 0_i64.to_be_bytes());
        put_at(header, LENGTH_AT, i32::try_from(batch_length).unwrap_or(i32::MAX).to_be_bytes());
        put_at(header, LEADER_EPOCH_AT, NO_LEADER_EPOCH.to_be_bytes());
        put_at(header, MAGIC_AT, MAGIC.to_be_bytes());
        put_at(header, ATTRIBUTES_AT, codec.id().to_be_bytes());
        put_at(header, LAST_OFFSET_DELTA_AT, last_offset_delta.to_be_bytes());
        put_at(header, BASE_TIMESTAMP_AT, self.base_timestamp_ms.to_be_bytes());
        put_at(header, MAX_TIMESTAMP_AT, self.max_timestamp_ms.to_be_bytes());
        put_at(header, RECORD_COUNT_AT, self.record_count.to_be_bytes());
        put_stamp(header, stamp);
        SealedBatch {
            bytes: self.buffer.freeze(),
            record_count: self.record_count,
            uncompressed_len,
            max_timestamp_ms: self.max_timestamp_ms,
        }
    }

    /// Puts the records' compressed form in their place and gives the codec, or `None` where it is not smaller.
    fn compress(&mut self, codec: Compression, compressor: &mut Compressor) -> Compression {
        if codec == Compression::None {
            return codec;
        }
        let plain = &self.buffer[BATCH_HEADER_BYTES..];
        let mut compressed = compressor.take_scratch();
        let smaller = compressor.compress(codec, plain, &mut compressed) && compressed.len() < plain.len();
        if smaller {
            self.buffer.truncate(BATCH_HEADER_BYTES);
            self.buffer.put_slice(&compressed);
        }
        compressor.put_scratch(compressed);
        if smaller { codec } else { Compression::None }
    }

    fn layout(&self, record: &RecordParts<'_>) -> Layout {
        // Wraps as Java's subtraction does; only time stamps 292 million years apart would.
        let timestamp_delta = match self.record_count {
            0 => 0,
            _ => record.timestamp_ms.wrapping_sub(self.base_timestamp_ms),
        };
        let offset_delta = i64::from(self.record_count);
        let headers_len: usize = record
            .headers
            .iter()
            .map(|(key, value)| zigzag_len(signed(key.len())) + key.len() + nullable_bytes_len(*value))
            .sum();
        let body_len = 1
            + zigzag_len(timestamp_delta)
            + zigzag_len(offset_delta)
            + nullable_bytes_len(record.key)
            + nullable_bytes_len(record.value)
            + zigzag_len(signed(record.headers.len()))
            + headers_len;
        Layout { timestamp_delta, offset_delta, body_len }
    }

    #[inline]
    fn put_varint(&mut self, value: i64) {
        // Nearly all lengths are less than 64: one byte, without a copy.
        if let Some(byte) = one_byte(value) {
            return self.buffer.put_u8(byte);
        }
        let mut bytes = [0; VARINT_BYTES_MAX];
        let end = put_zigzag(&mut bytes, 0, value);
        self.buffer.put_slice(&bytes[..end]);
    }
}

/// What must be known of a record before its first byte is written.
struct Layout {
    timestamp_delta: i64,
    offset_delta: i64,
    body_len: usize,
}

/// A batch ready to be sent, as often as it takes.
#[derive(Debug, Clone)]
pub(crate) struct SealedBatch {
    pub(crate) bytes: Bytes,
    pub(crate) record_count: u32,
    /// Its size before compression, header included.
    pub(crate) uncompressed_len: usize,
    pub(crate) max_timestamp_ms: i64,
}

impl SealedBatch {
    /// The same records under another producer id, epoch or sequence, in memory of their own.
    pub(crate) fn restamped(&self, stamp: ProducerStamp) -> Self {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        put_stamp(&mut bytes, stamp);
        Self { bytes: bytes.freeze(), ..*self }
    }
}

/// Writes who wrote the batch, then the checksum, which is over everything but the bytes before it.
fn put_stamp(batch: &mut [u8], stamp: ProducerStamp) {
    put_at(batch, PRODUCER_ID_AT, stamp.producer_id.to_be_bytes());
    put_at(batch, PRODUCER_EPOCH_AT, stamp.producer_epoch.to_be_bytes());
    put_at(batch, BASE_SEQUENCE_AT, stamp.base_sequence.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    put_at(batch, CRC_AT, crc.to_be_bytes());
}

fn put_at<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    batch[at..at + N].copy_from_slice(&field);
}

fn nullable_len(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| signed(bytes.len()))
}

/// The bytes of a nullable byte field, its length included.
fn nullable_bytes_len(bytes: Option<&[u8]>) -> usize {
    zigzag_len(nullable_len(bytes)) + bytes.map_or(0, <[u8]>::len)
}

/// No slice is longer than `i64::MAX`.
fn signed(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
