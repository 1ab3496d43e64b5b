//! Three nodes, a topic on all of them, a load, a group that reads it, and the judgement in the end.

use crate::{
    group::{ChildArgs, Group},
    ledger::Verdict,
    load::{Load, Pace, judge},
};
use craftwire::{
    Client, Producer,
    admin::{NewTopic, OffsetSpec},
};
use craftwire_test_support::KafkaCluster;
use std::sync::OnceLock;
use tokio::sync::{Mutex, MutexGuard};

pub(crate) const PARTITIONS: i32 = 6;
pub(crate) const CHILD: ChildArgs = &["--exact", "child", "--ignored", "--nocapture"];

/// How much longer than in a quick run: 1 without `CRAFTWIRE_FAULT_SCALE`.
pub(crate) fn scale() -> u32 {
    std::env::var("CRAFTWIRE_FAULT_SCALE").map_or(1, |scale| scale.parse().unwrap())
}

/// A cluster that is whole, a client of it, a topic.
pub(crate) struct Stage {
    pub(crate) cluster: &'static KafkaCluster,
    pub(crate) client: Client,
    pub(crate) topic: String,
    bootstrap: String,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    pub(crate) async fn set(topic: &str) -> Self {
        let (turn, cluster) = three_nodes().await;
        let topic = NewTopic::new(topic, PARTITIONS, 3).config("min.insync.replicas", "2");
        Self::set_with(turn, cluster, &cluster.bootstrap(), topic).await
    }

    pub(crate) async fn set_with(
        turn: MutexGuard<'static, ()>,
        cluster: &'static KafkaCluster,
        bootstrap: &str,
        topic: NewTopic,
    ) -> Self {
        let client = Client::connect(bootstrap).await.unwrap();
        let name = topic.name.clone();
        client.admin().create_topic(topic).await.unwrap();
        cluster.wait_in_sync().await;
        Self { cluster, client, topic: name, bootstrap: bootstrap.to_owned(), _turn: turn }
    }

    /// A steady load, and a group of one that reads it.
    pub(crate) async fn play(&self) -> Play {
        let producer = self.client.producer().build().await.unwrap();
        self.play_by(producer, Pace::default()).await
    }

    pub(crate) async fn play_by(&self, producer: Producer, pace: Pace) -> Play {
        let mut group = self.group();
        group.join();
        let load = Load::start(&producer, &self.topic, pace);
        load.goes_on_everywhere(PARTITIONS, 10).await;
        group.goes_on(100).await;
        let _ = load.take_worst_gap();
        Play { producer, load, group }
    }

    pub(crate) fn group(&self) -> Group {
        Group::new(CHILD, &self.bootstrap, &format!("{}-group", self.topic), &self.topic)
    }

    /// Sees all go on, ends it, says what it came to, and fails if it is not as promised.
    pub(crate) async fn judge(&self, fault: &str, times: u32, play: Play) -> Verdict {
        let Play { producer, load, group } = play;
        load.goes_on_everywhere(PARTITIONS, 10).await;
        group.goes_on(10).await;
        let gap = load.take_worst_gap();
        let fates = load.end().await;
        let metrics = producer.metrics();
        self.cluster.wait_in_sync().await;
        let verdict = judge(&self.client, &self.topic, &fates).await;
        println!("{fault}: {times} times: {verdict}; longest time without an ack {gap:.1?}; {metrics:?}");
        self.judge_group(fault, group).await;
        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!((metrics.loss_suspected, metrics.buffered_bytes), (0, 0));
        self.client.admin().delete_topic(&self.topic).await.unwrap();
        verdict
    }

    /// The group has handed out all there is, skipped nothing, and leaves with everything committed.
    pub(crate) async fn judge_group(&self, fault: &str, mut group: Group) {
        let admin = self.client.admin();
        let ends = admin.list_offsets(&self.topic, OffsetSpec::Latest).await.unwrap();
        group.covers(&ends).await;
        for member in group.running() {
            assert!(group.leave(member).await, "member {member} did not commit and leave");
        }
        {
            let book = group.book();
            println!("{fault}: group: {book}");
            assert!(book.breaches.is_empty(), "{:#?}", book.breaches);
        }
        let lag = admin.group_lag(&format!("{}-group", self.topic), &self.topic).await.unwrap();
        assert!(lag.values().all(|partition| partition.lag == 0), "{lag:?}");
    }
}

pub(crate) struct Play {
    pub(crate) producer: Producer,
    pub(crate) load: Load,
    pub(crate) group: Group,
}

impl Play {
    pub(crate) async fn goes_on(&self) {
        self.load.goes_on_everywhere(PARTITIONS, 20).await;
    }
}

/// The cluster, whole, for as long as the guard is kept.
pub(crate) async fn three_nodes() -> (MutexGuard<'static, ()>, &'static KafkaCluster) {
    static NODES: OnceLock<KafkaCluster> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let start = || NODES.get_or_init(|| KafkaCluster::builder().nodes(3).start_blocking().unwrap());
    let cluster = tokio::task::spawn_blocking(start).await.unwrap();
    for node in cluster.node_ids() {
        cluster.resume(node);
        if !cluster.is_alive(node) {
            cluster.kill(node);
        }
        cluster.restart_without_waiting(node);
    }
    cluster.wait_until_up().await;
    cluster.wait_in_sync().await;
    (turn, cluster)
}
