//! Task: topics, settings, offsets and lag.
//!
//! Every call asks once and retries what Kafka calls transient until the client's request timeout has passed three
//! times. Each names what it was about when it fails.

mod asking;
mod error;
mod types;

pub use error::AdminError;
pub use types::{
    BrokerInfo, ConfigOwner, ConfigValue, NewTopic, OffsetSpec, PartitionInfo, PartitionLag, TopicInfo,
};

use crate::{
    cluster::{Cluster, Target},
    config::HostPort,
    error::ErrorCode,
    wire::api::{
        create_topics::{CreatableTopic, CreateTopicsRequest},
        delete_groups::DeleteGroupsRequest,
        delete_topics::DeleteTopicsRequest,
        describe_cluster::DescribeClusterRequest,
        describe_configs::{DescribeConfigsRequest, DescribedConfig, ResourceType},
        fetch::IsolationLevel,
        incremental_alter_configs::{AlteredResource, IncrementalAlterConfigsRequest},
        list_offsets::{EARLIEST, LATEST, ListOffsetsPartition, ListOffsetsRequest},
        offset_fetch::OffsetFetchRequest,
    },
};
use asking::{failed, no_answer, refusal, refused};
use std::{collections::BTreeMap, time::Duration};

/// Asks the cluster about itself and changes it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admin {
    cluster: Cluster,
}

impl Admin {
    pub(crate) const fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// The brokers, as last heard.
    pub fn brokers(&self) -> Vec<BrokerInfo> {
        let topology = self.cluster.topology();
        let info = |broker: &crate::cluster::Broker| BrokerInfo {
            id: broker.id,
            address: HostPort { host: broker.host.clone(), port: broker.port },
            rack: broker.rack.as_deref().map(str::to_owned),
        };
        topology.brokers.values().map(info).collect()
    }

