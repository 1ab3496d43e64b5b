//! A member's side of its group by the one protocol or the other, as one machine to the rest.

use super::{
    classic::{self, ClassicMembership},
    membership::{self, Membership},
    owned::Held,
    request::Identity,
    work::Work,
};
use crate::{cluster::Topology, error::ErrorCode, wire::ApiKey};
use std::{collections::BTreeSet, sync::Arc, time::Instant};

/// See the module.
#[derive(Debug)]
pub(crate) enum Participation {
    Consumer(Membership),
    Classic(ClassicMembership),
}

/// What is to be done now.
#[derive(Debug)]
pub(crate) enum Action {
    /// Ask the coordinator this; without one, the question of this number has no answer.
    Ask { number: u64, work: Work },
    /// End the delivery of these, commit what is finished, then call `handle_revoked`.
    Revoke(BTreeSet<Held>),
    /// Read these from now on.
    Assign(BTreeSet<Held>),
    /// The membership has ended: end the delivery of these, if any, at once; nothing of it can be committed.
    Lose(BTreeSet<Held>),
    /// Have these in the metadata.
    LearnTopics(Vec<Arc<str>>),
    /// The coordinator is another broker now: find it.
    FindCoordinator,
    /// The group refuses this member for good.
    Fail { api: ApiKey, code: ErrorCode, message: Option<String> },
}

impl Participation {
    /// What to do now; to be called until it gives `None`.
    pub(crate) fn poll_action(&mut self, topology: &Topology, now: Instant) -> Option<Action> {
        match self {
            Self::Consumer(membership) => membership.poll_action(now).map(of_consumer),
            Self::Classic(membership) => membership.poll_action(topology, now).map(of_classic),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Consumer(membership) => membership.poll_timeout(),
            Self::Classic(membership) => membership.poll_timeout(),
        }
    }

    /// Whether the group knows this member, as far as it can be known here, and takes its commits.
    pub(crate) fn is_joined(&self) -> bool {
        match self {
            Self::Consumer(membership) => membership.is_joined(),
            Self::Classic(membership) => membership.is_joined(),
        }
    }

    /// Whether nothing more will happen.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Consumer(membership) => membership.is_over(),
            Self::Classic(membership) => membership.is_over(),
        }
    }

    /// Whether a change of the metadata matters to it.
    pub(crate) fn wants_topics(&self) -> bool {
        match self {
            Self::Consumer(_) => false,
            Self::Classic(membership) => membership.wants_topics(),
        }
    }

    /// Until when the group is known to count on this member, `None` outside of a membership.
    pub(crate) fn fenced_at(&self) -> Option<Instant> {
        match self {
            Self::Consumer(membership) => membership.fenced_at(),
            Self::Classic(membership) => membership.fenced_at(),
        }
    }

    /// Under which name commits are made, for a member that has joined.
    pub(crate) fn committer(&self, instance_id: Option<&str>) -> Identity {
        let (member_id, epoch) = match self {
            Self::Consumer(membership) => (membership.member_id(), membership.epoch()),
            Self::Classic(membership) => (membership.member_id(), membership.generation()),
        };
        let instance_id = instance_id.map(str::to_owned);
        Identity { member_id: member_id.to_owned(), epoch, instance_id }
    }

    /// Under which name committed offsets are asked for; the classic protocol knows none for that.
    pub(crate) fn reader(&self) -> Identity {
        match self {
            Self::Consumer(_) => self.committer(None),
            Self::Classic(_) => Identity::outside(),
        }
    }

    pub(crate) fn handle_no_answer(&mut self, number: u64, now: Instant) {
        match self {
            Self::Consumer(membership) => membership.handle_no_answer(number, now),
            Self::Classic(membership) => membership.handle_no_answer(number, now),
        }
    }

    pub(crate) fn handle_coordinator(&mut self) {
        match self {
            Self::Consumer(membership) => membership.handle_coordinator(),
            Self::Classic(membership) => membership.handle_coordinator(),
        }
    }

    pub(crate) fn handle_coordinator_lost(&mut self) {
        match self {
            Self::Consumer(membership) => membership.handle_coordinator_lost(),
            Self::Classic(membership) => membership.handle_coordinator_lost(),
        }
    }

    /// The answer to a commit or a lookup says that the group does not count this member.
    pub(crate) fn handle_fenced(&mut self, now: Instant) {
        match self {
            Self::Consumer(membership) => membership.handle_fenced(now),
            Self::Classic(membership) => membership.handle_fenced(now),
        }
    }

    /// The answer to a commit or a lookup says that the group has gone on.
    pub(crate) fn handle_stale(&mut self, now: Instant) {
        match self {
            Self::Consumer(membership) => membership.handle_stale(now),
            Self::Classic(membership) => membership.handle_stale(now),
        }
    }

    /// The partitions of the last `Revoke` are out of use.
    pub(crate) fn handle_revoked(&mut self) {
        match self {
            Self::Consumer(membership) => membership.handle_revoked(),
            Self::Classic(membership) => membership.handle_revoked(),
        }
    }

    pub(crate) fn leave(&mut self) {
        match self {
            Self::Consumer(membership) => membership.leave(),
            Self::Classic(membership) => membership.leave(),
        }
    }
}

fn of_consumer(action: membership::Action) -> Action {
    let held = |partitions: BTreeSet<membership::OwnedPartition>| {
        partitions.into_iter().map(|(topic, partition)| Held::ById(topic, partition)).collect()
    };
    match action {
        membership::Action::Heartbeat { number, request } => {
            Action::Ask { number, work: Work::Heartbeat { number, request } }
        }
        membership::Action::Revoke(partitions) => Action::Revoke(held(partitions)),
        membership::Action::Assign(partitions) => Action::Assign(held(partitions)),
        membership::Action::Lose(partitions) => Action::Lose(held(partitions)),
        membership::Action::FindCoordinator => Action::FindCoordinator,
        membership::Action::Fail { code, message } => {
            Action::Fail { api: ApiKey::ConsumerGroupHeartbeat, code, message }
        }
    }
}

fn of_classic(action: classic::Action) -> Action {
    let held = |partitions: BTreeSet<_>| partitions.into_iter().map(Held::ByName).collect();
    match action {
        classic::Action::Ask { number, question } => {
            Action::Ask { number, work: Work::Classic { number, question } }
        }
        classic::Action::Revoke(partitions) => Action::Revoke(held(partitions)),
        classic::Action::Assign(partitions) => Action::Assign(held(partitions)),
        classic::Action::Lose(partitions) => Action::Lose(held(partitions)),
        classic::Action::LearnTopics(names) => Action::LearnTopics(names),
        classic::Action::FindCoordinator => Action::FindCoordinator,
        classic::Action::Fail { api, code } => Action::Fail { api, code, message: None },
    }
}
