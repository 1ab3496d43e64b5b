//! What the command line says, after `cargo bench --bench end_to_end --`.

use std::{fmt, time::Duration};

/// How long and how often; unknown arguments are passed over, for Cargo adds some of its own.
#[derive(Debug, Clone)]
pub(crate) struct Args {
    /// The measured time of one run, of throughput and of latency.
    pub(crate) throughput: Duration,
    pub(crate) latency: Duration,
    /// Before each measured time of latency.
    pub(crate) warm_up: Duration,
    pub(crate) rounds: usize,
    /// Whether a round that does not count goes first, to warm the broker.
    pub(crate) warm_round: bool,
    /// Consumers in each group.
    pub(crate) members: usize,
    pub(crate) only: Option<String>,
}

impl Args {
    /// Reads the process's arguments.
    pub(crate) fn read() -> Self {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| given.iter().any(|arg| arg == flag);
        let value = |flag: &str| {
            let at = given.iter().position(|arg| arg == flag)?;
            given.get(at + 1).cloned()
        };
        let number = |flag: &str| value(flag).and_then(|value| value.parse::<usize>().ok());
        // Cargo says `--bench` for `cargo bench` only; `cargo test --benches` wants to know whether it runs.
        let mut args =
            if has("--quick") || has("--test") || !has("--bench") { Self::quick() } else { Self::default() };
        if let Some(secs) = number("--secs").and_then(|secs| u64::try_from(secs).ok()) {
            args.latency = Duration::from_secs(secs.max(1));
            args.throughput = args.throughput.min(args.latency);
        }
        args.rounds = number("--rounds").unwrap_or(args.rounds).max(1);
        args.members = number("--members").unwrap_or(args.members).clamp(1, 16);
        args.only = value("--only");
        args
    }

    /// Whether a part is to run.
    pub(crate) fn runs(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }

    fn quick() -> Self {
        Self {
            throughput: Duration::from_millis(300),
            latency: Duration::from_secs(1),
            warm_up: Duration::from_secs(1),
            rounds: 1,
            warm_round: false,
            ..Self::default()
        }
    }
}

impl Default for Args {
    fn default() -> Self {
        Self {
            throughput: Duration::from_millis(1_500),
            latency: Duration::from_secs(8),
            warm_up: Duration::from_secs(3),
            rounds: 3,
            warm_round: true,
            members: 1,
            only: None,
        }
    }
}

impl fmt::Display for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { throughput, latency, warm_up, rounds, members, .. } = self;
        write!(
            f,
            "{rounds} rounds; throughput {throughput:?} a run; latency {latency:?} after {warm_up:?}; consumers in a group: {members}"
        )
    }
}
