//! Promise 25, KIP-320: a leader of a newer epoch is asked whether it has what was read before it is read from.

use crate::recorder::{PATIENCE, Recorder, SECOND, client, next, pass, start, write};
use craftwire::{
    consumer::ConsumeError,
    error::ErrorCode,
    mock::{Api, MockCluster},
};
use tokio::time::timeout;

fn mock() -> MockCluster {
    start(MockCluster::builder().brokers(2).topic("t", 1))
}

fn move_leader(mock: &MockCluster) -> i32 {
    let other = 3 - mock.leader("t", 0).unwrap();
    mock.move_leader("t", 0, other).unwrap();
    other
}

/// Whether the first question to the broker about the log was where an epoch ends.
fn was_asked_first(recorder: &Recorder, broker: i32) -> bool {
    let all = recorder.all();
    let mut about_logs = all.iter().filter(|asked| {
        asked.broker == broker && matches!(asked.api, Api::Fetch | Api::OffsetForLeaderEpoch)
    });
    about_logs.next().is_some_and(|asked| asked.api == Api::OffsetForLeaderEpoch)
}

#[tokio::test(start_paused = true)]
async fn promise_25_a_new_leader_is_asked_once_and_on_another_connection_than_fetches() {
    let mock = mock();
    let mut consumer = client(&mock).await.consumer().topics(["t"]).build().await.unwrap();
    write(&mock, 0, 0..5);
    for offset in 0..5 {
        assert_eq!(next(&mut consumer).await, (0, offset));
    }
    let recorder = Recorder::of(&mock);
    let leader = move_leader(&mock);
    write(&mock, 0, 5..8);
    for offset in 5..8 {
        assert_eq!(next(&mut consumer).await, (0, offset));
    }
    assert!(was_asked_first(&recorder, leader));
    let epochs = recorder.connections(Api::OffsetForLeaderEpoch);
    assert!(epochs.is_disjoint(&recorder.connections(Api::Fetch)));
    // What was read under the newest epoch cannot be cut by a leader of the same.
    pass(10 * SECOND).await;
    assert_eq!(recorder.of_api(Api::OffsetForLeaderEpoch).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn promise_25_a_log_that_was_cut_is_told_before_anything_of_it_is_fetched() {
    let mock = mock();
    let mut consumer = client(&mock).await.consumer().topics(["t"]).build().await.unwrap();
    write(&mock, 0, 0..5);
    let (old, new) = (mock.leader("t", 0).unwrap(), 3 - mock.leader("t", 0).unwrap());
    mock.stop_broker(new);
    write(&mock, 0, 5..9);
    for offset in 0..9 {
        assert_eq!(next(&mut consumer).await, (0, offset));
    }
    mock.stop_broker(old);
    mock.start_broker(new).unwrap();
    let recorder = Recorder::of(&mock);
    assert_eq!(mock.elect_unclean_leader("t", 0, new), Ok(4));
    // As many as were lost: by the offsets alone nothing is wrong.
    write(&mock, 0, 5..12);
    let error = timeout(PATIENCE, consumer.recv()).await.expect("in time").unwrap().unwrap_err();
    assert!(matches!(error, ConsumeError::LogTruncated { from: 9, to: 5, .. }), "{error}");
    assert!(was_asked_first(&recorder, new));
    for offset in 5..12 {
        assert_eq!(next(&mut consumer).await, (0, offset));
    }
}

#[tokio::test(start_paused = true)]
async fn promise_25_a_commit_of_an_older_epoch_is_asked_about() {
    let mock = mock();
    write(&mock, 0, 0..5);
    for (member, asked) in [(0, 0), (1, 1), (2, 0)] {
        let recorder = Recorder::of(&mock);
        let client = client(&mock).await;
        let mut consumer = client.consumer().group("g").topics(["t"]).build().await.unwrap();
        if member == 0 {
            for offset in 0..5 {
                let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
                assert_eq!(record.offset(), offset);
                consumer.ack(&record);
            }
        } else if member == 1 {
            write(&mock, 0, 5..6);
            let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
            assert_eq!(record.offset(), 5);
            consumer.ack(&record);
        } else {
            write(&mock, 0, 6..7);
            assert_eq!(next(&mut consumer).await, (0, 6));
        }
        consumer.close().await.unwrap();
        assert_eq!(recorder.of_api(Api::OffsetForLeaderEpoch).len(), asked, "member {member}");
        if member == 0 {
            move_leader(&mock);
        }
    }
}

/// UNDEFINED is no loss (franz-go 1.21.4), and errors are no reason to stop.
#[tokio::test(start_paused = true)]
async fn promise_25_a_leader_that_does_not_know_or_not_say_is_read_from_all_the_same() {
    let unknown =
        start(MockCluster::builder().brokers(2).topic("t", 1).api_versions(Api::OffsetForLeaderEpoch, 0, 3));
    let failing = mock();
    for code in
        [ErrorCode::FENCED_LEADER_EPOCH, ErrorCode::UNKNOWN_LEADER_EPOCH, ErrorCode::UNKNOWN_SERVER_ERROR]
    {
        failing.on(Api::OffsetForLeaderEpoch).times(2).fail(code);
    }
    let cutting = mock();
    cutting.on(Api::OffsetForLeaderEpoch).times(3).disconnect_before();
    for mock in [unknown, failing, cutting] {
        let mut consumer = client(&mock).await.consumer().topics(["t"]).build().await.unwrap();
        write(&mock, 0, 0..5);
        for offset in 0..5 {
            assert_eq!(next(&mut consumer).await, (0, offset));
        }
        move_leader(&mock);
        write(&mock, 0, 5..8);
        for offset in 5..8 {
            assert_eq!(next(&mut consumer).await, (0, offset));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn promise_25_a_leader_that_freezes_over_the_question_is_left_for_the_next() {
    let mock = start(MockCluster::builder().brokers(3).topic("t", 1));
    let mut consumer = client(&mock).await.consumer().topics(["t"]).build().await.unwrap();
    write(&mock, 0, 0..5);
    for offset in 0..5 {
        assert_eq!(next(&mut consumer).await, (0, offset));
    }
    let first = mock.leader("t", 0).unwrap();
    let (second, third) = (first % 3 + 1, (first + 1) % 3 + 1);
    mock.pause_broker(second);
    mock.move_leader("t", 0, second).unwrap();
    pass(SECOND).await;
    mock.move_leader("t", 0, third).unwrap();
    write(&mock, 0, 5..8);
    for offset in 5..8 {
        assert_eq!(next(&mut consumer).await, (0, offset));
    }
}
