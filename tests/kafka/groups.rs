//! Groups of four on the crafting topics: members share evenly, and come, leave and die under load without an event lost
//! or handed out by a member that does not have its partition any more.
//!
//! The groups are others than the contract's, so that they have the test broker's heartbeat of 1 s and session of 6 s.

use crate::common::PATIENCE;
use craftwire::{
    consumer::{ConsumerEvent, Events, StartFrom, TopicPartition},
    crafting::{Crafting, PauseReason, Publisher, SessionPause, Subscriber, SubscriberBuilder, Topic},
};
use craftwire_test_support::{Shared, eventually, require_kafka, shared_single};
use futures_util::FutureExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{runtime, sync::watch, time::interval};
use uuid::Uuid;

const MEMBERS: usize = 4;

async fn crafting(kafka: &Shared, prefix: &str) -> (Crafting, String) {
    let suffix = format!(".{}", kafka.unique_topic(prefix));
    let crafting = Crafting::builder(kafka.bootstrap()).suffix(&suffix).build().await.unwrap();
    crafting.topics().ensure().await.unwrap().require_clean().unwrap();
    (crafting, suffix)
}

/// How many partitions each has, once every partition has one owner.
fn shares<B: craftwire::crafting::Body>(members: &[Subscriber<B>], topic: Topic) -> Option<Vec<usize>> {
    let all: Vec<TopicPartition> = members.iter().flat_map(Subscriber::assignment).collect();
    let distinct = BTreeSet::from_iter(&all);
    let whole = all.len() == usize::from(topic.partitions()) && distinct.len() == all.len();
    whole.then(|| members.iter().map(|member| member.assignment().len()).collect())
}

async fn four<B: craftwire::crafting::Body>(
    builder: impl Fn() -> SubscriberBuilder<B>,
    group: &str,
) -> Vec<Subscriber<B>> {
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(builder().group(group).build().await.unwrap());
    }
    members
}

#[tokio::test]
async fn four_members_have_four_and_six_partitions_each() {
    require_kafka!();
    let kafka = shared_single().await;
    let (crafting, _) = crafting(kafka, "shares").await;
    let group = kafka.unique_topic("shares");
    let events = four(|| crafting.session_events(), &format!("{group}-events")).await;
    let progress = four(|| crafting.progress(), &format!("{group}-progress")).await;
    let even = |shares: Vec<usize>, share| (shares == [share; MEMBERS]).then_some(());
    eventually("4 partitions each", PATIENCE, async || even(shares(&events, Topic::Events)?, 4)).await;
    eventually("6 partitions each", PATIENCE, async || even(shares(&progress, Topic::Progress)?, 6)).await;
    for member in events {
        member.close(PATIENCE).await.unwrap();
    }
    for member in progress {
        member.close(PATIENCE).await.unwrap();
    }
    crafting.topics().delete().await.unwrap();
}

/// An event as a member handed it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Handled {
    member: usize,
    partition: i32,
    offset: i64,
    event: Uuid,
}

/// How a member is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Not,
    /// It commits, leaves the group and closes.
    Close,
    /// It and its connections are gone without a word to the group.
    Die,
}

/// A member in a thread and a runtime of its own. With one thread nothing of the member runs between a hand-out and the
/// look at what was revoked before it.
struct Member {
    end: watch::Sender<End>,
    has: watch::Receiver<BTreeSet<i32>>,
    thread: JoinHandle<()>,
}

impl Member {
    fn start(
        number: usize,
        bootstrap: &str,
        suffix: &str,
        group: &str,
        handled: Arc<Mutex<Vec<Handled>>>,
    ) -> Self {
        let (end, ended) = watch::channel(End::Not);
        let (owns, has) = watch::channel(BTreeSet::new());
        let (bootstrap, suffix, group) = (bootstrap.to_owned(), suffix.to_owned(), group.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let dead = runtime.block_on(async {
                let crafting = Crafting::builder(&bootstrap).suffix(&suffix).build().await.unwrap();
                let subscriber = crafting.session_events().group(&group).start_from(StartFrom::Earliest);
                live(number, subscriber.build().await.unwrap(), ended, owns, &handled).await
            });
            // Dropping it would say goodbye; the runtime takes the connections with it as it ends.
            std::mem::forget(dead);
        });
        Self { end, has, thread }
    }

    fn end(self, how: End) {
        self.end.send_replace(how);
        self.thread.join().unwrap();
    }
}

async fn live(
    member: usize,
    mut subscriber: Subscriber<craftwire::crafting::SessionEvent>,
    mut ended: watch::Receiver<End>,
    owns: watch::Sender<BTreeSet<i32>>,
    handled: &Mutex<Vec<Handled>>,
) -> Option<Subscriber<craftwire::crafting::SessionEvent>> {
    let mut lifecycle = subscriber.lifecycle();
    loop {
        let delivered = tokio::select! {
            biased;
            delivered = subscriber.recv() => delivered.unwrap().unwrap(),
            // So that who waits for the shares sees them also while nothing comes.
            event = lifecycle.next() => {
                apply(&owns, event.unwrap());
                continue;
            }
            _ = ended.changed() => match *ended.borrow_and_update() {
                End::Not => continue,
                End::Die => return Some(subscriber),
                End::Close => {
                    subscriber.close(PATIENCE).await.unwrap();
                    return None;
                }
            },
        };
        take_events(&mut lifecycle, &owns);
        let record = delivered.record();
        let (partition, offset) = (record.partition(), record.offset());
        assert!(owns.borrow().contains(&partition), "member {member} does not have partition {partition}");
        let event = delivered.parsed().envelope().unwrap().event_id;
        handled.lock().unwrap().push(Handled { member, partition, offset, event });
        assert!(delivered.ack());
    }
}

