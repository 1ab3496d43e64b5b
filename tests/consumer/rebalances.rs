//! Revokes, commits and answers that meet at the wrong moment, on the mock in virtual time.

use crate::{
    faults::{Fixture, PARTITIONS, PATIENCE, Seen},
    recorder::{SECOND, pass, told},
};
use craftwire::{
    consumer::{Consumer, ConsumerEvent, ConsumerRecord},
    error::ErrorCode,
    mock::{Api, Call},
};
use kafka_protocol::{
    messages::OffsetFetchResponse,
    protocol::{Decodable, Encodable},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI16, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::timeout;

const MS: Duration = Duration::from_millis(1);

/// The second record of each partition, not acked; the first is, so that acks are known to come.
async fn hold_one_each(consumer: &mut Consumer) -> Vec<ConsumerRecord> {
    let mut held: Vec<ConsumerRecord> = Vec::new();
    while held.len() < usize::try_from(PARTITIONS).unwrap() {
        let record = timeout(PATIENCE, consumer.recv()).await.expect("in time").unwrap().unwrap();
        match record.offset() {
            0 => assert!(consumer.ack(&record)),
            1 => held.push(record),
            _ => {}
        }
    }
    held
}

/// The partitions that the consumer was told it has to give away.
async fn revoked(consumer: &Consumer) -> Vec<i32> {
    let revoked = told(consumer, |event| match event {
        ConsumerEvent::Revoked(names) => Some(names.clone()),
        _ => None,
    });
    revoked.await.into_iter().map(|name| name.partition).collect()
}

#[tokio::test(start_paused = true)]
async fn f28_a_coordinator_that_dies_while_a_member_joins_commits_and_leaves() {
    let mut fixture = Fixture::new().await;
    fixture.write(10);
    fixture.mock.move_coordinator("g", 1);
    let mut seen = Seen::default();
    for (round, coordinator) in [1, 2, 3].into_iter().enumerate() {
        fixture.mock.move_coordinator("g", coordinator);
        let stop = move |mock: &craftwire::mock::MockCluster| {
            mock.move_coordinator("g", coordinator % 3 + 1);
            mock.stop_broker(coordinator);
        };
        // It dies at the first of these, each round at another.
        let api = [Api::ConsumerGroupHeartbeat, Api::OffsetFetch, Api::OffsetCommit][round];
        let hook = fixture.mock.on(api).then_after(stop);
        let mut consumer = fixture.member().build().await.unwrap();
        fixture.write(10);
        seen.read_all(&mut consumer, &fixture.written, true).await;
        timeout(PATIENCE, consumer.commit()).await.expect("in time").unwrap();
        assert_eq!(fixture.committed(), fixture.written.values().sum::<i64>());
        assert_eq!(hook.hits(), 1, "{api:?}");
        let leaves = fixture.mock.on(Api::ConsumerGroupHeartbeat).disconnect_before();
        consumer.close().await.unwrap();
        assert_eq!(leaves.hits(), 1);
        assert!(fixture.mock.assignments("g").is_empty(), "it left");
        fixture.mock.start_broker(coordinator).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn f30_a_revoke_waits_for_the_handler_and_what_comes_later_counts_for_nothing() {
    for is_late in [false, true] {
        let mut fixture = Fixture::new().await;
        fixture.write(5);
        let mut first = fixture.member().commit_interval(None).build().await.unwrap();
        let held = hold_one_each(&mut first).await;
        let mut second = fixture.member().build().await.unwrap();
        let gone = revoked(&first).await;
        assert_eq!(gone.len(), 2);
        pass(if is_late { SECOND } else { 300 * MS }).await;
        for record in &held {
            let counts = !is_late || !gone.contains(&record.partition());
            assert_eq!(first.ack(record), counts, "of {}", record.partition());
        }
        while second.assignment().len() < 2 {
            pass(100 * MS).await;
        }
        for &partition in &gone {
            let committed = fixture.mock.committed("g", "t", partition).unwrap();
            assert_eq!(committed, 1 + i64::from(!is_late), "of {partition}");
        }
        // The new owner begins there, and the old one hands out nothing of it.
        let next = timeout(PATIENCE, second.recv()).await.unwrap().unwrap().unwrap();
        assert!(gone.contains(&next.partition()) && next.offset() == 1 + i64::from(!is_late), "{next:?}");
        while let Ok(record) = timeout(SECOND, first.recv()).await {
            let record = record.unwrap().unwrap();
            assert!(!gone.contains(&record.partition()), "{} after the revoke", record.partition());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f30_a_revoke_during_a_commit_and_during_close_hands_over_what_was_finished() {
    for closes in [false, true] {
        let mut fixture = Fixture::new().await;
        fixture.write(5);
        let mut first = fixture.member().commit_interval(None).build().await.unwrap();
        let mut seen = Seen::default();
        seen.read_all(&mut first, &fixture.written, false).await;
        // The commit is under way when the revoke comes, and answered after it.
        drop(fixture.mock.on(Api::OffsetCommit).delay(3 * SECOND));
        let second = async {
            pass(100 * MS).await;
            fixture.member().build().await.unwrap()
        };
        let mut second = if closes {
            let (closed, second) = tokio::join!(first.close(), second);
            closed.unwrap();
            second
        } else {
            let (committed, second) = tokio::join!(first.commit(), second);
            committed.unwrap();
            assert_eq!(revoked(&first).await.len(), 2);
            second
        };
        assert_eq!(fixture.committed(), 20);
        fixture.write(1);
        // All that comes is new.
        while let Ok(record) = timeout(10 * SECOND, second.recv()).await {
            assert_eq!(record.unwrap().unwrap().offset(), 5);
        }
    }
}

/// librdkafka 0148: the answer to a heartbeat came after the member had left.
#[tokio::test(start_paused = true)]
async fn f30_a_heartbeat_answered_after_the_leave_brings_nothing_back() {
    let mut fixture = Fixture::new().await;
    fixture.write(5);
    let mut consumer = fixture.member().build().await.unwrap();
    let mut events = consumer.events();
    Seen::default().read_all(&mut consumer, &fixture.written, false).await;
    drop(fixture.mock.on(Api::ConsumerGroupHeartbeat).delay(4 * SECOND));
    pass(6 * SECOND).await; // one is under way
    let closed = timeout(PATIENCE, consumer.close()).await.expect("in time");
    closed.unwrap();
    pass(30 * SECOND).await;
    assert!(fixture.mock.assignments("g").is_empty(), "it stays gone");
    let mut assigned = 0;
    while let Some(event) = events.next().await {
        assigned += usize::from(matches!(event, ConsumerEvent::Assigned(_)));
    }
    assert_eq!(assigned, 1);
}

#[tokio::test(start_paused = true)]
async fn f31_commits_refused_for_a_stale_membership_never_go_back() {
    for code in [
        ErrorCode::ILLEGAL_GENERATION,
        ErrorCode::UNKNOWN_MEMBER_ID,
        ErrorCode::FENCED_MEMBER_EPOCH,
        ErrorCode::STALE_MEMBER_EPOCH,
    ] {
        let mut fixture = Fixture::new().await;
        let mut consumer = fixture.member().commit_interval(50 * MS).build().await.unwrap();
        let mut seen = Seen::default();
        let mut committed = 0;
        for round in 0..6 {
            fixture.write(5);
            if round % 2 == 1 {
                // Once it took effect and the answer says that it did not, once it did not.
                let on = fixture.mock.on(Api::OffsetCommit).skip(u64::from(round == 3));
                drop(if round == 5 { on.fail_after(code) } else { on.fail(code) });
                drop(fixture.mock.on(Api::OffsetCommit).skip(1).delay(200 * MS));
            }
            seen.read_all(&mut consumer, &fixture.written, true).await;
            pass(200 * MS).await;
            let now = fixture.committed();
            assert!(now >= committed, "{code}: {committed} to {now}");
            committed = now;
        }
        let _tried = timeout(PATIENCE, consumer.commit()).await.expect("in time");
        // What was dropped with its membership comes again.
        fixture.write(1);
        seen.read_all(&mut consumer, &fixture.written, true).await;
        pass(10 * SECOND).await;
        if !consumer.lag().values().all(|lag| *lag == 0) {
            while let Ok(record) = timeout(SECOND, consumer.recv()).await {
                consumer.ack(&record.unwrap().unwrap());
            }
        }
        assert_eq!(fixture.committed(), fixture.written.values().sum::<i64>(), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn f32_a_partition_that_the_offsets_answer_omits_is_asked_for_again() {
    let mut fixture = Fixture::new().await;
    fixture.write(10);
    let mut first = fixture.member().build().await.unwrap();
    Seen::default().read_all(&mut first, &fixture.written, false).await;
    first.close().await.unwrap();
    assert_eq!(fixture.committed(), 40);
    let version = Arc::new(AtomicI16::new(0));
    let heard = version.clone();
    let hears = move |call: &Call| {
        heard.store(call.version(), SeqCst);
        true
    };
    let omitted = fixture.mock.on(Api::OffsetFetch).times(5).when(hears).rewrite(move |body| {
        let version = version.load(SeqCst);
        let mut answer =
            OffsetFetchResponse::decode(&mut bytes::Bytes::copy_from_slice(body), version).unwrap();
        for topic in answer.groups.iter_mut().flat_map(|group| group.topics.iter_mut()) {
            topic.partitions.retain(|partition| partition.partition_index != 2);
        }
        let mut rewritten = Vec::new();
        answer.encode(&mut rewritten, version).unwrap();
        rewritten
    });
    let mut second = fixture.member().build().await.unwrap();
    let mut seen = Seen((0..PARTITIONS).map(|partition| (partition, 10)).collect());
    fixture.write(5);
    seen.read_all(&mut second, &fixture.written, false).await;
    assert_eq!(omitted.hits(), 5);
}
