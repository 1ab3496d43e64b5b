//! What is known of the cluster: brokers, topics, leaders and their epochs.
//!
//! Invariants: a partition's leader epoch never goes back while its topic id stays (KIP-320), so an answer from a
//! broker that lags changes nothing; partitions are indexed by their number, whatever order a broker lists them in;
//! a topic that one answer lacks or cannot describe keeps what was known, with the error beside it (a producer that
//! forgot a partition's sequence over such a gap would lose records).

use crate::{
    error::{AuthenticationError, ErrorCode},
    wire::api::{
        metadata::{MetadataBroker, MetadataPartition, MetadataResponse, MetadataTopic},
        produce::{LeaderIdAndEpoch, NodeEndpoint},
    },
};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// A snapshot of the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topology {
    pub(crate) cluster_id: Option<Arc<str>>,
    pub(crate) controller_id: i32,
    pub(crate) brokers: BTreeMap<i32, Broker>,
    pub(crate) topics: BTreeMap<Arc<str>, Arc<Topic>>,
    /// Why nobody tells more: the last broker that was asked did not take this client for who it says it is.
    pub(crate) stranger: Option<AuthenticationError>,
}

/// A broker and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) id: i32,
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) rack: Option<Arc<str>>,
}

/// A topic's partitions; the index is the partition's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: Uuid,
    /// What the last answer said of the topic; the rest may be from an earlier one.
    pub(crate) error: ErrorCode,
    pub(crate) partitions: Vec<Partition>,
}

/// Who leads a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// `None` while there is no leader.
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) error: ErrorCode,
}

impl Topology {
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub(crate) fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.topics.values().find(|topic| topic.id == id)
    }

    /// The leader's broker id and epoch.
    #[cfg(test)]
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        let partition = self.topic(topic)?.partition(partition)?;
        Some((partition.leader?, partition.leader_epoch))
    }

    /// Takes in a broker's answer.
    pub(crate) fn apply(&mut self, answer: MetadataResponse) {
        if let Some(id) = answer.cluster_id {
            self.cluster_id = Some(id.into());
        }
        self.controller_id = answer.controller_id;
        self.stranger = None;
        if !answer.brokers.is_empty() {
            // An empty list is a broker that has not caught up, not a cluster without brokers.
            self.brokers = answer
                .brokers
                .into_iter()
                .map(|broker| {
                    let MetadataBroker { id, host, port, rack } = broker;
                    (id, Broker { id, host: host.into(), port, rack: rack.map(Into::into) })
                })
                .collect();
        }
        for topic in answer.topics {
            self.apply_topic(topic);
        }
    }

    fn apply_topic(&mut self, answer: MetadataTopic) {
        let Some(name) = answer.name else { return };
        let name: Arc<str> = name.into();
        let known = self.topics.get(&name);
        let topic = if answer.error.is_ok() {
            let same_log = known.filter(|known| known.id == answer.id);
            Topic {
                name: name.clone(),
                id: answer.id,
                error: ErrorCode::NONE,
                partitions: merge(same_log.map(|known| &*known.partitions), answer.partitions),
            }
        } else if let Some(known) = known {
            Topic { error: answer.error, ..Topic::clone(known) }
        } else {
            Topic { name: name.clone(), id: answer.id, error: answer.error, partitions: Vec::new() }
        };
        self.topics.insert(name, Arc::new(topic));
    }

    /// What was told of the permissions for a topic, and of who this client is, may be old: it counts no more. Whether
    /// there was anything.
    pub(crate) fn forget_refusals(&mut self, name: &str) -> bool {
        let mut had = self.stranger.take().is_some();
        if let Some(topic) = self.topics.get_mut(name).filter(|topic| topic.is_forbidden()) {
            had = true;
            Arc::make_mut(topic).error = ErrorCode::LEADER_NOT_AVAILABLE;
        }
        had
    }

    /// Takes in KIP-951's hint who leads a partition now. Says whether it was news.
    pub(crate) fn apply_hint(
        &mut self,
        topic: &str,
        index: i32,
        hint: LeaderIdAndEpoch,
        endpoints: &[NodeEndpoint],
    ) -> bool {
        let Some(known) = self.topics.get(topic) else { return false };
        let Some(partition) = known.partition(index) else { return false };
        if hint.leader_epoch <= partition.leader_epoch || hint.leader_id < 0 {
            return false;
        }
        if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.id == hint.leader_id) {
            let NodeEndpoint { id, host, port, rack } = endpoint.clone();
            let broker = Broker { id, host: host.into(), port, rack: rack.map(Into::into) };
            self.brokers.insert(id, broker);
        } else if !self.brokers.contains_key(&hint.leader_id) {
            return false;
        }
        let mut changed = Topic::clone(known);
        if let Some(partition) = usize::try_from(index).ok().and_then(|i| changed.partitions.get_mut(i)) {
            partition.leader = Some(hint.leader_id);
            partition.leader_epoch = hint.leader_epoch;
        }
        self.topics.insert(changed.name.clone(), Arc::new(changed));
        true
    }
}

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    /// Whether it exists, as far as the last answer says.
    pub(crate) fn is_known(&self) -> bool {
        self.error.is_ok() && !self.partitions.is_empty()
    }

    /// Whether this client may not know of it.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.error == ErrorCode::TOPIC_AUTHORIZATION_FAILED
    }

    /// Whether it exists and each partition has a leader.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_known() && self.partitions.iter().all(|partition| partition.leader.is_some())
    }
}

