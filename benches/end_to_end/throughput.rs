//! As fast as it goes: published from one task to the last acknowledgement, and read back to the last record.
//!
//! Each round has topics of its own, and what is read back is counted against what was acknowledged.

use crate::{
    args::Args,
    kafka::{Kafka, Usage},
    load::{Load, RawRecord, raw_records},
    parts,
    report::{Spread, Table, cpu_per_million, short, verdict, whole},
};
use craftwire::{
    ProducerRecord,
    consumer::StartFrom,
    crafting::{Body, Crafting, Parsed, ProgressUpdate, Publisher, SessionEvent, SubscriberBuilder, Topic},
    producer::{ProducerMetrics, Profile},
};
use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

/// What was published and acknowledged.
#[derive(Debug, Clone, Copy)]
struct Written {
    records: u64,
    /// In batches, before compression.
    bytes: u64,
}

impl Written {
    fn all(sent: u64, metrics: &ProducerMetrics) -> Self {
        assert_eq!(metrics.records_acked, sent, "every record is acknowledged: {metrics:?}");
        Self { records: sent, bytes: metrics.bytes_uncompressed }
    }

    fn and(self, other: Self) -> Self {
        Self { records: self.records + other.records, bytes: self.bytes + other.bytes }
    }
}

/// One run.
struct Run {
    written: Written,
    elapsed: Duration,
    usage: Usage,
    /// Records in a request, where it is the client that makes the requests.
    per_request: Option<f64>,
}

/// Topic, what was done, and its runs.
type Runs = BTreeMap<(Topic, usize, &'static str), Vec<Run>>;

/// All runs, in turns, and their table.
pub(crate) async fn run(kafka: &Arc<Kafka>, args: &Args) {
    let mut runs = Runs::new();
    let (events, updates) = (raw_records::<SessionEvent>(), raw_records::<ProgressUpdate>());
    let (event_bodies, update_bodies) = (SessionEvent::bodies(), ProgressUpdate::bodies());
    for round in 0..args.rounds + usize::from(args.warm_round) {
        let suffix = format!(".bench-{}-{round}", std::process::id());
        let crafting = Crafting::builder(&kafka.bootstrap()).suffix(&suffix).build().await;
        let crafting = crafting.expect("the broker is reached");
        crafting.topics().ensure().await.expect("the topics are made");
        let mut bench = Bench { kafka, crafting, for_secs: args.throughput, runs: &mut runs };
        let written = bench.publish_raw(Topic::Events, events.clone()).await;
        let written = written.and(bench.publish_typed(event_bodies.clone()).await);
        let subscriber = bench.crafting.session_events();
        bench.consume_raw(Topic::Events, written).await;
        bench.consume_typed(subscriber, written).await;
        let written = bench.publish_raw(Topic::Progress, updates.clone()).await;
        let written = written.and(bench.publish_typed(update_bodies.clone()).await);
        let subscriber = bench.crafting.progress();
        bench.consume_raw(Topic::Progress, written).await;
        bench.consume_typed(subscriber, written).await;
        if args.warm_round && round == 0 {
            bench.runs.clear();
        }
        bench.crafting.topics().delete().await.expect("the topics are deleted");
    }
    print(&runs);
}

struct Bench<'a> {
    kafka: &'a Arc<Kafka>,
    crafting: Crafting,
    for_secs: Duration,
    runs: &'a mut Runs,
}

