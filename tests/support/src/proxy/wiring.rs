//! Task: what all connections of a proxy share: the rules, the counts, and word of a rule's removal.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::frames::RequestHead;
use super::rule::{Direction, Rule};
use super::rules::{RuleId, Rules, Sight, Verdict};
use super::tape::Tape;

#[derive(Debug)]
pub(super) struct Wiring {
    rules: Mutex<Rules>,
    traffic: Mutex<Traffic>,
    removals: watch::Sender<u64>,
    tape: OnceLock<Tape>,
}

/// What came, harmed or not.
#[derive(Debug, Default)]
struct Traffic {
    frames: BTreeMap<(Direction, Option<i16>), Frames>,
    connections: u64,
}

/// Of one API and direction.
#[derive(Debug, Default, Clone, Copy)]
struct Frames {
    count: u64,
    longest: usize,
}

impl Wiring {
    pub(super) fn new(seed: u64) -> Self {
        let (removals, _) = watch::channel(0);
        Self {
            rules: Mutex::new(Rules::new(seed)),
            traffic: Mutex::default(),
            removals,
            tape: OnceLock::new(),
        }
    }

    pub(super) fn add(&self, rule: Rule) -> RuleId {
        lock(&self.rules).add(rule)
    }

    pub(super) fn remove(&self, id: RuleId) {
        lock(&self.rules).remove(id);
        self.removals.send_modify(|count| *count += 1);
    }

    pub(super) fn clear(&self) {
        lock(&self.rules).clear();
        self.removals.send_modify(|count| *count += 1);
    }

    pub(super) fn judge(&self, sight: Sight) -> Verdict {
        {
            let mut traffic = lock(&self.traffic);
            let frames = traffic.frames.entry((sight.direction, sight.api_key)).or_default();
            frames.count += 1;
            frames.longest = frames.longest.max(sight.len);
        }
        lock(&self.rules).judge(sight)
    }

    /// Writes answers to this folder from now on; a second folder changes nothing.
    pub(super) fn record_into(&self, folder: &Path) {
        self.tape.get_or_init(|| Tape::new(folder));
    }

    /// An answer came, before anybody harmed it.
    pub(super) fn answered(&self, head: RequestHead, frame: &[u8]) {
        if let Some(tape) = self.tape.get() {
            tape.write(head, frame);
        }
    }

    /// A connection came; says its number and how long it is to live.
    pub(super) fn connected(&self, node: i32) -> (u64, Option<(RuleId, Duration)>) {
        let number = {
            let mut traffic = lock(&self.traffic);
            traffic.connections += 1;
            traffic.connections
        };
        (number, lock(&self.rules).life(node, number))
    }

    pub(super) fn life_ended(&self, id: RuleId) {
        lock(&self.rules).life_ended(id);
    }

    /// Returns when the rule stands no more.
    pub(super) async fn removed(&self, id: RuleId) {
        let mut removals = self.removals.subscribe();
        // The sender is ours, so this ends by the rule's end only.
        let _ = removals.wait_for(|_| !lock(&self.rules).stands(id)).await;
    }

    pub(super) fn injected_by(&self, id: RuleId) -> u64 {
        lock(&self.rules).injected_by(id)
    }

    pub(super) fn injected(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.rules).injected().clone()
    }

    pub(super) fn frames(&self, direction: Direction, api_key: i16) -> u64 {
        self.frames_of(direction, api_key).count
    }

    pub(super) fn longest_frame(&self, direction: Direction, api_key: i16) -> usize {
        self.frames_of(direction, api_key).longest
    }

    fn frames_of(&self, direction: Direction, api_key: i16) -> Frames {
        lock(&self.traffic).frames.get(&(direction, Some(api_key))).copied().unwrap_or_default()
    }

    pub(super) fn connections(&self) -> u64 {
        lock(&self.traffic).connections
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
