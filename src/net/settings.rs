//! What every connection to the cluster needs to know.

use super::{entropy::Entropy, transport::Connector};
use crate::{config::HostPort, wire::frame::FRAME_BYTES_MAX};
use std::{sync::Arc, time::Duration};

/// Settings of all connections of one client.
#[derive(Debug, Clone)]
pub(crate) struct ClientConfig {
    /// Where to ask first. The cluster says where its brokers are.
    pub(crate) bootstrap: Vec<HostPort>,
    /// Named in every request; brokers log it and count quotas by it.
    pub(crate) client_id: Arc<str>,
    /// For one address: connecting, then the handshake.
    pub(crate) connect_timeout: Duration,
    /// For the oldest unanswered request of a connection.
    pub(crate) request_timeout: Duration,
    /// Metadata older than this is asked for again.
    pub(crate) metadata_max_age: Duration,
    /// The largest answer that is read.
    pub(crate) frame_bytes_max: usize,
    /// How sockets are made.
    pub(crate) connector: Connector,
    /// Who this client is, to brokers that ask.
    #[cfg(feature = "sasl")]
    pub(crate) sasl: Option<super::sasl::Sasl>,
    /// Where jitter and members' ids come from.
    pub(crate) entropy: Entropy,
}

impl ClientConfig {
    /// The defaults for a cluster at `bootstrap`.
    pub(crate) fn new(bootstrap: Vec<HostPort>) -> Self {
        Self {
            bootstrap,
            client_id: "craftwire".into(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            metadata_max_age: Duration::from_secs(60),
            frame_bytes_max: FRAME_BYTES_MAX,
            connector: Connector::Tcp,
            #[cfg(feature = "sasl")]
            sasl: None,
            entropy: Entropy::default(),
        }
    }
}
