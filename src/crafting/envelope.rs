//! What every event has around its `data`: the envelope and its metadata.
//!
//! Invariant: an [`Envelope`] in an [`Event`](super::Event) names no session or the session of its body; only this
//! layer sets it.

use std::{borrow::Cow, ops::Deref};

use uuid::Uuid;

use super::{
    form::{Borrowed, Form, Owned, ReadForm},
    json::{self, Inside, Node, ObjectWriter, Out, ToJson, place},
    names::{PayloadCompression, Priority},
    timestamp::Timestamp,
    values::{EventType, RetryCount, SizeBytes, Source, Ttl, Version},
    violation::{InvalidValue, Rule, Violation},
};

/// Everything of an event but its type and its `data`.
///
/// ```
/// use craftwire::crafting::{Envelope, Metadata, Priority, Timestamp};
/// use uuid::Uuid;
///
/// let envelope = Envelope::new(Uuid::from_u128(1), Timestamp::UNIX_EPOCH, "crafting.network".parse()?)
///     .with_trace_id("4bf92f3577b34da6")
///     .with_metadata(Metadata { priority: Some(Priority::High), ..Metadata::default() });
/// assert_eq!(envelope.version.to_string(), "1.0.0");
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Envelope<F: Form = Owned> {
    /// Unique; what a reader deduplicates on.
    pub event_id: Uuid,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The contract's version it was written to.
    pub version: Version,
    /// Who sent it.
    pub source: F::Source,
    /// Ties the events of one request together.
    pub correlation_id: Option<Uuid>,
    /// Private, since it must be the body's.
    session_id: Option<Uuid>,
    /// The player it is about.
    pub player_id: Option<Uuid>,
    /// The game instance.
    pub game_id: Option<Uuid>,
    /// Distributed tracing.
    pub trace_id: Option<F::Text>,
    /// Free words, ten at most.
    pub tags: F::Tags,
    /// Hints for whoever handles it.
    pub metadata: Option<Metadata>,
}

impl Envelope {
    /// An envelope of the current version with the required fields. Nothing here reads a clock or makes an id.
    pub const fn new(event_id: Uuid, timestamp: Timestamp, source: Source) -> Self {
        Self {
            event_id,
            timestamp,
            version: Version::CURRENT,
            source,
            correlation_id: None,
            session_id: None,
            player_id: None,
            game_id: None,
            trace_id: None,
            tags: Tags::NONE,
            metadata: None,
        }
    }

    /// Sets `correlation_id`.
    #[must_use]
    pub const fn with_correlation_id(mut self, id: Uuid) -> Self {
        self.correlation_id = Some(id);
        self
    }

    /// Sets `player_id`.
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

    pub(crate) const fn name_session(&mut self, id: Option<Uuid>) {
        self.session_id = id;
    }

    pub(crate) fn parts(&self) -> EnvelopeParts<'_> {
        EnvelopeParts {
            event_id: self.event_id,
            timestamp: self.timestamp,
            version: self.version,
            source: &self.source,
            correlation_id: self.correlation_id.as_ref(),
            session_id: self.session_id,
            player_id: self.player_id.as_ref(),
            game_id: self.game_id.as_ref(),
            trace_id: self.trace_id.as_deref(),
            tags: &self.tags,
            metadata: self.metadata.as_ref(),
        }
    }
}

impl<F: Form> Envelope<F> {
    /// The session it names; an event may leave it to its `data`.
    pub const fn session_id(&self) -> Option<Uuid> {
        self.session_id
    }
}

impl Envelope<Borrowed<'_>> {
    /// The same as a value of its own.
    pub(crate) fn into_owned(self) -> Envelope {
        Envelope {
            event_id: self.event_id,
            timestamp: self.timestamp,
            version: self.version,
            source: Source::as_checked(&self.source),
            correlation_id: self.correlation_id,
            session_id: self.session_id,
            player_id: self.player_id,
            game_id: self.game_id,
            trace_id: self.trace_id.map(Cow::into_owned),
            tags: Tags(self.tags.iter().map(Cow::into_owned).collect()),
            metadata: self.metadata,
        }
    }
}

