use super::*;
use crate::{
    error::DecodeError,
    wire::compression::{Compression, Compressor, Decompressor},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    indexmap::IndexMap,
    protocol::StrBytes,
    records::{
        self as theirs, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchDecoder, RecordBatchEncoder,
        RecordEncodeOptions, TimestampType,
    },
};
use proptest::prelude::*;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const STAMP: ProducerStamp =
    ProducerStamp { producer_id: 0x0102_0304_0506_0708, producer_epoch: 0x090a, base_sequence: 0x0b0c_0d0e };
const LIMIT: usize = 1 << 20;

/// A record as the tests hold it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Owned {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp_ms: i64,
}

fn append(builder: &mut BatchBuilder, record: &Owned) {
    let headers: Vec<_> =
        record.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
    let parts = RecordParts {
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: &headers,
        timestamp_ms: record.timestamp_ms,
    };
    let (before, announced) = (builder.len(), builder.record_len(&parts));
    builder.append(&parts);
    assert_eq!(builder.len() - before, announced);
}

fn sealed(records: &[Owned], codec: Compression, stamp: ProducerStamp) -> SealedBatch {
    let mut builder = BatchBuilder::with_capacity(64);
    for record in records {
        append(&mut builder, record);
    }
    builder.seal(codec, stamp, &mut Compressor::new())
}

fn raw(bytes: impl Into<Bytes>) -> RawBatch {
    walk(bytes.into()).next().unwrap().unwrap()
}

/// Everything of a batch, or the first error.
fn read(bytes: impl Into<Bytes>) -> Result<Vec<(i64, Owned)>, DecodeError> {
    let mut records = Vec::new();
    for batch in walk(bytes.into()) {
        let batch = batch?.open(LIMIT, &mut Decompressor::new())?;
        for record in batch.records() {
            let record = record?;
            let headers = record
                .headers()
                .map(|header| {
                    let (key, value) = header?;
                    Ok((String::from_utf8_lossy(key).into_owned(), value.map(<[u8]>::to_vec)))
                })
                .collect::<Result<_, DecodeError>>()?;
            let owned = Owned {
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers,
                timestamp_ms: record.timestamp_ms,
            };
            records.push((record.offset, owned));
        }
    }
    Ok(records)
}

/// Overwrites a field and makes the checksum right again.
fn patched<const N: usize>(batch: &[u8], at: usize, field: [u8; N]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + N].copy_from_slice(&field);
    with_crc(bytes)
}

