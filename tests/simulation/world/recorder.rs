//! What is seen of a run: what readers and producers tell, what the logs and the group's offsets hold, and the report of it.

use super::{GROUP, PANICS, World};
use crate::{
    checker::{Kind, Violation, judge},
    history::{Commit, Event, History, Id, Line, Logged, Outcome, Place, Send, Sight, read_value},
    schedule::{Fault, TOPICS},
    trace::{Sent, Write},
};
use craftwire::mock::{MockCluster, StoredBatch};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::{MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) violations: Vec<Violation>,
    pub(crate) hash: u64,
    pub(crate) history: History,
    pub(crate) figures: Figures,
    /// The last requests before the end, or before what went wrong.
    pub(crate) last: Vec<Sent>,
    pub(crate) writes: Vec<Write>,
}

/// Counts of a run, and their sums over many.
#[derive(Debug, Default, Clone)]
pub(crate) struct Figures {
    pub(crate) faults: u64,
    pub(crate) frames: u64,
    pub(crate) connects: u64,
    pub(crate) acked: u64,
    pub(crate) not_sent: u64,
    pub(crate) unknown: u64,
    pub(crate) reads: u64,
    pub(crate) assignments: u64,
    pub(crate) virtual_ms: u64,
    /// Names that did not lead to their broker at once.
    pub(crate) resolved_badly: u64,
    /// Answers that told a leader that does not lead.
    pub(crate) forged_leaders: u64,
    pub(crate) busiest_requests: u64,
    pub(crate) busiest_connects: u64,
    /// How often each kind of fault was injected.
    pub(crate) injected: BTreeMap<String, u64>,
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.frames += other.frames;
        self.connects += other.connects;
        self.acked += other.acked;
        self.not_sent += other.not_sent;
        self.unknown += other.unknown;
        self.reads += other.reads;
        self.assignments += other.assignments;
        self.virtual_ms += other.virtual_ms;
        self.forged_leaders += other.forged_leaders;
        self.resolved_badly += other.resolved_badly;
        self.busiest_requests = self.busiest_requests.max(other.busiest_requests);
        self.busiest_connects = self.busiest_connects.max(other.busiest_connects);
        for (kind, count) in &other.injected {
            *self.injected.entry(kind.clone()).or_default() += count;
        }
    }
}

/// What has been seen so far.
#[derive(Default)]
pub(super) struct Recorder {
    history: History,
    pub(super) violations: Vec<Violation>,
    committed: BTreeMap<Place, i64>,
    /// How far each reader has come.
    read_to: BTreeMap<(usize, Place), i64>,
    aborted: BTreeSet<Id>,
    /// Records that were in the log and are no more.
    removed: BTreeMap<Place, Vec<Logged>>,
    figures: Figures,
}

impl World {
    /// A new reader; its number.
    pub(crate) fn add_reader(&self, is_member: bool) -> usize {
        let mut recorder = self.recorder();
        recorder.history.readers.push(is_member);
        recorder.history.readers.len() - 1
    }

    pub(crate) fn record(&self, reader: usize, event: Event) {
        let at_ms = self.0.net.now_ms();
        let mut recorder = self.recorder();
        match &event {
            Event::Read { place, offset, .. } => {
                recorder.figures.reads += 1;
                recorder.read_to.insert((reader, *place), offset + 1);
            }
            Event::Assigned(_) => recorder.figures.assignments += 1,
            _ => {}
        }
        recorder.history.lines.push((at_ms, Line::Reader(reader, event)));
    }

    pub(crate) fn expelled(&self) {
        let at_ms = self.0.net.now_ms();
        self.recorder().history.lines.push((at_ms, Line::Expelled));
    }

    /// A record was taken; its number in the list.
    pub(crate) fn took(&self, id: Id, place: Place) -> usize {
        let mut recorder = self.recorder();
        recorder.history.sends.push(Send { id, place, outcome: Outcome::Open });
        recorder.history.sends.len() - 1
    }

