//! Task: the public handle: control over the cluster, and a look into it.

use super::api::Api;
use super::brokers::Broker;
use super::builder::MockClusterBuilder;
use super::cluster::Shared;
use super::error::MockError;
use super::forged::Forgery;
use super::log::Stored;
use super::on::On;
use super::records::{self, StoredBatch, StoredRecord};
use super::topics::{Partition, place_replicas};
use super::{batch, clock, memory, names};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

/// Opens a connection to the broker that is advertised under a host and a port.
pub type Connector = Arc<dyn Fn(&str, u16) -> io::Result<DuplexStream> + Send + Sync>;

/// A cluster in this process; see the [module](super) for what it can do.
///
/// Clones are handles on the same cluster. It ends, and cuts all connections, when the last one is dropped.
#[derive(Debug, Clone)]
pub struct MockCluster {
    running: Arc<Running>,
}

/// Ends the cluster's tasks with the last handle.
#[derive(Debug)]
pub(crate) struct Running {
    shared: Arc<Shared>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.shut_down();
    }
}

impl From<Arc<Running>> for MockCluster {
    fn from(running: Arc<Running>) -> Self {
        Self { running }
    }
}

impl MockCluster {
    /// Sets a cluster up; one broker unless told otherwise.
    pub fn builder() -> MockClusterBuilder {
        MockClusterBuilder::default()
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let running = Arc::new(Running { shared });
        running.shared.set_running(Arc::downgrade(&running));
        Self { running }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.running.shared
    }

    /// All brokers' addresses as `host:port,host:port`, stopped ones included.
    pub fn bootstrap(&self) -> String {
        let address = |broker: &Broker| format!("{}:{}", broker.host, broker.port);
        self.shared().with_core(|core| core.brokers.values().map(address).collect::<Vec<_>>().join(","))
    }

    /// What opens in-memory connections to this cluster, whichever way it was started.
    ///
    /// It refuses where no running broker is advertised under the address, and outside a Tokio runtime. It does not
    /// keep the cluster alive.
    pub fn connector(&self) -> Connector {
        let shared = Arc::clone(self.shared());
        Arc::new(move |host, port| memory::connect(&shared, host, port))
    }

    /// Serves a stream as a connection to `broker`: what a network of one's own is put in front of the cluster with.
    ///
    /// It counts as one more connection for [`Call::connection`](super::Call::connection).
    ///
    /// # Errors
    ///
    /// The broker is stopped or unknown, or no Tokio runtime is running here.
    pub fn serve<S>(&self, broker: i32, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(io::Error::other("no Tokio runtime is running here"));
        }
        let is_served = self.shared().accept(broker, stream);
        if is_served { Ok(()) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
    }

