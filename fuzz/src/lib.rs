//! The fuzz targets by name: what each calls, and the memory that an input may take there.
//!
//! The bodies are plain functions of the library behind its feature `internals`. The binaries of `fuzz_targets` run them
//! under libFuzzer, and `tests/fuzz_replay.rs` includes this file to run them over the corpus on stable. Each of these
//! programs has the counting allocator below, which no other part of the project has.

use craftwire::internals;
use peak_alloc::PeakAlloc;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// One input at a time, since the allocator counts what all threads take; and the largest share of a bound so far.
static RUNNING: Mutex<f64> = Mutex::new(0.0);

/// A function that takes any bytes, and what it may allocate for them.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of the binary, and of the folder of its corpus.
    pub name: &'static str,
    check: fn(&[u8]),
    bytes_per_byte: usize,
    fixed_bytes: usize,
}

impl Target {
    /// A reader of bytes from the network: 64 bytes for each of the input and 64 KiB, and what is stated beside it.
    const fn reads(name: &'static str, check: fn(&[u8]), stated_bytes: usize) -> Self {
        Self { name, check, bytes_per_byte: 64, fixed_bytes: (64 << 10) + stated_bytes }
    }

    /// A machine whose operations the input is: the model beside it keeps a history, so this only finds what has no end.
    const fn operates(name: &'static str, check: fn(&[u8])) -> Self {
        Self { name, check, bytes_per_byte: 8 << 10, fixed_bytes: 4 << 20 }
    }

    /// What an input of so many bytes may allocate at most, counted from before it was looked at.
    pub fn bound_bytes(&self, input_bytes: usize) -> usize {
        self.bytes_per_byte * input_bytes + self.fixed_bytes
    }

    /// Runs the body. A new largest share of the bound is said on standard error.
    ///
    /// # Panics
    ///
    /// If a promise of the body is broken, or the bound exceeded.
    pub fn run(&self, data: &[u8]) {
        let mut largest = lock(&RUNNING);
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        (self.check)(data);
        let peak_bytes = MEMORY.peak_usage().saturating_sub(before);
        let bound_bytes = self.bound_bytes(data.len());
        let share = ratio(peak_bytes, bound_bytes);
        if share > *largest * 1.05 {
            *largest = share;
            let percent = share * 100.0;
            eprintln!("peak: {peak_bytes} bytes for {} of input, {percent:.0} % of the bound", data.len());
        }
        assert!(peak_bytes <= bound_bytes, "{peak_bytes} bytes for {} of input", data.len());
    }
}

/// All that is fuzzed.
pub const TARGETS: [Target; 9] = [
    FRAMES,
    RESPONSE,
    RECORD_BATCH,
    GROUP_METADATA,
    EVENT_JSON,
    SASL,
    PRODUCER_OPS,
    FETCH_SESSION_OPS,
    MEMBERSHIP_OPS,
];

/// A stream that is split into frames.
pub const FRAMES: Target = Target::reads("frames", internals::check_frames, 0);
/// Record batches of one partition. One may decompress to 1 MiB here: that is read from a window as large at most, beside
/// which `ruzstd` keeps up to 1.5 MiB (two blocks, a block's bytes, its literals, and twelve bytes for each of its sequences),
/// and then copied.
pub const RECORD_BATCH: Target = Target::reads("record_batch", internals::check_record_batch, 9 << 19);
/// Answers of every API in every version.
pub const RESPONSE: Target = Target::reads("response", internals::check_response, 0);
/// Answers of a group's coordinator, and what a member makes of them.
pub const GROUP_METADATA: Target =
    Target::reads("group_metadata", |data| internals::check_group_metadata(data, Instant::now()), 0);
/// A broker's side of an authentication.
pub const SASL: Target = Target::reads("sasl", internals::check_sasl, 0);
/// Events of both topics.
pub const EVENT_JSON: Target = Target::reads("event_json", internals::check_event_json, 0);
/// Partitions, lanes and idempotence of a producer.
pub const PRODUCER_OPS: Target =
    Target::operates("producer_ops", |data| internals::check_producer_ops(data, Instant::now()));
/// A fetch session.
pub const FETCH_SESSION_OPS: Target =
    Target::operates("fetch_session_ops", internals::check_fetch_session_ops);
/// A member of a group.
pub const MEMBERSHIP_OPS: Target =
    Target::operates("membership_ops", |data| internals::check_membership_ops(data, Instant::now()));

fn lock(running: &Mutex<f64>) -> MutexGuard<'_, f64> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(clippy::cast_precision_loss, reason = "a figure to be read")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
