//! Brokers that ask for a pause, in sense and nonsense, in every answer that can (KIP-219).

use craftwire::{
    Client, ProducerRecord,
    admin::{AdminError, ConfigOwner, NewTopic},
    error::ErrorCode,
    mock::{Api, Hooked, MockCluster},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, interval, timeout};

const RECORDS: usize = 40;
/// In virtual time.
const PATIENCE: Duration = Duration::from_secs(900);
const SECOND: Duration = Duration::from_secs(1);
/// Longer than a member can be held up here, so that it is never taken for gone.
const SESSION: Duration = Duration::from_secs(100);

/// Requests as they came: when, on which connection.
type Requests = Arc<Mutex<Vec<(Instant, u64)>>>;

/// What a client uses, in the order of use.
const APIS: [Api; 16] = [
    Api::ApiVersions,
    Api::Metadata,
    Api::CreateTopics,
    Api::InitProducerId,
    Api::Produce,
    Api::FindCoordinator,
    Api::ConsumerGroupHeartbeat,
    Api::OffsetFetch,
    Api::ListOffsets,
    Api::Fetch,
    Api::OffsetCommit,
    Api::DescribeConfigs,
    Api::IncrementalAlterConfigs,
    Api::DescribeCluster,
    Api::DeleteGroups,
    Api::DeleteTopics,
];

struct Run {
    mock: MockCluster,
    client: Client,
    requests: Requests,
}

impl Run {
    /// A client that waits longer for answers than a broker may have it pause. What `hook` is told of comes after the
    /// notes, so that it can act.
    async fn with(within: Duration, hook: impl FnOnce(&MockCluster) -> Hooked) -> (Self, Hooked) {
        let mock = MockCluster::builder().brokers(2).session_timeout(SESSION).start_in_memory().unwrap();
        let requests = Requests::default();
        let note_all = |mock: &MockCluster| {
            for &api in Api::ALL {
                let requests = requests.clone();
                let note = move |call: &craftwire::mock::Call| {
                    requests.lock().unwrap().push((Instant::now(), call.connection()));
                    false
                };
                mock.on(api).always().when(note).disconnect_before();
            }
        };
        note_all(&mock);
        let hook = hook(&mock);
        let builder = Client::builder(&mock.bootstrap()).memory(mock.connector());
        let builder = builder.connect_timeout(within).request_timeout(within);
        let client = builder.build().await.unwrap();
        (Self { mock, client, requests }, hook)
    }

    /// Uses every API.
    async fn whole_way(&self) {
        let admin = self.client.admin();
        admin.create_topic(NewTopic::new("t", 4, 1)).await.unwrap();
        let producer = loop {
            match self.client.producer().build().await {
                Ok(producer) => break producer,
                // It waits as long as a broker may ask for, and no longer.
                Err(error) => assert!(error.is_retriable(), "{error:?}"),
            }
        };
        for number in 0..RECORDS {
            let record = ProducerRecord::new("t", number.to_string()).key(number.to_string());
            let delivery = loop {
                match producer.send(record.clone()).await {
                    Ok(delivery) => break delivery,
                    Err(error) => assert!(error.is_retriable(), "{error:?}"),
                }
            };
            delivery.await.unwrap();
        }
        let mut consumer = self.client.consumer().group("g").topics(["t"]).build().await.unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < RECORDS {
            let record = consumer.recv().await.unwrap().unwrap();
            consumer.ack(&record);
            assert!(seen.insert(record.value().unwrap().to_vec()), "handed out twice");
        }
        // Closing is given less time than a broker may ask for; committing is tried until it is done.
        while let Err(error) = consumer.commit().await {
            assert!(error.is_retriable(), "{error:?}");
        }
        consumer.close().await.unwrap();
        let committed: i64 = (0..4).filter_map(|index| self.mock.committed("g", "t", index)).sum();
        assert_eq!(usize::try_from(committed), Ok(RECORDS));
        admin.describe_configs(ConfigOwner::Topic("t")).await.unwrap();
        let retention = ("retention.ms".to_owned(), Some("1000000".to_owned()));
        admin.alter_configs(ConfigOwner::Topic("t"), [retention]).await.unwrap();
        assert_eq!(admin.registered_brokers().await.unwrap(), 2);
        let mut pace = interval(SECOND);
        while let Err(error) = admin.delete_group("g").await {
            // A member that could not say that it left is one until its session ends.
            assert!(
                matches!(error, AdminError::Refused { code: ErrorCode::NON_EMPTY_GROUP, .. }),
                "{error:?}"
            );
            pace.tick().await;
        }
        admin.delete_topic("t").await.unwrap();
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Throttles one API's answers, and notes when and where.
fn throttle(mock: &MockCluster, api: Api, throttle_time_ms: i32, orders: &Requests) -> Hooked {
    let orders = orders.clone();
    let note = move |call: &craftwire::mock::Call| {
        let mut orders = orders.lock().unwrap();
        orders.push((Instant::now(), call.connection()));
        true
    };
    mock.on(api).times(2).when(note).throttle(throttle_time_ms)
}

#[tokio::test(start_paused = true)]
async fn f39_throttle_times_are_kept_within_bounds() {
    let (plain, _) = Run::with(40 * SECOND, |mock| mock.on(Api::Fetch).times(0).drop_before()).await;
    let begun = Instant::now();
    plain.whole_way().await;
    let (usual, usual_time) = (plain.count(), begun.elapsed());
    for (throttle_time_ms, pause) in [(5_000, 5), (i32::MAX, 30), (-1, 0), (i32::MIN, 0)] {
        let pause = pause * SECOND;
        for api in APIS {
            let what = format!("{api:?} {throttle_time_ms}");
            let orders = Requests::default();
            let begun = Instant::now();
            let (run, hook) =
                Run::with(40 * SECOND, |mock| throttle(mock, api, throttle_time_ms, &orders)).await;
            timeout(PATIENCE, run.whole_way()).await.unwrap_or_else(|_| panic!("{what}: it hangs"));
            let took = begun.elapsed();
            assert!(hook.hits() > 0, "{what}");
            // Some are asked twice on one connection, and a member that cannot leave stays for a session.
            let session = if pause.is_zero() { Duration::ZERO } else { SESSION };
            assert!(took <= usual_time + 4 * pause + session + SECOND, "{what}: {took:?}");
            let seconds = usize::try_from(took.as_secs()).unwrap();
            assert!(run.count() < 2 * usual + 30 * seconds, "{what}: {} requests", run.count());
            for &(at, connection) in &*orders.lock().unwrap() {
                let meanwhile =
                    |&&(when, on): &&(Instant, u64)| on == connection && at < when && when < at + pause;
                let early = run.requests.lock().unwrap().iter().filter(meanwhile).count();
                assert_eq!(early, 0, "{what}: {early} requests into the pause");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f39_a_call_that_cannot_wait_out_the_pause_is_told_in_time() {
    let hook = |mock: &MockCluster| mock.on(Api::DescribeCluster).throttle(i32::MAX);
    let (run, _hook) = Run::with(2 * SECOND, hook).await;
    run.client.admin().registered_brokers().await.unwrap();
    let begun = Instant::now();
    let error = run.client.admin().registered_brokers().await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    assert!(begun.elapsed() < 10 * SECOND, "{:?}", begun.elapsed());
    assert!(run.count() < 30, "{} requests", run.count());
    tokio::time::advance(30 * SECOND).await;
    assert_eq!(run.client.admin().registered_brokers().await.unwrap(), 2);
}
