//! Task: the part of the public handle that is about brokers, leaders and replicas.

use super::brokers::Process;
use super::core::Core;
use super::error::MockError;
use super::handle::MockCluster;
use super::partition::Partition;
use super::server;
use std::io;
use std::time::{Duration, Instant};

/// Brokers: what becomes of them.
impl MockCluster {
    /// The brokers' ids, those that are down included.
    pub fn broker_ids(&self) -> Vec<i32> {
        self.shared().with_core(|core| core.brokers.keys().copied().collect())
    }

    /// Stops a broker cleanly: its partitions go to other replicas at once, its connections are cut, new ones are
    /// refused.
    ///
    /// A partition without another replica in sync has no leader until the broker is back.
    pub fn stop_broker(&self, id: i32) {
        self.shared().stop_broker(id);
    }

    /// Kills a broker: its connections are reset, new ones are refused, and nobody takes its partitions until its
    /// session is over ([`broker_session_timeout`](super::MockClusterBuilder::broker_session_timeout)).
    ///
    /// Then other replicas in sync lead. What the broker alone had of their logs is lost, which was never acked under
    /// acks=all. In memory a reset is an end of the stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::time::pause();
    /// use craftwire::mock::MockCluster;
    /// use std::time::Duration;
    ///
    /// let mock = MockCluster::builder().brokers(3).topic("orders", 1).start_in_memory()?;
    /// mock.set_replication_lag(Duration::from_millis(200));
    /// mock.append("orders", 0, None, Some(b"not replicated yet"))?;
    /// mock.kill_broker(1);
    /// assert_eq!(mock.leader("orders", 0), Some(1), "nobody has noticed");
    /// tokio::time::advance(Duration::from_secs(9)).await;
    /// assert_eq!(mock.leader("orders", 0), Some(2));
    /// assert_eq!(mock.offsets("orders", 0), Some((0, 0)), "what only broker 1 had is gone");
    /// mock.start_broker(1)?;
    /// # Ok(()) }
    /// ```
    pub fn kill_broker(&self, id: i32) {
        self.shared().kill_broker(id);
    }

    /// Freezes a broker, as SIGSTOP does: connections stay open, new ones are accepted, and nothing is answered.
    ///
    /// It leads and is in sync until its session is over
    /// ([`broker_session_timeout`](super::MockClusterBuilder::broker_session_timeout)); then others lead.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::time::pause();
    /// use craftwire::mock::MockCluster;
    /// use std::time::Duration;
    ///
    /// let mock = MockCluster::builder().brokers(3).topic("orders", 1).start_in_memory()?;
    /// mock.pause_broker(1);
    /// tokio::time::advance(Duration::from_secs(10)).await;
    /// assert_eq!((mock.leader("orders", 0), mock.isr("orders", 0)), (Some(2), vec![2, 3]));
    /// mock.resume_broker(1);
    /// assert_eq!((mock.leader("orders", 0), mock.isr("orders", 0)), (Some(2), vec![1, 2, 3]));
    /// # Ok(()) }
    /// ```
    pub fn pause_broker(&self, id: i32) {
        self.shared().at_now(|core, now| core.pause_broker(now, id));
    }

    /// Lets a paused broker go on. It works off what came in meanwhile; where others lead by now it says so.
    pub fn resume_broker(&self, id: i32) {
        self.shared().at_now(|core, now| core.resume_broker(now, id));
    }

    /// Starts a broker that was stopped or killed, on its old address and with its logs as they were, except for what
    /// its new leaders do not have.
    ///
    /// # Errors
    ///
    /// Another program has taken the port meanwhile.
    pub fn start_broker(&self, id: i32) -> io::Result<()> {
        let Some((host, port)) = self.address_if_down(id) else { return Ok(()) };
        self.start_at(id, host, port)
    }

    /// Starts a broker that was stopped or killed under another address, as one that moved to another machine.
    ///
    /// With sockets it listens on 127.0.0.1 whatever the host that it is advertised with, and port 0 is any that is
    /// free. One that is up stays as it is.
    ///
    /// # Errors
    ///
    /// The port cannot be had.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use craftwire::mock::MockCluster;
    ///
    /// let mock = MockCluster::builder().brokers(2).start_in_memory()?;
    /// mock.stop_broker(2);
    /// mock.start_broker_at(2, "elsewhere", 9093)?;
    /// assert_eq!(mock.bootstrap(), "mock-1:9092,elsewhere:9093");
    /// # Ok(()) }
    /// ```
    pub fn start_broker_at(&self, id: i32, host: &str, port: u16) -> io::Result<()> {
        self.address_if_down(id).map_or(Ok(()), |_| self.start_at(id, host.to_owned(), port))
    }

    /// Cuts all connections to a broker, which goes on.
    pub fn cut_connections(&self, broker: i32) {
        self.shared().cut_connections(broker);
    }

    /// Resets all connections to a broker (RST), which goes on. In memory this is the same as a cut.
    pub fn reset_connections(&self, broker: i32) {
        self.shared().reset_connections(broker);
    }

