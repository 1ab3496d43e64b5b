//! Followers that lag, replicas out of sync, and brokers that stop, die and freeze.

use super::{Rig, answer, topic};
use crate::error::ErrorCode;
use crate::mock::core::{Origin, Outcome};
use crate::mock::records::{encode, encode_as};
use crate::mock::{MockCluster, MockClusterBuilder};
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn rig() -> Rig {
    rig_of(MockCluster::builder(), "1")
}

/// Three brokers with one partition, led by broker 1.
fn rig_of(builder: MockClusterBuilder, isr_min: &str) -> Rig {
    let rig = Rig::new(builder.brokers(3));
    rig.mock.create_topic_with("t", 1, &[("min.insync.replicas", isr_min)]).unwrap();
    rig
}

impl Rig {
    /// Sets the lag of a broker's copies at the rig's time.
    fn lag(&self, broker: i32, lag: Duration) {
        self.core(|core| {
            core.lags.brokers.insert(broker, lag);
            core.change_replicas(self.now, |_, _, _, _| {});
        });
    }

    fn stop(&self, broker: i32) {
        self.core(|core| core.stop_broker(self.now, broker));
    }

    fn kill(&self, broker: i32) {
        self.core(|core| core.kill_broker(self.now, broker));
    }

    fn pause(&self, broker: i32) {
        self.core(|core| core.pause_broker(self.now, broker));
    }

    fn carry_on(&self, broker: i32) {
        self.core(|core| core.resume_broker(self.now, broker));
    }

    fn start(&self, broker: i32) {
        self.core(|core| core.start_broker(self.now, broker));
    }

    fn unclean(&self, broker: i32) {
        self.core(|core| {
            core.change_replicas(self.now, |_, _, _, found| {
                found.elect_unclean(broker);
            });
        });
    }

    /// (leader, leader epoch, in sync, high watermark, end) of the partition.
    fn state(&self) -> (Option<i32>, i32, Vec<i32>, i64, i64) {
        self.core(|core| {
            core.tick(self.now);
            core.advance(self.now, "t", 0);
            let found = core.topics.partition("t", 0).unwrap();
            let log = &found.log;
            (found.leader, found.leader_epoch, found.isr.clone(), log.high_watermark(), log.end_offset())
        })
    }

    fn produce(&self, broker: i32, acks: i16, records: Bytes) -> Outcome {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
        let data = TopicProduceData::default().with_name(topic("t")).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(acks).with_timeout_ms(1000).with_topic_data(vec![data]);
        self.send(broker, 12, &request)
    }

    fn again(&self, broker: i32) -> Outcome {
        self.core(|core| core.resume(self.now, Origin { broker, connection: 1 }))
    }

    fn fetch(&self, broker: i32, offset: i64, epochs: (i32, i32)) -> PartitionData {
        let partition = FetchPartition::default()
            .with_fetch_offset(offset)
            .with_current_leader_epoch(epochs.0)
            .with_last_fetched_epoch(epochs.1)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(topic("t")).with_partitions(vec![partition]);
        let request =
            FetchRequest::default().with_session_epoch(-1).with_max_bytes(1 << 20).with_topics(vec![topic]);
        self.ask(broker, 12, &request).responses.remove(0).partitions.remove(0)
    }

    /// (code, offset) of the end of the log.
    fn latest(&self, broker: i32, version: i16, leader_epoch: i32) -> (i16, i64) {
        let partition =
            ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(leader_epoch);
        let topic = ListOffsetsTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
        let response = self.ask(broker, version, &ListOffsetsRequest::default().with_topics(vec![topic]));
        let found = &response.topics[0].partitions[0];
        (found.error_code, found.offset)
    }

    fn metadata(&self, broker: i32) -> MetadataResponsePartition {
        let mut response = self.ask(broker, 12, &MetadataRequest::default().with_topics(None));
        response.topics.remove(0).partitions.remove(0)
    }
}

fn one() -> Bytes {
    encode(&[(None, Some(Bytes::from_static(b"v")), 1_000)]).unwrap()
}

fn sequenced(first: i32) -> Bytes {
    encode_as(&[(None, Some(Bytes::from_static(b"v")), 1_000)], (5, 0, first)).unwrap()
}

