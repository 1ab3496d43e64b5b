//! The mock answers as real Kafka does: the same raw requests go to both, and the answers are compared.
//!
//! A *case* is a function of a [`target::Target`]: it sends requests, asserts what the client builds on, and notes the
//! answers. It runs on the mock, then on Kafka 4.1, and the two transcripts must be equal but for ids, addresses, times
//! and the wording of messages ([`transcript`] says exactly what is masked). Requests and answers are those of the crate
//! `kafka-protocol`, not the client's own code. [`checklist`] holds what must be covered, and prints what is.
//!
//! Where Java or Maven is missing the mock is tested alone, and each test says so; `CRAFTWIRE_REQUIRE_KAFKA=1` makes
//! that a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests: a failure here is a failed test"
)]

mod case;
mod checklist;
mod classic_member;
mod connection;
mod records;
mod target;
mod transcript;

mod classic_groups;
mod configs;
mod conversion;
mod epoch_ends;
mod fetch;
mod fetch_sessions;
mod group_epochs;
mod handshake;
mod heartbeat;
mod list_offsets;
mod metadata;
mod offsets;
mod produce;
mod replication;
mod topics;
mod transactions;
