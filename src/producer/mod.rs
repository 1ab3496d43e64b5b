//! Task: producing: records in, acknowledged and ordered records in the log. Imports: cluster, net, wire.
//!
//! A record's path: [`Producer`] finds its partition (`topic`, `inspect`, `partitioner`) and appends it there (`partition`, `batch`);
//! the lane of the partition's leader (`lane`, `gate`) puts what is ready into requests; the answers (`settle`,
//! `idempotence`, `cut`) become outcomes (`delivery`). `driver` says which broker leads what.

mod batch;
mod config;
mod cut;
mod delivery;
mod door;
mod driver;
mod durability;
mod error;
#[cfg(feature = "internals")]
pub(crate) mod fuzz;
mod gate;
mod idempotence;
mod inspect;
mod lane;
mod memory;
mod metrics;
mod partition;
mod partitioner;
mod record;
mod settings_table;
mod settle;
mod shared;
mod slot;
mod spare;
mod spare_states;
#[cfg(test)]
mod tests;
mod topic;

pub(crate) use crate::wire::record_batch::RecordParts;
pub(crate) use config::ProducerConfig;
pub use config::{ProducerBuilder, Profile};
pub use delivery::{Ack, Delivery};
pub use durability::{TopicFinding, TopicRule};
pub use error::{
    DeliveryError, NotSent, SendError, StartError, TrySendCause, TrySendError, Unknown, Unsupported,
};
pub use metrics::{BrokerMetrics, ProducerMetrics, TopicMetrics};
pub use record::{Header, ProducerRecord};
pub(crate) use topic::TopicHandle;

use crate::{cluster::Cluster, net::clock};
use driver::{Driver, new_producer_id, settle_all};
use partition::Refused;
use settle::GiveUp;
use shared::{Shared, record_bytes};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::{JoinHandle, coop::consume_budget},
    time::timeout,
};

