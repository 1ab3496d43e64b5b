//! The whole client in a simulated world: its machines and its tasks, against the mock, over a network and under a clock
//! that are simulated. One seed is one run, to the byte.
//!
//! `CRAFTWIRE_SEEDS=10000 cargo test --release --test simulation` runs more seeds than the usual 500;
//! `CRAFTWIRE_SEED=7 cargo test --test simulation -- --nocapture` runs one, and prints what happened in it;
//! with `CRAFTWIRE_HISTORY=1` besides, also what every reader saw, and the log.
//! `CRAFTWIRE_FIRST_ONLY=1` stops at the first seed that fails, for bugs that are there on purpose (tests/mutations).

#![cfg(feature = "mock")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // the helpers of tests are tests too
#![allow(clippy::disallowed_methods, reason = "virtual time is read where it is made")]

mod checker;
mod epochs;
mod history;
mod inject;
mod members;
mod memory;
mod named;
mod network;
mod pipe;
mod producers;
mod random;
mod reader;
mod runner;
mod schedule;
mod settings;
mod shrink;
mod strangers;
mod trace;
mod world;

#[test]
fn every_promise_is_kept_whatever_goes_wrong() {
    runner::run_seeds();
}

#[test]
fn one_seed_is_one_run() {
    for seed in [1, 2, 3, 4, 5] {
        let faults = schedule::draw(seed);
        let (one, two) = (world::run(seed, &faults), world::run(seed, &faults));
        let parted = one.writes.iter().zip(&two.writes).position(|(one, two)| one != two);
        let around = |writes: &[trace::Write]| {
            let at = parted.unwrap_or(0);
            writes[at.saturating_sub(3)..writes.len().min(at + 3)].to_vec()
        };
        let (left, right) = (around(&one.writes), around(&two.writes));
        assert_eq!(one.hash, two.hash, "seed {seed} is two runs: {left:#?} and {right:#?}");
        assert!(one.figures.frames > 100, "seed {seed}: {:?}", one.figures);
    }
}
