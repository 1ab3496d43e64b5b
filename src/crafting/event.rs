//! A whole event: an envelope and its typed body, checked against each other.

use uuid::Uuid;

use super::{
    codec,
    envelope::{Envelope, EnvelopeParts, Metadata, Tags},
    form::Borrowed,
    json::Out,
    timestamp::Timestamp,
    topic::Topic,
    values::{EventType, Source, Version},
};

/// What an event carries as `data`: one type for each topic.
///
/// It is implemented by [`SessionEvent`](super::SessionEvent) and [`ProgressUpdate`](super::ProgressUpdate), and by
/// nothing else.
pub trait Body: sealed::Data + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static {
    /// The same, borrowed from the JSON it was read from; see [`decode`](super::decode).
    type Ref<'a>: sealed::DataRef<'a, Owned = Self> + Clone + std::fmt::Debug + PartialEq + Send + Sync;

    /// The topic that carries it.
    const TOPIC: Topic;

    /// Its `event_type`.
    fn event_type(&self) -> EventType;

    /// The session it is about; its text is the record's key.
    fn session_id(&self) -> Uuid;
}

pub(crate) mod sealed {
    use uuid::Uuid;

    use crate::crafting::{
        json::{Node, ObjectWriter},
        values::EventType,
        violation::Violation,
    };

    /// How a body is read.
    pub trait ReadData<'a>: Sized {
        /// `None`: no body of this kind has that type.
        fn read(event_type: &EventType, data: Node<'a, '_>) -> Option<Result<Self, Violation>>;

        fn session(&self) -> Uuid;
    }

    /// How a borrowed one becomes an owned one.
    pub trait DataRef<'a>: ReadData<'a> {
        type Owned;

        fn into_owned(self) -> Self::Owned;
    }

    /// How it is written; out of reach, so that the contract has no other bodies.
    pub trait Data: for<'a> ReadData<'a> {
        fn write<'o>(&self, fields: ObjectWriter<'o>) -> ObjectWriter<'o>;
    }
}

/// An event as it is on its topic.
///
/// ```
/// use craftwire::crafting::{Envelope, Event, PauseReason, SessionEvent, SessionPause, Timestamp};
/// use uuid::Uuid;
///
/// let session = Uuid::from_u128(7);
/// let envelope = Envelope::new(Uuid::from_u128(1), Timestamp::UNIX_EPOCH, "crafting.network".parse()?);
/// let event: Event<SessionEvent> = Event::new(envelope, SessionPause::new(session, PauseReason::PlayerAfk).into());
/// assert_eq!(event.envelope().session_id(), Some(session));
/// assert!(event.to_json().starts_with(br#"{"event_id":"00000000-0000-0000-0000-000000000001","#));
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Event<B> {
    envelope: Envelope,
    body: B,
}

impl<B: Body> Event<B> {
    /// Puts a body into an envelope, which names the body's session from then on.
    pub fn new(mut envelope: Envelope, body: B) -> Self {
        envelope.name_session(Some(body.session_id()));
        Self { envelope, body }
    }

    /// An event whose envelope was read and names the body's session or none.
    pub(crate) fn as_read(envelope: Envelope, body: B) -> Self {
        debug_assert!(envelope.session_id().is_none_or(|id| id == body.session_id()));
        Self { envelope, body }
    }

    /// What is around the body.
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// What happened.
    pub const fn body(&self) -> &B {
        &self.body
    }

    pub(crate) fn parts(&self) -> EventParts<'_, B> {
        EventParts { envelope: self.envelope.parts(), body: &self.body }
    }

    /// Both, to keep.
    pub fn into_parts(self) -> (Envelope, B) {
        (self.envelope, self.body)
    }

    /// What a reader deduplicates on.
    pub const fn event_id(&self) -> Uuid {
        self.envelope.event_id
    }

    /// The session it is about.
    pub fn session_id(&self) -> Uuid {
        self.body.session_id()
    }

    /// The body's `event_type`.
    pub fn event_type(&self) -> EventType {
        self.body.event_type()
    }

    /// Appends the event's JSON; see [`encode`](super::encode).
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::encode(self, out);
    }

    /// The event's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        self.encode(&mut json);
        json
    }
}

/// An event that borrows from the JSON it was read from; see [`decode`](super::decode).
#[derive(Debug, Clone, PartialEq)]
pub struct EventRef<'a, B: Body> {
    envelope: Envelope<Borrowed<'a>>,
    body: B::Ref<'a>,
}

impl<'a, B: Body> EventRef<'a, B> {
    pub(crate) const fn as_read(envelope: Envelope<Borrowed<'a>>, body: B::Ref<'a>) -> Self {
        Self { envelope, body }
    }

    /// What is around the body.
    pub const fn envelope(&self) -> &Envelope<Borrowed<'a>> {
        &self.envelope
    }

    /// What happened.
    pub const fn body(&self) -> &B::Ref<'a> {
        &self.body
    }

    /// What a reader deduplicates on.
    pub const fn event_id(&self) -> Uuid {
        self.envelope.event_id
    }

    /// The session it is about.
    pub fn session_id(&self) -> Uuid {
        sealed::ReadData::session(&self.body)
    }

    /// The event as a value of its own, to keep longer than its JSON.
    pub fn into_owned(self) -> Event<B> {
        Event::as_read(self.envelope.into_owned(), sealed::DataRef::into_owned(self.body))
    }
}

