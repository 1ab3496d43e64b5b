//! Bytes to messages and back. Nothing here connects, waits or reads a clock.
//!
//! A *frame* is a four-byte length and that many bytes. A request frame holds a header (API key, version,
//! correlation id, client id) and a body; a response frame a correlation id and a body. Request bodies are written
//! by the crate `kafka-protocol`, which is named here and in the mock only; every response is read by this
//! project's own code through [`reader::Reader`], because nothing may be allocated from a number that was not
//! checked against the bytes in hand.

pub(crate) mod api;
pub(crate) mod compression;
pub(crate) mod consumer_protocol;
pub(crate) mod frame;
#[cfg(feature = "internals")]
pub(crate) mod fuzz;
pub(crate) mod reader;
pub(crate) mod record_batch;
pub(crate) mod request;

use crate::error::{DecodeError, EncodeError};
use bytes::BytesMut;
use reader::Reader;

/// A kind of request, by Kafka's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub(crate) enum ApiKey {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    #[cfg(feature = "sasl")]
    SaslHandshake = 17,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    DescribeConfigs = 32,
    #[cfg(feature = "sasl")]
    SaslAuthenticate = 36,
    DeleteGroups = 42,
    IncrementalAlterConfigs = 44,
    DescribeCluster = 60,
    ConsumerGroupHeartbeat = 68,
}

impl ApiKey {
    /// Kafka's name of the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Produce => "Produce",
            Self::Fetch => "Fetch",
            Self::ListOffsets => "ListOffsets",
            Self::Metadata => "Metadata",
            Self::OffsetCommit => "OffsetCommit",
            Self::OffsetFetch => "OffsetFetch",
            Self::FindCoordinator => "FindCoordinator",
            Self::JoinGroup => "JoinGroup",
            Self::Heartbeat => "Heartbeat",
            Self::LeaveGroup => "LeaveGroup",
            Self::SyncGroup => "SyncGroup",
            #[cfg(feature = "sasl")]
            Self::SaslHandshake => "SaslHandshake",
            Self::ApiVersions => "ApiVersions",
            Self::CreateTopics => "CreateTopics",
            Self::DeleteTopics => "DeleteTopics",
            Self::InitProducerId => "InitProducerId",
            Self::OffsetForLeaderEpoch => "OffsetForLeaderEpoch",
            Self::DescribeConfigs => "DescribeConfigs",
            #[cfg(feature = "sasl")]
            Self::SaslAuthenticate => "SaslAuthenticate",
            Self::DeleteGroups => "DeleteGroups",
            Self::IncrementalAlterConfigs => "IncrementalAlterConfigs",
            Self::DescribeCluster => "DescribeCluster",
            Self::ConsumerGroupHeartbeat => "ConsumerGroupHeartbeat",
        }
    }
}

/// The lowest and the highest version of an API, both spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VersionRange {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl VersionRange {
    pub(crate) const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// The highest version that both ranges hold.
    pub(crate) fn highest_common(self, other: Self) -> Option<i16> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

/// One kind of request: how its body is written and how the answer's body is read, in each version spoken.
///
/// The request type implements it. All versions spoken are "flexible" (tagged fields, compact strings), but for those of
/// ApiVersions before v3 and of SaslHandshake.
pub(crate) trait Api {
    /// Which request it is.
    const KEY: ApiKey;
    /// The versions this client writes and reads.
    const VERSIONS: VersionRange;
    /// What the broker's answer is read into.
    type Response: Send + 'static;

    /// Appends the body in `version`, which lies within `VERSIONS`.
    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError>;

    /// Reads the answer's body, header taken off. Bytes left over are tolerated, as Kafka's own clients do.
    fn decode(version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen() {
        let ours = VersionRange::new(9, 12);
        assert_eq!(ours.highest_common(VersionRange::new(0, 13)), Some(12));
        assert_eq!(ours.highest_common(VersionRange::new(0, 10)), Some(10));
        assert_eq!(ours.highest_common(VersionRange::new(0, 8)), None);
        assert_eq!(ours.highest_common(VersionRange::new(13, 14)), None);
    }
}
