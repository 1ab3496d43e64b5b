//! Promises by number, those that no fault's test keeps already; the table in `tests/README.md` has them all.

use super::{
    wire::{Wire, send_wide},
    *,
};
use craftwire::{
    error::ErrorCode,
    mock::Api,
    producer::{NotSent, TrySendCause, Unknown},
};

#[tokio::test(start_paused = true)]
async fn promise_3_five_in_flight_are_retried_in_order() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    let producer = wire.producer(&mock).await;
    let mut all = outcomes(send_wide(&producer, 0..1)).await;
    mock.on(Api::Produce).always().delay(20 * MS);
    // The second of five is lost after its append, then the third is refused.
    mock.on(Api::Produce).skip(1).fail_partition_after(TOPIC, 0, ErrorCode::REQUEST_TIMED_OUT);
    mock.on(Api::Produce).skip(1).fail_partition(TOPIC, 0, ErrorCode::NOT_ENOUGH_REPLICAS);
    all.extend(outcomes(send_wide(&producer, 1..20)).await);
    check(&mock, &all);
    all_acked(&all);
    assert_eq!(log(&mock)[&0], (0..20).collect::<Vec<_>>());
    assert!(mock.batches(TOPIC, 0).iter().all(|batch| batch.producer_epoch == 0));
    wire.check(0);
}

#[tokio::test(start_paused = true)]
async fn promise_3_when_the_first_of_five_is_rejected_the_rest_keep_their_order() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    let producer = wire.producer(&mock).await;
    let mut all = outcomes(send_wide(&producer, 0..1)).await;
    mock.on(Api::Produce).always().delay(20 * MS);
    mock.on(Api::Produce).fail_partition(TOPIC, 0, ErrorCode::INVALID_TIMESTAMP);
    all.extend(outcomes(send_wide(&producer, 1..12)).await);
    check(&mock, &all);
    assert!(matches!(all[&1], Err(DeliveryError::NotSent(NotSent::Rejected { .. }))), "{:?}", all[&1]);
    assert_eq!(log(&mock)[&0], [0].into_iter().chain(2..12).collect::<Vec<_>>());
    assert_eq!(producer.metrics().loss_suspected, 0);
}

#[tokio::test(start_paused = true)]
async fn promise_6_what_may_be_written_is_never_called_not_sent() {
    for kind in 0..7 {
        let mock = mock(1, 1);
        let producer = producer_with(&mock, |builder| builder.delivery_timeout(25 * SECOND)).await;
        let mut all = outcomes(send_all(&producer, 0..5).await).await;
        let on = mock.on(Api::Produce).always();
        let fault = match kind {
            0 => on.fail_after(ErrorCode::REQUEST_TIMED_OUT),
            1 => on.fail_after(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND),
            2 => on.fail_after(ErrorCode(-1)),
            3 => on.fail_after(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            4 => on.disconnect_after(),
            5 => on.drop_after(),
            _ => on.cut(6, craftwire::mock::Ending::Reset),
        };
        let late = outcomes(send_all(&producer, 5..6).await).await;
        assert!(
            matches!(late[&5], Err(DeliveryError::Unknown(Unknown::TimedOut { .. }))),
            "{kind}: {late:?}"
        );
        assert!(fault.hits() > 1, "{kind}: it is sent again until an answer is final");
        fault.remove();
        all.extend(late);
        all.extend(outcomes(send_all(&producer, 6..10).await).await);
        check(&mock, &all);
        assert_eq!(log(&mock)[&0], (0..10).collect::<Vec<_>>(), "{kind}: it was written, once");
        assert!(all[&9].is_ok(), "{kind}: {:?}", all[&9]);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_7_records_of_a_partition_without_a_leader_are_not_sent_at_the_deadline() {
    let mock = mock(2, 2);
    let producer = producer_with(&mock, |builder| builder.delivery_timeout(5 * SECOND)).await;
    let first = outcomes(send_all(&producer, 0..20).await).await;
    all_acked(&first);
    mock.broker_ids().into_iter().for_each(|id| mock.stop_broker(id));
    pass(SECOND).await;
    let started = Instant::now();
    let outcomes = outcomes(send_all(&producer, 20..40).await).await;
    assert!(
        outcomes
            .values()
            .all(|outcome| matches!(outcome, Err(DeliveryError::NotSent(NotSent::TimedOut { .. }))))
    );
    assert!(started.elapsed() < 6 * SECOND);
    assert_eq!(producer.metrics().buffered_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn promise_15_send_waits_in_turn_while_the_buffer_is_full_and_try_send_gives_the_record_back() {
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
