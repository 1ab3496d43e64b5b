//! The three modes.

use crate::{
    Client, Consumer, Options, Producer, Result,
    options::Mode,
    payloads::{Payloads, due_ns, stamped},
    report::{Clock, Mark, Report, latency_members, settings_json},
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::oneshot, time::sleep};

pub async fn run<C: Client>(options: Options) -> Result<String> {
    let report = match options.mode {
        Mode::Produce => produce::<C>(&options).await?,
        Mode::Consume => consume::<C>(&options).await?,
        Mode::Latency => latency::<C>(&options).await?,
    };
    report.line::<C>(&options)
}

/// From the first record handed over to the last one acknowledged.
async fn produce<C: Client>(options: &Options) -> Result<Report> {
    let payloads = Payloads::load(&options.payloads)?;
    let settings = C::producer_settings(options);
    let mut producer = C::producer(options, &settings).await?;
    let clock = Clock::start();
    let mut turn = payloads.turn();
    for (key, value) in turn.by_ref().take(usize::try_from(options.warmup)?) {
        producer.send(key, value.clone()).await?;
    }
    producer.finish().await?;
    let start = Mark::now(clock)?;
    for (key, value) in turn.take(usize::try_from(options.count)?) {
        producer.send(key, value.clone()).await?;
    }
    let errors = producer.finish().await?;
    let end = Mark::now(clock)?;
    let settings = settings_json(&settings);
    Ok(Report { records: options.count, start, end, errors, settings, more: json!({}) })
}

/// From the first record handed over to the last.
async fn consume<C: Client>(options: &Options) -> Result<Report> {
    let settings = C::consumer_settings(options);
    let mut consumer = C::consumer(options, &settings).await?;
    let clock = Clock::start();
    let (mut start, mut end) = (None, None);
    let (mut records, mut sum, mut errors) = (0, 0, 0);
    let mut last = Instant::now();
    while records < options.count && last.elapsed() < SILENCE {
        let before = records;
        let polled = consumer
            .poll(|value| {
                if records == 0 {
                    start = Mark::now(clock).ok();
                }
                if records < options.count {
                    records += 1;
                    sum += value.len() as u64 + value.first().copied().map_or(0, u64::from);
                    if records == options.count {
                        end = Mark::now(clock).ok();
                    }
                }
            })
            .await;
        errors += u64::from(polled.is_err());
        if records > before {
            last = Instant::now();
        }
    }
    let end = end.map_or_else(|| Mark::now(clock), Ok)?;
    Ok(Report {
        records,
        start: start.unwrap_or(end),
        end,
        errors: errors + options.count - records,
        settings: settings_json(&settings),
        more: json!({ "sum": sum }),
    })
}

/// An open loop: from when each record is due, whatever happened before, until it is handed over.
async fn latency<C: Client>(options: &Options) -> Result<Report> {
    let payloads = Payloads::load(&options.payloads)?;
    let consumer_settings = C::consumer_settings(options);
    let mut consumer = C::consumer(options, &consumer_settings).await?;
    let until = Instant::now() + JOIN;
    while !consumer.is_assigned().await {
        if Instant::now() > until {
            return Err("the consumer has no partitions after 30 s".into());
        }
        // Some join only when they are polled.
        let _nothing_yet = consumer.poll(|_| {}).await;
    }
    let producer_settings = C::producer_settings(options);
    let producer = C::producer(options, &producer_settings).await?;

    let clock = Clock::start();
    let schedule = Schedule {
        start_ns: clock.now_ns() + LEAD_NS,
        rate: options.rate,
        warm: options.rate * options.warmup_secs,
        total: options.rate * (options.warmup_secs + options.secs),
    };
    let (from_ns, expected) = (schedule.due_ns(schedule.warm), schedule.total - schedule.warm);
    let received = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn(read(consumer, clock, from_ns, received.clone(), over.clone()));
    let (sent, sending) = oneshot::channel();
    let handle = Handle::current();
    thread::spawn(move || sent.send(pace(producer, &payloads, schedule, clock, &handle)));
    let (mut producer, start) = sending.await.map_err(|_| "the sender panicked")??;

    let until = Instant::now() + LOST;
    while received.load(Relaxed) < expected && Instant::now() < until {
        sleep(Duration::from_millis(1)).await;
    }
    let end = Mark::now(clock)?;
    over.store(true, Relaxed);
    let errors = producer.finish().await?;
    let (mut latencies_ns, last_ns) = reading.await?;
    Ok(Report {
        records: latencies_ns.len() as u64,
        start,
        end,
        errors,
        settings: json!({
            "producer": settings_json(&producer_settings),
            "consumer": settings_json(&consumer_settings),
        }),
        more: latency_members(&mut latencies_ns, expected, last_ns.saturating_sub(from_ns)),
    })
}

#[derive(Debug, Clone, Copy)]
struct Schedule {
    start_ns: u64,
    rate: u64,
    /// So many do not count.
    warm: u64,
    total: u64,
}

impl Schedule {
    fn due_ns(self, number: u64) -> u64 {
        self.start_ns + number * 1_000_000_000 / self.rate
    }
}

/// On a thread of its own, which looks every half millisecond what has become due.
fn pace<P: Producer>(
    mut producer: P,
    payloads: &Payloads,
    schedule: Schedule,
    clock: Clock,
    runtime: &Handle,
) -> Result<(P, Mark)> {
    let mut start = Mark::now(clock)?;
    let mut turn = payloads.turn();
    let mut number = 0;
    while number < schedule.total {
        let looked_ns = clock.now_ns();
        while number < schedule.total && schedule.due_ns(number) <= looked_ns {
            if number == schedule.warm {
                start = Mark::now(clock)?;
            }
            if let Some((key, value)) = turn.next() {
                let value = stamped(value, schedule.due_ns(number));
                runtime.block_on(producer.send(key, value))?;
            }
            number += 1;
        }
        let slot = looked_ns.saturating_sub(schedule.start_ns) / SLOT_NS + 1;
        let next_ns = schedule.start_ns + slot * SLOT_NS;
        thread::sleep(Duration::from_nanos(next_ns.saturating_sub(clock.now_ns())));
    }
    Ok((producer, start))
}

async fn read<C: Consumer>(
    mut consumer: C,
    clock: Clock,
    from_ns: u64,
    received: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
) -> (Vec<u64>, u64) {
    let (mut latencies_ns, mut last_ns) = (Vec::new(), 0);
    while !over.load(Relaxed) {
        let polled = consumer.poll(|value| {
            let now_ns = clock.now_ns();
            if let Some(due_ns) = due_ns(value).filter(|due_ns| *due_ns >= from_ns) {
                latencies_ns.push(now_ns.saturating_sub(due_ns));
                last_ns = now_ns;
            }
        });
        if let Err(error) = polled.await {
            eprintln!("reading: {error}");
        }
        received.store(latencies_ns.len() as u64, Relaxed);
    }
    (latencies_ns, last_ns)
}

/// The pacing slot.
const SLOT_NS: u64 = 500_000;
/// From the making of the schedule to the first record.
const LEAD_NS: u64 = 200_000_000;
/// What has not come so long after the last was sent is lost.
const LOST: Duration = Duration::from_secs(5);
const JOIN: Duration = Duration::from_secs(30);
/// After so long without a record there are no more.
const SILENCE: Duration = Duration::from_secs(30);
