//! Nothing is left: no file descriptor, nobody who listens, no room on the disk.

use crate::{
    group::{read_fate, start_child},
    load::{PATIENCE, judge},
    stage::{CHILD, PARTITIONS, Stage, scale},
};
use craftwire::{Client, admin::OffsetSpec};
use craftwire_test_support::{Election, eventually, proxy::ReservedAddress, require_kafka};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Few enough to be used up at once, enough for a client of three nodes.
const FILES: u32 = 64;

async fn ends(client: &Client, topic: &str) -> BTreeMap<i32, i64> {
    eventually("the ends of the log", PATIENCE, async || {
        client.admin().list_offsets(topic, OffsetSpec::Latest).await.ok()
    })
    .await
}

/// Waits until each partition has so many more.
async fn goes_on(client: &Client, topic: &str, more: i64) {
    let before = ends(client, topic).await;
    eventually("records in every partition", PATIENCE, async || {
        let now = ends(client, topic).await;
        before.iter().all(|(partition, end)| now[partition] >= end + more).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_no_file_descriptor_left() {
    require_kafka!();
    let stage = Stage::set("f48-files").await;
    let (fates, held) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicI64::new(-1)));
    let (told, holds) = (fates.clone(), held.clone());
    let role = format!("starving {} f48-files", stage.cluster.bootstrap());
    let child = start_child(CHILD, &role, Some(FILES), move |line| {
        if !read_fate(line, &mut told.lock().unwrap())
            && let Some(number) = line.strip_prefix("held ")
        {
            holds.store(number.parse().unwrap(), Ordering::Relaxed);
        }
    });
    goes_on(&stage.client, "f48-files", 20).await;
    let times = scale().min(3);
    for partition in 0..i32::try_from(times).unwrap() {
        child.signal("USR1");
        eventually("no file is left", PATIENCE, async || (held.load(Ordering::Relaxed) > 0).then_some(()))
            .await;
        let before = held.load(Ordering::Relaxed);
        let node = stage.cluster.leader("f48-files", partition).await.unwrap();
        stage.cluster.kill(node);
        stage.cluster.restart(node).await;
        stage.cluster.wait_in_sync().await;
        // It leads again, and the client has no way to make a connection to it.
        stage.cluster.elect("f48-files", partition, Election::Preferred).await.unwrap();
        let taken = held.load(Ordering::Relaxed) - before;
        assert!(taken > 0, "no connection was lost for good");
        child.signal("USR2");
        eventually("files again", PATIENCE, async || (held.load(Ordering::Relaxed) == 0).then_some(())).await;
        goes_on(&stage.client, "f48-files", 20).await;
    }
    child.ask_to_end();
    let ended = tokio::task::spawn_blocking(move || child.ended_within(PATIENCE)).await.unwrap();
    assert!(ended, "every record has an outcome");
    let fates = std::mem::take(&mut *fates.lock().unwrap());
    let verdict = judge(&stage.client, "f48-files", &fates).await;
    println!("F48 no file descriptor left: {times} times: {verdict}");
    assert!(verdict.is_clean() && verdict.acked > 0, "{verdict:?}");
    stage.client.admin().delete_topic("f48-files").await.unwrap();
}

#[tokio::test]
async fn f48_nobody_listens() {
    let nobody = ReservedAddress::free();
    let builder = Client::builder(&nobody.address().to_string());
    let error = builder.connect_timeout(Duration::from_millis(300)).build().await.unwrap_err();
    println!("F48 connection refused: 1 time: {error}");
    assert!(error.is_retriable(), "{error:?}");
    assert!(error.to_string().contains(&nobody.address().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_disk_of_a_leader_full() {
    require_kafka!();
    let stage = Stage::set("f48-disk").await;
    let play = stage.play().await;
    let times = scale().min(3);
    for partition in (0..PARTITIONS).take(times.try_into().unwrap()) {
        let leader = stage.cluster.leader("f48-disk", partition).await.unwrap();
        stage.cluster.fill_disk(leader);
        eventually("Kafka gives the node up", PATIENCE, async || {
            (!stage.cluster.is_alive(leader)).then_some(())
        })
        .await;
        play.goes_on().await;
        stage.cluster.kill(leader);
        stage.cluster.restart(leader).await;
        stage.cluster.wait_in_sync().await;
    }
    let verdict = stage.judge("F48 disk of a leader full", times, play).await;
    assert_eq!(verdict.not_sent + verdict.unknown, 0, "{verdict}");
}
