//! kacrab: `send`, the futures awaited in turn; a classic group, `poll`.

use bytes::Bytes;
use kacrab::producer::{ProducerRecord, SendFuture};
use peers_harness::{Client, Consumer, Options, Producer, Result, Settings};
use std::{collections::VecDeque, process::ExitCode, sync::Arc, time::Duration};

struct Kacrab;

impl Client for Kacrab {
    const NAME: &'static str = "kacrab";
    const VERSION: &'static str = "0.4.0";
    type Producer = Sender;
    type Consumer = Receiver;

    fn producer_settings(options: &Options) -> Settings {
        vec![
            ("bootstrap.servers", options.brokers.clone()),
            ("acks", "all".into()),
            ("enable.idempotence", "true".into()),
            ("compression.type", options.compression.clone()),
            ("linger.ms", options.linger_ms.to_string()),
            ("batch.size", "1000000".into()),
            ("buffer.memory", "268435456".into()),
            ("max.request.size", "4194304".into()),
        ]
    }

    fn consumer_settings(options: &Options) -> Settings {
        vec![
            ("bootstrap.servers", options.brokers.clone()),
            ("group.id", options.group.clone()),
            ("auto.offset.reset", if options.is_paced() { "latest" } else { "earliest" }.into()),
            ("fetch.max.wait.ms", if options.is_paced() { "100" } else { "500" }.into()),
            ("max.poll.records", "5000".into()),
        ]
    }

    async fn producer(options: &Options, settings: &Settings) -> Result<Sender> {
        let builder =
            settings.iter().fold(kacrab::producer::Producer::builder(), |builder, (name, value)| {
                builder.set(*name, value.as_str())
            });
        let producer = builder.build().await?;
        producer.partitions_for(&options.topic).await?;
        Ok(Sender { producer, topic: options.topic.as_str().into(), waiting: VecDeque::new(), failed: 0 })
    }

    async fn consumer(options: &Options, settings: &Settings) -> Result<Receiver> {
        let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
        let mut consumer = kacrab::consumer::Consumer::from_map(settings).await?;
        consumer.subscribe([options.topic.as_str()])?;
        Ok(Receiver(consumer))
    }
}

struct Sender {
    producer: kacrab::producer::Producer,
    topic: Arc<str>,
    waiting: VecDeque<SendFuture>,
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
        let record = ProducerRecord::topic_key_value(self.topic.clone(), key.clone(), value);
        self.waiting.push_back(self.producer.send(record)?);
        self.settle_down_to(UNDER_WAY).await;
        Ok(())
    }

    async fn finish(&mut self) -> Result<u64> {
        self.producer.flush().await?;
        self.settle_down_to(0).await;
        Ok(std::mem::take(&mut self.failed))
    }
}

struct Receiver(kacrab::consumer::Consumer);

impl Consumer for Receiver {
    async fn is_assigned(&mut self) -> bool {
        !self.0.assignment().is_empty()
    }

    async fn poll(&mut self, mut see: impl FnMut(&[u8]) + Send) -> Result<()> {
        let records = self.0.poll(Duration::from_millis(100)).await?;
        records.iter().for_each(|record| see(record.value.as_deref().unwrap_or_default()));
        Ok(())
    }
}

fn main() -> ExitCode {
    peers_harness::main::<Kacrab>()
}

/// The harness holds so many futures before it awaits the oldest.
const UNDER_WAY: usize = 400_000;
