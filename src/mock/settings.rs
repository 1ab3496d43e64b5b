//! What a mock cluster is started with.

use super::api::Api;
use super::group::classic::Rules;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) brokers: i32,
    pub(crate) seed: u64,
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
    pub(crate) fetch_sessions_max: usize,
    pub(crate) producer_id_expiration: Duration,
    pub(crate) unsorted_aborted_transactions: bool,
    pub(crate) retention_check_interval: Duration,
    /// Versions told and taken in place of the mock's own; `None`: the API is not there.
    pub(crate) versions: BTreeMap<Api, Option<(i16, i16)>>,
}

impl Settings {
    /// The replication factor of topics that do not ask for one.
    pub(crate) fn replication(&self) -> i16 {
        self.default_replication.unwrap_or_else(|| i16::try_from(self.brokers.clamp(1, 3)).unwrap_or(1))
    }

    /// The versions of `api`, lowest and highest, if it is there.
    pub(crate) fn versions_of(&self, api: Api) -> Option<(i16, i16)> {
        self.versions.get(&api).copied().unwrap_or_else(|| Some(api.versions()))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: 1,
            seed: 0,
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
            fetch_sessions_max: 1000,
            producer_id_expiration: Duration::from_secs(24 * 3600),
            unsorted_aborted_transactions: false,
            retention_check_interval: Duration::from_secs(300),
            versions: BTreeMap::new(),
        }
    }
}
