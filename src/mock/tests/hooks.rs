//! What hooks do to requests, and the configs' APIs.

use super::{Rig, answer, text, topic};
use crate::error::ErrorCode;
use crate::mock::core::{Origin, Outcome};
use crate::mock::records::encode;
use crate::mock::{Api, MockCluster};
use bytes::Bytes;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest, ProduceRequest,
};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HERE: Origin = Origin { broker: 1, connection: 1 };

fn rig() -> Rig {
    Rig::new(MockCluster::builder().topic("t", 2))
}

fn produce() -> ProduceRequest {
    let records = encode(&[(None, Some(Bytes::from_static(b"v")), 0)]).unwrap();
    let data = [0, 1]
        .map(|index| PartitionProduceData::default().with_index(index).with_records(Some(records.clone())));
    let topic = TopicProduceData::default().with_name(topic("t")).with_partition_data(data.to_vec());
    ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic])
}

/// Both partitions' codes.
fn codes(rig: &Rig) -> Vec<i16> {
    let response = rig.ask(1, 12, &produce());
    response.responses[0].partition_responses.iter().map(|p| p.error_code).collect()
}

fn ends(rig: &Rig) -> Vec<i64> {
    [0, 1].map(|index| rig.mock.offsets("t", index).unwrap().1).to_vec()
}

#[test]
fn codes_are_forged_before_and_after_the_effect() {
    let rig = rig();
    rig.mock.on(Api::Produce).fail(ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!((codes(&rig), ends(&rig)), (vec![19, 19], vec![0, 0]));
    rig.mock.on(Api::Produce).fail_after(ErrorCode::REQUEST_TIMED_OUT);
    assert_eq!((codes(&rig), ends(&rig)), (vec![7, 7], vec![1, 1]));
    let hook = rig.mock.on(Api::Produce).times(2).fail_partition("t", 1, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!((codes(&rig), ends(&rig)), (vec![0, 56], vec![2, 1]));
    assert_eq!(hook.hits(), 1);
    hook.remove();
    rig.mock.on(Api::Produce).fail_partition_after("t", 0, ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    assert_eq!((codes(&rig), ends(&rig)), (vec![20, 0], vec![3, 2]));
    assert_eq!(codes(&rig), [0, 0]);
    assert_eq!(rig.mock.request_count(Api::Produce), 5);
}

#[test]
fn connections_are_cut_or_fall_silent_before_and_after_the_effect() {
    let rig = rig();
    let expected = [(Outcome::Close, 0), (Outcome::Close, 1), (Outcome::Hang, 1), (Outcome::Hang, 2)];
    rig.mock.on(Api::Produce).disconnect_before();
    rig.mock.on(Api::Produce).disconnect_after();
    rig.mock.on(Api::Produce).drop_before();
    rig.mock.on(Api::Produce).drop_after();
    for (outcome, end) in expected {
        assert_eq!((rig.send(1, 12, &produce()), ends(&rig)[0]), (outcome, end));
    }
}

#[test]
fn answers_and_requests_are_held_back() {
    let mut rig = rig();
    rig.mock.on(Api::Produce).delay(SECOND);
    rig.mock.on(Api::Produce).delay_before(SECOND);
    for (at_once, later) in [(1, 1), (1, 2)] {
        let until = rig.now + SECOND;
        assert_eq!(rig.send(1, 12, &produce()), Outcome::Park(until));
        assert_eq!(ends(&rig)[0], at_once);
        assert_eq!(rig.core(|core| core.resume(rig.now, HERE)), Outcome::Park(until));
        rig.after(SECOND);
        answer::<ProduceRequest>(12, rig.core(|core| core.resume(rig.now, HERE)));
        assert_eq!(ends(&rig)[0], later);
    }
}

#[test]
fn conditions_choose_and_bodies_are_forged() {
    let rig = rig();
    rig.mock.on(Api::InitProducerId).when(|call| call.client_id() == Some("other")).disconnect_before();
    rig.mock.on(Api::InitProducerId).when(|call| call.version() == 4).answer(
        // throttle time, error code, producer id 77, epoch 1, no tagged fields
        [&[0, 0, 0, 0, 0, 0][..], &77i64.to_be_bytes(), &[0, 1, 0]].concat(),
    );
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    assert_eq!(rig.ask(1, 5, &request).producer_id.0, 1000);
    let forged = rig.ask(1, 4, &request);
    assert_eq!((forged.producer_id.0, forged.producer_epoch), (77, 1));
}

#[test]
fn an_api_can_be_narrowed_or_taken_away() {
    let builder = MockCluster::builder().api_versions(Api::InitProducerId, 0, 4).without_api(Api::Produce);
    let rig = Rig::new(builder.topic("t", 2));
    assert_eq!(rig.send(1, 12, &produce()), Outcome::Close);
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    assert_eq!(rig.send(1, 5, &request), Outcome::Close);
    assert_eq!(rig.ask(1, 4, &request).error_code, 0);
}

fn alter(rig: &Rig, kind: i8, resource: &str, operation: i8, name: &str, value: &str) -> ErrorCode {
    let config = AlterableConfig::default()
        .with_name(text(name))
        .with_config_operation(operation)
        .with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(resource))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let first = rig.ask(1, 1, &request).responses[0].error_code;
    assert_eq!(rig.ask(1, 0, &request.with_validate_only(true)).responses[0].error_code, first);
    ErrorCode(first)
}

/// (value, source) of a config.
fn described(rig: &Rig, version: i16, kind: i8, resource: &str, name: &str) -> (String, i8) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(resource))
        .with_configuration_keys(Some(vec![text(name)]));
    let response = rig.ask(1, version, &DescribeConfigsRequest::default().with_resources(vec![resource]));
    let config = &response.results[0].configs[0];
    (config.value.as_ref().unwrap().to_string(), config.config_source)
}

#[test]
fn configs_are_told_and_changed() {
    let rig = rig();
    for version in 1..=4 {
        let told = described(&rig, version, 2, "t", "retention.ms");
        assert_eq!(told, ("604800000".to_owned(), 5));
    }
    assert_eq!(alter(&rig, 2, "t", 0, "retention.ms", "3600000"), ErrorCode::NONE);
    assert_eq!(described(&rig, 4, 2, "t", "retention.ms"), ("3600000".to_owned(), 1));
    assert_eq!(alter(&rig, 2, "t", 2, "cleanup.policy", "compact"), ErrorCode::NONE);
    assert_eq!(described(&rig, 4, 2, "t", "cleanup.policy").0, "delete,compact");
    assert_eq!(alter(&rig, 2, "t", 1, "retention.ms", ""), ErrorCode::NONE);
    assert_eq!(described(&rig, 4, 2, "t", "retention.ms").1, 5);
    assert_eq!(alter(&rig, 2, "t", 0, "no.such", "1"), ErrorCode::INVALID_CONFIG);
    assert_eq!(alter(&rig, 2, "none", 0, "retention.ms", "1"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(described(&rig, 4, 4, "1", "group.consumer.min.session.timeout.ms").0, "45000");
    assert_eq!(described(&rig, 4, 32, "g", "consumer.session.timeout.ms"), ("45000".to_owned(), 5));
    assert_eq!(alter(&rig, 32, "g", 0, "consumer.session.timeout.ms", "30000"), ErrorCode::INVALID_CONFIG);
    assert_eq!(alter(&rig, 32, "g", 0, "consumer.heartbeat.interval.ms", "6000"), ErrorCode::NONE);
    assert_eq!(described(&rig, 4, 32, "g", "consumer.heartbeat.interval.ms"), ("6000".to_owned(), 8));
}
