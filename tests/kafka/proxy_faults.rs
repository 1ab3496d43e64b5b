//! The network between the client and Kafka fails as the fault proxy is told: what was acked is in the log once, keys
//! stay in order, readers see every record once, calls end with an honest error, and all goes on when the fault is over.
//!
//! The names begin with the fault's number in the list of the rig. One node with the proxy before it is shared; tests
//! take turns at it, each with a proxy of its own at the same address.

use crate::{
    common::{PATIENCE, connect},
    history::{Load, Place, follow, judge, place},
};
use craftwire::{
    Client, Producer, ProducerRecord,
    admin::{NewTopic, OffsetSpec},
    consumer::{ConsumeError, ConsumerBuilder},
    producer::ProducerMetrics,
};
use craftwire_test_support::{
    KafkaCluster, eventually,
    proxy::{Direction, Fault, FaultProxy, ReservedAddress, Rule, RuleHandle, api},
    require_kafka,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, MutexGuard, watch},
    task::JoinHandle,
    time::timeout,
};

/// Another may be tried by the environment variable `CRAFTWIRE_PROXY_SEED`.
const SEED: u64 = 42;
const PARTITIONS: i32 = 4;
/// Short, so that a silent peer is given up soon.
const SHORT: Duration = Duration::from_secs(1);

/// A cluster, a proxy before it, a client that knows only the proxy, and a topic.
struct Stage {
    kafka: &'static KafkaCluster,
    proxy: FaultProxy,
    client: Client,
    topic: String,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    async fn set(partitions: i32, request_timeout: Duration) -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        static TOPICS: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.lock().await;
        let (address, kafka) = proxied_node().await;
        let upstream = kafka.proxied_upstream(1).unwrap();
        let seed = std::env::var("CRAFTWIRE_PROXY_SEED").map_or(SEED, |seed| seed.parse().unwrap());
        eprintln!("seed {seed}");
        let proxy = FaultProxy::start(&[(address.address(), upstream)], seed).await;
        let client = impatient(&proxy, request_timeout).await;
        let topic = format!("proxied-{}", TOPICS.fetch_add(1, Ordering::Relaxed));
        client.admin().create_topic(NewTopic::new(&topic, partitions, 1)).await.unwrap();
        Self { kafka, proxy, client, topic, _turn: turn }
    }

    /// A steady load and a reader of it, both through the proxy; returns when the load is under way.
    async fn play(&self) -> Play {
        self.play_to(self.client.consumer()).await
    }

    async fn play_to(&self, consumer: ConsumerBuilder) -> Play {
        let (total, told) = watch::channel(None);
        let consumer = consumer.topics([self.topic.as_str()]);
        let reader = follow(consumer.build().await.unwrap(), told);
        let producer = self.client.producer().build().await.unwrap();
        let mut load = Load::start(&producer, &self.topic, PARTITIONS).await;
        load.goes_on_everywhere(10).await;
        Play { producer, load, reader, total }
    }

    /// Waits until a rule befell so many frames or connections.
    async fn befallen(&self, rule: &RuleHandle, times: u64) {
        eventually("the fault", PATIENCE, async || (rule.injected() >= times).then_some(())).await;
    }

    /// Ends the faults, sees the load go on, and judges everything.
    async fn judge(&self, mut play: Play) -> ProducerMetrics {
        eprintln!("injected: {:?}", self.proxy.counters());
        self.proxy.clear();
        play.load.goes_on_everywhere(10).await;
        let sent = play.load.end().await;
        let metrics = play.producer.metrics();
        eprintln!("{metrics:?}");
        let log = self.in_the_log().await;
        judge(&sent, &log);
        play.total.send_replace(Some(log.len()));
        let read = timeout(PATIENCE, play.reader).await.expect("the reader reads on").unwrap();
        assert!(read == log, "{} records were read of {}", read.len(), log.len());
        assert_eq!((metrics.loss_suspected, metrics.buffered_bytes), (0, 0));
        metrics
    }

    /// What another client finds, past the proxy.
    async fn in_the_log(&self) -> Vec<Place> {
        let client = connect(&self.kafka.bootstrap()).await;
        let ends = client.admin().list_offsets(&self.topic, OffsetSpec::Latest).await.unwrap();
        let mut missing: i64 = ends.values().sum();
        let mut consumer = client.consumer().topics([self.topic.as_str()]).build().await.unwrap();
        let mut log = Vec::new();
        while missing > 0 {
            let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
            log.push(place(record.partition(), record.offset(), record.value().unwrap()));
            missing -= 1;
        }
        log.sort_unstable();
        log
    }
}

