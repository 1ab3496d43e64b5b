//! Which versions of which API this client speaks, as a table: for tests that must not leave one out.

use super::{
    api_versions::ApiVersionsRequest, consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
    create_topics::CreateTopicsRequest, delete_groups::DeleteGroupsRequest,
    delete_topics::DeleteTopicsRequest, describe_cluster::DescribeClusterRequest,
    describe_configs::DescribeConfigsRequest, fetch::FetchRequest, find_coordinator::FindCoordinatorRequest,
    incremental_alter_configs::IncrementalAlterConfigsRequest, init_producer_id::InitProducerIdRequest,
    list_offsets::ListOffsetsRequest, metadata::MetadataRequest, offset_commit::OffsetCommitRequest,
    offset_fetch::OffsetFetchRequest, produce::PRODUCE_VERSIONS,
};
use crate::wire::{Api, ApiKey, VersionRange};

/// One line an API; a key of [`ApiKey`] without a line does not compile.
macro_rules! spoken {
    ($($key:ident: $versions:expr,)*) => {
        const ALL: &[ApiKey] = &[$(ApiKey::$key),*];

        const fn versions(key: ApiKey) -> VersionRange {
            match key {
                $(ApiKey::$key => $versions,)*
            }
        }
    };
}

spoken! {
    Produce: PRODUCE_VERSIONS,
    Fetch: FetchRequest::VERSIONS,
    ListOffsets: ListOffsetsRequest::VERSIONS,
    Metadata: MetadataRequest::VERSIONS,
    OffsetCommit: OffsetCommitRequest::VERSIONS,
    OffsetFetch: OffsetFetchRequest::VERSIONS,
    FindCoordinator: FindCoordinatorRequest::VERSIONS,
    ApiVersions: ApiVersionsRequest::VERSIONS,
    CreateTopics: CreateTopicsRequest::VERSIONS,
    DeleteTopics: DeleteTopicsRequest::VERSIONS,
    InitProducerId: InitProducerIdRequest::VERSIONS,
    DescribeConfigs: DescribeConfigsRequest::VERSIONS,
    DeleteGroups: DeleteGroupsRequest::VERSIONS,
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest::VERSIONS,
    DescribeCluster: DescribeClusterRequest::VERSIONS,
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest::VERSIONS,
}

/// Every API that this client speaks, with the versions of it.
pub(crate) fn spoken() -> impl Iterator<Item = (ApiKey, VersionRange)> {
    ALL.iter().map(|key| (*key, versions(*key)))
}
