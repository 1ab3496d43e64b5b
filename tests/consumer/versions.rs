//! F36: brokers that tell of other versions than Kafka 4.1: each works, or is refused with an error that names the API.

use craftwire::{
    Client,
    error::ConnectionError,
    mock::{Api, KafkaVersion, MockCluster, MockClusterBuilder},
    producer::{DeliveryError, NotSent, ProducerRecord},
};
use std::{error::Error, time::Duration};
use tokio::time::timeout;

/// In virtual time; longer than a producer holds on to a record.
const PATIENCE: Duration = Duration::from_secs(200);

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn builder() -> MockClusterBuilder {
    MockCluster::builder().brokers(2).topic("t", 2)
}

/// Produces, reads without a group, and reads and commits in one: what of it works.
struct Tried {
    produces: Outcome,
    reads: Outcome,
    joins: Outcome,
}

impl Tried {
    async fn on(builder: MockClusterBuilder) -> Self {
        let mock = builder.start_in_memory().unwrap();
        let connected = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await;
        let client = match connected {
            Ok(client) => client,
            Err(error) => {
                let refused = || Err(error.clone().into());
                return Self { produces: refused(), reads: refused(), joins: refused() };
            }
        };
        mock.append("t", 0, None, Some(b"value")).unwrap();
        mock.append("t", 1, None, Some(b"value")).unwrap();
        Self {
            produces: Self::within("producing", produce(&client)).await,
            reads: Self::within("reading", read(&client, None)).await,
            joins: Self::within("a group", read(&client, Some("g"))).await,
        }
    }

    async fn within(what: &str, work: impl Future<Output = Outcome>) -> Outcome {
        timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(format!("{what} hangs").into()))
    }

    fn all(&self) -> [&Outcome; 3] {
        [&self.produces, &self.reads, &self.joins]
    }
}

async fn produce(client: &Client) -> Outcome {
    let producer = client.producer().build().await?;
    producer.send(ProducerRecord::new("t", "value")).await?.await?;
    Ok(())
}

async fn read(client: &Client, group: Option<&str>) -> Outcome {
    let builder = client.consumer().topics(["t"]);
    let mut consumer = group.map_or(builder.clone(), |group| builder.group(group)).build().await?;
    for _ in 0..2 {
        let record = consumer.recv().await.ok_or("the consumer ended")??;
        consumer.ack(&record);
    }
    if let (Some(_), Err(error)) = (group, consumer.commit().await) {
        // Why the consumer is over is said by the stream.
        consumer.recv().await.ok_or(error)??;
    }
    consumer.close().await?;
    Ok(())
}

/// Whether an error says which API is not there in a version that the client speaks.
fn names_the_version(outcome: &Outcome, name: &str) -> bool {
    let Err(error) = outcome else { return false };
    let mut cause: Option<&(dyn Error + 'static)> = Some(error.as_ref());
    while let Some(error) = cause {
        if let Some(ConnectionError::Version { api, .. } | ConnectionError::Refused { api, .. }) =
            error.downcast_ref()
        {
            return *api == name;
        }
        if let Some(DeliveryError::NotSent(NotSent::Unsupported(_))) = error.downcast_ref() {
            return name == "Produce";
        }
        cause = error.source();
    }
    false
}

fn told(outcome: &Outcome) -> String {
    let Err(error) = outcome else { return "works".to_owned() };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What neither works nor is refused by the name of the API, though it should.
fn unclear(tried: &Tried, api: Api) -> Vec<String> {
    let unclear = tried
        .all()
        .into_iter()
        .filter(|outcome| outcome.is_err() && !names_the_version(outcome, &format!("{api:?}")));
    unclear.map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn f36_every_highest_version_works_or_is_refused_by_name() {
    let mut complaints = Vec::new();
    for api in Api::ALL {
        let (min, max) = api.versions();
        let mut worked = true;
        for highest in (min..max).rev() {
            let tried = Tried::on(builder().api_versions(*api, min, highest)).await;
            let unclear = unclear(&tried, *api);
            complaints.extend(unclear.iter().map(|error| format!("{api:?} up to v{highest}: {error}")));
            let works = tried.all().iter().all(|outcome| outcome.is_ok());
            assert!(worked || !works, "{api:?} works up to v{highest} and not above");
            worked = works;
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn f36_brokers_of_the_future_are_spoken_to_as_today() {
    let future = Api::ALL.iter().fold(builder(), |builder, api| builder.api_versions(*api, 0, 99));
    for outcome in Tried::on(future.unanswered_apis(true)).await.all() {
        assert!(outcome.is_ok(), "{}", told(outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn f36_missing_apis_are_named() {
    let mut complaints = Vec::new();
    for api in Api::ALL {
        let tried = Tried::on(builder().without_api(*api)).await;
        complaints.extend(unclear(&tried, *api).iter().map(|error| format!("without {api:?}: {error}")));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn f36_what_a_consumer_asks_for_in_vain_is_told_at_once_with_the_versions() {
    for api in [Api::Fetch, Api::ListOffsets, Api::FindCoordinator, Api::OffsetFetch, Api::OffsetCommit] {
        let mock = builder().api_versions(api, 0, 0).start_in_memory().unwrap();
        let client = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap();
        let mut consumer = client.consumer().topics(["t"]).group("g").build().await.unwrap();
        let first = timeout(Duration::from_secs(1), consumer.recv()).await;
        let first = first.unwrap_or_else(|_| panic!("{api:?}: not at once")).unwrap();
        let outcome: Outcome = Err(first.unwrap_err().into());
        assert!(names_the_version(&outcome, &format!("{api:?}")), "{api:?}: {}", told(&outcome));
        assert!(told(&outcome).contains("Some((0, 0))"), "{}", told(&outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn f36_a_broker_that_cuts_instead_of_refusing_is_an_error_and_no_hang() {
    let cutting = builder().api_versions(Api::ApiVersions, 0, 3).cut_unsupported_api_versions(true);
    let tried = timeout(PATIENCE, Tried::on(cutting)).await.expect("no hang");
    assert!(tried.produces.is_err());
}

#[tokio::test(start_paused = true)]
async fn f36_kafka_3_9_produces_and_reads_also_in_groups() {
    for outcome in Tried::on(builder().kafka_version(KafkaVersion::V3_9)).await.all() {
        assert!(outcome.is_ok(), "{}", told(outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn f36_a_rolling_upgrade_loses_nothing() {
    let mock = builder().kafka_version(KafkaVersion::V3_9).brokers(3).start_in_memory().unwrap();
    let client = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap();
    let producer = client.producer().build().await.unwrap();
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    for broker in mock.broker_ids() {
        let mut deliveries = Vec::new();
        for n in 0..50 {
            if n == 10 {
                mock.stop_broker(broker);
                mock.set_kafka_version(broker, KafkaVersion::V4_1);
            }
            if n == 40 {
                mock.start_broker(broker).unwrap();
            }
            deliveries.push(producer.send(ProducerRecord::new("t", format!("{broker}-{n}"))).await.unwrap());
        }
        for delivery in deliveries {
            timeout(PATIENCE, delivery).await.expect("an answer").unwrap();
            timeout(PATIENCE, consumer.recv()).await.expect("a record").unwrap().unwrap();
        }
    }
    let records = mock.records("t", 0).len() + mock.records("t", 1).len();
    assert_eq!(records, 150);
}
