//! Bugs that other clients had, by their number among the known killers; those that a fault's test finds are in the table
//! in `tests/README.md`. Each has its patch in `tests/mutations`.

use crate::recorder::{PATIENCE, Recorder, SECOND, client, next, pass, start, told, write};
use craftwire::{
    consumer::{Consumer, ConsumerEvent, Isolation, TopicPartition},
    error::ErrorCode,
    mock::{Api, MockCluster},
};
use kafka_protocol::{messages::OffsetCommitRequest, protocol::Decodable};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout;

const MS: Duration = Duration::from_millis(1);

fn here() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// kafkajs #562, kafka-go #813, kafka-python #1571, brod #263: the next offset was that after the last record, and a batch
/// whose end was compacted away, or all of it, was asked for again and again.
#[tokio::test(start_paused = true)]
async fn killer_13_a_batch_that_lost_its_last_records_is_passed() {
    let mock = start(MockCluster::builder());
    mock.create_topic_with("t", 1, &[("cleanup.policy", "compact"), ("delete.retention.ms", "0")]).unwrap();
    // So that time passes however often is asked.
    mock.on(Api::Fetch).always().delay(5 * MS);
    let batch = |keys: &[&str]| {
        let mut transaction = mock.transaction();
        let records: Vec<_> = keys.iter().map(|key| (Some(key.as_bytes()), Some(key.as_bytes()))).collect();
        let offset = transaction.append_all("t", 0, &records).unwrap();
        transaction.commit().unwrap();
        offset
    };
    let kept =
        [batch(&["a", "x", "y"]), batch(&["b", "y", "x"]), batch(&["x", "y"]), batch(&["c", "x", "y"])];
    mock.append("t", 0, Some(b"end"), Some(b"end")).unwrap();
    mock.compact("t", 0).unwrap();
    let client = client(&mock).await;
    let builder = client.consumer().topics(["t"]).partition_fetch_bytes(1);
    let mut consumer = builder.build().await.unwrap();
    let mut read = Vec::new();
    for record in mock.records("t", 0) {
        let found = timeout(30 * SECOND, consumer.recv()).await.expect("no endless fetch").unwrap().unwrap();
        assert_eq!(found.offset(), record.offset);
        read.push(found.offset());
    }
    assert!(read.starts_with(&[kept[0], kept[1]]), "the ends of the first batches are gone: {read:?}");
    mock.append("t", 0, Some(b"new"), Some(b"new")).unwrap();
    let last = timeout(30 * SECOND, consumer.recv()).await.expect("no endless fetch").unwrap().unwrap();
    assert_eq!(last.key(), Some(&b"new"[..]));
}

/// librdkafka #3369, franz-go 1.21.4: markers without an entry in the list of aborted transactions, and a list that is not
/// sorted, showed aborted records or hid committed ones.
#[tokio::test(start_paused = true)]
async fn killer_14_markers_without_entries_and_unsorted_lists_show_nothing_aborted() {
    for seed in 0..30 {
        let mock = start(MockCluster::builder().seed(seed).topic("t", 1).unsorted_aborted_transactions(true));
        let mut committed = Vec::new();
        for round in 0..6 {
            let mut open: Vec<_> = (0..5).map(|_| mock.transaction()).collect();
            mock.transaction().append_marker("t", 0, false).unwrap();
            for turn in 0..2 {
                for (at, transaction) in open.iter_mut().enumerate() {
                    let is_committed = (at + round) % 3 == 0;
                    let value = if is_committed { b"committed" } else { &b"aborted"[..] };
                    if at > 0 || turn > 0 {
                        let offset = transaction.append("t", 0, None, Some(value)).unwrap();
                        committed.extend(is_committed.then_some(offset));
                    }
                }
                mock.transaction().append_marker("t", 0, turn == 0).unwrap();
            }
            for (at, transaction) in open.iter_mut().enumerate().rev() {
                let ended = if (at + round) % 3 == 0 { transaction.commit() } else { transaction.abort() };
                ended.unwrap();
            }
        }
        committed.sort_unstable();
        let client = client(&mock).await;
        let builder = client.consumer().topics(["t"]).isolation(Isolation::ReadCommitted);
        let mut consumer = builder.build().await.unwrap();
        for offset in committed {
            let record = timeout(PATIENCE, consumer.recv()).await.expect("in time").unwrap().unwrap();
            assert_eq!((record.offset(), record.value()), (offset, Some(&b"committed"[..])), "seed {seed}");
        }
    }
}

