//! Request headers and bodies: what goes in front of a body, and a body ready to be sent.

use super::{Api, ApiKey};
use crate::error::{DecodeError, EncodeError};
use crate::wire::reader::Reader;
use bytes::{BufMut, Bytes, BytesMut};

/// A request's body in the version it was written in, as segments that follow one another on the socket.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) segments: Vec<Bytes>,
}

impl Body {
    /// Writes `request` in `version`.
    pub(crate) fn encode<A: Api>(request: &A, version: i16) -> Result<Self, EncodeError> {
        let mut out = BytesMut::with_capacity(256);
        request.encode(version, &mut out)?;
        Ok(Self { key: A::KEY, version, segments: vec![out.freeze()] })
    }

    /// The length of all segments.
    pub(crate) fn len(&self) -> usize {
        self.segments.iter().map(Bytes::len).sum()
    }
}

/// Whether requests and answers of this API in this version carry tagged fields in their headers.
///
/// All versions that this client writes do, but for ApiVersions v0 and SaslHandshake; the answer of the former has the old
/// header in every version, so that a client that guessed wrong can still read it (KIP-511).
const fn is_flexible(key: ApiKey, version: i16) -> bool {
    #[cfg(feature = "sasl")]
    if matches!(key, ApiKey::SaslHandshake) {
        return false;
    }
    !(matches!(key, ApiKey::ApiVersions) && version < 3)
}

/// The frame's length and the request's header, to be written before the body. They are written to `heads`, which is given
/// again for the next request, so that its memory is used again.
pub(crate) fn encode_head(
    body: &Body,
    correlation_id: i32,
    client_id: &str,
    heads: &mut BytesMut,
) -> Result<Bytes, EncodeError> {
    let too_long = EncodeError { api: body.key.name(), version: body.version };
    let flexible = is_flexible(body.key, body.version);
    let header_len = 2 + 2 + 4 + 2 + client_id.len() + usize::from(flexible);
    let frame_len = i32::try_from(header_len + body.len()).map_err(|_| too_long.clone())?;
    let client_id_len = i16::try_from(client_id.len()).map_err(|_| too_long)?;
    heads.reserve(4 + header_len);
    heads.put_i32(frame_len);
    heads.put_i16(body.key as i16);
    heads.put_i16(body.version);
    heads.put_i32(correlation_id);
    heads.put_i16(client_id_len);
    heads.put_slice(client_id.as_bytes());
    if flexible {
        heads.put_u8(0);
    }
    Ok(heads.split().freeze())
}

/// The correlation id at the front of an answer's frame.
pub(crate) fn correlation_id(frame: &Bytes) -> Result<i32, DecodeError> {
    Reader::new(frame.clone()).i32("correlation id")
}

/// A reader that stands at the body of an answer's frame.
pub(crate) fn response_body(key: ApiKey, version: i16, frame: Bytes) -> Result<Reader, DecodeError> {
    let mut reader = Reader::new(frame);
    reader.i32("correlation id")?;
    if is_flexible(key, version) && key != ApiKey::ApiVersions {
        reader.skip_tagged_fields()?;
    }
    Ok(reader)
}

/// For how long the broker takes up no further request, in milliseconds as it stated them; 0 where the answer does not
/// begin with it: Produce's and ApiVersions' have it further on, and those of SASL not at all.
pub(crate) fn throttle_time_ms(key: ApiKey, version: i16, frame: Bytes) -> Result<i32, DecodeError> {
    if matches!(key, ApiKey::Produce | ApiKey::ApiVersions) {
        return Ok(0);
    }
    #[cfg(feature = "sasl")]
    if matches!(key, ApiKey::SaslHandshake | ApiKey::SaslAuthenticate) {
        return Ok(0);
    }
    response_body(key, version, frame)?.i32("throttle time")
}

