//! The machines and their surroundings, operated by choices.

use super::{
    Settings, Totals,
    broker::{Log, Said, Sent, TOPIC, answer, batches_of},
};
use crate::{
    error::ConnectionError,
    net::{Lane, Request, Versions},
    producer::{
        config::DEPTH_MAX,
        delivery::{BatchState, Outcome},
        door::Door,
        idempotence::{Sequencer, UNRESOLVED_BATCHES_MAX},
        lane::{LaneSettings, Outside, ProduceLane},
        memory::Memory,
        metrics::Counters,
        partition::{Limits, Notice, Refused},
        settle::GiveUp,
        slot::PartitionSlot,
    },
    wire::{
        VersionRange,
        api::produce::{LeaderIdAndEpoch, NodeEndpoint},
        compression::Compression,
        fuzz::Choices,
        record_batch::{ProducerStamp, RecordParts},
    },
};
use bytes::Bytes;
use std::{
    array,
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const PARTITIONS: usize = 3;
const BROKERS: usize = 3;
const FIRST_PRODUCER_ID: i64 = 7;
const MEMORY_BYTES: usize = 20_000;
const MS: Duration = Duration::from_millis(1);
/// Refusals before the log was touched, by codes that say so and by codes that leave it open.
const REFUSALS: [i16; 10] = [19, 19, 10, 87, 3, 6, 7, -1, 56, 89];
/// Said after an append that may or may not stay.
const DOUBTS: [i16; 7] = [7, 20, -1, 6, 3, 56, 74];
/// What it may take until all is resolved once all goes well: rounds of this length, and requests for each batch.
const REST_ROUNDS: u32 = 2_000;
const ROUND: Duration = Duration::from_millis(50);
const REST_REQUESTS_PER_RECORD: u64 = 8;
/// The fate of a request that is handled as it should be.
const WELL: u8 = 0;

struct Broker {
    door: Arc<Door>,
    lane: ProduceLane,
    connected: bool,
    /// In the connection, not processed.
    requests: VecDeque<(u64, Vec<Sent>)>,
    /// Processed, with the partitions that each is about.
    answers: VecDeque<(u64, Vec<usize>, Bytes)>,
}

#[derive(Debug, Default)]
struct Heard(AtomicBool);

impl Outside for Heard {
    fn refresh(&self) {}

    fn leader_hint(&self, _: &str, _: i32, _: LeaderIdAndEpoch, _: &[NodeEndpoint]) {}

    fn need_producer_id(&self, _: i64) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) struct Run<'a> {
    input: Choices<'a>,
    reader: fn(&Request),
    now: Instant,
    memory: Memory,
    slots: Vec<Arc<PartitionSlot>>,
    logs: Vec<Log>,
    brokers: Vec<Broker>,
    heard: Arc<Heard>,
    counters: Arc<Counters>,
    /// Batches of requests whose connection ended before they were processed.
    zombies: VecDeque<(usize, Vec<Sent>)>,
    next_producer_id: i64,
    /// What became of each record, by its id: its partition, its batch and its place there.
    records: Vec<(usize, Arc<BatchState>, u32)>,
    /// The partitions that were told to close.
    closed: BTreeSet<usize>,
    /// The records given up by their deadline, which no lane counts.
    given_up: u64,
    /// The batch that a stamp stands for in a partition.
    stamps: HashMap<(usize, i64, i16, i32), Sent>,
    /// Batches whose stamp had been sent before.
    resends: u64,
    /// Of them, those whose batch was cut.
    cuts: u64,
}

