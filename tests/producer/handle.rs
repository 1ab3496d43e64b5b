//! The handle: admission, cancellation, flush, close.

use super::*;
use craftwire::{
    error::ErrorCode,
    mock::Api,
    producer::{NotSent, SendError, TrySendCause, Unknown},
};
use std::future::Future;

#[tokio::test(start_paused = true)]
async fn an_ack_says_where_and_when() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    let first = producer.send(record(1).timestamp_ms(1_234)).await.unwrap();
    assert_eq!((first.topic(), first.partition()), (TOPIC, 0));
    let ack = first.await.unwrap();
    assert_eq!((ack.partition, ack.offset, ack.timestamp_ms), (0, Some(0), 1_234));
    let second = producer.send(record(2)).await.unwrap().await.unwrap();
    assert_eq!(second.offset, Some(1));
    assert!(second.timestamp_ms > 1_700_000_000_000);
    assert_eq!(mock.records(TOPIC, 0)[0].timestamp_ms, 1_234);
}

#[tokio::test(start_paused = true)]
async fn send_waits_in_turn_while_the_buffer_is_full_and_try_send_gives_the_record_back() {
    let mock = mock(1, 1);
    let producer =
        producer_with(&mock, |builder| builder.max_message_bytes(16 * 1_024).buffer_bytes(16 * 1_024)).await;
    mock.on(Api::Produce).delay(10 * SECOND);
    let big = |n: u8| ProducerRecord::new(TOPIC, vec![n; 8_000]);
    let deliveries = vec![producer.send(big(0)).await.unwrap(), producer.send(big(1)).await.unwrap()];
    let refused = producer.try_send(big(9)).unwrap_err();
    assert!(matches!(refused.cause, TrySendCause::Full), "{refused:?}");
    assert_eq!(*refused.record, big(9));
    let waiting: Vec<_> = (2..6)
        .map(|n| {
            let producer = producer.clone();
            tokio::spawn(async move { drop(producer.send(big(n)).await.unwrap()) })
        })
        .collect();
    pass(SECOND).await;
    assert!(waiting.iter().all(|task| !task.is_finished()), "there is no memory before the answer");
    for task in waiting {
        task.await.unwrap();
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.flush().await;
    let first_bytes: Vec<u8> = mock.records(TOPIC, 0).iter().map(|r| r.value.as_ref().unwrap()[0]).collect();
    assert_eq!(first_bytes, [0, 1, 2, 3, 4, 5]);
    assert_eq!(producer.metrics().buffered_bytes, 0);
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
async fn flush_waits_for_all_that_was_taken() {
    let mock = mock(2, 4);
    let producer = producer(&mock).await;
    let deliveries = send_all(&producer, 0..100).await;
    producer.flush().await;
    assert!(deliveries.iter().all(|(_, delivery)| delivery.outcome().is_some()));
    producer.flush().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_large_is_refused_at_once_with_the_limit() {
    let mock = mock(1, 1);
    let producer = producer_with(&mock, |builder| builder.max_message_bytes(2_000)).await;
    let error = producer.send(ProducerRecord::new(TOPIC, vec![0; 2_000])).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge { bytes: 2_070, limit: 2_000 }), "{error:?}");
    assert!(error.to_string().contains("max_message_bytes = 2000"), "{error}");
    producer.send(ProducerRecord::new(TOPIC, vec![0; 1_900])).await.unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_topic_is_an_error_until_it_is_created() {
    let mock = mock(1, 1);
    let producer = producer_with(&mock, |builder| builder.topic_timeout(2 * SECOND)).await;
    let new = || ProducerRecord::new("new", "x");
    let error = producer.send(new()).await.unwrap_err();
    assert!(matches!(error, SendError::Topic { .. }), "{error:?}");
    assert!(matches!(producer.try_send(new()).unwrap_err().cause, TrySendCause::TopicNotReady { .. }));
    mock.create_topic("new", 2).unwrap();
    producer.send(new()).await.unwrap().await.unwrap();
    producer.try_send(new()).unwrap().await.unwrap();
    let error = producer.send(new().partition(2)).await.unwrap_err();
    assert!(matches!(error, SendError::UnknownPartition { partition: 2, count: 2 }), "{error:?}");
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

#[tokio::test(start_paused = true)]
async fn dropped_without_close_it_sends_what_was_taken() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    mock.on(Api::Produce).times(2).fail(ErrorCode::NOT_ENOUGH_REPLICAS);
    let deliveries = send_all(&producer, 0..20).await;
    drop(producer);
    all_acked(&outcomes(deliveries).await);
    assert_eq!(log(&mock)[&0].len(), 20);
    pass(SECOND).await;
    let connections = mock.connection_count();
    assert!(connections <= 1, "the lane is gone: {connections} connections");
}

#[tokio::test(start_paused = true)]
async fn futures_are_small_and_may_move_between_threads() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    let send = is_send(producer.send(record(0)));
    assert!(size_of_val(&send) < 2_000, "{}", size_of_val(&send));
    is_send(send.await.unwrap()).await.unwrap();
    is_ready(producer.flush()).await;
}

async fn is_ready<F: Future + Send>(future: F) -> F::Output {
    future.await
}
