//! SaslHandshake (17), v1: the mechanism that the client chooses, and the ones that the broker offers.
//!
//! It never became flexible: its strings have two-byte lengths, and neither header has tagged fields.

use super::{error_code, text, write};
use crate::{
    error::{DecodeError, EncodeError, ErrorCode},
    wire::{Api, ApiKey, VersionRange, reader::Reader},
};
use bytes::BytesMut;
use kafka_protocol::messages::sasl_handshake_request as message;

const MECHANISM_BYTES_MIN: usize = 2;

#[derive(Debug, Clone)]
pub(crate) struct SaslHandshakeRequest {
    pub(crate) mechanism: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SaslHandshakeResponse {
    pub(crate) error: ErrorCode,
    /// The mechanisms that the broker offers on this listener.
    pub(crate) mechanisms: Vec<String>,
}

impl Api for SaslHandshakeRequest {
    const KEY: ApiKey = ApiKey::SaslHandshake;
    const VERSIONS: VersionRange = VersionRange::new(1, 1);
    type Response = SaslHandshakeResponse;

    fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), EncodeError> {
        let request = message::SaslHandshakeRequest::default().with_mechanism(text(self.mechanism));
        write::<Self>(&request, version, out)
    }

    fn decode(_version: i16, reader: &mut Reader) -> Result<Self::Response, DecodeError> {
        let error = error_code(reader)?;
        let mechanisms = reader.array("mechanisms", MECHANISM_BYTES_MIN, |r| r.string("mechanism"))?;
        Ok(SaslHandshakeResponse { error, mechanisms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::testing::{MANY, check_answer, check_shortest, sent, text, versions};
    use kafka_protocol::messages::sasl_handshake_response as answer;

    #[test]
    fn answers_of_all_versions_are_read_and_damaged_ones_refused() {
        for version in versions(SaslHandshakeRequest::VERSIONS) {
            let answer = answer::SaslHandshakeResponse::default()
                .with_error_code(33)
                .with_mechanisms(vec![text("PLAIN"), text("SCRAM-SHA-256")]);
            let expected = SaslHandshakeResponse {
                error: ErrorCode::UNSUPPORTED_SASL_MECHANISM,
                mechanisms: vec!["PLAIN".to_owned(), "SCRAM-SHA-256".to_owned()],
            };
            check_answer::<SaslHandshakeRequest>(version, &answer, &expected);
            let shortest = answer::SaslHandshakeResponse::default().with_mechanisms(vec![text(""); MANY]);
            check_shortest::<SaslHandshakeRequest>(version, &shortest);
        }
    }

    #[test]
    fn the_broker_reads_the_request() {
        let request = SaslHandshakeRequest { mechanism: "SCRAM-SHA-512" };
        let expected = message::SaslHandshakeRequest::default().with_mechanism(text("SCRAM-SHA-512"));
        for version in versions(SaslHandshakeRequest::VERSIONS) {
            assert_eq!(sent::<_, message::SaslHandshakeRequest>(&request, version), expected);
        }
    }
}
