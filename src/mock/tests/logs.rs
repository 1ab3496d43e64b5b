//! Producing, fetching, offsets and metadata.

use super::{Rig, answer, text, topic};
use crate::error::ErrorCode;
use crate::mock::MockCluster;
use crate::mock::core::{Origin, Outcome};
use crate::mock::records::{encode, encode_as};
use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    CreateTopicsRequest, FetchRequest, FetchResponse, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest,
};
use std::time::Duration;
use uuid::Uuid;

fn rig(partitions: i32) -> Rig {
    Rig::new(MockCluster::builder().brokers(3).topic("t", partitions))
}

fn batch(values: &[&'static str]) -> Bytes {
    let records: Vec<_> =
        values.iter().map(|value| (None, Some(Bytes::from_static(value.as_bytes())), 1_000)).collect();
    encode(&records).unwrap()
}

fn sequenced(epoch: i16, first: i32, count: usize) -> Bytes {
    let records = vec![(None, Some(Bytes::from_static(b"v")), 1_000); count];
    encode_as(&records, (5, epoch, first)).unwrap()
}

fn produce_of(partitions: Vec<(i32, Bytes)>) -> ProduceRequest {
    let data = partitions.into_iter().map(|(index, records)| {
        PartitionProduceData::default().with_index(index).with_records(Some(records))
    });
    let topic = TopicProduceData::default().with_name(topic("t")).with_partition_data(data.collect());
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic])
}

/// Produces to one partition at its leader.
fn produce(rig: &Rig, index: i32, records: Bytes) -> PartitionProduceResponse {
    let leader = rig.mock.leader("t", index).unwrap();
    let mut response = rig.ask(leader, 12, &produce_of(vec![(index, records)]));
    response.responses.remove(0).partition_responses.remove(0)
}

fn topic_id(rig: &Rig) -> Uuid {
    rig.core(|core| core.topics.get("t").unwrap().id)
}

/// (partition, offset) pairs in a fetch of v17.
fn fetch_of(rig: &Rig, partitions: &[(i32, i64)], session: (i32, i32)) -> FetchRequest {
    let partitions: Vec<_> = partitions
        .iter()
        .map(|(index, offset)| {
            FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(1 << 20)
        })
        .collect();
    let topic = FetchTopic::default().with_topic_id(topic_id(rig)).with_partitions(partitions);
    FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_id(session.0)
        .with_session_epoch(session.1)
        .with_topics(if topic.partitions.is_empty() { vec![] } else { vec![topic] })
}

/// (partition, code, bytes) of each partition that the answer names.
fn named(response: &FetchResponse) -> Vec<(i32, i16, usize)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|p| (p.partition_index, p.error_code, p.records.as_ref().map_or(0, Bytes::len))).collect()
}

#[test]
fn what_is_produced_is_fetched_under_its_offsets() {
    let rig = rig(1);
    assert_eq!(produce(&rig, 0, batch(&["a", "b"])).base_offset, 0);
    assert_eq!(produce(&rig, 0, batch(&["c"])).base_offset, 2);
    let response = rig.ask(1, 17, &fetch_of(&rig, &[(0, 0)], (0, -1)));
    let data = &response.responses[0].partitions[0];
    assert_eq!((data.high_watermark, data.error_code), (3, 0));
    let values: Vec<_> = rig.mock.records("t", 0).into_iter().map(|r| (r.offset, r.value.unwrap())).collect();
    assert_eq!(values, [(0, Bytes::from("a")), (1, Bytes::from("b")), (2, Bytes::from("c"))]);
    let log: Vec<u8> = rig.mock.batches("t", 0).iter().flat_map(|b| b.bytes.to_vec()).collect();
    assert_eq!(data.records.as_ref().unwrap(), &log);
}

