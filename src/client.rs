//! Task: the entry to a cluster.
//!
//! ```
//! # #[cfg(feature = "mock")]
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let mock = craftwire::mock::MockCluster::builder().start()?;
//! # let bootstrap = mock.bootstrap();
//! let client = craftwire::Client::connect(&bootstrap).await?;
//! for broker in client.admin().brokers() {
//!     println!("broker {} at {}", broker.id, broker.address);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::{
    admin::Admin,
    cluster::Cluster,
    config::{ConfigError, parse_bootstrap},
    consumer::ConsumerBuilder,
    error::{AuthenticationError, RequestError},
    net::{entropy::Entropy, settings::ClientConfig, transport::Connector},
    producer::ProducerBuilder,
};
use std::{sync::Arc, time::Duration};

/// Milliseconds since 1970, for those above that stamp what they publish.
pub(crate) use crate::net::clock::wall_clock_ms;

/// Why a client could not be made.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A setting cannot be used.
    #[error("a setting cannot be used")]
    Config(#[source] ConfigError),
    /// A broker and this client did not agree on who this client is.
    #[error(transparent)]
    Authentication(AuthenticationError),
    /// No bootstrap server gave a usable answer; check that one of them runs and is reachable from here.
    #[error("none of the bootstrap servers {servers} gave a usable answer")]
    Unreachable {
        /// The servers that were tried.
        servers: String,
        /// The last failure.
        #[source]
        source: RequestError,
    },
}

impl ConnectError {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Config(_) => false,
            Self::Authentication(error) => error.is_retriable(),
            Self::Unreachable { source, .. } => source.is_retriable(),
        }
    }
}

/// A connected Kafka cluster: the maker of producers, consumers and admin handles.
///
/// Cheap to clone. Each producer and each consumer has connections of its own (a broker answers one request of a
/// connection at a time), the rest goes over common ones. Connections close when the client and all that it made are
/// dropped.
#[derive(Debug, Clone)]
pub struct Client {
    cluster: Cluster,
}

impl Client {
    /// Connects to the cluster at `bootstrap`, a comma-separated list of `host:port`, with default settings.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] when the list cannot be read or no server answers within 10 s.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future closes what was opened.
    pub async fn connect(bootstrap: &str) -> Result<Self, ConnectError> {
        Self::builder(bootstrap).build().await
    }

    /// Connects to the cluster that the environment variable `KAFKA_BOOTSTRAP_SERVERS` names.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`], and when the variable is not set.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future closes what was opened.
    pub async fn from_env() -> Result<Self, ConnectError> {
        Self::connect(&std::env::var("KAFKA_BOOTSTRAP_SERVERS").unwrap_or_default()).await
    }

    /// Settings for a client of the cluster at `bootstrap`, a comma-separated list of `host:port`.
    pub fn builder(bootstrap: &str) -> ClientBuilder {
        ClientBuilder {
            bootstrap: bootstrap.to_owned(),
            client_id: None,
            connect_timeout: None,
            request_timeout: None,
            metadata_max_age: None,
            connector: Connector::Tcp,
            #[cfg(feature = "sasl")]
            sasl: None,
            entropy: Entropy::default(),
        }
    }

    /// Settings for a producer.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self.cluster.clone())
    }

    /// Settings for a consumer.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(self.cluster.clone())
    }

    /// Topics, settings, offsets and lag.
    pub fn admin(&self) -> Admin {
        Admin::new(self.cluster.clone())
    }
}

/// Settings for a [`Client`].
#[derive(Debug, Clone)]
#[must_use = "a builder makes nothing before `build`"]
pub struct ClientBuilder {
    bootstrap: String,
    client_id: Option<Arc<str>>,
    connect_timeout: Option<Duration>,
    request_timeout: Option<Duration>,
    metadata_max_age: Option<Duration>,
    connector: Connector,
    #[cfg(feature = "sasl")]
    sasl: Option<crate::Sasl>,
    entropy: Entropy,
}

