//! The body of the fuzz target `record_batch`, and of the test that replays its corpus.

use super::{
    ATTRIBUTES_AT, BATCH_HEADER_BYTES, BatchBuilder, CRC_AT, LAST_OFFSET_DELTA_AT, LENGTH_AT, OpenBatch,
    ProducerStamp, RECORD_COUNT_AT, RawBatch, RecordParts, UNCOUNTED_BYTES, walk,
};
use crate::wire::compression::{Compression, Compressor, Decompressor};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::records::{Record as TheirRecord, RecordBatchDecoder};

/// What any batch may decompress to here.
const LIMIT: usize = 1 << 20;
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const STAMP: ProducerStamp = ProducerStamp { producer_id: 7, producer_epoch: 3, base_sequence: 11 };
const TIMESTAMP_MS: i64 = 1_767_225_600_000;
const HEADER_NAMES: [&str; 3] = ["", "type", "trace-id"];
/// Runs of the same bytes, so that there is something to compress.
const REPEATS_MAX: usize = 8;

/// Record batches from and to bytes. The first byte chooses: 0 reads the rest as one partition's batches, as a consumer
/// would; 1 to 5 reads it as the records of one batch, compressed by that codec, under a header that is right; 6 to 10
/// writes records made of it with that codec, and reads them again. Whatever the bytes are, this returns.
///
/// # Panics
///
/// If what is read breaks a promise of the reader: sizes and counts within their bounds, offsets rising within the
/// batch's; or if what was written is read as something else, here or by the crate `kafka-protocol`.
pub fn check_record_batch(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let choice = usize::from(choice) % 11;
    match choice.checked_sub(1) {
        None => check_batches(data),
        Some(codec) if codec < 5 => check_area(CODECS[codec], data),
        Some(codec) => check_written(CODECS[codec - 5], data),
    }
}

