//! Task: typed events onto their topics.
//!
//! The key is the session's id as 36 lower-case bytes, so a session's events stay in order. Every record has the
//! headers `content-type`, `event_type` and `event_id`, so that routers and tools need not read the body. The record's
//! timestamp is the time of publishing, never the envelope's, which may be old or wrong.

use super::{
    Names,
    codec::parse,
    event::EventDraft,
    progress::ProgressUpdate,
    publish_error::{OfferError, PublishError, PublisherError},
    session::SessionEvent,
    topic::Topic,
    topic_lane::{Head, Stamp, TopicLane},
    values::Source,
};
use crate::{
    client::{Client, wall_clock_ms},
    producer::{Ack, CloseReport, Delivery, DeliveryError, ProducerBuilder, ProducerMetrics, Profile},
};
use bytes::Bytes;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use uuid::Uuid;

/// Settings for a [`Publisher`].
#[derive(Debug, Clone)]
#[must_use = "a builder makes nothing before `build`"]
pub struct PublisherBuilder {
    names: Names,
    source: String,
    events: ProducerBuilder,
    progress: ProducerBuilder,
}

impl PublisherBuilder {
    pub(super) fn new(client: &Client, names: Names, source: &str) -> Self {
        let producer = |topic: Topic, profile| {
            let builder = client.producer().profile(profile);
            builder.compression(topic.compression()).max_message_bytes(topic.max_message_bytes())
        };
        Self {
            names,
            source: source.to_owned(),
            events: producer(Topic::Events, Profile::Durable),
            progress: producer(Topic::Progress, Profile::Realtime),
        }
    }

    /// The memory for each topic's events that have no outcome yet. Default: the producer's, 32 MiB.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.events = self.events.buffer_bytes(bytes);
        self.progress = self.progress.buffer_bytes(bytes);
        self
    }

    /// How long an event may be without an outcome. Default: the producer's, 120 s.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.events = self.events.delivery_timeout(timeout);
        self.progress = self.progress.delivery_timeout(timeout);
        self
    }

    /// Changes the settings of a topic's producer. Another profile takes all settings anew, the topic's compression and
    /// limit too.
    pub fn producer(mut self, topic: Topic, change: impl FnOnce(ProducerBuilder) -> ProducerBuilder) -> Self {
        match topic {
            Topic::Events => self.events = change(self.events),
            Topic::Progress => self.progress = change(self.progress),
        }
        self
    }

    /// Starts the two producers and learns the topics' partitions, so that the first event need not wait for it.
    ///
    /// # Errors
    ///
    /// [`PublisherError`] when the source's name cannot be used, a producer does not start, or a topic does not
    /// exist.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future closes what was opened.
    pub async fn build(self) -> Result<Publisher, PublisherError> {
        let source: Source = self.source.parse().map_err(PublisherError::Source)?;
        let events = TopicLane::start(Topic::Events, self.events, &self.names).await?;
        let progress = TopicLane::start(Topic::Progress, self.progress, &self.names).await?;
        let inner = Inner { source, events, progress, offers_refused: AtomicU64::new(0) };
        Ok(Publisher(Arc::new(inner)))
    }
}

/// Publishes typed events to the two topics. Cheap to clone.
///
/// Session events go out with the profile `Durable`, progress updates with `Realtime`; both are written once and
/// acknowledged by all in-sync replicas.
#[derive(Debug, Clone)]
pub struct Publisher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    events: TopicLane,
    progress: TopicLane,
    offers_refused: AtomicU64,
}

/// Where an event was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The event's id.
    pub event_id: Uuid,
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// The offset; `None` if the broker says that it had the event already but no longer knows where.
    pub offset: Option<i64>,
    /// The record's timestamp, in milliseconds since 1970; `None` if the event had to be sent again and the broker's answer
    /// leaves it open.
    pub timestamp_ms: Option<i64>,
}

/// The broker's answer to an event that was taken. Dropping it changes nothing for the event.
///
/// # Cancel safety
///
/// Safe: it may be polled again, from any task, until it is ready.
#[derive(Debug)]
#[must_use = "dropping a receipt is fine, but then nobody learns whether the event was written"]
pub struct Receipt {
    pub(super) event_id: Uuid,
    pub(super) topic: Topic,
    pub(super) delivery: Delivery,
}

impl Receipt {
    /// The event's id.
    pub const fn event_id(&self) -> Uuid {
        self.event_id
    }

    /// The outcome, if there is one yet.
    pub fn outcome(&self) -> Option<Result<Published, PublishError>> {
        self.delivery.outcome().map(|answer| self.read(answer))
    }

    fn read(&self, answer: Result<Ack, DeliveryError>) -> Result<Published, PublishError> {
        answer.map(|ack| self.published(ack)).map_err(PublishError::Delivery)
    }

    fn published(&self, ack: Ack) -> Published {
        Published {
            event_id: self.event_id,
            topic: self.topic,
            partition: ack.partition,
            offset: ack.offset,
            timestamp_ms: ack.timestamp_ms,
        }
    }
}

impl Future for Receipt {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.delivery).poll(cx));
        Poll::Ready(self.read(answer))
    }
}

