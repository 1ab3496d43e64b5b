//! The values: the lines of a file, each with its key, and room for the time at which it is due.

use crate::Result;
use bytes::Bytes;
use std::path::Path;

/// Keys and values in the file's order.
#[derive(Debug)]
pub struct Payloads(Vec<(Bytes, Bytes)>);

impl Payloads {
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut all = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let key = line.split_once(KEY_MARK).and_then(|(_, rest)| rest.get(..36));
            let key = key.ok_or("--payloads: a line has no session_id")?;
            all.push((Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(line.as_bytes())));
        }
        if all.is_empty() { Err("--payloads: no line".into()) } else { Ok(Self(all)) }
    }

    /// All in turn, without end.
    pub fn turn(&self) -> impl Iterator<Item = &(Bytes, Bytes)> {
        self.0.iter().cycle()
    }
}

/// The value with `due_ns` written over its first digits.
pub fn stamped(value: &[u8], due_ns: u64) -> Bytes {
    let mut stamped = value.to_vec();
    if let Some(digits) = stamped.get_mut(TIME_AT..TIME_AT + TIME_DIGITS) {
        digits.copy_from_slice(format!("{due_ns:019}").as_bytes());
    }
    stamped.into()
}

pub fn due_ns(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value.get(TIME_AT..TIME_AT + TIME_DIGITS)?).ok()?.parse().ok()
}

const KEY_MARK: &str = "\"session_id\":\"";
/// Behind `{"t":"`.
const TIME_AT: usize = 6;
const TIME_DIGITS: usize = 19;
