//! The rules of producing, by number, where real Kafka can be brought to show them: in what it answers and in what lies in
//! its log. Those about what is in flight are seen on the mock alone (`tests/producer/rules.rs`).

use crate::common::{LoggedBatch, PATIENCE, connect, logged_batches, new_topic, noise, now_ms};
use bytes::{Buf, BytesMut};
use craftwire::{
    Client, Compression, Producer, ProducerRecord,
    admin::{ConfigOwner, NewTopic, OffsetSpec},
    error::ErrorCode,
    producer::{Delivery, DeliveryError, NotSent, Profile, SendError},
};
use craftwire_test_support::{KafkaCluster, ReadSpec, eventually, require_kafka, shared_single};
use kafka_protocol::{
    messages::{
        ProduceRequest, ProduceResponse, RequestHeader,
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Decodable, Encodable, StrBytes},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const HALF_MIB: usize = 512 * 1_024;

/// A producer whose batches hold one [`wide`] record and leave without a gap.
async fn eager(client: &Client) -> Producer {
    let builder = client.producer().batch_bytes(1_024).request_gap(Duration::ZERO);
    builder.compression(Compression::None).build().await.unwrap()
}

fn wide(topic: &str, partition: i32) -> ProducerRecord {
    ProducerRecord::new(topic, vec![b'x'; 900]).key("key").partition(partition)
}

/// How many records each partition has in all.
async fn ends(client: &Client, topic: &str) -> Vec<i64> {
    client.admin().list_offsets(topic, OffsetSpec::Latest).await.unwrap().into_values().collect()
}

/// The batches follow one another: each epoch starts at sequence 0, and goes on where the last batch ended.
fn assert_in_sequence(batches: &[LoggedBatch]) {
    let mut next = (batches[0].producer_epoch, 0);
    for batch in batches {
        if batch.producer_epoch == next.0 + 1 {
            next = (batch.producer_epoch, 0);
        }
        assert_eq!((batch.producer_epoch, batch.base_sequence), next, "{batches:?}");
        next.1 += batch.records;
    }
}

#[tokio::test]
async fn rule_1_topics_published_to_while_they_are_created_take_all_in_order_once() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let producer = eager(&client).await;
    for _ in 0..20 {
        let topic = kafka.unique_topic("at-once");
        // The first record waits for the topic, so that it is as early as can be.
        let first = tokio::spawn({
            let (producer, record) = (producer.clone(), wide(&topic, 0));
            async move { [producer.send(record).await.unwrap()] }
        });
        client.admin().create_topic(NewTopic::new(&topic, 4, 1)).await.unwrap();
        let mut deliveries = Vec::from(first.await.unwrap());
        for n in 1..120 {
            deliveries.push(producer.send(wide(&topic, n % 4)).await.unwrap());
        }
        let mut next = [0; 4];
        for delivery in deliveries {
            let ack = delivery.await.unwrap();
            let next = &mut next[usize::try_from(ack.partition).unwrap()];
            assert_eq!(ack.offset, Some(*next), "partition {} of {topic}", ack.partition);
            *next += 1;
        }
        assert_eq!(ends(&client, &topic).await, next);
        for partition in 0..4 {
            if let Some(batches) = logged_batches(kafka, &topic, partition) {
                assert_in_sequence(&batches);
                assert_eq!(batches.last().unwrap().producer_epoch, 0);
            }
        }
    }
    assert_eq!(producer.metrics().loss_suspected, 0);
}

#[tokio::test]
async fn rule_3_a_bumped_epoch_starts_at_zero_under_the_same_id() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "bump", 2, &[]).await;
    let producer = eager(&client).await;
    for partition in [0, 1] {
        producer.send(wide(&topic, partition)).await.unwrap().await.unwrap();
    }
    // Hours ahead of the broker's clock: refused, with four behind it that then have the wrong sequence.
    let ahead = wide(&topic, 0).timestamp_ms(now_ms() + 3 * 3_600_000);
    let refused = producer.try_send(ahead).unwrap();
    let behind: Vec<Delivery> = (0..12).map(|_| producer.try_send(wide(&topic, 0)).unwrap()).collect();
    let other = producer.send(wide(&topic, 1)).await.unwrap().await.unwrap();
    let refused = refused.await.unwrap_err();
    assert!(matches!(refused, DeliveryError::NotSent(_)), "{refused:?}");
    for (delivery, offset) in behind.into_iter().zip(1..) {
        assert_eq!(delivery.await.unwrap().offset, Some(offset));
    }
    assert_eq!((other.offset, ends(&client, &topic).await), (Some(1), vec![13, 2]));
    assert_eq!(producer.metrics().loss_suspected, 0);
    if let Some(batches) = logged_batches(kafka, &topic, 0) {
        assert_in_sequence(&batches);
        assert_eq!((batches[0].producer_epoch, batches[12].producer_epoch), (0, 1));
        let other = logged_batches(kafka, &topic, 1).unwrap();
        assert_in_sequence(&other);
        assert_eq!(other[1].producer_epoch, 0, "each partition has its own epoch");
        assert!(batches.iter().chain(&other).all(|batch| batch.producer_id == batches[0].producer_id));
    }
}

