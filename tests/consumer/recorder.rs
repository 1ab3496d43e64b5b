//! Every request that reached the mock, in order.

use bytes::Bytes;
use craftwire::{
    Client,
    consumer::{Consumer, ConsumerEvent},
    error::ErrorCode,
    mock::{Api, MockCluster, MockClusterBuilder},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::{Instant, sleep_until, timeout};

/// In virtual time, so it costs nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) api: Api,
    pub(crate) version: i16,
    pub(crate) connection: u64,
    pub(crate) broker: i32,
    pub(crate) body: Bytes,
}

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Asked>>>);

impl Recorder {
    /// Hears every request from now on.
    pub(crate) fn of(mock: &MockCluster) -> Self {
        let recorder = Self::default();
        for api in Api::ALL {
            let list = recorder.0.clone();
            let hears = move |call: &craftwire::mock::Call| {
                list.lock().unwrap().push(Asked {
                    api: call.api(),
                    version: call.version(),
                    connection: call.connection(),
                    broker: call.broker(),
                    body: call.body().clone(),
                });
                false
            };
            mock.on(*api).always().when(hears).fail(ErrorCode::NONE);
        }
        recorder
    }

    pub(crate) fn all(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.0.lock().unwrap()
    }

    pub(crate) fn of_api(&self, api: Api) -> Vec<Asked> {
        self.all().iter().filter(|asked| asked.api == api).cloned().collect()
    }

    /// The connections that an API was asked on.
    pub(crate) fn connections(&self, api: Api) -> BTreeSet<u64> {
        self.of_api(api).into_iter().map(|asked| asked.connection).collect()
    }

    /// The APIs that were asked on a connection, the handshake aside.
    pub(crate) fn apis_on(&self, connection: u64) -> Vec<Api> {
        let all = self.all();
        let apis = all.iter().filter(|asked| asked.connection == connection).map(|asked| asked.api);
        let mut apis: Vec<Api> = apis.filter(|api| *api != Api::ApiVersions).collect();
        apis.dedup();
        apis
    }
}

pub(crate) fn start(builder: MockClusterBuilder) -> MockCluster {
    builder.start_in_memory().unwrap()
}

pub(crate) async fn client(mock: &MockCluster) -> Client {
    Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap()
}

/// Lets virtual time pass.
pub(crate) async fn pass(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

/// Appends records whose values are their offsets.
pub(crate) fn write(mock: &MockCluster, partition: i32, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        let value = offset.to_string();
        assert_eq!(mock.append("t", partition, None, Some(value.as_bytes())).unwrap(), offset);
    }
}

/// The next record's (partition, offset); its value is the offset.
pub(crate) async fn next(consumer: &mut Consumer) -> (i32, i64) {
    let record = timeout(PATIENCE, consumer.recv()).await.expect("a record in time").unwrap().unwrap();
    assert_eq!(record.value(), Some(record.offset().to_string().as_bytes()));
    (record.partition(), record.offset())
}

/// Waits until the consumer was told what `find` looks for.
pub(crate) async fn told<T>(consumer: &Consumer, find: impl Fn(&ConsumerEvent) -> Option<T>) -> T {
    let mut events = consumer.events();
    let looked_for = async {
        loop {
            if let Some(found) = find(&events.next().await.expect("the consumer goes on")) {
                return found;
            }
        }
    };
    timeout(PATIENCE, looked_for).await.expect("told in time")
}
