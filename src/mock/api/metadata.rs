//! Metadata (3), v0 to v13.
//!
//! * v0: an empty list of topics asks for all; from v1 that is null.
//! * v4: `allow_auto_topic_creation`.
//! * v10: topic ids; from v12 topics may be asked for by id.
//!
//! Partitions come in no order, as Kafka lists them; `unsorted_metadata(false)` sorts them.

use super::{text, topic_name};
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::names::is_topic_name;
use crate::mock::topics::{Partition, Topic};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn handle(core: &mut Core, context: &Context, request: MetadataRequest) -> MetadataResponse {
    let up = core.brokers_up();
    let topics = match request.topics {
        Some(topics) if context.version > 0 || !topics.is_empty() => topics
            .into_iter()
            .map(|asked| match asked.name {
                Some(name) => by_name(core, context, &name, request.allow_auto_topic_creation),
                None => match core.topics.by_id(asked.topic_id) {
                    Some(topic) => described(topic, &up),
                    None => refused(ErrorCode::UNKNOWN_TOPIC_ID).with_topic_id(asked.topic_id),
                },
            })
            .collect(),
        _ => core.topics.iter().map(|topic| described(topic, &up)).collect(),
    };
    let mut response = MetadataResponse::default()
        .with_brokers(brokers(core, &up))
        .with_cluster_id(Some(text(core.cluster_id.as_str())))
        .with_controller_id(BrokerId(up.first().copied().unwrap_or(-1)))
        .with_topics(topics);
    if core.settings.unsorted_metadata {
        for topic in &mut response.topics {
            core.random.shuffle(&mut topic.partitions);
        }
    }
    forge(core, &mut response);
    if let Some((code, _)) = context.fault {
        for topic in &mut response.topics {
            topic.error_code = code.0;
            topic.partitions.clear();
        }
    }
    response
}

fn forge(core: &mut Core, response: &mut MetadataResponse) {
    for topic in &mut response.topics {
        let Some(name) = &topic.name else { continue };
        for partition in &mut topic.partitions {
            let Some((leader, epoch)) = core.forgeries.judge(name, partition.partition_index) else {
                continue;
            };
            let code = if leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE };
            partition.error_code = code.0;
            partition.leader_id = BrokerId(leader.unwrap_or(-1));
            partition.leader_epoch = epoch;
        }
    }
}

fn brokers(core: &Core, up: &BTreeSet<i32>) -> Vec<MetadataResponseBroker> {
    let told = |(id, broker): (&i32, &crate::mock::brokers::Broker)| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(*id))
            .with_host(text(broker.host.as_str()))
            .with_port(i32::from(broker.port))
            .with_rack(broker.rack.as_deref().map(text))
    };
    core.brokers.iter().filter(|(id, _)| up.contains(id)).map(told).collect()
}

fn by_name(core: &mut Core, context: &Context, name: &str, may_create: bool) -> MetadataResponseTopic {
    let told = |topic: MetadataResponseTopic| topic.with_name(Some(topic_name(name)));
    if let Some((code, _)) = core.hooks.judge_partition(&context.call, name, -1) {
        return told(refused(code));
    }
    if let Some(topic) = core.topics.get(name) {
        return described(topic, &core.brokers_up());
    }
    if !is_topic_name(name) {
        return told(refused(ErrorCode::INVALID_TOPIC_EXCEPTION));
    }
    if core.settings.auto_create_topics && (may_create || context.version < 4) {
        let (partitions, replication) = (core.settings.default_partitions, core.settings.replication());
        core.create_topic(name, partitions, replication, BTreeMap::new());
    }
    // A topic that was just created is not known yet: the client asks again.
    told(refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION))
}

fn refused(code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_error_code(code.0).with_name(None)
}

fn described(topic: &Topic, up: &BTreeSet<i32>) -> MetadataResponseTopic {
    let partitions = (0i32..).zip(&topic.partitions).map(|(index, partition)| one(index, partition, up));
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
}

fn one(index: i32, partition: &Partition, up: &BTreeSet<i32>) -> MetadataResponsePartition {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    let code = if partition.leader.is_some() { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE };
    let offline: Vec<i32> = partition.replicas.iter().copied().filter(|id| !up.contains(id)).collect();
    MetadataResponsePartition::default()
        .with_error_code(code.0)
        .with_partition_index(index)
        .with_leader_id(BrokerId(partition.leader.unwrap_or(-1)))
        .with_leader_epoch(partition.leader_epoch)
        .with_replica_nodes(ids(&partition.replicas))
        // Who may lead again by rights is kept apart from the replicas in sync (KIP-966).
        .with_isr_nodes(if partition.leader.is_some() { ids(&partition.isr) } else { Vec::new() })
        .with_offline_replicas(ids(&offline))
}
