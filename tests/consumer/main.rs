//! Consuming from a real Kafka: assigned partitions, groups, and what Java wrote.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // the helpers of tests are tests too
#![allow(clippy::disallowed_methods, reason = "virtual time is read where it is made")]

#[cfg(feature = "mock")]
mod answers;
mod assigned;
#[cfg(feature = "mock")]
mod cancel;
#[cfg(feature = "mock")]
mod classic;
#[cfg(feature = "mock")]
mod epochs;
#[cfg(feature = "mock")]
mod faults;
mod groups;
#[cfg(feature = "mock")]
mod killers;
#[cfg(feature = "mock")]
mod killers_of_brokers;
#[cfg(feature = "mock")]
mod logs;
#[cfg(feature = "mock")]
mod racks;
mod real_classic;
#[cfg(feature = "mock")]
mod rebalances;
#[cfg(feature = "mock")]
mod recorder;
mod replicas;
#[cfg(feature = "mock")]
mod rules;
#[cfg(feature = "mock")]
mod topics;
#[cfg(feature = "mock")]
mod upgrade;
#[cfg(feature = "mock")]
mod versions;
#[cfg(feature = "mock")]
mod watches;

use craftwire::{
    Client,
    consumer::{Consumer, ConsumerRecord},
    producer::{Producer, ProducerRecord},
};
use craftwire_test_support::{Shared, shared_single};
use std::time::Duration;

/// Far longer than anything here takes, so that a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

struct Fixture {
    kafka: &'static Shared,
    client: Client,
    topic: String,
}

impl Fixture {
    async fn new(prefix: &str, partitions: u32) -> Self {
        let kafka = shared_single().await;
        let client = Client::connect(kafka.bootstrap()).await.unwrap();
        let topic = kafka.unique_topic(prefix);
        kafka.java().create_topic(&topic, partitions, 1, &[]).await;
        Self { kafka, client, topic }
    }

    async fn producer(&self) -> Producer {
        self.client.producer().build().await.unwrap()
    }

    /// Writes `value-FIRST`… round the partitions, and waits until all are there.
    async fn write(&self, producer: &Producer, partitions: i32, numbers: std::ops::Range<i32>) {
        let mut deliveries = Vec::new();
        for number in numbers {
            let record = ProducerRecord::new(self.topic.as_str(), format!("value-{number}"))
                .key(format!("key-{number}"))
                .header("n", number.to_string())
                .partition(number % partitions);
            deliveries.push(producer.send(record).await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    }
}

async fn next(consumer: &mut Consumer) -> ConsumerRecord {
    let record = tokio::time::timeout(PATIENCE, consumer.recv()).await.expect("a record in time");
    record.expect("the consumer goes on").expect("a record")
}

fn number(record: &ConsumerRecord) -> i32 {
    let value = std::str::from_utf8(record.value().unwrap()).unwrap();
    value.strip_prefix("value-").unwrap().parse().unwrap()
}
