//! Throttle times, told by a hook and by a quota.

use super::{Rig, answer, topic};
use crate::mock::core::{Origin, Outcome};
use crate::mock::records::encode;
use crate::mock::{Api, MockCluster, Quota};
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, FindCoordinatorRequest, ListOffsetsRequest, MetadataRequest,
    ProduceRequest,
};
use std::time::Duration;

const HERE: Origin = Origin { broker: 1, connection: 1 };

fn rig() -> Rig {
    Rig::new(MockCluster::builder().topic("t", 1))
}

fn produce(bytes: usize) -> ProduceRequest {
    let records = encode(&[(None, Some(Bytes::from(vec![0; bytes])), 0)]).unwrap();
    let data = PartitionProduceData::default().with_records(Some(records));
    let asked = TopicProduceData::default().with_name(topic("t")).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_topic_data(vec![asked])
}

fn fetch(offset: i64) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default().with_topic(topic("t")).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(1 << 20).with_session_epoch(-1).with_topics(vec![asked])
}

#[test]
fn a_hook_tells_any_throttle_time_in_any_answer() {
    let rig = rig();
    for told in [5_000, i32::MAX, -1, i32::MIN] {
        for api in [Api::Produce, Api::Fetch, Api::ListOffsets, Api::Metadata, Api::FindCoordinator] {
            rig.mock.on(api).throttle(told);
        }
        assert_eq!(rig.ask(1, 12, &produce(1)).throttle_time_ms, told);
        assert_eq!(rig.ask(1, 12, &fetch(0)).throttle_time_ms, told);
        assert_eq!(rig.ask(1, 7, &ListOffsetsRequest::default()).throttle_time_ms, told);
        assert_eq!(rig.ask(1, 12, &MetadataRequest::default()).throttle_time_ms, told);
        assert_eq!(rig.ask(1, 4, &FindCoordinatorRequest::default()).throttle_time_ms, told);
    }
    for version in 0..=4 {
        rig.mock.on(Api::ApiVersions).throttle(7);
        let request = ApiVersionsRequest::default()
            .with_client_software_name(super::text("test"))
            .with_client_software_version(super::text("1"));
        let response = rig.ask(1, version, &request);
        assert_eq!(response.throttle_time_ms, if version == 0 { 0 } else { 7 });
    }
}

#[test]
fn past_its_quota_a_producer_is_answered_and_then_not_read_for_a_time() {
    let mut rig = rig();
    rig.mock.set_quota(Some("test"), Quota { produce_bytes_per_s: Some(1_000), fetch_bytes_per_s: None });
    assert_eq!(rig.ask(1, 12, &produce(5_000)).throttle_time_ms, 0);
    let throttled = rig.ask(1, 12, &produce(10_000)).throttle_time_ms;
    assert!((5_000..6_000).contains(&throttled), "{throttled}");
    assert_eq!(rig.mock.offsets("t", 0), Some((0, 2)), "it is appended all the same");
    let until = rig.now + Duration::from_millis(u64::try_from(throttled).unwrap());
    assert_eq!(rig.send(1, 12, &produce(1)), Outcome::Park(until));
    assert_eq!(rig.mock.request_count(Api::Produce), 2, "not read yet");
    let other = Origin { broker: 1, connection: 2 };
    assert!(matches!(rig.send_on(other, 12, &MetadataRequest::default()), Outcome::Reply(_)));
    rig.now = until;
    let outcome = rig.core(|core| core.resume(until, HERE));
    assert_eq!(answer::<ProduceRequest>(12, outcome).responses[0].partition_responses[0].error_code, 0);
    assert_eq!(rig.mock.offsets("t", 0), Some((0, 3)));
}

#[test]
fn past_its_quota_a_fetch_brings_nothing_until_its_time_is_over() {
    let mut rig = rig();
    rig.mock.set_quota(None, Quota { produce_bytes_per_s: None, fetch_bytes_per_s: Some(100) });
    for _ in 0..2 {
        rig.ask(1, 12, &produce(600));
    }
    let first = rig.ask(1, 12, &fetch(0));
    assert_eq!(first.throttle_time_ms, 0);
    let second = rig.ask(1, 12, &fetch(1));
    assert!(second.throttle_time_ms > 0 && second.responses.is_empty());
    rig.after(Duration::from_secs(11));
    let third = rig.ask(1, 12, &fetch(1));
    assert_eq!(third.throttle_time_ms, 0);
    assert!(third.responses[0].partitions[0].records.as_ref().unwrap().len() > 600);
}
