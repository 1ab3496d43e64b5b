//! One node: Java's tools and programs against it, and that it ends when we do.
#![allow(clippy::disallowed_methods, reason = "records are to carry the time of the wall clock")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use craftwire_test_support::{
    Batching, ConsumeSpec, ReadSpec, WriteSpec, eventually, kcat, require_kafka, shared_single,
};

#[tokio::test]
async fn what_the_java_producer_wrote_the_java_consumer_reads() {
    require_kafka!();
    let kafka = shared_single().await;
    let java = kafka.java();
    let topic = kafka.unique_topic("interop");
    java.create_topic(&topic, 2, 1, &[("compression.type", "producer")]).await;

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let base = i64::try_from(now.as_millis()).unwrap() - 60_000;
    let spec = WriteSpec {
        compression: "zstd".into(),
        count: 20,
        nulls: true,
        headers: true,
        timestamp_base_ms: Some(base),
        properties: vec![("acks".into(), "all".into())],
        ..WriteSpec::default()
    };
    let mut written = java.write(&topic, &spec).await;
    assert_eq!(written.len(), 20);
    assert_eq!(written[0].key.as_deref(), Some(&b"key-0"[..]));
    assert_eq!((&written[2].key, &written[4].value), (&None, &None));
    assert_eq!(written[7].timestamp_ms, base + 7);
    assert_eq!(written[1].headers[2], ("dup".into(), Some(b"b-1".to_vec())));

    let mut read = java.read(&topic, &ReadSpec::default()).await;
    written.sort_by_key(|record| (record.partition, record.offset));
    read.sort_by_key(|record| (record.partition, record.offset));
    assert_eq!(read, written);

    let keyed: Vec<_> = written.iter().filter_map(|r| Some((r.key.as_deref()?, r.partition))).collect();
    let keys: Vec<&[u8]> = keyed.iter().map(|(key, _)| *key).collect();
    let partitions: Vec<i32> = keyed.iter().map(|(_, partition)| *partition).collect();
    assert_eq!(java.partitions_of(&keys, 2).await, partitions);
}

#[tokio::test]
async fn aborted_and_open_transactions_are_not_read_committed() {
    require_kafka!();
    let kafka = shared_single().await;
    let java = kafka.java();
    let topic = kafka.unique_topic("transactions");
    java.create_topic(&topic, 1, 1, &[]).await;

    let spec = WriteSpec { count: 40, transactions: "caco".into(), ..WriteSpec::default() };
    let written = java.write(&topic, &spec).await;
    let committed: Vec<_> = written.iter().filter(|record| record.committed).cloned().collect();
    assert_eq!((written.len(), committed.len()), (40, 20));
    let offsets: Vec<i64> = committed.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (0..10).chain(22..32).collect::<Vec<_>>(), "a marker after each transaction");

    let spec = ReadSpec { read_committed: true, ..ReadSpec::default() };
    assert_eq!(java.read(&topic, &spec).await, committed);
}

#[tokio::test]
async fn batches_are_cut_as_asked_for() {
    require_kafka!();
    let kafka = shared_single().await;
    let java = kafka.java();
    let Some(cluster) = kafka.cluster() else { return };
    let topic = kafka.unique_topic("batches");
    java.create_topic(&topic, 2, 1, &[]).await;
    for (partition, batching, count) in [(0, Batching::Each, 5), (1, Batching::One, 10_000)] {
        let spec = WriteSpec { count, batching, partition: Some(partition), ..WriteSpec::default() };
        assert_eq!(java.write(&topic, &spec).await.len(), count);
    }
    let counts = |partition| batch_record_counts(&cluster.data_dir(1).join(format!("{topic}-{partition}")));
    assert_eq!(counts(0), [1; 5]);
    assert_eq!(counts(1), [10_000]);
}

#[tokio::test]
async fn the_console_tools_write_and_read() {
    require_kafka!();
    let kafka = shared_single().await;
    let java = kafka.java();
    let topic = kafka.unique_topic("console");
    java.create_topic(&topic, 1, 1, &[]).await;
    let args =
        ["--compression-codec", "lz4", "--property", "parse.key=true", "--property", "key.separator=:"];
    let _ = java.console_producer(&topic, &args, "a:1\nb:2\n").await.expect_success();
    let spec = ConsumeSpec {
        max_messages: 2,
        properties: vec!["print.key=true".into(), "key.separator=:".into()],
        ..ConsumeSpec::default()
    };
    assert_eq!(java.console_consumer(&topic, &spec).await, ["a:1", "b:2"]);
}

