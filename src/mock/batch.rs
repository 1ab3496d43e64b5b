//! The header of a record batch (magic 2), read and patched by hand.
//!
//! Invariant: the bytes from the attributes on stay as the producer sent them, unless the topic stamps the time of
//! the append itself (LogAppendTime), which the producer's checksum covers and which is therefore recomputed.

use bytes::{BufMut, Bytes, BytesMut};

/// The fixed part of a batch before its records.
pub(crate) const HEADER_BYTES: usize = 61;

/// A batch's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// The whole batch in bytes, the header included.
    pub(crate) len: usize,
    pub(crate) leader_epoch: i32,
    pub(crate) magic: i8,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp_ms: i64,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`; `None` where the batch is not whole.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let rest_len = i32::from_be_bytes(field(header, 8)?);
        let len = usize::try_from(rest_len).ok()?.checked_add(12)?;
        if len < HEADER_BYTES || len > bytes.len() {
            return None;
        }
        Some(Self {
            base_offset: i64::from_be_bytes(field(header, 0)?),
            len,
            leader_epoch: i32::from_be_bytes(field(header, 12)?),
            magic: i8::from_be_bytes(field(header, 16)?),
            crc: u32::from_be_bytes(field(header, 17)?),
            attributes: i16::from_be_bytes(field(header, 21)?),
            last_offset_delta: i32::from_be_bytes(field(header, 23)?),
            base_timestamp_ms: i64::from_be_bytes(field(header, 27)?),
            max_timestamp_ms: i64::from_be_bytes(field(header, 35)?),
            producer_id: i64::from_be_bytes(field(header, 43)?),
            producer_epoch: i16::from_be_bytes(field(header, 51)?),
            base_sequence: i32::from_be_bytes(field(header, 53)?),
            record_count: i32::from_be_bytes(field(header, 57)?),
        })
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Bits 0 to 2 of the attributes: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub(crate) const fn codec(&self) -> i16 {
        self.attributes & CODEC
    }

    pub(crate) const fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// When the tombstones in the batch, or its marker, may be deleted; the log cleaner puts that in place of the base
    /// timestamp.
    pub(crate) fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp_ms)
    }

    pub(crate) const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) const fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// The sequence of the batch's last record; sequences go on at 0 after `i32::MAX`.
    pub(crate) const fn last_sequence(&self) -> i32 {
        let sum = self.base_sequence.wrapping_add(self.last_offset_delta);
        sum & i32::MAX
    }
}

/// A batch of that header, its length and checksum worked out, and of these records as they are.
pub(crate) fn build(header: &BatchHeader, records: &[u8]) -> Bytes {
    let rest_len = i32::try_from(HEADER_BYTES - 12 + records.len()).unwrap_or(i32::MAX);
    let mut out = BytesMut::with_capacity(HEADER_BYTES + records.len());
    out.put_i64(header.base_offset);
    out.put_i32(rest_len);
    out.put_i32(header.leader_epoch);
    out.put_i8(header.magic);
    out.put_u32(0);
    out.put_i16(header.attributes);
    out.put_i32(header.last_offset_delta);
    out.put_i64(header.base_timestamp_ms);
    out.put_i64(header.max_timestamp_ms);
    out.put_i64(header.producer_id);
    out.put_i16(header.producer_epoch);
    out.put_i32(header.base_sequence);
    out.put_i32(header.record_count);
    out.put_slice(records);
    let crc = crc32c::crc32c(out.get(ATTRIBUTES_AT..).unwrap_or_default());
    put(&mut out, 17, &crc.to_be_bytes());
    out.freeze()
}

/// Whether the checksum in the header is that of the bytes it covers.
pub(crate) fn crc_matches(batch: &[u8], header: &BatchHeader) -> bool {
    batch.get(ATTRIBUTES_AT..header.len).is_some_and(|covered| crc32c::crc32c(covered) == header.crc)
}

/// The batch as the log keeps it: under its offset and leader epoch, and stamped with the time of the append where
/// the topic asks for that.
pub(crate) fn stamped(
    batch: &[u8],
    base_offset: i64,
    leader_epoch: i32,
    append_time_ms: Option<i64>,
) -> Bytes {
    let mut out = BytesMut::from(batch);
    put(&mut out, 0, &base_offset.to_be_bytes());
    put(&mut out, 12, &leader_epoch.to_be_bytes());
    if let Some(time_ms) = append_time_ms {
        let attributes = batch.get(ATTRIBUTES_AT..).and_then(|rest| rest.first_chunk::<2>());
        let attributes = attributes.map_or(0, |bytes| i16::from_be_bytes(*bytes)) | LOG_APPEND_TIME;
        put(&mut out, ATTRIBUTES_AT, &attributes.to_be_bytes());
        put(&mut out, 35, &time_ms.to_be_bytes());
        let crc = crc32c::crc32c(out.get(ATTRIBUTES_AT..).unwrap_or_default());
        put(&mut out, 17, &crc.to_be_bytes());
    }
    out.freeze()
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> Option<[u8; N]> {
    header.get(at..)?.first_chunk::<N>().copied()
}

fn put(out: &mut BytesMut, at: usize, value: &[u8]) {
    if let Some(target) = out.get_mut(at..at + value.len()) {
        target.copy_from_slice(value);
    }
}

const ATTRIBUTES_AT: usize = 21;
pub(crate) const CODEC: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 0b1000;
pub(crate) const TRANSACTIONAL: i16 = 0b1_0000;
pub(crate) const CONTROL: i16 = 0b10_0000;
pub(crate) const DELETE_HORIZON: i16 = 0b100_0000;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(base_sequence: i32, last_offset_delta: i32) -> BatchHeader {
        BatchHeader { base_sequence, last_offset_delta, ..BatchHeader::read(&empty()).unwrap() }
    }

    fn empty() -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[11] = 49;
        bytes[16] = 2;
        let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(header(5, 4).last_sequence(), 9);
        assert_eq!(header(i32::MAX - 1, 1).last_sequence(), i32::MAX);
        assert_eq!(header(i32::MAX - 1, 2).last_sequence(), 0);
        assert_eq!(header(i32::MAX, 3).last_sequence(), 2);
    }

    #[test]
    fn a_stamp_changes_what_it_says_and_keeps_the_checksum_right() {
        for time in [None, Some(77)] {
            let batch = stamped(&empty(), 42, 3, time);
            let header = BatchHeader::read(&batch).unwrap();
            assert_eq!((header.base_offset, header.leader_epoch), (42, 3));
            assert_eq!(header.is_log_append_time(), time.is_some());
            assert_eq!(header.max_timestamp_ms, time.unwrap_or(0));
            assert!(crc_matches(&batch, &header));
        }
    }

    #[test]
    fn a_batch_is_built_as_it_is_read() {
        let header = header(7, 4);
        let built = build(&header, b"records");
        let read = BatchHeader::read(&built).unwrap();
        assert!(crc_matches(&built, &read));
        assert_eq!(BatchHeader { len: header.len, crc: header.crc, ..read }, header);
        assert_eq!(read.len, HEADER_BYTES + 7);
    }

    #[test]
    fn a_batch_that_is_not_whole_is_none() {
        let bytes = empty();
        for cut in 0..bytes.len() {
            assert_eq!(BatchHeader::read(&bytes[..cut]), None);
        }
    }
}
