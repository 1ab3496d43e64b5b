//! What is published: a record, before it has an offset.

use crate::wire::record_batch::RecordParts;
use bytes::Bytes;
use std::sync::Arc;

/// One header of a record: a name, which may repeat within the record, and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub key: Arc<str>,
    /// The value; Kafka lets it be null.
    pub value: Option<Bytes>,
}

/// A record to be published.
///
/// With a key, the key decides the partition, as Kafka's Java client does it (murmur2 over the key's bytes), so that
/// records of one key keep their order. Without one, records go to one partition at a time in turns that depend on
/// the load.
///
/// ```
/// use craftwire::producer::ProducerRecord;
///
/// let record = ProducerRecord::new("game.crafting.events", r#"{"hello":"world"}"#)
///     .key("6f1c0c2e-0a2b-4d3c-9c55-0d1f7f2a9b11")
///     .header("content-type", "application/json");
/// assert_eq!(record.topic(), "game.crafting.events");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerRecord {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Bytes>,
    pub(crate) value: Option<Bytes>,
    pub(crate) headers: Vec<Header>,
    pub(crate) timestamp_ms: Option<i64>,
}

impl ProducerRecord {
    /// A record with a value and no key.
    pub fn new(topic: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::without_value(topic) }
    }

    /// A record whose value is null: on a compacted topic it deletes its key.
    pub fn without_value(topic: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp_ms: None,
        }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header; headers keep their order, and names may repeat.
    #[must_use]
    pub fn header(mut self, key: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { key: key.into(), value: Some(value.into()) });
        self
    }

    /// Adds a header whose value is null.
    #[must_use]
    pub fn null_header(mut self, key: impl Into<Arc<str>>) -> Self {
        self.headers.push(Header { key: key.into(), value: None });
        self
    }

    /// Sends the record to this partition, whatever its key.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the record's timestamp, in milliseconds since 1970; without it, it is the time of publishing.
    ///
    /// Brokers refuse timestamps that lie more than an hour ahead of them, unless set up otherwise.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// The topic that the record goes to.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn borrowed_headers(&self) -> Vec<(&str, Option<&[u8]>)> {
        self.headers.iter().map(|header| (&*header.key, header.value.as_deref())).collect()
    }

    /// The record as it is appended; `now_ms` where it has no timestamp of its own.
    pub(crate) fn parts<'a>(
        &'a self,
        headers: &'a [(&'a str, Option<&'a [u8]>)],
        now_ms: i64,
    ) -> RecordParts<'a> {
        RecordParts {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers,
            timestamp_ms: self.timestamp_ms.unwrap_or(now_ms),
        }
    }
}
