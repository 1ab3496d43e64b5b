//! Task: a cluster that cases run on, the mock or Kafka 4.1, and what is done to both by different means.

use crate::{
    connection::Connection,
    produce::produce,
    records::{A_YEAR_MS, Batch, FIRST_MS},
    transcript::Transcript,
};
use craftwire::mock::MockCluster;
use craftwire_test_support::{KafkaCluster, eventually};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    ElectLeadersRequest, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, OffsetFetchRequest,
    alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic},
    create_topics_request::{CreatableTopic, CreatableTopicConfig},
    delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
    delete_topics_request::DeleteTopicState,
    elect_leaders_request::TopicPartitions,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    metadata_request::MetadataRequestTopic,
    offset_fetch_request::OffsetFetchRequestGroup,
};
use kafka_protocol::protocol::StrBytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};
use tokio::sync::MutexGuard;
use uuid::Uuid;

/// One of the two clusters, as one case sees it.
///
/// Brokers have the ids 1, 2, 3 on both, and topics and groups are named after their case, so names are the same on
/// both and nobody else's.
pub(crate) struct Target {
    cluster: Cluster,
    /// Cases on three real brokers come one after the other, since some take a broker away.
    _turn: Option<MutexGuard<'static, ()>>,
    transcript: Mutex<Transcript>,
    answered: Mutex<Answered>,
    /// The topics created so far.
    topics: Mutex<Vec<Topic>>,
}

enum Cluster {
    Mock(MockCluster),
    Kafka(&'static KafkaCluster),
}

/// The error codes that answers held, by the API's number and the version.
pub(crate) type Answered = BTreeMap<(i16, i16), Vec<BTreeSet<i16>>>;

/// A topic of a case.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: StrBytes,
    pub(crate) id: Uuid,
}

impl Target {
    /// A mock of its own, with the settings of the real one.
    pub(crate) async fn mock(brokers: u8) -> Self {
        let mock = MockCluster::builder()
            .brokers(brokers)
            .auto_create_topics(false)
            .heartbeat_interval(Duration::from_secs(1))
            .session_timeout(Duration::from_secs(6))
            .group_minima(Duration::from_millis(500), Duration::from_secs(3))
            .initial_rebalance_delay(Duration::ZERO)
            .classic_session_timeouts(Duration::from_secs(1), Duration::from_secs(1800))
            .broker_session_timeout(Duration::from_secs(3))
            .replica_lag_time_max(Duration::from_secs(5))
            .start();
        Self::of(Cluster::Mock(mock.unwrap()), None)
    }

    /// The one real cluster of that size in this process.
    pub(crate) async fn kafka(brokers: u8) -> Self {
        static ONE: OnceLock<KafkaCluster> = OnceLock::new();
        static THREE: OnceLock<KafkaCluster> = OnceLock::new();
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let (cell, turn) = if brokers == 1 { (&ONE, None) } else { (&THREE, Some(TURN.lock().await)) };
        let start = move || {
            let builder = KafkaCluster::builder().nodes(brokers.into());
            cell.get_or_init(|| builder.start_blocking().unwrap())
        };
        Self::of(Cluster::Kafka(tokio::task::spawn_blocking(start).await.unwrap()), turn)
    }

    fn of(cluster: Cluster, turn: Option<MutexGuard<'static, ()>>) -> Self {
        Self {
            cluster,
            _turn: turn,
            transcript: Mutex::default(),
            answered: Mutex::default(),
            topics: Mutex::default(),
        }
    }

