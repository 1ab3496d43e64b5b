//! Open loop at the contract's rates: from the moment an event is due to the moment a consumer has it in hand, typed.
//!
//! Event i of a run is due at start + i/rate, whatever happened before. A thread per topic looks every half millisecond
//! and publishes what has become due. So a stall anywhere, also of the sender, is in every event that it made late.
//! The due time travels in the event's id.

use crate::{
    args::Args,
    kafka::{Kafka, Usage},
    load::Load,
    report::{Spread, Table, cpu_per_million, short, verdict, whole},
    throughput::{floor, short_name},
};
use craftwire::{
    consumer::StartFrom,
    crafting::{
        Body, Crafting, EventDraft, Parsed, ProgressUpdate, Publisher, SessionEvent, Subscriber,
        SubscriberBuilder, Topic,
    },
};
use hdrhistogram::Histogram;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::watch, task::JoinHandle, time::timeout};
use uuid::Uuid;

/// What is sent at once, in events a second.
const SCENARIOS: [(&str, &[(Topic, u64)]); 3] = [
    ("events alone", &[(Topic::Events, 5_000)]),
    ("progress alone", &[(Topic::Progress, 10_000)]),
    ("both at once", &[(Topic::Events, 5_000), (Topic::Progress, 10_000)]),
];

/// One topic in one run.
struct Run {
    latency: Histogram<u64>,
    /// Of the measured time.
    sent: u64,
    lost: u64,
    /// Seen twice, or before one that was sent earlier to the same partition.
    out_of_order: u64,
    elapsed: Duration,
    /// Of all topics of the run together.
    usage: Usage,
    usage_records: u64,
}

/// The scenario's place, its name, the topic, and its runs.
type Runs = BTreeMap<(usize, &'static str, Topic), Vec<Run>>;

/// All scenarios in turns, and their table.
pub(crate) async fn run(kafka: &Arc<Kafka>, args: &Args) {
    let suffix = format!(".bench-{}-latency", std::process::id());
    let crafting = Crafting::builder(&kafka.bootstrap()).suffix(&suffix).build().await;
    let crafting = crafting.expect("the broker is reached");
    crafting.topics().ensure().await.expect("the topics are made");
    let publisher = crafting.publisher("crafting.network").build().await.expect("the publisher starts");
    let clock = Instant::now();
    let events = Readers::start(&crafting.session_events(), args.members, clock).await;
    let updates = Readers::start(&crafting.progress(), args.members, clock).await;
    let bench = Bench { kafka, publisher, clock, args, events, updates };

    let mut runs = Runs::new();
    if args.warm_round {
        bench.run(SCENARIOS[2].1).await;
    }
    for _ in 0..args.rounds {
        for (place, (name, topics)) in SCENARIOS.into_iter().enumerate() {
            for (topic, run) in bench.run(topics).await {
                runs.entry((place, name, topic)).or_default().push(run);
            }
        }
    }
    bench.events.stop().await;
    bench.updates.stop().await;
    bench.publisher.close(CLOSE).await;
    crafting.topics().delete().await.expect("the topics are deleted");
    print(&runs);
}

struct Bench<'a> {
    kafka: &'a Arc<Kafka>,
    publisher: Publisher,
    /// Due times count from here.
    clock: Instant,
    args: &'a Args,
    events: Readers,
    updates: Readers,
}

impl Bench<'_> {
    /// Sends to the topics for the warm-up and the measured time, and waits for what was sent.
    async fn run(&self, topics: &[(Topic, u64)]) -> Vec<(Topic, Run)> {
        let start = Instant::now() + Duration::from_millis(50);
        let measured = start + self.args.warm_up;
        let end = measured + self.args.latency;
        let mut senders = Vec::new();
        for (topic, rate) in topics {
            let plan = Plan { clock: self.clock, start, measured, end, rate: *rate };
            self.seen(*topic).start(plan.nanos(measured));
            let publisher = self.publisher.clone();
            let handle = Handle::current();
            senders.push(match topic {
                Topic::Events => thread::spawn(move || plan.send::<SessionEvent>(&publisher, &handle)),
                Topic::Progress => thread::spawn(move || plan.send::<ProgressUpdate>(&publisher, &handle)),
            });
        }
        tokio::time::sleep_until(measured.into()).await;
        let before = self.kafka.usage();
        tokio::time::sleep_until(end.into()).await;
        let usage = self.kafka.usage().since(before);
        let sent = tokio::task::spawn_blocking(|| {
            senders.into_iter().map(|sender| sender.join().expect("the sender runs to its end")).collect()
        });
        let sent: Vec<Sent> = sent.await.expect("the senders are waited for");
        let usage_records = sent.iter().map(|sent| sent.measured).sum();
        let mut runs = Vec::new();
        for ((topic, _), sent) in topics.iter().zip(sent) {
            let seen = self.seen(*topic);
            seen.wait_for(sent.all).await;
            let (latency, out_of_order, received) = seen.take();
            let lost = sent.all.saturating_sub(received);
            let elapsed = self.args.latency;
            let run = Run { latency, sent: sent.measured, lost, out_of_order, elapsed, usage, usage_records };
            runs.push((*topic, run));
        }
        runs
    }

    fn seen(&self, topic: Topic) -> &Seen {
        match topic {
            Topic::Events => &self.events.seen,
            Topic::Progress => &self.updates.seen,
        }
    }
}

