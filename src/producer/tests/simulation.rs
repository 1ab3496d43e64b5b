//! Partitions and lanes against brokers that append, lose, refuse and answer at random, in virtual time.
//!
//! The brokers keep producer state as Kafka 4.1 does: any first sequence where there is no state, the last five batches
//! for finding duplicates, epochs that fence. Leaders move and lose what was not committed; connections end, and what was
//! in them may still be processed later. After each run the log is compared with what the producer said of it.

use super::*;
use crate::{
    backoff::SplitMix,
    error::ConnectionError,
    net::Lane,
    producer::{
        config::DEPTH_MAX,
        delivery::{BatchState, Outcome},
        idempotence::{Sequencer, sequence_after},
        lane::ProduceLane,
        metrics::Counters,
        settle::GiveUp,
    },
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[test]
fn nothing_acked_is_lost_doubled_or_out_of_order() {
    let runs = std::env::var("CRAFTWIRE_SEEDS").ok().map_or(RUNS, |seeds| seeds.parse().unwrap());
    let mut totals = Totals::default();
    for seed in 0..runs {
        World::new(seed).run(&mut totals);
    }
    // The runs are worth something only if they get everywhere.
    println!("{totals:?}");
    assert!(totals.acked > 10 * runs && totals.not_sent > runs && totals.unknown > runs, "{totals:?}");
    assert!(totals.bumps > runs / 4 && totals.duplicates > runs && totals.resends > runs, "{totals:?}");
}

const RUNS: u64 = 400;
const PARTITIONS: usize = 3;
const BROKERS: usize = 3;
const STEPS: u32 = 600;

#[derive(Debug, Default)]
struct Totals {
    acked: u64,
    not_sent: u64,
    unknown: u64,
    bumps: u64,
    duplicates: u64,
    resends: u64,
}

/// One batch in a log.
#[derive(Debug, Clone)]
struct Logged {
    stamp: (i64, i16, i32),
    ids: Vec<u64>,
    committed: bool,
}

/// A partition as its brokers have it.
#[derive(Debug, Default)]
struct Log {
    batches: Vec<Logged>,
    leader: usize,
    leader_epoch: i32,
}

impl Log {
    fn base_offset(&self, at: usize) -> i64 {
        self.batches[..at].iter().map(|batch| i64::try_from(batch.ids.len()).unwrap()).sum()
    }

    fn ids(&self) -> Vec<u64> {
        self.batches.iter().flat_map(|batch| batch.ids.iter().copied()).collect()
    }

    /// Kafka's `ProducerStateManager` and `ProducerAppendInfo`: the index of the batch in the log, or the code.
    fn append(&mut self, stamp: (i64, i16, i32), ids: &[u64], totals: &mut Totals) -> Result<usize, i16> {
        let (producer_id, epoch, sequence) = stamp;
        let mine = || self.batches.iter().enumerate().filter(|(_, batch)| batch.stamp.0 == producer_id);
        let last = mine().next_back();
        if let Some((_, last)) = last {
            if epoch < last.stamp.1 {
                return Err(47);
            }
            if epoch > last.stamp.1 {
                totals.bumps += 1;
                if sequence != 0 {
                    return Err(45);
                }
            } else {
                let known = mine().rev().take(5).find(|(_, b)| b.stamp == stamp && b.ids.len() == ids.len());
                if let Some((at, known)) = known {
                    assert_eq!(known.ids, ids, "the broker takes another batch for a duplicate");
                    totals.duplicates += 1;
                    return Ok(at);
                }
                if sequence != sequence_after(last.stamp.2, u32::try_from(last.ids.len()).unwrap()) {
                    return Err(45);
                }
            }
        }
        self.batches.push(Logged { stamp, ids: ids.to_vec(), committed: false });
        Ok(self.batches.len() - 1)
    }

    fn commit(&mut self, up_to: usize) {
        for batch in &mut self.batches[..=up_to] {
            batch.committed = true;
        }
    }
}

/// A request in a connection.
type Sent = (u64, Vec<(i32, Bytes)>);

struct Broker {
    door: Arc<Door>,
    lane: ProduceLane,
    connected: bool,
    requests: VecDeque<Sent>,
    answers: VecDeque<(u64, Bytes)>,
}

struct World {
    seed: u64,
    random: SplitMix,
    now: Instant,
    memory: Memory,
    slots: Vec<Arc<PartitionSlot>>,
    logs: Vec<Log>,
    brokers: Vec<Broker>,
    heard: Arc<Heard>,
    counters: Arc<Counters>,
    /// Requests whose connection ended before they were processed.
    zombies: VecDeque<(usize, Sent)>,
    next_id: u64,
    next_producer_id: i64,
    /// What became of each record: its partition, its batch and its place there.
    records: Vec<(usize, Arc<BatchState>, u32)>,
    /// The bytes first sent under a stamp.
    first_bytes: BTreeMap<(usize, i64, i16, i32), Bytes>,
    faults: bool,
    /// Of a hundred batches, so many meet trouble at the broker, before and after the append each.
    trouble: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = start();
        let heard = Arc::new(Heard::default());
        let counters = Arc::new(Counters::default());
        let mut random = SplitMix(seed.wrapping_mul(0x1234_5678_9abc_def1) ^ 0x5555);
        let delivery_timeout = [200, 500, 1_000, 5_000][index(&mut random, 4)] * MS;
        let limits = Limits { delivery_timeout, ..limits(1_024) };
        let slots: Vec<_> = (0..PARTITIONS).map(|p| slot(i32::try_from(p).unwrap(), limits)).collect();
        if seed.is_multiple_of(3) {
            // Near the end of all numbers.
            slots[0].lock().sequencer = Sequencer::at(7, i16::MAX - 1, i32::MAX - 5);
            slots[1].lock().sequencer = Sequencer::at(7, i16::MAX, i32::MAX - 30);
        }
        let logs =
            (0..PARTITIONS).map(|_| Log { leader: index(&mut random, BROKERS), ..Log::default() }).collect();
        let settings = LaneSettings { depth: 1 + index(&mut random, DEPTH_MAX), ..settings() };
        let brokers = (0..BROKERS)
            .map(|id| {
                let door = door(i32::try_from(id).unwrap());
                let lane = ProduceLane::new(door.clone(), heard.clone(), counters.clone(), settings.clone());
                Broker { door, lane, connected: false, requests: VecDeque::new(), answers: VecDeque::new() }
            })
            .collect();
        Self {
            seed,
            random,
            now,
            memory: Memory::new(20_000),
            slots,
            logs,
            brokers,
            heard,
            counters,
            zombies: VecDeque::new(),
            next_id: 0,
            next_producer_id: 8,
            records: Vec::new(),
            first_bytes: BTreeMap::new(),
            faults: true,
            trouble: [2, 10, 25][usize::try_from(seed % 7).unwrap() % 3],
        }
    }

    fn run(mut self, totals: &mut Totals) {
        for p in 0..PARTITIONS {
            self.route(p);
        }
        for _ in 0..STEPS {
            self.step(totals);
        }
        self.faults = false;
        for _ in 0..20_000 {
            if self.records.iter().all(|(_, batch, _)| batch.outcome().is_some()) {
                break;
            }
            self.step(totals);
        }
        self.check(totals);
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.next() % 100 < percent
    }

    fn step(&mut self, totals: &mut Totals) {
        let broker = index(&mut self.random, BROKERS);
        let partition = index(&mut self.random, PARTITIONS);
        match self.random.next() % 100 {
            0..25 if self.faults => self.append(partition),
            0..60 => self.process(broker, totals),
            60..75 => self.deliver(broker),
            75..85 => self.now += MS * u32::try_from(self.random.next() % 60).unwrap(),
            85..88 if self.faults => self.disconnect(broker),
            88..90 if self.faults => self.move_leader(partition),
            90..95 => self.route(partition),
            95..97 => self.process_zombie(totals),
            97 if self.faults => self.overdue(partition),
            98 => self.new_producer_id(),
            _ => self.connect(broker),
        }
        self.drive();
    }

    fn append(&mut self, p: usize) {
        let bytes = 10 + index(&mut self.random, 700);
        match append(&self.slots[p], &self.memory, self.next_id, bytes, self.now) {
            Ok(appended) => {
                self.records.push((p, appended.state, appended.index));
                self.next_id += 1;
                match appended.notice {
                    crate::producer::partition::Notice::Listed(lane) => lane.list(self.slots[p].clone()),
                    crate::producer::partition::Notice::Filled(lane) => lane.filled(),
                    crate::producer::partition::Notice::Nothing => {}
                }
            }
            Err(Refused::NeedMemory(_)) => {}
            Err(refused) => panic!("{refused:?}"),
        }
    }

    /// What the connections' tasks do.
    fn drive(&mut self) {
        for broker in &mut self.brokers {
            if broker.lane.poll_timeout().is_some_and(|at| at <= self.now) {
                broker.lane.handle_timeout(self.now);
            }
            while broker.connected
                && let Some(request) = broker.lane.poll_request(self.now)
            {
                let batches = batches_of(&request);
                let mut partitions: Vec<_> = batches.iter().map(|(_, partition, _)| *partition).collect();
                partitions.dedup();
                assert_eq!(partitions.len(), batches.len(), "a partition appears once");
                broker
                    .requests
                    .push_back((request.token, batches.into_iter().map(|(_, p, b)| (p, b)).collect()));
                assert!(broker.requests.len() + broker.answers.len() <= DEPTH_MAX);
            }
        }
    }

    fn process(&mut self, b: usize, totals: &mut Totals) {
        let Some((token, batches)) = self.brokers[b].requests.pop_front() else { return };
        if self.faults && self.chance(3) {
            // The broker hangs, and the client gives the connection up.
            self.zombies.push_back((b, (token, batches)));
            self.disconnect(b);
            return;
        }
        let said: Vec<_> =
            batches.iter().filter_map(|(p, batch)| self.handle(b, *p, batch, totals)).collect();
        let answer = response(&said, 0);
        self.brokers[b].answers.push_back((token, answer));
    }

    fn process_zombie(&mut self, totals: &mut Totals) {
        if let Some((b, (_, batches))) = self.zombies.pop_front() {
            for (p, batch) in &batches {
                self.handle(b, *p, batch, totals);
            }
        }
    }

    /// What a broker does with a batch, and says.
    fn handle(&mut self, b: usize, partition: i32, batch: &Bytes, totals: &mut Totals) -> Option<Said> {
        let p = usize::try_from(partition).unwrap();
        let (stamp, ids) = (stamp(batch), ids(batch));
        self.check_bytes(p, stamp, &ids, batch, totals);
        let said = |code| Some(Said { partition, code, base_offset: -1 });
        if self.logs[p].leader != b {
            return said(6);
        }
        if self.faults && self.chance(self.trouble) {
            // Nothing is written; some of these codes say so, the others leave it open.
            let code = [19, 19, 10, 87, 3, 6, 7, -1, 56][index(&mut self.random, 9)];
            return said(code);
        }
        match self.logs[p].append(stamp, &ids, totals) {
            Err(code) => said(code),
            Ok(at) if self.faults && self.chance(self.trouble) => {
                // It is written, and may or may not stay.
                let _ = at;
                match [7, 20, -1, 6, 3, 56, 1_000][index(&mut self.random, 7)] {
                    1_000 => None,
                    code => said(code),
                }
            }
            Ok(at) => {
                self.logs[p].commit(at);
                Some(Said { partition, code: 0, base_offset: self.logs[p].base_offset(at) })
            }
        }
    }

    /// A stamp names the same bytes for ever, unless what had it surely was not written.
    fn check_bytes(
        &mut self,
        p: usize,
        stamp: (i64, i16, i32),
        ids: &[u64],
        batch: &Bytes,
        totals: &mut Totals,
    ) {
        let key = (p, stamp.0, stamp.1, stamp.2);
        if let Some(first) = self.first_bytes.get(&key) {
            totals.resends += 1;
            if first != batch {
                let before = super::ids(first);
                let (_, state, _) = &self.records[usize::try_from(before[0]).unwrap()];
                assert!(
                    matches!(state.outcome(), Some(Outcome::NotSent(_))),
                    "seed {}: {stamp:?} was {before:?} and is {ids:?}",
                    self.seed
                );
            }
        }
        self.first_bytes.insert(key, batch.clone());
    }

    fn deliver(&mut self, b: usize) {
        let broker = &mut self.brokers[b];
        if let Some((token, frame)) = broker.answers.pop_front() {
            broker.lane.handle_response(token, frame, self.now).unwrap();
        }
    }

    fn connect(&mut self, b: usize) {
        let broker = &mut self.brokers[b];
        if !broker.connected && broker.lane.wants_connection() {
            broker.connected = true;
            broker.lane.handle_connected(&versions(), self.now);
        }
    }

    fn disconnect(&mut self, b: usize) {
        if !self.brokers[b].connected {
            return;
        }
        let requests = std::mem::take(&mut self.brokers[b].requests);
        for request in requests {
            if self.chance(50) {
                self.zombies.push_back((b, request));
            }
        }
        let broker = &mut self.brokers[b];
        broker.answers.clear();
        broker.connected = false;
        broker.lane.handle_disconnected(&ConnectionError::Closed, self.now);
    }

    /// Another broker leads; what was not committed may be lost.
    fn move_leader(&mut self, p: usize) {
        let loses = self.chance(50);
        let log = &mut self.logs[p];
        log.leader = (log.leader + 1 + index(&mut self.random, BROKERS - 1)) % BROKERS;
        log.leader_epoch += 1;
        let committed = log.batches.iter().take_while(|batch| batch.committed).count();
        if loses {
            log.batches.truncate(committed);
        } else if committed < log.batches.len() {
            let last = log.batches.len() - 1;
            log.commit(last);
        }
    }

    fn route(&mut self, p: usize) {
        let leaderless = self.faults && self.chance(20);
        let log = &self.logs[p];
        let lane = (!leaderless).then(|| self.brokers[log.leader].door.clone());
        let list_with = self.slots[p].lock().route(lane.as_ref(), log.leader_epoch);
        if let Some(lane) = list_with {
            lane.list(self.slots[p].clone());
        }
    }

    fn overdue(&mut self, p: usize) {
        let (completions, lane) = {
            let mut queue = self.slots[p].lock();
            (queue.give_up(GiveUp::Overdue(self.now)), queue.list())
        };
        for completion in completions {
            completion.tell();
        }
        if let Some(lane) = lane {
            lane.list(self.slots[p].clone());
        }
    }

    fn new_producer_id(&mut self) {
        let spent = std::mem::take(&mut *self.heard.spent.lock().unwrap());
        if spent.is_empty() {
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

    fn check(&self, totals: &mut Totals) {
        let seed = self.seed;
        for (p, log) in self.logs.iter().enumerate() {
            let mut ids = log.ids();
            let distinct: BTreeSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "seed {seed}: partition {p} has a duplicate: {ids:?}");
            if self.slots[p].lock().sequencer.producer_id() != 7 {
                // Another producer id, unlike another epoch, does not fence what is on its way under the old one: such a
                // record, whose outcome is unknown, may still come, after others.
                ids.retain(|id| !matches!(self.outcome(*id), Some(Outcome::Unknown(_))));
            }
            assert!(ids.is_sorted(), "seed {seed}: partition {p} is out of order: {ids:?}");
        }
        for (id, (p, batch, index)) in (0_u64..).zip(&self.records) {
            let log = &self.logs[*p];
            let found = log.ids().iter().position(|logged| *logged == id);
            match batch.outcome() {
                None => {
                    panic!("seed {seed}: record {id} of partition {p} has no outcome: {:?}", self.slots[*p])
                }
                Some(Outcome::Acked { base_offset, .. }) => {
                    totals.acked += 1;
                    let found = found.unwrap_or_else(|| panic!("seed {seed}: acked record {id} is lost"));
                    if let Some(base) = base_offset {
                        assert_eq!(
                            base + i64::from(*index),
                            i64::try_from(found).unwrap(),
                            "seed {seed}: {id}"
                        );
                    }
                }
                Some(Outcome::NotSent(_)) => {
                    totals.not_sent += 1;
                    assert_eq!(found, None, "seed {seed}: record {id} was called not sent");
                }
                Some(Outcome::Unknown(_)) => totals.unknown += 1,
            }
        }
        assert_eq!(self.memory.used(), 0, "seed {seed}: memory comes back");
        assert_eq!(self.counters.snapshot(0).requests_in_flight, self.in_flight(), "seed {seed}");
    }

    fn outcome(&self, id: u64) -> Option<&Outcome> {
        self.records[usize::try_from(id).unwrap()].1.outcome()
    }

    fn in_flight(&self) -> u64 {
        self.brokers
            .iter()
            .map(|broker| u64::try_from(broker.requests.len() + broker.answers.len()).unwrap())
            .sum()
    }
}

fn index(random: &mut SplitMix, below: usize) -> usize {
    usize::try_from(random.next() % u64::try_from(below).unwrap()).unwrap()
}
