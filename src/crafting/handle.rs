//! Task: the entry to the crafting domain.

use super::{
    Names, Topics,
    event::Body,
    progress::ProgressUpdate,
    publisher::PublisherBuilder,
    session::SessionEvent,
    subscriber::SubscriberBuilder,
    topic::{Group, Topic},
};
use crate::{
    admin::{AdminError, PartitionLag},
    client::{Client, ClientBuilder, ConnectError},
};
use std::collections::BTreeMap;

/// The crafting topics of a cluster: typed events in, typed events out. Cheap to clone.
///
/// ```
/// # #[cfg(feature = "mock")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let mock = craftwire::mock::MockCluster::builder().start()?;
/// # let bootstrap = mock.bootstrap();
/// use craftwire::crafting::{Crafting, Parsed, PauseReason, SessionEvent, SessionPause};
/// use uuid::Uuid;
///
/// let crafting = Crafting::connect(&bootstrap).await?;
/// crafting.topics().ensure().await?.require_clean()?;
///
/// let publisher = crafting.publisher("crafting.network").build().await?;
/// let session = Uuid::new_v4();
/// publisher.publish(SessionPause::new(session, PauseReason::PlayerAfk)).await?;
///
/// let mut events = crafting.session_events().build().await?;
/// while let Some(delivered) = events.recv().await {
///     let delivered = delivered?;
///     if let Parsed::Event(event) = delivered.parsed() {
///         assert_eq!(event.session_id(), session);
///         assert!(matches!(event.body(), SessionEvent::Pause(_)));
///         delivered.ack();
///         break;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Crafting {
    client: Client,
    names: Names,
}

impl Crafting {
    /// Connects to the cluster at `bootstrap`, a comma-separated list of `host:port`, with default settings.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
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
    /// As [`Client::from_env`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future closes what was opened.
    pub async fn from_env() -> Result<Self, ConnectError> {
        Ok(Self { client: Client::from_env().await?, names: Names::default() })
    }

    /// Settings for the crafting topics of the cluster at `bootstrap`.
    pub fn builder(bootstrap: &str) -> CraftingBuilder {
        CraftingBuilder { client: Client::builder(bootstrap), names: Names::default() }
    }

    /// The Kafka client underneath, for whatever else is to be done with the cluster.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Makes and compares the two topics.
    pub fn topics(&self) -> Topics {
        Topics::new(self.client.admin(), self.names.clone())
    }

    /// Settings for a publisher whose events come from `source`, such as `crafting.network`.
    pub fn publisher(&self, source: &str) -> PublisherBuilder {
        PublisherBuilder::new(&self.client, self.names.clone(), source)
    }

    /// Settings for a reader of session events.
    pub fn session_events(&self) -> SubscriberBuilder<SessionEvent> {
        self.subscriber()
    }

    /// Settings for a reader of progress updates.
    pub fn progress(&self) -> SubscriberBuilder<ProgressUpdate> {
        self.subscriber()
    }

    fn subscriber<B: Body>(&self) -> SubscriberBuilder<B> {
        let topic = self.topic_name(B::TOPIC);
        SubscriberBuilder::new(&self.client, topic, self.group_id(B::TOPIC.group()))
    }

    /// How far a group is behind, by partition number.
    ///
    /// # Errors
    ///
    /// As [`Admin::group_lag`](crate::admin::Admin::group_lag).
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn lag(&self, group: Group) -> Result<BTreeMap<i32, PartitionLag>, AdminError> {
        self.client.admin().group_lag(&self.group_id(group), &self.topic_name(group.topic())).await
    }

    /// A topic's name on this cluster, the suffix included.
    pub fn topic_name(&self, topic: Topic) -> String {
        self.names.topic(topic)
    }

    /// A group's id on this cluster, the suffix included.
    pub fn group_id(&self, group: Group) -> String {
        self.names.group(group)
    }
}

/// Settings for a [`Crafting`] handle.
#[derive(Debug, Clone)]
#[must_use = "a builder makes nothing before `build`"]
pub struct CraftingBuilder {
    client: ClientBuilder,
    names: Names,
}

impl CraftingBuilder {
    /// Adds this to the names of both topics and both groups, for trials beside the real ones. Default: nothing.
    pub fn suffix(mut self, suffix: &str) -> Self {
        self.names = self.names.with_suffix(suffix);
        self
    }

    /// Calls a topic by another name altogether, without suffix, for measuring and for trials; both topics may be one.
    pub fn topic_name(mut self, topic: Topic, name: &str) -> Self {
        self.names = self.names.with_topic(topic, name);
        self
    }

    /// Changes the settings of the Kafka client underneath.
    pub fn client(mut self, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        self.client = change(self.client);
        self
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::build`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future closes what was opened.
    pub async fn build(self) -> Result<Crafting, ConnectError> {
        Ok(Crafting { client: self.client.build().await?, names: self.names })
    }
}
