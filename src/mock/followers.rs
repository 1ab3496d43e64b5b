//! How far each replica has copied a partition's log: a model of followers that copy some time after the append.
//!
//! Invariant: a follower's end is never past the leader's, and lies between two appends. While every replica is in
//! step at once ends are not kept, and an append costs nothing here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What decides when a replica is in sync.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// `min.insync.replicas` of the topic.
    pub(crate) isr_min: usize,
    /// `replica.lag.time.max.ms`.
    pub(crate) lag_time_max: Duration,
    /// `unclean.leader.election.enable` of the topic.
    pub(crate) may_elect_unclean: bool,
}

#[derive(Debug)]
struct Replica {
    broker: i32,
    end: i64,
    is_running: bool,
    /// How long after an append it has copied it; `Duration::MAX`: never.
    lag: Duration,
    /// Since when it copies in this way; `None`: from the start.
    since: Option<Instant>,
}

/// An append that some replica may lack.
#[derive(Debug, Clone, Copy)]
struct Written {
    at: Instant,
    base: i64,
    end: i64,
}

/// A partition's replicas, the leader among them.
#[derive(Debug)]
pub(crate) struct Followers {
    replicas: Vec<Replica>,
    /// Appends, oldest first, without those that all have which matter.
    tail: VecDeque<Written>,
    /// The end of the log when it was last looked at.
    seen_end: i64,
    is_tracked: bool,
}

impl Followers {
    pub(crate) fn new(brokers: &[i32]) -> Self {
        let replica = |broker: &i32| Replica {
            broker: *broker,
            end: 0,
            is_running: true,
            lag: Duration::ZERO,
            since: None,
        };
        Self {
            replicas: brokers.iter().map(replica).collect(),
            tail: VecDeque::new(),
            seen_end: 0,
            is_tracked: false,
        }
    }

    /// Whether a replica may be behind, so that somebody has to look at the time.
    pub(crate) const fn is_tracked(&self) -> bool {
        self.is_tracked
    }

    pub(crate) const fn track(&mut self, is_tracked: bool) {
        self.is_tracked = is_tracked;
    }

    /// Writes down the ends that went without saying while nobody could be behind.
    pub(crate) fn settle(&mut self, log_end: i64) {
        if !self.is_tracked {
            for replica in &mut self.replicas {
                replica.end = log_end;
            }
            self.tail.clear();
            self.seen_end = log_end;
            self.is_tracked = true;
        }
    }

    /// Whether all run without lag and have all of the log.
    pub(crate) fn are_in_step(&self, log_end: i64) -> bool {
        self.replicas.iter().all(|one| one.is_running && one.lag.is_zero() && one.end == log_end)
    }

    pub(crate) fn is_running(&self, broker: i32) -> bool {
        self.replica(broker).is_some_and(|replica| replica.is_running)
    }

    /// How far a replica has come.
    pub(crate) fn end_of(&self, broker: i32) -> i64 {
        self.replica(broker).map_or(0, |replica| replica.end)
    }

    /// A leader has all of the log.
    pub(crate) fn lead(&mut self, broker: i32, log_end: i64) {
        if let Some(replica) = self.replicas.iter_mut().find(|replica| replica.broker == broker) {
            replica.end = log_end;
        }
    }

    /// Sets how a replica copies from now on.
    pub(crate) fn configure(&mut self, broker: i32, is_running: bool, lag: Duration, now: Instant) {
        if let Some(replica) = self.replicas.iter_mut().find(|replica| replica.broker == broker) {
            if replica.is_running != is_running || replica.lag != lag {
                replica.since = Some(now);
            }
            (replica.is_running, replica.lag) = (is_running, lag);
        }
    }

    /// Other brokers hold the replicas from here on: those that are new have all of the log.
    pub(crate) fn reassign(&mut self, brokers: &[i32], log_end: i64) {
        let mut fresh = Self::new(brokers).replicas;
        for replica in &mut fresh {
            replica.end = log_end;
            if let Some(at) = self.replicas.iter().position(|known| known.broker == replica.broker) {
                *replica = self.replicas.swap_remove(at);
            }
        }
        self.replicas = fresh;
    }

