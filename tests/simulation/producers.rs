//! The load: two producers, each with a client of its own, and what became of their records.

use crate::{
    checker::Kind,
    history::{ANYWHERE, Id, Outcome, Place, value},
    random::Random,
    schedule::TOPICS,
    settings::{MESSAGE_BYTES, ProducerSettings},
    world::{Stage, World, pause},
};
use craftwire::{
    Producer, ProducerRecord,
    producer::{Ack, Delivery, DeliveryError},
};
use std::{collections::VecDeque, future::pending, time::Duration};
use tokio::{select, sync::mpsc};

/// Produces until the faults are over, then proves that all is well again, and closes.
pub(crate) async fn run(world: World, number: usize) {
    let client = world.client(number, 0).await;
    let settings = world.settings().producers[number].clone();
    let producer = loop {
        let builder = client
            .producer()
            .profile(settings.profile)
            .compression(settings.compression)
            .buffer_bytes(settings.buffer_bytes)
            .batch_bytes(settings.batch_bytes)
            .max_message_bytes(MESSAGE_BYTES)
            .delivery_timeout(settings.delivery_timeout)
            .topic_timeout(Duration::from_secs(3));
        match builder.build().await {
            Ok(producer) => break producer,
            Err(error) if error.is_retriable() => pause(200).await,
            Err(error) => return world.violation(Kind::Error, format!("producer {number}: {error:?}")),
        }
    };
    drop(client);
    let (taken, deliveries) = mpsc::unbounded_channel();
    let settling = tokio::spawn(settle(world.clone(), number, deliveries));
    let random = Random::of(world.seed(), &format!("producer {number}"));
    let mut load = Load { world: world.clone(), number, next: 0, producer, settings, random, taken };
    load.through_the_faults().await;
    load.when_calm().await;
    let Load { producer, taken, .. } = load;
    drop(taken);
    let within = Duration::from_secs(5);
    if let Some(report) =
        world.within(within + Duration::from_secs(1), "a producer's close", producer.close(within)).await
        && (report.not_sent, report.unknown) != (0, 0)
    {
        world.violation(Kind::NoProgress, format!("producer {number}: {report:?} though nothing is wrong"));
    }
    world.within(Duration::from_secs(1), "deliveries of a closed producer", settling).await;
}

struct Load {
    world: World,
    number: usize,
    next: u64,
    producer: Producer,
    settings: ProducerSettings,
    random: Random,
    taken: mpsc::UnboundedSender<Taken>,
}

/// A record that was taken, and whether nothing was wrong any more then.
struct Taken {
    send: usize,
    is_calm: bool,
    taken_ms: u64,
    /// Of the value alone.
    bytes: usize,
    delivery: Delivery,
}

impl Load {
    async fn through_the_faults(&mut self) {
        while self.world.stage() == Stage::Faults {
            // More at once than a small buffer holds, now and then.
            let is_flood = self.settings.buffer_bytes == MESSAGE_BYTES && self.random.chance(FLOOD_PERCENT);
            let burst = if is_flood { FLOOD } else { self.random.between(1, self.settings.burst) };
            // Together, so that batches hold more than one, or all over the place.
            let together = self.random.chance(50).then(|| self.somewhere());
            for _ in 0..burst {
                let place = together.unwrap_or_else(|| self.somewhere());
                self.send(place, false).await;
            }
            self.look_at_memory();
            let (low, high) = self.settings.pause_ms;
            pause(self.random.between(low, high)).await;
        }
        // Until what the faults left behind has come to rest.
        self.world.until(Stage::Drain).await;
    }

    async fn when_calm(&mut self) {
        // Partitions that were added are known only when metadata is next asked for.
        for (topic, (_, partitions)) in TOPICS.iter().enumerate() {
            for partition in 0..*partitions {
                self.send((topic, partition), true).await;
            }
        }
        self.producer.flush().await;
        self.look_at_memory();
    }

    fn somewhere(&mut self) -> Place {
        let topic = self.random.below(TOPICS.len());
        // Partitions that were added are left to keys and to the calm.
        let count = usize::try_from(TOPICS[topic].1).unwrap();
        (topic, i32::try_from(self.random.below(count)).unwrap())
    }

