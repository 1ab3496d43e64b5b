//! What the leader of a generation does: it learns how many partitions all members' topics have, divides them, and
//! watches for more.

use super::assignor::{self, Counts, Subscriber};
use crate::{
    cluster::Topology,
    consumer::{protocol::Assignor, record::TopicPartition},
    wire::{
        api::join_group::JoinedMember,
        consumer_protocol::{NO_GENERATION, Subscription, TopicPartitions, encode_assignment},
    },
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The members of a generation, as its leader was told of them.
#[derive(Debug)]
pub(super) struct Leader {
    subscribers: Vec<Subscriber>,
    topics: BTreeSet<Arc<str>>,
}

/// The topics that were divided, and how many partitions each had.
#[derive(Debug)]
pub(super) struct Divided(BTreeMap<Arc<str>, i32>);

impl Leader {
    pub(super) fn new(members: Vec<JoinedMember>) -> Self {
        let subscribers: Vec<Subscriber> = members.into_iter().map(subscriber).collect();
        let topics = subscribers.iter().flat_map(|member| member.topics.iter().cloned()).collect();
        Self { subscribers, topics }
    }

    /// The topics of which nothing is known yet.
    pub(super) fn missing(&self, topology: &Topology) -> Vec<Arc<str>> {
        self.topics.iter().filter(|topic| topology.topic(topic).is_none()).cloned().collect()
    }

    /// What is to be watched from now on.
    pub(super) fn divided(&self, topology: &Topology) -> Divided {
        Divided(self.topics.iter().map(|topic| (topic.clone(), count(topology, topic))).collect())
    }

    /// What each member is to be told. Topics that are not known have no partitions.
    pub(super) fn assignments(&self, assignor: Assignor, topology: &Topology) -> Vec<(String, Bytes)> {
        let counts: Counts =
            self.topics.iter().map(|topic| (topic.clone(), count(topology, topic))).collect();
        let assignment = assignor::assign(assignor, &counts, &self.subscribers);
        let told = assignment.into_iter().filter_map(|(id, partitions)| {
            let bytes = encode_assignment(&by_topic(&partitions));
            Some((id, bytes.inspect_err(|error| tracing::warn!(%error, "an assignment is lost")).ok()?))
        });
        told.collect()
    }
}

impl Divided {
    /// Whether there are partitions now that nobody was given.
    pub(super) fn is_outgrown(&self, topology: &Topology) -> bool {
        self.0.iter().any(|(topic, &known)| count(topology, topic) > known)
    }
}

fn subscriber(member: JoinedMember) -> Subscriber {
    let JoinedMember { member_id, group_instance_id, metadata } = member;
    let told = Subscription::decode(metadata).unwrap_or_else(|error| {
        tracing::warn!(%error, member = %member_id, "what a member subscribes to cannot be read; it gets nothing");
        Subscription { generation: NO_GENERATION, ..Subscription::default() }
    });
    Subscriber {
        id: member_id,
        instance_id: group_instance_id,
        topics: told.topics.into_iter().map(Into::into).collect(),
        owned: named(told.owned),
        generation: told.generation,
    }
}

fn count(topology: &Topology, topic: &str) -> i32 {
    topology.topic(topic).map_or(0, |topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
}

/// The partitions as members of this protocol name them.
pub(super) fn by_topic(partitions: &BTreeSet<TopicPartition>) -> TopicPartitions {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    topics.into_iter().map(|(topic, indexes)| (topic.to_owned(), indexes)).collect()
}

/// The other way round; numbers that no partition can have are left out.
pub(super) fn named(topics: TopicPartitions) -> BTreeSet<TopicPartition> {
    let of_topic = |(topic, indexes): (String, Vec<i32>)| {
        let topic: Arc<str> = topic.into();
        let valid = indexes.into_iter().filter(|index| *index >= 0);
        valid.map(move |index| TopicPartition::new(topic.clone(), index))
    };
    topics.into_iter().flat_map(of_topic).collect()
}
