//! Task: what became of a record, as a future.
//!
//! A delivery is a shared batch state and an index, so that handing one out costs no allocation. Invariant: a batch
//! gets one fate, once, and everything that waits for it is woken. The fate is an outcome, or, for a batch that was
//! taken apart, where its records are now; deliveries follow them there.

use crate::producer::error::{DeliveryError, NotSent, Unknown};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

/// Where and when a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// The partition.
    pub partition: i32,
    /// The offset; `None` if the broker says that it had the record already but no longer knows where.
    pub offset: Option<i64>,
    /// The record's timestamp in milliseconds since 1970: its own, or the broker's if the topic is set up so. `None` if the
    /// record had to be sent again and the broker's answer leaves it open.
    pub timestamp_ms: Option<i64>,
}

/// The answer to one record. Await it to learn where the record was written, or why it was not.
///
/// Dropping it changes nothing for the record: it is sent all the same.
///
/// # Cancel safety
///
/// Safe: it may be polled again, from any task, until it is ready.
///
/// ```
/// # #[cfg(feature = "mock")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # use craftwire::producer::ProducerRecord;
/// # let mock = craftwire::mock::MockCluster::builder().topic("orders", 4).start()?;
/// # let client = craftwire::Client::connect(&mock.bootstrap()).await?;
/// # let producer = client.producer().build().await?;
/// use craftwire::producer::DeliveryError;
///
/// match producer.send(ProducerRecord::new("orders", "one sword")).await?.await {
///     Ok(ack) => println!("offset {:?}", ack.offset),
///     Err(DeliveryError::NotSent(cause)) => println!("send it again if you like: {cause}"),
///     Err(DeliveryError::Unknown(cause)) => println!("it may be written: {cause}"),
///     Err(other) => return Err(other.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a delivery is fine, but then nobody learns whether the record was written"]
pub struct Delivery {
    batch: Arc<BatchState>,
    index: u32,
    timestamp_ms: i64,
    waiting_at: Option<usize>,
}

impl Delivery {
    pub(crate) fn new(batch: Arc<BatchState>, index: u32, timestamp_ms: i64) -> Self {
        Self { batch, index, timestamp_ms, waiting_at: None }
    }

    /// The topic that the record goes to.
    pub fn topic(&self) -> &str {
        &self.batch.topic
    }

    /// The partition that the record goes to.
    pub fn partition(&self) -> i32 {
        self.batch.partition
    }

    /// The outcome, if there is one yet.
    pub fn outcome(&self) -> Option<Result<Ack, DeliveryError>> {
        self.batch.outcome_of(self.index).map(|(outcome, index)| self.read(outcome, index))
    }

    /// `index` is the record's in the batch that has the outcome.
    fn read(&self, outcome: &Outcome, index: u32) -> Result<Ack, DeliveryError> {
        match outcome {
            Outcome::Acked { base_offset, time } => Ok(Ack {
                partition: self.batch.partition,
                offset: base_offset.map(|base| base.saturating_add(i64::from(index))),
                timestamp_ms: match time {
                    AckTime::OfRecord => Some(self.timestamp_ms),
                    AckTime::OfBroker(time_ms) => Some(*time_ms),
                    AckTime::NotKnown => None,
                },
            }),
            Outcome::NotSent(cause) => Err(DeliveryError::NotSent(cause.clone())),
            Outcome::Unknown(cause) => Err(DeliveryError::Unknown(cause.clone())),
        }
    }
}

impl Future for Delivery {
    type Output = Result<Ack, DeliveryError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            this.batch.wait(&mut this.waiting_at, cx.waker());
            let (batch, index) = match this.batch.fate.get() {
                None => return Poll::Pending,
                Some(Fate::Settled(outcome)) => return Poll::Ready(this.read(outcome, this.index)),
                Some(Fate::Moved(runs)) => destination(runs, this.index),
            };
            this.batch = batch.clone();
            this.index = index;
            this.waiting_at = None;
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acked { base_offset: Option<i64>, time: AckTime },
    NotSent(NotSent),
    Unknown(Unknown),
}

