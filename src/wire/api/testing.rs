//! The checks that every API's tests share: answers as a broker writes them, requests as a broker reads them.

use crate::{
    error::DecodeError,
    wire::{Api, VersionRange, reader::Reader, request::Body},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use std::fmt::Debug;

/// Gives a message or a part of one a tagged field that this client has never heard of.
macro_rules! tagged {
    ($message:expr) => {
        $message.with_unknown_tagged_field(100, ::bytes::Bytes::from_static(b"of the future"))
    };
}
pub(in crate::wire) use tagged;

pub(in crate::wire) fn versions(range: VersionRange) -> impl Iterator<Item = i16> {
    range.min..=range.max
}

pub(in crate::wire) fn text<T: From<StrBytes>>(value: &'static str) -> T {
    StrBytes::from_static_str(value).into()
}

/// Checks that `answer`, written by the broker's side, reads as `expected`, and what comes of it cut or forged.
pub(in crate::wire) fn check_answer<A: Api>(version: i16, answer: &impl Encodable, expected: &A::Response)
where
    A::Response: PartialEq + Debug,
{
    check_answer_with(A::decode, version, answer, expected);
}

/// [`check_answer`] for a decoder that is no `Api`.
pub(in crate::wire) fn check_answer_with<R: PartialEq + Debug>(
    decode: impl Fn(i16, &mut Reader) -> Result<R, DecodeError>,
    version: i16,
    answer: &impl Encodable,
    expected: &R,
) {
    let bytes = written(answer, version);
    let mut reader = Reader::new(bytes.clone());
    assert_eq!(&decode(version, &mut reader).unwrap(), expected, "v{version}");
    assert_eq!(reader.remaining(), 0, "v{version} is read to its end");

    let longer = Bytes::from([&bytes[..], b"more"].concat());
    assert_eq!(
        &decode(version, &mut Reader::new(longer)).unwrap(),
        expected,
        "v{version} with bytes left over"
    );

    for cut in 0..bytes.len() {
        let result = decode(version, &mut Reader::new(bytes.slice(..cut)));
        assert!(result.is_err(), "v{version} cut at {cut}: {result:?}");
    }

    // Whatever is put where, an error or another answer comes out: a count that was believed would end the process.
    let mut counts_refused = 0;
    for at in 0..bytes.len() {
        for forged in
            [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff; 6], &[0x7f, 0xff, 0xff, 0xff], &[0x80, 0, 0, 0]]
        {
            let replaced = if forged.len() == 4 { 4 } else { 1 };
            let rest = bytes.get(at + replaced..).unwrap_or_default();
            let forged = Bytes::from([&bytes[..at], forged, rest].concat());
            let result = decode(version, &mut Reader::new(forged));
            counts_refused += usize::from(matches!(result, Err(DecodeError::OverLimit { .. })));
        }
    }
    assert!(counts_refused > 0, "v{version}: no forged count was refused");
}

/// Checks that `answer`, whose arrays hold many of the shortest elements there are, is not refused for its counts.
pub(in crate::wire) fn check_shortest<A: Api>(version: i16, answer: &impl Encodable) {
    check_shortest_with(A::decode, version, answer);
}

/// [`check_shortest`] for a decoder that is no `Api`; gives what was read.
pub(in crate::wire) fn check_shortest_with<R>(
    decode: impl Fn(i16, &mut Reader) -> Result<R, DecodeError>,
    version: i16,
    answer: &impl Encodable,
) -> R {
    let mut reader = Reader::new(written(answer, version));
    let read = decode(version, &mut reader).unwrap();
    assert_eq!(reader.remaining(), 0, "v{version}");
    read
}

/// How many of the shortest elements an array gets: more than the bytes that may follow it, so that a least length
/// stated one byte too high is noticed.
pub(in crate::wire) const MANY: usize = 100;

/// The request as the broker's side reads it.
pub(in crate::wire) fn sent<A: Api, M: Decodable>(request: &A, version: i16) -> M {
    let body = Body::encode(request, version).unwrap();
    assert_eq!((body.key, body.version), (A::KEY, version));
    read_whole(body.segments.concat().into(), version)
}

pub(in crate::wire) fn read_whole<M: Decodable>(mut bytes: Bytes, version: i16) -> M {
    let message = M::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty(), "v{version}: {} bytes are left over", bytes.len());
    message
}

pub(in crate::wire) fn written(answer: &impl Encodable, version: i16) -> Bytes {
    let mut out = BytesMut::new();
    answer.encode(&mut out, version).unwrap();
    out.freeze()
}
