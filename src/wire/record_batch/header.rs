//! A batch's header, read and checked.

use super::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, BATCH_HEADER_BYTES, CODEC_BITS, CONTROL_BIT, CRC_AT,
    LAST_OFFSET_DELTA_AT, LEADER_EPOCH_AT, LENGTH_AT, LOG_APPEND_TIME_BIT, MAGIC, MAGIC_AT, MAX_TIMESTAMP_AT,
    PRODUCER_EPOCH_AT, PRODUCER_ID_AT, RECORD_COUNT_AT, TRANSACTIONAL_BIT, UNCOUNTED_BYTES,
};
use crate::{error::DecodeError, wire::compression::Compression};

/// The least length that any format's batch or message states.
const STATED_LEN_MIN: usize = 14;

/// What a batch says of itself. Its offsets are known to fit 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// The whole batch's bytes, header included.
    pub(crate) batch_len: usize,
    pub(crate) partition_leader_epoch: i32,
    pub(crate) crc: u32,
    pub(crate) codec: Compression,
    pub(crate) is_log_append_time: bool,
    pub(crate) is_transactional: bool,
    pub(crate) is_control: bool,
    pub(crate) last_offset_delta: u32,
    pub(crate) base_timestamp_ms: i64,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    /// 0 is legal: compaction keeps the header of a batch whose records are gone.
    pub(crate) record_count: u32,
}

impl BatchHeader {
    /// The last offset the batch covers, though its record may be compacted away.
    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Where the batch after this one can start.
    pub(crate) fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Reads the header at the front of `bytes`; `None` if the batch is cut off. `at` is where it stands, for errors.
    pub(super) fn read(bytes: &[u8], at: usize) -> Result<Option<Self>, DecodeError> {
        let Some(prefix) = bytes.first_chunk::<UNCOUNTED_BYTES>() else { return Ok(None) };
        let stated = i32_at(prefix, LENGTH_AT);
        let Some(len) = usize::try_from(stated).ok().filter(|&len| len >= STATED_LEN_MIN) else {
            return Err(invalid("batch length", at + LENGTH_AT, stated));
        };
        let batch_len = UNCOUNTED_BYTES + len;
        if bytes.len() < batch_len {
            return Ok(None);
        }
        let magic = i8::from_be_bytes(array_at(bytes, MAGIC_AT));
        if magic != MAGIC {
            return Err(DecodeError::RecordFormat { at: at + MAGIC_AT, magic });
        }
        if batch_len < BATCH_HEADER_BYTES {
            return Err(invalid("batch length", at + LENGTH_AT, stated));
        }
        let attributes = i16::from_be_bytes(array_at(bytes, ATTRIBUTES_AT));
        let Some(codec) = Compression::from_id(attributes & CODEC_BITS) else {
            return Err(invalid("batch's codec", at + ATTRIBUTES_AT, attributes & CODEC_BITS));
        };
        let header = Self {
            base_offset: i64::from_be_bytes(array_at(bytes, 0)),
            batch_len,
            partition_leader_epoch: i32_at(bytes, LEADER_EPOCH_AT),
            crc: u32::from_be_bytes(array_at(bytes, CRC_AT)),
            codec,
            is_log_append_time: attributes & LOG_APPEND_TIME_BIT != 0,
            is_transactional: attributes & TRANSACTIONAL_BIT != 0,
            is_control: attributes & CONTROL_BIT != 0,
            last_offset_delta: unsigned(bytes, LAST_OFFSET_DELTA_AT, at, "last offset delta")?,
            base_timestamp_ms: i64::from_be_bytes(array_at(bytes, BASE_TIMESTAMP_AT)),
            max_timestamp_ms: i64::from_be_bytes(array_at(bytes, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(array_at(bytes, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(array_at(bytes, PRODUCER_EPOCH_AT)),
            base_sequence: i32_at(bytes, BASE_SEQUENCE_AT),
            record_count: unsigned(bytes, RECORD_COUNT_AT, at, "record count")?,
        };
        let offsets_fit = header.base_offset >= 0
            && header.base_offset.checked_add(i64::from(header.last_offset_delta) + 1).is_some();
        if !offsets_fit {
            return Err(invalid("base offset", at, header.base_offset));
        }
        Ok(Some(header))
    }
}

fn unsigned(bytes: &[u8], field_at: usize, at: usize, what: &'static str) -> Result<u32, DecodeError> {
    let stated = i32_at(bytes, field_at);
    u32::try_from(stated).map_err(|_| invalid(what, at + field_at, stated))
}

fn invalid(what: &'static str, at: usize, value: impl Into<i64>) -> DecodeError {
    DecodeError::Invalid { what, at, value: value.into() }
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array_at(bytes, at))
}

/// The `N` bytes from `at`, which the caller knows to be there.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
