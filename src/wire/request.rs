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
/// All versions that this client writes do, but for ApiVersions v0; its answer has the old header in every version,
/// so that a client that guessed wrong can still read it (KIP-511).
const fn is_flexible(key: ApiKey, version: i16) -> bool {
    !(matches!(key, ApiKey::ApiVersions) && version < 3)
}

/// The frame's length and the request's header, to be written before the body.
pub(crate) fn encode_head(body: &Body, correlation_id: i32, client_id: &str) -> Result<Bytes, EncodeError> {
    let too_long = EncodeError { api: body.key.name(), version: body.version };
    let flexible = is_flexible(body.key, body.version);
    let header_len = 2 + 2 + 4 + 2 + client_id.len() + usize::from(flexible);
    let frame_len = i32::try_from(header_len + body.len()).map_err(|_| too_long.clone())?;
    let client_id_len = i16::try_from(client_id.len()).map_err(|_| too_long)?;
    let mut head = BytesMut::with_capacity(4 + header_len);
    head.put_i32(frame_len);
    head.put_i16(body.key as i16);
    head.put_i16(body.version);
    head.put_i32(correlation_id);
    head.put_i16(client_id_len);
    head.put_slice(client_id.as_bytes());
    if flexible {
        head.put_u8(0);
    }
    Ok(head.freeze())
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

/// Reads the answer to `A` from its whole frame.
pub(crate) fn decode_response<A: Api>(version: i16, frame: Bytes) -> Result<A::Response, DecodeError> {
    let mut reader = response_body(A::KEY, version, frame)?;
    A::decode(version, &mut reader)
}
