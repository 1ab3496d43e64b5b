//! Splits a byte stream into frames: a four-byte length, then that many bytes.
//!
//! Invariant: the buffer grows with the bytes that came, never with the length that a peer stated.

use crate::error::DecodeError;
use bytes::{Buf, Bytes, BytesMut};

/// The largest frame that is read, unless the caller says otherwise; librdkafka's `receive.message.max.bytes`.
pub(crate) const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Takes the next whole frame, without its length, off the front of `buffer`; `None` while it is not whole.
///
/// # Errors
///
/// A length below 0 or above `frame_bytes_max`.
pub(crate) fn next_frame(
    buffer: &mut BytesMut,
    frame_bytes_max: usize,
) -> Result<Option<Bytes>, DecodeError> {
    let Some(prefix) = buffer.first_chunk::<4>() else { return Ok(None) };
    let stated = i32::from_be_bytes(*prefix);
    let Ok(len) = usize::try_from(stated) else {
        return Err(DecodeError::Invalid { what: "frame length", at: 0, value: i64::from(stated) });
    };
    if len > frame_bytes_max {
        return Err(DecodeError::OverLimit {
            what: "frame length",
            at: 0,
            value: i64::from(stated),
            limit: frame_bytes_max,
        });
    }
    if buffer.len() - 4 < len {
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(len).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_whatever_the_cuts() {
        let stream = [0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 1, b'c'];
        for cut in 0..stream.len() {
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(frame) = next_frame(&mut buffer, 10).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"ab"[..], b"", b"c"]);
        }
    }

    #[test]
    fn lengths_out_of_bounds_are_refused_at_once() {
        for bytes in [[0xff_u8; 4], [0x7f, 0xff, 0xff, 0xff]] {
            let mut buffer = BytesMut::from(&bytes[..]);
            assert!(next_frame(&mut buffer, FRAME_BYTES_MAX).is_err());
        }
    }
}
