//! Which versions of which API this client speaks, and how it reads the answers, as a table: for tests and fuzzing,
//! which must not leave one out.

use super::{
    api_versions::ApiVersionsRequest,
    consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
    create_topics::CreateTopicsRequest,
    delete_groups::DeleteGroupsRequest,
    delete_topics::DeleteTopicsRequest,
    describe_cluster::DescribeClusterRequest,
    describe_configs::DescribeConfigsRequest,
    fetch::FetchRequest,
    find_coordinator::FindCoordinatorRequest,
    heartbeat::HeartbeatRequest,
    incremental_alter_configs::IncrementalAlterConfigsRequest,
    init_producer_id::InitProducerIdRequest,
    join_group::JoinGroupRequest,
    leave_group::LeaveGroupRequest,
    list_offsets::ListOffsetsRequest,
    metadata::MetadataRequest,
    offset_commit::OffsetCommitRequest,
    offset_fetch::OffsetFetchRequest,
    offset_for_leader_epoch::OffsetForLeaderEpochRequest,
    produce::{PRODUCE_VERSIONS, ProduceResponse},
    sync_group::SyncGroupRequest,
};
#[cfg(feature = "sasl")]
use super::{
    sasl_authenticate::{SASL_AUTHENTICATE_VERSIONS, SaslAuthenticateResponse},
    sasl_handshake::SaslHandshakeRequest,
};
use crate::{
    error::DecodeError,
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};

/// One line an API; a key of [`ApiKey`] without a line does not compile.
macro_rules! spoken {
    ($($(#[$when:meta])? $key:ident: $api:ty,)*) => {
        const ALL: &[ApiKey] = &[$($(#[$when])? ApiKey::$key),*];

        const fn versions(key: ApiKey) -> VersionRange {
            match key {
                $($(#[$when])? ApiKey::$key => <$api as Spoken>::VERSIONS,)*
            }
        }

        /// Reads an answer's body as the client would, and drops what it says.
        pub(crate) fn read(key: ApiKey, version: i16, reader: &mut Reader) -> Result<(), DecodeError> {
            match key {
                $($(#[$when])? ApiKey::$key => <$api as Spoken>::read(version, reader),)*
            }
        }
    };
}

spoken! {
    Produce: Produce,
    Fetch: FetchRequest,
    ListOffsets: ListOffsetsRequest,
    Metadata: MetadataRequest,
    OffsetCommit: OffsetCommitRequest,
    OffsetFetch: OffsetFetchRequest,
    FindCoordinator: FindCoordinatorRequest,
    JoinGroup: JoinGroupRequest,
    Heartbeat: HeartbeatRequest,
    LeaveGroup: LeaveGroupRequest,
    SyncGroup: SyncGroupRequest,
    #[cfg(feature = "sasl")]
    SaslHandshake: SaslHandshakeRequest,
    ApiVersions: ApiVersionsRequest,
    CreateTopics: CreateTopicsRequest,
    DeleteTopics: DeleteTopicsRequest,
    InitProducerId: InitProducerIdRequest,
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequest,
    DescribeConfigs: DescribeConfigsRequest,
    #[cfg(feature = "sasl")]
    SaslAuthenticate: SaslAuthenticate,
    DeleteGroups: DeleteGroupsRequest,
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest,
    DescribeCluster: DescribeClusterRequest,
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest,
}

/// Every API that this client speaks, with the versions of it.
pub(crate) fn spoken() -> impl Iterator<Item = (ApiKey, VersionRange)> {
    ALL.iter().map(|key| (*key, versions(*key)))
}

/// What a line names.
trait Spoken {
    const VERSIONS: VersionRange;

    fn read(version: i16, reader: &mut Reader) -> Result<(), DecodeError>;
}

impl<A: Api> Spoken for A {
    const VERSIONS: VersionRange = <A as Api>::VERSIONS;

    fn read(version: i16, reader: &mut Reader) -> Result<(), DecodeError> {
        A::decode(version, reader).map(drop)
    }
}

/// Its requests are put together from record batches, by hand: it is no [`Api`].
struct Produce;

impl Spoken for Produce {
    const VERSIONS: VersionRange = PRODUCE_VERSIONS;

    fn read(version: i16, reader: &mut Reader) -> Result<(), DecodeError> {
        ProduceResponse::default().read(version, reader)
    }
}

/// Its requests hold secrets and are put together by hand: it is no [`Api`].
#[cfg(feature = "sasl")]
struct SaslAuthenticate;

#[cfg(feature = "sasl")]
impl Spoken for SaslAuthenticate {
    const VERSIONS: VersionRange = SASL_AUTHENTICATE_VERSIONS;

    fn read(version: i16, reader: &mut Reader) -> Result<(), DecodeError> {
        SaslAuthenticateResponse::read(version, reader).map(drop)
    }
}