    /// Lets the followers copy what is due at `now`.
    pub(crate) fn copy(&mut self, now: Instant, leader: i32, log_end: i64) {
        self.note_append(now, log_end);
        let since = self.replica(leader).and_then(|leader| leader.since);
        for at in 0..self.replicas.len() {
            let Some(replica) = self.replicas.get(at) else { continue };
            let end = if replica.broker == leader { log_end } else { self.reached(replica, since, now) };
            if let Some(replica) = self.replicas.get_mut(at) {
                replica.end = end;
            }
        }
    }

    /// Notes what was appended since the last look.
    pub(crate) fn note_append(&mut self, now: Instant, log_end: i64) {
        if log_end > self.seen_end {
            self.tail.push_back(Written { at: now, base: self.seen_end, end: log_end });
            self.seen_end = log_end;
        }
    }

    /// When a replica in sync has been behind for too long.
    pub(crate) fn falls_out_at(&self, broker: i32, leader: i32, lag_time_max: Duration) -> Option<Instant> {
        let replica = self.replica(broker)?;
        let lacks = self.tail.iter().find(|written| written.end > replica.end)?;
        let since = self.replica(leader).and_then(|leader| leader.since);
        Some(later(lacks.at, since)).and_then(|at| at.checked_add(lag_time_max))
    }

    /// Whether a replica has been behind for too long at `now`.
    pub(crate) fn is_overdue(&self, broker: i32, leader: i32, lag_time_max: Duration, now: Instant) -> bool {
        let known_from = self.tail.front().map_or(self.seen_end, |written| written.base);
        let is_due = self.falls_out_at(broker, leader, lag_time_max).is_some_and(|at| at <= now);
        // What it lacks from before the tail was forgotten, which is only done for those that are out of sync.
        is_due || self.end_of(broker) < known_from
    }

    /// When the next follower copies something.
    pub(crate) fn next_copy(&self, leader: i32) -> Option<Instant> {
        let since = self.replica(leader).and_then(|leader| leader.since);
        let followers = self.replicas.iter().filter(|one| one.broker != leader && one.is_running);
        followers.filter_map(|one| self.next_copy_of(one, since)).min()
    }

    /// The log was cut at `end`, which is where its new leader's copy ends.
    pub(crate) fn truncate(&mut self, end: i64) {
        for replica in &mut self.replicas {
            replica.end = replica.end.min(end);
        }
        self.seen_end = self.seen_end.min(end);
        self.tail.retain_mut(|written| {
            written.end = written.end.min(end);
            written.base < written.end
        });
    }

    /// Drops the appends that nobody lacks who counts: the replicas in sync, and those that copy.
    pub(crate) fn trim(&mut self, isr: &[i32]) {
        let counts =
            |one: &&Replica| isr.contains(&one.broker) || (one.is_running && one.lag != Duration::MAX);
        let least = self.replicas.iter().filter(counts).map(|one| one.end).min().unwrap_or(i64::MAX);
        while self.tail.front().is_some_and(|written| written.end <= least) {
            self.tail.pop_front();
        }
    }

    fn replica(&self, broker: i32) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.broker == broker)
    }

    fn reached(&self, replica: &Replica, since: Option<Instant>, now: Instant) -> i64 {
        if !replica.is_running {
            return replica.end;
        }
        let since = replica.since.max(since);
        let is_due = |at: Instant| at.checked_add(replica.lag).is_some_and(|due| due <= now);
        let mut end = replica.end;
        let known_from = self.tail.front().map_or(self.seen_end, |written| written.base);
        if end < known_from {
            if !since.is_none_or(is_due) {
                return end;
            }
            end = known_from;
        }
        for written in self.tail.iter().filter(|written| written.end > replica.end) {
            if !is_due(later(written.at, since)) {
                break;
            }
            end = written.end;
        }
        end
    }

    fn next_copy_of(&self, replica: &Replica, since: Option<Instant>) -> Option<Instant> {
        if replica.end >= self.seen_end {
            return None;
        }
        let since = replica.since.max(since);
        let known_from = self.tail.front().map_or(self.seen_end, |written| written.base);
        let from = if replica.end < known_from {
            since?
        } else {
            later(self.tail.iter().find(|written| written.end > replica.end)?.at, since)
        };
        from.checked_add(replica.lag)
    }
}

