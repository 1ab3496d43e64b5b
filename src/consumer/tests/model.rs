//! Random runs against the small broker: whatever happens, each reading gets every record once and in order.

use super::{Broker, Consumer, broker::Log, name};
use crate::{
    backoff::SplitMix,
    consumer::{
        config::ConsumerConfig,
        error::ConsumeError,
        lane::FetchLane,
        positions::AssignmentId,
        reader::Next,
        test_batches::{batch, damaged, empty_batch, marker, transactional, with_last_delta},
    },
    error::ErrorCode,
};
use std::{collections::BTreeMap, time::Duration};

const PARTITIONS: i32 = 4;

struct Run {
    random: SplitMix,
    broker: Broker,
    consumer: Consumer,
    ids: BTreeMap<i32, AssignmentId>,
    /// Offsets of the records that a reader of committed data must see.
    expected: BTreeMap<i32, Vec<i64>>,
    /// The next offset that may come, per partition.
    position: BTreeMap<i32, i64>,
    paused: BTreeMap<i32, bool>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = SplitMix(seed);
        let mut expected = BTreeMap::new();
        let mut broker = Broker::default();
        for index in 0..PARTITIONS {
            let (mut log, offsets) = random_log(&mut random);
            log.cut = usize::try_from(random.next() % 80).unwrap();
            broker.logs.insert(index, log);
            expected.insert(index, offsets);
        }
        let config = ConsumerConfig {
            buffer_bytes: 1 << 20,
            partition_buffer_bytes: 600,
            partition_fetch_bytes: 300,
            ..ConsumerConfig::default()
        };
        let mut run = Self {
            random,
            broker,
            consumer: Consumer::new(config),
            ids: BTreeMap::new(),
            expected,
            position: BTreeMap::new(),
            paused: BTreeMap::new(),
        };
        for index in 0..PARTITIONS {
            run.assign(index);
        }
        run
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.next() % limit
    }

    fn partition(&mut self) -> i32 {
        i32::try_from(self.below(4)).unwrap()
    }

    fn assign(&mut self, index: i32) {
        let end = self.broker.log(index).end();
        let offset = i64::try_from(self.below(u64::try_from(end).unwrap() / 2 + 1)).unwrap();
        let id = self.consumer.assign(index, offset);
        self.ids.insert(index, id);
        self.position.insert(index, offset);
        self.paused.insert(index, false);
    }

    fn step(&mut self, faults: bool) {
        self.consumer.now += Duration::from_millis(self.random.next() % 50);
        match self.below(if faults { 16 } else { 6 }) {
            0..=2 => {
                self.consumer.fetch(&mut self.broker);
            }
            3..=5 => self.read(),
            6 => {
                // The broker has seen it or not; the answer is lost.
                if let Some((request, _)) = self.consumer.lane.next_fetch(self.consumer.now)
                    && self.below(2) == 0
                {
                    self.broker.fetch(&request);
                }
                self.consumer.disconnect();
            }
            7 => self.broker.forget_session(),
            8 => {
                let codes = [
                    ErrorCode::NOT_LEADER_OR_FOLLOWER,
                    ErrorCode::UNKNOWN_TOPIC_ID,
                    ErrorCode::KAFKA_STORAGE_ERROR,
                    ErrorCode::FENCED_LEADER_EPOCH,
                ];
                let code = codes[usize::try_from(self.below(4)).unwrap()];
                let index = self.partition();
                self.broker.log(index).error = Some(code);
            }
            9 => {
                let index = self.partition();
                let log = self.broker.log(index);
                let count = log.batches.len();
                let at = usize::try_from(self.random.next()).unwrap_or(0) % count;
                let log = self.broker.log(index);
                log.instead = Some((at, damaged(&log.batches[at])));
            }
            10 => self.broker.is_cache_full = !self.broker.is_cache_full,
            11 => {
                let index = self.partition();
                if self.ids.contains_key(&index) {
                    let paused = self.paused.entry(index).or_default();
                    *paused = !*paused;
                    let paused = *paused;
                    self.consumer
                        .shared
                        .with(
                            |core| if paused { core.pause(&name(index)) } else { core.resume(&name(index)) },
                        )
                        .unwrap();
                }
            }
            12 => {
                let index = self.partition();
                if self.ids.contains_key(&index) {
                    let end = u64::try_from(self.broker.log(index).end()).unwrap();
                    let offset = i64::try_from(self.below(end + 1)).unwrap();
                    self.consumer.shared.with(|core| core.seek(&name(index), offset)).unwrap();
                    self.position.insert(index, offset);
                }
            }
            13 => {
                let index = self.partition();
                if let Some(id) = self.ids.remove(&index) {
                    self.consumer.shared.with(|core| core.revoke(&[id]));
                    self.position.remove(&index);
                    self.read();
                    self.consumer.shared.with(|core| core.remove(&[id]));
                }
            }
            _ => {
                let index = self.partition();
                if !self.ids.contains_key(&index) {
                    self.assign(index);
                }
            }
        }
        let work = self.consumer.shared.with(|core| core.take_driver_work(self.consumer.now));
        if !work.reconnect.is_empty() {
            let shared = self.consumer.shared.clone();
            self.consumer.lane = FetchLane::new(shared, 1, Duration::from_secs(10));
        }
        assert!(self.consumer.shared.with(|core| core.buffered_bytes()) <= 1 << 20);
    }

    fn read(&mut self) {
        for _ in 0..self.below(4) {
            if self.below(2) == 0 {
                match self.consumer.reader.next_record(self.consumer.now) {
                    Next::Item(record) => self.take(record.partition(), record.offset()),
                    Next::Error(error) => self.go_on_after(&error),
                    Next::Nothing | Next::Closed => {}
                }
            } else {
                match self.consumer.reader.next_batch(self.consumer.now) {
                    Next::Item(records) => {
                        for record in &records {
                            self.take(records.partition(), record.offset());
                        }
                    }
                    Next::Error(error) => self.go_on_after(&error),
                    Next::Nothing | Next::Closed => {}
                }
            }
        }
    }

    /// The same batch may be damaged twice in a row here, which stops its partition.
    fn go_on_after(&mut self, error: &ConsumeError) {
        let ConsumeError::CorruptBatch { partition, .. } = error else { panic!("{error}") };
        if let Some(position) = self.position.get(&partition.partition) {
            let _revoked_since = self.consumer.shared.with(|core| core.seek(partition, *position));
        }
    }

    fn take(&mut self, index: i32, offset: i64) {
        assert!(!self.paused[&index], "{index} is paused");
        let position = self.position.get_mut(&index).expect("not handed out after a revoke");
        let next = self.expected[&index].iter().find(|expected| **expected >= *position);
        assert_eq!(Some(&offset), next, "partition {index}, at {position}");
        *position = offset + 1;
    }

    fn is_done(&self) -> bool {
        self.position
            .iter()
            .all(|(index, position)| self.expected[index].last().is_none_or(|last| position > last))
    }
}

