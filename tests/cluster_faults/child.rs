//! What a child process does: it is a member of a group, or a producer, and tells its parent line by line.
//!
//! | line | what it says |
//! |---|---|
//! | `@up` | it runs |
//! | `@a 0 1`, `@v 0 1`, `@l 0 1` | these partitions were assigned, revoked, lost |
//! | `@r 3 17 5 120` | partition 3, offset 17 was handed out: key 5, number 120; it is acked after this line |
//! | `@s 3` | where partition 3 is read from was chosen by a rule |
//! | `@t 3 17 12` | partition 3 was cut back from 17 to 12 |
//! | `@e text` | an error that is not fatal |
//! | `@f 5 a 3 17`, `@f 5 n`, `@f 5 u` | what became of key 5's next record |
//! | `@left` | it committed what was finished and left |

use crate::{
    ledger::{Fate, key_and_number},
    load::{Load, Pace},
};
use craftwire::{
    Client,
    consumer::{Consumer, ConsumerEvent, ConsumerRecord, StartFrom, TopicPartition},
};
use futures_util::FutureExt;
use std::{fmt::Display, fs::File, io::Write, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::interval,
};

/// How a child is told what it is; the words are separated by blanks.
pub(crate) const ROLE: &str = "CRAFTWIRE_FAULT_CHILD";

/// Plays the role that [`ROLE`] says, until SIGTERM.
pub(crate) fn play() {
    let role = std::env::var(ROLE).expect("a child is told its role");
    let words: Vec<&str> = role.split(' ').collect();
    // With one thread nothing of a member runs between a hand-out and the look at what was revoked before it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let terminated = signal(SignalKind::terminate()).unwrap();
        match words[..] {
            ["member", bootstrap, group, topic, millis] => {
                let client = connect(bootstrap).await;
                let consumer = client.consumer().group(group).topics([topic]);
                let consumer = consumer.start_from(StartFrom::Earliest).build().await.unwrap();
                live(consumer, Duration::from_millis(millis.parse().unwrap()), terminated).await;
            }
            ["producer", bootstrap, topic] => produce(bootstrap, topic, terminated).await,
            ["starving", bootstrap, topic] => starve(bootstrap, topic, terminated).await,
            _ => panic!("no such role: {role}"),
        }
    });
}

async fn connect(bootstrap: &str) -> Client {
    Client::connect(bootstrap).await.unwrap()
}

fn tell(line: impl Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").unwrap();
    out.flush().unwrap();
}

/// Handles records one by one, each for so long.
async fn live(mut consumer: Consumer, each: Duration, mut terminated: Signal) {
    let mut events = consumer.events();
    tell("up");
    loop {
        let record = tokio::select! {
            biased;
            record = consumer.recv() => record.expect("the consumer goes on"),
            event = events.next() => {
                tell_event(event.expect("the consumer goes on"));
                continue;
            }
            _ = terminated.recv() => break,
        };
        while let Some(event) = events.next().now_or_never() {
            tell_event(event.expect("the consumer goes on"));
        }
        match record {
            Ok(record) => {
                tell_record(&record);
                if !each.is_zero() {
                    // The handler's work, which nothing announces the end of.
                    tokio::time::timeout(each, std::future::pending::<()>()).await.unwrap_err();
                }
                consumer.ack(&record);
            }
            Err(error) => {
                assert!(!error.is_fatal(), "{error:?}");
                tell(format_args!("e {error}"));
            }
        }
    }
    let closed = consumer.close().await;
    while let Some(Some(event)) = events.next().now_or_never() {
        tell_event(event);
    }
    match closed {
        Ok(()) => tell("left"),
        Err(error) => tell(format_args!("e closing: {error}")),
    }
}

fn tell_record(record: &ConsumerRecord) {
    let (key, number) = key_and_number(record.value().unwrap());
    tell(format_args!("r {} {} {key} {number}", record.partition(), record.offset()));
}

fn tell_event(event: ConsumerEvent) {
    let list = |mark: &str, names: Vec<TopicPartition>| {
        let numbers: Vec<String> = names.iter().map(|name| name.partition.to_string()).collect();
        tell(format_args!("{mark} {}", numbers.join(" ")));
    };
    match event {
        ConsumerEvent::Assigned(names) => list("a", names),
        ConsumerEvent::Revoked(names) => list("v", names),
        ConsumerEvent::Lost(names) => list("l", names),
        // Nobody had committed anything: the beginning is where reading starts.
        ConsumerEvent::Reset { from: None, .. } => {}
        ConsumerEvent::Reset { partition, .. } => tell(format_args!("s {}", partition.partition)),
        ConsumerEvent::Truncated { partition, from, to } => {
            tell(format_args!("t {} {from} {to}", partition.partition));
        }
        // An outage may last for longer than that.
        ConsumerEvent::Stalled { .. } | ConsumerEvent::Resumed { .. } => {}
        other => tell(format_args!("e {other:?}")),
    }
}

/// Produces, and tells in the end what became of every record.
async fn produce(bootstrap: &str, topic: &str, mut terminated: Signal) {
    let client = connect(bootstrap).await;
    let producer = client.producer().build().await.unwrap();
    let load = Load::start(&producer, topic, Pace::default());
    tell("up");
    terminated.recv().await;
    tell_fates(load).await;
}

async fn tell_fates(load: Load) {
    for (key, fates) in load.end().await.iter().enumerate() {
        for fate in fates.iter() {
            match fate {
                Fate::Acked { partition, offset } => {
                    tell(format_args!("f {key} a {partition} {}", offset.unwrap_or(-1)));
                }
                Fate::NotSent => tell(format_args!("f {key} n")),
                Fate::Unknown => tell(format_args!("f {key} u")),
            }
        }
    }
    tell("left");
}

/// Produces with no file descriptor left between SIGUSR1 and SIGUSR2: what a connection that ended gives back is taken
/// before another one can be made of it.
async fn starve(bootstrap: &str, topic: &str, mut terminated: Signal) {
    let client = connect(bootstrap).await;
    let producer = client.producer().build().await.unwrap();
    let load = Load::start(&producer, topic, Pace::default());
    let mut hunger = signal(SignalKind::user_defined1()).unwrap();
    let mut food = signal(SignalKind::user_defined2()).unwrap();
    // Far more often than a connection is tried.
    let mut bite = interval(Duration::from_millis(2));
    tell("up");
    let mut held: Option<Vec<File>> = None;
    loop {
        tokio::select! {
            _ = hunger.recv() => held = Some(Vec::new()),
            _ = bite.tick() => {
                let Some(held) = &mut held else { continue };
                let before = held.len();
                while let Ok(file) = File::open("/dev/null") {
                    held.push(file);
                }
                if held.len() > before {
                    tell(format_args!("held {}", held.len()));
                }
            }
            _ = food.recv() => {
                if let Err(error) = client.admin().describe_topic(topic).await {
                    assert!(error.is_retriable(), "{error:?}");
                }
                held = None;
                tell("held 0");
            }
            _ = terminated.recv() => break,
        }
    }
    tell_fates(load).await;
}
