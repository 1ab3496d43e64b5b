//! Bugs that other clients had, by their number among the known killers; those that a fault's test finds are in the table
//! in `tests/README.md`. Each has its patch in `tests/mutations`.

use super::{
    wire::{Wire, send_wide, wide},
    *,
};
use craftwire::{error::ErrorCode, mock::Api, producer::Unknown};

/// KAFKA-19012: a buffer given back while it was still being sent put events on other topics.
#[tokio::test(start_paused = true)]
async fn killer_1_bytes_in_flight_never_become_those_of_another_topic() {
    let mock = mock(1, 1);
    let topics = ["red", "blue"];
    topics.iter().for_each(|topic| mock.create_topic(topic, 1).unwrap());
    let producer =
        producer_with(&mock, |builder| builder.batch_bytes(1_024).delivery_timeout(2 * SECOND)).await;
    producer.prepare("red").await.unwrap();
    producer.prepare("blue").await.unwrap();
    let mut deliveries = Vec::new();
    for round in 0..60 {
        match round % 6 {
            // Their time is over while they are in flight.
            1 => drop(mock.on(Api::Produce).delay(3 * SECOND)),
            3 => drop(mock.on(Api::Produce).times(2).disconnect_after()),
            5 => drop(mock.on(Api::Produce).times(2).fail_after(ErrorCode::REQUEST_TIMED_OUT)),
            _ => {}
        }
        for n in round * 4..round * 4 + 4 {
            for topic in topics {
                let record = ProducerRecord::new(topic, format!("{topic} {n}"));
                let record = record.header("padding", noise(n, 900));
                deliveries.push((format!("{topic} {n}"), producer.try_send(record).unwrap()));
            }
        }
        pass(300 * MS).await;
    }
    let mut found = BTreeMap::new();
    let mut late = 0;
    for topic in topics {
        for record in mock.records(topic, 0) {
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            assert!(value.starts_with(topic), "{value} on the topic {topic}");
            assert_eq!(found.insert(value, record.offset), None);
        }
    }
    for (value, delivery) in deliveries {
        match delivery.await {
            Ok(ack) => {
                let offset =
                    *found.get(&value).unwrap_or_else(|| panic!("{value} was acked, and is not there"));
                assert_eq!(ack.offset.unwrap_or(offset), offset);
            }
            Err(DeliveryError::NotSent(_)) => assert!(!found.contains_key(&value), "{value}"),
            Err(_) => late += 1,
        }
    }
    assert!(late > 0, "none was given up in flight");
}

/// librdkafka #4736: what was sent again was put together anew, from other records under the same sequence.
#[tokio::test(start_paused = true)]
async fn killer_4_what_is_sent_again_is_byte_for_byte_what_was_sent() {
    let (mock, wire) = (mock(2, 2), Wire::default());
    let producer = wire.producer_with(&mock, |builder| builder.batch_bytes(4_096)).await;
    mock.on(Api::Produce).skip(3).always().delay(5 * MS);
    let mut deliveries = Vec::new();
    for round in 0..40 {
        let fault = mock.on(Api::Produce);
        match round % 4 {
            0 => fault.fail_partition_after(TOPIC, 0, ErrorCode::REQUEST_TIMED_OUT),
            1 => fault.fail_partition(TOPIC, 1, ErrorCode::NOT_ENOUGH_REPLICAS),
            2 => fault.fail_partition_after(TOPIC, 0, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            _ => {
                fault.then_after(|mock| mock.broker_ids().into_iter().for_each(|id| mock.cut_connections(id)))
            }
        };
        deliveries.extend(send_wide(&producer, round * 12..round * 12 + 12));
        pass(70 * MS).await;
    }
    let outcomes = outcomes(deliveries).await;
    check(&mock, &outcomes);
    all_acked(&outcomes);
    assert!(producer.metrics().retries > 20, "{:?}", producer.metrics());
    (0..2).for_each(|partition| wire.check(partition));
}

/// franz-go #1217: a batch that had timed out was taken for not written, and the next ones for its duplicates.
#[tokio::test(start_paused = true)]
async fn killer_5_a_sequence_that_may_be_taken_is_never_given_to_other_records() {
    for code in [7, 20] {
        let (mock, wire) = (mock(1, 1), Wire::default());
        let producer = wire.producer_with(&mock, |builder| builder.delivery_timeout(2 * SECOND)).await;
        let mut all = outcomes(send_wide(&producer, 0..5)).await;
        let fault = mock.on(Api::Produce).always().fail_after(ErrorCode(code));
        all.extend(outcomes(send_wide(&producer, 5..6)).await);
        assert!(matches!(all[&5], Err(DeliveryError::Unknown(Unknown::TimedOut { .. }))), "{:?}", all[&5]);
        fault.remove();
        all.extend(outcomes(send_wide(&producer, 6..12)).await);
        check(&mock, &all);
        assert!((6..12).all(|n| all[&n].is_ok()));
        assert_eq!(log(&mock)[&0], (0..12).collect::<Vec<_>>());
    }
}

/// librdkafka #4134: two brokers that were frozen and thawed left gaps.
#[tokio::test(start_paused = true)]
async fn killer_7_brokers_frozen_before_they_answer_leave_no_gap_and_no_duplicate() {
    let mock = MockCluster::builder().brokers(3).start_in_memory().unwrap();
    mock.create_topic_with(TOPIC, 4, &[("min.insync.replicas", "2")]).unwrap();
    let producer = producer(&mock).await;
    let mut deliveries = Vec::new();
    for round in 0..1_000 {
        match round {
            20 | 440 => {
                // The batch is in the log of all, and nobody is told.
                let broker = round / 400 + 1;
                mock.on(Api::Produce).broker(broker).then_after(move |mock| mock.pause_broker(broker));
            }
            420 | 840 => mock.resume_broker(round / 400),
            _ => {}
        }
        let from = u64::try_from(round).unwrap() * 5;
        deliveries.extend(send_all(&producer, from..from + 5).await);
        pass(50 * MS).await;
    }
    let outcomes = outcomes(deliveries).await;
    check(&mock, &outcomes);
    all_acked(&outcomes);
    assert!(producer.metrics().retries > 1, "{:?}", producer.metrics());
    assert_eq!(producer.metrics().loss_suspected, 0);
}

/// sarama #3354: records that came while a batch was retried were sent without a sequence.
#[tokio::test(start_paused = true)]
async fn killer_8_records_that_come_during_a_retry_have_the_next_sequences() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    let producer = wire.producer(&mock).await;
    let mut deliveries = send_wide(&producer, 0..3);
    pass(SECOND).await;
    let fault = mock.on(Api::Produce).times(4).fail_after(ErrorCode::REQUEST_TIMED_OUT);
    let mut n = 3;
    while fault.hits() < 4 {
        deliveries.extend(send_wide(&producer, n..n + 1));
        n += 1;
        pass(20 * MS).await;
    }
    let outcomes = outcomes(deliveries).await;
    check(&mock, &outcomes);
    all_acked(&outcomes);
    let batches = mock.batches(TOPIC, 0);
    assert!(batches.len() > 20, "{}", batches.len());
    assert!(batches.iter().zip(0..).all(|(batch, n)| (batch.producer_epoch, batch.base_sequence) == (0, n)));
    assert_eq!(producer.metrics().loss_suspected, 0);
}

