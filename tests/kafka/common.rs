//! What several subjects need: clients, topics, records that Java and craftwire both have, and a look into the log.

use craftwire::{Client, Compression, Producer, ProducerRecord, admin::NewTopic};
use craftwire_test_support::{JavaRecord, KafkaCluster, Shared};
use std::{sync::OnceLock, time::Duration};
use tokio::sync::{Mutex, MutexGuard};

/// Far longer than anything here takes, so that a hang is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Three nodes, whole and in sync, for as long as the guard is kept. Their groups cannot have a session as short as the
/// contract's.
pub(crate) async fn three_nodes() -> (MutexGuard<'static, ()>, &'static KafkaCluster) {
    static NODES: OnceLock<KafkaCluster> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let start = || {
        NODES.get_or_init(|| {
            let builder = KafkaCluster::builder().nodes(3);
            let builder = builder.set("group.consumer.min.session.timeout.ms", "45000");
            builder.set("group.consumer.session.timeout.ms", "45000").start_blocking().unwrap()
        })
    };
    let cluster = tokio::task::spawn_blocking(start).await.unwrap();
    for node in cluster.node_ids() {
        cluster.restart_without_waiting(node);
    }
    cluster.wait_until_up().await;
    cluster.wait_in_sync().await;
    (turn, cluster)
}

/// A client of the cluster, by default settings.
pub(crate) async fn connect(bootstrap: &str) -> Client {
    Client::connect(bootstrap).await.unwrap()
}

/// Makes a topic with one replica, whose name no other test has.
pub(crate) async fn new_topic(
    kafka: &Shared,
    client: &Client,
    prefix: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> String {
    let name = kafka.unique_topic(prefix);
    let topic = NewTopic::new(&name, partitions, 1);
    let topic = configs.iter().fold(topic, |topic, (key, value)| topic.config(*key, *value));
    client.admin().create_topic(topic).await.unwrap();
    name
}

#[allow(clippy::disallowed_methods, reason = "brokers judge timestamps by the clock on the wall")]
pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// A record as Java would print it, before it has an offset.
pub(crate) fn record(
    partition: i32,
    timestamp_ms: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> JavaRecord {
    JavaRecord {
        partition,
        offset: -1,
        timestamp_ms,
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: Vec::new(),
        committed: true,
    }
}

/// The same as our producer takes it.
pub(crate) fn to_send(topic: &str, record: &JavaRecord) -> ProducerRecord {
    let mut sent = match &record.value {
        Some(value) => ProducerRecord::new(topic, value.clone()),
        None => ProducerRecord::without_value(topic),
    };
    if let Some(key) = &record.key {
        sent = sent.key(key.clone());
    }
    for (name, value) in &record.headers {
        sent = match value {
            Some(value) => sent.header(name.as_str(), value.clone()),
            None => sent.null_header(name.as_str()),
        };
    }
    sent.partition(record.partition).timestamp_ms(record.timestamp_ms)
}

/// Hands all over before the producer's tasks run, so that they are as few batches as they can be, and returns them
/// with the offsets of their acks. Needs a runtime of one thread.
pub(crate) async fn produce(producer: &Producer, topic: &str, records: Vec<JavaRecord>) -> Vec<JavaRecord> {
    producer.prepare(topic).await.unwrap();
    let sent: Vec<_> = records
        .into_iter()
        .map(|record| (producer.try_send(to_send(topic, &record)).unwrap(), record))
        .collect();
    let mut acked = Vec::new();
    for (delivery, record) in sent {
        let ack = delivery.await.unwrap();
        assert_eq!((ack.partition, ack.timestamp_ms), (record.partition, Some(record.timestamp_ms)));
        acked.push(JavaRecord { offset: ack.offset.unwrap(), ..record });
    }
    acked
}

/// In the order of partitions and offsets.
pub(crate) fn sorted(mut records: Vec<JavaRecord>) -> Vec<JavaRecord> {
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// Fails with the first difference, not with two lists of thousands.
pub(crate) fn assert_same(read: Vec<JavaRecord>, written: Vec<JavaRecord>) {
    let (read, written) = (sorted(read), sorted(written));
    for (read, written) in read.iter().zip(&written) {
        assert!(read == written, "read {}, written {}", shown(read), shown(written));
    }
    assert_eq!(read.len(), written.len());
}

fn shown(record: &JavaRecord) -> String {
    let text = format!("{record:?}");
    text.chars().take(600).collect()
}

/// A batch as it lies in a broker's first segment of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoggedBatch {
    pub(crate) codec: i16,
    pub(crate) records: i32,
    pub(crate) bytes: usize,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
}

/// The batches in the log; `None` when the cluster is not on this machine's disk.
pub(crate) fn logged_batches(kafka: &Shared, topic: &str, partition: i32) -> Option<Vec<LoggedBatch>> {
    let segment = kafka.cluster()?.data_dir(1).join(format!("{topic}-{partition}/00000000000000000000.log"));
    let log = std::fs::read(segment).unwrap();
    let mut batches = Vec::new();
    let mut rest = log.as_slice();
    while rest.len() > 61 {
        let int = |at: usize| i32::from_be_bytes(rest[at..at + 4].try_into().unwrap());
        let bytes = 12 + usize::try_from(int(8)).unwrap();
        let attributes = i16::from_be_bytes([rest[21], rest[22]]);
        batches.push(LoggedBatch {
            codec: attributes & 7,
            records: int(57),
            bytes,
            producer_id: i64::from_be_bytes(rest[43..51].try_into().unwrap()),
            producer_epoch: i16::from_be_bytes([rest[51], rest[52]]),
            base_sequence: int(53),
        });
        rest = &rest[bytes..];
    }
    Some(batches)
}

/// Bytes that no codec makes smaller.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
