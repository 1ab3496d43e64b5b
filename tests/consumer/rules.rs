//! The rules of consuming, by number, on the mock in virtual time; those that show on the wire by what was asked.

use crate::recorder::{Asked, PATIENCE, Recorder, SECOND, client, next, pass, start, told, write};
use craftwire::{
    Client,
    consumer::{
        ConsumeError, Consumer, ConsumerBuilder, ConsumerEvent, Isolation, StartFrom, TopicPartition,
    },
    error::ErrorCode,
    mock::{Api, MockCluster},
};
use kafka_protocol::{
    messages::{ConsumerGroupHeartbeatRequest, FetchRequest, OffsetCommitRequest, OffsetFetchRequest},
    protocol::Decodable,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

const MS: Duration = Duration::from_millis(1);

fn member(client: &Client) -> ConsumerBuilder {
    client.consumer().group("g").topics(["t"])
}

fn here(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn read<A: Decodable>(asked: &Asked) -> A {
    A::decode(&mut asked.body.clone(), asked.version).unwrap()
}

/// Waits until each of the members has so many partitions.
async fn until_shared(members: &[&Consumer], share: usize) {
    let shared = async {
        while members.iter().any(|member| member.assignment().len() != share) {
            pass(MS).await;
        }
    };
    timeout(PATIENCE, shared).await.expect("shared in time");
}

#[tokio::test(start_paused = true)]
async fn rule_12_fetches_and_a_groups_questions_have_connections_of_their_consumers_own() {
    let mock = start(MockCluster::builder().brokers(2).topic("t", 4));
    let recorder = Recorder::of(&mock);
    let client = client(&mock).await;
    (0..4).for_each(|partition| write(&mock, partition, 0..3));
    let mut first = member(&client).start_from(StartFrom::Latest).build().await.unwrap();
    let mut second = member(&client).start_from(StartFrom::Latest).build().await.unwrap();
    let mut alone = client.consumer().topics(["t"]).build().await.unwrap();
    until_shared(&[&first, &second], 2).await;
    for _ in 0..12 {
        next(&mut alone).await;
    }
    (0..4).for_each(|partition| write(&mock, partition, 3..6));
    for _ in 0..6 {
        next(&mut first).await;
        next(&mut second).await;
        next(&mut alone).await;
        next(&mut alone).await;
    }
    first.commit().await.unwrap();
    second.commit().await.unwrap();

    let fetching = recorder.connections(Api::Fetch);
    assert_eq!(fetching.len(), 3 * 2, "one for each consumer and broker");
    for connection in fetching {
        assert_eq!(recorder.apis_on(connection), [Api::Fetch], "connection {connection}");
    }
    let beating = recorder.connections(Api::ConsumerGroupHeartbeat);
    assert_eq!(beating.len(), 2, "one for each member");
    let groups = [Api::ConsumerGroupHeartbeat, Api::OffsetFetch, Api::OffsetCommit];
    for connection in &beating {
        let apis = recorder.apis_on(*connection);
        assert!(apis.iter().all(|api| groups.contains(api)), "{apis:?}");
    }
    for api in groups {
        assert!(recorder.connections(api).is_subset(&beating), "{api:?}");
    }
    for api in [Api::ListOffsets, Api::Metadata] {
        assert!(!recorder.of_api(api).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn rule_12_readers_that_wait_for_records_do_not_hold_each_other_up() {
    let mock = start(MockCluster::builder().topic("t", 4));
    let client = client(&mock).await;
    let mut readers = Vec::new();
    for partition in 0..4 {
        readers.push(client.consumer().partitions("t", [partition]).build().await.unwrap());
    }
    pass(3 * SECOND).await;
    for (partition, reader) in (0..).zip(&mut readers) {
        pass(130 * MS).await;
        let written = Instant::now();
        write(&mock, partition, 0..1);
        assert_eq!(next(reader).await, (partition, 0));
        assert!(written.elapsed() <= 10 * MS, "{:?}", written.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn rule_13_a_member_names_itself_and_commits_under_the_epoch_it_was_given() {
    let mock = start(MockCluster::builder().topic("t", 2));
    let recorder = Recorder::of(&mock);
    let client = client(&mock).await;
    write(&mock, 0, 0..5);
    let mut first = member(&client).build().await.unwrap();
    let mut second = member(&client).build().await.unwrap();
    until_shared(&[&first, &second], 1).await;
    let reader = if first.assignment() == [here(0)] { &mut first } else { &mut second };
    for _ in 0..5 {
        let record = timeout(PATIENCE, reader.recv()).await.unwrap().unwrap().unwrap();
        reader.ack(&record);
    }
    let stale = mock.on(Api::OffsetCommit).fail(ErrorCode::STALE_MEMBER_EPOCH);
    reader.commit().await.unwrap();
    assert_eq!((stale.hits(), mock.committed("g", "t", 0)), (1, Some(5)), "tried again while it is owned");

    let mut epochs: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for asked in recorder.of_api(Api::ConsumerGroupHeartbeat) {
        assert!(asked.version >= 1);
        let beat: ConsumerGroupHeartbeatRequest = read(&asked);
        assert!(beat.member_id.parse::<Uuid>().is_ok_and(|id| !id.is_nil()), "{:?}", beat.member_id);
        epochs.entry(beat.member_id.to_string()).or_default().insert(beat.member_epoch);
    }
    assert_eq!(epochs.len(), 2, "a name is kept: {epochs:?}");
    let commits = recorder.of_api(Api::OffsetCommit);
    assert!(commits.len() >= 2);
    for asked in commits {
        assert!(asked.version >= 9);
        let commit: OffsetCommitRequest = read(&asked);
        let epoch = commit.generation_id_or_member_epoch;
        assert!(epoch > 0 && epochs[commit.member_id.as_str()].contains(&epoch), "{epoch}: {epochs:?}");
    }
    for asked in recorder.of_api(Api::OffsetFetch) {
        let fetch: OffsetFetchRequest = read(&asked);
        assert!(fetch.require_stable && fetch.groups[0].member_epoch > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_13_the_session_is_the_brokers_and_a_silent_coordinator_ends_delivery_before_it_is_over() {
    for session in [6, 45] {
        let builder = MockCluster::builder().topic("t", 1).heartbeat_interval(SECOND);
        let mock = start(builder.session_timeout(session * SECOND));
        let client = client(&mock).await;
        write(&mock, 0, 0..1);
        let mut consumer = member(&client).build().await.unwrap();
        next(&mut consumer).await;
        pass(3 * SECOND).await;
        mock.on(Api::ConsumerGroupHeartbeat).always().drop_before();
        let from = Instant::now();
        told(&consumer, |event| matches!(event, ConsumerEvent::Lost(_)).then_some(())).await;
        let took = from.elapsed();
        assert!(took <= session * SECOND && took + 2 * SECOND >= session * SECOND, "{session} s: {took:?}");
        write(&mock, 0, 1..2);
        assert!(timeout(100 * SECOND, consumer.recv()).await.is_err(), "handed out after the session");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_14_a_member_that_joins_has_its_share_after_an_interval_of_each_and_a_silent_one_after_a_session()
 {
    for (interval, session) in [(1, 6), (5, 45)] {
        let builder = MockCluster::builder().topic("t", 4).heartbeat_interval(interval * SECOND);
        let mock = start(builder.session_timeout(session * SECOND));
        let client = client(&mock).await;
        let first = member(&client).build().await.unwrap();
        until_shared(&[&first], 4).await;
        pass(10 * interval * SECOND).await;
        let from = Instant::now();
        let second = member(&client).build().await.unwrap();
        until_shared(&[&first, &second], 2).await;
        let took = from.elapsed();
        assert!(took <= 2 * interval * SECOND + SECOND, "interval {interval} s: {took:?}");

        let silent = mock.assignments("g").into_iter().find(|(_, owned)| {
            owned.iter().all(|(_, partition)| first.assignment().contains(&here(*partition)))
        });
        let (silent, _) = silent.expect("the first member");
        let is_silent = move |call: &craftwire::mock::Call| {
            let beat = ConsumerGroupHeartbeatRequest::decode(&mut call.body().clone(), call.version());
            beat.is_ok_and(|beat| beat.member_id.as_str() == silent)
        };
        mock.on(Api::ConsumerGroupHeartbeat).always().when(is_silent).drop_before();
        let from = Instant::now();
        until_shared(&[&second], 4).await;
        let took = from.elapsed();
        let session = session * SECOND;
        assert!(took + 2 * interval * SECOND >= session, "before the session was over: {took:?}");
        assert!(took <= session + 2 * interval * SECOND + SECOND, "{took:?} for a session of {session:?}");
    }
}

/// A log that begins at 40 and ends at 60, and what a rule makes of it.
async fn by_rule(rule: StartFrom, is_out_of_range: bool) -> (MockCluster, Consumer) {
    let mock = start(MockCluster::builder().topic("t", 1));
    write(&mock, 0, 0..60);
    mock.delete_records("t", 0, 40).unwrap();
    let client = client(&mock).await;
    if is_out_of_range {
        // Somebody committed an offset that is gone.
        let other = client.consumer().group("g").partitions("t", [0]).start_from(StartFrom::Offset(40));
        let mut other = other.build().await.unwrap();
        let record = timeout(PATIENCE, other.recv()).await.unwrap().unwrap().unwrap();
        other.ack(&record);
        other.close().await.unwrap();
        assert_eq!(mock.committed("g", "t", 0), Some(41));
        mock.delete_records("t", 0, 50).unwrap();
    }
    let consumer = member(&client).start_from(rule).commit_interval(None).build().await.unwrap();
    (mock, consumer)
}

#[tokio::test(start_paused = true)]
async fn rule_15_the_policy_decides_without_a_commit_and_out_of_range_and_is_committed_at_once() {
    for is_out_of_range in [false, true] {
        let oldest = if is_out_of_range { 50 } else { 40 };
        let long_past = StartFrom::TimestampMs(1);
        for (rule, to) in [(StartFrom::Earliest, oldest), (StartFrom::Latest, 60), (long_past, oldest)] {
            let (mock, mut consumer) = by_rule(rule, is_out_of_range).await;
            let reset = told(&consumer, |event| match event {
                ConsumerEvent::Reset { from, to, .. } => Some((*from, *to)),
                _ => None,
            });
            assert_eq!(reset.await, (is_out_of_range.then_some(41), to), "{rule:?}");
            pass(SECOND).await;
            assert_eq!(mock.committed("g", "t", 0), Some(to), "{rule:?}: before anything was read");
            write(&mock, 0, 60..61);
            assert_eq!(next(&mut consumer).await.1, to);
        }
        let (mock, mut consumer) = by_rule(StartFrom::Fail, is_out_of_range).await;
        let error = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap_err();
        let is_it = match error {
            ConsumeError::OffsetOutOfRange { offset, .. } => is_out_of_range && offset == 41,
            ConsumeError::NoOffset { .. } => !is_out_of_range,
            _ => false,
        };
        assert!(is_it, "{error}");
        assert_eq!(mock.committed("g", "t", 0), is_out_of_range.then_some(41));
    }
}

#[tokio::test(start_paused = true)]
async fn rule_15_a_crash_before_the_first_commit_skips_nothing_that_came_after_the_start() {
    let mock =
        start(MockCluster::builder().topic("t", 1).heartbeat_interval(SECOND).session_timeout(6 * SECOND));
    write(&mock, 0, 0..10);
    let first = member(&client(&mock).await).start_from(StartFrom::Latest).build().await.unwrap();
    told(&first, |event| matches!(event, ConsumerEvent::Reset { .. }).then_some(())).await;
    pass(SECOND).await;
    write(&mock, 0, 10..15);
    // It never gets to acking, and dies.
    drop(first);
    let mut second = member(&client(&mock).await).start_from(StartFrom::Latest).build().await.unwrap();
    for offset in 10..15 {
        assert_eq!(next(&mut second).await.1, offset);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_15_partitions_that_are_added_start_at_their_first_record_whatever_the_policy() {
    for rule in [StartFrom::Latest, StartFrom::Fail, StartFrom::TimestampMs(i64::MAX)] {
        let mock = start(MockCluster::builder().topic("t", 1));
        let mut consumer = {
            let client = client(&mock).await;
            // So that the first partition has a commit, and the rule is for the second alone.
            let seed = client.consumer().group("g").partitions("t", [0]).build().await.unwrap();
            told(&seed, |event| matches!(event, ConsumerEvent::Reset { .. }).then_some(())).await;
            seed.close().await.unwrap();
            member(&client).start_from(rule).build().await.unwrap()
        };
        until_shared(&[&consumer], 1).await;
        mock.grow_topic("t", 2).unwrap();
        write(&mock, 1, 0..3);
        for offset in 0..3 {
            assert_eq!(next(&mut consumer).await, (1, offset), "{rule:?}");
        }
    }
}

/// (connection, session, epoch) of each fetch.
fn sessions(recorder: &Recorder) -> Vec<(u64, i32, i32)> {
    let fetches = recorder.of_api(Api::Fetch);
    let session = |asked: &Asked| {
        let fetch: FetchRequest = read(asked);
        (asked.connection, fetch.session_id, fetch.session_epoch)
    };
    fetches.iter().map(session).collect()
}

#[tokio::test(start_paused = true)]
async fn rule_16_a_session_is_one_consumers_and_a_lost_answer_begins_another() {
    let mock = start(MockCluster::builder().topic("t", 2));
    let recorder = Recorder::of(&mock);
    let client = client(&mock).await;
    let mut one = client.consumer().topics(["t"]).build().await.unwrap();
    let mut other = client.consumer().topics(["t"]).build().await.unwrap();
    let mut expected = 0;
    for round in 0..4 {
        match round {
            1 => drop(mock.on(Api::Fetch).times(2).drop_after()),
            2 => drop(mock.on(Api::Fetch).times(2).disconnect_after()),
            3 => drop(mock.on(Api::Fetch).times(2).disconnect_before()),
            _ => {}
        }
        (0..2).for_each(|partition| write(&mock, partition, expected..expected + 10));
        expected += 10;
        for consumer in [&mut one, &mut other] {
            let mut read = BTreeSet::new();
            while read.len() < 20 {
                assert!(read.insert(next(consumer).await));
            }
            assert!(read.into_iter().eq((0..2).flat_map(|p| (expected - 10..expected).map(move |o| (p, o)))));
        }
    }
    let mut connections: BTreeMap<u64, Vec<(i32, i32)>> = BTreeMap::new();
    for (connection, session, epoch) in sessions(&recorder) {
        connections.entry(connection).or_default().push((session, epoch));
    }
    assert!(connections.len() > 2, "a lost answer costs a connection");
    let mut owners = BTreeMap::new();
    for (connection, fetches) in connections {
        assert_eq!(fetches[0].1, 0, "a new connection tells everything");
        assert!(fetches.iter().skip(1).map(|(_, epoch)| *epoch).eq(1..i32::try_from(fetches.len()).unwrap()));
        for (session, _) in &fetches[1..] {
            assert_eq!(*owners.entry(*session).or_insert(connection), connection, "session {session}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rule_16_a_broker_that_opens_no_sessions_is_read_from_all_the_same() {
    let mock = start(MockCluster::builder().topic("t", 3).fetch_sessions(0));
    let recorder = Recorder::of(&mock);
    let mut consumer = client(&mock).await.consumer().topics(["t"]).build().await.unwrap();
    (0..3).for_each(|partition| write(&mock, partition, 0..50));
    let mut read = BTreeSet::new();
    while read.len() < 150 {
        assert!(read.insert(next(&mut consumer).await));
    }
    write(&mock, 1, 50..51);
    assert_eq!(next(&mut consumer).await, (1, 50));
    let sessions = sessions(&recorder);
    assert!(
        sessions.len() >= 2 && sessions.iter().all(|(_, id, epoch)| (*id, *epoch) == (0, 0)),
        "{sessions:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn rule_16_a_batch_that_was_damaged_on_its_way_discards_the_fetch_behind_it() {
    let mock = start(MockCluster::builder().topic("t", 1));
    let recorder = Recorder::of(&mock);
    let mut consumer = client(&mock).await.consumer().topics(["t"]).build().await.unwrap();
    write(&mock, 0, 0..10);
    for offset in 0..10 {
        assert_eq!(next(&mut consumer).await.1, offset);
    }
    let before = recorder.connections(Api::Fetch).len();
    // On its way, and once.
    let damaged = Arc::new(AtomicBool::new(false));
    let is_damaged = damaged.clone();
    mock.on(Api::Fetch).always().rewrite(move |answer| {
        let mut answer = answer.to_vec();
        if let Some(at) = answer.windows(6).position(|window| window == b"needle")
            && !is_damaged.swap(true, Relaxed)
        {
            answer[at] ^= 1;
        }
        answer
    });
    // The fetch that waits was asked before the rewriting began.
    write(&mock, 0, 10..11);
    assert_eq!(next(&mut consumer).await.1, 10);
    for value in [&b"needle"[..], b"later", b"last"] {
        // The next fetch is out, and answered well, before the damage is seen.
        mock.append("t", 0, None, Some(value)).unwrap();
        pass(20 * MS).await;
    }
    assert!(damaged.load(Relaxed));
    for (offset, value) in (11..).zip([&b"needle"[..], b"later", b"last"]) {
        let record = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
        assert_eq!((record.offset(), record.value()), (offset, Some(value)));
    }
    assert_eq!(recorder.connections(Api::Fetch).len(), before + 1, "over a new connection");
}

#[tokio::test(start_paused = true)]
async fn rule_16_aborted_records_are_skipped_in_read_committed_only() {
    let mock = start(MockCluster::builder().topic("t", 1));
    let mut aborted = mock.transaction();
    aborted.append("t", 0, None, Some(b"0")).unwrap();
    aborted.append("t", 0, None, Some(b"1")).unwrap();
    aborted.abort().unwrap();
    write(&mock, 0, 3..5);
    let client = client(&mock).await;
    for (isolation, expected) in
        [(Isolation::ReadCommitted, vec![3, 4]), (Isolation::ReadUncommitted, vec![0, 1, 3, 4])]
    {
        let mut consumer = client.consumer().topics(["t"]).isolation(isolation).build().await.unwrap();
        for offset in expected {
            assert_eq!(next(&mut consumer).await.1, offset, "{isolation:?}");
        }
    }
}
