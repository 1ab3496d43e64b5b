//! What is sent: the lines of a file, each with its key, and the due time that a line can carry.

use bytes::Bytes;
use craftwire::crafting::{Body, Parsed, parse};
use std::path::Path;

use crate::exit::{Exit, Failure};

/// A line and its key.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) key: Bytes,
    pub(crate) value: Bytes,
}

/// The lines of `path`.
pub(crate) fn load(path: &Path) -> Result<Vec<Payload>, Failure> {
    let text = std::fs::read(path)
        .map_err(|error| Failure::because(Exit::Failed, &format!("reading {}", path.display()), &error))?;
    split(&Bytes::from(text)).map_err(|line| {
        Failure::new(Exit::Usage, format!("{}: line {line} has no session_id", path.display()))
    })
}

/// The number of the line that has no key, otherwise.
fn split(text: &Bytes) -> Result<Vec<Payload>, usize> {
    let mut payloads = Vec::new();
    let mut at = 0;
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let value = text.slice(at..at + line.len());
        at += line.len() + 1;
        if !line.is_empty() {
            let key = key_range(line).ok_or(number + 1)?;
            payloads.push(Payload { key: value.slice(key), value });
        }
    }
    if payloads.is_empty() { Err(1) } else { Ok(payloads) }
}

fn key_range(line: &[u8]) -> Option<std::ops::Range<usize>> {
    let at = line.windows(KEY_MARK.len()).position(|window| window == KEY_MARK)? + KEY_MARK.len();
    (line.len() >= at + KEY_BYTES).then_some(at..at + KEY_BYTES)
}

/// The lines as typed bodies.
pub(crate) fn bodies<B: Body>(payloads: &[Payload]) -> Result<Vec<B>, Failure> {
    let body = |payload: &Payload| match parse::<B>(payload.value.clone()) {
        Parsed::Event(event) => Ok(event.into_parts().1),
        Parsed::Unknown(unknown) => Err(format!("{} is not of {}", unknown.event_type, B::TOPIC)),
        Parsed::Malformed(malformed) => Err(malformed.violation.to_string()),
    };
    let all: Result<_, String> = payloads.iter().map(body).collect();
    all.map_err(|why| Failure::new(Exit::Usage, format!("--typed: a line of the payloads: {why}")))
}

/// A copy of `line` with the time at which it is due, in nanoseconds since 1970, in its first member.
pub(crate) fn stamped(line: &[u8], mut due_ns: u64) -> Vec<u8> {
    let mut stamped = line.to_vec();
    for digit in stamped.iter_mut().skip(TIME_AT).take(TIME_DIGITS).rev() {
        *digit = b'0' + u8::try_from(due_ns % 10).unwrap_or(0);
        due_ns /= 10;
    }
    stamped
}

/// The time that [`stamped`] wrote; `None` if the line has no room for one.
pub(crate) fn due_ns(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(TIME_MARK)?.get(..TIME_DIGITS)?;
    digits.iter().try_fold(0_u64, |ns, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        ns.checked_mul(10)?.checked_add(digit)
    })
}

const KEY_MARK: &[u8] = b"\"session_id\":\"";
const KEY_BYTES: usize = 36;
const TIME_MARK: &[u8] = b"{\"t\":\"";
const TIME_AT: usize = TIME_MARK.len();
const TIME_DIGITS: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"{"t":"0000000000000000000","data":{"session_id":"7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12"}}"#;

    #[test]
    fn a_line_is_a_value_and_holds_its_key() {
        let payloads = split(&format!("{LINE}\n\n{LINE}").into()).unwrap();
        assert_eq!(payloads.len(), 2);
        for payload in payloads {
            assert_eq!(payload.value, LINE);
            assert_eq!(payload.key, "7d0f7c1e-52c3-4f0a-9d0b-0e6d2f5b9a12");
        }
    }

    #[test]
    fn a_line_without_a_key_is_named() {
        assert_eq!(split(&format!("{LINE}\n{{}}\n").into()).unwrap_err(), 2);
        assert_eq!(split(&Bytes::from_static(br#"{"session_id":"short"}"#)).unwrap_err(), 1);
    }

    #[test]
    fn the_due_time_reads_back() {
        assert_eq!(due_ns(LINE.as_bytes()), Some(0));
        let stamped = stamped(LINE.as_bytes(), 1_795_464_960_000_000_123);
        assert_eq!(due_ns(&stamped), Some(1_795_464_960_000_000_123));
        assert_eq!(stamped.len(), LINE.len());
        assert_eq!(due_ns(b"{\"event_id\":\"00000000000000000000\"}"), None);
    }
}
