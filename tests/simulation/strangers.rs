//! Other people's transactions in the same partitions: some are committed, some aborted, and some stay open for a while.

use crate::{
    checker::STRANGERS,
    history::{Id, value},
    random::Random,
    schedule::TOPICS,
    world::{Stage, World, pause},
};

/// Writes until the faults are over, and ends what it began.
pub(crate) async fn run(world: World) {
    let mut random = Random::of(world.seed(), "strangers");
    // In some runs there are none.
    if random.chance(30) {
        return;
    }
    let mut transaction = world.mock().transaction();
    let mut number = 0;
    while world.stage() == Stage::Faults {
        pause(random.between(100, 1_500)).await;
        let mut ids = Vec::new();
        for _ in 0..random.between(1, 4) {
            let topic = random.below(TOPICS.len());
            let partition = i32::try_from(random.below(usize::try_from(TOPICS[topic].1).unwrap())).unwrap();
            let id = Id { producer: STRANGERS, number };
            number += 1;
            let key = random.between(1, 4).to_string();
            let value = value(id, (topic, partition), 10);
            transaction.append(TOPICS[topic].0, partition, Some(key.as_bytes()), Some(&value)).unwrap();
            ids.push(id);
        }
        if random.chance(50) {
            pause(random.between(1, 700)).await;
        }
        if random.chance(50) {
            transaction.commit().unwrap();
        } else {
            world.aborted(ids);
            transaction.abort().unwrap();
        }
    }
}
