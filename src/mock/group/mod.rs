//! A group: its members, of one protocol or the other, and the offsets they commit.
//!
//! Invariant: a group is of KIP-848 as long as one of its members is; its offsets stay when that changes.

pub(crate) mod assign;
pub(crate) mod classic;
pub(crate) mod consumer;
mod embedded;
mod member;
mod mixed;

use super::topics::Topics;
use crate::error::ErrorCode;
use classic::{ClassicGroup, Rules, State};
use consumer::ConsumerGroup;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) offsets: BTreeMap<(String, i32), Committed>,
    pub(crate) members: Members,
    /// The broker that coordinates it, as far as it has heard.
    coordinator: Option<i32>,
}

/// The members, by the protocol that they speak.
#[derive(Debug)]
pub(crate) enum Members {
    /// KIP-848.
    Consumer(ConsumerGroup),
    /// JoinGroup and SyncGroup; also what has offsets only.
    Classic(Box<ClassicGroup>),
}

impl Group {
    /// A group without members.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            offsets: BTreeMap::new(),
            members: Members::Classic(Box::new(ClassicGroup::new(rules))),
            coordinator: None,
        }
    }

    /// Takes out the members whose time is over, and lets happen what else was due.
    pub(crate) fn expire(&mut self, now: Instant) {
        match &mut self.members {
            Members::Consumer(group) => group.expire(now),
            Members::Classic(group) => group.tick(now),
        }
    }

    /// Hears which broker coordinates it. Another one, or the same after a stop, knows only what was written down.
    pub(crate) fn coordinated_by(&mut self, broker: i32, session_timeout: Duration, now: Instant) {
        let is_moved = self.coordinator.is_some_and(|before| before != broker);
        self.coordinator = Some(broker);
        match &mut self.members {
            Members::Consumer(group) if is_moved => group.reload(session_timeout, now),
            Members::Classic(group) if is_moved => group.reload(now),
            Members::Consumer(_) | Members::Classic(_) => {}
        }
    }

    /// Hears that a broker has stopped.
    pub(crate) fn broker_down(&mut self, broker: i32) {
        if self.coordinator == Some(broker) {
            self.coordinator = Some(NOBODY);
        }
    }

    /// Takes a member out. Whether it was there.
    pub(crate) fn expel(&mut self, member_id: &str, now: Instant) -> bool {
        match &mut self.members {
            Members::Consumer(group) => group.expel(member_id),
            Members::Classic(group) => group.expel(member_id, now),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match &self.members {
            Members::Consumer(group) => group.is_empty(),
            Members::Classic(group) => group.state() == State::Empty,
        }
    }

    /// The group as one of the classic protocol; an empty one becomes one.
    pub(crate) fn as_classic(&mut self, rules: Rules) -> Option<&mut ClassicGroup> {
        if self.is_empty() && matches!(self.members, Members::Consumer(_)) {
            self.members = Members::Classic(Box::new(ClassicGroup::new(rules)));
        }
        self.classic_mut()
    }

    /// Calls the members of a classic group that is about to be taken over, as far as they wait for an answer.
    pub(crate) fn hand_over(&mut self, topics: &Topics, now: Instant) {
        if let Members::Classic(group) = &mut self.members
            && ConsumerGroup::of_classic(group, topics, now).is_some()
        {
            group.hand_over();
        }
    }

    /// The group as one of KIP-848; an empty one becomes one, and one of consumers is taken over.
    pub(crate) fn as_consumer(&mut self, topics: &Topics, now: Instant) -> Option<&mut ConsumerGroup> {
        if let Members::Classic(group) = &self.members {
            let taken_over = match group.state() {
                State::Empty => Some(ConsumerGroup::default()),
                _ => ConsumerGroup::of_classic(group, topics, now),
            };
            self.members = Members::Consumer(taken_over?);
        }
        self.consumer_mut()
    }

    /// Goes back to the classic protocol when the last member of KIP-848 has gone and others are left.
    pub(crate) fn give_back(&mut self, rules: Rules, topics: &Topics, now: Instant) {
        if let Members::Consumer(group) = &self.members
            && let Some(classic) = group.to_classic(rules, topics, now)
        {
            self.members = Members::Classic(Box::new(classic));
        }
    }

    pub(crate) fn classic_mut(&mut self) -> Option<&mut ClassicGroup> {
        match &mut self.members {
            Members::Classic(group) => Some(group),
            Members::Consumer(_) => None,
        }
    }

    pub(crate) const fn consumer_mut(&mut self) -> Option<&mut ConsumerGroup> {
        match &mut self.members {
            Members::Consumer(group) => Some(group),
            Members::Classic(_) => None,
        }
    }

    /// The partitions that each member has, as (topic, partition).
    pub(crate) fn assignments(&self, topics: &Topics) -> BTreeMap<String, Vec<(String, i32)>> {
        match &self.members {
            Members::Consumer(group) => {
                let named = |(topic, index): &assign::Tp| Some((topics.name_of(*topic)?.to_owned(), *index));
                let held = group.members().map(|(id, member)| (id, &member.assigned));
                held.map(|(id, held)| (id.to_owned(), held.iter().filter_map(named).collect())).collect()
            }
            Members::Classic(group) => group
                .members()
                .map(|(id, member)| (id.to_owned(), embedded::assignment(&member.assignment)))
                .collect(),
        }
    }

    /// Whether a commit of that member and epoch or generation may be taken.
    pub(crate) fn check_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        epoch: i32,
        version: i16,
    ) -> Result<(), ErrorCode> {
        match &self.members {
            Members::Consumer(group) => group.check_commit(member_id, epoch, version),
            Members::Classic(group) => group.check_commit(member_id, instance_id, epoch),
        }
    }

    /// Whether that member may read offsets under that epoch; in a classic group everybody may.
    pub(crate) fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        match &self.members {
            Members::Consumer(group) => group.check_fetch(member_id, epoch),
            Members::Classic(_) => Ok(()),
        }
    }

    /// The state that ListGroups tells.
    pub(crate) fn state(&self) -> &'static str {
        match &self.members {
            Members::Consumer(group) => group.state(),
            Members::Classic(group) => group.state().name(),
        }
    }
}

/// No broker has this id.
const NOBODY: i32 = -1;