    pub(crate) fn settled(&self, send: usize, outcome: Outcome) {
        let mut recorder = self.recorder();
        match outcome {
            Outcome::Open => {}
            Outcome::Acked { .. } => recorder.figures.acked += 1,
            Outcome::NotSent(_) => recorder.figures.not_sent += 1,
            Outcome::Unknown(_) => recorder.figures.unknown += 1,
        }
        recorder.history.sends[send].outcome = outcome;
    }

    pub(crate) fn injected(&self, fault: &Fault) {
        let kind = format!("{:?}", fault.what).split(' ').next().unwrap_or_default().to_owned();
        let mut recorder = self.recorder();
        recorder.figures.faults += 1;
        *recorder.figures.injected.entry(kind).or_default() += 1;
    }

    /// Transactions that were taken back.
    pub(crate) fn aborted(&self, ids: Vec<Id>) {
        self.recorder().aborted.extend(ids);
    }

    /// Has records of a partition removed, and keeps in mind which.
    pub(crate) fn remove_records(&self, place: Place, remove: impl FnOnce(&MockCluster, &str)) {
        let (mock, topic) = (&self.0.mock, TOPICS[place.0].0);
        let before = self.log_of(place);
        let start = mock.offsets(topic, place.1).map(|(start, _)| start);
        remove(mock, topic);
        let stays: BTreeSet<i64> = self.log_of(place).iter().map(|record| record.offset).collect();
        let gone = before.into_iter().filter(|record| !stays.contains(&record.offset));
        let mut recorder = self.recorder();
        recorder.removed.entry(place).or_default().extend(gone);
        if let Some((now, _)) = mock.offsets(topic, place.1).filter(|(now, _)| Some(*now) != start) {
            recorder.history.trimmed.insert(place, now);
        }
    }

