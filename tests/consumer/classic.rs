//! Groups of the classic protocol on the mock, in virtual time: members share, come, leave, fall silent and are back.

use craftwire::{
    Client,
    consumer::{
        Assignor, ConsumeError, Consumer, ConsumerBuilder, ConsumerEvent, GroupProtocol, TopicPartition,
    },
    crafting::Crafting,
    error::ErrorCode,
    mock::{Api, KafkaVersion, MockCluster, MockClusterBuilder},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{advance, timeout},
};

/// In virtual time, so it costs nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
const PARTITIONS: i32 = 6;
pub(crate) const ALL: [Assignor; 3] = [Assignor::CooperativeSticky, Assignor::Range, Assignor::RoundRobin];

pub(crate) struct Fixture {
    pub(crate) mock: MockCluster,
    client: Client,
    pub(crate) written: BTreeMap<i32, i64>,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(MockCluster::builder().brokers(3)).await
    }

    pub(crate) async fn with(builder: MockClusterBuilder) -> Self {
        let mock = builder.topic("t", PARTITIONS).topic("u", 2).start_in_memory().unwrap();
        let client = Client::builder(&mock.bootstrap()).memory(mock.connector()).build().await.unwrap();
        Self { mock, client, written: BTreeMap::new() }
    }

    /// Appends so many records to each partition; a record's value is its offset.
    pub(crate) fn write(&mut self, count: i64) {
        for index in (0..).take_while(|index| self.mock.offsets("t", *index).is_some()) {
            let next = self.written.entry(index).or_default();
            for _ in 0..count {
                let value = next.to_string();
                assert_eq!(self.mock.append("t", index, None, Some(value.as_bytes())).unwrap(), *next);
                *next += 1;
            }
        }
    }

    pub(crate) fn member(&self) -> ConsumerBuilder {
        self.client
            .consumer()
            .group("g")
            .group_protocol(GroupProtocol::Classic)
            .session_timeout(Duration::from_secs(10))
            .topics(["t"])
    }

    fn committed(&self) -> BTreeMap<i32, i64> {
        let committed = |index| Some((index, self.mock.committed("g", "t", index)?));
        self.written.keys().filter_map(|index| committed(*index)).collect()
    }

    /// Waits until all that was written is committed.
    pub(crate) async fn all_committed(&self) {
        let settled = async {
            while self.committed() != self.written {
                advance(Duration::from_millis(50)).await;
            }
        };
        let outcome = timeout(PATIENCE, settled).await;
        outcome.unwrap_or_else(|_| panic!("{:?} of {:?}", self.committed(), self.written));
    }
}

/// A member in a task of its own, which acks what it reads.
pub(crate) struct Member {
    /// What events said was taken from it.
    taken: Arc<Mutex<BTreeSet<i32>>>,
    has: watch::Receiver<BTreeSet<i32>>,
    end: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

/// How often each record came.
pub(crate) type Seen = Arc<Mutex<BTreeMap<(i32, i64), u32>>>;

impl Member {
    pub(crate) fn start(mut consumer: Consumer, seen: &Seen) -> Self {
        let mut events = consumer.events();
        let taken: Arc<Mutex<BTreeSet<i32>>> = Arc::default();
        let noted = taken.clone();
        let (owns, has) = watch::channel(BTreeSet::new());
        let (end, mut ended) = mpsc::channel(1);
        let seen = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    record = consumer.recv() => {
                        let record = record.unwrap().unwrap();
                        assert_eq!(record.value(), Some(record.offset().to_string().as_bytes()));
                        assert!(consumer.ack(&record), "handed out after a revoke");
                        *seen.lock().unwrap().entry((record.partition(), record.offset())).or_default() += 1;
                    }
                    event = events.next() => {
                        if let Some(ConsumerEvent::Revoked(names) | ConsumerEvent::Lost(names)) = event {
                            noted.lock().unwrap().extend(names.into_iter().map(|name| name.partition));
                        }
                        owns.send_replace(consumer.assignment().iter().map(|name| name.partition).collect());
                    }
                    _ = ended.recv() => break,
                }
            }
            consumer.close().await.unwrap();
        });
        Self { taken, has, end, task }
    }

    pub(crate) fn has(&self) -> BTreeSet<i32> {
        self.has.borrow().clone()
    }

    pub(crate) async fn owns(&mut self, count: usize) -> BTreeSet<i32> {
        let settled = self.has.wait_for(|has| has.len() == count);
        timeout(PATIENCE, settled).await.expect("the group settles").unwrap().clone()
    }

    pub(crate) async fn close(self) {
        self.end.send(()).await.unwrap();
        timeout(PATIENCE, self.task).await.expect("it closes").unwrap();
    }

    /// The partitions that were taken from it since it was last asked.
    fn taken(&self) -> BTreeSet<i32> {
        std::mem::take(&mut *self.taken.lock().unwrap())
    }
}

