//! The body of the fuzz target `response`, and of the test that replays its corpus.

use super::{
    api_versions::ApiVersionsRequest, consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
    create_topics::CreateTopicsRequest, delete_groups::DeleteGroupsRequest,
    delete_topics::DeleteTopicsRequest, describe_cluster::DescribeClusterRequest,
    describe_configs::DescribeConfigsRequest, fetch::FetchRequest, find_coordinator::FindCoordinatorRequest,
    incremental_alter_configs::IncrementalAlterConfigsRequest, init_producer_id::InitProducerIdRequest,
    list_offsets::ListOffsetsRequest, metadata::MetadataRequest, offset_commit::OffsetCommitRequest,
    offset_fetch::OffsetFetchRequest, produce::decode_produce,
};
use crate::{
    error::DecodeError,
    wire::{Api, reader::Reader},
};
use bytes::Bytes;

/// Reads an answer's body as this client would: the first byte is the API's number, the second its version, the rest
/// the body. Whatever the bytes are, this returns.
pub fn check_response(data: &[u8]) {
    let &[key, version, ref body @ ..] = data else { return };
    let version = i16::from(version);
    let mut reader = Reader::new(Bytes::copy_from_slice(body));
    // The answer or the error is of no interest here: what it says is the tests' matter.
    let _ = match key {
        0 => decode_produce(version, &mut reader).map(drop),
        1 => read::<FetchRequest>(version, &mut reader),
        2 => read::<ListOffsetsRequest>(version, &mut reader),
        3 => read::<MetadataRequest>(version, &mut reader),
        8 => read::<OffsetCommitRequest>(version, &mut reader),
        9 => read::<OffsetFetchRequest>(version, &mut reader),
        10 => read::<FindCoordinatorRequest>(version, &mut reader),
        18 => read::<ApiVersionsRequest>(version, &mut reader),
        19 => read::<CreateTopicsRequest>(version, &mut reader),
        20 => read::<DeleteTopicsRequest>(version, &mut reader),
        22 => read::<InitProducerIdRequest>(version, &mut reader),
        32 => read::<DescribeConfigsRequest>(version, &mut reader),
        42 => read::<DeleteGroupsRequest>(version, &mut reader),
        44 => read::<IncrementalAlterConfigsRequest>(version, &mut reader),
        60 => read::<DescribeClusterRequest>(version, &mut reader),
        68 => read::<ConsumerGroupHeartbeatRequest>(version, &mut reader),
        _ => Ok(()),
    };
}

fn read<A: Api>(version: i16, reader: &mut Reader) -> Result<(), DecodeError> {
    A::decode(version, reader).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{apis, versions};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            for (key, range) in apis() {
                for version in versions(range) {
                    let mut data = vec![u8::try_from(key as i16).unwrap(), u8::try_from(version).unwrap()];
                    data.extend_from_slice(&body);
                    check_response(&data);
                }
            }
        }
    }
}
