//! Members of the classic protocol in a group of KIP-848, and how a group in use goes from one protocol to the other.
//!
//! What JoinGroup says of a member's subscription and of what it owns stands for a heartbeat of KIP-848. It is answered
//! at once, with the member's epoch as the generation and without a leader; SyncGroup tells what is assigned; Heartbeat
//! calls for another JoinGroup whenever the member is to take a step. The first member of KIP-848 that comes takes a
//! classic group over; when the last one has gone the group is classic again.

use super::assign::Tp;
use super::classic::{ClassicGroup, Join, Joined, Member as ClassicMember, Protocols, Rules, Sync, Synced};
use super::consumer::ConsumerGroup;
use super::embedded::{self, PROTOCOL_TYPE};
use super::member::{Member, State};
use crate::error::ErrorCode;
use crate::mock::topics::Topics;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What is kept of a member that speaks the classic protocol.
#[derive(Debug, Clone)]
pub(crate) struct Classic {
    pub(crate) session_timeout: Duration,
    pub(crate) protocols: Protocols,
    /// Until when it has to join again, once it was called to.
    rejoin_by: Option<Instant>,
    /// Until when it has to ask for what it is assigned, once it has joined.
    sync_by: Option<Instant>,
}

impl Classic {
    const fn new(session_timeout: Duration, protocols: Protocols) -> Self {
        Self { session_timeout, protocols, rejoin_by: None, sync_by: None }
    }

    /// Whether it has not done in time what it was to do.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        [self.rejoin_by, self.sync_by].into_iter().flatten().any(|by| by <= now)
    }

    /// What it says of itself under the protocol that it likes best.
    fn told(&self) -> Bytes {
        self.protocols.first().map(|(_, told)| told.clone()).unwrap_or_default()
    }
}

impl ConsumerGroup {
    /// The group as the members of a classic one see it; `None` where it cannot be taken over.
    pub(crate) fn of_classic(group: &ClassicGroup, topics: &Topics, now: Instant) -> Option<Self> {
        if group.protocol_type() != Some(PROTOCOL_TYPE) {
            return None;
        }
        let epoch = group.generation();
        let mut members = Vec::new();
        for (id, classic) in group.members() {
            let (_, told) = classic.protocols.first()?;
            let said = embedded::subscription(told)?;
            members.push((
                id.to_owned(),
                Member {
                    instance_id: classic.instance_id.clone(),
                    client_id: classic.client_id.clone(),
                    epoch,
                    previous_epoch: epoch,
                    topics: said.topics,
                    rebalance_timeout: classic.rebalance_timeout,
                    assigned: known(&embedded::assignment(&classic.assignment), topics),
                    session_ends: now + classic.session_timeout,
                    classic: Some(Classic::new(classic.session_timeout, classic.protocols.clone())),
                    ..Member::new(now)
                },
            ));
        }
        Some(Self::of_members(epoch, members))
    }

    /// The group as a classic one, all members of which are called to join again; `None` while one speaks KIP-848.
    pub(crate) fn to_classic(&self, rules: Rules, topics: &Topics, now: Instant) -> Option<ClassicGroup> {
        let mut members = Vec::new();
        for (id, member) in self.members() {
            let classic = member.classic.as_ref()?;
            let nothing = BTreeSet::new();
            let target = self.target_of(id).unwrap_or(&nothing);
            let mut one = ClassicMember {
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                rebalance_timeout: member.rebalance_timeout,
                session_timeout: classic.session_timeout,
                protocols: classic.protocols.clone(),
                assignment: embedded::assigned(named(target, topics), &classic.told()),
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
                session_ends: None,
            };
            one.touch(now);
            members.push((id.to_owned(), one));
        }
        let (epoch, _) = self.epochs();
        (!members.is_empty()).then(|| ClassicGroup::of_members(rules, PROTOCOL_TYPE, epoch, members, now))
    }

