//! How the leader of a classic group divides the partitions among its members: pure functions.
//!
//! Range and round-robin give what Java's assignors of these names give, member for member; racks are not looked at.

mod range;
mod round_robin;
mod sticky;
#[cfg(test)]
mod tests;

use crate::consumer::{protocol::Assignor, record::TopicPartition};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A member as the leader knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Subscriber {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// What it says it has, and since which generation.
    pub(crate) owned: BTreeSet<TopicPartition>,
    pub(crate) generation: i32,
}

/// How many partitions each topic has.
pub(crate) type Counts = BTreeMap<Arc<str>, i32>;

/// What each member gets, by its id.
pub(crate) type Assignment = BTreeMap<String, BTreeSet<TopicPartition>>;

/// Divides the partitions of all topics that somebody subscribes to. Every subscriber has an entry.
pub(crate) fn assign(assignor: Assignor, counts: &Counts, subscribers: &[Subscriber]) -> Assignment {
    match assignor {
        Assignor::Range => range::assign(counts, subscribers),
        Assignor::RoundRobin => round_robin::assign(counts, subscribers),
        Assignor::CooperativeSticky => {
            let mut assignment = sticky::assign(counts, subscribers);
            sticky::withhold(&mut assignment, subscribers);
            assignment
        }
    }
}

/// Static members first, by their instance; then the others by their ids: the order in which Java counts them.
fn in_order(subscribers: &[Subscriber]) -> Vec<&Subscriber> {
    let mut sorted: Vec<&Subscriber> = subscribers.iter().collect();
    sorted.sort_by(|one, other| match (&one.instance_id, &other.instance_id) {
        (Some(one), Some(other)) => one.cmp(other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => one.id.cmp(&other.id),
    });
    sorted
}

fn empty(subscribers: &[Subscriber]) -> Assignment {
    subscribers.iter().map(|member| (member.id.clone(), BTreeSet::new())).collect()
}
