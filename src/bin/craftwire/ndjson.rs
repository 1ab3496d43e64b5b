//! A record as a line of JSON: the event's own object, with where it was found under `_kafka`.
//!
//! Invariant: one line, whatever the bytes, and an event's own bytes are kept.

use craftwire::{consumer::ConsumerRecord, crafting::Violation};
use serde_json::{Value, json};
use std::{fmt, io::Write};

/// Where a record was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
}

impl<'a> From<&'a ConsumerRecord> for Place<'a> {
    fn from(record: &'a ConsumerRecord) -> Self {
        Self {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp_ms: record.timestamp_ms(),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, offset, timestamp_ms } = self;
        // Kafka allows letters, digits, `.`, `_` and `-` in a topic's name: it needs no escapes.
        write!(
            f,
            r#""_kafka":{{"topic":"{topic}","partition":{partition},"offset":{offset},"timestamp":{timestamp_ms}}}"#
        )
    }
}

/// Appends `object`, the text of a JSON object, with `_kafka` as its last field. A field of that name which it may
/// have already stays in front: readers of JSON take the last one.
///
/// Returns whether it was an object; nothing is appended if not.
pub(crate) fn with_place(object: &[u8], place: &Place<'_>, out: &mut Vec<u8>) -> bool {
    let Some(fields) = object
        .trim_ascii()
        .strip_prefix(b"{")
        .and_then(|rest| rest.strip_suffix(b"}"))
        .map(<[u8]>::trim_ascii_end)
    else {
        return false;
    };
    out.push(b'{');
    // Ends of lines stand between tokens only, for a JSON string holds none: blanks do as well there.
    out.extend(fields.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    if !fields.trim_ascii().is_empty() {
        out.push(b',');
    }
    append(out, format_args!("{place}}}"));
    true
}

/// Appends a record that is no event: what it broke, and its bytes as text.
pub(crate) fn malformed(raw: &[u8], violation: &Violation, place: &Place<'_>, out: &mut Vec<u8>) {
    let found = json!({
        "path": violation.path,
        "rule": violation.rule.to_string(),
        "value": violation.value,
    });
    let text = Value::from(String::from_utf8_lossy(raw));
    append(out, format_args!(r#"{{"_malformed":{found},"_raw":{text},{place}}}"#));
}

fn append(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use craftwire::crafting::{Parsed, SessionEvent, parse};

    const PLACE: Place<'_> = Place { topic: "t", partition: 3, offset: 14, timestamp_ms: 15 };
    const KAFKA: &str = r#""_kafka":{"topic":"t","partition":3,"offset":14,"timestamp":15}}"#;

    fn placed(object: &str) -> Option<String> {
        let mut out = Vec::new();
        with_place(object.as_bytes(), &PLACE, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_events_own_bytes_are_kept() {
        assert_eq!(placed(r#" {"b": 1.50,"a":"é}"} "#), Some(format!(r#"{{"b": 1.50,"a":"é}}",{KAFKA}"#)));
        assert_eq!(placed("{}"), Some(format!("{{{KAFKA}")));
        assert_eq!(placed("{ }"), Some(format!("{{{KAFKA}")));
    }

    #[test]
    fn an_event_over_several_lines_becomes_one() {
        let line = placed("{\r\n  \"a\": 1,\n  \"b\": \"x\\ny\"\n}\n").unwrap();
        assert_eq!(line, format!("{{    \"a\": 1,   \"b\": \"x\\ny\",{KAFKA}"));
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }

    #[test]
    fn what_is_no_object_is_left_to_the_caller() {
        for text in ["", "[]", "7", "{", "}", "\"{}\""] {
            assert_eq!(placed(text), None, "{text}");
        }
    }

    #[test]
    fn malformed_bytes_are_told_with_their_rule() {
        let Parsed::Malformed(found) = parse::<SessionEvent>(&b"{\"event_id\":7,\xff\n}"[..]) else {
            panic!("it was read")
        };
        let mut out = Vec::new();
        malformed(&found.raw, &found.violation, &PLACE, &mut out);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert!(!out.contains(&b'\n'));
        assert_eq!(line["_malformed"]["path"], "$");
        assert_eq!(line["_raw"], "{\"event_id\":7,\u{fffd}\n}");
        assert_eq!(line["_kafka"]["offset"], 14);
    }
}
