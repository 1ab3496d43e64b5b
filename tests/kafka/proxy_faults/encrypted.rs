//! The way to Kafka is encrypted: a bit that arrives wrong ends its connection, and nothing else.

use super::stage::{PARTITIONS, SHORT, Stage, impatient_builder};
use craftwire::{
    ConnectError, Tls,
    error::{ConnectionError, RequestError},
};
use craftwire_test_support::{
    Certificate,
    proxy::{Fault, Rule},
    require_kafka,
};
use std::error::Error;

/// As F10, and more can be promised: whatever bit it is, of a request, an answer or the handshake, no wrong byte passes.
/// So all of the history holds, offsets of acks and errors included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_bit_flips_under_tls_cost_a_connection_and_nothing_else() {
    require_kafka!();
    let stage = Stage::set_encrypted(PARTITIONS, SHORT).await;
    let mut play = stage.play_to(stage.client.consumer().group(stage.topic.as_str())).await;
    for rule in [Rule::answers, Rule::requests] {
        let before = stage.proxy.connections();
        let flips = stage.proxy.add(rule(Fault::BitFlip { from: 0, spare_last: 0 }).one_in(15));
        stage.befallen(&flips, 30).await;
        flips.remove();
        play.load.goes_on_everywhere(10).await;
        let (flipped, replaced) = (flips.injected(), stage.proxy.connections() - before);
        eprintln!("{flipped} flips, {replaced} connections since");
        // A connection may meet a second flip before it is gone.
        assert!(replaced >= flipped / 4, "{flipped} flips, and {replaced} connections");
    }
    let _ = stage.judge(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_certificate_is_not_trusted_is_refused_at_once() {
    require_kafka!();
    let stage = Stage::set_encrypted(1, SHORT).await;
    let stranger = Certificate::new();
    let tls = Tls::with_ca_pem(&stranger.pem()).unwrap();
    let error = impatient_builder(&stage.proxy, SHORT).tls(tls).build().await.unwrap_err();
    assert!(!error.is_retriable(), "{error:?}");
    let ConnectError::Unreachable { source, .. } = &error else { panic!("{error:?}") };
    let RequestError::Connection { source: ConnectionError::Untrusted { port, source, .. }, .. } = source
    else {
        panic!("{error:?}")
    };
    assert!(stage.proxy.bootstrap().ends_with(&port.to_string()));
    assert!(source.source().is_some() || !source.to_string().is_empty());
}
