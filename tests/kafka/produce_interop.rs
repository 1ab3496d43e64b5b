//! What craftwire writes, Kafka's Java clients read, byte for byte.

use crate::common::{
    CODECS, assert_same, connect, logged_batches, new_topic, noise, now_ms, produce, record, to_send,
};
use craftwire::{
    Client, Compression, Producer,
    crafting::{Crafting, PauseReason, Percent, ProgressUpdate, SessionPause, Status, Topic},
    producer::Profile,
};
use craftwire_test_support::{ConsumeSpec, JavaRecord, ReadSpec, require_kafka, shared_single};
use uuid::Uuid;

/// Batches as large as the broker takes.
async fn producer(client: &Client, codec: Compression) -> Producer {
    let builder = client.producer().profile(Profile::Throughput).compression(codec);
    builder.batch_bytes(1_048_588).build().await.unwrap()
}

fn id(codec: Compression) -> i16 {
    match codec {
        Compression::None => 0,
        Compression::Gzip => 1,
        Compression::Snappy => 2,
        Compression::Lz4 => 3,
        Compression::Zstd => 4,
        _ => panic!("a codec that Kafka does not have"),
    }
}

/// A record of every kind that there is.
fn kinds(partition: i32) -> Vec<JavaRecord> {
    let now = now_ms();
    let all_bytes: Vec<u8> = (0..=255).collect();
    let text = "iron ore, ".repeat(50);
    let headers = [
        ("dup", Some("a")),
        ("none", None),
        ("dup", Some("b")),
        ("empty", Some("")),
        ("", Some("no name")),
        ("größe", Some("klein")),
    ];
    let headers = headers.map(|(key, value)| (key.to_owned(), value.map(|value| value.as_bytes().to_vec())));
    vec![
        record(partition, now, Some(b"key"), Some(text.as_bytes())),
        record(partition, now - 60_000, None, Some(text.as_bytes())),
        record(partition, now + 1_000, Some(b"tombstone"), None),
        record(partition, 0, None, None),
        record(partition, 1, Some(b""), Some(b"")),
        record(partition, now, Some(&all_bytes), Some(&all_bytes)),
        JavaRecord {
            headers: headers.to_vec(),
            ..record(partition, now, Some(b"key"), Some(text.as_bytes()))
        },
        JavaRecord { headers: headers[1..2].to_vec(), ..record(partition, now, None, None) },
    ]
}

#[tokio::test]
async fn java_reads_records_of_every_kind_in_every_codec_at_the_offsets_of_their_acks() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "kinds", 5, &[("retention.ms", "-1")]).await;
    let mut written = Vec::new();
    for (partition, codec) in (0..).zip(CODECS) {
        let producer = producer(&client, codec).await;
        // One in a batch of its own, then all in one.
        written.extend(produce(&producer, &topic, kinds(partition)[..1].to_vec()).await);
        written.extend(produce(&producer, &topic, kinds(partition)).await);
        if let Some(batches) = logged_batches(kafka, &topic, partition) {
            let seen: Vec<_> = batches.iter().map(|batch| (batch.codec, batch.records)).collect();
            assert_eq!(seen, [(id(codec), 1), (id(codec), 8)]);
        }
    }
    assert_same(kafka.java().read(&topic, &ReadSpec::default()).await, written);
}

#[tokio::test]
async fn java_reads_batches_of_ten_thousand_records_in_every_codec() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "ten-thousand", 5, &[]).await;
    let now = now_ms();
    let mut written = Vec::new();
    for (partition, codec) in (0..).zip(CODECS) {
        let one = |place: i64| {
            let (key, value) = (format!("key-{}", place % 97), format!("value-{place}-of-{codec}"));
            record(partition, now + place, Some(key.as_bytes()), Some(value.as_bytes()))
        };
        let producer = producer(&client, codec).await;
        written.extend(produce(&producer, &topic, (0..10_000).map(one).collect()).await);
        if let Some(batches) = logged_batches(kafka, &topic, partition) {
            let seen: Vec<_> = batches.iter().map(|batch| (batch.codec, batch.records)).collect();
            assert_eq!(seen, [(id(codec), 10_000)]);
        }
    }
    assert_same(kafka.java().read(&topic, &ReadSpec::default()).await, written);
}

#[tokio::test]
async fn java_reads_batches_of_many_blocks_in_every_codec() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "blocks", 5, &[]).await;
    let now = now_ms();
    let mut written = Vec::new();
    for (partition, codec) in (0..).zip(CODECS) {
        let even = "a stack of planks, ".repeat(10_000);
        let records = vec![
            record(partition, now, Some(b"noise"), Some(&noise(1, 200_000))),
            record(partition, now, Some(b"even"), Some(even.as_bytes())),
            record(partition, now, Some(b"zeros"), Some(&[0; 300_000])),
            record(partition, now, Some(b"short"), Some(&noise(2, 70_000))),
        ];
        let producer = producer(&client, codec).await;
        written.extend(produce(&producer, &topic, records).await);
        // Nothing is gained with this one, so it goes out plain.
        let plain = vec![record(partition, now, None, Some(&noise(3, 900_000)))];
        written.extend(produce(&producer, &topic, plain).await);
        if let Some(batches) = logged_batches(kafka, &topic, partition) {
            let seen: Vec<_> = batches.iter().map(|batch| (batch.codec, batch.records)).collect();
            assert_eq!(seen, [(id(codec), 4), (0, 1)]);
            assert!(batches.iter().all(|batch| batch.bytes > 4 * 65_536), "{batches:?}");
        }
    }
    assert_same(kafka.java().read(&topic, &ReadSpec::default()).await, written);
}

