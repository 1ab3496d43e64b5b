//! Answers that end in the middle, at each of their bytes.

use super::stage::{SHORT, Stage, impatient};
use crate::common::{PATIENCE, connect};
use craftwire::{Client, ProducerRecord};
use craftwire_test_support::{
    eventually,
    proxy::{Direction, Fault, FaultProxy, Rule, RuleHandle, api},
    require_kafka,
};
use std::{fmt::Debug, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{interval, timeout},
};

/// Between two questions of one kind: no faster than a few tasks may ask.
const PACE: Duration = Duration::from_millis(5);

/// What is cut, and how far one cut is from the next.
const SWEPT: [(&str, i16, usize); 9] = [
    ("Produce", api::PRODUCE, 1),
    ("Metadata", api::METADATA, 1),
    ("OffsetCommit", api::OFFSET_COMMIT, 1),
    ("ConsumerGroupHeartbeat", api::CONSUMER_GROUP_HEARTBEAT, 1),
    ("FindCoordinator", api::FIND_COORDINATOR, 1),
    ("InitProducerId", api::INIT_PRODUCER_ID, 1),
    ("OffsetFetch", api::OFFSET_FETCH, 1),
    ("ListOffsets", api::LIST_OFFSETS, 1),
    // Thousands of bytes.
    ("Fetch", api::FETCH, 31),
];

/// Tasks that ask what a load does not ask often, until they are told to stop.
struct Askers {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Askers {
    /// Each with a client of its own.
    async fn start(proxy: &FaultProxy, topic: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let client = async || (impatient(proxy, SHORT).await, topic.to_owned(), stopped.clone());
        let mut tasks = vec![
            tokio::spawn(describe(client().await)),
            tokio::spawn(start_producers(client().await)),
            tokio::spawn(ask_for_groups(client().await)),
        ];
        for task in 0..3 {
            tasks.push(tokio::spawn(join_and_leave(client().await, task)));
        }
        Self { stop, tasks }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            timeout(PATIENCE, task).await.expect("no question hangs").unwrap();
        }
    }
}

type Asker = (Client, String, watch::Receiver<bool>);

async fn describe((client, topic, stopped): Asker) {
    let mut pace = interval(PACE);
    while !*stopped.borrow() {
        pace.tick().await;
        match client.admin().describe_topic(&topic).await {
            Ok(told) => assert_eq!(told.partitions.len(), 1),
            Err(error) => may_be_retried(error.is_retriable(), &error),
        }
    }
}

async fn start_producers((client, _, stopped): Asker) {
    let mut pace = interval(PACE);
    while !*stopped.borrow() {
        pace.tick().await;
        if let Err(error) = client.producer().build().await {
            may_be_retried(error.is_retriable(), &error);
        }
    }
}

/// The coordinator of a group is asked for once, so each has another name.
async fn ask_for_groups((client, topic, stopped): Asker) {
    let mut pace = interval(PACE);
    let mut number = 0;
    while !*stopped.borrow() {
        pace.tick().await;
        number += 1;
        match client.admin().group_lag(&format!("{topic}-asked-{number}"), &topic).await {
            Ok(lag) => assert_eq!(lag.len(), 1),
            Err(error) => may_be_retried(error.is_retriable(), &error),
        }
    }
}

/// Members that read one record, commit it and leave.
async fn join_and_leave((client, topic, stopped): Asker, task: u32) {
    let mut pace = interval(PACE);
    let mut number = 0;
    while !*stopped.borrow() {
        pace.tick().await;
        number += 1;
        let member = client.consumer().group(format!("{topic}-{task}-{number}")).topics([topic.as_str()]);
        let mut member = member.build().await.unwrap();
        let record = loop {
            match timeout(PATIENCE, member.recv()).await.expect("the group lets it in").unwrap() {
                Ok(record) => break record,
                Err(error) => assert!(!error.is_fatal(), "{error:?}"),
            }
        };
        assert_eq!((record.offset(), record.value()), (0, Some(&b"0 0"[..])));
        member.ack(&record);
        // What it could not commit, the next member of its group would read again.
        let _left = member.close().await;
    }
}

fn may_be_retried(is_retriable: bool, error: &dyn Debug) {
    assert!(is_retriable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f8_answers_cut_at_every_byte_cost_a_connection_only() {
    require_kafka!();
    let stage = Stage::set(1, SHORT).await;
    let side = stage.side_topic().await;
    let direct = connect(&stage.kafka.bootstrap()).await.producer().build().await.unwrap();
    direct.send(ProducerRecord::new(side.as_str(), "0 0")).await.unwrap().await.unwrap();
    let member = stage.client.consumer().group(stage.topic.as_str()).commit_interval(SHORT / 20);
    let play = stage.play_to(member).await;
    let askers = Askers::start(&stage.proxy, &side).await;

    let longest = |key| stage.proxy.longest_frame(Direction::Answer, key);
    let all_seen = async || SWEPT.iter().all(|&(_, key, _)| longest(key) > 0).then_some(());
    eventually("every answer once", PATIENCE, all_seen).await;
    // Every second goes well, so that connections are of use and come back soon.
    let sweeps = SWEPT.map(|(name, key, step)| {
        let times = u64::try_from(longest(key) / step + 2).unwrap();
        let cut = Rule::answers(Fault::CutEverywhere { step }).api(key).one_in(2);
        (name, times, stage.proxy.add(cut.times(times)))
    });
    wait_for(&stage, &sweeps).await;

    // And the handshake, over and over.
    let lost = stage.proxy.add(Rule::answers(Fault::Cut { at: 0 }).api(api::METADATA).one_in(2));
    let times = u64::try_from(longest(api::API_VERSIONS) / HANDSHAKE_STEP + 2).unwrap();
    let cut = Rule::answers(Fault::CutEverywhere { step: HANDSHAKE_STEP }).api(api::API_VERSIONS).one_in(3);
    wait_for(&stage, &[("ApiVersions", times, stage.proxy.add(cut.times(times)))]).await;
    lost.remove();
    askers.end().await;
    let _ = stage.judge(play).await;
}

async fn wait_for(stage: &Stage, sweeps: &[(&str, u64, RuleHandle)]) {
    for (name, times, cut) in sweeps {
        stage.befallen(cut, *times).await;
        eprintln!("{name}: {} answers cut", cut.injected());
    }
}

const HANDSHAKE_STEP: usize = 17;
