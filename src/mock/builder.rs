//! Task: how a mock cluster is set up and started.

use super::api::Api;
use super::brokers::Broker;
use super::cluster::Shared;
use super::core::Core;
use super::kafka_version::KafkaVersion;
use super::settings::Settings;
use super::{MockCluster, clock, server};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::runtime::Handle;

/// Sets up a [`MockCluster`].
///
/// Every setting has a default that follows Kafka 4.1.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use craftwire::mock::MockCluster;
/// use std::time::Duration;
///
/// let mock = MockCluster::builder()
///     .brokers(3)
///     .heartbeat_interval(Duration::from_millis(100))
///     .session_timeout(Duration::from_secs(1))
///     .topic("game.crafting.events", 16)
///     .start()?;
/// assert_eq!(mock.bootstrap().split(',').count(), 3);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `start` or `start_in_memory`"]
pub struct MockClusterBuilder {
    settings: Settings,
    topics: Vec<(String, i32)>,
}

impl MockClusterBuilder {
    #[cfg(feature = "sasl")]
    pub(super) const fn sasl_mut(&mut self) -> &mut super::sasl::Sasl {
        &mut self.settings.sasl
    }

    /// How many brokers there are, with the ids 1 to `count`. Default: 1.
    pub fn brokers(mut self, count: u8) -> Self {
        self.settings.brokers = i32::from(count.max(1));
        self
    }

    /// The seed of all that is random: ids, and the order of partitions in metadata. Default: 0.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// The wall clock's time at the start, in milliseconds since 1970, for records that the cluster stamps itself.
    /// Default: the machine's.
    pub const fn wall_clock_ms(mut self, unix_ms: i64) -> Self {
        self.settings.unix_ms = Some(unix_ms);
        self
    }

    /// A topic to start with, as [`MockCluster::create_topic`] creates it.
    pub fn topic(mut self, name: &str, partitions: i32) -> Self {
        self.topics.push((name.to_owned(), partitions));
        self
    }

    /// How many partitions a topic gets that does not say. Default: 1.
    pub const fn default_partitions(mut self, count: i32) -> Self {
        self.settings.default_partitions = count;
        self
    }

    /// How many replicas a topic gets that does not say. Default: 3, or the number of brokers if that is less.
    pub const fn default_replication(mut self, count: i16) -> Self {
        self.settings.default_replication = Some(count);
        self
    }

    /// Whether asking for a topic's metadata may create it, where the request allows that. Default: true.
    pub const fn auto_create_topics(mut self, is_on: bool) -> Self {
        self.settings.auto_create_topics = is_on;
        self
    }

    /// Whether metadata lists partitions in a random order, as Kafka lists them in none. Default: true.
    pub const fn unsorted_metadata(mut self, is_on: bool) -> Self {
        self.settings.unsorted_metadata = is_on;
        self
    }