/// Publishes records. Cheap to clone; all clones are one producer.
///
/// Every record is written once and waits for all in-sync replicas, records of one partition stay in the order in which
/// they were taken, and each has one outcome: written, surely not written, or unknown (see [`DeliveryError`]).
/// Retries, leader changes and reconnects happen inside.
///
/// One request to a broker carries all partitions that have records, and its answer waits for the slowest of them: while
/// one partition lacks in-sync replicas, records of the others on that broker are acked later too. Records whose age counts
/// are best sent by a producer of their own, which has connections of its own.
///
/// Dropping the last clone sends what was taken, in the background, and tells nobody how that went; [`close`](Self::close)
/// does.
///
/// ```
/// # #[cfg(feature = "mock")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # use craftwire::producer::ProducerRecord;
/// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
/// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
/// let producer = client.producer().build().await?;
/// let record = ProducerRecord::new("orders", "one sword").key("player-7");
/// let delivery = producer.send(record).await?; // it is taken
/// let ack = delivery.await?; // it is written
/// println!("partition {}, offset {:?}", ack.partition, ack.offset);
/// producer.close(std::time::Duration::from_secs(10)).await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Producer(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl Producer {
    /// Gets a producer id and starts the driver.
    pub(crate) async fn start(cluster: Cluster, config: ProducerConfig) -> Result<Self, StartError> {
        let config = config.checked()?;
        let producer_id =
            new_producer_id(&cluster, config.topic_timeout).await.map_err(StartError::ProducerId)?;
        let shared = Arc::new(Shared::new(cluster, config, producer_id));
        let driver = tokio::spawn(Driver::new(shared.clone()).run());
        Ok(Self(Arc::new(Handle { shared, driver: Mutex::new(Some(driver)) })))
    }

    /// Hands a record over, and waits for memory if there is none, in turn with all who wait.
    ///
    /// The first record to a topic waits until the topic's partitions are known. The returned [`Delivery`] is the answer:
    /// await it, keep it, or drop it.
    ///
    /// # Errors
    ///
    /// [`SendError`]: the record was not taken, and nothing of it is sent.
    ///
    /// # Cancel safety
    ///
    /// Safe: a future that is dropped before it is ready has not taken the record.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use craftwire::producer::ProducerRecord;
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let producer = client.producer().build().await?;
    /// let mut deliveries = Vec::new();
    /// for n in 0..100 {
    ///     deliveries.push(producer.send(ProducerRecord::new("orders", n.to_string())).await?);
    /// }
    /// for delivery in deliveries {
    ///     delivery.await?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, SendError> {
        let topic = self.topic(&record.topic).await?;
        let headers = record.borrowed_headers();
        self.send_parts(&topic, record.partition, &record.parts(&headers, self.timestamp_ms())).await
    }

    /// Hands a record over if that needs no waiting.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] gives the record back, with the reason: the memory is used up, the topic's partitions are not known
    /// yet (they will be, soon: see [`prepare`](Self::prepare)), or it cannot be taken at all.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use craftwire::producer::ProducerRecord;
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let producer = client.producer().build().await?;
    /// use craftwire::producer::TrySendCause;
    ///
    /// producer.prepare("orders").await?;
    /// match producer.try_send(ProducerRecord::new("orders", "one sword")) {
    ///     Ok(delivery) => drop(delivery), // nobody needs the answer
    ///     Err(error) if matches!(error.cause, TrySendCause::Full) => println!("dropped: {:?}", error.record),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_send(&self, record: ProducerRecord) -> Result<Delivery, TrySendError> {
        let tried = self.try_topic(&record.topic).and_then(|topic| {
            let headers = record.borrowed_headers();
            let parts = record.parts(&headers, self.timestamp_ms());
            self.try_send_parts(&topic, record.partition, &parts)
        });
        tried.map_err(|cause| TrySendError { record: Box::new(record), cause })
    }

    /// Learns a topic's partitions and settings and connects to their leaders, so that its first record need not wait for
    /// that. What is to be known of the settings is logged, and told by [`topic_findings`](Self::topic_findings).
    ///
    /// # Errors
    ///
    /// [`SendError::Topic`] when they cannot be learnt in time, [`SendError::NotDurable`] (see
    /// [`require_durability`](ProducerBuilder::require_durability)), [`SendError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use craftwire::producer::ProducerRecord;
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let producer = client.producer().build().await?;
    /// producer.prepare("orders").await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn prepare(&self, topic: &str) -> Result<(), SendError> {
        self.topic(topic).await.map(drop)
    }

    /// Waits until every record taken before has its outcome. What the outcomes are, the deliveries say.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use craftwire::producer::ProducerRecord;
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let producer = client.producer().build().await?;
    /// let delivery = producer.send(ProducerRecord::new("orders", "one sword")).await?;
    /// producer.flush().await;
    /// assert!(delivery.outcome().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn flush(&self) {
        let outstanding = self.0.shared.outstanding();
        settle_all(outstanding.into_iter().map(|(batch, _)| batch).collect()).await;
    }

    /// Takes no record any more, sends those taken, for `within` at most, and ends. Whatever is left then has its outcome
    /// at once: not sent, or unknown where it may have been written.
    ///
    /// The report counts the records that had no outcome when `close` was called.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the producer closed to new records, and those taken on their way.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use craftwire::producer::ProducerRecord;
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let producer = client.producer().build().await?;
    /// drop(producer.send(ProducerRecord::new("orders", "one sword")).await?);
    /// let report = producer.close(std::time::Duration::from_secs(10)).await;
    /// assert_eq!((report.acked, report.not_sent, report.unknown), (1, 0, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn close(&self, within: Duration) -> CloseReport {
        let shared = &self.0.shared;
        shared.close_intake();
        let outstanding = shared.outstanding();
        let states = outstanding.iter().map(|(batch, _)| batch.clone()).collect();
        if timeout(within, settle_all(states)).await.is_err() {
            shared.give_up_all(&GiveUp::Closed);
        }
        shared.stop();
        let driver = self.0.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver {
            // It ends by itself; that it was ended from outside changes nothing here.
            drop(driver.await);
        }
        CloseReport::of(&outstanding)
    }

    /// What is to be known of the topics that this producer has sent to or [prepared](Self::prepare): whether they keep what
    /// its profile promises, and whether they change its batches. Empty if all is well.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// let producer = client.producer().build().await?;
    /// producer.prepare("orders").await?;
    /// for finding in producer.topic_findings() {
    ///     println!("{finding}"); // here: that there is one broker only
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn topic_findings(&self) -> Vec<TopicFinding> {
        self.0.shared.findings()
    }

    /// The counts since the start: in all, by broker and by topic, with the times that records wait and answers take.
    ///
    /// Counting costs a few instructions per batch and per request; a snapshot looks at every partition.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use craftwire::producer::ProducerRecord;
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let producer = client.producer().build().await?;
    /// producer.send(ProducerRecord::new("orders", "one sword")).await?.await?;
    /// let metrics = producer.metrics();
    /// println!("{} of {} bytes used", metrics.buffered_bytes, metrics.buffer_bytes);
    /// for topic in &metrics.topics {
    ///     println!("{}: {} records, queued for {} µs", topic.topic, topic.records, topic.queue_time_us.p50());
    /// }
    /// # assert_eq!(metrics.topics[0].records, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> ProducerMetrics {
        self.0.shared.metrics()
    }

    /// The topic's partitions, for `send_parts`; keeps no lock and may be kept.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn topic(&self, name: &str) -> Result<TopicHandle, SendError> {
        let shared = &self.0.shared;
        if let Some(known) = shared.known_topic(name)? {
            return Ok(known);
        }
        shared.learn(name).await
    }

    /// As `send`, from borrowed parts: nothing is allocated but the batch.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub(crate) async fn send_parts(
        &self,
        topic: &TopicHandle,
        partition: Option<i32>,
        record: &RecordParts<'_>,
    ) -> Result<Delivery, SendError> {
        // A task that sends in a loop would keep its thread, and the connections' tasks behind it, until memory is used up.
        consume_budget().await;
        let shared = &self.0.shared;
        let slot = topic.place(partition, record.key, record_bytes(record))?;
        let mut extra = None;
        loop {
            let bytes = match shared.append(slot, record, &mut extra) {
                Ok(delivery) => return Ok(delivery),
                Err(Refused::TooLarge(bytes)) => return Err(topic.too_large(bytes)),
                Err(Refused::Closed) => return Err(SendError::Closed),
                Err(Refused::NeedMemory(bytes)) => bytes,
            };
            // Never wait for memory while holding some: all who wait might.
            drop(extra.take());
            extra = Some(shared.memory.grant(bytes).await.ok_or(SendError::Closed)?);
        }
    }

    /// As `try_send`, from borrowed parts.
    pub(crate) fn try_send_parts(
        &self,
        topic: &TopicHandle,
        partition: Option<i32>,
        record: &RecordParts<'_>,
    ) -> Result<Delivery, TrySendCause> {
        self.0.shared.try_append(topic, partition, record)
    }

    /// The topic, if that needs no waiting; asks for its partitions otherwise.
    pub(crate) fn try_topic(&self, name: &str) -> Result<TopicHandle, TrySendCause> {
        let shared = &self.0.shared;
        if let Some(known) = shared.known_topic(name)? {
            return Ok(known);
        }
        match shared.wish_for(name) {
            Some(refused) => Err(refused.into()),
            None => Err(TrySendCause::TopicNotReady { topic: name.into() }),
        }
    }

    /// The publish clock: what a record's timestamp is unless it says another.
    pub(crate) fn timestamp_ms(&self) -> i64 {
        clock::wall_clock_ms()
    }
}

