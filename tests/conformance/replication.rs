//! Task: what three brokers do: leaders that are elsewhere or move, coordinators that are elsewhere, a broker away.

use crate::{
    case::cases,
    checklist::versions_of,
    epoch_ends::{ask, end_of},
    fetch::{fetch, note, partition},
    heartbeat::{beat, join},
    list_offsets::list,
    offsets::{commit, committed, offsets},
    produce::produce,
    records::Batch,
    target::{Target, Topic, text},
};
use craftwire_test_support::eventually;
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, DeleteGroupsRequest, DescribeClusterRequest, MetadataRequest,
    MetadataResponse,
    create_topics_request::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig},
    metadata_request::MetadataRequestTopic,
};
use std::time::Duration;

cases! {
    3 brokers;
    Produce:
        what_another_broker_leads_is_refused
        a_leader_that_moved_is_told_of
        a_broker_that_is_away_is_missed;
    Metadata:
        three_brokers_are_told_of;
    OffsetCommit:
        what_another_broker_coordinates_is_refused;
}

/// A topic whose partitions are on these brokers, the leader first.
async fn placed(target: &Target, name: &str, brokers: &[&[i32]], configs: &[(&str, &str)]) -> Topic {
    let assignment = |(index, brokers): (i32, &&[i32])| {
        let ids = brokers.iter().map(|id| (*id).into()).collect();
        CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(ids)
    };
    let config = |(name, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    let topic = CreatableTopic::default()
        .with_name(text(name).into())
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments((0..).zip(brokers).map(assignment).collect())
        .with_configs(configs.iter().chain(&[("retention.ms", "-1")]).map(config).collect());
    let topic = target.create(topic).await;
    for (index, brokers) in (0..).zip(brokers) {
        led_by(target, &topic, index, brokers[0]).await;
        for id in 1..=3 {
            eventually("every broker knows the topic", PATIENCE, async || {
                let known = metadata(target, id, &topic).await;
                (known.topics[0].error_code == 0).then_some(())
            })
            .await;
        }
    }
    topic
}

/// Waits until a broker leads a partition.
async fn led_by(target: &Target, topic: &Topic, index: i32, leader: i32) {
    let mut connection = target.connect_to(leader).await;
    eventually("the broker leads", PATIENCE, async || {
        let answer = connection.ask(9, &list(topic, index, -1, -1)).await;
        (answer.topics[0].partitions[0].error_code == 0).then_some(())
    })
    .await;
}

/// What a broker tells of a topic; who leads the controllers is of no interest.
async fn metadata(target: &Target, broker: i32, topic: &Topic) -> MetadataResponse {
    let asked = MetadataRequestTopic::default().with_name(Some(topic.name.clone().into()));
    let request =
        MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false);
    let mut answer = target.connect_to(broker).await.ask(13, &request).await;
    answer.controller_id = 0.into();
    answer.brokers.sort_by_key(|broker| broker.node_id.0);
    for topic in &mut answer.topics {
        topic.partitions.sort_by_key(|partition| partition.partition_index);
        for partition in &mut topic.partitions {
            partition.isr_nodes.sort_by_key(|id| id.0);
        }
    }
    answer
}

async fn three_brokers_are_told_of(target: &Target) {
    let topic = placed(target, "three_brokers", &[&[1, 2], &[2, 3], &[3, 1]], &[]).await;
    for broker in 1..=3 {
        let answer = metadata(target, broker, &topic).await;
        target.note("metadata", &answer);
        assert_eq!((answer.brokers.len(), answer.topics[0].partitions.len()), (3, 3));
        let mut answer = target.connect_to(broker).await.ask(2, &DescribeClusterRequest::default()).await;
        answer.controller_id = 0.into();
        answer.brokers.sort_by_key(|broker| broker.broker_id.0);
        target.note("cluster", &answer);
    }
    // Any broker creates topics, the controller or not.
    let request = |name: &str, factor: i16| {
        let topic = CreatableTopic::default().with_name(text(name).into()).with_num_partitions(2);
        let topics = vec![topic.with_replication_factor(factor)];
        CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000)
    };
    for broker in 1..=3 {
        let mut connection = target.connect_to(broker).await;
        let answer = connection.ask(7, &request(&format!("three_brokers_{broker}"), 3)).await;
        assert_eq!(answer.topics[0].error_code, 0);
        let answer = connection.ask(7, &request("three_brokers_4", 4)).await;
        assert_eq!(answer.topics[0].error_code, 38);
    }
}

