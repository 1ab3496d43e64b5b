//! Faults of the project's list that only a simulated world can have, by their names there.

use crate::{
    history::{Event, Line, Place},
    network::Net,
    schedule::{BROKERS, Fault, TOPICS, What},
    world::pause,
    world::{Figures, Report, run},
};
use craftwire::{
    Client, ProducerRecord,
    mock::{Api, Hooked, MockCluster},
};
use std::time::Duration;

const SEEDS: std::ops::Range<u64> = 9_000..9_008;

/// Two members and the reader alone, and no fault but those given.
fn with(faults: impl IntoIterator<Item = Fault>) -> Vec<Fault> {
    let join = |member| Fault { at_ms: 100, for_ms: 0, what: What::Join { member } };
    let mut all = vec![join(0), join(1)];
    all.extend(faults);
    all
}

fn for_all_brokers(at_ms: u64, for_ms: u64, what: fn(i32) -> What) -> impl Iterator<Item = Fault> {
    (1..=BROKERS).map(move |broker| Fault { at_ms, for_ms, what: what(broker) })
}

/// Runs the seeds, none of which may break a promise; their sums, and the runs.
fn run_all(faults: &[Fault]) -> (Figures, Vec<Report>) {
    let mut sums = Figures::default();
    let reports: Vec<Report> = SEEDS.map(|seed| run(seed, faults)).collect();
    for (seed, report) in SEEDS.zip(&reports) {
        assert!(report.violations.is_empty(), "seed {seed}: {:#?}", report.violations);
        sums.add(&report.figures);
    }
    (sums, reports)
}

/// How many records were read from `from_ms` on, and before `to_ms`.
fn read_between(report: &Report, from_ms: u64, to_ms: u64) -> usize {
    let is_read = |line: &Line| matches!(line, Line::Reader(_, Event::Read { .. }));
    let lines = report.history.lines.iter();
    lines.filter(|(at_ms, line)| (from_ms..to_ms).contains(at_ms) && is_read(line)).count()
}

/// How often a reader was sent elsewhere by a rule after it had started, which names and leaders that fail are no reason
/// for. What is cut off a log's start is.
fn resets(report: &Report) -> usize {
    let start = |place: &Place| report.history.trimmed.get(place).copied().unwrap_or(0);
    let is_reset = |line: &Line| matches!(line, Line::Reader(_, Event::Reset { place, from: Some(from), .. }) if *from >= start(place));
    report.history.lines.iter().filter(|(_, line)| is_reset(line)).count()
}

#[test]
fn f15_a_name_with_a_dead_address_first() {
    let faults = with(for_all_brokers(2_000, 6_000, |broker| What::DeadFirst { broker }));
    let (sums, reports) = run_all(&faults);
    println!("f15, dead address first: {} names resolved so", sums.resolved_badly);
    assert!(sums.resolved_badly > 8 * 10, "{sums:?}");
    for report in &reports {
        assert!(
            read_between(report, 5_000, 8_000) > 0,
            "it goes on while the fault lasts: {:?}",
            report.figures
        );
        assert_eq!(resets(report), 0);
    }
}

#[test]
fn f15_no_such_name_for_thirty_seconds() {
    let faults = with(for_all_brokers(2_000, 30_000, |broker| What::NoName { broker }));
    let (sums, reports) = run_all(&faults);
    println!("f15, no such name: {} names not resolved, {} connects", sums.resolved_badly, sums.connects);
    assert!(sums.resolved_badly > 8 * 100, "{sums:?}");
    for report in &reports {
        assert_eq!(read_between(report, 5_000, 32_000), 0, "nobody can connect");
        assert!(read_between(report, 32_000, 36_000) > 0, "it goes on: {:?}", report.figures);
        assert_eq!(resets(report), 0);
    }
}

