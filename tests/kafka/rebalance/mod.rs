//! What a rebalance costs those who read: a group of four under load, which others join and leave, of both protocols.
//!
//! The long form measures at full rate on a broker of its own, and fails where a target of it is missed:
//! `cargo test --release --all-features --test kafka rebalance -- --ignored --nocapture`

#![allow(clippy::print_stdout, reason = "the figures are for whoever runs it")]
#![allow(clippy::disallowed_methods, reason = "figures of the real clock")]

mod book;
mod figures;
mod load;
mod members;

use crate::common::{PATIENCE, connect};
use craftwire::{
    admin::{NewTopic, OffsetSpec},
    consumer::GroupProtocol,
};
use craftwire_test_support::{KafkaCluster, Profile, eventually, lasts, require_kafka, shared_single};
use figures::{HEADER, Row};
use load::Load;
use members::Members;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use tokio::time::interval;
use uuid::Uuid;

const PARTITIONS: i32 = 16;

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Records a second.
    rate: u32,
    /// How often one member joins and leaves.
    rounds: usize,
    /// Between changes, and after them.
    quiet: Duration,
    /// Joins and leaves in the storm, and how long that lasts.
    changes: u32,
    storm: Duration,
}

const SHORT: Plan = Plan {
    rate: 1000,
    rounds: 1,
    quiet: Duration::from_millis(100),
    changes: 6,
    storm: Duration::from_secs(2),
};

const LONG: Plan = Plan {
    rate: 15_000,
    rounds: 10,
    quiet: Duration::from_secs(2),
    changes: 100,
    storm: Duration::from_secs(60),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_kip_848_come_and_go_and_nothing_is_lost_or_late() {
    require_kafka!();
    measure(shared_single().await.bootstrap(), GroupProtocol::Consumer, SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_members_come_and_go_and_nothing_is_lost_or_late() {
    require_kafka!();
    measure(shared_single().await.bootstrap(), GroupProtocol::Classic, SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and means nothing beside other work"]
async fn what_a_rebalance_costs_at_fifteen_thousand_records_a_second() {
    require_kafka!();
    let start = || KafkaCluster::builder().profile(Profile::Bench).start_blocking().unwrap();
    let cluster = tokio::task::spawn_blocking(start).await.unwrap();
    let mut missed = Vec::new();
    let mut table = HEADER.to_owned();
    for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
        let rows = measure(&cluster.bootstrap(), protocol, LONG).await;
        for row in &rows {
            table = format!("{table}\n| {} {row}", name(protocol));
        }
        let [quiet, join, leave, storm] = &rows;
        for row in [quiet, join, leave] {
            if row.stay_gap() > Duration::from_millis(100) {
                missed.push(format!("{protocol:?}, {}: a gap of {:?}", row.name, row.stay_gap()));
            }
            if row.slowest_move() > Duration::from_secs(3) {
                missed.push(format!("{protocol:?}, {}: moved in {:?}", row.name, row.slowest_move()));
            }
        }
        if storm.slowest_settling() > Duration::from_secs(10) {
            missed.push(format!("{protocol:?}: settled after {:?}", storm.slowest_settling()));
        }
    }
    println!("{table}");
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Four members read all the time. What a quiet time, joins, leaves and a storm of both cost.
async fn measure(bootstrap: &str, protocol: GroupProtocol, plan: Plan) -> [Row; 4] {
    let client = connect(bootstrap).await;
    let topic = format!("rebalance-{}", Uuid::new_v4());
    client.admin().create_topic(NewTopic::new(&topic, PARTITIONS, 1)).await.unwrap();
    let mut members = Members::new(bootstrap, &topic, protocol, PARTITIONS);
    for _ in 0..4 {
        members.join();
    }
    members.settled().await;
    let load = Load::start(client.producer().build().await.unwrap(), &topic, PARTITIONS, plan.rate);
    members.goes_on_everywhere().await;

    let mut quiet = Row::new("none");
    members.book.take_spell();
    lasts(plan.quiet * 5).await;
    quiet.add(members.book.take_spell(), None);
    let (mut joins, mut leaves) = (Row::new("one joins"), Row::new("one leaves"));
    for _ in 0..plan.rounds {
        let mut fifth = 0;
        after(&mut members, plan, &mut joins, |members| fifth = members.join()).await;
        after(&mut members, plan, &mut leaves, |members| members.leave(fifth)).await;
    }
    let mut storm = Row::new("joins and leaves, one after the other");
    let begun = Instant::now();
    members.book.take_spell();
    let guests = come_and_go(&mut members, plan).await;
    let took = begun.elapsed();
    let over = Instant::now();
    members.settled().await;
    let settled = over.elapsed();
    members.goes_on_everywhere().await;
    storm.add(members.book.take_spell(), Some(settled));
    println!(
        "{protocol:?}: {} changes in {took:.1?}, {guests} guests stay, settled {settled:.1?} later",
        plan.changes
    );

    let acked = load.end().await;
    let ends = client.admin().list_offsets(&topic, OffsetSpec::Latest).await.unwrap();
    assert_eq!(u64::try_from(ends.values().sum::<i64>()).unwrap(), acked);
    let book = members.book.clone();
    eventually("everything is handed out", PATIENCE, async || {
        ends.iter().all(|(partition, end)| book.missing(*partition, *end) == 0).then_some(())
    })
    .await;
    let group = members.group.clone();
    members.end().await;
    println!("{protocol:?}: {acked} records, none lost, {} handed out again", book.again());
    assert!(book.breaches().is_empty(), "{:#?}", book.breaches());
    let lag = client.admin().group_lag(&group, &topic).await.unwrap();
    assert!(lag.values().all(|partition| partition.lag == 0), "closing commits: {lag:?}");
    client.admin().delete_topic(&topic).await.unwrap();
    [quiet, joins, leaves, storm]
}

/// Makes a change, and sees what it costs until all goes on.
async fn after(members: &mut Members, plan: Plan, row: &mut Row, change: impl FnOnce(&mut Members)) {
    members.book.take_spell();
    let begun = Instant::now();
    change(members);
    members.settled().await;
    let settled = begun.elapsed();
    members.goes_on_everywhere().await;
    lasts(plan.quiet).await;
    row.add(members.book.take_spell(), Some(settled));
}

/// Up to four guests come and go; how many stay.
async fn come_and_go(members: &mut Members, plan: Plan) -> usize {
    let mut pace = interval(plan.storm / plan.changes);
    let mut guests = VecDeque::new();
    for change in 0..plan.changes {
        pace.tick().await;
        // Of three changes two are joins, until all are here.
        let comes = guests.is_empty() || (guests.len() < 4 && change % 3 != 2);
        if comes {
            guests.push_back(members.join());
        } else {
            members.leave(guests.pop_front().unwrap());
        }
    }
    guests.len()
}

fn name(protocol: GroupProtocol) -> &'static str {
    match protocol {
        GroupProtocol::Classic => "classic, cooperative",
        _ => "KIP-848",
    }
}
