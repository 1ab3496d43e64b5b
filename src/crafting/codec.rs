//! Events in and out of JSON, and what becomes of those that are no events of ours.
//!
//! Invariant: nothing read is fatal and nothing is lost: what is not an event of the topic is [`Parsed::Unknown`] or
//! [`Parsed::Malformed`], each with its bytes.

use bytes::Bytes;
use uuid::Uuid;

use super::{
    envelope::Envelope,
    event::{Body, Event, EventRef, sealed::ReadData},
    form::{Borrowed, Form, Owned, ReadForm},
    json::{self, Node, place},
    values::EventType,
    violation::{Path, Rule, Violation},
};

/// What the bytes of a record turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed<B> {
    /// An event of the topic's kind, with every rule of the contract holding.
    Event(Event<B>),
    /// An event with a good envelope, of a type that this topic's body does not have: made by a newer version, or
    /// meant for another topic.
    Unknown(UnknownEvent),
    /// No event: a rule of the contract is broken.
    Malformed(Malformed),
}

impl<B: Body> Parsed<B> {
    /// The event, if it is one.
    ///
    /// # Errors
    ///
    /// What it is instead.
    pub fn event(self) -> Result<Event<B>, NotAnEvent> {
        match self {
            Self::Event(event) => Ok(event),
            Self::Unknown(unknown) => Err(NotAnEvent::Unknown(Box::new(unknown))),
            Self::Malformed(malformed) => Err(NotAnEvent::Malformed(malformed)),
        }
    }

    /// The session whose text is the record's key.
    ///
    /// # Errors
    ///
    /// What is broken: the rule that makes it malformed, or [`Rule::SessionForKey`] for an event of unknown type that
    /// names no session.
    pub fn key(&self) -> Result<Uuid, Violation> {
        match self {
            Self::Event(event) => Ok(event.session_id()),
            Self::Unknown(unknown) => unknown.key(),
            Self::Malformed(malformed) => Err(malformed.violation.clone()),
        }
    }

    /// Its type, unless it is malformed.
    pub fn event_type(&self) -> Option<EventType> {
        match self {
            Self::Event(event) => Some(event.event_type()),
            Self::Unknown(unknown) => Some(unknown.event_type.clone()),
            Self::Malformed(_) => None,
        }
    }

    /// The envelope, unless it is malformed.
    pub const fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Event(event) => Some(event.envelope()),
            Self::Unknown(unknown) => Some(&unknown.envelope),
            Self::Malformed(_) => None,
        }
    }
}

/// Why [`Parsed::event`] has no event to give.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnEvent {
    /// Its type is not known here.
    #[error("the event type {} is not known on this topic; pass it on as it is or update this program", .0.event_type)]
    Unknown(Box<UnknownEvent>),
    /// It breaks a rule of the contract.
    #[error("the record is no event of the contract")]
    Malformed(#[source] Malformed),
}

/// An event whose type is not known here; its JSON is kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UnknownEvent {
    /// What it says it is.
    pub event_type: EventType,
    /// Its envelope, which every event has.
    pub envelope: Envelope,
    /// The whole event as it came.
    pub raw: Bytes,
    data_session_id: Option<Uuid>,
}

impl UnknownEvent {
    /// The session it is about: the envelope's, else that of `data` if it has one.
    pub fn session_id(&self) -> Option<Uuid> {
        self.envelope.session_id().or(self.data_session_id)
    }

    /// The session whose text is the record's key.
    ///
    /// # Errors
    ///
    /// [`Rule::SessionForKey`] if neither the envelope nor `data` names one: the event cannot be published.
    pub fn key(&self) -> Result<Uuid, Violation> {
        self.session_id().ok_or_else(|| {
            Violation::new(Path::Field(&Path::Root, "session_id"), Rule::SessionForKey, json::ABSENT)
        })
    }
}

/// Bytes that are no event, and the first rule they break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{violation}")]
#[non_exhaustive]
pub struct Malformed {
    /// The bytes as they came.
    pub raw: Bytes,
    /// The rule, where, and what was there.
    pub violation: Violation,
}

