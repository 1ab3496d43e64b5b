//! JoinGroup: who is let in, under which id, and whether that makes a new generation.

use super::{ClassicGroup, Joined, Member, Protocols, Reply, State};
use crate::error::ErrorCode;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A JoinGroup's request, as far as the group looks at it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Join {
    pub(crate) connection: u64,
    /// Empty: the member has none yet.
    pub(crate) member_id: String,
    /// The id that it gets if it has none.
    pub(crate) new_member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Protocols,
    /// From v4 on a member that has no id is given one first, and joins with it then (KIP-394).
    pub(crate) needs_member_id: bool,
    /// From v9 on a leader that comes back may be told to keep the assignment (KIP-814).
    pub(crate) can_keep_assignment: bool,
}

impl ClassicGroup {
    /// Takes a JoinGroup in; its answer lies in the replies, now or later.
    pub(crate) fn join(&mut self, join: &Join, now: Instant) {
        if !self.has_room(&join.member_id) {
            self.remove(&join.member_id);
            self.refuse(join, "", ErrorCode::GROUP_MAX_SIZE_REACHED);
        } else if !self.can_follow(join) {
            self.refuse(join, &join.member_id, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        } else if join.member_id.is_empty() {
            self.join_without_id(join, now);
        } else if self.pending.contains_key(&join.member_id) {
            self.add(&join.member_id, join, now);
        } else if let Err(code) = self.check_member(&join.member_id, join.instance_id.as_deref()) {
            self.refuse(join, &join.member_id, code);
        } else {
            self.join_again(join, now);
        }
        self.tick(now);
    }

    fn join_without_id(&mut self, join: &Join, now: Instant) {
        let id = &join.new_member_id;
        match join.instance_id.as_deref().map(|instance| self.of_instance(instance).map(str::to_owned)) {
            Some(Some(old)) => self.replace_static(&old, join, now),
            Some(None) => self.add(id, join, now),
            None if join.needs_member_id => {
                self.pending.insert(id.clone(), now + join.session_timeout);
                self.refuse(join, id, ErrorCode::MEMBER_ID_REQUIRED);
            }
            None => self.add(id, join, now),
        }
    }

    /// A member joins that is in the group already.
    fn join_again(&mut self, join: &Join, now: Instant) {
        let id = &join.member_id;
        let is_same = self.members.get(id).is_some_and(|member| member.protocols == join.protocols);
        let is_leader = self.leader.as_ref() == Some(id);
        let is_settled = match self.state {
            // Its answer was lost: it hears of the present generation once more.
            State::CompletingRebalance => is_same,
            // A leader asks for a new assignment, since it alone knows when one is due.
            State::Stable => is_same && !is_leader,
            State::PreparingRebalance => false,
            State::Empty => return self.refuse(join, id, ErrorCode::UNKNOWN_MEMBER_ID),
        };
        if is_settled {
            let joined = self.joined(id);
            self.replies.insert(join.connection, Reply::Join(joined));
        } else {
            self.update(id, join);
            self.rebalance_or_go_on(now);
        }
    }

    fn add(&mut self, id: &str, join: &Join, now: Instant) {
        if self.state == State::PreparingRebalance && self.previous == State::Empty {
            self.is_member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.to_owned());
        }
        let member = Member {
            instance_id: join.instance_id.clone(),
            client_id: join.client_id.clone(),
            rebalance_timeout: join.rebalance_timeout,
            session_timeout: join.session_timeout,
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            awaiting_join: Some(join.connection),
            awaiting_sync: None,
            is_new: true,
            // A client that gave up and came again under another id must not be waited for for ever.
            session_ends: Some(now + NEW_MEMBER_TIMEOUT),
        };
        self.members.insert(id.to_owned(), member);
        self.pending.remove(id);
        self.rebalance_or_go_on(now);
    }

    /// A static member is back without its id: it takes the old one's place, and, if nothing else changes, its
    /// assignment without a new generation (KIP-345).
    fn replace_static(&mut self, old: &str, join: &Join, now: Instant) {
        let id = &join.new_member_id;
        let leader_before = self.leader.clone().unwrap_or_default();
        self.answer_join(old, Joined::refused(old, ErrorCode::FENCED_INSTANCE_ID));
        self.answer_sync(old, ErrorCode::FENCED_INSTANCE_ID);
        let Some(mut member) = self.members.remove(old) else { return };
        member.is_new = false;
        member.touch(now);
        self.members.insert(id.clone(), member);
        if leader_before == old {
            self.leader = Some(id.clone());
        }
        self.update(id, join);
        match self.state {
            State::Stable if self.protocol == self.select_protocol() => {
                let mut joined = self.joined(id);
                if join.can_keep_assignment {
                    joined.is_assignment_kept = joined.leader == *id;
                } else {
                    joined.leader = leader_before;
                    joined.peers.clear();
                }
                self.answer_join(id, joined);
                self.store();
            }
            State::Stable | State::CompletingRebalance => self.prepare(now),
            State::PreparingRebalance | State::Empty => self.maybe_complete(now),
        }
    }

    fn update(&mut self, id: &str, join: &Join) {
        if let Some(member) = self.members.get_mut(id) {
            member.protocols.clone_from(&join.protocols);
            member.rebalance_timeout = join.rebalance_timeout;
            member.session_timeout = join.session_timeout;
            member.awaiting_join = Some(join.connection);
        }
    }

    fn refuse(&mut self, join: &Join, member_id: &str, code: ErrorCode) {
        self.replies.insert(join.connection, Reply::Join(Joined::refused(member_id, code)));
    }

    fn has_room(&self, member_id: &str) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                let joined = self.members.values().filter(|member| member.awaiting_join.is_some()).count();
                member.is_some_and(|member| member.awaiting_join.is_some()) || joined < self.rules.max_size
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < self.rules.max_size
            }
        }
    }

    /// Whether the member's type is the group's, and all members support one of its protocols.
    fn can_follow(&self, join: &Join) -> bool {
        if self.state == State::Empty {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let by_all = |(name, _): &(String, Bytes)| self.members.values().all(|member| member.supports(name));
        self.protocol_type.as_ref() == Some(&join.protocol_type) && join.protocols.iter().any(by_all)
    }
}

/// How long a new member's JoinGroup may wait.
const NEW_MEMBER_TIMEOUT: Duration = Duration::from_secs(300);