/// (code, base offset) of the answer.
fn produced(outcome: Outcome) -> (i16, i64) {
    let response = answer::<ProduceRequest>(12, outcome);
    let partition = &response.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

#[test]
fn acks_all_waits_for_all_in_sync_and_acks_one_for_nobody() {
    let mut rig = rig();
    rig.lag(2, 10 * MS);
    rig.lag(3, 30 * MS);
    let start = rig.now;
    assert_eq!(rig.produce(1, -1, one()), Outcome::Park(start + 10 * MS));
    rig.after(10 * MS);
    assert_eq!(rig.again(1), Outcome::Park(start + 30 * MS));
    rig.after(20 * MS);
    assert_eq!(produced(rig.again(1)), (0, 0));
    assert_eq!(produced(rig.produce(1, 1, one())), (0, 1));
    assert_eq!(rig.state().3, 1);
}

#[test]
fn readers_see_nothing_past_the_high_watermark() {
    let mut rig = rig();
    rig.produce(1, 1, one());
    rig.lag(3, 30 * MS);
    rig.produce(1, 1, one());
    let read = |rig: &Rig, offset| {
        let data = rig.fetch(1, offset, (-1, -1));
        (data.error_code, data.high_watermark, data.records.unwrap().len())
    };
    let whole = one().len();
    assert_eq!(read(&rig, 0), (0, 1, whole));
    assert_eq!(read(&rig, 1), (0, 1, 0));
    assert_eq!(read(&rig, 2), (0, 1, 0), "past the high watermark, not out of the leader's log");
    assert_eq!(read(&rig, 3).0, ErrorCode::OFFSET_OUT_OF_RANGE.0);
    assert_eq!(rig.latest(1, 7, -1), (0, 1));
    rig.after(30 * MS);
    assert_eq!(read(&rig, 1), (0, 2, whole));
    assert_eq!(rig.latest(1, 7, -1), (0, 2));
}

#[test]
fn a_long_poll_ends_when_the_high_watermark_rises() {
    let mut rig = rig();
    rig.lag(2, 10 * MS);
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic("t")).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_session_epoch(-1)
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic]);
    let origin = Origin { broker: 1, connection: 2 };
    assert_eq!(rig.send_on(origin, 12, &request), Outcome::Park(rig.now + 500 * MS));
    rig.produce(1, 1, one());
    assert!(rig.core(|core| core.resume(rig.now, origin)) == Outcome::Park(rig.now + 10 * MS));
    rig.after(10 * MS);
    let response = answer::<FetchRequest>(12, rig.core(|core| core.resume(rig.now, origin)));
    assert_eq!(response.responses[0].partitions[0].high_watermark, 1);
}

#[test]
fn replicas_that_do_not_come_in_time_are_a_timeout_with_the_data_in_the_log() {
    let mut rig = rig();
    rig.lag(2, Duration::MAX);
    let until = rig.now + SECOND;
    assert_eq!(rig.produce(1, -1, sequenced(0)), Outcome::Park(until));
    rig.after(SECOND);
    assert_eq!(produced(rig.again(1)), (ErrorCode::REQUEST_TIMED_OUT.0, 0));
    assert_eq!(rig.state(), (Some(1), 0, vec![1, 2, 3], 0, 1));
    assert!(matches!(rig.produce(1, -1, sequenced(0)), Outcome::Park(_)), "a duplicate waits as well");
    rig.lag(2, Duration::ZERO);
    assert_eq!(produced(rig.again(1)), (0, 0));
}

#[test]
fn who_is_behind_for_too_long_leaves_and_comes_back_when_it_caught_up() {
    let mut rig = rig_of(MockCluster::builder().replica_lag_time_max(5 * SECOND), "1");
    rig.lag(3, Duration::MAX);
    rig.after(60 * SECOND);
    assert_eq!(rig.state().2, [1, 2, 3], "there is nothing to copy");
    rig.produce(1, 1, one());
    assert_eq!(rig.core(|core| core.next_look("t", 0, rig.now + 60 * SECOND)), rig.now + 5 * SECOND);
    rig.after(5 * SECOND - MS);
    assert_eq!(rig.state(), (Some(1), 0, vec![1, 2, 3], 0, 1));
    rig.after(MS);
    assert_eq!(rig.state(), (Some(1), 0, vec![1, 2], 1, 1));
    let told = rig.metadata(1);
    assert_eq!((told.isr_nodes, told.offline_replicas), (vec![1.into(), 2.into()], vec![]));
    rig.lag(3, SECOND);
    assert_eq!(rig.state().2, [1, 2]);
    rig.after(SECOND);
    assert_eq!(rig.state().2, [1, 2, 3]);
}

