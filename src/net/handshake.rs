//! What is said before a connection is used: ApiVersions, by one struct per state.
//!
//! ```text
//! AskVersions ──answer──▶ Ready
//!      └──answer 35──▶ AskVersionsAgain ──answer──▶ Ready
//! ```
//!
//! Nothing else is sent before `Ready`. A broker that does not know our version of ApiVersions answers
//! UNSUPPORTED_VERSION in the form of v0, with the versions that it does know (KIP-511), and is asked again in the
//! highest of those.

use super::{Versions, throttle};
use crate::{
    error::{ConnectionError, ErrorCode},
    wire::{
        Api,
        api::api_versions::{ApiVersionsRequest, ApiVersionsResponse},
        request::{Body, decode_response},
    },
};
use bytes::Bytes;
use std::time::Duration;

/// What the handshake wants next.
#[derive(Debug)]
pub(crate) enum Step<S> {
    /// Send `Body` and give the answer to `S`.
    Ask(Body, S),
    /// The connection may be used.
    Ready {
        versions: Versions,
        /// Before the first request, as the broker orders.
        pause: Duration,
    },
}

/// Waits for the answer to ApiVersions in our highest version.
#[derive(Debug)]
pub(crate) struct AskVersions;

/// Waits for the answer to ApiVersions in a version that the broker says it knows.
#[derive(Debug)]
pub(crate) struct AskVersionsAgain {
    version: i16,
}

/// The handshake between two answers.
#[derive(Debug)]
pub(crate) enum Handshake {
    AskVersions(AskVersions),
    AskVersionsAgain(AskVersionsAgain),
}

impl Handshake {
    /// The first request of a new connection.
    pub(crate) fn start() -> Result<(Body, Self), ConnectionError> {
        let body = Body::encode(&ApiVersionsRequest, ApiVersionsRequest::VERSIONS.max)
            .map_err(ConnectionError::Encode)?;
        Ok((body, Self::AskVersions(AskVersions)))
    }

    /// Takes the answer to the last request.
    pub(crate) fn handle(self, frame: Bytes) -> Result<Step<Self>, ConnectionError> {
        match self {
            Self::AskVersions(state) => state.handle(frame),
            Self::AskVersionsAgain(state) => state.handle(frame),
        }
    }
}

impl AskVersions {
    fn handle(self, frame: Bytes) -> Result<Step<Handshake>, ConnectionError> {
        let answer = read(ApiVersionsRequest::VERSIONS.max, frame)?;
        if answer.error != ErrorCode::UNSUPPORTED_VERSION {
            return accept(answer);
        }
        let known = answer.apis.iter().find(|(key, _)| *key == ApiVersionsRequest::KEY as i16);
        let version =
            known.and_then(|(_, range)| ApiVersionsRequest::VERSIONS.highest_common(*range)).unwrap_or(0);
        let body = Body::encode(&ApiVersionsRequest, version).map_err(ConnectionError::Encode)?;
        Ok(Step::Ask(body, Handshake::AskVersionsAgain(AskVersionsAgain { version })))
    }
}

impl AskVersionsAgain {
    fn handle(self, frame: Bytes) -> Result<Step<Handshake>, ConnectionError> {
        accept(read(self.version, frame)?)
    }
}

fn read(version: i16, frame: Bytes) -> Result<ApiVersionsResponse, ConnectionError> {
    decode_response::<ApiVersionsRequest>(version, frame)
        .map_err(|source| ConnectionError::Protocol { api: ApiVersionsRequest::KEY.name(), source })
}

fn accept(answer: ApiVersionsResponse) -> Result<Step<Handshake>, ConnectionError> {
    answer
        .error
        .check()
        .map_err(|code| ConnectionError::Refused { api: ApiVersionsRequest::KEY.name(), code })?;
    Ok(Step::Ready { versions: Versions::new(answer.apis), pause: throttle(answer.throttle_time_ms) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    fn answer_v0(error: i16, apis: &[(i16, i16, i16)]) -> Bytes {
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        frame.put_i16(error);
        frame.put_i32(i32::try_from(apis.len()).unwrap());
        for &(key, min, max) in apis {
            frame.put_i16(key);
            frame.put_i16(min);
            frame.put_i16(max);
        }
        frame.freeze()
    }

    fn asked_after_35(apis: &[(i16, i16, i16)]) -> (Body, Handshake) {
        let (body, state) = Handshake::start().unwrap();
        assert_eq!(body.version, ApiVersionsRequest::VERSIONS.max);
        match state.handle(answer_v0(35, apis)).unwrap() {
            Step::Ask(body, state) => (body, state),
            Step::Ready { .. } => panic!("ready after a refusal"),
        }
    }

    #[test]
    fn a_broker_that_answers_35_is_asked_again_in_its_highest_version() {
        assert_eq!(asked_after_35(&[(18, 0, 3)]).0.version, 3);
        assert_eq!(asked_after_35(&[(18, 0, 0)]).0.version, 0);
        assert_eq!(asked_after_35(&[]).0.version, 0, "one that does not say is asked in the oldest");
    }

    #[test]
    fn the_second_answer_counts() {
        let (_, state) = asked_after_35(&[(18, 0, 0)]);
        let answer = answer_v0(0, &[(18, 0, 0), (3, 0, 12)]);
        let Step::Ready { versions, .. } = state.handle(answer).unwrap() else { panic!("a third question") };
        let metadata = versions.choose(crate::wire::ApiKey::Metadata, crate::wire::VersionRange::new(12, 13));
        assert_eq!(metadata.unwrap(), 12);
    }

    #[test]
    fn a_second_refusal_ends_it() {
        let (_, state) = asked_after_35(&[(18, 0, 0)]);
        let error = state.handle(answer_v0(35, &[])).unwrap_err();
        assert!(matches!(error, ConnectionError::Refused { code: ErrorCode::UNSUPPORTED_VERSION, .. }));
    }

    #[test]
    fn bytes_that_are_no_answer_are_an_error() {
        let (_, state) = Handshake::start().unwrap();
        assert!(matches!(
            state.handle(Bytes::from_static(&[0, 0, 0, 0, 0])),
            Err(ConnectionError::Protocol { .. })
        ));
    }
}