    fn address_if_down(&self, id: i32) -> Option<(String, u16)> {
        self.shared().with_core(|core| {
            let broker = core.brokers.get(&id).filter(|broker| broker.process == Process::Down)?;
            Some((broker.host.clone(), broker.port))
        })
    }

    fn start_at(&self, id: i32, host: String, port: u16) -> io::Result<()> {
        let bound = if self.shared().is_tcp() { Some(server::bind(port)?) } else { None };
        let port = bound.as_ref().map_or(port, |(_, port)| *port);
        self.shared().at_now(|core, now| {
            if let Some(broker) = core.brokers.get_mut(&id) {
                (broker.host, broker.port) = (host, port);
            }
            core.start_broker(now, id);
        });
        bound.map_or(Ok(()), |(listener, _)| self.shared().listen(id, listener))
    }
}

/// Leaders and replicas.
impl MockCluster {
    /// The broker that leads a partition, if one does.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        self.look(topic, partition, |found| found.leader)?
    }

    /// The leader epoch of a partition: it rises with each election.
    pub fn leader_epoch(&self, topic: &str, partition: i32) -> Option<i32> {
        self.look(topic, partition, |found| found.leader_epoch)
    }

    /// The brokers whose replicas of a partition are in sync; none where there is no such partition.
    pub fn isr(&self, topic: &str, partition: i32) -> Vec<i32> {
        self.look(topic, partition, |found| found.isr.clone()).unwrap_or_default()
    }

    /// The brokers that hold replicas of a partition, the preferred leader first.
    pub fn replicas(&self, topic: &str, partition: i32) -> Vec<i32> {
        self.look(topic, partition, |found| found.replicas.clone()).unwrap_or_default()
    }

    /// The offset up to which all replicas in sync have a partition's log, and readers get it.
    pub fn high_watermark(&self, topic: &str, partition: i32) -> Option<i64> {
        self.look(topic, partition, |found| found.log.high_watermark())
    }

    /// Makes another replica the leader; the leader epoch rises, and whoever waits for the partition is answered.
    ///
    /// What the new leader has not copied yet is lost.
    ///
    /// # Errors
    ///
    /// The broker is no replica in sync of the partition.
    pub fn move_leader(&self, topic: &str, partition: i32, broker: i32) -> Result<(), MockError> {
        let moved = self.change(topic, partition, |_, found| {
            let in_sync = found.isr.contains(&broker);
            if in_sync && found.leader != Some(broker) {
                found.elect(Some(broker));
            }
            in_sync
        });
        let refused = || MockError::NotInSync { topic: topic.to_owned(), partition, broker };
        moved.ok().filter(|moved| *moved).map(|_| ()).ok_or_else(refused)
    }

    /// Makes the first replica of each partition its leader again, where that is in sync.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use craftwire::mock::MockCluster;
    ///
    /// let mock = MockCluster::builder().brokers(2).topic("orders", 1).start_in_memory()?;
    /// mock.stop_broker(1);
    /// mock.start_broker(1)?;
    /// assert_eq!(mock.leader("orders", 0), Some(2), "it leads since broker 1 went");
    /// mock.elect_preferred_leaders();
    /// assert_eq!(mock.leader("orders", 0), Some(1));
    /// # Ok(()) }
    /// ```
    pub fn elect_preferred_leaders(&self) {
        self.shared().at_now(|core, now| {
            core.change_replicas(now, |_, _, _, partition| {
                let preferred = partition.replicas.first().copied();
                let preferred = preferred.filter(|id| partition.isr.contains(id));
                if preferred.is_some() && partition.leader != preferred {
                    partition.elect(preferred);
                }
            });
        });
    }

    /// Makes a running replica the leader though it need not be in sync: an unclean election. How many offsets of the
    /// log are lost by it.
    ///
    /// Readers that were past the new end are told so by KIP-320: a diverging epoch, or FENCED_LEADER_EPOCH first.
    ///
    /// # Errors
    ///
    /// There is no such partition, or the broker holds no running replica of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use craftwire::mock::MockCluster;
    /// use std::time::Duration;
    ///
    /// let mock = MockCluster::builder().brokers(2).topic("orders", 1).start_in_memory()?;
    /// mock.append("orders", 0, None, Some(b"both have it"))?;
    /// mock.stop_broker(2);
    /// mock.append("orders", 0, None, Some(b"only broker 1 has it"))?;
    /// mock.stop_broker(1);
    /// mock.start_broker(2)?;
    /// assert_eq!(mock.leader("orders", 0), None, "it waits for broker 1");
    /// assert_eq!(mock.elect_unclean_leader("orders", 0, 2)?, 1);
    /// assert_eq!(mock.offsets("orders", 0), Some((0, 1)));
    /// # Ok(()) }
    /// ```
    pub fn elect_unclean_leader(&self, topic: &str, partition: i32, broker: i32) -> Result<i64, MockError> {
        let lost = self.change(topic, partition, |runs, found| {
            let holds = found.replicas.contains(&broker) && runs(broker);
            holds.then(|| found.elect_unclean(broker))
        })?;
        lost.ok_or_else(|| MockError::NoReplica { topic: topic.to_owned(), partition, broker })
    }

    /// Moves a partition to other brokers, the preferred leader first, as a reassignment does when it is through: the
    /// new replicas have all of the log, and one of them leads if the leader is not among them.
    ///
    /// # Errors
    ///
    /// There is no such partition, or one of the brokers does not run. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use craftwire::mock::MockCluster;
    ///
    /// let mock = MockCluster::builder().brokers(3).topic("orders", 1).start_in_memory()?;
    /// mock.reassign("orders", 0, &[3, 2])?;
    /// assert_eq!(mock.replicas("orders", 0), [3, 2]);
    /// assert!(mock.reassign("orders", 0, &[4]).is_err(), "there is no broker 4");
    /// # Ok(()) }
    /// ```
    pub fn reassign(&self, topic: &str, partition: i32, brokers: &[i32]) -> Result<(), MockError> {
        let refused = self.change(topic, partition, |runs, found| {
            let down = brokers.iter().copied().find(|id| !runs(*id));
            if down.is_some() || brokers.is_empty() {
                return Some(down.unwrap_or(-1));
            }
            found.reassign(brokers);
            None
        })?;
        let error = |broker| MockError::NoReplica { topic: topic.to_owned(), partition, broker };
        refused.map_or(Ok(()), |broker| Err(error(broker)))
    }

    /// How long after an append followers have copied it. Default: they have it at once.
    ///
    /// `Duration::MAX` stops them. Readers see no further than all replicas in sync have copied, acks=all waits for
    /// that, and a follower that is behind for longer than
    /// [`replica_lag_time_max`](super::MockClusterBuilder::replica_lag_time_max) is out of sync until it has caught up.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # tokio::time::pause();
    /// use craftwire::mock::MockCluster;
    /// use std::time::Duration;
    ///
    /// let mock = MockCluster::builder().brokers(3).topic("orders", 1).start_in_memory()?;
    /// mock.set_replication_lag(Duration::from_millis(50));
    /// mock.set_broker_replication_lag(3, Duration::MAX);
    /// mock.append("orders", 0, None, Some(b"value"))?;
    /// tokio::time::advance(Duration::from_secs(29)).await;
    /// assert_eq!(mock.high_watermark("orders", 0), Some(0), "broker 3 is in sync still");
    /// tokio::time::advance(Duration::from_secs(1)).await;
    /// assert_eq!((mock.high_watermark("orders", 0), mock.isr("orders", 0)), (Some(1), vec![1, 2]));
    /// # Ok(()) }
    /// ```
    pub fn set_replication_lag(&self, lag: Duration) {
        self.set_lags(|core| core.lags.cluster = lag);
    }

    /// How long after an append a broker's replicas have copied it, in place of the cluster's lag.
    pub fn set_broker_replication_lag(&self, broker: i32, lag: Duration) {
        self.set_lags(|core| {
            core.lags.brokers.insert(broker, lag);
        });
    }

    /// How long after an append the followers of a partition have copied it, in place of the brokers' and the
    /// cluster's lag.
    pub fn set_partition_replication_lag(&self, topic: &str, partition: i32, lag: Duration) {
        self.set_lags(|core| {
            core.lags.partitions.insert((topic.to_owned(), partition), lag);
        });
    }

    /// Takes all lags back, so that followers are in step at once.
    pub fn clear_replication_lags(&self) {
        self.set_lags(|core| core.lags = Default::default());
    }

    fn set_lags(&self, set: impl FnOnce(&mut Core)) {
        self.shared().at_now(|core, now| {
            set(core);
            core.change_replicas(now, |_, _, _, _| {});
        });
    }

    /// Looks at a partition as it is now.
    fn look<T>(&self, topic: &str, partition: i32, look: impl FnOnce(&Partition) -> T) -> Option<T> {
        self.shared().at_now(|core, now| {
            core.advance(now, topic, partition);
            core.topics.partition(topic, partition).map(look)
        })
    }

    /// Changes the replicas of a partition; `work` can ask which brokers run.
    fn change<T>(
        &self,
        topic: &str,
        partition: i32,
        work: impl FnOnce(&dyn Fn(i32) -> bool, &mut Partition) -> T,
    ) -> Result<T, MockError> {
        let changed = self.shared().at_now(|core, now| change(core, now, (topic, partition), work));
        changed.ok_or_else(|| MockError::UnknownPartition { topic: topic.to_owned(), partition })
    }
}

fn change<T>(
    core: &mut Core,
    now: Instant,
    (topic, partition): (&str, i32),
    work: impl FnOnce(&dyn Fn(i32) -> bool, &mut Partition) -> T,
) -> Option<T> {
    let running = core.running();
    let mut work = Some(work);
    let mut result = None;
    core.change_replicas(now, |name, index, _, found| {
        if name == topic && index == partition {
            result = work.take().map(|work| work(&|id| running.contains(&id), found));
        }
    });
    result
}
