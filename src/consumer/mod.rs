//! Task: reading records: alone, or as a member of a group. Imports: cluster, wire.
//!
//! The path of a record: a `lane` per broker fetches batches into the `buffer`, and has the next fetch out before it is
//! looked at; the `reader` takes them from there when the caller asks, checks and decompresses them on the caller's
//! task, and hands them out. `core` holds what they share, under one lock: where each partition stands and what is
//! finished. Two tasks see to the rest: the `driver` keeps lanes to the leaders and looks offsets up, the
//! `group::coordinator` heartbeats and commits. Neither waits for the caller.

mod aborted;
mod acker;
mod buffer;
mod builder;
mod config;
mod core;
mod driver;
mod error;
mod event;
mod events;
mod fetch_session;
#[cfg(feature = "internals")]
pub(crate) mod fuzz;
pub(crate) mod group;
pub mod guide {
    #![doc = include_str!("guide.md")]
}
mod lane;
mod metrics;
mod positions;
mod protocol;
mod reader;
mod record;
mod shared;
mod stall;
mod start;
mod steering;
#[cfg(test)]
mod test_batches;
#[cfg(test)]
mod tests;

pub use acker::Acker;
pub use builder::ConsumerBuilder;
pub use config::Isolation;
pub use error::{CommitError, ConsumeError, NotAssigned};
pub use event::{ConsumerEvent, StallCause};
pub use events::Events;
pub use metrics::{BrokerMetrics, ConsumerMetrics, PartitionMetrics};
pub use protocol::{Assignor, GroupProtocol};
pub use record::{ConsumerRecord, Headers, RecordRef, Records, RecordsIter, TopicPartition};
pub use start::StartFrom;

use crate::{cluster::Cluster, error::RequestError, net::clock};
use config::ConsumerConfig;
use driver::Driver;
use futures_core::Stream;
use group::coordinator::{Command, Coordinator};
use positions::Phase;
use reader::{Next, Reader};
use shared::Shared;
use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, coop},
    time::timeout,
};

/// Reads records from partitions, alone or as a member of a group.
///
/// It is a [`Stream`] of owned records; [`recv_batch`](Self::recv_batch) gives them a batch at a time, which costs
/// less. Errors that are not fatal come between the records, and the stream goes on; it ends after a fatal error.
///
/// In a group, what is finished is told by [`ack`](Self::ack) (or an [`Acker`] in another task), and committed every
/// second, when partitions move and on [`close`](Self::close). Whatever was handed out and not acked is given out
/// again after a crash or a rebalance: at least once. Once a partition was taken away nothing of it is handed out.
/// The membership does not depend on the caller: a slow handler loses nothing but time. A partition that does not go forward,
/// for whatever reason, is told: the [guide] says what each event and error means, and what to do.
///
/// Dropping a consumer closes it in the background, as far as the runtime still allows.
///
/// ```
/// # #[cfg(feature = "mock")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
/// # mock.append("orders", 0, None, Some(b"one sword"))?;
/// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
/// let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
/// while let Some(record) = consumer.recv().await {
///     let record = record?; // or go on, if the error is not fatal
///     println!("{:?}: {:?}", record.key(), record.value());
///     consumer.ack(&record);
///     # break;
/// }
/// consumer.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Consumer {
    shared: Arc<Shared>,
    reader: Reader,
    group: Option<Group>,
}

struct Group {
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

impl Consumer {
    pub(crate) async fn start(cluster: Cluster, config: ConsumerConfig) -> Result<Self, ConsumeError> {
        config.check().map_err(ConsumeError::Config)?;
        let config = Arc::new(config);
        let within = cluster.config().request_timeout;
        let mut topics = BTreeMap::new();
        for name in config.topic_names() {
            let topic = cluster.known_topic(&name, within).await.map_err(ConsumeError::of_start)?;
            topics.insert(name, topic);
        }
        let mut core = core::Core::new(config.clone());
        core.assign(config.partitions.iter().map(|name| {
            let topic_id = topics.get(&name.topic).map(|topic| topic.id).unwrap_or_default();
            let phase = if config.commits() { Phase::Committed } else { Phase::Lookup(config.start_from) };
            (name.clone(), topic_id, phase)
        }));
        let shared = Arc::new(Shared::new(core));
        // It ends when the consumer is closed, which dropping it does, too.
        tokio::spawn(Driver::new(cluster.clone(), shared.clone()).run());
        let group = config.group.clone().map(|group| {
            let (commands, receiver) = mpsc::unbounded_channel();
            let coordinator = Coordinator::new(cluster, shared.clone(), group);
            Group { commands, task: tokio::spawn(coordinator.run(receiver)) }
        });
        Ok(Self { reader: Reader::new(shared.clone()), shared, group })
    }

    /// The next record; `None` once the consumer is over.
    ///
    /// # Errors
    ///
    /// What went wrong since the last call. Unless it [is fatal](ConsumeError::is_fatal) more records follow.
    ///
    /// # Cancel safety
    ///
    /// Safe: a record is given out with the return of this call, or not at all.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// if let Some(record) = consumer.recv().await {
    ///     let record = record?;
    ///     println!("{} at {}", record.partition(), record.offset());
    ///     consumer.ack(&record);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn recv(&mut self) -> Option<Result<ConsumerRecord, ConsumeError>> {
        poll_fn(|cx| self.poll(cx, Reader::next_record)).await
    }

