//! Task: connects, and says what to do where that fails.

use craftwire::{ConnectError, crafting::Crafting};
use std::time::Duration;

use crate::exit::{Exit, Failure};

/// Connects to `bootstrap`; all names get `suffix`.
pub(crate) async fn connect(bootstrap: &str, timeout: Duration, suffix: &str) -> Result<Crafting, Failure> {
    let builder = Crafting::builder(bootstrap)
        .suffix(suffix)
        .client(|client| client.client_id("craftwire-cli").connect_timeout(timeout));
    builder.build().await.map_err(|error| match &error {
        ConnectError::Config(_) => Failure::because(Exit::Usage, "connecting", &error),
        _ => Failure::because(Exit::Unreachable, "connecting", &error)
            .hint("Check that Kafka runs there, and what --brokers or KAFKA_BOOTSTRAP_SERVERS says."),
    })
}
