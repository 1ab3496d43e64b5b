//! Partitions and lanes against brokers that append, lose, refuse and answer at random, in virtual time.
//!
//! A run is one of the fuzz target `producer_ops`, with bytes from a generator in place of a fuzzer's: what the brokers do
//! and what must hold is said there. Here stands how often each thing happens, and that the runs get everywhere.

use super::*;
use crate::{
    backoff::SplitMix,
    producer::fuzz::{Settings, Totals, check_producer_run},
};
use std::ops::AddAssign;

#[test]
fn nothing_acked_is_lost_doubled_or_out_of_order() {
    let runs = std::env::var("CRAFTWIRE_SEEDS").ok().map_or(RUNS, |seeds| seeds.parse().unwrap());
    let mut totals = Totals::default();
    for seed in 0..runs {
        let _named = Named(seed);
        totals += run(seed);
    }
    // The runs are worth something only if they get everywhere.
    println!("{totals:?}");
    assert!(totals.acked > 10 * runs && totals.not_sent > runs && totals.unknown > runs, "{totals:?}");
    assert!(totals.bumps > runs / 4 && totals.duplicates > runs && totals.resends > runs, "{totals:?}");
    assert!(totals.cuts > runs / 40, "{totals:?}");
}

const RUNS: u64 = 400;
const STEPS: u32 = 600;

fn run(seed: u64) -> Totals {
    let mut random = SplitMix(seed.wrapping_mul(0x1234_5678_9abc_def1) ^ 0x5555);
    let delivery_timeout = MS * [200, 500, 1_000, 5_000][usize::from(below(&mut random, 4))];
    // Of a hundred batches, so many meet trouble at the broker, before and after the append each.
    let trouble = [2, 10, 25][usize::try_from(seed % 7).unwrap() % 3];
    // A third of the runs are near the end of all numbers.
    let shape = below(&mut random, 128) << 1 | u8::from(seed.is_multiple_of(3));
    let mut bytes = vec![shape];
    for _ in 0..STEPS {
        push_operation(&mut bytes, &mut random, trouble);
    }
    check_producer_run(
        &bytes,
        start(),
        Settings { delivery_timeout, reader: |request| drop(batches_of(request)) },
    )
}

/// An operation as `producer_ops` reads it, and what it reads with it.
fn push_operation(bytes: &mut Vec<u8>, random: &mut SplitMix, trouble: u8) {
    let about = below(random, 3) << 5;
    let percent = below(random, 100);
    let operation = match percent {
        0..25 => 0,   // append
        25..60 => 8,  // process
        60..75 => 15, // deliver
        75..85 => 19, // time passes
        85..88 => 21, // disconnect
        88..90 => 22, // another leader
        90..95 => 23, // route
        95..97 => 25, // what was left in a connection that ended
        97 => 26,     // overdue
        98 => 27,     // another producer id
        _ => 28,      // connect
    };
    bytes.push(about | operation);
    match operation {
        0 => bytes.push(below(random, 175)),
        // The broker hangs.
        8 if below(random, 100) < 3 => bytes.push(0xf0),
        // A fate for each partition.
        8 => {
            bytes.push(0xd0);
            bytes.extend([0; 3].map(|_| fate(random, trouble)));
        }
        19 => bytes.push(below(random, 60)),
        21 | 22 => bytes.push(below(random, 255)),
        // A fifth without a leader.
        23 => bytes.push(if below(random, 100) < 20 { 0 } else { 0xff }),
        // Now, and not seconds later.
        26 => bytes.push(0),
        _ => {}
    }
}

fn fate(random: &mut SplitMix, trouble: u8) -> u8 {
    if below(random, 100) < trouble {
        // Nothing is written; some of the codes say so, the others leave it open.
        0x80 + below(random, 0x20)
    } else if below(random, 100) < trouble {
        // It is written, and may or may not stay, or where it is remains unsaid.
        0xa0 + below(random, 0x2c)
    } else {
        0
    }
}

fn below(random: &mut SplitMix, bound: u8) -> u8 {
    u8::try_from(random.next() % u64::from(bound)).unwrap()
}

impl AddAssign for Totals {
    fn add_assign(&mut self, run: Self) {
        self.acked += run.acked;
        self.not_sent += run.not_sent;
        self.unknown += run.unknown;
        self.bumps += run.bumps;
        self.duplicates += run.duplicates;
        self.resends += run.resends;
        self.cuts += run.cuts;
    }
}

/// Says which seed it was when a run fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}
