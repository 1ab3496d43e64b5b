//! What Java's producer and librdkafka write, craftwire reads, byte for byte, at the same offsets.

use crate::common::{CODECS, PATIENCE, assert_same, connect, logged_batches, new_topic, now_ms};
use craftwire::{
    admin::OffsetSpec,
    consumer::{Consumer, ConsumerRecord, Isolation, TopicPartition},
};
use craftwire_test_support::{
    Batching, JavaRecord, ReadSpec, Shared, WriteSpec, eventually, kcat, require_kafka, shared_single,
};
use std::collections::BTreeMap;
use tokio::time::timeout;

async fn next(consumer: &mut Consumer) -> JavaRecord {
    let record = timeout(PATIENCE, consumer.recv()).await.expect("a record in time");
    seen(&record.expect("the consumer goes on").expect("a record"))
}

/// Reads so many, one at a time.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<JavaRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        records.push(next(consumer).await);
    }
    records
}

/// A record as Java would have printed it.
fn seen(record: &ConsumerRecord) -> JavaRecord {
    let headers = record
        .headers()
        .map(|(key, value)| (String::from_utf8(key.to_vec()).unwrap(), value.map(<[u8]>::to_vec)));
    JavaRecord {
        partition: record.partition(),
        offset: record.offset(),
        timestamp_ms: record.timestamp_ms(),
        key: record.key().map(<[u8]>::to_vec),
        value: record.value().map(<[u8]>::to_vec),
        headers: headers.collect(),
        committed: true,
    }
}

/// The record counts of a partition's batches, and the codec that all of them have.
fn assert_logged(kafka: &Shared, topic: &str, partition: i32, codec: i16, counts: &[i32]) {
    let Some(batches) = logged_batches(kafka, topic, partition) else { return };
    assert!(batches.iter().all(|batch| batch.codec == codec), "{batches:?}");
    assert_eq!(batches.iter().map(|batch| batch.records).collect::<Vec<_>>(), counts);
}

#[tokio::test]
async fn a_batch_of_ten_thousand_records_with_nulls_and_repeated_headers_is_read_in_every_codec() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "large", 5, &[("max.message.bytes", "16000000")]).await;
    let mut written = Vec::new();
    for (partition, codec) in (0..).zip(CODECS) {
        let spec = WriteSpec {
            compression: codec.to_string(),
            count: 10_000,
            partition: Some(partition),
            value_bytes: 30,
            nulls: true,
            headers: true,
            timestamp_base_ms: Some(now_ms() - 60_000),
            ..WriteSpec::default()
        };
        written.extend(kafka.java().write(&topic, &spec).await);
        assert_logged(kafka, &topic, partition, i16::try_from(partition).unwrap(), &[10_000]);
    }
    let mut consumer = client.consumer().topics([topic.as_str()]).build().await.unwrap();
    let mut read = Vec::new();
    while read.len() < written.len() {
        let batch = timeout(PATIENCE, consumer.recv_batch()).await.unwrap().unwrap().unwrap();
        assert_eq!(batch.len(), 10_000);
        read.extend(batch.iter().map(|record| seen(&record.to_owned())));
    }
    assert_same(read, written);
}

#[tokio::test]
async fn batches_of_one_record_are_read_in_every_codec() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "small", 5, &[]).await;
    let mut written = Vec::new();
    for (partition, codec) in (0..).zip(CODECS) {
        let spec = WriteSpec {
            compression: codec.to_string(),
            count: 6,
            batching: Batching::Each,
            partition: Some(partition),
            value_bytes: 100_000,
            nulls: true,
            headers: true,
            ..WriteSpec::default()
        };
        written.extend(kafka.java().write(&topic, &spec).await);
        assert_logged(kafka, &topic, partition, i16::try_from(partition).unwrap(), &[1; 6]);
    }
    let mut consumer = client.consumer().topics([topic.as_str()]).build().await.unwrap();
    assert_same(read(&mut consumer, written.len()).await, written);
}

#[tokio::test]
async fn records_have_the_brokers_time_where_the_topic_says_so() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let configs = [("message.timestamp.type", "LogAppendTime")];
    let topic = new_topic(kafka, &client, "log-append-time", 1, &configs).await;
    let spec = WriteSpec {
        compression: "lz4".into(),
        count: 20,
        timestamp_base_ms: Some(1_000_000),
        ..WriteSpec::default()
    };
    let written = kafka.java().write(&topic, &spec).await;
    assert!(written[0].timestamp_ms > 1_600_000_000_000, "{:?}", written[0]);
    let mut consumer = client.consumer().topics([topic.as_str()]).build().await.unwrap();
    assert_same(read(&mut consumer, 20).await, written);
}

