//! What is not allowed is told with what to grant, and everything else goes on.

use crate::{PATIENCE, connect, forge, smith};
use craftwire::{
    Client, ProducerRecord,
    admin::{AdminError, NewTopic},
    consumer::ConsumeError,
    error::{AuthorizationError, ErrorCode, RequestError, Resource},
    mock::{Api, MockCluster},
    producer::{DeliveryError, NotSent, StartError},
};
use tokio::time::timeout;

async fn start() -> (MockCluster, Client) {
    let mock = forge().start_in_memory().unwrap();
    let client = connect(&mock, smith()).await;
    (mock, client)
}

fn topic(error: &AuthorizationError) -> &str {
    match &error.resource {
        Resource::Topic(name) => name,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_may_not_be_written_to_is_named_and_others_are_written() {
    let (mock, client) = start().await;
    mock.on(Api::Produce).always().fail_partition("hidden", 0, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let producer = client.producer().build().await.unwrap();
    for _ in 0..5 {
        let hidden = producer.send(ProducerRecord::new("hidden", "x")).await.unwrap();
        let open = producer.send(ProducerRecord::new("orders", "y")).await.unwrap();
        let outcome = hidden.await;
        let Err(DeliveryError::NotSent(NotSent::Unauthorized(error))) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((topic(&error), error.grant), ("hidden", "WRITE"));
        open.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_may_not_be_read_is_named_once_and_others_are_read() {
    let (mock, client) = start().await;
    let denied = mock.on(Api::Fetch).always();
    let denied = denied.fail_partition("hidden", 0, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    mock.append("hidden", 0, None, Some(b"for later")).unwrap();
    mock.append("orders", 0, None, Some(b"1")).unwrap();
    let mut consumer = client.consumer().topics(["orders", "hidden"]).build().await.unwrap();
    let (mut read, mut told) = (0, 0);
    for number in 2..6 {
        while read < number - 1 {
            match timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap() {
                Ok(record) => read += i32::from(&**record.topic() == "orders"),
                Err(ConsumeError::Unauthorized { partition, source }) => {
                    assert_eq!(
                        (&*partition.topic, topic(&source), source.grant),
                        ("hidden", "hidden", "READ")
                    );
                    told += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        mock.append("orders", 0, None, Some(b"more")).unwrap();
    }
    assert!(told <= 1, "told {told} times");
    denied.remove();
    let later = async {
        loop {
            match consumer.recv().await.unwrap() {
                Ok(record) if &**record.topic() == "hidden" => return,
                Ok(_) | Err(ConsumeError::Unauthorized { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    timeout(PATIENCE, later).await.expect("it goes on once that is granted");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_may_not_be_joined_ends_the_consumer_with_its_name() {
    let (mock, client) = start().await;
    for api in [Api::FindCoordinator, Api::ConsumerGroupHeartbeat] {
        let denied = mock.on(api).always().fail(ErrorCode::GROUP_AUTHORIZATION_FAILED);
        let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await.unwrap();
        let error = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap_err();
        assert!(error.is_fatal(), "{error:?}");
        let ConsumeError::Group { source: RequestError::Unauthorized { source, .. }, .. } = error else {
            panic!("{api:?}: {error:?}")
        };
        assert_eq!((source.resource, source.grant), (Resource::Group("smiths".into()), "READ"));
        denied.remove();
    }
    // Without a group the same client reads.
    mock.append("orders", 0, None, Some(b"1")).unwrap();
    let mut reader = client.consumer().topics(["orders"]).build().await.unwrap();
    timeout(PATIENCE, reader.recv()).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn starting_a_producer_and_admin_calls_name_what_to_grant() {
    let (mock, client) = start().await;
    mock.on(Api::InitProducerId).fail(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    let error = client.producer().build().await.unwrap_err();
    assert!(!error.is_retriable());
    let StartError::ProducerId(RequestError::Unauthorized { source, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(source.resource, Resource::Cluster);
    assert!(source.grant.contains("IDEMPOTENT_WRITE"));

    mock.on(Api::CreateTopics).fail(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let error = client.admin().create_topic(NewTopic::new("new", 1, 1)).await.unwrap_err();
    assert!(!error.is_retriable());
    let AdminError::Unauthorized { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(topic(&source), "new");
    assert!(source.grant.starts_with("CREATE"));
}
