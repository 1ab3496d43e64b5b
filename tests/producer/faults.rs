//! Faults on the way to the log: nothing acked is lost, nothing is written twice, the order stays.

use super::*;
use craftwire::{
    Compression,
    error::ErrorCode,
    mock::Api,
    producer::{NotSent, Unknown},
};

/// Sends records in small requests, spread over time, while `fault` is set on some of them.
async fn under(
    brokers: u8,
    fault: impl Fn(&MockCluster),
) -> (MockCluster, BTreeMap<u64, Result<Ack, DeliveryError>>) {
    let mock = mock(brokers, 4);
    let producer = producer(&mock).await;
    let mut deliveries = Vec::new();
    for round in 0..40 {
        if round % 5 == 2 {
            fault(&mock);
        }
        deliveries.extend(send_all(&producer, round * 20..round * 20 + 20).await);
        pass(7 * MS).await;
    }
    let outcomes = outcomes(deliveries).await;
    check(&mock, &outcomes);
    (mock, outcomes)
}

#[tokio::test(start_paused = true)]
async fn without_faults_everything_is_acked_once_and_in_order() {
    let (mock, outcomes) = under(3, |_| {}).await;
    all_acked(&outcomes);
    assert_eq!(log(&mock).values().map(Vec::len).sum::<usize>(), 800);
}

#[tokio::test(start_paused = true)]
async fn f20_codes_that_come_after_the_append_make_no_duplicates() {
    for code in [7, 20, -1, 6, 3, 56, 46] {
        let (_, outcomes) = under(2, |mock| {
            mock.on(Api::Produce).times(3).fail_after(ErrorCode(code));
        })
        .await;
        all_acked(&outcomes);
    }
}

#[tokio::test(start_paused = true)]
async fn codes_that_come_before_the_append_lose_nothing() {
    for code in [19, 6, 3, 5, 7, 74, 1_000] {
        let (_, outcomes) = under(2, |mock| {
            mock.on(Api::Produce).times(3).fail(ErrorCode(code));
        })
        .await;
        all_acked(&outcomes);
    }
}

