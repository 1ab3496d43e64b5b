//! One node at a time: killed, frozen, restarted in good order, its partitions led by others, its log cut back.

use crate::{
    load::{Load, PATIENCE, Pace},
    stage::{PARTITIONS, Stage, scale, three_nodes},
};
use craftwire::{Client, admin::NewTopic};
use craftwire_test_support::{Election, eventually, lasts, require_kafka};
use std::time::{Duration, Instant};
use tokio::time::interval;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_leaders_killed_one_after_the_other() {
    require_kafka!();
    let stage = Stage::set("f1").await;
    let play = stage.play().await;
    let times = 3 * scale();
    for partition in (0..PARTITIONS).cycle().take(times.try_into().unwrap()) {
        let leader = stage.cluster.leader("f1", partition).await.unwrap();
        let killed = Instant::now();
        stage.cluster.kill(leader);
        stage.cluster.wait_for_leader("f1", partition, move |other| other != leader).await;
        let elected = Instant::now();
        play.load.goes_on_in(partition, 1).await;
        let (waited, late) = (elected - killed, elected.elapsed());
        println!("F1: another leader after {waited:.2?}, an ack from it {late:.2?} later");
        play.goes_on().await;
        stage.cluster.restart(leader).await;
        // With another one dead there would be no quorum, and no in-sync replica to lead.
        stage.cluster.wait_in_sync().await;
    }
    let verdict = stage.judge("F1 SIGKILL of a leader", times, play).await;
    assert_eq!(verdict.not_sent + verdict.unknown, 0, "{verdict}");
}