#[tokio::test]
async fn rule_4_what_kafka_refuses_before_the_append_is_not_sent_and_not_tried_again() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let configs = [("cleanup.policy", "compact"), ("message.timestamp.before.max.ms", "600000")];
    let topic = new_topic(kafka, &client, "refused", 1, &configs).await;
    let producer = eager(&client).await;
    producer.send(wide(&topic, 0)).await.unwrap().await.unwrap();
    let retries = producer.metrics().retries;
    for (record, wanted) in [
        (ProducerRecord::new(topic.as_str(), "no key"), ErrorCode::INVALID_RECORD),
        (wide(&topic, 0).timestamp_ms(1), ErrorCode::INVALID_TIMESTAMP),
    ] {
        let refused = producer.send(record).await.unwrap().await;
        let Err(DeliveryError::NotSent(
            NotSent::Rejected { code, .. } | NotSent::RecordRejected { code, .. },
        )) = refused
        else {
            panic!("{refused:?}")
        };
        assert_eq!(code, wanted);
    }
    assert_eq!(producer.metrics().retries, retries);
    assert_eq!(producer.send(wide(&topic, 0)).await.unwrap().await.unwrap().offset, Some(1));
    assert_eq!(ends(&client, &topic).await, [2]);
    if let Some(batches) = logged_batches(kafka, &topic, 0) {
        assert_in_sequence(&batches);
    }
}

#[tokio::test]
async fn rule_6_a_batch_of_exactly_the_limit_is_taken_and_half_a_mebibyte_of_value_does_not_fit() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let limit = HALF_MIB.to_string();
    let topic = new_topic(kafka, &client, "sized", 1, &[("max.message.bytes", &limit)]).await;
    let producer = client.producer().profile(Profile::Throughput).build().await.unwrap();
    let of = |bytes: usize| ProducerRecord::new(topic.as_str(), noise(1, bytes));
    let too_large = producer.send(of(HALF_MIB)).await.unwrap_err();
    let SendError::TooLarge { bytes, limit: HALF_MIB } = too_large else { panic!("{too_large:?}") };
    let largest = HALF_MIB - (bytes - HALF_MIB);
    producer.send(of(largest)).await.unwrap().await.unwrap();
    assert!(matches!(producer.send(of(largest + 1)).await, Err(SendError::TooLarge { .. })));
    let batch = logged_batches(kafka, &topic, 0).map(|batches| batches[0].bytes);
    assert!(batch.is_none_or(|bytes| bytes == HALF_MIB), "{batch:?}");

    // A limit of one byte less, set after the producer has looked: the same batch is refused.
    let topic = new_topic(kafka, &client, "shrunk", 1, &[]).await;
    producer.prepare(&topic).await.unwrap();
    let (owner, limit) = (ConfigOwner::Topic(&topic), (HALF_MIB - 1).to_string());
    let change = [("max.message.bytes".to_owned(), Some(limit.clone()))];
    client.admin().alter_configs(owner, change).await.unwrap();
    eventually("the broker has heard of it", PATIENCE, async || {
        let configs = client.admin().describe_configs(owner).await.unwrap();
        (configs["max.message.bytes"].value.as_ref() == Some(&limit)).then_some(())
    })
    .await;
    let refused = producer.send(ProducerRecord::new(topic.as_str(), noise(1, largest))).await.unwrap().await;
    assert!(
        matches!(refused, Err(DeliveryError::NotSent(NotSent::TooLarge { bytes: HALF_MIB }))),
        "{refused:?}"
    );

    // Many at once: batches fill, and none is too large, whatever compression does.
    let topic = new_topic(kafka, &client, "sized", 1, &[("max.message.bytes", "20000")]).await;
    producer.prepare(&topic).await.unwrap();
    let many = (0..500).map(|n| ProducerRecord::new(topic.as_str(), noise(n, 1_500)));
    let deliveries: Vec<_> = many.map(|record| producer.try_send(record).unwrap()).collect();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    if let Some(batches) = logged_batches(kafka, &topic, 0) {
        assert!(batches.iter().all(|batch| batch.bytes <= 20_000), "{batches:?}");
        assert!(batches.iter().any(|batch| batch.records == 13), "{batches:?}");
    }
}

