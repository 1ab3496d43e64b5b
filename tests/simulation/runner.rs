//! Runs seeds on all cores, and says of those that fail what went wrong and under which faults.

use crate::{
    schedule::{self, Fault},
    shrink::shrink,
    world::{self, Figures, Report},
};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// The seeds that the environment asks for, or the usual ones.
pub(crate) fn run_seeds() {
    if let Some(seed) = number("CRAFTWIRE_SEED") {
        let faults = schedule::draw(seed);
        let report = world::run(seed, &faults);
        println!("{}", told(seed, &faults, &report));
        if std::env::var_os("CRAFTWIRE_HISTORY").is_some() {
            println!("{}", in_full(&report));
        }
        if !report.violations.is_empty() {
            println!("{}", shrunk(seed, &report));
        }
        assert!(report.violations.is_empty(), "seed {seed} failed");
        return;
    }
    let seeds = number("CRAFTWIRE_SEEDS").unwrap_or(SEEDS);
    let first_only = number("CRAFTWIRE_FIRST_ONLY").is_some();
    let started = Instant::now();
    let (next, done) = (AtomicU64::new(0), Mutex::new((Figures::default(), Vec::new())));
    let running = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            workers.push(scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    running.lock().unwrap().insert(seed, Instant::now());
                    let report = world::run(seed, &schedule::draw(seed));
                    running.lock().unwrap().remove(&seed);
                    let mut done = done.lock().unwrap();
                    done.0.add(&report.figures);
                    if !report.violations.is_empty() {
                        done.1.push((seed, report));
                        if first_only {
                            // Those below it are under way already.
                            next.fetch_max(seeds, Relaxed);
                        }
                    }
                }
            }));
        }
        // A loop that never waits stops even virtual time.
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::park_timeout(Duration::from_millis(100));
            let running = running.lock().unwrap();
            if let Some((seed, _)) = running.iter().find(|(_, since)| since.elapsed() > STUCK) {
                println!("seed {seed} does not end: something in it never waits");
                std::process::exit(1);
            }
        }
    });
    let (figures, mut failed) = done.into_inner().unwrap();
    let took = started.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(seeds).unwrap()) / took;
    println!("{seeds} seeds in {took:.1} s, {rate:.1} a second: {figures:#?}");
    failed.sort_by_key(|(seed, _)| *seed);
    if first_only && let Some((seed, report)) = failed.first() {
        panic!("found by seed {seed}: {}", report.violations[0]);
    }
    for (seed, report) in failed.iter().take(TOLD) {
        println!("{}", shrunk(*seed, report));
    }
    let list: Vec<String> =
        failed.iter().map(|(seed, report)| format!("{seed} {:?}", report.violations[0].kind)).collect();
    assert!(failed.is_empty(), "{} of {seeds} seeds failed: {list:?}", failed.len());
}

/// The least that has to go wrong for a seed to break the same promise.
fn shrunk(seed: u64, report: &Report) -> String {
    let kind = report.violations[0].kind;
    let fails = |faults: &[Fault]| world::run(seed, faults).violations.iter().any(|found| found.kind == kind);
    let faults = shrink(&schedule::draw(seed), SHRINK_RUNS, fails);
    told(seed, &faults, &world::run(seed, &faults))
}

/// All that helps to understand a run.
fn told(seed: u64, faults: &[Fault], report: &Report) -> String {
    let mut told =
        format!("seed {seed}: {} violations; replay with CRAFTWIRE_SEED={seed}\n", report.violations.len());
    for violation in report.violations.iter().take(12) {
        told += &format!("  {violation}\n");
    }
    for fault in faults {
        told += &format!("    {fault}\n");
    }
    for sent in report.last.iter().rev().take(8).rev() {
        told += &format!("      {sent}\n");
    }
    told + &format!("  {:?}", report.figures)
}

/// What every reader saw, and what the log holds, line by line.
fn in_full(report: &Report) -> String {
    let mut told = String::new();
    for (at_ms, line) in &report.history.lines {
        told += &format!("{at_ms:>6} ms  {line:?}\n");
    }
    for (place, log) in &report.history.log {
        for record in log {
            told += &format!("{place:?} {record:?}\n");
        }
    }
    told
}

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap())
}

/// Of the machine's time; a seed takes a fraction of a second of one core.
const STUCK: Duration = Duration::from_secs(180);
/// Failing seeds that are shrunk and told.
const TOLD: usize = 3;
/// Runs that shrinking one may take.
const SHRINK_RUNS: u32 = 150;
/// As many as fit into a minute of `cargo test` on two cores.
const SEEDS: u64 = 500;