impl ClientBuilder {
    /// The name that brokers log and count quotas by. Default: `craftwire`.
    pub fn client_id(mut self, client_id: &str) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// For one address of a broker: connecting, then the handshake. Default: 10 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// For a broker's answer, counted from when the request is the oldest one unanswered. Default: 10 s.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// What is known of topics and leaders is asked for again after this time even if nothing went wrong.
    /// Default: 60 s.
    pub const fn metadata_max_age(mut self, age: Duration) -> Self {
        self.metadata_max_age = Some(age);
        self
    }

    /// Encrypts all connections, and checks who the brokers are. Default: neither.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.connector = Connector::Tls(tls);
        self
    }

    /// Logs in to every broker. Default: nobody asks who this client is.
    ///
    /// ```
    /// # #[cfg(all(feature = "mock", feature = "sasl"))]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use craftwire::{Client, Sasl};
    ///
    /// # let mock = craftwire::mock::MockCluster::builder().sasl_user("smith", "iron").start()?;
    /// # let bootstrap = mock.bootstrap();
    /// let client = Client::builder(&bootstrap).sasl(Sasl::scram_sha_256("smith", "iron")).build().await?;
    /// # assert_eq!(client.admin().brokers().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "sasl")]
    pub fn sasl(mut self, sasl: crate::Sasl) -> Self {
        self.sasl = Some(sasl);
        self
    }

    /// Connects in memory instead of by TCP, to a mock cluster in this process:
    /// [`MockCluster::connector`](crate::mock::MockCluster::connector).
    #[cfg(feature = "mock")]
    pub fn memory(mut self, connect: crate::mock::Connector) -> Self {
        self.connector = Connector::Memory(connect);
        self
    }

    /// Goes over a network that is simulated.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn network(mut self, network: Arc<dyn crate::net::network::Network>) -> Self {
        self.connector = Connector::Network(network);
        self
    }

    /// All that is random in the client follows from `seed`: the jitter of its waits and the ids of its members.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn seed(mut self, seed: u64) -> Self {
        self.entropy = Entropy::seeded(seed);
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Config`] when a setting cannot be used, [`ConnectError::Unreachable`] when no bootstrap server
    /// answers, [`ConnectError::Authentication`] when one refuses the credentials.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future closes what was opened.
    pub async fn build(self) -> Result<Client, ConnectError> {
        let mut config = ClientConfig::new(parse_bootstrap(&self.bootstrap).map_err(ConnectError::Config)?);
        config.client_id = self.client_id.unwrap_or(config.client_id);
        config.connect_timeout = self.connect_timeout.unwrap_or(config.connect_timeout);
        config.request_timeout = self.request_timeout.unwrap_or(config.request_timeout);
        config.metadata_max_age = self.metadata_max_age.unwrap_or(config.metadata_max_age);
        config.connector = self.connector;
        config.entropy = self.entropy;
        #[cfg(feature = "sasl")]
        if let Some(sasl) = self.sasl {
            sasl.check(config.connector.is_private()).map_err(ConnectError::Config)?;
            config.sasl = Some(sasl);
        }
        if i16::try_from(config.client_id.len()).is_err() {
            return Err(ConnectError::Config(ConfigError {
                setting: "client id",
                rule: "at most 32767 bytes",
                value: format!("{} bytes", config.client_id.len()),
            }));
        }
        for (setting, value) in [
            ("connect timeout", config.connect_timeout),
            ("request timeout", config.request_timeout),
            ("metadata max age", config.metadata_max_age),
        ] {
            if value.is_zero() {
                let rule = "more than zero";
                return Err(ConnectError::Config(ConfigError { setting, rule, value: format!("{value:?}") }));
            }
        }
        match Cluster::connect(config).await {
            Ok(cluster) => Ok(Client { cluster }),
            Err(source) => Err(match source.fatal_authentication() {
                Some(error) => ConnectError::Authentication(error.clone()),
                None => ConnectError::Unreachable { servers: self.bootstrap, source },
            }),
        }
    }
}