#[tokio::test]
async fn rule_9_snappy_with_and_without_framing_is_read_by_java_and_by_us() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "snappy", 1, &[("retention.ms", "-1")]).await;
    let bare = include_bytes!("../golden/record_batch/librdkafka-snappy.bin");
    assert_ne!(&bare[61..68], b"\x82SNAPPY");
    assert_eq!(produce_raw(kafka.bootstrap(), &topic, bare).await, 0);
    let producer = client.producer().compression(Compression::Snappy).build().await.unwrap();
    for n in 0..20 {
        let record = ProducerRecord::new(topic.as_str(), format!("value {n} {}", "iron ".repeat(90)));
        producer.send(record).await.unwrap().await.unwrap();
    }
    if let Some(batches) = logged_batches(kafka, &topic, 0) {
        assert!(batches.iter().all(|batch| batch.codec == 2), "{batches:?}");
        assert_eq!((batches[0].producer_id, batches[0].records), (-1, 40));
    }
    let java = kafka.java().read(&topic, &ReadSpec::default()).await;
    assert_eq!(java.len(), 60);
    let mut consumer = client.consumer().topics([topic.as_str()]).build().await.unwrap();
    for wanted in &java {
        let read = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
        assert_eq!(
            (read.offset(), read.timestamp_ms(), read.key(), read.value()),
            (wanted.offset, wanted.timestamp_ms, wanted.key.as_deref(), wanted.value.as_deref())
        );
    }
}

#[tokio::test]
async fn rule_9_the_time_is_the_clocks_of_the_publisher_and_an_hour_ahead_is_refused() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "time", 1, &[("message.timestamp.type", "CreateTime")]).await;
    let producer = client.producer().build().await.unwrap();
    let before = now_ms();
    let ack = producer.send(ProducerRecord::new(topic.as_str(), "now")).await.unwrap().await.unwrap();
    assert!(ack.timestamp_ms.is_some_and(|time_ms| (before..=now_ms()).contains(&time_ms)), "{ack:?}");
    let ahead = ProducerRecord::new(topic.as_str(), "ahead").timestamp_ms(now_ms() + 3_700_000);
    let refused = producer.send(ahead).await.unwrap().await;
    assert!(matches!(refused, Err(DeliveryError::NotSent(_))), "{refused:?}");
    let read = kafka.java().read(&topic, &ReadSpec::default()).await;
    assert_eq!((read.len(), Some(read[0].timestamp_ms)), (1, ack.timestamp_ms));
}

/// A broker that forgets producers after a second, and records soon after.
#[tokio::test]
async fn f37_an_idle_producer_goes_on_after_its_records_and_its_id_are_forgotten() {
    require_kafka!();
    let builder = KafkaCluster::builder().set("producer.id.expiration.ms", "1000");
    let kafka = builder.set("producer.id.expiration.check.interval.ms", "200").start().await;
    let client = connect(&kafka.bootstrap()).await;
    let topic = NewTopic::new("idle", 1, 1).config("retention.ms", "1000").config("segment.ms", "500");
    client.admin().create_topic(topic).await.unwrap();
    let producer = eager(&client).await;
    let mut next = 0;
    for _ in 0..3 {
        producer.prepare("idle").await.unwrap();
        let deliveries: Vec<_> = (0..30).map(|_| producer.try_send(wide("idle", 0)).unwrap()).collect();
        for delivery in deliveries {
            assert_eq!(delivery.await.unwrap().offset, Some(next));
            next += 1;
        }
        eventually("retention took all of it", PATIENCE, async || {
            let starts = client.admin().list_offsets("idle", OffsetSpec::Earliest).await.unwrap();
            (starts[&0] == next).then_some(())
        })
        .await;
        eventually("the producer is forgotten", PATIENCE, async || {
            let bootstrap = kafka.bootstrap();
            let arguments = ["describe-producers", "--topic", "idle", "--partition", "0"];
            let arguments = [&["--bootstrap-server", &bootstrap][..], &arguments].concat();
            let tool = "org.apache.kafka.tools.TransactionsCommand";
            let told = kafka.java().tool(tool, &arguments, b"").await.expect_success();
            // The heading alone.
            (told.trim().lines().count() == 1).then_some(())
        })
        .await;
    }
    assert_eq!(ends(&client, "idle").await, [next]);
    assert_eq!(producer.metrics().loss_suspected, 0);
}

