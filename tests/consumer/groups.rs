//! Group members: sharing, committing, moving partitions.

use crate::{Fixture, PATIENCE, next, number};
use craftwire::{
    Client,
    consumer::{Consumer, ConsumerEvent, StartFrom, TopicPartition},
};
use craftwire_test_support::require_kafka;
use std::collections::BTreeSet;
use tokio::{runtime::Runtime, time::timeout};

async fn member(fixture: &Fixture, group: &str) -> Consumer {
    fixture.client.consumer().group(group).topics([fixture.topic.as_str()]).build().await.unwrap()
}

/// Waits until the member has so many partitions.
async fn settle(member: &Consumer, count: usize) {
    let mut events = member.events();
    while member.assignment().len() != count {
        timeout(PATIENCE, events.next()).await.expect("the group settles");
    }
}

#[tokio::test]
async fn what_was_acked_and_committed_is_where_the_next_member_starts() {
    require_kafka!();
    let fixture = Fixture::new("commit", 1).await;
    let producer = fixture.producer().await;
    fixture.write(&producer, 1, 0..100).await;
    let group = fixture.kafka.unique_topic("g");
    let mut consumer = member(&fixture, &group).await;
    for n in 0..50 {
        let record = next(&mut consumer).await;
        assert_eq!(number(&record), n);
        if n < 40 {
            assert!(consumer.ack(&record));
        }
    }
    consumer.commit().await.unwrap();
    consumer.close().await.unwrap();

    let mut consumer = member(&fixture, &group).await;
    assert_eq!(number(&next(&mut consumer).await), 40);
    let record = next(&mut consumer).await;
    assert!(consumer.ack(&record), "41, but 40 is open");
    consumer.close().await.unwrap();

    let mut consumer = member(&fixture, &group).await;
    assert_eq!(number(&next(&mut consumer).await), 40);
}

#[tokio::test]
async fn closing_commits_and_a_dropped_member_gives_its_partitions_back() {
    require_kafka!();
    let fixture = Fixture::new("close", 1).await;
    fixture.write(&fixture.producer().await, 1, 0..10).await;
    let group = fixture.kafka.unique_topic("g");
    let mut first = member(&fixture, &group).await;
    for _ in 0..5 {
        let record = next(&mut first).await;
        first.ack(&record);
    }
    drop(first);
    let mut second = member(&fixture, &group).await;
    assert_eq!(number(&next(&mut second).await), 5);
}

#[tokio::test]
async fn a_position_that_was_resolved_is_committed_at_once() {
    require_kafka!();
    let fixture = Fixture::new("resolved", 1).await;
    let producer = fixture.producer().await;
    fixture.write(&producer, 1, 0..10).await;
    let group = fixture.kafka.unique_topic("g");
    let (bootstrap, topic) = (fixture.kafka.bootstrap().to_owned(), fixture.topic.clone());
    let latest = async move |client: &Client, topic: &str, group: &str| {
        let consumer = client.consumer().group(group).topics([topic]);
        consumer.start_from(StartFrom::Latest).commit_interval(None).build().await.unwrap()
    };
    // A runtime that ends without notice is as good as a process that does.
    let name = group.clone();
    let crash = tokio::task::spawn_blocking(move || {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let client = Client::connect(&bootstrap).await.unwrap();
            let consumer = latest(&client, &topic, &name).await;
            while client.admin().group_offsets(&name, &topic).await.unwrap().get(&0) != Some(&10) {}
            std::mem::forget(consumer);
        });
        runtime.shutdown_background();
    });
    timeout(PATIENCE, crash).await.expect("the position is committed").unwrap();
    fixture.write(&producer, 1, 10..11).await;
    let mut consumer = latest(&fixture.client, &fixture.topic, &group).await;
    assert_eq!(number(&next(&mut consumer).await), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_and_take_over_without_loss_or_double_delivery() {
    require_kafka!();
    let fixture = Fixture::new("share", 6).await;
    let producer = fixture.producer().await;
    fixture.write(&producer, 6, 0..600).await;
    let group = fixture.kafka.unique_topic("g");

    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let spawn = |mut consumer: Consumer| {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(record) = consumer.recv().await {
                let record = record.unwrap();
                assert!(consumer.ack(&record), "handed out after a revoke");
                sender.send(number(&record)).unwrap();
            }
        })
    };
    let mut all = BTreeSet::new();
    let mut collect = async |count: usize| {
        let collected = async {
            while all.len() < count {
                let n = seen.recv().await.unwrap();
                assert!(all.insert(n), "{n} twice");
            }
        };
        timeout(PATIENCE, collected).await.unwrap_or_else(|_| panic!("not all came: {count}"));
    };

    let first = member(&fixture, &group).await;
    settle(&first, 6).await;
    let mut first_events = first.events();
    spawn(first);
    collect(600).await;

    let second = member(&fixture, &group).await;
    settle(&second, 3).await;
    let revoked = async {
        loop {
            if let Some(ConsumerEvent::Revoked(partitions)) = first_events.next().await {
                return partitions;
            }
        }
    };
    let revoked: BTreeSet<TopicPartition> = timeout(PATIENCE, revoked).await.unwrap().into_iter().collect();
    assert_eq!(revoked, second.assignment().into_iter().collect());
    let second = spawn(second);
    fixture.write(&producer, 6, 600..1200).await;
    collect(1200).await;

    // The second is gone without a word; the first takes over when its session has ended, or it left as it was dropped.
    second.abort();
    fixture.write(&producer, 6, 1200..1800).await;
    collect(1800).await;
}
