//! What became of every record that was sent, and what the log says of it.
//!
//! A record is a key's number so-and-so; its value says both. One fate takes 8 bytes, so that a long run's history says
//! little about the memory of the client.

use craftwire::producer::{Ack, DeliveryError};
use std::{collections::BTreeMap, fmt};

/// What the sender was told of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in the log, here if the broker knew the offset.
    Acked { partition: i32, offset: Option<i64> },
    /// It is not in the log.
    NotSent,
    /// It may be in the log, once.
    Unknown,
}

impl From<&Result<Ack, DeliveryError>> for Fate {
    fn from(outcome: &Result<Ack, DeliveryError>) -> Self {
        match outcome {
            Ok(ack) => Self::Acked { partition: ack.partition, offset: ack.offset },
            Err(DeliveryError::NotSent(_)) => Self::NotSent,
            Err(_) => Self::Unknown,
        }
    }
}

const OFFSET_BITS: u32 = 48;
const NO_OFFSET: u64 = (1 << OFFSET_BITS) - 1;
const NOT_SENT: u64 = u64::MAX;
const UNKNOWN: u64 = u64::MAX - 1;

/// A fate in 8 bytes.
#[derive(Debug, Clone, Copy)]
struct Packed(u64);

impl Packed {
    fn of(fate: Fate) -> Self {
        Self(match fate {
            Fate::Acked { partition, offset } => {
                let offset = offset.map_or(NO_OFFSET, |offset| u64::try_from(offset).unwrap());
                u64::try_from(partition).unwrap() << OFFSET_BITS | offset
            }
            Fate::NotSent => NOT_SENT,
            Fate::Unknown => UNKNOWN,
        })
    }

    fn fate(self) -> Fate {
        match self.0 {
            NOT_SENT => Fate::NotSent,
            UNKNOWN => Fate::Unknown,
            packed => Fate::Acked {
                partition: i32::try_from(packed >> OFFSET_BITS).unwrap(),
                offset: Some(packed & NO_OFFSET)
                    .filter(|offset| *offset != NO_OFFSET)
                    .map(|offset| i64::try_from(offset).unwrap()),
            },
        }
    }
}

/// The fates of one key's records, in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fates(Vec<Packed>);

impl Fates {
    pub(crate) fn push(&mut self, fate: Fate) {
        self.0.push(Packed::of(fate));
    }

    /// The bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Packed>()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Fate> + '_ {
        self.0.iter().map(|packed| packed.fate())
    }
}

/// The bytes of a record: its key and number, and something to make it as long as an event.
pub(crate) fn value(key: usize, number: usize) -> String {
    format!("{key} {number} {:0>160}", key * number)
}

/// The key and number in a record's value.
pub(crate) fn key_and_number(value: &[u8]) -> (usize, usize) {
    let mut words = std::str::from_utf8(value).unwrap().split(' ').map(|word| word.parse().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}

/// Compares a log, fed partition by partition in the order of offsets, with what its writers were told.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    fates: &'a [Fates],
    found: Vec<Vec<u8>>,
    /// By key and partition: a key that moved to another partition begins a new order there.
    last: BTreeMap<(usize, i32), usize>,
    verdict: Verdict,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(fates: &'a [Fates]) -> Self {
        let found = fates.iter().map(|fates| vec![0; fates.0.len()]).collect();
        Self { fates, found, last: BTreeMap::new(), verdict: Verdict::default() }
    }

    pub(crate) fn found(&mut self, partition: i32, offset: i64, value: &[u8]) {
        let (key, number) = key_and_number(value);
        self.found_number(partition, offset, key, number);
    }

    /// The same for a record whose value was read.
    pub(crate) fn found_number(&mut self, partition: i32, offset: i64, key: usize, number: usize) {
        let Some(fate) = self.fates.get(key).and_then(|fates| fates.0.get(number)) else {
            self.verdict.foreign += 1;
            self.verdict.tell(format_args!("{key} {number} at {partition} {offset} is nobody's"));
            return;
        };
        self.found[key][number] += 1;
        if self.found[key][number] > 1 {
            self.verdict.duplicates += 1;
            self.verdict.tell(format_args!("{key} {number} is there again, at {partition} {offset}"));
            return;
        }
        let before = self.last.insert((key, partition), number);
        if let Some(before) = before.filter(|before| *before > number) {
            self.verdict.order_breaks += 1;
            self.verdict.tell(format_args!("{key} {number} at {partition} {offset} comes after {before}"));
        }
        match fate.fate() {
            Fate::Acked { partition: told, offset: at } => {
                if told != partition || at.is_some_and(|at| at != offset) {
                    self.verdict.misplaced += 1;
                    let told = (told, at);
                    self.verdict
                        .tell(format_args!("{key} {number} is at {partition} {offset}, not {told:?}"));
                }
            }
            Fate::NotSent => {
                self.verdict.written_not_sent += 1;
                self.verdict.tell(format_args!("{key} {number}, not sent, is at {partition} {offset}"));
            }
            Fate::Unknown => self.verdict.unknown_written += 1,
        }
    }

    pub(crate) fn end(mut self) -> Verdict {
        for (key, (fates, found)) in self.fates.iter().zip(&self.found).enumerate() {
            for (number, (fate, found)) in fates.iter().zip(found).enumerate() {
                match fate {
                    Fate::Acked { .. } => {
                        self.verdict.acked += 1;
                        if *found == 0 {
                            self.verdict.lost += 1;
                            self.verdict.tell(format_args!("{key} {number} is lost: {fate:?}"));
                        }
                    }
                    Fate::NotSent => self.verdict.not_sent += 1,
                    Fate::Unknown => self.verdict.unknown += 1,
                }
            }
        }
        self.verdict
    }
}

