//! The contract of the two topics and their two consumer groups, as constants.
//!
//! Nothing here is a setting: another value is another contract. What a cluster really has is compared with this
//! elsewhere.

use std::{fmt, time::Duration};

use super::violation::{Path, Rule, Violation};
use crate::Compression;

/// Lag of a consumer group, in events, above which it is an alert and the sign to add consumers.
pub const LAG_ALERT_EVENTS: u64 = 10_000;

/// The most consumers that a group is grown to.
pub const CONSUMERS_MAX: usize = 20;

/// Bytes of a record batch before its first record.
const BATCH_HEADER_BYTES: usize = 61;

/// One of the two crafting topics.
///
/// ```
/// use craftwire::crafting::Topic;
///
/// assert_eq!(Topic::Events.name(), "game.crafting.events");
/// assert_eq!(Topic::Progress.partitions(), 24);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// `game.crafting.events`: session events.
    Events,
    /// `game.crafting.progress`: progress updates, made for players who are watching.
    Progress,
}

impl Topic {
    /// Both topics.
    pub const ALL: [Self; 2] = [Self::Events, Self::Progress];

    /// Its name in Kafka.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "game.crafting.events",
            Self::Progress => "game.crafting.progress",
        }
    }

    /// How many partitions it has. It never changes: keys would move and order would break.
    pub const fn partitions(self) -> u16 {
        match self {
            Self::Events => 16,
            Self::Progress => 24,
        }
    }

    /// How many replicas each partition has on a cluster; a single broker keeps one.
    pub const fn replication_factor(self) -> u16 {
        3
    }

    /// How long a record is kept (`retention.ms`).
    pub const fn retention(self) -> Duration {
        match self {
            Self::Events => Duration::from_secs(7 * 24 * 3600),
            Self::Progress => Duration::from_secs(3600),
        }
    }

    /// After how long a new log segment is begun (`segment.ms`).
    pub const fn segment(self) -> Duration {
        match self {
            Self::Events => Duration::from_secs(3600),
            Self::Progress => Duration::from_secs(600),
        }
    }

    /// What happens to old records (`cleanup.policy`).
    pub const fn cleanup_policy(self) -> &'static str {
        "delete"
    }

    /// The codec that its producers use.
    pub const fn compression(self) -> Compression {
        match self {
            Self::Events => Compression::Snappy,
            Self::Progress => Compression::Lz4,
        }
    }

    /// The largest record batch that it takes, in bytes (`max.message.bytes`).
    pub const fn max_message_bytes(self) -> usize {
        match self {
            Self::Events => 512 * 1024,
            Self::Progress => 128 * 1024,
        }
    }

    /// The group that works on it.
    pub const fn group(self) -> Group {
        match self {
            Self::Events => Group::CraftingProcessor,
            Self::Progress => Group::CraftingProgressConsumer,
        }
    }

    /// Whether an event fits, alone in a batch that is not compressed: Kafka judges the whole batch, so the record's
    /// and the batch's own bytes count too.
    ///
    /// `header_lens` has the lengths of each record header's key and value.
    ///
    /// # Errors
    ///
    /// [`Rule::Fits`] at `$`, with the batch's length.
    ///
    /// ```
    /// use craftwire::crafting::Topic;
    ///
    /// assert!(Topic::Progress.check_size(36, 131_000 - 36, &[]).is_ok());
    /// assert!(Topic::Progress.check_size(36, 131_072 - 36, &[]).is_err());
    /// ```
    pub fn check_size(
        self,
        key_len: usize,
        value_len: usize,
        header_lens: &[(usize, usize)],
    ) -> Result<(), Violation> {
        let max_message_bytes = self.max_message_bytes();
        let batch_len = one_record_batch_len(key_len, value_len, header_lens);
        if batch_len <= max_message_bytes {
            return Ok(());
        }
        let rule = Rule::Fits { topic: self, max_message_bytes };
        Err(Violation::new(Path::Root, rule, &format!("{batch_len} bytes")))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One of the two consumer groups.
///
/// ```
/// use craftwire::crafting::{Group, Topic};
///
/// assert_eq!(Group::CraftingProcessor.id(), "crafting_processor");
/// assert_eq!(Group::CraftingProcessor.topic(), Topic::Events);
/// assert_eq!(Group::CraftingProcessor.consumers(), 4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// `crafting_processor`, on the events.
    CraftingProcessor,
    /// `crafting_progress_consumer`, on the progress.
    CraftingProgressConsumer,
}

