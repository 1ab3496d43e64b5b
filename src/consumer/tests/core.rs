//! One rule at a time.

use super::{Broker, Consumer, TOPIC_ID, committed_only, name};
use crate::{
    Compression,
    consumer::{
        config::ConsumerConfig,
        core::{Leadership, Lookup},
        error::ConsumeError,
        event::ConsumerEvent,
        reader::Next,
        start::StartFrom,
        test_batches::{
            batch, batch_with, damaged, empty_batch, marker, transactional, with_last_delta,
            with_leader_epoch,
        },
    },
    error::ErrorCode,
    wire::api::fetch::IsolationLevel,
};
use std::time::Duration;

fn offsets(read: &[(i32, i64)]) -> Vec<i64> {
    read.iter().map(|(_, offset)| *offset).collect()
}

fn group() -> ConsumerConfig {
    ConsumerConfig { group: Some("g".into()), ..ConsumerConfig::default() }
}

#[test]
fn gaps_empty_batches_and_compacted_tails_are_no_stall() {
    let batches = vec![
        with_last_delta(&batch(0, &["a", "b"]), 9), // 2 to 9 were compacted away
        empty_batch(10, 5),
        batch(20, &["c"]),
        empty_batch(21, 3),
    ];
    let mut broker = Broker::with(vec![batches]);
    let mut consumer = Consumer::reading(committed_only(), 1);
    assert_eq!(offsets(&consumer.drain(&mut broker)), [0, 1, 20]);
    assert_eq!(consumer.shared.with(|core| core.position(&name(0))), Some(24));
    assert_eq!(broker.last_asked[0].fetch_offset, 24);
}

#[test]
fn records_below_the_position_are_dropped() {
    let mut broker = Broker::with(vec![vec![batch_with(0, &["a", "b", "c"], Compression::Lz4)]]);
    let mut consumer = Consumer::new(committed_only());
    consumer.assign(0, 2);
    assert_eq!(offsets(&consumer.drain(&mut broker)), [2]);
}

#[test]
fn a_cut_tail_is_read_again_and_an_oversize_first_batch_comes_whole() {
    let large = "x".repeat(5000);
    let batches = vec![batch(0, &["a"]), batch(1, &[&large]), batch(2, &["c"])];
    let mut broker = Broker::with(vec![batches]);
    for cut in [0, 5, 61, 100, 4000] {
        broker.log(0).cut = cut;
        let config = ConsumerConfig { partition_fetch_bytes: 200, ..committed_only() };
        let mut consumer = Consumer::reading(config, 1);
        assert_eq!(offsets(&consumer.drain(&mut broker)), [0, 1, 2], "cut after {cut}");
        broker.forget_session();
    }
}

#[test]
fn the_next_fetch_leaves_before_the_last_one_is_decoded() {
    let mut broker = Broker::with(vec![vec![batch(0, &["a"]), damaged(&batch(1, &["b"]))]]);
    let mut consumer = Consumer::reading(committed_only(), 1);
    assert!(consumer.fetch(&mut broker));
    let (request, _) = consumer.lane.next_fetch(consumer.now).unwrap();
    assert_eq!(request.topics[0].partitions[0].fetch_offset, 2);
}

#[test]
fn aborted_records_are_for_those_who_want_them() {
    let batches = vec![
        transactional(&batch(0, &["kept"]), 7),
        transactional(&batch(1, &["aborted", "aborted"]), 8),
        marker(3, 7, 1),
        marker(4, 8, 0),
        marker(5, 99, 0),
        batch(6, &["plain"]),
        transactional(&batch(7, &["kept"]), 8),
        marker(8, 8, 1),
    ];
    let mut broker = Broker::with(vec![batches]);
    broker.log(0).aborted = vec![(12, 100, 200), (8, 1, 4)];
    let mut consumer = Consumer::reading(committed_only(), 1);
    assert_eq!(offsets(&consumer.drain(&mut broker)), [0, 6, 7]);
    assert_eq!(consumer.shared.with(|core| core.position(&name(0))), Some(9));

    let all = ConsumerConfig { isolation: IsolationLevel::ReadUncommitted, ..committed_only() };
    broker.forget_session();
    let mut consumer = Consumer::reading(all, 1);
    assert_eq!(offsets(&consumer.drain(&mut broker)), [0, 1, 2, 6, 7]);
}

