//! The network between the client and Kafka fails as the fault proxy is told: what was acked is in the log once, keys
//! stay in order, readers see every record once, calls end with an honest error, and all goes on when the fault is over.
//!
//! The names begin with the fault's number in the list of the rig. One node with the proxy before it is shared; tests
//! take turns at it, each with a proxy of its own at the same address.

mod cuts;
mod encrypted;
mod flips;
mod silent_broker;
mod stage;

use crate::common::{PATIENCE, noise};
use craftwire::{ProducerRecord, admin::OffsetSpec};
use craftwire_test_support::{
    eventually,
    proxy::{Direction, Fault, Rule, api},
    require_kafka,
};
use stage::{PARTITIONS, SHORT, Stage, in_the_log};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_blackhole_both_ways_is_given_up_and_said() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let play = stage.play().await;
    let before = stage.proxy.connections();
    let hole = stage.proxy.add(Rule::both_ways(Fault::BlackHole));
    let error = stage.client.admin().describe_topic(&stage.topic).await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    stage.befallen(&hole, 6).await;
    let tried = stage.proxy.connections() - before;
    assert!(tried < 60, "{tried} connections into a hole: a hot loop");
    let _ = stage.judge(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f9_ack_lost_makes_no_duplicate_and_loses_nothing() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let play = stage.play().await;
    let lost = stage.proxy.add(Rule::answers(Fault::Reset { at: 0 }).api(api::PRODUCE).one_in(3));
    stage.befallen(&lost, 8).await;
    lost.remove();
    let metrics = stage.judge(play).await;
    assert!(metrics.retries >= 8, "{metrics:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_5_a_duplicate_is_acked_with_the_offset_of_the_first() {
    require_kafka!();
    let stage = Stage::set(1, SHORT).await;
    let producer = stage.client.producer().build().await.unwrap();
    for offset in 0..10 {
        let rule = Rule::answers(Fault::Reset { at: 0 }).api(api::PRODUCE).times(2);
        let lost = stage.proxy.add(rule);
        let record = ProducerRecord::new(stage.topic.as_str(), "once");
        let ack = producer.send(record).await.unwrap().await.unwrap();
        assert_eq!((ack.offset, lost.injected()), (Some(offset), 2));
    }
    let ends = stage.client.admin().list_offsets(&stage.topic, OffsetSpec::Latest).await.unwrap();
    assert_eq!(ends[&0], 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f9_answers_of_a_coordinator_lost_take_no_partition_and_no_commit() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let group = stage.topic.as_str();
    let mut play = stage.play_to(stage.client.consumer().group(group)).await;
    for api_key in [api::OFFSET_COMMIT, api::CONSUMER_GROUP_HEARTBEAT] {
        let lost = stage.proxy.add(Rule::answers(Fault::Reset { at: 0 }).api(api_key).times(2));
        stage.befallen(&lost, 2).await;
        play.load.goes_on_everywhere(5).await;
    }
    // The reader commits all of it when it closes, which it does in here.
    let _ = stage.judge(play).await;
    let lag = stage.client.admin().group_lag(group, &stage.topic).await.unwrap();
    assert!(lag.values().all(|partition| partition.lag == 0), "{lag:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f46_answers_out_of_step_cost_their_connection() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let member = stage.client.consumer().group(stage.topic.as_str()).commit_interval(SHORT / 20);
    let mut play = stage.play_to(member).await;
    for fault in [Fault::Misname, Fault::Twice, Fault::Stray, Fault::Swap] {
        let before = stage.proxy.connections();
        let apis = [api::PRODUCE, api::FETCH, api::OFFSET_COMMIT, api::CONSUMER_GROUP_HEARTBEAT];
        let rules = apis.map(|key| stage.proxy.add(Rule::answers(fault).api(key).one_in(2).times(2)));
        for rule in &rules {
            stage.befallen(rule, 2).await;
        }
        play.load.goes_on_everywhere(5).await;
        // The last two APIs share one; answers that were under way when it broke count as harmed too.
        let replaced = async || (stage.proxy.connections() - before >= 4).then_some(());
        eventually("other connections", PATIENCE, replaced).await;
    }
    let _ = stage.judge(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_one_way_loss_on_connections_in_turn() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let mut play = stage.play_to(stage.client.consumer().group(stage.topic.as_str())).await;
    for rule in [
        Rule::answers(Fault::Hold).api(api::OFFSET_COMMIT),
        Rule::answers(Fault::Hold).api(api::CONSUMER_GROUP_HEARTBEAT),
        Rule::answers(Fault::Hold).api(api::PRODUCE),
        Rule::answers(Fault::Hold).api(api::FETCH),
        Rule::requests(Fault::Hold).api(api::PRODUCE),
    ] {
        let lost = stage.proxy.add(rule);
        // The second is that of the connection that took the first one's place.
        stage.befallen(&lost, 2).await;
        lost.remove();
        play.load.goes_on_everywhere(5).await;
    }
    let _ = stage.judge(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_latency_and_slowloris_slow_it_down_and_no_more() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, 10 * SHORT).await;
    let mut play = stage.play().await;
    // A topic so new may have refused the first batches.
    let before = (play.producer.metrics().retries, stage.proxy.connections());
    let delay = |least, jitter| Fault::Delay {
        least: Duration::from_millis(least),
        jitter: Duration::from_millis(jitter),
    };
    for fault in [
        delay(25, 10),
        delay(100, 50),
        Fault::Rate { bytes_per_second: 64_000 },
        Fault::OneByteWrites { pause: Duration::ZERO },
    ] {
        let slow = stage.proxy.add(Rule::both_ways(fault));
        // More than may wait for an outcome at once, so that it is many round trips.
        play.load.goes_on_everywhere(200).await;
        slow.remove();
        let buffered = play.producer.metrics().buffered_bytes;
        assert!(buffered < 1 << 20, "{buffered} bytes wait behind {}", fault.name());
    }
    let after = (play.producer.metrics().retries, stage.proxy.connections());
    eprintln!("retries, connections: {before:?}, then {after:?}");
    assert_eq!(after, before, "retries, connections: slow is not lost");
    let _ = stage.judge(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_short_connections_carry_all_of_it() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let (least, most) = (SHORT / 2, SHORT * 3 / 2);
    let life = stage.proxy.add(Rule::both_ways(Fault::Life { least, most }));
    stage.proxy.add(Rule::answers(Fault::Reset { at: 0 }).api(api::PRODUCE).times(1));
    let play = stage.play_to(stage.client.consumer().group(stage.topic.as_str())).await;
    stage.befallen(&life, 16).await;
    assert!(stage.proxy.frames(Direction::Request, api::API_VERSIONS) > 16);
    let _ = stage.judge(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_connections_that_break_under_the_pen_lose_nothing() {
    require_kafka!();
    let stage = Stage::set(1, SHORT).await;
    let producer = stage.client.producer().build().await.unwrap();
    let broken = stage.proxy.add(Rule::requests(Fault::Reset { at: 300_000 }).api(api::PRODUCE).one_in(3));
    // Several at once, more than sockets hold: the next is being written when the connection breaks.
    let mut deliveries = Vec::new();
    for number in 0..48 {
        let record = ProducerRecord::new(stage.topic.as_str(), format!("0 {number}"));
        deliveries.push(producer.send(record.key(noise(number, 700_000)).partition(0)).await.unwrap());
    }
    for (offset, delivery) in (0..).zip(deliveries) {
        assert_eq!(delivery.await.unwrap().offset, Some(offset));
    }
    eprintln!("injected: {:?}, {:?}", stage.proxy.counters(), producer.metrics());
    assert!(broken.injected() >= 8);
    let log = in_the_log(&stage.kafka.bootstrap(), &stage.topic).await;
    assert!(log.iter().map(|place| place.number).eq(0..48));
}
