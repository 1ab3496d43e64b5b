//! Known answers, and what holds for all groups.

use super::*;
use proptest::prelude::*;

fn subscriber(id: &str, topics: &[&str]) -> Subscriber {
    let topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
    Subscriber { id: id.to_owned(), topics, generation: -1, ..Subscriber::default() }
}

fn counts(topics: &[(&str, i32)]) -> Counts {
    topics.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
}

fn partitions(names: &[(&str, i32)]) -> BTreeSet<TopicPartition> {
    names.iter().map(|(topic, index)| TopicPartition::new(*topic, *index)).collect()
}

#[test]
fn range_gives_the_first_members_one_more() {
    let members = [subscriber("b", &["t", "u"]), subscriber("a", &["t", "u"]), subscriber("c", &["u"])];
    let assignment = assign(Assignor::Range, &counts(&[("t", 3), ("u", 3)]), &members);
    assert_eq!(assignment["a"], partitions(&[("t", 0), ("t", 1), ("u", 0)]));
    assert_eq!(assignment["b"], partitions(&[("t", 2), ("u", 1)]));
    assert_eq!(assignment["c"], partitions(&[("u", 2)]));
}

#[test]
fn range_leaves_members_without_anything_where_there_are_too_many() {
    let members = [subscriber("a", &["t"]), subscriber("b", &["t"])];
    let assignment = assign(Assignor::Range, &counts(&[("t", 1)]), &members);
    assert_eq!(assignment["a"], partitions(&[("t", 0)]));
    assert!(assignment["b"].is_empty());
}

#[test]
fn round_robin_goes_on_with_the_next_member_at_the_next_topic() {
    let members = [subscriber("a", &["t", "u"]), subscriber("b", &["t", "u"])];
    let assignment = assign(Assignor::RoundRobin, &counts(&[("t", 3), ("u", 3)]), &members);
    assert_eq!(assignment["a"], partitions(&[("t", 0), ("t", 2), ("u", 1)]));
    assert_eq!(assignment["b"], partitions(&[("t", 1), ("u", 0), ("u", 2)]));
}

/// The example of Kafka's own documentation of the assignor.
#[test]
fn round_robin_steps_over_members_that_do_not_subscribe() {
    let members =
        [subscriber("c0", &["t0"]), subscriber("c1", &["t0", "t1"]), subscriber("c2", &["t0", "t1", "t2"])];
    let assignment = assign(Assignor::RoundRobin, &counts(&[("t0", 1), ("t1", 2), ("t2", 3)]), &members);
    assert_eq!(assignment["c0"], partitions(&[("t0", 0)]));
    assert_eq!(assignment["c1"], partitions(&[("t1", 0)]));
    assert_eq!(assignment["c2"], partitions(&[("t1", 1), ("t2", 0), ("t2", 1), ("t2", 2)]));
}

#[test]
fn static_members_are_counted_first_by_their_instances() {
    let of_instance =
        |id, instance: &str| Subscriber { instance_id: Some(instance.to_owned()), ..subscriber(id, &["t"]) };
    let members = [subscriber("a", &["t"]), of_instance("y", "two"), of_instance("z", "one")];
    let assignment = assign(Assignor::Range, &counts(&[("t", 3)]), &members);
    assert_eq!(assignment["z"], partitions(&[("t", 0)]));
    assert_eq!(assignment["y"], partitions(&[("t", 1)]));
    assert_eq!(assignment["a"], partitions(&[("t", 2)]));
}

#[test]
fn a_member_that_comes_gets_only_what_nobody_has_first() {
    let all = partitions(&[("t", 0), ("t", 1), ("t", 2), ("t", 3)]);
    let old = Subscriber { owned: all, generation: 1, ..subscriber("old", &["t"]) };
    let members = [old, subscriber("new", &["t"])];
    let assignment = assign(Assignor::CooperativeSticky, &counts(&[("t", 4)]), &members);
    assert_eq!(assignment["old"].len(), 2, "what is to move is taken from its owner");
    assert!(assignment["new"].is_empty(), "and given to nobody while that has it");

    let old = Subscriber { owned: assignment["old"].clone(), generation: 2, ..subscriber("old", &["t"]) };
    let new = Subscriber { generation: 2, ..subscriber("new", &["t"]) };
    let assignment = assign(Assignor::CooperativeSticky, &counts(&[("t", 4)]), &[old.clone(), new]);
    assert_eq!(assignment["old"], old.owned);
    assert_eq!(assignment["new"].len(), 2);
}

#[test]
fn of_two_owners_the_later_generation_counts_and_of_one_generation_neither() {
    let owner =
        |id, generation| Subscriber { owned: partitions(&[("t", 0)]), generation, ..subscriber(id, &["t"]) };
    let counts = counts(&[("t", 1)]);
    let assignment = assign(Assignor::CooperativeSticky, &counts, &[owner("a", 3), owner("b", 4)]);
    assert_eq!(assignment["b"], partitions(&[("t", 0)]));
    let assignment = assign(Assignor::CooperativeSticky, &counts, &[owner("a", 4), owner("b", 4)]);
    assert!(assignment.values().all(BTreeSet::is_empty), "both are to let go of it first");
}

#[test]
fn partitions_and_topics_that_are_gone_are_no_load() {
    let owned = partitions(&[("t", 0), ("t", 7), ("gone", 0)]);
    let old = Subscriber { owned, generation: 1, ..subscriber("a", &["t"]) };
    let assignment = sticky::assign(&counts(&[("t", 2)]), &[old, subscriber("b", &["t"])]);
    assert_eq!(assignment["a"], partitions(&[("t", 0)]));
    assert_eq!(assignment["b"], partitions(&[("t", 1)]));
}