/// Partitions by number. Numbers that are missing below the highest one get no leader; what is known and newer stays.
fn merge(known: Option<&[Partition]>, answer: Vec<MetadataPartition>) -> Vec<Partition> {
    let unknown = Partition {
        leader: None,
        leader_epoch: -1,
        replicas: Vec::new(),
        isr: Vec::new(),
        error: ErrorCode::LEADER_NOT_AVAILABLE,
    };
    // The answer listed each partition, so its length bounds what a wild number could make us allocate.
    let count = answer.len();
    let mut partitions = vec![unknown; count];
    for news in answer {
        let index = usize::try_from(news.index).ok();
        let Some(slot) = index.and_then(|index| partitions.get_mut(index)) else { continue };
        let leader = (news.leader_id >= 0).then_some(news.leader_id);
        *slot = Partition {
            leader,
            leader_epoch: news.leader_epoch,
            replicas: news.replicas,
            isr: news.isr,
            error: news.error,
        };
    }
    for (slot, known) in partitions.iter_mut().zip(known.unwrap_or_default()) {
        if known.leader_epoch > slot.leader_epoch {
            *slot = known.clone();
        }
    }
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(index: i32, leader_id: i32, leader_epoch: i32) -> MetadataPartition {
        let (replicas, isr) = (vec![1, 2], vec![1, 2]);
        MetadataPartition { error: ErrorCode::NONE, index, leader_id, leader_epoch, replicas, isr }
    }

    fn answer(error: ErrorCode, id: u128, partitions: Vec<MetadataPartition>) -> MetadataResponse {
        let broker = |id| MetadataBroker { id, host: format!("kafka-{id}"), port: 9092, rack: None };
        MetadataResponse {
            throttle_time_ms: 0,
            brokers: vec![broker(1), broker(2)],
            cluster_id: Some("c".into()),
            controller_id: 1,
            topics: vec![MetadataTopic {
                error,
                name: Some("t".into()),
                id: Uuid::from_u128(id),
                is_internal: false,
                partitions,
            }],
            error: ErrorCode::NONE,
        }
    }

    #[test]
    fn partitions_are_indexed_by_number_whatever_the_order() {
        let mut topology = Topology::default();
        topology.apply(answer(
            ErrorCode::NONE,
            1,
            vec![partition(2, 1, 5), partition(0, 2, 6), partition(1, 1, 7)],
        ));
        assert_eq!(topology.leader("t", 0), Some((2, 6)));
        assert_eq!(topology.leader("t", 1), Some((1, 7)));
        assert_eq!(topology.leader("t", 2), Some((1, 5)));
        assert_eq!(topology.leader("t", 3), None);
        assert_eq!(topology.leader("t", -1), None);
    }

    #[test]
    fn a_leader_epoch_never_goes_back_while_the_topic_stays() {
        let mut topology = Topology::default();
        topology.apply(answer(ErrorCode::NONE, 1, vec![partition(0, 1, 5)]));
        topology.apply(answer(ErrorCode::NONE, 1, vec![partition(0, 2, 4)]));
        assert_eq!(topology.leader("t", 0), Some((1, 5)));
        topology.apply(answer(ErrorCode::NONE, 2, vec![partition(0, 2, 0)]));
        assert_eq!(topology.leader("t", 0), Some((2, 0)), "a new topic id is a new log");
    }

    #[test]
    fn a_topic_that_one_answer_cannot_describe_keeps_what_was_known() {
        let mut topology = Topology::default();
        topology.apply(answer(ErrorCode::NONE, 1, vec![partition(0, 1, 5)]));
        topology.apply(answer(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, 0, vec![]));
        let topic = topology.topic("t").unwrap();
        assert_eq!(topic.error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert!(!topic.is_ready());
        assert_eq!(topology.leader("t", 0), Some((1, 5)));
    }

    #[test]
    fn an_empty_broker_list_is_not_believed() {
        let mut topology = Topology::default();
        topology.apply(answer(ErrorCode::NONE, 1, vec![partition(0, 1, 5)]));
        let mut empty = answer(ErrorCode::NONE, 1, vec![partition(0, 1, 5)]);
        empty.brokers.clear();
        topology.apply(empty);
        assert_eq!(topology.brokers.len(), 2);
    }

    #[test]
    fn a_hint_counts_only_if_its_epoch_is_newer() {
        let mut topology = Topology::default();
        topology.apply(answer(ErrorCode::NONE, 1, vec![partition(0, 1, 5)]));
        let hint = |leader_id, leader_epoch| LeaderIdAndEpoch { leader_id, leader_epoch };
        assert!(!topology.apply_hint("t", 0, hint(2, 5), &[]));
        assert!(topology.apply_hint("t", 0, hint(2, 6), &[]));
        assert_eq!(topology.leader("t", 0), Some((2, 6)));
        assert!(!topology.apply_hint("t", 0, hint(9, 7), &[]), "a broker nobody knows the address of");
        let at = NodeEndpoint { id: 9, host: "kafka-9".into(), port: 9092, rack: None };
        assert!(topology.apply_hint("t", 0, hint(9, 7), &[at]));
        assert_eq!(topology.brokers[&9].port, 9092);
    }

    #[test]
    fn a_wild_partition_number_allocates_nothing() {
        let mut topology = Topology::default();
        topology.apply(answer(ErrorCode::NONE, 1, vec![partition(i32::MAX, 1, 5)]));
        assert_eq!(topology.topic("t").unwrap().partitions.len(), 1);
        assert!(!topology.topic("t").unwrap().is_ready());
    }
}