/// What the two producers counted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PublisherMetrics {
    /// The producer of session events.
    pub events: ProducerMetrics,
    /// The producer of progress updates.
    pub progress: ProducerMetrics,
    /// Updates that were offered and not taken.
    pub offers_refused: u64,
}

/// What became of the events of a publisher that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublisherCloseReport {
    /// Session events.
    pub events: CloseReport,
    /// Progress updates.
    pub progress: CloseReport,
}

impl Publisher {
    /// Publishes a session event and waits for the broker's answer.
    ///
    /// What the draft leaves open is filled in: the id (version 7), the time, the source.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; its [`DeliveryError`](crate::producer::DeliveryError) tells whether the event was surely not written.
    ///
    /// # Cancel safety
    ///
    /// Once the event was taken, dropping the future loses the answer, never the event.
    pub async fn publish(
        &self,
        draft: impl Into<EventDraft<SessionEvent>>,
    ) -> Result<Published, PublishError> {
        self.enqueue(draft).await?.await
    }

    /// Hands a session event over, waiting for room, and returns the receipt whose own await is the broker's answer.
    ///
    /// # Errors
    ///
    /// [`PublishError::Invalid`] or [`PublishError::Send`]; nothing was sent then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while it waits for room sends nothing.
    pub async fn enqueue(&self, draft: impl Into<EventDraft<SessionEvent>>) -> Result<Receipt, PublishError> {
        let draft = draft.into();
        let stamp = Stamp::new(draft.event_id());
        self.0.events.send(&draft.parts(&self.0.source, stamp.event_id, stamp.timestamp), stamp.now_ms).await
    }

    /// Publishes a progress update and waits for the broker's answer.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    pub async fn publish_progress(
        &self,
        draft: impl Into<EventDraft<ProgressUpdate>>,
    ) -> Result<Published, PublishError> {
        self.enqueue_progress(draft).await?.await
    }

    /// Hands a progress update over, waiting for room, and returns the receipt whose own await is the broker's answer.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue).
    ///
    /// # Cancel safety
    ///
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_progress(
        &self,
        draft: impl Into<EventDraft<ProgressUpdate>>,
    ) -> Result<Receipt, PublishError> {
        let draft = draft.into();
        let stamp = Stamp::new(draft.event_id());
        self.0
            .progress
            .send(&draft.parts(&self.0.source, stamp.event_id, stamp.timestamp), stamp.now_ms)
            .await
    }

    /// Hands a progress update over if there is room now, and forgets about it: an update that is late is of no use,
    /// and the next one is on its way. What is not taken, and what is taken and not delivered, is counted.
    ///
    /// # Errors
    ///
    /// [`OfferError`] gives the update back when there is no room, or it breaks a rule.
    pub fn offer(&self, draft: impl Into<EventDraft<ProgressUpdate>>) -> Result<(), OfferError> {
        let draft = draft.into();
        let Stamp { event_id, timestamp, now_ms } = Stamp::new(draft.event_id());
        let event = draft.parts(&self.0.source, event_id, timestamp);
        let cause = match self.0.progress.try_send(&event, now_ms) {
            Ok(_receipt_is_of_no_use) => return Ok(()),
            Err(cause) => cause,
        };
        self.0.offers_refused.fetch_add(1, Ordering::Relaxed);
        let event = Box::new(draft.stamp(&self.0.source, event_id, timestamp));
        Err(OfferError { event, cause })
    }

    /// Publishes an event's own JSON, byte for byte, so that fields and types that this version does not know survive.
    /// It is checked against the contract first.
    ///
    /// # Errors
    ///
    /// [`PublishError::Invalid`] names path, rule and value of what is wrong.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while it waits for room sends nothing.
    pub async fn enqueue_json(&self, topic: Topic, json: Bytes) -> Result<Receipt, PublishError> {
        let (lane, head) = match topic {
            Topic::Events => (&self.0.events, Head::of_json(parse::<SessionEvent>(json.clone()))),
            Topic::Progress => (&self.0.progress, Head::of_json(parse::<ProgressUpdate>(json.clone()))),
        };
        lane.send_json(&head.map_err(PublishError::Invalid)?, &json, wall_clock_ms()).await
    }

    /// Waits until everything that was taken before has its outcome.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn flush(&self) {
        self.0.events.producer.flush().await;
        self.0.progress.producer.flush().await;
    }

    /// Takes nothing more, waits for the outcomes of what was taken, for `timeout` at the most, and closes the
    /// connections. Every event has an outcome then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the publisher closed for new events; call it again to wait.
    pub async fn close(&self, timeout: Duration) -> PublisherCloseReport {
        let (events, progress) =
            tokio::join!(self.0.events.producer.close(timeout), self.0.progress.producer.close(timeout));
        PublisherCloseReport { events, progress }
    }

    /// What was counted so far.
    pub fn metrics(&self) -> PublisherMetrics {
        PublisherMetrics {
            events: self.0.events.producer.metrics(),
            progress: self.0.progress.producer.metrics(),
            offers_refused: self.0.offers_refused.load(Ordering::Relaxed),
        }
    }
}
