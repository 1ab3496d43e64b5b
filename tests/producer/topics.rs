//! What is to be known of a topic before its first record: durability, limits, codec.

use super::*;
use craftwire::{
    Compression,
    error::ErrorCode,
    mock::Api,
    producer::{NotSent, Profile, SendError, TopicFinding, TopicRule, TrySendCause},
};

/// A cluster with one topic of one partition, set up so.
fn cluster(brokers: u8, replicas: i16, configs: &[(&str, &str)]) -> MockCluster {
    let builder = MockCluster::builder().brokers(brokers).default_replication(replicas);
    let mock = builder.start_in_memory().unwrap();
    mock.create_topic_with(TOPIC, 1, configs).unwrap();
    mock
}

fn rules(findings: &[TopicFinding]) -> Vec<TopicRule> {
    findings.iter().map(|finding| finding.rule).collect()
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_keeps_the_promise_gives_no_finding() {
    let mock = cluster(3, 3, &[("min.insync.replicas", "2")]);
    let producer = producer_with(&mock, |builder| builder.require_durability(true)).await;
    assert_eq!(producer.topic_findings(), []);
    producer.send(record(1)).await.unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn durable_says_what_a_topic_does_not_keep_and_goes_on() {
    let mock = cluster(3, 3, &[]);
    let producer = producer(&mock).await;
    let findings = producer.topic_findings();
    assert_eq!(rules(&findings), [TopicRule::InSyncReplicas]);
    assert_eq!((&*findings[0].topic, findings[0].value.as_str()), (TOPIC, "1"));
    producer.send(record(1)).await.unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn profiles_that_promise_less_say_less() {
    let mock = cluster(3, 1, &[("compression.type", "gzip")]);
    let producer = producer_with(&mock, |builder| builder.profile(Profile::Realtime)).await;
    assert_eq!(rules(&producer.topic_findings()), [TopicRule::Compression]);
}

#[tokio::test(start_paused = true)]
async fn required_durability_refuses_a_topic_and_names_rule_and_value() {
    let mock = cluster(3, 2, &[("min.insync.replicas", "2")]);
    let builder = client(&mock).await.producer().require_durability(true);
    let producer = builder.build().await.unwrap();
    let error = producer.send(record(1)).await.unwrap_err();
    let SendError::NotDurable(finding) = &error else { panic!("{error:?}") };
    assert_eq!((&*finding.topic, finding.rule, finding.value.as_str()), (TOPIC, TopicRule::Replicas, "2"));
    assert!(error.to_string().contains("require_durability"), "{error}");
    let cause = producer.try_send(record(2)).unwrap_err().cause;
    assert!(matches!(cause, TrySendCause::Refused(SendError::NotDurable(_))), "{cause:?}");
    assert_eq!(mock.records(TOPIC, 0).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_was_mended_is_taken_at_the_next_look() {
    let mock = cluster(3, 2, &[("min.insync.replicas", "2")]);
    let builder = client(&mock).await.producer().require_durability(true);
    let producer = builder.build().await.unwrap();
    assert!(producer.prepare(TOPIC).await.is_err());
    let all = mock.broker_ids();
    mock.reassign(TOPIC, 0, &all).unwrap();
    pass(400 * SECOND).await;
    producer.prepare(TOPIC).await.unwrap();
    producer.try_send(record(1)).unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_registered_broker_is_enough() {
    let mock = cluster(1, 1, &[]);
    let producer = producer_with(&mock, |builder| builder.require_durability(true)).await;
    assert_eq!(rules(&producer.topic_findings()), [TopicRule::SeveralBrokers]);
    producer.send(record(1)).await.unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_broker_that_lives_of_three_is_not_one_registered_broker() {
    let mock = cluster(3, 1, &[]);
    let leader = mock.leader(TOPIC, 0).unwrap();
    let client = client(&mock).await;
    mock.broker_ids().into_iter().filter(|id| *id != leader).for_each(|id| mock.stop_broker(id));
    pass(30 * SECOND).await;
    let producer = client.producer().build().await.unwrap();
    producer.prepare(TOPIC).await.unwrap();
    let expected = [TopicRule::Replicas, TopicRule::InSyncReplicas];
    assert_eq!(rules(&producer.topic_findings()), expected);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_the_settings_goes_on_unless_durability_is_required() {
    let mock = cluster(3, 3, &[("min.insync.replicas", "2"), ("max.message.bytes", "2000")]);
    mock.on(Api::DescribeConfigs).always().fail(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let producer = producer(&mock).await;
    let findings = producer.topic_findings();
    assert_eq!(rules(&findings), [TopicRule::Readable]);
    assert!(findings[0].to_string().contains("TOPIC_AUTHORIZATION_FAILED"), "{}", findings[0]);
    let small = producer.send(ProducerRecord::new(TOPIC, vec![1; 1_900])).await.unwrap().await;
    assert!(small.is_ok(), "{small:?}");
    let large = producer.send(ProducerRecord::new(TOPIC, noise(5_000))).await.unwrap().await;
    assert!(matches!(large, Err(DeliveryError::NotSent(NotSent::TooLarge { .. }))), "{large:?}");

    let strict = client(&mock).await.producer().require_durability(true).build().await.unwrap();
    let error = strict.prepare(TOPIC).await.unwrap_err();
    assert!(matches!(&error, SendError::NotDurable(finding) if finding.rule == TopicRule::Readable));
}

#[tokio::test(start_paused = true)]
async fn brokers_that_do_not_answer_about_settings_hold_the_first_record_for_a_moment_only() {
    let mock = cluster(1, 1, &[]);
    mock.on(Api::DescribeConfigs).always().drop_before();
    let client = client(&mock).await;
    let producer = client.producer().build().await.unwrap();
    let started = Instant::now();
    producer.send(record(1)).await.unwrap().await.unwrap();
    assert!(started.elapsed() < 3 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn batches_stay_within_the_topics_limit_so_none_is_refused() {
    let mock = cluster(1, 1, &[("max.message.bytes", "3000")]);
    let producer = producer_with(&mock, |builder| builder.compression(Compression::None)).await;
    let outcomes = outcomes(send_all(&producer, 0..2_000).await).await;
    check(&mock, &outcomes);
    all_acked(&outcomes);
    assert_eq!(producer.metrics().retries, 0);
    let error = producer.send(ProducerRecord::new(TOPIC, vec![0; 3_000])).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge { limit: 3_000, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn many_first_records_ask_once() {
    let mock = cluster(1, 1, &[]);
    let asked = mock.on(Api::DescribeConfigs).always().delay(10 * MS);
    let producer = client(&mock).await.producer().build().await.unwrap();
    let sends: Vec<_> = (0..50)
        .map(|n| {
            let producer = producer.clone();
            tokio::spawn(async move { producer.send(record(n)).await.unwrap().await.unwrap() })
        })
        .collect();
    for send in sends {
        send.await.unwrap();
    }
    assert_eq!(asked.hits(), 1);
}

/// Bytes that no codec makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}