#[test]
fn f15_a_name_whose_addresses_change() {
    let moves = (1..=BROKERS).map(|broker| {
        let at_ms = 1_500 * u64::try_from(broker).unwrap();
        Fault { at_ms, for_ms: 0, what: What::Moved { broker } }
    });
    let (sums, reports) = run_all(&with(moves));
    println!("f15, addresses that change: {} brokers moved", sums.injected["Moved"]);
    assert_eq!(sums.injected["Moved"], 8 * 3);
    assert!(reports.iter().all(|report| resets(report) == 0));
}

#[test]
fn f18_an_old_leader_for_thirty_refreshes() {
    let stale = TOPICS.iter().enumerate().flat_map(|(topic, (_, partitions))| {
        (0..*partitions).map(move |partition| {
            let what = What::Stale { topic, partition, broker: 1 + partition % BROKERS, answers: 30 };
            Fault { at_ms: 1_500, for_ms: 30_000, what }
        })
    });
    let faults = with(stale);
    let (sums, reports) = run_all(&faults);
    println!("f18, an old leader: {} answers told it", sums.forged_leaders);
    assert!(sums.forged_leaders > 8 * 5 * 10, "{sums:?}");
    for report in &reports {
        assert!(read_between(report, 6_000, 31_000) > 0, "it goes on: {:?}", report.figures);
        assert_eq!(resets(report), 0);
    }
}

/// Who knows the truth does not go back to what is late.
#[tokio::test(start_paused = true)]
async fn f18_a_leader_that_is_known_is_not_forgotten_for_an_older_one() {
    let mock = MockCluster::builder().brokers(3).topic("t", 1).seed(7).start_in_memory().unwrap();
    let net = Net::new(7, mock.clone());
    let builder = Client::builder(&mock.bootstrap()).metadata_max_age(Duration::from_millis(100));
    let client = builder.network(net.wire(0, 0)).seed(7).build().await.unwrap();
    let producer = client.producer().build().await.unwrap();
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    let send = async || producer.send(ProducerRecord::new("t", "v")).await.unwrap().await.unwrap();
    send().await;
    consumer.recv().await.unwrap().unwrap();
    let old = mock.leader("t", 0).unwrap();
    mock.freeze_leader("t", 0, 30).unwrap();
    mock.move_leader("t", 0, old % BROKERS + 1).unwrap();
    // The old leader itself says who leads now (KIP-951); from then on nobody asks it any more.
    send().await;
    consumer.recv().await.unwrap().unwrap();
    let asked: Vec<Hooked> = [Api::Produce, Api::Fetch]
        .into_iter()
        .map(|api| mock.on(api).broker(old).partition("t", 0).always().then(|_| {}))
        .collect();
    let told = mock.forged_leaders();
    for _ in 0..40 {
        pause(100).await;
        send().await;
        consumer.recv().await.unwrap().unwrap();
    }
    let late = mock.forged_leaders() - told;
    println!("f18, an older leader: {late} answers told it to those who knew better");
    assert!(late > 20, "{late}");
    assert_eq!(asked.iter().map(Hooked::hits).sum::<u64>(), 0, "the old leader is asked again");
}

#[test]
fn f18_no_leader_for_ten_refreshes() {
    let hidden = TOPICS.iter().enumerate().flat_map(|(topic, (_, partitions))| {
        (0..*partitions).flat_map(move |partition| {
            // The connections are cut, so that everybody asks who leads.
            let what = What::Leaderless { topic, partition, answers: 10 };
            [
                Fault { at_ms: 1_500, for_ms: 20_000, what },
                Fault { at_ms: 1_510, for_ms: 0, what: What::CutReset { broker: 1 + partition % BROKERS } },
            ]
        })
    });
    let faults = with(hidden);
    let (sums, reports) = run_all(&faults);
    println!("f18, no leader: {} answers said so", sums.forged_leaders);
    assert_eq!(sums.forged_leaders, 8 * 5 * 10);
    for report in &reports {
        assert!(read_between(report, 8_000, 21_000) > 0, "it goes on: {:?}", report.figures);
        assert_eq!(resets(report), 0);
    }
}
