//! KIP-368: sessions that end, and connections that are authenticated again while requests are on their way.

use crate::{PATIENCE, builder, connect, forge, smith};
use craftwire::{
    BearerToken, ProducerRecord, Sasl,
    mock::{Api, MockCluster},
};
use craftwire_test_support::lasts;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};

const SESSION: Duration = Duration::from_secs(5);

/// Sends to both partitions for so long, a record every 5 ms, several at a time. How many, all of them acked.
async fn load(client: &craftwire::Client, lasting: Duration) -> u64 {
    let producer = client.producer().build().await.unwrap();
    producer.prepare("orders").await.unwrap();
    let until = Instant::now() + lasting;
    let mut open = std::collections::VecDeque::new();
    let mut sent = 0;
    while Instant::now() < until {
        open.push_back(producer.send(ProducerRecord::new("orders", "a sword")).await.unwrap());
        sent += 1;
        if open.len() > 20 {
            open.pop_front().unwrap().await.unwrap();
        }
        lasts(Duration::from_millis(5)).await;
    }
    for delivery in open {
        delivery.await.unwrap();
    }
    assert_eq!(producer.metrics().retries, 0, "no connection was lost");
    sent
}

/// Killer 25 (franz-go #1348): authentication between pipelined requests.
#[tokio::test(start_paused = true)]
async fn f44_killer_25_sessions_of_five_seconds_under_load_cost_nothing() {
    let mock = forge().sasl_session_lifetime(SESSION).start_in_memory().unwrap();
    // Answers take longer than the gap between requests, so that several are on their way.
    mock.on(Api::Produce).always().delay(Duration::from_millis(30));
    let client = connect(&mock, smith()).await;
    let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await.unwrap();
    let (sent, received) = tokio::join!(load(&client, Duration::from_secs(60)), async {
        let mut received = 0_u64;
        while let Ok(record) = timeout(Duration::from_secs(10), consumer.recv()).await {
            record.unwrap().unwrap();
            received += 1;
        }
        received
    });
    assert_eq!(sent, received);
    assert!(sent > 5_000, "{sent}");
    assert_eq!((mock.sasl_refusals(), mock.sasl_expired_connections()), (0, 0));
    // Sessions of 5 s are renewed after 4.25 to 4.75 s, on each of four connections or more.
    assert!(mock.sasl_renewals() >= 4 * 12, "{}", mock.sasl_renewals());
}

#[tokio::test(start_paused = true)]
async fn renewals_are_spread_and_idle_connections_stay() {
    let mock = forge().sasl_session_lifetime(Duration::from_secs(1_000)).start_in_memory().unwrap();
    let client = connect(&mock, smith()).await;
    let connections = mock.connection_count();
    let mut at = Vec::new();
    let start = Instant::now();
    for _ in 0..4 {
        let before = mock.sasl_renewals();
        while mock.sasl_renewals() == before {
            assert!(start.elapsed() < PATIENCE * 20, "it is not renewed");
            lasts(Duration::from_secs(1)).await;
        }
        at.push(start.elapsed().as_secs());
    }
    let gaps: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (849..=951).contains(gap)), "{at:?}");
    assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]), "not always the same: {at:?}");
    assert_eq!((mock.connection_count(), mock.sasl_expired_connections()), (connections, 0));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn f44_a_renewal_that_fails_costs_a_connection_and_no_send() {
    let mock = forge().sasl_session_lifetime(SESSION).start_in_memory().unwrap();
    let client = connect(&mock, smith()).await;
    let producer = client.producer().build().await.unwrap();
    producer.send(ProducerRecord::new("orders", "first")).await.unwrap().await.unwrap();
    // Every connection is refused its renewal, and new ones are let in.
    let renewing = |call: &craftwire::mock::Call| call.connection() < 1_000;
    let fails = mock.on(Api::SaslHandshake).when(renewing).times(4).disconnect_before();
    let until = Instant::now() + 8 * SESSION;
    while Instant::now() < until {
        producer.send(ProducerRecord::new("orders", "more")).await.unwrap().await.unwrap();
        lasts(Duration::from_millis(50)).await;
    }
    assert_eq!(fails.hits(), 4);
    assert!(mock.sasl_renewals() > 4);
}

#[tokio::test(start_paused = true)]
async fn f44_a_token_that_expires_under_load_is_replaced_in_time() {
    let mock = MockCluster::builder()
        .topic("orders", 2)
        .sasl_token("token-0", "smith")
        .sasl_session_lifetime(SESSION)
        .start_in_memory()
        .unwrap();
    let (asked, shop) = (Arc::new(AtomicU32::new(0)), mock.clone());
    let count = asked.clone();
    // Each token is good for 7 s, and the one before no more once it is over.
    let provider = move || {
        let number = count.fetch_add(1, SeqCst);
        let text = format!("token-{number}");
        shop.set_sasl_token(&text, "smith");
        if number > 1 {
            shop.remove_sasl_token(&format!("token-{}", number - 2));
        }
        async move { Ok(BearerToken::new(text).principal("smith").lifetime(Duration::from_secs(7))) }
    };
    let client = connect(&mock, Sasl::oauth_bearer(provider)).await;
    load(&client, Duration::from_secs(40)).await;
    assert_eq!((mock.sasl_refusals(), mock.sasl_expired_connections()), (0, 0));
    assert!(asked.load(SeqCst) >= 4, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_for_a_while_costs_no_connection_while_its_session_lasts() {
    let mock = MockCluster::builder()
        .topic("orders", 2)
        .sasl_token("a-token", "smith")
        .sasl_session_lifetime(Duration::from_secs(100))
        .start_in_memory()
        .unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let provider = move || {
        let number = count.fetch_add(1, SeqCst);
        async move {
            match number {
                5..8 => Err("no network".into()),
                _ => Ok(BearerToken::new("a-token")),
            }
        }
    };
    let client = builder(&mock, Sasl::oauth_bearer(provider)).build().await.unwrap();
    load(&client, Duration::from_secs(300)).await;
    assert!(asked.load(SeqCst) > 8);
    assert_eq!(mock.sasl_expired_connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_without_sense_is_no_hot_loop() {
    let mock = forge().sasl_session_lifetime(Duration::from_millis(1)).start_in_memory().unwrap();
    let client = connect(&mock, smith()).await;
    lasts(Duration::from_secs(60)).await;
    let renewals = mock.request_count(Api::SaslHandshake);
    assert!(renewals <= 200, "{renewals} in a minute");
    drop(client);
}