async fn what_another_broker_leads_is_refused(target: &Target) {
    let topic = placed(target, "what_another_broker_leads", &[&[1, 2]], &[]).await;
    let mut elsewhere = target.connect_to(3).await;
    for version in versions_of(ApiKey::Produce) {
        let answer = elsewhere.noted("produce", version, &produce(&topic, 0, Batch::of(1).bytes())).await;
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 6);
        let hint = if version >= 10 { (1, 0) } else { (-1, -1) };
        assert_eq!((answer.current_leader.leader_id.0, answer.current_leader.leader_epoch), hint);
    }
    for version in versions_of(ApiKey::Fetch) {
        for epoch in [-1, 0] {
            let asked = partition(0, 0).with_current_leader_epoch(epoch);
            let answer = elsewhere.ask(version, &fetch(&topic, vec![asked])).await;
            note(target, &format!("fetch v{version}"), &answer);
            assert_eq!(answer.responses[0].partitions[0].error_code, 6);
        }
    }
    for version in versions_of(ApiKey::ListOffsets) {
        for broker in [2, 3] {
            let mut connection = target.connect_to(broker).await;
            let answer = connection.noted("list", version, &list(&topic, 0, -1, 0)).await;
            assert_eq!(answer.topics[0].partitions[0].error_code, 6);
        }
    }
    let mut follower = target.connect_to(2).await;
    for connection in [&mut elsewhere, &mut follower] {
        assert_eq!(ask(connection, 4, &end_of(&topic, 0, 0, 0)).await.error_code, 6);
    }
    follower.noted("produce to a follower", 12, &produce(&topic, 0, Batch::of(1).bytes())).await;
}

async fn a_leader_that_moved_is_told_of(target: &Target) {
    let topic = placed(target, "a_leader_that_moved", &[&[1, 2]], &[]).await;
    let id = target.producer_id().await;
    let batch = |sequence| produce(&topic, 0, Batch::of(1).by(id, 0, sequence).bytes());
    let (mut old, mut new) = (target.connect_to(1).await, target.connect_to(2).await);
    for sequence in 0..3 {
        old.noted("produce", 12, &batch(sequence)).await;
    }
    target.move_leader(&topic, 0, 2).await;
    led_by(target, &topic, 0, 2).await;
    eventually("the old leader knows", PATIENCE, async || {
        let answer = old.ask(9, &list(&topic, 0, -1, -1)).await;
        (answer.topics[0].partitions[0].error_code == 6).then_some(())
    })
    .await;

    let answer = old.noted("produce to the old leader", 12, &batch(3)).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 6);
    let answer = new.noted("a duplicate at the new leader", 12, &batch(2)).await;
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!((answer.error_code, answer.base_offset), (0, 2));
    let answer = new.noted("the next at the new leader", 12, &batch(3)).await;
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 3);

    for version in versions_of(ApiKey::Fetch) {
        let fenced = partition(0, 0).with_current_leader_epoch(0);
        let answer = new.ask(version, &fetch(&topic, vec![fenced])).await;
        note(target, &format!("fetch under the old epoch v{version}"), &answer);
        assert_eq!(answer.responses[0].partitions[0].error_code, 74);
    }
    let fenced = partition(0, 0).with_current_leader_epoch(0);
    let answer = old.ask(17, &fetch(&topic, vec![fenced])).await;
    note(target, "fetch of the old leader under the old epoch", &answer);
    assert_eq!(answer.responses[0].partitions[0].error_code, 74);
    let right = partition(0, 0).with_current_leader_epoch(1);
    let answer = new.ask(17, &fetch(&topic, vec![right])).await;
    let read = note(target, "fetch under the new epoch", &answer).remove(0);
    assert_eq!(read.iter().map(|header| header.leader_epoch).collect::<Vec<_>>(), [0, 0, 0, 1]);
    let diverged = partition(0, 4).with_current_leader_epoch(1).with_last_fetched_epoch(0);
    let answer = new.ask(17, &fetch(&topic, vec![diverged])).await;
    note(target, "read on under the old epoch", &answer);
    let diverging = &answer.responses[0].partitions[0].diverging_epoch;
    assert_eq!((diverging.epoch, diverging.end_offset), (0, 3));
    let same = partition(0, 4).with_current_leader_epoch(1).with_last_fetched_epoch(1);
    note(target, "read on under the new epoch", &new.ask(17, &fetch(&topic, vec![same])).await);

    for (epoch, code) in [(0, 74), (1, 0), (2, 75)] {
        for timestamp in [-1, -2, crate::records::FIRST_MS] {
            let answer = new.noted("list", 9, &list(&topic, 0, timestamp, epoch)).await;
            assert_eq!(answer.topics[0].partitions[0].error_code, code);
        }
    }
    for (epoch, end) in [(0, 3), (1, 4)] {
        let found = ask(&mut new, 4, &end_of(&topic, 0, 1, epoch)).await;
        assert_eq!((found.error_code, found.leader_epoch, found.end_offset), (0, epoch, end));
    }
    assert_eq!(ask(&mut new, 4, &end_of(&topic, 0, 0, 0)).await.error_code, 74);
    target.note("metadata", &metadata(target, 2, &topic).await);
}