/// Has the broker append a batch as it is, and says what it answered.
async fn produce_raw(bootstrap: &str, topic: &str, batch: &'static [u8]) -> i16 {
    const VERSION: i16 = 9;
    let data = PartitionProduceData::default().with_records(Some(batch.into()));
    let topic = TopicProduceData::default()
        .with_name(StrBytes::from_string(topic.to_owned()).into())
        .with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![topic]);
    let header = RequestHeader::default().with_request_api_key(0).with_request_api_version(VERSION);
    let mut frame = BytesMut::new();
    header.with_client_id(Some("raw".into())).encode(&mut frame, 2).unwrap();
    request.encode(&mut frame, VERSION).unwrap();
    let mut stream = TcpStream::connect(bootstrap).await.unwrap();
    stream.write_u32(frame.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&frame).await.unwrap();
    let mut answer = BytesMut::zeroed(stream.read_u32().await.unwrap().try_into().unwrap());
    stream.read_exact(&mut answer).await.unwrap();
    // The correlation id, and that there are no tagged fields.
    answer.advance(5);
    let answer = ProduceResponse::decode(&mut answer.freeze(), VERSION).unwrap();
    answer.responses[0].partition_responses[0].error_code
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_8_one_bad_record_fails_alone() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;

    // KIP-467: a compacted topic names the records that have no key.
    let topic = new_topic(kafka, &client, "named", 1, &[("cleanup.policy", "compact")]).await;
    let producer = client.producer().build().await.unwrap();
    producer.prepare(&topic).await.unwrap();
    let mut deliveries = Vec::new();
    for n in 0..100 {
        let record = ProducerRecord::new(topic.as_str(), n.to_string());
        let record = if n % 10 == 3 { record } else { record.key(n.to_string()) };
        deliveries.push(producer.try_send(record).unwrap());
    }
    let mut offsets = Vec::new();
    for (n, delivery) in deliveries.into_iter().enumerate() {
        match delivery.await {
            Ok(ack) => offsets.push(ack.offset.unwrap()),
            Err(DeliveryError::NotSent(NotSent::RecordRejected { .. })) => assert_eq!(n % 10, 3),
            Err(other) => panic!("{n}: {other:?}"),
        }
    }
    assert_eq!(offsets, (0..90).collect::<Vec<_>>(), "the others, in order");

    // A limit that is lowered after it was read: what is too large is cut.
    let topic = new_topic(kafka, &client, "cut", 1, &[]).await;
    let producer = client.producer().compression(Compression::None).build().await.unwrap();
    producer.prepare(&topic).await.unwrap();
    let change = ("max.message.bytes".to_owned(), Some("2000".to_owned()));
    client.admin().alter_configs(ConfigOwner::Topic(&topic), [change]).await.unwrap();
    let deliveries: Vec<_> = (0..100)
        .map(|n| {
            let value = vec![b'x'; if n == 50 { 5_000 } else { 100 }];
            producer.try_send(ProducerRecord::new(topic.as_str(), value)).unwrap()
        })
        .collect();
    let mut offsets = Vec::new();
    for (n, delivery) in deliveries.into_iter().enumerate() {
        match delivery.await {
            Ok(ack) => offsets.push(ack.offset.unwrap()),
            Err(DeliveryError::NotSent(NotSent::TooLarge { .. })) => assert_eq!(n, 50),
            Err(other) => panic!("{n}: {other:?}"),
        }
    }
    assert_eq!(offsets, (0..99).collect::<Vec<_>>(), "the others, in order");
    assert!(producer.metrics().topics[0].batches_cut > 0);
}
