//! Real Apache Kafka for the tests and benches of craftwire.
//!
//! A [`KafkaCluster`] is one or three KRaft nodes on 127.0.0.1, started from the jars on Maven Central and ended with
//! the process that started it, whatever happens to that process. [`Java`] runs Kafka's own tools and three small
//! Java programs against it, so that tests can say "Java reads what we wrote" and the other way round.
//!
//! What a test does:
//!
//! ```
//! # async fn test() {
//! craftwire_test_support::require_kafka!();
//! let kafka = craftwire_test_support::shared_single().await;
//! let topic = kafka.unique_topic("interop");
//! kafka.java().create_topic(&topic, 1, 1, &[]).await;
//! println!("{}", kafka.bootstrap());
//! # }
//! ```
//!
//! A [`proxy::FaultProxy`] between a client and the cluster makes the network fail as told.
//!
//! Only a JDK 17 and Maven are needed. Without them [`require_kafka!`] says `skipped: …` and returns from the test, or
//! fails it where `CRAFTWIRE_REQUIRE_KAFKA=1`. `CRAFTWIRE_TEST_BOOTSTRAP=host:port` makes [`shared_single`] use a
//! cluster that runs already, and [`require_shared_kafka!`] is enough for a test that runs no Java itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "support of tests: a failure here is a failed test, and it waits on real processes by real time"
)]

mod admin;
mod archive;
mod builder;
mod certificate;
mod child;
mod cluster;
mod distribution;
mod eventually;
mod faults;
mod interop;
mod java;
mod json;
mod node;
mod ports;
mod probe;
mod properties;
pub mod proxy;
mod random;
mod shared;
mod skip;
mod supervisor;

pub use admin::Election;
pub use builder::Builder;
pub use certificate::Certificate;
pub use child::Child;
pub use cluster::KafkaCluster;
pub use distribution::Version;
pub use eventually::{eventually, lasts};
pub use interop::{Batching, JavaRecord, ReadSpec, WriteSpec};
pub use java::{ConsumeSpec, Java, Output, kcat};
pub use node::CpuTimes;
pub use probe::{BrokerAddress, PartitionState, TopicState, fetch_metadata};
pub use properties::Profile;
pub use random::SplitMix;
pub use shared::{Shared, shared_single};
pub use skip::{Skip, available, shared_skipped, skipped};
