//! Bits that arrive wrong, with no TLS to notice.
//!
//! Records carry a checksum, and nothing else does. So no wrong record is ever handed out; but where it lies, what a
//! commit says, whose answer it is: that can be wrong, and nobody can tell. What is asserted here is what is left.

use super::stage::{PARTITIONS, SHORT, Stage, impatient};
use crate::{
    common::{PATIENCE, connect},
    history::{Load, judge_outcomes, place},
};
use craftwire::{
    Client, ProducerRecord,
    consumer::{ConsumeError, ConsumerRecord},
    producer::DeliveryError,
};
use craftwire_test_support::{
    proxy::{Fault, Rule, api},
    require_kafka,
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::{sync::watch, time::timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_bit_flips_in_fetched_records_deliver_no_wrong_event() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let direct = connect(&stage.kafka.bootstrap()).await;
    let producer = direct.producer().build().await.unwrap();
    let load = Load::start(&producer, &stage.topic, PARTITIONS).await;
    let flip =
        stage.proxy.add(Rule::answers(Fault::BitFlip { from: 0, spare_last: 0 }).api(api::FETCH).one_in(2));
    let mut read = BTreeSet::new();
    let mut corrupt = 0;
    while flip.injected() < 100 {
        // A wrong offset, which no checksum covers, may stop a partition; another consumer begins again.
        let mut consumer = stage.client.consumer().topics([stage.topic.as_str()]).build().await.unwrap();
        let until = flip.injected() + 10;
        while flip.injected() < until {
            let Ok(record) = timeout(SHORT, consumer.recv()).await else { break };
            let record = match record.expect("the consumer goes on") {
                Ok(record) => record,
                Err(error) => {
                    corrupt += u32::from(matches!(error, ConsumeError::CorruptBatch { .. }));
                    continue;
                }
            };
            let place = place(record.partition(), record.offset(), record.value().unwrap());
            assert_eq!(record.key(), Some(format!("key-{}", place.key).as_bytes()));
            read.insert((place.key, place.number));
        }
    }
    eprintln!("{} records read under {} flips, {corrupt} batches corrupt", read.len(), flip.injected());
    flip.remove();
    let sent = load.end().await;
    let sent: BTreeSet<_> = sent.iter().map(|(key, number, _)| (*key, *number)).collect();
    assert!(!read.is_empty() && read.is_subset(&sent));
    let mut consumer = stage.client.consumer().topics([stage.topic.as_str()]).build().await.unwrap();
    let mut whole = BTreeMap::new();
    while whole.len() < sent.len() {
        let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
        let place = place(record.partition(), record.offset(), record.value().unwrap());
        assert_eq!(whole.insert((place.key, place.number), place.offset), None);
    }
}

/// A batch in which a bit is wrong is refused and sent again. Beside the batch the request has no checksum: with
/// several topics or partitions a bit could lead to another one; here is but one, so that all of it can be judged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_bit_flips_in_produce_requests_write_nothing_wrong() {
    require_kafka!();
    let stage = Stage::set(1, SHORT).await;
    let mut play = stage.play().await;
    // In the records, where the checksum says so and all is sent again.
    let in_batches = Rule::requests(Fault::BitFlip { from: 150, spare_last: 0 }).api(api::PRODUCE).one_in(3);
    let flips = stage.proxy.add(in_batches);
    let before = play.producer.metrics().retries;
    stage.befallen(&flips, 40).await;
    flips.remove();
    play.load.goes_on_everywhere(10).await;
    let corrupt = (flips.injected(), play.producer.metrics().retries - before);
    eprintln!("flips in records, batches sent again: {corrupt:?}");
    assert!(play.producer.metrics().records_not_sent == 0 && corrupt.1 > 0);

    let anywhere = stage
        .proxy
        .add(Rule::requests(Fault::BitFlip { from: 0, spare_last: 0 }).api(api::PRODUCE).one_in(3));
    stage.befallen(&anywhere, 60).await;
    let metrics = stage
        .judge_by(play, |sent, log| {
            let acked = judge_outcomes(sent, log);
            let refused = sent.iter().filter_map(|(.., outcome)| outcome.as_ref().err());
            let refused: BTreeMap<String, usize> = refused.fold(BTreeMap::new(), |mut counts, error| {
                *counts.entry(format!("{error:?}")).or_default() += 1;
                counts
            });
            eprintln!("{acked} acked of {}; {refused:?}", sent.len());
        })
        .await;
    assert_eq!(metrics.loss_suspected, 0);
}

/// What an answer says of a batch has no checksum either: it may be called refused, or lie elsewhere. But what is called
/// written is, once, and in order. An answer that lies about one batch makes the next one seem out of sequence, so a loss
/// may be suspected where there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_bit_flips_in_produce_answers_lose_nothing_that_was_acked() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let play = stage.play().await;
    // But for the pause that the broker orders, the last field: half a minute each time that its upper bits are hit.
    let flips =
        stage.proxy.add(Rule::answers(Fault::BitFlip { from: 0, spare_last: 5 }).api(api::PRODUCE).one_in(3));
    stage.befallen(&flips, 100).await;
    let _ = stage
        .judge_by(play, |sent, log| {
            let mut places = BTreeMap::new();
            let mut last = BTreeMap::new();
            for place in log {
                assert_eq!(places.insert((place.key, place.number), place), None, "twice: {place:?}");
                let before = last.insert(place.key, place.number);
                assert!(before < Some(place.number), "out of order: {before:?}, then {place:?}");
            }
            let (mut moved, mut refused) = (0, 0);
            for (key, number, outcome) in sent {
                let place = places.get(&(*key, *number));
                match outcome {
                    Ok(ack) => {
                        let place =
                            place.unwrap_or_else(|| panic!("{key} {number} was acked, and is nowhere"));
                        moved += u32::from(ack.offset != Some(place.offset));
                    }
                    Err(DeliveryError::NotSent(_)) if place.is_some() => refused += 1,
                    Err(error) => eprintln!("{key} {number}: {error:?}"),
                }
            }
            eprintln!("{moved} acked with another offset or none, {refused} called refused that are there");
        })
        .await;
}

