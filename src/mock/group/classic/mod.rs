//! A group of the classic protocol, as Kafka 4.1's coordinator keeps it.
//!
//! ```text
//! Empty ──a member──▶ PreparingRebalance ──all joined, or time is up──▶ CompletingRebalance ──the leader's SyncGroup──▶ Stable
//!   ▲                    │  ▲                                                 │                                          │
//!   └──nobody joined─────┘  └──a member comes, changes, leaves or falls silent┴──────────────────────────────────────────┘
//! ```
//!
//! Invariant: a generation's members were all told of it by JoinGroup, and what an older generation sends changes
//! nothing. Deadlines pass in their order at [`ClassicGroup::tick`], each at its own time, so that it does not matter
//! how late it is called. A request that waits is known by its connection; what it is told lies in `replies`.

mod join;
mod member;
mod rebalance;
mod reply;

use crate::error::ErrorCode;
use bytes::Bytes;
pub(crate) use join::Join;
pub(crate) use member::{Member, Protocols};
use rebalance::JoinTimer;
pub(crate) use reply::{Joined, Peer, Reply, Synced};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

/// What the brokers hold all classic groups to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) initial_delay: Duration,
    pub(crate) max_size: usize,
    pub(crate) session_min: Duration,
    pub(crate) session_max: Duration,
}

/// A SyncGroup's request, as far as the group looks at it.
#[derive(Debug, Default)]
pub(crate) struct Sync {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignments: BTreeMap<String, Bytes>,
}

#[derive(Debug, Clone)]
pub(crate) struct ClassicGroup {
    rules: Rules,
    state: State,
    previous: State,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Ids that were given out (MEMBER_ID_REQUIRED), and until when each may be used.
    pending: BTreeMap<String, Instant>,
    /// Members of this generation that have not sent SyncGroup yet.
    pending_sync: BTreeSet<String>,
    /// A member came during the initial delay, which is therefore made longer.
    is_member_added: bool,
    join_timer: Option<JoinTimer>,
    sync_ends: Option<Instant>,
    replies: BTreeMap<u64, Reply>,
    /// Until when those that wait were told to.
    alarm: Option<Instant>,
    /// The group as it was last written down, for another coordinator to load.
    stored: Option<Box<Self>>,
}