#[test]
fn with_too_few_in_sync_appends_are_refused_and_the_high_watermark_stands_still() {
    let mut rig = rig_of(MockCluster::builder().replica_lag_time_max(SECOND / 2), "2");
    rig.stop(3);
    rig.lag(2, Duration::MAX);
    assert!(matches!(rig.produce(1, -1, one()), Outcome::Park(_)));
    rig.after(SECOND / 2);
    assert!(matches!(rig.again(1), Outcome::Park(_)));
    assert_eq!(rig.state(), (Some(1), 1 - 1, vec![1], 0, 1), "KAFKA-15583");
    rig.after(SECOND / 2);
    assert_eq!(produced(rig.again(1)), (ErrorCode::REQUEST_TIMED_OUT.0, 0));
    assert_eq!(produced(rig.produce(1, -1, one())), (ErrorCode::NOT_ENOUGH_REPLICAS.0, -1));
    assert_eq!(produced(rig.produce(1, 1, one())), (0, 1));
    rig.start(3);
    assert_eq!(rig.state(), (Some(1), 0, vec![1, 3], 2, 2));
}

#[test]
fn a_replica_that_leaves_after_the_high_watermark_rose_is_error_20() {
    let mut rig = rig_of(MockCluster::builder(), "3");
    rig.lag(2, 10 * MS);
    assert!(matches!(rig.produce(1, -1, one()), Outcome::Park(_)));
    rig.after(10 * MS);
    rig.stop(3);
    assert_eq!(produced(rig.again(1)), (ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND.0, 0));
}

#[test]
fn a_topic_with_fewer_replicas_than_its_minimum_needs_all_of_them() {
    let rig = Rig::new(MockCluster::builder());
    rig.mock.create_topic_with("t", 1, &[("min.insync.replicas", "2")]).unwrap();
    assert_eq!(produced(rig.produce(1, -1, one())), (0, 0));
}

#[test]
fn a_killed_leader_leads_until_its_session_is_over_and_its_tail_is_lost() {
    let mut rig = rig();
    rig.produce(1, -1, sequenced(0));
    rig.lag(2, 10 * SECOND);
    rig.lag(3, 10 * SECOND);
    assert_eq!(produced(rig.produce(1, 1, sequenced(1))), (0, 1));
    rig.kill(1);
    assert_eq!(rig.produce(1, 1, one()), Outcome::Close);
    rig.after(9 * SECOND - MS);
    assert_eq!(rig.state(), (Some(1), 0, vec![1, 2, 3], 1, 2));
    assert_eq!(rig.metadata(2).leader_id.0, 1);
    rig.after(MS);
    assert_eq!(rig.state(), (Some(2), 1, vec![2, 3], 1, 1));
    assert_eq!(rig.metadata(2).offline_replicas, [1]);
    // The new leader knows of the first batch, and not of the one that it never had.
    assert_eq!(produced(rig.produce(2, 1, sequenced(0))), (0, 0));
    assert_eq!(produced(rig.produce(2, 1, sequenced(1))), (0, 1));
    rig.start(1);
    assert_eq!((rig.state().0, rig.state().2), (Some(2), vec![1, 2, 3]), "it follows");
}

#[test]
fn a_killed_broker_that_is_back_at_once_has_lost_its_leadership() {
    let rig = rig();
    rig.kill(1);
    rig.start(1);
    assert_eq!(rig.state(), (Some(2), 1, vec![1, 2, 3], 0, 0));
}

#[test]
fn a_follower_that_is_gone_holds_acks_all_up_until_it_is_fenced() {
    let mut rig = rig_of(MockCluster::builder().broker_session_timeout(SECOND / 2), "2");
    rig.kill(3);
    assert_eq!(rig.produce(1, -1, one()), Outcome::Park(rig.now + SECOND / 2));
    rig.after(SECOND / 2);
    assert_eq!(produced(rig.again(1)), (0, 0));
    assert_eq!(rig.state().2, [1, 2]);
}

#[test]
fn a_paused_broker_answers_nothing_until_it_goes_on() {
    let mut rig = rig();
    rig.pause(1);
    let Outcome::Park(_) = rig.produce(1, -1, one()) else { panic!("it must be silent") };
    rig.after(5 * SECOND);
    let Outcome::Park(_) = rig.again(1) else { panic!("it must be silent") };
    assert_eq!(rig.state(), (Some(1), 0, vec![1, 2, 3], 0, 0));
    let woken = rig.core(|core| {
        core.resume_broker(rig.now, 1);
        core.take_woken()
    });
    assert!(woken.contains(&1));
    assert_eq!(produced(rig.again(1)), (0, 0), "its session was not over");
}