    /// Takes a JoinGroup in.
    pub(crate) fn join(&mut self, join: &Join, topics: &Topics, now: Instant) -> Joined {
        self.expire(now);
        let is_unknown = join.member_id.is_empty();
        let id = if is_unknown { &join.new_member_id } else { &join.member_id };
        let said = join.protocols.first().and_then(|(_, told)| embedded::subscription(told));
        let Some(said) = said.filter(|_| self.can_follow(join)) else {
            return Joined::refused(&join.member_id, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        };
        if is_unknown && join.instance_id.is_none() && join.needs_member_id {
            return Joined::refused(id, ErrorCode::MEMBER_ID_REQUIRED);
        }
        let mut member = match self.admit_classic(id, join.instance_id.as_deref(), is_unknown, now) {
            Ok(member) => member,
            Err(code) => return Joined::refused(&join.member_id, code),
        };
        let is_changed = member.topics != said.topics;
        member.topics = said.topics;
        member.client_id.clone_from(&join.client_id);
        member.rebalance_timeout = join.rebalance_timeout;
        member.session_ends = now + join.session_timeout;
        let mut classic = Classic::new(join.session_timeout, join.protocols.clone());
        classic.sync_by = Some(now + join.rebalance_timeout);
        member.classic = Some(classic);
        let owned = known(&said.owned, topics);
        self.step(id, member, is_changed, Some(&owned), topics, now);
        Joined {
            generation: self.members.get(id).map_or(-1, |member| member.epoch),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol: join.protocols.first().map(|(name, _)| name.clone()),
            ..Joined::refused(id, ErrorCode::NONE)
        }
    }

    /// Takes a SyncGroup in.
    pub(crate) fn sync(&mut self, sync: &Sync, topics: &Topics) -> Synced {
        let (epoch, _) = self.epochs();
        let member = match self.classic_member(&sync.member_id, sync.instance_id.as_deref()) {
            Ok(member) => member,
            Err(code) => return Synced::refused(code),
        };
        let Some(classic) = &mut member.classic else {
            return Synced::refused(ErrorCode::UNKNOWN_MEMBER_ID);
        };
        let protocol = classic.protocols.first().map(|(name, _)| name.clone());
        let is_other_type = sync.protocol_type.as_ref().is_some_and(|stated| stated != PROTOCOL_TYPE);
        if sync.generation != member.epoch {
            return Synced::refused(ErrorCode::ILLEGAL_GENERATION);
        }
        if is_other_type || sync.protocol.is_some() && sync.protocol != protocol {
            return Synced::refused(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        classic.sync_by = None;
        if epoch > member.epoch && member.state != State::Revoking {
            return Synced::refused(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Synced {
            code: ErrorCode::NONE,
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol,
            assignment: embedded::assigned(named(&member.assigned, topics), &classic.told()),
        }
    }

    /// Takes a Heartbeat of the classic protocol in.
    pub(crate) fn beat_of_classic(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        let (epoch, _) = self.epochs();
        let has_free = self.has_all_of_target_free(member_id);
        let member = self.classic_member(member_id, instance_id)?;
        if member.epoch != generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let may_step = match member.state {
            State::Revoking => true,
            State::Waiting => has_free,
            State::Stable => false,
        };
        let is_called = member.epoch < epoch || may_step;
        let by = now + member.rebalance_timeout;
        if let Some(classic) = &mut member.classic {
            member.session_ends = now + classic.session_timeout;
            if is_called {
                classic.rejoin_by.get_or_insert(by);
            }
        }
        if is_called { Err(ErrorCode::REBALANCE_IN_PROGRESS) } else { Ok(()) }
    }

    /// Takes members of the classic protocol out, each named by its id, by its instance, or both.
    pub(crate) fn leave_of_classic(
        &mut self,
        leaving: &[(String, Option<String>)],
    ) -> Vec<Result<(), ErrorCode>> {
        leaving.iter().map(|(id, instance)| self.leave_one(id, instance.as_deref())).collect()
    }

    fn leave_one(&mut self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        let named = (!member_id.is_empty()).then(|| member_id.to_owned());
        let id = named.or_else(|| self.of_instance(instance_id)).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        self.classic_member(&id, instance_id)?;
        self.expel(&id);
        Ok(())
    }

    fn admit_classic(
        &mut self,
        id: &str,
        instance_id: Option<&str>,
        is_unknown: bool,
        now: Instant,
    ) -> Result<Member, ErrorCode> {
        let fresh = || Member { instance_id: instance_id.map(str::to_owned), ..Member::new(now) };
        if instance_id.is_none() {
            return Ok(self.members.get(id).cloned().unwrap_or_else(fresh));
        }
        let known = self.of_instance(instance_id);
        match known.as_deref().and_then(|known| Some((known, self.members.get(known)?.clone()))) {
            Some((known, member)) if known == id => Ok(member),
            Some((known, member)) if is_unknown => Ok(self.replace_static(known, id, member)),
            Some(_) => Err(ErrorCode::FENCED_INSTANCE_ID),
            None if is_unknown => Ok(fresh()),
            None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
        }
    }

    /// The member of the classic protocol that has this id, and stands for its instance.
    fn classic_member(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<&mut Member, ErrorCode> {
        if instance_id.is_some() {
            let known = self.of_instance(instance_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if known != member_id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        let member = self.members.get_mut(member_id).filter(|member| member.classic.is_some());
        member.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    fn of_instance(&self, instance_id: Option<&str>) -> Option<String> {
        let of_it = |member: &Member| member.instance_id.as_deref() == instance_id;
        let known = self.members.iter().find(|(_, member)| instance_id.is_some() && of_it(member));
        known.map(|(id, _)| id.clone())
    }

    /// Whether nobody else has anything that the member waits for.
    fn has_all_of_target_free(&self, member_id: &str) -> bool {
        let Some(target) = self.target.get(member_id) else { return false };
        let mut others = self.members.iter().filter(|(id, _)| *id != member_id);
        !others.any(|(_, other)| target.iter().any(|tp| other.holds(tp)))
    }

    /// Whether all members of the classic protocol know one of the protocols that somebody comes with.
    fn can_follow(&self, join: &Join) -> bool {
        let classics = || self.members().filter_map(|(_, member)| member.classic.as_ref());
        let by_all = |(name, _): &(String, Bytes)| {
            classics().all(|classic| classic.protocols.iter().any(|(known, _)| known == name))
        };
        join.protocol_type == PROTOCOL_TYPE && join.protocols.iter().any(by_all)
    }
}

fn known(partitions: &[(String, i32)], topics: &Topics) -> BTreeSet<Tp> {
    partitions.iter().filter_map(|(name, index)| Some((topics.get(name)?.id, *index))).collect()
}

fn named(partitions: &BTreeSet<Tp>, topics: &Topics) -> impl Iterator<Item = (String, i32)> {
    partitions.iter().filter_map(|(id, index)| Some((topics.name_of(*id)?.to_owned(), *index)))
}
