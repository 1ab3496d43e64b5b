//! How soon a connection that ended is made again, in virtual time.

use craftwire::{
    Client,
    mock::{Api, MockCluster},
};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

async fn started() -> (MockCluster, Client) {
    let mock = MockCluster::builder().brokers(1).topic("t", 1).start_in_memory().unwrap();
    let client = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap();
    (mock, client)
}

#[tokio::test(start_paused = true)]
async fn one_that_was_of_use_is_made_again_at_once() {
    let (mock, client) = started().await;
    let begun = Instant::now();
    for _ in 0..20 {
        client.admin().describe_topic("t").await.unwrap();
        let lost = mock.on(Api::DescribeCluster).disconnect_after();
        assert_eq!(client.admin().registered_brokers().await.unwrap(), 1);
        assert_eq!(lost.hits(), 1);
    }
    assert!(begun.elapsed() < 5 * SECOND, "{:?}: the pauses grew", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_that_never_is_of_use_is_made_again_about_once_a_second() {
    let (mock, client) = started().await;
    let lost = mock.on(Api::Metadata).always().disconnect_after();
    let begun = Instant::now();
    let _no_answer = timeout(30 * SECOND, client.admin().describe_topic("t")).await;
    let seconds = begun.elapsed().as_secs();
    assert!(lost.hits() < 2 * seconds + 6, "{} tries in {seconds} s", lost.hits());
}

#[tokio::test(start_paused = true)]
async fn f7_a_bootstrap_server_that_is_silent_leaves_time_for_the_next() {
    let mock = MockCluster::builder().brokers(3).start_in_memory().unwrap();
    let silent = [1, 2].map(|id| mock.on(Api::ApiVersions).broker(id).always().drop_before());
    let client = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap();
    assert_eq!(client.admin().registered_brokers().await.unwrap(), 3);
    assert!(silent.iter().all(|hook| hook.hits() > 0));

    let _silent = mock.on(Api::ApiVersions).broker(3).always().drop_before();
    let begun = Instant::now();
    let error = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    // 10 s for each, and not again.
    assert!(begun.elapsed() < 40 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn f7_a_question_goes_to_another_broker_after_the_request_timeout() {
    let mock = MockCluster::builder().brokers(3).start_in_memory().unwrap();
    let client = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap();
    let silent = mock.on(Api::InitProducerId).times(2).drop_before();
    let begun = Instant::now();
    client.producer().build().await.unwrap();
    assert_eq!(silent.hits(), 2);
    assert!(begun.elapsed() < 25 * SECOND, "{:?}", begun.elapsed());
}
