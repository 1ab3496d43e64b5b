//! Where `tail` starts to read.

use craftwire::{consumer::StartFrom, crafting::Timestamp};
use std::str::FromStr;

/// The value of `--from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start(StartFrom);

impl Start {
    /// What `--from` says; without it a group goes on from the start, and who reads alone from the end.
    pub(crate) fn resolve(from: Option<Self>, in_group: bool) -> StartFrom {
        match from {
            Some(Self(start)) => start,
            None if in_group => StartFrom::Earliest,
            None => StartFrom::Latest,
        }
    }
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self(StartFrom::Earliest)),
            "latest" => return Ok(Self(StartFrom::Latest)),
            _ => {}
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let offset = text.parse().map_err(|_| "the offset must be below 2^63".to_owned())?;
            return Ok(Self(StartFrom::Offset(offset)));
        }
        match text.parse::<Timestamp>() {
            Ok(time) => Ok(Self(StartFrom::TimestampMs(time.unix_millis()))),
            Err(_) => Err("must be earliest, latest, an offset or an RFC 3339 time".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_of_the_four() {
        for (text, start) in [
            ("earliest", StartFrom::Earliest),
            ("latest", StartFrom::Latest),
            ("0", StartFrom::Offset(0)),
            ("4711", StartFrom::Offset(4711)),
            ("2026-01-15T10:30:00+01:00", StartFrom::TimestampMs(1_768_469_400_000)),
        ] {
            assert_eq!(text.parse(), Ok(Start(start)), "{text}");
        }
        for text in ["", "-1", "Latest", "2026-01-15", "99999999999999999999"] {
            assert!(text.parse::<Start>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_depends_on_the_group() {
        assert_eq!(Start::resolve(None, false), StartFrom::Latest);
        assert_eq!(Start::resolve(None, true), StartFrom::Earliest);
        assert_eq!(Start::resolve("5".parse().ok(), true), StartFrom::Offset(5));
    }
}