impl Bench<'_> {
    /// Records by `Producer::send`, with the profile for rates. Returns how many were written.
    async fn publish_raw(&mut self, topic: Topic, records: Vec<RawRecord>) -> Written {
        let producer = self
            .crafting
            .client()
            .producer()
            .profile(Profile::Throughput)
            .compression(topic.compression())
            .max_message_bytes(topic.max_message_bytes())
            .build()
            .await
            .expect("the producer starts");
        let name: Arc<str> = self.crafting.topic_name(topic).into();
        producer.prepare(&name).await.expect("the topic is there");
        let (sender, for_secs) = (producer.clone(), self.for_secs);
        let measure = self.start();
        // A task like any other, not the main thread.
        let sent = tokio::spawn(async move {
            let (mut sent, end) = (0_u64, Instant::now() + for_secs);
            while Instant::now() < end {
                for _ in 0..CHUNK {
                    let record = &records[index(sent, records.len())];
                    let record =
                        ProducerRecord::new(name.clone(), record.value.clone()).key(record.key.clone());
                    // The answers are counted by the producer.
                    drop(sender.send(record).await.expect("the record is taken"));
                    sent += 1;
                }
            }
            sender.flush().await;
            sent
        });
        let sent = sent.await.expect("the task runs to its end");
        let metrics = producer.metrics();
        let written = Written::all(sent, &metrics);
        self.end(measure, (topic, 0, "publish, raw"), written, Some(&metrics));
        producer.close(CLOSE).await;
        written
    }

    /// Typed events by `Publisher::enqueue`. Returns how many were written.
    async fn publish_typed<B: Load + Publish>(&mut self, bodies: Vec<B>) -> Written {
        let publisher = self.crafting.publisher("crafting.network").build().await;
        let publisher = publisher.expect("the publisher starts");
        let (sender, for_secs) = (publisher.clone(), self.for_secs);
        let sent_bodies = bodies.clone();
        let measure = self.start();
        let sent = tokio::spawn(async move {
            let (bodies, mut sent, end) = (sent_bodies, 0_u64, Instant::now() + for_secs);
            while Instant::now() < end {
                for _ in 0..CHUNK {
                    B::enqueue(&sender, bodies[index(sent, bodies.len())].clone()).await;
                    sent += 1;
                }
            }
            sender.flush().await;
            sent
        });
        let sent = sent.await.expect("the task runs to its end");
        let metrics = match B::TOPIC {
            Topic::Events => publisher.metrics().events,
            Topic::Progress => publisher.metrics().progress,
        };
        let written = Written::all(sent, &metrics);
        self.end(measure, (B::TOPIC, 1, "publish, typed"), written, Some(&metrics));
        publisher.close(CLOSE).await;
        self.parts(bodies, written, &metrics).await;
        written
    }

    /// The parts of typed publishing that cannot be avoided, for as many records in batches as large as those.
    async fn parts<B: Load>(&mut self, bodies: Vec<B>, written: Written, metrics: &ProducerMetrics) {
        let in_batch = index(metrics.records / metrics.batches.max(1), usize::MAX);
        let alone = move || parts::alone(bodies, written.records, in_batch);
        let elapsed = tokio::task::spawn_blocking(alone).await.expect("the parts are made");
        let usage = Usage { client: elapsed, broker: None };
        let run = Run { written, elapsed, usage, per_request: None };
        self.runs.entry((B::TOPIC, PARTS, "its JSON, compression and checksum alone")).or_default().push(run);
    }

    /// Batches by `Consumer::recv_batch`, every record looked at, from the making of the consumer to the last record.
    async fn consume_raw(&mut self, topic: Topic, written: Written) {
        let builder = self.crafting.client().consumer();
        let builder = builder.topics([self.crafting.topic_name(topic)]).start_from(StartFrom::Earliest);
        let measure = self.start();
        let read = tokio::spawn(async move {
            let mut consumer = builder.build().await.expect("the consumer starts");
            let (mut count, mut sum) = (0, 0);
            while count < written.records {
                let batch = consumer.recv_batch().await.expect("the stream goes on").expect("nothing fails");
                for record in &batch {
                    count += 1;
                    sum += record.value().map_or(0, |value| value.len() + usize::from(value[0]));
                }
            }
            black_box(sum);
            count
        });
        let count = read.await.expect("the task runs to its end");
        assert_eq!(count, written.records, "what was acknowledged is read, once");
        self.end(measure, (topic, 3, "consume, raw"), written, None);
    }

    /// Events by `Subscriber::recv`, from the making of the subscriber to the last event.
    async fn consume_typed<B: Body>(&mut self, builder: SubscriberBuilder<B>, written: Written) {
        let measure = self.start();
        let read = tokio::spawn(async move {
            let builder = builder.without_group().start_from(StartFrom::Earliest);
            let mut subscriber = builder.build().await.expect("the subscriber starts");
            let mut count = 0;
            while count < written.records {
                let event = subscriber.recv().await.expect("the stream goes on").expect("nothing fails");
                assert!(matches!(event.parsed(), Parsed::Event(_)), "an event of ours: {event:?}");
                count += 1;
            }
            count
        });
        let count = read.await.expect("the task runs to its end");
        assert_eq!(count, written.records, "what was acknowledged is read, once");
        self.end(measure, (B::TOPIC, 4, "consume, typed"), written, None);
    }

    fn start(&self) -> (Instant, Usage) {
        let usage = self.kafka.usage();
        (Instant::now(), usage)
    }

    fn end(
        &mut self,
        (started, before): (Instant, Usage),
        what: (Topic, usize, &'static str),
        written: Written,
        metrics: Option<&ProducerMetrics>,
    ) {
        let elapsed = started.elapsed();
        let usage = self.kafka.usage().since(before);
        let per_request = metrics.map(|metrics| metrics.records as f64 / metrics.requests.max(1) as f64);
        self.runs.entry(what).or_default().push(Run { written, elapsed, usage, per_request });
    }
}

