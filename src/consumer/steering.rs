//! Where a consumer's partitions stand, and what the caller may change of it.

use super::{Consumer, error::NotAssigned, events::Events, metrics::ConsumerMetrics, record::TopicPartition};
use std::collections::BTreeMap;

impl Consumer {
    /// The counts since the start: in all, by broker and by partition, with where each partition stands.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// # let record = consumer.recv().await.ok_or("closed")??;
    /// let metrics = consumer.metrics();
    /// println!("{} records, {} stalls", metrics.records, metrics.stalls);
    /// for partition in &metrics.partitions {
    ///     println!("{}: lag {:?}, stalled: {:?}", partition.partition, partition.lag, partition.stalled);
    /// }
    /// # assert_eq!((metrics.records, metrics.partitions.len()), (1, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn metrics(&self) -> ConsumerMetrics {
        self.shared.with(|core| core.metrics())
    }

    /// Reads a partition on from `offset`. Acks of records that were handed out before count for nothing any more.
    ///
    /// # Errors
    ///
    /// [`NotAssigned`] when this consumer does not have the partition (any more).
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// # let record = consumer.recv().await.ok_or("closed")??;
    /// let partition = record.topic_partition();
    /// consumer.seek(&partition, record.offset())?; // once more
    /// # let again = consumer.recv().await.ok_or("closed")??;
    /// # assert_eq!(again.offset(), record.offset());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<(), NotAssigned> {
        self.shared.with(|core| core.seek(partition, offset.max(0)))
    }

    /// Hands out nothing more of a partition until it is resumed. What was fetched ahead of it is dropped, so that it
    /// holds no memory; the other partitions are not affected.
    ///
    /// # Errors
    ///
    /// [`NotAssigned`] when this consumer does not have the partition (any more).
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// # let record = consumer.recv().await.ok_or("closed")??;
    /// let partition = record.topic_partition();
    /// consumer.pause(&partition)?; // until what it is for can take more
    /// consumer.resume(&partition)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pause(&self, partition: &TopicPartition) -> Result<(), NotAssigned> {
        self.shared.with(|core| core.pause(partition))
    }

    /// Reads a paused partition on; see [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// [`NotAssigned`] when this consumer does not have the partition (any more).
    pub fn resume(&self, partition: &TopicPartition) -> Result<(), NotAssigned> {
        self.shared.with(|core| core.resume(partition))
    }

    /// The partitions that this consumer reads now, in the order in which it got them.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// # let record = consumer.recv().await.ok_or("closed")??;
    /// for partition in consumer.assignment() {
    ///     println!("reading {partition}");
    /// }
    /// # assert_eq!(consumer.assignment().len(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shared.with(|core| core.assignment())
    }

    /// The offset after the last record handed out of a partition; `None` while it is not known.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// # let record = consumer.recv().await.ok_or("closed")??;
    /// assert_eq!(consumer.position(&record.topic_partition()), Some(record.offset() + 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.with(|core| core.position(partition))
    }

    /// How many offsets there are behind the position of each partition, as of the last answer of its broker. Those
    /// that hold no record (any more) count as well.
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// # let record = consumer.recv().await.ok_or("closed")??;
    /// let behind: i64 = consumer.lag().values().sum();
    /// println!("{behind} to go");
    /// # assert_eq!(behind, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lag(&self) -> BTreeMap<TopicPartition, i64> {
        self.shared.with(|core| core.lag())
    }

    /// What happens to the consumer besides records; see [`Events`].
    ///
    /// ```
    /// # #[cfg(feature = "mock")]
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
    /// # mock.append("orders", 0, None, Some(b"one sword"))?;
    /// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
    /// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
    /// # let record = consumer.recv().await.ok_or("closed")??;
    /// use craftwire::consumer::ConsumerEvent;
    ///
    /// let mut events = consumer.events();
    /// tokio::spawn(async move {
    ///     while let Some(event) = events.next().await {
    ///         match event {
    ///             ConsumerEvent::Stalled { partition, cause, .. } => eprintln!("{partition}: {cause}"),
    ///             other => println!("{other:?}"),
    ///         }
    ///     }
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn events(&self) -> Events {
        Events { shared: self.shared.clone() }
    }
}