/// What the timestamps of a batch in the log are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckTime {
    /// The records' own.
    OfRecord,
    /// The broker's, in milliseconds since 1970, for all of them.
    OfBroker(i64),
    /// One or the other.
    NotKnown,
}

/// Records that lie next to one another in the batch that they were moved to, as they did in the one before.
#[derive(Debug)]
pub(crate) struct Run {
    /// The first one's index before.
    pub(crate) first: u32,
    pub(crate) to: Arc<BatchState>,
    /// The first one's index there.
    pub(crate) at: u32,
}

/// What became of a batch, as a whole or taken apart.
#[derive(Debug)]
enum Fate {
    Settled(Outcome),
    /// In the order of `first`, which starts at 0.
    Moved(Box<[Run]>),
}

/// What all deliveries of a batch share.
#[derive(Debug)]
pub(crate) struct BatchState {
    topic: Arc<str>,
    partition: i32,
    fate: OnceLock<Fate>,
    waiting: Mutex<Vec<Waker>>,
}

impl BatchState {
    pub(crate) fn new(topic: Arc<str>, partition: i32) -> Self {
        Self { topic, partition, fate: OnceLock::new(), waiting: Mutex::new(Vec::new()) }
    }

    /// Makes this the state of a new batch of the same partition. Nobody else may know it.
    pub(crate) fn renew(&mut self) {
        self.fate = OnceLock::new();
        self.waiting.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The state of another batch of the same partition.
    pub(crate) fn sibling(&self) -> Self {
        Self::new(self.topic.clone(), self.partition)
    }

    /// The outcome of the batch as a whole; `None` also for one that was taken apart.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        match self.fate.get() {
            Some(Fate::Settled(outcome)) => Some(outcome),
            Some(Fate::Moved(_)) | None => None,
        }
    }

    /// The outcome of one record, and its index in the batch that it was in at last.
    pub(crate) fn outcome_of(&self, index: u32) -> Option<(&Outcome, u32)> {
        let (mut batch, mut index) = (self, index);
        loop {
            match batch.fate.get()? {
                Fate::Settled(outcome) => return Some((outcome, index)),
                Fate::Moved(runs) => {
                    let (to, at) = destination(runs, index);
                    (batch, index) = (to, at);
                }
            }
        }
    }

    /// The batches that the records were moved to, if the batch was taken apart.
    pub(crate) fn successors(&self) -> impl Iterator<Item = &Arc<Self>> {
        let runs: &[Run] = match self.fate.get() {
            Some(Fate::Moved(runs)) => runs,
            Some(Fate::Settled(_)) | None => &[],
        };
        runs.iter().map(|run| &run.to)
    }

    /// Sets the outcome and wakes who waits. A second fate changes nothing.
    pub(crate) fn complete(&self, outcome: Outcome) {
        self.decide(Fate::Settled(outcome));
    }

    /// Says where the records are now, and sends there who waits. `runs` covers all records, in order.
    pub(crate) fn take_apart(&self, runs: Box<[Run]>) {
        self.decide(Fate::Moved(runs));
    }

    fn decide(&self, fate: Fate) {
        if self.fate.set(fate).is_err() {
            return;
        }
        let mut waiting = std::mem::take(&mut *self.waiting());
        for waker in waiting.drain(..) {
            waker.wake();
        }
        // Whoever came meanwhile saw the fate: the memory is kept for the next batch that this is the state of.
        *self.waiting() = waiting;
    }

    /// Waits for the outcome, or until the batch is taken apart.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is taken.
    pub(crate) async fn settled(&self) {
        let mut waiting_at = None;
        std::future::poll_fn(|cx| {
            self.wait(&mut waiting_at, cx.waker());
            if self.fate.get().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Has `waker` woken at the fate, unless it is there; look for it afterwards. `at` is the caller's place.
    fn wait(&self, at: &mut Option<usize>, waker: &Waker) {
        if self.fate.get().is_some() {
            return;
        }
        let mut waiting = self.waiting();
        match at.and_then(|place| waiting.get_mut(place)) {
            Some(known) => known.clone_from(waker),
            None => {
                *at = Some(waiting.len());
                waiting.push(waker.clone());
            }
        }
        // The fate may have come before the lock: then nobody takes what was just put there, and nobody need.
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the record of this index is now.
fn destination(runs: &[Run], index: u32) -> (&Arc<BatchState>, u32) {
    let run = &runs[runs.partition_point(|run| run.first <= index).saturating_sub(1)];
    (&run.to, index - run.first + run.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn batch() -> Arc<BatchState> {
        Arc::new(BatchState::new("t".into(), 3))
    }

    #[test]
    fn every_delivery_of_a_batch_is_woken_once_and_gets_its_own_offset() {
        let batch = batch();
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut deliveries: Vec<_> = (0..3).map(|index| Delivery::new(batch.clone(), index, 77)).collect();
        for _ in 0..2 {
            for delivery in &mut deliveries {
                assert!(Pin::new(delivery).poll(&mut cx).is_pending());
            }
        }
        batch.complete(Outcome::Acked { base_offset: Some(100), time: AckTime::OfRecord });
        assert_eq!(count.0.load(Ordering::SeqCst), 3);
        for (index, delivery) in (0..).zip(&mut deliveries) {
            let Poll::Ready(Ok(ack)) = Pin::new(delivery).poll(&mut cx) else { panic!("not ready") };
            assert_eq!(ack, Ack { partition: 3, offset: Some(100 + index), timestamp_ms: Some(77) });
        }
    }

    #[test]
    fn the_first_outcome_stays() {
        let batch = batch();
        batch.complete(Outcome::Unknown(Unknown::Closed));
        batch.complete(Outcome::Acked { base_offset: Some(1), time: AckTime::OfRecord });
        let delivery = Delivery::new(batch, 0, 0);
        assert_eq!(delivery.outcome(), Some(Err(DeliveryError::Unknown(Unknown::Closed))));
    }

    #[test]
    fn deliveries_follow_their_records_to_other_batches() {
        let (whole, rest, refused) = (batch(), batch(), batch());
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut deliveries: Vec<_> = (0..5).map(|index| Delivery::new(whole.clone(), index, 77)).collect();
        for delivery in &mut deliveries {
            assert!(Pin::new(delivery).poll(&mut cx).is_pending());
        }
        let run = |first, to: &Arc<BatchState>, at| Run { first, to: to.clone(), at };
        whole.take_apart(Box::new([run(0, &rest, 0), run(2, &refused, 0), run(3, &rest, 2)]));
        assert_eq!(count.0.load(Ordering::SeqCst), 5, "all look for their records");
        for delivery in &mut deliveries {
            assert!(Pin::new(delivery).poll(&mut cx).is_pending());
        }
        refused.complete(Outcome::NotSent(NotSent::Closed));
        rest.complete(Outcome::Acked { base_offset: Some(100), time: AckTime::OfRecord });
        assert_eq!(count.0.load(Ordering::SeqCst), 10);
        let offsets: Vec<_> = deliveries
            .iter_mut()
            .map(|delivery| {
                let told = delivery.outcome();
                let Poll::Ready(result) = Pin::new(delivery).poll(&mut cx) else { panic!("not ready") };
                assert_eq!(told, Some(result.clone()));
                result.ok().and_then(|ack| ack.offset)
            })
            .collect();
        assert_eq!(offsets, [Some(100), Some(101), None, Some(102), Some(103)]);
    }

    #[test]
    fn a_duplicate_has_no_offset_and_the_brokers_time_prevails() {
        let batch = batch();
        batch.complete(Outcome::Acked { base_offset: None, time: AckTime::OfBroker(5) });
        let ack = Delivery::new(batch, 9, 77).outcome().unwrap().unwrap();
        assert_eq!((ack.offset, ack.timestamp_ms), (None, Some(5)));
    }
}
