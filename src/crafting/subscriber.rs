//! Task: a topic's events as a typed stream, each acknowledged by whoever handled it.
//!
//! What is committed is the prefix of a partition's events that were all acknowledged. So an event that nobody
//! acknowledges comes again, and holds back what came after it: that is at-least-once, and it is said aloud.

use super::{
    codec::{Parsed, parse},
    event::Body,
    topic::Topic,
};
use crate::{
    client::Client,
    consumer::{
        Acker, CommitError, ConsumeError, Consumer, ConsumerBuilder, ConsumerRecord, Events, Records,
        StartFrom, TopicPartition,
    },
};
use futures_core::Stream;
use std::{
    future::poll_fn,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Settings for a [`Subscriber`].
#[derive(Debug, Clone)]
#[must_use = "a builder makes nothing before `build`"]
pub struct SubscriberBuilder<B> {
    consumer: ConsumerBuilder,
    topic: String,
    group: Option<String>,
    start_from: StartFrom,
    body: PhantomData<fn() -> B>,
}

impl<B: Body> SubscriberBuilder<B> {
    pub(super) fn new(client: &Client, topic: String, group: String) -> Self {
        let start_from = match B::TOPIC {
            Topic::Events => StartFrom::Earliest,
            Topic::Progress => StartFrom::Latest,
        };
        let contract = B::TOPIC.group();
        let consumer = client
            .consumer()
            .classic_session_timeout(contract.session_timeout())
            .heartbeat_interval(contract.heartbeat_interval());
        Self { consumer, topic, group: Some(group), start_from, body: PhantomData }
    }

    /// Reads as a member of this group. Default: the topic's group of the contract.
    pub fn group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// Reads all partitions, as no member of any group. Nothing is committed.
    pub fn without_group(mut self) -> Self {
        self.group = None;
        self
    }

    /// Where to start when the group has committed nothing, or what it committed is gone, or there is no group.
    /// Default: session events from the earliest, progress updates from the latest.
    pub const fn start_from(mut self, start: StartFrom) -> Self {
        self.start_from = start;
        self
    }

    /// Changes the settings of the consumer underneath.
    pub fn consumer(mut self, change: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder) -> Self {
        self.consumer = change(self.consumer);
        self
    }

    /// Starts reading.
    ///
    /// # Errors
    ///
    /// As [`ConsumerBuilder::build`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future closes what was opened.
    pub async fn build(self) -> Result<Subscriber<B>, ConsumeError> {
        let mut builder = self.consumer.topics([self.topic]).start_from(self.start_from);
        let commits = self.group.is_some();
        if let Some(group) = self.group {
            builder = builder.group(group);
        }
        let consumer = builder.build().await?;
        Ok(Subscriber { acker: consumer.acker(), consumer, commits, body: PhantomData })
    }
}

/// A stream of a topic's events.
#[derive(Debug)]
pub struct Subscriber<B> {
    consumer: Consumer,
    acker: Acker,
    /// Whether there is a group, so that acknowledging matters.
    commits: bool,
    body: PhantomData<fn() -> B>,
}

impl<B: Body> Subscriber<B> {
    /// The next event, `None` once the subscriber is closed.
    ///
    /// # Errors
    ///
    /// [`ConsumeError`]; unless it is fatal the stream goes on. An event that cannot be understood is no error: it is
    /// [`Parsed::Unknown`] or [`Parsed::Malformed`].
    ///
    /// # Cancel safety
    ///
    /// Safe: no event is lost by dropping the future.
    pub async fn recv(&mut self) -> Option<Result<Delivered<B>, ConsumeError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next batch of records, all of one partition, to be read by [`decode`](super::decode) without an allocation for
    /// each event; `None` once the subscriber is closed. It is acknowledged by [`ack_batch`](Self::ack_batch).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Safe: a batch is given out with the return of this call, or not at all.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use craftwire::crafting::{Crafting, ProgressUpdate, Topic, decode};
    ///
    /// # let mock = craftwire::mock::MockCluster::builder().topic(Topic::Progress.name(), 24).start()?;
    /// # mock.append(Topic::Progress.name(), 0, None, Some(b"{}"))?;
    /// let crafting = Crafting::connect(&mock.bootstrap()).await?;
    /// # let from = craftwire::consumer::StartFrom::Earliest;
    /// let mut progress = crafting.progress().start_from(from).build().await?;
    /// if let Some(records) = progress.recv_batch().await {
    ///     let records = records?;
    ///     for record in &records {
    ///         match decode::<ProgressUpdate>(record.value().unwrap_or_default()) {
    ///             Ok(update) => println!("{}: {}", update.session_id(), update.body().progress),
    ///             Err(other) => println!("{other}"),
    ///         }
    ///     }
    ///     progress.ack_batch(&records);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn recv_batch(&mut self) -> Option<Result<Records, ConsumeError>> {
        self.consumer.recv_batch().await
    }

    /// All events of the batch were handled; see [`Delivered::ack`].
    pub fn ack_batch(&self, records: &Records) -> bool {
        self.acker.ack_batch(records)
    }

    /// Commits what is acknowledged, now rather than at the next interval.
    ///
    /// # Errors
    ///
    /// [`CommitError`]; what was not committed comes again after a restart or a rebalance.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the commit happened.
    pub async fn commit(&self) -> Result<(), CommitError> {
        self.consumer.commit().await
    }

    /// What happens besides events, in order: partitions assigned, revoked, lost, reset, truncated.
    pub fn lifecycle(&self) -> Events {
        self.consumer.events()
    }

    /// The partitions that are read now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.consumer.assignment()
    }

    /// The consumer underneath.
    pub const fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Commits what is acknowledged, leaves the group and closes the connections, within `timeout`.
    ///
    /// # Errors
    ///
    /// [`CommitError`] when the last commit failed: those events come again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all the same, but may not tell the group.
    pub async fn close(self, timeout: Duration) -> Result<(), CommitError> {
        self.consumer.close_within(timeout).await
    }
}

