//! `topics().ensure()` makes the topics as the contract says, and reports what differs without touching it.

use crate::common::three_nodes;
use craftwire::{
    admin::{ConfigOwner, NewTopic},
    crafting::{Crafting, Group, GroupOutcome, Topic, TopicOutcome},
};
use craftwire_test_support::{require_kafka, require_shared_kafka, shared_single};
use std::collections::BTreeMap;

async fn crafting(bootstrap: &str, suffix: &str) -> Crafting {
    Crafting::builder(bootstrap).suffix(&format!(".{suffix}")).build().await.unwrap()
}

/// A topic's settings that are its own, or those of a group.
async fn own_configs(crafting: &Crafting, owner: ConfigOwner<'_>) -> BTreeMap<String, String> {
    let configs = crafting.client().admin().describe_configs(owner).await.unwrap();
    configs.into_iter().filter(|(_, c)| c.is_own).map(|(key, c)| (key, c.value.unwrap())).collect()
}

fn contract(topic: Topic, min_in_sync: &str) -> BTreeMap<String, String> {
    let (bytes, retention, segment) = match topic {
        Topic::Events => ("524288", "604800000", "3600000"),
        Topic::Progress => ("131072", "3600000", "600000"),
    };
    let configs = [
        ("cleanup.policy", "delete"),
        ("compression.type", "producer"),
        ("max.message.bytes", bytes),
        ("message.timestamp.type", "CreateTime"),
        ("min.insync.replicas", min_in_sync),
        ("retention.ms", retention),
        ("segment.ms", segment),
        ("unclean.leader.election.enable", "false"),
    ];
    configs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[tokio::test]
async fn a_single_node_gets_the_topics_without_replicas_and_the_groups_their_timeouts() {
    require_shared_kafka!();
    let kafka = shared_single().await;
    let crafting = crafting(kafka.bootstrap(), &kafka.unique_topic("ensure")).await;
    let missing = crafting.topics().describe().await.unwrap();
    assert!(missing.topics.iter().all(|topic| topic.outcome == TopicOutcome::Missing), "{missing:?}");
    assert!(missing.require_clean().is_err());

    let made = crafting.topics().ensure().await.unwrap();
    for (report, (topic, partitions)) in made.topics.iter().zip([(Topic::Events, 16), (Topic::Progress, 24)])
    {
        assert_eq!(report.outcome, TopicOutcome::Created, "{report:?}");
        assert_eq!((report.partitions, report.replication), (partitions, 1));
        assert_eq!(own_configs(&crafting, ConfigOwner::Topic(&report.name)).await, contract(topic, "1"));
    }
    for (report, group) in made.groups.iter().zip(Group::ALL) {
        assert_eq!((&report.id, &report.outcome), (&crafting.group_id(group), &GroupOutcome::Set));
        // The broker hears of it from the controller a moment later, and ensuring waits for that.
        let configs = own_configs(&crafting, ConfigOwner::Group(&report.id)).await;
        assert_eq!(configs["consumer.session.timeout.ms"], "30000");
        assert_eq!(configs["consumer.heartbeat.interval.ms"], "3000");
    }

    let again = crafting.topics().ensure().await.unwrap();
    assert!(again.topics.iter().all(|topic| topic.outcome == TopicOutcome::Unchanged), "{again:?}");
    assert!(again.groups.iter().all(|group| group.outcome == GroupOutcome::Unchanged), "{again:?}");
    again.require_clean().unwrap();
    crafting.topics().delete().await.unwrap();
    let deleted = crafting.topics().describe().await.unwrap();
    assert!(deleted.topics.iter().all(|topic| topic.outcome == TopicOutcome::Missing), "{deleted:?}");
}

#[tokio::test]
async fn what_differs_is_reported_and_left_as_it_is() {
    require_kafka!();
    let kafka = shared_single().await;
    let crafting = crafting(kafka.bootstrap(), &kafka.unique_topic("drift")).await;
    let admin = crafting.client().admin();
    let name = crafting.topic_name(Topic::Events);
    let wrong =
        NewTopic::new(&name, 3, 1).config("retention.ms", "1000000").config("cleanup.policy", "compact");
    admin.create_topic(wrong).await.unwrap();
    let before = own_configs(&crafting, ConfigOwner::Topic(&name)).await;

    let found = crafting.topics().ensure().await.unwrap();
    let TopicOutcome::Drift(drifts) = &found.topics[0].outcome else { panic!("{found:?}") };
    let drifts: Vec<String> = drifts.iter().map(ToString::to_string).collect();
    let wanted = [
        "partitions: want 16, have 3",
        "cleanup.policy: want delete, have compact",
        "max.message.bytes: want 524288, have 1048588",
        "retention.ms: want 604800000, have 1000000",
        "segment.ms: want 3600000, have 604800000",
    ];
    assert_eq!(drifts, wanted);
    // The other one is not there, so there is nothing to be left alone.
    assert_eq!(found.topics[1].outcome, TopicOutcome::Created);
    let message = found.require_clean().unwrap_err().to_string();
    assert!(message.contains(&format!("{name}: retention.ms: want 604800000, have 1000000")), "{message}");

    assert_eq!(own_configs(&crafting, ConfigOwner::Topic(&name)).await, before);
    assert_eq!(admin.describe_topic(&name).await.unwrap().partitions.len(), 3);
    crafting.topics().delete().await.unwrap();
}

#[tokio::test]
async fn three_nodes_get_three_replicas_and_say_which_timeouts_they_do_not_take() {
    require_kafka!();
    let (_turn, cluster) = three_nodes().await;
    let crafting = crafting(&cluster.bootstrap(), "three").await;
    let made = crafting.topics().ensure().await.unwrap();
    for (report, (topic, partitions)) in made.topics.iter().zip([(Topic::Events, 16), (Topic::Progress, 24)])
    {
        assert_eq!(report.outcome, TopicOutcome::Created, "{report:?}");
        assert_eq!((report.partitions, report.replication), (partitions, 3));
        assert_eq!(own_configs(&crafting, ConfigOwner::Topic(&report.name)).await, contract(topic, "2"));
    }
    for report in &made.groups {
        let GroupOutcome::Refused { drift, reason } = &report.outcome else { panic!("{report:?}") };
        assert!(reason.contains("consumer.session.timeout.ms"), "{reason}");
        let session = drift.iter().find(|drift| drift.key == "consumer.session.timeout.ms").unwrap();
        assert_eq!((session.want.as_str(), session.have.as_str()), ("30000", "45000"));
        assert_eq!(own_configs(&crafting, ConfigOwner::Group(&report.id)).await, BTreeMap::new());
    }
    made.require_clean().unwrap();

    // One replica is for a single broker; three brokers have made it a difference.
    let admin = crafting.client().admin();
    crafting.topics().delete().await.unwrap();
    let name = crafting.topic_name(Topic::Progress);
    admin.create_topic(NewTopic::new(&name, 24, 1)).await.unwrap();
    let found = crafting.topics().ensure().await.unwrap();
    let TopicOutcome::Drift(drifts) = &found.topics[1].outcome else { panic!("{found:?}") };
    assert!(drifts.iter().any(|drift| drift.to_string() == "replication: want 3, have 1"), "{drifts:?}");
    crafting.topics().delete().await.unwrap();
}