#[tokio::test(start_paused = true)]
async fn f9_a_lost_answer_makes_no_duplicate() {
    let (_, outcomes) = under(2, |mock| {
        mock.on(Api::Produce).times(2).disconnect_after();
    })
    .await;
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_sent_again() {
    let (_, outcomes) = under(2, |mock| {
        mock.on(Api::Produce).times(2).disconnect_before();
    })
    .await;
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn f13_a_connection_that_went_silent_is_given_up_and_its_batches_sent_again() {
    for after in [true, false] {
        let (_, outcomes) = under(2, |mock| {
            let produce = mock.on(Api::Produce).times(1);
            if after {
                produce.drop_after()
            } else {
                produce.drop_before()
            };
        })
        .await;
        all_acked(&outcomes);
    }
}

#[tokio::test(start_paused = true)]
async fn f17_leaders_that_move_under_load() {
    let moves = std::sync::atomic::AtomicI32::new(0);
    let (_, outcomes) = under(3, |mock| {
        let turn = moves.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        for partition in 0..4 {
            mock.move_leader(
                TOPIC,
                partition,
                mock.broker_ids()[usize::try_from(turn + partition).unwrap() % 3],
            )
            .unwrap();
        }
    })
    .await;
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn f19_connections_that_live_for_a_moment() {
    let (_, outcomes) =
        under(2, |mock| mock.broker_ids().into_iter().for_each(|id| mock.cut_connections(id))).await;
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_gone_for_a_minute_loses_nothing() {
    let mock = mock(2, 4);
    let producer = producer(&mock).await;
    let mut deliveries = send_all(&producer, 0..50).await;
    mock.broker_ids().into_iter().for_each(|id| mock.stop_broker(id));
    deliveries.extend(send_all(&producer, 50..100).await);
    pass(60 * SECOND).await;
    mock.broker_ids().into_iter().for_each(|id| mock.start_broker(id).unwrap());
    let outcomes = outcomes(deliveries).await;
    check(&mock, &outcomes);
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn f24_records_that_the_broker_lost_are_reported_and_later_ones_go_on() {
    for code in [ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode::UNKNOWN_PRODUCER_ID] {
        let mock = mock(1, 1);
        let producer = producer(&mock).await;
        let mut all = outcomes(send_all(&producer, 0..10).await).await;
        mock.on(Api::Produce).times(1).fail(code);
        all.extend(outcomes(send_all(&producer, 10..20).await).await);
        check(&mock, &all);
        all_acked(&all);
        assert_eq!(producer.metrics().loss_suspected, 1, "{code}");
        assert_eq!(mock.records(TOPIC, 0)[15].producer_epoch, 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn f25_a_fenced_producer_goes_on_under_another_id() {
    for code in [ErrorCode::INVALID_PRODUCER_EPOCH, ErrorCode::PRODUCER_FENCED] {
        let mock = mock(1, 1);
        let producer = producer(&mock).await;
        let mut all = outcomes(send_all(&producer, 0..10).await).await;
        let refused = mock.on(Api::InitProducerId).times(30).fail(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        mock.on(Api::Produce).times(1).fail(code);
        all.extend(outcomes(send_all(&producer, 10..20).await).await);
        check(&mock, &all);
        all_acked(&all);
        assert_eq!(refused.hits(), 30);
        let records = mock.records(TOPIC, 0);
        assert_ne!(records[0].producer_id, records[15].producer_id);
    }
}

#[tokio::test(start_paused = true)]
async fn f23_an_answer_that_comes_after_the_deadline_changes_nothing() {
    let mock = mock(1, 1);
    let producer = producer_with(&mock, |builder| builder.delivery_timeout(2 * SECOND)).await;
    let mut all = outcomes(send_all(&producer, 0..10).await).await;
    mock.on(Api::Produce).times(1).delay(5 * SECOND);
    let started = Instant::now();
    let late = outcomes(send_all(&producer, 10..20).await).await;
    assert!(started.elapsed() < 3 * SECOND, "{:?}", started.elapsed());
    for outcome in late.values() {
        assert!(matches!(outcome, Err(DeliveryError::Unknown(Unknown::TimedOut { .. }))), "{outcome:?}");
    }
    all.extend(late);
    let next = send_all(&producer, 20..30).await;
    pass(5 * SECOND).await;
    let next = outcomes(next).await;
    assert!(
        next.values().all(|outcome| matches!(outcome, Err(DeliveryError::NotSent(NotSent::TimedOut { .. })))),
        "{next:?}"
    );
    all.extend(next);
    all.extend(outcomes(send_all(&producer, 30..40).await).await);
    check(&mock, &all);
    assert!(all[&35].is_ok());
    assert_eq!(mock.records(TOPIC, 0).last().unwrap().producer_epoch, 1, "the old epoch is fenced");
}

#[tokio::test(start_paused = true)]
async fn f27_a_topic_that_is_missing_in_metadata_keeps_its_sequences() {
    let mock = mock(1, 2);
    let producer = producer(&mock).await;
    let mut all = outcomes(send_all(&producer, 0..20).await).await;
    mock.on(Api::Metadata).times(5).fail_partition(TOPIC, -1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    mock.on(Api::Produce).times(1).fail(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    all.extend(outcomes(send_all(&producer, 20..40).await).await);
    pass(120 * SECOND).await;
    all.extend(outcomes(send_all(&producer, 40..60).await).await);
    check(&mock, &all);
    all_acked(&all);
    let records = mock.records(TOPIC, 0);
    assert!(records.iter().zip(0..).all(|(record, n)| record.sequence == n && record.producer_epoch == 0));
}

#[tokio::test(start_paused = true)]
async fn f27_records_for_a_topic_that_was_deleted_are_not_written_to_its_successor() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    all_acked(&outcomes(send_all(&producer, 0..10).await).await);
    mock.on(Api::Produce).always().fail(ErrorCode::NOT_ENOUGH_REPLICAS);
    let waiting = send_all(&producer, 10..20).await;
    pass(SECOND).await;
    mock.delete_topic(TOPIC);
    mock.create_topic(TOPIC, 1).unwrap();
    pass(100 * SECOND).await;
    mock.clear_hooks();
    for outcome in outcomes(waiting).await.values() {
        assert_eq!(*outcome, Err(DeliveryError::NotSent(NotSent::TopicRecreated)));
    }
    let after = outcomes(send_all(&producer, 20..30).await).await;
    all_acked(&after);
    check(&mock, &after);
}

#[tokio::test(start_paused = true)]
async fn f38_new_partitions_are_used_once_they_are_known() {
    let mock = mock(1, 2);
    let producer = producer(&mock).await;
    all_acked(&outcomes(send_all(&producer, 0..50).await).await);
    mock.grow_topic(TOPIC, 8).unwrap();
    pass(70 * SECOND).await;
    let outcomes = outcomes(send_all(&producer, 50..100).await).await;
    all_acked(&outcomes);
    assert!(outcomes.values().any(|outcome| outcome.as_ref().is_ok_and(|ack| ack.partition >= 2)));
}

#[tokio::test(start_paused = true)]
async fn promise_8_a_rejected_batch_fails_alone_and_says_why() {
    let mock = mock(1, 2);
    let producer = producer(&mock).await;
    all_acked(&outcomes(send_all(&producer, 0..20).await).await);
    mock.on(Api::Produce).fail_partition(TOPIC, 0, ErrorCode::INVALID_TIMESTAMP);
    let outcomes = outcomes(send_all(&producer, 20..40).await).await;
    for outcome in outcomes.values() {
        match outcome {
            Ok(ack) => assert_eq!(ack.partition, 1),
            Err(DeliveryError::NotSent(NotSent::Rejected { code, .. })) => {
                assert_eq!(*code, ErrorCode::INVALID_TIMESTAMP);
            }
            other => panic!("{other:?}"),
        }
    }
    all_acked(&super::outcomes(send_all(&producer, 40..60).await).await);
}

/// A cluster with one topic of one partition, set up so, which the producer may not know.
fn mock_with(setting: &str, value: &str) -> MockCluster {
    let mock = MockCluster::builder().start_in_memory().unwrap();
    mock.on(Api::DescribeConfigs).always().fail(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    mock.create_topic_with(TOPIC, 1, &[(setting, value)]).unwrap();
    mock
}

#[tokio::test(start_paused = true)]
async fn promise_8_batches_larger_than_the_topic_takes_are_cut_in_order() {
    for size in [1_000, 3_000, 20_000] {
        let mock = mock_with("max.message.bytes", &size.to_string());
        let producer = producer_with(&mock, |builder| builder.compression(Compression::None)).await;
        let mut all = BTreeMap::new();
        for round in 0..4 {
            let mut deliveries = send_all(&producer, round * 1_000..round * 1_000 + 500).await;
            pass(3 * MS).await;
            deliveries.extend(send_all(&producer, round * 1_000 + 500..round * 1_000 + 1_000).await);
            all.extend(outcomes(deliveries).await);
        }
        check(&mock, &all);
        all_acked(&all);
        let records = mock.records(TOPIC, 0);
        assert!(records.iter().all(|record| record.producer_epoch == 0), "sequences are kept");
    }
}

#[tokio::test(start_paused = true)]
async fn promise_8_a_record_too_large_for_the_topic_fails_alone() {
    let mock = mock_with("max.message.bytes", "2000");
    let producer = producer_with(&mock, |builder| builder.compression(Compression::None)).await;
    let mut deliveries = Vec::new();
    for n in 0..200 {
        let value = format!("{n:0width$}", width = if n % 50 == 7 { 3_000 } else { 3 });
        deliveries.push((n, producer.send(ProducerRecord::new(TOPIC, value)).await.unwrap()));
    }
    let outcomes = outcomes(deliveries).await;
    check(&mock, &outcomes);
    for (n, outcome) in &outcomes {
        match outcome {
            Ok(_) => assert_ne!(n % 50, 7),
            Err(DeliveryError::NotSent(NotSent::TooLarge { bytes })) => {
                assert_eq!(n % 50, 7);
                assert!((3_000..3_100).contains(bytes), "{bytes}");
            }
            other => panic!("{n}: {other:?}"),
        }
    }
    let metrics = producer.metrics();
    assert_eq!((metrics.records_acked, metrics.records_not_sent, metrics.records), (196, 4, 200));
}

#[tokio::test(start_paused = true)]
async fn promise_8_records_that_the_broker_names_fail_alone() {
    let mock = mock_with("cleanup.policy", "compact");
    let producer = producer(&mock).await;
    let is_bad = |n: u64| n % 40 == 3;
    let mut deliveries = Vec::new();
    for round in 0..20 {
        for n in round * 20..round * 20 + 20 {
            let record = ProducerRecord::new(TOPIC, n.to_string());
            let record = if is_bad(n) { record } else { record.key("key") };
            deliveries.push((n, producer.send(record).await.unwrap()));
        }
        pass(2 * MS).await;
    }
    producer.flush().await;
    assert!(deliveries.iter().all(|(_, delivery)| delivery.outcome().is_some()), "flush waits for the parts");
    let outcomes = outcomes(deliveries).await;
    check(&mock, &outcomes);
    for (n, outcome) in &outcomes {
        match outcome {
            Ok(_) => assert!(!is_bad(*n)),
            Err(DeliveryError::NotSent(NotSent::RecordRejected { code, message })) => {
                assert!(is_bad(*n));
                assert_eq!(*code, ErrorCode::INVALID_RECORD);
                assert!(message.is_some());
            }
            other => panic!("{n}: {other:?}"),
        }
    }
    let metrics = producer.metrics();
    assert_eq!((metrics.records_acked, metrics.records_not_sent, metrics.records), (390, 10, 400));
    assert_eq!((metrics.loss_suspected, metrics.buffered_bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn promise_8_a_report_counts_the_records_of_batches_that_were_taken_apart() {
    let mock = mock_with("cleanup.policy", "compact");
    let producer = producer(&mock).await;
    for n in 0..10 {
        let record = ProducerRecord::new(TOPIC, "x");
        drop(producer.send(if n == 4 { record } else { record.key("key") }).await.unwrap());
    }
    let report = producer.close(10 * SECOND).await;
    assert_eq!((report.acked, report.not_sent, report.unknown), (9, 1, 0));
}
