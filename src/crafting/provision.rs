//! Task: makes the two topics as the contract says, or says where what is there differs.
//!
//! What exists is never changed: a drift is reported. Partition counts least of all, for keys would move and order
//! would break. The one thing set on an existing cluster are the two groups' session timeout and heartbeat, which
//! the broker, not the client, decides for groups of KIP-848.

use super::{
    Names,
    topic::{Group, Topic},
};
use crate::{
    admin::{Admin, AdminError, ConfigOwner, NewTopic, TopicInfo},
    error::ErrorCode,
};
use std::{collections::BTreeMap, fmt, time::Duration};
use tokio::time::{sleep, timeout};

/// Why the topics could not be ensured.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The cluster did not do or say what was asked.
    #[error("topic {topic} cannot be ensured")]
    Admin {
        /// The topic.
        topic: String,
        /// The cluster's answer.
        #[source]
        source: AdminError,
    },
    /// Replication 3 is not possible, and it is not certain that the cluster has a single broker.
    ///
    /// A broker that is down for a moment must not leave the topic with fewer replicas for good, so this is decided
    /// by whoever runs the cluster: state the replication, or start the missing brokers.
    #[error(
        "topic {topic}: the cluster cannot hold 3 replicas; start more brokers, or state the replication yourself"
    )]
    TooFewBrokers {
        /// The topic.
        topic: String,
        /// How many brokers are registered, where the cluster says so (Kafka 4.0 and later).
        registered: Option<usize>,
    },
}

impl ProvisionError {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Admin { source, .. } => source.is_retriable(),
            Self::TooFewBrokers { .. } => false,
        }
    }
}

/// The two topics on a cluster.
#[derive(Debug, Clone)]
pub struct Topics {
    admin: Admin,
    names: Names,
    replication: Option<i16>,
}

/// What was found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provision {
    /// A report for each topic.
    pub topics: Vec<TopicReport>,
    /// A report for each group; empty where groups were not looked at.
    pub groups: Vec<GroupReport>,
}

/// One topic's state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicReport {
    /// Its name.
    pub name: String,
    /// What was found and done.
    pub outcome: TopicOutcome,
    /// How many partitions it has; 0 where it does not exist.
    pub partitions: usize,
    /// How many replicas its first partition has; 0 where it does not exist.
    pub replication: usize,
}

/// What was found and done about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicOutcome {
    /// It was not there and is now.
    Created,
    /// It is as the contract says.
    Unchanged,
    /// It differs from the contract; nothing was changed.
    Drift(Vec<Drift>),
    /// It is not there.
    Missing,
}

/// One way in which something differs from the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The setting, by Kafka's name; `partitions` and `replication` for those.
    pub key: String,
    /// What the contract says.
    pub want: String,
    /// What the cluster has.
    pub have: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: want {}, have {}", self.key, self.want, self.have)
    }
}

/// One group's session timeout and heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupReport {
    /// Its id.
    pub id: String,
    /// What was found and done.
    pub outcome: GroupOutcome,
}

/// What was found and done about a group's session timeout and heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupOutcome {
    /// They were other and are now as the contract says.
    Set,
    /// They are as the contract says.
    Unchanged,
    /// They differ, and were not to be changed.
    Drift(Vec<Drift>),
    /// The cluster does not take them, for this reason: members live with the broker's own.
    Refused {
        /// What differs still.
        drift: Vec<Drift>,
        /// Why.
        reason: String,
    },
}

/// What exists differs from the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the topics differ from the contract: {}", .drifts.join("; "))]
pub struct Drifted {
    /// Each difference, as `topic: key: want …, have …`.
    pub drifts: Vec<String>,
}

impl Provision {
    /// This report, if both topics are as the contract says. What the cluster refused to set for the groups does not
    /// count: the groups work all the same.
    ///
    /// # Errors
    ///
    /// [`Drifted`] names every difference.
    pub fn require_clean(self) -> Result<Self, Drifted> {
        let drifts: Vec<String> = self
            .topics
            .iter()
            .flat_map(|topic| match &topic.outcome {
                TopicOutcome::Drift(drifts) => {
                    drifts.iter().map(|drift| format!("{}: {drift}", topic.name)).collect()
                }
                TopicOutcome::Missing => vec![format!("{}: does not exist", topic.name)],
                TopicOutcome::Created | TopicOutcome::Unchanged => Vec::new(),
            })
            .collect();
        if drifts.is_empty() { Ok(self) } else { Err(Drifted { drifts }) }
    }
}

impl Topics {
    pub(super) const fn new(admin: Admin, names: Names) -> Self {
        Self { admin, names, replication: None }
    }

    /// States how many replicas new topics get, instead of 3 (or 1 on a single broker).
    #[must_use]
    pub const fn replication(mut self, replicas: i16) -> Self {
        self.replication = Some(replicas);
        self
    }