impl ProducerBuilder {
    /// Starts the producer.
    ///
    /// # Errors
    ///
    /// [`StartError`]: a setting cannot be used, or no broker gave a producer id in time.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is left behind.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # use craftwire::producer::ProducerRecord;
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// use craftwire::producer::Profile;
    ///
    /// let producer = client.producer().profile(Profile::Realtime).buffer_bytes(8 << 20).build().await?;
    /// # drop(producer);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn build(self) -> Result<Producer, StartError> {
        Producer::start(self.cluster, self.config).await
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

/// What became of the records that had no outcome when a producer was closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Written.
    pub acked: u64,
    /// Surely not written.
    pub not_sent: u64,
    /// Written or not.
    pub unknown: u64,
}

impl CloseReport {
    fn of(batches: &[(Arc<delivery::BatchState>, u32)]) -> Self {
        let mut report = Self::default();
        for (batch, records) in batches {
            if batch.successors().next().is_none() {
                *report.count(batch.outcome()) += u64::from(*records);
                continue;
            }
            for index in 0..*records {
                *report.count(batch.outcome_of(index).map(|(outcome, _)| outcome)) += 1;
            }
        }
        report
    }

    fn count(&mut self, outcome: Option<&delivery::Outcome>) -> &mut u64 {
        match outcome {
            Some(delivery::Outcome::Acked { .. }) => &mut self.acked,
            Some(delivery::Outcome::NotSent(_)) => &mut self.not_sent,
            Some(delivery::Outcome::Unknown(_)) | None => &mut self.unknown,
        }
    }
}
