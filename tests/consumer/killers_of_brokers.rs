//! Bugs that other clients had when brokers went, lied or fell silent, by their number among the known killers. Each has its
//! patch in `tests/mutations`; killers 19 and 24 are in `src/consumer`, beside the machines that they concern.

use crate::recorder::{PATIENCE, SECOND, client, next, pass, start, write};
use craftwire::{
    Client,
    consumer::{Consumer, ConsumerEvent, StartFrom},
    mock::{Api, MockCluster},
};
use kafka_protocol::{
    messages::MetadataResponse,
    protocol::{Decodable, Encodable},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI16, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::timeout;

/// Far longer than finding another broker takes, far shorter than the age at which metadata is asked for anyway.
const SOON: Duration = Duration::from_secs(30);

/// Reads these offsets of both partitions, in order, and soon.
async fn read_soon(consumer: &mut Consumer, offsets: std::ops::Range<i64>) {
    let mut expected: [_; 2] = std::array::from_fn(|_| offsets.clone());
    let all = async {
        while expected.iter().any(|offsets| !offsets.is_empty()) {
            let (partition, offset) = next(consumer).await;
            assert_eq!(expected[usize::try_from(partition).unwrap()].next(), Some(offset), "of {partition}");
        }
    };
    timeout(SOON, all).await.expect("it goes on soon");
}

fn write_both(mock: &MockCluster, offsets: std::ops::Range<i64>) {
    write(mock, 0, offsets.clone());
    write(mock, 1, offsets);
}

/// librdkafka #4293, #4427: a name that could not be resolved while positions were checked was taken for an offset that does
/// not exist, and the reset policy moved the reader.
#[tokio::test(start_paused = true)]
async fn killer_20_brokers_that_cannot_be_reached_reset_no_offset() {
    let mock = start(MockCluster::builder().brokers(2).topic("t", 2));
    let client = client(&mock).await;
    let builder = client.consumer().group("g").topics(["t"]).start_from(StartFrom::Earliest);
    let mut consumer = builder.on_out_of_range(StartFrom::Latest).build().await.unwrap();
    let mut events = consumer.events();
    write_both(&mock, 0..10);
    read_soon(&mut consumer, 0..10).await;
    for round in 1..4 {
        for broker in [1, 2] {
            mock.stop_broker(broker);
        }
        pass(40 * SECOND).await;
        // Both how positions are learnt, and reading itself, fail a few times more.
        for api in [Api::OffsetFetch, Api::ListOffsets, Api::Fetch, Api::Metadata] {
            drop(mock.on(api).times(3).disconnect_before());
        }
        for broker in [1, 2] {
            mock.start_broker(broker).unwrap();
        }
        write_both(&mock, 10 * round..10 * (round + 1));
        // Nothing was acked, so that whoever lost its partitions meanwhile begins again.
        let mut seen = BTreeSet::new();
        while seen.len() < 20 {
            let (partition, offset) = next(&mut consumer).await;
            if offset >= 10 * round {
                seen.insert((partition, offset));
            }
        }
    }
    let resets = async {
        while let Some(event) = events.next().await {
            assert!(!matches!(event, ConsumerEvent::Reset { from: Some(_), .. }), "{event:?}");
        }
    };
    assert!(timeout(SECOND, resets).await.is_err());
}

/// librdkafka #5088, #5301: metadata that names no broker was taken for the truth, and the client was offline for ever.
#[tokio::test(start_paused = true)]
async fn killer_21_metadata_without_brokers_is_not_believed() {
    let mock = start(MockCluster::builder().brokers(2).topic("t", 2));
    let connecting = Client::builder(&mock.bootstrap()).memory(mock.connector());
    let client = connecting.metadata_max_age(SECOND).build().await.unwrap();
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    write_both(&mock, 0..5);
    read_soon(&mut consumer, 0..5).await;
    let version = Arc::new(AtomicI16::new(0));
    let heard = version.clone();
    let hears = move |call: &craftwire::mock::Call| {
        heard.store(call.version(), SeqCst);
        true
    };
    let empty = mock.on(Api::Metadata).always().when(hears).rewrite(move |body| {
        let version = version.load(SeqCst);
        let mut answer = MetadataResponse::decode(&mut bytes::Bytes::copy_from_slice(body), version).unwrap();
        answer.brokers.clear();
        let mut rewritten = Vec::new();
        answer.encode(&mut rewritten, version).unwrap();
        rewritten
    });
    pass(5 * SECOND).await;
    assert!(empty.hits() > 2, "it was asked: {}", empty.hits());
    for broker in [1, 2] {
        mock.cut_connections(broker);
    }
    write_both(&mock, 5..10);
    read_soon(&mut consumer, 5..10).await;
    empty.remove();
    write_both(&mock, 10..15);
    read_soon(&mut consumer, 10..15).await;
}

/// vector #25375, franz-go #1331: while a partition had no leader its epoch was lost or the client stopped asking, and it never
/// came back.
#[tokio::test(start_paused = true)]
async fn killer_22_a_time_without_a_leader_ends_with_it() {
    let mock = start(MockCluster::builder().brokers(2).topic("t", 2));
    let client = client(&mock).await;
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    let mut events = consumer.events();
    for round in 0..4 {
        write_both(&mock, 5 * round..5 * (round + 1));
        read_soon(&mut consumer, 5 * round..5 * (round + 1)).await;
        let leader = mock.leader("t", 0).unwrap();
        mock.hide_leader("t", 0, 10).unwrap();
        mock.move_leader("t", 0, 3 - leader).unwrap();
        // The old leader is gone, and cannot say who leads now.
        mock.stop_broker(leader);
        let told = async {
            while mock.forged_leaders() < 10 * u64::try_from(round + 1).unwrap() {
                pass(SECOND).await;
            }
        };
        timeout(SOON, told).await.expect("it asks until somebody knows");
        mock.start_broker(leader).unwrap();
    }
    let moves = async {
        while let Some(event) = events.next().await {
            let is_move =
                matches!(event, ConsumerEvent::Truncated { .. } | ConsumerEvent::Reset { from: Some(_), .. });
            assert!(!is_move, "{event:?}");
        }
    };
    assert!(timeout(SECOND, moves).await.is_err());
}

/// platformatic/kafka #389, rskafka #58: a socket whose request had timed out was used again.
#[tokio::test(start_paused = true)]
async fn killer_23_a_connection_that_fell_silent_is_not_used_again() {
    let mock = start(MockCluster::builder().topic("t", 2));
    let client = client(&mock).await;
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    write_both(&mock, 0..5);
    read_soon(&mut consumer, 0..5).await;
    // From now on, the connection that fetches swallows everything.
    let dead = Arc::new(AtomicU64::new(0));
    let is_dead = move |call: &craftwire::mock::Call| {
        let _first = dead.compare_exchange(0, call.connection(), SeqCst, SeqCst);
        dead.load(SeqCst) == call.connection()
    };
    let swallowed = mock.on(Api::Fetch).always().when(is_dead).drop_before();
    pass(SECOND).await;
    write_both(&mock, 5..10);
    read_soon(&mut consumer, 5..10).await;
    assert_eq!(swallowed.hits(), 1, "nothing more was asked on it");
    timeout(PATIENCE, consumer.close()).await.unwrap().unwrap();
}
