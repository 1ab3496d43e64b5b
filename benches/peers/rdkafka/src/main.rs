//! rust-rdkafka: `ThreadedProducer` with a delivery callback, `BaseConsumer` in a group.

use bytes::Bytes;
use peers_harness::{Client, Consumer, Options, Producer, Result, Settings};
use rdkafka::{
    ClientConfig, ClientContext, Message,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{task::block_in_place, time::sleep};

struct Rdkafka;

impl Client for Rdkafka {
    const NAME: &'static str = "rdkafka";
    const VERSION: &'static str = "0.39.0";
    type Producer = Sender;
    type Consumer = Receiver;

    fn producer_settings(options: &Options) -> Settings {
        vec![
            ("bootstrap.servers", options.brokers.clone()),
            ("enable.idempotence", "true".into()),
            ("compression.codec", options.compression.clone()),
            ("linger.ms", options.linger_ms.to_string()),
            ("batch.size", "1000000".into()),
            ("batch.num.messages", "100000".into()),
            ("queue.buffering.max.messages", "100000".into()),
            ("partitioner", "murmur2_random".into()),
            ("socket.nagle.disable", "true".into()),
        ]
    }

    fn consumer_settings(options: &Options) -> Settings {
        let mut settings = vec![
            ("bootstrap.servers", options.brokers.clone()),
            ("group.id", options.group.clone()),
            ("auto.offset.reset", if options.is_paced() { "latest" } else { "earliest" }.into()),
            ("fetch.wait.max.ms", if options.is_paced() { "10" } else { "500" }.into()),
            ("socket.nagle.disable", "true".into()),
        ];
        if !options.is_paced() {
            settings.push(("queued.min.messages", "1000000".into()));
            settings.push(("queued.max.messages.kbytes", "262144".into()));
        }
        settings
    }

    async fn producer(options: &Options, settings: &Settings) -> Result<Sender> {
        let outcomes = Arc::new(Outcomes::default());
        let producer: ThreadedProducer<_> = config(settings).create_with_context(Count(outcomes.clone()))?;
        let known = || producer.client().fetch_metadata(Some(&options.topic), Duration::from_secs(10));
        block_in_place(known)?;
        Ok(Sender { producer, topic: options.topic.clone(), outcomes, sent: 0, failed: 0 })
    }

    async fn consumer(options: &Options, settings: &Settings) -> Result<Receiver> {
        let consumer: BaseConsumer = config(settings).create()?;
        consumer.subscribe(&[&options.topic])?;
        Ok(Receiver(consumer))
    }
}

fn config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in settings {
        config.set(*name, value);
    }
    config
}

struct Sender {
    producer: ThreadedProducer<Count>,
    topic: String,
    outcomes: Arc<Outcomes>,
    sent: u64,
    /// As of the last look.
    failed: u64,
}

#[derive(Default)]
struct Outcomes {
    all: AtomicU64,
    failed: AtomicU64,
}

struct Count(Arc<Outcomes>);

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.failed.fetch_add(u64::from(result.is_err()), Relaxed);
        self.0.all.fetch_add(1, Relaxed);
    }
}

impl Producer for Sender {
    async fn send(&mut self, key: &Bytes, value: Bytes) -> Result<()> {
        let mut record = BaseRecord::to(&self.topic).key(&key[..]).payload(&value[..]);
        self.sent += 1;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
                Err((error, _)) => return Err(error.into()),
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn finish(&mut self) -> Result<u64> {
        block_in_place(|| self.producer.flush(Duration::from_secs(120)))?;
        while self.outcomes.all.load(Relaxed) < self.sent {
            sleep(Duration::from_millis(1)).await;
        }
        let failed = self.outcomes.failed.load(Relaxed);
        Ok(failed - std::mem::replace(&mut self.failed, failed))
    }
}

struct Receiver(BaseConsumer);

impl Consumer for Receiver {
    async fn is_assigned(&mut self) -> bool {
        self.0.assignment().is_ok_and(|partitions| partitions.count() > 0)
    }

    async fn poll(&mut self, mut see: impl FnMut(&[u8]) + Send) -> Result<()> {
        block_in_place(|| {
            let mut wait = Duration::from_millis(100);
            // One record at a time is its way; going back to the runtime after each would not be.
            for _ in 0..1_000 {
                match self.0.poll(wait) {
                    Some(record) => see(record?.payload().unwrap_or_default()),
                    None => break,
                }
                wait = Duration::ZERO;
            }
            Ok(())
        })
    }
}

fn main() -> ExitCode {
    peers_harness::main::<Rdkafka>()
}
