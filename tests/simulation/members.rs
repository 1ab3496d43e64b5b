//! The members of the group: they join, read, ack late and out of order, leave, and die without a word.

use crate::{
    checker::Kind,
    history::{Event, Place},
    random::Random,
    reader::{Next, may_pass, next, note_error, note_event, note_record},
    schedule::{CLIENTS, MEMBERS, TOPICS},
    world::{CLOSE, GROUP, World, pause},
};
use craftwire::consumer::{Consumer, ConsumerRecord};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    select,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// All members that there are, by their slot.
pub(crate) struct Members {
    world: World,
    slots: [Option<Running>; MEMBERS],
    leaving: Vec<JoinHandle<()>>,
    lives: u64,
}

struct Running {
    reader: usize,
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Members {
    pub(crate) fn new(world: World) -> Self {
        Self { world, slots: Default::default(), leaving: Vec::new(), lives: 0 }
    }

    pub(crate) fn join(&mut self, slot: usize) {
        if self.slots[slot].is_some() {
            return;
        }
        self.lives += 1;
        self.world.net().revive(client(slot));
        let reader = self.world.add_reader(true);
        let (leave, told) = oneshot::channel();
        let member = Member {
            world: self.world.clone(),
            slot,
            life: self.lives,
            reader,
            random: Random::of(self.world.seed(), &format!("member {slot} {}", self.lives)),
        };
        let task = tokio::spawn(member.run(told));
        self.slots[slot] = Some(Running { reader, leave, task });
    }

    pub(crate) fn leave(&mut self, slot: usize) {
        if let Some(Running { leave, task, .. }) = self.slots[slot].take() {
            // A member that ended by itself said why.
            let _ended = leave.send(());
            self.leaving.push(task);
        }
    }

    /// Its machine is gone: nothing that it wrote arrives any more, and nobody is told.
    pub(crate) fn die(&mut self, slot: usize) {
        if let Some(Running { reader, task, .. }) = self.slots[slot].take() {
            self.world.net().kill(client(slot));
            task.abort();
            self.world.record(reader, Event::Gone);
        }
    }

    /// Whoever is to see the run to its end.
    pub(crate) fn ensure_one(&mut self) {
        if self.slots.iter().all(Option::is_none) {
            self.join(0);
        }
    }

    pub(crate) async fn close(&mut self) {
        for slot in 0..MEMBERS {
            self.leave(slot);
        }
        for task in self.leaving.drain(..) {
            self.world.within(CLOSE, "a member's close", task).await;
        }
    }
}

const fn client(slot: usize) -> usize {
    CLIENTS - MEMBERS + slot
}

struct Member {
    world: World,
    slot: usize,
    life: u64,
    reader: usize,
    random: Random,
}

impl Member {
    async fn run(mut self, mut told: oneshot::Receiver<()>) {
        let consumer = select! {
            biased;
            _ = &mut told => return self.world.record(self.reader, Event::Gone),
            consumer = self.start() => consumer,
        };
        let Some(mut consumer) = consumer else { return };
        self.read(&mut consumer, &mut told).await;
        // What a fault keeps from being committed is given out again; nothing is promised of the answer.
        let started = Instant::now();
        let _tried = consumer.close().await;
        if started.elapsed() > CLOSE {
            self.world.violation(Kind::Hang, format!("a member's close took {:?}", started.elapsed()));
        }
        self.world.record(self.reader, Event::Gone);
    }

    async fn start(&self) -> Option<Consumer> {
        let client = self.world.client(client(self.slot), self.life).await;
        let settings = self.world.settings();
        loop {
            let builder = client
                .consumer()
                .group(GROUP)
                .topics(TOPICS.map(|(topic, _)| topic))
                .fetch_max_wait(settings.fetch_max_wait)
                .commit_interval(settings.commit_interval)
                .revoke_grace(settings.revoke_grace);
            match builder.build().await {
                Ok(consumer) => return Some(consumer),
                Err(error) if may_pass(&self.world, &error) => pause(200).await,
                Err(error) => {
                    self.world.violation(Kind::Error, format!("a member: {error:?}"));
                    return None;
                }
            }
        }
    }

    async fn read(&mut self, consumer: &mut Consumer, told: &mut oneshot::Receiver<()>) {
        let mut events = consumer.events();
        // What is to be acked, and when.
        let mut late: BTreeMap<(Instant, u64), (Place, ConsumerRecord)> = BTreeMap::new();
        let mut number = 0;
        loop {
            let due = late.first_key_value().map(|((at, _), _)| *at);
            let wake_at = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            let next = select! {
                biased;
                _ = &mut *told => return,
                () = sleep_until(wake_at) => {
                    if let Some((_, (place, record))) = late.pop_first() {
                        self.ack(consumer, place, &record);
                    }
                    continue;
                }
                next = next(consumer, &mut events) => next,
            };
            match next {
                Next::Record(record) => {
                    let place = note_record(&self.world, self.reader, consumer, &record);
                    let (slow, slow_percent) = self.world.settings().slow;
                    if self.random.chance(slow_percent) {
                        sleep_until(Instant::now() + slow).await;
                    }
                    let (late_ms, late_percent) = self.world.settings().late_ack;
                    if self.random.chance(late_percent) {
                        number += 1;
                        let at = Instant::now() + Duration::from_millis(self.random.between(1, late_ms));
                        late.insert((at, number), (place, record));
                    } else {
                        self.ack(consumer, place, &record);
                    }
                }
                Next::Event(event) => note_event(&self.world, self.reader, event),
                Next::Error(error) => note_error(&self.world, self.reader, &error),
                Next::End => return self.world.violation(Kind::Error, "a member ended by itself"),
            }
        }
    }

    fn ack(&self, consumer: &Consumer, place: Place, record: &ConsumerRecord) {
        if consumer.ack(record) {
            self.world.record(self.reader, Event::Acked { place, offset: record.offset() });
        }
    }
}
