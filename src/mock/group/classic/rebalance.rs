//! How a classic group goes from one generation to the next, and what time does to it.

use super::{ClassicGroup, Joined, Peer, Reply, State, Synced};
use crate::error::ErrorCode;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// When members need not be waited for any longer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum JoinTimer {
    /// The group was empty: more members may be on their way.
    Initial {
        at: Instant,
        delay: Duration,
        remaining: Duration,
    },
    Rebalance {
        at: Instant,
    },
}

#[derive(Debug)]
enum Due {
    Join(JoinTimer),
    Sync,
    Session(String),
    Pending(String),
}

impl ClassicGroup {
    /// Lets all happen that was due until `now`, each at its time.
    pub(crate) fn tick(&mut self, now: Instant) {
        while let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= now) {
            match due {
                Due::Join(JoinTimer::Initial { delay, remaining, .. })
                    if self.is_member_added && !remaining.is_zero() =>
                {
                    self.is_member_added = false;
                    let next = self.rules.initial_delay.min(remaining);
                    self.join_timer = Some(JoinTimer::Initial {
                        at: at + next,
                        delay: next,
                        remaining: remaining.saturating_sub(delay),
                    });
                }
                Due::Join(_) => self.complete(at),
                Due::Sync => {
                    self.sync_ends = None;
                    for id in std::mem::take(&mut self.pending_sync) {
                        self.remove(&id);
                    }
                    self.prepare(at);
                }
                Due::Session(id) => {
                    if let Some(member) = self.members.get_mut(&id) {
                        member.session_ends = None;
                        if !member.is_excused() {
                            self.remove_and_go_on(&id, at);
                        }
                    }
                }
                Due::Pending(id) => {
                    self.pending.remove(&id);
                    if self.state == State::PreparingRebalance && self.have_all_joined() {
                        self.complete(at);
                    }
                }
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.next_due().map(|(at, _)| at)
    }

    pub(super) fn enter(&mut self, state: State) {
        self.previous = self.state;
        self.state = state;
    }

    pub(super) fn rebalance_or_go_on(&mut self, now: Instant) {
        if self.state == State::PreparingRebalance { self.maybe_complete(now) } else { self.prepare(now) }
    }

    /// Calls all members to join again.
    pub(super) fn prepare(&mut self, now: Instant) {
        if self.state == State::CompletingRebalance {
            for member in self.members.values_mut() {
                member.assignment = Bytes::new();
            }
            self.tell_assignments(ErrorCode::REBALANCE_IN_PROGRESS, now);
        }
        self.pending_sync.clear();
        self.sync_ends = None;
        let is_initial = self.state == State::Empty;
        self.enter(State::PreparingRebalance);
        if is_initial {
            let delay = self.rules.initial_delay;
            let remaining = self.rebalance_timeout().saturating_sub(delay);
            self.join_timer = Some(JoinTimer::Initial { at: now + delay, delay, remaining });
        } else if self.have_all_joined() {
            self.complete(now);
        } else {
            self.join_timer = Some(JoinTimer::Rebalance { at: now + self.rebalance_timeout() });
        }
    }

    /// Begins the generation if nobody is missing; the initial delay is waited for in any case.
    pub(super) fn maybe_complete(&mut self, now: Instant) {
        let is_waiting = self.state == State::PreparingRebalance && self.previous != State::Empty;
        if is_waiting && self.have_all_joined() {
            self.complete(now);
        }
    }

    pub(super) fn remove_and_go_on(&mut self, id: &str, now: Instant) {
        self.answer_join(id, Joined::refused("", ErrorCode::UNKNOWN_MEMBER_ID));
        self.remove(id);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare(now),
            State::PreparingRebalance if self.have_all_joined() => self.complete(now),
            State::PreparingRebalance | State::Empty => {}
        }
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.members.remove(id);
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending.remove(id);
        self.pending_sync.remove(id);
    }

    pub(super) fn answer_join(&mut self, id: &str, joined: Joined) {
        let waiting = self.members.get_mut(id).and_then(|member| member.awaiting_join.take());
        if let Some(connection) = waiting {
            self.replies.insert(connection, Reply::Join(joined));
        }
    }