/// librdkafka #2993: a fetch that was full of aborted records was reported as a message that is too large.
#[tokio::test(start_paused = true)]
async fn killer_15_answers_full_of_aborted_records_are_passed_without_a_word() {
    let mock = start(MockCluster::builder().topic("t", 1));
    mock.on(Api::Fetch).always().delay(5 * MS);
    let mut aborted = mock.transaction();
    for _ in 0..100 {
        aborted.append("t", 0, None, Some(&[b'x'; 2_000])).unwrap();
    }
    aborted.abort().unwrap();
    let end = mock.append("t", 0, None, Some(b"after")).unwrap();
    let client = client(&mock).await;
    for fetch_bytes in [1, 3_000, 1 << 20] {
        let builder = client.consumer().topics(["t"]).partition_fetch_bytes(fetch_bytes);
        let mut consumer = builder.build().await.unwrap();
        let record = timeout(PATIENCE, consumer.recv()).await.expect("no endless fetch").unwrap().unwrap();
        assert_eq!((record.offset(), record.value()), (end, Some(&b"after"[..])));
        assert_eq!(consumer.position(&here()), Some(end + 1));
    }
}

/// librdkafka #4844: entries of an answer that hold no record, errors and ends of partitions, moved the stored position.
#[tokio::test(start_paused = true)]
async fn killer_16_errors_and_empty_answers_move_no_position() {
    let mock = start(MockCluster::builder().topic("t", 1));
    let client = client(&mock).await;
    let builder = client.consumer().group("g").topics(["t"]).fetch_max_wait(50 * MS);
    let mut consumer = builder.build().await.unwrap();
    let codes = [-1, 2, 3, 5, 6, 7, 9, 56, 70, 71, 74, 75, 78, 89, 100, 103, 106];
    for (code, at) in codes.into_iter().zip(0..) {
        write(&mock, 0, at * 3..at * 3 + 3);
        for offset in at * 3..at * 3 + 3 {
            let record = timeout(PATIENCE, consumer.recv()).await.expect("in time").unwrap().unwrap();
            assert_eq!(record.offset(), offset, "after code {code}");
            consumer.ack(&record);
        }
        let failed = mock.on(Api::Fetch).times(2).fail_partition("t", 0, ErrorCode(code));
        pass(3 * SECOND).await;
        assert_eq!(failed.hits(), 2, "code {code}");
        assert_eq!(consumer.position(&here()), Some(at * 3 + 3), "code {code}");
        assert_eq!(mock.committed("g", "t", 0), Some(at * 3 + 3), "code {code}");
    }
}

