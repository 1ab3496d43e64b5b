//! Reading from the replica in the reader's own rack (KIP-392), on three nodes in three racks.

use crate::common::{PATIENCE, connect};
use craftwire::{
    Client, ProducerRecord,
    admin::NewTopic,
    consumer::{Consumer, ConsumerEvent, TopicPartition},
};
use craftwire_test_support::{KafkaCluster, eventually, require_kafka};
use futures_util::FutureExt;
use tokio::time::timeout;

const TOPIC: &str = "racks";

async fn write(client: &Client, values: std::ops::Range<i64>) {
    let producer = client.producer().build().await.unwrap();
    for value in values {
        producer.send(ProducerRecord::new(TOPIC, value.to_string())).await.unwrap().await.unwrap();
    }
}

async fn read(consumer: &mut Consumer, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        let record = timeout(PATIENCE, consumer.recv()).await.expect("in time").unwrap().unwrap();
        assert_eq!((record.offset(), record.value()), (offset, Some(offset.to_string().as_bytes())));
    }
}

/// The broker that the partition is read from.
fn source(consumer: &Consumer) -> Option<i32> {
    let partitions = consumer.metrics().partitions;
    let it = partitions.iter().find(|one| one.partition == TopicPartition::new(TOPIC, 0))?;
    it.broker_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_follows_the_leader_to_the_replica_in_its_rack_and_away_from_it_when_it_dies() {
    require_kafka!();
    let builder = KafkaCluster::builder().nodes(3);
    let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let builder = builder.set("replica.selector.class", selector);
    let builder = builder.set_on(1, "broker.rack", "a").set_on(2, "broker.rack", "b");
    let cluster = builder.set_on(3, "broker.rack", "c").start().await;
    let client = connect(&cluster.bootstrap()).await;
    client.admin().create_topic(NewTopic::new(TOPIC, 1, 3)).await.unwrap();
    cluster.wait_in_sync().await;
    let leader = cluster.leader(TOPIC, 0).await.unwrap();
    let near = leader % 3 + 1;
    let rack = ["a", "b", "c"][usize::try_from(near).unwrap() - 1];
    write(&client, 0..50).await;
    let mut consumer = client.consumer().topics([TOPIC]).rack(rack).build().await.unwrap();
    read(&mut consumer, 0..50).await;
    assert_eq!(source(&consumer), Some(near), "led by {leader}, and read by one in rack {rack}");
    write(&client, 50..100).await;
    read(&mut consumer, 50..100).await;
    let metrics = consumer.metrics();
    let answered = |id: i32| {
        let broker = metrics.brokers.iter().find(|one| one.broker_id == id);
        broker.map_or(0, |one| one.bytes)
    };
    assert_eq!((answered(leader), answered(near) > 0), (0, true), "{metrics:?}");

    cluster.kill(near);
    write(&client, 100..150).await;
    read(&mut consumer, 100..150).await;
    cluster.restart(near).await;
    cluster.wait_in_sync().await;
    write(&client, 150..200).await;
    read(&mut consumer, 150..200).await;
    eventually("the replica serves again", PATIENCE, async || {
        (source(&consumer) == Some(near)).then_some(())
    })
    .await;
    let mut events = consumer.events();
    while let Some(Some(event)) = events.next().now_or_never() {
        let is_reset =
            matches!(event, ConsumerEvent::Reset { from: Some(_), .. } | ConsumerEvent::Truncated { .. });
        assert!(!is_reset, "{event:?}");
    }
}
