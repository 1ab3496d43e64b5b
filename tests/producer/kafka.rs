//! The producer against real Kafka, judged by Kafka's own Java client.

use craftwire::{
    Client, Compression, Producer, ProducerRecord,
    producer::{CloseReport, Delivery, ProducerBuilder, Profile},
};
use craftwire_test_support::{KafkaCluster, ReadSpec, require_kafka, shared_single};
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

/// Three nodes at replication 3, min ISR 2; the leader of most partitions is killed under load, and comes back.
#[tokio::test]
async fn a_leader_killed_under_load_loses_nothing_and_doubles_nothing() {
    require_kafka!();
    let kafka = KafkaCluster::builder()
        .nodes(3)
        .set("broker.session.timeout.ms", "3000")
        .set("broker.heartbeat.interval.ms", "500")
        .set("replica.lag.time.max.ms", "5000")
        .start()
        .await;
    let topic = "events";
    kafka.java().create_topic(topic, 8, 3, &[("min.insync.replicas", "2")]).await;
    kafka.wait_in_sync().await;
    let producer = producer(&kafka.bootstrap(), |builder| builder).await;
    let mut deliveries = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let mut n = 0_u64;
    let mut victim = None;
    while n < 60_000 {
        ticks.tick().await;
        for _ in 0..20 {
            let record = ProducerRecord::new(topic, n.to_string()).key(format!("key-{}", n % 50));
            deliveries.push((n, producer.send(record).await.unwrap()));
            n += 1;
        }
        match n {
            15_000 => {
                victim = kafka.leader(topic, 0).await;
                kafka.kill(victim.unwrap());
            }
            40_000 => kafka.restart_without_waiting(victim.unwrap()),
            _ => {}
        }
    }
    let mut sent = BTreeMap::new();
    for (n, delivery) in deliveries {
        let ack = delivery.await.unwrap();
        sent.insert(n, ack);
    }
    println!("{:?}", producer.metrics());
    producer.close(Duration::from_secs(10)).await;
    kafka.wait_until_up().await;

    let read = kafka.java().read(topic, &ReadSpec::default()).await;
    assert_eq!(read.len(), sent.len());
    let mut last = BTreeMap::new();
    for record in read {
        let n: u64 = std::str::from_utf8(record.value.as_ref().unwrap()).unwrap().parse().unwrap();
        let ack = sent.remove(&n).unwrap_or_else(|| panic!("{n} is in the log twice"));
        assert_eq!(ack.partition, record.partition);
        assert!(ack.offset.is_none_or(|offset| offset == record.offset), "{n}: {ack:?}");
        let before = last.insert(n % 50, n);
        assert!(before.is_none_or(|before| before < n), "key {} is out of order", n % 50);
    }
    assert!(sent.is_empty());
}