    /// What is in a partition.
    fn log_of(&self, place: Place) -> Vec<Logged> {
        let (mock, topic) = (&self.0.mock, TOPICS[place.0].0);
        let batches = mock.batches(topic, place.1);
        let is_marker = |offset: i64| {
            let inside = |batch: &StoredBatch| (batch.base_offset..=batch.last_offset).contains(&offset);
            batches.iter().any(|batch| batch.is_control && inside(batch))
        };
        // A log may start within a batch.
        let start = mock.offsets(topic, place.1).map_or(0, |(start, _)| start);
        let is_there = |offset: i64| offset >= start && !is_marker(offset);
        let records = mock.records(topic, place.1).into_iter().filter(|record| is_there(record.offset));
        let aborted = self.recorder().aborted.clone();
        let logged = records.map(|record| {
            let read = record.value.as_deref().and_then(read_value);
            let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()?.parse().ok());
            let is_aborted = read.is_some_and(|(id, _)| aborted.contains(&id));
            Logged {
                offset: record.offset,
                id: read.map(|(id, _)| id),
                key: key.unwrap_or(u64::MAX),
                tag: read.map_or(place, |(_, tag)| tag),
                producer_id: record.producer_id,
                sight: if is_aborted { Sight::MustNot } else { Sight::Must },
            }
        });
        logged.collect()
    }

    /// All partitions that there are.
    pub(crate) fn places(&self) -> Vec<Place> {
        let partitions = |(index, (topic, _)): (usize, (&str, i32))| {
            let count = (0..).take_while(|partition| self.0.mock.offsets(topic, *partition).is_some());
            count.map(move |partition| (index, partition)).collect::<Vec<_>>()
        };
        TOPICS.into_iter().enumerate().flat_map(partitions).collect()
    }

    pub(super) fn is_all_read(&self) -> bool {
        self.unread().is_empty()
    }

    /// What is not read by the reader alone, or not committed by the group.
    pub(super) fn unread(&self) -> String {
        let mut unread = String::new();
        let ends = self.places().into_iter().map(|place| {
            let is_seen = |record: &&Logged| record.sight == Sight::Must;
            (place, self.log_of(place).iter().rfind(is_seen).map_or(0, |record| record.offset + 1))
        });
        let ends: Vec<(Place, i64)> = ends.collect();
        let recorder = self.recorder();
        for (place, end) in ends {
            let topic = TOPICS[place.0].0;
            let committed = self.0.mock.committed(GROUP, topic, place.1).unwrap_or(0);
            let alone =
                (0..recorder.history.readers.len()).filter(|reader| !recorder.history.readers[*reader]);
            // The reader that has come the least far.
            let read = alone.map(|reader| recorder.read_to.get(&(reader, place)).copied()).min().flatten();
            if committed < end || read.unwrap_or(0) < end {
                let _ = write!(unread, "{place:?}: end {end}, read {read:?}, committed {committed}; ");
            }
        }
        unread
    }

    /// Looks at the group's offsets.
    pub(super) fn look_at_commits(&self) {
        let at_ms = self.0.net.now_ms();
        let is_late = self.0.late_commit.swap(false, Relaxed);
        for place in self.places() {
            let Some(offset) = self.0.mock.committed(GROUP, TOPICS[place.0].0, place.1) else { continue };
            let mut recorder = self.recorder();
            if recorder.committed.insert(place, offset) != Some(offset) {
                recorder.history.lines.push((at_ms, Line::Committed(Commit { place, offset, is_late })));
            }
        }
    }

    pub(super) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.0.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn report(self, alive: usize) -> Report {
        self.look_at_commits();
        if alive > 0 {
            self.violation(Kind::Hang, format!("{alive} tasks are alive though all is closed"));
        }
        for panic in PANICS.with(|panics| std::mem::take(&mut *panics.borrow_mut())) {
            self.violation(Kind::Panic, panic);
        }
        for went_back in self.0.net.went_back() {
            self.violation(Kind::EpochWentBack, format!("{went_back:?}"));
        }
        let (requests, connects) = self.0.net.with_trace(|trace| trace.busiest());
        if requests > REQUESTS_A_SECOND || connects > CONNECTS_A_SECOND {
            let what =
                format!("{requests} requests, {connects} connects of a client to a broker in a second");
            self.violation(Kind::HotLoop, what);
        }
        let logs: Vec<_> = self.places().into_iter().map(|place| (place, self.log_of(place))).collect();
        let mut recorder = self.recorder();
        for (place, mut log) in logs {
            for gone in recorder.removed.remove(&place).unwrap_or_default() {
                let sight = if gone.sight == Sight::MustNot { Sight::MustNot } else { Sight::May };
                log.push(Logged { sight, ..gone });
            }
            log.sort_by_key(|record| record.offset);
            recorder.history.log.insert(place, log);
        }
        let mut violations = std::mem::take(&mut recorder.violations);
        violations.extend(judge(&recorder.history));
        let resolved_badly = self.0.net.resolved_badly();
        let figures = self.0.net.with_trace(|trace| Figures {
            frames: trace.frames(),
            connects: trace.connects(),
            virtual_ms: recorder.history.lines.last().map_or(0, |(at_ms, _)| *at_ms),
            busiest_requests: requests,
            busiest_connects: connects,
            resolved_badly,
            forged_leaders: self.0.mock.forged_leaders(),
            ..recorder.figures.clone()
        });
        let last = self.0.net.with_trace(|trace| trace.last().copied().collect());
        let (hash, writes) = self.0.net.with_trace(|trace| (trace.hash(), trace.take_writes()));
        let history = std::mem::take(&mut recorder.history);
        Report { violations, hash, history, figures, last, writes }
    }
}

/// Twice and more what any of thousands of seeds showed.
const REQUESTS_A_SECOND: u64 = 120;
const CONNECTS_A_SECOND: u64 = 30;
