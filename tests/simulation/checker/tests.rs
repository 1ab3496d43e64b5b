//! Each promise broken once, in a history that is sound but for that.

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
