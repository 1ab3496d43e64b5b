//! The rules of consuming, by number, where real Kafka can be brought to show them, and a topic that is made again.

use crate::common::{PATIENCE, connect, new_topic};
use craftwire::{
    Client, ProducerRecord,
    admin::NewTopic,
    consumer::{ConsumeError, Consumer, ConsumerBuilder, ConsumerEvent, GroupProtocol, StartFrom},
};
use craftwire_test_support::{require_kafka, shared_single};
use tokio::time::timeout;

async fn write(client: &Client, topic: &str, values: std::ops::Range<i64>) {
    let producer = client.producer().build().await.unwrap();
    for value in values {
        producer.send(ProducerRecord::new(topic, value.to_string())).await.unwrap().await.unwrap();
    }
}

/// Reads and acks records whose values are their offsets.
async fn read(consumer: &mut Consumer, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        let record = timeout(PATIENCE, consumer.recv()).await.expect("in time").unwrap().unwrap();
        assert_eq!((record.offset(), record.value()), (offset, Some(offset.to_string().as_bytes())));
        consumer.ack(&record);
    }
}

async fn reset(consumer: &Consumer) -> (Option<i64>, i64) {
    let mut events = consumer.events();
    let found = async {
        loop {
            if let ConsumerEvent::Reset { from, to, .. } = events.next().await.unwrap() {
                return (from, to);
            }
        }
    };
    timeout(PATIENCE, found).await.expect("told")
}

#[tokio::test]
async fn rule_15_the_policy_decides_and_what_it_gives_is_committed_at_once() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "policy", 1, &[]).await;
    write(&client, &topic, 0..20).await;
    for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
        for (rule, to) in [(StartFrom::Earliest, 0), (StartFrom::Latest, 20), (StartFrom::TimestampMs(1), 0)]
        {
            let group = kafka.unique_topic("policy");
            let member =
                || client.consumer().group(group.as_str()).group_protocol(protocol).topics([topic.as_str()]);
            let first = member().start_from(rule).commit_interval(None).build().await.unwrap();
            assert_eq!(reset(&first).await, (None, to), "{rule:?}");
            // Nothing was read. Closing commits no more than was committed at once, and gives way sooner than a crash.
            first.close().await.unwrap();
            let mut second = member().start_from(StartFrom::Fail).build().await.unwrap();
            if to == 0 {
                read(&mut second, 0..20).await;
            }
            second.close().await.unwrap();
        }
    }
    let failing = || client.consumer().partitions(topic.as_str(), [0]).start_from(StartFrom::Offset(500));
    let mut failing_one = failing().build().await.unwrap();
    let error = timeout(PATIENCE, failing_one.recv()).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, ConsumeError::OffsetOutOfRange { offset: 500, .. }), "{error}");
    let latest = failing().on_out_of_range(StartFrom::Latest).build().await.unwrap();
    assert_eq!(reset(&latest).await, (Some(500), 20));
}

#[tokio::test]
async fn a_topic_that_is_made_again_is_read_from_its_start() {
    require_kafka!();
    let kafka = shared_single().await;
    let protocols = [None, Some(GroupProtocol::Consumer), Some(GroupProtocol::Classic)];
    for protocol in protocols {
        // The one that deletes is another program.
        let (client, other) = (connect(kafka.bootstrap()).await, connect(kafka.bootstrap()).await);
        let topic = new_topic(kafka, &other, "again", 1, &[]).await;
        write(&other, &topic, 0..10).await;
        let set = |builder: ConsumerBuilder| match protocol {
            Some(protocol) => builder.group(topic.as_str()).group_protocol(protocol),
            None => builder,
        };
        let mut consumer = set(client.consumer().topics([topic.as_str()])).build().await.unwrap();
        read(&mut consumer, 0..10).await;
        if protocol.is_some() {
            consumer.commit().await.unwrap();
        }
        other.admin().delete_topic(&topic).await.unwrap();
        other.admin().create_topic(NewTopic::new(&topic, 1, 1)).await.unwrap();
        let writer = connect(kafka.bootstrap()).await;
        write(&writer, &topic, 0..5).await;
        read(&mut consumer, 0..5).await;
        write(&writer, &topic, 5..20).await;
        read(&mut consumer, 5..20).await;
        consumer.close().await.unwrap();
    }
}
