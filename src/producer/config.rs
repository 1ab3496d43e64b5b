//! A producer's settings: profiles, the builder, and the checks of what it is given.

use super::partition::Limits;
use crate::{cluster::Cluster, config::ConfigError, wire::compression::Compression};
use std::{fmt, time::Duration};

/// What a producer is tuned for. No profile lowers the guarantees: every record waits for all in-sync replicas
/// (`acks=all`) and is written once, whatever is retried.
///
/// | profile | gap between requests | batch and early send | bytes in flight per broker | compression |
/// |---|---|---|---|---|
/// | `Durable` | 2 ms | 128 KiB | 2 MiB | snappy |
/// | `Realtime` | 1 ms | 64 KiB | 1 MiB | LZ4 |
/// | `Throughput` | 5 ms | 512 KiB | 8 MiB | LZ4 |
///
/// A record that comes after a pause is sent at once in all of them. While records flow, a broker gets at most one
/// request per gap (more when a whole batch is ready), and that request carries all partitions that have records.
///
/// Its `Display` is a table of all settings; so is that of a [`ProducerBuilder`].
///
/// ```
/// use craftwire::producer::Profile;
///
/// let table = Profile::Durable.to_string();
/// assert!(table.lines().any(|row| row.starts_with("| acks ") && row.contains(" all ")));
/// println!("{table}");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Profile {
    /// Events that matter one by one.
    #[default]
    Durable,
    /// Many small updates whose age counts.
    Realtime,
    /// Loads of data whose rate counts.
    Throughput,
}

/// Sets a producer up; `build` starts it. Made by the client's `producer()`.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProducerBuilder {
    pub(crate) cluster: Cluster,
    pub(crate) config: ProducerConfig,
}

impl ProducerBuilder {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster, config: ProducerConfig::of(Profile::default()) }
    }

    /// Takes all settings of a profile, so it comes before single settings. Default: [`Profile::Durable`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.config = ProducerConfig::of(profile);
        self
    }

    /// How batches are compressed. A batch that compression does not make smaller goes out plain.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.config.compression = compression;
        self
    }

    /// The least time between two requests to one broker while less than a batch is ready. Zero sends at once.
    ///
    /// The runtime's timer has a resolution of a millisecond and rounds up.
    pub fn request_gap(mut self, gap: Duration) -> Self {
        self.config.gap = gap;
        self
    }

    /// The size of a batch, uncompressed: a fuller one is closed, and one is sent without waiting for the gap.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.config.batch_bytes = bytes;
        self
    }

    /// The memory for records that have no outcome yet. `send` waits while it is used up. Default: 32 MiB.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.buffer_bytes = bytes;
        self
    }

    /// The largest batch, with its 61 bytes of header, before compression. Default: 1 048 588, which is Kafka's. A topic whose
    /// `max.message.bytes` is smaller gets batches within that.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.config.max_message_bytes = bytes;
        self
    }

    /// Refuses topics that may lose acked records when one broker is lost: fewer than three replicas, `min.insync.replicas`
    /// below 2, unclean elections, or settings that this client may not read. Their records get
    /// [`SendError::NotDurable`](super::SendError::NotDurable). In a cluster of one registered broker (known from Kafka 4.0
    /// on) replicas are not asked for.
    ///
    /// Default: `false`. The profile `Durable` then looks at its topics all the same, logs what it finds as a warning, and
    /// tells it by [`topic_findings`](super::Producer::topic_findings).
    pub fn require_durability(mut self, require: bool) -> Self {
        self.config.require_durability = require;
        self
    }

    /// How long a record may be without an outcome, counted from when it was taken; retries end then. Default: 120 s.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.config.delivery_timeout = timeout;
        self
    }

    /// How long a first record waits for its topic's metadata. Default: 30 s.
    pub fn topic_timeout(mut self, timeout: Duration) -> Self {
        self.config.topic_timeout = timeout;
        self
    }
}

impl fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProducerBuilder").field(&self.config).finish()
    }
}

impl Profile {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Durable => "Durable",
            Self::Realtime => "Realtime",
            Self::Throughput => "Throughput",
        }
    }
}

/// All settings of a producer.
#[derive(Debug, Clone)]
pub(crate) struct ProducerConfig {
    /// What the others began as.
    pub(crate) profile: Profile,
    pub(crate) compression: Compression,
    /// A batch that reaches it is closed; so many ready bytes need not wait for the gap.
    pub(crate) batch_bytes: usize,
    /// A request takes no further batch once it holds this much.
    pub(crate) request_bytes: usize,
    /// The batches that a broker's connection holds without an answer.
    pub(crate) in_flight_bytes: usize,
    /// Requests without an answer while less than `batch_bytes` is ready; else `DEPTH_MAX`.
    pub(crate) depth: usize,
    pub(crate) gap: Duration,
    pub(crate) buffer_bytes: usize,
    pub(crate) max_message_bytes: usize,
    pub(crate) delivery_timeout: Duration,
    pub(crate) topic_timeout: Duration,
    /// Topics are measured by the rules of durability, and what breaks them is said.
    pub(crate) promises_durability: bool,
    /// Topics that break them are refused.
    pub(crate) require_durability: bool,
    pub(crate) retry_backoff: (Duration, Duration),
}

