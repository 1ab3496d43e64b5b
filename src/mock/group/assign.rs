//! Who gets which partition: evenly, and as much as can be the same as before.
//!
//! Invariant: every partition of a topic that somebody reads has exactly one owner, who reads that topic; members that
//! read the same topics differ by one partition at most.

use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A partition, by its topic's id.
pub(crate) type Tp = (Uuid, i32);
/// Partitions by member id.
pub(crate) type Assignment = BTreeMap<String, BTreeSet<Tp>>;

/// Spreads the partitions of `topics` (how many each has) over the members that read them.
pub(crate) fn assign(
    readers: &BTreeMap<String, BTreeSet<Uuid>>,
    topics: &BTreeMap<Uuid, i32>,
    before: &Assignment,
) -> Assignment {
    let mut owned: Assignment = readers.keys().map(|member| (member.clone(), BTreeSet::new())).collect();
    let reads = |member: &str, topic: &Uuid| readers.get(member).is_some_and(|topics| topics.contains(topic));
    let mut free: BTreeSet<Tp> =
        topics.iter().flat_map(|(topic, count)| (0..*count).map(|index| (*topic, index))).collect();
    for (member, kept) in before {
        let Some(owned) = owned.get_mut(member) else { continue };
        owned.extend(kept.iter().filter(|tp| reads(member, &tp.0) && free.remove(tp)));
    }
    for tp in free {
        let least =
            owned.iter_mut().filter(|(member, _)| reads(member, &tp.0)).min_by_key(|(_, has)| has.len());
        if let Some((_, has)) = least {
            has.insert(tp);
        }
    }
    while let Some((from, to, tp)) = unfair(&owned, &reads) {
        owned.entry(from).and_modify(|has| {
            has.remove(&tp);
        });
        owned.entry(to).or_default().insert(tp);
    }
    owned
}

/// A partition whose move makes the spread more even, and the members that it moves between.
fn unfair(owned: &Assignment, reads: &impl Fn(&str, &Uuid) -> bool) -> Option<(String, String, Tp)> {
    let mut by_load: Vec<_> = owned.iter().collect();
    by_load.sort_by_key(|(_, has)| has.len());
    for (from, has) in by_load.iter().rev() {
        for (to, other) in &by_load {
            if other.len() + 1 >= has.len() {
                break;
            }
            if let Some(tp) = has.iter().rev().find(|tp| reads(to, &tp.0)) {
                return Some(((*from).clone(), (*to).clone(), *tp));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    fn readers(members: &[(&str, &[Uuid])]) -> BTreeMap<String, BTreeSet<Uuid>> {
        members.iter().map(|(id, topics)| ((*id).to_owned(), topics.iter().copied().collect())).collect()
    }

    fn sizes(assignment: &Assignment) -> Vec<usize> {
        assignment.values().map(BTreeSet::len).collect()
    }

    #[test]
    fn members_get_equal_shares_and_keep_what_they_can() {
        let topics = BTreeMap::from([(ONE, 16)]);
        let two = assign(&readers(&[("a", &[ONE]), ("b", &[ONE])]), &topics, &Assignment::new());
        assert_eq!(sizes(&two), [8, 8]);
        let four = [("a", &[ONE][..]), ("b", &[ONE]), ("c", &[ONE]), ("d", &[ONE])];
        let spread = assign(&readers(&four), &topics, &two);
        assert_eq!(sizes(&spread), [4, 4, 4, 4]);
        assert!(spread["a"].is_subset(&two["a"]) && spread["b"].is_subset(&two["b"]));
        let three = assign(&readers(&four[..3]), &topics, &spread);
        let mut shares = sizes(&three);
        shares.sort_unstable();
        assert_eq!(shares, [5, 5, 6]);
        assert!(["a", "b", "c"].iter().all(|id| spread[*id].is_subset(&three[*id])));
    }

    #[test]
    fn nobody_gets_a_topic_that_he_does_not_read() {
        let topics = BTreeMap::from([(ONE, 3), (TWO, 6)]);
        let spread = assign(&readers(&[("a", &[ONE, TWO]), ("b", &[TWO])]), &topics, &Assignment::new());
        assert!(spread["b"].iter().all(|tp| tp.0 == TWO));
        let mut shares = sizes(&spread);
        shares.sort_unstable();
        assert_eq!(shares, [4, 5]);
    }

    #[test]
    fn more_members_than_partitions_leaves_some_without() {
        let members = readers(&[("a", &[ONE]), ("b", &[ONE]), ("c", &[ONE])]);
        let spread = assign(&members, &BTreeMap::from([(ONE, 2)]), &Assignment::new());
        assert_eq!(sizes(&spread), [1, 1, 0]);
    }
}