#[test]
fn a_damaged_batch_is_fetched_once_more_over_a_new_connection() {
    let good = batch(1, &["b"]);
    let mut broker = Broker::with(vec![vec![batch(0, &["a"]), good.clone(), batch(2, &["c"])]]);
    broker.log(0).instead = Some((1, damaged(&good)));
    let mut consumer = Consumer::reading(committed_only(), 1);
    consumer.fetch(&mut broker);
    consumer.fetch(&mut broker);
    assert_eq!(consumer.record().map(|record| record.offset()), Some(0));
    assert!(consumer.record().is_none(), "what was fetched after it is dropped");
    let work = consumer.shared.with(|core| core.take_driver_work(consumer.now));
    assert!(work.reconnect.contains(&1));
    consumer.disconnect();
    assert_eq!(offsets(&consumer.drain(&mut broker)), [1, 2]);
}

#[test]
fn a_batch_that_is_damaged_twice_stops_the_partition_and_not_the_others() {
    let batches = vec![batch(0, &["a"]), damaged(&batch(1, &["b"])), batch(2, &["c"])];
    let mut broker = Broker::with(vec![batches, vec![batch(0, &["x"])]]);
    let mut consumer = Consumer::reading(committed_only(), 2);
    let mut read = Vec::new();
    let error = loop {
        consumer.fetch(&mut broker);
        match consumer.reader.next_record(consumer.now) {
            Next::Item(record) => read.push((record.partition(), record.offset())),
            Next::Error(error) => break error,
            _ => {}
        }
    };
    assert!(matches!(error, ConsumeError::CorruptBatch { offset: 1, .. }), "{error}");
    read.extend(consumer.drain(&mut broker));
    read.sort_unstable();
    assert_eq!(read, [(0, 0), (1, 0)]);
    consumer.shared.with(|core| core.seek(&name(0), 2)).unwrap();
    assert_eq!(consumer.drain(&mut broker), [(0, 2)]);
}

#[test]
fn nothing_is_handed_out_after_a_revoke_wherever_it_is() {
    let mut broker =
        Broker::with(vec![vec![batch(0, &["a", "b", "c"]), batch(3, &["d"])], vec![batch(0, &["x"])]]);
    let mut consumer = Consumer::new(group());
    let id = consumer.assign(0, 0);
    consumer.assign(1, 0);
    consumer.fetch(&mut broker);
    let record = consumer.record().unwrap();
    assert_eq!(record.offset(), 0);
    let (under_way, _) = consumer.lane.next_fetch(consumer.now).unwrap();
    consumer.shared.with(|core| core.revoke(&[id]));
    // One batch is open in the reader, one is in its chunk, one answer is under way.
    assert_eq!(consumer.record().map(|record| record.partition()), Some(1));
    assert!(consumer.record().is_none());
    let answer = broker.fetch(&under_way);
    consumer.lane.handle_fetch(answer, consumer.now);
    assert!(consumer.record().is_none());
    // The record that is out can still be acked and committed.
    assert!(consumer.shared.with(|core| core.ack(record.origin(), record.covers(), 0)));
    let entries = consumer.shared.with(|core| core.commit_entries());
    assert_eq!(entries.iter().find(|entry| entry.name == name(0)).unwrap().offset, 1);
    consumer.shared.with(|core| core.remove(&[id]));
    assert!(!consumer.shared.with(|core| core.ack(record.origin(), record.covers(), 0)));
}

#[test]
fn a_full_partition_is_left_out_and_the_others_are_not_held_up() {
    let large = "x".repeat(1000);
    let full = (0..50).map(|offset| batch(offset, &[&large])).collect();
    let mut broker = Broker::with(vec![full, vec![batch(0, &["x"])]]);
    let config =
        ConsumerConfig { partition_fetch_bytes: 4000, partition_buffer_bytes: 8000, ..committed_only() };
    let mut consumer = Consumer::reading(config, 2);
    for _ in 0..5 {
        consumer.fetch(&mut broker);
    }
    assert_eq!(broker.last_asked.iter().map(|asked| asked.index).collect::<Vec<_>>(), [1]);
    let (request, wait) = consumer.lane.next_fetch(consumer.now).unwrap();
    assert!(wait.as_millis() <= 100, "the withheld one would wait {wait:?} for the other");
    let answer = broker.fetch(&request);
    consumer.lane.handle_fetch(answer, consumer.now);
    while consumer.record().is_some() {}
    let (request, _) = consumer.lane.next_fetch(consumer.now).unwrap();
    assert_eq!(request.topics[0].partitions[0].index, 0, "it comes back once there is room");
}