    /// Chooses requests of an API, to say what becomes of them.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use craftwire::mock::{Api, MockCluster};
    /// use std::time::Duration;
    ///
    /// let mock = MockCluster::builder().brokers(2).start_in_memory()?;
    /// // The third and fourth Produce to broker 2 are appended, but their answers are lost.
    /// mock.on(Api::Produce).broker(2).skip(2).times(2).disconnect_after();
    /// // Every fetch of one client is slow.
    /// let slow = mock.on(Api::Fetch).when(|call| call.client_id() == Some("slow")).always();
    /// slow.delay(Duration::from_millis(300));
    /// # Ok(()) }
    /// ```
    pub fn on(&self, api: Api) -> On<'_> {
        On::new(self.shared(), api)
    }

    /// Takes all hooks away.
    pub fn clear_hooks(&self) {
        self.shared().with_core(|core| core.hooks.clear());
    }

    /// How many requests of an API have come in since the start, to all brokers.
    pub fn request_count(&self, api: Api) -> u64 {
        self.shared().with_core(|core| core.request_count(api))
    }

    /// How many connections are open, to all brokers.
    pub fn connection_count(&self) -> usize {
        self.shared().connection_count()
    }

    /// Creates a topic with the default configs, its leaders spread over the brokers.
    ///
    /// # Errors
    ///
    /// The name or the count is not legal, or the topic exists.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), MockError> {
        self.create_topic_with(name, partitions, &[])
    }

    /// Creates a topic with configs of its own, such as `("min.insync.replicas", "2")`.
    ///
    /// # Errors
    ///
    /// The name, the count or a config is not legal, or the topic exists.
    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), MockError> {
        let topic = name.to_owned();
        if !names::is_topic_name(name) {
            return Err(MockError::TopicName(topic));
        }
        if partitions < 1 {
            return Err(MockError::PartitionCount { topic, count: partitions });
        }
        self.shared().with_core(|core| {
            if core.topics.get(name).is_some() {
                return Err(MockError::TopicExists(topic));
            }
            let mut own = BTreeMap::new();
            for (config, value) in configs {
                if let Err(reason) = core.configs.check_topic(config, value) {
                    return Err(MockError::Config { topic, reason });
                }
                own.insert((*config).to_owned(), (*value).to_owned());
            }
            let replication = core.settings.replication();
            core.create_topic(name, partitions, replication, own);
            Ok(())
        })
    }

    /// Deletes a topic. Whether it was there.
    pub fn delete_topic(&self, name: &str) -> bool {
        self.shared().with_core(|core| core.delete_topic(name))
    }

    /// Gives a topic more partitions, `count` in all.
    ///
    /// # Errors
    ///
    /// The topic does not exist, or has that many already.
    pub fn grow_topic(&self, name: &str, count: i32) -> Result<(), MockError> {
        let topic = name.to_owned();
        self.shared().with_core(|core| {
            let Some(found) = core.topics.get(name) else {
                return Err(MockError::UnknownPartition { topic, partition: 0 });
            };
            let now = i32::try_from(found.partitions.len()).unwrap_or(i32::MAX);
            if count <= now {
                return Err(MockError::PartitionCount { topic, count });
            }
            let brokers: Vec<i32> = core.brokers.keys().copied().collect();
            let first = usize::try_from(now).unwrap_or(0);
            let replication = core.settings.replication();
            let replicas = place_replicas(&brokers, count - now, replication, first);
            let up = core.brokers_up();
            core.topics.grow(name, replicas, &up);
            core.settle_replicas();
            Ok(())
        })
    }

    /// Has the next `answers` to Metadata tell the leader and leader epoch that a partition has now, whatever becomes of
    /// them: metadata that is late.
    ///
    /// # Errors
    ///
    /// There is no such partition.
    pub fn freeze_leader(&self, topic: &str, partition: i32, answers: u64) -> Result<(), MockError> {
        self.forge_leader(topic, partition, answers, |now| now)
    }

    /// Has the next `answers` to Metadata tell of no leader for a partition, with LEADER_NOT_AVAILABLE.
    ///
    /// # Errors
    ///
    /// There is no such partition.
    pub fn hide_leader(&self, topic: &str, partition: i32, answers: u64) -> Result<(), MockError> {
        self.forge_leader(topic, partition, answers, |_| None)
    }

    /// How often Metadata told of a partition what [`freeze_leader`](Self::freeze_leader) or
    /// [`hide_leader`](Self::hide_leader) had it tell.
    pub fn forged_leaders(&self) -> u64 {
        self.shared().with_core(|core| core.forgeries.told())
    }

    /// Takes back what [`freeze_leader`](Self::freeze_leader) and [`hide_leader`](Self::hide_leader) have in store.
    pub fn clear_forged_leaders(&self) {
        self.shared().with_core(|core| core.forgeries.clear());
    }

    fn forge_leader(
        &self,
        topic: &str,
        partition: i32,
        answers: u64,
        leader: impl FnOnce(Option<i32>) -> Option<i32>,
    ) -> Result<(), MockError> {
        self.shared().with_core(|core| {
            let Some(found) = core.topics.partition(topic, partition) else {
                return Err(MockError::UnknownPartition { topic: topic.to_owned(), partition });
            };
            let (leader, leader_epoch) = (leader(found.leader), found.leader_epoch);
            let topic = topic.to_owned();
            core.forgeries.add(Forgery { topic, partition, leader, leader_epoch, answers });
            Ok(())
        })
    }

    /// Makes a broker the coordinator of a group, for as long as it is up.
    ///
    /// The new one knows what was written down: sessions begin anew, and a generation that was not complete is as if it
    /// had never begun.
    pub fn move_coordinator(&self, group: &str, broker: i32) {
        let now = clock::now();
        self.shared().with_core(|core| {
            core.coordinators.insert(group.to_owned(), broker);
            let _ = core.group(group, now);
        });
    }

    /// The records of a partition, oldest first; none where there is no such partition.
    ///
    /// Those of open and aborted transactions are among them, markers are not. A batch that cannot be decoded is left
    /// out; [`batches`](Self::batches) has it.
    pub fn records(&self, topic: &str, partition: i32) -> Vec<StoredRecord> {
        let stored = self.stored(topic, partition);
        let data = stored.iter().filter(|batch| !batch.header.is_control());
        data.filter_map(records::decode).flatten().collect()
    }

    /// The batches of a partition as they are in the log, oldest first; none where there is no such partition.
    pub fn batches(&self, topic: &str, partition: i32) -> Vec<StoredBatch> {
        self.stored(topic, partition).iter().map(StoredBatch::from).collect()
    }

    /// (First offset, the offset that the next record gets) of a partition.
    pub fn offsets(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let now = clock::now();
        self.shared().with_core(|core| {
            core.keep_retention(now);
            let log = &core.topics.partition(topic, partition)?.log;
            Some((log.start_offset(), log.end_offset()))
        })
    }

    /// Appends a record, and returns its offset.
    ///
    /// # Errors
    ///
    /// There is no such partition.
    pub fn append(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<i64, MockError> {
        let now = clock::now();
        let timestamp = self.shared().with_core(|core| core.unix_ms(now));
        let record = (key.map(Bytes::copy_from_slice), value.map(Bytes::copy_from_slice), timestamp);
        let batch = records::encode(&[record]).ok_or(MockError::Batch)?;
        self.append_batch(topic, partition, &batch)
    }

    /// Appends a batch's bytes past all checks, and returns its base offset.
    ///
    /// The base offset that the bytes state is kept where it leaves a gap, as compaction does.
    ///
    /// # Errors
    ///
    /// There is no such partition, or the bytes are not one whole batch.
    pub fn append_batch(&self, topic: &str, partition: i32, batch: &[u8]) -> Result<i64, MockError> {
        let header = batch::BatchHeader::read(batch).ok_or(MockError::Batch)?;
        let whole = batch.get(..header.len).ok_or(MockError::Batch)?;
        self.on_partition(topic, partition, |found| {
            found.log.append(whole, header.base_offset, found.leader_epoch, None)
        })
    }

    /// Moves the start of a partition's log up to `offset`, as retention does.
    ///
    /// # Errors
    ///
    /// There is no such partition.
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) -> Result<(), MockError> {
        self.on_partition(topic, partition, |found| found.log.delete_before(offset))
    }

    /// Makes a partition forget all idempotent producers, as their expiry does.
    ///
    /// # Errors
    ///
    /// There is no such partition.
    pub fn forget_producers(&self, topic: &str, partition: i32) -> Result<(), MockError> {
        self.on_partition(topic, partition, |found| found.producers.clear())
    }

    /// The offset that a group has committed for a partition.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        self.shared().with_core(|core| {
            let committed = &core.groups.get(group)?.offsets;
            committed.get(&(topic.to_owned(), partition)).map(|committed| committed.offset)
        })
    }

    /// The members of a group and the partitions that each was last assigned, as (topic, partition).
    ///
    /// A member whose session is over stays in the list until the next request of the group.
    pub fn assignments(&self, group: &str) -> BTreeMap<String, Vec<(String, i32)>> {
        self.shared().with_core(|core| {
            core.groups.get(group).map(|found| found.assignments(&core.topics)).unwrap_or_default()
        })
    }

    /// Takes a member out of its group, as the end of its session does; its next heartbeat meets UNKNOWN_MEMBER_ID.
    /// Whether it was there.
    pub fn expel_member(&self, group: &str, member_id: &str) -> bool {
        let now = clock::now();
        self.shared().with_core(|core| {
            let was_there = core.group(group, now).is_some_and(|group| group.expel(member_id, now));
            core.deliver(group);
            was_there
        })
    }

    fn stored(&self, topic: &str, partition: i32) -> Vec<Stored> {
        let now = clock::now();
        self.shared().with_core(|core| {
            core.keep_retention(now);
            core.topics
                .partition(topic, partition)
                .map(|found| found.log.batches().cloned().collect())
                .unwrap_or_default()
        })
    }

    fn on_partition<T>(
        &self,
        topic: &str,
        partition: i32,
        work: impl FnOnce(&mut Partition) -> T,
    ) -> Result<T, MockError> {
        self.shared().at_now(|core, now| {
            core.keep_retention(now);
            let id = core.topics.get(topic).map(|topic| topic.id);
            let found = core.topics.partition_mut(topic, partition);
            let Some((id, found)) = id.zip(found) else {
                return Err(MockError::UnknownPartition { topic: topic.to_owned(), partition });
            };
            let result = work(found);
            core.advance(now, topic, partition);
            core.wake(id, partition);
            Ok(result)
        })
    }
}