/// An event as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventParts<'e, B> {
    pub(crate) envelope: EnvelopeParts<'e>,
    pub(crate) body: &'e B,
}

impl<B: Body> EventParts<'_, B> {
    /// Writes the event's JSON; see [`encode`](super::encode).
    pub(crate) fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        self.envelope.write(&self.body.event_type(), |fields| self.body.write(fields), out)
    }
}

/// An event on its way to a publisher, which fills in what is left open: the id, the time and the source.
///
/// A body turns into one with everything left open, so a publisher takes both.
///
/// ```
/// use craftwire::crafting::{EventDraft, Percent, ProgressUpdate, Status, Timestamp};
/// use uuid::Uuid;
///
/// let update = ProgressUpdate::new(Uuid::from_u128(7), Percent::new(42)?, Status::Active);
/// let draft = EventDraft::new(update).with_correlation_id(Uuid::from_u128(8));
/// let event = draft.stamp(&"crafting.network".parse()?, Uuid::from_u128(1), Timestamp::UNIX_EPOCH);
/// assert_eq!(event.event_id(), Uuid::from_u128(1));
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EventDraft<B> {
    event_id: Option<Uuid>,
    timestamp: Option<Timestamp>,
    source: Option<Source>,
    correlation_id: Option<Uuid>,
    player_id: Option<Uuid>,
    game_id: Option<Uuid>,
    trace_id: Option<String>,
    tags: Tags,
    metadata: Option<Metadata>,
    body: B,
}

impl<B: Body> EventDraft<B> {
    /// A body with everything around it left open.
    pub const fn new(body: B) -> Self {
        Self {
            event_id: None,
            timestamp: None,
            source: None,
            correlation_id: None,
            player_id: None,
            game_id: None,
            trace_id: None,
            tags: Tags::NONE,
            metadata: None,
            body,
        }
    }

    /// Sets `event_id`; otherwise the publisher makes one (version 7).
    #[must_use]
    pub const fn with_event_id(mut self, id: Uuid) -> Self {
        self.event_id = Some(id);
        self
    }

    /// Sets `timestamp`; otherwise it is the time of publishing.
    #[must_use]
    pub const fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Sets `source`; otherwise it is the publisher's.
    #[must_use]
    pub fn with_source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets `correlation_id`.
    #[must_use]
    pub const fn with_correlation_id(mut self, id: Uuid) -> Self {
        self.correlation_id = Some(id);
        self
    }

    /// Sets the envelope's `player_id`.
    #[must_use]
    pub const fn with_player_id(mut self, id: Uuid) -> Self {
        self.player_id = Some(id);
        self
    }

    /// Sets `game_id`.
    #[must_use]
    pub const fn with_game_id(mut self, id: Uuid) -> Self {
        self.game_id = Some(id);
        self
    }

    /// Sets `trace_id`.
    #[must_use]
    pub fn with_trace_id(mut self, id: impl Into<String>) -> Self {
        self.trace_id = Some(id.into());
        self
    }

    /// Sets `tags`.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// Sets `metadata`.
    #[must_use]
    pub const fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// What happened.
    pub const fn body(&self) -> &B {
        &self.body
    }

    /// The id, if it is not left open.
    pub(crate) const fn event_id(&self) -> Option<Uuid> {
        self.event_id
    }

    /// What [`stamp`](Self::stamp) gives, as it is written.
    pub(crate) fn parts<'e>(
        &'e self,
        source: &'e Source,
        event_id: Uuid,
        now: Timestamp,
    ) -> EventParts<'e, B> {
        let envelope = EnvelopeParts {
            event_id: self.event_id.unwrap_or(event_id),
            timestamp: self.timestamp.unwrap_or(now),
            version: Version::CURRENT,
            source: self.source.as_ref().unwrap_or(source),
            correlation_id: self.correlation_id.as_ref(),
            session_id: Some(self.body.session_id()),
            player_id: self.player_id.as_ref(),
            game_id: self.game_id.as_ref(),
            trace_id: self.trace_id.as_deref(),
            tags: &self.tags,
            metadata: self.metadata.as_ref(),
        };
        EventParts { envelope, body: &self.body }
    }

    /// The finished event: what was left open is taken from the arguments.
    pub fn stamp(self, source: &Source, event_id: Uuid, now: Timestamp) -> Event<B> {
        let mut envelope = Envelope::new(
            self.event_id.unwrap_or(event_id),
            self.timestamp.unwrap_or(now),
            self.source.unwrap_or_else(|| source.clone()),
        );
        envelope.correlation_id = self.correlation_id;
        envelope.player_id = self.player_id;
        envelope.game_id = self.game_id;
        envelope.trace_id = self.trace_id;
        envelope.tags = self.tags;
        envelope.metadata = self.metadata;
        Event::new(envelope, self.body)
    }
}

impl<B: Body> From<B> for EventDraft<B> {
    fn from(body: B) -> Self {
        Self::new(body)
    }
}
