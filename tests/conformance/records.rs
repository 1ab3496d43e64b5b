//! Record batches (magic 2) as a producer makes them, right or wrong, and their headers as a fetch gives them.

use bytes::{BufMut, Bytes, BytesMut};

/// A batch to be produced. Timestamps count up from [`FIRST_MS`], one a record.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) base_timestamp_ms: i64,
    pub(crate) attributes: i16,
    /// Key and value.
    pub(crate) records: Vec<(Option<&'static [u8]>, Vec<u8>)>,
}

/// A batch's header as a broker gave it.
#[derive(Debug)]
#[allow(dead_code, reason = "read by Debug")]
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    pub(crate) bytes: usize,
    pub(crate) is_whole: bool,
    pub(crate) leader_epoch: i32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    /// Of a batch that a case made, since [`FIRST_MS`]; others were made just now.
    pub(crate) since_first_ms: Option<i64>,
    pub(crate) has_producer: bool,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

impl Batch {
    /// `count` records, of a producer that is not idempotent.
    pub(crate) fn of(count: usize) -> Self {
        Self {
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            base_timestamp_ms: FIRST_MS,
            attributes: 0,
            records: vec![(Some(b"key"), b"value".to_vec()); count],
        }
    }

    /// The same of an idempotent producer.
    pub(crate) fn by(self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        Self { producer_id, producer_epoch, base_sequence, ..self }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        let count = i32::try_from(self.records.len()).unwrap();
        let mut rest = BytesMut::new();
        rest.put_i16(self.attributes);
        rest.put_i32(count - 1);
        rest.put_i64(self.base_timestamp_ms);
        rest.put_i64(self.base_timestamp_ms + i64::from(count - 1));
        rest.put_i64(self.producer_id);
        rest.put_i16(self.producer_epoch);
        rest.put_i32(self.base_sequence);
        rest.put_i32(count);
        for (at, (key, value)) in (0..).zip(&self.records) {
            let mut record = BytesMut::new();
            record.put_i8(0);
            put_varint(&mut record, at);
            put_varint(&mut record, at);
            match key {
                Some(key) => put_bytes(&mut record, key),
                None => put_varint(&mut record, -1),
            }
            put_bytes(&mut record, value);
            put_varint(&mut record, 0);
            put_bytes(&mut rest, &record);
        }
        let mut out = BytesMut::new();
        out.put_i64(0);
        out.put_i32(i32::try_from(rest.len() + 9).unwrap());
        out.put_i32(-1);
        out.put_i8(2);
        out.put_u32(crc32c::crc32c(&rest));
        out.put_slice(&rest);
        out.freeze()
    }

    /// The bytes with some of the header overwritten, and the checksum made to fit again.
    pub(crate) fn forged(&self, at: usize, value: &[u8]) -> Bytes {
        let mut bytes = BytesMut::from(&self.bytes()[..]);
        bytes[at..at + value.len()].copy_from_slice(value);
        let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        bytes.freeze()
    }
}

/// The headers of the batches that an answer holds, the last one cut or not.
pub(crate) fn headers(records: &[u8]) -> Vec<Header> {
    let mut out = Vec::new();
    let mut rest = records;
    while rest.len() >= HEADER_BYTES {
        let i16_at = |at: usize| i16::from_be_bytes(rest[at..at + 2].try_into().unwrap());
        let i32_at = |at: usize| i32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
        let i64_at = |at: usize| i64::from_be_bytes(rest[at..at + 8].try_into().unwrap());
        let bytes = 12 + usize::try_from(i32_at(8)).unwrap();
        out.push(Header {
            base_offset: i64_at(0),
            bytes,
            is_whole: rest.len() >= bytes,
            leader_epoch: i32_at(12),
            attributes: i16_at(ATTRIBUTES_AT),
            last_offset_delta: i32_at(23),
            since_first_ms: Some(i64_at(27) - FIRST_MS).filter(|since| *since < A_YEAR_MS),
            has_producer: i64_at(43) >= 0,
            producer_epoch: i16_at(51),
            base_sequence: i32_at(53),
            record_count: i32_at(57),
        });
        rest = &rest[bytes.min(rest.len())..];
    }
    out
}

fn put_bytes(out: &mut BytesMut, value: &[u8]) {
    put_varint(out, i64::try_from(value.len()).unwrap());
    out.put_slice(value);
}

fn put_varint(out: &mut BytesMut, value: i64) {
    let mut rest = (value << 1) ^ (value >> 63);
    while rest & !0x7f != 0 {
        out.put_u8(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest = i64::try_from(rest.cast_unsigned() >> 7).unwrap();
    }
    out.put_u8(u8::try_from(rest).unwrap());
}

/// In November 2023: topics of cases keep records of any age.
pub(crate) const FIRST_MS: i64 = 1_700_000_000_000;
pub(crate) const A_YEAR_MS: i64 = 365 * 24 * 3_600_000;
pub(crate) const HEADER_BYTES: usize = 61;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const LAST_OFFSET_DELTA_AT: usize = 23;
