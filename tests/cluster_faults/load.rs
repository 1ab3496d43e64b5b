//! A steady load under many keys, what its senders are told, and how long a partition went without an ack.

use crate::ledger::{Fate, Fates, Judge, Verdict, value};
use craftwire::{Client, Producer, ProducerRecord, admin::OffsetSpec, consumer::Isolation};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{interval, timeout},
};

/// Far longer than anything takes, on a machine that does other things besides.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) keys: usize,
    /// Between two records of a key; zero for as fast as it goes.
    pub(crate) every: Duration,
    /// Records of a key that have no outcome yet.
    pub(crate) window: usize,
}

impl Default for Pace {
    /// 1200 records a second.
    fn default() -> Self {
        Self { keys: 24, every: Duration::from_millis(20), window: 64 }
    }
}

/// Acks so far.
#[derive(Debug, Default)]
struct Acks {
    by_partition: BTreeMap<i32, u64>,
    by_key: Vec<u64>,
    last: Vec<Option<Instant>>,
    worst_gap: Duration,
}

impl Acks {
    fn of(keys: usize) -> Self {
        Self { by_key: vec![0; keys], last: vec![None; keys], ..Self::default() }
    }

    fn note(&mut self, key: usize, partition: i32) {
        let now = Instant::now();
        *self.by_partition.entry(partition).or_default() += 1;
        self.by_key[key] += 1;
        if let Some(last) = self.last[key].replace(now) {
            self.worst_gap = self.worst_gap.max(now - last);
        }
    }
}

/// A load that runs; each key's records are numbered from 0 and follow one another.
#[derive(Debug)]
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    acks: Arc<Mutex<Acks>>,
    keys: Vec<JoinHandle<Fates>>,
}

impl Load {
    pub(crate) fn start(producer: &Producer, topic: &str, pace: Pace) -> Self {
        let (stop, stopped) = watch::channel(false);
        let acks = Arc::new(Mutex::new(Acks::of(pace.keys)));
        let keys = (0..pace.keys).map(|key| {
            let (producer, topic) = (producer.clone(), topic.to_owned());
            tokio::spawn(one_key(producer, topic, key, pace, stopped.clone(), acks.clone()))
        });
        Self { keys: keys.collect(), stop, acks }
    }

    pub(crate) fn acked(&self) -> u64 {
        self.acks.lock().unwrap().by_key.iter().sum()
    }

    /// The longest time that a key was without an ack since the last call, or is by now.
    pub(crate) fn take_worst_gap(&self) -> Duration {
        let mut acks = self.acks.lock().unwrap();
        let now = Instant::now();
        let open = acks.last.iter().flatten().map(|last| now - *last).max().unwrap_or_default();
        std::mem::take(&mut acks.worst_gap).max(open)
    }

    /// Waits until each of the first partitions has taken so many more.
    pub(crate) async fn goes_on_everywhere(&self, partitions: i32, more: u64) {
        let count = |acks: &Acks, partition| acks.by_partition.get(&partition).copied().unwrap_or(0);
        self.goes_on(more, |acks| (0..partitions).map(|partition| count(acks, partition)).collect()).await;
    }

    /// Waits until a partition has taken so many more.
    pub(crate) async fn goes_on_in(&self, partition: i32, more: u64) {
        let count = |acks: &Acks| acks.by_partition.get(&partition).copied().unwrap_or(0);
        self.goes_on(more, |acks| vec![count(acks)]).await;
    }

    /// Waits until so many more of each key were acked.
    pub(crate) async fn goes_on_for_each_key(&self, more: u64) {
        self.goes_on(more, |acks| acks.by_key.clone()).await;
    }

    async fn goes_on(&self, more: u64, counts: impl Fn(&Acks) -> Vec<u64>) {
        let now = || counts(&self.acks.lock().unwrap());
        let before = now();
        let done = async {
            let mut look = interval(Duration::from_millis(20));
            while !now().iter().zip(&before).all(|(now, before)| *now >= before + more) {
                look.tick().await;
            }
        };
        let went_on = timeout(PATIENCE, done).await.is_ok();
        assert!(went_on, "acks stopped at {before:?}, now {:?}", now());
    }

    /// Stops and waits until every record has its outcome.
    pub(crate) async fn end(self) -> Vec<Fates> {
        self.stop.send_replace(true);
        let mut all = Vec::new();
        for key in self.keys {
            all.push(timeout(PATIENCE, key).await.expect("every record has an outcome").unwrap());
        }
        all
    }
}

async fn one_key(
    producer: Producer,
    topic: String,
    key: usize,
    pace: Pace,
    stopped: watch::Receiver<bool>,
    acks: Arc<Mutex<Acks>>,
) -> Fates {
    let mut ticks = interval(pace.every.max(Duration::from_millis(1)));
    // What could not be sent in time is not made up for.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut waiting = VecDeque::new();
    let mut fates = Fates::default();
    let name = format!("key-{key}");
    let mut number = 0;
    let settle = |outcome, fates: &mut Fates| {
        let fate = Fate::from(&outcome);
        if let Fate::Acked { partition, .. } = fate {
            acks.lock().unwrap().note(key, partition);
        }
        fates.push(fate);
    };
    while !*stopped.borrow() {
        if pace.every > Duration::ZERO {
            ticks.tick().await;
        }
        let record = ProducerRecord::new(topic.as_str(), value(key, number)).key(name.clone());
        let Ok(delivery) = producer.send(record).await else {
            // The only refusal here is that the topic is not known (any more), which happens with all nodes away.
            ticks.tick().await;
            continue;
        };
        waiting.push_back(delivery);
        number += 1;
        while waiting
            .front()
            .is_some_and(|delivery: &craftwire::producer::Delivery| delivery.outcome().is_some())
            || waiting.len() > pace.window
        {
            let Some(delivery) = waiting.pop_front() else { break };
            settle(delivery.await, &mut fates);
        }
    }
    for delivery in waiting {
        settle(delivery.await, &mut fates);
    }
    fates
}

/// Reads the whole topic as a client that has seen nothing before, and judges it by what its writers were told.
pub(crate) async fn judge(client: &Client, topic: &str, fates: &[Fates]) -> Verdict {
    let mut judge = Judge::new(fates);
    let ends = client.admin().list_offsets(topic, OffsetSpec::Latest).await.unwrap();
    let mut missing: i64 = ends.values().sum();
    let consumer = client.consumer().topics([topic]).isolation(Isolation::ReadUncommitted);
    let mut consumer = consumer.build().await.unwrap();
    while missing > 0 {
        let batch = timeout(PATIENCE, consumer.recv_batch()).await.expect("the log can be read").unwrap();
        let batch = batch.unwrap();
        for record in &batch {
            judge.found(batch.partition(), record.offset(), record.value().unwrap());
            missing -= 1;
        }
    }
    judge.end()
}
