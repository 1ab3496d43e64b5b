//! Classic groups and static members on real Kafka 4.1 and 3.9, alone and together with Java's consumer.

use crate::PATIENCE;
use craftwire::{
    Client,
    consumer::{Assignor, Consumer, ConsumerBuilder, ConsumerEvent, GroupProtocol},
    producer::ProducerRecord,
};
use craftwire_test_support::{
    ConsumeSpec, Java, KafkaCluster, Version, eventually, require_kafka, shared_single,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    join,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use uuid::Uuid;

const PARTITIONS: i32 = 6;
const ALL: [Assignor; 3] = [Assignor::CooperativeSticky, Assignor::Range, Assignor::RoundRobin];

struct Fixture {
    client: Client,
    java: Java,
    topic: String,
    group: String,
}

impl Fixture {
    async fn new(bootstrap: &str, java: Java) -> Self {
        let client = Client::connect(bootstrap).await.unwrap();
        let topic = format!("classic-{}", Uuid::new_v4());
        java.create_topic(&topic, 6, 1, &[]).await;
        let group = topic.clone();
        Self { client, java, topic, group }
    }

    fn member(&self) -> ConsumerBuilder {
        let consumer = self.client.consumer().group(self.group.as_str()).topics([self.topic.as_str()]);
        consumer
            .group_protocol(GroupProtocol::Classic)
            .session_timeout(Duration::from_secs(6))
            .heartbeat_interval(Duration::from_millis(500))
    }

    /// Writes these numbers round the partitions.
    async fn write(&self, numbers: Range<i32>) {
        let producer = self.client.producer().build().await.unwrap();
        for number in numbers {
            let record = ProducerRecord::new(self.topic.as_str(), number.to_string());
            producer.send(record.partition(number % PARTITIONS)).await.unwrap().await.unwrap();
        }
    }

    async fn committed(&self, wanted: i64) {
        eventually("all is committed", PATIENCE, async || {
            let offsets = self.client.admin().group_offsets(&self.group, &self.topic).await.ok()?;
            (offsets.values().sum::<i64>() == wanted).then_some(())
        })
        .await;
    }

    /// Java's consumer in the same group, until it has read so many records: what it read.
    fn java(&self, max_messages: usize, assignor: Assignor) -> JoinHandle<Vec<i32>> {
        let name = match assignor {
            Assignor::Range => "RangeAssignor",
            Assignor::RoundRobin => "RoundRobinAssignor",
            _ => "CooperativeStickyAssignor",
        };
        let spec = ConsumeSpec {
            max_messages,
            group: Some(self.group.clone()),
            consumer_properties: vec![
                format!("partition.assignment.strategy=org.apache.kafka.clients.consumer.{name}"),
                "auto.commit.interval.ms=100".to_owned(),
                "heartbeat.interval.ms=500".to_owned(),
            ],
            ..ConsumeSpec::default()
        };
        let (java, topic) = (self.java.clone(), self.topic.clone());
        tokio::spawn(async move {
            let lines = java.console_consumer(&topic, &spec).await;
            lines.iter().map(|line| line.parse().unwrap()).collect()
        })
    }

    /// Its members are replaced one by one, by such of KIP-848 and then by classic ones.
    async fn go_over_and_back(&self, assignor: Assignor) {
        let seen = Seen::default();
        let member = async |protocol| {
            let builder = self.member().group_protocol(protocol).assignors([assignor]);
            Member::start(builder.build().await.unwrap(), &seen)
        };
        let mut members = VecDeque::new();
        for _ in 0..3 {
            members.push_back(member(GroupProtocol::Classic).await);
        }
        let mut written = 0;
        for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
            for _ in 0..3 {
                members.push_back(member(protocol).await);
                self.write(written..written + 60).await;
                members.pop_front().unwrap().close().await;
                self.write(written + 60..written + 120).await;
                written += 120;
                for one in &mut members {
                    one.owns(2).await;
                }
                self.committed(written.into()).await;
            }
        }
        for one in members {
            one.close().await;
        }
        // A classic member that the last one of KIP-848 leaves behind in an older epoch has to begin anew, so something may
        // come twice; nothing may be lost.
        let seen = seen.lock().unwrap();
        assert_eq!(i32::try_from(seen.len()), Ok(written), "{assignor:?}: something was lost");
    }
}

