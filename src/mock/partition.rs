//! One partition: who leads it, which replicas are in sync, and its log.
//!
//! Invariant: a leader epoch only rises, and what is below the high watermark is on every replica in sync, so that it
//! is lost to an unclean election only. All replicas share one log, the leader's: a follower is known by how far it
//! has copied, and what a leader had alone is gone when another takes over.

use super::followers::{Followers, Rules};
use super::log::Log;
use super::producers::Producers;
use std::collections::BTreeSet;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Partition {
    /// `None`: no replica in sync is up.
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) log: Log,
    pub(crate) producers: Producers,
    followers: Followers,
}

impl Partition {
    pub(crate) fn new(replicas: Vec<i32>, up: &BTreeSet<i32>) -> Self {
        let isr: Vec<i32> = replicas.iter().copied().filter(|id| up.contains(id)).collect();
        let mut log = Log::default();
        log.begin_epoch(0);
        Self {
            leader: isr.first().copied(),
            leader_epoch: 0,
            isr,
            followers: Followers::new(&replicas),
            replicas,
            log,
            producers: Producers::default(),
        }
    }

    /// Brings the replicas, those in sync and the high watermark to where they are at `now`. Whether that changed
    /// what anybody sees.
    pub(crate) fn advance(&mut self, now: Instant, rules: Rules) -> bool {
        if !self.followers.is_tracked() {
            return false;
        }
        let end = self.log.end_offset();
        let Some(leader) = self.leader.filter(|id| self.followers.is_running(*id)) else {
            // Nobody copies from a leader that does not run, and nobody is put out of sync by it.
            self.followers.note_append(now, end);
            return false;
        };
        let before = (self.log.high_watermark(), self.isr.clone());
        self.followers.copy(now, leader, end);
        let keeps_up =
            |id: i32| id == leader || !self.followers.is_overdue(id, leader, rules.lag_time_max, now);
        self.isr.retain(|id| keeps_up(*id));
        // KIP-497: back in sync is who has all below the high watermark, under the leader's own epoch.
        let least = before.0.max(self.log.epoch_start());
        let is_back =
            |id: &i32| self.followers.is_running(*id) && keeps_up(*id) && self.followers.end_of(*id) >= least;
        let isr = self.replicas.iter().copied().filter(|id| self.isr.contains(id) || is_back(id)).collect();
        self.isr = isr;
        if self.isr.len() >= self.isr_min(rules) {
            let reached = self.isr.iter().filter(|id| **id != leader).map(|id| self.followers.end_of(*id));
            self.log.raise_high_watermark(reached.min().unwrap_or(end).min(end));
        }
        self.followers.trim(&self.isr);
        self.track();
        before.0 != self.log.high_watermark() || before.1 != self.isr
    }

    /// When [`advance`](Self::advance) has something to do next, if nothing else happens.
    pub(crate) fn next_change(&self, rules: Rules) -> Option<Instant> {
        let leader =
            self.leader.filter(|id| self.followers.is_tracked() && self.followers.is_running(*id))?;
        let others = self.isr.iter().filter(|id| **id != leader);
        let falls = others.filter_map(|id| self.followers.falls_out_at(*id, leader, rules.lag_time_max));
        falls.chain(self.followers.next_copy(leader)).min()
    }

    /// How many replicas acks=all needs: a topic with fewer needs all of them.
    pub(crate) fn isr_min(&self, rules: Rules) -> usize {
        rules.isr_min.min(self.replicas.len())
    }

    /// Changes the replicas, with what they copied before and after at that time.
    pub(crate) fn change(&mut self, now: Instant, rules: Rules, work: impl FnOnce(&mut Self)) {
        self.advance(now, rules);
        self.followers.settle(self.log.end_offset());
        self.log.hold_high_watermark(true);
        work(self);
        self.track();
        self.advance(now, rules);
    }

    /// The replicas' state, to be set within [`change`](Self::change).
    pub(crate) const fn followers(&mut self) -> &mut Followers {
        &mut self.followers
    }

    /// Makes a broker the leader, `None` for nobody. What it has not copied is lost.
    pub(crate) fn elect(&mut self, leader: Option<i32>) {
        if let Some(former) = self.leader {
            self.followers.lead(former, self.log.end_offset());
        }
        self.leader = leader;
        self.leader_epoch += 1;
        let Some(leader) = leader else { return };
        let end = self.followers.end_of(leader);
        if end < self.log.end_offset() {
            self.log.truncate(end);
            self.producers.truncate(end, self.log.batches().map(|batch| &batch.header));
        }
        self.followers.truncate(end);
        self.log.begin_epoch(self.leader_epoch);
    }

    /// Elects a replica that need not be in sync; it is the only one in sync then. How many records are lost.
    pub(crate) fn elect_unclean(&mut self, broker: i32) -> i64 {
        let end = self.log.end_offset();
        self.isr = vec![broker];
        self.elect(Some(broker));
        end - self.log.end_offset()
    }

    /// Moves the partition to other brokers, which have all of it.
    pub(crate) fn reassign(&mut self, brokers: &[i32]) {
        let end = self.log.end_offset();
        if let Some(leader) = self.leader {
            self.followers.lead(leader, end);
        }
        self.replicas = brokers.to_vec();
        self.followers.reassign(brokers, end);
        let stays = self.leader.filter(|id| brokers.contains(id));
        self.isr = brokers.iter().copied().filter(|id| self.followers.end_of(*id) == end).collect();
        if stays.is_none() {
            self.elect(self.isr.first().copied());
        }
    }

    /// Takes a broker out: it leaves the replicas in sync, unless it is the last one, and leads no more. Where the
    /// topic may, one of the running replicas leads then though it is not in sync.
    pub(crate) fn broker_down(&mut self, broker: i32, rules: Rules, running: &BTreeSet<i32>) {
        if self.isr.len() > 1 {
            self.isr.retain(|id| *id != broker);
        }
        if self.leader == Some(broker) {
            let next = self.isr.iter().copied().find(|id| *id != broker);
            self.elect(next);
        }
        let fallback = self.replicas.iter().copied().find(|id| running.contains(id));
        if let Some(fallback) = fallback.filter(|_| self.leader.is_none() && rules.may_elect_unclean) {
            self.elect_unclean(fallback);
        }
    }

    /// Brings a broker back: it leads where nobody does. A partition without a leader waits for its last replica in
    /// sync, unless the topic may have another one.
    pub(crate) fn broker_up(&mut self, broker: i32, rules: Rules) {
        if self.leader.is_some() {
            return;
        }
        if self.isr.contains(&broker) {
            self.elect(Some(broker));
        } else if rules.may_elect_unclean && self.replicas.contains(&broker) {
            self.elect_unclean(broker);
        }
    }

    /// Stops looking at the time where no replica can be behind.
    fn track(&mut self) {
        let is_whole = self.leader.is_some() && self.isr.len() == self.replicas.len();
        let is_tracked = !(is_whole && self.followers.are_in_step(self.log.end_offset()));
        self.followers.track(is_tracked);
        self.log.hold_high_watermark(is_tracked);
    }
}
