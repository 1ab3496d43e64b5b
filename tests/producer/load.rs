//! The batching rule as the broker sees it: how many requests, when.

use super::*;
use craftwire::{mock::Api, producer::Profile};

#[tokio::test(start_paused = true)]
async fn an_idle_producer_asks_nothing_of_the_broker() {
    let mock = mock(1, 4);
    let producer = producer(&mock).await;
    all_acked(&outcomes(send_all(&producer, 0..10).await).await);
    let before = mock.request_count(Api::Produce);
    pass(600 * SECOND).await;
    assert_eq!(mock.request_count(Api::Produce), before);
}

#[tokio::test(start_paused = true)]
async fn a_record_after_a_pause_leaves_at_once() {
    let mock = mock(1, 4);
    let producer = producer_with(&mock, |builder| builder.request_gap(500 * MS)).await;
    for n in 0..5 {
        pass(SECOND).await;
        let started = Instant::now();
        producer.send(record(n)).await.unwrap().await.unwrap();
        assert!(started.elapsed() < 10 * MS, "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_a_second_over_24_partitions_take_a_thousand_requests_at_most() {
    let mock = mock(1, 24);
    let producer = producer_with(&mock, |builder| builder.profile(Profile::Realtime)).await;
    let before = mock.request_count(Api::Produce);
    let mut deliveries = Vec::new();
    for slice in 0..2_000_u64 {
        for n in 0..5 {
            let n = slice * 5 + n;
            let record = ProducerRecord::new(TOPIC, n.to_string()).key(format!("session-{}", n % 997));
            deliveries.push((n, producer.send(record).await.unwrap()));
        }
        pass(MS / 2).await;
    }
    let outcomes = outcomes(deliveries).await;
    all_acked(&outcomes);
    check(&mock, &outcomes);
    let (requests, slices) = (mock.request_count(Api::Produce) - before, 2_000);
    let metrics = producer.metrics();
    println!("{requests} requests for 10 000 records in {slices} slices: {metrics:?}");
    assert!(requests <= 1_000 * slices / 1_000, "{requests}");
    assert_eq!(metrics.requests, requests);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_only_sends_does_not_hold_its_first_records_back() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    let deliveries = send_all(&producer, 0..2_000).await;
    // Nothing was awaited but `send`, and there is one thread.
    assert!(deliveries[0].1.outcome().is_some());
    all_acked(&outcomes(deliveries).await);
}
