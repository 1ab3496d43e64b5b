//! The broker that is measured against: one that the test support starts, or the one that `CRAFTWIRE_TEST_BOOTSTRAP`
//! names. And the processor time of both sides.

use craftwire_test_support::{KafkaCluster, Profile, shared_skipped};
use std::time::Duration;

/// A broker that runs.
pub(crate) enum Kafka {
    /// Ended with this process.
    Ours(KafkaCluster),
    /// Somebody's, by its bootstrap list.
    Named(String),
}

impl Kafka {
    /// `None`, and the reason on stderr, where there is none to be had.
    pub(crate) fn find() -> Option<Self> {
        if shared_skipped() {
            return None;
        }
        match std::env::var("CRAFTWIRE_TEST_BOOTSTRAP") {
            Ok(bootstrap) if !bootstrap.is_empty() => Some(Self::Named(bootstrap)),
            _ => {
                let cluster = KafkaCluster::builder().profile(Profile::Bench).start_blocking();
                Some(Self::Ours(cluster.unwrap_or_else(|error| panic!("Kafka did not start: {error}"))))
            }
        }
    }

    pub(crate) fn bootstrap(&self) -> String {
        match self {
            Self::Ours(cluster) => cluster.bootstrap(),
            Self::Named(bootstrap) => bootstrap.clone(),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Ours(cluster) => format!(
                "Apache Kafka {}, one node, heap 1 GiB, G1 (the test support's bench profile)",
                cluster.version().as_str()
            ),
            Self::Named(bootstrap) => format!("the Kafka at {bootstrap}"),
        }
    }

    /// What both sides have used up to now.
    pub(crate) fn usage(&self) -> Usage {
        let broker = match self {
            Self::Ours(cluster) => Some(cluster.cpu_times().total()),
            Self::Named(_) => None,
        };
        Usage { client: own_cpu_time(), broker }
    }
}

/// Processor time, user and system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) client: Duration,
    /// `None` where the broker is not ours to look at.
    pub(crate) broker: Option<Duration>,
}

impl Usage {
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            client: self.client.saturating_sub(earlier.client),
            broker: self.broker.zip(earlier.broker).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// This process's time as the kernel counts it, in ticks of 10 ms; zero where there is no `/proc`.
fn own_cpu_time() -> Duration {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return Duration::ZERO };
    // The second field is the program's name in brackets, and may hold spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    TICK * ticks
}

const TICK: Duration = Duration::from_millis(10);