fn with_crc(mut bytes: Vec<u8>) -> Bytes {
    let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// A batch around these bytes as its records.
fn around(records: &[u8], record_count: i32, last_offset_delta: i32) -> Bytes {
    let mut bytes = sealed(&[], Compression::None, ProducerStamp::NONE).bytes.to_vec();
    bytes.extend_from_slice(records);
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    bytes[RECORD_COUNT_AT..RECORD_COUNT_AT + 4].copy_from_slice(&record_count.to_be_bytes());
    bytes[LAST_OFFSET_DELTA_AT..LAST_OFFSET_DELTA_AT + 4].copy_from_slice(&last_offset_delta.to_be_bytes());
    with_crc(bytes)
}

fn record(value: &str, timestamp_ms: i64) -> Owned {
    Owned { value: Some(value.into()), timestamp_ms, ..Owned::default() }
}

fn three() -> Vec<Owned> {
    vec![
        Owned {
            key: Some(b"player-1".to_vec()),
            value: Some(b"a potion, a potion, a potion, a potion, a potion, a potion".to_vec()),
            headers: vec![
                ("type".into(), Some(b"crafted".to_vec())),
                ("type".into(), Some(b"again".to_vec())),
                ("empty".into(), Some(Vec::new())),
                ("null".into(), None),
            ],
            timestamp_ms: 1_700_000_000_000,
        },
        Owned { key: Some(Vec::new()), timestamp_ms: 1_699_999_999_000, ..Owned::default() },
        record("a potion, a potion, a potion, a potion, a potion", 1_700_000_000_500),
    ]
}

// What is written.

#[test]
fn records_come_back_in_every_codec() {
    for codec in CODECS {
        let batch = sealed(&three(), codec, STAMP);
        assert_eq!(batch.record_count, 3);
        let back = read(batch.bytes.clone()).unwrap();
        assert_eq!(back.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(back.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), three(), "{codec}");
    }
}

#[test]
fn the_header_is_filled_in_when_sealed() {
    let batch = sealed(&three(), Compression::None, STAMP);
    assert_eq!(
        raw(batch.bytes.clone()).header,
        BatchHeader {
            base_offset: 0,
            batch_len: batch.bytes.len(),
            partition_leader_epoch: -1,
            crc: crc32c::crc32c(&batch.bytes[ATTRIBUTES_AT..]),
            codec: Compression::None,
            is_log_append_time: false,
            is_transactional: false,
            is_control: false,
            last_offset_delta: 2,
            base_timestamp_ms: 1_700_000_000_000,
            max_timestamp_ms: 1_700_000_000_500,
            producer_id: STAMP.producer_id,
            producer_epoch: STAMP.producer_epoch,
            base_sequence: STAMP.base_sequence,
            record_count: 3,
        }
    );
    assert_eq!(batch.uncompressed_len, batch.bytes.len());
}

#[test]
fn a_batch_goes_out_plain_unless_it_gets_smaller() {
    for codec in CODECS {
        let small = sealed(&[record("x", 0)], codec, STAMP);
        assert_eq!(small.bytes, sealed(&[record("x", 0)], Compression::None, STAMP).bytes);
        let large = sealed(&[record(&"potion ".repeat(100), 0)], codec, STAMP);
        assert_eq!(raw(large.bytes.clone()).header.codec, codec);
        assert!(codec == Compression::None || large.bytes.len() < large.uncompressed_len);
    }
}

#[test]
fn a_batch_is_stamped_anew_without_touching_the_first() {
    let first = sealed(&three(), Compression::Lz4, ProducerStamp::NONE);
    let again = first.restamped(STAMP);
    assert_eq!(again.bytes, sealed(&three(), Compression::Lz4, STAMP).bytes);
    assert_eq!(first.bytes, sealed(&three(), Compression::Lz4, ProducerStamp::NONE).bytes);
    assert_eq!(again.restamped(ProducerStamp::NONE).bytes, first.bytes);
}

#[test]
fn appending_within_the_capacity_keeps_the_buffer() {
    let mut builder = BatchBuilder::with_capacity(4096);
    let capacity = builder.capacity();
    while builder.len() < 4000 {
        append(&mut builder, &record("0123456789", 5));
    }
    assert_eq!(builder.capacity(), capacity);
    let start = builder.len();
    let bytes = builder.seal(Compression::None, STAMP, &mut Compressor::new()).bytes;
    assert_eq!(bytes.len(), start);
}

// What is read.

#[test]
fn batches_are_walked_and_a_cut_tail_ends_the_walk() {
    let one = sealed(&three(), Compression::None, STAMP).bytes;
    let two = [&one[..], &one[..]].concat();
    for cut in 0..=two.len() {
        let mut walk = walk(Bytes::copy_from_slice(&two[..cut]));
        assert_eq!(walk.by_ref().map(Result::unwrap).count(), cut / one.len());
        assert_eq!(walk.remaining(), cut % one.len());
    }
}

#[test]
fn an_empty_batch_still_moves_the_offset() {
    let bytes = patched(&around(&[], 0, 9), 0, 100_i64.to_be_bytes());
    let batch = raw(bytes.clone());
    assert_eq!((batch.header.last_offset(), batch.header.next_offset()), (109, 110));
    assert_eq!(read(bytes.clone()).unwrap(), []);
    let with_codec = patched(&bytes, ATTRIBUTES_AT, 4_i16.to_be_bytes());
    assert_eq!(read(with_codec).unwrap(), []);
}

#[test]
fn compaction_leaves_gaps_between_offsets() {
    // Two records of offset deltas 3 and 7 in a batch that covers 10.
    let records = [[12, 0, 0, 6, 1, 1, 0], [12, 0, 0, 14, 1, 1, 0]].concat();
    let bytes = patched(&around(&records, 2, 9), 0, 50_i64.to_be_bytes());
    let offsets: Vec<_> = read(bytes).unwrap().into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [53, 57]);
}