#[tokio::test]
async fn the_console_consumer_prints_our_snappy_and_lz4_batches() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "console", 2, &[]).await;
    let mut wanted = Vec::new();
    for (partition, codec) in [(0, Compression::Snappy), (1, Compression::Lz4)] {
        let one = |place: i32| {
            let (key, value) = (format!("key-{place}"), format!("value-{place}-of-{codec}"));
            let headers = vec![("codec".to_owned(), Some(codec.to_string().into_bytes()))];
            JavaRecord {
                headers,
                ..record(partition, now_ms(), Some(key.as_bytes()), Some(value.as_bytes()))
            }
        };
        let producer = producer(&client, codec).await;
        produce(&producer, &topic, (0..100).map(one).collect()).await;
        if let Some(batches) = logged_batches(kafka, &topic, partition) {
            assert_eq!((batches[0].codec, batches[0].records), (id(codec), 100));
        }
        wanted.extend((0..100).map(|place| format!("codec:{codec}\tkey-{place}\tvalue-{place}-of-{codec}")));
    }
    let properties = vec!["print.key=true".into(), "print.headers=true".into()];
    let spec = ConsumeSpec { max_messages: 200, properties, ..ConsumeSpec::default() };
    let mut lines = kafka.java().console_consumer(&topic, &spec).await;
    // Each partition's lines are in order; which partition comes first is the tool's affair.
    lines.sort_by_key(|line| line.starts_with("codec:lz4"));
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn acks_carry_the_time_that_the_broker_gave_where_the_topic_says_so() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let configs = [("message.timestamp.type", "LogAppendTime")];
    let topic = new_topic(kafka, &client, "append-time", 1, &configs).await;
    let producer = producer(&client, Compression::Lz4).await;
    let long_ago = record(0, 1, Some(b"key"), Some(b"value"));
    let ack = producer.send(to_send(&topic, &long_ago)).await.unwrap().await.unwrap();
    let timestamp_ms = ack.timestamp_ms.unwrap();
    assert!(timestamp_ms > now_ms() - 600_000, "{ack:?}");
    let read = kafka.java().read(&topic, &ReadSpec::default()).await;
    assert_eq!(read, [JavaRecord { timestamp_ms, offset: ack.offset.unwrap(), ..long_ago }]);
}

#[tokio::test]
async fn crafting_events_lie_in_the_log_as_the_contract_says() {
    require_kafka!();
    let kafka = shared_single().await;
    let suffix = format!(".{}", kafka.unique_topic("contract"));
    let crafting = Crafting::builder(kafka.bootstrap()).suffix(&suffix).build().await.unwrap();
    crafting.topics().ensure().await.unwrap().require_clean().unwrap();
    let publisher = crafting.publisher("crafting.network").build().await.unwrap();
    let session = Uuid::new_v4();
    let paused = publisher.publish(SessionPause::new(session, PauseReason::PlayerAfk)).await.unwrap();
    let update = ProgressUpdate::new(session, Percent::new(42).unwrap(), Status::Active);
    let updated = publisher.publish_progress(update).await.unwrap();

    for (topic, published, event_type) in [
        (Topic::Events, paused, "crafting.session.pause"),
        (Topic::Progress, updated, "crafting.progress.update"),
    ] {
        let read = kafka.java().read(&crafting.topic_name(topic), &ReadSpec::default()).await;
        let [record] = &read[..] else { panic!("{read:?}") };
        assert_eq!((record.partition, record.offset), (published.partition, published.offset.unwrap()));
        assert_eq!(Some(record.timestamp_ms), published.timestamp_ms);
        assert_eq!(record.key.as_deref(), Some(session.to_string().as_bytes()));
        let key = session.to_string();
        let partitions = kafka.java().partitions_of(&[key.as_bytes()], topic.partitions().into()).await;
        assert_eq!(partitions, [published.partition]);
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("event_type", event_type.to_owned()),
            ("event_id", published.event_id.to_string()),
        ];
        let headers = headers.map(|(key, value)| (key.to_owned(), Some(value.into_bytes())));
        assert_eq!(record.headers, headers);
        let json = String::from_utf8(record.value.clone().unwrap()).unwrap();
        assert!(json.contains(&published.event_id.to_string()) && json.contains(event_type), "{json}");
    }
    crafting.topics().delete().await.unwrap();
}