impl<'a, F: ReadForm<'a>> Envelope<F> {
    /// Reads the whole envelope; type and data come beside it, `data` unread.
    pub(crate) fn read<T>(
        root: Node<'a, '_>,
        finish: impl FnOnce(Self, EventType, Node<'a, '_>) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let mut inside = Inside::EMPTY;
        let (fields, inside) = json::object_with_inside(root, &FIELDS, place!(FIELDS, "data"), &mut inside)?;
        let envelope = Self {
            event_id: fields.required(place!(FIELDS, "event_id"), json::uuid)?,
            timestamp: fields.required(place!(FIELDS, "timestamp"), json::parsed)?,
            version: fields.required(place!(FIELDS, "version"), json::parsed)?,
            source: fields.required(place!(FIELDS, "source"), F::source)?,
            correlation_id: fields.optional(place!(FIELDS, "correlation_id"), json::uuid)?,
            session_id: fields.optional(place!(FIELDS, "session_id"), json::uuid)?,
            player_id: fields.optional(place!(FIELDS, "player_id"), json::uuid)?,
            game_id: fields.optional(place!(FIELDS, "game_id"), json::uuid)?,
            trace_id: fields.optional(place!(FIELDS, "trace_id"), F::text)?,
            tags: fields.optional(place!(FIELDS, "tags"), F::tags)?.unwrap_or_else(F::no_tags),
            metadata: fields.optional(place!(FIELDS, "metadata"), Metadata::read)?,
        };
        let event_type = fields.required(place!(FIELDS, "event_type"), json::parsed)?;
        fields.required_inside(place!(FIELDS, "data"), inside, |data| finish(envelope, event_type, data))
    }
}

/// An envelope as it is written. A draft has one too, once it is known what was left open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvelopeParts<'e> {
    pub(crate) event_id: Uuid,
    pub(crate) timestamp: Timestamp,
    pub(crate) version: Version,
    pub(crate) source: &'e Source,
    pub(crate) correlation_id: Option<&'e Uuid>,
    pub(crate) session_id: Option<Uuid>,
    pub(crate) player_id: Option<&'e Uuid>,
    pub(crate) game_id: Option<&'e Uuid>,
    pub(crate) trace_id: Option<&'e str>,
    pub(crate) tags: &'e [String],
    pub(crate) metadata: Option<&'e Metadata>,
}

impl EnvelopeParts<'_> {
    /// Writes the whole event, fields in the contract's order.
    pub(crate) fn write<'o>(
        &self,
        event_type: &EventType,
        write_data: impl FnOnce(ObjectWriter<'_>) -> ObjectWriter<'_>,
        out: Out<'o>,
    ) -> Out<'o> {
        out.object(|fields| {
            fields
                .field("event_id", &self.event_id)
                .field("event_type", event_type)
                .field("timestamp", &self.timestamp)
                .field("version", &self.version)
                .field("source", self.source)
                .optional("correlation_id", self.correlation_id)
                .optional("session_id", self.session_id.as_ref())
                .optional("player_id", self.player_id)
                .optional("game_id", self.game_id)
                .optional("trace_id", self.trace_id)
                .optional("tags", (!self.tags.is_empty()).then_some(self.tags))
                .object("data", write_data)
                .optional("metadata", self.metadata)
        })
    }
}

const FIELDS: [&str; 13] = [
    "event_id",
    "event_type",
    "timestamp",
    "version",
    "source",
    "correlation_id",
    "session_id",
    "player_id",
    "game_id",
    "trace_id",
    "tags",
    "data",
    "metadata",
];

