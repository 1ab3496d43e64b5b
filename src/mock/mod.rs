//! An in-process cluster that speaks the real protocol, for tests.
//!
//! [`MockCluster`] is a cluster of N brokers inside the test's own process. One machine without sockets, clocks or
//! threads decides all answers; two fronts carry the bytes: loopback TCP ([`MockClusterBuilder::start`]), which any
//! Kafka client and tools such as `kcat` can use, and pipes in memory ([`MockClusterBuilder::start_in_memory`]).
//! Time is Tokio's, so under a paused runtime a test waits for nothing.
//!
//! It answers as Kafka 4.1 does: leaders with epochs, idempotent producers, fetch sessions and long polls, groups of
//! KIP-848 and of the classic protocol, topics and their configs.
//!
//! What can be done to it:
//!
//! * Requests: [`MockCluster::on`] chooses them by API, broker, partition, condition and turn, and forges, delays, drops,
//!   cuts, doubles, swaps or rewrites their answers, ends their connections, or changes the cluster in their midst.
//! * Brokers: [`stop_broker`](MockCluster::stop_broker), [`kill_broker`](MockCluster::kill_broker),
//!   [`pause_broker`](MockCluster::pause_broker), [`start_broker`](MockCluster::start_broker), on another address too.
//!   One that is killed or paused leads until its session is over.
//! * Replicas: followers have every append at once until [`set_replication_lag`](MockCluster::set_replication_lag) and
//!   its like make them lag. Then acks=all waits for those in sync, readers see nothing past the high watermark, who is
//!   behind for too long falls out of sync, and a new leader has only what it had copied. Too few in sync refuse acks=all.
//! * Leaders: [`move_leader`](MockCluster::move_leader),
//!   [`elect_preferred_leaders`](MockCluster::elect_preferred_leaders), [`reassign`](MockCluster::reassign), and the
//!   unclean [`elect_unclean_leader`](MockCluster::elect_unclean_leader).
//!
//! Two simplifications: all replicas share their leader's log, so what a former leader had alone never comes back, not
//! even when it is elected uncleanly; and brokers hear of a new leader at once, so one that wakes from a pause says
//! NOT_LEADER_OR_FOLLOWER rather than take writes that vanish later.
//!
//! Logs follow Kafka's rules: transactions with markers, the last stable offset and lists of aborted ones
//! ([`MockCluster::transaction`] writes them), retention by time and size in virtual time, compaction that leaves gaps
//! ([`MockCluster::compact`]), producers that are forgotten after a day. Byte quotas mute connections
//! ([`MockCluster::set_quota`]), and each broker tells the API versions of the release that it plays
//! ([`KafkaVersion`], [`MockClusterBuilder::api_versions`]).
//!
//! With the feature `sasl` brokers ask who their clients are once there is somebody to let in: users and tokens, sessions
//! that end, and lies of a broker that is none (`MockClusterBuilder::sasl_user`, `MockCluster::set_sasl_lie`).
//!
//! A group speaks one protocol at a time, as with `group.consumer.migration.policy=disabled`: while it has members of
//! one, those of the other are refused (GROUP_ID_NOT_FOUND, or INCONSISTENT_GROUP_PROTOCOL for JoinGroup); once it is
//! empty, either may begin it anew, and its offsets stay. An empty classic group waits 3 s for more members before its
//! first generation, as Kafka does; [`MockClusterBuilder::initial_rebalance_delay`] makes that shorter.
//!
//! It is no broker to keep data in: logs live in memory. There are no permissions of users, no transaction over the wire (its
//! producers are refused), no compaction but by call, no log cleaner's lags, no quota by user or by request time, and
//! no reading from followers.
//!
//! # Examples
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use craftwire::error::ErrorCode;
//! use craftwire::mock::{Api, MockCluster};
//!
//! let mock = MockCluster::builder().brokers(3).topic("orders", 4).start()?;
//! println!("kcat -b {} -L", mock.bootstrap());
//!
//! // The next Produce request fails on one partition, as if its leader had just moved.
//! let hook = mock.on(Api::Produce).fail_partition("orders", 2, ErrorCode::NOT_LEADER_OR_FOLLOWER);
//! assert_eq!(hook.hits(), 0);
//!
//! mock.append("orders", 2, Some(b"key"), Some(b"value"))?;
//! let records = mock.records("orders", 2);
//! assert_eq!(records[0].value.as_deref(), Some(&b"value"[..]));
//!
//! mock.stop_broker(1);
//! assert!(mock.leader("orders", 0).is_some_and(|leader| leader != 1));
//! # Ok(()) }
//! ```

mod api;
mod batch;
mod bend;
mod brokers;
mod builder;
mod clock;
mod cluster;
mod compaction;
mod configs;
mod connection;
mod control;
mod core;
mod error;
mod fetch_session;
mod followers;
mod forged;
mod group;
#[doc = include_str!("guide.md")]
pub mod guide {}
mod handle;
mod handle_logs;
mod hooks;
mod inflate;
mod kafka_version;
mod log;
mod memory;
mod names;
mod on;
mod partition;
mod producers;
mod quotas;
mod random;
mod raw_record;
mod records;
mod retention;
#[cfg(feature = "sasl")]
mod sasl;
mod server;
mod settings;
#[cfg(test)]
mod tests;
mod topics;
mod touched;
mod transaction;
mod transaction_index;

pub use api::Api;
pub use bend::Ending;
pub use builder::MockClusterBuilder;
pub use error::MockError;
pub use handle::{Connector, MockCluster};
pub use hooks::Call;
pub use kafka_version::KafkaVersion;
pub use on::{Hooked, On};
pub use quotas::Quota;
pub use records::{StoredBatch, StoredRecord};
#[cfg(feature = "sasl")]
pub use sasl::SaslLie;
pub use transaction::{KeyValue, Transaction};
