//! What the members of a group handed out, partition by partition, and how long each partition went without.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A partition that went from one member to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    /// From when the first member was told of the revoke, or asked to leave, to the other's first record.
    pub(super) since_revoke: Duration,
    /// From the first member's last record to the other's first.
    pub(super) gap: Duration,
}

/// What happened between two looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Spell {
    /// The longest time between two records of a partition that stayed with its member.
    pub(super) stay_gap: Duration,
    pub(super) moves: Vec<Move>,
}

#[derive(Debug, Default)]
struct Page {
    /// By offset, how often it was handed out.
    times: Vec<u8>,
    handed_out: u64,
    last: Option<(usize, Instant)>,
    revoked_at: Option<Instant>,
    longest_gap: Duration,
    moves: Vec<Move>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Book {
    pages: Vec<Mutex<Page>>,
    breaches: Mutex<Vec<String>>,
}

impl Book {
    pub(super) fn new(partitions: i32) -> Self {
        Self { pages: (0..partitions).map(|_| Mutex::default()).collect(), breaches: Mutex::default() }
    }

    /// A member hands out these.
    pub(super) fn handed_out(&self, member: usize, partition: i32, offsets: impl Iterator<Item = i64>) {
        let now = Instant::now();
        let mut page = self.page(partition);
        for offset in offsets {
            let place = usize::try_from(offset).unwrap();
            if page.times.len() <= place {
                page.times.resize(place + 1, 0);
            }
            page.times[place] = page.times[place].saturating_add(1);
            page.handed_out += 1;
        }
        match page.last.replace((member, now)) {
            Some((before, at)) if before != member => {
                let revoked_at = page.revoked_at.take().unwrap_or(at);
                page.moves.push(Move { since_revoke: now - revoked_at, gap: now - at });
            }
            Some((_, at)) => page.longest_gap = page.longest_gap.max(now - at),
            None => {}
        }
    }

    /// A member has to give these back.
    pub(super) fn revoked(&self, partitions: impl Iterator<Item = i32>) {
        let now = Instant::now();
        for partition in partitions {
            self.page(partition).revoked_at = Some(now);
        }
    }

    /// What must not be.
    pub(super) fn breach(&self, what: String) {
        self.breaches.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(super) fn breaches(&self) -> Vec<String> {
        self.breaches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What happened since the last look.
    pub(super) fn take_spell(&self) -> Spell {
        let mut spell = Spell::default();
        for page in &self.pages {
            let mut page = page.lock().unwrap_or_else(PoisonError::into_inner);
            let gap = std::mem::take(&mut page.longest_gap);
            if page.moves.is_empty() {
                spell.stay_gap = spell.stay_gap.max(gap);
            }
            spell.moves.append(&mut page.moves);
        }
        spell
    }

    /// How many records each partition's readers were given.
    pub(super) fn counts(&self) -> Vec<u64> {
        (0..).take(self.pages.len()).map(|partition| self.page(partition).handed_out).collect()
    }

    /// How many offsets below the partition's end nobody was given.
    pub(super) fn missing(&self, partition: i32, end: i64) -> usize {
        let end = usize::try_from(end).unwrap();
        let page = self.page(partition);
        let seen = page.times.iter().take(end).filter(|times| **times > 0).count();
        end - seen
    }

    /// How many hand-outs were of a record that had been handed out before.
    pub(super) fn again(&self) -> u64 {
        let again = (0..).take(self.pages.len()).map(|partition| {
            let page = self.page(partition);
            page.times.iter().map(|times| u64::from(times.saturating_sub(1))).sum::<u64>()
        });
        again.sum()
    }

    fn page(&self, partition: i32) -> MutexGuard<'_, Page> {
        let page = &self.pages[usize::try_from(partition).unwrap()];
        page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
