//! The program as its users meet it: arguments in; data, messages and an exit code out.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test")]

use craftwire::mock::MockCluster;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Output, Stdio},
};

const SESSION: &str = "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12";

fn craftwire(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_craftwire"));
    command.args(args).env_remove("KAFKA_BOOTSTRAP_SERVERS").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    craftwire(args).output().unwrap()
}

fn run_with_input(args: &[&str], input: &[u8]) -> Output {
    let mut child =
        craftwire(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn exit(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn pause(event_id: u32) -> Value {
    json!({
        "event_id": format!("00000000-0000-4000-8000-{event_id:012}"),
        "event_type": "crafting.session.pause",
        "timestamp": "2026-01-15T09:30:00Z",
        "version": "1.0.0",
        "source": "crafting.network",
        "data": { "session_id": SESSION, "pause_reason": "player_afk", "of_the_future": [1, 2.50] },
    })
}

/// A mock with both topics, served by a runtime of its own.
struct Kafka {
    mock: MockCluster,
    bootstrap: String,
    _runtime: tokio::runtime::Runtime,
}

impl Kafka {
    /// Without topics.
    fn bare() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mock = runtime.block_on(async { MockCluster::builder().start().unwrap() });
        Self { bootstrap: mock.bootstrap(), mock, _runtime: runtime }
    }

    fn start() -> Self {
        let kafka = Self::bare();
        assert_eq!(exit(&run(&["topics", "ensure", "--brokers", &kafka.bootstrap])), 0);
        kafka
    }

    fn values(&self, topic: &str, partitions: i32) -> Vec<Vec<u8>> {
        (0..partitions)
            .flat_map(|partition| self.mock.records(topic, partition))
            .filter_map(|record| record.value.map(|value| value.to_vec()))
            .collect()
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for wrong in [
        &[][..],
        &["dance"],
        &["tail", "events", "--from", "yesterday", "--brokers", "127.0.0.1:1"],
        &["tail", "events"],
        &["topics", "describe", "--brokers", "no-port"],
        &["demo", "--shared"],
        &["demo", "--for", "2s", "--assert-slo"],
    ] {
        let output = run(wrong);
        assert_eq!(exit(&output), 2, "{wrong:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
    assert_eq!(exit(&run(&["--help"])), 0);
    assert!(
        text(&run(&["tail", "--help"]).stdout)
            .contains("Default: latest; with --group, where the group left off")
    );
}

#[test]
fn an_unreachable_broker_ends_with_3_and_says_what_to_do() {
    for command in [&["topics", "describe"][..], &["publish", "events"], &["tail", "events"], &["demo"]] {
        let rest = ["--brokers", "127.0.0.1:1", "--connect-timeout", "300ms"];
        let output = run(&[command, &rest].concat());
        let stderr = text(&output.stderr);
        assert_eq!(exit(&output), 3, "{command:?}: {stderr}");
        assert!(
            stderr.starts_with("error: connecting: none of the bootstrap servers 127.0.0.1:1 "),
            "{stderr}"
        );
        assert!(
            stderr.contains(": caused by ") && stderr.contains("Check that Kafka runs there"),
            "{stderr}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn topics_are_made_once_and_drift_ends_with_4() {
    let kafka = Kafka::start();
    let brokers = ["--brokers", &kafka.bootstrap];
    let again = run(&[&["topics", "ensure"], &brokers[..]].concat());
    assert_eq!(exit(&again), 0);
    assert!(text(&again.stdout).contains("game.crafting.events        unchanged          16            1"));
}

#[test]
fn topics_that_differ_end_with_4_and_are_left_alone() {
    let kafka = Kafka::bare();
    kafka.mock.create_topic("game.crafting.progress", 3).unwrap();
    let brokers = ["--brokers", &kafka.bootstrap];
    let missing = run(&[&["topics", "describe"], &brokers[..]].concat());
    assert_eq!(exit(&missing), 4);
    assert!(
        text(&missing.stdout).contains("game.crafting.events        missing"),
        "{}",
        text(&missing.stdout)
    );

    let table = run(&[&["topics", "ensure"], &brokers[..]].concat());
    assert_eq!(exit(&table), 4);
    assert!(text(&table.stdout).contains("\n  partitions: want 24, have 3\n"), "{}", text(&table.stdout));

    let output = run(&[&["topics", "describe", "--json"], &brokers[..]].concat());
    assert_eq!(exit(&output), 4);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["topics"][0]["outcome"], "unchanged");
    assert_eq!(found["topics"][1]["outcome"], "drift");
    let drift = found["topics"][1]["drift"].as_array().unwrap();
    assert!(drift.contains(&json!({ "key": "partitions", "want": "24", "have": "3" })));
}

#[test]
fn what_is_published_is_tailed_byte_for_byte_with_its_place() {
    let kafka = Kafka::start();
    let brokers = ["--brokers", &kafka.bootstrap];
    let line = pause(1).to_string().replace("2.5", "2.50");
    // No end of line at the end of the file, and a type that this version does not know.
    let unknown = pause(2).to_string().replace("session.pause", "session.inspect");
    let input = format!("\n{line}\r\n   \n{unknown}");
    let published = run_with_input(&[&["publish", "events"], &brokers[..]].concat(), input.as_bytes());
    assert_eq!(exit(&published), 0, "{}", text(&published.stderr));
    assert_eq!(text(&published.stderr), "published 2, refused 0, failed 0\n");
    assert!(published.stdout.is_empty());
    assert_eq!(kafka.values("game.crafting.events", 16), [line.as_bytes(), unknown.as_bytes()]);

    let tail = ["tail", "events", "--from", "earliest", "--count", "2"];
    let tailed = run(&[&tail, &brokers[..]].concat());
    assert_eq!(exit(&tailed), 0, "{}", text(&tailed.stderr));
    let lines: Vec<&str> = text(&tailed.stdout).lines().collect();
    assert!(lines[0].starts_with(line.strip_suffix('}').unwrap()), "{}", lines[0]);
    for (offset, line) in lines.iter().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["_kafka"]["topic"], "game.crafting.events");
        assert_eq!(event["_kafka"]["offset"], offset);
        assert!(event["_kafka"]["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    }

    let from_offset = run(&[&["tail", "events", "--from", "1", "--count", "1"], &brokers[..]].concat());
    assert_eq!(text(&from_offset.stdout).lines().collect::<Vec<_>>(), lines[1..]);
}

#[test]
fn a_group_goes_on_where_it_left_off() {
    let kafka = Kafka::start();
    let brokers = ["--brokers", &kafka.bootstrap];
    let input: String = (1..=3).map(|id| format!("{}\n", pause(id))).collect();
    let published = run_with_input(&[&["publish", "events", "-"], &brokers[..]].concat(), input.as_bytes());
    assert_eq!(exit(&published), 0);
    let tail = |count| {
        let output =
            run(&[&["tail", "events", "--group", "readers", "--count", count], &brokers[..]].concat());
        assert_eq!(exit(&output), 0, "{}", text(&output.stderr));
        let offset = |line: &str| serde_json::from_str::<Value>(line).unwrap()["_kafka"]["offset"].clone();
        text(&output.stdout).lines().map(offset).collect::<Vec<_>>()
    };
    assert_eq!(tail("2"), [0, 1]);
    assert_eq!(tail("1"), [2]);
}

#[test]
fn refused_lines_are_told_by_number_path_rule_and_value() {
    let kafka = Kafka::start();
    let late = json!({ "data": {} });
    let mut wrong = pause(2);
    wrong["data"]["pause_reason"] = "bored".into();
    let mut input = format!("{}\n{wrong}\n\nnot json\n{late}\n", pause(1)).into_bytes();
    input.extend_from_slice(b"{\"event_id\": \"\xff\"}\n");
    input.extend_from_slice(format!("{{\"x\": \"{}\"}}\n", "y".repeat(600_000)).as_bytes());
    let output = run_with_input(&["publish", "events", "--brokers", &kafka.bootstrap], &input);
    let stderr = text(&output.stderr);
    assert_eq!(exit(&output), 4, "{stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines[0].starts_with("line 2: data.pause_reason: must be one of player_afk, "), "{stderr}");
    assert!(lines[0].ends_with(": \"bored\""), "{stderr}");
    assert!(lines[1].starts_with("line 4: $: must be JSON"), "{stderr}");
    assert_eq!(lines[2], "line 5: event_id: is required: absent");
    assert!(lines[3].starts_with("line 6: $: must be UTF-8, and is not at byte 14: "), "{stderr}");
    assert!(
        lines[4].starts_with("line 7: $: must fit the largest message of game.crafting.events"),
        "{stderr}"
    );
    assert_eq!(lines[5..], ["published 1, refused 5, failed 0"]);
    assert_eq!(kafka.values("game.crafting.events", 16).len(), 1);
}

#[test]
fn what_is_no_event_is_shown_as_it_is() {
    let kafka = Kafka::start();
    kafka.mock.append("game.crafting.progress", 7, None, Some(b"{\"event_id\": 7}\n\xff")).unwrap();
    let output =
        run(&["tail", "progress", "--from", "earliest", "--count", "1", "--brokers", &kafka.bootstrap]);
    assert_eq!(exit(&output), 0, "{}", text(&output.stderr));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["_malformed"]["path"], "$");
    assert_eq!(line["_raw"], "{\"event_id\": 7}\n\u{fffd}");
    assert_eq!((&line["_kafka"]["partition"], &line["_kafka"]["offset"]), (&json!(7), &json!(0)));
}

#[test]
fn a_file_that_is_not_there_ends_with_1() {
    let output = run(&["publish", "events", "no/such/file", "--brokers", "127.0.0.1:1"]);
    assert_eq!(exit(&output), 1);
    assert!(text(&output.stderr).starts_with("error: opening no/such/file: "));
}

#[test]
fn a_reader_that_stops_reading_ends_tail_quietly() {
    let kafka = Kafka::start();
    let mut child = craftwire(&["tail", "events", "--from", "earliest", "--brokers", &kafka.bootstrap])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let publish = |id| {
        let line = pause(id).to_string();
        assert_eq!(
            exit(&run_with_input(&["publish", "events", "--brokers", &kafka.bootstrap], line.as_bytes())),
            0
        );
    };
    publish(1);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    drop(out);
    publish(2);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((exit(&ended), text(&ended.stderr)), (0, ""));
}

#[test]
fn the_demo_on_the_mock_balances_its_books() {
    let output = run(&["demo", "--for", "2s", "--sessions", "20", "--json"]);
    let stderr = text(&output.stderr);
    assert_eq!(exit(&output), 0, "{stderr}\n{}", text(&output.stdout));
    assert!(stderr.contains("mock") && stderr.contains("kcat -b 127.0.0.1:"), "{stderr}");
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, seconds) = lines.split_last().unwrap();
    assert!(!seconds.is_empty() && seconds.iter().all(|second| second["kind"] == "second"));
    assert_eq!((&summary["kind"], &summary["ok"]), (&json!("summary"), &json!(true)));
    for topic in ["events", "progress"] {
        let topic = &summary["topics"][topic];
        assert!(topic["published"].as_u64().unwrap() >= 20);
        assert_eq!(topic["published"], topic["received"]);
        assert_eq!([&topic["lost"], &topic["duplicates"], &topic["out_of_order"]], [&json!(0); 3]);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_demo_with_its_summary() {
    let mut child = craftwire(&["demo", "--for", "1h", "--sessions", "20"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first_second = String::new();
    out.read_line(&mut first_second).unwrap();
    interrupt(&child);
    let summary: Vec<String> = out.lines().map(Result::unwrap).collect();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(exit(&ended), 0, "{}", text(&ended.stderr));
    assert!(summary.iter().any(|line| line.starts_with("ok      progress: published")), "{summary:?}");
}

#[test]
fn perf_follows_the_contract_of_the_comparison() {
    let kafka = Kafka::start();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-perf-payloads.jsonl");
    let lines: Vec<String> =
        (0..5).map(|id| pause(id).to_string().replacen('{', r#"{"t":"0000000000000000000","#, 1)).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let topic = ["--brokers", &kafka.bootstrap, "--topic", "game.crafting.events"];
    let load = ["--payloads", file.to_str().unwrap(), "--compression", "snappy", "--linger-ms", "1"];
    let perf = |before: &[&str], mode: &str, rest: &[&str]| {
        let output = run(&[&["perf"], before, &[mode], &topic[..], rest].concat());
        assert_eq!(exit(&output), 0, "{mode}: {}", text(&output.stderr));
        let lines: Vec<&str> = text(&output.stdout).lines().collect();
        let [line] = lines[..] else { panic!("one line: {lines:?}") };
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["mode"], &line["errors"]), (&json!(mode), &json!(0)), "{line}");
        line
    };
    for (at, before) in [&["--threads", "0"][..], &["--typed"]].into_iter().enumerate() {
        let count = ["--count", "500", "--warmup", "100"];
        let produced = perf(before, "produce", &[&load[..], &count].concat());
        assert_eq!(produced["records"], 500);
        assert!(produced["end_ns"].as_u64() > produced["start_ns"].as_u64(), "{produced}");

        let group = ["--group", ["raw", "typed"][at]];
        let pace = ["--rate", "200", "--secs", "1", "--warmup-secs", "0"];
        let paced = perf(before, "latency", &[&load[..], &pace, &group].concat());
        assert_eq!((&paced["received"], &paced["lost"]), (&json!(200), &json!(0)), "{paced}");
        assert!(paced["p50_ms"].as_f64() <= paced["max_ms"].as_f64(), "{paced}");

        let group = ["--group", ["all-raw", "all-typed"][at], "--count", "800"];
        assert_eq!(perf(before, "consume", &group)["records"], 800);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_tail_and_commits_what_was_shown() {
    let kafka = Kafka::start();
    let brokers = ["--brokers", &kafka.bootstrap];
    let input = format!("{}\n{}\n", pause(1), pause(2));
    assert_eq!(exit(&run_with_input(&[&["publish", "events"], &brokers[..]].concat(), input.as_bytes())), 0);
    let mut child = craftwire(&[&["tail", "events", "--group", "readers"], &brokers[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    out.read_line(&mut line).unwrap();
    let partition =
        serde_json::from_str::<Value>(line.lines().next().unwrap()).unwrap()["_kafka"]["partition"].as_i64();
    interrupt(&child);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((exit(&ended), text(&ended.stderr)), (0, ""));
    let partition = i32::try_from(partition.unwrap()).unwrap();
    assert_eq!(kafka.mock.committed("readers", "game.crafting.events", partition), Some(2));
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test]
async fn the_demo_on_kafka_balances_its_books_and_leaves_nothing_behind() {
    craftwire_test_support::require_kafka!();
    let kafka = craftwire_test_support::shared_single().await;
    let bootstrap = kafka.bootstrap();
    let output = run(&["demo", "--brokers", bootstrap, "--for", "4s", "--sessions", "20", "--json"]);
    let stderr = text(&output.stderr);
    assert_eq!(exit(&output), 0, "{stderr}\n{}", text(&output.stdout));
    let suffix = stderr.split_whitespace().find(|word| word.starts_with(".demo-")).unwrap();
    let first = bootstrap.split(',').next().unwrap();
    // Brokers answer before each has heard of the deletion: every look is a round trip later.
    let mut left = Vec::new();
    for _ in 0..1000 {
        let (_, topics) = craftwire_test_support::fetch_metadata(first).unwrap();
        left = topics.into_iter().map(|topic| topic.name).filter(|name| name.ends_with(suffix)).collect();
        if left.is_empty() {
            break;
        }
    }
    assert_eq!(left, Vec::<String>::new());
}
