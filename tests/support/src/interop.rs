//! What Java's own client writes and reads, record by record, and where its partitioner puts a key.

use crate::java::Java;
use crate::json::Json;

/// A record as Java's client wrote or read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JavaRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset. What an aborted transaction wrote has one too; -1 when Java was not told.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The key; `None` is null.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is null.
    pub value: Option<Vec<u8>>,
    /// The headers in order, duplicate keys kept.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// False for what the writer aborted or left open; true for everything else.
    pub committed: bool,
}

/// How the Java producer cuts its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Batching {
    /// One batch for all records of a partition (up to 16 MB, and one for each transaction).
    #[default]
    One,
    /// A batch of one record for each record.
    Each,
}

/// What `Writer.java` writes. Record `i` has the key `key-i`, a value that starts `value-i` and is padded with letters
/// up to `value_bytes`, and what the flags below add.
#[derive(Debug, Clone)]
pub struct WriteSpec {
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub compression: String,
    /// How many records.
    pub count: usize,
    /// The index of the first.
    pub first: usize,
    /// How batches are cut.
    pub batching: Batching,
    /// All to this partition; otherwise by Java's partitioner.
    pub partition: Option<i32>,
    /// The length of a value at least.
    pub value_bytes: usize,
    /// The keys repeat after so many: `key-(i mod n)`; 0 for never.
    pub distinct_keys: usize,
    /// Every third key and every fifth value is null.
    pub nulls: bool,
    /// Headers `dup`=`a-i`, `none`=null, `dup`=`b-i`, `empty`=``, in this order.
    pub headers: bool,
    /// Record `i` has the timestamp `base + i`; otherwise the time of writing. Kafka deletes old ones at once (the topic's
    /// `retention.ms`), and refuses those of over an hour ahead.
    pub timestamp_base_ms: Option<i64>,
    /// One letter a transaction: `c` commits, `a` aborts, `o` stays open as the producer ends. The records are split
    /// evenly among them, in order. Empty for no transactions.
    pub transactions: String,
    /// More settings of the Java producer: `("acks", "1")`.
    pub properties: Vec<(String, String)>,
}

impl Default for WriteSpec {
    fn default() -> Self {
        Self {
            compression: "none".into(),
            count: 10,
            first: 0,
            batching: Batching::One,
            partition: None,
            value_bytes: 0,
            distinct_keys: 0,
            nulls: false,
            headers: false,
            timestamp_base_ms: None,
            transactions: String::new(),
            properties: Vec::new(),
        }
    }
}

/// What `Reader.java` reads: every partition from the beginning.
#[derive(Debug, Clone, Default)]
pub struct ReadSpec {
    /// Leave out what transactions aborted, and stop at the first open one.
    pub read_committed: bool,
    /// Stop after so many; otherwise at the end offsets as they were at the start.
    pub max_records: Option<usize>,
    /// More settings of the Java consumer.
    pub properties: Vec<(String, String)>,
}

impl Java {
    /// Writes with the Java producer; returns what it wrote, in the order of sending.
    ///
    /// # Panics
    ///
    /// When the Java program fails.
    pub async fn write(&self, topic: &str, spec: &WriteSpec) -> Vec<JavaRecord> {
        let mut args: Vec<(&str, String)> = vec![
            ("bootstrap", self.bootstrap().to_owned()),
            ("topic", topic.to_owned()),
            ("compression", spec.compression.clone()),
            ("count", spec.count.to_string()),
            ("first", spec.first.to_string()),
            ("batching", if spec.batching == Batching::One { "one" } else { "each" }.to_owned()),
            ("value-bytes", spec.value_bytes.to_string()),
            ("distinct-keys", spec.distinct_keys.to_string()),
            ("nulls", spec.nulls.to_string()),
            ("headers", spec.headers.to_string()),
            ("transactions", spec.transactions.clone()),
        ];
        args.extend(spec.partition.map(|partition| ("partition", partition.to_string())));
        args.extend(spec.timestamp_base_ms.map(|base| ("timestamp-base", base.to_string())));
        args.extend(spec.properties.iter().map(|(key, value)| ("property", format!("{key}={value}"))));
        self.records("Writer.java", &args).await
    }

    /// Reads with the Java consumer, which belongs to no group; each partition's records are in order.
    ///
    /// # Panics
    ///
    /// When the Java program fails, or stands still for 30 s.
    pub async fn read(&self, topic: &str, spec: &ReadSpec) -> Vec<JavaRecord> {
        let isolation = if spec.read_committed { "read_committed" } else { "read_uncommitted" };
        let mut args: Vec<(&str, String)> = vec![
            ("bootstrap", self.bootstrap().to_owned()),
            ("topic", topic.to_owned()),
            ("isolation", isolation.to_owned()),
        ];
        args.extend(spec.max_records.map(|max| ("max", max.to_string())));
        args.extend(spec.properties.iter().map(|(key, value)| ("property", format!("{key}={value}"))));
        self.records("Reader.java", &args).await
    }

    /// The partition that Java's producer gives each key on a topic of so many partitions.
    ///
    /// # Panics
    ///
    /// When the Java program fails.
    pub async fn partitions_of(&self, keys: &[&[u8]], partition_count: i32) -> Vec<i32> {
        let hex = |key: &&[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
        let input: String = keys.iter().map(hex).collect();
        let output = self.source("Partitioner.java", &[&partition_count.to_string()], input.as_bytes()).await;
        output.expect_success().lines().map(|line| line.parse().expect("a partition a line")).collect()
    }

    async fn records(&self, program: &str, args: &[(&str, String)]) -> Vec<JavaRecord> {
        let args: Vec<String> = args.iter().map(|(name, value)| format!("--{name}={value}")).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = self.source(program, &args, b"").await.expect_success();
        let record = |line| record(line).unwrap_or_else(|| panic!("{program} printed {line:?}"));
        output.lines().map(record).collect()
    }
}

fn record(line: &str) -> Option<JavaRecord> {
    let json = Json::parse(line)?;
    let number = |key: &str| json.get(key)?.number();
    let header = |header: &Json| {
        let [name, value] = header.list()? else { return None };
        Some((String::from_utf8(name.hex()??).ok()?, value.hex()?))
    };
    Some(JavaRecord {
        partition: number("partition")?.try_into().ok()?,
        offset: number("offset")?,
        timestamp_ms: number("timestamp")?,
        key: json.get("key")?.hex()?,
        value: json.get("value")?.hex()?,
        headers: json.get("headers")?.list()?.iter().map(header).collect::<Option<_>>()?,
        committed: json.get("committed")?.bool()?,
    })
}