async fn what_another_broker_coordinates_is_refused(target: &Target) {
    let group = "what_another_broker_coordinates";
    let topic = placed(target, group, &[&[1, 2]], &[]).await;
    let coordinator = target.coordinator(group).await;
    let mut connection = target.connect_to(coordinator % 3 + 1).await;
    assert_eq!(committed(&mut connection, "commit", &commit(group, "", -1, &topic, 0, 5)).await, 16);
    let answer = connection.noted("fetch", 9, &offsets(group, None, -1, &topic, &[0])).await;
    assert_eq!(answer.groups[0].error_code, 16);
    for version in versions_of(ApiKey::ConsumerGroupHeartbeat) {
        let answer = connection.noted("join", version, &join(group, "member", &[&topic.name])).await;
        assert_eq!(answer.error_code, 16);
        let answer = connection.noted("beat", version, &beat(group, "member", 1)).await;
        assert_eq!(answer.error_code, 16);
    }
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![text(group).into()]);
    let answer = connection.noted("delete", 2, &delete).await;
    assert_eq!(answer.results[0].error_code, 16);
}

async fn a_broker_that_is_away_is_missed(target: &Target) {
    let alone = placed(target, "away_alone", &[&[3]], &[]).await;
    let both = placed(target, "away_both", &[&[1, 3]], &[("min.insync.replicas", "2")]).await;
    let mut connection = target.connect_to(1).await;
    let mut send = async |label: &str, request: kafka_protocol::messages::ProduceRequest| {
        let answer = connection.noted(label, 12, &request).await;
        let answer = &answer.responses[0].partition_responses[0];
        (answer.error_code, answer.base_offset)
    };
    let batch = |topic: &Topic| produce(topic, 0, Batch::of(1).bytes());
    assert_eq!(send("all there", batch(&both)).await, (0, 0));
    target.pause_broker(3).await;
    // It is in sync as far as anybody knows, and copies nothing.
    let answer = send("not copied in time", batch(&both).with_timeout_ms(200)).await;
    assert_eq!(answer.0, 7);
    eventually("the broker is missed", PATIENCE, async || {
        let known = metadata(target, 1, &both).await;
        (known.brokers.len() == 2 && known.topics[0].partitions[0].isr_nodes.len() == 1).then_some(())
    })
    .await;
    assert_eq!(send("too few in sync", batch(&both)).await, (19, -1));
    assert_eq!(send("acks 1", batch(&both).with_acks(1)).await.0, 0);
    assert_eq!(send("no leader", batch(&alone)).await.0, 6);
    target.note("metadata of both", &metadata(target, 1, &both).await);
    let answer = metadata(target, 1, &alone).await;
    target.note("metadata of the one alone", &answer);
    assert_eq!(answer.topics[0].partitions[0].error_code, 5);
    let asked = partition(0, 0).with_current_leader_epoch(1);
    note(target, "fetch of no leader", &connection.ask(17, &fetch(&alone, vec![asked])).await);
    connection.noted("list of no leader", 9, &list(&alone, 0, -1, 1)).await;
    note(target, "fetch", &connection.ask(17, &fetch(&both, vec![partition(0, 0)])).await);
    for include_fenced in [false, true] {
        let request = DescribeClusterRequest::default().with_include_fenced_brokers(include_fenced);
        let mut answer = connection.ask(2, &request).await;
        answer.controller_id = 0.into();
        answer.brokers.sort_by_key(|broker| broker.broker_id.0);
        target.note("cluster", &answer);
    }
    target.resume_broker(3).await;
    eventually("the broker is back", PATIENCE, async || {
        let known = metadata(target, 1, &both).await;
        (known.brokers.len() == 3 && known.topics[0].partitions[0].isr_nodes.len() == 2).then_some(())
    })
    .await;
    led_by(target, &alone, 0, 3).await;
    let answer = connection.noted("all there again", 12, &batch(&both)).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

const PATIENCE: Duration = Duration::from_secs(60);