    /// The next batch of records, all of one partition; `None` once the consumer is over.
    ///
    /// # Errors
    ///
    /// What went wrong since the last call. Unless it [is fatal](ConsumeError::is_fatal) more records follow.
    ///
    /// # Cancel safety
    ///
    /// Safe: a batch is given out with the return of this call, or not at all.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// if let Some(records) = consumer.recv_batch().await {
    ///     let records = records?;
    ///     for record in &records {
    ///         println!("{:?}", record.value());
    ///     }
    ///     consumer.ack_batch(&records);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn recv_batch(&mut self) -> Option<Result<Records, ConsumeError>> {
        poll_fn(|cx| self.poll(cx, Reader::next_batch)).await
    }

    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        next: impl Fn(&mut Reader, Instant) -> Next<T>,
    ) -> Poll<Option<Result<T, ConsumeError>>> {
        let coop = ready!(coop::poll_proceed(cx));
        let now = clock::now();
        let mut came = next(&mut self.reader, now);
        if matches!(came, Next::Nothing) {
            // Something may have come before the waker was in place.
            self.shared.wait_for_records(cx.waker());
            came = next(&mut self.reader, now);
        }
        let ready = match came {
            Next::Nothing => return Poll::Pending,
            Next::Item(item) => Some(Ok(item)),
            Next::Error(error) => Some(Err(error)),
            Next::Closed => None,
        };
        coop.made_progress();
        Poll::Ready(ready)
    }

    /// The record was handled; see [`Acker::ack`].
    pub fn ack(&self, record: &ConsumerRecord) -> bool {
        self.acker().ack(record)
    }

    /// All records of the batch were handled; see [`Acker::ack`].
    pub fn ack_batch(&self, records: &Records) -> bool {
        self.acker().ack_batch(records)
    }

    /// A handle that acknowledges records from other tasks.
    pub fn acker(&self) -> Acker {
        Acker { shared: self.shared.clone() }
    }

    /// Commits what is finished, and returns when the group has it. It is tried for up to 30 s.
    ///
    /// # Errors
    ///
    /// [`CommitError`] when it could not be committed, or the partitions were taken away meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses the answer; the commit goes on.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// # let record = consumer.recv().await.ok_or("closed")??;
    /// consumer.ack(&record);
    /// consumer.commit().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn commit(&self) -> Result<(), CommitError> {
        let group = self.group.as_ref().ok_or(CommitError::NoGroup)?;
        let (answer, answered) = oneshot::channel();
        group.commands.send(Command::Commit(answer)).map_err(|_| CommitError::Closed)?;
        let give_up = || {
            let (api, last) = (crate::wire::ApiKey::OffsetCommit.name(), None);
            CommitError::Request(RequestError::TimedOut { api, after: COMMIT_WAIT, last })
        };
        match timeout(COMMIT_WAIT, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                Err(if self.shared.with(|core| core.is_closed()) { CommitError::Closed } else { give_up() })
            }
            Err(_) => Err(give_up()),
        }
    }

    /// Hands out nothing more, commits what is finished, leaves the group, and returns when that is done; after 10 s
    /// at the latest.
    ///
    /// # Errors
    ///
    /// [`CommitError`] when what was finished could not be committed; it will be given out again to whoever reads the
    /// partitions next. The consumer is closed all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the closing to the background.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// consumer.close().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn close(self) -> Result<(), CommitError> {
        self.close_within(CLOSE_WAIT).await
    }

    /// As [`close`](Self::close), with another limit.
    ///
    /// # Errors
    ///
    /// As for [`close`](Self::close).
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the closing to the background.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// consumer.close_within(std::time::Duration::from_secs(2)).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn close_within(mut self, within: Duration) -> Result<(), CommitError> {
        let group = self.group.take();
        let (answer, answered) = oneshot::channel();
        let is_told = group.as_ref().is_some_and(|group| {
            let asks = group.commands.send(Command::Commit(answer));
            asks.and(group.commands.send(Command::Close)).is_ok()
        });
        self.shared.with(core::Core::close);
        let Some(mut group) = group else { return Ok(()) };
        if !is_told {
            // The task has ended already, after an error that was reported.
            return Err(CommitError::Closed);
        }
        let ended = timeout(within, &mut group.task).await.is_ok();
        if !ended {
            group.task.abort();
        }
        match answered.await {
            Ok(outcome) => outcome,
            Err(_) => Err(CommitError::Closed),
        }
    }
}

impl Stream for Consumer {
    type Item = Result<ConsumerRecord, ConsumeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx, Reader::next_record)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // The tasks see it and end; the group's commits and leaves first, for a few seconds.
        self.shared.with(core::Core::close);
        if let Some(group) = &self.group {
            let _ended = group.commands.send(Command::Close);
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.shared.with(|core| core.config.clone());
        f.debug_struct("Consumer")
            .field("group", &config.group)
            .field("assignment", &self.assignment())
            .finish_non_exhaustive()
    }
}

const COMMIT_WAIT: Duration = Duration::from_secs(30);
const CLOSE_WAIT: Duration = Duration::from_secs(10);
