//! What a member owns, as the consumer's state knows it, and the partitions that are on their way out.
//!
//! The group names partitions by topic id, or by name; they are taken up once both are known here. Invariants: a
//! partition is either unresolved, owned or being revoked; a revoke ends once nothing of it can be acked or committed
//! any more, and at the latest when its time is over. Absent: when to tell the group, which is `membership`'s.

use crate::{
    cluster::Topology,
    consumer::{
        config::ConsumerConfig,
        positions::{AssignmentId, Phase},
        record::TopicPartition,
        shared::Shared,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// A partition as the group's protocol names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Held {
    /// KIP-848.
    ById(Uuid, i32),
    /// The classic protocol.
    ByName(TopicPartition),
}

/// Where a revoke stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RevokeStep {
    /// There is none, or it waits for acks or for a commit.
    Wait,
    /// What is finished is to be committed.
    Commit,
    /// The partitions are out of use.
    Revoked,
}

/// Partitions on their way out.
#[derive(Debug)]
struct Revocation {
    ids: Vec<AssignmentId>,
    /// Until then, handlers that still hold records may ack them.
    acks_until: Instant,
    /// Until then, commits are tried.
    until: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Owned {
    shared: Arc<Shared>,
    revoke_grace: Duration,
    /// How long the last commit of revoked partitions is tried.
    revoke_time: Duration,
    /// What the member owns, as far as the topic ids are known here.
    resolved: BTreeMap<Held, AssignmentId>,
    /// What the member owns of topics whose names are not known here yet.
    unresolved: BTreeSet<Held>,
    revocation: Option<Revocation>,
}

impl Owned {
    pub(crate) fn new(shared: Arc<Shared>, config: &ConsumerConfig) -> Self {
        Self {
            shared,
            revoke_grace: config.revoke_grace,
            revoke_time: (config.rebalance_timeout / 2).min(REVOKE_TIME_MAX),
            resolved: BTreeMap::new(),
            unresolved: BTreeSet::new(),
            revocation: None,
        }
    }

    /// The member owns these from now on.
    pub(crate) fn assign(&mut self, partitions: BTreeSet<Held>) {
        self.unresolved.extend(partitions);
    }

    /// Whether there are partitions of topics that are not known by name.
    pub(crate) fn has_unresolved(&self) -> bool {
        !self.unresolved.is_empty()
    }

    /// Takes up what the member owns of topics that are known by name.
    pub(crate) fn resolve(&mut self, topology: &Topology) {
        let mut found = Vec::new();
        self.unresolved.retain(|held| {
            let (topic, partition) = match held {
                Held::ById(id, partition) => (topology.topic_by_id(*id), *partition),
                Held::ByName(name) => {
                    let known = topology.topic(&name.topic).filter(|topic| !topic.id.is_nil());
                    (known, name.partition)
                }
            };
            let Some(topic) = topic else { return true };
            let name = TopicPartition { topic: topic.name.clone(), partition };
            found.push((held.clone(), (name, topic.id, Phase::Committed)));
            false
        });
        if !found.is_empty() {
            let (held, partitions): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            let ids = self.shared.with(|core| {
                if held.iter().any(|held| matches!(held, Held::ById(..))) {
                    core.note_topic_ids();
                }
                core.assign(partitions)
            });
            self.resolved.extend(held.into_iter().zip(ids));
        }
    }

    /// Ends the delivery of these; `poll_revoke` says what follows.
    pub(crate) fn revoke(&mut self, partitions: &BTreeSet<Held>, now: Instant) {
        let ids = self.take_out(partitions);
        self.shared.with(|core| core.revoke(&ids));
        let acks_until = now + self.revoke_grace;
        let until = acks_until + self.revoke_time;
        self.revocation = Some(Revocation { ids, acks_until, until });
    }

    /// Ends the delivery of these, and of what was being revoked, without a commit.
    pub(crate) fn lose(&mut self, partitions: &BTreeSet<Held>) {
        let mut ids = self.take_out(partitions);
        ids.extend(self.revocation.take().into_iter().flat_map(|revocation| revocation.ids));
        self.shared.with(|core| core.lose(&ids));
    }

    /// As `lose`, of everything.
    pub(crate) fn lose_all(&mut self) {
        let all = self.resolved.keys().cloned().chain(std::mem::take(&mut self.unresolved)).collect();
        self.lose(&all);
    }

    /// How the revoke goes on; it has ended once this says `Revoked`. A commit that is under way may hold its
    /// partitions.
    pub(crate) fn poll_revoke(&mut self, is_committing: bool, now: Instant) -> RevokeStep {
        let Some(revocation) = &self.revocation else { return RevokeStep::Wait };
        let (awaits_acks, is_dirty) =
            self.shared.with(|core| (core.awaits_acks(&revocation.ids), core.is_dirty(&revocation.ids)));
        if awaits_acks && now < revocation.acks_until {
            return RevokeStep::Wait;
        }
        if is_dirty && now < revocation.until {
            return RevokeStep::Commit;
        }
        if is_committing && now < revocation.until {
            return RevokeStep::Wait;
        }
        if let Some(revocation) = self.revocation.take() {
            self.shared.with(|core| core.remove(&revocation.ids));
        }
        RevokeStep::Revoked
    }

    /// When `poll_revoke` may say something else although nothing happened.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let revocation = self.revocation.as_ref()?;
        [revocation.acks_until, revocation.until].into_iter().filter(|&at| at > now).min()
    }

    fn take_out(&mut self, partitions: &BTreeSet<Held>) -> Vec<AssignmentId> {
        let mut ids = Vec::new();
        for partition in partitions {
            self.unresolved.remove(partition);
            ids.extend(self.resolved.remove(partition));
        }
        ids
    }
}

/// Without a coordinator nobody can be given the partitions, so there is no hurry; but the group waits.
const REVOKE_TIME_MAX: Duration = Duration::from_secs(30);