impl Group {
    /// Both groups.
    pub const ALL: [Self; 2] = [Self::CraftingProcessor, Self::CraftingProgressConsumer];

    /// Its id in Kafka (`group.id`).
    pub const fn id(self) -> &'static str {
        match self {
            Self::CraftingProcessor => "crafting_processor",
            Self::CraftingProgressConsumer => "crafting_progress_consumer",
        }
    }

    /// The topic it reads.
    pub const fn topic(self) -> Topic {
        match self {
            Self::CraftingProcessor => Topic::Events,
            Self::CraftingProgressConsumer => Topic::Progress,
        }
    }

    /// How many partitions each consumer has at full size.
    pub const fn partitions_per_consumer(self) -> u16 {
        match self {
            Self::CraftingProcessor => 4,
            Self::CraftingProgressConsumer => 6,
        }
    }

    /// How many consumers it has at full size.
    pub const fn consumers(self) -> u16 {
        self.topic().partitions() / self.partitions_per_consumer()
    }

    /// How long the coordinator waits for a heartbeat before it takes a member's partitions away.
    pub const fn session_timeout(self) -> Duration {
        Duration::from_secs(30)
    }

    /// How often a member says that it lives.
    pub const fn heartbeat_interval(self) -> Duration {
        Duration::from_secs(3)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// Length of a record batch v2 with one record and no compression.
fn one_record_batch_len(key_len: usize, value_len: usize, header_lens: &[(usize, usize)]) -> usize {
    // Attributes, timestamp delta and offset delta are one byte each when the deltas are 0.
    let headers: usize =
        header_lens.iter().map(|&(key, value)| prefixed_len(key) + prefixed_len(value)).sum();
    let record =
        3 + prefixed_len(key_len) + prefixed_len(value_len) + varint_len(header_lens.len()) + headers;
    BATCH_HEADER_BYTES + prefixed_len(record)
}

fn prefixed_len(bytes: usize) -> usize {
    varint_len(bytes).saturating_add(bytes)
}

/// Length of a non-negative number as a zigzag varint.
fn varint_len(number: usize) -> usize {
    if number < 64 {
        return 1;
    }
    let zigzag_bits = usize::BITS - number.leading_zeros() + 1;
    usize::try_from(zigzag_bits.div_ceil(7)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_divide_their_topics_evenly() {
        for group in Group::ALL {
            assert_eq!(group.consumers(), 4);
            assert_eq!(group.consumers() * group.partitions_per_consumer(), group.topic().partitions());
            assert_eq!(group.topic().group(), group);
        }
    }

    #[test]
    fn varints_grow_at_the_powers_of_zigzag() {
        for (number, len) in [(0, 1), (63, 1), (64, 2), (8191, 2), (8192, 3), (1_048_575, 3), (1_048_576, 4)]
        {
            assert_eq!(varint_len(number), len, "{number}");
        }
    }

    #[test]
    fn the_limit_is_the_whole_batch() {
        let fits = |value_len| Topic::Events.check_size(36, value_len, &[]).is_ok();
        // 61 + 3 (record length) + 3 + 37 (key) + 3 (value length) + 1 (header count)
        assert!(fits(524_288 - 108));
        assert!(!fits(524_288 - 107));
        let refused = Topic::Events.check_size(36, 524_288, &[]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "$: must fit the largest message of game.crafting.events, 524288 bytes: 524396 bytes"
        );
    }

    #[test]
    fn headers_count() {
        assert_eq!(one_record_batch_len(0, 0, &[(12, 16)]) - one_record_batch_len(0, 0, &[]), 30);
    }
}