impl ProducerConfig {
    pub(crate) fn of(profile: Profile) -> Self {
        let common = Self {
            profile,
            compression: Compression::Snappy,
            batch_bytes: 128 * KIB,
            request_bytes: 1024 * KIB,
            in_flight_bytes: 2 * 1024 * KIB,
            depth: 2,
            gap: Duration::from_millis(2),
            buffer_bytes: 32 * 1024 * KIB,
            max_message_bytes: 1_048_588,
            delivery_timeout: Duration::from_secs(120),
            topic_timeout: Duration::from_secs(30),
            promises_durability: profile == Profile::Durable,
            require_durability: false,
            retry_backoff: (Duration::from_millis(100), Duration::from_secs(1)),
        };
        match profile {
            Profile::Durable => common,
            Profile::Realtime => Self {
                compression: Compression::Lz4,
                batch_bytes: 64 * KIB,
                in_flight_bytes: 1024 * KIB,
                gap: Duration::from_millis(1),
                ..common
            },
            Profile::Throughput => Self {
                compression: Compression::Lz4,
                batch_bytes: 512 * KIB,
                request_bytes: 4 * 1024 * KIB,
                in_flight_bytes: 8 * 1024 * KIB,
                depth: DEPTH_MAX,
                gap: Duration::from_millis(5),
                buffer_bytes: 64 * 1024 * KIB,
                ..common
            },
        }
    }

    /// The settings as they will be used, or which of them cannot be.
    pub(crate) fn checked(mut self) -> Result<Self, ConfigError> {
        let refuse = |setting, rule, value: &dyn fmt::Debug| {
            Err(ConfigError { setting, rule, value: format!("{value:?}") })
        };
        if !(KIB..=100 * 1024 * KIB).contains(&self.max_message_bytes) {
            return refuse("max_message_bytes", "must be from 1 KiB to 100 MiB", &self.max_message_bytes);
        }
        if !(KIB..=100 * 1024 * KIB).contains(&self.batch_bytes) {
            return refuse("batch_bytes", "must be from 1 KiB to 100 MiB", &self.batch_bytes);
        }
        if self.buffer_bytes < self.max_message_bytes || self.buffer_bytes > BUFFER_BYTES_MAX {
            let rule = "must be from max_message_bytes, so that the largest record fits, to 1 TiB";
            return refuse("buffer_bytes", rule, &self.buffer_bytes);
        }
        if !(Duration::from_millis(1)..=TIMEOUT_MAX).contains(&self.delivery_timeout) {
            return refuse("delivery_timeout", "must be from 1 ms to 24 h", &self.delivery_timeout);
        }
        if self.topic_timeout > TIMEOUT_MAX {
            return refuse("topic_timeout", "must be 24 h or less", &self.topic_timeout);
        }
        if self.gap > Duration::from_secs(1) {
            return refuse("request_gap", "must be 1 s or less", &self.gap);
        }
        // A batch may go out plain, so what it is before compression must be within the limit too.
        self.batch_bytes = self.batch_bytes.min(self.max_message_bytes);
        Ok(self)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            batch_bytes: self.batch_bytes,
            max_message_bytes: self.max_message_bytes,
            delivery_timeout: self.delivery_timeout,
            retry_backoff: self.retry_backoff,
        }
    }
}

/// The most requests of one connection without an answer.
pub(crate) const DEPTH_MAX: usize = 5;

const KIB: usize = 1024;
const BUFFER_BYTES_MAX: usize = 1024 * 1024 * 1024 * KIB;
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_valid() {
        for profile in [Profile::Durable, Profile::Realtime, Profile::Throughput] {
            ProducerConfig::of(profile).checked().unwrap();
        }
    }

    #[test]
    fn a_batch_never_exceeds_what_the_broker_takes() {
        let config = ProducerConfig { max_message_bytes: 10_000, ..ProducerConfig::of(Profile::Durable) };
        assert_eq!(config.checked().unwrap().batch_bytes, 10_000);
    }

    #[test]
    fn errors_name_the_field_and_the_value() {
        let config = ProducerConfig {
            buffer_bytes: 70_000,
            max_message_bytes: 80_000,
            ..ProducerConfig::of(Profile::Durable)
        };
        let message = config.checked().unwrap_err().to_string();
        assert!(message.contains("buffer_bytes") && message.contains("70000"), "{message}");
    }
}
