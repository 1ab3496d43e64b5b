//! What the program is asked to do: its commands and options.

use clap::{Args, Parser, Subcommand, ValueEnum};
use craftwire::crafting::Topic;
use std::{path::PathBuf, time::Duration};

use crate::{perf::PerfArgs, span::parse_duration, start::Start};

/// Typed crafting events on Kafka.
#[derive(Debug, Parser)]
#[command(name = "craftwire", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// How long connecting may take, such as 10s or 500ms.
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) connect_timeout: Duration,
    /// Say on standard error what goes on underneath, not only what goes wrong.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulate players' sessions, read them in consumer groups, and show rates and latencies.
    Demo(DemoArgs),
    /// Create or compare the two topics and the groups' settings.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Publish events, one JSON object a line.
    Publish(PublishArgs),
    /// Print events, one JSON object a line.
    Tail(TailArgs),
    /// Measure the client by the command line that clients are compared by; prints one line of JSON.
    Perf(PerfArgs),
}

/// Where Kafka is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Brokers {
    /// Kafka's bootstrap servers: host:port, several with commas.
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS", value_name = "HOST:PORT,…")]
    pub(crate) brokers: String,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Kafka's bootstrap servers. Without them the demo runs on a mock inside the program, whatever
    /// KAFKA_BOOTSTRAP_SERVERS says.
    #[arg(long, value_name = "HOST:PORT,…")]
    pub(crate) brokers: Option<String>,
    /// How long players play, such as 10s or 2m.
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) length: Duration,
    /// How many sessions run at once and are watched: each sends 10 progress updates a second.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) sessions: u32,
    /// Run further sessions, which nobody watches, until so many session events flow a second.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) events_rate: Option<u32>,
    /// Use the real topics and groups and leave them, instead of ones of this run that are deleted at the end.
    #[arg(long)]
    pub(crate) shared: bool,
    /// Print JSON: an object a second, and the summary as the last one.
    #[arg(long)]
    pub(crate) json: bool,
    /// Judge latency, rate, loss, order and duplicates against the service levels; exit 5 if one is missed.
    #[arg(long)]
    pub(crate) assert_slo: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Create what is missing and report what differs; what exists is not changed.
    Ensure {
        #[command(flatten)]
        common: TopicsArgs,
        /// Replicas of new topics, instead of 3 (1 on a single broker).
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
        replication: Option<i16>,
    },
    /// Report what differs and change nothing.
    Describe {
        #[command(flatten)]
        common: TopicsArgs,
        /// The replicas to compare with, instead of 3 (1 on a single broker).
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
        replication: Option<i16>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TopicsArgs {
    #[command(flatten)]
    pub(crate) brokers: Brokers,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// The topic to publish on.
    pub(crate) topic: TopicName,
    /// A file of one JSON object a line; standard input without it or with "-".
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) brokers: Brokers,
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// The topic to read.
    pub(crate) topic: TopicName,
    /// Read as a member of this group and commit; otherwise all partitions are read and nothing is committed.
    #[arg(long, value_name = "G")]
    pub(crate) group: Option<String>,
    /// Where to start: earliest, latest, an offset or an RFC 3339 time. Default: latest; with --group, where the group
    /// left off, or earliest.
    #[arg(long, value_name = "WHERE")]
    pub(crate) from: Option<Start>,
    /// End after this many records.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) brokers: Brokers,
}

/// A topic, as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopicName {
    /// game.crafting.events
    Events,
    /// game.crafting.progress
    Progress,
}

impl From<TopicName> for Topic {
    fn from(name: TopicName) -> Self {
        match name {
            TopicName::Events => Self::Events,
            TopicName::Progress => Self::Progress,
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 Kafka cannot be reached or does not let us in,
4 partly failed (refused lines, topics that differ), 5 a service level was missed.
Data goes to standard output, everything else to standard error. NO_COLOR is honoured.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_demo_needs_no_flags() {
        let Command::Demo(demo) = Cli::try_parse_from(["craftwire", "demo"]).unwrap().command else {
            panic!("another command")
        };
        assert_eq!((demo.length, demo.sessions, demo.events_rate), (Duration::from_secs(10), 200, None));
        assert!(!demo.shared && !demo.json && !demo.assert_slo);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for wrong in [
            &["craftwire"][..],
            &["craftwire", "demo", "--sessions", "0"],
            &["craftwire", "demo", "--for", "soon"],
            &["craftwire", "tail", "events", "--brokers", "b:1", "--from", "yesterday"],
            &["craftwire", "tail", "sessions", "--brokers", "b:1"],
            &["craftwire", "topics", "ensure", "--brokers", "b:1", "--replication", "0"],
        ] {
            assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
