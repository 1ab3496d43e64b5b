//! One run: a mock cluster, a network, clients with a load, faults, and what is seen of it all.

mod recorder;

pub(crate) use recorder::{Figures, Report};

use crate::{
    checker::{Kind, Violation},
    inject::Injector,
    members::Members,
    network::Net,
    producers, reader,
    schedule::{BROKERS, CLIENTS, Fault, MEMBERS, TOPICS, What},
    settings::Settings,
    strangers,
};
use craftwire::{
    Client,
    mock::{Api, MockCluster},
};
use recorder::Recorder;
use std::{
    cell::RefCell,
    future::Future,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle},
    sync::Notify,
    time::{Instant, interval, sleep_until, timeout},
};

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
const _: () = assert!(CLIENTS == MEMBERS + 4);