/// Every API, both ways. Such a client may be told lies: only what it hands out is judged, and that everything
/// goes on when the fault is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_bit_flips_everywhere_make_no_wrong_event_and_no_panic() {
    require_kafka!();
    let stage = Stage::set(PARTITIONS, SHORT).await;
    let (stop, stopped) = watch::channel(false);
    let tasks: Vec<_> = (0..4)
        .map(|number| {
            let client =
                Client::builder(&stage.proxy.bootstrap()).connect_timeout(SHORT).request_timeout(SHORT);
            let topic = stage.topic.clone();
            let mut stopped = stopped.clone();
            tokio::spawn(async move {
                let mut round = 0;
                while !*stopped.borrow() {
                    round += 1;
                    let Ok(client) = client.clone().build().await else { continue };
                    tokio::select! {
                        () = publish_and_read(&client, &topic, number, round) => {}
                        _ = stopped.changed() => break,
                    }
                }
            })
        })
        .collect();
    // One API after the other: with all of them failing nobody would get as far as the last.
    for (name, key) in APIS {
        let flip = Fault::BitFlip { from: 0, spare_last: 0 };
        let answers = stage.proxy.add(Rule::answers(flip).api(key).one_in(3));
        let requests = stage.proxy.add(Rule::requests(flip).api(key).one_in(5));
        stage.befallen(&answers, 16).await;
        stage.befallen(&requests, 8).await;
        eprintln!("{name}: flips in {} answers, {} requests", answers.injected(), requests.injected());
        answers.remove();
        requests.remove();
    }
    stop.send_replace(true);
    for task in tasks {
        timeout(PATIENCE, task).await.expect("nothing hangs").unwrap();
    }
    stage.proxy.clear();
    let client = impatient(&stage.proxy, SHORT).await;
    let mark = ProducerRecord::new(stage.topic.as_str(), value(9, 0)).key(value(9, 0)).partition(0);
    let ack = client.producer().build().await.unwrap().send(mark).await.unwrap().await.unwrap();
    let mut member =
        client.consumer().group("after-the-flips").topics([stage.topic.as_str()]).build().await.unwrap();
    loop {
        let record = timeout(PATIENCE, member.recv()).await.unwrap().unwrap().unwrap();
        is_whole(&record);
        member.ack(&record);
        if (record.partition(), Some(record.offset())) == (0, ack.offset) {
            break;
        }
    }
    member.close().await.unwrap();
}

const APIS: [(&str, i16); 10] = [
    ("Produce", api::PRODUCE),
    ("Fetch", api::FETCH),
    ("ListOffsets", api::LIST_OFFSETS),
    ("Metadata", api::METADATA),
    ("OffsetCommit", api::OFFSET_COMMIT),
    ("OffsetFetch", api::OFFSET_FETCH),
    ("FindCoordinator", api::FIND_COORDINATOR),
    ("ApiVersions", api::API_VERSIONS),
    ("InitProducerId", api::INIT_PRODUCER_ID),
    ("ConsumerGroupHeartbeat", api::CONSUMER_GROUP_HEARTBEAT),
];

/// A few records out, a few in, whatever becomes of them.
async fn publish_and_read(client: &Client, topic: &str, task: u32, round: u32) {
    if let Ok(producer) = client.producer().build().await {
        for number in 0..10 {
            let text = value(task, round * 10 + number);
            let record = ProducerRecord::new(topic, text.clone()).key(text);
            if let Ok(Ok(delivery)) = timeout(SHORT, producer.send(record)).await {
                // Whatever it says: the answer may be a lie.
                let _outcome = timeout(SHORT / 4, delivery).await;
            }
        }
    }
    let member = client.consumer().group(format!("{topic}-{task}-{round}")).topics([topic]);
    let Ok(mut member) = member.build().await else { return };
    for _ in 0..20 {
        match timeout(SHORT / 2, member.recv()).await {
            Ok(Some(Ok(record))) => {
                is_whole(&record);
                member.ack(&record);
            }
            Ok(Some(Err(_))) => {}
            Ok(None) | Err(_) => break,
        }
    }
    let _left = member.close_within(SHORT).await;
}

fn value(task: u32, number: u32) -> String {
    format!("record {number} of task {task}, and some more of it: {}", "0123456789".repeat(3))
}

/// It is what somebody sent: the text says so by itself, and again in its key.
fn is_whole(record: &ConsumerRecord) {
    let text = std::str::from_utf8(record.value().unwrap()).unwrap();
    assert_eq!(record.key(), record.value(), "{text}");
    let words: Vec<_> = text.split([' ', ',']).collect();
    let number = |at: usize| words[at].parse().unwrap();
    assert_eq!(text, value(number(4), number(1)));
}
