//! The producer alone: a broker in this process acknowledges at once and keeps nothing, over loopback TCP and one
//! connection. The client runs on one thread, the broker on another, so the rate is that of one core, if there are two.
//!
//! Beside it, what cannot be avoided: the same records appended to batches, compressed and checksummed, and the same
//! bytes written to a socket that somebody empties.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench: what fails here ends it, its output is its purpose, it reads the clock, and its numbers are small"
)]

mod broker;
mod cpu;

use broker::SinkBroker;
use bytes::Bytes;
use cpu::Cpu;
use craftwire::{
    Client, Compression, ProducerRecord,
    internals::{BatchCodec, BenchRecord},
    producer::Profile,
};
use std::{
    hint::black_box,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use uuid::Uuid;

const CODECS: [Compression; 3] = [Compression::None, Compression::Snappy, Compression::Lz4];
const KEY_BYTES: usize = 36;
/// With the key 256 bytes.
const VALUE_BYTES: usize = 220;
const PARTITIONS: i32 = 16;
const KEYS: usize = 2_500;
const RECORDS: usize = 20_000;
/// What the project asks for, with the cheapest codec.
const TARGET_PER_SECOND: f64 = 2_000_000.0;

fn main() {
    let given: Vec<String> = std::env::args().collect();
    let has = |flag: &str| given.iter().any(|arg| arg == flag);
    let quick = has("--quick") || has("--test") || !has("--bench");
    let (rounds, length) = if quick { (1, Duration::from_millis(200)) } else { (5, Duration::from_secs(2)) };

    let broker = SinkBroker::start(PARTITIONS).expect("a port is free");
    let records = records();
    println!(
        "{} bytes a record with its key, {PARTITIONS} partitions, Profile::Throughput, one connection; median of {rounds}\n",
        KEY_BYTES + VALUE_BYTES
    );
    println!(
        "|codec|records/s|client CPU s/M|records per client CPU second|sink CPU s/M|records/batch|records/request|batch bytes sent, of appended|append, compress, checksum: CPU s/M|socket: CPU s/M|client ÷ both|"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut best = 0.0_f64;
    for codec in CODECS {
        let mut runs: Vec<Run> = (0..rounds).map(|_| publish(&broker, &records, codec, length)).collect();
        runs.sort_by(|a, b| a.client_cpu_s_per_million().total_cmp(&b.client_cpu_s_per_million()));
        let run = &runs[runs.len() / 2];
        best = best.max(run.rate());
        let parts = parts_s_per_million(&records, codec, run.records_per_batch());
        let socket = socket_s_per_million(run, length);
        println!(
            "|{}|{:.0}|{:.3}|{:.0}|{:.3}|{:.0}|{:.0}|{:.2}|{parts:.3}|{socket:.3}|{:.2}|",
            codec.name(),
            run.rate(),
            run.client_cpu_s_per_million(),
            1e6 / run.client_cpu_s_per_million(),
            run.cpu.sink.as_secs_f64() * 1e6 / run.records as f64,
            run.records_per_batch(),
            run.records as f64 / run.requests as f64,
            run.bytes_sent as f64 / run.bytes_appended as f64,
            run.client_cpu_s_per_million() / (parts + socket),
        );
    }
    let verdict = if best >= TARGET_PER_SECOND { "reached" } else { "not reached" };
    println!("\nAsked for: {TARGET_PER_SECOND:.0} records/s over one connection. {verdict}: {best:.0}");
}

/// What one run did.
struct Run {
    records: u64,
    batches: u64,
    requests: u64,
    bytes_appended: u64,
    bytes_sent: u64,
    elapsed: Duration,
    cpu: Cpu,
}

impl Run {
    fn rate(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64()
    }

    fn client_cpu_s_per_million(&self) -> f64 {
        self.cpu.client.as_secs_f64() * 1e6 / self.records as f64
    }

    fn records_per_batch(&self) -> usize {
        (self.records / self.batches.max(1)) as usize
    }
}

/// From the first record handed over to the last one acknowledged.
fn publish(broker: &SinkBroker, records: &[BenchRecord], codec: Compression, length: Duration) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let records = records.to_vec();
    let bootstrap = broker.bootstrap();
    let acknowledged = broker.records();
    let run = runtime.block_on(async {
        let sending = tokio::spawn(async move {
            let client = Client::connect(&bootstrap).await.expect("the sink is there");
            let producer = client.producer().profile(Profile::Throughput).compression(codec);
            let producer = producer.build().await.expect("the producer starts");
            let topic: Arc<str> = "sink".into();
            producer.prepare(&topic).await.expect("every topic is there");
            let (before, started) = (Cpu::now(), Instant::now());
            let mut records = records.iter().cycle();
            while started.elapsed() < length {
                for record in records.by_ref().take(CLOCK_EVERY) {
                    let record =
                        ProducerRecord::new(topic.clone(), record.value.clone()).key(record.key.clone());
                    // The answers are counted by the producer.
                    drop(producer.send(record).await.expect("the record is taken"));
                }
            }
            producer.flush().await;
            let (elapsed, cpu) = (started.elapsed(), Cpu::now().since(before));
            let metrics = producer.metrics();
            assert_eq!(metrics.records, metrics.records_acked, "everything is acknowledged: {metrics:?}");
            producer.close(Duration::from_secs(5)).await;
            Run {
                records: metrics.records,
                batches: metrics.batches,
                requests: metrics.requests,
                bytes_appended: metrics.bytes_uncompressed,
                bytes_sent: metrics.bytes_compressed,
                elapsed,
                cpu,
            }
        });
        sending.await.expect("the task runs to its end")
    });
    assert_eq!(broker.records() - acknowledged, run.records, "the sink saw every record once");
    run
}

/// Appending, compressing and checksumming batches of so many records, and nothing else.
fn parts_s_per_million(records: &[BenchRecord], codec: Compression, per_batch: usize) -> f64 {
    let mut codecs = BatchCodec::default();
    let per_batch = per_batch.clamp(1, records.len());
    let capacity = codecs.encode(&records[..per_batch], 0, Compression::None).len();
    let mut all = || {
        for batch in records.chunks_exact(per_batch) {
            black_box(codecs.encode(batch, capacity, codec));
        }
    };
    all();
    let before = Cpu::now();
    (0..PART_ROUNDS).for_each(|_| all());
    let count = records.len() / per_batch * per_batch * PART_ROUNDS;
    Cpu::now().since(before).client.as_secs_f64() * 1e6 / count as f64
}

/// Writing as many bytes as the run's requests had, in pieces of their size.
fn socket_s_per_million(run: &Run, length: Duration) -> f64 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let mut socket = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (mut reading, _) = listener.accept().expect("it was connected to");
    let drain = move || {
        let mut buffer = vec![0; 128 * 1024];
        while reading.read(&mut buffer).is_ok_and(|read| read > 0) {}
    };
    let drain = thread::Builder::new().name(broker::THREAD.to_owned()).spawn(drain).expect("a thread");
    let request = vec![7; (run.bytes_sent / run.requests.max(1)) as usize];
    let (before, started, mut written) = (Cpu::now(), Instant::now(), 0_u64);
    while started.elapsed() < length / 2 {
        socket.write_all(&request).expect("it is read");
        written += request.len() as u64;
    }
    let used = Cpu::now().since(before).client.as_secs_f64();
    drop(socket);
    drain.join().expect("it ends with the connection");
    let bytes_per_million = run.bytes_sent as f64 * 1e6 / run.records as f64;
    used * bytes_per_million / written as f64
}

/// Progress-like values, no two alike; the same keys over and over.
fn records() -> Vec<BenchRecord> {
    let keys: Vec<Uuid> = (0..KEYS).map(|_| Uuid::new_v4()).collect();
    (0..RECORDS).map(|number| record(number, keys[number % KEYS])).collect()
}

fn record(number: usize, key: Uuid) -> BenchRecord {
    let mut value = format!(
        r#"{{"event_id":"{}","event_type":"crafting.progress.update","data":{{"session_id":"{key}","progress_percent":{},"status":"active","current_step":"{}","elapsed_seconds":{number}"#,
        Uuid::new_v4(),
        number % 101,
        ["heating", "forging", "quenching", "polishing"][number % 4],
    );
    value.push_str(&" ".repeat(VALUE_BYTES.saturating_sub(value.len() + 2)));
    value.truncate(VALUE_BYTES - 2);
    value.push_str("}}");
    BenchRecord { key: Bytes::from(key.to_string()), value: value.into(), headers: Vec::new() }
}

const CLOCK_EVERY: usize = 256;
const PART_ROUNDS: usize = 50;