#[test]
fn the_buffer_has_an_end() {
    let large = "x".repeat(1000);
    let logs = (0..20).map(|_| (0..200).map(|offset| batch(offset, &[&large])).collect()).collect();
    let mut broker = Broker::with(logs);
    let config = ConsumerConfig { buffer_bytes: 1 << 20, ..committed_only() };
    let mut consumer = Consumer::reading(config, 20);
    let mut fetched = 0;
    while consumer.fetch(&mut broker) {
        fetched += 1;
        assert!(fetched < 100);
    }
    let held = consumer.shared.with(|core| core.buffered_bytes());
    assert!((400_000..=1 << 20).contains(&held), "{held}");
    for _ in 0..200 {
        while consumer.batch().is_some() {}
        consumer.fetch(&mut broker);
    }
    assert!((0..20).all(|index| consumer.shared.with(|core| core.position(&name(index))) == Some(200)));
}

#[test]
fn out_of_range_and_no_commit_follow_the_rule_and_are_committed_at_once() {
    let mut broker = Broker::with(vec![vec![batch(100, &["a"])]]);
    broker.log(0).start = 100;
    let mut consumer = Consumer::new(group());
    let id = consumer.assign(0, 7);
    consumer.fetch(&mut broker);
    let work = consumer.shared.with(|core| core.take_driver_work(consumer.now));
    let lookup = Lookup { start: StartFrom::Earliest, ..work.lookups[0].clone() };
    assert_eq!((work.lookups.len(), &work.lookups[0]), (1, &lookup));
    consumer.shared.with(|core| core.handle_lookup(&lookup, 100, 3));
    let (is_noticed, is_urgent) = consumer.shared.with(|core| core.commit_notice());
    assert!(is_noticed && is_urgent);
    let entries = consumer.shared.with(|core| core.commit_entries());
    assert_eq!((entries[0].origin.assignment, entries[0].offset), (id, 100));
    assert_eq!(offsets(&consumer.drain(&mut broker)), [100]);
    assert!(
        std::iter::from_fn(|| consumer.shared.with(|core| core.take_event()))
            .any(|event| matches!(event, ConsumerEvent::Reset { from: Some(7), to: 100, .. }))
    );
}

#[test]
fn a_truncated_log_is_reported_and_read_on_from_where_it_parts() {
    let batches = (0..5).map(|offset| with_leader_epoch(&batch(offset, &["a"]), 4)).collect();
    let mut broker = Broker::with(vec![batches]);
    let mut consumer = Consumer::reading(committed_only(), 1);
    assert_eq!(consumer.drain(&mut broker).len(), 5);
    assert_eq!(broker.last_asked[0].last_fetched_epoch, 4);
    broker.log(0).batches.truncate(3);
    broker.log(0).diverging = Some((3, 3));
    consumer.fetch(&mut broker);
    assert!(matches!(
        consumer.reader.next_record(consumer.now),
        Next::Error(ConsumeError::LogTruncated { from: 5, to: 3, .. })
    ));
    broker.log(0).batches.push(batch(3, &["other"]));
    assert_eq!(offsets(&consumer.drain(&mut broker)), [3]);
}

#[test]
fn an_undefined_epoch_is_not_an_order_to_go_back() {
    let mut broker = Broker::with(vec![vec![batch(0, &["a"])]]);
    let mut consumer = Consumer::reading(committed_only(), 1);
    consumer.drain(&mut broker);
    broker.log(0).diverging = Some((-1, -1));
    assert!(consumer.drain(&mut broker).is_empty());
    assert_eq!(consumer.shared.with(|core| core.position(&name(0))), Some(1));
    broker.log(0).batches.push(batch(1, &["b"]));
    assert_eq!(offsets(&consumer.drain(&mut broker)), [1]);
}

