//! A load whose history can be judged: numbered records under keys, what became of each, and what a reader saw.

use crate::{
    common::PATIENCE,
    ledger::{Fate, Fates, Judge},
};
use craftwire::{
    Producer, ProducerRecord,
    consumer::{Consumer, TopicPartition},
    producer::{Ack, DeliveryError},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{interval, timeout},
};

const KEYS: usize = 24;
/// Of each key; paced so that there are many batches, and not so many records that Java reads for a minute.
const EVERY: Duration = Duration::from_millis(20);
/// Records of one key that have no outcome yet.
const WINDOW: usize = 32;

/// What became of a record: its key, its number within the key, the outcome.
pub(crate) type Sent = (usize, u64, Result<Ack, DeliveryError>);

/// A steady stream of records under many keys, each key's records numbered from 0.
pub(crate) struct Load {
    partitions: i32,
    stop: watch::Sender<bool>,
    acked: watch::Receiver<BTreeMap<i32, u64>>,
    keys: Vec<JoinHandle<Vec<Sent>>>,
}

impl Load {
    pub(crate) async fn start(producer: &Producer, topic: &str, partitions: i32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (count, acked) = watch::channel(BTreeMap::new());
        let count = Arc::new(count);
        let keys = (0..KEYS).map(|key| {
            let (producer, topic) = (producer.clone(), topic.to_owned());
            tokio::spawn(one_key(producer, topic, key, stopped.clone(), count.clone()))
        });
        Self { partitions, keys: keys.collect(), stop, acked }
    }

    /// Waits until every partition has taken so many more.
    pub(crate) async fn goes_on_everywhere(&mut self, more: u64) {
        let all: Vec<_> = (0..self.partitions).collect();
        self.goes_on_in(&all, more).await;
    }

    /// Waits until each of these partitions has taken so many more.
    pub(crate) async fn goes_on_in(&mut self, partitions: &[i32], more: u64) {
        let before = self.acked.borrow().clone();
        let enough = |acked: &BTreeMap<i32, u64>| {
            partitions.iter().all(|&partition| {
                let count = |counts: &BTreeMap<i32, u64>| counts.get(&partition).copied().unwrap_or(0);
                count(acked) >= count(&before) + more
            })
        };
        let done = timeout(PATIENCE, self.acked.wait_for(enough)).await.is_ok();
        assert!(done, "acks stopped: {before:?}, then {:?}", self.acked.borrow());
    }

    /// Follows how many records each partition has taken.
    pub(crate) fn acked(&self) -> watch::Receiver<BTreeMap<i32, u64>> {
        self.acked.clone()
    }

    pub(crate) async fn end(self) -> Vec<Sent> {
        self.stop.send_replace(true);
        let mut all = Vec::new();
        for key in self.keys {
            all.extend(timeout(PATIENCE, key).await.expect("every record has an outcome").unwrap());
        }
        all
    }
}

async fn one_key(
    producer: Producer,
    topic: String,
    key: usize,
    stopped: watch::Receiver<bool>,
    count: Arc<watch::Sender<BTreeMap<i32, u64>>>,
) -> Vec<Sent> {
    let mut pace = interval(EVERY);
    let mut waiting = VecDeque::new();
    let mut done = Vec::new();
    let mut number = 0;
    while !*stopped.borrow() {
        pace.tick().await;
        let record = ProducerRecord::new(topic.as_str(), format!("{key} {number}")).key(format!("key-{key}"));
        waiting.push_back((number, producer.send(record).await.unwrap()));
        number += 1;
        while waiting.front().is_some_and(|(_, delivery)| delivery.outcome().is_some())
            || waiting.len() > WINDOW
        {
            let Some((number, delivery)) = waiting.pop_front() else { break };
            let outcome = delivery.await;
            if let Ok(ack) = &outcome {
                count.send_modify(|counts| *counts.entry(ack.partition).or_default() += 1);
            }
            done.push((key, number, outcome));
        }
    }
    for (number, delivery) in waiting {
        done.push((key, number, delivery.await));
    }
    done
}

/// A record as it lies in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: usize,
    pub(crate) number: u64,
}

pub(crate) fn place(partition: i32, offset: i64, value: &[u8]) -> Place {
    let (key, number) = std::str::from_utf8(value).unwrap().split_once(' ').unwrap();
    Place { partition, offset, key: key.parse().unwrap(), number: number.parse().unwrap() }
}

/// [`judge_outcomes`], and every record was acked.
pub(crate) fn judge(sent: &[Sent], log: &[Place]) {
    let acked = judge_outcomes(sent, log);
    // Nothing here takes as long as the delivery timeout, so retries bring all of it through.
    let failed: Vec<_> = sent.iter().filter(|(.., outcome)| outcome.is_err()).take(5).collect();
    assert_eq!(acked, sent.len(), "not acked: {failed:?}");
}

/// Every acked record is there once, at the offset of its ack; what was not sent is not there; keys are in order. Says
/// how many were acked.
pub(crate) fn judge_outcomes(sent: &[Sent], log: &[Place]) -> usize {
    let by_number: BTreeMap<_, _> =
        sent.iter().map(|(key, number, outcome)| ((*key, *number), outcome)).collect();
    assert_eq!(by_number.len(), sent.len());
    let mut fates = vec![Fates::default(); KEYS];
    for ((key, number), outcome) in by_number {
        assert_eq!(fates[key].iter().count(), index(number), "each has an outcome");
        fates[key].push(Fate::from(outcome));
    }
    let mut judge = Judge::new(&fates);
    let mut homes = BTreeMap::new();
    for place in log {
        judge.found_number(place.partition, place.offset, place.key, index(place.number));
        let home = *homes.entry(place.key).or_insert(place.partition);
        assert_eq!(home, place.partition, "a key stays in its partition: {place:?}");
    }
    let verdict = judge.end();
    assert!(verdict.is_clean(), "{verdict}");
    index(verdict.acked)
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

/// Reads until told how much there is, and then until it has that much.
pub(crate) fn follow(
    mut consumer: Consumer,
    mut total: watch::Receiver<Option<usize>>,
) -> JoinHandle<Vec<Place>> {
    tokio::spawn(async move {
        let mut read = Vec::new();
        let mut next = BTreeMap::<TopicPartition, i64>::new();
        while total.borrow().is_none_or(|total| read.len() < total) {
            let record = tokio::select! {
                record = consumer.recv() => record.expect("the consumer goes on"),
                _ = total.changed() => continue,
            };
            // Whatever goes wrong with nodes away is said, and gone on from.
            let Ok(record) = record.inspect_err(|error| assert!(!error.is_fatal(), "{error}")) else {
                continue;
            };
            let offset = next.insert(record.topic_partition(), record.offset() + 1);
            assert_eq!(offset.unwrap_or(0), record.offset(), "{}", record.topic_partition());
            consumer.ack(&record);
            read.push(place(record.partition(), record.offset(), record.value().unwrap()));
        }
        consumer.close().await.unwrap();
        read.sort_unstable();
        read
    })
}
