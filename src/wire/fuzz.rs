//! The body of the fuzz target `frames`, and what the targets that operate machines read their input with.

use super::{frame::next_frame, request::correlation_id};
use bytes::{Bytes, BytesMut};

/// Splits any stream into frames, however it comes in parts: the first byte is the largest frame as a power of two, the
/// second says how many of the bytes after it are the lengths of the parts, and the rest is the stream.
///
/// # Panics
///
/// If the parts make a difference to the frames or to where the stream is refused.
pub fn check_frames(data: &[u8]) {
    let &[limit, part_count, ref rest @ ..] = data else { return };
    let frame_bytes_max = 1_usize << (limit % 31);
    let (part_bytes, stream) = rest.split_at((usize::from(part_count) % 32).min(rest.len()));
    let (expected, refused) = split_at_once(stream, frame_bytes_max);

    let mut lengths = part_bytes.iter().map(|&length| 1 + usize::from(length)).cycle();
    let mut buffer = BytesMut::new();
    let mut frames: Vec<Bytes> = Vec::new();
    let mut rest = stream;
    let outcome = loop {
        match next_frame(&mut buffer, frame_bytes_max) {
            Ok(Some(frame)) => {
                let _ = correlation_id(&frame);
                frames.push(frame);
            }
            Ok(None) if rest.is_empty() => break Ok(()),
            Ok(None) => {
                let (part, later) = rest.split_at(lengths.next().unwrap_or(usize::MAX).min(rest.len()));
                buffer.extend_from_slice(part);
                rest = later;
            }
            Err(error) => break Err(error),
        }
    };
    assert_eq!(frames, expected);
    assert_eq!(outcome.is_err(), refused, "{outcome:?}");
    let taken: usize = frames.iter().map(|frame| 4 + frame.len()).sum();
    assert_eq!(taken + buffer.len() + rest.len(), stream.len(), "no byte is lost");
}

/// The whole frames at the front of the stream, and whether a length behind them is out of bounds.
fn split_at_once(mut stream: &[u8], frame_bytes_max: usize) -> (Vec<&[u8]>, bool) {
    let mut frames = Vec::new();
    while let Some((prefix, rest)) = stream.split_first_chunk::<4>() {
        let Some(length) =
            usize::try_from(i32::from_be_bytes(*prefix)).ok().filter(|&n| n <= frame_bytes_max)
        else {
            return (frames, true);
        };
        let Some((frame, rest)) = rest.split_at_checked(length) else { break };
        frames.push(frame);
        stream = rest;
    }
    (frames, false)
}

/// The bytes of an input as a run of choices. When it ends, every further one is 0.
#[derive(Debug, Default)]
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl<'a> Choices<'a> {
    /// The next choice, if there is one.
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// One of 256.
    pub(crate) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// One of `of`, which is not empty.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }
}