#[test]
fn every_version_of_produce_and_fetch_is_answered() {
    let rig = rig(1);
    for version in 3..=13 {
        let mut request = produce_of(vec![(0, batch(&["a"]))]);
        if version >= 13 {
            request.topic_data[0].topic_id = topic_id(&rig);
        }
        let response = rig.ask(1, version, &request);
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, i64::from(version) - 3));
    }
    for version in 4..=18 {
        let mut request = fetch_of(&rig, &[(0, 0)], (0, -1));
        if version < 13 {
            request.topics[0].topic_id = Uuid::nil();
            request.topics[0].topic = topic("t");
        }
        assert!(named(&rig.ask(1, version, &request))[0].2 > 11 * 61, "v{version}");
    }
}

#[test]
fn bad_batches_are_refused() {
    let rig = rig(1);
    let mut flipped = batch(&["a"]).to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(produce(&rig, 0, flipped.into()).error_code, ErrorCode::CORRUPT_MESSAGE.0);
    let two = [batch(&["a"]), batch(&["b"])].concat();
    assert_eq!(produce(&rig, 0, two.into()).error_code, ErrorCode::INVALID_RECORD.0);
    let big = encode(&[(None, Some(Bytes::from(vec![0; 1_048_588])), 0)]).unwrap();
    assert_eq!(produce(&rig, 0, big).error_code, ErrorCode::MESSAGE_TOO_LARGE.0);
    let ahead = encode(&[(None, None, i64::MAX / 2)]).unwrap();
    assert_eq!(produce(&rig, 0, ahead).error_code, ErrorCode::INVALID_TIMESTAMP.0);
    assert_eq!(rig.mock.offsets("t", 0), Some((0, 0)));
}

#[test]
fn duplicates_get_their_first_offset_and_gaps_are_out_of_order() {
    let rig = rig(1);
    assert_eq!(produce(&rig, 0, sequenced(0, 0, 2)).base_offset, 0);
    assert_eq!(produce(&rig, 0, sequenced(0, 2, 1)).base_offset, 2);
    let again = produce(&rig, 0, sequenced(0, 0, 2));
    assert_eq!((again.error_code, again.base_offset), (0, 0));
    assert_eq!(produce(&rig, 0, sequenced(0, 4, 1)).error_code, 45);
    assert_eq!(produce(&rig, 0, sequenced(1, 0, 1)).error_code, 0);
    assert_eq!(produce(&rig, 0, sequenced(0, 3, 1)).error_code, 47);
    assert_eq!(rig.mock.offsets("t", 0), Some((0, 4)));
}

#[test]
fn who_does_not_lead_says_who_does() {
    let rig = rig(1);
    rig.mock.move_leader("t", 0, 2).unwrap();
    let response = rig.ask(1, 12, &produce_of(vec![(0, batch(&["a"]))]));
    let partition = &response.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER.0);
    assert_eq!((partition.current_leader.leader_id.0, partition.current_leader.leader_epoch), (2, 1));
    assert_eq!(response.node_endpoints[0].host.as_str(), "mock-2");
    let response = rig.ask(1, 17, &fetch_of(&rig, &[(0, 0)], (0, -1)));
    assert_eq!(response.responses[0].partitions[0].current_leader.leader_id.0, 2);
}

#[test]
fn too_few_replicas_refuse_acks_all() {
    let rig = Rig::new(MockCluster::builder().brokers(3));
    rig.mock.create_topic_with("t", 1, &[("min.insync.replicas", "2")]).unwrap();
    rig.mock.stop_broker(2);
    assert_eq!(produce(&rig, 0, batch(&["a"])).error_code, 0);
    rig.mock.stop_broker(3);
    assert_eq!(produce(&rig, 0, batch(&["a"])).error_code, ErrorCode::NOT_ENOUGH_REPLICAS.0);
    rig.mock.start_broker(3).unwrap();
    assert_eq!(produce(&rig, 0, batch(&["a"])).base_offset, 1);
}