/// How often each number came.
type Seen = Arc<Mutex<BTreeMap<i32, u32>>>;

/// A member in a task of its own, which acks what it reads.
struct Member {
    taken: Arc<Mutex<usize>>,
    has: watch::Receiver<BTreeSet<i32>>,
    end: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

impl Member {
    fn start(mut consumer: Consumer, seen: &Seen) -> Self {
        let mut events = consumer.events();
        let (owns, has) = watch::channel(BTreeSet::new());
        let (end, mut ended) = mpsc::channel(1);
        let taken: Arc<Mutex<usize>> = Arc::default();
        let (seen, noted) = (seen.clone(), taken.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    record = consumer.recv() => {
                        let record = record.unwrap().unwrap();
                        let number = std::str::from_utf8(record.value().unwrap()).unwrap().parse().unwrap();
                        assert!(consumer.ack(&record), "handed out after a revoke");
                        *seen.lock().unwrap().entry(number).or_default() += 1;
                    }
                    event = events.next() => {
                        if let Some(ConsumerEvent::Revoked(names) | ConsumerEvent::Lost(names)) = event {
                            *noted.lock().unwrap() += names.len();
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

    async fn owns(&mut self, count: usize) -> BTreeSet<i32> {
        let settled = timeout(PATIENCE, self.has.wait_for(|has| has.len() == count)).await;
        settled.expect("the group settles").unwrap().clone()
    }

    async fn close(self) {
        self.end.send(()).await.unwrap();
        timeout(PATIENCE, self.task).await.expect("it closes").unwrap();
    }
}

async fn members_share_and_take_over(bootstrap: &str, java: Java, protocol: GroupProtocol) {
    for assignor in ALL {
        let fixture = Fixture::new(bootstrap, java.clone()).await;
        let seen = Seen::default();
        let builder = fixture.member().group_protocol(protocol).assignors([assignor]);
        let member = async || Member::start(builder.clone().build().await.unwrap(), &seen);
        let mut first = member().await;
        first.owns(6).await;
        fixture.write(0..60).await;
        let mut second = member().await;
        let (ones, others) = (first.owns(3).await, second.owns(3).await);
        assert!(ones.is_disjoint(&others), "{assignor:?}: {ones:?} and {others:?}");
        let taken = *first.taken.lock().unwrap();
        assert_eq!(taken, if assignor == Assignor::CooperativeSticky { 3 } else { 6 }, "{assignor:?}");
        fixture.write(60..120).await;
        fixture.committed(120).await;
        first.close().await;
        second.owns(6).await;
        fixture.write(120..180).await;
        fixture.committed(180).await;
        second.close().await;
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 180);
        assert!(seen.values().all(|times| *times == 1), "something came twice");
    }
}

#[tokio::test]
async fn members_share_and_take_over_by_the_classic_protocol() {
    require_kafka!();
    let kafka = shared_single().await;
    members_share_and_take_over(kafka.bootstrap(), kafka.java(), GroupProtocol::Classic).await;
}

#[tokio::test]
async fn kafka_3_9_has_groups_and_static_members() {
    require_kafka!();
    let kafka = KafkaCluster::builder().version(Version::V3_9).start().await;
    members_share_and_take_over(&kafka.bootstrap(), kafka.java(), GroupProtocol::Auto).await;
    static_members(&kafka.bootstrap(), kafka.java(), GroupProtocol::Auto).await;
}

async fn static_members(bootstrap: &str, java: Java, protocol: GroupProtocol) {
    let fixture = Fixture::new(bootstrap, java).await;
    let seen = Seen::default();
    let member = async |instance| {
        let builder = fixture.member().group_protocol(protocol).group_instance_id(instance);
        Member::start(builder.build().await.unwrap(), &seen)
    };
    let mut first = member("one").await;
    first.owns(6).await;
    let mut second = member("two").await;
    let (ones, others) = (first.owns(3).await, second.owns(3).await);
    fixture.write(0..60).await;
    fixture.committed(60).await;
    let taken = *first.taken.lock().unwrap();
    second.close().await;
    let mut second = member("two").await;
    assert_eq!(second.owns(3).await, others, "{protocol:?}");
    fixture.write(60..120).await;
    fixture.committed(120).await;
    assert_eq!(first.owns(3).await, ones);
    assert_eq!(*first.taken.lock().unwrap(), taken, "{protocol:?}: the other noticed");
    second.close().await;
    // It stays away until its session ends.
    first.owns(6).await;
    assert!(seen.lock().unwrap().values().all(|times| *times == 1), "something came twice");
    first.close().await;
}

#[tokio::test]
async fn static_members_are_back_without_a_rebalance_in_groups_of_both_protocols() {
    require_kafka!();
    let kafka = shared_single().await;
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        static_members(kafka.bootstrap(), kafka.java(), protocol).await;
    }
}

/// KIP-848's conversion, which a broker does unless `group.consumer.migration.policy` says otherwise: the first member of
/// KIP-848 takes the group over, and the last one that leaves gives it back.
#[tokio::test]
async fn a_group_in_use_goes_over_to_kip_848_member_by_member_and_back() {
    require_kafka!();
    let kafka = shared_single().await;
    let [one, two, three] = ALL.map(async |assignor| {
        let fixture = Fixture::new(kafka.bootstrap(), kafka.java()).await;
        fixture.go_over_and_back(assignor).await;
    });
    join!(one, two, three);
}

#[tokio::test]
async fn java_joins_a_group_that_this_client_leads_and_leaves_it() {
    require_kafka!();
    let kafka = shared_single().await;
    for assignor in ALL {
        let fixture = Fixture::new(kafka.bootstrap(), kafka.java()).await;
        let seen = Seen::default();
        let mut member = Member::start(fixture.member().assignors([assignor]).build().await.unwrap(), &seen);
        member.owns(6).await;
        let java = fixture.java(30, assignor);
        member.owns(3).await;
        fixture.write(0..60).await;
        let theirs: BTreeSet<i32> = timeout(PATIENCE, java).await.unwrap().unwrap().into_iter().collect();
        member.owns(6).await;
        fixture.committed(60).await;
        member.close().await;
        let ours: BTreeSet<i32> = seen.lock().unwrap().keys().copied().collect();
        assert_eq!((ours.len(), theirs.len()), (30, 30), "{assignor:?}");
        assert!(ours.is_disjoint(&theirs));
    }
}

#[tokio::test]
async fn this_client_joins_a_group_that_java_leads() {
    require_kafka!();
    let kafka = shared_single().await;
    for assignor in ALL {
        let fixture = Fixture::new(kafka.bootstrap(), kafka.java()).await;
        let seen = Seen::default();
        fixture.write(0..60).await;
        let java = fixture.java(90, assignor);
        fixture.committed(60).await;
        let mut member = Member::start(fixture.member().assignors([assignor]).build().await.unwrap(), &seen);
        member.owns(3).await;
        fixture.write(60..120).await;
        let theirs: BTreeSet<i32> = timeout(PATIENCE, java).await.unwrap().unwrap().into_iter().collect();
        member.owns(6).await;
        fixture.committed(120).await;
        member.close().await;
        let ours: BTreeSet<i32> = seen.lock().unwrap().keys().copied().collect();
        assert_eq!((ours.len(), theirs.len()), (30, 90), "{assignor:?}");
        assert!(ours.is_disjoint(&theirs));
    }
}
