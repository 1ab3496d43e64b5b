//! Task: the public handle, continued: transactions, retention, compaction, quotas and versions.

use super::clock;
use super::error::MockError;
use super::handle::MockCluster;
use super::kafka_version::KafkaVersion;
use super::quotas::Quota;
use super::transaction::Transaction;

impl MockCluster {
    /// Where readers of committed data stop in a partition: before the first open transaction.
    pub fn last_stable_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.shared()
            .with_core(|core| Some(core.topics.partition(topic, partition)?.log.last_stable_offset()))
    }

    /// A transactional producer with an id of its own, to write transactions into the logs.
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.shared())
    }

    /// Limits how many bytes a client id may produce and fetch each second at each broker; `None` stands for all client
    /// ids without a quota of their own.
    ///
    /// As Kafka does, a broker answers at once, says in the answer for how long the client is to keep quiet, and reads
    /// nothing more from that connection until then. The rate is that of about ten seconds, so that many seconds' worth
    /// is free at first. A fetch beyond it is answered without records.
    pub fn set_quota(&self, client_id: Option<&str>, quota: Quota) {
        self.shared().with_core(|core| core.quotas.set(client_id, quota));
    }

    /// Puts another release of Kafka on a broker: what it tells of in ApiVersions from now on.
    ///
    /// Features are finalized once all brokers have them. Connections go on; a real upgrade stops the broker before and
    /// starts it again.
    pub fn set_kafka_version(&self, broker: i32, version: KafkaVersion) {
        self.shared().with_core(|core| core.settings.kafka_versions.insert(broker, version));
    }

    /// Deletes what the topics' configs no longer cover (`retention.ms`, `retention.bytes`, by whole segments), without
    /// waiting for the next check.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use craftwire::mock::MockCluster;
    /// use std::time::Duration;
    ///
    /// let mock = MockCluster::builder().start_in_memory()?;
    /// mock.create_topic_with("t", 1, &[("retention.ms", "60000"), ("segment.ms", "1000")])?;
    /// mock.append("t", 0, None, Some(b"old"))?;
    /// tokio::time::advance(Duration::from_secs(50)).await;
    /// mock.append("t", 0, None, Some(b"new"))?;
    /// tokio::time::advance(Duration::from_secs(11)).await;
    /// mock.run_retention();
    /// assert_eq!(mock.offsets("t", 0), Some((1, 2)));
    /// # Ok(()) }
    /// ```
    pub fn run_retention(&self) {
        let now = clock::now();
        self.shared().with_core(|core| core.run_retention(now));
    }

    /// Compacts a partition, whatever the topic's `cleanup.policy`: of each key only the last record stays.
    ///
    /// As with Kafka's log cleaner, batches keep their offsets however few records are left in them, and those without
    /// any vanish, but for the last one of each idempotent producer that is still remembered. The last batch and what
    /// lies above the last stable offset stay as they are; records without a key and those of aborted transactions go.
    /// Tombstones stay for `delete.retention.ms` after the first compaction that meets them. Nothing is compacted
    /// without this call.
    ///
    /// # Errors
    ///
    /// There is no such partition.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use craftwire::mock::MockCluster;
    ///
    /// let mock = MockCluster::builder().topic("t", 1).start_in_memory()?;
    /// for value in [b"1", b"2", b"3"] {
    ///     mock.append("t", 0, Some(b"key"), Some(value))?;
    /// }
    /// mock.compact("t", 0)?;
    /// let offsets: Vec<i64> = mock.records("t", 0).iter().map(|record| record.offset).collect();
    /// assert_eq!(offsets, [1, 2]);
    /// # Ok(()) }
    /// ```
    pub fn compact(&self, topic: &str, partition: i32) -> Result<(), MockError> {
        let now = clock::now();
        if self.shared().with_core(|core| core.compact(topic, partition, now)) {
            Ok(())
        } else {
            Err(MockError::UnknownPartition { topic: topic.to_owned(), partition })
        }
    }
}