fn once_each(seen: &Seen, written: &BTreeMap<i32, i64>) {
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), usize::try_from(written.values().sum::<i64>()).unwrap());
    assert!(seen.values().all(|times| *times == 1), "something came twice");
}

#[tokio::test(start_paused = true)]
async fn members_share_and_take_over_under_every_assignor_and_all_comes_once() {
    for assignor in ALL {
        let mut fixture = Fixture::new().await;
        let seen = Seen::default();
        let builder = fixture.member().assignors([assignor]);
        let member = async || Member::start(builder.clone().build().await.unwrap(), &seen);
        fixture.write(20);
        let mut first = member().await;
        first.owns(6).await;
        let mut second = member().await;
        let (ones, others) = (first.owns(3).await, second.owns(3).await);
        assert!(ones.is_disjoint(&others), "{assignor:?}: {ones:?} and {others:?}");
        fixture.write(20);
        let mut third = member().await;
        first.owns(2).await;
        second.owns(2).await;
        third.owns(2).await;
        fixture.write(20);
        fixture.all_committed().await;
        second.close().await;
        first.owns(3).await;
        third.owns(3).await;
        fixture.write(20);
        fixture.all_committed().await;
        first.close().await;
        third.owns(6).await;
        fixture.write(20);
        fixture.all_committed().await;
        third.close().await;
        once_each(&seen, &fixture.written);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_23_cooperative_members_give_back_only_what_moves() {
    for (assignor, taken) in [(Assignor::CooperativeSticky, 3), (Assignor::Range, 6)] {
        let fixture = Fixture::new().await;
        let seen = Seen::default();
        let builder = fixture.member().assignors([assignor]);
        let mut first = Member::start(builder.clone().build().await.unwrap(), &seen);
        first.owns(6).await;
        let mut second = Member::start(builder.build().await.unwrap(), &seen);
        let theirs = second.owns(3).await;
        first.owns(3).await;
        let given_back = first.taken();
        assert_eq!(given_back.len(), taken, "{assignor:?}");
        assert!(given_back.is_superset(&theirs));
    }
}

#[tokio::test(start_paused = true)]
async fn the_classic_protocol_is_spoken_where_the_other_is_not_there() {
    let builders = [
        MockCluster::builder().kafka_version(KafkaVersion::V3_9),
        MockCluster::builder().without_api(Api::ConsumerGroupHeartbeat),
    ];
    for builder in builders {
        let mut fixture = Fixture::with(builder).await;
        let seen = Seen::default();
        fixture.write(10);
        let builder = fixture.member().group_protocol(GroupProtocol::Auto);
        let mut members = Vec::new();
        for _ in 0..2 {
            members.push(Member::start(builder.clone().build().await.unwrap(), &seen));
        }
        for member in &mut members {
            member.owns(3).await;
        }
        fixture.all_committed().await;
        for member in members {
            member.close().await;
        }
        assert!(fixture.mock.request_count(Api::SyncGroup) > 0);
        once_each(&seen, &fixture.written);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_dropped_by_the_group_loses_all_and_joins_again() {
    for assignor in ALL {
        let mut fixture = Fixture::new().await;
        let seen = Seen::default();
        fixture.write(10);
        let mut member = Member::start(fixture.member().assignors([assignor]).build().await.unwrap(), &seen);
        member.owns(6).await;
        fixture.all_committed().await;
        let id = fixture.mock.assignments("g").into_keys().next().unwrap();
        assert!(fixture.mock.expel_member("g", &id));
        member.owns(0).await;
        member.owns(6).await;
        fixture.write(10);
        fixture.all_committed().await;
        once_each(&seen, &fixture.written);
    }
}

#[tokio::test(start_paused = true)]
async fn promise_21_silence_of_the_coordinator_ends_delivery_before_the_session_ends() {
    let fixture = Fixture::new().await;
    let seen = Seen::default();
    let mut member = Member::start(fixture.member().build().await.unwrap(), &seen);
    member.owns(6).await;
    let silence = fixture.mock.on(Api::Heartbeat).always().disconnect_before();
    let silent_joins = fixture.mock.on(Api::JoinGroup).always().disconnect_before();
    let start = tokio::time::Instant::now();
    member.owns(0).await;
    let took = start.elapsed();
    assert!(took <= Duration::from_millis(10_100), "the session may have ended after 10 s, not {took:?}");
    silence.remove();
    silent_joins.remove();
    member.owns(6).await;
}

#[tokio::test(start_paused = true)]
async fn promise_22_lost_and_refused_answers_lose_and_repeat_nothing() {
    let mut fixture = Fixture::new().await;
    let seen = Seen::default();
    let builder = fixture.member();
    let mut first = Member::start(builder.clone().build().await.unwrap(), &seen);
    first.owns(6).await;
    for round in 0..24 {
        let api = [Api::JoinGroup, Api::SyncGroup, Api::Heartbeat][round % 3];
        let on = || fixture.mock.on(api).skip(u64::try_from(round % 2).unwrap());
        match round / 3 {
            0 => drop(on().disconnect_before()),
            1 => drop(on().disconnect_after()),
            2 => drop(on().drop_before()),
            3 => drop(on().fail(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)),
            4 => drop(on().fail(ErrorCode::NOT_COORDINATOR)),
            5 => drop(on().fail(ErrorCode::REBALANCE_IN_PROGRESS)),
            6 => drop(on().fail(ErrorCode::UNKNOWN_SERVER_ERROR)),
            _ => drop(on().answer(vec![0xff; 40])),
        }
        fixture.write(5);
        let mut second = Member::start(builder.clone().build().await.unwrap(), &seen);
        second.owns(3).await;
        first.owns(3).await;
        fixture.write(5);
        fixture.all_committed().await;
        second.close().await;
        first.owns(6).await;
        fixture.all_committed().await;
        fixture.mock.clear_hooks();
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), usize::try_from(fixture.written.values().sum::<i64>()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_moves_costs_nothing() {
    let mut fixture = Fixture::new().await;
    let seen = Seen::default();
    let mut members = Vec::new();
    for _ in 0..2 {
        members.push(Member::start(fixture.member().build().await.unwrap(), &seen));
    }
    for broker in [2, 3, 1] {
        for member in &mut members {
            member.owns(3).await;
        }
        fixture.write(10);
        fixture.mock.move_coordinator("g", broker);
        fixture.all_committed().await;
    }
    for member in &mut members {
        assert!(member.taken().is_subset(&BTreeSet::from([0, 1, 2, 3, 4, 5])));
        member.owns(3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f38_the_leader_divides_partitions_that_are_added_and_topics_of_others() {
    let mut fixture = Fixture::new().await;
    let seen = Seen::default();
    let mut first = Member::start(fixture.member().build().await.unwrap(), &seen);
    first.owns(6).await;
    // The leader does not read "u" itself.
    let other = fixture.member().topics(["u"]).build().await.unwrap();
    let settled = async {
        while other.assignment().len() != 4 {
            advance(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, settled).await.expect("both of u, and of t as many as make it even");
    let of_u = other.assignment().iter().filter(|name| *name.topic == *"u").count();
    assert_eq!(of_u, 2);
    other.close().await.unwrap();
    first.owns(6).await;
    fixture.mock.grow_topic("t", 8).unwrap();
    first.owns(8).await;
    fixture.write(5);
    fixture.all_committed().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_keeps_partitions_is_not_fenced_while_it_waits_for_a_slow_one() {
    let mut fixture = Fixture::new().await;
    let seen = Seen::default();
    let mut first = Member::start(fixture.member().build().await.unwrap(), &seen);
    first.owns(6).await;
    // A member that does not come back to a rebalance, but is alive: the others wait for it for 60 s.
    let mut second = Member::start(fixture.member().build().await.unwrap(), &seen);
    second.owns(3).await;
    first.owns(3).await;
    let slow = fixture.mock.on(Api::JoinGroup).delay_before(Duration::from_secs(30));
    first.taken();
    let mut third = Member::start(fixture.member().build().await.unwrap(), &seen);
    fixture.write(10);
    third.owns(2).await;
    first.owns(2).await;
    second.owns(2).await;
    assert_eq!(slow.hits(), 1);
    assert!(first.taken().len() <= 2, "nothing was lost, only given back");
    fixture.all_committed().await;
    once_each(&seen, &fixture.written);
}

#[tokio::test(start_paused = true)]
async fn members_without_a_common_assignor_are_refused() {
    let fixture = Fixture::new().await;
    let seen = Seen::default();
    let mut first = Member::start(fixture.member().build().await.unwrap(), &seen);
    first.owns(6).await;
    let mut other = fixture.member().assignors([Assignor::Range]).build().await.unwrap();
    let error = timeout(PATIENCE, other.recv()).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_fatal());
    assert!(told(&error).contains("INCONSISTENT_GROUP_PROTOCOL"), "{}", told(&error));
}

#[tokio::test(start_paused = true)]
async fn an_assignor_is_changed_by_two_rounds_of_restarts() {
    let mut fixture = Fixture::new().await;
    let seen = Seen::default();
    let rounds = [
        vec![Assignor::Range],
        vec![Assignor::CooperativeSticky, Assignor::Range],
        vec![Assignor::CooperativeSticky],
    ];
    let member = async |assignors: &[Assignor]| {
        let builder = fixture.client.consumer().group("g").group_protocol(GroupProtocol::Classic);
        let builder = builder.topics(["t"]).assignors(assignors.iter().copied());
        Member::start(builder.build().await.unwrap(), &seen)
    };
    let mut members = vec![member(&rounds[0]).await, member(&rounds[0]).await];
    for assignors in &rounds[1..] {
        for _ in 0..2 {
            for each in &mut members {
                each.owns(3).await;
            }
            members.remove(0).close().await;
            members.push(member(assignors).await);
        }
    }
    for each in &mut members {
        each.owns(3).await;
    }
    fixture.write(10);
    fixture.all_committed().await;
    once_each(&seen, &fixture.written);
}

#[tokio::test(start_paused = true)]
async fn a_static_member_that_is_back_in_time_has_its_partitions_and_nobody_notices() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let mut fixture = Fixture::new().await;
        let seen = Seen::default();
        fixture.write(10);
        let builder = fixture.member().group_protocol(protocol);
        let mut first = Member::start(builder.clone().group_instance_id("one").build().await.unwrap(), &seen);
        first.owns(6).await;
        let mut second =
            Member::start(builder.clone().group_instance_id("two").build().await.unwrap(), &seen);
        let (ones, others) = (first.owns(3).await, second.owns(3).await);
        fixture.all_committed().await;
        first.taken();
        second.close().await;
        advance(Duration::from_secs(5)).await;
        let mut second = Member::start(builder.group_instance_id("two").build().await.unwrap(), &seen);
        assert_eq!(second.owns(3).await, others, "{protocol:?}");
        assert_eq!(first.owns(3).await, ones);
        assert!(first.taken().is_empty(), "{protocol:?}: the other noticed");
        fixture.write(10);
        fixture.all_committed().await;
        once_each(&seen, &fixture.written);
    }
}

#[tokio::test(start_paused = true)]
async fn a_static_member_that_stays_away_gives_way_when_its_session_ends() {
    let mut fixture = Fixture::new().await;
    let seen = Seen::default();
    let mut members = Vec::new();
    for instance in ["one", "two"] {
        let builder = fixture.member().group_instance_id(instance);
        members.push(Member::start(builder.build().await.unwrap(), &seen));
    }
    for member in &mut members {
        member.owns(3).await;
    }
    let gone = members.remove(0);
    gone.close().await;
    let start = tokio::time::Instant::now();
    members[0].owns(6).await;
    assert!(start.elapsed() > Duration::from_secs(5), "{:?}", start.elapsed());
    fixture.write(10);
    fixture.all_committed().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_members_with_one_instance_id_one_is_refused() {
    let fixture = Fixture::new().await;
    let builder = fixture.member().group_instance_id("one");
    let mut first = builder.clone().build().await.unwrap();
    let mut events = first.events();
    timeout(PATIENCE, events.next()).await.unwrap();
    let second = builder.build().await.unwrap();
    let error = timeout(PATIENCE, first.recv()).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, ConsumeError::Group { .. }) && error.is_fatal());
    assert!(told(&error).contains("FENCED_INSTANCE_ID"), "{}", told(&error));
    assert!(first.assignment().is_empty());
    let all = (0..PARTITIONS).map(|index| TopicPartition::new("t", index)).collect::<Vec<_>>();
    while second.assignment() != all {
        advance(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_id_that_is_not_released_is_waited_for_and_then_refused() {
    let fixture = Fixture::new().await;
    let builder = fixture.client.consumer().group("g").topics(["t"]).group_instance_id("one");
    let first = builder.clone().build().await.unwrap();
    let mut events = first.events();
    timeout(PATIENCE, events.next()).await.unwrap();
    let mut second = builder.clone().build().await.unwrap();
    let start = tokio::time::Instant::now();
    let error = timeout(PATIENCE, second.recv()).await.unwrap().unwrap().unwrap_err();
    assert!(told(&error).contains("UNRELEASED_INSTANCE_ID"), "{}", told(&error));
    assert!(start.elapsed() > Duration::from_secs(45), "{:?}", start.elapsed());
    assert_eq!(first.assignment().len(), 6);

    let third = builder.build().await.unwrap();
    advance(Duration::from_secs(10)).await;
    first.close().await.unwrap();
    while third.assignment().len() != 6 {
        advance(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_static_join_whose_answer_was_lost_does_not_keep_its_own_instance_out() {
    let fixture = Fixture::new().await;
    let builder = fixture.client.consumer().group("g").topics(["t"]).group_instance_id("one");
    let lost = fixture.mock.on(Api::ConsumerGroupHeartbeat).disconnect_after();
    let start = tokio::time::Instant::now();
    let consumer = builder.build().await.unwrap();
    while consumer.assignment().len() != 6 {
        advance(Duration::from_millis(50)).await;
    }
    assert_eq!(lost.hits(), 1);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_asks_a_classic_group_for_the_sessions_of_the_contract() {
    let builder = MockCluster::builder().brokers(3).kafka_version(KafkaVersion::V3_9);
    let mock = builder.topic("game.crafting.events", 16).start_in_memory().unwrap();
    let connector = mock.connector();
    let crafting = Crafting::builder(&mock.bootstrap()).client(|client| client.memory(connector));
    let subscriber = crafting.build().await.unwrap().session_events().build().await.unwrap();
    let owns = async |count| {
        while subscriber.assignment().len() != count {
            advance(Duration::from_millis(50)).await;
        }
    };
    owns(16).await;
    let _beats = mock.on(Api::Heartbeat).always().disconnect_before();
    let _joins = mock.on(Api::JoinGroup).always().disconnect_before();
    let start = tokio::time::Instant::now();
    timeout(PATIENCE, owns(0)).await.expect("it is fenced");
    let took = start.elapsed().as_millis();
    assert!((26_900..=30_100).contains(&took), "30 s from a heartbeat within the last 3 s, not {took} ms");
}

fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
