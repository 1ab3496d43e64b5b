//! The handle: admission, cancellation, flush, close.

use super::*;
use craftwire::{
    error::ErrorCode,
    mock::Api,
    producer::{NotSent, SendError, TrySendCause},
};
use std::future::Future;

#[tokio::test(start_paused = true)]
async fn an_ack_says_where_and_when() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    let first = producer.send(record(1).timestamp_ms(1_234)).await.unwrap();
    assert_eq!((first.topic(), first.partition()), (TOPIC, 0));
    let ack = first.await.unwrap();
    assert_eq!((ack.partition, ack.offset, ack.timestamp_ms), (0, Some(0), Some(1_234)));
    let second = producer.send(record(2)).await.unwrap().await.unwrap();
    assert_eq!(second.offset, Some(1));
    assert!(second.timestamp_ms.unwrap() > 1_700_000_000_000);
    assert_eq!(mock.records(TOPIC, 0)[0].timestamp_ms, 1_234);
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

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_too_old_is_told_of_at_once() {
    let mock =
        MockCluster::builder().topic(TOPIC, 1).api_versions(Api::Produce, 3, 8).start_in_memory().unwrap();
    let producer = producer(&mock).await;
    let started = Instant::now();
    let error = producer.send(record(1)).await.unwrap().await.unwrap_err();
    assert!(started.elapsed() < SECOND, "{:?}", started.elapsed());
    let DeliveryError::NotSent(cause @ NotSent::Unsupported(_)) = error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("Produce 9 to 12") && cause.to_string().contains("3 to 8"), "{cause}");
    let report = producer.close(SECOND).await;
    assert_eq!((report.not_sent, report.unknown), (0, 0));
    assert_eq!(producer.metrics().buffered_bytes, 0);
}
