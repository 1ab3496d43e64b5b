//! craftwire against real Apache Kafka: what one writes the other reads, and what holds when nodes fail.
//!
//! Tests share one single node; those that need three share one cluster of three, one after the other, and those that
//! need a failing network share one node behind a proxy, one after the other. Where Java or Maven is missing each test
//! says that it was skipped, or fails if `CRAFTWIRE_REQUIRE_KAFKA=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests: a failure here is a failed test"
)]

mod common;
mod consume_interop;
mod failover;
mod groups;
mod history;
mod hostile;
mod keys;
#[path = "../cluster_faults/ledger.rs"]
#[allow(dead_code, reason = "the tests of the cluster's faults need more of it")]
mod ledger;
mod produce_interop;
mod provision;
mod proxy_faults;
mod racks;
mod reading_rules;
mod rebalance;
mod rules;