#[tokio::test]
async fn compaction_leaves_gaps_and_empty_batches_and_reading_passes_them() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let configs =
        [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.0001")];
    let topic = new_topic(kafka, &client, "compacted", 1, &configs).await;
    // Of a producer that wrote nothing since, an emptied batch is kept for its sequence numbers. The second one's keys
    // are its own in part, so that it leaves a batch with a gap.
    for (first, count, distinct_keys) in [(0, 8, 4), (8, 8, 6), (16, 8, 4), (24, 8, 4)] {
        let spec =
            WriteSpec { count, first, distinct_keys, compression: "zstd".into(), ..WriteSpec::default() };
        kafka.java().write(&topic, &spec).await;
    }
    if kafka.cluster().is_some() {
        eventually("an emptied batch in the log", PATIENCE, async || {
            let batches = logged_batches(kafka, &topic, 0)?;
            let has = |records: &dyn Fn(i32) -> bool| batches.iter().any(|batch| records(batch.records));
            (has(&|records| records == 0) && has(&|records| (1..8).contains(&records))).then_some(())
        })
        .await;
    }
    let java = kafka.java().read(&topic, &ReadSpec::default()).await;
    assert!(java[0].offset > 0 && java.len() < 32, "{} from {}", java.len(), java[0].offset);
    let mut consumer = client.consumer().topics([topic.as_str()]).build().await.unwrap();
    assert_same(read(&mut consumer, java.len()).await, java);
    let end = client.admin().list_offsets(&topic, OffsetSpec::Latest).await.unwrap();
    assert_eq!(consumer.position(&TopicPartition::new(topic.as_str(), 0)), end.get(&0).copied());
}

#[tokio::test]
async fn what_transactions_aborted_is_left_out_of_committed_reads_and_only_of_those() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "transactions", 1, &[]).await;
    let builder = || client.consumer().topics([topic.as_str()]);
    let write = async |spec: WriteSpec| kafka.java().write(&topic, &spec).await;
    // The first producer dies in an open transaction; the second one's lie behind its beginning, and it is aborted when
    // its time is up.
    let open = WriteSpec {
        count: 40,
        transactions: "caco".into(),
        compression: "lz4".into(),
        properties: vec![("transaction.timeout.ms".into(), "8000".into())],
        ..WriteSpec::default()
    };
    let mut written = write(open).await;
    let mut committed = builder().isolation(Isolation::ReadCommitted).build().await.unwrap();
    let mut uncommitted = builder().isolation(Isolation::ReadUncommitted).build().await.unwrap();
    let spec = WriteSpec { count: 40, first: 100, transactions: "acac".into(), ..WriteSpec::default() };
    written.extend(write(WriteSpec { batching: Batching::Each, ..spec }).await);
    written.extend(write(WriteSpec { count: 5, first: 200, ..WriteSpec::default() }).await);

    let is_committed = |record: &&JavaRecord| record.committed;
    let wanted: Vec<_> = written.iter().filter(is_committed).cloned().collect();
    let everything: Vec<_> = written.iter().map(|r| JavaRecord { committed: true, ..r.clone() }).collect();
    assert_eq!((wanted.len(), everything.len()), (45, 85));
    assert_same(read(&mut uncommitted, everything.len()).await, everything);
    assert_same(read(&mut committed, wanted.len()).await, wanted.clone());

    // The same, now that all of it is decided.
    let mut late = builder().build().await.unwrap();
    assert_same(read(&mut late, wanted.len()).await, wanted.clone());
    let java = kafka.java().read(&topic, &ReadSpec { read_committed: true, ..ReadSpec::default() }).await;
    assert_same(java, wanted);
}

#[tokio::test]
async fn raw_snappy_of_librdkafka_is_read() {
    require_kafka!();
    let kafka = shared_single().await;
    let client = connect(kafka.bootstrap()).await;
    let topic = new_topic(kafka, &client, "kcat", 1, &[]).await;
    let lines: BTreeMap<String, String> =
        (0..100).map(|n| (format!("key-{n:03}"), format!("value-{n} {}", "x".repeat(n)))).collect();
    let input: String = lines.iter().map(|(key, value)| format!("{key}:{value}\n")).collect();
    let args =
        ["-b", kafka.bootstrap(), "-P", "-t", &topic, "-z", "snappy", "-K", ":", "-H", "a=1", "-H", "a=2"];
    match kcat(&args, input.as_bytes()).await {
        Ok(output) => assert!(output.success(), "{output:?}"),
        Err(skip) => return eprintln!("skipped: {skip}"),
    }
    if let Some(batches) = logged_batches(kafka, &topic, 0) {
        assert!(batches.iter().any(|batch| batch.codec == 2), "{batches:?}");
    }
    let mut consumer = client.consumer().topics([topic.as_str()]).build().await.unwrap();
    for (record, (key, value)) in read(&mut consumer, lines.len()).await.into_iter().zip(lines) {
        assert_eq!((record.key, record.value), (Some(key.into_bytes()), Some(value.into_bytes())));
        let headers = [("a", b"1"), ("a", b"2")].map(|(key, value)| (key.to_owned(), Some(value.to_vec())));
        assert_eq!(record.headers, headers);
    }
}
