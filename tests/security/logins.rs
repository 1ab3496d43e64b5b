//! F44: who is let in, who is not, and what is told then.

use crate::{PATIENCE, authentication, builder, connect, forge, smith};
use craftwire::{
    BearerToken, Client, ConnectError, ProducerRecord, Sasl,
    consumer::ConsumeError,
    error::{AuthenticationCause, AuthenticationError},
    mock::{Api, MockCluster, SaslLie},
    producer::{DeliveryError, NotSent},
};
use craftwire_test_support::lasts;
use std::{error::Error, time::Duration};
use tokio::time::timeout;

const LIES: [(SaslLie, &str); 4] = [
    (SaslLie::Iterations(1), "iterations"),
    (SaslLie::Iterations(1 << 31), "iterations"),
    (SaslLie::SameNonce, "nonce"),
    (SaslLie::WrongProof, "prove"),
];

fn token() -> Sasl {
    Sasl::oauth_bearer(BearerToken::new("a-token").principal("smith"))
}

fn refused(outcome: Result<Client, ConnectError>) -> AuthenticationError {
    match outcome {
        Err(error @ ConnectError::Authentication(_)) => {
            assert!(!error.is_retriable());
            let ConnectError::Authentication(error) = error else { unreachable!() };
            error
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_mechanism_publishes_and_consumes() {
    for sasl in [Sasl::plain("smith", "iron"), smith(), Sasl::scram_sha_512("smith", "iron"), token()] {
        let mock = forge().sasl_token("a-token", "smith").brokers(3).start_in_memory().unwrap();
        let client = connect(&mock, sasl.clone()).await;
        let producer = client.producer().build().await.unwrap();
        for partition in [0, 1] {
            let record = ProducerRecord::new("orders", "one sword").partition(partition);
            producer.send(record).await.unwrap().await.unwrap();
        }
        let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await.unwrap();
        for _ in 0..2 {
            let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
            assert_eq!(record.value(), Some(&b"one sword"[..]));
        }
        assert!(client.admin().registered_brokers().await.unwrap() == 3, "{sasl:?}");
        let (connections, authenticated) = (mock.connection_count(), mock.sasl_authentications());
        assert!(authenticated >= u64::try_from(connections).unwrap() && connections > 2, "{sasl:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn f44_a_wrong_password_ends_connecting_at_once_and_names_who_and_how() {
    let mock = forge().sasl_token("a-token", "smith").start_in_memory().unwrap();
    for sasl in [
        Sasl::plain("smith", "wood"),
        Sasl::scram_sha_256("smith", "wood"),
        Sasl::scram_sha_512("nobody", "iron"),
        Sasl::oauth_bearer(BearerToken::new("another").principal("smith")),
    ] {
        let before = mock.request_count(Api::SaslHandshake);
        let error = refused(builder(&mock, sasl.clone()).build().await);
        assert_eq!(error.mechanism, sasl.mechanism());
        assert!(&*error.principal == "smith" || &*error.principal == "nobody");
        assert!(matches!(error.cause, AuthenticationCause::Refused { message: Some(_) }), "{error:?}");
        let shown = format!("{error:?} {error} {}", error.source().unwrap());
        assert!(!shown.contains("wood") && !shown.contains("another"), "{shown}");
        assert_eq!(mock.request_count(Api::SaslHandshake), before + 1, "it is not tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_is_told_and_a_listener_without_sasl_is_named() {
    let mock = forge().sasl_mechanisms(&["PLAIN", "SCRAM-SHA-512"]).start_in_memory().unwrap();
    let error = refused(builder(&mock, smith()).build().await);
    let offered = vec!["PLAIN".to_owned(), "SCRAM-SHA-512".to_owned()];
    assert_eq!(error.cause, AuthenticationCause::UnsupportedMechanism { offered });
    let open = MockCluster::builder().start_in_memory().unwrap();
    let error = refused(builder(&open, smith()).build().await);
    assert_eq!(error.cause, AuthenticationCause::NotASaslListener);
}

#[tokio::test(start_paused = true)]
async fn f44_brokers_that_lie_are_not_talked_to() {
    for (lie, told) in LIES {
        let mock = forge().start_in_memory().unwrap();
        mock.set_sasl_lie(Some(lie));
        let error = refused(builder(&mock, smith()).build().await);
        assert!(error.cause.to_string().contains(told), "{lie:?}: {error:?}");
        assert_eq!(mock.request_count(Api::Metadata), 0, "{lie:?}: nothing was asked of it");
        mock.set_sasl_lie(None);
        connect(&mock, smith()).await;
    }
}

/// Brokers that end are none that refuse: F44 beside F3.
#[tokio::test(start_paused = true)]
async fn f44_a_connection_that_ends_during_the_exchange_is_tried_again() {
    for skipped in 0..2 {
        let mock = forge().start_in_memory().unwrap();
        let cut = mock.on(Api::SaslAuthenticate).skip(skipped).times(2).disconnect_before();
        connect(&mock, smith()).await;
        assert_eq!(cut.hits(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn f44_a_password_that_is_changed_ends_sends_reading_and_admin_calls() {
    let mock = forge().start_in_memory().unwrap();
    let client = connect(&mock, smith()).await;
    let producer = client.producer().build().await.unwrap();
    producer.send(ProducerRecord::new("orders", "1")).await.unwrap().await.unwrap();
    let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await.unwrap();
    timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    let mut reader = client.consumer().topics(["orders"]).build().await.unwrap();
    timeout(PATIENCE, reader.recv()).await.unwrap().unwrap().unwrap();

    mock.set_sasl_user("smith", "steel");
    mock.stop_broker(1);
    mock.start_broker(1).unwrap();
    let outcome = producer.send(ProducerRecord::new("orders", "2")).await.unwrap().await;
    let Err(DeliveryError::NotSent(NotSent::Authentication(error))) = outcome else { panic!("{outcome:?}") };
    assert_eq!((error.mechanism, &*error.principal), ("SCRAM-SHA-256", "smith"));
    let other = timeout(PATIENCE, producer.send(ProducerRecord::new("hidden", "3"))).await.unwrap();
    let source = match other {
        Err(craftwire::producer::SendError::Topic { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(&*authentication(&source).principal, "smith");

    for consumer in [&mut consumer, &mut reader] {
        let error = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap_err();
        assert!(error.is_fatal() && !error.is_retriable(), "{error:?}");
        assert!(matches!(error, ConsumeError::Authentication(_)), "{error:?}");
        assert!(timeout(PATIENCE, consumer.recv()).await.unwrap().is_none(), "it is over");
    }
    let refused = client.admin().describe_topic("orders").await.unwrap_err();
    assert!(!refused.is_retriable(), "{refused:?}");

    // Nobody asks for anything, so nobody logs in either, but for the metadata once in a while.
    let before = mock.request_count(Api::SaslHandshake);
    lasts(Duration::from_secs(600)).await;
    let tries = mock.request_count(Api::SaslHandshake) - before;
    assert!(tries <= 20, "{tries} attempts in ten minutes");

    // And once the password is right again all goes on.
    mock.set_sasl_user("smith", "iron");
    producer.send(ProducerRecord::new("orders", "4")).await.unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn f44_what_was_under_way_is_unknown_when_the_password_is_changed() {
    let mock = forge().start_in_memory().unwrap();
    let client = connect(&mock, smith()).await;
    let producer = client.producer().build().await.unwrap();
    producer.send(ProducerRecord::new("orders", "1").partition(0)).await.unwrap().await.unwrap();
    mock.on(Api::Produce).then_after(|mock| {
        mock.set_sasl_user("smith", "steel");
        mock.stop_broker(1);
        let _ = mock.start_broker(1);
    });
    let outcome = producer.send(ProducerRecord::new("orders", "2").partition(0)).await.unwrap().await;
    let told = matches!(
        &outcome,
        Err(DeliveryError::Unknown(craftwire::producer::Unknown::Authentication(error))) if &*error.principal == "smith"
    );
    assert!(told, "{outcome:?}");
}

#[tokio::test]
async fn a_secret_is_not_sent_over_a_connection_that_others_can_read() {
    let mock = forge().sasl_token("a-token", "smith").start().unwrap();
    for sasl in [Sasl::plain("smith", "iron"), token()] {
        let before = mock.request_count(Api::ApiVersions);
        let error = Client::builder(&mock.bootstrap()).sasl(sasl.clone()).build().await.unwrap_err();
        let ConnectError::Config(error) = error else { panic!("{error:?}") };
        assert!(error.to_string().contains("allow_unencrypted"), "{error}");
        assert_eq!(mock.request_count(Api::ApiVersions), before, "nothing was sent");
        Client::builder(&mock.bootstrap()).sasl(sasl.allow_unencrypted()).build().await.unwrap();
    }
    Client::builder(&mock.bootstrap()).sasl(smith()).build().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_a_token_is_asked_again_until_it_has_one() {
    let mock = MockCluster::builder().sasl_token("a-token", "smith").start_in_memory().unwrap();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = asked.clone();
    let provider = move || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move { if number < 3 { Err("no network".into()) } else { Ok(BearerToken::new("a-token")) } }
    };
    connect(&mock, Sasl::oauth_bearer(provider)).await;
    assert!(asked.load(std::sync::atomic::Ordering::SeqCst) >= 4);
    let never = || async { Err("no network".into()) };
    let error = builder(&mock, Sasl::oauth_bearer(never)).build().await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn f44_iterations_past_the_bound_are_refused_before_anything_is_computed() {
    let mock = forge().start_in_memory().unwrap();
    mock.set_sasl_lie(Some(SaslLie::Iterations(u64::MAX)));
    let error = refused(timeout(PATIENCE, builder(&mock, smith()).build()).await.unwrap());
    assert!(matches!(error.cause, AuthenticationCause::Iterations { max: 100_000, .. }), "{error:?}");
}