    /// A connection to broker 1, which is told nothing yet.
    pub(crate) async fn connect(&self) -> Connection<'_> {
        self.connect_to(1).await
    }

    pub(crate) async fn connect_to(&self, broker: i32) -> Connection<'_> {
        let address = match &self.cluster {
            Cluster::Kafka(kafka) => kafka.address(broker),
            Cluster::Mock(mock) => {
                let at = usize::try_from(broker - 1).unwrap();
                mock.bootstrap().split(',').nth(at).unwrap().to_owned()
            }
        };
        Connection::open(self, &address).await
    }

    /// Adds an answer, or what was made of one, to what is compared.
    pub(crate) fn note(&self, label: &str, answer: &impl Debug) {
        self.transcript.lock().unwrap().note(label, answer);
    }

    /// Writes `value` as `<name>` in all that is noted from now on.
    pub(crate) fn mask(&self, value: &str, name: &str) {
        self.transcript.lock().unwrap().mask(value, name);
    }

    pub(crate) fn transcript(&self) -> Vec<(String, Vec<String>)> {
        self.transcript.lock().unwrap().entries().to_vec()
    }

    /// Notes for the checklist which codes an answer held.
    pub(crate) fn answered(&self, api: i16, version: i16, codes: &BTreeSet<i16>) {
        self.answered.lock().unwrap().entry((api, version)).or_default().push(codes.clone());
    }

    pub(crate) fn take_answered(&self) -> Answered {
        std::mem::take(&mut self.answered.lock().unwrap())
    }

    /// Creates a topic with one replica a partition, led by broker 1 if there is but one, and waits until it can be used.
    /// It keeps records of any age.
    pub(crate) async fn topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let config = |(name, value): (&str, &str)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let configs = [("retention.ms", "-1")].into_iter().chain(configs.iter().copied()).map(config);
        let topic = CreatableTopic::default()
            .with_name(text(name).into())
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        self.create(topic).await
    }

    /// Creates a topic and waits until it can be used on broker 1.
    pub(crate) async fn create(&self, topic: CreatableTopic) -> Topic {
        let name = topic.name.clone();
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let mut connection = self.connect().await;
        let answer = connection.ask(7, &request).await;
        assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
        let (id, count) = (answer.topics[0].topic_id, answer.topics[0].num_partitions);

        let asked = MetadataRequestTopic::default().with_name(Some(name.clone()));
        let metadata = MetadataRequest::default().with_topics(Some(vec![asked]));
        let led = |index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-1);
        let led = ListOffsetsTopic::default()
            .with_name(name.clone())
            .with_partitions((0..count).map(led).collect());
        let led = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![led]);
        // Other brokers lead in a cluster of three, and answer 6.
        let is_led = |code: i16| code == 0 || (code == 6 && self.is_three());
        eventually("the topic is there", PATIENCE, async || {
            let known = connection.ask(12, &metadata).await;
            let topic = &known.topics[0];
            let is_known = topic.error_code == 0 && topic.partitions.iter().all(|p| p.error_code == 0);
            let led = connection.ask(7, &led).await;
            (is_known && led.topics[0].partitions.iter().all(|p| is_led(p.error_code))).then_some(())
        })
        .await;
        let topic = Topic { name: name.0, id };
        self.topics.lock().unwrap().push(topic.clone());
        topic
    }

    /// Deletes a topic, and waits until broker 1 knows.
    pub(crate) async fn delete_topic(&self, topic: &Topic) {
        let state = DeleteTopicState::default().with_name(Some(topic.name.clone().into()));
        let request = DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(30_000);
        let mut connection = self.connect().await;
        let answer = connection.ask(6, &request).await;
        assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
        self.topics.lock().unwrap().retain(|known| known.id != topic.id);
        let asked = MetadataRequestTopic::default().with_name(None).with_topic_id(topic.id);
        let metadata = MetadataRequest::default().with_topics(Some(vec![asked]));
        eventually("the topic is gone", PATIENCE, async || {
            (connection.ask(12, &metadata).await.topics[0].error_code == 100).then_some(())
        })
        .await;
    }

    /// Takes the records below `offset` away.
    pub(crate) async fn delete_records(&self, topic: &Topic, partition: i32, offset: i64) {
        if let Cluster::Mock(mock) = &self.cluster {
            return mock.delete_records(&topic.name, partition, offset).unwrap();
        }
        let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let name = topic.name.clone().into();
        let topic = DeleteRecordsTopic::default().with_name(name).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        let answer = self.connect().await.ask(2, &request).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, 0, "{answer:?}");
    }

    /// Makes the other of a partition's two replicas the leader.
    pub(crate) async fn move_leader(&self, topic: &Topic, partition: i32, leader: i32) {
        if let Cluster::Mock(mock) = &self.cluster {
            mock.reassign(&topic.name, partition, &[leader, 3 - leader]).unwrap();
            return mock.move_leader(&topic.name, partition, leader).unwrap();
        }
        let mut connection = self.connect().await;
        let replicas = [leader, 3 - leader].map(Into::into).to_vec();
        let moved =
            ReassignablePartition::default().with_partition_index(partition).with_replicas(Some(replicas));
        let moved =
            ReassignableTopic::default().with_name(topic.name.clone().into()).with_partitions(vec![moved]);
        let request =
            AlterPartitionReassignmentsRequest::default().with_topics(vec![moved]).with_timeout_ms(30_000);
        let answer = connection.ask(0, &request).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
        let elected =
            TopicPartitions::default().with_topic(topic.name.clone().into()).with_partitions(vec![partition]);
        let request =
            ElectLeadersRequest::default().with_topic_partitions(Some(vec![elected])).with_timeout_ms(30_000);
        let answer = connection.ask(2, &request).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
    }

    /// Freezes a broker, its connections open.
    pub(crate) async fn pause_broker(&self, broker: i32) {
        match &self.cluster {
            Cluster::Mock(mock) => mock.pause_broker(broker),
            Cluster::Kafka(kafka) => kafka.pause(broker),
        }
    }

    /// Lets a frozen broker go on.
    pub(crate) async fn resume_broker(&self, broker: i32) {
        match &self.cluster {
            Cluster::Mock(mock) => mock.resume_broker(broker),
            Cluster::Kafka(kafka) => kafka.resume(broker),
        }
    }

    /// Appends batches of one record to partition 0 in a transaction, and commits it, aborts it, or leaves it open.
    pub(crate) async fn transact(&self, topic: &Topic, count: i32, is_committed: Option<bool>) {
        if let Cluster::Mock(mock) = &self.cluster {
            let mut transaction = mock.transaction();
            for _ in 0..count {
                transaction.append(&topic.name, 0, Some(b"key"), Some(b"value")).unwrap();
            }
            return match is_committed {
                Some(true) => transaction.commit().unwrap(),
                Some(false) => transaction.abort().unwrap(),
                // Dropped, it stays open.
                None => (),
            };
        }
        static LAST: AtomicI32 = AtomicI32::new(0);
        let id: StrBytes = text(&format!("transaction-{}", LAST.fetch_add(1, Ordering::Relaxed)));
        let mut connection = self.connect().await;
        let begin = InitProducerIdRequest::default()
            .with_transactional_id(Some(id.clone().into()))
            .with_transaction_timeout_ms(600_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![id.clone()]);
        let producer = eventually("a transactional producer", PATIENCE, async || {
            // The first to look for a coordinator makes the topic that it needs.
            connection.ask(4, &find).await;
            let answer = connection.ask(5, &begin).await;
            (answer.error_code == 0).then_some(answer)
        })
        .await;
        for sequence in 0..count {
            let batch = Batch { attributes: 0x10, base_timestamp_ms: FIRST_MS + A_YEAR_MS, ..Batch::of(1) };
            let batch = batch.by(producer.producer_id.0, producer.producer_epoch, sequence);
            let request = produce(topic, 0, batch.bytes()).with_transactional_id(Some(id.clone().into()));
            eventually("the record of the transaction", PATIENCE, async || {
                let answer = connection.ask(12, &request).await;
                (answer.responses[0].partition_responses[0].error_code == 0).then_some(())
            })
            .await;
        }
        let Some(is_committed) = is_committed else { return };
        let end = EndTxnRequest::default()
            .with_transactional_id(id.into())
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_committed(is_committed);
        let answer = connection.ask(5, &end).await;
        assert_eq!(answer.error_code, 0, "{answer:?}");
        // The marker comes a little later.
        let latest = crate::list_offsets::list(topic, 0, -1, -1);
        eventually("the marker", PATIENCE, async || {
            let all = connection.ask(9, &latest).await.topics[0].partitions[0].offset;
            let stable = connection.ask(9, &latest.clone().with_isolation_level(1)).await;
            (stable.topics[0].partitions[0].offset == all).then_some(())
        })
        .await;
    }

    fn is_three(&self) -> bool {
        match &self.cluster {
            Cluster::Mock(mock) => mock.broker_ids().len() == 3,
            Cluster::Kafka(kafka) => kafka.node_ids().count() == 3,
        }
    }

    /// The coordinator of a group, once it is ready and knows the topics created so far.
    pub(crate) async fn coordinator(&self, group: &str) -> i32 {
        let mut connection = self.connect().await;
        let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
        let ask = OffsetFetchRequestGroup::default().with_group_id(text(group).into()).with_member_epoch(-1);
        let ask = OffsetFetchRequest::default().with_groups(vec![ask.with_topics(None)]);
        let coordinator = eventually("the group has a coordinator", PATIENCE, async || {
            let found = connection.ask(4, &find).await.coordinators.remove(0);
            if found.error_code != 0 {
                return None;
            }
            let mut coordinator = self.connect_to(found.node_id.0).await;
            let answer = coordinator.ask(9, &ask).await;
            (answer.groups[0].error_code == 0).then_some(found.node_id.0)
        })
        .await;
        let answered = self.answered.lock().unwrap().clone();
        self.wait_until_known(group, coordinator).await;
        // What that asked is no case.
        *self.answered.lock().unwrap() = answered;
        coordinator
    }

    /// Coordinators hear of topics a little after leaders do, each part of them by itself: a member of another group in
    /// the same part waits until it is assigned all that there is.
    async fn wait_until_known(&self, group: &str, coordinator: i32) {
        let topics: Vec<Topic> = self.topics.lock().unwrap().clone();
        if topics.is_empty() {
            return;
        }
        let names = (0..).map(|n| format!("probe-{}-{n}", topics[topics.len() - 1].id));
        let probe = names.into_iter().find(|name| part_of(name) == part_of(group)).unwrap();
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let join = crate::heartbeat::join(&probe, "probe", &names);
        let leave = crate::heartbeat::leave(&probe, "probe");
        let mut connection = self.connect_to(coordinator).await;
        eventually("the coordinator knows the topics", PATIENCE, async || {
            let assignment = connection.ask(1, &join).await.assignment;
            let ids: Vec<Uuid> =
                assignment.iter().flat_map(|all| &all.topic_partitions).map(|topic| topic.topic_id).collect();
            topics.iter().all(|topic| ids.contains(&topic.id)).then_some(())
        })
        .await;
        connection.ask(1, &leave).await;
    }

    /// A producer id that no other producer has.
    pub(crate) async fn producer_id(&self) -> i64 {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let mut connection = self.connect().await;
        eventually("a producer id", PATIENCE, async || {
            let answer = connection.ask(4, &request).await;
            (answer.error_code == 0).then_some(answer.producer_id.0)
        })
        .await
    }
}

/// Which partition of the offsets topic a group lives in: Java's hash of its name, of the four that tests have.
fn part_of(group: &str) -> u32 {
    let hash = group.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    (hash & 0x7fff_ffff) % 4
}

pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

const PATIENCE: Duration = Duration::from_secs(30);
