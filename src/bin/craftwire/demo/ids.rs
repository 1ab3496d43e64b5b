//! Event ids that carry what the demo wants to know of an event when it comes back.
//!
//! They are UUIDs of version 8: the run, a number of its own within the run and the topic, whether it is the first of
//! its session, and when it was due to be published. So neither side keeps a table of what is under way, and every
//! latency is counted from the moment that the schedule asked for, not from when there was time for it.

use craftwire::crafting::Topic;
use std::fmt;
use uuid::Uuid;

/// One run of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run(u64);

/// What an event id of the run says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) topic: Topic,
    /// Counts the events of the topic from 0, in the order in which they are published.
    pub(crate) number: u64,
    /// Microseconds from the start of the run.
    pub(crate) due_us: u64,
    /// Whether it is the first of its session on this topic.
    pub(crate) begins: bool,
}

impl Run {
    /// A run by the low bits of a random number.
    pub(crate) const fn new(random: u64) -> Self {
        Self(random & RUN_MASK)
    }

    /// The id of an event.
    pub(crate) fn event_id(self, tag: Tag) -> Uuid {
        let Self(run) = self;
        let topic = u64::from(tag.topic == Topic::Progress);
        let high = ((tag.due_us & DUE_MASK) << 24) | ((run >> 32) << 16) | VERSION_8 | ((run >> 20) & 0xfff);
        let low = VARIANT
            | (topic << 61)
            | (u64::from(tag.begins) << 60)
            | ((run & 0xf_ffff) << 40)
            | (tag.number & NUMBER_MASK);
        Uuid::from_u64_pair(high, low)
    }

    /// What an id says; `None` for an event that is not of this run.
    pub(crate) fn read(self, id: Uuid) -> Option<Tag> {
        let (high, low) = id.as_u64_pair();
        let run = (((high >> 16) & 0xff) << 32) | ((high & 0xfff) << 20) | ((low >> 40) & 0xf_ffff);
        let ours = high & 0xf000 == VERSION_8 && low & (0b11 << 62) == VARIANT && Self(run) == self;
        ours.then_some(Tag {
            topic: if low & (1 << 61) == 0 { Topic::Events } else { Topic::Progress },
            number: low & NUMBER_MASK,
            due_us: high >> 24,
            begins: low & (1 << 60) != 0,
        })
    }
}

/// As it stands in the names of the run's topics and groups.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010x}", self.0)
    }
}

const RUN_MASK: u64 = (1 << 40) - 1;
/// 12 days.
const DUE_MASK: u64 = (1 << 40) - 1;
const NUMBER_MASK: u64 = (1 << 40) - 1;
const VERSION_8: u64 = 0x8000;
const VARIANT: u64 = 0b10 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_was_put_into_it() {
        let run = Run::new(0xfe_dcba_9876_5432);
        for (topic, number, due_us, begins) in [
            (Topic::Events, 0, 0, true),
            (Topic::Progress, 1, 2, false),
            (Topic::Progress, NUMBER_MASK, DUE_MASK, true),
        ] {
            let tag = Tag { topic, number, due_us, begins };
            let id = run.event_id(tag);
            assert_eq!(id.get_version_num(), 8);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(run.read(id), Some(tag));
            assert_eq!(Run::new(1).read(id), None);
        }
    }

    #[test]
    fn ids_of_others_are_not_read() {
        assert_eq!(Run::new(0).read(Uuid::nil()), None);
        assert_eq!(Run::new(0).read(Uuid::from_u128(u128::MAX)), None);
        assert_eq!(Run::new(0x12_3456).to_string(), "0000123456");
    }
}
