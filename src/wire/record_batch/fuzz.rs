//! The body of the fuzz target `record_batch`, and of the test that replays its corpus.

use super::{ATTRIBUTES_AT, CRC_AT, OpenBatch, RawBatch, walk};
use crate::wire::compression::Decompressor;
use bytes::{Bytes, BytesMut};

/// What any batch may decompress to here.
const LIMIT: usize = 1 << 20;

/// Reads the bytes as one partition's record batches, as a consumer would, and once more with every checksum made
/// right, since no search finds a matching one. Whatever the bytes are, this returns.
///
/// # Panics
///
/// If what is read breaks a promise of the reader: sizes and counts within their bounds, offsets rising within the
/// batch's.
pub fn check_record_batch(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let mut decompressor = Decompressor::new();
    let mut walked = 0;
    for batch in walk(data.clone()).map_while(Result::ok) {
        walked += batch.bytes.len();
        for batch in [with_right_crc(&batch), batch] {
            let _ = batch.control_kind();
            if let Ok(open) = batch.open(LIMIT, &mut decompressor) {
                check_records(&open);
            }
        }
    }
    assert!(walked <= data.len());
}

fn check_records(batch: &OpenBatch) {
    let header = &batch.header;
    assert!(batch.data.len() <= LIMIT.max(header.batch_len));
    assert!(header.base_offset <= header.last_offset() && header.last_offset() < header.next_offset());
    let mut next_offset = header.base_offset;
    let mut count = 0;
    for record in batch.records().map_while(Result::ok) {
        assert!((next_offset..=header.last_offset()).contains(&record.offset));
        next_offset = record.offset + 1;
        count += 1;
        let mut bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        for (key, value) in record.headers().map_while(Result::ok) {
            bytes += key.len() + value.map_or(0, <[u8]>::len);
        }
        assert!(bytes <= batch.data.len());
    }
    assert!(count <= header.record_count);
}

fn with_right_crc(batch: &RawBatch) -> RawBatch {
    let mut bytes = BytesMut::from(&batch.bytes[..]);
    let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    let mut header = batch.header;
    header.crc = crc;
    RawBatch { header, bytes: bytes.freeze() }
}