/// Reads one event of the topic that carries `B`.
///
/// Fields that the contract does not know are passed over; the caller still has the bytes. It never fails: see
/// [`Parsed`].
///
/// ```
/// use craftwire::crafting::{Parsed, SessionEvent, parse};
///
/// let json = r#"{
///     "event_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a10",
///     "event_type": "crafting.session.resume",
///     "timestamp": "2026-01-15T09:30:00Z",
///     "version": "1.0.0",
///     "source": "crafting.network",
///     "data": { "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "a_field_of_the_future": true }
/// }"#;
/// let Parsed::Event(event) = parse::<SessionEvent>(json) else { unreachable!() };
/// assert!(matches!(event.body(), SessionEvent::Resume(_)));
///
/// let newer = json.replace("session.resume", "session.inspect");
/// let Parsed::Unknown(unknown) = parse::<SessionEvent>(newer) else { unreachable!() };
/// assert_eq!(unknown.event_type.as_str(), "crafting.session.inspect");
/// ```
pub fn parse<B: Body>(json: impl Into<Bytes>) -> Parsed<B> {
    let raw: Bytes = json.into();
    match read::<Owned, B>(&raw) {
        Ok(Read::Event { envelope, body }) => Parsed::Event(Event::as_read(envelope, body)),
        Ok(Read::Unknown { event_type, envelope, data_session_id }) => {
            Parsed::Unknown(UnknownEvent { event_type, envelope, raw, data_session_id })
        }
        Err(violation) => Parsed::Malformed(Malformed { raw, violation }),
    }
}

/// Reads one event of the topic that carries `B`, without a copy: its texts and lists are views of `json`.
///
/// Every rule is checked as [`parse`] checks it. Nothing is allocated but texts that have escapes, and for what is no
/// event.
///
/// # Errors
///
/// What it is instead, with a copy of its bytes.
///
/// ```
/// use craftwire::crafting::{ProgressUpdate, decode};
///
/// let json = br#"{
///     "event_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a10",
///     "event_type": "crafting.progress.update",
///     "timestamp": "2026-01-15T09:30:00Z",
///     "version": "1.0.0",
///     "source": "crafting.network",
///     "data": {
///         "session_id": "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12", "progress_percent": 42, "status": "active",
///         "current_step": "forging"
///     }
/// }"#;
/// let event = decode::<ProgressUpdate>(json)?;
/// assert_eq!(event.body().progress.get(), 42);
/// assert_eq!(event.body().current_step.as_deref(), Some("forging"));
/// # Ok::<(), craftwire::crafting::NotAnEvent>(())
/// ```
pub fn decode<B: Body>(json: &[u8]) -> Result<EventRef<'_, B>, NotAnEvent> {
    let raw = || Bytes::copy_from_slice(json);
    match read::<Borrowed<'_>, B::Ref<'_>>(json) {
        Ok(Read::Event { envelope, body }) => Ok(EventRef::as_read(envelope, body)),
        Ok(Read::Unknown { event_type, envelope, data_session_id }) => {
            let envelope = envelope.into_owned();
            Err(NotAnEvent::Unknown(Box::new(UnknownEvent {
                event_type,
                envelope,
                raw: raw(),
                data_session_id,
            })))
        }
        Err(violation) => Err(NotAnEvent::Malformed(Malformed { raw: raw(), violation })),
    }
}

/// Appends an event's JSON to `out`, on one line.
///
/// Absent optionals are left out, UUIDs are in lower case, times end in `Z`, and fields come in the contract's order.
/// It cannot fail: the types hold nothing that the contract does not allow.
///
/// ```
/// use craftwire::crafting::{Envelope, Event, SessionEvent, SessionResume, Timestamp, encode, parse};
/// use uuid::Uuid;
///
/// let envelope = Envelope::new(Uuid::from_u128(1), Timestamp::UNIX_EPOCH, "crafting.network".parse()?);
/// let event = Event::<SessionEvent>::new(envelope, SessionResume::new(Uuid::from_u128(7)).into());
/// let mut json = Vec::new();
/// encode(&event, &mut json);
/// assert_eq!(parse::<SessionEvent>(json).event().unwrap(), event);
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
pub fn encode<B: Body>(event: &Event<B>, out: &mut Vec<u8>) {
    json::append(out, |out| event.parts().write(out));
}

