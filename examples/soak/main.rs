//! A long run of a producer and a group of four against real Kafka under faults that a seed chooses.
//!
//! `cargo run --release --example soak -- --for 20m --seed 7 [--nodes 3|1] [--rate 1200]`
//!
//! It starts the nodes (a JDK 17 and Maven are needed), says what it does to them, their network and the members, and
//! ends with a table. The exit code is 0 when nothing that was acked is lost, twice or out of order, no sender was told
//! a falsehood, every record was handed out, and no member skipped or handed out what it did not have.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a rig for tests: a failure ends it; it measures how long things take"
)]

#[path = "../../tests/cluster_faults/child.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod child;
#[path = "../../tests/cluster_faults/group.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod group;
#[path = "../../tests/cluster_faults/ledger.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod ledger;
#[path = "../../tests/cluster_faults/load.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod load;
mod plan;
mod report;
mod rig;

use crate::{
    group::Group,
    ledger::Fates,
    load::{Load, Pace, judge},
    plan::Plan,
    report::{Tally, Usage, print_usage, print_verdict, resident_mib},
    rig::{GROUP, Rig, TOPIC},
};
use craftwire::{
    Client,
    admin::{NewTopic, OffsetSpec},
};
use craftwire_test_support::{available, lasts};
use futures_util::FutureExt;
use std::{
    panic::AssertUnwindSafe,
    process::ExitCode,
    time::{Duration, Instant},
};

const USAGE: &str = "soak [--for 60s|20m|2h] [--seed N] [--nodes 3|1] [--rate RECORDS_A_SECOND]";
const PARTITIONS: i32 = 6;
const MEMBERS: usize = 4;
const KEYS: usize = 96;

#[derive(Debug, Clone, Copy)]
struct Options {
    length: Duration,
    seed: u64,
    nodes: usize,
    rate: u32,
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self { length: Duration::from_secs(60), seed: 1, nodes: 3, rate: 1200 };
        while let Some(name) = args.next() {
            let value = args.next()?;
            match name.as_str() {
                "--for" => options.length = length(&value)?,
                "--seed" => options.seed = value.parse().ok()?,
                "--nodes" => options.nodes = value.parse().ok().filter(|nodes| [1, 3].contains(nodes))?,
                "--rate" => options.rate = value.parse().ok().filter(|rate| *rate > 0)?,
                _ => return None,
            }
        }
        Some(options)
    }
}

fn length(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

fn main() -> ExitCode {
    if std::env::var_os(child::ROLE).is_some() {
        child::play();
        return ExitCode::SUCCESS;
    }
    let Some(options) = Options::read(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if let Err(skip) = available() {
        eprintln!("{skip}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let good = runtime.block_on(soak(options));
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn soak(options: Options) -> bool {
    let Options { length, seed, nodes, rate } = options;
    println!("soak for {length:?}, seed {seed}, {nodes} nodes, {rate} records a second, {MEMBERS} members");
    let mut rig = Rig::start(nodes, PARTITIONS, seed).await;
    let client = Client::connect(&rig.bootstrap()).await.unwrap();
    let (replicas, min_isr) = if nodes == 3 { (3, "2") } else { (1, "1") };
    let topic = NewTopic::new(TOPIC, PARTITIONS, replicas).config("min.insync.replicas", min_isr);
    client.admin().create_topic(topic).await.unwrap();
    rig.is_whole().await;

    let mut group = Group::new(&[], &rig.bootstrap(), GROUP, TOPIC);
    let members: Vec<usize> = (0..MEMBERS).map(|_| group.join()).collect();
    group.shares(&members, usize::try_from(PARTITIONS).unwrap()).await;
    let producer = client.producer().build().await.unwrap();
    let every = Duration::from_secs(1) * u32::try_from(KEYS).unwrap() / rate;
    let load = Load::start(&producer, TOPIC, Pace { keys: KEYS, every, window: 64 });
    load.goes_on_for_each_key(10).await;
    group.goes_on(100).await;

    let usage = Usage::now();
    let started = Instant::now();
    let mut tally = Tally::default();
    let going = go(&mut rig, &load, &mut group, Plan::new(seed, nodes, length), length, &mut tally);
    if AssertUnwindSafe(going).catch_unwind().await.is_err() {
        tally.print();
        println!("\nFAILED after {} faults: --for {length:?} --seed {seed}", tally.times());
        return false;
    }

    println!("{:>7.1} s  the end", started.elapsed().as_secs_f64());
    load.goes_on_for_each_key(5).await;
    let fates: Vec<Fates> = load.end().await;
    rig.is_whole().await;
    let ends = client.admin().list_offsets(TOPIC, OffsetSpec::Latest).await.unwrap();
    group.covers(&ends).await;
    let end = Usage::now();
    let kept = fates.iter().map(Fates::bytes).sum::<usize>() + group.book().bytes();
    let resident: Vec<f64> = group.running().iter().map(|member| resident_mib(group.pid(*member))).collect();
    let mut left = true;
    for member in group.running() {
        left &= group.leave(member).await;
    }
    let verdict = judge(&client, TOPIC, &fates).await;
    let lag = client.admin().group_lag(GROUP, TOPIC).await.unwrap();
    let committed = lag.values().all(|partition| partition.lag == 0);
    let metrics = producer.metrics();

    tally.print();
    println!("\nharmed by the proxy: {:?}", rig.injected());
    let book = group.book();
    print_verdict(&verdict, &book);
    print_usage(usage, end, kept, &resident);
    println!("{metrics:?}");
    book.breaches.iter().for_each(|breach| println!("breach: {breach}"));
    let good = verdict.is_clean()
        && book.breaches.is_empty()
        && left
        && committed
        && (metrics.loss_suspected, metrics.buffered_bytes) == (0, 0);
    let word = if good { "passed" } else { "FAILED" };
    println!("\n{word}: --for {length:?} --seed {seed}, {} faults", tally.times());
    good
}

/// Fault after fault, each with a quiet spell behind it in which all must go on.
async fn go(
    rig: &mut Rig,
    load: &Load,
    group: &mut Group,
    mut plan: Plan,
    length: Duration,
    tally: &mut Tally,
) {
    let started = Instant::now();
    while started.elapsed() < length {
        let fault = plan.next();
        let _ = load.take_worst_gap();
        let at = started.elapsed().as_secs_f64();
        let Some(what) = rig.befall(fault, load, group).await else { continue };
        let over = Instant::now();
        let up = async {
            rig.cluster.wait_until_up().await;
            over.elapsed()
        };
        let again = async {
            load.goes_on_for_each_key(5).await;
            over.elapsed()
        };
        let (up, again) = tokio::join!(up, again);
        let again = again.saturating_sub(up);
        let gap = load.take_worst_gap();
        rig.is_whole().await;
        group.goes_on(50).await;
        println!("{at:>7.1} s  {} {what}; longest gap {gap:.2?}, acks again in {again:.2?}", fault.kind);
        tally.note(fault.kind, gap, again);
        lasts(fault.quiet).await;
    }
}