/// A client that gives a silent peer up soon.
async fn impatient(proxy: &FaultProxy, request_timeout: Duration) -> Client {
    let builder = Client::builder(&proxy.bootstrap()).connect_timeout(SHORT);
    builder.request_timeout(request_timeout).build().await.unwrap()
}

struct Play {
    producer: Producer,
    load: Load,
    reader: JoinHandle<Vec<Place>>,
    total: watch::Sender<Option<usize>>,
}

async fn proxied_node() -> &'static (ReservedAddress, KafkaCluster) {
    static NODE: OnceLock<(ReservedAddress, KafkaCluster)> = OnceLock::new();
    let start = || {
        NODE.get_or_init(|| {
            let address = ReservedAddress::free();
            let builder = KafkaCluster::builder().advertise(&[address.address()]);
            (address, builder.start_blocking().unwrap())
        })
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_blackhole_both_ways_is_given_up_and_said() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let play = stage.play().await;
    let before = stage.proxy.connections();
    let hole = stage.proxy.add(Rule::both_ways(Fault::BlackHole));
    let error = stage.client.admin().describe_topic(&stage.topic).await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    stage.befallen(&hole, 6).await;
    let tried = stage.proxy.connections() - before;
    assert!(tried < 60, "{tried} connections into a hole: a hot loop");
    let _ = stage.judge(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f8_response_cut_at_every_byte_costs_a_connection_only() {
    require_kafka!();
    let stage = Stage::set(1, SHORT).await;
    let sample = (0..=12).chain((13..160).step_by(11)).chain([100_000]);
    let mut next = 0;
    for at in sample {
        // A client of its own for each, since one that is cut off again and again pauses longer and longer.
        let client = impatient(&stage.proxy, SHORT).await;
        let cut = stage.proxy.add(Rule::answers(Fault::Cut { at }).api(api::METADATA).times(1));
        let described = eventually("the topic", PATIENCE, async || {
            let described = client.admin().describe_topic(&stage.topic).await;
            described.inspect_err(|error| assert!(error.is_retriable(), "{at}: {error:?}")).ok()
        });
        assert_eq!(described.await.partitions.len(), 1, "{at}");
        assert_eq!(cut.injected(), 1, "{at}");

        let producer = client.producer().build().await.unwrap();
        let cut = stage.proxy.add(Rule::answers(Fault::Cut { at }).api(api::PRODUCE).times(1));
        let mut deliveries = Vec::new();
        for number in next..next + 3 {
            let record = ProducerRecord::new(stage.topic.as_str(), format!("0 {number}")).key("key-0");
            deliveries.push(producer.send(record).await.unwrap());
        }
        for delivery in deliveries {
            let ack = delivery.await.unwrap();
            assert_eq!(ack.offset, Some(next), "cut at {at}");
            next += 1;
        }
        assert_eq!(cut.injected(), 1, "{at}");
    }
    let log = stage.in_the_log().await;
    assert_eq!(log.len(), usize::try_from(next).unwrap());
    assert!((0..).zip(&log).all(|(number, place)| place.number == number));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f9_ack_lost_makes_no_duplicate_and_loses_nothing() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let play = stage.play().await;
    let lost = stage.proxy.add(Rule::answers(Fault::Reset { at: 0 }).api(api::PRODUCE).one_in(3));
    stage.befallen(&lost, 8).await;
    lost.remove();
    let metrics = stage.judge(play).await;
    assert!(metrics.retries >= 8, "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f9_answers_of_a_coordinator_lost_take_no_partition_and_no_commit() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let group = stage.topic.as_str();
    let mut play = stage.play_to(stage.client.consumer().group(group)).await;
    for api_key in [api::OFFSET_COMMIT, api::CONSUMER_GROUP_HEARTBEAT] {
        let lost = stage.proxy.add(Rule::answers(Fault::Reset { at: 0 }).api(api_key).times(2));
        stage.befallen(&lost, 2).await;
        play.load.goes_on_everywhere(5).await;
    }
    // The reader commits all of it when it closes, which it does in here.
    let _ = stage.judge(play).await;
    let lag = stage.client.admin().group_lag(group, &stage.topic).await.unwrap();
    assert!(lag.values().all(|partition| partition.lag == 0), "{lag:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_bit_flips_in_responses_deliver_no_wrong_event() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let direct = connect(&stage.kafka.bootstrap()).await;
    let producer = direct.producer().build().await.unwrap();
    let load = Load::start(&producer, &stage.topic, PARTITIONS).await;
    let flip = stage.proxy.add(Rule::answers(Fault::BitFlip { from: 0 }).api(api::FETCH).one_in(2));
    let mut read = BTreeSet::new();
    let mut corrupt = 0;
    while flip.injected() < 100 {
        // A wrong offset, which no checksum covers, may stop a partition; another consumer begins again.
        let mut consumer = stage.client.consumer().topics([stage.topic.as_str()]).build().await.unwrap();
        let until = flip.injected() + 10;
        while flip.injected() < until {
            let Ok(record) = timeout(SHORT, consumer.recv()).await else { break };
            let record = match record.expect("the consumer goes on") {
                Ok(record) => record,
                Err(error) => {
                    corrupt += u32::from(matches!(error, ConsumeError::CorruptBatch { .. }));
                    continue;
                }
            };
            let place = place(record.partition(), record.offset(), record.value().unwrap());
            assert_eq!(record.key(), Some(format!("key-{}", place.key).as_bytes()));
            read.insert((place.key, place.number));
        }
    }
    eprintln!("{} records read under {} flips, {corrupt} batches corrupt", read.len(), flip.injected());
    flip.remove();
    let sent = load.end().await;
    let sent: BTreeSet<_> = sent.iter().map(|(key, number, _)| (*key, *number)).collect();
    assert!(!read.is_empty() && read.is_subset(&sent));
    let mut consumer = stage.client.consumer().topics([stage.topic.as_str()]).build().await.unwrap();
    let mut whole = BTreeMap::new();
    while whole.len() < sent.len() {
        let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
        let place = place(record.partition(), record.offset(), record.value().unwrap());
        assert_eq!(whole.insert((place.key, place.number), place.offset), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_one_way_loss_on_connections_in_turn() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let mut play = stage.play().await;
    for rule in [
        Rule::answers(Fault::Hold).api(api::PRODUCE),
        Rule::answers(Fault::Hold).api(api::FETCH),
        Rule::requests(Fault::Hold).api(api::PRODUCE),
    ] {
        let lost = stage.proxy.add(rule);
        // The second is that of the connection that took the first one's place.
        stage.befallen(&lost, 2).await;
        lost.remove();
        play.load.goes_on_everywhere(5).await;
    }
    let _ = stage.judge(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_latency_and_slowloris_slow_it_down_and_no_more() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, 10 * SHORT).await;
    let mut play = stage.play().await;
    // A topic so new may have refused the first batches.
    let before = (play.producer.metrics().retries, stage.proxy.connections());
    let delay = |least, jitter| Fault::Delay {
        least: Duration::from_millis(least),
        jitter: Duration::from_millis(jitter),
    };
    for fault in [
        delay(25, 10),
        delay(100, 50),
        Fault::Rate { bytes_per_second: 64_000 },
        Fault::OneByteWrites { pause: Duration::ZERO },
    ] {
        let slow = stage.proxy.add(Rule::both_ways(fault));
        // More than may wait for an outcome at once, so that it is many round trips.
        play.load.goes_on_everywhere(200).await;
        slow.remove();
    }
    let after = (play.producer.metrics().retries, stage.proxy.connections());
    eprintln!("retries, connections: {before:?}, then {after:?}");
    assert_eq!(after, before, "retries, connections: slow is not lost");
    let _ = stage.judge(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_short_connections_carry_all_of_it() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let (least, most) = (SHORT / 2, SHORT * 3 / 2);
    let life = stage.proxy.add(Rule::both_ways(Fault::Life { least, most }));
    stage.proxy.add(Rule::answers(Fault::Reset { at: 0 }).api(api::PRODUCE).times(1));
    let play = stage.play().await;
    stage.befallen(&life, 8).await;
    assert!(stage.proxy.frames(Direction::Request, api::API_VERSIONS) > 8);
    let _ = stage.judge(play).await;
}