impl<'a> Run<'a> {
    pub(super) fn new(mut input: Choices<'a>, now: Instant, settings: Settings) -> Self {
        let Settings { delivery_timeout, reader } = settings;
        let shape = input.byte();
        let heard = Arc::new(Heard::default());
        let counters = Arc::new(Counters::default());
        let limits = Limits {
            batch_bytes: 1_500,
            max_message_bytes: 10_000,
            delivery_timeout,
            retry_backoff: (100 * MS, 1_000 * MS),
        };
        let topic: Arc<str> = TOPIC.into();
        let slot =
            |partition| Arc::new(PartitionSlot::new(topic.clone(), partition, FIRST_PRODUCER_ID, limits));
        let slots: Vec<_> = (0..3).map(slot).collect();
        if shape & 1 != 0 {
            // Near the end of all numbers.
            slots[0].lock().sequencer = Sequencer::at(FIRST_PRODUCER_ID, i16::MAX - 1, i32::MAX - 5);
            slots[1].lock().sequencer = Sequencer::at(FIRST_PRODUCER_ID, i16::MAX, i32::MAX - 30);
        }
        let settings = LaneSettings {
            compression: Compression::None,
            enough_bytes: 1_000,
            request_bytes: 100_000,
            in_flight_bytes: 100_000,
            gap: 2 * MS,
            depth: 1 + usize::from(shape >> 1) % DEPTH_MAX,
            request_timeout: Duration::from_secs(10),
        };
        let broker = |id| {
            let door = Arc::new(Door::new(id));
            let lane = ProduceLane::new(door.clone(), heard.clone(), counters.clone(), settings.clone());
            Broker { door, lane, connected: false, requests: VecDeque::new(), answers: VecDeque::new() }
        };
        let mut run = Self {
            input,
            reader,
            now,
            memory: Memory::new(MEMORY_BYTES),
            slots,
            logs: (0..PARTITIONS).map(|leader| Log { leader, ..Log::default() }).collect(),
            brokers: (0..3).map(broker).collect(),
            heard,
            counters,
            zombies: VecDeque::new(),
            next_producer_id: FIRST_PRODUCER_ID,
            records: Vec::new(),
            closed: BTreeSet::new(),
            given_up: 0,
            stamps: HashMap::new(),
            resends: 0,
            cuts: 0,
        };
        for p in 0..PARTITIONS {
            run.route(p, false);
            run.connect(p);
        }
        run
    }

    /// Does what the bytes say.
    pub(super) fn operate(&mut self) {
        while let Some(op) = self.input.next() {
            // Which broker or partition an operation is about.
            let about = usize::from(op >> 5) % 3;
            match op % 32 {
                0..=7 => self.append(about),
                8..=14 => {
                    let fate = self.input.byte();
                    let of_partitions = match fate {
                        // Each in its own way.
                        0xd0..0xe0 => array::from_fn(|_| self.input.byte()),
                        fate => [fate; PARTITIONS],
                    };
                    self.process(about, fate, of_partitions);
                }
                15..=18 => self.deliver(about),
                19 | 20 => self.now += MS * u32::from(self.input.byte()),
                21 => {
                    let zombies = self.input.byte();
                    self.disconnect(about, zombies);
                }
                22 => {
                    let choice = self.input.byte();
                    let log = &mut self.logs[about];
                    log.move_leader((log.leader + 1 + usize::from(choice & 1)) % BROKERS, choice & 2 != 0);
                }
                23 | 24 => {
                    let is_leaderless = self.input.byte() < 32;
                    self.route(about, is_leaderless);
                }
                25 => self.process_zombie(),
                26 => {
                    self.now += Duration::from_secs(1) * u32::from(self.input.byte() / 2);
                    self.give_up(about, &GiveUp::Overdue(self.now));
                }
                27 => self.offer_producer_id(),
                28..=30 => self.connect(about),
                _ => {
                    if self.input.byte() == 0xff {
                        self.slots[about].lock().close();
                        self.closed.insert(about);
                        self.give_up(about, &GiveUp::Closed);
                    }
                }
            }
            self.drive();
        }
    }

    /// From here on all goes well.
    pub(super) fn come_to_rest(&mut self) {
        let requests_before = self.counters.snapshot().requests;
        for _ in 0..REST_ROUNDS {
            if self.records.iter().all(|(_, batch, index)| batch.outcome_of(*index).is_some())
                && self.in_flight() == 0
            {
                break;
            }
            for p in 0..PARTITIONS {
                self.route(p, false);
            }
            for b in 0..BROKERS {
                self.connect(b);
                self.drive();
                self.process(b, WELL, [WELL; PARTITIONS]);
                self.deliver(b);
            }
            self.process_zombie();
            self.offer_producer_id();
            self.now += ROUND;
            self.drive();
        }
        let requests = self.counters.snapshot().requests - requests_before;
        let records = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        assert!(requests <= REST_REQUESTS_PER_RECORD * (records + 4), "{requests} requests for {records}");
        while !self.zombies.is_empty() {
            self.process_zombie();
        }
    }

