//! A group of the consumer protocol (KIP-848): members, and the epochs that fence them.
//!
//! Invariant: a partition is told to a new owner only once the old one no longer lists it, or was taken out.
//! Deadlines are looked at when a request comes, so no timer is needed: nobody can see the difference.
//!
//! Members of the classic protocol among those of this one are `mixed`'s. Not there: subscriptions by regular expression.

use super::assign::{Assignment, Tp, assign};
use super::member::Member;
use crate::error::ErrorCode;
use crate::mock::topics::Topics;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A heartbeat's request, as far as the group looks at it.
#[derive(Debug, Default)]
pub(crate) struct Beat {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) topics: Option<BTreeSet<String>>,
    pub(crate) owned: Option<BTreeSet<Tp>>,
}

/// A heartbeat's answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pulse {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    /// `None`: as told before.
    pub(crate) assigned: Option<BTreeSet<Tp>>,
}

#[derive(Debug, Default)]
pub(crate) struct ConsumerGroup {
    /// Rises whenever members, their topics or the topics' partitions change.
    epoch: i32,
    /// The epoch that the target was made for.
    target_epoch: i32,
    pub(super) target: Assignment,
    pub(super) members: BTreeMap<String, Member>,
    /// The topics read and their partition counts, as the target knows them.
    topics: BTreeMap<Uuid, i32>,
}

impl ConsumerGroup {
    /// A group whose members have all that they are to have.
    pub(super) fn of_members(epoch: i32, members: Vec<(String, Member)>) -> Self {
        let target = members.iter().map(|(id, member)| (id.clone(), member.assigned.clone())).collect();
        let members = members.into_iter().collect();
        Self { epoch, target_epoch: epoch, target, members, topics: BTreeMap::new() }
    }

