//! Judges a history: what was promised, against what happened.
//!
//! What is allowed, and why:
//!
//! * A record whose outcome is `Unknown` is in the log once or not at all: that is what the word says.
//! * Such a record may stand behind later ones of its key when its producer had to take another producer id meanwhile:
//!   another id, unlike another epoch, does not fence what is still on its way under the old one.
//! * A group's offset may go back when a commit arrives over a connection that its client gave up before: commits carry no
//!   number, so the coordinator cannot tell a late one from a new one. It costs a second delivery, no record.
//! * A member that the coordinator forgot may hand out records until it hears of that, so after such a fault two
//!   members may have one partition for a while.
//! * Records that were compacted, or cut off the start of the log, may or may not have been read before; a reader that
//!   had not come so far starts again where its rule says.
//! * A member that lost a partition before its first commit starts where its rule says, as the first time.
//! * Records are handed out again after a rebalance: at least once. Within one assignment they are not.

use crate::history::{ANYWHERE, Commit, Event, History, Id, Line, Logged, Outcome, Place, Sight};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

/// Which promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Acked and not in the log, or not where the ack said.
    Lost,
    Duplicate,
    /// Not in the order of its key.
    Order,
    /// In the log though the producer said that it is not.
    Honesty,
    /// In the log in another place than it belongs, or with bytes that nobody made.
    Garbled,
    /// No outcome, or not read, though nothing is in the way any more.
    NoProgress,
    /// In the log, and passed over by a reader.
    Skipped,
    /// Read though no reader may see it.
    AbortedRead,
    /// Read otherwise than it is in the log.
    Inconsistent,
    /// Read again, or before what came earlier, within one assignment.
    WentBack,
    /// Committed though not all before it was done.
    CommittedEarly,
    /// The group's offset went back.
    CommitWentBack,
    /// Handed out by a reader that no longer had the partition, or finished there.
    AfterRevoke,
    /// A rule chose an offset though there was one to go on from.
    Reset,
    /// A client named an older leader epoch than before.
    EpochWentBack,
    /// An error that nothing in the run explains.
    Error,
    Memory,
    /// More requests or connects within a second than any reason explains.
    HotLoop,
    /// `close`, or another call with a limit, did not return in time.
    Hang,
    Panic,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// All that is wrong with a history.
pub(crate) fn judge(history: &History) -> Vec<Violation> {
    let mut judge = Judge { history, found: Vec::new() };
    judge.sends();
    judge.order();
    judge.commits();
    for reader in 0..history.readers.len() {
        judge.reader(reader);
    }
    judge.coverage();
    judge.owners();
    judge.found
}

struct Judge<'a> {
    history: &'a History,
    found: Vec<Violation>,
}

