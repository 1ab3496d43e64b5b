//! What `perf` is asked to measure: the command line by which clients are compared.

use clap::{Args, Subcommand, ValueEnum};
use craftwire::{Compression, producer::Profile};
use std::{path::PathBuf, time::Duration};

use crate::args::Brokers;

#[derive(Debug, Args)]
pub(crate) struct PerfArgs {
    #[command(subcommand)]
    pub(crate) mode: Mode,
    #[command(flatten)]
    pub(crate) shared: Shared,
}

impl PerfArgs {
    /// At a rate, one thread costs a third less; without pause, two are faster.
    pub(crate) fn threads(&self) -> usize {
        let best = if matches!(self.mode, Mode::Latency(_)) { 0 } else { 2 };
        self.shared.threads.unwrap_or(best)
    }
}

/// What may stand before the mode or behind it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Shared {
    /// Worker threads of the runtime; 0 runs everything on one thread. Default: 0 for latency, else 2.
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Crafting events instead of raw payloads: encoded with their headers, or parsed.
    #[arg(long, global = true)]
    pub(crate) typed: bool,
    /// The producer's profile. Default: throughput for produce; for latency realtime with lz4, else durable.
    #[arg(long, global = true, value_name = "PROFILE")]
    pub(crate) profile: Option<ProfileName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mode {
    /// Publish without pause, every record acknowledged.
    Produce(ProduceArgs),
    /// Publish at a rate, and measure from when each record is due until a consumer has it.
    Latency(LatencyArgs),
    /// Read what is there.
    Consume(ConsumeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// How many records are timed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// How many go before them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) warmup: u64,
}

#[derive(Debug, Args)]
pub(crate) struct LatencyArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Records a second.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: u64,
    /// How long is measured.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=150))]
    pub(crate) secs: u64,
    /// How long goes before it.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=150))]
    pub(crate) warmup_secs: u64,
    /// The consumer's group.
    #[arg(long, value_name = "G")]
    pub(crate) group: String,
}

#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many records are read, from the earliest on.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// The consumer's group.
    #[arg(long, value_name = "G")]
    pub(crate) group: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    #[command(flatten)]
    pub(crate) brokers: Brokers,
    /// The topic, which must exist.
    #[arg(long, value_name = "T")]
    pub(crate) topic: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
    /// A file of values, one a line; each holds "session_id", which is the key.
    #[arg(long, value_name = "FILE")]
    pub(crate) payloads: PathBuf,
    /// The codec of the batches.
    #[arg(long, value_name = "CODEC")]
    pub(crate) compression: Compression,
    /// The least time between two requests to a broker, in milliseconds; 0 sends at once. Default: the profile's.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub(crate) linger_ms: Option<u64>,
    /// The most bytes of a batch, before compression. Default: the profile's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch_bytes: Option<u32>,
}

impl LoadArgs {
    pub(crate) fn gap(&self) -> Option<Duration> {
        self.linger_ms.map(Duration::from_millis)
    }
}

/// A producer's profile, as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileName {
    /// Events that matter one by one.
    Durable,
    /// Small updates whose age counts.
    Realtime,
    /// Loads of data whose rate counts.
    Throughput,
}

impl ProfileName {
    /// What suits paced traffic of that codec: the contract compresses progress with LZ4, events with snappy.
    pub(crate) fn paced(compression: Compression) -> Self {
        if compression == Compression::Lz4 { Self::Realtime } else { Self::Durable }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Realtime => "realtime",
            Self::Throughput => "throughput",
        }
    }
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Durable => Self::Durable,
            ProfileName::Realtime => Self::Realtime,
            ProfileName::Throughput => Self::Throughput,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn parse(line: &str) -> PerfArgs {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Perf(perf) = cli.command else { panic!("another command") };
        perf
    }

    #[test]
    fn the_contract_of_the_comparison_is_understood() {
        let perf = parse(
            "craftwire perf produce --brokers b:1 --topic t --count 5 --payloads f --compression snappy \
             --linger-ms 5 --warmup 2",
        );
        let Mode::Produce(produce) = perf.mode else { panic!("another mode") };
        assert_eq!((produce.count, produce.warmup), (5, 2));
        assert_eq!(produce.load.gap(), Some(Duration::from_millis(5)));
        parse("craftwire perf consume --brokers b:1 --topic t --count 5 --group g");
        parse(
            "craftwire perf latency --brokers b:1 --topic t --rate 5000 --secs 20 --warmup-secs 5 --payloads f \
             --compression lz4 --linger-ms 0 --group g",
        );
    }

    #[test]
    fn what_is_shared_stands_before_the_mode_or_behind_it() {
        let rest = "consume --brokers b:1 --topic t --count 5 --group g";
        let before = parse(&format!("craftwire perf --typed --threads 0 {rest}"));
        let behind = parse(&format!("craftwire perf {rest} --typed --threads 0"));
        for perf in [before, behind] {
            assert!(perf.shared.typed && perf.threads() == 0);
        }
    }
}
