//! Both topics of the crafting domain against a real Kafka: how many events a second, how late, and at what cost.
//!
//! The method stands in `benches/README.md`; the figures that were recorded, in `benches/results/README.md`. Without a
//! Kafka (no JDK or Maven, and no `CRAFTWIRE_TEST_BOOTSTRAP`) it says so and ends well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench: what fails here ends it, its output is its purpose, and it measures real time"
)]

mod args;
mod kafka;
mod latency;
mod load;
mod parts;
mod report;
mod throughput;

use args::Args;
use kafka::Kafka;
use std::sync::Arc;

fn main() {
    let args = Args::read();
    let Some(kafka) = Kafka::find() else {
        println!("end_to_end: no Kafka to measure against, so nothing is measured");
        return;
    };
    println!("{}\n{}\n{args}\n", machine(), kafka.describe());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let kafka = Arc::new(kafka);
    runtime.block_on(async {
        if args.runs("throughput") {
            throughput::run(&kafka, &args).await;
        }
        if args.runs("latency") {
            latency::run(&kafka, &args).await;
        }
    });
}

/// What figures cannot be compared without.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    format!(
        "{cores} cores, {}, shared by client and broker; load {load} at the start; craftwire {}",
        model.map_or("unknown processor", |(_, name)| name),
        env!("CARGO_PKG_VERSION")
    )
}
