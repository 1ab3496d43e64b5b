//! ApiVersions (18), v0 to v4.
//!
//! * v3: features, and a flexible body under a header that never is; the client's name and version are checked.
//! * A version that is not there is answered in v0 with UNSUPPORTED_VERSION and the versions of ApiVersions alone.
//! * Features are finalized for the cluster, at the levels of its oldest broker.

use super::{Api, frame, text};
use crate::error::ErrorCode;
use crate::mock::core::{Answer, Context, Core};
use crate::mock::kafka_version::{Feature, GROUP_VERSION};
use crate::mock::settings::Settings;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

pub(crate) fn handle(core: &mut Core, context: &Context, request: ApiVersionsRequest) -> ApiVersionsResponse {
    let refusal = context.fault.map(|(code, _)| code).or_else(|| {
        let is_legal =
            is_software(&request.client_software_name) && is_software(&request.client_software_version);
        (context.version >= 3 && !is_legal).then_some(ErrorCode::INVALID_REQUEST)
    });
    if let Some(code) = refusal {
        return ApiVersionsResponse::default().with_error_code(code.0);
    }
    let settings = &core.settings;
    let response = ApiVersionsResponse::default().with_api_keys(told(settings, context.origin.broker));
    if context.version < 3 {
        return response;
    }
    // Versions below 4 cannot say that a feature's lowest level is 0, so such features are left out (KIP-1022).
    let release = settings.kafka_version_of(context.origin.broker);
    let supported = release
        .supported_features()
        .iter()
        .filter(|(name, min, _)| has_feature(settings, name) && (*min > 0 || context.version >= 4));
    let supported = supported.map(|(name, min, max): &Feature| {
        SupportedFeatureKey::default().with_name(text(*name)).with_min_version(*min).with_max_version(*max)
    });
    let finalized = settings.finalized_version().finalized_features().iter();
    let finalized = finalized.filter(|(name, _)| has_feature(settings, name)).map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(text(*name))
            .with_min_version_level(*level)
            .with_max_version_level(*level)
    });
    response
        .with_supported_features(supported.collect())
        .with_finalized_features(finalized.collect())
        .with_finalized_features_epoch(1)
}

/// The answer to a version that is not there.
pub(crate) fn unsupported(core: &Core, context: &Context) -> Answer {
    if core.settings.cuts_unsupported_api_versions {
        return Answer::Close;
    }
    let own = core.settings.versions_of(context.origin.broker, Api::ApiVersions);
    let own = own.map(|(min, max)| version(Api::ApiVersions.number(), min, max));
    let response = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UNSUPPORTED_VERSION.0)
        .with_api_keys(own.into_iter().collect());
    frame(&Context { version: 0, ..context.clone() }, &response)
}

fn told(settings: &Settings, broker: i32) -> Vec<ApiVersion> {
    let answered = Api::ALL.iter().filter_map(|api| {
        let (min, max) = settings.versions_of(broker, *api)?;
        Some(version(api.number(), min, max))
    });
    let others = settings.kafka_version_of(broker).apis().iter();
    let others = others
        .filter(|(key, _, _)| settings.unanswered_apis && Api::from_number(*key).is_none())
        .map(|(key, min, max)| version(*key, *min, *max));
    answered.chain(others).collect()
}

fn version(key: i16, min: i16, max: i16) -> ApiVersion {
    ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
}

fn has_feature(settings: &Settings, name: &str) -> bool {
    name != GROUP_VERSION || !settings.lacks(Api::ConsumerGroupHeartbeat)
}

/// Kafka's rule for the name and the version of a client: letters, digits, dots and dashes, none of the latter at an end.
fn is_software(value: &str) -> bool {
    let ends = value.chars().next().zip(value.chars().last());
    ends.is_some_and(|(first, last)| first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
}