/// What one sender does.
#[derive(Debug, Clone, Copy)]
struct Plan {
    clock: Instant,
    start: Instant,
    /// From when on it counts.
    measured: Instant,
    end: Instant,
    rate: u64,
}

/// What one sender did.
#[derive(Debug, Clone, Copy)]
struct Sent {
    all: u64,
    measured: u64,
}

impl Plan {
    /// Runs on a thread of its own, so that its pace depends on no timer of the runtime.
    fn send<B: Load + Offer>(self, publisher: &Publisher, handle: &Handle) -> Sent {
        let bodies = B::bodies();
        let mut sent = Sent { all: 0, measured: 0 };
        let _runtime = handle.enter();
        loop {
            let now = Instant::now();
            loop {
                let due = self.start + Duration::from_nanos(sent.all * 1_000_000_000 / self.rate);
                if due >= self.end {
                    return sent;
                }
                if due > now {
                    break;
                }
                let body = bodies[sent.all as usize % bodies.len()].clone();
                let draft = EventDraft::new(body).with_event_id(id_of(self.nanos(due)));
                B::offer(publisher, draft, handle);
                sent.all += 1;
                sent.measured += u64::from(due >= self.measured);
            }
            thread::sleep(SLOT);
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        (at - self.clock).as_nanos() as u64
    }
}

/// How a body goes to its topic, at its time.
trait Offer: Body {
    fn offer(publisher: &Publisher, draft: EventDraft<Self>, handle: &Handle);
}

impl Offer for SessionEvent {
    /// Taken, and the answer counted by the producer: an event that is not delivered is missed by the reader.
    fn offer(publisher: &Publisher, draft: EventDraft<Self>, handle: &Handle) {
        drop(handle.block_on(publisher.enqueue(draft)).expect("the event is taken"));
    }
}

impl Offer for ProgressUpdate {
    fn offer(publisher: &Publisher, draft: EventDraft<Self>, _: &Handle) {
        publisher.offer(draft).expect("the update is taken");
    }
}

/// A version 7 id whose last 48 bits are the due time, which three days fit in.
fn id_of(due_nanos: u64) -> Uuid {
    let mut bytes = Uuid::now_v7().into_bytes();
    bytes[10..].copy_from_slice(&due_nanos.to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

fn due_of(id: Uuid) -> u64 {
    let mut nanos = [0; 8];
    nanos[2..].copy_from_slice(&id.as_bytes()[10..]);
    u64::from_be_bytes(nanos)
}

/// The consumers of a topic: a group of so many members.
struct Readers {
    seen: Arc<Seen>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Joins, and waits until every partition has its reader.
    async fn start<B: Body>(builder: &SubscriberBuilder<B>, members: usize, clock: Instant) -> Self {
        let seen = Arc::new(Seen::default());
        let (stop, stopped) = watch::channel(false);
        let mut subscribers = Vec::new();
        for _ in 0..members {
            // The topic is new, so the earliest is what is sent from now on.
            let subscriber = builder.clone().start_from(StartFrom::Earliest).build().await;
            subscribers.push(subscriber.expect("the subscriber starts"));
        }
        let partitions = usize::from(B::TOPIC.partitions());
        let whole = async {
            while subscribers.iter().map(|subscriber| subscriber.assignment().len()).sum::<usize>()
                < partitions
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(JOIN, whole).await.expect("the group has all partitions within a minute");
        let tasks = subscribers
            .into_iter()
            .map(|subscriber| tokio::spawn(read(subscriber, seen.clone(), stopped.clone(), clock)))
            .collect();
        Self { seen, stop, tasks }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await.expect("the reader runs to its end");
        }
    }
}

/// One member: an event is in hand when the stream yields it, parsed and checked.
async fn read<B: Body>(
    mut subscriber: Subscriber<B>,
    seen: Arc<Seen>,
    mut stopped: watch::Receiver<bool>,
    clock: Instant,
) {
    loop {
        let next = tokio::select! {
            biased;
            next = subscriber.recv() => next,
            _ = stopped.changed() => break,
        };
        let delivered = next.expect("the stream does not end").expect("nothing goes wrong");
        let now = clock.elapsed().as_nanos() as u64;
        let Parsed::Event(event) = delivered.parsed() else { panic!("an event of ours: {delivered:?}") };
        seen.one(due_of(event.event_id()), now, delivered.record().partition());
        delivered.ack();
    }
    subscriber.close(CLOSE).await.expect("what was handled is committed");
}

/// What the readers of a topic saw in this run.
#[derive(Default)]
struct Seen(Mutex<SeenNow>);

struct SeenNow {
    /// Only what was due from here on is measured.
    measured_from: u64,
    latency: Histogram<u64>,
    received: u64,
    out_of_order: u64,
    /// The due time last seen of each partition: they rise, for one thread sends them in that order.
    last_due: BTreeMap<i32, u64>,
}

impl Default for SeenNow {
    fn default() -> Self {
        Self {
            measured_from: 0,
            latency: Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("the bounds are allowed"),
            received: 0,
            out_of_order: 0,
            last_due: BTreeMap::new(),
        }
    }
}

impl Seen {
    fn with<T>(&self, act: impl FnOnce(&mut SeenNow) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn start(&self, measured_from: u64) {
        self.with(|now| now.measured_from = measured_from);
    }

    fn one(&self, due: u64, at: u64, partition: i32) {
        self.with(|now| {
            now.received += 1;
            let last = now.last_due.entry(partition).or_insert(0);
            now.out_of_order += u64::from(due <= *last);
            *last = due.max(*last);
            if due >= now.measured_from {
                now.latency.saturating_record(at.saturating_sub(due) / 1_000);
            }
        });
    }

    /// Until so many were received, or none of them will be.
    async fn wait_for(&self, count: u64) {
        let all = async {
            while self.with(|now| now.received) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _lost = timeout(LOST, all).await;
    }

    fn take(&self) -> (Histogram<u64>, u64, u64) {
        self.with(|now| {
            let taken = std::mem::take(now);
            now.last_due = taken.last_due;
            (taken.latency, taken.out_of_order, taken.received)
        })
    }
}

fn print(runs: &Runs) {
    let mut table = Table::new(&[
        "sent",
        "topic",
        "rate/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "lost",
        "out of order",
        "client CPU s/M",
        "broker CPU s/M",
        "p99 below",
        "",
    ]);
    for ((_, name, topic), runs) in runs {
        let of = |figure: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
        let ms = |quantile: f64| of(&|run| run.latency.value_at_quantile(quantile) as f64 / 1e3);
        let rate = of(&|run| run.latency.len() as f64 / run.elapsed.as_secs_f64());
        let (p99, limit) = (ms(0.99), limit_ms(*topic));
        let lost: u64 = runs.iter().map(|run| run.lost).sum();
        let out_of_order: u64 = runs.iter().map(|run| run.out_of_order).sum();
        let complete = runs.iter().all(|run| run.latency.len() == run.sent) && lost == 0 && out_of_order == 0;
        // The due times reach the rate's own precision only at the end of the second.
        let at_rate = rate.is_some_and(|rate| rate.median >= floor(*topic) * 0.999);
        let cpu = |side: fn((f64, Option<f64>)) -> Option<f64>| {
            let runs = runs.iter().filter_map(|run| side(cpu_per_million(run.usage, run.usage_records)));
            Spread::text(Spread::of(runs), short)
        };
        table.row([
            (*name).to_owned(),
            short_name(*topic).to_owned(),
            Spread::text(rate, whole),
            Spread::text(ms(0.5), short),
            Spread::text(ms(0.9), short),
            Spread::text(p99, short),
            Spread::text(ms(0.999), short),
            Spread::text(of(&|run| run.latency.max() as f64 / 1e3), short),
            lost.to_string(),
            out_of_order.to_string(),
            cpu(|(client, _)| Some(client)),
            cpu(|(_, broker)| broker),
            format!("{limit} ms"),
            verdict(complete && at_rate && p99.is_some_and(|p99| p99.median < limit)).to_owned(),
        ]);
    }
    println!("Latency from due to in hand: median of the rounds (least–most)\n");
    table.print();
}

/// The contract's p99.
fn limit_ms(topic: Topic) -> f64 {
    match topic {
        Topic::Events => 50.0,
        Topic::Progress => 10.0,
    }
}

/// The histogram's end.
const LONGEST_MICROS: u64 = 60_000_000;
/// How often a sender looks what is due.
const SLOT: Duration = Duration::from_micros(500);
/// What has not come this long after the last was sent is lost.
const LOST: Duration = Duration::from_secs(5);
const JOIN: Duration = Duration::from_secs(60);
const CLOSE: Duration = Duration::from_secs(10);
