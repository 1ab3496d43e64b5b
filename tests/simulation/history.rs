//! What happened in a run, as its clients and the log saw it. Plain data, so that a history can be forged.

use std::collections::BTreeMap;

/// A topic's index in the schedule's list, and a partition's number.
pub(crate) type Place = (usize, i32);

/// In a value: its key says which partition it belongs to.
pub(crate) const ANYWHERE: i32 = 999;

/// One value in the world: the producer that made it, and how many it had made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) producer: usize,
    pub(crate) number: u64,
}

/// What became of a record, as its producer was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing was told.
    Open,
    Acked {
        offset: Option<i64>,
    },
    NotSent(String),
    Unknown(String),
}

/// A record that a producer took.
#[derive(Debug, Clone)]
pub(crate) struct Send {
    pub(crate) id: Id,
    pub(crate) place: Place,
    pub(crate) outcome: Outcome,
}

/// A record in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) offset: i64,
    /// `None` where the value is none that a producer makes.
    pub(crate) id: Option<Id>,
    pub(crate) key: u64,
    /// Where its value says that it belongs.
    pub(crate) tag: Place,
    pub(crate) producer_id: i64,
    pub(crate) sight: Sight,
}

/// Whether a reader of what is committed sees a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    Must,
    /// It is there no more: compacted, or cut off the start.
    May,
    /// It is aborted.
    MustNot,
}

/// Something that happened to a reader. Readers with a group come and go: each start is a reader of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Assigned(Vec<Place>),
    Revoked(Vec<Place>),
    /// The group dropped it.
    Lost(Vec<Place>),
    Read {
        place: Place,
        offset: i64,
        id: Option<Id>,
        /// Whether the reader had the partition at that moment.
        is_assigned: bool,
    },
    /// It told the consumer that the record is done, and was believed.
    Acked {
        place: Place,
        offset: i64,
    },
    /// A rule chose where to read on.
    Reset {
        place: Place,
        from: Option<i64>,
        to: i64,
    },
    /// An error that is no record.
    Failed(String),
    /// It is closed, or dead.
    Gone,
}

/// The coordinator's word on a group's offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) place: Place,
    pub(crate) offset: i64,
    /// Since the last look at the offsets a commit came over a connection that its client had given up.
    pub(crate) is_late: bool,
}

/// One line of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Reader(usize, Event),
    Committed(Commit),
    /// The coordinator was made to forget a member, or to tell one that it had: whoever reads may learn of it later.
    Expelled,
}

/// See the module.
#[derive(Debug, Default, Clone)]
pub(crate) struct History {
    pub(crate) sends: Vec<Send>,
    /// In the order in which it happened, with the time in milliseconds.
    pub(crate) lines: Vec<(u64, Line)>,
    /// Whether each reader, by its number, is one of the group.
    pub(crate) readers: Vec<bool>,
    pub(crate) log: BTreeMap<Place, Vec<Logged>>,
    /// What was cut off the start of the log, by partition: all below this offset.
    pub(crate) trimmed: BTreeMap<Place, i64>,
}

/// The value of a record: whose it is, and where it belongs.
pub(crate) fn value(id: Id, place: Place, padding: usize) -> Vec<u8> {
    let mut value = format!("{} {} {} {} ", id.producer, id.number, place.0, place.1).into_bytes();
    // Bytes of its own, so that a buffer that was used for something else shows.
    value.extend((0..padding).map(|at| filler(id, at)));
    value
}

/// What a record's value says, if all of it is as it was made.
pub(crate) fn read_value(value: &[u8]) -> Option<(Id, Place)> {
    let mut parts = value.splitn(5, |byte| *byte == b' ');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u64>().ok();
    let (producer, number, topic, partition) = (number()?, number()?, number()?, number()?);
    let id = Id { producer: usize::try_from(producer).ok()?, number };
    let padding = parts.next()?;
    let is_whole = padding.iter().enumerate().all(|(at, byte)| *byte == filler(id, at));
    let place = (usize::try_from(topic).ok()?, i32::try_from(partition).ok()?);
    is_whole.then_some((id, place))
}

fn filler(id: Id, at: usize) -> u8 {
    let mixed = id.number.wrapping_mul(31).wrapping_add(u64::try_from(at / 4 + id.producer).unwrap());
    b'a' + u8::try_from(mixed % 26).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_back_and_a_changed_one_is_not() {
        let id = Id { producer: 1, number: 77 };
        let mut value = value(id, (1, 2), 30);
        assert_eq!(read_value(&value), Some((id, (1, 2))));
        *value.last_mut().unwrap() ^= 1;
        assert_eq!(read_value(&value), None);
    }
}
