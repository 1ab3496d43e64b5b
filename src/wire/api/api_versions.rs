//! ApiVersions (18), v0 to v4: what the broker speaks.
//!
//! A broker that does not know the version asked in answers `UNSUPPORTED_VERSION` in the layout of v0 (KIP-511), from
//! Kafka 2.4 on with its own range of this API in the list, so that the client can ask again in a version both know.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::api_versions_request as message;

const API_BYTES_MIN: usize = 2 + 2 + 2;
const FEATURE_BYTES_MIN: usize = 1 + 2 + 2 + 1;

#[derive(Debug, Clone)]
pub(crate) struct ApiVersionsRequest;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiVersionsResponse {
    pub(crate) error: ErrorCode,
    /// (API key, range). Sorted by key; keys this client does not know are kept.
    pub(crate) apis: Vec<(i16, VersionRange)>,
    /// Finalized feature name and max level, such as `group.version` 1 (v3 and later).
    pub(crate) features: Vec<(String, i16)>,
    /// v1 and later; 0 before.
    pub(crate) throttle_time_ms: i32,
}

impl Api for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    const VERSIONS: VersionRange = VersionRange::new(0, 4);
    type Response = ApiVersionsResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut request = message::ApiVersionsRequest::default();
        if version >= 3 {
            request = request
                .with_client_software_name(text(env!("CARGO_PKG_NAME")))
                .with_client_software_version(text(env!("CARGO_PKG_VERSION")));
        }
        write::<Self>(&request, version, out)
    }

    fn decode(version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let error = error_code(reader)?;
        let layout = if error == ErrorCode::UNSUPPORTED_VERSION { 0 } else { version };
        let mut apis = if layout >= 3 {
            reader.compact_array("API keys", API_BYTES_MIN + 1, |r| {
                let api = api(r)?;
                r.skip_tagged_fields()?;
                Ok(api)
            })?
        } else {
            reader.array("API keys", API_BYTES_MIN, api)?
        };
        apis.sort_unstable_by_key(|&(key, _)| key);
        let throttle_time_ms = if layout >= 1 { reader.i32("throttle time")? } else { 0 };
        let features = if layout >= 3 { finalized_features(reader)? } else { Vec::new() };
        Ok(ApiVersionsResponse { error, apis, features, throttle_time_ms })
    }
}

fn api(reader: &mut Reader) -> Result<(i16, VersionRange), DecodeError> {
    let key = reader.i16("API key")?;
    Ok((key, VersionRange::new(reader.i16("lowest version")?, reader.i16("highest version")?)))
}

/// The features, if the broker knows them by now: they hold only with an epoch that is not negative.
fn finalized_features(reader: &mut Reader) -> Result<Vec<(String, i16)>, DecodeError> {
    let mut epoch = -1;
    let mut features = Vec::new();
    reader.tagged_fields(|tag, field| {
        match tag {
            1 => epoch = field.i64("finalized features epoch")?,
            2 => features = field.compact_array("finalized features", FEATURE_BYTES_MIN, feature)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(if epoch >= 0 { features } else { Vec::new() })
}

fn feature(reader: &mut Reader) -> Result<(String, i16), DecodeError> {
    let name = reader.compact_string("feature name")?;
    let max_level = reader.i16("feature's highest level")?;
    reader.i16("feature's lowest level")?;
    reader.skip_tagged_fields()?;
    Ok((name, max_level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, tagged, versions, written};
    use kafka_protocol::messages::api_versions_response as answer;

    fn answer() -> answer::ApiVersionsResponse {
        let api = |key, min, max| {
            tagged!(
                answer::ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
            )
        };
        let supported = answer::SupportedFeatureKey::default().with_name("group.version".into());
        let finalized = answer::FinalizedFeatureKey::default()
            .with_name("group.version".into())
            .with_max_version_level(1)
            .with_min_version_level(1);
        tagged!(answer::ApiVersionsResponse::default())
            .with_api_keys(vec![api(18, 0, 4), api(999, 3, 5), api(0, 3, 12)])
            .with_throttle_time_ms(7)
            .with_supported_features(vec![tagged!(supported)])
            .with_finalized_features_epoch(20)
            .with_finalized_features(vec![tagged!(finalized)])
            .with_zk_migration_ready(true)
    }

    fn apis() -> Vec<(i16, VersionRange)> {
        vec![(0, VersionRange::new(3, 12)), (18, VersionRange::new(0, 4)), (999, VersionRange::new(3, 5))]
    }

    #[test]
    fn answers_of_all_versions_are_read() {
        for version in versions(ApiVersionsRequest::VERSIONS) {
            let features = if version >= 3 { vec![("group.version".to_owned(), 1)] } else { Vec::new() };
            let answer = if version >= 3 { answer() } else { answer::ApiVersionsResponse::default() };
            let answer = answer.with_api_keys(self::answer().api_keys);
            let throttle_time_ms = if version >= 3 { 7 } else { 0 };
            let expected =
                ApiVersionsResponse { error: ErrorCode::NONE, apis: apis(), features, throttle_time_ms };
            check_answer::<ApiVersionsRequest>(version, &answer, &expected);
        }
    }

    #[test]
    fn a_refusal_is_read_as_v0_whatever_was_asked() {
        let answer = answer().with_error_code(35);
        let v0 = answer::ApiVersionsResponse::default().with_error_code(35).with_api_keys(answer.api_keys);
        let read = ApiVersionsRequest::decode(4, &mut Reader::new(written(&v0, 0))).unwrap();
        let error = ErrorCode::UNSUPPORTED_VERSION;
        assert_eq!(
            read,
            ApiVersionsResponse { error, apis: apis(), features: Vec::new(), throttle_time_ms: 0 }
        );
    }

    #[test]
    fn features_without_an_epoch_do_not_count() {
        let answer = answer().with_finalized_features_epoch(-1);
        let expected = ApiVersionsResponse {
            error: ErrorCode::NONE,
            apis: apis(),
            features: Vec::new(),
            throttle_time_ms: 7,
        };
        check_answer::<ApiVersionsRequest>(4, &answer, &expected);
    }

    #[test]
    fn the_shortest_elements_are_read() {
        for version in versions(ApiVersionsRequest::VERSIONS) {
            let mut answer = answer::ApiVersionsResponse::default()
                .with_api_keys(vec![answer::ApiVersion::default(); MANY]);
            if version >= 3 {
                answer = answer.with_finalized_features(vec![answer::FinalizedFeatureKey::default(); MANY]);
            }
            check_shortest::<ApiVersionsRequest>(version, &answer);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        for version in versions(ApiVersionsRequest::VERSIONS) {
            let read: message::ApiVersionsRequest = sent(&ApiVersionsRequest, version);
            let (name, number) =
                if version >= 3 { ("craftwire", env!("CARGO_PKG_VERSION")) } else { ("", "") };
            assert_eq!((&*read.client_software_name, &*read.client_software_version), (name, number));
        }
    }
}
