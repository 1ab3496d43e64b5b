//! One run: a mock cluster, a network, clients with a load, faults, and what is seen of it all.

use crate::{
    checker::{Kind, Violation, judge},
    history::{Commit, Event, History, Id, Line, Logged, Outcome, Place, Send, Sight, read_value},
    inject::Injector,
    members::Members,
    network::Net,
    producers, reader,
    schedule::{BROKERS, CLIENTS, Fault, MEMBERS, TOPICS, What},
    settings::Settings,
    strangers,
    trace::{Sent, Write},
};
use craftwire::{
    Client,
    mock::{Api, MockCluster, StoredBatch},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::Notify,
    time::{Instant, interval, sleep_until, timeout},
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

/// Runs a seed under a schedule, which need not be the seed's own.
pub(crate) fn run(seed: u64, faults: &[Fault]) -> Report {
    catch_panics();
    PANICS.with(|panics| panics.borrow_mut().clear());
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (world, late) = runtime.block_on(async {
        let world = World::new(seed, faults);
        let late = world.live(faults).await;
        (world, late)
    });
    drop(runtime);
    IS_RUN.with(|is_run| *is_run.borrow_mut() = false);
    world.report(late)
}

/// Shared by all that lives in a run.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

struct Inner {
    seed: u64,
    settings: Settings,
    mock: MockCluster,
    net: Net,
    recorder: Mutex<Recorder>,
    /// A commit came over a connection that its client had given up.
    late_commit: Arc<AtomicBool>,
    stage: Mutex<Stage>,
    /// Not Tokio's `watch`, which wakes in a random order.
    stage_changed: Notify,
    /// When the last fault was over, in milliseconds from the start.
    calm_since: AtomicU64,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Faults,
    /// Nothing goes wrong any more: what is sent now must arrive.
    Calm,
    /// Nothing new is made.
    Drain,
    Close,
}

#[derive(Default)]
struct Recorder {
    history: History,
    violations: Vec<Violation>,
    committed: BTreeMap<Place, i64>,
    /// How far each reader has come.
    read_to: BTreeMap<(usize, Place), i64>,
    aborted: BTreeSet<Id>,
    /// Records that were in the log and are no more.
    removed: BTreeMap<Place, Vec<Logged>>,
    figures: Figures,
}

impl World {
    fn new(seed: u64, faults: &[Fault]) -> Self {
        let mut settings = Settings::draw(seed);
        if faults.iter().any(|fault| matches!(fault.what, What::Grow { .. })) {
            // Partitions that were added are found when metadata is next asked for, which must not outlast the run.
            settings.metadata_max_age = settings.metadata_max_age.min(Duration::from_secs(10));
        }
        let (heartbeat, session) = (settings.heartbeat_interval, settings.session_timeout);
        let builder = MockCluster::builder()
            .brokers(u8::try_from(BROKERS).unwrap())
            .seed(seed)
            .heartbeat_interval(heartbeat)
            .session_timeout(session)
            .broker_session_timeout(settings.broker_session_timeout)
            .wall_clock_ms(WALL_CLOCK_MS);
        let mock = builder.start_in_memory().unwrap();
        for (topic, partitions) in TOPICS {
            // What is deleted, a fault deletes.
            let configs = [("retention.ms", "-1"), ("min.insync.replicas", settings.min_insync_replicas)];
            mock.create_topic_with(topic, partitions, &configs).unwrap();
        }
        let net = Net::new(seed, mock.clone());
        let late_commit = Arc::new(AtomicBool::new(false));
        let (late, watching) = (late_commit.clone(), net.clone());
        // It looks only: the condition never holds.
        let looks = mock.on(Api::OffsetCommit).always().when(move |call| {
            if watching.is_given_up(call.connection()) {
                late.store(true, Relaxed);
            }
            false
        });
        looks.disconnect_before();
        let recorder = Mutex::default();
        let (stage, stage_changed) = (Mutex::new(Stage::Faults), Notify::new());
        Self(Arc::new(Inner {
            seed,
            settings,
            mock,
            net,
            recorder,
            late_commit,
            stage,
            stage_changed,
            calm_since: AtomicU64::new(u64::MAX),
        }))
    }

    /// The whole run. What it returns is what was still alive when nothing should have been.
    async fn live(&self, faults: &[Fault]) -> usize {
        let idle_tasks = Handle::current().metrics().num_alive_tasks();
        let mut members = Members::new(self.clone());
        let mut producers = Vec::new();
        for producer in 0..2 {
            producers.push(tokio::spawn(producers::run(self.clone(), producer)));
        }
        // Their coordinator would write a marker again that a failing leader lost; they have none.
        let loses = |fault: &Fault| {
            matches!(fault.what, What::KillBroker { .. } | What::PauseBroker { .. } | What::Lag { .. })
        };
        let strangers = (!faults.iter().any(loses)).then(|| tokio::spawn(strangers::run(self.clone())));
        let readers = [(2, Stage::Faults), (3, Stage::Calm)]
            .map(|(client, from)| tokio::spawn(reader::run(self.clone(), client, from)));
        let watching = tokio::spawn(watch(self.clone()));

        let mut injector = Injector::new(self.clone(), faults);
        injector.run(&mut members).await;
        injector.heal(&mut members);
        self.0.calm_since.store(self.0.net.now_ms(), Relaxed);
        self.enter(Stage::Calm);
        sleep_until(Instant::now() + SETTLE).await;
        self.enter(Stage::Drain);
        if let Some(strangers) = strangers {
            self.within(SETTLE, "other people's transactions", strangers).await;
        }
        for producer in producers {
            self.within(PROGRESS, "a producer's last records", producer).await;
        }
        let read = async {
            let mut tick = interval(Duration::from_millis(200));
            while !self.is_all_read() {
                tick.tick().await;
            }
        };
        if timeout(PROGRESS, read).await.is_err() {
            self.violation(Kind::NoProgress, format!("not all is read and committed: {}", self.unread()));
        }
        self.enter(Stage::Close);
        members.close().await;
        for reader in readers {
            self.within(CLOSE, "a reader's close", reader).await;
        }
        watching.abort();
        self.0.net.bury();
        // Whatever a client left behind had its time: its longest wait is for a connect or an answer.
        sleep_until(Instant::now() + LEFTOVERS).await;
        Handle::current().metrics().num_alive_tasks() - idle_tasks
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn mock(&self) -> &MockCluster {
        &self.0.mock
    }

    pub(crate) fn net(&self) -> &Net {
        &self.0.net
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.seed
    }

    pub(crate) fn stage(&self) -> Stage {
        *self.0.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the run is at a stage, or past it.
    pub(crate) async fn until(&self, stage: Stage) {
        loop {
            let changed = self.0.stage_changed.notified();
            if self.stage() >= stage {
                return;
            }
            changed.await;
        }
    }

    fn enter(&self, stage: Stage) {
        *self.0.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.0.stage_changed.notify_waiters();
    }

    /// A client of its own for one actor, tried for as long as it takes; `life` tells its lives apart.
    pub(crate) async fn client(&self, client: usize, life: u64) -> Client {
        debug_assert!(client < CLIENTS);
        let settings = self.settings();
        let seed = self.0.seed ^ (u64::try_from(client).unwrap() << 48) ^ (life << 56);
        loop {
            let builder = Client::builder(&self.0.mock.bootstrap())
                .client_id(&format!("client-{client}"))
                .connect_timeout(settings.connect_timeout)
                .request_timeout(settings.request_timeout)
                .metadata_max_age(settings.metadata_max_age)
                .network(self.0.net.wire(client, life))
                .seed(seed);
            match builder.build().await {
                Ok(client) => return client,
                Err(error) if error.is_retriable() => {}
                Err(error) => self.violation(Kind::Error, format!("client {client} cannot start: {error:?}")),
            }
            pause(200).await;
        }
    }

    pub(crate) fn violation(&self, kind: Kind, what: impl Into<String>) {
        let what = format!("{} ms: {}", self.0.net.now_ms(), what.into());
        self.recorder().violations.push(Violation { kind, what });
    }

    /// The outcome of something that must not take longer.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let done = timeout(limit, work).await.ok();
        if done.is_none() {
            self.violation(Kind::Hang, format!("{what} took longer than {limit:?}"));
        }
        done
    }

    /// Whether it is so long since the last fault that whatever ends without success now had its time.
    pub(crate) fn is_calm_for_long(&self) -> bool {
        let calm_ms = self.0.net.now_ms().saturating_sub(self.0.calm_since.load(Relaxed));
        calm_ms >= u64::try_from(ENOUGH.as_millis()).unwrap()
    }

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

    fn is_all_read(&self) -> bool {
        self.unread().is_empty()
    }

    /// What is not read by the reader alone, or not committed by the group.
    fn unread(&self) -> String {
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
    fn look_at_commits(&self) {
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

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.0.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(self, alive: usize) -> Report {
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

/// Looks again and again at what must hold all the time.
async fn watch(world: World) {
    let mut tick = interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        world.look_at_commits();
    }
}

/// Waits, in virtual time.
pub(crate) async fn pause(ms: u64) {
    sleep_until(Instant::now() + Duration::from_millis(ms)).await;
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static IS_RUN: RefCell<bool> = const { RefCell::new(false) };
}

/// Tokio swallows a task's panic; here it is noted.
fn catch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if IS_RUN.with(|is_run| *is_run.borrow()) {
                PANICS.with(|panics| panics.borrow_mut().push(panic.to_string()));
            } else {
                usual(panic);
            }
        }));
    });
    IS_RUN.with(|is_run| *is_run.borrow_mut() = true);
}

/// The brokers' wall clock at the start.
const WALL_CLOCK_MS: i64 = 1_767_225_600_000;
pub(crate) const GROUP: &str = "g";
/// After the faults, before what is sent must arrive: time to connect again and to learn who leads.
const SETTLE: Duration = Duration::from_secs(3);
/// Enough to connect anew, to learn who leads, and to write what waits.
const ENOUGH: Duration = Duration::from_secs(6);
/// Within this time after the faults all is acked, read and committed.
const PROGRESS: Duration = Duration::from_secs(20);
/// A consumer's close gives up after 10 s.
pub(crate) const CLOSE: Duration = Duration::from_secs(11);
const LEFTOVERS: Duration = Duration::from_secs(5);
/// Twice and more what any of thousands of seeds showed.
const REQUESTS_A_SECOND: u64 = 120;
const CONNECTS_A_SECOND: u64 = 30;
const _: () = assert!(CLIENTS == MEMBERS + 4);
