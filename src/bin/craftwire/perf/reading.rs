//! Task: the reader of a latency run: a member of a group that has all partitions before the first record is sent.

use craftwire::{
    Consumer,
    consumer::{ConsumeError, StartFrom},
    crafting::{Crafting, Parsed, Subscriber},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    args::Place,
    load::{Measured, due_ns_of},
    payloads,
};
use crate::{
    clock::SteadyClock,
    exit::{Exit, Failure, chain},
    output::note,
};

/// Where records come from.
pub(crate) trait Source: Sized + Send + 'static {
    fn consumer(&self) -> &Consumer;

    /// Waits for more, and tells when each record of it was due; `false` at the end.
    fn next(
        &mut self,
        each: impl FnMut(u64) + Send,
    ) -> impl Future<Output = Result<bool, ConsumeError>> + Send;

    fn close(self) -> impl Future<Output = ()> + Send;
}

impl Source for Consumer {
    fn consumer(&self) -> &Consumer {
        self
    }

    async fn next(&mut self, mut each: impl FnMut(u64) + Send) -> Result<bool, ConsumeError> {
        let Some(records) = self.recv_batch().await.transpose()? else { return Ok(false) };
        let dues = records.iter().filter_map(|record| payloads::due_ns(record.value().unwrap_or_default()));
        dues.for_each(&mut each);
        self.ack_batch(&records);
        Ok(true)
    }

    async fn close(self) {
        let _commit_is_not_measured = self.close_within(CLOSE).await;
    }
}

impl<B: Measured> Source for Subscriber<B> {
    fn consumer(&self) -> &Consumer {
        self.consumer()
    }

    async fn next(&mut self, mut each: impl FnMut(u64) + Send) -> Result<bool, ConsumeError> {
        let Some(delivered) = self.recv().await.transpose()? else { return Ok(false) };
        if let Parsed::Event(event) = delivered.parsed() {
            each(due_ns_of(event.event_id()));
        }
        delivered.ack();
        Ok(true)
    }

    async fn close(self) {
        let _commit_is_not_measured = self.close(CLOSE).await;
    }
}

/// Joins `group`, reading payloads.
pub(crate) async fn raw(crafting: &Crafting, place: &Place, group: &str) -> Result<Consumer, Failure> {
    let builder = crafting.client().consumer().group(group).topics([place.topic.as_str()]);
    assigned(builder.start_from(StartFrom::Latest).build().await).await
}

/// Joins `group`, reading events.
pub(crate) async fn typed<B: Measured>(crafting: &Crafting, group: &str) -> Result<Subscriber<B>, Failure> {
    let builder = B::subscriber(crafting).group(group);
    assigned(builder.start_from(StartFrom::Latest).build().await).await
}

/// Waits until all partitions are there, with the offsets from which they are read.
async fn assigned<S: Source>(source: Result<S, ConsumeError>) -> Result<S, Failure> {
    let source = source.map_err(|error| Failure::because(Exit::Failed, "reading", &error))?;
    let consumer = source.consumer();
    let ready = async {
        loop {
            let partitions = consumer.assignment();
            let known = partitions.iter().all(|partition| consumer.position(partition).is_some());
            if known && !partitions.is_empty() {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    match timeout(JOIN, ready).await {
        Ok(()) => Ok(source),
        Err(_) => Err(Failure::new(Exit::Failed, format!("reading: no partitions within {JOIN:?}"))),
    }
}

/// The task that reads.
#[derive(Debug)]
pub(crate) struct Reading {
    /// How many records that count have come.
    pub(crate) received: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Seen>,
}

/// What it has read.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Of each record, in nanoseconds.
    pub(crate) latencies_ns: Vec<u64>,
    /// When the last one came.
    pub(crate) last_ns: u64,
    pub(crate) errors: u64,
}

impl Reading {
    /// Starts; records that were due before `from_ns` do not count, and so many do.
    pub(crate) fn start<S: Source>(mut source: S, clock: SteadyClock, from_ns: u64, expected: u64) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let (stop, mut stopped) = watch::channel(false);
        let mut seen = Seen::default();
        seen.latencies_ns.reserve(usize::try_from(expected).unwrap_or(0));
        let count = received.clone();
        let task = tokio::spawn(async move {
            loop {
                let look = |due_ns| {
                    let now_ns = clock.now_ns();
                    if due_ns >= from_ns {
                        seen.latencies_ns.push(now_ns.saturating_sub(due_ns));
                        seen.last_ns = now_ns;
                    }
                };
                let next = tokio::select! {
                    biased;
                    next = source.next(look) => next,
                    _ = stopped.changed() => break,
                };
                count.store(u64::try_from(seen.latencies_ns.len()).unwrap_or(0), Relaxed);
                match next {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        seen.errors += 1;
                        note(format_args!("warning: {}", chain(&error)));
                    }
                }
            }
            source.close().await;
            seen
        });
        Self { received, stop, task }
    }

    /// Ends it, and takes what it has read.
    pub(crate) async fn stop(self) -> Result<Seen, Failure> {
        self.stop.send_replace(true);
        self.task.await.map_err(|error| Failure::because(Exit::Failed, "reading", &error))
    }
}

const JOIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const CLOSE: Duration = Duration::from_secs(5);
