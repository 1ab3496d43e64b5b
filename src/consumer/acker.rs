//! Tells a consumer that records were handled.

use super::{
    record::{ConsumerRecord, RecordRef, Records},
    shared::Shared,
};
use std::sync::Arc;

/// Acknowledges records of one consumer, from any task. Cheap to clone.
///
/// An ack says that a record needs not be given to anybody again. What is committed is the prefix of each partition
/// that is acked whole, so acks may come in any order, and a record that is never acked holds its partition's commits
/// back.
///
/// ```
/// # #[cfg(feature = "mock")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
/// # mock.append("orders", 0, None, Some(b"one sword"))?;
/// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
/// # let mut consumer = client.consumer().group("smiths").topics(["orders"]).build().await?;
/// # let record = consumer.recv().await.ok_or("closed")??;
/// let acker = consumer.acker();
/// tokio::spawn(async move {
///     println!("{:?}", record.value());
///     acker.ack(&record);
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Acker {
    pub(super) shared: Arc<Shared>,
}

impl Acker {
    /// The record was handled. `false`: its partition was taken away, or its position was moved, since the record was
    /// handed out; it may be given out again, here or to another member.
    pub fn ack(&self, record: &ConsumerRecord) -> bool {
        let (origin, epoch) = (record.origin(), record.leader_epoch());
        self.shared.with(|core| core.ack(origin, record.covers(), epoch))
    }

    /// The borrowed record was handled; see [`ack`](Self::ack).
    pub fn ack_ref(&self, record: &RecordRef<'_>) -> bool {
        let (origin, epoch) = (record.origin(), record.leader_epoch());
        self.shared.with(|core| core.ack(origin, record.covers(), epoch))
    }

    /// All records of the batch were handled; see [`ack`](Self::ack).
    pub fn ack_batch(&self, records: &Records) -> bool {
        let (origin, epoch) = (records.origin(), records.leader_epoch());
        self.shared.with(|core| core.ack(origin, records.covers(), epoch))
    }
}
