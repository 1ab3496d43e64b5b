//! Faults that need no Kafka: brokers that ask for pauses, connections that end, a process without descriptors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a failure here is a failed test, and it looks at the virtual clock"
)]

#[cfg(feature = "mock")]
mod bad_answers;
#[cfg(feature = "mock")]
mod descriptors;
#[cfg(feature = "mock")]
mod out_of_step;
#[cfg(feature = "mock")]
mod reconnecting;
#[cfg(feature = "mock")]
mod throttling;
#[cfg(feature = "mock")]
mod whole_way;
