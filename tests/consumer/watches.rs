//! It cannot stall in silence: partitions that do not go forward and applications that do not ask are told, on the mock in
//! virtual time.

use crate::faults::{Fixture, PATIENCE, Seen};
use craftwire::{
    consumer::{ConsumeError, Consumer, ConsumerEvent, Events, StallCause, TopicPartition},
    error::ErrorCode,
    mock::{Api, Hooked},
};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

const SECOND: Duration = Duration::from_secs(1);

async fn pass(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

/// The next event that is about a stall: whose, and why; `None` for its end.
async fn stall(events: &mut Events) -> (TopicPartition, Option<StallCause>) {
    let found = async {
        loop {
            match events.next().await.expect("the consumer goes on") {
                ConsumerEvent::Stalled { partition, cause, after } => {
                    assert!(after >= 30 * SECOND && after < 60 * SECOND, "{after:?}");
                    return (partition, Some(cause));
                }
                ConsumerEvent::Resumed { partition } => return (partition, None),
                _ => {}
            }
        }
    };
    timeout(PATIENCE, found).await.expect("a stall is told in time")
}

/// What `recv` says when it is no record.
async fn error(consumer: &mut Consumer) -> ConsumeError {
    timeout(PATIENCE, consumer.recv()).await.expect("in time").expect("the consumer goes on").unwrap_err()
}

fn stalled(consumer: &Consumer) -> Vec<Option<StallCause>> {
    consumer.metrics().partitions.iter().map(|partition| partition.stalled).collect()
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_gives_nothing_is_an_event_a_count_and_past_the_limit_an_error() {
    let mut fixture = Fixture::new().await;
    fixture.write(1);
    let mut consumer = fixture.client.consumer().partitions("t", [0]).build().await.unwrap();
    let mut events = consumer.events();
    Seen::default().read(&mut consumer, 1, false).await;
    let silence = fixture.mock.on(Api::Fetch).always().drop_before();
    pass(SECOND).await; // the fetch that was held back already is answered
    fixture.write(1);
    let (partition, cause) = stall(&mut events).await;
    assert_eq!((partition.partition, cause), (0, Some(StallCause::Broker)));
    assert_eq!((consumer.metrics().stalls, stalled(&consumer)), (1, vec![cause]));

    let told = error(&mut consumer).await;
    let ConsumeError::Stalled { cause: StallCause::Broker, after, .. } = &told else { panic!("{told}") };
    assert!(*after >= 300 * SECOND && *after < 330 * SECOND, "{after:?}");
    assert!(told.is_retriable() && !told.is_fatal());

    silence.remove();
    let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(record.offset(), 1, "it was tried on");
    // Being asked for records again, it has none; that ends the stall.
    let waits = timeout(60 * SECOND, consumer.recv()).await;
    assert!(waits.is_err(), "{waits:?}");
    assert_eq!(stall(&mut events).await, (partition, None));
    let metrics = consumer.metrics();
    assert_eq!((metrics.stalls, metrics.records, metrics.partitions[0].stalls), (1, 2, 1));
    assert_eq!(stalled(&consumer), [None]);
}

#[tokio::test(start_paused = true)]
async fn records_that_are_not_taken_are_the_applications_stall_and_never_an_error() {
    let mut fixture = Fixture::new().await;
    fixture.write(2);
    let mut consumer = fixture.client.consumer().partitions("t", [0]).build().await.unwrap();
    let mut events = consumer.events();
    let record = consumer.recv().await.unwrap().unwrap();
    assert_eq!(record.offset(), 0);
    let (partition, cause) = stall(&mut events).await;
    assert_eq!((partition.partition, cause), (0, Some(StallCause::Application)));
    pass(1000 * SECOND).await;
    let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(record.offset(), 1);
    assert!(timeout(60 * SECOND, consumer.recv()).await.is_err(), "no error is left");
    assert_eq!(stall(&mut events).await, (partition, None));
}

#[tokio::test(start_paused = true)]
async fn a_committed_offset_that_nobody_tells_is_a_stall() {
    let mut fixture = Fixture::new().await;
    fixture.write(1);
    let hook = fixture.mock.on(Api::OffsetFetch).always();
    let hook: Hooked = hook.fail_partition("t", 2, ErrorCode::UNSTABLE_OFFSET_COMMIT);
    let mut consumer = fixture.member().build().await.unwrap();
    let mut events = consumer.events();
    Seen::default().read(&mut consumer, 3, false).await;
    let (partition, cause) = stall(&mut events).await;
    assert_eq!((partition.partition, cause), (2, Some(StallCause::Position)));
    hook.remove();
    let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(record.partition(), 2);
}

#[tokio::test(start_paused = true)]
async fn records_behind_an_open_transaction_are_a_stall_of_its_own_kind() {
    let fixture = Fixture::new().await;
    let mut open = fixture.mock.transaction();
    open.append("t", 0, None, Some(b"0")).unwrap();
    let mut consumer = fixture.client.consumer().partitions("t", [0]).build().await.unwrap();
    let mut events = consumer.events();
    let (_, cause) = stall(&mut events).await;
    assert_eq!(cause, Some(StallCause::OpenTransaction));
    open.commit().unwrap();
    assert_eq!(timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap().offset(), 0);
}

#[tokio::test(start_paused = true)]
async fn idle_paused_and_seekable_partitions_are_not_stalled() {
    let mut fixture = Fixture::new().await;
    let builder = fixture.client.consumer().partitions("t", [0, 1]);
    let mut consumer = builder.max_poll_interval(None).build().await.unwrap();
    let paused = TopicPartition::new("t", 1);
    consumer.pause(&paused).unwrap();
    fixture.write(5);
    let mut seen = Seen::default();
    seen.read(&mut consumer, 5, false).await;
    assert!(timeout(5000 * SECOND, consumer.recv()).await.is_err());
    assert_eq!((consumer.metrics().stalls, stalled(&consumer)), (0, vec![None, None]));
    consumer.resume(&paused).unwrap();
    seen.read(&mut consumer, 5, false).await;
}

#[tokio::test(start_paused = true)]
async fn f33_a_handler_far_too_slow_stays_in_its_group_and_is_told_and_holds_no_more_memory() {
    let mut fixture = Fixture::new().await;
    fixture.write(1000);
    let mut consumer =
        fixture.member().buffer_bytes(1 << 20).partition_buffer_bytes(2_000).build().await.unwrap();
    let mut events = consumer.events();
    let mut seen = Seen::default();
    let (mut late, mut lost) = (0, 0);
    for _ in 0..5 {
        seen.read(&mut consumer, 1, false).await;
        pass(400 * SECOND).await;
        let metrics = consumer.metrics();
        assert!(metrics.buffered_bytes <= metrics.buffer_bytes, "{metrics:?}");
    }
    let drained = async {
        while let Some(event) = events.next().await {
            match event {
                ConsumerEvent::MaxPollExceeded { after } => {
                    assert!(after >= 300 * SECOND && after < 340 * SECOND, "{after:?}");
                    late += 1;
                }
                ConsumerEvent::Revoked(_) | ConsumerEvent::Lost(_) => lost += 1,
                _ => {}
            }
        }
    };
    assert!(timeout(SECOND, drained).await.is_err());
    assert_eq!((late, lost), (5, 0));
    assert_eq!(consumer.metrics().max_polls_exceeded, 5);
    assert_eq!(consumer.assignment().len(), 4);
    consumer.commit().await.unwrap();
    assert_eq!(fixture.committed(), 5);
}

#[tokio::test(start_paused = true)]
async fn f33_a_handler_far_too_slow_leaves_cleanly_if_it_shall() {
    let mut fixture = Fixture::new().await;
    fixture.write(10);
    let builder = fixture.member().commit_interval(None).max_poll_interval(10 * SECOND);
    let mut slow = builder.leave_after_max_poll(true).build().await.unwrap();
    let mut seen = Seen::default();
    seen.read(&mut slow, 6, false).await;
    pass(20 * SECOND).await;
    assert!(fixture.mock.assignments("g").is_empty(), "it has left");
    assert_eq!(fixture.committed(), 6, "what was finished is committed");
    let told = error(&mut slow).await;
    assert!(matches!(told, ConsumeError::MaxPollExceeded { .. }) && told.is_fatal(), "{told}");
    assert!(slow.recv().await.is_none());

    let mut next = fixture.member().build().await.unwrap();
    seen.read_all(&mut next, &fixture.written, false).await;
}

#[tokio::test(start_paused = true)]
async fn an_application_that_waits_for_records_is_not_late() {
    let mut fixture = Fixture::new().await;
    let mut consumer = fixture.member().leave_after_max_poll(true).build().await.unwrap();
    for _ in 0..3 {
        assert!(timeout(2000 * SECOND, consumer.recv()).await.is_err());
        fixture.write(1);
        Seen(fixture.written.iter().map(|(&index, &end)| (index, end - 1)).collect())
            .read(&mut consumer, 4, false)
            .await;
    }
    assert_eq!(consumer.metrics().max_polls_exceeded, 0);
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_of_each_partition_and_broker() {
    let mut fixture = Fixture::new().await;
    fixture.write(3);
    let mut consumer = fixture.client.consumer().topics(["t"]).build().await.unwrap();
    Seen::default().read(&mut consumer, 10, false).await;
    let metrics = consumer.metrics();
    assert_eq!((metrics.records, metrics.partitions.len()), (10, 4));
    assert_eq!(metrics.partitions.iter().map(|partition| partition.records).sum::<u64>(), 10);
    assert_eq!(metrics.partitions.iter().map(|partition| partition.lag.unwrap()).sum::<i64>(), 2);
    assert_eq!(metrics.partitions.iter().map(|partition| partition.bytes).sum::<u64>(), metrics.bytes);
    assert_eq!(metrics.brokers.iter().map(|broker| broker.bytes).sum::<u64>(), metrics.bytes);
    assert_eq!(metrics.brokers.len(), 3);
    for broker in &metrics.brokers {
        assert!(broker.answers > 0 && broker.fetches >= broker.answers, "{broker:?}");
    }
    for partition in &metrics.partitions {
        let position = consumer.position(&partition.partition);
        assert_eq!((partition.position, partition.lag), (position, position.map(|it| 3 - it)));
        assert!(
            partition.broker_id.is_some() && !partition.is_paused && partition.fetches > 0,
            "{partition:?}"
        );
    }
}