    /// How many brokers are registered with the cluster, those that are down among them.
    ///
    /// Needs Kafka 4.0 or later.
    ///
    /// # Errors
    ///
    /// [`AdminError::Request`] when the cluster does not answer, or is too old to say.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn registered_brokers(&self) -> Result<usize, AdminError> {
        const OPERATION: &str = "counting the brokers of";
        const NAME: &str = "the cluster";
        self.retry(OPERATION, NAME, async |within| {
            let answer = self.ask(OPERATION, NAME, Target::Any, DescribeClusterRequest, within).await?;
            refused(OPERATION, NAME, answer.error, answer.error_message)?;
            Ok(answer.brokers.len())
        })
        .await
    }

    /// Creates a topic and waits until each of its partitions has a leader.
    ///
    /// # Errors
    ///
    /// [`AdminError::TopicExists`] when it is there already (also when an earlier try of this call made it, but its
    /// answer was lost), [`AdminError::Refused`] with the broker's reason.
    ///
    /// # Cancel safety
    ///
    /// Dropping it may leave the topic created or not.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<(), AdminError> {
        const OPERATION: &str = "creating topic";
        let name = topic.name.clone();
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.name,
                partitions: topic.partitions,
                replication_factor: topic.replication,
                configs: topic.configs.into_iter().collect(),
            }],
            timeout_ms: millis(self.request_timeout()),
            validate_only: false,
        };
        self.retry(OPERATION, &name, async |within| {
            let answer = self.ask(OPERATION, &name, Target::Any, request.clone(), within).await?;
            let created = answer.topics.into_iter().find(|topic| topic.name == name);
            let (code, message) =
                created.map_or((ErrorCode::UNKNOWN_SERVER_ERROR, None), |t| (t.error, t.error_message));
            match code {
                ErrorCode::TOPIC_ALREADY_EXISTS => Err(AdminError::TopicExists { topic: name.clone() }),
                code => refused(OPERATION, &name, code, message),
            }
        })
        .await?;
        self.retry(OPERATION, &name, async |within| match self.topic_now(OPERATION, &name, within).await {
            Ok(topic) if topic.is_ready() => Ok(()),
            // The broker that is asked may not have heard of it yet.
            Ok(_) | Err(AdminError::UnknownTopic { .. }) => {
                Err(refusal(OPERATION, &name, ErrorCode::LEADER_NOT_AVAILABLE, None))
            }
            Err(error) => Err(error),
        })
        .await
    }

    /// Deletes a topic and its records.
    ///
    /// # Errors
    ///
    /// [`AdminError::UnknownTopic`] when it is not there, [`AdminError::Refused`] with the broker's reason.
    ///
    /// # Cancel safety
    ///
    /// Dropping it may leave the topic deleted or not.
    pub async fn delete_topic(&self, name: &str) -> Result<(), AdminError> {
        const OPERATION: &str = "deleting topic";
        let request =
            DeleteTopicsRequest { names: vec![name.to_owned()], timeout_ms: millis(self.request_timeout()) };
        self.cluster.forget_topic(name);
        self.retry(OPERATION, name, async |within| {
            let answer = self.ask(OPERATION, name, Target::Any, request.clone(), within).await?;
            match answer.topics.into_iter().next() {
                Some((_, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, _)) => {
                    Err(AdminError::UnknownTopic { topic: name.to_owned() })
                }
                Some((_, code, message)) => refused(OPERATION, name, code, message),
                None => refused(OPERATION, name, ErrorCode::UNKNOWN_SERVER_ERROR, None),
            }
        })
        .await?;
        let gone = self
            .retry(OPERATION, name, async |within| match self.topic_now(OPERATION, name, within).await {
                Err(AdminError::UnknownTopic { .. }) => Ok(()),
                // The broker that is asked may not have heard of it yet: what it says of the topic is out of date.
                Ok(_) => refused(OPERATION, name, ErrorCode::LEADER_NOT_AVAILABLE, None),
                Err(error) => Err(error),
            })
            .await;
        match gone {
            // After all that time it is another topic of that name.
            Err(AdminError::Refused { .. }) => Ok(()),
            gone => gone,
        }
    }

    /// A topic's partitions, leaders and replicas, asked for anew.
    ///
    /// # Errors
    ///
    /// [`AdminError::UnknownTopic`] when it is not there.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicInfo, AdminError> {
        const OPERATION: &str = "describing topic";
        let topic = self
            .retry(OPERATION, name, async |within| {
                self.cluster
                    .describe_topic(name, within)
                    .await
                    .map_err(|source| failed(OPERATION, name, source))
            })
            .await?;
        let info = |(index, partition): (usize, &crate::cluster::Partition)| PartitionInfo {
            index: i32::try_from(index).unwrap_or(i32::MAX),
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replicas.clone(),
            in_sync: partition.isr.clone(),
        };
        Ok(TopicInfo {
            name: name.to_owned(),
            partitions: topic.partitions.iter().enumerate().map(info).collect(),
        })
    }

    /// The settings of a topic, a broker or a group, by Kafka's names.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] with the broker's reason.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn describe_configs(
        &self,
        owner: ConfigOwner<'_>,
    ) -> Result<BTreeMap<String, ConfigValue>, AdminError> {
        const OPERATION: &str = "reading the settings of";
        let (kind, name, target) = resource(owner);
        let request = DescribeConfigsRequest { resources: vec![(kind, name.clone(), None)] };
        self.retry(OPERATION, &name, async |within| {
            let answer = self.ask(OPERATION, &name, target, request.clone(), within).await?;
            let Some(found) = answer.resources.into_iter().next() else {
                return Err(no_answer(OPERATION, &name));
            };
            refused(OPERATION, &name, found.error, found.error_message)?;
            Ok(found.configs.into_iter().map(|config| (config.name.clone(), value(config))).collect())
        })
        .await
    }

    /// Sets (or, with `None`, unsets) single settings; the others stay.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] with the broker's reason, a value out of the broker's bounds among them.
    ///
    /// # Cancel safety
    ///
    /// Dropping it may leave the settings changed or not.
    pub async fn alter_configs(
        &self,
        owner: ConfigOwner<'_>,
        changes: impl IntoIterator<Item = (String, Option<String>)>,
    ) -> Result<(), AdminError> {
        const OPERATION: &str = "changing the settings of";
        let (resource_type, name, target) = resource(owner);
        let configs = changes.into_iter().collect();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlteredResource { resource_type, name: name.clone(), configs }],
            validate_only: false,
        };
        self.retry(OPERATION, &name, async |within| {
            let answer = self.ask(OPERATION, &name, target, request.clone(), within).await?;
            match answer.resources.into_iter().next() {
                Some((code, message, ..)) => refused(OPERATION, &name, code, message),
                None => Err(no_answer(OPERATION, &name)),
            }
        })
        .await
    }

    /// An offset of each of a topic's partitions, by partition number.
    ///
    /// # Errors
    ///
    /// [`AdminError`] when a partition's leader does not answer.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn list_offsets(
        &self,
        topic: &str,
        which: OffsetSpec,
    ) -> Result<BTreeMap<i32, i64>, AdminError> {
        const OPERATION: &str = "listing the offsets of topic";
        self.retry(OPERATION, topic, async |within| {
            let known =
                self.cluster.topic(topic, within).await.map_err(|source| failed(OPERATION, topic, source))?;
            let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
            for (index, partition) in (0..).zip(&known.partitions) {
                let Some(leader) = partition.leader else {
                    return Err(refusal(OPERATION, topic, ErrorCode::LEADER_NOT_AVAILABLE, None));
                };
                by_leader.entry(leader).or_default().push(ListOffsetsPartition {
                    index,
                    current_leader_epoch: -1,
                    timestamp_ms: match which {
                        OffsetSpec::Earliest => EARLIEST,
                        OffsetSpec::Latest => LATEST,
                        OffsetSpec::TimestampMs(at) => at,
                    },
                });
            }
            let mut offsets = BTreeMap::new();
            for (leader, partitions) in by_leader {
                let request = ListOffsetsRequest {
                    isolation_level: IsolationLevel::ReadUncommitted,
                    topics: vec![(topic.to_owned(), partitions)],
                };
                let answer = self.ask(OPERATION, topic, Target::Broker(leader), request, within).await?;
                for listed in answer.topics.into_iter().flat_map(|(_, partitions)| partitions) {
                    if !listed.error.is_ok() {
                        self.cluster.request_refresh();
                    }
                    refused(OPERATION, topic, listed.error, None)?;
                    offsets.insert(listed.index, listed.offset);
                }
            }
            Ok(offsets)
        })
        .await
    }

    /// What a group has committed in a topic: the next offset it reads, by partition number. Partitions without a
    /// commit are left out.
    ///
    /// # Errors
    ///
    /// [`AdminError`] when the group's coordinator does not answer.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn group_offsets(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, AdminError> {
        const OPERATION: &str = "reading the offsets of group";
        let request = OffsetFetchRequest {
            group_id: group.to_owned(),
            member_id: None,
            member_epoch: -1,
            topics: None,
            require_stable: false,
        };
        self.retry(OPERATION, group, async |within| {
            let answer = self.ask_coordinator(OPERATION, group, request.clone(), within).await?;
            match answer.error {
                // A group that has never committed does not exist for the broker.
                ErrorCode::GROUP_ID_NOT_FOUND => return Ok(BTreeMap::new()),
                code => self.check_coordinator(OPERATION, group, code)?,
            }
            let mut offsets = BTreeMap::new();
            for (name, partitions) in answer.topics {
                for (partition, code) in partitions {
                    if name == topic {
                        refused(OPERATION, group, code, None)?;
                        offsets.insert(partition.index, partition.offset);
                    }
                }
            }
            offsets.retain(|_, offset| *offset >= 0);
            Ok(offsets)
        })
        .await
    }

    /// How far a group is behind in a topic, by partition number.
    ///
    /// # Errors
    ///
    /// [`AdminError`] when a leader or the group's coordinator does not answer.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn group_lag(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<i32, PartitionLag>, AdminError> {
        let committed = self.group_offsets(group, topic).await?;
        let start = self.list_offsets(topic, OffsetSpec::Earliest).await?;
        let end = self.list_offsets(topic, OffsetSpec::Latest).await?;
        let lag = |(index, end): (i32, i64)| {
            let committed = committed.get(&index).copied();
            let from = committed.or_else(|| start.get(&index).copied()).unwrap_or(0);
            (index, PartitionLag { committed, end, lag: end.saturating_sub(from).max(0) })
        };
        Ok(end.into_iter().map(lag).collect())
    }

    /// Deletes a group that has no members, and what it committed.
    ///
    /// # Errors
    ///
    /// [`AdminError::Refused`] when it is not there or has members.
    ///
    /// # Cancel safety
    ///
    /// Dropping it may leave the group deleted or not.
    pub async fn delete_group(&self, group: &str) -> Result<(), AdminError> {
        const OPERATION: &str = "deleting group";
        let request = DeleteGroupsRequest { group_ids: vec![group.to_owned()] };
        self.retry(OPERATION, group, async |within| {
            let answer = self.ask_coordinator(OPERATION, group, request.clone(), within).await?;
            let code = answer.groups.first().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |(_, code)| *code);
            self.check_coordinator(OPERATION, group, code)
        })
        .await
    }
}

/// Brokers answer for their own settings themselves; the rest any broker can.
fn resource(owner: ConfigOwner<'_>) -> (ResourceType, String, Target) {
    match owner {
        ConfigOwner::Topic(name) => (ResourceType::Topic, name.to_owned(), Target::Any),
        ConfigOwner::Broker(id) => (ResourceType::Broker, id.to_string(), Target::Broker(id)),
        ConfigOwner::Group(id) => (ResourceType::Group, id.to_owned(), Target::Any),
    }
}

fn value(config: DescribedConfig) -> ConfigValue {
    let is_own = matches!(config.source, SOURCE_TOPIC | SOURCE_GROUP);
    ConfigValue { value: config.value, is_own }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// `DescribeConfigsResponse.ConfigSource`: set on the topic, set on the group.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_GROUP: i8 = 8;
