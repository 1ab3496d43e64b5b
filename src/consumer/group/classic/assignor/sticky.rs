//! Evenly, with as few partitions moved as that allows.
//!
//! Each member keeps what it has; what nobody has goes to the members that have least; then partitions move from members
//! that have more to ones that have at least two less, until there are none. Where all subscribe to the same topics no
//! division that is as even moves less. Invariant: when two members say that they have a partition, the one of the
//! later generation has it, and of the same generation neither.

use super::{Assignment, Counts, Subscriber, empty};
use crate::consumer::record::TopicPartition;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(super) fn assign(counts: &Counts, subscribers: &[Subscriber]) -> Assignment {
    let mut members: Vec<&Subscriber> = subscribers.iter().collect();
    members.sort_by(|one, other| one.id.cmp(&other.id));
    let mut plan = Plan::new(counts, members);
    plan.keep(subscribers);
    plan.hand_out(counts);
    while plan.move_one() {}
    let mut assignment = empty(subscribers);
    for (member, shares) in plan.members.iter().zip(plan.shares) {
        let partitions = assignment.entry(member.id.clone()).or_default();
        for (topic, indexes) in shares {
            partitions.extend(indexes.into_iter().map(|index| TopicPartition::new(topic.clone(), index)));
        }
    }
    assignment
}

/// Takes out what another member still has: it is given once that member has let go of it, in the next generation.
pub(super) fn withhold(assignment: &mut Assignment, subscribers: &[Subscriber]) {
    let owners = owners(subscribers);
    let mut claimed: BTreeMap<&TopicPartition, BTreeSet<&str>> = BTreeMap::new();
    for member in subscribers {
        for partition in &member.owned {
            claimed.entry(partition).or_default().insert(&member.id);
        }
    }
    for (id, partitions) in assignment {
        partitions.retain(|partition| {
            let is_own = owners.get(partition) == Some(&id.as_str());
            let others = claimed.get(partition).is_some_and(|by| by.iter().any(|one| one != id));
            is_own || !others
        });
    }
}

/// Who has what, where that is clear.
fn owners(subscribers: &[Subscriber]) -> BTreeMap<&TopicPartition, &str> {
    let mut best: BTreeMap<&TopicPartition, (i32, Option<&str>)> = BTreeMap::new();
    for member in subscribers {
        for partition in &member.owned {
            let claim = (member.generation, Some(member.id.as_str()));
            let known = best.entry(partition).or_insert(claim);
            if member.generation > known.0 {
                *known = claim;
            } else if member.generation == known.0 && known.1 != claim.1 {
                known.1 = None;
            }
        }
    }
    best.into_iter().filter_map(|(partition, (_, id))| Some((partition, id?))).collect()
}

struct Plan<'a> {
    members: Vec<&'a Subscriber>,
    /// Who may have a topic's partitions, by place in `members`.
    may_have: BTreeMap<Arc<str>, Vec<usize>>,
    /// What each has so far, by topic.
    shares: Vec<BTreeMap<Arc<str>, BTreeSet<i32>>>,
    loads: Vec<usize>,
}

impl<'a> Plan<'a> {
    fn new(counts: &Counts, members: Vec<&'a Subscriber>) -> Self {
        let may_have = |topic: &Arc<str>| {
            let places = members.iter().enumerate().filter(|(_, member)| member.topics.contains(topic));
            places.map(|(place, _)| place).collect()
        };
        let may_have = counts.keys().map(|topic| (topic.clone(), may_have(topic))).collect();
        let shares = vec![BTreeMap::new(); members.len()];
        let loads = vec![0; members.len()];
        Self { members, may_have, shares, loads }
    }

    fn keep(&mut self, subscribers: &[Subscriber]) {
        let places: BTreeMap<&str, usize> =
            self.members.iter().enumerate().map(|(place, member)| (member.id.as_str(), place)).collect();
        for (partition, id) in owners(subscribers) {
            let Some(&place) = places.get(id) else { continue };
            if self.may_have.get(&partition.topic).is_some_and(|may| may.contains(&place)) {
                self.give(place, &partition.topic, partition.partition);
            }
        }
    }

