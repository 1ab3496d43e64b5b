//! Batches made by Apache Kafka's own classes, which `tests/golden/record_batch/GoldenBatches.java` makes anew, and by
//! librdkafka 2.0.2, as a broker's log had them after `kcat -P -z CODEC -K : -X linger.ms=2000 -H type=crafted -H type=again`.

use super::*;
use crate::{
    error::DecodeError,
    wire::compression::{Compression, Compressor, Decompressor},
};
use bytes::Bytes;

const LIMIT: usize = 1 << 20;

macro_rules! golden {
    ($name:literal) => {
        golden!("java", $name)
    };
    ($maker:literal, $name:literal) => {
        Bytes::from_static(include_bytes!(concat!(
            "../../../tests/golden/record_batch/",
            $maker,
            "-",
            $name,
            ".bin"
        )))
    };
}

fn raw(bytes: Bytes) -> RawBatch {
    walk(bytes).next().unwrap().unwrap()
}

fn open(bytes: Bytes) -> OpenBatch {
    raw(bytes).open(LIMIT, &mut Decompressor::new()).unwrap()
}

/// The time stamp of the record at this place.
fn timestamp_ms(place: usize) -> i64 {
    1_700_000_000_000 + if place % 4 == 3 { -1000 } else { i64::try_from(place).unwrap() * 10 }
}

/// Calls `each` with the 40 records that the Java program appends.
fn each_record(mut each: impl FnMut(usize, &RecordParts<'_>)) {
    let crafted = [("type", Some(&b"crafted"[..])), ("type", Some(&b"again"[..])), ("null", None)];
    for place in 0..40 {
        let key = format!("player-{place}");
        let value = format!("a potion of healing, the {place}th of its kind; ").repeat(place % 4);
        let parts = RecordParts {
            key: (place % 5 != 4).then_some(key.as_bytes()),
            value: (place % 7 != 6).then_some(value.as_bytes()),
            headers: if place % 3 == 2 { &crafted } else { &[] },
            timestamp_ms: timestamp_ms(place),
        };
        each(place, &parts);
    }
}

#[test]
fn batches_by_java_are_read_in_every_codec() {
    for (bytes, codec) in [
        (golden!("none"), Compression::None),
        (golden!("gzip"), Compression::Gzip),
        (golden!("snappy"), Compression::Snappy),
        (golden!("lz4"), Compression::Lz4),
        (golden!("zstd"), Compression::Zstd),
        (golden!("zstd-22"), Compression::Zstd),
    ] {
        let batch = open(bytes);
        let header = batch.header;
        assert_eq!(header.codec, codec);
        assert_eq!((header.base_offset, header.last_offset(), header.record_count), (1000, 1039, 40));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, 11));
        assert_eq!(header.partition_leader_epoch, 5);
        assert_eq!(header.max_timestamp_ms, 1_700_000_000_380);
        let mut records = batch.records();
        each_record(|place, expected| {
            let record = records.next().unwrap().unwrap();
            assert_eq!(record.offset, 1000 + i64::try_from(place).unwrap());
            assert_eq!(record.timestamp_ms, expected.timestamp_ms);
            assert_eq!((record.key, record.value), (expected.key, expected.value));
            let headers: Vec<_> = record.headers().map(Result::unwrap).collect();
            let expected: Vec<_> =
                expected.headers.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
            assert_eq!(headers, expected);
        });
        assert!(records.next().is_none());
    }
}

/// Snappy without the framing that Java puts around it, among others.
#[test]
fn batches_by_librdkafka_are_read_in_every_codec() {
    for (bytes, codec) in [
        (golden!("librdkafka", "gzip"), Compression::Gzip),
        (golden!("librdkafka", "snappy"), Compression::Snappy),
        (golden!("librdkafka", "lz4"), Compression::Lz4),
        (golden!("librdkafka", "zstd"), Compression::Zstd),
    ] {
        let batch = open(bytes);
        assert_eq!((batch.header.codec, batch.header.base_offset, batch.header.record_count), (codec, 0, 40));
        for (place, record) in batch.records().map(Result::unwrap).enumerate() {
            let (key, value) = (format!("key-{place}"), format!("value-{place} {}", "x".repeat(place)));
            assert_eq!(record.offset, i64::try_from(place).unwrap());
            assert_eq!((record.key, record.value), (Some(key.as_bytes()), Some(value.as_bytes())));
            let headers: Vec<_> = record.headers().map(Result::unwrap).collect();
            assert_eq!(headers, [(&b"type"[..], Some(&b"crafted"[..])), (b"type", Some(b"again"))]);
        }
    }
}

#[test]
fn a_batch_by_java_is_written_byte_for_byte() {
    let mut builder = BatchBuilder::with_capacity(4096);
    each_record(|_, record| builder.append(record));
    let stamp = ProducerStamp { producer_id: 7, producer_epoch: 3, base_sequence: 11 };
    let ours = builder.seal(Compression::None, stamp, &mut Compressor::new()).bytes;
    let java = golden!("none");
    // The broker gives a batch its base offset and leader epoch, which the checksum leaves out.
    assert_eq!(ours[LENGTH_AT..LEADER_EPOCH_AT], java[LENGTH_AT..LEADER_EPOCH_AT]);
    assert_eq!(ours[MAGIC_AT..], java[MAGIC_AT..]);
}

#[test]
fn log_append_time_by_java_is_the_brokers() {
    let batch = open(golden!("log-append-time"));
    assert!(batch.header.is_log_append_time);
    assert!(batch.records().all(|record| record.unwrap().timestamp_ms == 1_800_000_000_000));
}

#[test]
fn transaction_markers_by_java_are_told_apart() {
    assert_eq!(raw(golden!("commit")).control_kind(), Ok(ControlKind::Commit));
    assert_eq!(raw(golden!("abort")).control_kind(), Ok(ControlKind::Abort));
    assert!(raw(golden!("commit")).header.is_transactional);
}

#[test]
fn a_batch_that_java_emptied_moves_the_offset() {
    let batch = open(golden!("emptied"));
    assert_eq!((batch.header.base_offset, batch.header.next_offset()), (1000, 1040));
    assert_eq!(batch.records().count(), 0);
}

#[test]
fn the_format_before_is_named() {
    let error = walk(golden!("format-1")).next().unwrap().unwrap_err();
    assert_eq!(error, DecodeError::RecordFormat { at: 16, magic: 1 });
}
