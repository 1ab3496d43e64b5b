//! Futures that are dropped, at every point where they wait, and ends of the consumer: closed under brokers that are up, down,
//! silent or in a rebalance, and with its runtime.

use crate::{
    faults::{Fixture, PATIENCE, Seen},
    recorder::{SECOND, pass},
};
use craftwire::{
    consumer::{CommitError, Consumer},
    error::ErrorCode,
    mock::Api,
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::{
    runtime,
    time::{Instant, timeout},
};

const MS: Duration = Duration::from_millis(1);

/// Polls a future `n` times, with time between in which everything else goes on, and drops it. What it gave, if it did.
async fn polled<F: Future>(future: F, n: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..n {
        if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        pass(50 * MS).await;
    }
    None
}

/// A member that has handled ten records of each partition, while answers to all that a future may wait for take their time.
async fn member() -> (Fixture, Consumer, Seen) {
    let mut fixture = Fixture::new().await;
    fixture.write(10);
    let mut consumer = fixture.member().commit_interval(None).build().await.unwrap();
    let mut seen = Seen::default();
    seen.read_all(&mut consumer, &fixture.written, false).await;
    for api in [Api::OffsetCommit, Api::ConsumerGroupHeartbeat, Api::Fetch] {
        drop(fixture.mock.on(api).always().delay(140 * MS));
    }
    (fixture, consumer, seen)
}

#[tokio::test(start_paused = true)]
async fn f40_a_receive_dropped_at_any_point_takes_nothing_with_it() {
    for is_batch in [false, true] {
        for n in 0.. {
            let (mut fixture, mut consumer, mut seen) = member().await;
            pass(SECOND).await; // the fetch that waited is answered
            fixture.write(1);
            let came = if is_batch {
                let records = polled(consumer.recv_batch(), n).await.map(|it| it.unwrap().unwrap());
                records.map(|records| (records.partition(), records.last_offset()))
            } else {
                let record = polled(consumer.recv(), n).await.map(|it| it.unwrap().unwrap());
                record.map(|record| (record.partition(), record.offset()))
            };
            if let Some((partition, offset)) = came {
                assert_eq!(seen.0.insert(partition, offset + 1), Some(offset), "after {n} polls");
            }
            seen.read_all(&mut consumer, &fixture.written, false).await;
            if came.is_some() {
                assert!(n > 1, "it did not wait");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f40_a_commit_dropped_at_any_point_is_made_all_the_same() {
    for n in 0.. {
        let (fixture, consumer, _) = member().await;
        let came = polled(consumer.commit(), n).await;
        pass(SECOND).await;
        assert_eq!(fixture.committed(), if n == 0 { 0 } else { 40 }, "dropped after {n} polls");
        if let Some(outcome) = came {
            outcome.unwrap();
            assert!(n > 2, "it did not wait");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f40_a_close_dropped_at_any_point_goes_on() {
    for n in 0.. {
        let (fixture, consumer, _) = member().await;
        // Not polled at all, it is as if the consumer was dropped.
        let came = polled(consumer.close(), n).await;
        let is_done = came.is_some();
        came.transpose().unwrap();
        timeout(PATIENCE, async {
            while !fixture.mock.assignments("g").is_empty() {
                pass(50 * MS).await;
            }
        })
        .await
        .expect("it leaves the group");
        assert_eq!(fixture.committed(), 40, "dropped after {n} polls");
        if is_done {
            assert!(n > 2, "it did not wait");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f40_a_build_and_a_wait_for_events_dropped_at_any_point_change_nothing() {
    for n in 0.. {
        let mut fixture = Fixture::new().await;
        fixture.write(1);
        let hook = fixture.mock.on(Api::Metadata).always().delay(140 * MS);
        let built = polled(fixture.member().build(), n).await.is_some();
        hook.remove();
        let mut consumer = fixture.member().build().await.unwrap();
        let mut events = consumer.events();
        let mut told = 0;
        for polls in 0..5 {
            told += usize::from(polled(events.next(), polls).await.is_some());
        }
        // The consumer that was built has left, but it may have to be heard first.
        Seen::default().read_all(&mut consumer, &fixture.written, true).await;
        while let Ok(Some(_)) = timeout(SECOND, events.next()).await {
            told += 1;
        }
        assert!(told >= 5, "the assignment, and where each partition starts: {told}");
        if built {
            assert!(n > 1, "it did not wait");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f41_close_is_bounded_and_leaves_no_task_whatever_the_brokers_do() {
    for what in ["up", "down", "half open", "in a rebalance", "refusing"] {
        let (fixture, consumer, _) = member().await;
        let mut other = None;
        match what {
            "down" => [1, 2, 3].into_iter().for_each(|broker| fixture.mock.stop_broker(broker)),
            "half open" => [1, 2, 3].into_iter().for_each(|broker| fixture.mock.pause_broker(broker)),
            "in a rebalance" => {
                other = Some(fixture.member().build().await.unwrap());
                pass(200 * MS).await;
            }
            "refusing" => {
                fixture.mock.clear_hooks();
                drop(
                    fixture.mock.on(Api::OffsetCommit).always().fail(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
                );
            }
            _ => {}
        }
        let started = Instant::now();
        let closed = consumer.close_within(3 * SECOND).await;
        assert!(started.elapsed() <= 3_100 * MS, "{what}: {:?}", started.elapsed());
        let is_committed = matches!(what, "up" | "in a rebalance");
        assert_eq!(closed.is_ok(), is_committed, "{what}: {closed:?}");
        assert_eq!(fixture.committed(), if is_committed { 40 } else { 0 }, "{what}");
        drop((other, fixture));
        // A request for metadata may be under way still, and a dropped member's leaving, until their own time is over.
        pass(60 * SECOND).await;
        assert_eq!(runtime::Handle::current().metrics().num_alive_tasks(), 0, "{what}");
    }
}

#[test]
fn f41_a_runtime_that_is_shut_down_ends_the_consumer() {
    let new_runtime =
        || runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = new_runtime();
    let (fixture, mut consumer, _) = first.block_on(member());
    drop(first);
    // Its tasks are gone, so nothing can be had any more, and that is said where it can be.
    let second = new_runtime();
    second.block_on(async {
        let committed = timeout(PATIENCE, consumer.commit()).await.expect("no hang");
        assert!(matches!(committed, Err(CommitError::Closed | CommitError::Request(_))), "{committed:?}");
        assert!(timeout(SECOND, consumer.recv()).await.is_err());
        let closed = timeout(PATIENCE, consumer.close()).await.expect("no hang");
        assert!(closed.is_err());
    });
    drop(fixture);
}