impl Judge<'_> {
    fn complain(&mut self, kind: Kind, what: impl Into<String>) {
        self.found.push(Violation { kind, what: what.into() });
    }

    fn sends(&mut self) {
        let history = self.history;
        let mut logged: BTreeMap<Id, Vec<(Place, i64)>> = BTreeMap::new();
        for (place, log) in &history.log {
            for record in log {
                let Some(id) = record.id else {
                    self.complain(Kind::Garbled, format!("{place:?} holds {record:?}"));
                    continue;
                };
                logged.entry(id).or_default().push((*place, record.offset));
                if record.tag != *place && record.tag != (place.0, ANYWHERE) {
                    self.complain(
                        Kind::Garbled,
                        format!("{id:?} belongs to {:?} and is in {place:?}", record.tag),
                    );
                }
            }
        }
        let sent: BTreeSet<Id> = history.sends.iter().map(|send| send.id).collect();
        for (id, at) in &logged {
            if !sent.contains(id) && id.producer < STRANGERS {
                self.complain(Kind::Honesty, format!("{id:?} was not taken, and is at {at:?}"));
            }
            if at.len() > 1 {
                self.complain(Kind::Duplicate, format!("{id:?} is at {at:?}"));
            }
        }
        for send in &history.sends {
            let at = logged.get(&send.id).map_or(&[][..], Vec::as_slice);
            let id = send.id;
            match &send.outcome {
                Outcome::Open => {
                    self.complain(Kind::NoProgress, format!("{id:?} has no outcome, and is at {at:?}"));
                }
                Outcome::Acked { offset } => {
                    let is_there = |(place, found): &(Place, i64)| {
                        *place == send.place && offset.is_none_or(|offset| offset == *found)
                    };
                    if !at.iter().any(is_there) {
                        let told = (send.place, offset);
                        self.complain(Kind::Lost, format!("{id:?} was acked at {told:?} and is at {at:?}"));
                    }
                }
                Outcome::NotSent(cause) if !at.is_empty() => {
                    self.complain(
                        Kind::Honesty,
                        format!("{id:?} was called not sent ({cause}) and is at {at:?}"),
                    );
                }
                Outcome::NotSent(_) | Outcome::Unknown(_) => {}
            }
        }
    }

    fn order(&mut self) {
        let history = self.history;
        let unknown: BTreeSet<Id> = history
            .sends
            .iter()
            .filter(|send| matches!(send.outcome, Outcome::Unknown(_)))
            .map(|send| send.id)
            .collect();
        for (place, log) in &history.log {
            let mut producer_ids: BTreeMap<usize, BTreeSet<i64>> = BTreeMap::new();
            for (id, record) in log.iter().filter_map(|record| Some((record.id?, record))) {
                producer_ids.entry(id.producer).or_default().insert(record.producer_id);
            }
            let mut last: BTreeMap<(usize, u64), Id> = BTreeMap::new();
            for (id, record) in log.iter().filter_map(|record| Some((record.id?, record))) {
                if producer_ids[&id.producer].len() > 1 && unknown.contains(&id) {
                    continue;
                }
                if let Some(before) = last.insert((id.producer, record.key), id)
                    && before.number > id.number
                {
                    self.complain(
                        Kind::Order,
                        format!("{place:?}: key {}: {before:?}, then {id:?}", record.key),
                    );
                }
            }
        }
    }

    /// Offsets of the group: never back, and never past what is not done.
    fn commits(&mut self) {
        let history = self.history;
        let mut done: BTreeMap<Place, BTreeSet<i64>> = BTreeMap::new();
        let mut committed: BTreeMap<Place, i64> = BTreeMap::new();
        for (at_ms, line) in &history.lines {
            match line {
                Line::Reader(reader, Event::Acked { place, offset }) if history.readers[*reader] => {
                    done.entry(*place).or_default().insert(*offset);
                }
                Line::Committed(Commit { place, offset, is_late }) => {
                    let before = committed.insert(*place, *offset).unwrap_or(0);
                    if *offset < before && !is_late {
                        let what = format!("{at_ms} ms: {place:?}: from {before} to {offset}");
                        self.complain(Kind::CommitWentBack, what);
                    }
                    let done = done.get(place);
                    let missing = visible(history, *place)
                        .map(|record| record.offset)
                        .filter(|at| (before..*offset).contains(at))
                        .find(|at| done.is_none_or(|done| !done.contains(at)));
                    if let Some(missing) = missing {
                        let what = format!("{at_ms} ms: {place:?}: {offset}, but {missing} is not done");
                        self.complain(Kind::CommittedEarly, what);
                    }
                }
                _ => {}
            }
        }
    }

    /// What one reader saw, in itself and against the log.
    fn reader(&mut self, reader: usize) {
        let history = self.history;
        let mut next: BTreeMap<Place, i64> = BTreeMap::new();
        let mut was_read: BTreeSet<Place> = BTreeSet::new();
        let mut committed: BTreeMap<Place, u64> = BTreeMap::new();
        // For which partitions the group had an offset when they were assigned last. A member that is busy tells late of
        // what it got, hence the second.
        let mut had_offset: BTreeSet<Place> = BTreeSet::new();
        let is_member = history.readers[reader];
        for (at_ms, line) in &history.lines {
            let event = match line {
                Line::Reader(whose, event) if *whose == reader => event,
                Line::Committed(commit) => {
                    committed.entry(commit.place).or_insert(*at_ms);
                    continue;
                }
                _ => continue,
            };
            let told = |what: String| format!("{at_ms} ms: reader {reader}: {what}");
            match event {
                Event::Assigned(places) => places.iter().for_each(|place| {
                    next.remove(place);
                    if committed.get(place).is_some_and(|since_ms| since_ms + 1_000 <= *at_ms) {
                        had_offset.insert(*place);
                    }
                }),
                Event::Read { place, offset, id, is_assigned } => {
                    self.read_matches(&told("".into()), *place, *offset, *id);
                    if !is_assigned {
                        self.complain(Kind::AfterRevoke, told(format!("{place:?} at {offset}")));
                    }
                    // A member starts at what was committed, whatever that is; whoever reads alone starts at the start.
                    let from = next.get(place).copied().or((!is_member).then_some(0));
                    next.insert(*place, from.unwrap_or(0).max(offset + 1));
                    if from.is_some_and(|from| *offset < from) {
                        self.complain(Kind::WentBack, told(format!("{place:?}: {offset}, after {from:?}")));
                    }
                    let passed = from.and_then(|from| {
                        visible(history, *place).find(|record| (from..*offset).contains(&record.offset))
                    });
                    if let Some(passed) = passed {
                        let what = format!("{place:?}: {offset} came, and {} did not", passed.offset);
                        self.complain(Kind::Skipped, told(what));
                    }
                    was_read.insert(*place);
                }
                Event::Reset { place, from, to } => {
                    // Whoever has not come to an offset before the start of the log was cut goes on at the new one.
                    let start = history.trimmed.get(place).copied().unwrap_or(0);
                    let is_first =
                        if is_member { !had_offset.contains(place) } else { !was_read.contains(place) };
                    let is_due = from.map_or(is_first, |from| from < start);
                    if is_due {
                        continue;
                    }
                    self.complain(Kind::Reset, told(format!("{place:?} from {from:?} to {to}")));
                }
                Event::Failed(error) => self.complain(Kind::Error, told(error.clone())),
                _ => {}
            }
        }
        if !is_member {
            for (place, log) in &history.log {
                let from = next.get(place).copied().unwrap_or(0);
                let unread = log.iter().find(|record| record.sight == Sight::Must && record.offset >= from);
                if let Some(unread) = unread {
                    let what = format!("reader {reader} has not read {place:?} at {}", unread.offset);
                    self.complain(Kind::NoProgress, what);
                }
            }
        }
    }

    fn read_matches(&mut self, told: &str, place: Place, offset: i64, id: Option<Id>) {
        let log = self.history.log.get(&place).map_or(&[][..], Vec::as_slice);
        match log.iter().find(|record| record.offset == offset) {
            Some(record) if record.sight == Sight::MustNot => {
                self.complain(Kind::AbortedRead, format!("{told}{place:?} at {offset}: {id:?}"));
            }
            Some(record) if record.id == id => {}
            found => {
                let what = format!("{told}{place:?} at {offset}: read {id:?}, and the log has {found:?}");
                self.complain(Kind::Inconsistent, what);
            }
        }
    }

    /// The group as a whole handed out and finished all there is.
    fn coverage(&mut self) {
        let history = self.history;
        if !history.readers.contains(&true) {
            return;
        }
        let mut done: BTreeSet<(Place, i64)> = BTreeSet::new();
        for (_, line) in &history.lines {
            if let Line::Reader(reader, Event::Acked { place, offset }) = line
                && history.readers[*reader]
            {
                done.insert((*place, *offset));
            }
        }
        for place in history.log.keys() {
            let missing = visible(history, *place).find(|record| !done.contains(&(*place, record.offset)));
            if let Some(missing) = missing {
                let what = format!("the group never finished {place:?} at {}", missing.offset);
                self.complain(Kind::NoProgress, what);
            }
        }
    }

    /// No member hands out or finishes records of a partition that another has got since.
    fn owners(&mut self) {
        let history = self.history;
        let mut owner: BTreeMap<Place, usize> = BTreeMap::new();
        // Members that may have been forgotten without knowing it yet.
        let mut unaware: BTreeSet<usize> = BTreeSet::new();
        for (at_ms, line) in &history.lines {
            match line {
                Line::Expelled => unaware.extend(owner.values()),
                Line::Reader(reader, event) if history.readers[*reader] => match event {
                    Event::Assigned(places) => {
                        owner.extend(places.iter().map(|place| (*place, *reader)));
                    }
                    Event::Lost(_) => {
                        unaware.remove(reader);
                    }
                    // What it finishes now would be committed over the other's head.
                    Event::Read { place, offset, .. } | Event::Acked { place, offset }
                        if !unaware.contains(reader) =>
                    {
                        if let Some(other) = owner.get(place).filter(|other| *other != reader) {
                            let what = format!(
                                "{at_ms} ms: reader {reader}: {event:?} at {offset}, though {other} has it since"
                            );
                            self.complain(Kind::AfterRevoke, what);
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

fn visible(history: &History, place: Place) -> impl Iterator<Item = &Logged> {
    history.log.get(&place).into_iter().flatten().filter(|record| record.sight == Sight::Must)
}

/// Producers from this number on are not the client's own.
pub(crate) const STRANGERS: usize = 100;

#[cfg(test)]
mod tests;
