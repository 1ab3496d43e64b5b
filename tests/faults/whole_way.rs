//! A client that uses every API once, all of it noted, in virtual time.

use craftwire::{
    Client, ProducerRecord,
    admin::{AdminError, ConfigOwner, NewTopic},
    consumer::Consumer,
    error::ErrorCode,
    mock::{Api, Call, Hooked, MockCluster},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, interval};

pub(crate) const RECORDS: usize = 40;
/// In virtual time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(900);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Longer than a member can be held up here, so that it is never taken for gone.
pub(crate) const SESSION: Duration = Duration::from_secs(100);

/// Requests as they came: when, on which connection.
pub(crate) type Requests = Arc<Mutex<Vec<(Instant, u64)>>>;

/// What a client uses, in the order of use.
pub(crate) const APIS: [Api; 16] = [
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

pub(crate) struct Run {
    pub(crate) mock: MockCluster,
    pub(crate) client: Client,
    pub(crate) requests: Requests,
}

impl Run {
    /// A client that waits longer for answers than a broker may have it pause. What `hook` is told of comes after the
    /// notes, so that it can act.
    pub(crate) async fn with(within: Duration, hook: impl FnOnce(&MockCluster) -> Hooked) -> (Self, Hooked) {
        let mock = MockCluster::builder().brokers(2).session_timeout(SESSION).start_in_memory().unwrap();
        let requests = Requests::default();
        for &api in Api::ALL {
            let note = note(&requests);
            mock.on(api).always().when(move |call| !note(call)).disconnect_before();
        }
        let hook = hook(&mock);
        let builder = Client::builder(&mock.bootstrap()).memory(mock.connector());
        let builder = builder.connect_timeout(within).request_timeout(within);
        let client = builder.build().await.unwrap();
        (Self { mock, client, requests }, hook)
    }

    /// Uses every API.
    pub(crate) async fn whole_way(&self) {
        let admin = self.client.admin();
        // Where an answer is lost the next try finds the deed done.
        let made = admin.create_topic(NewTopic::new("t", 4, 1)).await;
        assert!(matches!(made, Ok(()) | Err(AdminError::TopicExists { .. })), "{made:?}");
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
        let consumer = read_all(&self.client).await;
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
        loop {
            match admin.delete_group("g").await {
                Ok(()) | Err(AdminError::Refused { code: ErrorCode::GROUP_ID_NOT_FOUND, .. }) => break,
                // A member that could not say that it left is one until its session ends.
                Err(AdminError::Refused { code: ErrorCode::NON_EMPTY_GROUP, .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            pace.tick().await;
        }
        let gone = admin.delete_topic("t").await;
        assert!(matches!(gone, Ok(()) | Err(AdminError::UnknownTopic { .. })), "{gone:?}");
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Reads all records as a member of a group, each once.
pub(crate) async fn read_all(client: &Client) -> Consumer {
    let mut consumer = client.consumer().group("g").topics(["t"]).build().await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < RECORDS {
        let record = consumer.recv().await.unwrap().unwrap();
        consumer.ack(&record);
        assert!(seen.insert(record.value().unwrap().to_vec()), "handed out twice");
    }
    consumer
}

/// Notes when and on which connection a hook is about to act.
pub(crate) fn note(notes: &Requests) -> impl Fn(&Call) -> bool + Send + use<> {
    let notes = notes.clone();
    move |call| {
        notes.lock().unwrap().push((Instant::now(), call.connection()));
        true
    }
}
