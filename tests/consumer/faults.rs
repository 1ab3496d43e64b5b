//! Faults on the mock, in virtual time: what a consumer hands out stays right whatever brokers do.

use craftwire::{
    Client,
    consumer::{
        ConsumeError, Consumer, ConsumerBuilder, ConsumerEvent, GroupProtocol, StartFrom, TopicPartition,
    },
    error::ErrorCode,
    mock::{Api, MockCluster, MockClusterBuilder},
};
use std::{collections::BTreeMap, future::pending, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// In virtual time, so it costs nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
pub(crate) const PARTITIONS: i32 = 4;

pub(crate) struct Fixture {
    pub(crate) mock: MockCluster,
    pub(crate) client: Client,
    pub(crate) written: BTreeMap<i32, i64>,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(MockCluster::builder().brokers(3)).await
    }

    pub(crate) async fn with(builder: MockClusterBuilder) -> Self {
        let mock = builder.topic("t", PARTITIONS).start_in_memory().unwrap();
        let client = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap();
        Self { mock, client, written: BTreeMap::new() }
    }

    /// Appends so many records to each partition; a record's value is its offset.
    pub(crate) fn write(&mut self, count: i64) {
        let partitions = i32::try_from(self.partitions()).unwrap();
        for index in 0..partitions {
            let next = self.written.entry(index).or_default();
            for _ in 0..count {
                let value = next.to_string();
                assert_eq!(self.mock.append("t", index, None, Some(value.as_bytes())).unwrap(), *next);
                *next += 1;
            }
        }
    }

    fn partitions(&self) -> usize {
        (0..).take_while(|index| self.mock.offsets("t", *index).is_some()).count()
    }

    pub(crate) fn member(&self) -> ConsumerBuilder {
        self.client.consumer().group("g").topics(["t"])
    }

    pub(crate) fn committed(&self) -> i64 {
        (0..PARTITIONS).filter_map(|index| self.mock.committed("g", "t", index)).sum()
    }
}

/// What a reader has seen: the next offset of each partition. Nothing is skipped; what may come again is said.
#[derive(Default)]
pub(crate) struct Seen(pub(crate) BTreeMap<i32, i64>);

impl Seen {
    pub(crate) async fn read(&mut self, consumer: &mut Consumer, count: usize, may_repeat: bool) {
        for _ in 0..count {
            self.read_one(consumer, may_repeat).await;
        }
    }

    pub(crate) async fn read_one(&mut self, consumer: &mut Consumer, may_repeat: bool) {
        let record = timeout(PATIENCE, consumer.recv()).await.expect("a record in time").unwrap().unwrap();
        let next = self.0.entry(record.partition()).or_default();
        assert_eq!(record.value(), Some(record.offset().to_string().as_bytes()));
        if !may_repeat {
            assert_eq!(record.offset(), *next, "partition {}", record.partition());
        }
        assert!(record.offset() <= *next, "partition {}: {next} was skipped", record.partition());
        *next = record.offset() + 1;
        consumer.ack(&record);
    }