#[test]
fn a_session_names_only_what_changed() {
    let rig = rig(6);
    let on_one: Vec<i32> = (0..6).filter(|index| rig.mock.leader("t", *index) == Some(1)).collect();
    assert_eq!(on_one.len(), 2);
    produce(&rig, on_one[0], batch(&["a"]));
    let first = rig.ask(1, 17, &fetch_of(&rig, &[(on_one[0], 0), (on_one[1], 0)], (0, 0)));
    assert_eq!(named(&first).len(), 2);
    let id = first.session_id;
    assert_ne!(id, 0);
    produce(&rig, on_one[1], batch(&["b"]));
    let second = rig.ask(1, 17, &fetch_of(&rig, &[(on_one[0], 1)], (id, 1)));
    assert_eq!(named(&second).iter().map(|p| p.0).collect::<Vec<_>>(), [on_one[1]]);
    let stale = rig.ask(1, 17, &fetch_of(&rig, &[], (id, 1)));
    assert_eq!(stale.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH.0);
    let unknown = rig.ask(1, 17, &fetch_of(&rig, &[], (id + 9, 1)));
    assert_eq!(unknown.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND.0);
}

#[test]
fn a_long_poll_ends_with_an_append_or_its_time() {
    let mut rig = rig(1);
    let request = fetch_of(&rig, &[(0, 0)], (0, -1));
    let origin = Origin { broker: 1, connection: 9 };
    let until = rig.now + Duration::from_millis(500);
    assert_eq!(rig.send_on(origin, 17, &request), Outcome::Park(until));
    assert_eq!(rig.core(|core| core.resume(rig.now, origin)), Outcome::Park(until));
    let woken = rig.core(|core| {
        let records = batch(&["a"]);
        core.topics.partition_mut("t", 0).unwrap().log.append(&records, 0, 0, None);
        let id = core.topics.get("t").unwrap().id;
        core.wake(id, 0);
        core.take_woken()
    });
    assert_eq!(woken.into_iter().collect::<Vec<_>>(), [9]);
    let response = answer::<FetchRequest>(17, rig.core(|core| core.resume(rig.now, origin)));
    assert!(named(&response)[0].2 > 61);

    let request = fetch_of(&rig, &[(0, 1)], (0, -1));
    let Outcome::Park(until) = rig.send_on(origin, 17, &request) else { panic!("it must wait") };
    rig.after(Duration::from_millis(500));
    assert_eq!(until, rig.now);
    let response = answer::<FetchRequest>(17, rig.core(|core| core.resume(rig.now, origin)));
    assert_eq!(named(&response), [(0, 0, 0)]);
}

#[test]
fn a_long_poll_ends_when_the_leader_moves() {
    let rig = rig(1);
    let request = fetch_of(&rig, &[(0, 0)], (0, -1));
    assert!(matches!(rig.send(1, 17, &request), Outcome::Park(_)));
    rig.mock.move_leader("t", 0, 2).unwrap();
    let origin = Origin { broker: 1, connection: 1 };
    let response = answer::<FetchRequest>(17, rig.core(|core| core.resume(rig.now, origin)));
    assert_eq!(named(&response), [(0, ErrorCode::NOT_LEADER_OR_FOLLOWER.0, 0)]);
}

#[test]
fn the_first_batch_comes_whole_and_later_partitions_only_if_they_fit() {
    let rig = rig(6);
    let on_one: Vec<i32> = (0..6).filter(|index| rig.mock.leader("t", *index) == Some(1)).collect();
    for index in &on_one {
        produce(&rig, *index, batch(&["abc"]));
    }
    let whole = batch(&["abc"]).len();
    let wanted = [(on_one[0], 0), (on_one[1], 0)];
    let response = rig.ask(1, 17, &fetch_of(&rig, &wanted, (0, -1)).with_max_bytes(10));
    assert_eq!(named(&response), [(on_one[0], 0, whole), (on_one[1], 0, 0)]);
}

