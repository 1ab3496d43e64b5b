//! The partitions of all topics in turn, each to the next member that subscribes to its topic.

use super::{Assignment, Counts, Subscriber, empty, in_order};
use crate::consumer::record::TopicPartition;

pub(super) fn assign(counts: &Counts, subscribers: &[Subscriber]) -> Assignment {
    let sorted = in_order(subscribers);
    let mut assignment = empty(subscribers);
    let mut turn = sorted.iter().cycle();
    for (topic, &count) in counts {
        if !sorted.iter().any(|member| member.topics.contains(topic)) {
            continue;
        }
        for index in 0..count {
            if let Some(member) = turn.by_ref().find(|member| member.topics.contains(topic)) {
                let partition = TopicPartition::new(topic.clone(), index);
                assignment.entry(member.id.clone()).or_default().insert(partition);
            }
        }
    }
    assignment
}