/// How a body goes to its topic, answers not awaited one by one.
pub(crate) trait Publish: Sized {
    fn enqueue(publisher: &Publisher, body: Self) -> impl Future<Output = ()> + Send;
}

impl Publish for SessionEvent {
    async fn enqueue(publisher: &Publisher, body: Self) {
        drop(publisher.enqueue(body).await.expect("the event is taken"));
    }
}

impl Publish for ProgressUpdate {
    async fn enqueue(publisher: &Publisher, body: Self) {
        drop(publisher.enqueue_progress(body).await.expect("the update is taken"));
    }
}

fn index(sent: u64, len: usize) -> usize {
    usize::try_from(sent).unwrap_or(0) % len
}

fn print(runs: &Runs) {
    let mut table = Table::new(&[
        "topic",
        "",
        "records/s",
        "MB/s",
        "client CPU s/M",
        "broker CPU s/M",
        "records/request",
        "floor/s",
        "",
    ]);
    for ((topic, place, what), runs) in runs {
        let of = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
        let rate = of(|run| run.written.records as f64 / run.elapsed.as_secs_f64());
        let floor = floor(*topic);
        let is_parts = *place == PARTS;
        table.row([
            short_name(*topic).to_owned(),
            (*what).to_owned(),
            Spread::text(rate, whole),
            Spread::text(of(|run| run.written.bytes as f64 / 1e6 / run.elapsed.as_secs_f64()), short),
            Spread::text(of(|run| cpu_per_million(run.usage, run.written.records).0), short),
            Spread::text(
                Spread::of(runs.iter().filter_map(|run| cpu_per_million(run.usage, run.written.records).1)),
                short,
            ),
            Spread::text(Spread::of(runs.iter().filter_map(|run| run.per_request)), whole),
            if is_parts { String::new() } else { whole(floor) },
            if is_parts {
                String::new()
            } else {
                verdict(rate.is_some_and(|rate| rate.median >= floor)).to_owned()
            },
        ]);
    }
    println!("Throughput: median of the rounds (least–most)\n");
    table.print();
}

/// The contract's rates.
pub(crate) fn floor(topic: Topic) -> f64 {
    match topic {
        Topic::Events => 5_000.0,
        Topic::Progress => 10_000.0,
    }
}

pub(crate) fn short_name(topic: Topic) -> &'static str {
    match topic {
        Topic::Events => "events",
        Topic::Progress => "progress",
    }
}

/// The row's place.
const PARTS: usize = 2;
/// The clock is read once in so many records.
const CHUNK: usize = 256;
const CLOSE: Duration = Duration::from_secs(10);