    fn append(&mut self, p: usize) {
        let bytes = 8 + 4 * usize::from(self.input.byte());
        let id = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        let mut value = id.to_be_bytes().to_vec();
        value.resize(bytes, 0);
        let parts = RecordParts { key: None, value: Some(&value), headers: &[], timestamp_ms: 1 };
        let now = self.now;
        match self.slots[p].append(&parts, &self.memory, &mut None, || now) {
            Ok(appended) => {
                self.records.push((p, appended.state, appended.index));
                match appended.notice {
                    Notice::Listed(lane) => lane.list(self.slots[p].clone()),
                    Notice::Filled(lane) => lane.filled(),
                    Notice::Nothing => {}
                }
            }
            Err(refused) => {
                let is_closed = self.closed.contains(&p);
                assert_eq!(matches!(refused, Refused::Closed), is_closed, "{refused:?}");
                assert!(!matches!(refused, Refused::TooLarge(_)), "{refused:?}");
            }
        }
    }

    /// What the connections' tasks do.
    fn drive(&mut self) {
        for b in 0..BROKERS {
            let broker = &mut self.brokers[b];
            if broker.lane.poll_timeout().is_some_and(|at| at <= self.now) {
                broker.lane.handle_timeout(self.now);
            }
            while self.brokers[b].connected
                && let Some(request) = self.brokers[b].lane.poll_request(self.now)
            {
                (self.reader)(&request);
                let batches = batches_of(&request);
                assert!(batches.is_some(), "a broker can read the request");
                let batches = batches.unwrap_or_default();
                let partitions: BTreeSet<_> = batches.iter().map(|sent| sent.partition).collect();
                assert_eq!(partitions.len(), batches.len(), "a partition appears once");
                for sent in &batches {
                    self.check_stamp(sent);
                }
                let broker = &mut self.brokers[b];
                broker.requests.push_back((request.token, batches));
                assert!(broker.requests.len() + broker.answers.len() <= DEPTH_MAX);
                for p in partitions {
                    let under_way = self.under_way(p);
                    assert!(under_way <= UNRESOLVED_BATCHES_MAX, "{under_way} batches under way");
                }
            }
        }
    }

    /// The batches of a partition that are in connections.
    fn under_way(&self, p: usize) -> usize {
        let requests = self.brokers.iter().flat_map(|broker| &broker.requests);
        let answers = self.brokers.iter().flat_map(|broker| &broker.answers);
        requests.flat_map(|(_, batches)| batches).filter(|sent| sent.partition == p).count()
            + answers.flat_map(|(_, partitions, _)| partitions).filter(|about| **about == p).count()
    }

    /// A stamp names the same bytes for ever, unless what had it surely was not written.
    fn check_stamp(&mut self, sent: &Sent) {
        let ProducerStamp { producer_id, producer_epoch, base_sequence } = sent.stamp;
        let key = (sent.partition, producer_id, producer_epoch, base_sequence);
        let Some(first) = self.stamps.insert(key, sent.clone()) else { return };
        self.resends += 1;
        if first.bytes != sent.bytes {
            let is_not_sent =
                first.ids.iter().all(|id| matches!(self.outcome(*id), Some(Outcome::NotSent(_))));
            let is_part = sent.ids.iter().all(|id| first.ids.contains(id));
            self.cuts += u64::from(is_part);
            let is_free = !self.may_be_written(&first) && (is_not_sent || is_part);
            assert!(is_free, "{:?} was {:?} and is {:?}", sent.stamp, first.ids, sent.ids);
        }
    }

