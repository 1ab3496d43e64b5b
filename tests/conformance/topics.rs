//! Task: CreateTopics (19) and DeleteTopics (20).

use crate::{
    case::cases,
    checklist::versions_of,
    connection::Connection,
    target::{Target, text},
};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, DeleteTopicsRequest,
    create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig},
    create_topics_response::CreatableTopicResult,
    delete_topics_request::DeleteTopicState,
};
use uuid::Uuid;

cases! {
    1 brokers;
    CreateTopics:
        creates_topics_in_every_version
        creates_by_the_clusters_defaults
        creates_by_assignment
        validates_without_creating
        refuses_names_that_are_taken_or_illegal
        refuses_counts_and_factors
        refuses_configs_of_topics
        refuses_a_name_twice;
    DeleteTopics:
        deletes_by_name_and_by_id
        deletes_nothing_that_is_not_there;
}

fn topic(name: &str) -> CreatableTopic {
    CreatableTopic::default().with_name(text(name).into()).with_num_partitions(1).with_replication_factor(1)
}

fn create(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000)
}

/// Asks and notes the answer in order, its configs as far as the mock knows them.
async fn ask(
    target: &Target,
    connection: &mut Connection<'_>,
    label: &str,
    version: i16,
    request: &CreateTopicsRequest,
) -> Vec<CreatableTopicResult> {
    let mut answer = connection.ask(version, request).await;
    answer.topics.sort_by_key(|topic| topic.name.0.to_string());
    for topic in &mut answer.topics {
        if let Some(configs) = &mut topic.configs {
            configs.retain(|config| crate::configs::TOPIC_CONFIGS.contains(&config.name.as_str()));
            configs.sort_by_key(|config| config.name.to_string());
        }
    }
    target.note(&format!("{label} v{version}"), &answer);
    answer.topics
}

async fn creates_topics_in_every_version(target: &Target) {
    let mut connection = target.connect().await;
    for version in versions_of(ApiKey::CreateTopics) {
        let config =
            CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(Some(text("12345")));
        let with_config = topic(&format!("creates_with_config_{version}")).with_configs(vec![config]);
        let request = create(vec![topic(&format!("creates_{version}")).with_num_partitions(3), with_config]);
        let answer = ask(target, &mut connection, "create", version, &request).await;
        assert!(answer.iter().all(|topic| topic.error_code == 0 && !topic.topic_id.is_nil()));
    }
    ask(target, &mut connection, "none", 7, &create(Vec::new())).await;
}

async fn creates_by_the_clusters_defaults(target: &Target) {
    let mut connection = target.connect().await;
    let by_default = topic("creates_by_default").with_num_partitions(-1).with_replication_factor(-1);
    let answer = ask(target, &mut connection, "create", 7, &create(vec![by_default])).await;
    assert_eq!((answer[0].num_partitions, answer[0].replication_factor), (1, 1));
}

async fn creates_by_assignment(target: &Target) {
    let mut connection = target.connect().await;
    let to = |index: i32, brokers: &[i32]| {
        let brokers = brokers.iter().map(|id| (*id).into()).collect();
        CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(brokers)
    };
    let assigned = |name: &str, assignments: Vec<CreatableReplicaAssignment>| {
        create(vec![
            topic(name).with_num_partitions(-1).with_replication_factor(-1).with_assignments(assignments),
        ])
    };
    let good = assigned("assigned_good", vec![to(0, &[1]), to(1, &[1])]);
    assert_eq!(ask(target, &mut connection, "good", 7, &good).await[0].error_code, 0);
    let bad = [
        ("a gap", vec![to(0, &[1]), to(2, &[1])]),
        ("not from 0 on", vec![to(1, &[1])]),
        ("a partition twice", vec![to(0, &[1]), to(0, &[1])]),
        ("no broker", vec![to(0, &[])]),
        ("an unknown broker", vec![to(0, &[77])]),
        ("a broker twice", vec![to(0, &[1, 1])]),
        ("factors that differ", vec![to(0, &[1]), to(1, &[1, 2])]),
    ];
    for (label, assignments) in bad {
        let answer = ask(target, &mut connection, label, 7, &assigned("assigned_bad", assignments)).await;
        assert_ne!(answer[0].error_code, 0, "{label}");
    }
    let mut with_count = assigned("assigned_with_count", vec![to(0, &[1])]);
    with_count.topics[0].num_partitions = 1;
    ask(target, &mut connection, "with a count", 7, &with_count).await;
    let mut with_factor = assigned("assigned_with_factor", vec![to(0, &[1])]);
    with_factor.topics[0].replication_factor = 1;
    ask(target, &mut connection, "with a factor", 7, &with_factor).await;
}

async fn validates_without_creating(target: &Target) {
    let mut connection = target.connect().await;
    let request = create(vec![topic("validates").with_num_partitions(2)]).with_validate_only(true);
    for _ in 0..2 {
        let answer = ask(target, &mut connection, "validate", 7, &request).await;
        assert_eq!(answer[0].error_code, 0);
    }
    let request = create(vec![topic("validates").with_num_partitions(0)]).with_validate_only(true);
    ask(target, &mut connection, "validate a bad one", 7, &request).await;
}