/// The topics as bits, what it owns as topic and partition, the generation.
type Told = (u8, Vec<(usize, i32)>, i32);

/// Up to six members with random topics, owning random partitions of random generations.
fn groups(same_topics: bool) -> impl Strategy<Value = (Counts, Vec<Subscriber>)> {
    let counts = prop::collection::vec(0_i32..9, 3);
    let member = (1_u8..8, prop::collection::vec((0_usize..3, 0_i32..9), 0..20), -1_i32..3);
    (counts, prop::collection::vec(member, 1..7)).prop_map(move |(sizes, members)| {
        let names: [Arc<str>; 3] = ["t".into(), "u".into(), "v".into()];
        let counts: Counts = names.iter().cloned().zip(sizes).collect();
        let subscriber = |(number, (bits, owned, generation)): (usize, Told)| {
            let bits = if same_topics { 7 } else { bits };
            let topics = names.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0);
            let owned = owned.into_iter().map(|(n, index)| TopicPartition::new(names[n].clone(), index));
            Subscriber {
                id: format!("m{number}"),
                instance_id: (number % 3 == 2).then(|| format!("i{number}")),
                topics: topics.map(|(_, name)| name.clone()).collect(),
                owned: owned.collect(),
                generation,
            }
        };
        (counts, members.into_iter().enumerate().map(subscriber).collect())
    })
}

/// Every partition of a topic somebody subscribes to has one owner, who subscribes to it.
fn check_complete(counts: &Counts, members: &[Subscriber], assignment: &Assignment) {
    assert_eq!(assignment.len(), members.len());
    for (topic, &count) in counts {
        let is_wanted = members.iter().any(|member| member.topics.contains(topic));
        for index in 0..count {
            let partition = TopicPartition::new(topic.clone(), index);
            let owners: Vec<_> =
                assignment.iter().filter(|(_, share)| share.contains(&partition)).map(|(id, _)| id).collect();
            assert_eq!(owners.len(), usize::from(is_wanted), "{partition}: {owners:?}");
        }
    }
    for member in members {
        for partition in &assignment[&member.id] {
            assert!(member.topics.contains(&partition.topic), "{partition} is not subscribed to");
            assert!((0..counts[&partition.topic]).contains(&partition.partition), "{partition} is not there");
        }
    }
}

proptest! {
    #[test]
    fn every_partition_has_one_owner((counts, members) in groups(false)) {
        for assignor in [Assignor::Range, Assignor::RoundRobin] {
            check_complete(&counts, &members, &assign(assignor, &counts, &members));
        }
        check_complete(&counts, &members, &sticky::assign(&counts, &members));
    }

    #[test]
    fn sticky_shares_cannot_be_made_more_even_by_a_move((counts, members) in groups(false)) {
        let assignment = sticky::assign(&counts, &members);
        for from in &members {
            for to in members.iter().filter(|to| to.id != from.id) {
                let can_move = assignment[&from.id].iter().any(|partition| to.topics.contains(&partition.topic));
                let (more, less) = (assignment[&from.id].len(), assignment[&to.id].len());
                prop_assert!(!can_move || more <= less + 1, "{} has {more}, {} has {less}", from.id, to.id);
            }
        }
    }

    /// Members with the same topics: as many partitions stay as can stay in any division that is as even.
    #[test]
    fn sticky_moves_no_more_than_it_must((counts, members) in groups(true)) {
        let assignment = sticky::assign(&counts, &members);
        let total: usize = counts.values().map(|count| usize::try_from(*count).unwrap()).sum();
        let mut had: Vec<usize> = Vec::new();
        let mut kept = 0;
        for member in &members {
            let is_clear = |partition: &&TopicPartition| {
                partition.partition < counts[&partition.topic]
                    && members.iter().all(|other| {
                        other.id == member.id
                            || !other.owned.contains(*partition)
                            || other.generation < member.generation
                    })
            };
            had.push(member.owned.iter().filter(is_clear).count());
            kept += member.owned.iter().filter(is_clear).filter(|p| assignment[&member.id].contains(p)).count();
        }
        had.sort_unstable_by(|one, other| other.cmp(one));
        let (each, more) = (total / members.len(), total % members.len());
        let can_stay = had.iter().enumerate().map(|(place, had)| (*had).min(each + usize::from(place < more)));
        prop_assert_eq!(kept, can_stay.sum::<usize>());
    }

    /// Generation after generation, each member letting go of what it is not given: nobody is ever given what another
    /// has, and after a few generations all is given and nothing moves.
    #[test]
    fn cooperative_generations_come_to_rest((counts, mut members) in groups(false)) {
        for generation in 10..14 {
            let assignment = assign(Assignor::CooperativeSticky, &counts, &members);
            for member in &members {
                for partition in assignment[&member.id].difference(&member.owned) {
                    let is_held = members.iter().any(|other| other.owned.contains(partition));
                    prop_assert!(!is_held, "{partition} is another's");
                }
            }
            for member in &mut members {
                member.owned = assignment[&member.id].clone();
                member.generation = generation;
            }
        }
        let assignment = assign(Assignor::CooperativeSticky, &counts, &members);
        check_complete(&counts, &members, &assignment);
        for member in &members {
            prop_assert_eq!(&assignment[&member.id], &member.owned);
        }
    }
}
