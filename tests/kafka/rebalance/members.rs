//! Members of one group, each in a thread and a runtime of its own.

use super::book::Book;
use crate::common::{PATIENCE, connect};
use craftwire::consumer::{
    Consumer, ConsumerBuilder, ConsumerEvent, Events, GroupProtocol, StartFrom, TopicPartition,
};
use craftwire_test_support::eventually;
use futures_util::FutureExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    runtime,
    sync::{oneshot, watch},
};

/// With one thread nothing of the member runs between a hand-out and the look at what was revoked before it.
struct Member {
    end: oneshot::Sender<()>,
    has: watch::Receiver<BTreeSet<i32>>,
    thread: JoinHandle<()>,
}

/// See the module.
pub(super) struct Members {
    pub(super) bootstrap: String,
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) protocol: GroupProtocol,
    pub(super) partitions: i32,
    pub(super) book: Arc<Book>,
    last: usize,
    here: BTreeMap<usize, Member>,
    leaving: Vec<JoinHandle<()>>,
}

impl Members {
    pub(super) fn new(bootstrap: &str, topic: &str, protocol: GroupProtocol, partitions: i32) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            group: format!("{topic}-group"),
            protocol,
            partitions,
            book: Arc::new(Book::new(partitions)),
            last: 0,
            here: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }

    /// Starts one more; its number.
    pub(super) fn join(&mut self) -> usize {
        self.last += 1;
        let number = self.last;
        let (end, ended) = oneshot::channel();
        let (owns, has) = watch::channel(BTreeSet::new());
        let (bootstrap, book) = (self.bootstrap.clone(), self.book.clone());
        let (group, topic, protocol) = (self.group.clone(), self.topic.clone(), self.protocol);
        let thread = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = connect(&bootstrap).await;
                let consumer = client.consumer().group(group).group_protocol(protocol).topics([topic]);
                let consumer = short_session(consumer, protocol).start_from(StartFrom::Earliest);
                live(number, consumer.build().await.unwrap(), ended, &owns, &book).await;
            });
        });
        self.here.insert(number, Member { end, has, thread });
        number
    }

    /// Asks one to commit and leave, and goes on.
    pub(super) fn leave(&mut self, number: usize) {
        let member = self.here.remove(&number).unwrap();
        let _gone = member.end.send(());
        self.leaving.push(member.thread);
    }

    /// Waits until those who are here share the topic evenly.
    pub(super) async fn settled(&self) {
        let count = usize::try_from(self.partitions).unwrap();
        let (least, most) = (count / self.here.len(), count.div_ceil(self.here.len()));
        eventually("an even share for each member", PATIENCE, async || {
            let shares: Vec<_> = self.here.values().map(|member| member.has.borrow().clone()).collect();
            let even = shares.iter().all(|share| (least..=most).contains(&share.len()));
            let distinct: BTreeSet<_> = shares.iter().flatten().copied().collect();
            let whole = distinct.len() == count && shares.iter().map(BTreeSet::len).sum::<usize>() == count;
            (even && whole).then_some(())
        })
        .await;
    }

    /// Waits until each partition has given more records.
    pub(super) async fn goes_on_everywhere(&self) {
        let before = self.book.counts();
        eventually("each partition goes on", PATIENCE, async || {
            let now = self.book.counts();
            now.iter().zip(&before).all(|(now, before)| *now > before + 10).then_some(())
        })
        .await;
    }

    /// All leave, and those who left are waited for.
    pub(super) async fn end(mut self) {
        let numbers: Vec<usize> = self.here.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.leave(number));
        let ends = move || self.leaving.into_iter().for_each(|thread| thread.join().unwrap());
        tokio::task::spawn_blocking(ends).await.unwrap();
    }
}

/// A heartbeat of 1 s, a session of 6 s. With KIP-848 both are the broker's to say, and the test brokers say the same.
fn short_session(consumer: ConsumerBuilder, protocol: GroupProtocol) -> ConsumerBuilder {
    match protocol {
        GroupProtocol::Classic => {
            consumer.session_timeout(Duration::from_secs(6)).heartbeat_interval(Duration::from_secs(1))
        }
        _ => consumer,
    }
}

async fn live(
    member: usize,
    mut consumer: Consumer,
    mut ended: oneshot::Receiver<()>,
    owns: &watch::Sender<BTreeSet<i32>>,
    book: &Book,
) {
    let mut events = consumer.events();
    loop {
        let batch = tokio::select! {
            biased;
            batch = consumer.recv_batch() => batch.unwrap(),
            // So that who waits for the shares sees them also while nothing comes.
            event = events.next() => {
                apply(member, book, owns, event.unwrap());
                continue;
            }
            _ = &mut ended => break,
        };
        take_events(member, book, owns, &mut events);
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                book.breach(format!("member {member}: {error:?}"));
                continue;
            }
        };
        let partition = batch.partition();
        if !owns.borrow().contains(&partition) {
            book.breach(format!("member {member} does not have partition {partition}"));
        }
        book.handed_out(member, partition, batch.iter().map(|record| record.offset()));
        if !consumer.ack_batch(&batch) {
            book.breach(format!("member {member}: partition {partition} was handed out after a revoke"));
        }
    }
    book.revoked(owns.borrow().iter().copied());
    if let Err(error) = consumer.close().await {
        book.breach(format!("member {member} leaves: {error:?}"));
    }
}

/// Takes what has happened so far.
fn take_events(member: usize, book: &Book, owns: &watch::Sender<BTreeSet<i32>>, events: &mut Events) {
    while let Some(event) = events.next().now_or_never() {
        apply(member, book, owns, event.unwrap());
    }
}

fn apply(member: usize, book: &Book, owns: &watch::Sender<BTreeSet<i32>>, event: ConsumerEvent) {
    let numbers = |names: &[TopicPartition]| names.iter().map(|name| name.partition).collect::<Vec<_>>();
    match event {
        ConsumerEvent::Assigned(names) => owns.send_modify(|owns| owns.extend(numbers(&names))),
        ConsumerEvent::Revoked(names) => {
            book.revoked(numbers(&names).into_iter());
            owns.send_modify(|owns| owns.retain(|partition| !numbers(&names).contains(partition)));
        }
        ConsumerEvent::Reset { from: None, .. } => {}
        other => book.breach(format!("member {member}: {other:?}")),
    }
}
