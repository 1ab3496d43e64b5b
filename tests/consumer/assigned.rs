//! Partitions read without a group.

use crate::{Fixture, next, number};
use craftwire::consumer::{ConsumeError, StartFrom, TopicPartition};
use craftwire_test_support::require_kafka;

#[tokio::test]
async fn whole_topics_are_read_from_the_start_and_then_live() {
    require_kafka!();
    let fixture = Fixture::new("whole", 3).await;
    let producer = fixture.producer().await;
    fixture.write(&producer, 3, 0..1000).await;
    let mut consumer = fixture.client.consumer().topics([fixture.topic.as_str()]).build().await.unwrap();
    let mut seen = vec![false; 1500];
    let mut last = [-1; 3];
    for _ in 0..1000 {
        let record = next(&mut consumer).await;
        let n = number(&record);
        assert!(!std::mem::replace(&mut seen[usize::try_from(n).unwrap()], true), "{n} twice");
        let partition = usize::try_from(record.partition()).unwrap();
        assert_eq!(record.offset(), last[partition] + 1);
        last[partition] = record.offset();
        assert_eq!(record.key(), Some(format!("key-{n}").as_bytes()));
        assert_eq!(record.header("n"), Some(n.to_string().as_bytes()));
    }
    fixture.write(&producer, 3, 1000..1500).await;
    for _ in 1000..1500 {
        let n = number(&next(&mut consumer).await);
        assert!(!std::mem::replace(&mut seen[usize::try_from(n).unwrap()], true), "{n} twice");
    }
    assert!(seen.iter().all(|seen| *seen));
    assert!(consumer.lag().values().all(|lag| *lag == 0), "{:?}", consumer.lag());
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn starts_are_earliest_latest_offset_and_time() {
    require_kafka!();
    let fixture = Fixture::new("starts", 1).await;
    let producer = fixture.producer().await;
    fixture.write(&producer, 1, 0..10).await;
    let builder = || fixture.client.consumer().partitions(fixture.topic.as_str(), [0]);

    let mut latest = builder().start_from(StartFrom::Latest).build().await.unwrap();
    let partition = TopicPartition::new(fixture.topic.as_str(), 0);
    while latest.position(&partition).is_none() {
        tokio::task::yield_now().await;
    }
    let mut fifth = builder().start_from(StartFrom::Offset(5)).build().await.unwrap();
    let record = next(&mut fifth).await;
    assert_eq!(record.offset(), 5);

    let at = record.timestamp_ms();
    let mut timed = builder().start_from(StartFrom::TimestampMs(at)).build().await.unwrap();
    let first = next(&mut timed).await;
    assert!(first.timestamp_ms() >= at && first.offset() <= 5, "{first:?}");

    fixture.write(&producer, 1, 10..11).await;
    assert_eq!(next(&mut latest).await.offset(), 10);
}

#[tokio::test]
async fn an_offset_that_does_not_exist_follows_the_rule() {
    require_kafka!();
    let fixture = Fixture::new("range", 1).await;
    fixture.write(&fixture.producer().await, 1, 0..10).await;
    let builder = || {
        fixture.client.consumer().partitions(fixture.topic.as_str(), [0]).start_from(StartFrom::Offset(500))
    };
    let mut failing = builder().build().await.unwrap();
    let error = failing.recv().await.unwrap().unwrap_err();
    assert!(matches!(error, ConsumeError::OffsetOutOfRange { offset: 500, .. }), "{error}");
    failing.seek(&TopicPartition::new(fixture.topic.as_str(), 0), 7).unwrap();
    assert_eq!(next(&mut failing).await.offset(), 7);

    let mut resetting = builder().on_out_of_range(StartFrom::Earliest).build().await.unwrap();
    assert_eq!(next(&mut resetting).await.offset(), 0);
}

#[tokio::test]
async fn seeking_pausing_and_resuming() {
    require_kafka!();
    let fixture = Fixture::new("seek", 2).await;
    fixture.write(&fixture.producer().await, 2, 0..200).await;
    let mut consumer = fixture.client.consumer().topics([fixture.topic.as_str()]).build().await.unwrap();
    let [zero, one] = [0, 1].map(|index| TopicPartition::new(fixture.topic.as_str(), index));
    for _ in 0..200 {
        next(&mut consumer).await;
    }
    consumer.pause(&zero).unwrap();
    consumer.seek(&zero, 90).unwrap();
    consumer.seek(&one, 95).unwrap();
    for offset in 95..100 {
        let record = next(&mut consumer).await;
        assert_eq!((record.partition(), record.offset()), (1, offset));
    }
    consumer.resume(&zero).unwrap();
    for offset in 90..100 {
        let record = next(&mut consumer).await;
        assert_eq!((record.partition(), record.offset()), (0, offset));
    }
    assert_eq!(consumer.position(&zero), Some(100));
    assert!(consumer.seek(&TopicPartition::new("other", 0), 0).is_err());
}

#[tokio::test]
async fn batches_and_records_can_be_mixed() {
    require_kafka!();
    let fixture = Fixture::new("batches", 1).await;
    fixture.write(&fixture.producer().await, 1, 0..1000).await;
    let mut consumer = fixture.client.consumer().topics([fixture.topic.as_str()]).build().await.unwrap();
    let mut expected = 0;
    while expected < 1000 {
        let record = next(&mut consumer).await;
        assert_eq!(record.offset(), expected);
        expected += 1;
        if expected == 1000 {
            break;
        }
        let batch = consumer.recv_batch().await.unwrap().unwrap();
        for record in &batch {
            assert_eq!(record.offset(), expected);
            expected += 1;
        }
    }
}
