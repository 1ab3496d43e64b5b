//! Task: what hands records to the client: raw payloads to a producer, or crafting events to a publisher.

use craftwire::{
    Producer, ProducerRecord,
    crafting::{
        Body, Crafting, EventDraft, ProgressUpdate, PublishError, Publisher, Receipt, SessionEvent,
        SubscriberBuilder, Topic,
    },
    producer::{Delivery, ProducerBuilder, Profile, SendError},
};
use serde_json::{Value, json};
use std::{error::Error, sync::Arc, time::Duration};
use uuid::Uuid;

use super::{
    args::{LoadArgs, Place, ProfileName, Shared},
    payloads::{self, Payload},
};
use crate::exit::{Exit, Failure};

/// Hands records over, the payloads in turn.
pub(crate) trait Load: Send + Sync + 'static {
    type Answer: Answer;
    type Error: Error + Send;

    /// How many payloads there are.
    fn len(&self) -> usize;

    /// Hands payload `number` over, waiting for room; `due_ns` is written into it.
    fn send(
        &self,
        number: usize,
        due_ns: Option<u64>,
    ) -> impl Future<Output = Result<Self::Answer, Self::Error>> + Send;

    /// Waits until everything has its outcome.
    fn flush(&self) -> impl Future<Output = ()> + Send;

    /// How many requests have gone out.
    fn requests(&self) -> u64;

    /// Ends.
    fn close(&self, within: Duration) -> impl Future<Output = ()> + Send;
}

/// What tells what became of a record.
pub(crate) trait Answer: Send + 'static {
    type Error: Error + Send;

    /// `None` as long as it is not known.
    fn outcome(&self) -> Option<Result<(), Self::Error>>;
}

/// The producer's settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    profile: ProfileName,
    compression: craftwire::Compression,
    gap: Option<Duration>,
    batch_bytes: Option<usize>,
}

impl Settings {
    pub(crate) fn new(load: &LoadArgs, shared: &Shared, profile: ProfileName) -> Self {
        let profile = shared.profile.unwrap_or(profile);
        let batch_bytes = load.batch_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        Self { profile, compression: load.compression, gap: load.gap(), batch_bytes }
    }

    fn apply(self, builder: ProducerBuilder) -> ProducerBuilder {
        let builder = builder.profile(Profile::from(self.profile)).compression(self.compression);
        let builder = self.gap.into_iter().fold(builder, ProducerBuilder::request_gap);
        self.batch_bytes.into_iter().fold(builder, ProducerBuilder::batch_bytes)
    }

    /// As the report shows them.
    pub(crate) fn json(self, shared: &Shared) -> Value {
        json!({
            "acks": "all",
            "idempotent": true,
            "profile": self.profile.name(),
            "compression": self.compression.to_string(),
            "request_gap_ms": self.gap.map_or_else(|| json!("the profile's"), |gap| json!(gap.as_millis())),
            "batch_bytes": self.batch_bytes.map_or_else(|| json!("the profile's"), |bytes| json!(bytes)),
            "typed": shared.typed,
        })
    }
}

/// Raw payloads with their keys.
#[derive(Debug)]
pub(crate) struct Raw {
    producer: Producer,
    topic: Arc<str>,
    payloads: Vec<Payload>,
}

impl Raw {
    pub(crate) async fn start(
        crafting: &Crafting,
        place: &Place,
        payloads: Vec<Payload>,
        settings: Settings,
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn Error| Failure::because(Exit::Failed, "publishing", error);
        let builder = settings.apply(crafting.client().producer());
        let producer = builder.build().await.map_err(|error| failed(&error))?;
        producer.prepare(&place.topic).await.map_err(|error| failed(&error))?;
        Ok(Self { producer, topic: place.topic.as_str().into(), payloads })
    }
}

impl Load for Raw {
    type Answer = Delivery;
    type Error = SendError;

    fn len(&self) -> usize {
        self.payloads.len()
    }

    async fn send(&self, number: usize, due_ns: Option<u64>) -> Result<Delivery, SendError> {
        let Payload { key, value } = &self.payloads[number];
        let value = match due_ns {
            Some(due_ns) => payloads::stamped(value, due_ns).into(),
            None => value.clone(),
        };
        self.producer.send(ProducerRecord::new(self.topic.clone(), value).key(key.clone())).await
    }

    async fn flush(&self) {
        self.producer.flush().await;
    }

    fn requests(&self) -> u64 {
        self.producer.metrics().requests
    }

