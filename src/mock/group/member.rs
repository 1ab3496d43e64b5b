//! One member of a group (KIP-848), and how it is brought towards its target, heartbeat by heartbeat.
//!
//! ```text
//! Stable ──target lacks something owned──▶ Revoking ──no longer owned──▶ (next step)
//!   ▲                                                                        │
//!   └──all of the target is free── Waiting ◀──a part is another member's─────┘
//! ```
//!
//! Invariant: a partition is in `assigned` or `revoking` of one member at most.

use super::assign::Tp;
use super::mixed::Classic;
use crate::error::ErrorCode;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Stable,
    /// It must give partitions back first.
    Revoking,
    /// Some of its target is not free yet.
    Waiting,
}

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) state: State,
    pub(crate) assigned: BTreeSet<Tp>,
    pub(crate) revoking: BTreeSet<Tp>,
    /// When it is taken out unless another heartbeat comes.
    pub(crate) session_ends: Instant,
    /// When it is taken out unless it has given back what it must.
    pub(crate) revoke_ends: Option<Instant>,
    /// Of a member that speaks the classic protocol.
    pub(crate) classic: Option<Classic>,
}

impl Member {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            instance_id: None,
            client_id: String::new(),
            epoch: 0,
            previous_epoch: -1,
            topics: BTreeSet::new(),
            rebalance_timeout: Duration::ZERO,
            state: State::Stable,
            assigned: BTreeSet::new(),
            revoking: BTreeSet::new(),
            session_ends: now,
            revoke_ends: None,
            classic: None,
        }
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let is_late = self.classic.as_ref().is_some_and(|classic| classic.is_late(now));
        is_late || now >= self.session_ends || self.revoke_ends.is_some_and(|at| now >= at)
    }

    /// What it is told of an epoch that is not its own.
    pub(crate) const fn stale(&self) -> ErrorCode {
        if self.classic.is_some() { ErrorCode::ILLEGAL_GENERATION } else { ErrorCode::STALE_MEMBER_EPOCH }
    }

    pub(crate) fn holds(&self, tp: &Tp) -> bool {
        self.assigned.contains(tp) || self.revoking.contains(tp)
    }

    /// Whether it has all of the target of that epoch and nothing else.
    pub(crate) fn is_settled(&self, target_epoch: i32) -> bool {
        self.state == State::Stable && self.epoch == target_epoch
    }

    /// Takes one step towards `target`. `owned` is what the member says it owns (`None`: it did not say), `is_free`
    /// whether no other member holds a partition.
    pub(crate) fn reconcile(
        &mut self,
        target: &BTreeSet<Tp>,
        target_epoch: i32,
        owned: Option<&BTreeSet<Tp>>,
        is_free: impl Fn(&Tp) -> bool,
        now: Instant,
    ) {
        let still_owns = |revoking: &BTreeSet<Tp>| owned.is_none_or(|owned| !owned.is_disjoint(revoking));
        let epoch = match self.state {
            State::Stable if self.epoch == target_epoch => return,
            State::Revoking if still_owns(&self.revoking) => return,
            State::Revoking => self.epoch + 1,
            State::Stable | State::Waiting => self.epoch,
        };
        let revoking: BTreeSet<Tp> = self.assigned.difference(target).copied().collect();
        self.assigned.retain(|tp| target.contains(tp));
        if !revoking.is_empty() && still_owns(&revoking) {
            self.enter(epoch, State::Revoking);
            self.revoking = revoking;
            self.revoke_ends = Some(now + self.rebalance_timeout);
            return;
        }
        self.revoking.clear();
        self.revoke_ends = None;
        let (free, taken): (Vec<Tp>, Vec<Tp>) = target.difference(&self.assigned).partition(|tp| is_free(tp));
        self.assigned.extend(free);
        self.enter(target_epoch, if taken.is_empty() { State::Stable } else { State::Waiting });
    }

    fn enter(&mut self, epoch: i32, state: State) {
        // Kafka notes the epoch before also where it stays the same: the one before that is then fenced.
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
        self.state = state;
    }
}
