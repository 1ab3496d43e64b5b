//! Topics that come, go and come again, and partitions without a leader, on the mock in virtual time.

use crate::recorder::{PATIENCE, SECOND, client, next, pass, start, told, write};
use craftwire::{
    consumer::{
        ConsumeError, Consumer, ConsumerBuilder, ConsumerEvent, GroupProtocol, StartFrom, TopicPartition,
    },
    mock::{Api, MockCluster},
};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::{advance, timeout};

const MS: Duration = Duration::from_millis(1);

/// A consumer that has read ten records of each of two partitions when the topic is deleted, and made again after a while
/// with five other records each.
async fn recreated(
    set: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder,
    after: Duration,
) -> (MockCluster, Consumer) {
    let mock = start(MockCluster::builder().brokers(2).topic("t", 2).heartbeat_interval(SECOND));
    (0..2).for_each(|partition| write(&mock, partition, 0..10));
    let client = client(&mock).await;
    let mut consumer = set(client.consumer()).build().await.unwrap();
    for _ in 0..20 {
        let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
        consumer.ack(&record);
    }
    pass(2 * SECOND).await;
    assert!(mock.delete_topic("t"));
    pass(after).await;
    mock.create_topic("t", 2).unwrap();
    (0..2).for_each(|partition| write(&mock, partition, 0..5));
    (mock, consumer)
}

async fn read_all(consumer: &mut Consumer, offsets: std::ops::Range<i64>) {
    let mut read = BTreeSet::new();
    let expected: BTreeSet<_> = (0..2).flat_map(|p| offsets.clone().map(move |offset| (p, offset))).collect();
    while read != expected {
        assert!(read.insert(next(consumer).await), "{read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_made_again_is_read_from_where_the_policy_says() {
    for after in [Duration::ZERO, 40 * MS, 3 * SECOND, 120 * SECOND] {
        let (mock, mut consumer) = recreated(|builder| builder.topics(["t"]), after).await;
        read_all(&mut consumer, 0..5).await;
        (0..2).for_each(|partition| write(&mock, partition, 5..8));
        read_all(&mut consumer, 5..8).await;
        let reset = told(&consumer, |event| match event {
            ConsumerEvent::Reset { from: Some(from), to, .. } => Some((*from, *to)),
            _ => None,
        });
        assert_eq!(reset.await, (10, 0), "after {after:?}");

        let (mock, mut consumer) =
            recreated(|builder| builder.topics(["t"]).on_out_of_range(StartFrom::Latest), after).await;
        let end = |event: &ConsumerEvent| matches!(event, ConsumerEvent::Reset { to: 5, .. }).then_some(());
        told(&consumer, end).await;
        told(&consumer, end).await;
        (0..2).for_each(|partition| write(&mock, partition, 5..8));
        read_all(&mut consumer, 5..8).await;

        let fail =
            |builder: ConsumerBuilder| builder.partitions("t", [0, 1]).on_out_of_range(StartFrom::Fail);
        let (_mock, mut consumer) = recreated(fail, after).await;
        let mut stopped = BTreeSet::new();
        while stopped.len() < 2 {
            match timeout(PATIENCE, consumer.recv()).await.expect("told").unwrap().unwrap_err() {
                ConsumeError::OffsetOutOfRange { partition, offset: 10 } => stopped.insert(partition),
                error => panic!("{error}"),
            };
        }
        stopped.iter().for_each(|name| consumer.seek(name, 0).unwrap());
        read_all(&mut consumer, 0..5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_reads_a_topic_that_is_made_again_from_its_start() {
    for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
        for after in [Duration::ZERO, 3 * SECOND, 120 * SECOND] {
            let member = |builder: ConsumerBuilder| builder.group("g").group_protocol(protocol).topics(["t"]);
            let (mock, mut consumer) = recreated(member, after).await;
            read_all(&mut consumer, 0..5).await;
            (0..2).for_each(|partition| write(&mock, partition, 5..8));
            read_all(&mut consumer, 5..8).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_made_again_with_other_partitions_is_read_whole() {
    for count in [1, 4] {
        let mock = start(MockCluster::builder().topic("t", 2));
        (0..2).for_each(|partition| write(&mock, partition, 0..3));
        let mut consumer = client(&mock).await.consumer().topics(["t"]).build().await.unwrap();
        read_all(&mut consumer, 0..3).await;
        mock.delete_topic("t");
        pass(SECOND).await;
        mock.create_topic("t", count).unwrap();
        (0..count).for_each(|partition| write(&mock, partition, 0..3));
        let mut read = BTreeSet::new();
        for _ in 0..count * 3 {
            assert!(read.insert(next(&mut consumer).await), "{read:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_made_a_moment_later_is_found() {
    let mock = start(MockCluster::builder());
    let client = client(&mock).await;
    let build = client.consumer().topics(["t"]).build();
    let make = async {
        pass(3 * SECOND).await;
        mock.create_topic("t", 1).unwrap();
        write(&mock, 0, 0..1);
    };
    let (built, ()) = tokio::join!(build, make);
    assert_eq!(next(&mut built.unwrap()).await, (0, 0));

    let error = client.consumer().topics(["nowhere"]).build().await.unwrap_err();
    assert!(error.is_retriable() && matches!(error, ConsumeError::Start(_)), "{error}");
    mock.create_topic("nowhere", 1).unwrap();
    client.consumer().topics(["nowhere"]).build().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn partitions_without_a_leader_keep_nobody_from_the_others() {
    for group in [None, Some("g")] {
        let mock = start(MockCluster::builder().brokers(2).topic("t", 4));
        (0..4).for_each(|partition| write(&mock, partition, 0..3));
        mock.hide_leader("t", 1, 40).unwrap();
        let client = client(&mock).await;
        let builder = client.consumer().topics(["t"]);
        let builder = group.map_or(builder.clone(), |group| builder.group(group));
        let from = tokio::time::Instant::now();
        let mut consumer = builder.build().await.unwrap();
        let mut read = BTreeSet::new();
        for _ in 0..9 {
            read.insert(next(&mut consumer).await);
        }
        assert!(read.iter().all(|(partition, _)| *partition != 1) && read.len() == 9, "{read:?}");
        assert!(from.elapsed() <= 2 * SECOND, "{:?}", from.elapsed());
        for offset in 0..3 {
            assert_eq!(next(&mut consumer).await, (1, offset));
        }
        assert_eq!(consumer.position(&TopicPartition::new("t", 1)), Some(3));
        assert!(mock.request_count(Api::Metadata) < 100);
        advance(MS).await;
    }
}