#[test]
fn offset_deltas_rise_within_what_the_header_states() {
    let two = |first: u8, second: u8| {
        let records = [[12, 0, 0, first, 1, 1, 0], [12, 0, 0, second, 1, 1, 0]].concat();
        read(around(&records, 2, 4)).map(|records| records.len())
    };
    assert_eq!(two(0, 8), Ok(2));
    for (first, second) in [(0, 10), (0, 0), (4, 2), (1, 2)] {
        let error = two(first, second).unwrap_err();
        assert!(matches!(error, DecodeError::Invalid { what: "offset delta", .. }), "{error}");
    }
}

#[test]
fn log_append_time_gives_every_record_the_largest_time() {
    let batch = sealed(&three(), Compression::None, STAMP).bytes;
    let stamped_by_broker = patched(&batch, ATTRIBUTES_AT, LOG_APPEND_TIME_BIT.to_be_bytes());
    for (_, record) in read(stamped_by_broker).unwrap() {
        assert_eq!(record.timestamp_ms, 1_700_000_000_500);
    }
}

#[test]
fn time_stamps_of_any_64_bits_come_back() {
    let records: Vec<_> = [0, i64::MAX, -1, i64::MIN, 1 << 40].map(|at| record("", at)).to_vec();
    let times = |records: &[Owned]| records.iter().map(|record| record.timestamp_ms).collect::<Vec<_>>();
    let back: Vec<_> = read(sealed(&records, Compression::None, STAMP).bytes)
        .unwrap()
        .into_iter()
        .map(|(_, record)| record)
        .collect();
    assert_eq!(times(&back), times(&records));
}

#[test]
fn a_time_stamp_beyond_64_bits_is_refused() {
    let batch = sealed(&[record("", 0), record("", 1)], Compression::None, STAMP).bytes;
    let error = read(patched(&batch, BASE_TIMESTAMP_AT, i64::MAX.to_be_bytes())).unwrap_err();
    assert!(matches!(error, DecodeError::Invalid { what: "timestamp delta", .. }), "{error}");
}

#[test]
fn control_batches_say_what_they_are() {
    let control = |kind: u8| {
        let record = [20, 0, 0, 0, 8, 0, 0, 0, kind, 1, 0];
        patched(&around(&record, 1, 0), ATTRIBUTES_AT, (CONTROL_BIT | TRANSACTIONAL_BIT).to_be_bytes())
    };
    assert_eq!(raw(control(0)).control_kind(), Ok(ControlKind::Abort));
    assert_eq!(raw(control(1)).control_kind(), Ok(ControlKind::Commit));
    assert_eq!(raw(control(5)).control_kind(), Ok(ControlKind::Other(5)));
    let emptied = patched(&around(&[], 0, 0), ATTRIBUTES_AT, CONTROL_BIT.to_be_bytes());
    assert_eq!(raw(emptied).control_kind(), Ok(ControlKind::Other(-1)));
    let plain = sealed(&three(), Compression::None, STAMP).bytes;
    assert!(raw(plain).control_kind().is_err());
}

#[test]
fn a_cursor_reads_on_where_it_stopped() {
    let batch = raw(sealed(&three(), Compression::Zstd, STAMP).bytes);
    let batch = batch.open(LIMIT, &mut Decompressor::new()).unwrap();
    let mut cursor = batch.cursor();
    let first = cursor.next(&batch).unwrap().unwrap().offset;
    let mut kept = cursor.clone();
    let rest = std::iter::from_fn(|| kept.next(&batch)).map(|record| record.unwrap().offset);
    assert_eq!((first, rest.collect::<Vec<_>>()), (0, vec![1, 2]));
    assert_eq!(cursor.next(&batch).unwrap().unwrap().offset, 1);
}

// Hostile bytes.

#[test]
fn a_count_of_records_that_cannot_be_there_is_refused() {
    let error = read(around(&[], i32::MAX, i32::MAX)).unwrap_err();
    assert_eq!(
        error,
        DecodeError::OverLimit { what: "record count", at: 57, value: i64::from(i32::MAX), limit: 0 }
    );
}

