//! Where a member of a classic group is: a struct for each state, with what belongs to it.

use super::leading::{Divided, Leader};
use crate::consumer::{protocol::Assignor, record::TopicPartition};
use bytes::Bytes;
use std::{collections::BTreeSet, time::Instant};

/// A question without an answer yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) sent_at: Instant,
}

#[derive(Debug)]
pub(super) enum State {
    Joining(Joining),
    Leading(Leading),
    Syncing(Syncing),
    Stable(Stable),
    Revoking(Revoking),
    Leaving(Leaving),
    /// It has left.
    Left,
    /// The group refused it for good.
    Failed,
}

/// Outside of the group, or called to a new generation: JoinGroup is due, or waits for the other members.
#[derive(Debug, Default)]
pub(super) struct Joining {
    pub(super) asked: Option<Asked>,
    /// When to ask, `None` at once.
    pub(super) at: Option<Instant>,
}

/// In a generation that waits for its assignment from here.
#[derive(Debug)]
pub(super) struct Leading {
    pub(super) leader: Leader,
    pub(super) assignor: Assignor,
    /// Then what is known has to do.
    pub(super) until: Instant,
    pub(super) has_asked: bool,
}

/// In a generation; what it may own is not known yet.
#[derive(Debug)]
pub(super) struct Syncing {
    pub(super) asked: Option<Asked>,
    pub(super) protocol: String,
    /// From the leader only.
    pub(super) assignments: Vec<(String, Bytes)>,
    pub(super) divided: Option<Divided>,
}

/// In a generation, and it reads what it was assigned.
#[derive(Debug)]
pub(super) struct Stable {
    /// What the leader has divided.
    pub(super) divided: Option<Divided>,
}

/// In a generation; delivery of some partitions has ended, and their last commit is under way. It joins again then.
#[derive(Debug)]
pub(super) struct Revoking {
    pub(super) partitions: BTreeSet<TopicPartition>,
}

/// It takes itself out of the group.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    pub(super) asked: Option<Asked>,
    pub(super) at: Option<Instant>,
    /// It has no id to leave with before its JoinGroup is answered.
    pub(super) joins: bool,
}