fn later(at: Instant, since: Option<Instant>) -> Instant {
    since.map_or(at, |since| since.max(at))
}

/// How long replicas take to copy: of the cluster, of a broker's followers, of one partition's.
#[derive(Debug, Default)]
pub(crate) struct Lags {
    pub(crate) cluster: Duration,
    pub(crate) brokers: std::collections::BTreeMap<i32, Duration>,
    pub(crate) partitions: std::collections::BTreeMap<(String, i32), Duration>,
}

impl Lags {
    /// The lag of a broker's copy of a partition: the partition's, else the broker's, else the cluster's.
    pub(crate) fn of(&self, topic: &str, partition: i32, broker: i32) -> Duration {
        let own = self.partitions.iter().find(|((name, index), _)| name == topic && *index == partition);
        own.map(|(_, lag)| lag).or_else(|| self.brokers.get(&broker)).copied().unwrap_or(self.cluster)
    }

    pub(crate) fn are_none(&self) -> bool {
        self.cluster.is_zero() && self.brokers.is_empty() && self.partitions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Three replicas, 1 leads; 2 copies after 10 ms, 3 after 30 ms.
    fn followers(now: Instant) -> Followers {
        let mut followers = Followers::new(&[1, 2, 3]);
        followers.settle(0);
        followers.configure(2, true, 10 * MS, now);
        followers.configure(3, true, 30 * MS, now);
        followers
    }

    fn ends(followers: &Followers) -> [i64; 3] {
        [1, 2, 3].map(|broker| followers.end_of(broker))
    }

    #[test]
    fn followers_copy_each_append_after_their_lag() {
        let start = crate::mock::clock::now();
        let mut followers = followers(start);
        for (ms, log_end, expected) in [
            (0, 5, [5, 0, 0]),
            (5, 7, [7, 0, 0]),
            (10, 7, [7, 5, 0]),
            (15, 7, [7, 7, 0]),
            (30, 7, [7, 7, 5]),
            (35, 7, [7, 7, 7]),
        ] {
            followers.copy(start + ms * MS, 1, log_end);
            assert_eq!(ends(&followers), expected, "after {ms} ms");
            followers.trim(&[1, 2, 3]);
        }
        assert!(followers.tail.is_empty());
        assert_eq!(followers.next_copy(1), None);
    }

    #[test]
    fn the_next_copy_and_the_fall_out_of_sync_are_told() {
        let start = crate::mock::clock::now();
        let mut followers = followers(start);
        followers.copy(start + MS, 1, 5);
        assert_eq!(followers.next_copy(1), Some(start + 11 * MS));
        assert_eq!(followers.falls_out_at(3, 1, 20 * MS), Some(start + 21 * MS));
        assert_eq!(followers.falls_out_at(1, 1, 20 * MS), None);
        followers.configure(2, false, 10 * MS, start + 2 * MS);
        assert_eq!(followers.next_copy(1), Some(start + 31 * MS));
    }

    #[test]
    fn one_that_is_back_copies_what_it_missed_after_its_lag() {
        let start = crate::mock::clock::now();
        let mut followers = followers(start);
        followers.configure(3, false, 30 * MS, start);
        followers.copy(start, 1, 5);
        followers.copy(start + 10 * MS, 1, 5);
        followers.trim(&[1, 2]);
        assert_eq!(ends(&followers), [5, 5, 0]);
        followers.configure(3, true, 30 * MS, start + 100 * MS);
        assert_eq!(followers.next_copy(1), Some(start + 130 * MS));
        followers.copy(start + 129 * MS, 1, 5);
        assert_eq!(ends(&followers), [5, 5, 0]);
        followers.copy(start + 130 * MS, 1, 5);
        assert_eq!(ends(&followers), [5, 5, 5]);
    }

    #[test]
    fn a_cut_takes_from_all_what_is_past_it() {
        let start = crate::mock::clock::now();
        let mut followers = followers(start);
        followers.copy(start, 1, 5);
        followers.copy(start + 10 * MS, 1, 8);
        followers.truncate(5);
        assert_eq!(ends(&followers), [5, 5, 0]);
        followers.copy(start + 30 * MS, 2, 5);
        assert_eq!(ends(&followers), [5, 5, 5]);
    }
}