    /// Whether a batch is in the log, or may come there.
    fn may_be_written(&self, batch: &Sent) -> bool {
        let is_it = |sent: &Sent| sent.partition == batch.partition && sent.bytes == batch.bytes;
        self.logs[batch.partition].holds(batch)
            || self.zombies.iter().any(|(_, batches)| batches.iter().any(is_it))
            || self.brokers.iter().flat_map(|broker| &broker.requests).any(|(_, sent)| sent.iter().any(is_it))
    }

    /// A broker handles its next request. `fate` says what becomes of the whole.
    fn process(&mut self, b: usize, fate: u8, of_partitions: [u8; PARTITIONS]) {
        let Some((token, batches)) = self.brokers[b].requests.pop_front() else { return };
        if fate >= 0xf0 {
            // The broker hangs, and the client gives the connection up.
            self.zombies.push_back((b, batches));
            self.disconnect(b, 0xff);
            return;
        }
        let said: Vec<_> =
            batches.iter().filter_map(|sent| self.handle(b, sent, of_partitions[sent.partition])).collect();
        let throttle_ms = if fate == 0xef { 30 } else { 0 };
        let about = batches.iter().map(|sent| sent.partition).collect();
        self.brokers[b].answers.push_back((token, about, answer(&said, throttle_ms)));
    }

    /// What a broker does with a batch, and says; nothing, if the answer leaves it out.
    fn handle(&mut self, b: usize, sent: &Sent, fate: u8) -> Option<Said> {
        let partition = u8::try_from(sent.partition).unwrap_or(u8::MAX);
        let said = |code| Some(Said { partition, code, base_offset: -1, record_error: None });
        let log = &mut self.logs[sent.partition];
        if log.leader != b {
            return said(6);
        }
        if let 0x80..0xa0 = fate {
            let code = REFUSALS[usize::from(fate) % REFUSALS.len()];
            // INVALID_RECORD names the first record, or the second, which may not be there, or none.
            let record_error = (code == 87).then(|| fate / 10 - 13).filter(|index| *index < 2);
            return Some(Said { partition, code, base_offset: -1, record_error });
        }
        match (log.append(sent.stamp, &sent.ids), fate) {
            (Err(code), _) => said(code),
            (Ok(_), 0xa0..0xc0) => said(DOUBTS[usize::from(fate) % DOUBTS.len()]),
            (Ok(_), 0xc0..0xc8) => None,
            (Ok(at), fate) => {
                log.commit(at);
                match fate {
                    // It has the batch already and does not know where.
                    0xc8..0xcc => said(46),
                    _ => {
                        let base_offset = log.base_offset(at);
                        Some(Said { partition, code: 0, base_offset, record_error: None })
                    }
                }
            }
        }
    }

    fn process_zombie(&mut self) {
        if let Some((b, batches)) = self.zombies.pop_front() {
            for sent in &batches {
                self.handle(b, sent, WELL);
            }
        }
    }

    fn deliver(&mut self, b: usize) {
        let broker = &mut self.brokers[b];
        if let Some((token, _, frame)) = broker.answers.pop_front() {
            let taken = broker.lane.handle_response(token, frame, self.now);
            assert!(taken.is_ok(), "{taken:?}");
        }
    }

    fn connect(&mut self, b: usize) {
        let broker = &mut self.brokers[b];
        if !broker.connected && broker.lane.wants_connection() {
            broker.connected = true;
            broker.lane.handle_connected(&Versions::new([(0, VersionRange::new(3, 11))]), self.now);
        }
    }

    /// The bits say which of the requests in the connection are processed all the same.
    fn disconnect(&mut self, b: usize, zombies: u8) {
        let broker = &mut self.brokers[b];
        if !broker.connected {
            return;
        }
        for (at, (_, batches)) in broker.requests.drain(..).enumerate() {
            if zombies & (1 << (at % 8)) != 0 {
                self.zombies.push_back((b, batches));
            }
        }
        broker.answers.clear();
        broker.connected = false;
        broker.lane.handle_disconnected(&ConnectionError::Closed, self.now);
    }

