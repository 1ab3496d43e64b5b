//! The cluster's topics: names, ids, configs, and each partition's leader, replicas and log.
//!
//! Invariant: an id belongs to one topic for ever (a topic created again has another one), and a leader epoch only
//! rises.

use super::log::Log;
use super::producers::Producers;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

#[derive(Debug)]
pub(crate) struct Partition {
    /// `None`: no replica in sync is up.
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) log: Log,
    pub(crate) producers: Producers,
}

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

impl Partition {
    fn new(replicas: Vec<i32>, up: &BTreeSet<i32>) -> Self {
        let isr: Vec<i32> = replicas.iter().copied().filter(|id| up.contains(id)).collect();
        let mut log = Log::default();
        log.begin_epoch(0);
        Self {
            leader: isr.first().copied(),
            leader_epoch: 0,
            isr,
            replicas,
            log,
            producers: Producers::default(),
        }
    }

    fn elect(&mut self, leader: Option<i32>) {
        self.leader = leader;
        self.leader_epoch += 1;
        self.log.begin_epoch(self.leader_epoch);
    }

    /// Takes a broker out: it leaves the replicas in sync, unless it is the last one, and leads no more.
    fn broker_down(&mut self, broker: i32) -> bool {
        if self.isr.len() > 1 {
            self.isr.retain(|id| *id != broker);
        }
        let led = self.leader == Some(broker);
        if led {
            let next = self.isr.iter().copied().find(|id| *id != broker);
            self.elect(next);
        }
        led
    }

    /// Brings a broker back: its replica is in sync again, and leads where nobody does. A partition without a
    /// leader waits for its last replica in sync: an unclean election never happens.
    fn broker_up(&mut self, broker: i32, up: &BTreeSet<i32>) -> bool {
        let elected = self.leader.is_none() && self.isr.contains(&broker);
        if elected {
            self.elect(Some(broker));
        }
        if self.leader.is_some() {
            self.isr = self.replicas.iter().copied().filter(|id| up.contains(id)).collect();
        }
        elected
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

    /// Makes `broker` the leader of a partition, if it holds a replica of it. Whether it does.
    pub(crate) fn move_leader(&mut self, name: &str, index: i32, broker: i32) -> bool {
        let Some(partition) = self.partition_mut(name, index) else { return false };
        let in_sync = partition.isr.contains(&broker);
        if in_sync && partition.leader != Some(broker) {
            partition.elect(Some(broker));
        }
        in_sync
    }

    /// Tells all partitions that a broker stopped; those that it led.
    pub(crate) fn broker_down(&mut self, broker: i32) -> Vec<(Uuid, i32)> {
        self.each(|partition| partition.broker_down(broker))
    }

    /// Tells all partitions that a broker is up again; those that it leads now.
    pub(crate) fn broker_up(&mut self, broker: i32, up: &BTreeSet<i32>) -> Vec<(Uuid, i32)> {
        self.each(|partition| partition.broker_up(broker, up))
    }

    fn each(&mut self, mut change: impl FnMut(&mut Partition) -> bool) -> Vec<(Uuid, i32)> {
        let mut changed = Vec::new();
        for topic in self.by_name.values_mut() {
            for (index, partition) in (0i32..).zip(&mut topic.partitions) {
                if change(partition) {
                    changed.push((topic.id, index));
                }
            }
        }
        changed
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

    #[test]
    fn the_last_replica_in_sync_stays_so_and_leads_when_it_is_back() {
        let mut topics = topics();
        for broker in [1, 2, 3] {
            topics.broker_down(broker);
        }
        let partition = topics.partition("t", 0).unwrap();
        assert_eq!((partition.leader, partition.leader_epoch, partition.isr.as_slice()), (None, 3, &[3][..]));
        topics.broker_up(1, &BTreeSet::from([1]));
        assert_eq!(topics.partition("t", 0).unwrap().leader, None);
        topics.broker_up(3, &BTreeSet::from([1, 3]));
        let partition = topics.partition("t", 0).unwrap();
        assert_eq!(
            (partition.leader, partition.leader_epoch, partition.isr.as_slice()),
            (Some(3), 4, &[1, 3][..])
        );
    }

    #[test]
    fn a_leader_moves_only_to_a_replica_in_sync() {
        let mut topics = topics();
        assert!(topics.move_leader("t", 0, 3));
        assert_eq!(topics.partition("t", 0).unwrap().leader_epoch, 1);
        topics.broker_down(2);
        assert!(!topics.move_leader("t", 0, 2));
    }
}
