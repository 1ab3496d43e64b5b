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
mod tests {
    use super::*;
    use crate::history::Send;

    const P: Place = (0, 0);

    fn id(number: u64) -> Id {
        Id { producer: 0, number }
    }

    fn logged(offset: i64, number: u64) -> Logged {
        Logged { offset, id: Some(id(number)), key: 0, tag: P, producer_id: 1, sight: Sight::Must }
    }

    fn sent(number: u64, outcome: Outcome) -> Send {
        Send { id: id(number), place: P, outcome }
    }

    fn acked(offset: i64) -> Outcome {
        Outcome::Acked { offset: Some(offset) }
    }

    fn read(offset: i64, number: u64) -> Event {
        Event::Read { place: P, offset, id: Some(id(number)), is_assigned: true }
    }

    fn done(offset: i64) -> Event {
        Event::Acked { place: P, offset }
    }

    fn commit(offset: i64) -> Line {
        Line::Committed(Commit { place: P, offset, is_late: false })
    }

    /// Three records that reader 0, alone, and reader 1, a member, have read.
    fn sound() -> History {
        let mut history = History { readers: vec![false, true], ..History::default() };
        for (offset, number) in [(0, 0), (1, 1), (2, 2)] {
            history.sends.push(sent(number, acked(offset)));
            history.log.entry(P).or_default().push(logged(offset, number));
        }
        add(&mut history, 0, (0..3).map(|at| read(at, at.unsigned_abs())));
        add(&mut history, 1, [Event::Assigned(vec![P])]);
        add(&mut history, 1, (0..3).map(|at| read(at, at.unsigned_abs())));
        add(&mut history, 1, (0..3).map(done));
        history.lines.push((0, commit(3)));
        history
    }

    fn add(history: &mut History, reader: usize, events: impl IntoIterator<Item = Event>) {
        history.lines.extend(events.into_iter().map(|event| (0, Line::Reader(reader, event))));
    }

