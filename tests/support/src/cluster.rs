//! A cluster of one or three nodes, and what a test may do to them.
//!
//! Everything blocks inside on threads of its own, so a cluster belongs to no runtime: the async functions only hand
//! the work to the caller's blocking pool. Invariant: no JVM and no file outlives the process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::builder::Builder;
use crate::distribution::Version;
use crate::java::Java;
use crate::node::{CpuTimes, Node};
use crate::probe::{BrokerAddress, TopicState, fetch_metadata};
use crate::supervisor::Janitor;

/// 16 bytes in base64; every cluster here has the same one.
const CLUSTER_ID: &str = "Y3JhZnR3aXJlLXRlc3RzMQ";
/// Long, because the machine may be compiling at the same time.
const START_WITHIN: Duration = Duration::from_secs(120);
const SYNC_WITHIN: Duration = Duration::from_secs(90);
/// Kafka itself gives up a controlled shutdown in less.
const STOP_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A running cluster of real Apache Kafka. Clones are the same cluster; it ends with the last of them.
///
/// Nodes have the ids 1, 2, 3. A node that is killed or stopped keeps its ports and its directory, and
/// [`restart`](Self::restart) brings it back on them. Functions that wait panic when the wait is hopeless: this is
/// support of tests, and the message holds what Kafka logged.
#[derive(Debug, Clone)]
pub struct KafkaCluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // Dropped in this order: the JVMs end, then their files go.
    nodes: Vec<Mutex<Node>>,
    _janitor: Janitor,
    dir: PathBuf,
    version: Version,
    libs: PathBuf,
}

impl KafkaCluster {
    /// One node, tests' settings, the default version, until told otherwise.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts 1 or 3 nodes with these properties on top of the tests' settings, and waits until all answer.
    ///
    /// # Panics
    ///
    /// When they do not start; the message holds the end of their logs.
    pub async fn start(nodes: usize, overrides: &[(&str, &str)]) -> Self {
        let builder = Self::builder().nodes(nodes);
        overrides.iter().fold(builder, |builder, (key, value)| builder.set(key, value)).start().await
    }