#[test]
fn offsets_outside_the_log_are_out_of_range() {
    let rig = rig(1);
    for value in ["a", "b", "c"] {
        produce(&rig, 0, batch(&[value]));
    }
    rig.mock.delete_records("t", 0, 2).unwrap();
    for (offset, code) in [(1, 1), (2, 0), (4, 1)] {
        let response = rig.ask(1, 17, &fetch_of(&rig, &[(0, offset)], (0, -1)));
        assert_eq!(named(&response)[0].1, code, "offset {offset}");
    }
}

#[test]
fn offsets_are_listed_by_end_and_time() {
    let rig = rig(1);
    for timestamp in [1_000, 2_000, 3_000] {
        produce(&rig, 0, encode(&[(None, None, timestamp), (None, None, timestamp + 500)]).unwrap());
    }
    for version in 1..=10 {
        for (time, offset) in [(-1, 6), (-2, 0), (1_500, 1), (2_501, 4), (9_999, -1)] {
            let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(time);
            let asked = ListOffsetsTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
            let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
            let response = rig.ask(1, version, &request);
            assert_eq!(response.topics[0].partitions[0].offset, offset, "v{version} {time}");
        }
    }
}

#[test]
fn metadata_lists_partitions_unsorted_and_creates_topics_only_where_allowed() {
    let rig = rig(24);
    let all = rig.ask(1, 13, &MetadataRequest::default().with_topics(None));
    let mut ids: Vec<i32> = all.topics[0].partitions.iter().map(|p| p.partition_index).collect();
    assert!(!ids.is_sorted());
    ids.sort_unstable();
    assert_eq!(ids, (0..24).collect::<Vec<_>>());
    let by_name = |name: &str| vec![MetadataRequestTopic::default().with_name(Some(topic(name)))];
    let ask = |version, allow| {
        let request = MetadataRequest::default()
            .with_topics(Some(by_name("fresh")))
            .with_allow_auto_topic_creation(allow);
        rig.ask(1, version, &request).topics[0].error_code
    };
    assert_eq!([ask(13, false), ask(13, false), ask(9, true), ask(9, true)], [3, 3, 3, 0]);
    for version in 0..=13 {
        let request = MetadataRequest::default().with_topics(Some(by_name("t")));
        assert_eq!(rig.ask(1, version, &request).topics[0].partitions.len(), 24, "v{version}");
    }
}

#[test]
fn topics_are_created_as_asked() {
    let rig = Rig::new(MockCluster::builder());
    let create = |version, name: &str, partitions, replication, configs: &[(&str, &str)]| {
        let configs = configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        });
        let asked = CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(partitions)
            .with_replication_factor(replication)
            .with_configs(configs.collect());
        rig.ask(1, version, &CreateTopicsRequest::default().with_topics(vec![asked])).topics.remove(0)
    };
    for version in 2..=7 {
        assert_eq!(create(version, &format!("v{version}"), 2, 1, &[]).error_code, 0);
    }
    let made = create(7, "x", 16, 1, &[("retention.ms", "3600000")]);
    assert_eq!((made.error_code, made.num_partitions, made.replication_factor), (0, 16, 1));
    assert_eq!(create(7, "x", 1, 1, &[]).error_code, ErrorCode::TOPIC_ALREADY_EXISTS.0);
    assert_eq!(create(7, "y", 1, 3, &[]).error_code, ErrorCode::INVALID_REPLICATION_FACTOR.0);
    assert_eq!(create(7, "y", 0, 1, &[]).error_code, ErrorCode::INVALID_PARTITIONS.0);
    assert_eq!(create(7, "y", 1, 1, &[("no.such", "1")]).error_code, ErrorCode::INVALID_CONFIG.0);
    assert_eq!(create(7, "y/z", 1, 1, &[]).error_code, ErrorCode::INVALID_TOPIC_EXCEPTION.0);
}

#[test]
fn producer_ids_are_given_out_once() {
    let rig = rig(1);
    let ids: Vec<i64> = (0..=5)
        .map(|version| rig.ask(1, version, &InitProducerIdRequest::default().with_transactional_id(None)))
        .map(|response| response.producer_id.0)
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
}
