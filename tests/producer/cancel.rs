//! Futures that are dropped, at every point where they wait, and ends of the producer: close, twice, under a silent
//! broker, and with its runtime.

use super::{wire::send_wide, *};
use craftwire::{
    mock::Api,
    producer::{CloseReport, NotSent, SendError, TrySendCause, Unknown},
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use tokio::{runtime, time::timeout};

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

/// Lets `wait` wait for something for 0, 1, 2 … polls until it says that it came, each time beside records on their way,
/// all of which must be written once.
async fn at_every_point(wait: impl AsyncFn(&Producer, usize) -> bool) {
    for n in 0.. {
        let mock = mock(1, 1);
        let producer = producer(&mock).await;
        mock.on(Api::Produce).always().delay(140 * MS);
        let deliveries = send_all(&producer, 0..10).await;
        let came = wait(&producer, n).await;
        all_acked(&outcomes(deliveries).await);
        producer.close(10 * SECOND).await;
        assert_eq!(log(&mock)[&0], (0..10).collect::<Vec<_>>(), "dropped after {n} polls");
        if came {
            assert!(n > 2, "it did not wait");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f40_a_send_dropped_at_any_point_is_taken_whole_or_not_at_all() {
    for n in 0.. {
        let mock = mock(1, 1);
        let builder = client(&mock).await.producer().max_message_bytes(4_096).buffer_bytes(4_096);
        let producer = builder.build().await.unwrap();
        let big = |n: u8| ProducerRecord::new(TOPIC, vec![n; 3_500]);
        // The topic's partitions are waited for, then memory, until the first record is acked.
        mock.on(Api::Metadata).delay(200 * MS);
        mock.on(Api::Produce).always().delay(300 * MS);
        let first = tokio::spawn({
            let producer = producer.clone();
            async move { producer.send(big(0)).await.unwrap().await.unwrap() }
        });
        tokio::task::yield_now().await;
        let taken = polled(producer.send(big(1)), n).await.map(Result::unwrap).is_some();
        producer.send(big(2)).await.unwrap().await.unwrap();
        first.await.unwrap();
        let records = mock.records(TOPIC, 0);
        let found: Vec<u8> = records.iter().map(|record| record.value.as_ref().unwrap()[0]).collect();
        assert_eq!(found, if taken { vec![0, 1, 2] } else { vec![0, 2] }, "dropped after {n} polls");
        assert_eq!(producer.metrics().buffered_bytes, 0);
        if taken {
            assert!(n > 5, "it did not wait");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f40_a_send_given_up_each_millisecond_and_tried_again_is_sent_once() {
    let mock = mock(1, 1);
    let producer = producer_with(&mock, |builder| builder.max_message_bytes(4_096).buffer_bytes(4_096)).await;
    mock.on(Api::Produce).always().delay(7 * MS);
    for n in 0..50 {
        let record = record(n).header("padding", vec![0; 3_000]);
        while timeout(MS, producer.send(record.clone())).await.is_err() {}
    }
    producer.flush().await;
    assert_eq!(log(&mock)[&0], (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn f40_flush_close_and_prepare_dropped_at_any_point_change_nothing_for_what_was_taken() {
    at_every_point(async |producer, n| polled(producer.flush(), n).await.is_some()).await;
    at_every_point(async |producer, n| {
        let closed = polled(producer.close(10 * SECOND), n).await;
        // Once it was polled, it is closed to new records.
        assert!(n == 0 || producer.try_send(record(10)).is_err());
        closed.is_some()
    })
    .await;
    at_every_point(async |producer, n| {
        let missing = timeout(160 * MS, producer.prepare("missing"));
        polled(missing, n).await.is_some()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn f40_a_delivery_dropped_at_any_point_changes_nothing() {
    for n in 0.. {
        let mock = mock(1, 1);
        let producer = producer(&mock).await;
        mock.on(Api::Produce).always().delay(140 * MS);
        let mut deliveries = send_all(&producer, 0..10).await;
        let came = polled(deliveries.remove(4).1, n).await.is_some();
        all_acked(&outcomes(deliveries).await);
        assert_eq!(log(&mock)[&0], (0..10).collect::<Vec<_>>(), "dropped after {n} polls");
        if came {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f40_a_build_dropped_at_any_point_leaves_nothing_behind() {
    for n in 0.. {
        let mock = mock(1, 1);
        let client = client(&mock).await;
        mock.on(Api::InitProducerId).delay(140 * MS);
        let built = polled(client.producer().build(), n).await.is_some();
        let producer = client.producer().build().await.unwrap();
        producer.send(record(0)).await.unwrap().await.unwrap();
        drop((producer, client));
        pass(SECOND).await;
        assert_eq!(tasks(), 0, "dropped after {n} polls");
        if built {
            assert!(n > 1, "it did not wait");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f40_a_send_that_is_dropped_while_it_waits_sends_nothing() {
    let mock = mock(1, 1);
    let producer = producer_with(&mock, |builder| builder.max_message_bytes(4_096).buffer_bytes(4_096)).await;
    mock.on(Api::Produce).delay(SECOND);
    let first = producer.send(ProducerRecord::new(TOPIC, vec![0; 4_000])).await.unwrap();
    let given_up =
        tokio::time::timeout(10 * MS, producer.send(ProducerRecord::new(TOPIC, vec![1; 4_000]))).await;
    assert!(given_up.is_err());
    first.await.unwrap();
    producer.send(ProducerRecord::new(TOPIC, vec![2; 4_000])).await.unwrap().await.unwrap();
    let records = mock.records(TOPIC, 0);
    assert_eq!(records.iter().map(|record| record.value.as_ref().unwrap()[0]).collect::<Vec<_>>(), [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn f40_a_delivery_that_is_dropped_changes_nothing() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    for n in 0..10 {
        drop(producer.send(record(n)).await.unwrap());
    }
    producer.flush().await;
    assert_eq!(log(&mock)[&0], (0..10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn f41_close_is_bounded_while_the_broker_is_half_open_and_leaves_no_task() {
    let mock = mock(1, 1);
    let producer = producer_with(&mock, |builder| builder.batch_bytes(1_024)).await;
    all_acked(&outcomes(send_wide(&producer, 0..2)).await);
    // Connections stay open, and nothing is read or answered.
    mock.pause_broker(1);
    let deliveries = send_wide(&producer, 2..30);
    pass(100 * MS).await;
    let started = Instant::now();
    let report = producer.close(3 * SECOND).await;
    assert!((3 * SECOND..4 * SECOND).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!((report.acked, report.not_sent, report.unknown), (0, 23, 5));
    for (n, outcome) in outcomes(deliveries).await {
        let wanted = match n {
            ..7 => DeliveryError::Unknown(Unknown::Closed),
            _ => DeliveryError::NotSent(NotSent::Closed),
        };
        assert_eq!(outcome, Err(wanted), "{n}");
    }
    drop(producer);
    // A request for metadata may be under way still, until its own time is over.
    pass(10 * SECOND).await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn f41_close_called_twice_at_once_ends_both_and_leaves_no_task() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    mock.on(Api::Produce).always().delay(200 * MS);
    let deliveries = send_all(&producer, 0..10).await;
    let other = producer.clone();
    let reports = tokio::join!(producer.close(10 * SECOND), other.close(5 * SECOND));
    assert_eq!((reports.0.acked, reports.1.acked), (10, 10));
    all_acked(&outcomes(deliveries).await);
    assert_eq!(producer.close(Duration::ZERO).await, CloseReport::default());
    drop((producer, other));
    pass(SECOND).await;
    assert_eq!(tasks(), 0);
}

#[test]
fn f41_a_runtime_that_is_shut_down_leaves_every_record_with_an_outcome() {
    let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (_mock, producer, deliveries) = runtime.block_on(async {
        let mock = mock(1, 1);
        let producer = producer_with(&mock, |builder| builder.batch_bytes(1_024)).await;
        all_acked(&outcomes(send_wide(&producer, 0..2)).await);
        mock.on(Api::Produce).always().drop_before();
        let deliveries = send_wide(&producer, 2..30);
        pass(100 * MS).await;
        (mock, producer, deliveries)
    });
    drop(runtime);
    for (n, delivery) in deliveries {
        let wanted = match n {
            ..7 => DeliveryError::Unknown(Unknown::Closed),
            _ => DeliveryError::NotSent(NotSent::Closed),
        };
        assert_eq!(delivery.outcome(), Some(Err(wanted)), "{n}");
    }
    let refused = producer.try_send(record(99)).unwrap_err().cause;
    assert!(matches!(refused, TrySendCause::Refused(SendError::Closed)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn f41_close_sends_what_was_taken_and_refuses_what_comes() {
    let mock = mock(2, 4);
    let producer = producer(&mock).await;
    let deliveries = send_all(&producer, 0..100).await;
    let report = producer.close(10 * SECOND).await;
    assert_eq!((report.acked, report.not_sent, report.unknown), (100, 0, 0));
    all_acked(&outcomes(deliveries).await);
    assert!(matches!(producer.send(record(1)).await, Err(SendError::Closed)));
    let again = producer.close(SECOND).await;
    assert_eq!((again.acked, again.not_sent, again.unknown), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn f41_close_is_bounded_and_accounts_for_every_record() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    outcomes(send_all(&producer, 0..1).await).await;
    mock.on(Api::Produce).always().drop_before();
    let mut deliveries = send_all(&producer, 1..11).await;
    pass(100 * MS).await;
    mock.broker_ids().into_iter().for_each(|id| mock.stop_broker(id));
    pass(100 * MS).await;
    deliveries.extend(send_all(&producer, 11..16).await);
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.flush().await }
    });
    let started = Instant::now();
    let report = producer.close(3 * SECOND).await;
    assert!(started.elapsed() < 4 * SECOND);
    assert_eq!((report.acked, report.not_sent, report.unknown), (0, 5, 10));
    let outcomes = outcomes(deliveries).await;
    assert!((1..11).all(|n| outcomes[&n] == Err(DeliveryError::Unknown(Unknown::Closed))));
    assert!((11..16).all(|n| outcomes[&n] == Err(DeliveryError::NotSent(NotSent::Closed))));
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn f41_close_ends_the_waiting_for_memory() {
    let mock = mock(1, 1);
    let producer = producer_with(&mock, |builder| builder.max_message_bytes(4_096).buffer_bytes(4_096)).await;
    mock.on(Api::Produce).always().drop_before();
    let first = producer.send(ProducerRecord::new(TOPIC, vec![0; 4_000])).await.unwrap();
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(ProducerRecord::new(TOPIC, vec![1; 4_000])).await.map(drop) }
    });
    tokio::task::yield_now().await;
    producer.close(SECOND).await;
    assert!(matches!(waiting.await.unwrap(), Err(SendError::Closed)));
    assert!(first.await.is_err());
}

/// The tasks of this test that run still, the mock's among them.
fn tasks() -> usize {
    runtime::Handle::current().metrics().num_alive_tasks()
}
