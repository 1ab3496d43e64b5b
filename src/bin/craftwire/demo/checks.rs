//! What must hold of the events that come back: each once, and each session's in order.
//!
//! Invariant: a judgement does not depend on which member of a group read an event, so partitions may move.

use craftwire::crafting::{ProgressUpdate, SessionEvent, Status, Topic};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use uuid::Uuid;

use super::ids::Tag;

/// What an event does to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Begin,
    Pause,
    Resume,
    Go,
    End,
}

/// How an event is to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    InOrder,
    /// It was received before.
    Duplicate,
    /// Its session was elsewhere, or is not known.
    OutOfOrder,
}

/// The checks of one topic, shared by the members of its group.
#[derive(Debug)]
pub(crate) struct Checks {
    seen: Numbers,
    partitions: Vec<Mutex<HashMap<Uuid, Place>>>,
}

/// Where a session is: the last number, and whether it is paused.
#[derive(Debug, Clone, Copy)]
struct Place {
    number: u64,
    is_paused: bool,
}

impl Checks {
    /// Room for `count` events.
    pub(crate) fn new(topic: Topic, count: usize) -> Self {
        let partitions = (0..topic.partitions()).map(|_| Mutex::default()).collect();
        Self { seen: Numbers::new(count), partitions }
    }

    /// Counts an event that came out of `partition`.
    pub(crate) fn judge(&self, partition: i32, session: Uuid, tag: Tag, step: Move) -> Finding {
        if !self.seen.mark(tag.number) {
            return Finding::Duplicate;
        }
        let Some(sessions) = usize::try_from(partition).ok().and_then(|at| self.partitions.get(at)) else {
            return Finding::OutOfOrder;
        };
        // One member reads a partition, so nobody else is waiting for this.
        let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = match (sessions.entry(session), step) {
            (Entry::Vacant(free), Move::Begin) => {
                free.insert(Place { number: tag.number, is_paused: false });
                return Finding::InOrder;
            }
            (Entry::Occupied(known), step) if step != Move::Begin && known.get().number < tag.number => known,
            _ => return Finding::OutOfOrder,
        };
        let was_paused = place.get().is_paused;
        let is_paused = step == Move::Pause || was_paused && step != Move::Resume;
        *place.get_mut() = Place { number: tag.number, is_paused };
        match step {
            Move::Pause if was_paused => return Finding::OutOfOrder,
            Move::Resume if !was_paused => return Finding::OutOfOrder,
            Move::End => drop(place.remove()),
            _ => {}
        }
        Finding::InOrder
    }

    /// How many of those numbers were not received.
    pub(crate) fn missing(&self, of: &Numbers) -> u64 {
        of.words
            .iter()
            .zip(&self.seen.words)
            .map(|(want, have)| u64::from((want.load(Relaxed) & !have.load(Relaxed)).count_ones()))
            .sum()
    }
}

/// A set of numbers from 0 on, which several threads add to.
#[derive(Debug)]
pub(crate) struct Numbers {
    words: Vec<AtomicU64>,
}

impl Numbers {
    /// Room for the numbers below `count`.
    pub(crate) fn new(count: usize) -> Self {
        Self { words: (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Adds a number; false if it was there already, or there is no room for it.
    pub(crate) fn mark(&self, number: u64) -> bool {
        let bit = 1 << (number % 64);
        usize::try_from(number / 64)
            .ok()
            .and_then(|at| self.words.get(at))
            .is_some_and(|word| word.fetch_or(bit, Relaxed) & bit == 0)
    }
}

/// What a session event does to its session.
pub(crate) fn move_of_event(event: &SessionEvent) -> Move {
    match event {
        SessionEvent::Start(_) => Move::Begin,
        SessionEvent::Pause(_) => Move::Pause,
        SessionEvent::Resume(_) => Move::Resume,
        SessionEvent::Complete(_) | SessionEvent::Fail(_) | SessionEvent::Cancel(_) => Move::End,
        _ => Move::Go,
    }
}

/// What a progress update does to its session. The demo's players interrupt a session only to cancel it.
pub(crate) fn move_of_update(update: &ProgressUpdate, begins: bool) -> Move {
    match update.status {
        _ if begins => Move::Begin,
        Status::Completed | Status::Failed { .. } | Status::Interrupted => Move::End,
        Status::Active | Status::Paused => Move::Go,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge_all(steps: &[(u64, Move)]) -> Vec<Finding> {
        let checks = Checks::new(Topic::Events, 100);
        let judge = |&(number, step): &(u64, Move)| {
            let tag = Tag { topic: Topic::Events, number, due_us: 0, begins: false };
            checks.judge(3, Uuid::from_u128(1), tag, step)
        };
        steps.iter().map(judge).collect()
    }

    #[test]
    fn a_whole_life_is_in_order() {
        let life = [
            (0, Move::Begin),
            (1, Move::Go),
            (5, Move::Pause),
            (6, Move::Go),
            (7, Move::Resume),
            (9, Move::End),
        ];
        assert_eq!(judge_all(&life), [Finding::InOrder; 6]);
    }

    #[test]
    fn what_came_before_is_a_duplicate() {
        let found = judge_all(&[(0, Move::Begin), (1, Move::End), (1, Move::End), (0, Move::Begin)]);
        assert_eq!(found[2..], [Finding::Duplicate; 2]);
    }

    #[test]
    fn every_break_of_the_order_is_seen() {
        for (steps, why) in [
            (&[(0, Move::Go)][..], "not begun"),
            (&[(0, Move::Begin), (1, Move::Begin)], "begun twice"),
            (&[(0, Move::Begin), (5, Move::Go), (4, Move::Go)], "overtaken"),
            (&[(0, Move::Begin), (1, Move::Resume)], "not paused"),
            (&[(0, Move::Begin), (1, Move::Pause), (2, Move::Pause)], "paused twice"),
            (&[(0, Move::Begin), (1, Move::End), (2, Move::Go)], "after the end"),
        ] {
            assert_eq!(judge_all(steps).last(), Some(&Finding::OutOfOrder), "{why}");
        }
    }

    #[test]
    fn what_is_missing_is_counted() {
        let checks = Checks::new(Topic::Events, 200);
        let acked = Numbers::new(200);
        for number in 0..150 {
            assert!(acked.mark(number));
        }
        for number in (0..200).filter(|number| number % 50 != 7) {
            let tag = Tag { topic: Topic::Events, number, due_us: 0, begins: false };
            checks.judge(0, Uuid::from_u128(u128::from(number)), tag, Move::Begin);
        }
        assert_eq!(checks.missing(&acked), 3);
        assert!(!acked.mark(149) && !acked.mark(9_999));
    }
}
