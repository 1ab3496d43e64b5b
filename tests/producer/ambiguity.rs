//! Faults that leave it open what the broker has: answers of two leaders, a caller that cancels meanwhile, a broker
//! that has forgotten the producer.

use super::{
    wire::{Wire, send_wide},
    *,
};
use craftwire::{error::ErrorCode, mock::Api};

/// What can become of an answer once the batch is in the log.
const AFTER_APPEND: [Option<i16>; 6] = [None, Some(7), Some(20), Some(46), Some(-1), Some(SILENCE)];
const SILENCE: i16 = i16::MAX;

#[tokio::test(start_paused = true)]
async fn f20_what_can_follow_an_append_in_every_order_over_five_in_flight() {
    for order in 0..120 {
        let (mock, wire) = (mock(1, 1), Wire::default());
        let producer = wire.producer(&mock).await;
        let mut all = outcomes(send_wide(&producer, 0..1)).await;
        // Five of the six, the one left out in turn.
        let mut faults = AFTER_APPEND.to_vec();
        faults.remove(order % 6);
        let mut order = order;
        while !faults.is_empty() {
            let fault = faults.remove(order % faults.len());
            order /= faults.len() + 1;
            let on = mock.on(Api::Produce);
            match fault {
                None => on.disconnect_after(),
                Some(SILENCE) => on.drop_after(),
                Some(code) => on.fail_after(ErrorCode(code)),
            };
        }
        all.extend(outcomes(send_wide(&producer, 1..9)).await);
        check(&mock, &all);
        all_acked(&all);
        assert_eq!(log(&mock)[&0], (0..9).collect::<Vec<_>>());
        wire.check(0);
    }
}

#[tokio::test(start_paused = true)]
async fn f21_answers_of_two_leaders_in_any_order() {
    for seed in 1..25 {
        let mut state = seed * 0x9e37_79b9_u64;
        let mut below = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u32::try_from(state % bound).unwrap()
        };
        let (mock, wire) = (mock(2, 2), Wire::default());
        let producer = wire.producer(&mock).await;
        let mut deliveries = send_wide(&producer, 0..8);
        pass(SECOND).await;
        for round in 1..13 {
            for broker in [1, 1, 1, 2, 2, 2] {
                let on = mock.on(Api::Produce).broker(broker);
                match below(7) {
                    0 => on.fail_after(ErrorCode::NOT_LEADER_OR_FOLLOWER),
                    1 => on.fail(ErrorCode::NOT_LEADER_OR_FOLLOWER),
                    2 => on.fail_after(ErrorCode::REQUEST_TIMED_OUT),
                    3 => on.disconnect_after(),
                    _ => on.delay(below(60) * MS),
                };
            }
            deliveries.extend(send_wide(&producer, round * 20..round * 20 + 20));
            pass(below(30) * MS).await;
            for partition in 0..2 {
                mock.move_leader(TOPIC, partition, i32::from(below(2) == 0) + 1).unwrap();
            }
            pass(below(60) * MS).await;
        }
        let outcomes = outcomes(deliveries).await;
        check(&mock, &outcomes);
        all_acked(&outcomes);
        for partition in 0..2 {
            wire.check(partition);
            let unresolved = wire.unresolved_max(partition);
            assert!((2..=5).contains(&unresolved), "seed {seed}: {unresolved}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f22_a_caller_that_cancels_after_7_or_20_and_sends_new_events_loses_none() {
    for (code, times) in [(7, 1), (7, 4), (20, 1), (20, 4)] {
        let mock = mock(1, 1);
        let producer = producer(&mock).await;
        let mut all = outcomes(send_all(&producer, 0..5).await).await;
        let fault = mock.on(Api::Produce).times(times).fail_after(ErrorCode(code));
        let cancelled = send_all(&producer, 5..15).await;
        pass(10 * MS).await;
        drop(cancelled);
        all.extend(outcomes(send_all(&producer, 15..30).await).await);
        check(&mock, &all);
        all_acked(&all);
        assert_eq!(fault.hits(), times);
        assert_eq!(log(&mock)[&0], (0..30).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn f37_an_idle_producer_goes_on_after_retention_took_all_its_batches() {
    let mock = MockCluster::builder().start_in_memory().unwrap();
    mock.create_topic_with(TOPIC, 1, &[("retention.ms", "60000"), ("segment.ms", "1000")]).unwrap();
    let producer = producer(&mock).await;
    all_acked(&outcomes(send_all(&producer, 0..20).await).await);
    pass(3_600 * SECOND).await;
    mock.run_retention();
    assert_eq!(mock.offsets(TOPIC, 0), Some((20, 20)));
    let after = outcomes(send_all(&producer, 20..60).await).await;
    all_acked(&after);
    assert!(after.values().zip(20..).all(|(ack, n)| ack.as_ref().unwrap().offset == Some(n)));
    assert_eq!(log(&mock)[&0], (20..60).collect::<Vec<_>>());
    assert!(mock.records(TOPIC, 0).iter().all(|record| record.producer_epoch == 0));
}

#[tokio::test(start_paused = true)]
async fn f37_after_its_id_has_expired_a_producer_starts_with_one_batch_whatever_becomes_of_it() {
    for code in [0, 3, 6, 19] {
        let builder = MockCluster::builder().topic(TOPIC, 1).producer_id_expiration(600 * SECOND);
        let (mock, wire) = (builder.start_in_memory().unwrap(), Wire::default());
        let producer = wire.producer(&mock).await;
        let mut all = outcomes(send_wide(&producer, 0..10)).await;
        pass(3_600 * SECOND).await;
        // Behind a refused batch another one would be taken as the first, and the refused one never again.
        if code != 0 {
            mock.on(Api::Produce).fail(ErrorCode(code));
        }
        all.extend(outcomes(send_wide(&producer, 10..30)).await);
        check(&mock, &all);
        all_acked(&all);
        let requests = wire.requests();
        let (from, to) = (requests[10].sent, requests[10].over.unwrap());
        assert!(!requests.iter().any(|sent| (from + 1..to).contains(&sent.sent)), "the first goes alone");
        assert_eq!(producer.metrics().loss_suspected, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn f37_a_broker_that_forgot_the_producer_takes_it_up_again() {
    let mock = mock(1, 1);
    let producer = producer(&mock).await;
    let mut all = outcomes(send_all(&producer, 0..10).await).await;
    mock.forget_producers(TOPIC, 0).unwrap();
    pass(3_600 * SECOND).await;
    all.extend(outcomes(send_all(&producer, 10..40).await).await);
    check(&mock, &all);
    all_acked(&all);
}