    /// Creates the topics that are missing, compares the others with the contract, and sets the groups' timeouts.
    ///
    /// New topics ask for 3 replicas with 2 in sync. On a cluster that says that it cannot hold them and has one
    /// registered broker, they get 1.
    ///
    /// # Errors
    ///
    /// [`ProvisionError`] when a topic can neither be created nor described. Drift is no error: it is in the report.
    ///
    /// # Cancel safety
    ///
    /// Dropping it may leave topics created or not; calling it again goes on from there.
    pub async fn ensure(&self) -> Result<Provision, ProvisionError> {
        let mut report = Provision { topics: Vec::new(), groups: Vec::new() };
        for topic in Topic::ALL {
            let created = self.create_if_missing(topic).await?;
            let mut found = self.inspect(topic).await?;
            if created && found.outcome == TopicOutcome::Unchanged {
                found.outcome = TopicOutcome::Created;
            }
            report.topics.push(found);
        }
        for group in Group::ALL {
            report.groups.push(self.ensure_group(group).await);
        }
        Ok(report)
    }

    /// Compares what exists with the contract and changes nothing.
    ///
    /// # Errors
    ///
    /// [`ProvisionError`] when the cluster does not answer.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn describe(&self) -> Result<Provision, ProvisionError> {
        let mut report = Provision { topics: Vec::new(), groups: Vec::new() };
        for topic in Topic::ALL {
            report.topics.push(self.inspect(topic).await?);
        }
        for group in Group::ALL {
            let id = self.names.group(group);
            let outcome = match self.group_drift(&id, group).await {
                Ok(drift) if drift.is_empty() => GroupOutcome::Unchanged,
                Ok(drift) => GroupOutcome::Drift(drift),
                Err(error) => GroupOutcome::Refused { drift: Vec::new(), reason: chain(&error) },
            };
            report.groups.push(GroupReport { id, outcome });
        }
        Ok(report)
    }

    /// Deletes both topics and their records, and both groups. Meant for topics with a suffix.
    ///
    /// # Errors
    ///
    /// [`ProvisionError`] when a topic that exists cannot be deleted. Groups that do not exist or still have members
    /// are passed over.
    ///
    /// # Cancel safety
    ///
    /// Dropping it may leave some deleted.
    pub async fn delete(&self) -> Result<(), ProvisionError> {
        for group in Group::ALL {
            if let Err(error) = self.admin.delete_group(&self.names.group(group)).await {
                tracing::debug!(%error, "a group stays");
            }
        }
        for topic in Topic::ALL {
            let name = self.names.topic(topic);
            match self.admin.delete_topic(&name).await {
                Ok(()) | Err(AdminError::UnknownTopic { .. }) => {}
                Err(source) => return Err(ProvisionError::Admin { topic: name, source }),
            }
        }
        Ok(())
    }

    async fn create_if_missing(&self, topic: Topic) -> Result<bool, ProvisionError> {
        let name = self.names.topic(topic);
        let admin_error = |source| ProvisionError::Admin { topic: name.clone(), source };
        match self.admin.describe_topic(&name).await {
            Ok(_) => return Ok(false),
            Err(AdminError::UnknownTopic { .. }) => {}
            Err(source) => return Err(admin_error(source)),
        }
        let wanted = self.replication.unwrap_or_else(|| signed(topic.replication_factor()));
        let replication = match self.create(topic, &name, wanted).await {
            Ok(created) => return Ok(created),
            Err(AdminError::Refused { code: ErrorCode::INVALID_REPLICATION_FACTOR, .. })
                if self.replication.is_none() =>
            {
                self.replication_of_single_broker(&name).await?
            }
            Err(source) => return Err(admin_error(source)),
        };
        tracing::warn!(topic = name, replication, "the cluster has a single broker: no replicas");
        self.create(topic, &name, replication).await.map_err(admin_error)
    }

    /// 1, if the cluster has one registered broker. Brokers that live are not counted: during a rolling restart that
    /// would give too few replicas for good.
    async fn replication_of_single_broker(&self, name: &str) -> Result<i16, ProvisionError> {
        let registered = self.admin.registered_brokers().await.ok();
        match registered {
            Some(1) => Ok(1),
            _ => Err(ProvisionError::TooFewBrokers { topic: name.to_owned(), registered }),
        }
    }

    async fn create(&self, topic: Topic, name: &str, replication: i16) -> Result<bool, AdminError> {
        let mut new = NewTopic::new(name, i32::from(topic.partitions()), replication);
        new.configs = wanted_configs(topic, replication)
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        match self.admin.create_topic(new).await {
            Ok(()) => Ok(true),
            // Somebody else made it meanwhile; whether it is right is looked at next.
            Err(AdminError::TopicExists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn inspect(&self, topic: Topic) -> Result<TopicReport, ProvisionError> {
        let name = self.names.topic(topic);
        let admin_error = |source| ProvisionError::Admin { topic: name.clone(), source };
        let info = match self.admin.describe_topic(&name).await {
            Ok(info) => info,
            Err(AdminError::UnknownTopic { .. }) => {
                let outcome = TopicOutcome::Missing;
                return Ok(TopicReport { name, outcome, partitions: 0, replication: 0 });
            }
            Err(source) => return Err(admin_error(source)),
        };
        let configs = self.admin.describe_configs(ConfigOwner::Topic(&name)).await.map_err(admin_error)?;
        let configs = configs.into_iter().filter_map(|(key, config)| Some((key, config.value?))).collect();
        let drifts = self.drifts(topic, &info, &configs);
        Ok(TopicReport {
            partitions: info.partitions.len(),
            replication: replicas(&info),
            outcome: if drifts.is_empty() { TopicOutcome::Unchanged } else { TopicOutcome::Drift(drifts) },
            name,
        })
    }

    fn drifts(&self, topic: Topic, info: &TopicInfo, configs: &BTreeMap<String, String>) -> Vec<Drift> {
        let mut drifts = Vec::new();
        let mut compare = |key: &str, want: String, have: String| {
            if want != have {
                drifts.push(Drift { key: key.to_owned(), want, have });
            }
        };
        compare("partitions", topic.partitions().to_string(), info.partitions.len().to_string());
        let have = replicas(info);
        // A single replica is what a single broker can give; whether there are more brokers is known by their number.
        let single = have == 1 && self.admin.brokers().len() == 1;
        let want = match self.replication {
            Some(replicas) => replicas.to_string(),
            None if single => "1".to_owned(),
            None => topic.replication_factor().to_string(),
        };
        compare("replication", want, have.to_string());
        for (key, want) in wanted_configs(topic, i16::try_from(have).unwrap_or(i16::MAX)) {
            compare(key, want, configs.get(key).cloned().unwrap_or_else(|| "nothing".to_owned()));
        }
        drifts
    }

    async fn ensure_group(&self, group: Group) -> GroupReport {
        let id = self.names.group(group);
        let drift = match self.group_drift(&id, group).await {
            Ok(drift) if drift.is_empty() => return GroupReport { id, outcome: GroupOutcome::Unchanged },
            Ok(drift) => drift,
            Err(error) => {
                let outcome = GroupOutcome::Refused { drift: Vec::new(), reason: chain(&error) };
                return GroupReport { id, outcome };
            }
        };
        let changes: Vec<_> =
            drift.iter().map(|drift| (drift.key.clone(), Some(drift.want.clone()))).collect();
        let outcome = match self.admin.alter_configs(ConfigOwner::Group(&id), changes).await {
            Ok(()) => {
                self.await_set(&id, group).await;
                GroupOutcome::Set
            }
            Err(error) => GroupOutcome::Refused { drift, reason: chain(&error) },
        };
        GroupReport { id, outcome }
    }

    /// Brokers hear of a change from the controller, a little later: a member that joined before would read the old
    /// timeout. That they were told is certain, so waiting for it has an end.
    async fn await_set(&self, id: &str, group: Group) {
        let is_set = async {
            while self.group_drift(id, group).await.is_ok_and(|drift| !drift.is_empty()) {
                sleep(SET_LOOK_AGAIN).await;
            }
        };
        if timeout(SET_WAIT, is_set).await.is_err() {
            tracing::warn!(group = id, "the group's timeouts were set, and the brokers do not show them yet");
        }
    }

    async fn group_drift(&self, id: &str, group: Group) -> Result<Vec<Drift>, AdminError> {
        let configs = self.admin.describe_configs(ConfigOwner::Group(id)).await?;
        let mut drift = Vec::new();
        for (key, want) in [
            ("consumer.session.timeout.ms", group.session_timeout()),
            ("consumer.heartbeat.interval.ms", group.heartbeat_interval()),
        ] {
            let want = millis(want);
            let have = configs.get(key).and_then(|config| config.value.clone());
            let have = have.unwrap_or_else(|| "nothing".to_owned());
            if have != want {
                drift.push(Drift { key: key.to_owned(), want, have });
            }
        }
        Ok(drift)
    }
}

/// The settings that the contract asks for. The codec is the producer's (`compression.type=producer`): another value
/// would have the broker compress everything again. Time is the publisher's.
fn wanted_configs(topic: Topic, replication: i16) -> [(&'static str, String); 8] {
    let in_sync = if replication >= 3 { 2 } else { 1 };
    [
        ("cleanup.policy", topic.cleanup_policy().to_owned()),
        ("compression.type", "producer".to_owned()),
        ("max.message.bytes", topic.max_message_bytes().to_string()),
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("min.insync.replicas", in_sync.to_string()),
        ("retention.ms", millis(topic.retention())),
        ("segment.ms", millis(topic.segment())),
        ("unclean.leader.election.enable", "false".to_owned()),
    ]
}

fn replicas(info: &TopicInfo) -> usize {
    info.partitions.first().map_or(0, |partition| partition.replicas.len())
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn signed(replication: u16) -> i16 {
    i16::try_from(replication).unwrap_or(i16::MAX)
}

/// An error and its causes in one line, for a report.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// How long, and how often, brokers are asked whether a group's settings have reached them.
const SET_WAIT: Duration = Duration::from_secs(10);
const SET_LOOK_AGAIN: Duration = Duration::from_millis(50);
