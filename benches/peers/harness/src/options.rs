//! The command line, the same for all clients.

use crate::Result;
use std::{collections::BTreeMap, path::PathBuf};

/// A client's settings by its own names, in the order in which they are given.
pub type Settings = Vec<(&'static str, String)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Produce,
    Consume,
    Latency,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Latency => "latency",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Options {
    pub mode: Mode,
    pub brokers: String,
    pub topic: String,
    /// The consumer's.
    pub group: String,
    pub compression: String,
    pub linger_ms: u64,
    pub(crate) threads: Option<usize>,
    pub(crate) payloads: PathBuf,
    pub(crate) count: u64,
    pub(crate) warmup: u64,
    pub(crate) rate: u64,
    pub(crate) secs: u64,
    pub(crate) warmup_secs: u64,
}

impl Options {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mode = match arguments.next().as_deref() {
            Some("produce") => Mode::Produce,
            Some("consume") => Mode::Consume,
            Some("latency") => Mode::Latency,
            _ => return Err("which mode?".into()),
        };
        let mut given = BTreeMap::new();
        while let Some(flag) = arguments.next() {
            let name = flag.strip_prefix("--").ok_or_else(|| format!("{flag}: not a flag"))?.to_owned();
            let value = arguments.next().ok_or_else(|| format!("{flag}: no value"))?;
            given.insert(name, value);
        }
        let mut text = |name: &str| given.remove(name).unwrap_or_default();
        let number = |name: &str, text: String, default: u64| match text.as_str() {
            "" => Ok(default),
            text => text.parse().map_err(|_| format!("--{name} {text}: not a number")),
        };
        let options = Self {
            mode,
            brokers: text("brokers"),
            topic: text("topic"),
            group: text("group"),
            compression: text("compression"),
            linger_ms: number("linger-ms", text("linger-ms"), 0)?,
            threads: Some(text("threads"))
                .filter(|text| !text.is_empty())
                .map(|text| text.parse())
                .transpose()?,
            payloads: text("payloads").into(),
            count: number("count", text("count"), 0)?,
            warmup: number("warmup", text("warmup"), 0)?,
            rate: number("rate", text("rate"), 1_000)?.max(1),
            secs: number("secs", text("secs"), 20)?,
            warmup_secs: number("warmup-secs", text("warmup-secs"), 5)?,
        };
        match given.keys().next() {
            Some(unknown) => Err(format!("--{unknown}: not known").into()),
            None => Ok(options),
        }
    }

    /// Whether latency is measured, so that what is sent later and fetched later is later.
    pub fn is_paced(&self) -> bool {
        self.mode == Mode::Latency
    }
}
