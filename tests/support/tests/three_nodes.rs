//! Three nodes: behind a proxy's addresses, one is killed and comes back into every ISR, one is paused.

use craftwire_test_support::{KafkaCluster, ReadSpec, WriteSpec, fetch_metadata, require_kafka};

#[tokio::test]
async fn a_killed_node_comes_back_in_sync() {
    require_kafka!();
    let proxies = [14_991, 14_992, 14_993].map(|port| std::net::SocketAddr::from(([127, 0, 0, 1], port)));
    let cluster = KafkaCluster::builder().nodes(3).advertise(&proxies).start().await;
    let ports_at =
        |address: String| fetch_metadata(&address).unwrap().0.iter().map(|b| b.port).collect::<Vec<_>>();
    assert_eq!(ports_at(cluster.proxied_upstream(2).unwrap().to_string()), [14_991, 14_992, 14_993]);
    assert!(ports_at(cluster.address(2)).iter().all(|&port| port >= 15_000));

    let java = cluster.java();
    java.create_topic("t", 3, 3, &[("min.insync.replicas", "2")]).await;
    cluster.wait_in_sync().await;
    let (brokers, _) = cluster.metadata().await;
    assert_eq!(brokers.iter().map(|broker| broker.id).collect::<Vec<_>>(), [1, 2, 3]);

    let leader = cluster.leader("t", 0).await.unwrap();
    cluster.kill(leader);
    assert!(cluster.pid(leader).is_none());
    assert_eq!(java.write("t", &WriteSpec { count: 30, ..WriteSpec::default() }).await.len(), 30);
    cluster.restart(leader).await;
    cluster.wait_in_sync().await;
    assert_eq!(java.read("t", &ReadSpec::default()).await.len(), 30);

    let _ = java.elect_preferred_leaders().await.expect_success();
    let (_, topics) = cluster.metadata().await;
    let partition = &topics.iter().find(|topic| topic.name == "t").unwrap().partitions[0];
    assert_eq!(partition.leader, partition.replicas[0]);
    let kept = [partition.replicas[1], partition.replicas[2]];
    let _ = java.reassign("t", 0, &kept).await.expect_success();
    cluster.wait_for_leader("t", 0, move |leader| leader == kept[0]).await;

    let follower = cluster.node_ids().find(|&id| id != leader).unwrap();
    cluster.pause(follower);
    cluster.resume(follower);
    cluster.wait_until_up().await;
    assert!(cluster.cpu_times().total() > std::time::Duration::ZERO);
    assert!(cluster.resident_bytes() > 0);
}
