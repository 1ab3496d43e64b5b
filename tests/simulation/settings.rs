//! How a run's clients are set up: drawn from the seed, and short enough for a short run.

use crate::random::Random;
use craftwire::{Compression, producer::Profile};
use std::time::Duration;

/// Settings of one run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) metadata_max_age: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) session_timeout: Duration,
    pub(crate) broker_session_timeout: Duration,
    pub(crate) min_insync_replicas: &'static str,
    pub(crate) fetch_max_wait: Duration,
    pub(crate) commit_interval: Duration,
    pub(crate) revoke_grace: Duration,
    /// How long a handler takes for a slow record, and of a hundred records so many are slow.
    pub(crate) slow: (Duration, u64),
    /// How late an ack may come, and of a hundred acks so many are late.
    pub(crate) late_ack: (u64, u64),
    pub(crate) producers: [ProducerSettings; 2],
}

/// Settings of one producer and its load.
#[derive(Debug, Clone)]
pub(crate) struct ProducerSettings {
    pub(crate) profile: Profile,
    pub(crate) compression: Compression,
    pub(crate) buffer_bytes: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) delivery_timeout: Duration,
    /// Between two bursts of records.
    pub(crate) pause_ms: (u64, u64),
    pub(crate) burst: u64,
    pub(crate) keys: u64,
    pub(crate) padding: usize,
    /// Whether it says where a record goes, rather than its key.
    pub(crate) names_partitions: bool,
}

impl Settings {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = Random::of(seed, "settings");
        let r = &mut random;
        Self {
            connect_timeout: ms(r.pick(&[500, 1_000, 2_000])),
            request_timeout: ms(r.pick(&[500, 1_000, 2_000, 3_000])),
            metadata_max_age: ms(r.pick(&[2_000, 10_000, 60_000])),
            heartbeat_interval: ms(r.pick(&[500, 1_000])),
            session_timeout: ms(r.pick(&[3_000, 6_000])),
            broker_session_timeout: ms(r.pick(&[500, 2_000])),
            min_insync_replicas: r.pick(&["1", "2"]),
            fetch_max_wait: ms(r.pick(&[500, 1_000])),
            commit_interval: ms(r.pick(&[200, 500, 1_000])),
            revoke_grace: ms(r.pick(&[0, 100, 500])),
            slow: (ms(r.between(5, 100)), r.pick(&[0, 5, 20])),
            late_ack: (r.between(1, 600), r.pick(&[0, 20, 50])),
            producers: [ProducerSettings::draw(r), ProducerSettings::draw(r)],
        }
    }
}

impl ProducerSettings {
    fn draw(r: &mut Random) -> Self {
        use Compression::{Gzip, Lz4, None, Snappy, Zstd};
        let pause = r.pick(&[120, 300, 700]);
        Self {
            profile: r.pick(&[Profile::Durable, Profile::Realtime, Profile::Throughput]),
            compression: r.pick(&[None, None, None, None, Gzip, Snappy, Lz4, Zstd]),
            buffer_bytes: r.pick(&[MESSAGE_BYTES, 64 << 10, 1 << 20]),
            batch_bytes: r.pick(&[1 << 10, 2 << 10, MESSAGE_BYTES]),
            delivery_timeout: ms(r.pick(&[1_500, 4_000, 10_000])),
            pause_ms: (pause / 2, pause * 2),
            burst: r.pick(&[1, 2, 5]),
            keys: r.pick(&[1, 4, 12]),
            padding: r.pick(&[0, 20, 200, 600]),
            names_partitions: r.chance(50),
        }
    }
}

/// The largest batch; a buffer holds one at least.
pub(crate) const MESSAGE_BYTES: usize = 4 << 10;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
