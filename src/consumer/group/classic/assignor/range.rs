//! By topic, neighbouring partitions to each member, the first members one more where it does not come out even.

use super::{Assignment, Counts, Subscriber, empty, in_order};
use crate::consumer::record::TopicPartition;

pub(super) fn assign(counts: &Counts, subscribers: &[Subscriber]) -> Assignment {
    let sorted = in_order(subscribers);
    let mut assignment = empty(subscribers);
    for (topic, &count) in counts {
        let members: Vec<_> = sorted.iter().filter(|member| member.topics.contains(topic)).collect();
        let Ok(sharing) = i32::try_from(members.len()) else { continue };
        if sharing == 0 {
            continue;
        }
        let (each, more) = (count / sharing, count % sharing);
        let mut next = 0;
        for (place, member) in (0..).zip(members) {
            let share = each + i32::from(place < more);
            let partitions = (next..next + share).map(|index| TopicPartition::new(topic.clone(), index));
            assignment.entry(member.id.clone()).or_default().extend(partitions);
            next += share;
        }
    }
    assignment
}