/// Up to ten words on an event. It reads as a slice of strings.
///
/// ```
/// use craftwire::crafting::Tags;
///
/// let tags = Tags::new(["tutorial", "guild"])?;
/// assert!(tags.contains(&"guild".to_owned()));
/// assert!(Tags::new(["x"; 11]).is_err());
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags(Vec<String>);

impl Tags {
    /// No tags.
    pub const NONE: Self = Self(Vec::new());
    /// The most tags of an event.
    pub const MAX: usize = 10;

    /// Checks how many there are.
    ///
    /// # Errors
    ///
    /// [`Rule::Items`] if there are more than ten.
    pub fn new(tags: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, InvalidValue> {
        // One too many is enough to know.
        let tags: Vec<String> = tags.into_iter().take(Self::MAX + 1).map(Into::into).collect();
        if tags.len() > Self::MAX {
            return Err(InvalidValue::new(Rule::Items { min: 0, max: Self::MAX }, "more"));
        }
        Ok(Self(tags))
    }

    pub(super) fn read(node: Node<'_, '_>) -> Result<Self, Violation> {
        json::bounded_list(node, (0, Self::MAX), json::string).map(Self)
    }
}

impl Deref for Tags {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

/// Hints for whoever handles an event. `None` is a field that is not there; the methods give its default.
///
/// ```
/// use craftwire::crafting::{Metadata, Priority};
///
/// let metadata = Metadata { retry_count: Some(2u64.try_into()?), ..Metadata::default() };
/// assert_eq!(metadata.priority(), Priority::Normal);
/// assert_eq!(metadata.retry_count().get(), 2);
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata {
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// How long it matters.
    pub ttl: Option<Ttl>,
    /// How often it was tried again.
    pub retry_count: Option<RetryCount>,
    /// How its payload was compressed, as the sender says.
    pub compression: Option<PayloadCompression>,
    /// Its size, as the sender says.
    pub size_bytes: Option<SizeBytes>,
}

impl Metadata {
    /// How urgent it is; normal unless it says.
    pub fn priority(&self) -> Priority {
        self.priority.unwrap_or_default()
    }

    /// How often it was tried again; 0 unless it says.
    pub fn retry_count(&self) -> RetryCount {
        self.retry_count.unwrap_or_default()
    }

    /// How its payload was compressed; not at all unless it says.
    pub fn compression(&self) -> PayloadCompression {
        self.compression.unwrap_or_default()
    }

    fn read(node: Node<'_, '_>) -> Result<Self, Violation> {
        const FIELDS: [&str; 5] = ["priority", "ttl", "retry_count", "compression", "size_bytes"];
        let fields = json::object(node, &FIELDS)?;
        Ok(Self {
            priority: fields.optional(place!(FIELDS, "priority"), json::one_of)?,
            ttl: fields.optional(place!(FIELDS, "ttl"), json::parsed)?,
            retry_count: fields.optional(place!(FIELDS, "retry_count"), json::integer)?,
            compression: fields.optional(place!(FIELDS, "compression"), json::one_of)?,
            size_bytes: fields.optional(place!(FIELDS, "size_bytes"), json::integer)?,
        })
    }
}

impl ToJson for Metadata {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        out.object(|fields| {
            fields
                .optional("priority", self.priority.as_ref())
                .optional("ttl", self.ttl.as_ref())
                .optional("retry_count", self.retry_count.as_ref())
                .optional("compression", self.compression.as_ref())
                .optional("size_bytes", self.size_bytes.as_ref())
        })
    }
}

impl ToJson for Version {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        if *self == Self::CURRENT {
            return out.put(b"\"1.0.0\"");
        }
        let out = self.minor.write(self.major.write(out.put(b"\"")).put(b"."));
        self.patch.write(out.put(b".")).put(b"\"")
    }
}

impl ToJson for Ttl {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        self.amount().write(out.put(b"\"")).put(&[self.letter(), b'"'])
    }
}
