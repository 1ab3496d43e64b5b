//! The producer against real Kafka, judged by Kafka's own Java client.

use craftwire::{
    Client, Compression, Producer, ProducerRecord,
    producer::{CloseReport, Delivery, ProducerBuilder, Profile},
};
use craftwire_test_support::{ReadSpec, require_kafka, shared_single};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

async fn producer(bootstrap: &str, set: impl FnOnce(ProducerBuilder) -> ProducerBuilder) -> Producer {
    set(Client::connect(bootstrap).await.unwrap().producer()).build().await.unwrap()
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn java_reads_keys_values_headers_and_order_as_they_were_sent() {
    require_kafka!();
    let kafka = shared_single().await;
    // Old timestamps would meet the topic's retention.
    let base_ms = now_ms() - 1_000_000;
    for (profile, compression) in [
        (Profile::Durable, Compression::Snappy),
        (Profile::Realtime, Compression::Lz4),
        (Profile::Throughput, Compression::Zstd),
        (Profile::Durable, Compression::Gzip),
        (Profile::Realtime, Compression::None),
    ] {
        let topic = kafka.unique_topic("produce");
        kafka.java().create_topic(&topic, 16, 1, &[]).await;
        let producer =
            producer(kafka.bootstrap(), |builder| builder.profile(profile).compression(compression)).await;
        let mut deliveries: Vec<(usize, Delivery)> = Vec::new();
        for n in 0..COUNT {
            let record = ProducerRecord::new(topic.as_str(), format!("value {n} {}", "x".repeat(n % 300)))
                .key(format!("key-{}", n % 100))
                .header("n", n.to_string())
                .header("n", "again")
                .null_header("none")
                .timestamp_ms(base_ms + i64::try_from(n).unwrap());
            deliveries.push((n, producer.send(record).await.unwrap()));
        }
        let mut sent = BTreeMap::new();
        for (n, delivery) in deliveries {
            let ack = delivery.await.unwrap();
            assert_eq!(sent.insert((ack.partition, ack.offset.unwrap()), n), None);
        }
        let metrics = producer.metrics();
        println!("{profile:?} {compression:?}: {metrics:?}");
        assert_eq!(metrics.records_acked, u64::try_from(COUNT).unwrap());
        assert_eq!(producer.close(Duration::from_secs(10)).await, CloseReport::default());
        assert_eq!(producer.metrics().buffered_bytes, 0);

        let read = kafka.java().read(&topic, &ReadSpec::default()).await;
        assert_eq!(read.len(), COUNT);
        let mut last = BTreeMap::new();
        for record in read {
            let n = sent[&(record.partition, record.offset)];
            assert_eq!(record.key.as_deref(), Some(format!("key-{}", n % 100).as_bytes()));
            let value = format!("value {n} {}", "x".repeat(n % 300));
            assert_eq!(record.value.as_deref(), Some(value.as_bytes()));
            assert_eq!(record.timestamp_ms, base_ms + i64::try_from(n).unwrap());
            let headers = [("n", Some(n.to_string())), ("n", Some("again".to_owned())), ("none", None)];
            let headers: Vec<_> =
                headers.into_iter().map(|(k, v)| (k.to_owned(), v.map(String::into_bytes))).collect();
            assert_eq!(record.headers, headers);
            let before = last.insert(n % 100, n);
            assert!(before.is_none_or(|before| before < n), "key {} is out of order", n % 100);
        }
        let keys: Vec<String> = (0..100).map(|n| format!("key-{n}")).collect();
        let by_java =
            kafka.java().partitions_of(&keys.iter().map(String::as_bytes).collect::<Vec<_>>(), 16).await;
        for ((partition, _), n) in &sent {
            assert_eq!(*partition, by_java[n % 100]);
        }
    }
}

const COUNT: usize = 5_000;