async fn refuses_names_that_are_taken_or_illegal(target: &Target) {
    target.topic("refuses_names.taken", 1, &[]).await;
    let mut connection = target.connect().await;
    let taken = create(vec![topic("refuses_names.taken")]);
    assert_eq!(ask(target, &mut connection, "taken", 7, &taken).await[0].error_code, 36);
    // Names that differ in dots and underscores only would share a metric.
    ask(target, &mut connection, "looks the same", 7, &create(vec![topic("refuses_names_taken")])).await;
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "ä", "a/b", &long] {
        let answer = ask(target, &mut connection, "illegal", 7, &create(vec![topic(name)])).await;
        assert_eq!(answer[0].error_code, 17);
    }
}

async fn refuses_counts_and_factors(target: &Target) {
    let mut connection = target.connect().await;
    for count in [0, -2] {
        let request = create(vec![topic("refuses_counts").with_num_partitions(count)]);
        assert_eq!(ask(target, &mut connection, "count", 7, &request).await[0].error_code, 37);
    }
    for factor in [0, -2, 2, 3] {
        let request = create(vec![topic("refuses_factors").with_replication_factor(factor)]);
        assert_eq!(ask(target, &mut connection, "factor", 7, &request).await[0].error_code, 38);
    }
}

async fn refuses_configs_of_topics(target: &Target) {
    let mut connection = target.connect().await;
    let configs = [
        ("no.such.config", Some("1")),
        ("retention.ms", Some("soon")),
        ("retention.ms", Some("-2")),
        ("cleanup.policy", Some("burn")),
        ("compression.type", Some("brotli")),
        ("min.insync.replicas", Some("0")),
        ("segment.bytes", Some("1024")),
        ("max.message.bytes", Some("-1")),
        ("unclean.leader.election.enable", Some("maybe")),
        ("retention.ms", None),
        ("retention.ms", Some("")),
    ];
    for (name, value) in configs {
        let config = CreatableTopicConfig::default().with_name(text(name)).with_value(value.map(text));
        let request = create(vec![topic("refuses_configs").with_configs(vec![config])]);
        let answer = ask(target, &mut connection, name, 7, &request).await;
        assert_eq!(answer[0].error_code, 40, "{name} {value:?}");
    }
}

async fn refuses_a_name_twice(target: &Target) {
    let mut connection = target.connect().await;
    let request = create(vec![topic("refuses_twice"), topic("refuses_twice_not"), topic("refuses_twice")]);
    let answer = ask(target, &mut connection, "twice", 7, &request).await;
    assert_eq!(answer.iter().map(|topic| topic.error_code).collect::<Vec<_>>(), [42, 0]);
}

fn delete(names: &[&str]) -> DeleteTopicsRequest {
    let state = |name: &&str| DeleteTopicState::default().with_name(Some(text(name).into()));
    DeleteTopicsRequest::default().with_topics(names.iter().map(state).collect()).with_timeout_ms(30_000)
}

fn delete_id(id: Uuid) -> DeleteTopicsRequest {
    let state = DeleteTopicState::default().with_name(None).with_topic_id(id);
    DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(30_000)
}

async fn deletes_by_name_and_by_id(target: &Target) {
    let mut connection = target.connect().await;
    target.topic("deletes_by_name", 1, &[]).await;
    let by_id = target.topic("deletes_by_id", 1, &[]).await;
    for version in versions_of(ApiKey::DeleteTopics) {
        let answer = connection.noted("by name", version, &delete(&["deletes_by_name"])).await;
        assert_eq!(answer.responses[0].error_code, 0);
        let answer = connection.noted("by id", version, &delete_id(by_id.id)).await;
        assert_eq!(answer.responses[0].error_code, 0);
    }
    let answer = connection.noted("by name again", 6, &delete(&["deletes_by_name"])).await;
    assert_eq!(answer.responses[0].error_code, 3);
    let answer = connection.noted("by id again", 6, &delete_id(by_id.id)).await;
    assert_eq!(answer.responses[0].error_code, 100);
}

async fn deletes_nothing_that_is_not_there(target: &Target) {
    let there = target.topic("deletes_nothing_there", 1, &[]).await;
    let mut connection = target.connect().await;
    connection.noted("nil id", 6, &delete_id(Uuid::nil())).await;
    let mut both = delete(&["deletes_nothing_there"]);
    both.topics[0].topic_id = there.id;
    connection.noted("name and id", 6, &both).await;
    connection.noted("nothing", 6, &delete(&[])).await;
    let mut twice = connection.ask(6, &delete(&["deletes_nothing_there", "deletes_nothing_there"])).await;
    twice.responses.sort_by_key(|response| response.error_code);
    target.note("twice", &twice);
    let mut mixed = connection.ask(6, &delete(&["deletes_nothing_there", "deletes_nothing_at_all"])).await;
    mixed.responses.sort_by_key(|response| response.error_code);
    target.note("one of two", &mixed);
    assert_eq!(mixed.responses[1].error_code, 3);
}