    async fn close(&self, within: Duration) {
        self.producer.close(within).await;
    }
}

impl Answer for Delivery {
    type Error = craftwire::producer::DeliveryError;

    fn outcome(&self) -> Option<Result<(), Self::Error>> {
        Self::outcome(self).map(|outcome| outcome.map(drop))
    }
}

/// Crafting events of one topic.
#[derive(Debug)]
pub(crate) struct Typed<B> {
    publisher: Publisher,
    bodies: Vec<B>,
}

impl<B: Measured> Typed<B> {
    pub(crate) async fn start(
        crafting: &Crafting,
        payloads: &[Payload],
        settings: Settings,
    ) -> Result<Self, Failure> {
        let bodies = payloads::bodies(payloads)?;
        let limit = B::TOPIC.max_message_bytes();
        let builder = crafting
            .publisher("craftwire.perf")
            .producer(B::TOPIC, |producer| settings.apply(producer).max_message_bytes(limit));
        let publisher = builder.build().await;
        let publisher = publisher.map_err(|error| Failure::because(Exit::Failed, "publishing", &error))?;
        Ok(Self { publisher, bodies })
    }
}

impl<B: Measured> Load for Typed<B> {
    type Answer = Receipt;
    type Error = PublishError;

    fn len(&self) -> usize {
        self.bodies.len()
    }

    async fn send(&self, number: usize, due_ns: Option<u64>) -> Result<Receipt, PublishError> {
        let mut draft = EventDraft::new(self.bodies[number].clone());
        if let Some(due_ns) = due_ns {
            draft = draft.with_event_id(id_of(due_ns));
        }
        B::enqueue(&self.publisher, draft).await
    }

    async fn flush(&self) {
        self.publisher.flush().await;
    }

    fn requests(&self) -> u64 {
        let metrics = self.publisher.metrics();
        metrics.events.requests + metrics.progress.requests
    }

    async fn close(&self, within: Duration) {
        self.publisher.close(within).await;
    }
}

impl Answer for Receipt {
    type Error = PublishError;

    fn outcome(&self) -> Option<Result<(), PublishError>> {
        Self::outcome(self).map(|outcome| outcome.map(drop))
    }
}

/// A body that is measured: how it goes to its topic, and how it is read.
pub(crate) trait Measured: Body {
    fn enqueue(
        publisher: &Publisher,
        draft: EventDraft<Self>,
    ) -> impl Future<Output = Result<Receipt, PublishError>> + Send;

    fn subscriber(crafting: &Crafting) -> SubscriberBuilder<Self>;
}

impl Measured for SessionEvent {
    async fn enqueue(publisher: &Publisher, draft: EventDraft<Self>) -> Result<Receipt, PublishError> {
        publisher.enqueue(draft).await
    }

    fn subscriber(crafting: &Crafting) -> SubscriberBuilder<Self> {
        crafting.session_events()
    }
}

impl Measured for ProgressUpdate {
    async fn enqueue(publisher: &Publisher, draft: EventDraft<Self>) -> Result<Receipt, PublishError> {
        publisher.enqueue_progress(draft).await
    }

    fn subscriber(crafting: &Crafting) -> SubscriberBuilder<Self> {
        crafting.progress()
    }
}

/// The topic whose events these are, by the first.
pub(crate) fn topic_of(payloads: &[Payload]) -> Topic {
    let is_event = payloads
        .first()
        .is_some_and(|payload| payloads::bodies::<SessionEvent>(std::slice::from_ref(payload)).is_ok());
    if is_event { Topic::Events } else { Topic::Progress }
}

/// A version 7 id whose last 62 bits are the due time.
fn id_of(due_ns: u64) -> Uuid {
    let (time, _) = Uuid::now_v7().as_u64_pair();
    Uuid::from_u64_pair(time, VARIANT | (due_ns & !VARIANT_MASK))
}

/// The due time of an event that [`Typed`] sent.
pub(crate) fn due_ns_of(id: Uuid) -> u64 {
    id.as_u64_pair().1 & !VARIANT_MASK
}

/// The two bits of RFC 9562's variant.
const VARIANT: u64 = 0b10 << 62;
const VARIANT_MASK: u64 = 0b11 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_due_time_travels_in_a_valid_id() {
        let id = id_of(1_795_464_960_000_000_123);
        assert_eq!(due_ns_of(id), 1_795_464_960_000_000_123);
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
    }
}
