//! DescribeCluster (60), v2: the registered brokers, those that are down or fenced among them (KIP-1073).

use super::{error_code, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::describe_cluster_request as message;

const BROKER_BYTES_MIN: usize = 4 + 1 + 4 + 1 + 1 + 1;

/// Asks for all registered brokers.
#[derive(Debug, Clone)]
pub(crate) struct DescribeClusterRequest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribeClusterResponse {
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
    /// (broker id, whether it is fenced).
    pub(crate) brokers: Vec<(i32, bool)>,
}

impl Api for DescribeClusterRequest {
    const KEY: ApiKey = ApiKey::DescribeCluster;
    const VERSIONS: VersionRange = VersionRange::new(2, 2);
    type Response = DescribeClusterResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let request = message::DescribeClusterRequest::default().with_include_fenced_brokers(true);
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        reader.i32("throttle time")?;
        let error = error_code(reader)?;
        let error_message = reader.compact_nullable_string("error message")?;
        reader.i8("endpoint type")?;
        reader.compact_string("cluster id")?;
        reader.i32("controller id")?;
        let brokers = reader.compact_array("brokers", BROKER_BYTES_MIN, |r| {
            let id = r.i32("broker id")?;
            r.compact_string("host")?;
            r.i32("port")?;
            r.compact_nullable_string("rack")?;
            let is_fenced = r.bool("is fenced")?;
            r.skip_tagged_fields()?;
            Ok((id, is_fenced))
        })?;
        reader.i32("authorized operations")?;
        reader.skip_tagged_fields()?;
        Ok(DescribeClusterResponse { error, error_message, brokers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, text, versions};
    use kafka_protocol::messages::describe_cluster_response as answer;

    #[test]
    fn answers_of_all_versions_are_read() {
        let broker = answer::DescribeClusterBroker::default()
            .with_broker_id(3.into())
            .with_host(text("kafka-3"))
            .with_port(9092)
            .with_rack(Some(text("r")))
            .with_is_fenced(true);
        let answer = tagged!(answer::DescribeClusterResponse::default())
            .with_error_message(Some(text("no")))
            .with_error_code(31)
            .with_cluster_id(text("c"))
            .with_brokers(vec![tagged!(broker)]);
        let expected = DescribeClusterResponse {
            error: ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
            error_message: Some("no".to_owned()),
            brokers: vec![(3, true)],
        };
        for version in versions(DescribeClusterRequest::VERSIONS) {
            check_answer::<DescribeClusterRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(DescribeClusterRequest::VERSIONS) {
            let brokers = vec![answer::DescribeClusterBroker::default(); MANY];
            let answer = answer::DescribeClusterResponse::default().with_brokers(brokers);
            check_shortest::<DescribeClusterRequest>(version, &answer);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let expected = message::DescribeClusterRequest::default().with_include_fenced_brokers(true);
        for version in versions(DescribeClusterRequest::VERSIONS) {
            let read = sent::<_, message::DescribeClusterRequest>(&DescribeClusterRequest, version);
            assert_eq!(read, expected);
        }
    }
}