    /// How often members of a group are asked to send a heartbeat (KIP-848). Default: 5 s.
    ///
    /// A value below the broker's minimum lowers that too.
    pub const fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.settings.heartbeat_interval = interval;
        self
    }

    /// After which silence a member is taken out of its group. Default: 45 s.
    ///
    /// A value below the broker's minimum lowers that too.
    pub const fn session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.session_timeout = timeout;
        self
    }

    /// The least that a group may set by itself: (heartbeat interval, session timeout). Default: 5 s and 45 s.
    pub const fn group_minima(mut self, heartbeat_interval: Duration, session_timeout: Duration) -> Self {
        self.settings.heartbeat_interval_min = heartbeat_interval;
        self.settings.session_timeout_min = session_timeout;
        self
    }

    /// How long an empty group of the classic protocol waits for more members before its first generation. Default: 3 s.
    pub const fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.settings.classic.initial_delay = delay;
        self
    }

    /// Which session timeouts members of the classic protocol may ask for. Default: 6 s to 30 min.
    pub const fn classic_session_timeouts(mut self, min: Duration, max: Duration) -> Self {
        self.settings.classic.session_min = min;
        self.settings.classic.session_max = max;
        self
    }

    /// How many members a group of the classic protocol can have. Default: any number.
    pub const fn classic_group_max_size(mut self, count: usize) -> Self {
        self.settings.classic.max_size = count;
        self
    }

    /// After which silence a broker that was killed or paused leads no more (`broker.session.timeout.ms`). Default: 9 s.
    pub const fn broker_session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.broker_session_timeout = timeout;
        self
    }

    /// After which time behind its leader a follower is out of sync (`replica.lag.time.max.ms`). Default: 30 s.
    pub const fn replica_lag_time_max(mut self, time: Duration) -> Self {
        self.settings.replica_lag_time_max = time;
        self
    }

    /// How many fetch sessions there can be; with 0 every fetch is a full one. Default: 1000.
    pub const fn fetch_sessions(mut self, count: usize) -> Self {
        self.settings.fetch_sessions_max = count;
        self
    }

    /// The rack that a broker is in. Readers of a rack are sent to a replica in sync that is there, as by Kafka's
    /// `RackAwareReplicaSelector` (KIP-392).
    pub fn rack(mut self, broker: i32, rack: &str) -> Self {
        self.settings.racks.insert(broker, rack.to_owned());
        self
    }

    /// After which idle time a partition forgets a producer id. Default: 24 h.
    pub const fn producer_id_expiration(mut self, after: Duration) -> Self {
        self.settings.producer_id_expiration = after;
        self
    }

    /// How often old segments are deleted. Default: 5 min.
    ///
    /// The first check is 30 s after the start, or after one interval if that is shorter. Nothing needs to run for it:
    /// a check that is due is done before the next request or look into a log.
    pub const fn retention_check_interval(mut self, interval: Duration) -> Self {
        self.settings.retention_check_interval = interval;
        self
    }

    /// Whether fetches list aborted transactions in a random order. Default: false, which is the order of their markers
    /// as Kafka's, and not that of their first offsets either.
    pub const fn unsorted_aborted_transactions(mut self, is_on: bool) -> Self {
        self.settings.unsorted_aborted_transactions = is_on;
        self
    }

    /// The release of Kafka whose versions and features the brokers tell of and take. Default: 4.1.
    ///
    /// In all else they go on to behave as 4.1 does.
    pub const fn kafka_version(mut self, version: KafkaVersion) -> Self {
        self.settings.kafka_version = version;
        self
    }

    /// The release of one broker; [`MockCluster::set_kafka_version`] changes it later.
    pub fn broker_kafka_version(mut self, broker: i32, version: KafkaVersion) -> Self {
        self.settings.kafka_versions.insert(broker, version);
        self
    }

    /// Whether brokers also tell of the APIs that a real one has and the mock does not answer. Default: false.
    ///
    /// Requests of such an API close the connection.
    pub const fn unanswered_apis(mut self, is_on: bool) -> Self {
        self.settings.unanswered_apis = is_on;
        self
    }

    /// Whether an ApiVersions request of a version that is not there closes the connection, as some proxies and very
    /// old brokers do. Default: false, which answers UNSUPPORTED_VERSION in version 0.
    pub const fn cut_unsupported_api_versions(mut self, is_on: bool) -> Self {
        self.settings.cuts_unsupported_api_versions = is_on;
        self
    }

    /// The versions of an API that all brokers tell of and take, in place of their release's.
    ///
    /// The mock cannot answer versions outside [`Api::versions`]; such requests close the connection.
    pub fn api_versions(mut self, api: Api, min: i16, max: i16) -> Self {
        self.settings.versions.insert(api, Some((min, max)));
        self
    }

    /// Takes an API away, as an older or a restricted broker has it.
    pub fn without_api(mut self, api: Api) -> Self {
        self.settings.versions.insert(api, None);
        self
    }

    /// Starts the cluster on free ports of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// No port can be had, a topic's name or partition count is not legal, or no Tokio runtime is running here.
    pub fn start(self) -> io::Result<MockCluster> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let mut listeners = BTreeMap::new();
        let mut brokers = BTreeMap::new();
        for id in 1..=self.settings.brokers {
            let (listener, port) = server::bind(0)?;
            listeners.insert(id, listener);
            brokers.insert(id, Broker::new("127.0.0.1".to_owned(), port));
        }
        let mock = self.build(brokers, Some(runtime))?;
        for (id, listener) in listeners {
            mock.shared().listen(id, listener)?;
        }
        Ok(mock)
    }

    /// Starts the cluster without sockets: [`MockCluster::connector`] opens connections to it.
    ///
    /// Its brokers are advertised as `mock-1:9092`, `mock-2:9092` and so on.
    ///
    /// # Errors
    ///
    /// A topic's name or partition count is not legal.
    pub fn start_in_memory(self) -> io::Result<MockCluster> {
        let broker = |id| Broker::new(format!("mock-{id}"), MEMORY_PORT);
        let brokers = (1..=self.settings.brokers).map(|id| (id, broker(id))).collect();
        self.build(brokers, None)
    }

    fn build(self, mut brokers: BTreeMap<i32, Broker>, tcp: Option<Handle>) -> io::Result<MockCluster> {
        for (id, rack) in &self.settings.racks {
            if let Some(broker) = brokers.get_mut(id) {
                broker.rack = Some(rack.clone());
            }
        }
        let unix_ms = self.settings.unix_ms.unwrap_or_else(clock::wall_clock_ms);
        let core = Core::new(self.settings, brokers, clock::now(), unix_ms);
        let mock = MockCluster::new(Shared::new(core, tcp));
        for (name, partitions) in self.topics {
            mock.create_topic(&name, partitions).map_err(io::Error::other)?;
        }
        Ok(mock)
    }
}

const MEMORY_PORT: u16 = 9092;
