//! One member of a classic group, and what it waits for.

use bytes::Bytes;
use std::time::{Duration, Instant};

/// The names of protocols a member can follow, best first, each with what the leader is told of the member.
pub(crate) type Protocols = Vec<(String, Bytes)>;

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) session_timeout: Duration,
    pub(crate) protocols: Protocols,
    pub(crate) assignment: Bytes,
    /// The connection that its JoinGroup is parked on.
    pub(crate) awaiting_join: Option<u64>,
    /// The connection that its SyncGroup is parked on.
    pub(crate) awaiting_sync: Option<u64>,
    /// It has seen no generation yet, so it is timed even while it waits.
    pub(crate) is_new: bool,
    /// When its silence is looked at.
    pub(crate) session_ends: Option<Instant>,
}

impl Member {
    /// The first of its protocols that `is_candidate`.
    pub(crate) fn vote(&self, is_candidate: impl Fn(&str) -> bool) -> Option<&str> {
        self.protocols.iter().map(|(name, _)| name.as_str()).find(|name| is_candidate(name))
    }

    pub(crate) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// What the leader is told of it under a protocol.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map(|(_, told)| told.clone())
            .unwrap_or_default()
    }

    /// A member whose request is parked need not send heartbeats, unless it is new.
    pub(crate) const fn is_excused(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// Counts its session from `now` on.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.session_ends = Some(now + self.session_timeout);
    }
}