/// sarama #2619, #2860: the order was lost in retries though one batch at a time was sent.
#[tokio::test(start_paused = true)]
async fn killer_9_retries_one_at_a_time_keep_the_order() {
    for code in [ErrorCode::INVALID_TIMESTAMP, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER] {
        let (mock, wire) = (mock(1, 1), Wire::default());
        let producer = wire.producer(&mock).await;
        let mut all = outcomes(send_wide(&producer, 0..1)).await;
        mock.on(Api::Produce).always().delay(10 * MS);
        mock.on(Api::Produce).fail_partition(TOPIC, 0, code);
        let mut deliveries = send_wide(&producer, 1..10);
        pass(150 * MS).await;
        mock.cut_connections(1);
        deliveries.extend(send_wide(&producer, 10..20));
        all.extend(outcomes(deliveries).await);
        check(&mock, &all);
        assert!((2..20).all(|n| all[&n].is_ok()));
        let again = wire.requests().into_iter().find(|sent| sent.batches[0].stamp().1 == 1).unwrap();
        assert_eq!(wire.in_flight_max(|sent| sent.is_in_flight_at(again.sent)), 1);
    }
}

/// franz-go #930: a record whose caller had gone away was held back for ever, or left a hole in the sequences.
#[tokio::test(start_paused = true)]
async fn killer_10_callers_that_go_away_neither_hold_anything_up_nor_take_anything_back() {
    for wait in [0, 1, 30, 250] {
        let mock = mock(1, 1);
        let producer = producer(&mock).await;
        let mut all = outcomes(send_all(&producer, 0..10).await).await;
        mock.on(Api::Produce).times(4).fail_after(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        let (gone, kept): (Vec<_>, Vec<_>) =
            send_all(&producer, 10..40).await.into_iter().partition(|(n, _)| n % 3 != 0);
        pass(wait * MS).await;
        drop(gone);
        all.extend(outcomes(kept).await);
        all.extend(outcomes(send_all(&producer, 40..60).await).await);
        check(&mock, &all);
        all_acked(&all);
        assert_eq!(log(&mock)[&0], (0..60).collect::<Vec<_>>());
        assert!(mock.records(TOPIC, 0).iter().zip(0..).all(|(record, n)| record.sequence == n));
    }
}

/// KAFKA-13574: NOT_LEADER_OR_FOLLOWER may come after the write.
#[tokio::test(start_paused = true)]
async fn killer_11_not_leader_proves_nothing() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    let producer = wire.producer_with(&mock, |builder| builder.delivery_timeout(2 * SECOND)).await;
    let mut all = outcomes(send_wide(&producer, 0..1)).await;
    let fault = mock.on(Api::Produce).always().fail_after(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let delivery = producer.send(wide(1)).await.unwrap();
    all.insert(1, delivery.await);
    fault.remove();
    check(&mock, &all);
    assert!(matches!(all[&1], Err(DeliveryError::Unknown(Unknown::TimedOut { .. }))), "{:?}", all[&1]);
    all.extend(outcomes(send_wide(&producer, 2..4)).await);
    check(&mock, &all);
    assert_eq!(log(&mock)[&0], [0, 1, 2, 3]);
}
