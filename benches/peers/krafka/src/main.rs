//! krafka: `enqueue`, the handles awaited in turn; a classic group, `poll`. Producer and consumer have a pool of
//! connections each, for on one connection a produce request waits behind a long fetch.

use bytes::Bytes;
use krafka::{
    Compression, Kafka, Record,
    consumer::{AutoOffsetReset, IsolationLevel},
    producer::{Acks, DeliveryHandle},
};
use peers_harness::{Client, Consumer, Options, Producer, Result, Settings};
use std::{collections::VecDeque, process::ExitCode, time::Duration};

struct Krafka;

impl Client for Krafka {
    const NAME: &'static str = "krafka";
    const VERSION: &'static str = "0.28.1";
    type Producer = Sender;
    type Consumer = Receiver;

    /// As fast with one as with two where it publishes only, for less.
    fn threads(options: &Options) -> usize {
        if options.is_paced() { 2 } else { 1 }
    }

    fn producer_settings(options: &Options) -> Settings {
        vec![
            ("acks", "all".into()),
            ("idempotent", "true".into()),
            ("compression", options.compression.clone()),
            ("linger_ms", options.linger_ms.to_string()),
            ("batch_size", BATCH_SIZE.to_string()),
            ("buffer_memory", BUFFER_MEMORY.to_string()),
            ("under_way", UNDER_WAY.to_string()),
        ]
    }

    fn consumer_settings(options: &Options) -> Settings {
        vec![
            ("auto_offset_reset", if options.is_paced() { "latest" } else { "earliest" }.into()),
            ("isolation_level", "read_uncommitted".into()),
            ("fetch_max_wait_ms", wait_ms(options).to_string()),
            // With a cap it throws the rest of a fetch away, and fetches it again.
            ("max_poll_records", "-1".into()),
        ]
    }

    async fn producer(options: &Options, _: &Settings) -> Result<Sender> {
        let compression = match options.compression.as_str() {
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4,
            "none" => Compression::None,
            other => return Err(format!("--compression {other}").into()),
        };
        let builder = connect(options).await?.producer().acks(Acks::All).idempotent(true);
        let builder = builder.compression(compression).linger(Duration::from_millis(options.linger_ms));
        let producer = builder.batch_size(BATCH_SIZE).buffer_memory(BUFFER_MEMORY).build().await?;
        producer.partitions_for(&options.topic).await?;
        Ok(Sender { producer, topic: options.topic.clone(), waiting: VecDeque::new(), failed: 0 })
    }

    async fn consumer(options: &Options, _: &Settings) -> Result<Receiver> {
        let paced = options.is_paced();
        let from = if paced { AutoOffsetReset::Latest } else { AutoOffsetReset::Earliest };
        let builder = connect(options).await?.consumer(&options.group).auto_offset_reset(from);
        let builder = builder.isolation_level(IsolationLevel::ReadUncommitted).max_poll_records(-1);
        let consumer = builder.fetch_max_wait(Duration::from_millis(wait_ms(options))).build().await?;
        consumer.subscribe([options.topic.as_str()]).await?;
        Ok(Receiver(consumer))
    }
}

async fn connect(options: &Options) -> Result<Kafka> {
    Ok(Kafka::builder(&options.brokers).client_id("peers-krafka").connect().await?)
}

fn wait_ms(options: &Options) -> u64 {
    if options.is_paced() { 100 } else { 500 }
}

struct Sender {
    producer: krafka::producer::Producer,
    topic: String,
    waiting: VecDeque<DeliveryHandle>,
    failed: u64,
}

impl Sender {
    async fn settle_down_to(&mut self, left: usize) {
        while self.waiting.len() > left
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.failed += u64::from(oldest.await.is_err());
        }
    }
}

impl Producer for Sender {
    async fn send(&mut self, key: &Bytes, value: Bytes) -> Result<()> {
        let record = Record::new(self.topic.as_str(), value).key(key.clone());
        let handle = self.producer.enqueue(record).await?;
        self.waiting.push_back(handle);
        self.settle_down_to(UNDER_WAY).await;
        Ok(())
    }

    async fn finish(&mut self) -> Result<u64> {
        self.producer.flush().await?;
        self.settle_down_to(0).await;
        Ok(std::mem::take(&mut self.failed))
    }
}

struct Receiver(krafka::consumer::Consumer);

impl Consumer for Receiver {
    async fn is_assigned(&mut self) -> bool {
        !self.0.assignment().await.is_empty()
    }

    async fn poll(&mut self, mut see: impl FnMut(&[u8]) + Send) -> Result<()> {
        let records = self.0.poll(Duration::from_millis(100)).await?;
        records.iter().for_each(|record| see(record.value.as_deref().unwrap_or_default()));
        Ok(())
    }
}

fn main() -> ExitCode {
    peers_harness::main::<Krafka>()
}

const BATCH_SIZE: usize = 1_000_000;
const BUFFER_MEMORY: usize = 256 << 20;
/// The harness holds so many handles before it awaits the oldest.
const UNDER_WAY: usize = 100_000;
