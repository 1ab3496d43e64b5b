//! craftwire on three nodes of real Apache Kafka that are killed, stopped, moved and starved, and as processes that are
//! stopped and killed themselves: what was acked is in the log once, keys stay in order, members skip nothing, and all
//! goes on afterwards.
//!
//! The names begin with the fault's number in the list of the rig. Tests take turns at one cluster; each says how often
//! it did the fault and what came of it. `CRAFTWIRE_FAULT_SCALE=10` makes them long: more rounds, and outages of up to
//! ten minutes. Where Java or Maven is missing each test says that it was skipped, or fails if
//! `CRAFTWIRE_REQUIRE_KAFKA=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "helpers of tests: a failure here is a failed test; what takes how long is what they are about"
)]

mod broker_faults;
mod child;
mod client_faults;
#[allow(dead_code, reason = "the soak needs more of it")]
mod group;
#[allow(dead_code, reason = "the soak needs more of it")]
mod ledger;
mod limits;
#[allow(dead_code, reason = "the soak needs more of it")]
mod load;
mod outages;
mod stage;

/// Not a test: what the tests here start as processes of their own.
#[test]
#[ignore = "the others start it"]
fn child() {
    // Whoever runs all ignored tests starts no child.
    if std::env::var_os(child::ROLE).is_some() {
        child::play();
    }
}