/// Reads the answer to `A` from its whole frame.
pub(crate) fn decode_response<A: Api>(version: i16, frame: Bytes) -> Result<A::Response, DecodeError> {
    let mut reader = response_body(A::KEY, version, frame)?;
    A::decode(version, &mut reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorCode,
        wire::api::{
            api_versions::ApiVersionsRequest,
            init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
            produce::{ProduceBatch, produce_body},
            spoken::spoken,
            testing::versions,
        },
    };
    use bytes::Buf;
    use kafka_protocol::{
        messages::{self, RequestHeader, ResponseHeader},
        protocol::{Decodable, Encodable},
    };

    fn headers() -> impl Iterator<Item = (ApiKey, i16, messages::ApiKey)> {
        spoken().flat_map(|(key, range)| {
            let theirs = messages::ApiKey::try_from(key as i16).unwrap();
            versions(range).map(move |version| (key, version, theirs))
        })
    }

    #[test]
    fn the_broker_reads_the_head_of_every_request() {
        for (key, version, theirs) in headers() {
            let segments = vec![Bytes::from_static(b"12345"), Bytes::new(), Bytes::from_static(b"67")];
            let mut head =
                encode_head(&Body { key, version, segments }, -7, "craftwire", &mut BytesMut::new()).unwrap();
            assert_eq!(head.get_i32(), i32::try_from(head.len()).unwrap() + 7);
            let read = RequestHeader::decode(&mut head, theirs.request_header_version(version)).unwrap();
            let expected = RequestHeader::default()
                .with_request_api_key(key as i16)
                .with_request_api_version(version)
                .with_correlation_id(-7)
                .with_client_id(Some("craftwire".into()));
            assert_eq!(read, expected, "{} v{version}", key.name());
            assert!(head.is_empty(), "{} v{version}", key.name());
        }
    }

    #[test]
    fn the_body_is_found_behind_the_head_of_every_answer() {
        for (key, version, theirs) in headers() {
            let mut frame = BytesMut::new();
            ResponseHeader::default()
                .with_correlation_id(5)
                .with_unknown_tagged_field(9, Bytes::from_static(b"of the future"))
                .encode(&mut frame, theirs.response_header_version(version))
                .unwrap();
            frame.put_slice(b"body");
            let frame = frame.freeze();
            assert_eq!(correlation_id(&frame).unwrap(), 5);
            let mut reader = response_body(key, version, frame).unwrap();
            assert_eq!(reader.remaining(), 4, "{} v{version}", key.name());
            assert_eq!(reader.take("body", 4).unwrap(), "body");
        }
    }

    #[test]
    fn a_whole_frame_is_read() {
        let frame = b"\0\0\0\x05\0\0\0\0\x01\0\0\0\0\0\0\0\0\x03\xe8\0\x02\0";
        let read = decode_response::<InitProducerIdRequest>(5, Bytes::from_static(frame)).unwrap();
        let expected = InitProducerIdResponse {
            throttle_time_ms: 1,
            error: ErrorCode::NONE,
            producer_id: 1_000,
            producer_epoch: 2,
        };
        assert_eq!(read, expected);
        for cut in 0..frame.len() {
            let cut = Bytes::from_static(&frame[..cut]);
            assert!(decode_response::<InitProducerIdRequest>(5, cut).is_err());
        }
    }

    #[test]
    fn the_throttle_time_is_found_in_every_answer_that_begins_with_it() {
        for (key, version, _) in headers() {
            let further_on =
                matches!(key, ApiKey::Produce | ApiKey::ApiVersions) || key.name().starts_with("Sasl");
            let frame = Bytes::from_static(b"\0\0\0\x05\0\0\0\0\x09");
            let expected = if further_on { 0 } else { 9 };
            assert_eq!(throttle_time_ms(key, version, frame).unwrap(), expected, "{} v{version}", key.name());
        }
    }

    #[test]
    fn a_refusal_of_the_handshake_is_read_in_spite_of_the_version_asked() {
        let frame = b"\0\0\0\x05\0\x23\0\0\0\x01\0\x12\0\0\0\x03";
        let read = decode_response::<ApiVersionsRequest>(4, Bytes::from_static(frame)).unwrap();
        assert_eq!(read.error, ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!((read.apis.len(), read.apis[0].0, read.apis[0].1.max), (1, 18, 3));
    }

    #[test]
    fn what_does_not_fit_its_field_is_refused() {
        let body = Body::encode(&InitProducerIdRequest, 5).unwrap();
        let refused = EncodeError { api: "InitProducerId", version: 5 };
        assert_eq!(encode_head(&body, 1, &"x".repeat(32_768), &mut BytesMut::new()).unwrap_err(), refused);
        assert!(encode_head(&body, 1, &"x".repeat(32_767), &mut BytesMut::new()).is_ok());
        assert_eq!(
            Body::encode(&InitProducerIdRequest, 99).unwrap_err(),
            EncodeError { api: "InitProducerId", version: 99 }
        );

        // 2 GiB in a frame, without 2 GiB of memory: one segment many times over.
        let bytes = Bytes::from(vec![0; 1 << 20]);
        let batch = ProduceBatch { topic: "events".into(), partition: 0, bytes };
        let body = produce_body(12, 1, &vec![batch; 2_048], &mut BytesMut::new()).unwrap();
        assert!(encode_head(&body, 1, "craftwire", &mut BytesMut::new()).is_err());
    }
}