    fn route(&mut self, p: usize, is_leaderless: bool) {
        let log = &self.logs[p];
        let lane = (!is_leaderless).then(|| self.brokers[log.leader].door.clone());
        let list_with = self.slots[p].lock().route(lane.as_ref(), log.leader_epoch);
        if let Some(lane) = list_with {
            lane.list(self.slots[p].clone());
        }
    }

    fn give_up(&mut self, p: usize, which: &GiveUp) {
        let (completions, lane) = {
            let mut queue = self.slots[p].lock();
            (queue.give_up(which), queue.list())
        };
        for completion in completions {
            assert!(completion.state.outcome().is_none(), "an outcome is told once");
            self.given_up += u64::from(completion.record_count);
            completion.tell(&Counters::default());
        }
        if let Some(lane) = lane {
            lane.list(self.slots[p].clone());
        }
    }

    fn offer_producer_id(&mut self) {
        if !self.heard.0.swap(false, Ordering::Relaxed) {
            return;
        }
        self.next_producer_id += 1;
        for slot in &self.slots {
            let list_with = slot.lock().offer_producer_id(self.next_producer_id);
            if let Some(lane) = list_with {
                lane.list(slot.clone());
            }
        }
    }

    /// Compares the log with what was said of it.
    pub(super) fn check(&self) -> Totals {
        for (p, log) in self.logs.iter().enumerate() {
            let mut ids = log.ids();
            let distinct: BTreeSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "partition {p} has a duplicate: {ids:?}");
            if self.slots[p].lock().sequencer.producer_id() != FIRST_PRODUCER_ID {
                // Another producer id, unlike another epoch, does not fence what is on its way under the old one: such a
                // record, whose outcome is unknown, may still come, after others.
                ids.retain(|id| !matches!(self.outcome(*id), Some(Outcome::Unknown(_))));
            }
            assert!(ids.is_sorted(), "partition {p} is out of order: {ids:?}");
        }
        let mut totals = Totals {
            bumps: self.logs.iter().map(|log| log.bumps).sum(),
            duplicates: self.logs.iter().map(|log| log.duplicates).sum(),
            resends: self.resends,
            cuts: self.cuts,
            ..Totals::default()
        };
        let found: Vec<Vec<u64>> = self.logs.iter().map(Log::ids).collect();
        for (id, (p, batch, index)) in (0_u64..).zip(&self.records) {
            let outcome = batch.outcome_of(*index);
            assert!(outcome.is_some(), "record {id} has no outcome: {:?}", self.slots[*p]);
            let found = found[*p].iter().position(|logged| *logged == id);
            let index = outcome.map_or(0, |(_, index)| index);
            match outcome.map(|(outcome, _)| outcome) {
                Some(Outcome::Acked { base_offset, .. }) => {
                    totals.acked += 1;
                    assert!(found.is_some(), "acked record {id} is lost");
                    if let Some(base) = base_offset {
                        let expected = usize::try_from(base + i64::from(index)).ok();
                        assert_eq!(found, expected, "record {id} is where it was said to be");
                    }
                }
                Some(Outcome::NotSent(_)) => {
                    totals.not_sent += 1;
                    assert_eq!(found, None, "record {id} was called not sent");
                }
                Some(Outcome::Unknown(_)) => totals.unknown += 1,
                None => {}
            }
        }
        let counted = self.counters.snapshot();
        let told = counted.records_acked + counted.records_not_sent + counted.records_unknown + self.given_up;
        assert_eq!(usize::try_from(told), Ok(self.records.len()), "each record has one outcome");
        assert_eq!(self.memory.used(), 0, "memory comes back");
        assert_eq!(usize::try_from(counted.requests_in_flight), Ok(self.in_flight()));
        totals
    }

    fn outcome(&self, id: u64) -> Option<&Outcome> {
        let (_, batch, index) = self.records.get(usize::try_from(id).ok()?)?;
        batch.outcome_of(*index).map(|(outcome, _)| outcome)
    }

    fn in_flight(&self) -> usize {
        self.brokers.iter().map(|broker| broker.requests.len() + broker.answers.len()).sum()
    }
}