    /// Takes out the members whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        let over = self.members.iter().filter(|(_, member)| member.is_over(now));
        let over: Vec<String> = over.map(|(id, _)| id.clone()).collect();
        for id in over {
            self.expel(&id);
        }
    }

    /// Takes a member out. Whether it was there.
    pub(crate) fn expel(&mut self, member_id: &str) -> bool {
        let Some(member) = self.members.remove(member_id) else { return false };
        // With the last member of KIP-848 the group goes back to the classic protocol, under the epoch that its members know.
        if member.classic.is_some() || self.is_empty() || self.members.values().any(|it| it.classic.is_none())
        {
            self.epoch += 1;
        }
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(id, member)| (id.as_str(), member))
    }

    /// What a member is on its way to.
    pub(crate) fn target_of(&self, member_id: &str) -> Option<&BTreeSet<Tp>> {
        self.target.get(member_id)
    }

    /// (The group's epoch, the epoch of its target).
    pub(crate) const fn epochs(&self) -> (i32, i32) {
        (self.epoch, self.target_epoch)
    }

    /// The state that ListGroups and ConsumerGroupDescribe tell.
    pub(crate) fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.members.values().all(|member| member.is_settled(self.target_epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// Another coordinator takes over: all sessions begin anew.
    pub(crate) fn reload(&mut self, session_timeout: Duration, now: Instant) {
        for member in self.members.values_mut() {
            member.session_ends = now + session_timeout;
            member.revoke_ends = member.revoke_ends.map(|_| now + member.rebalance_timeout);
        }
    }

    /// Takes a heartbeat in, a first or a last one among them.
    pub(crate) fn heartbeat(
        &mut self,
        beat: &Beat,
        topics: &Topics,
        session_timeout: Duration,
        now: Instant,
    ) -> Result<Pulse, ErrorCode> {
        self.expire(now);
        if beat.epoch < 0 {
            return self.leave(beat);
        }
        let mut member = self.admit(beat, now)?;
        let is_new_topics = beat.topics.as_ref().is_some_and(|topics| *topics != member.topics);
        if let (true, Some(wanted)) = (is_new_topics, &beat.topics) {
            member.topics.clone_from(wanted);
        }
        if let Ok(ms) = u64::try_from(beat.rebalance_timeout_ms) {
            member.rebalance_timeout = Duration::from_millis(ms);
        }
        member.client_id.clone_from(&beat.client_id);
        member.session_ends = now + session_timeout;
        member.classic = None;
        let told_before = member.assigned.clone();
        self.step(&beat.member_id, member, is_new_topics, beat.owned.as_ref(), topics, now);
        let member = self.members.get(&beat.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let is_full = beat.epoch == 0
            || (beat.rebalance_timeout_ms != -1 && beat.topics.is_some() && beat.owned.is_some());
        let is_told = is_full || member.assigned != told_before;
        Ok(Pulse {
            member_id: beat.member_id.clone(),
            epoch: member.epoch,
            assigned: is_told.then(|| member.assigned.clone()),
        })
    }

    /// Takes a member in as it says that it is now, and brings it a step towards its target.
    pub(super) fn step(
        &mut self,
        id: &str,
        member: Member,
        is_new_topics: bool,
        owned: Option<&BTreeSet<Tp>>,
        topics: &Topics,
        now: Instant,
    ) {
        let is_new = self.members.insert(id.to_owned(), member).is_none();
        if is_new && !self.target.contains_key(id) || is_new_topics {
            self.epoch += 1;
        }
        self.retarget(topics);
        self.reconcile(id, owned, now);
    }

    /// Whether a commit of that member and epoch may be taken.
    pub(crate) fn check_commit(&self, member_id: &str, epoch: i32, version: i16) -> Result<(), ErrorCode> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if version < 9 && member.classic.is_none() {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        if member.epoch == epoch { Ok(()) } else { Err(member.stale()) }
    }

    /// Whether that member may read offsets under that epoch.
    pub(crate) fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        let Some(member_id) = member_id else {
            return if epoch < 0 { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        };
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if member.epoch == epoch { Ok(()) } else { Err(member.stale()) }
    }

    /// The member that a heartbeat is of, or why there is none.
    fn admit(&mut self, beat: &Beat, now: Instant) -> Result<Member, ErrorCode> {
        if let Some(instance) = &beat.instance_id {
            return self.admit_static(beat, instance, now);
        }
        match self.members.get(&beat.member_id) {
            None if beat.epoch == 0 => Ok(Member::new(now)),
            None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Some(member) => {
                check_epoch(member, beat)?;
                Ok(member.clone())
            }
        }
    }

    fn admit_static(&mut self, beat: &Beat, instance: &str, now: Instant) -> Result<Member, ErrorCode> {
        let of_instance = |member: &Member| member.instance_id.as_deref() == Some(instance);
        let known = self.members.iter().find(|(_, member)| of_instance(member));
        let Some((id, member)) = known.map(|(id, member)| (id.clone(), member.clone())) else {
            let fresh = Member { instance_id: Some(instance.to_owned()), ..Member::new(now) };
            return if beat.epoch == 0 { Ok(fresh) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        };
        if beat.epoch == 0 {
            if member.epoch != AWAY && member.classic.is_none() {
                return Err(ErrorCode::UNRELEASED_INSTANCE_ID);
            }
            return Ok(self.replace_static(&id, &beat.member_id, member));
        }
        if id != beat.member_id {
            return Err(ErrorCode::FENCED_INSTANCE_ID);
        }
        check_epoch(&member, beat)?;
        Ok(member)
    }

    /// The instance is back, as a rule under another id, and takes over what it had.
    pub(super) fn replace_static(&mut self, before: &str, id: &str, member: Member) -> Member {
        self.members.remove(before);
        if let Some(target) = self.target.remove(before) {
            self.target.insert(id.to_owned(), target);
        }
        Member { epoch: 0, previous_epoch: 0, ..member }
    }

    /// -1 leaves for good; -2 keeps a static member's place until its session ends.
    fn leave(&mut self, beat: &Beat) -> Result<Pulse, ErrorCode> {
        if let Some(instance) = &beat.instance_id {
            let of_instance = |member: &Member| member.instance_id.as_ref() == Some(instance);
            let known = self.members.iter().find(|(_, member)| of_instance(member));
            let (id, _) = known.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if *id != beat.member_id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        let member = self.members.get_mut(&beat.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if beat.epoch == AWAY {
            member.epoch = AWAY;
            member.revoking.clear();
            member.revoke_ends = None;
        } else {
            self.expel(&beat.member_id);
        }
        Ok(Pulse { member_id: beat.member_id.clone(), epoch: beat.epoch, assigned: None })
    }

    /// Makes a new target where the old one is out of date.
    fn retarget(&mut self, topics: &Topics) {
        let id_of = |name: &String| topics.get(name).map(|topic| topic.id);
        let readers: BTreeMap<String, BTreeSet<Uuid>> = self
            .members
            .iter()
            .map(|(id, member)| (id.clone(), member.topics.iter().filter_map(id_of).collect()))
            .collect();
        let read: BTreeSet<Uuid> = readers.values().flatten().copied().collect();
        let count = |id: &Uuid| {
            let topic = topics.by_id(*id)?;
            Some((*id, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)))
        };
        let counts: BTreeMap<Uuid, i32> = read.iter().filter_map(count).collect();
        if counts != self.topics {
            self.topics = counts;
            self.epoch = self.epoch.max(self.target_epoch + 1);
        }
        if self.epoch > self.target_epoch {
            self.target = assign(&readers, &self.topics, &self.target);
            self.target_epoch = self.epoch;
        }
    }

    fn reconcile(&mut self, id: &str, owned: Option<&BTreeSet<Tp>>, now: Instant) {
        let Some(mut member) = self.members.remove(id) else { return };
        let nothing = BTreeSet::new();
        let target = self.target.get(id).unwrap_or(&nothing);
        let others = &self.members;
        let is_free = |tp: &Tp| !others.values().any(|other| other.holds(tp));
        member.reconcile(target, self.target_epoch, owned, is_free, now);
        self.members.insert(id.to_owned(), member);
    }
}

/// A member states its present epoch, or, if the last answer was lost, the one before and nothing it does not have.
///
/// So a member that starts afresh at 0 is let in only while its own first epoch was the last change (KAFKA-19233).
fn check_epoch(member: &Member, beat: &Beat) -> Result<(), ErrorCode> {
    let lost_answer = beat.epoch == member.previous_epoch
        && beat.owned.as_ref().is_some_and(|owned| owned.is_subset(&member.assigned));
    if beat.epoch == member.epoch || (beat.epoch < member.epoch && lost_answer) {
        Ok(())
    } else {
        Err(ErrorCode::FENCED_MEMBER_EPOCH)
    }
}

/// The epoch of a static member that left for a while.
pub(crate) const AWAY: i32 = -2;
