//! Task: what the fronts and the public handle share: the core behind a lock, and the tasks that serve it.

use super::MockCluster;
use super::bend::Effect;
use super::connection::{End, serve};
use super::core::{Core, Origin, Outcome};
use super::handle::Running;
use super::{clock, server};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// The core and its tasks.
///
/// No lock is held over an await. The core's may be taken while the tasks' is held, never the other way round.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    tasks: Mutex<Tasks>,
    /// The runtime that serves TCP; `None` for a cluster that is in memory only.
    tcp: Option<Handle>,
    /// The public handles, for hooks that change the cluster.
    running: OnceLock<Weak<Running>>,
}

#[derive(Debug, Default)]
struct Tasks {
    connections: BTreeMap<u64, Connection>,
    listeners: BTreeMap<i32, AbortHandle>,
    last_connection: u64,
    is_shut_down: bool,
}

#[derive(Debug)]
struct Connection {
    broker: i32,
    woken: Arc<Notify>,
    task: AbortHandle,
    /// Whether its end is a reset.
    resets: Arc<AtomicBool>,
}

impl Shared {
    pub(crate) fn new(core: Core, tcp: Option<Handle>) -> Arc<Self> {
        Arc::new(Self { core: Mutex::new(core), tasks: Mutex::default(), tcp, running: OnceLock::new() })
    }

    /// Remembers the public handles, without keeping them alive.
    pub(crate) fn set_running(&self, running: Weak<Running>) {
        let _ = self.running.set(running);
    }

    /// Lets a hook change the cluster, unless that has ended meanwhile.
    pub(crate) fn act(&self, effect: &Effect) {
        if let Some(running) = self.running.get().and_then(Weak::upgrade) {
            (effect.0)(&MockCluster::from(running));
        }
    }

    /// Works on the core, then wakes the connections whose wait is over.
    pub(crate) fn with_core<T>(&self, work: impl FnOnce(&mut Core) -> T) -> T {
        let (result, woken) = {
            let mut core = lock(&self.core);
            let result = work(&mut core);
            (result, core.take_woken())
        };
        if !woken.is_empty() {
            let tasks = lock(&self.tasks);
            for connection in woken.iter().filter_map(|id| tasks.connections.get(id)) {
                connection.woken.notify_one();
            }
        }
        result
    }

    /// Works on the core as it is now.
    pub(crate) fn at_now<T>(&self, work: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let now = clock::now();
        self.with_core(|core| {
            let now = core.tick(now);
            work(core, now)
        })
    }

    pub(crate) fn handle(&self, origin: Origin, frame: Bytes) -> Outcome {
        let now = clock::now();
        self.with_core(|core| core.handle(now, origin, frame))
    }

    pub(crate) fn resume(&self, origin: Origin) -> Outcome {
        let now = clock::now();
        self.with_core(|core| core.resume(now, origin))
    }

    pub(crate) fn disconnected(&self, connection: u64) {
        lock(&self.tasks).connections.remove(&connection);
        self.with_core(|core| core.disconnected(connection));
    }

    /// Serves a connection to `broker` in a task of its own, unless the broker is stopped. Whether it does.
    pub(crate) fn accept<S>(self: &Arc<Self>, broker: i32, stream: S) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.accept_resettable(broker, stream, |_| {})
    }

    /// Serves a connection whose stream `reset` readies for a close without a goodbye.
    pub(crate) fn accept_resettable<S>(self: &Arc<Self>, broker: i32, stream: S, reset: fn(&S)) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The broker is looked up under the tasks' lock, so that a stop either refuses this connection or cuts it; and
        // the task, should it end at once, waits for its entry before it takes that off again.
        let mut tasks = lock(&self.tasks);
        if tasks.is_shut_down || !lock(&self.core).is_alive(broker) {
            return false;
        }
        tasks.last_connection += 1;
        let connection = tasks.last_connection;
        let woken = Arc::new(Notify::new());
        let origin = Origin { broker, connection };
        let resets = Arc::new(AtomicBool::new(false));
        let end = End::new(stream, reset, Arc::clone(&resets));
        let task = tokio::spawn(serve(Arc::clone(self), origin, Arc::clone(&woken), end));
        let connection_of = Connection { broker, woken, task: task.abort_handle(), resets };
        tasks.connections.insert(connection, connection_of);
        true
    }

    /// The broker that is there and advertised under that address.
    pub(crate) fn broker_at(&self, host: &str, port: u16) -> Option<i32> {
        self.with_core(|core| {
            let at = |id: &i32, host_port: (&str, u16)| core.is_alive(*id) && host_port == (host, port);
            let mut brokers = core.brokers.iter();
            brokers.find(|(id, broker)| at(id, (&broker.host, broker.port))).map(|(id, _)| *id)
        })
    }

    /// Starts to listen for a broker, on the port that it is advertised with.
    pub(crate) fn listen(self: &Arc<Self>, broker: i32, bound: std::net::TcpListener) -> io::Result<()> {
        let Some(runtime) = &self.tcp else { return Ok(()) };
        let listener = server::spawn(runtime, Arc::clone(self), broker, bound)?;
        if let Some(old) = lock(&self.tasks).listeners.insert(broker, listener) {
            old.abort();
        }
        Ok(())
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.tcp.is_some()
    }

    /// Stops a broker: new connections are refused, those that are open are cut.
    pub(crate) fn stop_broker(&self, broker: i32) {
        self.at_now(|core, now| core.stop_broker(now, broker));
        self.disappear(broker);
    }

    /// Kills a broker, as [`stop_broker`](Self::stop_broker) but without a goodbye.
    pub(crate) fn kill_broker(&self, broker: i32) {
        self.at_now(|core, now| core.kill_broker(now, broker));
        self.mark_resets(broker);
        self.disappear(broker);
    }

    /// Resets all connections to a broker, which goes on.
    pub(crate) fn reset_connections(&self, broker: i32) {
        self.mark_resets(broker);
        self.cut_connections(broker);
    }

    fn mark_resets(&self, broker: i32) {
        let tasks = lock(&self.tasks);
        for connection in tasks.connections.values().filter(|one| one.broker == broker) {
            connection.resets.store(true, Ordering::Relaxed);
        }
    }

    fn disappear(&self, broker: i32) {
        let listener = lock(&self.tasks).listeners.remove(&broker);
        if let Some(listener) = listener {
            listener.abort();
        }
        self.cut_connections(broker);
    }

    /// Cuts all connections to a broker, which goes on.
    pub(crate) fn cut_connections(&self, broker: i32) {
        self.cut(|connection| connection.broker == broker);
    }

    pub(crate) fn connection_count(&self) -> usize {
        lock(&self.tasks).connections.len()
    }

    /// Ends all tasks for good.
    pub(crate) fn shut_down(&self) {
        let listeners = {
            let mut tasks = lock(&self.tasks);
            tasks.is_shut_down = true;
            std::mem::take(&mut tasks.listeners)
        };
        for listener in listeners.into_values() {
            listener.abort();
        }
        self.cut(|_| true);
    }

    fn cut(&self, which: impl Fn(&Connection) -> bool) {
        let cut: Vec<AbortHandle> = {
            let tasks = lock(&self.tasks);
            tasks.connections.values().filter(|one| which(one)).map(|one| one.task.clone()).collect()
        };
        // A task that ends takes the lock to sign off, so it is not held here.
        for task in cut {
            task.abort();
        }
    }
}

/// A panic under the lock is a test's own; what it held is still sound for the calls after it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
