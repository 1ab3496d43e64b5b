//! Replicas that lag and brokers that die or freeze: what was acked is in the log of whoever leads.

use super::*;
use craftwire::{
    error::ErrorCode,
    mock::{Api, MockClusterBuilder},
};

fn replicated(set: impl FnOnce(MockClusterBuilder) -> MockClusterBuilder) -> MockCluster {
    let mock = set(MockCluster::builder().brokers(3)).start_in_memory().unwrap();
    mock.create_topic_with(TOPIC, 4, &[("min.insync.replicas", "2")]).unwrap();
    mock
}

/// Sends a few records every 50 ms for that many rounds, while `event` happens before some of them.
async fn through(
    mock: &MockCluster,
    rounds: u64,
    event: impl Fn(u64),
) -> BTreeMap<u64, Result<Ack, DeliveryError>> {
    let producer = producer(mock).await;
    let mut deliveries = Vec::new();
    for round in 0..rounds {
        event(round);
        deliveries.extend(send_all(&producer, round * 5..round * 5 + 5).await);
        pass(50 * MS).await;
    }
    let outcomes = outcomes(deliveries).await;
    check(mock, &outcomes);
    outcomes
}

#[tokio::test(start_paused = true)]
async fn acks_wait_for_followers_that_lag() {
    let mock = replicated(|builder| builder);
    let producer = producer(&mock).await;
    mock.set_replication_lag(300 * MS);
    let started = Instant::now();
    let outcomes = outcomes(send_all(&producer, 0..100).await).await;
    assert!(started.elapsed() >= 300 * MS, "{:?}", started.elapsed());
    check(&mock, &outcomes);
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn f26_too_few_replicas_for_a_minute_drop_nothing_and_keep_the_order() {
    let mock = replicated(|builder| builder);
    let outcomes = through(&mock, 1_400, |round| match round {
        20 => [2, 3].into_iter().for_each(|id| mock.stop_broker(id)),
        1_220 => mock.start_broker(2).unwrap(),
        1_300 => mock.start_broker(3).unwrap(),
        _ => {}
    })
    .await;
    all_acked(&outcomes);
    assert_eq!(outcomes.len(), 7_000);
}

#[tokio::test(start_paused = true)]
async fn f26_replicas_that_fall_behind_after_the_append_are_waited_for() {
    let mock = replicated(|builder| builder.replica_lag_time_max(2 * SECOND));
    let outcomes = through(&mock, 400, |round| match round {
        20 => [1, 2, 3].into_iter().for_each(|id| mock.set_broker_replication_lag(id, Duration::MAX)),
        320 => mock.clear_replication_lags(),
        _ => {}
    })
    .await;
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn f2_a_leader_that_freezes_is_replaced_and_comes_back_as_a_follower() {
    for frozen in [5 * SECOND, 20 * SECOND, 45 * SECOND] {
        let mock = replicated(|builder| builder);
        mock.set_replication_lag(20 * MS);
        let thaws = 20 + u64::try_from(frozen.as_millis() / 50).unwrap();
        let outcomes = through(&mock, thaws + 100, |round| match round {
            20 => mock.pause_broker(1),
            at if at == thaws => mock.resume_broker(1),
            _ => {}
        })
        .await;
        all_acked(&outcomes);
    }
}

#[tokio::test(start_paused = true)]
async fn f1_leaders_that_are_killed_lose_nothing_that_was_acked() {
    let mock = replicated(|builder| builder.broker_session_timeout(SECOND));
    mock.set_replication_lag(30 * MS);
    let outcomes = through(&mock, 600, |round| {
        let victim = i32::try_from(round / 100).unwrap() % 3 + 1;
        match round % 100 {
            10 => mock.kill_broker(victim),
            60 => mock.start_broker(victim).unwrap(),
            _ => {}
        }
    })
    .await;
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn f17_leaders_that_move_to_followers_that_lag_lose_nothing_that_was_acked() {
    let mock = replicated(|builder| builder);
    mock.set_replication_lag(25 * MS);
    let outcomes = through(&mock, 300, |round| {
        if round % 10 == 5 {
            for partition in 0..4 {
                let broker = (i32::try_from(round / 10).unwrap() + partition) % 3 + 1;
                mock.move_leader(TOPIC, partition, broker).unwrap();
            }
        }
    })
    .await;
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn hooks_that_move_and_kill_leaders_in_the_midst_of_a_request() {
    let mock = replicated(|builder| builder.broker_session_timeout(SECOND));
    for (skip, partition) in [(3, 0), (7, 1), (11, 2)] {
        mock.on(Api::Produce).skip(skip).then(move |mock| {
            let next = mock.leader(TOPIC, partition).map_or(1, |leader| leader % 3 + 1);
            let _ = mock.move_leader(TOPIC, partition, next);
        });
    }
    mock.on(Api::Produce).partition(TOPIC, 3).skip(10).then_after(|mock| {
        let leader = mock.leader(TOPIC, 3).unwrap();
        mock.kill_broker(leader);
    });
    let outcomes = through(&mock, 200, |_| {}).await;
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn f46_answers_that_are_not_what_they_should_be_cost_a_connection_and_no_record() {
    for kind in 0..5 {
        let mock = replicated(|builder| builder);
        let outcomes = through(&mock, 60, |round| {
            if round % 10 == 5 {
                let on = mock.on(Api::Produce);
                match kind {
                    0 => on.misname(),
                    1 => on.answer_twice(),
                    2 => on.answer_nobody_first(),
                    3 => on.swap_with_next(),
                    _ => on.rewrite(|body| body.iter().map(|byte| !byte).collect()),
                };
            }
        })
        .await;
        all_acked(&outcomes);
    }
}

#[tokio::test(start_paused = true)]
async fn f8_an_answer_cut_at_any_byte_makes_no_duplicate() {
    let mock = replicated(|builder| builder);
    let outcomes = through(&mock, 120, |round| {
        let ending =
            if round % 2 == 0 { craftwire::mock::Ending::Close } else { craftwire::mock::Ending::Reset };
        mock.on(Api::Produce).cut(usize::try_from(round).unwrap(), ending);
    })
    .await;
    all_acked(&outcomes);
}

#[tokio::test(start_paused = true)]
async fn f20_a_replica_that_leaves_between_append_and_answer() {
    let mock = replicated(|builder| builder);
    let outcomes = through(&mock, 60, |round| {
        if round % 20 == 10 {
            mock.on(Api::Produce).times(2).fail_after(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND);
        }
    })
    .await;
    all_acked(&outcomes);
}