#[test]
fn a_count_of_headers_that_cannot_be_there_is_refused() {
    // 72 bytes: one record without key and value that states 2^30 headers.
    let bytes = around(&[20, 0, 0, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x08], 1, 0);
    assert_eq!(bytes.len(), 72);
    let error = read(bytes).unwrap_err();
    assert_eq!(error, DecodeError::OverLimit { what: "header count", at: 67, value: 1 << 30, limit: 0 });
}

#[test]
fn more_than_10_000_headers_are_refused() {
    let headers = |count| Owned { headers: vec![("k".into(), None); count], ..Owned::default() };
    assert!(read(sealed(&[headers(10_000)], Compression::None, STAMP).bytes).is_ok());
    assert!(matches!(
        read(sealed(&[headers(10_001)], Compression::None, STAMP).bytes),
        Err(DecodeError::OverLimit { what: "header count", limit: 10_000, .. })
    ));
}

#[test]
fn bytes_left_over_are_refused_everywhere() {
    let after_records = around(&[12, 0, 0, 0, 1, 1, 0, 99], 1, 0);
    let after_value = around(&[14, 0, 0, 0, 1, 1, 0, 99], 1, 0);
    let after_headers = around(&[18, 0, 0, 0, 1, 1, 2, 0, 1, 99], 1, 0);
    for bytes in [after_records, after_value, after_headers] {
        let error = read(bytes).unwrap_err();
        assert!(matches!(error, DecodeError::OverLimit { value: 1, limit: 0, .. }), "{error}");
    }
}

#[test]
fn other_formats_are_named() {
    let batch = sealed(&three(), Compression::None, STAMP).bytes;
    for magic in [0, 1, 3, -1_i8] {
        let bytes = patched(&batch, MAGIC_AT, magic.to_be_bytes());
        assert_eq!(walk(bytes).next().unwrap().unwrap_err(), DecodeError::RecordFormat { at: 16, magic });
    }
    // The smallest message of format 0 is shorter than a batch's header.
    let mut message = vec![0; 12 + 14];
    message[11] = 14;
    assert_eq!(read(message).unwrap_err(), DecodeError::RecordFormat { at: 16, magic: 0 });
}

#[test]
fn an_error_ends_the_walk() {
    let batch = sealed(&three(), Compression::None, STAMP).bytes;
    let other_format = patched(&batch, MAGIC_AT, [1]);
    let mut walk = walk([&batch[..], &other_format, &batch].concat().into());
    assert!(walk.next().unwrap().is_ok());
    assert_eq!(
        walk.next().unwrap().unwrap_err(),
        DecodeError::RecordFormat { at: batch.len() + 16, magic: 1 }
    );
    assert!(walk.next().is_none());
}

#[test]
fn header_fields_out_of_range_are_refused() {
    let batch = sealed(&three(), Compression::None, STAMP).bytes;
    for bytes in [
        patched(&batch, LENGTH_AT, (-1_i32).to_be_bytes()),
        patched(&batch, LENGTH_AT, 13_i32.to_be_bytes()),
        patched(&batch, LENGTH_AT, 48_i32.to_be_bytes()),
        patched(&batch, ATTRIBUTES_AT, 5_i16.to_be_bytes()),
        patched(&batch, LAST_OFFSET_DELTA_AT, (-1_i32).to_be_bytes()),
        patched(&batch, RECORD_COUNT_AT, (-1_i32).to_be_bytes()),
        patched(&batch, 0, (-1_i64).to_be_bytes()),
        patched(&batch, 0, (i64::MAX - 2).to_be_bytes()),
    ] {
        assert!(matches!(walk(bytes).next(), Some(Err(DecodeError::Invalid { .. }))));
    }
    let last = patched(&batch, 0, (i64::MAX - 3).to_be_bytes());
    assert_eq!(raw(last).header.next_offset(), i64::MAX);
}

#[test]
fn every_flipped_bit_behind_the_checksum_is_noticed() {
    for codec in CODECS {
        let batch = sealed(&three(), codec, STAMP).bytes;
        for bit in CRC_AT * 8..batch.len() * 8 {
            let mut broken = batch.to_vec();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(read(broken).is_err(), "{codec}, bit {bit}");
        }
    }
}