#[test]
fn a_paused_leader_is_replaced_and_says_so_when_it_is_back() {
    let mut rig = rig();
    rig.lag(2, 10 * SECOND);
    assert!(matches!(rig.produce(1, -1, one()), Outcome::Park(_)));
    rig.pause(1);
    rig.after(9 * SECOND);
    assert_eq!(rig.state(), (Some(2), 1, vec![2, 3], 0, 0));
    rig.carry_on(1);
    assert_eq!(produced(rig.again(1)), (ErrorCode::NOT_LEADER_OR_FOLLOWER.0, 0), "what it took is gone");
    assert_eq!(rig.state().2, [1, 2, 3]);
}

#[test]
fn the_last_replica_in_sync_stays_so_and_leads_when_it_is_back() {
    let rig = rig();
    for broker in [1, 2, 3] {
        rig.stop(broker);
    }
    assert_eq!(rig.state(), (None, 3, vec![3], 0, 0));
    rig.start(1);
    assert_eq!(rig.state().0, None);
    rig.start(3);
    assert_eq!(rig.state(), (Some(3), 4, vec![1, 3], 0, 0));
}

#[test]
fn an_unclean_election_cuts_the_log_and_readers_are_told() {
    let rig = rig();
    rig.produce(1, -1, one());
    rig.stop(2);
    rig.stop(3);
    rig.produce(1, 1, one());
    rig.produce(1, 1, one());
    assert_eq!(rig.fetch(1, 3, (0, 0)).high_watermark, 3);
    rig.stop(1);
    rig.start(2);
    assert_eq!(rig.state(), (None, 1, vec![1], 3, 3));
    rig.unclean(2);
    assert_eq!(rig.state(), (Some(2), 2, vec![2], 1, 1));
    assert_eq!(rig.fetch(2, 3, (0, 0)).error_code, ErrorCode::FENCED_LEADER_EPOCH.0);
    assert_eq!(rig.fetch(2, 3, (9, 0)).error_code, ErrorCode::UNKNOWN_LEADER_EPOCH.0);
    let told = rig.fetch(2, 3, (2, 0));
    assert_eq!((told.diverging_epoch.epoch, told.diverging_epoch.end_offset), (0, 1));
    assert_eq!(rig.latest(2, 7, 0).0, ErrorCode::FENCED_LEADER_EPOCH.0);
    rig.produce(2, 1, one());
    rig.start(1);
    assert_eq!(rig.state(), (Some(2), 2, vec![1, 2], 2, 2), "the former leader follows");
}

#[test]
fn a_topic_that_may_elects_uncleanly_by_itself() {
    let rig = Rig::new(MockCluster::builder().brokers(2));
    rig.mock.create_topic_with("t", 1, &[("unclean.leader.election.enable", "true")]).unwrap();
    rig.stop(2);
    rig.produce(1, 1, one());
    rig.start(2);
    rig.lag(2, Duration::MAX);
    rig.produce(1, 1, one());
    rig.stop(2);
    rig.stop(1);
    rig.start(2);
    assert_eq!(rig.state(), (Some(2), 2, vec![2], 1, 1));
}

#[test]
fn a_new_leader_does_not_tell_the_end_before_its_high_watermark_is_known() {
    let mut rig = rig();
    rig.lag(3, 10 * SECOND);
    rig.produce(1, 1, one());
    assert!(rig.mock.move_leader("t", 0, 2).is_ok());
    assert_eq!(rig.state(), (Some(2), 1, vec![1, 2, 3], 0, 1));
    assert_eq!(rig.latest(2, 7, -1), (ErrorCode::OFFSET_NOT_AVAILABLE.0, -1));
    assert_eq!(rig.latest(2, 4, -1), (ErrorCode::LEADER_NOT_AVAILABLE.0, -1));
    rig.after(11 * SECOND);
    assert_eq!(rig.latest(2, 7, -1), (0, 1));
}

#[test]
fn leaders_are_elected_by_preference_and_replicas_reassigned() {
    let rig = rig();
    rig.mock.move_leader("t", 0, 3).unwrap();
    rig.mock.elect_preferred_leaders();
    assert_eq!((rig.mock.leader("t", 0), rig.mock.leader_epoch("t", 0)), (Some(1), Some(2)));
    rig.mock.reassign("t", 0, &[3, 2]).unwrap();
    assert_eq!((rig.mock.leader("t", 0), rig.mock.isr("t", 0)), (Some(3), vec![3, 2]));
    rig.mock.reassign("t", 0, &[2, 9]).unwrap_err();
    rig.mock.elect_unclean_leader("t", 0, 1).unwrap_err();
    assert_eq!(rig.mock.replicas("t", 0), [3, 2]);
}
