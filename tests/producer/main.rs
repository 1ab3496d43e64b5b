//! The producer on the mock, in virtual time: what it promises, with faults in the way.
#![cfg(feature = "mock")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a failure here is a failed test, and it looks at the virtual clock"
)]

mod ambiguity;
mod cancel;
mod faults;
mod handle;
mod kafka;
mod killers;
mod load;
mod metrics;
mod promises;
mod replicas;
mod rules;
mod topics;
mod wire;

use craftwire::{
    Client,
    mock::MockCluster,
    producer::{Ack, Delivery, DeliveryError, Producer, ProducerBuilder, ProducerRecord},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

const TOPIC: &str = "events";
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn mock(brokers: u8, partitions: i32) -> MockCluster {
    MockCluster::builder().brokers(brokers).topic(TOPIC, partitions).start_in_memory().unwrap()
}

async fn client(mock: &MockCluster) -> Client {
    Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap()
}

async fn producer(mock: &MockCluster) -> Producer {
    producer_with(mock, |builder| builder).await
}

async fn producer_with(mock: &MockCluster, set: impl FnOnce(ProducerBuilder) -> ProducerBuilder) -> Producer {
    let producer = set(client(mock).await.producer()).build().await.unwrap();
    producer.prepare(TOPIC).await.unwrap();
    producer
}

/// A record whose value is `n`, of one of ten keys.
fn record(n: u64) -> ProducerRecord {
    ProducerRecord::new(TOPIC, n.to_string()).key(format!("key-{}", n % 10))
}

async fn send_all(producer: &Producer, numbers: std::ops::Range<u64>) -> Vec<(u64, Delivery)> {
    let mut deliveries = Vec::new();
    for n in numbers {
        deliveries.push((n, producer.send(record(n)).await.unwrap()));
    }
    deliveries
}

/// Lets virtual time pass, with everything that happens in it.
async fn pass(time: Duration) {
    tokio::time::sleep_until(Instant::now() + time).await;
}

/// What became of each record.
async fn outcomes(deliveries: Vec<(u64, Delivery)>) -> BTreeMap<u64, Result<Ack, DeliveryError>> {
    let mut outcomes = BTreeMap::new();
    for (n, delivery) in deliveries {
        outcomes.insert(n, delivery.await);
    }
    outcomes
}

/// The values in the log, by partition.
fn log(mock: &MockCluster) -> BTreeMap<i32, Vec<u64>> {
    let mut log = BTreeMap::new();
    for partition in (0..).take_while(|partition| mock.offsets(TOPIC, *partition).is_some()) {
        let values = mock
            .records(TOPIC, partition)
            .into_iter()
            .map(|record| std::str::from_utf8(&record.value.unwrap()).unwrap().parse().unwrap());
        log.insert(partition, values.collect());
    }
    log
}

/// Every acked record is in the log where its ack says, once; none that was not sent is; all in the order of sending.
fn check(mock: &MockCluster, outcomes: &BTreeMap<u64, Result<Ack, DeliveryError>>) {
    let log = log(mock);
    let mut found: BTreeMap<u64, (i32, usize)> = BTreeMap::new();
    for (partition, values) in &log {
        assert!(values.is_sorted(), "partition {partition} is out of order: {values:?}");
        for (offset, value) in values.iter().enumerate() {
            let before = found.insert(*value, (*partition, offset));
            assert_eq!(before, None, "{value} is in the log twice");
        }
    }
    for (n, outcome) in outcomes {
        match outcome {
            Ok(ack) => {
                let place = found.get(n).copied();
                let (partition, offset) =
                    place.unwrap_or_else(|| panic!("{n} was acked, and is not in the log"));
                assert_eq!(partition, ack.partition);
                assert!(ack.offset.is_none_or(|acked| usize::try_from(acked) == Ok(offset)), "{n}: {ack:?}");
            }
            Err(DeliveryError::NotSent(cause)) => {
                assert!(!found.contains_key(n), "{n} was called not sent: {cause}");
            }
            Err(_) => {}
        }
    }
}

fn all_acked(outcomes: &BTreeMap<u64, Result<Ack, DeliveryError>>) {
    let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).take(3).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// Bytes that no codec makes smaller.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32.wrapping_mul(2 * seed + 1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}
