//! A gate: publishing allocates nothing per record, raw or typed, nor does reading batches, raw or by `decode`. What is
//! allocated per batch and per request may come to 0.02 of a record, in batches of 64 records or more, with the event
//! built beforehand. Exit code 1 otherwise. The stream of owned events is reported, and held to nothing.
//!
//! Every allocation and reallocation of the process counts, whichever thread makes it. What is published goes to the sink
//! of `sink_broker`, which allocates nothing while it acknowledges; what is read comes from the mock, whose own
//! allocations for each request count.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench: what fails here ends it, and its output is its purpose"
)]

#[allow(dead_code, reason = "the other bench asks it how many records came")]
#[path = "sink_broker/broker.rs"]
mod broker;
#[path = "end_to_end/load.rs"]
mod load;
#[path = "allocations/reading.rs"]
mod reading;

use broker::SinkBroker;
use craftwire::{
    Compression, Producer, ProducerRecord,
    crafting::{Crafting, EventDraft, ProgressUpdate, Publisher, SessionEvent, Topic},
    producer::{ProducerMetrics, Profile},
};
use load::{Load, RawRecord, raw_records};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::{alloc::System, process::ExitCode, sync::Arc, time::Duration};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of one record, as `ARCHITECTURE.md` says.
const LIMIT: f64 = 0.02;
const RECORDS_IN_BATCH_MIN: f64 = 64.0;
/// One, and a long gap, so that batches are full however slow the machine is.
const PARTITIONS: i32 = 1;
const GAP: Duration = Duration::from_millis(50);
const RAW_RECORDS: usize = 100_000;

fn main() -> ExitCode {
    let broker = SinkBroker::start(PARTITIONS).expect("a port is free");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut rows =
        runtime.block_on(async { tokio::spawn(measure(broker)).await.expect("it runs to its end") });
    rows.extend(runtime.block_on(reading::measure()));
    println!("| | allocations a record | new ones a batch | grown ones a batch | records/batch | |");
    println!("|---|---|---|---|---|---|");
    for row in &rows {
        let Row { name, new_per_batch, grown_per_batch, records_per_batch, is_bound } = row;
        let verdict = match (is_bound, row.passes()) {
            (false, _) => "reported",
            (true, true) => "PASS",
            (true, false) => "FAIL",
        };
        print!("|{name}|{:.4}|{new_per_batch:.1}|{grown_per_batch:.1}", row.per_record());
        println!("|{records_per_batch:.0}|{verdict}|");
    }
    println!("\nAllowed: {LIMIT} a record, in batches of {RECORDS_IN_BATCH_MIN} or more.");
    if rows.iter().all(Row::passes) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Row {
    name: String,
    new_per_batch: f64,
    grown_per_batch: f64,
    records_per_batch: f64,
    /// Whether the limit is for it.
    is_bound: bool,
}

impl Row {
    fn per_record(&self) -> f64 {
        (self.new_per_batch + self.grown_per_batch) / self.records_per_batch
    }

    fn passes(&self) -> bool {
        !self.is_bound || self.per_record() <= LIMIT && self.records_per_batch >= RECORDS_IN_BATCH_MIN
    }
}

async fn measure(broker: SinkBroker) -> Vec<Row> {
    let crafting = Crafting::connect(&broker.bootstrap()).await.expect("the sink is there");
    let mut rows = Vec::new();
    let records = raw_records::<ProgressUpdate>();
    for codec in [Compression::None, Compression::Snappy, Compression::Lz4] {
        let builder =
            crafting.client().producer().profile(Profile::Throughput).compression(codec).request_gap(GAP);
        let producer = builder.build().await.expect("the producer starts");
        rows.push(raw(&producer, &records, codec).await);
        producer.close(CLOSE).await;
    }
    let builder = crafting.publisher("crafting.network");
    let builder = builder.producer(Topic::Events, |producer| producer.request_gap(GAP));
    let builder = builder.producer(Topic::Progress, |producer| producer.request_gap(GAP));
    let publisher = builder.build().await.expect("the publisher starts");
    rows.push(session_events(&publisher).await);
    rows.push(updates(&publisher).await);
    publisher.close(CLOSE).await;
    rows
}

async fn raw(producer: &Producer, records: &[RawRecord], codec: Compression) -> Row {
    let topic: Arc<str> = "sink".into();
    let mut counted = Counted::new(producer.metrics());
    for _warm_then_counted in 0..2 {
        counted = Counted::new(producer.metrics());
        for record in records.iter().cycle().take(RAW_RECORDS) {
            let record = ProducerRecord::new(topic.clone(), record.value.clone()).key(record.key.clone());
            drop(producer.send(record).await.expect("the record is taken"));
        }
        producer.flush().await;
    }
    counted.row(format!("raw, {}", codec.name()), producer.metrics())
}

async fn session_events(publisher: &Publisher) -> Row {
    let mut counted = Counted::new(publisher.metrics().events);
    for drafts in [drafts::<SessionEvent>(), drafts()] {
        counted = Counted::new(publisher.metrics().events);
        for draft in drafts {
            drop(publisher.enqueue(draft).await.expect("the event is taken"));
        }
        publisher.flush().await;
    }
    counted.row("typed, session events".to_owned(), publisher.metrics().events)
}

async fn updates(publisher: &Publisher) -> Row {
    let mut counted = Counted::new(publisher.metrics().progress);
    for drafts in [drafts::<ProgressUpdate>(), drafts()] {
        counted = Counted::new(publisher.metrics().progress);
        for draft in drafts {
            drop(publisher.enqueue_progress(draft).await.expect("the update is taken"));
        }
        publisher.flush().await;
    }
    counted.row("typed, progress updates".to_owned(), publisher.metrics().progress)
}

/// Built before anything is counted.
fn drafts<B: Load>() -> Vec<EventDraft<B>> {
    B::bodies().into_iter().map(EventDraft::new).collect()
}

/// From here on it counts.
struct Counted {
    region: Region<'static, System>,
    before: ProducerMetrics,
}

impl Counted {
    fn new(before: ProducerMetrics) -> Self {
        Self { region: Region::new(ALLOCATOR), before }
    }

    fn row(&self, name: String, after: ProducerMetrics) -> Row {
        let change = self.region.change();
        let records = (after.records_acked - self.before.records_acked) as f64;
        let batches = (after.batches - self.before.batches) as f64;
        Row {
            name,
            new_per_batch: change.allocations as f64 / batches,
            grown_per_batch: change.reallocations as f64 / batches,
            records_per_batch: records / batches,
            is_bound: true,
        }
    }
}

const CLOSE: Duration = Duration::from_secs(5);
