//! Logs that are no plain row of records, on the mock in virtual time: transactions, gaps, retention, quotas.

use crate::{next, number};
use craftwire::{
    Client,
    consumer::{ConsumeError, Consumer, ConsumerBuilder, Isolation, StartFrom, TopicPartition},
    mock::{MockCluster, MockClusterBuilder, Quota, Transaction},
    producer::ProducerRecord,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, sleep_until};

const SECOND: Duration = Duration::from_secs(1);

fn mock(builder: MockClusterBuilder) -> MockCluster {
    builder.start_in_memory().unwrap()
}

async fn client(mock: &MockCluster) -> Client {
    Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap()
}

fn reader(client: &Client) -> ConsumerBuilder {
    client.consumer().topics(["t"])
}

fn here() -> TopicPartition {
    TopicPartition::new("t", 0)
}

async fn pass(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

/// Reads until the position is the end of the log: (offset, value) of each record.
async fn read_to_the_end(consumer: &mut Consumer, mock: &MockCluster) -> Vec<(i64, String)> {
    let mut read = Vec::new();
    loop {
        let end = mock.last_stable_offset("t", 0).unwrap();
        if consumer.position(&here()) == Some(end) {
            return read;
        }
        // Offsets that hold nothing for the reader pass without a record.
        tokio::select! {
            biased;
            record = next(consumer) => {
                read.push((record.offset(), String::from_utf8(record.value().unwrap().to_vec()).unwrap()));
            }
            () = pass(SECOND) => {}
        }
    }
}

/// Writes transactions that overlap, and knows which records are committed.
struct Writer {
    mock: MockCluster,
    state: u64,
    written: i64,
    open: Vec<(Transaction, Vec<(i64, String)>)>,
    committed: BTreeMap<i64, String>,
    all: BTreeMap<i64, String>,
}

impl Writer {
    fn new(mock: &MockCluster, seed: u64) -> Self {
        let open = (0..4).map(|_| (mock.transaction(), Vec::new())).collect();
        let (committed, all) = (BTreeMap::new(), BTreeMap::new());
        Self { mock: mock.clone(), state: seed, written: 0, open, committed, all }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    fn values(&mut self) -> Vec<String> {
        let count = i64::try_from(self.random(3)).unwrap() + 1;
        self.written += count;
        (self.written - count..self.written).map(|n| format!("value-{n}")).collect()
    }

    fn step(&mut self) {
        let at = usize::try_from(self.random(4)).unwrap();
        match self.random(12) {
            0..=5 => {
                let values = self.values();
                let records: Vec<_> =
                    values.iter().map(|value| (Some(value.as_bytes()), Some(value.as_bytes()))).collect();
                let (transaction, pending) = &mut self.open[at];
                let offset = transaction.append_all("t", 0, &records).unwrap();
                pending.extend((offset..).zip(values.iter().cloned()));
                self.all.extend((offset..).zip(values));
            }
            6 | 7 => self.end(at, true),
            8 => self.end(at, false),
            9 => {
                let value = self.values().remove(0);
                let offset =
                    self.mock.append("t", 0, Some(value.as_bytes()), Some(value.as_bytes())).unwrap();
                self.committed.insert(offset, value.clone());
                self.all.insert(offset, value);
            }
            10 => drop(self.mock.transaction().append_marker("t", 0, false).unwrap()),
            _ => self.mock.compact("t", 0).unwrap(),
        }
    }

    fn end(&mut self, at: usize, is_commit: bool) {
        let (transaction, pending) = &mut self.open[at];
        let pending = std::mem::take(pending);
        if is_commit {
            transaction.commit().unwrap();
            self.committed.extend(pending);
        } else {
            transaction.abort().unwrap();
        }
    }

    /// What a reader of committed records is given by now.
    fn visible(&self) -> impl Iterator<Item = (&i64, &String)> {
        self.committed.range(..self.mock.last_stable_offset("t", 0).unwrap())
    }

    /// Ends all transactions.
    fn finish(&mut self) {
        for at in 0..self.open.len() {
            self.end(at, at % 2 == 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f34_exactly_the_committed_records_are_handed_out() {
    for seed in 0..20 {
        let mock = mock(MockCluster::builder().topic("t", 1).unsorted_aborted_transactions(seed % 2 == 1));
        let client = client(&mock).await;
        let mut writer = Writer::new(&mock, seed);
        let mut consumer = reader(&client).partition_fetch_bytes(300).build().await.unwrap();
        let mut read = Vec::new();
        for round in 0..6 {
            if round < 5 {
                (0..40).for_each(|_| writer.step());
            } else {
                writer.finish();
            }
            // Compaction may leave nothing below the last stable offset, so that the position does not come up to it.
            for (offset, value) in writer.visible().skip(read.len()) {
                let record = next(&mut consumer).await;
                assert_eq!(
                    (record.offset(), record.value()),
                    (*offset, Some(value.as_bytes())),
                    "seed {seed}"
                );
                read.push(*offset);
            }
        }
        assert_eq!(read.len(), writer.committed.len(), "seed {seed}");
        assert!(read_to_the_end(&mut consumer, &mock).await.is_empty(), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn f34_a_reader_of_uncommitted_records_is_given_all_of_them_at_once() {
    let mock = mock(MockCluster::builder().topic("t", 1));
    let mut writer = Writer::new(&mock, 7);
    for _ in 0..100 {
        // Without compaction, which takes aborted records away.
        if writer.state % 12 != 11 {
            writer.step();
        }
    }
    let expected: Vec<_> = mock.records("t", 0).into_iter().map(|record| record.offset).collect();
    let client = client(&mock).await;
    let mut consumer = reader(&client).isolation(Isolation::ReadUncommitted).build().await.unwrap();
    for offset in expected {
        let record = next(&mut consumer).await;
        assert_eq!((record.offset(), record.value()), (offset, Some(writer.all[&offset].as_bytes())));
    }
}

#[tokio::test(start_paused = true)]
async fn f34_gaps_that_compaction_left_hold_nobody_up() {
    let mock = mock(MockCluster::builder());
    mock.create_topic_with("t", 1, &[("cleanup.policy", "compact"), ("delete.retention.ms", "0")]).unwrap();
    let client = client(&mock).await;
    let producer = client.producer().build().await.unwrap();
    let mut midway = reader(&client).partition_fetch_bytes(1).build().await.unwrap();
    let mut deliveries = Vec::new();
    for n in 0..300 {
        let record = ProducerRecord::new("t", format!("value-{n}")).key(format!("key-{}", n % 7 + n / 50));
        deliveries.push(producer.send(record).await.unwrap());
        if n % 10 == 0 {
            pass(SECOND).await;
        }
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(number(&next(&mut midway).await));
    }
    let before = mock.records("t", 0).len();
    mock.compact("t", 0).unwrap();
    let left: Vec<_> = mock.records("t", 0).into_iter().map(|record| record.offset).collect();
    assert!(left.len() < before / 2 && left[0] > 0, "{left:?}");
    let mut fresh = reader(&client).build().await.unwrap();
    let read: Vec<_> =
        read_to_the_end(&mut fresh, &mock).await.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(read, left);
    assert!(fresh.lag().values().all(|lag| *lag == 0), "{:?}", fresh.lag());
    let rest = read_to_the_end(&mut midway, &mock).await;
    assert!(rest.iter().map(|(offset, _)| *offset).is_sorted());
    let rest: Vec<_> =
        rest.into_iter().map(|(offset, _)| offset).filter(|offset| left.contains(offset)).collect();
    assert!(left.ends_with(&rest) && rest.len() >= left.iter().filter(|offset| **offset >= 20).count());
}

/// A consumer that has read five of a hundred records when retention takes all of them, and ten new ones come.
async fn overtaken(set: impl FnOnce(ConsumerBuilder) -> ConsumerBuilder) -> (MockCluster, Consumer) {
    let mock = mock(MockCluster::builder());
    mock.create_topic_with("t", 1, &[("retention.ms", "60000"), ("segment.ms", "1000")]).unwrap();
    let client = client(&mock).await;
    for n in 0..100 {
        mock.append("t", 0, None, Some(format!("value-{n}").as_bytes())).unwrap();
    }
    let tiny = reader(&client).partition_fetch_bytes(1).partition_buffer_bytes(1);
    let mut consumer = set(tiny).build().await.unwrap();
    for n in 0..5 {
        assert_eq!(number(&next(&mut consumer).await), n);
    }
    pass(Duration::from_secs(3600)).await;
    for n in 100..110 {
        mock.append("t", 0, None, Some(format!("value-{n}").as_bytes())).unwrap();
    }
    assert_eq!(mock.offsets("t", 0), Some((100, 110)));
    (mock, consumer)
}

#[tokio::test(start_paused = true)]
async fn f35_a_reader_that_retention_overtakes_goes_by_its_rule() {
    let (mock, mut earliest) = overtaken(|builder| builder.on_out_of_range(StartFrom::Earliest)).await;
    let read = read_to_the_end(&mut earliest, &mock).await;
    let old = read.iter().take_while(|(offset, _)| *offset < 100).count();
    assert!(old < 20, "what had been fetched already: {old}");
    let new: Vec<_> = read.iter().skip(old).map(|(offset, _)| *offset).collect();
    assert_eq!(new, (100..110).collect::<Vec<_>>());

    let (mock, mut latest) = overtaken(|builder| builder.on_out_of_range(StartFrom::Latest)).await;
    assert!(read_to_the_end(&mut latest, &mock).await.iter().all(|(offset, _)| *offset < 100));
    mock.append("t", 0, None, Some(b"value-110")).unwrap();
    assert_eq!(number(&next(&mut latest).await), 110);

    let (_mock, mut failing) = overtaken(|builder| builder.start_from(StartFrom::Offset(0))).await;
    let error = loop {
        match failing.recv().await.unwrap() {
            Ok(record) => assert!(record.offset() < 100),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ConsumeError::OffsetOutOfRange { offset, .. } if offset < 100), "{error}");
}

#[tokio::test(start_paused = true)]
async fn quotas_slow_down_and_lose_nothing() {
    let mock = mock(MockCluster::builder().topic("t", 1));
    mock.set_quota(None, Quota { produce_bytes_per_s: Some(10_000), fetch_bytes_per_s: Some(5_000) });
    let client = client(&mock).await;
    let producer = client.producer().build().await.unwrap();
    let started = Instant::now();
    let mut deliveries = Vec::new();
    for n in 0..300 {
        // What does not compress.
        let noise: String =
            (0..1000u32).map(|at| char::from(33 + ((at * at * 31 + n * 7) % 90) as u8)).collect();
        let record = ProducerRecord::new("t", format!("value-{n}")).header("noise", noise).partition(0);
        deliveries.push(producer.send(record).await.unwrap());
        pass(Duration::from_millis(1)).await;
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let bytes: usize = mock.batches("t", 0).iter().map(|batch| batch.bytes.len()).sum();
    let least = Duration::from_secs(u64::try_from(bytes / 10_000).unwrap().saturating_sub(11));
    assert!(Instant::now() - started >= least, "{bytes} bytes in {:?}", Instant::now() - started);
    let started = Instant::now();
    let mut consumer = reader(&client).build().await.unwrap();
    for n in 0..300 {
        assert_eq!(number(&next(&mut consumer).await), n);
    }
    let least = Duration::from_secs(u64::try_from(bytes / 5_000).unwrap().saturating_sub(22));
    assert!(Instant::now() - started >= least, "{bytes} bytes in {:?}", Instant::now() - started);
}