#[tokio::test]
async fn compaction_leaves_gaps_within_seconds() {
    require_kafka!();
    let kafka = shared_single().await;
    let java = kafka.java();
    let topic = kafka.unique_topic("compacted");
    let configs =
        [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.0001")];
    java.create_topic(&topic, 1, 1, &configs).await;
    // Each write is by another producer and rolls the segment of the one before, which may then be compacted.
    for first in [0, 8, 16, 24] {
        let _ = java
            .write(&topic, &WriteSpec { count: 8, first, distinct_keys: 4, ..WriteSpec::default() })
            .await;
    }
    eventually("the log is compacted", Duration::from_secs(60), async || {
        let read = java.read(&topic, &ReadSpec::default()).await;
        (read.len() < 32 && read[0].offset > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn groups_of_the_new_protocol_have_a_heartbeat_of_a_second() {
    require_kafka!();
    let kafka = shared_single().await;
    let java = kafka.java();
    let topic = kafka.unique_topic("grouped");
    java.create_topic(&topic, 1, 1, &[]).await;
    let _ = java.write(&topic, &WriteSpec { count: 3, ..WriteSpec::default() }).await;
    let spec = ConsumeSpec {
        max_messages: 3,
        group: Some(topic.clone()),
        consumer_properties: vec!["group.protocol=consumer".into()],
        ..ConsumeSpec::default()
    };
    assert_eq!(java.console_consumer(&topic, &spec).await, ["value-0", "value-1", "value-2"]);
    let group = java.consumer_groups(&["--describe", "--group", &topic]).await.expect_success();
    assert!(group.contains(&topic), "{group}");
    let lowered = ["--alter", "--entity-type", "groups", "--entity-name", &topic, "--add-config"];
    let contract = "consumer.session.timeout.ms=30000,consumer.heartbeat.interval.ms=3000";
    let _ = java.configs(&[&lowered[..], &[contract]].concat()).await.expect_success();
}

#[tokio::test]
async fn kcat_writes_what_java_reads() {
    require_kafka!();
    let kafka = shared_single().await;
    let topic = kafka.unique_topic("kcat");
    kafka.java().create_topic(&topic, 1, 1, &[]).await;
    match kcat(&["-b", kafka.bootstrap(), "-P", "-t", &topic, "-z", "snappy"], b"one\ntwo\n").await {
        Ok(output) => assert!(output.success(), "{output:?}"),
        Err(skip) => return eprintln!("skipped: {skip}"),
    }
    let values = kafka.java().read(&topic, &ReadSpec::default()).await.into_iter().map(|record| record.value);
    assert_eq!(values.collect::<Vec<_>>(), [Some(b"one".to_vec()), Some(b"two".to_vec())]);
}

#[tokio::test]
async fn a_kafka_ends_with_its_process_even_when_that_is_killed_and_the_broker_is_stopped() {
    require_kafka!();
    let mut program = Command::new(env!("CARGO_BIN_EXE_kafka"))
        .args(["--port", "0", "--print-pids"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pid = lines.find_map(|line| Some(line.strip_prefix("pid ")?.to_owned())).unwrap();
    let dir = lines.find_map(|line| Some(line.strip_prefix("dir ")?.to_owned())).unwrap();
    assert!(Path::new("/proc").join(&pid).exists() && Path::new(&dir).exists());

    assert!(Command::new("sh").arg("-c").arg(format!("kill -STOP {pid}")).status().unwrap().success());
    program.kill().unwrap();
    program.wait().unwrap();
    let gone = format!("the JVM {pid} and its files in {dir} are gone");
    eventually(&gone, Duration::from_secs(60), async || {
        (!Path::new("/proc").join(&pid).exists() && !Path::new(&dir).exists()).then_some(())
    })
    .await;
}

/// The record count of every batch in a partition's first segment: at byte 57 of a batch whose length stands at 8.
fn batch_record_counts(partition: &Path) -> Vec<i32> {
    let log = std::fs::read(partition.join("00000000000000000000.log")).unwrap();
    let int = |at: usize| i32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let mut counts = Vec::new();
    let mut at = 0;
    while at < log.len() {
        counts.push(int(at + 57));
        at += 12 + usize::try_from(int(at + 8)).unwrap();
    }
    counts
}
