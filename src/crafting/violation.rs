//! What an event broke: the JSON path, the rule and the value that was there.
//!
//! A [`Violation`] is about JSON that was read and always has a path; an [`InvalidValue`] is about a value given to a
//! constructor, where no path exists yet. Both carry the same [`Rule`]. Values are shortened, so that neither grows
//! with a hostile input.

use std::fmt;

use super::topic::Topic;

/// The longest piece of an offending value that an error keeps, in bytes.
const VALUE_BYTES_MAX: usize = 80;

/// A rule of the event contract that JSON text broke, where it did and with what.
///
/// `Display` reads `path: rule: value`.
///
/// ```
/// use craftwire::crafting::{Parsed, Rule, SessionEvent, parse};
///
/// let Parsed::Malformed(malformed) = parse::<SessionEvent>(r#"{ "event_id": 7 }"#) else { unreachable!() };
/// assert_eq!(malformed.violation.path, "event_id");
/// assert_eq!(malformed.violation.rule, Rule::Uuid);
/// assert_eq!(malformed.violation.to_string(), "event_id: must be a hyphenated UUID: 7");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {rule}: {value}")]
#[non_exhaustive]
pub struct Violation {
    /// Where: `data.materials[2].quantity`, or `$` for the whole text.
    pub path: String,
    /// What must hold there.
    pub rule: Rule,
    /// What was there, as JSON text and shortened; `absent` where nothing was.
    pub value: String,
}

impl Violation {
    pub(crate) fn new(path: Path<'_>, rule: Rule, value: &str) -> Self {
        Self { path: path.to_string(), rule, value: shortened(value) }
    }
}

/// A value that a constructor refused, with the rule it breaks.
///
/// `Display` reads `rule: value`.
///
/// ```
/// use craftwire::crafting::Percent;
///
/// assert_eq!(Percent::new(101).unwrap_err().to_string(), "must be an integer from 0 to 100: 101");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {value}")]
#[non_exhaustive]
pub struct InvalidValue {
    /// What must hold.
    pub rule: Rule,
    /// What was given, shortened.
    pub value: String,
}

impl InvalidValue {
    pub(crate) fn new(rule: Rule, value: &str) -> Self {
        Self { rule, value: shortened(value) }
    }
}

/// What must hold for a value of an event.
///
/// `Display` says it as the middle of a sentence: `must be an integer from 0 to 100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// The text is JSON; it stops being JSON at this byte.
    Json {
        /// Bytes before the place where the text stops being JSON.
        offset: usize,
    },
    /// The text is UTF-8; it stops being UTF-8 at this byte.
    Utf8 {
        /// Bytes before the first one that is not UTF-8.
        offset: usize,
    },
    /// A required field is there and not `null`.
    Required,
    /// A field is given once.
    Once,
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
    /// A JSON string of Unicode text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A finite number.
    Number,
    /// A JSON integer in a range: no fraction, no exponent, no quotes.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest; `u64::MAX` where the contract names none.
        max: u64,
    },
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A number of array items in a range.
    Items {
        /// The fewest.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A hyphenated UUID, in either case.
    Uuid,
    /// A time of RFC 3339, with any offset, within the years 0 to 9999 in UTC.
    Timestamp,
    /// `domain.entity.action`, each part `[a-z]+`.
    EventType,
    /// `domain.service`, each part `[a-z]+`.
    Source,
    /// `MAJOR.MINOR.PATCH`, each a number without leading zeros.
    Version,
    /// Digits, then one of `d`, `h`, `m`, `s`.
    Ttl,
    /// The envelope's `session_id` is that of `data`.
    SameSession,
    /// `failure_reason` only where `status` is `failed`.
    OnlyWhenFailed,
    /// An event of unknown type names its session, or it has no key to be published under.
    SessionForKey,
    /// The event fits the topic as one record in an uncompressed batch of its own.
    Fits {
        /// The topic.
        topic: Topic,
        /// Its largest message.
        max_message_bytes: usize,
    },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { offset } => write!(f, "must be JSON, and is not at byte {offset}"),
            Self::Utf8 { offset } => write!(f, "must be UTF-8, and is not at byte {offset}"),
            Self::Required => f.write_str("is required"),
            Self::Once => f.write_str("must be given once"),
            Self::Object => f.write_str("must be an object"),
            Self::Array => f.write_str("must be an array"),
            Self::Text => f.write_str("must be a string"),
            Self::Boolean => f.write_str("must be true or false"),
            Self::Number => f.write_str("must be a finite number"),
            Self::Integer { min, max: u64::MAX } => write!(f, "must be an integer, {min} or more"),
            Self::Integer { min, max } => write!(f, "must be an integer from {min} to {max}"),
            Self::OneOf(names) => write!(f, "must be one of {}", names.join(", ")),
            Self::Items { min: 0, max } => write!(f, "must have {max} items at most"),
            Self::Items { min, max } => write!(f, "must have from {min} to {max} items"),
            Self::Uuid => f.write_str("must be a hyphenated UUID"),
            Self::Timestamp => f.write_str("must be an RFC 3339 time"),
            Self::EventType => f.write_str("must be domain.entity.action, each part of the letters a to z"),
            Self::Source => f.write_str("must be domain.service, each part of the letters a to z"),
            Self::Version => f.write_str("must be MAJOR.MINOR.PATCH"),
            Self::Ttl => f.write_str("must be digits and one of d, h, m, s"),
            Self::SameSession => f.write_str("must equal data.session_id"),
            Self::OnlyWhenFailed => f.write_str("is allowed only where status is failed"),
            Self::SessionForKey => f.write_str("is required to publish an event of unknown type"),
            Self::Fits { topic, max_message_bytes } => {
                write!(f, "must fit the largest message of {topic}, {max_message_bytes} bytes")
            }
        }
    }
}

/// A place in a JSON text. It lives on the stack of the reader, so that only an error pays for its text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Field(&'p Self, &'static str),
    Item(&'p Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("$"),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

fn shortened(value: &str) -> String {
    if value.len() <= VALUE_BYTES_MAX {
        return value.to_owned();
    }
    format!("{}…", &value[..char_boundary_before(value, VALUE_BYTES_MAX)])
}

/// The last place at or before `index` where the text can be cut.
pub(crate) fn char_boundary_before(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_fields_and_items() {
        let data = Path::Field(&Path::Root, "data");
        let materials = Path::Field(&data, "materials");
        let third = Path::Item(&materials, 2);
        assert_eq!(Path::Field(&third, "quantity").to_string(), "data.materials[2].quantity");
        assert_eq!(Path::Root.to_string(), "$");
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let long = "é".repeat(500);
        let kept = shortened(&format!("x{long}"));
        assert!(kept.len() <= VALUE_BYTES_MAX + '…'.len_utf8());
        assert!(kept.ends_with("é…"));
    }
}