/// Batches with gaps, empty ones and transactions, the aborted list in any order, and the offsets to be seen.
fn random_log(random: &mut SplitMix) -> (Log, Vec<i64>) {
    let (mut log, mut expected) = (Log::default(), Vec::new());
    let (batches, aborted) = (&mut log.batches, &mut log.aborted);
    let mut offset = 0_i64;
    for _ in 0..30 {
        match random.next() % 5 {
            0 => {
                batches.push(empty_batch(offset, 3));
                offset += 3;
            }
            1 => {
                // One producer's transaction, its outcome, and another's record in between.
                let producer = i64::try_from(random.next() % 3).unwrap();
                let aborts = random.next().is_multiple_of(2);
                batches.push(transactional(&batch(offset, &["t", "t"]), producer));
                batches.push(batch(offset + 2, &["plain"]));
                batches.push(marker(offset + 3, producer, i16::from(!aborts)));
                if aborts {
                    aborted.push((producer, offset, offset + 3));
                } else {
                    expected.extend([offset, offset + 1]);
                }
                expected.push(offset + 2);
                offset += 4;
            }
            2 => {
                batches.push(with_last_delta(&batch(offset, &["a", "b"]), 6));
                expected.extend([offset, offset + 1]);
                offset += 7;
            }
            _ => {
                let value = "x".repeat(usize::try_from(random.next() % 400).unwrap());
                batches.push(batch(offset, &[&value, "y", "z"]));
                expected.extend([offset, offset + 1, offset + 2]);
                offset += 3;
            }
        }
        offset += i64::try_from(random.next() % 2).unwrap();
    }
    aborted.reverse();
    (log, expected)
}

#[test]
fn every_reading_gets_every_record_once_and_in_order() {
    for seed in 0..100 {
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.step(true);
        }
        for index in 0..PARTITIONS {
            if run.ids.contains_key(&index) {
                run.consumer.shared.with(|core| core.resume(&name(index))).unwrap();
                run.paused.insert(index, false);
            }
            run.broker.log(index).instead = None;
        }
        let mut steps = 0;
        while !run.is_done() {
            run.step(false);
            steps += 1;
            assert!(steps < 20_000, "seed {seed} does not get to the end: {:?}", run.position);
        }
    }
}
