//! What a mock cluster is started with.

use super::api::Api;
use super::group::classic::Rules;
use super::kafka_version::{GROUP_VERSION, KafkaVersion};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) brokers: i32,
    pub(crate) seed: u64,
    /// The wall clock's time at the start, if not the machine's.
    pub(crate) unix_ms: Option<i64>,
    pub(crate) default_partitions: i32,
    /// `None`: three, or one a broker where there are fewer.
    pub(crate) default_replication: Option<i16>,
    pub(crate) auto_create_topics: bool,
    pub(crate) unsorted_metadata: bool,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) heartbeat_interval_min: Duration,
    pub(crate) session_timeout: Duration,
    pub(crate) session_timeout_min: Duration,
    /// What classic groups are held to.
    pub(crate) classic: Rules,
    pub(crate) broker_session_timeout: Duration,
    pub(crate) replica_lag_time_max: Duration,
    pub(crate) fetch_sessions_max: usize,
    pub(crate) racks: BTreeMap<i32, String>,
    pub(crate) producer_id_expiration: Duration,
    pub(crate) unsorted_aborted_transactions: bool,
    pub(crate) retention_check_interval: Duration,
    pub(crate) kafka_version: KafkaVersion,
    /// Releases of brokers that run another one.
    pub(crate) kafka_versions: BTreeMap<i32, KafkaVersion>,
    /// Who may use the cluster, at the start.
    #[cfg(feature = "sasl")]
    pub(crate) sasl: super::sasl::Sasl,
    pub(crate) unanswered_apis: bool,
    pub(crate) cuts_unsupported_api_versions: bool,
    /// Versions told and taken in place of the release's; `None`: the API is not there.
    pub(crate) versions: BTreeMap<Api, Option<(i16, i16)>>,
}

impl Settings {
    /// The replication factor of topics that do not ask for one.
    pub(crate) fn replication(&self) -> i16 {
        self.default_replication.unwrap_or_else(|| i16::try_from(self.brokers.clamp(1, 3)).unwrap_or(1))
    }

    /// The versions of `api` at a broker, lowest and highest, if it is there.
    pub(crate) fn versions_of(&self, broker: i32, api: Api) -> Option<(i16, i16)> {
        let released = || self.kafka_version_of(broker).versions(api);
        self.versions.get(&api).copied().unwrap_or_else(released)
    }

    /// Whether an API was taken away.
    pub(crate) fn lacks(&self, api: Api) -> bool {
        self.versions.get(&api) == Some(&None)
    }

    pub(crate) fn kafka_version_of(&self, broker: i32) -> KafkaVersion {
        self.kafka_versions.get(&broker).copied().unwrap_or(self.kafka_version)
    }

    /// The release whose features are finalized: the oldest one of all brokers.
    pub(crate) fn finalized_version(&self) -> KafkaVersion {
        let all = (1..=self.brokers).map(|broker| self.kafka_version_of(broker));
        all.min().unwrap_or(self.kafka_version)
    }

    /// Whether groups of KIP-848 are switched on.
    pub(crate) fn has_consumer_groups(&self) -> bool {
        let finalized = self.finalized_version().finalized_features();
        !self.lacks(Api::ConsumerGroupHeartbeat) && finalized.iter().any(|(name, _)| *name == GROUP_VERSION)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: 1,
            seed: 0,
            unix_ms: None,
            default_partitions: 1,
            default_replication: None,
            auto_create_topics: true,
            unsorted_metadata: true,
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_interval_min: Duration::from_secs(5),
            session_timeout: Duration::from_secs(45),
            session_timeout_min: Duration::from_secs(45),
            classic: Rules {
                initial_delay: Duration::from_secs(3),
                max_size: usize::MAX,
                session_min: Duration::from_secs(6),
                session_max: Duration::from_secs(1800),
            },
            broker_session_timeout: Duration::from_secs(9),
            replica_lag_time_max: Duration::from_secs(30),
            fetch_sessions_max: 1000,
            racks: BTreeMap::new(),
            producer_id_expiration: Duration::from_secs(24 * 3600),
            unsorted_aborted_transactions: false,
            retention_check_interval: Duration::from_secs(300),
            kafka_version: KafkaVersion::V4_1,
            kafka_versions: BTreeMap::new(),
            #[cfg(feature = "sasl")]
            sasl: super::sasl::Sasl::default(),
            unanswered_apis: false,
            cuts_unsupported_api_versions: false,
            versions: BTreeMap::new(),
        }
    }
}
