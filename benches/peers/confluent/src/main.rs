//! confluent-kafka: `send` of byte slices with a callback; a KIP-848 group, which is the only kind it has, `poll`.

use bytes::Bytes;
use confluent_kafka::{
    common::{
        Error,
        serialization::{ByteArraySerializer, BytesDeserializer},
    },
    consumer::{Consumer as _, ConsumerConfig, KafkaConsumer},
    producer::{
        Callback, KafkaProducer, Producer as _, ProducerConfig, ProducerRecord, ProducerRecordOptionsBuilder,
        RecordMetadata,
    },
};
use peers_harness::{Client, Consumer, Options, Producer, Result, Settings};
use std::{
    collections::HashMap,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::sleep;

struct Confluent;

impl Client for Confluent {
    const NAME: &'static str = "confluent-kafka";
    const VERSION: &'static str = "1.0.0";
    type Producer = Sender;
    type Consumer = Receiver;

    fn producer_settings(options: &Options) -> Settings {
        vec![
            ("bootstrap.servers", options.brokers.clone()),
            ("acks", "all".into()),
            ("enable.idempotence", "true".into()),
            ("compression.type", options.compression.clone()),
            ("linger.ms", options.linger_ms.to_string()),
            ("batch.size", if options.is_paced() { "65536" } else { "1000000" }.into()),
            ("buffer.memory", "268435456".into()),
            ("max.request.size", "4194304".into()),
            ("partitioner.type", ProducerConfig::MURMUR2_RANDOM_PARTITIONER.into()),
        ]
    }

    fn consumer_settings(options: &Options) -> Settings {
        vec![
            ("bootstrap.servers", options.brokers.clone()),
            ("group.id", options.group.clone()),
            ("group.protocol", "consumer".into()),
            ("auto.offset.reset", if options.is_paced() { "latest" } else { "earliest" }.into()),
            ("fetch.max.wait.ms", if options.is_paced() { "100" } else { "500" }.into()),
            ("max.poll.records", "5000".into()),
        ]
    }

    async fn producer(options: &Options, settings: &Settings) -> Result<Sender> {
        let (keys, values) = (ByteArraySerializer::default(), ByteArraySerializer::default());
        let producer = KafkaProducer::new(ProducerConfig::new(&map(settings))?, keys, values)?;
        producer.partitions_for(&options.topic).await?;
        Ok(Sender { producer, topic: options.topic.clone(), outcomes: Arc::default(), sent: 0, failed: 0 })
    }

    async fn consumer(options: &Options, settings: &Settings) -> Result<Receiver> {
        let config = ConsumerConfig::new(&map(settings))?;
        let mut consumer = KafkaConsumer::new(config, BytesDeserializer::new(), BytesDeserializer::new())?;
        consumer.subscribe_with_topics(vec![options.topic.clone()]).await?;
        Ok(Receiver(consumer))
    }
}

fn map(settings: &Settings) -> HashMap<String, String> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

struct Sender {
    producer: KafkaProducer<Vec<u8>, Vec<u8>>,
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

impl Callback for Count {
    fn on_completion(self: Box<Self>, _: Option<&RecordMetadata>, error: Option<&Error>) {
        self.0.failed.fetch_add(u64::from(error.is_some()), Relaxed);
        self.0.all.fetch_add(1, Relaxed);
    }
}

impl Producer for Sender {
    async fn send(&mut self, key: &Bytes, value: Bytes) -> Result<()> {
        let options = ProducerRecordOptionsBuilder::new()
            .set_topic(self.topic.clone())
            .set_key(Some(&key[..]))
            .set_value(Some(&value[..]))
            .build()?;
        let record = ProducerRecord::with_options(options)?;
        self.sent += 1;
        // The future that it returns says no more than the callback.
        let _future = self.producer.send(record, Some(Box::new(Count(self.outcomes.clone())))).await?;
        Ok(())
    }

    async fn finish(&mut self) -> Result<u64> {
        self.producer.flush().await?;
        while self.outcomes.all.load(Relaxed) < self.sent {
            sleep(Duration::from_millis(1)).await;
        }
        let failed = self.outcomes.failed.load(Relaxed);
        Ok(failed - std::mem::replace(&mut self.failed, failed))
    }
}

struct Receiver(KafkaConsumer<Bytes, Bytes>);

impl Consumer for Receiver {
    async fn is_assigned(&mut self) -> bool {
        !self.0.assignment().is_empty()
    }

    async fn poll(&mut self, mut see: impl FnMut(&[u8]) + Send) -> Result<()> {
        let records = self.0.poll(Duration::from_millis(100)).await?;
        (&records)
            .into_iter()
            .for_each(|record| see(record.value().map(|value| &value[..]).unwrap_or_default()));
        Ok(())
    }
}

fn main() -> ExitCode {
    peers_harness::main::<Confluent>()
}
