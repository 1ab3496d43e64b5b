//! SaslAuthenticate (36), v2: one message of a mechanism's exchange, and the broker's.
//!
//! The request holds secrets, so its body is put together here, in memory that is overwritten when it is let go of. It is
//! no [`Api`](crate::wire::Api): nothing else writes it.

use super::error_code;
use crate::{
    error::{DecodeError, ErrorCode},
    wire::{ApiKey, VersionRange, reader::Reader, request::Body},
};
use bytes::Bytes;
use zeroize::Zeroizing;

pub(crate) const SASL_AUTHENTICATE_VERSIONS: VersionRange = VersionRange::new(2, 2);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SaslAuthenticateResponse {
    pub(crate) error: ErrorCode,
    pub(crate) error_message: Option<String>,
    /// The mechanism's own message.
    pub(crate) auth_bytes: Bytes,
    /// When the broker wants this client to authenticate again, at the latest; 0 for never (KIP-368).
    pub(crate) session_lifetime_ms: i64,
}

/// The request's body in `version`. `message` is short: mechanisms have no long ones.
pub(crate) fn sasl_authenticate_body(version: i16, message: &[u8]) -> Body {
    let mut body = Zeroizing::new(Vec::with_capacity(message.len() + LENGTH_BYTES_MAX + 1));
    let mut length = message.len() + 1;
    while length > 0x7f {
        body.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
        length >>= 7;
    }
    body.push(u8::try_from(length).unwrap_or(0));
    body.extend_from_slice(message);
    body.push(0); // no tagged fields
    Body { key: ApiKey::SaslAuthenticate, version, segments: vec![Bytes::from_owner(body)] }
}

impl SaslAuthenticateResponse {
    /// Reads the answer's body.
    pub(crate) fn read(_version: i16, reader: &mut Reader) -> Result<Self, DecodeError> {
        let error = error_code(reader)?;
        let error_message = reader.compact_nullable_string("error message")?;
        let at = reader.position();
        let auth_bytes = reader.compact_nullable_bytes("auth bytes")?;
        let auth_bytes = auth_bytes.ok_or(DecodeError::Null { what: "auth bytes", at })?;
        let session_lifetime_ms = reader.i64("session lifetime")?;
        reader.skip_tagged_fields()?;
        Ok(Self { error, error_message, auth_bytes, session_lifetime_ms })
    }
}

/// A varint of 35 bits.
const LENGTH_BYTES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{check_answer_with, read_whole, tagged, text, versions};
    use kafka_protocol::messages::{
        sasl_authenticate_request as message, sasl_authenticate_response as answer,
    };

    #[test]
    fn answers_of_all_versions_are_read_and_damaged_ones_refused() {
        for version in versions(SASL_AUTHENTICATE_VERSIONS) {
            let answer = tagged!(answer::SaslAuthenticateResponse::default())
                .with_error_code(58)
                .with_error_message(Some(text("no")))
                .with_auth_bytes(Bytes::from_static(b"v=1"))
                .with_session_lifetime_ms(5_000);
            let expected = SaslAuthenticateResponse {
                error: ErrorCode::SASL_AUTHENTICATION_FAILED,
                error_message: Some("no".to_owned()),
                auth_bytes: Bytes::from_static(b"v=1"),
                session_lifetime_ms: 5_000,
            };
            let read = |version, reader: &mut Reader| SaslAuthenticateResponse::read(version, reader);
            check_answer_with(read, version, &answer, &expected);
        }
    }

    #[test]
    fn the_broker_reads_the_request_whatever_its_length() {
        for version in versions(SASL_AUTHENTICATE_VERSIONS) {
            for length in [0, 1, 126, 127, 128, 16_383, 16_384, 100_000] {
                let bytes = vec![7; length];
                let body = sasl_authenticate_body(version, &bytes);
                let expected =
                    message::SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(bytes));
                let read: message::SaslAuthenticateRequest =
                    read_whole(body.segments.concat().into(), version);
                assert_eq!(read, expected);
            }
        }
    }
}
