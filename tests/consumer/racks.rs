//! Reading from a replica in the reader's own rack (KIP-392), on the mock in virtual time.

use crate::recorder::{Recorder, SECOND, client, next, pass, start, told, write};
use craftwire::{
    consumer::{Consumer, ConsumerEvent},
    error::ErrorCode,
    mock::{Api, MockCluster},
};
use std::time::Duration;

/// Three brokers in three racks, the partition led by 1, and a reader in the rack of broker 2.
async fn near_two() -> (MockCluster, Recorder, Consumer) {
    let builder = MockCluster::builder().brokers(3).topic("t", 1);
    let mock = start(builder.rack(1, "a").rack(2, "b").rack(3, "c"));
    mock.move_leader("t", 0, 1).unwrap();
    let recorder = Recorder::of(&mock);
    let client = client(&mock).await;
    let builder = client.consumer().topics(["t"]).rack("b").fetch_max_wait(Duration::from_millis(50));
    (mock, recorder, builder.build().await.unwrap())
}

async fn read(mock: &MockCluster, consumer: &mut Consumer, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        write(mock, 0, offset..offset + 1);
        assert_eq!(next(consumer).await, (0, offset));
    }
}

/// How many fetches a broker was sent since the last look.
fn fetches(recorder: &Recorder, broker: i32) -> usize {
    let mut all = recorder.all();
    let count = all.iter().filter(|asked| asked.api == Api::Fetch && asked.broker == broker).count();
    all.retain(|asked| asked.broker != broker);
    count
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_served_by_the_replica_in_its_rack_and_asks_the_leader_again_after_a_while() {
    let (mock, recorder, mut consumer) = near_two().await;
    read(&mock, &mut consumer, 0..50).await;
    assert_eq!((fetches(&recorder, 1), fetches(&recorder, 3)), (1, 0));
    assert!(fetches(&recorder, 2) >= 50);
    assert_eq!(consumer.lag().values().sum::<i64>(), 0);
    pass(310 * SECOND).await;
    read(&mock, &mut consumer, 50..60).await;
    assert_eq!(fetches(&recorder, 1), 1, "once when its word is five minutes old");
    mock.move_leader("t", 0, 2).unwrap();
    read(&mock, &mut consumer, 60..70).await;
    assert_eq!(fetches(&recorder, 1), 0);
}

#[tokio::test(start_paused = true)]
async fn f35_what_a_follower_refuses_is_asked_of_the_leader_and_an_offset_is_not_reset_for_it() {
    let codes =
        [ErrorCode::OFFSET_OUT_OF_RANGE, ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::UNKNOWN_SERVER_ERROR];
    for code in codes {
        let (mock, recorder, mut consumer) = near_two().await;
        read(&mock, &mut consumer, 0..5).await;
        told(&consumer, |event| matches!(event, ConsumerEvent::Reset { .. }).then_some(())).await;
        fetches(&recorder, 1);
        let refused = mock.on(Api::Fetch).broker(2).times(3).fail_partition("t", 0, code);
        read(&mock, &mut consumer, 5..20).await;
        pass(2 * SECOND).await;
        assert_eq!(refused.hits(), 3);
        assert!(fetches(&recorder, 1) >= 3, "{code}");
        read(&mock, &mut consumer, 20..30).await;
        assert_eq!(fetches(&recorder, 1), 0, "back at the replica after {code}");
        let mut events = consumer.events();
        while let Ok(Some(event)) = tokio::time::timeout(SECOND, events.next()).await {
            assert!(!matches!(event, ConsumerEvent::Reset { .. }), "{event:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_gone_or_says_nothing_costs_no_record_and_no_hot_loop() {
    let (mock, recorder, mut consumer) = near_two().await;
    read(&mock, &mut consumer, 0..5).await;
    mock.kill_broker(2);
    let before = recorder.of_api(Api::Fetch).len();
    read(&mock, &mut consumer, 5..20).await;
    let asked = recorder.of_api(Api::Fetch).len() - before;
    assert!(asked < 500, "{asked} fetches");
    mock.start_broker(2).unwrap();
    pass(30 * SECOND).await;
    mock.on(Api::Fetch).broker(2).times(2).drop_before();
    read(&mock, &mut consumer, 20..30).await;
    mock.stop_broker(1);
    read(&mock, &mut consumer, 30..40).await;
}
