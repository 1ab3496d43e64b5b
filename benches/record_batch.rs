//! Record batches out and in: append and seal as the producer does, walk, open and iterate as the consumer does, for every
//! codec and for batches from one record (an idle producer) to a thousand (a busy one); what of it is appending, sealing
//! and compressing; and building the request that carries them.
//!
//! The records are progress updates, no two alike, with the key and the three headers that the publisher gives them.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench: what fails here ends it, and its output is its purpose"
)]

use bytes::Bytes;
use craftwire::{
    Compression,
    crafting::{
        Body, Envelope, Event, Percent, ProgressUpdate, QualityScore, Seconds, Source, Status, Timestamp,
    },
    internals::{BatchCodec, BenchRecord, build_produce_request},
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use std::{hint::black_box, sync::Arc, time::Duration};
use uuid::Uuid;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Snappy, Compression::Lz4, Compression::Gzip, Compression::Zstd];
/// None, and those of the two topics.
const TOPIC_CODECS: [Compression; 3] = [Compression::None, Compression::Snappy, Compression::Lz4];
const COUNTS: [usize; 6] = [1, 4, 16, 64, 256, 1_000];
/// Those of one partition, of session events, and of progress updates.
const PARTITIONS: [i32; 3] = [1, 16, 24];

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_200))
        .configure_from_args();
    let records: Vec<BenchRecord> = (0..1_000).map(record).collect();
    print_sizes(&records);
    append(&mut criterion, &records);
    seal(&mut criterion, &records);
    compress(&mut criterion, &records);
    encode(&mut criterion, &records);
    request(&mut criterion, &records);
    decode(&mut criterion, &records);
    criterion.final_summary();
}

/// Writing records where they stay.
fn append(criterion: &mut Criterion, records: &[BenchRecord]) {
    let mut group = criterion.benchmark_group("record_batch/append");
    for count in COUNTS {
        let records = &records[..count];
        let capacity = plain(records).len();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| BatchCodec::append(black_box(records), capacity));
        });
    }
    group.finish();
}

/// Compression, header and checksum of a batch that is full.
fn seal(criterion: &mut Criterion, records: &[BenchRecord]) {
    let mut group = criterion.benchmark_group("record_batch/seal");
    for codec in TOPIC_CODECS {
        for count in COUNTS {
            let records = &records[..count];
            let capacity = plain(records).len();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(codec.name(), count), |bencher| {
                let mut codecs = BatchCodec::default();
                let setup = || BatchCodec::append(records, capacity);
                bencher.iter_batched(setup, |batch| codecs.seal(batch, codec), BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

/// The codec alone, over the bytes of a batch.
fn compress(criterion: &mut Criterion, records: &[BenchRecord]) {
    let mut group = criterion.benchmark_group("record_batch/compress");
    for codec in CODECS.into_iter().filter(|codec| *codec != Compression::None) {
        for count in COUNTS {
            let plain = plain(&records[..count]);
            group.throughput(Throughput::Bytes(plain.len() as u64));
            group.bench_function(BenchmarkId::new(codec.name(), count), |bencher| {
                let mut codecs = BatchCodec::default();
                bencher.iter(|| codecs.compress(black_box(&plain), codec));
            });
        }
    }
    group.finish();
}

/// A Produce request around sealed batches of 64 records.
fn request(criterion: &mut Criterion, records: &[BenchRecord]) {
    let mut group = criterion.benchmark_group("record_batch/request");
    let topic: Arc<str> = "game.crafting.progress".into();
    let batch = BatchCodec::default().encode(&records[..64], 0, Compression::Lz4);
    for partitions in PARTITIONS {
        group.bench_function(BenchmarkId::from_parameter(partitions), |bencher| {
            bencher.iter(|| build_produce_request(&topic, black_box(partitions), &batch));
        });
    }
    group.finish();
}

/// Append and seal; the batch's memory is allocated as the producer allocates it.
fn encode(criterion: &mut Criterion, records: &[BenchRecord]) {
    let mut group = criterion.benchmark_group("record_batch/encode");
    for codec in CODECS {
        for count in COUNTS {
            let records = &records[..count];
            let capacity = plain(records).len();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(codec.name(), count), |bencher| {
                let mut codecs = BatchCodec::default();
                bencher.iter(|| codecs.encode(black_box(records), capacity, codec));
            });
        }
    }
    group.finish();
}

/// Walk, checksum, decompress, and every record looked at.
fn decode(criterion: &mut Criterion, records: &[BenchRecord]) {
    let mut group = criterion.benchmark_group("record_batch/decode");
    for codec in CODECS {
        for count in COUNTS {
            let mut codecs = BatchCodec::default();
            let records = &records[..count];
            let batch = codecs.encode(records, plain(records).len(), codec);
            assert_eq!(codecs.decode(&batch).expect("our own batch is read").0, count);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::new(codec.name(), count), |bencher| {
                bencher.iter(|| codecs.decode(black_box(&batch)));
            });
        }
    }
    group.finish();
}

/// Rates are given in records; this says how many bytes those are.
fn print_sizes(records: &[BenchRecord]) {
    println!("bytes of a batch by its records and codec (none: as appended)");
    print!("{:>8}", "records");
    CODECS.iter().for_each(|codec| print!("{:>10}", codec.name()));
    println!();
    for count in COUNTS {
        print!("{count:>8}");
        for codec in CODECS {
            print!("{:>10}", BatchCodec::default().encode(&records[..count], 0, codec).len());
        }
        println!();
    }
    println!();
}

fn plain(records: &[BenchRecord]) -> Bytes {
    BatchCodec::default().encode(records, 0, Compression::None)
}

/// The same records in every run: ids are hashes of the number.
fn record(number: u32) -> BenchRecord {
    let of = u64::from(number);
    let (event_id, session) = (id(of), id(1_000_000 + of % 250));
    let update = ProgressUpdate::new(session, Percent::try_from(of % 101).expect("in range"), Status::Active)
        .with_elapsed(Seconds::try_from(of % 300).expect("in range"))
        .with_remaining(Seconds::try_from(300 - of % 300).expect("in range"))
        .with_current_step(if number.is_multiple_of(2) { "forging" } else { "polishing" }, None)
        .with_current_quality(QualityScore::try_from(1 + of % 100).expect("in range"));
    let event_type = update.event_type();
    let time = Timestamp::from_unix_millis(1_767_225_600_000 + 7 * i64::from(number)).expect("in range");
    let source: Source = "crafting.network".parse().expect("a good name");
    let event = Event::new(Envelope::new(event_id, time, source), update);
    BenchRecord {
        key: session.to_string().into(),
        value: event.to_json().into(),
        headers: vec![
            ("content-type", Bytes::from_static(b"application/json")),
            ("event_type", Bytes::copy_from_slice(event_type.as_str().as_bytes())),
            ("event_id", event_id.to_string().into()),
        ],
    }
}

/// An id that compresses as badly as a random one.
fn id(number: u64) -> Uuid {
    let mix = |seed: u64| {
        let mut bits = number.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    Uuid::from_u64_pair(mix(1), mix(0x5851_f42d_4c95_7f2d))
}
