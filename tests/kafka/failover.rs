//! Nodes are killed under load: what was acked stays, once, in order per key, and clients go on by themselves.

use crate::{
    common::{PATIENCE, connect, three_nodes},
    history::{Load, Place, follow, judge, place},
};
use craftwire::{Client, admin::NewTopic};
use craftwire_test_support::{KafkaCluster, ReadSpec, eventually, require_kafka};
use tokio::{sync::watch, time::timeout};

const PARTITIONS: i32 = 6;

async fn replicated_topic(client: &Client, name: &str) {
    let topic = NewTopic::new(name, PARTITIONS, 3).config("min.insync.replicas", "2");
    client.admin().create_topic(topic).await.unwrap();
}

/// What Java finds in the topic.
async fn in_the_log(cluster: &KafkaCluster, topic: &str) -> Vec<Place> {
    let read = cluster.java().read(topic, &ReadSpec::default()).await;
    let mut log: Vec<Place> =
        read.iter().map(|r| place(r.partition, r.offset, r.value.as_deref().unwrap())).collect();
    log.sort_unstable();
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acked_outlives_leaders_that_are_killed_under_load() {
    require_kafka!();
    let (_turn, cluster) = three_nodes().await;
    let client = connect(&cluster.bootstrap()).await;
    replicated_topic(&client, "killed").await;
    cluster.wait_in_sync().await;
    let (total, told) = watch::channel(None);
    let follower = follow(client.consumer().topics(["killed"]).build().await.unwrap(), told);
    let producer = client.producer().build().await.unwrap();
    let mut load = Load::start(&producer, "killed", PARTITIONS).await;

    for partition in [0, 1] {
        load.goes_on_everywhere(20).await;
        let leader = cluster.leader("killed", partition).await.unwrap();
        cluster.kill(leader);
        load.goes_on_everywhere(20).await;
        assert_ne!(cluster.leader("killed", partition).await, Some(leader));
        cluster.restart(leader).await;
        cluster.wait_in_sync().await;
    }
    load.goes_on_everywhere(20).await;
    let sent = load.end().await;

    let log = in_the_log(cluster, "killed").await;
    judge(&sent, &log);
    total.send_replace(Some(log.len()));
    let read = timeout(PATIENCE, follower).await.expect("the consumer reads on").unwrap();
    assert!(read == log, "the consumer read {} records, Java {}", read.len(), log.len());
    client.admin().delete_topic("killed").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_on_when_all_nodes_were_away() {
    require_kafka!();
    let (_turn, cluster) = three_nodes().await;
    let client = connect(&cluster.bootstrap()).await;
    replicated_topic(&client, "away").await;
    cluster.wait_in_sync().await;
    let (total, told) = watch::channel(None);
    let group = client.consumer().group("away").topics(["away"]);
    let follower = follow(group.build().await.unwrap(), told);
    let producer = client.producer().build().await.unwrap();
    let mut load = Load::start(&producer, "away", PARTITIONS).await;
    load.goes_on_everywhere(20).await;

    for node in cluster.node_ids() {
        cluster.kill(node);
    }
    let error = client.admin().describe_topic("away").await.unwrap_err();
    assert!(error.is_retriable(), "{error}");
    for node in cluster.node_ids() {
        cluster.restart_without_waiting(node);
    }
    load.goes_on_everywhere(20).await;
    let sent = load.end().await;
    cluster.wait_in_sync().await;

    let log = in_the_log(cluster, "away").await;
    judge(&sent, &log);
    total.send_replace(Some(log.len()));
    let read = timeout(PATIENCE, follower).await.expect("the consumer reads on").unwrap();
    assert!(read == log, "the consumer read {} records, Java {}", read.len(), log.len());
    let lag = eventually("all is committed", PATIENCE, async || {
        client.admin().group_lag("away", "away").await.ok()
    });
    assert!(lag.await.values().all(|partition| partition.lag == 0));
    client.admin().delete_topic("away").await.unwrap();
}
