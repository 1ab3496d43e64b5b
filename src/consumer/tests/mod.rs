//! The consumer's machines together, without a task: state, lane, reader and a small broker.

mod broker;
mod core;
mod model;
mod validating;

use super::{
    config::ConsumerConfig,
    core::{Core, Leadership},
    lane::FetchLane,
    positions::{AssignmentId, Phase},
    reader::{Next, Reader},
    record::{ConsumerRecord, Records, TopicPartition},
    shared::Shared,
    start::StartFrom,
};
use crate::{error::ConnectionError, net::Lane, net::clock};
use broker::{Broker, TOPIC_ID};
use std::{sync::Arc, time::Duration, time::Instant};

/// A consumer of partitions of one topic, all led by broker 1.
struct Consumer {
    shared: Arc<Shared>,
    lane: FetchLane,
    reader: Reader,
    now: Instant,
}

impl Consumer {
    fn new(config: ConsumerConfig) -> Self {
        let config = ConsumerConfig { topics: vec!["t".into()], ..config };
        let shared = Arc::new(Shared::new(Core::new(Arc::new(config))));
        let lane = FetchLane::new(shared.clone(), 1, Duration::from_secs(10));
        let reader = Reader::new(shared.clone());
        Self { shared, lane, reader, now: clock::now() }
    }

    /// Reads partitions from their start.
    fn reading(config: ConsumerConfig, partitions: i32) -> Self {
        let mut consumer = Self::new(config);
        for index in 0..partitions {
            consumer.assign(index, 0);
        }
        consumer
    }

    fn assign(&mut self, index: i32, offset: i64) -> AssignmentId {
        let partition = (name(index), TOPIC_ID, Phase::Lookup(StartFrom::Offset(offset)));
        let ids = self.shared.with(|core| core.assign([partition]));
        self.follow_leaders();
        ids[0]
    }

    fn follow_leaders(&mut self) {
        let leader = Leadership { topic_id: TOPIC_ID, leader: Some(1), leader_epoch: 5 };
        self.shared.with(|core| core.apply_leaders(|_| Some(leader)));
    }

    /// One fetch, answered by the broker. `false`: there was none to send.
    fn fetch(&mut self, broker: &mut Broker) -> bool {
        let Some((request, _)) = self.lane.next_fetch(self.now) else { return false };
        let answer = broker.fetch(&request);
        self.lane.handle_fetch(answer, self.now);
        true
    }

    /// The answer to what is under way will not come.
    fn disconnect(&mut self) {
        self.lane.handle_disconnected(&ConnectionError::Closed, self.now);
    }

    fn record(&mut self) -> Option<ConsumerRecord> {
        match self.reader.next_record(self.now) {
            Next::Item(record) => Some(record),
            Next::Nothing => None,
            Next::Error(error) => panic!("{error}"),
            Next::Closed => panic!("closed"),
        }
    }

    fn batch(&mut self) -> Option<Records> {
        match self.reader.next_batch(self.now) {
            Next::Item(records) => Some(records),
            Next::Nothing => None,
            Next::Error(error) => panic!("{error}"),
            Next::Closed => panic!("closed"),
        }
    }

    /// All that can be read now, as (partition, offset).
    fn drain(&mut self, broker: &mut Broker) -> Vec<(i32, i64)> {
        let mut read = Vec::new();
        for _ in 0..3 {
            self.fetch(broker);
            while let Some(record) = self.record() {
                read.push((record.partition(), record.offset()));
            }
        }
        read
    }
}

fn name(index: i32) -> TopicPartition {
    TopicPartition::new("t", index)
}

fn committed_only() -> ConsumerConfig {
    ConsumerConfig::default()
}

/// The variants of each public enum in a source file, as `Enum::Variant`.
fn variants(source: &str) -> Vec<String> {
    let mut of = None;
    let mut found = Vec::new();
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("pub enum ") {
            of = rest.split(' ').next();
        } else if line == "}" {
            of = None;
        } else if let (Some(of), Some(rest)) = (of, line.strip_prefix("    ")) {
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            if name.starts_with(|first: char| first.is_ascii_uppercase()) {
                found.push(format!("{of}::{name}"));
            }
        }
    }
    found
}

#[test]
fn the_guide_has_every_event_and_error() {
    let guide = include_str!("../guide.md");
    let all = [variants(include_str!("../event.rs")), variants(include_str!("../error.rs"))].concat();
    assert!(all.len() > 25 && all.contains(&"CommitError::Closed".to_owned()), "{all:?}");
    for variant in all {
        let row = format!("| [`{variant}`](super::{variant}) |");
        assert!(guide.contains(&row), "the guide lacks {variant}");
    }
    assert!(guide.contains("[`NotAssigned`]"));
}