enum Read<F: Form, B> {
    Event { envelope: Envelope<F>, body: B },
    Unknown { event_type: EventType, envelope: Envelope<F>, data_session_id: Option<Uuid> },
}

fn read<'a, F: ReadForm<'a>, B: ReadData<'a>>(raw: &'a [u8]) -> Result<Read<F, B>, Violation> {
    // The whole text first: JSON's own reader does not look into the strings that it passes over.
    let text = std::str::from_utf8(raw).map_err(|error| {
        let offset = error.valid_up_to();
        let rest = raw.get(offset..).unwrap_or_default();
        Violation::new(
            Path::Root,
            Rule::Utf8 { offset },
            &rest.escape_ascii().take(40).map(char::from).collect::<String>(),
        )
    })?;
    Envelope::read(Node::root(text), |envelope, event_type, data| {
        let Some(body) = B::read(&event_type, data) else {
            const FIELDS: [&str; 1] = ["session_id"];
            let fields = json::object(data, &FIELDS)?;
            // An unknown type's data has rules of its own, so what is no session here is no error either.
            let data_session_id = fields.optional(place!(FIELDS, "session_id"), json::uuid).ok().flatten();
            return Ok(Read::Unknown { event_type, envelope, data_session_id });
        };
        let body = body?;
        match envelope.session_id() {
            Some(id) if id != body.session() => Err(Violation::new(
                Path::Field(&Path::Root, "session_id"),
                Rule::SameSession,
                &format!("\"{id}\""),
            )),
            _ => Ok(Read::Event { envelope, body }),
        }
    })
}

/// Reads any bytes as an event of either topic; one that was read reads the same after it was written.
#[cfg(any(test, feature = "internals"))]
pub(crate) fn check_event_json(data: &[u8]) {
    check_as::<super::session::SessionEvent>(data);
    check_as::<super::progress::ProgressUpdate>(data);
}

#[cfg(any(test, feature = "internals"))]
fn check_as<B: Body>(data: &[u8]) {
    let parsed = parse::<B>(Bytes::copy_from_slice(data));
    assert_eq!(
        decode::<B>(data).map(EventRef::into_owned),
        parsed.clone().event(),
        "what is borrowed is what is owned"
    );
    match parsed {
        Parsed::Event(event) => {
            let json = event.to_json();
            assert!(std::str::from_utf8(&json).is_ok(), "JSON is written as UTF-8");
            assert_eq!(
                parse::<B>(json).event().as_ref(),
                Ok(&event),
                "what was written reads as what was read"
            );
        }
        Parsed::Unknown(unknown) => assert_eq!(unknown.raw, data),
        Parsed::Malformed(malformed) => {
            assert_eq!(malformed.raw, data);
            assert!(
                malformed.violation.value.len() < 100 && malformed.violation.path.len() < 200,
                "errors stay small"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    fn corpus() -> Vec<Vec<u8>> {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/event_json");
        let files = std::fs::read_dir(directory).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn every_cut_of_an_event_is_refused() {
        let whole = include_bytes!("../../tests/data/crafting-session-start.json");
        for len in 0..whole.len() - 2 {
            check_event_json(&whole[..len]);
            assert!(matches!(
                parse::<crate::crafting::SessionEvent>(&whole[..len]),
                Parsed::Malformed(Malformed { violation: Violation { rule: Rule::Json { .. }, .. }, .. })
            ));
        }
    }

    proptest! {
        #[test]
        fn the_fuzz_corpus_holds_with_pieces_moved_about(
            which in any::<Index>(),
            moves in prop::collection::vec((any::<Index>(), any::<Index>(), 0..8_usize), 0..4),
            bytes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..3),
        ) {
            let corpus = corpus();
            let mut input = which.get(&corpus).clone();
            for (from, to, len) in moves {
                let (from, to) = (from.index(input.len()), to.index(input.len()));
                let piece: Vec<u8> = input[from..].iter().take(len).copied().collect();
                let end = input.len().min(to + len / 2);
                input.splice(to..end, piece);
            }
            for (at, byte) in bytes {
                let at = at.index(input.len());
                input[at] = byte;
            }
            check_event_json(&input);
        }
    }
}
