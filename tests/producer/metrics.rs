//! What a producer counts of itself.

use super::*;
use craftwire::mock::Api;

#[tokio::test(start_paused = true)]
async fn totals_are_the_sums_over_brokers_and_topics() {
    let mock = mock(3, 6);
    mock.create_topic("other", 2).unwrap();
    let producer = producer(&mock).await;
    let mut deliveries = send_all(&producer, 0..500).await;
    for n in 500..600 {
        let other = ProducerRecord::new("other", n.to_string());
        deliveries.push((n, producer.send(other).await.unwrap()));
    }
    let outcomes = outcomes(deliveries).await;
    all_acked(&outcomes);
    let metrics = producer.metrics();
    assert_eq!((metrics.records, metrics.records_acked), (600, 600));
    let topics: Vec<_> = metrics.topics.iter().map(|topic| (&*topic.topic, topic.records)).collect();
    assert_eq!(topics, [(TOPIC, 500), ("other", 100)]);
    assert_eq!(metrics.topics.iter().map(|topic| topic.batches).sum::<u64>(), metrics.batches);
    assert_eq!(metrics.brokers.iter().map(|broker| broker.broker_id).collect::<Vec<_>>(), mock.broker_ids());
    assert_eq!(metrics.brokers.iter().map(|broker| broker.requests).sum::<u64>(), metrics.requests);
    assert_eq!(metrics.brokers.iter().map(|broker| broker.records_per_request.sum()).sum::<u64>(), 600);
    assert_eq!(metrics.brokers.iter().map(|broker| broker.bytes_sent).sum::<u64>(), metrics.bytes_compressed);
    for broker in &metrics.brokers {
        assert_eq!((broker.requests_in_flight, broker.requests_lost), (0, 0));
        assert_eq!(broker.ack_time_us.count(), broker.requests);
    }
    for topic in &metrics.topics {
        assert_eq!((topic.batches_in_flight, topic.batches_unresolved, topic.queued_bytes), (0, 0, 0));
        assert_eq!((topic.queue_time_us.count(), topic.ack_time_us.count()), (topic.batches, topic.batches));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_seen() {
    let mock = mock(1, 1);
    let producer = producer_with(&mock, |builder| builder.buffer_bytes(2 << 20)).await;
    all_acked(&outcomes(send_all(&producer, 0..1).await).await);
    mock.on(Api::Produce).times(1).delay(5 * SECOND);
    let first = send_all(&producer, 1..2).await;
    pass(10 * MS).await;
    let second = send_all(&producer, 2..3).await;
    pass(10 * MS).await;
    let third = send_all(&producer, 3..4).await;
    let metrics = producer.metrics();
    assert_eq!(metrics.buffer_bytes, 2 << 20);
    assert!(metrics.buffered_bytes > 0);
    assert_eq!((metrics.requests_in_flight, metrics.brokers[0].requests_in_flight), (2, 2));
    let topic = &metrics.topics[0];
    assert_eq!((topic.batches_in_flight, topic.batches_unresolved), (2, 2));
    assert!(topic.queued_bytes > 0, "the third waits: at most two requests with little in them");
    for deliveries in [first, second, third] {
        all_acked(&outcomes(deliveries).await);
    }
    let metrics = producer.metrics();
    let topic = &metrics.topics[0];
    assert!(topic.queue_time_us.max() >= 4_900_000, "{:?}", topic.queue_time_us);
    assert!(topic.ack_time_us.max() >= 5_000_000, "{:?}", topic.ack_time_us);
    assert!(metrics.brokers[0].ack_time_us.max() >= 5_000_000);
}

#[tokio::test(start_paused = true)]
async fn retries_and_lost_requests_are_counted_where_they_happened() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    all_acked(&outcomes(send_all(&producer, 0..1).await).await);
    mock.on(Api::Produce).times(1).disconnect_after();
    all_acked(&outcomes(send_all(&producer, 1..2).await).await);
    let metrics = producer.metrics();
    assert_eq!((metrics.retries, metrics.topics[0].retries, metrics.brokers[0].requests_lost), (1, 1, 1));
    assert_eq!((metrics.records, metrics.topics[0].records), (2, 2), "first attempts only");
    assert_eq!(metrics.brokers[0].records_per_request.sum(), 3, "what goes out again, too");
}
