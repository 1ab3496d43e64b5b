//! ApiVersions (18), v0 to v4.
//!
//! * v3: features, and a flexible body under a header that never is.
//! * A version that is not there is answered in v0 with UNSUPPORTED_VERSION and the versions that are.

use super::{Api, frame, text};
use crate::error::ErrorCode;
use crate::mock::core::{Answer, Context, Core};
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

pub(crate) fn handle(core: &mut Core, context: &Context, _: ApiVersionsRequest) -> ApiVersionsResponse {
    let code = context.fault.map_or(ErrorCode::NONE, |(code, _)| code);
    let response = told(core, code);
    if context.version < 3 {
        return response;
    }
    let finalized = |name: &'static str, level: i16| {
        FinalizedFeatureKey::default()
            .with_name(text(name))
            .with_min_version_level(level)
            .with_max_version_level(level)
    };
    let supported = |name: &'static str, min: i16, max: i16| {
        SupportedFeatureKey::default().with_name(text(name)).with_min_version(min).with_max_version(max)
    };
    // Versions below 4 cannot say that a feature's lowest level is 0, so such features are left out (KIP-1022).
    let from_zero = context.version >= 4;
    let mut supported_features = vec![supported("metadata.version", 7, METADATA_VERSION)];
    let mut finalized_features = vec![finalized("metadata.version", METADATA_VERSION)];
    if core.settings.versions_of(Api::ConsumerGroupHeartbeat).is_some() {
        finalized_features.push(finalized("group.version", 1));
        if from_zero {
            supported_features.push(supported("group.version", 0, 1));
        }
    }
    response
        .with_supported_features(supported_features)
        .with_finalized_features(finalized_features)
        .with_finalized_features_epoch(1)
}

/// The answer to a version that is not there.
pub(crate) fn unsupported(core: &Core, context: &Context) -> Answer {
    let context = Context { version: 0, ..context.clone() };
    frame(&context, &told(core, ErrorCode::UNSUPPORTED_VERSION))
}

fn told(core: &Core, code: ErrorCode) -> ApiVersionsResponse {
    let versions = |api: &Api| {
        let (min, max) = core.settings.versions_of(*api)?;
        Some(ApiVersion::default().with_api_key(api.number()).with_min_version(min).with_max_version(max))
    };
    ApiVersionsResponse::default()
        .with_error_code(code.0)
        .with_api_keys(Api::ALL.iter().filter_map(versions).collect())
}

/// The metadata version of Kafka 4.1.
const METADATA_VERSION: i16 = 27;
