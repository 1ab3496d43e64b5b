//! ApiVersions (18): what the broker speaks. v0 is the fallback for a broker that answers 35 (KIP-511).

use crate::{error::ErrorCode, wire::VersionRange};

#[derive(Debug, Clone)]
pub(crate) struct ApiVersionsRequest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiVersionsResponse {
    pub(crate) error: ErrorCode,
    /// (API key, range). Sorted by key; keys this client does not know are kept.
    pub(crate) apis: Vec<(i16, VersionRange)>,
    /// Finalized feature name and max level, such as `group.version` 1 (v3 and later).
    pub(crate) features: Vec<(String, i16)>,
}