    /// Gives what nobody has, first what the fewest may have.
    fn hand_out(&mut self, counts: &Counts) {
        for (topic, &count) in counts {
            // A partition that was there once may be gone.
            for place in 0..self.members.len() {
                let gone: Vec<i32> = self
                    .share(place, topic)
                    .into_iter()
                    .flatten()
                    .copied()
                    .filter(|index| !(0..count).contains(index))
                    .collect();
                gone.into_iter().for_each(|index| self.take(place, topic, index));
            }
        }
        let mut topics: Vec<(Arc<str>, i32)> =
            counts.iter().map(|(topic, &count)| (topic.clone(), count)).collect();
        topics.sort_by_key(|(topic, _)| self.may_have.get(topic).map_or(0, Vec::len));
        for (topic, count) in topics {
            let taken: BTreeSet<i32> =
                self.shares.iter().filter_map(|share| share.get(&topic)).flatten().copied().collect();
            for index in (0..count).filter(|index| !taken.contains(index)) {
                if let Some(place) = self.least_loaded(&topic) {
                    self.give(place, &topic, index);
                }
            }
        }
    }

    /// Moves one partition to a member that has at least two less, if that can be done. The sum of the squared loads
    /// falls each time, so it comes to an end.
    fn move_one(&mut self) -> bool {
        let mut fullest: Vec<usize> = (0..self.members.len()).collect();
        fullest.sort_by_key(|&place| std::cmp::Reverse(self.load(place)));
        for from in fullest {
            let topics = self.shares.get(from).map(|share| share.keys().cloned().collect::<Vec<_>>());
            let targets = topics.into_iter().flatten().filter_map(|topic| {
                let to = self.least_loaded(&topic)?;
                (self.load(from) >= self.load(to) + 2).then_some((topic, to))
            });
            let Some((topic, to)) = targets.min_by_key(|(_, to)| self.load(*to)) else { continue };
            let Some(index) = self.dispensable(from, &topic) else { continue };
            self.take(from, &topic, index);
            self.give(to, &topic, index);
            return true;
        }
        false
    }

    /// What can be taken from a member at the least cost: what it did not have before, else its last.
    fn dispensable(&self, from: usize, topic: &Arc<str>) -> Option<i32> {
        let indexes = self.share(from, topic)?;
        let owned = |index: &&i32| {
            let partition = TopicPartition::new(topic.clone(), **index);
            self.members.get(from).is_some_and(|member| member.owned.contains(&partition))
        };
        indexes.iter().rev().find(|index| !owned(index)).or(indexes.last()).copied()
    }

    fn least_loaded(&self, topic: &Arc<str>) -> Option<usize> {
        self.may_have.get(topic)?.iter().copied().min_by_key(|&place| self.load(place))
    }

    fn share(&self, place: usize, topic: &Arc<str>) -> Option<&BTreeSet<i32>> {
        self.shares.get(place)?.get(topic)
    }

    fn load(&self, place: usize) -> usize {
        self.loads.get(place).copied().unwrap_or(usize::MAX)
    }

    fn give(&mut self, place: usize, topic: &Arc<str>, index: i32) {
        if let (Some(share), Some(load)) = (self.shares.get_mut(place), self.loads.get_mut(place)) {
            *load += usize::from(share.entry(topic.clone()).or_default().insert(index));
        }
    }

    fn take(&mut self, place: usize, topic: &Arc<str>, index: i32) {
        if let (Some(share), Some(load)) = (self.shares.get_mut(place), self.loads.get_mut(place))
            && let Some(indexes) = share.get_mut(topic)
        {
            *load -= usize::from(indexes.remove(&index));
            if indexes.is_empty() {
                share.remove(topic);
            }
        }
    }
}
