//! Task: DescribeConfigs (32) and IncrementalAlterConfigs (44).

use crate::{
    case::cases,
    checklist::versions_of,
    connection::Connection,
    target::{Target, text},
};
use craftwire_test_support::eventually;
use kafka_protocol::messages::{
    ApiKey, DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    describe_configs_request::DescribeConfigsResource,
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};
use std::time::Duration;

cases! {
    1 brokers;
    DescribeConfigs:
        describes_topics_in_every_version
        describes_brokers
        describes_groups
        describes_nothing_that_is_not_there;
    IncrementalAlterConfigs:
        sets_and_deletes_in_every_version
        appends_and_subtracts
        validates_without_altering
        refuses_configs
        refuses_resources
        alters_groups
        refuses_group_configs_out_of_bounds;
}

/// The configs of a topic that the mock knows, a few of Kafka's.
pub(crate) const TOPIC_CONFIGS: &[&str] = &[
    "cleanup.policy",
    "compression.type",
    "delete.retention.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.insync.replicas",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.ms",
    "unclean.leader.election.enable",
];

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

fn describe(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsRequest {
    let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    DescribeConfigsRequest::default().with_resources(vec![resource])
}

async fn ask(
    target: &Target,
    connection: &mut Connection<'_>,
    label: &str,
    version: i16,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let mut answer = connection.ask(version, request).await;
    for result in &mut answer.results {
        result.configs.sort_by_key(|config| config.name.to_string());
    }
    target.note(&format!("{label} v{version}"), &answer);
    answer
}

async fn describes_topics_in_every_version(target: &Target) {
    let topic = target.topic("describes_topics", 1, &[("segment.ms", "7777")]).await;
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::DescribeConfigs) {
        let request = describe(TOPIC, &topic.name, Some(TOPIC_CONFIGS));
        let answer = ask(target, &mut connection, "some", version, &request).await;
        assert_eq!((answer.results[0].error_code, answer.results[0].configs.len()), (0, TOPIC_CONFIGS.len()));
        for (label, keys) in [("all", None), ("no keys", Some(&[][..]))] {
            let mut answer = connection.ask(version, &describe(TOPIC, &topic.name, keys)).await;
            answer.results[0].configs.retain(|config| TOPIC_CONFIGS.contains(&config.name.as_str()));
            answer.results[0].configs.sort_by_key(|config| config.name.to_string());
            target.note(label, &answer);
        }
        let request = describe(TOPIC, &topic.name, Some(&["retention.ms", "no.such.config"]));
        ask(target, &mut connection, "one unknown", version, &request).await;
    }
}

async fn describes_brokers(target: &Target) {
    let mut connection = target.connect().await;
    let keys = [
        "auto.create.topics.enable",
        "group.consumer.heartbeat.interval.ms",
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.min.session.timeout.ms",
        "group.consumer.session.timeout.ms",
    ];
    let answer = ask(target, &mut connection, "broker", 4, &describe(BROKER, "1", Some(&keys))).await;
    assert_eq!((answer.results[0].error_code, answer.results[0].configs.len()), (0, keys.len()));
    for (label, name) in [("another broker", "9"), ("no number", "one")] {
        let answer = ask(target, &mut connection, label, 4, &describe(BROKER, name, Some(&keys))).await;
        assert_eq!(answer.results[0].error_code, 42, "{label}");
    }
}

async fn describes_groups(target: &Target) {
    let mut connection = target.connect().await;
    let keys = ["consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"];
    let answer =
        ask(target, &mut connection, "group", 4, &describe(GROUP, "describes_groups", Some(&keys))).await;
    assert_eq!(answer.results[0].configs.len(), 2);
    ask(target, &mut connection, "no name", 4, &describe(GROUP, "", Some(&keys))).await;
}

async fn describes_nothing_that_is_not_there(target: &Target) {
    let mut connection = target.connect().await;
    let request = describe(TOPIC, "nobody_created_this", Some(&["retention.ms"]));
    let answer = ask(target, &mut connection, "topic", 4, &request).await;
    assert_eq!(answer.results[0].error_code, 3);
    ask(target, &mut connection, "no topic", 4, &describe(TOPIC, "", Some(&["retention.ms"]))).await;
    ask(target, &mut connection, "illegal topic", 4, &describe(TOPIC, "a b", Some(&["retention.ms"]))).await;
    for kind in [0, 1, 77] {
        ask(target, &mut connection, "no such kind", 4, &describe(kind, "x", None)).await;
    }
}

