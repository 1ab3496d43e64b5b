//! A key's partition is the one that Java's producer gives it, in whatever order brokers list partitions.

use crate::common::{connect, new_topic, noise};
use craftwire::{Client, ProducerRecord};
use craftwire_test_support::{require_kafka, shared_single};
use uuid::Uuid;

const PARTITIONS: i32 = 24;

/// Keys of every length modulo four, which is what murmur2 takes at a time, and of bytes above 127.
fn keys() -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = (0..40_u8).map(|len| (0..len).collect()).collect();
    keys.extend((0..300).map(|_| Uuid::new_v4().to_string().into_bytes()));
    keys.extend((1..200).map(|seed| noise(seed, usize::try_from(seed % 50).unwrap())));
    keys.extend(["player", "größe", "鍛冶屋", "\0", "\u{10ffff}"].map(|text| text.as_bytes().to_vec()));
    keys.push(vec![0xff; 1000]);
    keys
}

/// Where our producer put each key.
async fn placed(client: &Client, topic: &str, keys: &[Vec<u8>]) -> Vec<i32> {
    let producer = client.producer().build().await.unwrap();
    let mut deliveries = Vec::new();
    for key in keys {
        let record = ProducerRecord::new(topic, "value").key(key.clone());
        deliveries.push(producer.send(record).await.unwrap());
    }
    let mut partitions = Vec::new();
    for delivery in deliveries {
        partitions.push(delivery.await.unwrap().partition);
    }
    partitions
}

#[tokio::test]
async fn promise_13_keys_land_on_javas_partitions() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "keys", PARTITIONS, &[]).await;
    let keys = keys();
    let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let java = kafka.java().partitions_of(&slices, PARTITIONS).await;
    assert_eq!(placed(&client, &topic, &keys).await, java);
}

#[cfg(feature = "mock")]
#[tokio::test]
async fn promise_13_keys_land_on_javas_partitions_when_the_broker_lists_partitions_unsorted() {
    require_kafka!();
    let mock = craftwire::mock::MockCluster::builder().brokers(3).topic("keys", PARTITIONS).start().unwrap();
    let client = connect(&mock.bootstrap()).await;
    let keys = keys();
    let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let java = shared_single().await.java().partitions_of(&slices, PARTITIONS).await;
    assert_eq!(placed(&client, "keys", &keys).await, java);
    for (key, partition) in keys.iter().zip(java) {
        let records = mock.records("keys", partition);
        assert!(records.iter().any(|record| record.key.as_deref() == Some(key.as_slice())));
    }
}
