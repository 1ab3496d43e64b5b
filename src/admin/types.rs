//! What is asked of the cluster, and what it says of itself.

use crate::config::HostPort;
use std::collections::BTreeMap;

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas of each; -1 for the broker's default.
    pub replication: i16,
    /// Settings by Kafka's names, such as `retention.ms`.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic without settings of its own.
    pub fn new(name: impl Into<String>, partitions: i32, replication: i16) -> Self {
        Self { name: name.into(), partitions, replication, configs: BTreeMap::new() }
    }

    /// Adds a setting by Kafka's name.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.insert(key.into(), value.into());
        self
    }
}

/// A broker of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerInfo {
    /// Its id.
    pub id: i32,
    /// Where it listens.
    pub address: HostPort,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// A topic as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// By partition number.
    pub partitions: Vec<PartitionInfo>,
}

/// A partition as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// Its number.
    pub index: i32,
    /// The leader's broker id, `None` while there is no leader.
    pub leader: Option<i32>,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<i32>,
}

/// What settings belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigOwner<'a> {
    /// A topic, by name.
    Topic(&'a str),
    /// A broker, by id.
    Broker(i32),
    /// A consumer group, by id (Kafka 4.0 and later).
    Group(&'a str),
}

/// A setting as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigValue {
    /// The value, `None` where the broker keeps it to itself.
    pub value: Option<String>,
    /// Whether it is set on the thing itself, rather than a default.
    pub is_own: bool,
}

/// Which offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first that is there.
    Earliest,
    /// The one that the next record gets.
    Latest,
    /// The first at or after this time, in milliseconds since 1970; the end where there is none.
    TimestampMs(i64),
}

/// Where a group stands in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLag {
    /// The next offset that the group reads, `None` if it has committed none.
    pub committed: Option<i64>,
    /// The offset that the next record gets.
    pub end: i64,
    /// Records between the two, counted from the partition's start where nothing is committed.
    pub lag: i64,
}