/// Takes what has happened so far.
fn take_events(lifecycle: &mut Events, owns: &watch::Sender<BTreeSet<i32>>) {
    while let Some(event) = lifecycle.next().now_or_never() {
        apply(owns, event.unwrap());
    }
}

fn apply(owns: &watch::Sender<BTreeSet<i32>>, event: ConsumerEvent) {
    let numbers = |names: Vec<TopicPartition>| names.into_iter().map(|name| name.partition);
    owns.send_modify(|owns| match event {
        ConsumerEvent::Assigned(names) => owns.extend(numbers(names)),
        ConsumerEvent::Revoked(names) | ConsumerEvent::Lost(names) => {
            for partition in numbers(names) {
                owns.remove(&partition);
            }
        }
        ConsumerEvent::Reset { from: None, .. } => {}
        other => panic!("{other:?}"),
    });
}

/// Waits until the members share the topic evenly, whatever came of others.
async fn settled(members: &[&Member]) {
    let count = usize::from(Topic::Events.partitions());
    let (least, most) = (count / members.len(), count.div_ceil(members.len()));
    eventually("an even share for each member", PATIENCE, async || {
        let shares: Vec<BTreeSet<i32>> = members.iter().map(|member| member.has.borrow().clone()).collect();
        let even = shares.iter().all(|share| (least..=most).contains(&share.len()));
        let distinct: BTreeSet<i32> = shares.iter().flatten().copied().collect();
        (even && distinct.len() == count && shares.iter().map(BTreeSet::len).sum::<usize>() == count)
            .then_some(())
    })
    .await;
}

/// Publishes until told to stop; the ids of what was acked.
async fn load(publisher: Publisher, stopped: watch::Receiver<bool>) -> BTreeSet<Uuid> {
    let mut pace = interval(Duration::from_millis(4));
    let mut receipts = Vec::new();
    while !*stopped.borrow() {
        pace.tick().await;
        let pause = SessionPause::new(Uuid::new_v4(), PauseReason::PlayerAfk);
        receipts.push(publisher.enqueue(pause).await.unwrap());
    }
    let mut ids = BTreeSet::new();
    for receipt in receipts {
        ids.insert(receipt.await.unwrap().event_id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_leave_and_die_under_load_and_every_event_is_handled() {
    require_kafka!();
    let kafka = shared_single().await;
    let (crafting, suffix) = crafting(kafka, "changes").await;
    let group = kafka.unique_topic("changes");
    let handled = Arc::new(Mutex::new(Vec::new()));
    let member = |number| Member::start(number, kafka.bootstrap(), &suffix, &group, handled.clone());
    let goes_on = async || {
        let before = handled.lock().unwrap().len();
        let enough = async || (handled.lock().unwrap().len() >= before + 200).then_some(());
        eventually("200 more events", PATIENCE, enough).await;
    };
    let publisher = crafting.publisher("crafting.network").build().await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let load = tokio::spawn(load(publisher, stopped));

    let [first, second, third, fourth] = [1, 2, 3, 4].map(member);
    settled(&[&first, &second, &third, &fourth]).await;
    goes_on().await;
    let fifth = member(5);
    settled(&[&first, &second, &third, &fourth, &fifth]).await;
    goes_on().await;
    tokio::task::spawn_blocking(move || first.end(End::Close)).await.unwrap();
    settled(&[&second, &third, &fourth, &fifth]).await;
    goes_on().await;
    let before_death = handled.lock().unwrap().len();
    tokio::task::spawn_blocking(move || second.end(End::Die)).await.unwrap();
    settled(&[&third, &fourth, &fifth]).await;
    goes_on().await;
    stop.send_replace(true);
    let published = load.await.unwrap();
    eventually("every event is handled", PATIENCE, async || {
        let handled: BTreeSet<Uuid> = handled.lock().unwrap().iter().map(|handled| handled.event).collect();
        handled.is_superset(&published).then_some(())
    })
    .await;
    for member in [third, fourth, fifth] {
        tokio::task::spawn_blocking(move || member.end(End::Close)).await.unwrap();
    }
    let lag = crafting.client().admin().group_lag(&group, &crafting.topic_name(Topic::Events)).await.unwrap();
    assert!(lag.values().all(|partition| partition.lag == 0), "closing commits: {lag:?}");
    crafting.topics().delete().await.unwrap();
    judge(&handled.lock().unwrap(), before_death);
}

/// Nothing is handed out twice but what the dead member had not committed, and a partition's events are in order, but
/// for those.
fn judge(handled: &[Handled], before_death: usize) {
    const DEAD: usize = 2;
    let mut by_place: BTreeMap<(i32, i64), Vec<Handled>> = BTreeMap::new();
    for one in handled {
        by_place.entry((one.partition, one.offset)).or_default().push(*one);
    }
    for times in by_place.values().filter(|times| times.len() > 1) {
        assert!(times.len() == 2 && times[0].member == DEAD, "handed out again: {times:?}");
    }
    let mut next: BTreeMap<i32, i64> = BTreeMap::new();
    for (place, one) in handled.iter().enumerate() {
        let wanted = next.insert(one.partition, one.offset + 1).unwrap_or(0);
        let goes_back = place > before_death && one.offset < wanted;
        assert!(one.offset == wanted || goes_back, "offset {wanted} was skipped: {one:?}");
    }
}
