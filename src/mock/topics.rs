//! The cluster's topics: names, ids, configs, partitions.
//!
//! Invariant: an id belongs to one topic for ever (a topic created again has another one).

use super::followers::Rules;
pub(crate) use super::partition::Partition;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<Partition>,
    /// What was set on the topic itself.
    pub(crate) configs: BTreeMap<String, String>,
}

/// All topics, by name and by id.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Topic>,
    names: BTreeMap<Uuid, String>,
}

impl Topic {
    /// What decides when the replicas of its partitions are in sync.
    pub(crate) fn rules(&self, lag_time_max: Duration) -> Rules {
        let isr_min = self.configs.get("min.insync.replicas").and_then(|value| value.parse().ok());
        let unclean = self.configs.get("unclean.leader.election.enable");
        Rules {
            isr_min: isr_min.unwrap_or(1),
            lag_time_max,
            may_elect_unclean: unclean.is_some_and(|value| value == "true"),
        }
    }
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn name_of(&self, id: Uuid) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<&Topic> {
        self.get(self.name_of(id)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Topic> {
        self.by_name.values_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn partition(&self, name: &str, index: i32) -> Option<&Partition> {
        self.get(name)?.partitions.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, name: &str, index: i32) -> Option<&mut Partition> {
        self.get_mut(name)?.partitions.get_mut(usize::try_from(index).ok()?)
    }

    /// Adds a topic; the caller has checked the name.
    pub(crate) fn create(
        &mut self,
        name: &str,
        id: Uuid,
        replicas: Vec<Vec<i32>>,
        configs: BTreeMap<String, String>,
        up: &BTreeSet<i32>,
    ) {
        let partitions = replicas.into_iter().map(|replicas| Partition::new(replicas, up)).collect();
        self.names.insert(id, name.to_owned());
        self.by_name.insert(name.to_owned(), Topic { name: name.to_owned(), id, partitions, configs });
    }

    pub(crate) fn delete(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.names.remove(&topic.id);
        Some(topic)
    }

    /// Adds partitions to a topic.
    pub(crate) fn grow(&mut self, name: &str, replicas: Vec<Vec<i32>>, up: &BTreeSet<i32>) {
        if let Some(topic) = self.by_name.get_mut(name) {
            topic.partitions.extend(replicas.into_iter().map(|replicas| Partition::new(replicas, up)));
        }
    }

    /// Changes the replicas of all partitions at that time.
    pub(crate) fn change_all(
        &mut self,
        now: Instant,
        lag_time_max: Duration,
        mut work: impl FnMut(&str, i32, Rules, &mut Partition),
    ) {
        for topic in self.by_name.values_mut() {
            let rules = topic.rules(lag_time_max);
            for (index, partition) in (0i32..).zip(&mut topic.partitions) {
                partition.change(now, rules, |partition| work(&topic.name, index, rules, partition));
            }
        }
    }
}

/// Spreads the replicas of `count` partitions over `brokers`, so that leaders come in turn.
pub(crate) fn place_replicas(brokers: &[i32], count: i32, replication: i16, first: usize) -> Vec<Vec<i32>> {
    let wanted = usize::try_from(replication).unwrap_or(1).min(brokers.len());
    (0..usize::try_from(count).unwrap_or(0))
        .map(|at| {
            brokers.iter().copied().cycle().skip((first + at) % brokers.len().max(1)).take(wanted).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        let mut topics = Topics::default();
        let up = BTreeSet::from([1, 2, 3]);
        let replicas = place_replicas(&[1, 2, 3], 3, 3, 0);
        topics.create("t", Uuid::from_u128(1), replicas, BTreeMap::new(), &up);
        topics
    }

    #[test]
    fn leaders_come_in_turn() {
        let leaders: Vec<_> = topics().get("t").unwrap().partitions.iter().map(|p| p.leader).collect();
        assert_eq!(leaders, [Some(1), Some(2), Some(3)]);
    }
}