/// What a history comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) acked: u64,
    /// Acked, and not in the log.
    pub(crate) lost: u64,
    /// In the log once more.
    pub(crate) duplicates: u64,
    /// Behind a later record of its key.
    pub(crate) order_breaks: u64,
    /// Acked for another place.
    pub(crate) misplaced: u64,
    /// In the log though it was not to be.
    pub(crate) written_not_sent: u64,
    /// In the log and nobody's.
    pub(crate) foreign: u64,
    pub(crate) not_sent: u64,
    pub(crate) unknown: u64,
    /// Of those, how many are in the log.
    pub(crate) unknown_written: u64,
    /// The first of what is wrong, in words.
    breaches: Vec<String>,
}

impl Verdict {
    /// Nothing lost, twice or out of order, and no sender was told a falsehood.
    pub(crate) fn is_clean(&self) -> bool {
        let honest = self.misplaced + self.written_not_sent + self.foreign;
        self.lost + self.duplicates + self.order_breaks + honest == 0
    }

    fn tell(&mut self, breach: fmt::Arguments<'_>) {
        if self.breaches.len() < BREACHES_TOLD {
            self.breaches.push(breach.to_string());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acked, lost, duplicates, order_breaks, not_sent, unknown, unknown_written, .. } = self;
        write!(f, "{acked} acked, {lost} lost, {duplicates} twice, {order_breaks} out of order, ")?;
        write!(f, "{not_sent} not sent, {unknown} unknown ({unknown_written} of them written)")?;
        let Self { misplaced, written_not_sent, foreign, .. } = self;
        if misplaced + written_not_sent + foreign > 0 {
            write!(
                f,
                ", {misplaced} elsewhere, {written_not_sent} written though not sent, {foreign} nobody's"
            )?;
        }
        if !self.breaches.is_empty() {
            write!(f, "; {}", self.breaches.join("; "))?;
        }
        Ok(())
    }
}

const BREACHES_TOLD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(fates: &[Fate], log: &[usize]) -> Verdict {
        let mut one = Fates::default();
        fates.iter().for_each(|fate| one.push(*fate));
        let fates = [one];
        let mut judge = Judge::new(&fates);
        for (offset, number) in (0..).zip(log) {
            judge.found(0, offset, value(0, *number).as_bytes());
        }
        judge.end()
    }

    fn acked(offset: i64) -> Fate {
        Fate::Acked { partition: 0, offset: Some(offset) }
    }

    #[test]
    fn each_breach_is_seen() {
        let two = [acked(0), acked(1)];
        assert!(judged(&two, &[0, 1]).is_clean());
        assert_eq!(judged(&two, &[0]).lost, 1);
        assert_eq!(judged(&two, &[0, 1, 1]).duplicates, 1);
        let swapped = judged(&two, &[1, 0]);
        assert_eq!((swapped.order_breaks, swapped.misplaced), (1, 2));
        assert_eq!(judged(&two, &[0, 1, 2]).foreign, 1);
        assert_eq!(judged(&[Fate::NotSent], &[0]).written_not_sent, 1);
    }

    #[test]
    fn an_unknown_record_may_be_there_once() {
        let unknown = [Fate::Unknown, Fate::Acked { partition: 0, offset: None }];
        assert!(judged(&unknown, &[0, 1]).is_clean());
        assert!(judged(&unknown, &[1]).is_clean());
        assert!(!judged(&unknown, &[0, 0, 1]).is_clean());
    }
}
