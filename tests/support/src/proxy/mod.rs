//! A TCP proxy between a client and Kafka that knows where requests and answers begin, and harms them as told.
//!
//! A [`FaultProxy`] has one address a node. [`Rule`]s say which frames meet which [`Fault`]: those of a node, of a
//! connection, of an API key, of a direction, all or the n-th; they come and go while it runs. What a rule does to its n-th frame follows
//! from the seed, the rule's number and n alone, so a run with the same traffic is the same run. It counts what it did.
//!
//! ```
//! # async fn test() {
//! use craftwire_test_support::proxy::{Fault, FaultProxy, Rule, api};
//! let kafka = craftwire_test_support::KafkaCluster::builder();
//! let (proxy, kafka) = FaultProxy::in_front_of(kafka, 1, 42).await;
//! // The third answer to a Produce never comes, and the connection is reset: the batch is in the log.
//! let lost = proxy.add(Rule::answers(Fault::Reset { at: 0 }).api(api::PRODUCE).skip(2).times(1));
//! println!("a client of {} finds {} harmed", proxy.bootstrap(), lost.injected());
//! # }
//! ```
//!
//! Of an encrypted connection it sees TLS records, each a frame of no API. Absent: loss of packets, which a TCP proxy cannot make: frames
//! are late ([`Fault::Hold`]), or nothing ever comes again ([`Fault::BlackHole`]), but never is there a gap.

mod fault_proxy;
mod frames;
mod ledger;
mod pour;
mod random;
mod relay;
mod rule;
mod rules;
mod tape;
mod wiring;

pub use fault_proxy::{FaultProxy, ReservedAddress, RuleHandle};
pub use rule::{Direction, Fault, Rule};

/// The numbers of the APIs that a client of records speaks.
pub mod api {
    /// Records to a partition's leader.
    pub const PRODUCE: i16 = 0;
    /// Records from a partition's leader.
    pub const FETCH: i16 = 1;
    /// Offsets by time.
    pub const LIST_OFFSETS: i16 = 2;
    /// Brokers, topics, leaders.
    pub const METADATA: i16 = 3;
    /// A group's positions, to the coordinator.
    pub const OFFSET_COMMIT: i16 = 8;
    /// A group's positions, from the coordinator.
    pub const OFFSET_FETCH: i16 = 9;
    /// Which broker coordinates a group.
    pub const FIND_COORDINATOR: i16 = 10;
    /// A classic group's sign of life.
    pub const HEARTBEAT: i16 = 12;
    /// The first request of every connection.
    pub const API_VERSIONS: i16 = 18;
    /// An idempotent producer's number.
    pub const INIT_PRODUCER_ID: i16 = 22;
    /// A group member's sign of life, subscription and assignment (KIP-848).
    pub const CONSUMER_GROUP_HEARTBEAT: i16 = 68;
}
