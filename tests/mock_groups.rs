//! The mock's groups, as clients and tools that are not ours meet them: kcat (librdkafka) and Kafka's own, by TCP.
#![cfg(feature = "mock")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

use craftwire::mock::{Api, MockCluster};
use craftwire_test_support::{ConsumeSpec, Java, Version, eventually, require_kafka};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// A member of a classic group that prints "partition value" a line.
struct Kcat {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Kcat {
    /// `None` where kcat is not installed.
    fn start(bootstrap: &str, group: &str, topic: &str) -> Option<Self> {
        let settings = ["auto.offset.reset=earliest", "heartbeat.interval.ms=200"];
        let mut command = Command::new("kcat");
        command.args(["-b", bootstrap, "-u", "-f", "%p %s\n"]);
        command.args(settings.iter().flat_map(|setting| ["-X", *setting]));
        command.args(["-G", group, topic]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        match command.spawn() {
            Ok(mut child) => {
                let lines = BufReader::new(child.stdout.take().unwrap()).lines();
                Some(Self { child, lines })
            }
            Err(error) => {
                eprintln!("skipped: `kcat` does not run ({error}); install it");
                None
            }
        }
    }

    async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time").unwrap();
            lines.push(line.expect("kcat goes on"));
        }
        lines.sort();
        lines
    }

    /// Ends it as a user does: it commits and leaves.
    async fn end(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
    }
}

/// How many partitions each member has.
fn shares(mock: &MockCluster, group: &str) -> Vec<usize> {
    mock.assignments(group).values().map(Vec::len).collect()
}

async fn shared(mock: &MockCluster, what: &str, expected: &[usize]) {
    eventually(what, PATIENCE, async || (shares(mock, "g") == expected).then_some(())).await;
}

fn append(mock: &MockCluster, value: &str) {
    for partition in 0..PARTITIONS {
        mock.append("t", partition, None, Some(value.as_bytes())).unwrap();
    }
}

fn committed(mock: &MockCluster, group: &str) -> Vec<Option<i64>> {
    (0..PARTITIONS).map(|partition| mock.committed(group, "t", partition)).collect()
}

#[tokio::test]
async fn two_kcats_share_a_topic_and_one_takes_over_from_the_other() {
    let mock = MockCluster::builder()
        .topic("t", PARTITIONS)
        .initial_rebalance_delay(Duration::ZERO)
        .start()
        .unwrap();
    let Some(mut one) = Kcat::start(&mock.bootstrap(), "g", "t") else { return };
    shared(&mock, "the first has all", &[4]).await;
    let Some(mut two) = Kcat::start(&mock.bootstrap(), "g", "t") else { return };
    shared(&mock, "both have a half", &[2, 2]).await;

    append(&mock, "a");
    let (mut seen, of_two) = (one.lines(2).await, two.lines(2).await);
    seen.extend(of_two);
    seen.sort();
    assert_eq!(seen, ["0 a", "1 a", "2 a", "3 a"]);

    one.end().await;
    shared(&mock, "the second has all", &[4]).await;
    append(&mock, "b");
    assert_eq!(two.lines(4).await, ["0 b", "1 b", "2 b", "3 b"], "nothing is read again");
    two.end().await;
    assert!(shares(&mock, "g").is_empty());
    assert_eq!(committed(&mock, "g"), [Some(2); 4]);
    assert_eq!(mock.request_count(Api::LeaveGroup), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_java_consumer_reads_in_a_group_of_either_protocol_and_javas_tool_shows_it() {
    require_kafka!();
    let mock = MockCluster::builder()
        .topic("t", PARTITIONS)
        .initial_rebalance_delay(Duration::ZERO)
        .start()
        .unwrap();
    append(&mock, "a");
    let java = Java::new(mock.bootstrap(), Version::default());
    for protocol in ["classic", "consumer"] {
        let spec = ConsumeSpec {
            max_messages: 4,
            group: Some(protocol.to_owned()),
            consumer_properties: vec![format!("group.protocol={protocol}")],
            ..ConsumeSpec::default()
        };
        let lines = java.console_consumer("t", &spec).await;
        assert_eq!(lines, ["a"; 4], "{protocol}");
        assert_eq!(committed(&mock, protocol), [Some(1); 4], "{protocol}");
        assert!(shares(&mock, protocol).is_empty(), "{protocol}");
    }
    assert!(mock.request_count(Api::JoinGroup) >= 2 && mock.request_count(Api::ConsumerGroupHeartbeat) >= 2);

    let listed = java.consumer_groups(&["--list", "--state"]).await.expect_success();
    let states: BTreeMap<&str, &str> =
        listed.lines().filter_map(|line| line.trim().split_once(' ')).collect();
    for group in ["classic", "consumer"] {
        assert_eq!(states[group].trim(), "Empty", "{listed}");
    }
    for group in ["classic", "consumer"] {
        let shown = java.consumer_groups(&["--describe", "--group", group]).await.expect_success();
        let of_topic: Vec<&str> = shown.lines().filter(|line| line.contains(" t ")).collect();
        assert_eq!(of_topic.len(), 4, "{shown}");
    }
}

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(30);
