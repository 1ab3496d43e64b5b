//! One node with the proxy before it, a load and a reader on it, and the judge.

use crate::{
    common::{PATIENCE, connect},
    history::{Load, Place, Sent, follow, judge, place},
};
use craftwire::{
    Client, ClientBuilder, Producer, Tls,
    admin::{NewTopic, OffsetSpec},
    consumer::ConsumerBuilder,
    producer::ProducerMetrics,
};
use craftwire_test_support::{
    Certificate, KafkaCluster, eventually,
    proxy::{FaultProxy, ReservedAddress, RuleHandle},
};
use std::{
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, MutexGuard, watch},
    task::JoinHandle,
    time::timeout,
};

const SEED: u64 = 42;
pub(super) const PARTITIONS: i32 = 4;
/// Short, so that a silent peer is given up soon.
pub(super) const SHORT: Duration = Duration::from_secs(1);

/// A cluster, a proxy before it, a client that knows only the proxy, and a topic.
pub(super) struct Stage {
    pub(super) kafka: &'static KafkaCluster,
    pub(super) proxy: FaultProxy,
    pub(super) client: Client,
    pub(super) topic: String,
    partitions: i32,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    pub(super) async fn set(partitions: i32, request_timeout: Duration) -> Self {
        static NODE: OnceLock<Node> = OnceLock::new();
        Self::on(&NODE, None, partitions, request_timeout).await
    }

    /// The same with TLS on the way through the proxy.
    pub(super) async fn set_encrypted(partitions: i32, request_timeout: Duration) -> Self {
        static NODE: OnceLock<Node> = OnceLock::new();
        static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(Certificate::new);
        Self::on(&NODE, Some(&CERTIFICATE), partitions, request_timeout).await
    }

    async fn on(
        node: &'static OnceLock<Node>,
        certificate: Option<&'static LazyLock<Certificate>>,
        partitions: i32,
        request_timeout: Duration,
    ) -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        static TOPICS: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.lock().await;
        let start = move || node.get_or_init(|| Node::start(certificate.map(LazyLock::force)));
        let Node { address, kafka, tls } = tokio::task::spawn_blocking(start).await.unwrap();
        let upstream = kafka.proxied_upstream(1).unwrap();
        let seed = seed();
        let proxy = FaultProxy::start(&[(address.address(), upstream)], seed).await;
        let client = impatient_builder(&proxy, request_timeout);
        let client = tls.iter().fold(client, |client, tls| client.tls(tls.clone())).build().await.unwrap();
        // Names that differ in more than one bit.
        let number = TOPICS.fetch_add(1, Ordering::Relaxed);
        let topic = format!("proxied-{number}-{}", !number & 0xff);
        client.admin().create_topic(NewTopic::new(&topic, partitions, 1)).await.unwrap();
        Self { kafka, proxy, client, topic, partitions, _turn: turn }
    }

    /// A steady load and a reader of it, both through the proxy; returns when the load is under way.
    pub(super) async fn play(&self) -> Play {
        self.play_to(self.client.consumer()).await
    }

    pub(super) async fn play_to(&self, consumer: ConsumerBuilder) -> Play {
        let (total, told) = watch::channel(None);
        let consumer = consumer.topics([self.topic.as_str()]);
        let reader = follow(consumer.build().await.unwrap(), told);
        let producer = self.client.producer().build().await.unwrap();
        let mut load = Load::start(&producer, &self.topic, self.partitions).await;
        load.goes_on_everywhere(10).await;
        Play { producer, load, reader, total }
    }

    /// Waits until a rule befell so many frames or connections.
    pub(super) async fn befallen(&self, rule: &RuleHandle, times: u64) {
        eventually("the fault", PATIENCE, async || (rule.injected() >= times).then_some(())).await;
    }

    /// Ends the faults, sees the load go on, and judges everything.
    pub(super) async fn judge(&self, play: Play) -> ProducerMetrics {
        let metrics = self.judge_by(play, judge).await;
        assert_eq!(metrics.loss_suspected, 0);
        metrics
    }

    /// The same, with a judge of one's own for what became of the records.
    pub(super) async fn judge_by(
        &self,
        mut play: Play,
        judge: impl Fn(&[Sent], &[Place]),
    ) -> ProducerMetrics {
        eprintln!("injected: {:?}", self.proxy.counters());
        self.proxy.clear();
        play.load.goes_on_everywhere(10).await;
        let sent = play.load.end().await;
        let metrics = play.producer.metrics();
        eprintln!("{metrics:?}");
        let log = in_the_log(&self.kafka.bootstrap(), &self.topic).await;
        judge(&sent, &log);
        play.total.send_replace(Some(log.len()));
        let read = timeout(PATIENCE, play.reader).await.expect("the reader reads on").unwrap();
        assert!(read == log, "{} records were read of {}", read.len(), log.len());
        assert_eq!(metrics.buffered_bytes, 0);
        metrics
    }

    /// Another topic of one partition, for what is not judged.
    pub(super) async fn side_topic(&self) -> String {
        let name = format!("beside-{}", self.topic);
        self.client.admin().create_topic(NewTopic::new(&name, 1, 1)).await.unwrap();
        name
    }
}

/// What another client finds, past the proxy.
pub(super) async fn in_the_log(bootstrap: &str, topic: &str) -> Vec<Place> {
    let client = connect(bootstrap).await;
    let ends = client.admin().list_offsets(topic, OffsetSpec::Latest).await.unwrap();
    let mut missing: i64 = ends.values().sum();
    let mut consumer = client.consumer().topics([topic]).build().await.unwrap();
    let mut log = Vec::new();
    while missing > 0 {
        let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
        log.push(place(record.partition(), record.offset(), record.value().unwrap()));
        missing -= 1;
    }
    log.sort_unstable();
    log
}

/// Another may be tried by the environment variable `CRAFTWIRE_PROXY_SEED`.
pub(super) fn seed() -> u64 {
    let seed = std::env::var("CRAFTWIRE_PROXY_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    eprintln!("seed {seed}");
    seed
}

/// A client that gives a silent peer up soon.
pub(super) async fn impatient(proxy: &FaultProxy, request_timeout: Duration) -> Client {
    impatient_builder(proxy, request_timeout).build().await.unwrap()
}

pub(super) fn impatient_builder(proxy: &FaultProxy, request_timeout: Duration) -> ClientBuilder {
    Client::builder(&proxy.bootstrap()).connect_timeout(SHORT).request_timeout(request_timeout)
}

pub(super) struct Play {
    pub(super) producer: Producer,
    pub(super) load: Load,
    reader: JoinHandle<Vec<Place>>,
    total: watch::Sender<Option<usize>>,
}

/// A node whose clients come through a proxy, and what they trust if the way is encrypted.
struct Node {
    address: ReservedAddress,
    kafka: KafkaCluster,
    tls: Option<Tls>,
}

impl Node {
    fn start(certificate: Option<&Certificate>) -> Self {
        let address = ReservedAddress::free();
        let builder = KafkaCluster::builder().advertise(&[address.address()]);
        let builder = certificate.iter().fold(builder, |builder, own| own.encrypt_advertised(builder));
        let tls = certificate.map(|certificate| Tls::with_ca_pem(&certificate.pem()).unwrap());
        Self { kafka: builder.start_blocking().unwrap(), address, tls }
    }
}