    pub(crate) async fn read_all(
        &mut self,
        consumer: &mut Consumer,
        written: &BTreeMap<i32, i64>,
        may_repeat: bool,
    ) {
        while self.0 != *written {
            self.read_one(consumer, may_repeat).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fetch_faults_lose_and_repeat_nothing() {
    let mut fixture = Fixture::new().await;
    fixture.write(50);
    let mut consumer = fixture.client.consumer().topics(["t"]).build().await.unwrap();
    let mut seen = Seen::default();
    seen.read(&mut consumer, 10, false).await;
    for round in 0..12 {
        let on = || fixture.mock.on(Api::Fetch).skip(round % 3);
        match round {
            0 => drop(on().fail(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)),
            1 => drop(on().fail(ErrorCode::INVALID_FETCH_SESSION_EPOCH)),
            2 => drop(on().disconnect_before()),
            3 => drop(on().disconnect_after()),
            4 => drop(on().drop_before()),
            5 => drop(on().drop_after()),
            6 => drop(on().fail_partition("t", 0, ErrorCode::NOT_LEADER_OR_FOLLOWER)),
            7 => drop(on().fail_partition("t", 1, ErrorCode::UNKNOWN_TOPIC_ID)),
            8 => drop(on().fail_partition("t", 2, ErrorCode::FENCED_LEADER_EPOCH)),
            9 => drop(on().fail_partition("t", 3, ErrorCode::UNKNOWN_LEADER_EPOCH)),
            10 => drop(on().fail(ErrorCode::UNKNOWN_SERVER_ERROR)),
            _ => drop(on().answer(vec![0xff; 40])),
        }
        fixture.write(20);
        seen.read_all(&mut consumer, &fixture.written, false).await;
    }
    consumer.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn moving_leaders_and_restarting_brokers_lose_and_repeat_nothing() {
    let mut fixture = Fixture::new().await;
    let mut consumer = fixture.client.consumer().topics(["t"]).build().await.unwrap();
    let mut seen = Seen::default();
    for round in 0..12 {
        fixture.write(10);
        for index in 0..PARTITIONS {
            fixture.mock.move_leader("t", index, (round + index) % 3 + 1).unwrap();
        }
        seen.read_all(&mut consumer, &fixture.written, false).await;
        let broker = round % 3 + 1;
        fixture.mock.stop_broker(broker);
        fixture.write(10);
        fixture.mock.start_broker(broker).unwrap();
        seen.read_all(&mut consumer, &fixture.written, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn added_partitions_are_read_from_their_start() {
    for group in [None, Some("g")] {
        let mut fixture = Fixture::new().await;
        let mut builder = fixture.client.consumer().topics(["t"]).start_from(StartFrom::Latest);
        if let Some(group) = group {
            builder = builder.group(group);
        }
        let mut consumer = builder.build().await.unwrap();
        let mut seen = Seen::default();
        while consumer.lag().len() < 4 {
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        fixture.mock.grow_topic("t", 6).unwrap();
        fixture.write(10);
        seen.read_all(&mut consumer, &fixture.written, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f28_a_coordinator_that_moves_or_loads_costs_nothing() {
    let mut fixture = Fixture::new().await;
    fixture.write(10);
    let mut consumer = fixture.member().build().await.unwrap();
    let mut seen = Seen::default();
    seen.read_all(&mut consumer, &fixture.written, false).await;
    for (round, code) in [
        ErrorCode::NOT_COORDINATOR,
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
    ]
    .into_iter()
    .enumerate()
    {
        fixture.mock.move_coordinator("g", i32::try_from(round).unwrap() % 3 + 1);
        drop(fixture.mock.on(Api::ConsumerGroupHeartbeat).times(3).fail(code));
        drop(fixture.mock.on(Api::OffsetCommit).times(3).fail(code));
        drop(fixture.mock.on(Api::FindCoordinator).times(2).fail(code));
        fixture.write(10);
        seen.read_all(&mut consumer, &fixture.written, false).await;
        timeout(PATIENCE, consumer.commit()).await.expect("in time").unwrap();
        assert_eq!(fixture.committed(), fixture.written.values().sum::<i64>(), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn f31_a_commit_under_a_stale_epoch_is_tried_again_after_the_next_heartbeat() {
    let mut fixture = Fixture::new().await;
    fixture.write(5);
    let mut consumer = fixture.member().commit_interval(None).build().await.unwrap();
    let mut seen = Seen::default();
    seen.read_all(&mut consumer, &fixture.written, false).await;
    let stale = fixture.mock.on(Api::OffsetCommit).fail(ErrorCode::STALE_MEMBER_EPOCH);
    consumer.commit().await.unwrap();
    assert_eq!(stale.hits(), 1);
    assert_eq!(fixture.committed(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_dropped_by_the_group_loses_all_and_joins_again() {
    let mut fixture = Fixture::new().await;
    fixture.write(10);
    let mut consumer = fixture.member().build().await.unwrap();
    let mut events = consumer.events();
    let mut seen = Seen::default();
    seen.read_all(&mut consumer, &fixture.written, false).await;
    consumer.commit().await.unwrap();
    assert!(matches!(events.next().await, Some(ConsumerEvent::Assigned(all)) if all.len() == 4));
    let id = fixture.mock.assignments("g").into_keys().next().unwrap();
    assert!(fixture.mock.expel_member("g", &id));
    let lost = async {
        loop {
            if let Some(ConsumerEvent::Lost(lost)) = events.next().await {
                return lost;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, lost).await.unwrap().len(), 4);
    fixture.write(10);
    seen.read_all(&mut consumer, &fixture.written, false).await;
}

#[tokio::test(start_paused = true)]
async fn silence_of_the_coordinator_ends_delivery_before_the_session_ends() {
    let mut fixture = Fixture::with(
        MockCluster::builder()
            .heartbeat_interval(Duration::from_secs(1))
            .session_timeout(Duration::from_secs(6)),
    )
    .await;
    fixture.write(10);
    let mut consumer = fixture.member().build().await.unwrap();
    let mut seen = Seen::default();
    seen.read(&mut consumer, 20, false).await;
    let silence = fixture.mock.on(Api::ConsumerGroupHeartbeat).always().disconnect_before();
    let start = tokio::time::Instant::now();
    let mut events = consumer.events();
    loop {
        if let ConsumerEvent::Lost(_) = timeout(PATIENCE, events.next()).await.unwrap().unwrap() {
            break;
        }
    }
    let took = start.elapsed();
    assert!(took <= Duration::from_millis(6100), "the session may have ended after 6 s, not {took:?}");
    assert!(consumer.assignment().is_empty());
    silence.remove();
    seen.read_all(&mut consumer, &fixture.written, true).await;
}

#[tokio::test(start_paused = true)]
async fn f32_committed_offsets_that_are_not_stable_yet_are_waited_for() {
    let mut fixture = Fixture::new().await;
    fixture.write(10);
    let mut first = fixture.member().build().await.unwrap();
    Seen::default().read(&mut first, 20, false).await;
    first.close().await.unwrap();
    let at: i64 = fixture.committed();
    assert_eq!(at, 20);
    drop(fixture.mock.on(Api::OffsetFetch).times(2).fail(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    drop(fixture.mock.on(Api::OffsetFetch).times(5).fail_partition(
        "t",
        1,
        ErrorCode::UNSTABLE_OFFSET_COMMIT,
    ));
    let mut second = fixture.member().build().await.unwrap();
    let mut seen = Seen::default();
    for index in 0..PARTITIONS {
        seen.0.insert(index, fixture.mock.committed("g", "t", index).unwrap());
    }
    seen.read_all(&mut second, &fixture.written, false).await;
}

#[tokio::test(start_paused = true)]
async fn retention_that_overtakes_a_reader_follows_the_rule() {
    let mut fixture = Fixture::new().await;
    fixture.write(10);
    let partition = TopicPartition::new("t", 0);
    let mut consumer = fixture
        .client
        .consumer()
        .partitions("t", [0])
        .on_out_of_range(StartFrom::Fail)
        .build()
        .await
        .unwrap();
    Seen::default().read(&mut consumer, 10, false).await;
    consumer.pause(&partition).unwrap();
    fixture.write(10);
    fixture.mock.delete_records("t", 0, 15).unwrap();
    consumer.resume(&partition).unwrap();
    let error = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, ConsumeError::OffsetOutOfRange { offset: 10, .. }), "{error}");
    consumer.seek(&partition, 15).unwrap();
    let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(record.offset(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_the_protocol_is_a_fatal_error_and_the_end() {
    let fixture = Fixture::with(MockCluster::builder().without_api(Api::ConsumerGroupHeartbeat)).await;
    let mut consumer = fixture.member().group_protocol(GroupProtocol::Consumer).build().await.unwrap();
    let error = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_fatal(), "{error}");
    assert!(consumer.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn f41_closing_is_bounded_whatever_the_coordinator_does() {
    let mut fixture = Fixture::new().await;
    fixture.write(5);
    let mut consumer = fixture.member().commit_interval(None).build().await.unwrap();
    Seen::default().read(&mut consumer, 20, false).await;
    drop(fixture.mock.on(Api::OffsetCommit).always().drop_before());
    drop(fixture.mock.on(Api::ConsumerGroupHeartbeat).always().drop_before());
    let start = tokio::time::Instant::now();
    assert!(consumer.close().await.is_err(), "it could not be committed, and says so");
    assert!(start.elapsed() <= Duration::from_millis(10_100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn f40_dropping_a_receive_at_any_time_loses_nothing() {
    let mut fixture = Fixture::new().await;
    let mut consumer = fixture.member().build().await.unwrap();
    let mut seen = Seen::default();
    for _ in 0..50 {
        fixture.write(2);
        while seen.0 != fixture.written {
            // The receive is dropped whenever the timer is first.
            let _cut = timeout(Duration::from_millis(1), seen.read_one(&mut consumer, false)).await;
        }
    }
}

/// A member that acks what it gets, until it is told to close.
struct Worker {
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Worker {
    async fn start(fixture: &Fixture, handled: mpsc::UnboundedSender<(i32, i64)>) -> Self {
        let mut consumer = fixture.member().build().await.unwrap();
        let (close, mut closes) = oneshot::channel();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _told = &mut closes => break,
                    record = consumer.recv() => {
                        let record = record.unwrap().unwrap();
                        assert!(consumer.ack(&record), "handed out after a revoke");
                        handled.send((record.partition(), record.offset())).unwrap();
                    }
                }
            }
            consumer.close().await.unwrap();
        });
        Self { close, task }
    }

    async fn close(self) {
        self.close.send(()).unwrap();
        timeout(PATIENCE, self.task).await.expect("closed in time").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn f29_members_that_come_and_go_hand_over_without_loss_or_repetition() {
    for seed in 0..20_u64 {
        let builder = MockCluster::builder().brokers(3).seed(seed).heartbeat_interval(Duration::from_secs(1));
        let mut fixture = Fixture::with(builder).await;
        let (sender, mut handled) = mpsc::unbounded_channel();
        let mut workers = vec![Worker::start(&fixture, sender.clone()).await];
        let mut random = seed;
        for round in 0..30_i32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let choice = random >> 33;
            fixture.write(5);
            match choice % 8 {
                0 | 1 if workers.len() < 5 => workers.push(Worker::start(&fixture, sender.clone()).await),
                2 if workers.len() > 1 => workers.remove(0).close().await,
                3 => fixture.mock.move_coordinator("g", round % 3 + 1),
                4 => drop(fixture.mock.on(Api::ConsumerGroupHeartbeat).disconnect_before()),
                5 => drop(fixture.mock.on(Api::OffsetCommit).fail(ErrorCode::STALE_MEMBER_EPOCH)),
                6 => drop(fixture.mock.on(Api::OffsetCommit).fail(ErrorCode::NOT_COORDINATOR)),
                _ => drop(fixture.mock.on(Api::OffsetFetch).disconnect_before()),
            }
            let _passed = timeout(Duration::from_millis(choice % 1500), pending::<()>()).await;
        }
        let mut seen: BTreeMap<i32, i64> = BTreeMap::new();
        while seen != fixture.written {
            let (partition, offset) = timeout(PATIENCE, handled.recv()).await.expect("all in time").unwrap();
            let next = seen.entry(partition).or_default();
            assert_eq!(offset, *next, "seed {seed}, partition {partition}");
            *next += 1;
        }
        for worker in workers {
            worker.close().await;
        }
        assert_eq!(fixture.committed(), fixture.written.values().sum::<i64>(), "seed {seed}");
    }
}