/// At the rate of both topics together, each leader killed when the last one had been back in every ISR for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_leaders_killed_at_fifteen_thousand_records_a_second() {
    require_kafka!();
    let (times, spell) = if scale() == 1 { (1, 1) } else { (20, 10) };
    let stage = Stage::set("f1-rate").await;
    let producer = stage.client.producer().buffer_bytes(256 << 20).build().await.unwrap();
    let pace = Pace { keys: 300, every: Duration::from_millis(20), window: 20_000 };
    let begun = Instant::now();
    let play = stage.play_by(producer, pace).await;
    for partition in (0..PARTITIONS).cycle().take(times.try_into().unwrap()) {
        lasts(Duration::from_secs(spell)).await;
        let leader = stage.cluster.leader("f1-rate", partition).await.unwrap();
        stage.cluster.kill(leader);
        stage.cluster.wait_for_leader("f1-rate", partition, move |other| other != leader).await;
        play.load.goes_on_in(partition, 1).await;
        stage.cluster.restart(leader).await;
        stage.cluster.wait_in_sync().await;
    }
    let rate = f64::from(u32::try_from(play.load.acked()).unwrap()) / begun.elapsed().as_secs_f64();
    println!("F1: {rate:.0} records a second were acked");
    let verdict = stage.judge("F1 SIGKILL of a leader under full load", times, play).await;
    assert!((verdict.not_sent + verdict.unknown) * 10_000 <= verdict.acked, "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_leaders_frozen_and_thawed() {
    require_kafka!();
    let stage = Stage::set("f2").await;
    let play = stage.play().await;
    // Shorter than the nodes' session among themselves, and longer.
    let pauses: &[u64] = if scale() == 1 { &[2, 8] } else { &[2, 5, 20, 45] };
    for (partition, seconds) in (0..).zip(pauses) {
        let leader = stage.cluster.leader("f2", partition).await.unwrap();
        stage.cluster.pause(leader);
        lasts(Duration::from_secs(*seconds)).await;
        stage.cluster.resume(leader);
        play.goes_on().await;
        stage.cluster.wait_until_up().await;
        stage.cluster.wait_in_sync().await;
    }
    let times = pauses.len().try_into().unwrap();
    let verdict = stage.judge("F2 SIGSTOP of a leader", times, play).await;
    assert_eq!(verdict.not_sent + verdict.unknown, 0, "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_rolling_restart() {
    require_kafka!();
    let stage = Stage::set("f3").await;
    let play = stage.play().await;
    let rounds = if scale() == 1 { 1 } else { 2 };
    for _ in 0..rounds {
        for node in stage.cluster.node_ids() {
            stage.cluster.restart(node).await;
            play.goes_on().await;
            stage.cluster.wait_in_sync().await;
        }
    }
    let verdict = stage.judge("F3 clean restart of each node", 3 * rounds, play).await;
    assert_eq!(verdict.not_sent + verdict.unknown, 0, "{verdict}");
}

/// An election of a replica that lacks acked records loses them: that is what it means. Promised is that the client
/// says so and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_unclean_election_is_said_and_gone_on_from() {
    require_kafka!();
    let (_turn, cluster) = three_nodes().await;
    let client = Client::connect(&cluster.bootstrap()).await.unwrap();
    let admin = client.admin();
    let topic = NewTopic::new("f4", 1, 3).config("min.insync.replicas", "1");
    admin.create_topic(topic.config("unclean.leader.election.enable", "true")).await.unwrap();
    cluster.wait_in_sync().await;
    let [old, new] = [1, 2];
    cluster.put_on("f4", 0, &[old, new]).await.unwrap();
    eventually("two replicas", PATIENCE, async || {
        let (_, topics) = cluster.metadata().await;
        let partition = &topics.iter().find(|topic| topic.name == "f4")?.partitions[0];
        (partition.replicas == [old, new] && partition.isr.len() == 2).then_some(())
    })
    .await;
    cluster.elect("f4", 0, Election::Preferred).await.unwrap();
    cluster.wait_for_leader("f4", 0, move |leader| leader == old).await;

    let mut group = crate::group::Group::new(crate::stage::CHILD, &cluster.bootstrap(), "f4-group", "f4");
    group.join();
    let producer = client.producer().build().await.unwrap();
    let load = Load::start(&producer, "f4", Pace::default());
    load.goes_on_everywhere(1, 50).await;
    cluster.kill(new);
    // Acked by the old leader alone, and handed out.
    eventually("a leader without followers", PATIENCE, async || {
        let (_, topics) = cluster.metadata().await;
        let partition = &topics.iter().find(|topic| topic.name == "f4")?.partitions[0];
        (partition.isr == [old]).then_some(())
    })
    .await;
    load.goes_on_everywhere(1, 200).await;
    group.goes_on(200).await;
    cluster.kill(old);
    cluster.restart_without_waiting(new);
    eventually("an unclean election", PATIENCE, async || {
        cluster.elect("f4", 0, Election::Unclean).await.ok()
    })
    .await;
    load.goes_on_everywhere(1, 200).await;
    group.goes_on(200).await;
    cluster.restart(old).await;
    cluster.wait_in_sync().await;
    load.goes_on_everywhere(1, 50).await;
    let fates = load.end().await;
    let verdict = crate::load::judge(&client, "f4", &fates).await;
    let metrics = producer.metrics();
    println!("F4 unclean election: 1 time: {verdict}; {metrics:?}");
    {
        let book = group.book();
        println!("F4 unclean election: group: {book}, {} truncations told", book.truncated);
        assert!(book.breaches.is_empty(), "{:#?}", book.breaches);
        assert!(book.truncated > 0, "what was handed out is gone, and nobody said so");
    }
    assert!(verdict.lost > 0, "this election was to lose records: {verdict}");
    assert_eq!((verdict.order_breaks, verdict.duplicates, verdict.foreign), (0, 0, 0));
    assert!(metrics.loss_suspected > 0, "what was acked is gone, and the producer did not notice");
    for member in group.running() {
        let _ = group.leave(member).await;
    }
    admin.delete_topic("f4").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_leaders_move_every_half_second() {
    require_kafka!();
    let stage = Stage::set("f17").await;
    let play = stage.play().await;
    let mut ticks = interval(Duration::from_millis(500));
    let (mut asked, mut moved) = (0_i32, 0_i32);
    while moved < 30 * i32::try_from(scale()).unwrap() {
        ticks.tick().await;
        let partition = asked % PARTITIONS;
        asked += 1;
        let (_, topics) = stage.cluster.metadata().await;
        let state = &topics.iter().find(|topic| topic.name == "f17").unwrap();
        let state = &state.partitions[usize::try_from(partition).unwrap()];
        let mut replicas = state.replicas.clone();
        while replicas[0] == state.leader {
            replicas.rotate_left(1);
        }
        if stage.cluster.lead_by("f17", partition, &replicas).await.is_ok() {
            moved += 1;
        }
        assert!(asked < 10 * moved + 100, "leaders do not move");
    }
    let verdict = stage.judge("F17 a leader moved", moved.try_into().unwrap(), play).await;
    assert_eq!(verdict.not_sent + verdict.unknown, 0, "{verdict}");
}
