//! A process that has no file descriptor to spare, and brokers that refuse: said, tried again at leisure, and gone on.

use craftwire::{Client, ClientBuilder, ProducerRecord, mock::MockCluster};
use std::{env, fs::File, os::unix::fs::FileExt, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    time::{Instant, interval, timeout},
};

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// Tells the child where to connect to, and that it is the child.
const BOOTSTRAP: &str = "CRAFTWIRE_STARVED_CHILD";
const PARTITIONS: i32 = 6;
/// "Too many open files".
const EMFILE: &str = "code: 24";
/// What the two say to one another.
const CONNECTED: &str = "connected";
const STARVED: &str = "starved";

/// The child is this program again, with few descriptors; the brokers are here, with enough of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_without_descriptors_it_waits_and_goes_on() {
    let mock = MockCluster::builder().brokers(3).topic("t", PARTITIONS).start().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact descriptors::starved_child --nocapture"])
        .arg(env::current_exe().unwrap())
        .env(BOOTSTRAP, mock.bootstrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut tell = child.stdin.take().unwrap();
    let all = async {
        while let Some(line) = told.next_line().await.unwrap() {
            eprintln!("{line}");
            // Gone while the child takes the descriptors of its connections too.
            if line.ends_with(CONNECTED) {
                mock.broker_ids().into_iter().for_each(|id| mock.stop_broker(id));
            } else if line.ends_with(STARVED) {
                mock.broker_ids().into_iter().for_each(|id| mock.start_broker(id).unwrap());
            } else {
                continue;
            }
            tell.write_all(b"done\n").await.unwrap();
        }
        child.wait().await.unwrap()
    };
    let status = timeout(PATIENCE, all).await.expect("the child ends");
    assert!(status.success(), "{status}");
    let records: usize = (0..PARTITIONS).map(|partition| mock.records("t", partition).len()).sum();
    assert_eq!(records, 2 * usize::try_from(PARTITIONS).unwrap());
}

/// Not a test of its own: what runs with few descriptors.
#[tokio::test]
async fn starved_child() {
    let Ok(bootstrap) = env::var(BOOTSTRAP) else { return };
    let client = impatient(&bootstrap).build().await.unwrap();
    let producer = client.producer().build().await.unwrap();
    let send = async |text: &'static str| {
        let mut deliveries = Vec::new();
        for partition in 0..PARTITIONS {
            let record = ProducerRecord::new("t", text).partition(partition);
            deliveries.push(producer.send(record).await.unwrap());
        }
        deliveries
    };
    for delivery in send("before").await {
        delivery.await.unwrap();
    }

    let stat = File::open("/proc/self/stat").unwrap();
    say_and_wait(CONNECTED);
    let mut hoard = Vec::new();
    // A try to connect has one for a moment; none is left when they all have failed for want of it.
    let mut pace = interval(SECOND / 20);
    for _ in 0..50 {
        pace.tick().await;
        while let Ok(one) = File::open("/dev/null") {
            hoard.push(one);
        }
    }
    println!("{} descriptors taken", hoard.len());
    say_and_wait(STARVED);

    let deliveries = send("meanwhile").await;
    let error = impatient(&bootstrap).build().await.unwrap_err();
    assert!(error.is_retriable() && format!("{error:?}").contains(EMFILE), "{error:?}");
    let error = client.admin().registered_brokers().await.unwrap_err();
    assert!(error.is_retriable() && format!("{error:?}").contains(EMFILE), "{error:?}");
    let before = cpu_ticks(&stat);
    let mut pace = interval(2 * SECOND);
    pace.tick().await;
    pace.tick().await;
    let spent = cpu_ticks(&stat) - before;
    // Of 200; a loop without a pause takes all it can get.
    println!("{spent} hundredths of a second of computing in two seconds");
    assert!(spent < 40, "{spent}: a hot loop");
    assert!(deliveries.iter().all(|delivery| delivery.outcome().is_none()));

    drop(hoard);
    for delivery in deliveries {
        timeout(PATIENCE, delivery).await.expect("it is sent now").unwrap();
    }
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    for _ in 0..2 * PARTITIONS {
        timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    }
}

fn say_and_wait(word: &str) {
    println!("{word}");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn impatient(bootstrap: &str) -> ClientBuilder {
    Client::builder(bootstrap).connect_timeout(SECOND).request_timeout(SECOND)
}

/// What this process has computed so far, in hundredths of a second. The file is open already, as none can be opened.
fn cpu_ticks(stat: &File) -> u64 {
    let mut text = [0; 1024];
    let len = stat.read_at(&mut text, 0).unwrap();
    let text = std::str::from_utf8(&text[..len]).unwrap();
    // Behind the program's name, which is in brackets: user and system time are the 12th and 13th.
    let fields: Vec<_> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn f48_brokers_that_refuse_are_waited_for() {
    let mock = MockCluster::builder().brokers(3).topic("t", PARTITIONS).start_in_memory().unwrap();
    let builder = || Client::builder(&mock.bootstrap()).memory(mock.connector());
    let client = builder().build().await.unwrap();
    let producer = client.producer().build().await.unwrap();
    producer.prepare("t").await.unwrap();
    let mut consumer = client.consumer().topics(["t"]).build().await.unwrap();
    mock.broker_ids().into_iter().for_each(|id| mock.stop_broker(id));

    let begun = Instant::now();
    let error = builder().connect_timeout(5 * SECOND).build().await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    assert!(format!("{error:?}").contains("ConnectionRefused"), "{error:?}");
    let error = client.admin().registered_brokers().await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    let mut deliveries = Vec::new();
    for partition in 0..PARTITIONS {
        let record = ProducerRecord::new("t", "meanwhile").partition(partition);
        deliveries.push(producer.send(record).await.unwrap());
    }
    assert!(timeout(30 * SECOND, consumer.recv()).await.is_err(), "nothing to read, and nothing to say");
    assert!(begun.elapsed() < 120 * SECOND, "within the delivery timeout");

    mock.broker_ids().into_iter().for_each(|id| mock.start_broker(id).unwrap());
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    for _ in 0..PARTITIONS {
        timeout(30 * SECOND, consumer.recv()).await.unwrap().unwrap().unwrap();
    }
}
