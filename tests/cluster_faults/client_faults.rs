//! The client's own process is frozen, or killed.

use crate::{
    group::{Group, read_fate, start_child},
    ledger::Fates,
    load::{Load, PATIENCE, Pace, judge},
    stage::{CHILD, PARTITIONS, Stage, scale},
};
use craftwire_test_support::{Child, eventually, lasts, require_kafka};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinHandle, time::interval};

/// The test brokers give a group's members a session of 6 s.
const LONGER_THAN_A_SESSION: u64 = 9;

/// A producer that is a process; what became of its records is known when it has ended.
struct ProducerProcess {
    child: Child,
    fates: Arc<Mutex<Vec<Fates>>>,
}

impl ProducerProcess {
    async fn start(bootstrap: &str, topic: &str) -> Self {
        let fates = Arc::new(Mutex::new(Vec::new()));
        let is_up = Arc::new(AtomicBool::new(false));
        let (told, up) = (fates.clone(), is_up.clone());
        let child = start_child(CHILD, &format!("producer {bootstrap} {topic}"), None, move |line| {
            if !read_fate(line, &mut told.lock().unwrap()) {
                up.store(true, Ordering::Relaxed);
            }
        });
        eventually("the producer runs", PATIENCE, async || is_up.load(Ordering::Relaxed).then_some(())).await;
        Self { child, fates }
    }

    async fn end(self) -> Vec<Fates> {
        self.child.ask_to_end();
        let child = self.child;
        let ended = tokio::task::spawn_blocking(move || child.ended_within(PATIENCE)).await.unwrap();
        assert!(ended, "every record has an outcome");
        std::mem::take(&mut *self.fates.lock().unwrap())
    }
}

/// Looks at what the group committed, again and again, until aborted: it never goes back.
fn watch_commits(stage: &Stage) -> JoinHandle<()> {
    let (admin, topic) = (stage.client.admin(), stage.topic.clone());
    let group = format!("{topic}-group");
    tokio::spawn(async move {
        let mut look = interval(Duration::from_millis(200));
        let mut last = BTreeMap::new();
        loop {
            look.tick().await;
            let Ok(now) = admin.group_offsets(&group, &topic).await else { continue };
            for (partition, offset) in now {
                let before = last.insert(partition, offset).unwrap_or(0);
                assert!(offset >= before, "partition {partition}: committed {before}, then {offset}");
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f6_client_frozen_for_longer_than_its_session() {
    require_kafka!();
    let stage = Stage::set("f6").await;
    let bootstrap = stage.cluster.bootstrap();
    let producer = ProducerProcess::start(&bootstrap, "f6").await;
    let mut group: Group = stage.group();
    let [frozen, other] = [group.join(), group.join()];
    let all = usize::try_from(PARTITIONS).unwrap();
    group.shares(&[frozen, other], all).await;
    group.goes_on(100).await;
    let commits = watch_commits(&stage);
    let pauses: &[u64] =
        if scale() == 1 { &[LONGER_THAN_A_SESSION] } else { &[LONGER_THAN_A_SESSION, 20, 40] };
    for seconds in pauses {
        group.pause(frozen);
        producer.child.pause();
        lasts(Duration::from_secs(*seconds)).await;
        producer.child.resume();
        // The group notices, and gives all to the other.
        group.shares(&[other], all).await;
        group.goes_on(200).await;
        group.resume(frozen, true);
        eventually("it notices", PATIENCE, async || group.has_noticed(frozen).then_some(())).await;
        group.shares(&[frozen, other], all).await;
        group.goes_on(200).await;
    }
    assert!(!commits.is_finished(), "commits went back: {:?}", commits.await);
    commits.abort();
    let fates = producer.end().await;
    let verdict = judge(&stage.client, "f6", &fates).await;
    println!("F6 SIGSTOP of a member and of a producer: {} times: {verdict}", pauses.len());
    stage.judge_group("F6 SIGSTOP of a member", group).await;
    assert!(verdict.is_clean(), "{verdict:?}");
    stage.client.admin().delete_topic("f6").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_members_killed_in_the_middle_of_a_batch() {
    require_kafka!();
    let stage = Stage::set("f12").await;
    // A handler that takes a millisecond or two is nearly always in the middle of a batch.
    let mut group = stage.group().handler(Duration::from_millis(1));
    let mut members: Vec<usize> = (0..4).map(|_| group.join()).collect();
    let all = usize::try_from(PARTITIONS).unwrap();
    group.shares(&members, all).await;
    let producer = stage.client.producer().build().await.unwrap();
    let load = Load::start(&producer, "f12", Pace { every: Duration::from_millis(40), ..Pace::default() });
    group.goes_on(500).await;
    let commits = watch_commits(&stage);
    let rounds = scale();
    for _ in 0..rounds {
        // Two of four at once.
        for member in members.drain(..2) {
            group.kill(member);
        }
        group.shares(&members, all).await;
        group.goes_on(500).await;
        members.extend([group.join(), group.join()]);
        group.shares(&members, all).await;
        group.goes_on(500).await;
    }
    assert!(!commits.is_finished(), "commits went back: {:?}", commits.await);
    commits.abort();
    let fates = load.end().await;
    let verdict = judge(&stage.client, "f12", &fates).await;
    println!("F12 SIGKILL of a member: {} times: {verdict}", 2 * rounds);
    let oldest = group.book().oldest_again;
    stage.judge_group("F12 SIGKILL of a member", group).await;
    assert!(verdict.is_clean(), "{verdict:?}");
    // One commit interval is 1 s; the rest is for a machine that does other things besides.
    assert!(oldest < Duration::from_secs(10), "handed out again although finished {oldest:?} before the end");
    stage.client.admin().delete_topic("f12").await.unwrap();
}