    /// The addresses of all nodes, as a client's bootstrap list: `127.0.0.1:15000,127.0.0.1:15002`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.node_ids().map(|id| self.address(id)).collect::<Vec<_>>().join(",")
    }

    /// The address of one node.
    #[must_use]
    pub fn address(&self, node: i32) -> String {
        self.node(node).address()
    }

    /// Where the proxy of a node is to connect to, when the cluster was built with [`Builder::advertise`].
    #[must_use]
    pub fn proxied_upstream(&self, node: i32) -> Option<SocketAddr> {
        self.node(node).proxied.as_ref().map(|port| SocketAddr::from(([127, 0, 0, 1], port.number)))
    }

    /// 1 to the number of nodes, running or not.
    pub fn node_ids(&self) -> impl Iterator<Item = i32> + use<> {
        (1..).take(self.inner.nodes.len())
    }

    /// The version that runs.
    #[must_use]
    pub fn version(&self) -> Version {
        self.inner.version
    }

    /// Kafka's own tools against this cluster.
    #[must_use]
    pub fn java(&self) -> Java {
        Java::new(self.bootstrap(), self.inner.version)
    }

    /// Where a node keeps its partitions: `<topic>-<partition>/` with segments in each.
    #[must_use]
    pub fn data_dir(&self, node: i32) -> PathBuf {
        self.node(node).data_dir()
    }

    /// The directory that holds every node's; it goes when the cluster does.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.inner.dir.clone()
    }

    /// The end of what a node printed and logged.
    #[must_use]
    pub fn log_tail(&self, node: i32) -> String {
        self.node(node).tail()
    }

    /// The process id of a node's JVM, while it has one.
    #[must_use]
    pub fn pid(&self, node: i32) -> Option<u32> {
        self.node(node).running.as_ref().map(crate::supervisor::Supervised::pid)
    }

    /// The processor time of all running nodes together since each was started.
    #[must_use]
    pub fn cpu_times(&self) -> CpuTimes {
        let times = self.node_ids().filter_map(|id| self.node(id).cpu_times());
        times.fold(CpuTimes::default(), |sum, one| CpuTimes {
            user: sum.user + one.user,
            system: sum.system + one.system,
        })
    }

    /// The resident memory of all running nodes together.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.node_ids().filter_map(|id| self.node(id).resident_bytes()).sum()
    }

    /// SIGKILL to a node; returns when its process is gone. Nothing happens when it is down already.
    pub fn kill(&self, node: i32) {
        self.node(node).kill();
    }

    /// SIGSTOP to a node: its connections stay open and nothing on them is answered, until [`resume`](Self::resume).
    pub fn pause(&self, node: i32) {
        self.signal(node, "STOP");
    }

    /// SIGCONT to a node.
    pub fn resume(&self, node: i32) {
        self.signal(node, "CONT");
    }

    /// SIGTERM to a node, which hands over its partitions first; returns when its process is gone.
    pub async fn stop_gracefully(&self, node: i32) {
        self.blocking(move |cluster| cluster.stop_blocking(node)).await;
    }

    pub(crate) fn stop_blocking(&self, node: i32) {
        self.node(node).stop(STOP_WITHIN);
    }

    /// Brings a node back on its ports and directory, and waits until it answers and knows of every other running node.
    /// A node that runs is stopped gracefully first.
    ///
    /// # Panics
    ///
    /// When it does not come back.
    pub async fn restart(&self, node: i32) {
        self.stop_gracefully(node).await;
        self.restart_without_waiting(node);
        self.wait_until_up().await;
    }

    /// Starts the JVM of a node that is down, and no more: for coming back without a quorum.
    ///
    /// # Panics
    ///
    /// When Java does not run.
    pub fn restart_without_waiting(&self, node: i32) {
        let mut node = self.node(node);
        if node.running.is_none() {
            node.spawn(self.inner.version, &self.inner.libs).expect("java starts");
        }
    }

    /// Waits until every running node answers, and each names all of them as brokers. A paused node never does.
    ///
    /// # Panics
    ///
    /// When one has ended, or after two minutes.
    pub async fn wait_until_up(&self) {
        let up = self.blocking(|cluster| cluster.wait_up()).await;
        up.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until every partition has a leader and all its replicas in sync, in the eyes of every running node.
    ///
    /// # Panics
    ///
    /// After 90 seconds, with the partitions that are not in sync.
    pub async fn wait_in_sync(&self) {
        let synced = self.blocking(|cluster| cluster.wait_synced()).await;
        synced.unwrap_or_else(|error| panic!("{error}"));
    }

    /// What the first running node that answers knows of brokers and topics.
    ///
    /// # Panics
    ///
    /// When none answers.
    pub async fn metadata(&self) -> (Vec<BrokerAddress>, Vec<TopicState>) {
        let found =
            self.blocking(|cluster| cluster.running().iter().find_map(|a| fetch_metadata(a).ok())).await;
        found.expect("a node answers")
    }

    /// The node that leads a partition, if one does.
    pub async fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let (_, topics) = self.metadata().await;
        leader_in(&topics, topic, partition)
    }

    /// Waits until a partition has a leader for which `wanted` is true, in the eyes of a running node; returns its id.
    ///
    /// # Panics
    ///
    /// After 90 seconds.
    pub async fn wait_for_leader(
        &self,
        topic: &str,
        partition: i32,
        wanted: impl Fn(i32) -> bool + Send + 'static,
    ) -> i32 {
        let name = topic.to_owned();
        let found = self.blocking(move |cluster| cluster.wait_leader(&name, partition, &wanted)).await;
        found.unwrap_or_else(|| panic!("{topic}-{partition} has no such leader after {SYNC_WITHIN:?}"))
    }

    fn signal(&self, node: i32, name: &str) {
        if let Some(running) = &self.node(node).running {
            running.signal(name);
        }
    }

    pub(crate) fn node(&self, id: i32) -> MutexGuard<'_, Node> {
        let index = usize::try_from(id - 1).expect("node ids start at 1");
        self.inner.nodes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn running(&self) -> Vec<String> {
        let up = self.node_ids().filter(|&id| self.node(id).running.is_some());
        up.map(|id| self.address(id)).collect()
    }

    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let cluster = self.clone();
        tokio::task::spawn_blocking(move || work(&cluster)).await.expect("the blocking work does not panic")
    }

    fn wait_up(&self) -> Result<(), String> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let addresses = self.running();
            let answer = |address: &String| fetch_metadata(address).map_or(0, |(brokers, _)| brokers.len());
            // A dead node stays listed until it is fenced, so at least as many as run.
            if addresses.iter().all(|address| answer(address) >= addresses.len()) {
                return Ok(());
            }
            for id in self.node_ids() {
                let mut node = self.node(id);
                if node.running.as_mut().is_some_and(|process| process.ended().is_some()) {
                    return Err(format!("node {id} has ended; its last lines:\n{}", node.tail()));
                }
            }
            if Instant::now() >= deadline {
                let tails = self.node_ids().map(|id| self.log_tail(id)).collect::<Vec<_>>().join("\n");
                return Err(format!(
                    "no answer from all nodes within {START_WITHIN:?}; their last lines:\n{tails}"
                ));
            }
            std::thread::sleep(POLL);
        }
    }

    fn any_metadata(&self) -> Option<(Vec<BrokerAddress>, Vec<TopicState>)> {
        self.running().iter().find_map(|address| fetch_metadata(address).ok())
    }

    fn wait_leader(&self, topic: &str, partition: i32, wanted: &dyn Fn(i32) -> bool) -> Option<i32> {
        let deadline = Instant::now() + SYNC_WITHIN;
        while Instant::now() < deadline {
            let leader = self.any_metadata().and_then(|(_, topics)| leader_in(&topics, topic, partition));
            if let Some(leader) = leader.filter(|&leader| wanted(leader)) {
                return Some(leader);
            }
            std::thread::sleep(POLL);
        }
        None
    }

    fn wait_synced(&self) -> Result<(), String> {
        let deadline = Instant::now() + SYNC_WITHIN;
        loop {
            let views: Vec<_> = self.running().iter().map(|address| fetch_metadata(address)).collect();
            let missing: Vec<String> = views
                .iter()
                .flat_map(|view| match view {
                    Ok((_, topics)) => topics.iter().flat_map(partitions_not_whole).collect(),
                    Err(error) => vec![format!("no answer: {error}")],
                })
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!("not in sync after {SYNC_WITHIN:?}: {}", missing.join(", ")));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl KafkaCluster {
    pub(crate) fn of(
        nodes: Vec<Mutex<Node>>,
        janitor: Janitor,
        dir: PathBuf,
        version: Version,
        libs: PathBuf,
    ) -> Self {
        Self { inner: Arc::new(Inner { nodes, _janitor: janitor, dir, version, libs }) }
    }

    /// True when a node printed or logged this text.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.node_ids().any(|id| self.node(id).has_logged(text))
    }

    /// Formats and starts the nodes, each beside the others, and waits until all answer.
    pub(crate) fn bring_up(&self, format_args: &[String]) -> Result<(), String> {
        let Inner { version, libs, .. } = &*self.inner;
        std::thread::scope(|scope| {
            let starts: Vec<_> = self
                .node_ids()
                .map(|id| {
                    scope.spawn(move || {
                        let mut node = self.node(id);
                        node.format(*version, libs, CLUSTER_ID, format_args)?;
                        node.spawn(*version, libs)
                    })
                })
                .collect();
            starts.into_iter().try_for_each(|start| start.join().expect("starting a node does not panic"))
        })?;
        self.wait_up()
    }
}

fn partitions_not_whole(topic: &TopicState) -> Vec<String> {
    let broken = topic.partitions.iter().filter(|partition| !partition.is_whole());
    broken
        .map(|p| {
            format!("{}-{} leader {} isr {:?} of {:?}", topic.name, p.index, p.leader, p.isr, p.replicas)
        })
        .collect()
}

fn leader_in(topics: &[TopicState], topic: &str, partition: i32) -> Option<i32> {
    let topic = topics.iter().find(|found| found.name == topic)?;
    let partition = topic.partitions.iter().find(|found| found.index == partition)?;
    Some(partition.leader).filter(|&leader| leader >= 0)
}