/// librdkafka #4425, #4796: an answer without an epoch was asked for again and again, and a leader that came with the epoch
/// known before, or with none, was not followed.
#[test]
fn killer_19_epochs_that_say_nothing_hold_nobody_up() {
    let mut broker = Broker::with(vec![vec![with_leader_epoch(&batch(0, &["a"]), 4)]]);
    let mut consumer = Consumer::reading(committed_only(), 1);
    consumer.drain(&mut broker);
    broker.log(0).batches.push(with_leader_epoch(&batch(1, &["b"]), 4));
    let mut told = 0;
    for _ in 0..10 {
        // A broker that knows nothing of epochs says so to whoever asks by one.
        if consumer.shared.with(|core| core.fetch_epoch(&name(0))) >= 0 {
            broker.log(0).diverging = Some((-1, -1));
            told += 1;
        }
        if offsets(&consumer.drain(&mut broker)) == [1] {
            break;
        }
    }
    assert_eq!(consumer.shared.with(|core| core.position(&name(0))), Some(2));
    assert_eq!(told, 1, "once it was told, it asks without");
    for (leader, leader_epoch) in [(2, 5), (3, -1)] {
        let found = Leadership { topic_id: TOPIC_ID, leader: Some(leader), leader_epoch };
        consumer.shared.with(|core| core.apply_leaders(|_| Some(found)));
        for asked in consumer.shared.with(|core| core.take_driver_work(consumer.now)).validations {
            consumer.shared.with(|core| core.handle_validated(&asked, -1, -1));
        }
        let wants = consumer.shared.with(|core| core.wants(leader, consumer.now));
        assert_eq!(wants.wanted.len(), 1, "leader {leader} of epoch {leader_epoch} is not asked");
    }
}

#[test]
fn an_error_of_one_partition_backs_off_alone() {
    let mut broker = Broker::with(vec![vec![batch(0, &["a"])], vec![batch(0, &["x"])]]);
    broker.log(0).error = Some(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let mut consumer = Consumer::reading(committed_only(), 2);
    assert_eq!(consumer.drain(&mut broker), [(1, 0)]);
    assert!(consumer.shared.with(|core| core.take_driver_work(consumer.now)).refresh);
    consumer.now += Duration::from_secs(2);
    assert_eq!(consumer.drain(&mut broker), [(0, 0)]);
}

#[test]
fn acks_before_a_seek_count_for_nothing() {
    let mut broker = Broker::with(vec![vec![batch(0, &["a", "b", "c"])]]);
    let mut consumer = Consumer::new(group());
    consumer.assign(0, 0);
    consumer.fetch(&mut broker);
    let old = consumer.record().unwrap();
    consumer.shared.with(|core| core.seek(&name(0), 2)).unwrap();
    assert!(!consumer.shared.with(|core| core.ack(old.origin(), old.covers(), 0)));
    assert_eq!(offsets(&consumer.drain(&mut broker)), [2]);
}

#[test]
fn headers_keep_their_order_and_their_repetitions() {
    let mut broker = Broker::with(vec![vec![batch_with(0, &["a"], Compression::Snappy)]]);
    let mut consumer = Consumer::reading(committed_only(), 1);
    consumer.fetch(&mut broker);
    let record = consumer.record().unwrap();
    let headers: Vec<_> = record.headers().collect();
    assert_eq!(headers, [(&b"h"[..], Some(&b"1"[..])), (b"h", None)]);
    assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), Some(&b"a"[..])));
    assert_eq!(record.clone().value_bytes().unwrap(), "a");
}

#[test]
fn what_is_left_of_a_batch_can_be_taken_whole() {
    let mut broker = Broker::with(vec![vec![batch(0, &["a", "b", "c"])]]);
    let mut consumer = Consumer::new(group());
    consumer.assign(0, 0);
    consumer.fetch(&mut broker);
    let first = consumer.record().unwrap();
    let rest = consumer.batch().unwrap();
    assert_eq!(rest.iter().map(|record| record.offset()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((rest.len(), rest.last_offset(), rest.covers()), (2, 2, 1..3));
    assert!(consumer.shared.with(|core| core.ack(rest.origin(), rest.covers(), 0)));
    assert!(consumer.shared.with(|core| core.ack(first.origin(), first.covers(), 0)));
    let entries = consumer.shared.with(|core| core.commit_entries());
    assert_eq!(entries[0].offset, 3);
}

#[test]
fn nothing_is_handed_out_once_the_session_may_have_ended() {
    let mut broker = Broker::with(vec![vec![batch(0, &["a", "b", "c"])]]);
    let mut consumer = Consumer::new(group());
    consumer.assign(0, 0);
    consumer.fetch(&mut broker);
    let start = consumer.now;
    consumer.shared.with(|core| core.set_lease(Some(start + Duration::from_secs(6))));
    assert!(consumer.record().is_some());
    // The process was stopped for longer than the session lasts.
    consumer.now += Duration::from_secs(7);
    assert!(consumer.record().is_none());
    assert!(consumer.batch().is_none());
    // The group counts on it all the same: nothing is skipped.
    consumer.shared.with(|core| core.set_lease(Some(start + Duration::from_secs(12))));
    assert_eq!(consumer.record().map(|record| record.offset()), Some(1));
    assert_eq!(consumer.batch().map(|records| records.last_offset()), Some(2));
}
