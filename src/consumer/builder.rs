//! Task: builds a consumer from what it is told, and starts it.

use super::{
    Consumer,
    config::{ConsumerConfig, Isolation},
    error::ConsumeError,
    protocol::{Assignor, GroupProtocol},
    record::TopicPartition,
    start::StartFrom,
};
use crate::{cluster::Cluster, wire::api::fetch::IsolationLevel};
use std::{sync::Arc, time::Duration};

/// Says what a [`Consumer`] reads, and how; [`build`](Self::build) starts it.
///
/// Topics are needed, or partitions. With a group, the group's members share the topics' partitions and offsets are
/// committed; without one, all partitions of the topics are read, from where `start_from` says.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ConsumerBuilder {
    cluster: Cluster,
    config: ConsumerConfig,
}

impl ConsumerBuilder {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster, config: ConsumerConfig::default() }
    }

    /// The group to read and commit as a member of. With [`partitions`](Self::partitions), only the commits are its.
    pub fn group(mut self, name: impl Into<Arc<str>>) -> Self {
        self.config.group = Some(name.into());
        self
    }

    /// By which protocol it is a member. Default: [`GroupProtocol::Auto`].
    pub fn group_protocol(mut self, protocol: GroupProtocol) -> Self {
        self.config.group_protocol = protocol;
        self
    }

    /// How the group's leader divides the partitions under the classic protocol, best first. Default:
    /// [`Assignor::CooperativeSticky`]. A group goes from one assignor to another by one round of restarts in which
    /// members name both, and one in which they name the new one. A member that names more than the cooperative one
    /// gives everything back at each rebalance.
    pub fn assignors(mut self, assignors: impl IntoIterator<Item = Assignor>) -> Self {
        self.config.assignors = assignors.into_iter().collect();
        self
    }

    /// Makes it a static member (KIP-345): one that is back within the session timeout under the same id, which no
    /// other member of the group may have at the same time, has its partitions again, and nobody else notices.
    /// [`Consumer::close`] and dropping it do not give the partitions to others: that happens when the session ends.
    pub fn group_instance_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.config.group_instance_id = Some(id.into());
        self
    }

    /// The topics to read. They must exist.
    pub fn topics<T: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.config.topics.extend(names.into_iter().map(Into::into));
        self
    }

    /// These partitions of a topic and no others, whoever else reads them.
    pub fn partitions(
        mut self,
        topic: impl Into<Arc<str>>,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Self {
        let topic = topic.into();
        let names = partitions.into_iter().map(|partition| TopicPartition::new(topic.clone(), partition));
        self.config.partitions.extend(names);
        self
    }

    /// Where to start when there is no committed offset. Default: [`StartFrom::Earliest`].
    pub fn start_from(mut self, start: StartFrom) -> Self {
        self.config.start_from = start;
        self
    }

    /// Where to go on when the offset to read does not exist any more, because it was too slow for the topic's
    /// retention for example. Default: what [`start_from`](Self::start_from) says.
    pub fn on_out_of_range(mut self, start: StartFrom) -> Self {
        self.config.on_out_of_range = Some(start);
        self
    }

    /// Which records of transactions are given. Default: [`Isolation::ReadCommitted`].
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.config.isolation = match isolation {
            Isolation::ReadCommitted => IsolationLevel::ReadCommitted,
            Isolation::ReadUncommitted => IsolationLevel::ReadUncommitted,
        };
        self
    }

    /// How much is fetched ahead in all, in bytes as they were sent. Default: 64 MiB; at least 1 MiB. One batch that
    /// is larger than what is left comes in nevertheless.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.buffer_bytes = bytes;
        self
    }

    /// How much is fetched ahead of one partition, in bytes. Default: 2 MiB. While it is reached the other partitions
    /// are fetched on.
    pub fn partition_buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.partition_buffer_bytes = bytes;
        self
    }

    /// How much one answer holds of one partition at most, in bytes. Default: 1 MiB.
    pub fn partition_fetch_bytes(mut self, bytes: usize) -> Self {
        self.config.partition_fetch_bytes = bytes;
        self
    }

    /// How much one answer holds at most, in bytes. Default: 4 MiB: more costs memory and, out of the caches, time.
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.config.fetch_max_bytes = bytes;
        self
    }

    /// How large a batch may become when it is decompressed, in bytes; a larger one counts as corrupt. Default: 32 MiB.
    pub fn batch_bytes_max(mut self, bytes: usize) -> Self {
        self.config.batch_bytes_max = bytes;
        self
    }

    /// How much there must be before a broker answers, in bytes. Default: 1, which answers as soon as there is
    /// anything.
    pub fn fetch_min_bytes(mut self, bytes: i32) -> Self {
        self.config.fetch_min_bytes = bytes;
        self
    }

    /// How long a broker holds an answer back while there is nothing. Default: 500 ms. A shorter time makes no record
    /// come sooner.
    pub fn fetch_max_wait(mut self, wait: Duration) -> Self {
        self.config.fetch_max_wait = wait;
        self
    }

    /// How often what was acked is committed; `None` leaves it to [`Consumer::commit`], revokes and
    /// [`Consumer::close`]. Default: 1 s.
    pub fn commit_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.config.commit_interval = interval.into();
        self
    }

    /// How long a partition that goes to another member is kept for records that were handed out and not acked yet.
    /// Default: 500 ms.
    pub fn revoke_grace(mut self, grace: Duration) -> Self {
        self.config.revoke_grace = grace;
        self
    }

    /// How long the group waits for this member to give partitions back. Default: 60 s.
    pub fn rebalance_timeout(mut self, timeout: Duration) -> Self {
        self.config.rebalance_timeout = timeout;
        self
    }

    /// After how long without a heartbeat this member takes itself for dropped by the group. Default: the group's
    /// `consumer.session.timeout.ms`, which is read from the broker; it should not be longer than that. Under the
    /// classic protocol it is what the member asks of the group; default: 45 s, at least the brokers'
    /// `group.min.session.timeout.ms`, 6 s.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.config.session_timeout = Some(timeout);
        self
    }

    /// What `session_timeout` is under the classic protocol, where it is not set: a contract's, which KIP-848 leaves to
    /// the broker.
    pub(crate) fn classic_session_timeout(mut self, timeout: Duration) -> Self {
        self.config.classic_session_timeout = timeout;
        self
    }

    /// How often the member tells the group that it is alive, under the classic protocol. Default: 3 s, at most a third
    /// of the session timeout.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.config.heartbeat_interval = interval;
        self
    }

    /// The rack this consumer is in, as brokers call theirs (`broker.rack`): for the group's assignor, and to read from a
    /// replica in the same rack where the brokers' `replica.selector.class` offers one (KIP-392). Default: none, and
    /// partitions are read from their leaders.
    pub fn rack(mut self, rack: impl Into<Arc<str>>) -> Self {
        self.config.rack = Some(rack.into());
        self
    }

    /// After how long a partition that should go forward counts as stalled, which is told by
    /// [`ConsumerEvent::Stalled`](super::ConsumerEvent::Stalled). Default: 30 s; at least 1 s. It is seen a quarter of that
    /// late at most.
    pub fn stall_after(mut self, after: Duration) -> Self {
        self.config.stall_after = after;
        self
    }

    /// After how long a stall that is not the application's own is also an error, [`ConsumeError::Stalled`]; `None` for
    /// never. Default: 5 min.
    pub fn stall_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.config.stall_limit = limit.into();
        self
    }

    /// How long the application may take between asking for records before
    /// [`ConsumerEvent::MaxPollExceeded`](super::ConsumerEvent::MaxPollExceeded) tells of it; `None` for ever. Default: 5 min;
    /// at least 1 s. The membership does not depend on it.
    pub fn max_poll_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.config.max_poll_interval = interval.into();
        self
    }

    /// Whether a member whose application does not ask for [`max_poll_interval`](Self::max_poll_interval) commits what is
    /// finished and leaves its group, so that others get its partitions. It is then over:
    /// [`ConsumeError::MaxPollExceeded`]. Default: no.
    pub fn leave_after_max_poll(mut self, leave: bool) -> Self {
        self.config.leave_after_max_poll = leave;
        self
    }

    /// Starts the consumer. It returns when the topics are known; joining the group goes on behind.
    ///
    /// # Errors
    ///
    /// [`ConsumeError::Config`] for settings that cannot work, [`ConsumeError::Start`] when a topic does not exist or
    /// the cluster cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, nothing was started.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// use craftwire::consumer::StartFrom;
    ///
    /// let consumer = client.consumer().partitions("orders", [0, 1]).start_from(StartFrom::Latest);
    /// let consumer = consumer.build().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn build(self) -> Result<Consumer, ConsumeError> {
        Consumer::start(self.cluster, self.config).await
    }
}
