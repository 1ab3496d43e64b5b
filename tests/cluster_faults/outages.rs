//! The whole cluster, or too much of it, is away.

use crate::{
    load::{PATIENCE, Pace},
    stage::{PARTITIONS, Stage, scale, three_nodes},
};
use craftwire::admin::NewTopic;
use craftwire_test_support::{
    eventually, lasts,
    proxy::{FaultProxy, ReservedAddress},
    require_kafka,
};
use std::{net::TcpListener, time::Duration};

const MIB: u64 = 1 << 20;

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_all_nodes_away_while_producing_at_full_rate() {
    require_kafka!();
    let stage = Stage::set("f5").await;
    let away = Duration::from_secs(if scale() == 1 { 10 } else { 60 * u64::from(scale()) });
    let limit = 2 * MIB;
    let producer = stage.client.producer().buffer_bytes(limit.try_into().unwrap());
    // So that records come to an end while nobody is there.
    let producer = producer.delivery_timeout(away / 2).build().await.unwrap();
    let flood = Pace { every: Duration::ZERO, window: 400, ..Pace::default() };
    let play = stage.play_by(producer, flood).await;
    let before = resident_bytes();
    for node in stage.cluster.node_ids() {
        stage.cluster.kill(node);
    }
    let mut held = 0;
    let mut grown = 0;
    let watch = async {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        loop {
            look.tick().await;
            held = held.max(play.producer.metrics().buffered_bytes);
            grown = grown.max(resident_bytes().saturating_sub(before));
        }
    };
    let _ = tokio::time::timeout(away, watch).await;
    let settled = play.producer.metrics();
    for node in stage.cluster.node_ids() {
        stage.cluster.restart_without_waiting(node);
    }
    play.goes_on().await;
    stage.cluster.wait_until_up().await;
    println!("F5: {held} bytes held of {limit}, {grown} more resident; when it ended: {settled:?}");
    assert!(held <= limit, "{held} bytes held of {limit}");
    assert!(grown < limit + 32 * MIB, "{grown} bytes more");
    assert!(settled.records_not_sent > 0, "sends end while nobody is there: {settled:?}");
    let _ = stage.judge("F5 all nodes away", 1, play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f14_all_nodes_come_back_on_other_ports() {
    require_kafka!();
    let (turn, cluster) = three_nodes().await;
    // What a name in DNS would be: the one address that stays, whoever is behind it.
    let name = ReservedAddress::free();
    let upstream = |node| cluster.address(node).parse().unwrap();
    let bootstrap = FaultProxy::start(&[(name.address(), upstream(1))], 1).await;
    let topic = NewTopic::new("f14", PARTITIONS, 3).config("min.insync.replicas", "2");
    let stage = Stage::set_with(turn, cluster, &bootstrap.bootstrap(), topic).await;
    let play = stage.play().await;
    let times = scale().min(3);
    let mut swallowing = Vec::new();
    for _ in 0..times {
        for node in cluster.node_ids() {
            cluster.kill(node);
        }
        for node in cluster.node_ids() {
            let old = cluster.address(node);
            cluster.move_away(node);
            // Whoever tries the old address is not refused: nobody ever says anything.
            swallowing.push(TcpListener::bind(old).unwrap());
            cluster.restart_without_waiting(node);
        }
        bootstrap.set_upstream(1, upstream(2));
        play.goes_on().await;
        cluster.wait_until_up().await;
        cluster.wait_in_sync().await;
        play.group.goes_on(20).await;
    }
    let verdict = stage.judge("F14 all nodes on other ports", times, play).await;
    assert_eq!(verdict.not_sent + verdict.unknown, 0, "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f26_too_few_replicas_hold_records_and_lose_none() {
    require_kafka!();
    let (turn, cluster) = three_nodes().await;
    let topic = NewTopic::new("f26", PARTITIONS, 3).config("min.insync.replicas", "3");
    let stage = Stage::set_with(turn, cluster, &cluster.bootstrap(), topic).await;
    let play = stage.play().await;
    cluster.kill(3);
    eventually("no replica set is whole", PATIENCE, async || {
        let (_, topics) = cluster.metadata().await;
        let topic = topics.iter().find(|topic| topic.name == "f26")?;
        topic.partitions.iter().all(|partition| partition.isr.len() == 2).then_some(())
    })
    .await;
    let before = play.load.acked();
    lasts(Duration::from_secs(5) * scale()).await;
    let meanwhile = play.load.acked() - before;
    cluster.restart(3).await;
    cluster.wait_in_sync().await;
    play.goes_on().await;
    // A few may have been on their way.
    assert!(meanwhile <= 24 * 64, "{meanwhile} acked by too few");
    let verdict = stage.judge("F26 fewer than min.insync.replicas", 1, play).await;
    assert_eq!(verdict.not_sent + verdict.unknown, 0, "{verdict}");
}
