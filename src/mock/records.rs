//! What is in the log, for tests to look at: batches as bytes and records as owned values.
//!
//! Records are decoded by `kafka-protocol` and the codecs' crates, not by the client's own codec, so that a mistake
//! made the same way in writing and reading shows.

use super::batch::{self, BatchHeader};
use super::inflate::inflate;
use super::log::Stored;
use super::transaction_index::Marker;
use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// A record in a mock's log, decoded.
///
/// Of headers with the same key only the last is shown; the batch's bytes ([`StoredBatch::bytes`]) hold them all.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRecord {
    /// Its offset in the partition.
    pub offset: i64,
    /// When it was created, or appended where the topic says LogAppendTime; milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The key, `None` where null.
    pub key: Option<Bytes>,
    /// The value, `None` where null.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The idempotent producer that wrote it, -1 if none.
    pub producer_id: i64,
    /// That producer's epoch, -1 if none.
    pub producer_epoch: i16,
    /// The record's own sequence number, -1 if none.
    pub sequence: i32,
}

/// A record batch in a mock's log, as it goes out to consumers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredBatch {
    /// The offset of its first record.
    pub base_offset: i64,
    /// The offset of its last record.
    pub last_offset: i64,
    /// How many records it states.
    pub record_count: i32,
    /// The codec of its records by Kafka's number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub codec: i16,
    /// The leader epoch that it was appended under.
    pub leader_epoch: i32,
    /// The idempotent producer that wrote it, -1 if none.
    pub producer_id: i64,
    /// That producer's epoch, -1 if none.
    pub producer_epoch: i16,
    /// The sequence number of its first record, -1 if none.
    pub base_sequence: i32,
    /// Whether it belongs to a transaction.
    pub is_transactional: bool,
    /// Whether it holds a marker in place of records.
    pub is_control: bool,
    /// The whole batch, header and records.
    pub bytes: Bytes,
}

impl From<&Stored> for StoredBatch {
    fn from(stored: &Stored) -> Self {
        let header = &stored.header;
        Self {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            record_count: header.record_count,
            codec: header.codec(),
            leader_epoch: header.leader_epoch,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            is_transactional: header.is_transactional(),
            is_control: header.is_control(),
            bytes: stored.bytes.clone(),
        }
    }
}

/// The batch's records; `None` where they cannot be decoded.
pub(crate) fn decode(stored: &Stored) -> Option<Vec<StoredRecord>> {
    let codec = stored.header.codec();
    let set = RecordBatchDecoder::decode_with_custom_compression(
        &mut stored.bytes.clone(),
        Some(|bytes: &mut Bytes, _: Compression| Ok(inflate(codec, bytes)?)),
    )
    .ok()?;
    let append_time = stored.header.is_log_append_time().then_some(stored.header.max_timestamp_ms);
    let owned = set.records.into_iter().map(|record| StoredRecord {
        offset: record.offset,
        timestamp_ms: append_time.unwrap_or(record.timestamp),
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(|(key, value)| (key.to_string(), value)).collect(),
        producer_id: record.producer_id,
        producer_epoch: record.producer_epoch,
        sequence: if record.producer_id == NO_PRODUCER_ID { NO_SEQUENCE } else { record.sequence },
    });
    Some(owned.collect())
}

/// (key, value, timestamp in ms) of a record to be written.
pub(crate) type Plain = (Option<Bytes>, Option<Bytes>, i64);

/// One uncompressed batch of records without a producer id; `None` if there are none or they do not fit.
pub(crate) fn encode(records: &[Plain]) -> Option<Bytes> {
    encode_as(records, (NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE))
}

/// One uncompressed batch under (producer id, epoch, first sequence).
pub(crate) fn encode_as(records: &[Plain], producer: (i64, i16, i32)) -> Option<Bytes> {
    encode_with(records, producer, false)
}

/// As [`encode_as`], in a transaction.
pub(crate) fn encode_transactional(records: &[Plain], producer: (i64, i16, i32)) -> Option<Bytes> {
    encode_with(records, producer, true)
}

/// The control batch that ends a transaction.
pub(crate) fn marker(producer_id: i64, producer_epoch: i16, marker: Marker, timestamp_ms: i64) -> Bytes {
    let header = BatchHeader {
        base_offset: 0,
        len: 0,
        leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: batch::TRANSACTIONAL | batch::CONTROL,
        last_offset_delta: 0,
        base_timestamp_ms: timestamp_ms,
        max_timestamp_ms: timestamp_ms,
        producer_id,
        producer_epoch,
        base_sequence: NO_SEQUENCE,
        record_count: 1,
    };
    batch::build(&header, &marker.records())
}

fn encode_with(
    records: &[Plain],
    (producer_id, producer_epoch, base): (i64, i16, i32),
    transactional: bool,
) -> Option<Bytes> {
    let first = records.first()?;
    let records: Vec<Record> = (0i32..)
        .zip(records)
        .map(|(at, (key, value, timestamp))| Record {
            transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id,
            producer_epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(at),
            // The crate writes the first record's sequence and checks that the rest follow.
            sequence: base.wrapping_add(at),
            timestamp: *timestamp,
            key: key.clone(),
            value: value.clone(),
            headers: Default::default(),
        })
        .collect();
    debug_assert_eq!(records.first().map(|record| record.timestamp), Some(first.2));
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, &records, &options).ok()?;
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::batch::{BatchHeader, HEADER_BYTES};
    use std::io::Write;

    /// The batch with its records compressed by `compress`.
    fn compressed(batch: &[u8], codec: u8, compress: impl Fn(&[u8]) -> Vec<u8>) -> Bytes {
        let mut out = batch[..HEADER_BYTES].to_vec();
        out.extend_from_slice(&compress(&batch[HEADER_BYTES..]));
        let len = u32::try_from(out.len() - 12).unwrap();
        out[8..12].copy_from_slice(&len.to_be_bytes());
        out[22] = codec;
        let crc = crc32c::crc32c(&out[21..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        out.into()
    }

    #[test]
    fn batches_of_every_codec_are_decoded() {
        let value = Bytes::from(b"crafting ".repeat(20));
        let plain = encode(&[(None, Some(value.clone()), 5), (Some(value.clone()), None, 6)]).unwrap();
        let gzip = |records: &[u8]| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(records).unwrap();
            writer.finish().unwrap()
        };
        let snappy = |records: &[u8]| snap::raw::Encoder::new().compress_vec(records).unwrap();
        let zstd = |records: &[u8]| {
            ruzstd::encoding::compress_to_vec(records, ruzstd::encoding::CompressionLevel::Fastest)
        };
        let batches = [
            plain.clone(),
            compressed(&plain, 1, gzip),
            compressed(&plain, 2, snappy),
            compressed(&plain, 4, zstd),
        ];
        for bytes in batches {
            let stored = Stored { header: BatchHeader::read(&bytes).unwrap(), bytes };
            let records = decode(&stored).unwrap();
            assert_eq!(records.len(), 2, "codec {}", stored.header.codec());
            assert_eq!((records[0].value.as_ref(), records[0].timestamp_ms), (Some(&value), 5));
            assert_eq!(
                (records[1].key.as_ref(), &records[1].value, records[1].offset),
                (Some(&value), &None, 1)
            );
        }
    }
}
