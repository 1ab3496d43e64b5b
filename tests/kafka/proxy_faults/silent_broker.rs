//! One broker of three falls silent, and its connections stay open.

use super::stage::{SHORT, impatient, in_the_log, seed};
use crate::{
    common::PATIENCE,
    history::{Load, follow, judge},
};
use craftwire::admin::NewTopic;
use craftwire_test_support::{
    KafkaCluster, eventually,
    proxy::{Fault, FaultProxy, Rule},
    require_kafka,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

const PARTITIONS: i32 = 6;
const TOPIC: &str = "half-open";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_a_silent_broker_holds_up_its_own_partitions_only() {
    require_kafka!();
    let (proxy, cluster) = FaultProxy::in_front_of(KafkaCluster::builder(), 3, seed()).await;
    let client = impatient(&proxy, SHORT).await;
    let topic = NewTopic::new(TOPIC, PARTITIONS, 3).config("min.insync.replicas", "2");
    client.admin().create_topic(topic).await.unwrap();
    cluster.wait_in_sync().await;
    let (total, told) = watch::channel(None);
    let reader = follow(client.consumer().topics([TOPIC]).build().await.unwrap(), told);
    let producer = client.producer().build().await.unwrap();
    let mut load = Load::start(&producer, TOPIC, PARTITIONS).await;
    load.goes_on_everywhere(20).await;

    let partitions = client.admin().describe_topic(TOPIC).await.unwrap().partitions;
    let silent = partitions[0].leader.unwrap();
    let led_by = |others: bool| {
        let led = partitions.iter().filter(move |partition| (partition.leader == Some(silent)) != others);
        led.map(|partition| partition.index).collect::<Vec<_>>()
    };
    let (held_up, others) = (led_by(false), led_by(true));
    assert!(!others.is_empty());
    let hole = proxy.add(Rule::both_ways(Fault::BlackHole).node(silent));
    eventually("the hole", PATIENCE, async || (hole.injected() >= 2).then_some(())).await;
    let before = load.acked().borrow().clone();
    let gaps = tokio::spawn(longest_gaps(load.acked()));
    load.goes_on_in(&others, 150).await;
    // Questions that any broker can answer find another.
    client.admin().describe_topic(TOPIC).await.unwrap();
    let meanwhile = load.acked().borrow().clone();
    for partition in &held_up {
        // An answer may have been on its way.
        assert!(meanwhile[partition] <= before[partition] + 100, "{partition}: {before:?}, {meanwhile:?}");
    }
    eprintln!("node {silent} silent, partitions {held_up:?}: {before:?}, then {meanwhile:?}");
    gaps.abort();
    hole.remove();
    load.goes_on_everywhere(20).await;
    eprintln!("injected: {:?}, {} connections", proxy.counters(), proxy.connections());

    let sent = load.end().await;
    let log = in_the_log(&cluster.bootstrap(), TOPIC).await;
    judge(&sent, &log);
    total.send_replace(Some(log.len()));
    let read = timeout(PATIENCE, reader).await.expect("the reader reads on").unwrap();
    assert!(read == log, "{} records were read of {}", read.len(), log.len());
}

/// Prints the longest time between two acks of each partition, whenever it grew.
#[allow(clippy::disallowed_methods, reason = "a figure of the real clock")]
async fn longest_gaps(mut acked: watch::Receiver<BTreeMap<i32, u64>>) {
    let mut last = BTreeMap::<i32, (u64, Instant)>::new();
    let mut longest = Duration::ZERO;
    while acked.changed().await.is_ok() {
        let (counts, now) = (acked.borrow_and_update().clone(), Instant::now());
        for (partition, count) in counts {
            let (before, at) = last.insert(partition, (count, now)).unwrap_or((count, now));
            if before == count {
                last.insert(partition, (count, at));
            } else if now - at > longest {
                longest = now - at;
                eprintln!("partition {partition}: {longest:?} between two acks");
            }
        }
    }
}