/// librdkafka #4059: a commit in the middle of a cooperative rebalance lost the assignment.
#[tokio::test(start_paused = true)]
async fn killer_17_a_commit_during_a_rebalance_costs_no_partition() {
    let mock = start(MockCluster::builder().topic("t", 4).heartbeat_interval(SECOND));
    let client = client(&mock).await;
    let member = || client.consumer().group("g").topics(["t"]).commit_interval(None);
    let mut first = member().build().await.unwrap();
    (0..4).for_each(|partition| write(&mock, partition, 0..5));
    let mut records = Vec::new();
    for _ in 0..20 {
        records.push(timeout(PATIENCE, first.recv()).await.expect("in time").unwrap().unwrap());
    }
    let stale = mock.on(Api::OffsetCommit).times(3).fail(ErrorCode::STALE_MEMBER_EPOCH);
    let second = member().build().await.unwrap();
    // Each commit meets another step of the handing over.
    while second.assignment().len() < 2 || !records.is_empty() {
        if let Some(record) = records.pop() {
            first.ack(&record);
        }
        let _refused = timeout(100 * MS, first.commit()).await;
        pass(200 * MS).await;
    }
    assert!(stale.hits() > 0);
    let kept = first.assignment();
    assert_eq!(kept.len(), 2);
    pass(3 * SECOND).await;
    assert_eq!(first.assignment(), kept);
    let mut events = first.events();
    while let Ok(Some(event)) = timeout(MS, events.next()).await {
        assert!(!matches!(event, ConsumerEvent::Lost(_)), "{event:?}");
    }
    kept.iter().for_each(|name| write(&mock, name.partition, 5..6));
    let mut read = [next(&mut first).await, next(&mut first).await];
    read.sort_unstable();
    assert_eq!(read.map(|(_, offset)| offset), [5, 5], "{read:?}");
}

/// spring-kafka #3186: a commit that had failed was kept, and sent again after a newer one.
#[tokio::test(start_paused = true)]
async fn killer_18_a_commit_that_failed_never_follows_a_newer_one() {
    let mock = start(MockCluster::builder().topic("t", 2));
    let recorder = Recorder::of(&mock);
    let client = client(&mock).await;
    let builder = client.consumer().group("g").topics(["t"]).commit_interval(100 * MS);
    let mut consumer = builder.build().await.unwrap();
    told(&consumer, |event| matches!(event, ConsumerEvent::Reset { .. }).then_some(())).await;
    let read_and_ack = async |consumer: &mut Consumer, count: usize| {
        for _ in 0..count {
            let record = timeout(PATIENCE, consumer.recv()).await.expect("in time").unwrap().unwrap();
            consumer.ack(&record);
        }
    };
    let mut highest: BTreeMap<i32, i64> = BTreeMap::new();
    for round in 0..24 {
        let fault = mock.on(Api::OffsetCommit);
        match round % 6 {
            0 => drop(fault.fail(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)),
            1 => drop(fault.times(2).fail_partition("t", 0, ErrorCode::REQUEST_TIMED_OUT)),
            2 => drop(fault.disconnect_after()),
            3 => drop(fault.fail_after(ErrorCode::UNKNOWN_SERVER_ERROR)),
            4 => drop(fault.drop_before()),
            _ => drop(fault.fail(ErrorCode::STALE_MEMBER_EPOCH)),
        }
        (0..2).for_each(|partition| write(&mock, partition, round * 6..round * 6 + 6));
        for _ in 0..3 {
            read_and_ack(&mut consumer, 4).await;
            pass(150 * MS).await;
        }
        pass(SECOND).await;
        for partition in 0..2 {
            let committed = mock.committed("g", "t", partition).unwrap_or(0);
            let before = highest.insert(partition, committed).unwrap_or(0);
            assert!(committed >= before, "partition {partition} went back from {before} to {committed}");
        }
    }
    pass(60 * SECOND).await;
    let mut sent: BTreeMap<i32, i64> = BTreeMap::new();
    for asked in recorder.of_api(Api::OffsetCommit) {
        let commit = OffsetCommitRequest::decode(&mut asked.body.clone(), asked.version).unwrap();
        for partition in commit.topics.iter().flat_map(|topic| &topic.partitions) {
            let before = sent.insert(partition.partition_index, partition.committed_offset).unwrap_or(0);
            assert!(partition.committed_offset >= before, "{} after {before}", partition.committed_offset);
        }
    }
    assert_eq!(sent, BTreeMap::from([(0, 144), (1, 144)]));
    assert_eq!(mock.committed("g", "t", 0), Some(144));
}
