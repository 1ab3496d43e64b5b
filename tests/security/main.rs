//! Who clients are, and what they may do: SASL and permissions, on the mock.
#![cfg(all(feature = "mock", feature = "sasl", feature = "tls"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a failure here is a failed test, and tokens are dated by the clock on the wall"
)]

mod authorization;
mod encryption;
mod logins;
mod sessions;

use craftwire::{
    Client, ClientBuilder, Sasl,
    error::{AuthenticationError, ConnectionError, RequestError},
    mock::{MockCluster, MockClusterBuilder},
};
use std::time::Duration;

/// Far longer than anything here takes, so that a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(300);

/// One broker that lets `smith` in with `iron`, and has the topics `orders` and `hidden`.
fn forge() -> MockClusterBuilder {
    MockCluster::builder().sasl_user("smith", "iron").topic("orders", 2).topic("hidden", 1)
}

fn builder(mock: &MockCluster, sasl: Sasl) -> ClientBuilder {
    Client::builder(&mock.bootstrap()).memory(mock.connector()).sasl(sasl)
}

async fn connect(mock: &MockCluster, sasl: Sasl) -> Client {
    builder(mock, sasl).build().await.unwrap()
}

fn smith() -> Sasl {
    Sasl::scram_sha_256("smith", "iron")
}

/// The failed authentication behind a request.
fn authentication(error: &RequestError) -> &AuthenticationError {
    match error {
        RequestError::Connection { source: ConnectionError::Authentication(error), .. } => error,
        other => panic!("{other:?}"),
    }
}
