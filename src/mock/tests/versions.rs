//! What brokers tell of themselves in ApiVersions, and what they do with versions that are not there.

use super::{Rig, answer, text};
use crate::error::ErrorCode;
use crate::mock::core::{Origin, Outcome};
use crate::mock::{Api, KafkaVersion, MockCluster, MockClusterBuilder};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, ConsumerGroupHeartbeatRequest, MetadataRequest,
};

fn builder() -> MockClusterBuilder {
    MockCluster::builder().topic("t", 1)
}

fn request(name: &str) -> ApiVersionsRequest {
    let request = ApiVersionsRequest::default().with_client_software_name(text(name));
    request.with_client_software_version(text("4.1.1"))
}

fn told(rig: &Rig, broker: i32, version: i16) -> ApiVersionsResponse {
    rig.ask(broker, version, &request("test"))
}

fn range(response: &ApiVersionsResponse, api: Api) -> Option<(i16, i16)> {
    let found = response.api_keys.iter().find(|one| one.api_key == api.number())?;
    Some((found.min_version, found.max_version))
}

fn finalized(response: &ApiVersionsResponse) -> Vec<(String, i16)> {
    let features = response.finalized_features.iter();
    features.map(|feature| (feature.name.to_string(), feature.max_version_level)).collect()
}

/// A request of ApiVersions in a version of the far future.
fn future(rig: &Rig) -> Outcome {
    let mut frame = vec![0, 18, 0, 99, 0, 0, 0, 7, 0, 0, 0];
    frame.extend_from_slice(b"future");
    rig.core(|core| core.handle(rig.now, Origin { broker: 1, connection: 1 }, frame.into()))
}

#[test]
fn every_version_of_api_versions_is_answered() {
    let rig = Rig::new(builder());
    for version in 0..=4 {
        let response = told(&rig, 1, version);
        assert_eq!((response.error_code, response.api_keys.len()), (0, Api::ALL.len()));
        let supported: Vec<_> = response.supported_features.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(supported.len(), [0, 0, 0, 1, 6][usize::try_from(version).unwrap()], "{supported:?}");
        assert_eq!(finalized(&response).contains(&("group.version".to_owned(), 1)), version >= 3);
    }
}

#[test]
fn a_client_without_a_proper_name_is_refused() {
    let rig = Rig::new(builder());
    for name in ["", "-a", "a-", "a b"] {
        assert_eq!(rig.ask(1, 3, &request(name)).error_code, ErrorCode::INVALID_REQUEST.0, "{name:?}");
    }
    assert_eq!(rig.ask(1, 2, &ApiVersionsRequest::default()).error_code, 0);
}

#[test]
fn a_version_that_is_not_there_is_answered_in_version_0_with_those_that_are() {
    let rig = Rig::new(builder());
    let response = answer::<ApiVersionsRequest>(0, future(&rig));
    assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION.0);
    assert_eq!((response.api_keys.len(), range(&response, Api::ApiVersions)), (1, Some((0, 4))));
    let cutting = Rig::new(builder().cut_unsupported_api_versions(true));
    assert_eq!(future(&cutting), Outcome::Close);
}

#[test]
fn a_request_of_another_api_in_a_version_that_is_not_there_closes_the_connection() {
    let rig = Rig::new(builder().api_versions(Api::Metadata, 1, 9));
    for (version, is_there) in [(0, false), (1, true), (9, true), (10, false)] {
        let outcome = rig.send(1, version, &MetadataRequest::default().with_topics(Some(vec![])));
        assert_eq!(matches!(outcome, Outcome::Reply(_)), is_there, "v{version}");
    }
}

#[test]
fn a_broker_tells_its_releases_versions_and_the_cluster_the_features_of_its_oldest() {
    let rig = Rig::new(builder().brokers(2).kafka_version(KafkaVersion::V3_9));
    let old = told(&rig, 1, 4);
    assert_eq!(range(&old, Api::Produce), Some((0, 11)));
    assert_eq!(range(&old, Api::ConsumerGroupHeartbeat), Some((0, 0)));
    assert_eq!(finalized(&old), [("metadata.version".to_owned(), 21)]);
    rig.mock.set_kafka_version(1, KafkaVersion::V4_1);
    let new = told(&rig, 1, 4);
    assert_eq!(range(&new, Api::Produce), Some((0, 13)));
    assert_eq!(range(&told(&rig, 2, 4), Api::Produce), Some((0, 11)));
    assert_eq!((finalized(&new).len(), new.supported_features.len()), (1, 6));
    let beat = || ErrorCode(rig.ask(1, 0, &ConsumerGroupHeartbeatRequest::default()).error_code);
    assert_eq!(beat(), ErrorCode::UNSUPPORTED_VERSION);
    rig.mock.set_kafka_version(2, KafkaVersion::V4_1);
    assert_eq!(finalized(&told(&rig, 2, 4)).len(), 4);
    assert_eq!(beat(), ErrorCode::INVALID_REQUEST);
}

#[test]
fn all_of_a_releases_apis_are_told_if_wanted() {
    let counts = [(KafkaVersion::V3_9, 61), (KafkaVersion::V4_1, 73)];
    for (version, count) in counts {
        let rig = Rig::new(builder().kafka_version(version).unanswered_apis(true));
        assert_eq!(told(&rig, 1, 3).api_keys.len(), count, "{version:?}");
    }
}

#[test]
fn an_api_can_be_missing() {
    let rig = Rig::new(builder().without_api(Api::ConsumerGroupHeartbeat));
    let response = told(&rig, 1, 3);
    assert_eq!(range(&response, Api::ConsumerGroupHeartbeat), None);
    assert!(finalized(&response).iter().all(|(name, _)| name != "group.version"));
    assert_eq!(rig.send(1, 0, &ConsumerGroupHeartbeatRequest::default()), Outcome::Close);
}