/// Reads the bytes as batches, and once more with every checksum made right, since no search finds a matching one.
fn check_batches(data: &[u8]) {
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

/// The first bytes are the count of records and the last one's offset delta, the others the compressed records.
fn check_area(codec: Compression, data: &[u8]) {
    let [count_high, count_low, delta_high, delta_low, area @ ..] = data else { return };
    let mut bytes = BytesMut::from(&empty_batch()[..]);
    bytes.put_slice(area);
    let Ok(length) = u32::try_from(bytes.len() - UNCOUNTED_BYTES) else { return };
    let record_count = u32::from(u16::from_be_bytes([*count_high, *count_low]));
    let last_offset_delta = u32::from(u16::from_be_bytes([*delta_high, *delta_low]));
    put_at(&mut bytes, LENGTH_AT, length.to_be_bytes());
    put_at(&mut bytes, RECORD_COUNT_AT, record_count.to_be_bytes());
    put_at(&mut bytes, LAST_OFFSET_DELTA_AT, last_offset_delta.to_be_bytes());
    put_at(&mut bytes, ATTRIBUTES_AT, codec.id().to_be_bytes());
    let mut batches = walk(bytes.freeze()).map_while(Result::ok);
    let Some(batch) = batches.next() else { return };
    if let Ok(open) = with_right_crc(&batch).open(LIMIT, &mut Decompressor::new()) {
        check_records(&open);
    }
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

/// Records made of the bytes come back, and so do the bytes themselves from the codec.
fn check_written(codec: Compression, data: &[u8]) {
    let values: Vec<Vec<u8>> = Pieces(data).map(|piece| piece.value()).collect();
    let headers: Vec<Vec<_>> = Pieces(data).map(|piece| piece.headers().collect()).collect();
    let parts: Vec<RecordParts<'_>> = Pieces(data)
        .zip(values.iter().zip(&headers))
        .map(|(piece, (value, headers))| RecordParts {
            key: piece.key(),
            value: (piece.shape & 2 == 0).then_some(&value[..]),
            headers,
            timestamp_ms: TIMESTAMP_MS + i64::from(piece.shape.cast_signed()) * 1000,
        })
        .collect();
    let mut builder = BatchBuilder::with_capacity(BATCH_HEADER_BYTES);
    for record in &parts {
        let expected_len = builder.len() + builder.record_len(record);
        builder.append(record);
        assert_eq!(builder.len(), expected_len, "a record takes what it was said to take");
    }
    let mut compressor = Compressor::default();
    let sealed = builder.seal(codec, STAMP, &mut compressor);
    check_ours(&sealed.bytes, &parts);
    if codec == Compression::None && !parts.is_empty() {
        check_theirs(sealed.bytes, &parts);
    }

    let mut compressed = BytesMut::new();
    if compressor.compress(codec, data, &mut compressed) {
        let back = Decompressor::new().decompress(codec, &compressed, data.len());
        assert_eq!(back.as_deref(), Ok(data), "{codec}");
    }
}

fn check_ours(batch: &Bytes, written: &[RecordParts<'_>]) {
    let raw = walk(batch.clone()).next();
    let open = raw.map(|raw| raw.and_then(|raw| raw.open(usize::MAX, &mut Decompressor::new())));
    let Some(Ok(open)) = open else { return assert!(written.is_empty(), "it is not read: {open:?}") };
    let mut read = 0;
    for (record, written) in open.records().zip(written) {
        let found = record.as_ref().map(|record| (record.key, record.value, record.timestamp_ms));
        assert_eq!(found, Ok((written.key, written.value, written.timestamp_ms)));
        let headers: Result<Vec<_>, _> = record.iter().flat_map(|record| record.headers()).collect();
        let expected = written.headers.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
        assert_eq!(headers, Ok(expected));
        read += 1;
    }
    assert_eq!((read, open.records().count()), (written.len(), written.len()));
}

fn check_theirs(mut batch: Bytes, written: &[RecordParts<'_>]) {
    let read = RecordBatchDecoder::decode(&mut batch);
    let read = read.map(|set| set.records).unwrap_or_default();
    assert_eq!(read.len(), written.len());
    for (theirs, written) in read.iter().zip(written) {
        let TheirRecord { key, value, timestamp, headers, .. } = theirs;
        assert_eq!((key.as_deref(), value.as_deref()), (written.key, written.value));
        assert_eq!(*timestamp, written.timestamp_ms);
        assert!(headers.iter().map(|(n, v)| (&n[..], v.as_deref())).eq(written.headers.iter().copied()));
    }
}

/// A record as some bytes describe it: its shape, how often the value's bytes are repeated, and the bytes.
struct Piece<'a> {
    shape: u8,
    repeats: usize,
    bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    fn key(&self) -> Option<&'a [u8]> {
        (self.shape & 1 == 0).then_some(&self.bytes[..self.bytes.len() / 3])
    }

    fn value(&self) -> Vec<u8> {
        self.bytes.repeat(self.repeats)
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, Option<&'a [u8]>)> {
        let value = (self.shape & 4 == 0).then_some(self.bytes);
        let count = usize::from(self.shape >> 3) % (HEADER_NAMES.len() + 1);
        HEADER_NAMES.into_iter().take(count).map(move |name| (name, value))
    }
}

struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let &[shape, length, ref rest @ ..] = self.0 else { return None };
        let (bytes, rest) = rest.split_at(usize::from(length >> 3).min(rest.len()));
        self.0 = rest;
        Some(Piece { shape, repeats: 1 + usize::from(length) % REPEATS_MAX, bytes })
    }
}

fn empty_batch() -> Bytes {
    BatchBuilder::with_capacity(0).seal(Compression::None, STAMP, &mut Compressor::default()).bytes
}

fn with_right_crc(batch: &RawBatch) -> RawBatch {
    let mut bytes = BytesMut::from(&batch.bytes[..]);
    let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    put_at(&mut bytes, CRC_AT, crc.to_be_bytes());
    let mut header = batch.header;
    header.crc = crc;
    RawBatch { header, bytes: bytes.freeze() }
}

fn put_at<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    batch[at..at + N].copy_from_slice(&field);
}