    fn kinds(history: &History) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = judge(history).into_iter().map(|violation| violation.kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// The sound history with one thing changed.
    fn with(change: impl FnOnce(&mut History)) -> Vec<Kind> {
        let mut history = sound();
        change(&mut history);
        kinds(&history)
    }

    fn log(history: &mut History) -> &mut Vec<Logged> {
        history.log.get_mut(&P).unwrap()
    }

    /// Index of the line at which a reader read an offset.
    fn line(history: &History, reader: usize, at: i64) -> usize {
        let is_it = |line: &Line| matches!(line, Line::Reader(r, Event::Read { offset, .. }) if *r == reader && *offset == at);
        history.lines.iter().position(|(_, line)| is_it(line)).unwrap()
    }

    #[test]
    fn a_sound_history_is_sound() {
        assert_eq!(judge(&sound()), []);
    }

    #[test]
    fn an_acked_record_that_is_not_there() {
        assert_eq!(with(|h| h.sends.push(sent(3, acked(3)))), [Kind::Lost]);
        assert_eq!(with(|h| h.sends[0].outcome = acked(2)), [Kind::Lost]);
        assert_eq!(with(|h| h.sends[0].outcome = Outcome::Acked { offset: None }), []);
    }

    #[test]
    fn a_record_that_is_there_twice() {
        let found = with(|h| {
            log(h).push(logged(3, 2));
            add(h, 0, [read(3, 2)]);
            add(h, 1, [read(3, 2), done(3)]);
        });
        assert_eq!(found, [Kind::Duplicate]);
    }

    #[test]
    fn records_of_a_key_in_another_order() {
        let swap = |h: &mut History| {
            let log = log(h);
            (log[0].id, log[1].id) = (log[1].id, log[0].id);
            (h.sends[0].outcome, h.sends[1].outcome) = (acked(1), acked(0));
            for line in &mut h.lines {
                if let Line::Reader(_, Event::Read { offset, id: read, .. }) = &mut line.1
                    && *offset < 2
                {
                    *read = Some(id(1 - offset.unsigned_abs()));
                }
            }
        };
        assert_eq!(with(swap), [Kind::Order]);
        // Of other keys, or late and told to be uncertain, they may be.
        assert_eq!(
            with(|h| {
                swap(h);
                log(h)[0].key = 1;
            }),
            []
        );
        assert_eq!(
            with(|h| {
                swap(h);
                h.sends[0].outcome = Outcome::Unknown(String::new());
            }),
            [Kind::Order]
        );
        assert_eq!(
            with(|h| {
                swap(h);
                h.sends[0].outcome = Outcome::Unknown(String::new());
                log(h)[0].producer_id = 2;
            }),
            []
        );
    }

    #[test]
    fn an_outcome_that_was_not_so() {
        assert_eq!(with(|h| h.sends[0].outcome = Outcome::NotSent("x".into())), [Kind::Honesty]);
        assert_eq!(with(|h| h.sends[0].outcome = Outcome::Unknown("x".into())), []);
        assert_eq!(with(|h| h.sends.push(sent(3, Outcome::Unknown("x".into())))), []);
        assert_eq!(with(|h| h.sends.push(sent(3, Outcome::NotSent("x".into())))), []);
        assert_eq!(with(|h| h.sends.push(sent(3, Outcome::Open))), [Kind::NoProgress]);
        assert_eq!(with(|h| drop(h.sends.pop())), [Kind::Honesty]);
    }

    #[test]
    fn a_record_in_another_place_or_with_other_bytes() {
        assert_eq!(with(|h| log(h)[0].tag = (1, 0)), [Kind::Garbled]);
        assert!(with(|h| log(h)[0].id = None).contains(&Kind::Garbled));
    }

    #[test]
    fn a_record_that_a_reader_passed_over() {
        let found = with(|h| drop(h.lines.remove(line(h, 0, 1))));
        assert_eq!(found, [Kind::Skipped]);
        let found = with(|h| drop(h.lines.remove(line(h, 0, 2))));
        assert_eq!(found, [Kind::NoProgress]);
        // A member that did so has the next one read it, or nobody did.
        let found = with(|h| drop(h.lines.remove(line(h, 1, 1))));
        assert_eq!(found, [Kind::Skipped]);
    }

    #[test]
    fn a_record_that_nobody_may_see() {
        assert_eq!(with(|h| log(h)[1].sight = Sight::MustNot), [Kind::AbortedRead]);
        // What is there no more may have been read before, or not.
        assert_eq!(with(|h| log(h)[1].sight = Sight::May), []);
        let compacted = |h: &mut History| {
            log(h)[1].sight = Sight::May;
            h.lines.remove(line(h, 0, 1));
        };
        assert_eq!(with(compacted), []);
    }

    #[test]
    fn a_read_that_is_not_what_the_log_has() {
        assert_eq!(with(|h| add(h, 0, [read(3, 7)])), [Kind::Inconsistent]);
        assert_eq!(
            with(|h| {
                let at = line(h, 0, 1);
                h.lines[at].1 = Line::Reader(0, read(1, 2));
            }),
            [Kind::Inconsistent]
        );
    }

    #[test]
    fn a_reader_that_went_back() {
        assert_eq!(with(|h| add(h, 0, [read(1, 1)])), [Kind::WentBack]);
        assert_eq!(with(|h| add(h, 1, [read(1, 1)])), [Kind::WentBack]);
        // After the partition went and came it starts at what was committed.
        assert_eq!(with(|h| add(h, 1, [Event::Assigned(vec![P]), read(1, 1)])), []);
    }

    #[test]
    fn a_commit_of_what_is_not_done() {
        let found = with(|h| {
            h.lines.retain(|(_, line)| *line != Line::Reader(1, done(1)));
            add(h, 1, [done(1)]);
        });
        assert_eq!(found, [Kind::CommittedEarly]);
    }

    #[test]
    fn a_commit_that_goes_back() {
        assert_eq!(with(|h| h.lines.push((0, commit(2)))), [Kind::CommitWentBack]);
        let late = Line::Committed(Commit { place: P, offset: 2, is_late: true });
        assert_eq!(with(|h| h.lines.push((0, late))), []);
    }

    #[test]
    fn a_record_handed_out_after_its_partition_went() {
        let gone = Event::Read { place: P, offset: 2, id: Some(id(2)), is_assigned: false };
        assert_eq!(with(|h| add(h, 1, [Event::Assigned(vec![P]), gone])), [Kind::AfterRevoke]);
        let other = |h: &mut History| {
            h.readers.push(true);
            add(h, 1, [Event::Assigned(vec![P])]);
            add(h, 2, [Event::Assigned(vec![P]), read(0, 0)]);
        };
        assert_eq!(with(other), []);
        let both = |h: &mut History| {
            other(h);
            add(h, 1, [read(0, 0)]);
        };
        assert_eq!(with(both), [Kind::AfterRevoke]);
        let acks = |h: &mut History| {
            other(h);
            add(h, 1, [done(0)]);
        };
        assert_eq!(with(acks), [Kind::AfterRevoke]);
        let forgotten = |h: &mut History| {
            h.lines.push((0, Line::Expelled));
            both(h);
        };
        assert_eq!(with(forgotten), []);
    }

    #[test]
    fn a_reset_that_nothing_asked_for() {
        let reset = |from| Event::Reset { place: P, from, to: 0 };
        assert_eq!(with(|h| add(h, 0, [reset(None)])), [Kind::Reset]);
        assert_eq!(with(|h| add(h, 0, [reset(Some(9))])), [Kind::Reset]);
        assert_eq!(with(|h| h.lines.insert(0, (0, Line::Reader(1, reset(None))))), []);
        // A member that lost its partition before anything was committed starts anew.
        assert_eq!(with(|h| add(h, 1, [Event::Assigned(vec![P]), reset(None)])), []);
        let later = |h: &mut History| {
            h.lines.push((5_000, Line::Reader(1, Event::Assigned(vec![P]))));
            h.lines.push((5_000, Line::Reader(1, reset(None))));
        };
        assert_eq!(with(later), [Kind::Reset]);
        let cut = |h: &mut History| {
            h.trimmed.insert(P, 10);
            add(h, 0, [reset(Some(9))]);
        };
        assert_eq!(with(cut), []);
    }

    #[test]
    fn an_error_and_what_a_group_left_undone() {
        assert_eq!(with(|h| add(h, 0, [Event::Failed("x".into())])), [Kind::Error]);
        let found = with(|h| {
            h.lines.retain(|(_, line)| *line != Line::Reader(1, done(2)) && *line != commit(3));
        });
        assert_eq!(found, [Kind::NoProgress]);
    }
}