    async fn send(&mut self, place: Place, is_calm: bool) {
        let id = Id { producer: self.number, number: self.next };
        let key = self.random.between(1, self.settings.keys);
        let padding = if self.settings.padding == 0 { 0 } else { self.random.below(self.settings.padding) };
        let topic = TOPICS[place.0].0;
        let names_partition = self.settings.names_partitions || is_calm;
        let place = if names_partition { place } else { (place.0, ANYWHERE) };
        let value = value(id, place, padding);
        let bytes = value.len();
        let mut record = ProducerRecord::new(topic, value)
            .key(key.to_string())
            .timestamp_ms(i64::try_from(self.world.net().now_ms()).unwrap());
        if names_partition {
            record = record.partition(place.1);
        }
        self.next += 1;
        match self.producer.send(record).await {
            Ok(delivery) => {
                let place = (place.0, delivery.partition());
                let send = self.world.took(id, place);
                if self
                    .taken
                    .send(Taken { send, is_calm, taken_ms: self.world.net().now_ms(), bytes, delivery })
                    .is_err()
                {
                    self.world.violation(Kind::Panic, "nobody waits for deliveries");
                }
            }
            Err(error) if error.is_retriable() && !is_calm => {}
            Err(error) => {
                self.world.violation(Kind::Error, format!("{id:?} for {place:?} was not taken: {error:?}"));
            }
        }
    }

    fn look_at_memory(&self) {
        let (buffered, limit) = (self.producer.metrics().buffered_bytes, self.settings.buffer_bytes);
        if usize::try_from(buffered).unwrap() > limit {
            self.world
                .violation(Kind::Memory, format!("producer {}: {buffered} of {limit} bytes", self.number));
        }
    }
}

/// Records, and how often so many come.
const FLOOD: u64 = 50;
const FLOOD_PERCENT: u64 = 3;

/// Waits for each record's outcome, in turn: an outcome that nobody is woken for stays open.
async fn settle(world: World, number: usize, mut taken: mpsc::UnboundedReceiver<Taken>) {
    let mut waiting: VecDeque<Taken> = VecDeque::new();
    let mut is_open = true;
    while is_open || !waiting.is_empty() {
        let outcome = select! {
            biased;
            more = taken.recv(), if is_open => {
                is_open = more.is_some();
                waiting.extend(more);
                look_at_memory(&world, number, &waiting);
                continue;
            }
            outcome = oldest(&mut waiting) => outcome,
        };
        let Some(Taken { send, is_calm, taken_ms, .. }) = waiting.pop_front() else { continue };
        let outcome = match outcome {
            Ok(ack) => Outcome::Acked { offset: ack.offset },
            Err(DeliveryError::NotSent(cause)) => Outcome::NotSent(format!("{cause:?}")),
            Err(error) => Outcome::Unknown(format!("{error:?}")),
        };
        // A record may be given up early, with the oldest one of its batch; that one had its time, too.
        let is_due = is_calm || is_timed_out(&outcome) && world.is_calm_for_long();
        if is_due && !matches!(outcome, Outcome::Acked { .. }) {
            let what = format!(
                "producer {number}: {outcome:?}, taken at {taken_ms} ms, though nothing is in its way"
            );
            world.violation(Kind::NoProgress, what);
        }
        world.settled(send, outcome);
    }
}

async fn oldest(waiting: &mut VecDeque<Taken>) -> Result<Ack, DeliveryError> {
    match waiting.front_mut() {
        Some(oldest) => (&mut oldest.delivery).await,
        None => pending().await,
    }
}

/// What the caller handed over and has no outcome of fits into the buffer, whatever the producer says of itself.
fn look_at_memory(world: &World, number: usize, waiting: &VecDeque<Taken>) {
    let open = waiting.iter().filter(|taken| taken.delivery.outcome().is_none());
    let (held, limit) =
        (open.map(|taken| taken.bytes).sum::<usize>(), world.settings().producers[number].buffer_bytes);
    if held > limit {
        world.violation(Kind::Memory, format!("producer {number} holds {held} bytes of records, of {limit}"));
    }
}

fn is_timed_out(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotSent(cause) | Outcome::Unknown(cause) if cause.contains("TimedOut"))
}
