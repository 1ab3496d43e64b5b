//! Task: one topic's producer, which takes typed events.
//!
//! An event is encoded into memory that each thread keeps, before anything may wait, and copied from there into the
//! batch. So it takes no memory of its own, unless there is no room and it has to wait.

use super::{
    Names,
    codec::Parsed,
    event::{Body, EventParts},
    event_ids::EventIds,
    json::{self, UUID_BYTES},
    publish_error::{OfferCause, PublishError, PublisherError},
    publisher::Receipt,
    timestamp::Timestamp,
    topic::Topic,
    values::EventType,
    violation::Violation,
};
use crate::{
    client::wall_clock_ms,
    producer::{Producer, ProducerBuilder, RecordParts, TopicHandle, TrySendCause},
};
use std::cell::RefCell;
use tokio::task::coop::consume_budget;
use uuid::Uuid;

/// A topic and the producer of its own, so that large session events never hold up progress.
#[derive(Debug)]
pub(super) struct TopicLane {
    pub(super) topic: Topic,
    pub(super) producer: Producer,
    handle: TopicHandle,
}

impl TopicLane {
    pub(super) async fn start(
        topic: Topic,
        builder: ProducerBuilder,
        names: &Names,
    ) -> Result<Self, PublisherError> {
        let producer = builder.build().await.map_err(|source| PublisherError::Start { topic, source })?;
        let handle = producer
            .topic(&names.topic(topic))
            .await
            .map_err(|source| PublisherError::Topic { topic, source })?;
        Ok(Self { topic, producer, handle })
    }

    /// Hands an event over if there is room.
    pub(super) fn try_send<B: Body>(
        &self,
        event: &EventParts<'_, B>,
        now_ms: i64,
    ) -> Result<Receipt, OfferCause> {
        KEPT.with_borrow_mut(|kept| {
            let json = json::write_into(&mut kept.scratch, |out| event.write(out));
            let sent = self.try_send_json(&Head::of_event(event), json, now_ms);
            if kept.scratch.len() > SCRATCH_BYTES_KEPT {
                kept.scratch = Vec::new();
            }
            sent
        })
    }

    /// Hands an event over, waiting for room.
    pub(super) async fn send<B: Body>(
        &self,
        event: &EventParts<'_, B>,
        now_ms: i64,
    ) -> Result<Receipt, PublishError> {
        // As the producer does it: whoever sends in a loop lets the connections have their turn.
        consume_budget().await;
        match self.try_send(event, now_ms) {
            Ok(receipt) => Ok(receipt),
            Err(OfferCause::Invalid(violation)) => Err(PublishError::Invalid(violation)),
            Err(OfferCause::Send(TrySendCause::Refused(cause))) => Err(PublishError::Send(cause)),
            // No room now: the event waits in memory of its own.
            Err(OfferCause::Send(_)) => {
                let mut json = Vec::new();
                json::append(&mut json, |out| event.write(out));
                self.send_json(&Head::of_event(event), &json, now_ms).await
            }
        }
    }

    /// Hands JSON over that is known to be an event, waiting for room.
    pub(super) async fn send_json(
        &self,
        head: &Head,
        json: &[u8],
        now_ms: i64,
    ) -> Result<Receipt, PublishError> {
        let headers = head.headers();
        let record = self.record(head, json, &headers, now_ms).map_err(PublishError::Invalid)?;
        let delivery =
            self.producer.send_parts(&self.handle, None, &record).await.map_err(PublishError::Send)?;
        Ok(Receipt { event_id: head.event_id, topic: self.topic, delivery })
    }

    fn try_send_json(&self, head: &Head, json: &[u8], now_ms: i64) -> Result<Receipt, OfferCause> {
        let headers = head.headers();
        let record = self.record(head, json, &headers, now_ms).map_err(OfferCause::Invalid)?;
        let delivery = self.producer.try_send_parts(&self.handle, None, &record).map_err(OfferCause::Send)?;
        Ok(Receipt { event_id: head.event_id, topic: self.topic, delivery })
    }

    fn record<'a>(
        &self,
        head: &'a Head,
        json: &'a [u8],
        headers: &'a [(&'static str, Option<&'a [u8]>); 3],
        now_ms: i64,
    ) -> Result<RecordParts<'a>, Violation> {
        let lens = headers.map(|(key, value)| (key.len(), value.unwrap_or_default().len()));
        self.topic.check_size(UUID_BYTES, json.len(), &lens)?;
        Ok(RecordParts { key: Some(&head.key), value: Some(json), headers, timestamp_ms: now_ms })
    }
}

/// What publishing fills in.
#[derive(Debug)]
pub(super) struct Stamp {
    pub(super) event_id: Uuid,
    pub(super) timestamp: Timestamp,
    pub(super) now_ms: i64,
}

impl Stamp {
    /// Of now, with an id of its own unless one is given.
    pub(super) fn new(event_id: Option<Uuid>) -> Self {
        let now_ms = wall_clock_ms();
        let event_id = event_id
            .unwrap_or_else(|| KEPT.with_borrow_mut(|kept| kept.event_ids.next(now_ms, Uuid::new_v4)));
        // The clock is within the years that a timestamp holds.
        let timestamp = Timestamp::from_unix_millis(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { event_id, timestamp, now_ms }
    }
}

/// What stands beside the JSON in a record.
pub(super) struct Head {
    event_id: Uuid,
    event_id_text: [u8; UUID_BYTES],
    key: [u8; UUID_BYTES],
    event_type: EventType,
}

impl Head {
    fn new(event_id: Uuid, session_id: Uuid, event_type: EventType) -> Self {
        Self {
            event_id,
            event_id_text: json::uuid_text(event_id),
            key: json::uuid_text(session_id),
            event_type,
        }
    }

    fn of_event<B: Body>(event: &EventParts<'_, B>) -> Self {
        Self::new(event.envelope.event_id, event.body.session_id(), event.body.event_type())
    }

    pub(super) fn of_json<B: Body>(parsed: Parsed<B>) -> Result<Self, Violation> {
        match parsed {
            Parsed::Event(event) => Ok(Self::of_event(&event.parts())),
            Parsed::Unknown(unknown) => {
                Ok(Self::new(unknown.envelope.event_id, unknown.key()?, unknown.event_type))
            }
            Parsed::Malformed(malformed) => Err(malformed.violation),
        }
    }

    fn headers(&self) -> [(&'static str, Option<&[u8]>); 3] {
        [
            ("content-type", Some(b"application/json")),
            ("event_type", Some(self.event_type.as_str().as_bytes())),
            ("event_id", Some(&self.event_id_text)),
        ]
    }
}

/// What a thread keeps from one event to the next.
struct Kept {
    scratch: Vec<u8>,
    event_ids: EventIds,
}

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept { scratch: Vec::new(), event_ids: EventIds::new() }) };
}

/// A thread keeps this much of its scratch memory; one large event does not hold more for good.
const SCRATCH_BYTES_KEPT: usize = 64 * 1024;