    /// Tells a member that waits what it is assigned. Whether it waited.
    pub(super) fn answer_sync(&mut self, id: &str, code: ErrorCode) -> bool {
        let Some(member) = self.members.get_mut(id) else { return false };
        let Some(connection) = member.awaiting_sync.take() else { return false };
        let mut synced = Synced::refused(code);
        if code == ErrorCode::NONE {
            synced.assignment.clone_from(&member.assignment);
            synced.protocol_type.clone_from(&self.protocol_type);
            synced.protocol.clone_from(&self.protocol);
        }
        self.replies.insert(connection, Reply::Sync(synced));
        true
    }

    pub(super) fn tell_assignments(&mut self, code: ErrorCode, now: Instant) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            if self.answer_sync(&id, code)
                && let Some(member) = self.members.get_mut(&id)
            {
                member.touch(now);
            }
        }
    }

    /// JoinGroup's answer to a member of this generation.
    pub(super) fn joined(&self, id: &str) -> Joined {
        let leader = self.leader.clone().unwrap_or_default();
        let mut joined = Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            ..Joined::refused(id, ErrorCode::NONE)
        };
        if leader == id {
            let protocol = self.protocol.as_deref().unwrap_or_default();
            let peer = |(id, member): (&String, &super::Member)| Peer {
                member_id: id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(protocol),
            };
            joined.peers = self.members.iter().map(peer).collect();
        }
        Joined { leader, ..joined }
    }

    /// Of the protocols that all members support, the one that most of them like best.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let is_candidate = |name: &str| self.members.values().all(|member| member.supports(name));
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.members.values().filter_map(|member| member.vote(is_candidate)) {
            *votes.entry(name).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }

    pub(super) fn store(&mut self) {
        self.stored = None;
        let mut stored = self.clone();
        stored.replies.clear();
        stored.pending.clear();
        stored.pending_sync.clear();
        stored.sync_ends = None;
        self.stored = Some(Box::new(stored));
    }

    fn complete(&mut self, now: Instant) {
        self.join_timer = None;
        let is_gone = |member: &super::Member| member.awaiting_join.is_none() && member.instance_id.is_none();
        let gone: Vec<String> =
            self.members.iter().filter(|(_, member)| is_gone(member)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.remove(&id);
        }
        if !self.members.is_empty() && !self.elect_joined() {
            // Static members only, and none of them came: their sessions decide.
            self.join_timer = Some(JoinTimer::Rebalance { at: now + self.rebalance_timeout() });
            return;
        }
        self.generation += 1;
        self.pending_sync.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.enter(State::Empty);
            self.store();
            return;
        }
        self.protocol = self.select_protocol();
        self.enter(State::CompletingRebalance);
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            self.answer_join(&id, joined);
            if let Some(member) = self.members.get_mut(&id) {
                member.touch(now);
                member.is_new = false;
            }
            self.pending_sync.insert(id);
        }
        self.sync_ends = Some(now + self.rebalance_timeout());
    }

    /// Makes a member that has joined the leader, if the present one has not. Whether there is one.
    fn elect_joined(&mut self) -> bool {
        let has_joined = |id: &String| self.members.get(id).is_some_and(|it| it.awaiting_join.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let next = self.members.keys().find(|id| has_joined(id)).cloned();
        let found = next.is_some();
        if found {
            self.leader = next;
        }
        found
    }

    fn have_all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn next_due(&self) -> Option<(Instant, Due)> {
        let join = self.join_timer.map(|timer| match timer {
            JoinTimer::Initial { at, .. } | JoinTimer::Rebalance { at } => (at, Due::Join(timer)),
        });
        let sync = self.sync_ends.map(|at| (at, Due::Sync));
        let session = |(id, member): (&String, &super::Member)| {
            member.session_ends.map(|at| (at, Due::Session(id.clone())))
        };
        let pending = self.pending.iter().map(|(id, at)| (*at, Due::Pending(id.clone())));
        let sessions = self.members.iter().filter_map(session);
        join.into_iter().chain(sync).chain(sessions).chain(pending).min_by_key(|(at, _)| *at)
    }
}