/// A change: which config, which operation, which value.
type Change<'a> = (&'a str, i8, Option<&'a str>);

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn alter(kind: i8, name: &str, changes: &[Change<'_>]) -> IncrementalAlterConfigsRequest {
    let config = |(name, operation, value): &Change<'_>| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(changes.iter().map(config).collect());
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

async fn altered(
    connection: &mut Connection<'_>,
    label: &str,
    request: &IncrementalAlterConfigsRequest,
) -> i16 {
    connection.noted(label, 1, request).await.responses[0].error_code
}

/// Waits until a config has a value, and notes how it is described then.
async fn until(
    target: &Target,
    connection: &mut Connection<'_>,
    kind: i8,
    name: &str,
    config: &str,
    value: &str,
) {
    let described = eventually("the config has its value", Duration::from_secs(20), async || {
        let answer = connection.ask(4, &describe(kind, name, Some(&[config]))).await;
        let is_there = answer.results[0].configs.iter().any(|config| config.value == Some(text(value)));
        is_there.then_some(answer)
    })
    .await;
    target.note(&format!("{config} is {value}"), &described);
}

async fn sets_and_deletes_in_every_version(target: &Target) {
    let topic = target.topic("sets_and_deletes", 1, &[]).await;
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::IncrementalAlterConfigs) {
        let request = alter(
            TOPIC,
            &topic.name,
            &[("segment.ms", SET, Some("60000")), ("delete.retention.ms", SET, Some("1"))],
        );
        let answer = connection.noted("set", version, &request).await;
        assert_eq!(answer.responses[0].error_code, 0);
        until(target, &mut connection, TOPIC, &topic.name, "segment.ms", "60000").await;
        let request = alter(TOPIC, &topic.name, &[("segment.ms", DELETE, None)]);
        let answer = connection.noted("delete", version, &request).await;
        assert_eq!(answer.responses[0].error_code, 0);
        until(target, &mut connection, TOPIC, &topic.name, "segment.ms", "604800000").await;
        until(target, &mut connection, TOPIC, &topic.name, "delete.retention.ms", "1").await;
    }
    altered(&mut connection, "delete once more", &alter(TOPIC, &topic.name, &[("segment.ms", DELETE, None)]))
        .await;
    altered(&mut connection, "no change", &alter(TOPIC, &topic.name, &[])).await;
}

async fn appends_and_subtracts(target: &Target) {
    let topic = target.topic("appends_and_subtracts", 1, &[]).await;
    let mut connection = target.connect().await;
    let policy = "cleanup.policy";
    for (label, operation, value, now) in [
        ("append", APPEND, "compact", "delete,compact"),
        ("append again", APPEND, "compact", "delete,compact"),
        ("subtract", SUBTRACT, "delete", "compact"),
        ("append two", APPEND, "delete,compact", "compact,delete"),
    ] {
        let code =
            altered(&mut connection, label, &alter(TOPIC, &topic.name, &[(policy, operation, Some(value))]))
                .await;
        assert_eq!(code, 0, "{label}");
        until(target, &mut connection, TOPIC, &topic.name, policy, now).await;
    }
    altered(
        &mut connection,
        "subtract all",
        &alter(TOPIC, &topic.name, &[(policy, SUBTRACT, Some("compact,delete"))]),
    )
    .await;
    altered(
        &mut connection,
        "append a bad one",
        &alter(TOPIC, &topic.name, &[(policy, APPEND, Some("burn"))]),
    )
    .await;
    altered(
        &mut connection,
        "append to no list",
        &alter(TOPIC, &topic.name, &[("segment.ms", APPEND, Some("1"))]),
    )
    .await;
}

async fn validates_without_altering(target: &Target) {
    let topic = target.topic("validates_without_altering", 1, &[]).await;
    let mut connection = target.connect().await;
    for (label, value) in [("good", "60000"), ("bad", "soon")] {
        let request = alter(TOPIC, &topic.name, &[("segment.ms", SET, Some(value))]).with_validate_only(true);
        altered(&mut connection, label, &request).await;
    }
    until(target, &mut connection, TOPIC, &topic.name, "segment.ms", "604800000").await;
}

async fn refuses_configs(target: &Target) {
    let topic = target.topic("refuses_configs_of_alterations", 1, &[]).await;
    let mut connection = target.connect().await;
    let bad: [(&str, &[Change<'_>]); 8] = [
        ("unknown", &[("no.such.config", SET, Some("1"))]),
        ("bad value", &[("segment.ms", SET, Some("soon"))]),
        ("too small", &[("segment.bytes", SET, Some("1024"))]),
        ("no value", &[("segment.ms", SET, None)]),
        ("bad operation", &[("segment.ms", 9, Some("1"))]),
        ("twice", &[("segment.ms", SET, Some("5000")), ("segment.ms", SET, Some("6000"))]),
        ("one bad of two", &[("segment.ms", SET, Some("5000")), ("retention.ms", SET, Some("soon"))]),
        ("unknown is deleted", &[("no.such.config", DELETE, None)]),
    ];
    for (label, changes) in bad {
        altered(&mut connection, label, &alter(TOPIC, &topic.name, changes)).await;
    }
    assert_eq!(altered(&mut connection, "bad", &alter(TOPIC, &topic.name, bad[1].1)).await, 40);
    until(target, &mut connection, TOPIC, &topic.name, "segment.ms", "604800000").await;
}

async fn refuses_resources(target: &Target) {
    let topic = target.topic("refuses_resources", 1, &[]).await;
    let mut connection = target.connect().await;
    let change: &[Change<'_>] = &[("segment.ms", SET, Some("5000"))];
    let answer = altered(&mut connection, "topic", &alter(TOPIC, "nobody_created_this", change)).await;
    assert_eq!(answer, 3);
    altered(&mut connection, "no topic", &alter(TOPIC, "", change)).await;
    altered(&mut connection, "illegal topic", &alter(TOPIC, "a b", change)).await;
    for kind in [0, 1, 77] {
        altered(&mut connection, "no such kind", &alter(kind, "x", change)).await;
    }
    altered(
        &mut connection,
        "no group",
        &alter(GROUP, "", &[("consumer.session.timeout.ms", SET, Some("6000"))]),
    )
    .await;
    let mut twice = alter(TOPIC, &topic.name, change);
    twice.resources.extend(alter(TOPIC, &topic.name, &[("segment.ms", SET, Some("6000"))]).resources);
    connection.noted("a resource twice", 1, &twice).await;
}

async fn alters_groups(target: &Target) {
    let mut connection = target.connect().await;
    let (group, config) = ("alters_groups", "consumer.session.timeout.ms");
    let answer = altered(&mut connection, "set", &alter(GROUP, group, &[(config, SET, Some("30000"))])).await;
    assert_eq!(answer, 0);
    until(target, &mut connection, GROUP, group, config, "30000").await;
    altered(&mut connection, "delete", &alter(GROUP, group, &[(config, DELETE, None)])).await;
    until(target, &mut connection, GROUP, group, config, "6000").await;
}

async fn refuses_group_configs_out_of_bounds(target: &Target) {
    let mut connection = target.connect().await;
    for (config, value) in [
        ("consumer.session.timeout.ms", "2999"),
        ("consumer.session.timeout.ms", "60001"),
        ("consumer.heartbeat.interval.ms", "499"),
        ("consumer.heartbeat.interval.ms", "15001"),
        ("consumer.heartbeat.interval.ms", "often"),
        ("consumer.no.such.config", "1"),
    ] {
        let request = alter(GROUP, "refuses_group_configs", &[(config, SET, Some(value))]);
        assert_eq!(altered(&mut connection, config, &request).await, 40, "{config} {value}");
    }
    // An interval above the timeout.
    let changes = [
        ("consumer.heartbeat.interval.ms", SET, Some("15000")),
        ("consumer.session.timeout.ms", SET, Some("3000")),
    ];
    altered(&mut connection, "interval above timeout", &alter(GROUP, "refuses_group_configs", &changes))
        .await;
}