impl State {
    /// The name that ListGroups and DescribeGroups tell.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl ClassicGroup {
    pub(crate) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Empty,
            previous: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            is_member_added: false,
            join_timer: None,
            sync_ends: None,
            replies: BTreeMap::new(),
            alarm: None,
            stored: None,
        }
    }

    /// A group whose members are called to join again.
    pub(super) fn of_members(
        rules: Rules,
        protocol_type: &str,
        generation: i32,
        members: Vec<(String, Member)>,
        now: Instant,
    ) -> Self {
        let mut group = Self::new(rules);
        group.generation = generation;
        group.protocol_type = Some(protocol_type.to_owned());
        group.members = members.into_iter().collect();
        group.leader = group.members.keys().next().cloned();
        group.protocol = group.select_protocol();
        group.enter(State::Stable);
        group.store();
        group.prepare(now);
        group
    }

    /// Has all that wait join again; the group is another one's from now on.
    pub(crate) fn hand_over(&mut self) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in &ids {
            self.answer_join(id, Joined::refused(id, ErrorCode::REBALANCE_IN_PROGRESS));
            self.answer_sync(id, ErrorCode::REBALANCE_IN_PROGRESS);
        }
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) const fn generation(&self) -> i32 {
        self.generation
    }

    pub(crate) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The protocol that this generation follows.
    pub(crate) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    #[cfg(test)]
    pub(crate) fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(id, member)| (id.as_str(), member))
    }

    /// Takes a SyncGroup in; its answer lies in the replies, now or later.
    pub(crate) fn sync(&mut self, sync: Sync, connection: u64, now: Instant) {
        let result = match self.check_sync(&sync) {
            Err(code) => Err(code),
            Ok(()) if self.state == State::PreparingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            Ok(()) => Ok(()),
        };
        if let Err(code) = result {
            self.replies.insert(connection, Reply::Sync(Synced::refused(code)));
            return;
        }
        self.pending_sync.remove(&sync.member_id);
        if self.pending_sync.is_empty() {
            self.sync_ends = None;
        }
        if let Some(member) = self.members.get_mut(&sync.member_id) {
            member.awaiting_sync = Some(connection);
        }
        if self.state == State::Stable {
            self.answer_sync(&sync.member_id, ErrorCode::NONE);
        } else if self.leader.as_deref() == Some(sync.member_id.as_str()) {
            let mut given = sync.assignments;
            for (id, member) in &mut self.members {
                member.assignment = given.remove(id).unwrap_or_default();
            }
            self.tell_assignments(ErrorCode::NONE, now);
            self.enter(State::Stable);
            self.store();
        }
    }

    /// Takes a heartbeat in.
    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let member = self.members.get_mut(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        member.touch(now);
        if self.state == State::PreparingRebalance { Err(ErrorCode::REBALANCE_IN_PROGRESS) } else { Ok(()) }
    }

    /// Takes members out, each named by its id, by its instance, or both.
    pub(crate) fn leave(
        &mut self,
        leaving: &[(String, Option<String>)],
        now: Instant,
    ) -> Vec<Result<(), ErrorCode>> {
        let results: Vec<_> =
            leaving.iter().map(|(id, instance)| self.leave_one(id, instance.as_deref())).collect();
        if results.iter().any(Result::is_ok) {
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare(now),
                State::PreparingRebalance => self.maybe_complete(now),
                State::Empty => {}
            }
            self.tick(now);
        }
        results
    }

    /// Takes a member out as the end of its session does. Whether it was there.
    pub(crate) fn expel(&mut self, member_id: &str, now: Instant) -> bool {
        let was_there = self.members.contains_key(member_id);
        if was_there {
            self.remove_and_go_on(member_id, now);
            self.tick(now);
        }
        was_there
    }

    /// Whether a commit of that member and generation may be taken.
    pub(crate) fn check_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.check_member(member_id, instance_id)?;
            if generation != self.generation {
                return Err(ErrorCode::ILLEGAL_GENERATION);
            }
        } else if self.state != State::Empty {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if self.state == State::CompletingRebalance {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// Goes to another coordinator: whoever waits is sent there, and the group is as it was last written down.
    pub(crate) fn reload(&mut self, now: Instant) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in &ids {
            self.answer_join(id, Joined::refused(id, ErrorCode::NOT_COORDINATOR));
            self.answer_sync(id, ErrorCode::NOT_COORDINATOR);
        }
        let replies = std::mem::take(&mut self.replies);
        let stored = self.stored.take();
        *self = stored.clone().map_or_else(|| Self::new(self.rules), |stored| *stored);
        self.replies = replies;
        self.stored = stored;
        for member in self.members.values_mut() {
            member.touch(now);
        }
    }

    /// What parked requests are to be told, by connection.
    pub(crate) fn take_replies(&mut self) -> BTreeMap<u64, Reply> {
        std::mem::take(&mut self.replies)
    }

    /// Until when a request may wait before the group is looked at again.
    pub(crate) fn park_until(&mut self, now: Instant) -> Instant {
        let until = self.next_deadline().unwrap_or(now + IDLE);
        self.alarm = Some(until);
        until
    }

    /// The connections that were told to wait longer than they may now.
    pub(crate) fn take_called(&mut self) -> Vec<u64> {
        let is_early = self.alarm.is_some_and(|alarm| self.next_deadline().is_some_and(|next| next < alarm));
        if !is_early {
            return Vec::new();
        }
        self.alarm = None;
        self.members
            .values()
            .flat_map(|member| [member.awaiting_join, member.awaiting_sync])
            .flatten()
            .collect()
    }

    fn check_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        if self.state == State::Empty {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.check_member(&sync.member_id, sync.instance_id.as_deref())?;
        if sync.generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |stated: &Option<String>, own: &Option<String>| {
            stated.is_some() && own.is_some() && stated != own
        };
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }

    /// Whether that member is there and is the one that stands for its instance.
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            let known = self.of_instance(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if known != member_id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    fn of_instance(&self, instance: &str) -> Option<&str> {
        let of = |member: &Member| member.instance_id.as_deref() == Some(instance);
        self.members.iter().find(|(_, member)| of(member)).map(|(id, _)| id.as_str())
    }

    fn leave_one(&mut self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        let id = if member_id.is_empty() {
            // An administrator names the instance alone.
            let known = instance_id.and_then(|instance| self.of_instance(instance));
            known.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?.to_owned()
        } else {
            if !self.pending.contains_key(member_id) {
                self.check_member(member_id, instance_id)?;
            }
            member_id.to_owned()
        };
        self.answer_join(&id, Joined::refused("", ErrorCode::UNKNOWN_MEMBER_ID));
        self.remove(&id);
        Ok(())
    }
}

/// How long a request waits where nothing of the group is timed.
const IDLE: Duration = Duration::from_secs(3600);