impl<B: Body> Subscriber<B> {
    fn deliver(&self, record: ConsumerRecord) -> Delivered<B> {
        // A record without a value is no event: it is malformed like any other text that is not one.
        let parsed = parse(record.value_bytes().unwrap_or_default());
        Delivered { parsed, record, acker: self.acker.clone(), settled: !self.commits }
    }
}

impl<B: Body> Stream for Subscriber<B> {
    type Item = Result<Delivered<B>, ConsumeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(Pin::new(&mut self.consumer).poll_next(cx));
        Poll::Ready(next.map(|record| record.map(|record| self.deliver(record))))
    }
}

/// An event as it was delivered. It must be acknowledged; dropping it unacknowledged holds back the commit of its
/// partition, and it comes again.
#[derive(Debug)]
#[must_use = "an event that is not acknowledged comes again"]
pub struct Delivered<B> {
    parsed: Parsed<B>,
    record: ConsumerRecord,
    acker: Acker,
    /// Acknowledged, or of no group that would wait for it.
    settled: bool,
}

impl<B> Delivered<B> {
    /// What the record turned out to be.
    pub const fn parsed(&self) -> &Parsed<B> {
        &self.parsed
    }

    /// The record: its place, time, key, headers and bytes.
    pub const fn record(&self) -> &ConsumerRecord {
        &self.record
    }

    /// The event was handled: it need not come again. `false`: its partition was taken away meanwhile, and it may come
    /// again, here or at another member.
    pub fn ack(mut self) -> bool {
        self.settled = true;
        self.acker.ack(&self.record)
    }
}

impl<B> Drop for Delivered<B> {
    fn drop(&mut self) {
        if !self.settled {
            tracing::warn!(
                topic = %self.record.topic(),
                partition = self.record.partition(),
                offset = self.record.offset(),
                "an event was dropped without being acknowledged: the commits of its partition wait for it"
            );
        }
    }
}
