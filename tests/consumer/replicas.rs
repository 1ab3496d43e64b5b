//! Replicas, leaders and logs that are cut: a reader sees what all replicas in sync have, and is told what was lost.

use craftwire::{
    Client,
    consumer::{ConsumeError, Consumer, ConsumerEvent, StartFrom},
    mock::MockCluster,
};
use std::time::Duration;
use tokio::time::{advance, timeout};

/// In virtual time, so it costs nothing.
const PATIENCE: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);

async fn reader(mock: &MockCluster) -> Consumer {
    let client = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap();
    client.consumer().topics(["t"]).start_from(StartFrom::Earliest).build().await.unwrap()
}

fn mock() -> MockCluster {
    MockCluster::builder().brokers(3).topic("t", 1).start_in_memory().unwrap()
}

fn write(mock: &MockCluster, values: std::ops::Range<i64>) {
    for value in values {
        mock.append("t", 0, None, Some(value.to_string().as_bytes())).unwrap();
    }
}

/// The next record's (offset, value).
async fn next(consumer: &mut Consumer) -> (i64, String) {
    let record = timeout(PATIENCE, consumer.recv()).await.expect("a record in time").unwrap().unwrap();
    (record.offset(), String::from_utf8(record.value().unwrap().to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_before_all_replicas_in_sync_have_it() {
    let mock = mock();
    let mut consumer = reader(&mock).await;
    write(&mock, 0..1);
    assert_eq!(next(&mut consumer).await.0, 0);
    mock.set_broker_replication_lag(3, 5 * SECOND);
    write(&mock, 1..2);
    let started = tokio::time::Instant::now();
    assert_eq!(next(&mut consumer).await.0, 1);
    assert!(started.elapsed() >= 5 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_killed_or_frozen_loses_and_repeats_nothing_that_was_read() {
    let mock = mock();
    mock.set_replication_lag(Duration::from_millis(40));
    let mut consumer = reader(&mock).await;
    let mut expected = 0;
    for round in 0..6 {
        write(&mock, expected..expected + 10);
        advance(SECOND).await;
        let leader = mock.leader("t", 0).unwrap();
        if round % 2 == 0 {
            mock.pause_broker(leader);
        } else {
            mock.kill_broker(leader);
        }
        for _ in 0..10 {
            assert_eq!(next(&mut consumer).await, (expected, expected.to_string()));
            expected += 1;
        }
        advance(10 * SECOND).await;
        assert_ne!(mock.leader("t", 0), Some(leader));
        mock.resume_broker(leader);
        mock.start_broker(leader).unwrap();
        advance(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f4_a_log_that_was_cut_is_told_and_read_on_from_where_it_was_cut() {
    let mock = mock();
    let mut consumer = reader(&mock).await;
    let mut events = consumer.events();
    write(&mock, 0..5);
    for offset in 0..5 {
        assert_eq!(next(&mut consumer).await.0, offset);
    }
    mock.stop_broker(2);
    mock.stop_broker(3);
    write(&mock, 5..9);
    for offset in 5..9 {
        assert_eq!(next(&mut consumer).await.0, offset);
    }
    mock.stop_broker(1);
    mock.start_broker(2).unwrap();
    assert_eq!(mock.elect_unclean_leader("t", 0, 2), Ok(4));
    write(&mock, 100..103);
    let error = timeout(PATIENCE, consumer.recv()).await.expect("in time").unwrap().unwrap_err();
    assert!(matches!(error, ConsumeError::LogTruncated { from: 9, to: 5, .. }), "{error}");
    for (offset, value) in [(5, "100"), (6, "101"), (7, "102")] {
        assert_eq!(next(&mut consumer).await, (offset, value.to_owned()));
    }
    let truncated = async {
        loop {
            if let ConsumerEvent::Truncated { from, to, .. } = events.next().await.unwrap() {
                return (from, to);
            }
        }
    };
    assert_eq!(timeout(PATIENCE, truncated).await.expect("it is told"), (9, 5));
}
