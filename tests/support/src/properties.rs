//! What a node's `server.properties` says, and the options of its JVM.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What the cluster is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Small heaps, few threads, short times: up soon, and quick to notice what a test does to it.
    #[default]
    Test,
    /// Steady latencies: a touched heap of 1 GiB, G1 with short pauses, Kafka's own thread counts and times.
    Bench,
}

/// One node's place in its cluster.
#[derive(Debug)]
pub(crate) struct NodePlan<'a> {
    pub(crate) id: usize,
    pub(crate) port: u16,
    /// The listener whose advertised address is a proxy's.
    pub(crate) proxied: Option<(u16, &'a str)>,
    /// The controller port of every node, by node id from 1 on.
    pub(crate) controllers: &'a [u16],
    pub(crate) profile: Profile,
    pub(crate) data: &'a Path,
}

impl NodePlan<'_> {
    /// The text of `server.properties`; `overrides` prevail over everything.
    pub(crate) fn server_properties(&self, overrides: &[(String, String)]) -> String {
        let mut properties: BTreeMap<String, String> = BTreeMap::new();
        let mut set = |key: &str, value: String| {
            properties.insert(key.to_owned(), value);
        };
        let controller = self.controllers[self.id - 1];
        let voters = self.controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}"));
        let mut listeners =
            format!("PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{controller}", self.port);
        let mut advertised = format!("PLAINTEXT://127.0.0.1:{}", self.port);
        if let Some((port, address)) = self.proxied {
            let _ = write!(listeners, ",PROXIED://127.0.0.1:{port}");
            let _ = write!(advertised, ",PROXIED://{address}");
        }
        set("process.roles", "broker,controller".into());
        set("node.id", self.id.to_string());
        set("controller.quorum.voters", voters.collect::<Vec<_>>().join(","));
        set("controller.listener.names", "CONTROLLER".into());
        set("inter.broker.listener.name", "PLAINTEXT".into());
        set(
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT".into(),
        );
        set("listeners", listeners);
        set("advertised.listeners", advertised);
        set("log.dirs", self.data.display().to_string());

        let (replicas, min_isr) = if self.controllers.len() >= 3 { ("3", "2") } else { ("1", "1") };
        for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
            set(&format!("{topic}.replication.factor"), replicas.into());
            set(&format!("{topic}.num.partitions"), "4".into());
        }
        for topic in ["transaction.state.log", "share.coordinator.state.topic"] {
            set(&format!("{topic}.min.isr"), min_isr.into());
        }
        for (key, value) in ALWAYS {
            set(key, (*value).into());
        }
        if self.profile == Profile::Test {
            for (key, value) in TEST {
                set(key, (*value).into());
            }
            if self.controllers.len() > 1 {
                for (key, value) in TEST_REPLICATED {
                    set(key, (*value).into());
                }
            }
        }
        for (key, value) in overrides {
            set(key, value.clone());
        }
        properties.iter().fold(String::new(), |text, (key, value)| text + &format!("{key}={value}\n"))
    }

    /// The broker's JVM options.
    pub(crate) fn jvm_options(&self) -> Vec<String> {
        let options: &[&str] = match (self.profile, self.controllers.len()) {
            (Profile::Bench, 1) => {
                &["-Xms1g", "-Xmx1g", "-XX:+AlwaysPreTouch", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
            }
            (Profile::Bench, _) => {
                &["-Xms640m", "-Xmx640m", "-XX:+AlwaysPreTouch", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
            }
            (Profile::Test, 1) => &["-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
            (Profile::Test, _) => &["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
        };
        options.iter().map(|option| (*option).to_owned()).collect()
    }
}

/// For every cluster.
const ALWAYS: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "false"),
    ("group.initial.rebalance.delay.ms", "0"),
    // So that a group may be set to a heartbeat of 1 s and a session of 6 s, and to the contract's 3 s and 30 s.
    ("group.consumer.heartbeat.interval.ms", "1000"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.session.timeout.ms", "6000"),
    ("group.consumer.min.session.timeout.ms", "3000"),
    ("group.min.session.timeout.ms", "1000"),
];

/// For tests: segments roll and compact at once, little memory, few threads.
const TEST: &[(&str, &str)] = &[
    ("log.retention.check.interval.ms", "500"),
    ("log.initial.task.delay.ms", "500"),
    ("log.cleaner.backoff.ms", "200"),
    ("log.cleaner.dedupe.buffer.size", "4194304"),
    ("log.segment.delete.delay.ms", "1000"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
    ("background.threads", "2"),
];

/// For tests on several nodes: a dead one is noticed in seconds.
const TEST_REPLICATED: &[(&str, &str)] = &[
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("replica.lag.time.max.ms", "5000"),
];
