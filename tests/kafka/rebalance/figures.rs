//! What rebalances cost, measured and printed as a table.

use super::book::{Move, Spell};
use std::{fmt, time::Duration};

/// One kind of change, each time that it was made.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) name: &'static str,
    stay_gap: Duration,
    moves: Vec<Move>,
    settled: Vec<Duration>,
    times: usize,
}

impl Row {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    pub(super) fn add(&mut self, spell: Spell, settled: Option<Duration>) {
        self.stay_gap = self.stay_gap.max(spell.stay_gap);
        self.moves.extend(spell.moves);
        self.settled.extend(settled);
        self.times += 1;
    }

    pub(super) fn stay_gap(&self) -> Duration {
        self.stay_gap
    }

    pub(super) fn slowest_move(&self) -> Duration {
        self.moves.iter().map(|one| one.since_revoke).max().unwrap_or_default()
    }

    pub(super) fn slowest_settling(&self) -> Duration {
        self.settled.iter().copied().max().unwrap_or_default()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, times, stay_gap, .. } = self;
        let since_revoke = spread(self.moves.iter().map(|one| one.since_revoke));
        let gap = spread(self.moves.iter().map(|one| one.gap));
        let settled = spread(self.settled.iter().copied());
        let (stay_gap, moved) = (millis(*stay_gap), self.moves.len());
        write!(f, "| {name} | {times} | {stay_gap} | {moved} | {since_revoke} | {gap} | {settled} |")
    }
}

pub(super) const HEADER: &str = "\
| protocol | change | times | longest gap of what stays, ms | moved | revoke to first record, ms | gap of what moves, ms | settled, ms |
|---|---|---|---|---|---|---|---|";

/// The median, and the worst in brackets.
fn spread(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    match times[..] {
        [] => "–".to_owned(),
        [.., worst] => format!("{} ({})", millis(times[times.len() / 2]), millis(worst)),
    }
}

fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}