#[test]
fn bytes_that_lie_under_a_right_checksum_never_panic() {
    for codec in CODECS {
        let batch = sealed(&three(), codec, STAMP).bytes;
        for at in ATTRIBUTES_AT..batch.len() {
            for flip in [1, 0x80, 0xff] {
                let _ = read(patched(&batch, at, [batch[at] ^ flip]));
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_by_its_cap() {
    let zeros = record(&"\0".repeat(4 << 20), 0);
    for codec in CODECS.into_iter().skip(1) {
        let batch = raw(sealed(std::slice::from_ref(&zeros), codec, STAMP).bytes);
        let refused = DecodeError::DecompressLimit { codec: codec.name(), limit: LIMIT };
        assert_eq!(batch.open(LIMIT, &mut Decompressor::new()).unwrap_err(), refused);
    }
}

// Against kafka-protocol's own code, as far as that is right: it drops equal header keys, panics or wraps at extreme
// numbers, and without C it has no codecs.

fn their_record(index: usize, record: &Owned) -> Record {
    let index_32 = i32::try_from(index).unwrap();
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: STAMP.producer_id,
        producer_epoch: STAMP.producer_epoch,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(index_32),
        sequence: STAMP.base_sequence + index_32,
        timestamp: record.timestamp_ms,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: record
            .headers
            .iter()
            .map(|(key, value)| (StrBytes::from_string(key.clone()), value.clone().map(Bytes::from)))
            .collect::<IndexMap<_, _>>(),
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..80));
    let headers = prop::collection::btree_map("[a-z]{0,9}", bytes(), 0..5);
    let timestamp = prop_oneof![Just(-1), 0..1_i64 << 42];
    (bytes(), bytes(), headers, timestamp).prop_map(|(key, value, headers, timestamp_ms)| Owned {
        key,
        value,
        headers: headers.into_iter().collect(),
        timestamp_ms,
    })
}

proptest! {
    #[test]
    fn theirs_reads_what_ours_writes(records in prop::collection::vec(owned(), 1..40)) {
        let mut bytes = sealed(&records, Compression::None, STAMP).bytes;
        let read = RecordBatchDecoder::decode(&mut bytes).unwrap();
        prop_assert!(bytes.is_empty());
        let expected: Vec<_> = records.iter().enumerate().map(|(i, r)| their_record(i, r)).collect();
        prop_assert_eq!(read.records, expected);
    }

    #[test]
    fn ours_reads_what_theirs_writes(records in prop::collection::vec(owned(), 1..40)) {
        let given: Vec<_> = records.iter().enumerate().map(|(i, r)| their_record(i, r)).collect();
        let options = RecordEncodeOptions { version: 2, compression: theirs::Compression::None };
        let mut bytes = BytesMut::new();
        RecordBatchEncoder::encode(&mut bytes, &given, &options).unwrap();
        let header = raw(bytes.clone()).header;
        prop_assert_eq!(header.producer_id, STAMP.producer_id);
        prop_assert_eq!(header.producer_epoch, STAMP.producer_epoch);
        prop_assert_eq!(header.base_sequence, STAMP.base_sequence);
        prop_assert_eq!(usize::try_from(header.record_count).unwrap(), records.len());
        let back: Vec<_> = read(bytes).unwrap().into_iter().map(|(_, record)| record).collect();
        prop_assert_eq!(back, records);
    }

    #[test]
    fn records_come_back_whatever_the_codec(records in prop::collection::vec(owned(), 0..20)) {
        for codec in CODECS {
            let back = read(sealed(&records, codec, STAMP).bytes).unwrap();
            prop_assert_eq!(&back.into_iter().map(|(_, record)| record).collect::<Vec<_>>(), &records);
        }
    }

    #[test]
    fn any_records_area_under_a_right_checksum_is_read_or_refused(
        area in prop::collection::vec(any::<u8>(), 0..200),
        count in 0..30_i32,
        codec in 0..5_i16,
    ) {
        let _ = read(patched(&around(&area, count, 1000), ATTRIBUTES_AT, codec.to_be_bytes()));
    }
}
