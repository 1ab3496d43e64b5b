//! Zstandard by `ruzstd`: reads every level, writes the fastest.

use super::{SCRATCH_KEPT_BYTES, output::Output};
use crate::error::DecodeError;
use bytes::BytesMut;
use ruzstd::{
    decoding::{
        BlockDecodingStrategy, FrameDecoder,
        errors::{FrameDecoderError, ReadFrameHeaderError},
    },
    encoding::{CompressionLevel, FrameCompressor, MatchGeneratorDriver},
};
use std::io::{Cursor, Read as _};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// In the byte after the magic: there is no window, since the frame is held in memory whole.
const SINGLE_SEGMENT: u8 = 1 << 5;
/// Windows that are made smaller stay within these: a block, and more than any cap.
const WINDOW_BYTES: std::ops::RangeInclusive<usize> = 128 << 10..=1 << 30;

pub(super) struct Encoder {
    frame: FrameCompressor<Cursor<Vec<u8>>, Vec<u8>, MatchGeneratorDriver>,
    src: Vec<u8>,
    dst: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { frame: FrameCompressor::new(CompressionLevel::Fastest), src: Vec::new(), dst: Vec::new() }
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, src: &[u8], dst: &mut BytesMut) -> bool {
        // The crate's compressor owns its source and target, so both are lent to it for the time of the call.
        self.src.clear();
        self.src.extend_from_slice(src);
        self.dst.clear();
        self.frame.set_source(Cursor::new(std::mem::take(&mut self.src)));
        self.frame.set_drain(std::mem::take(&mut self.dst));
        self.frame.compress();
        self.src = self.frame.take_source().map(Cursor::into_inner).unwrap_or_default();
        self.dst = self.frame.take_drain().unwrap_or_default();
        dst.extend_from_slice(&self.dst);
        true
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    frame: FrameDecoder,
    /// The largest window that `frame` has memory for.
    window_bytes: usize,
}

impl Decoder {
    pub(super) fn decompress(&mut self, src: &[u8], output: &mut Output<'_>) -> Result<(), DecodeError> {
        let mut rest = src;
        let result = loop {
            let result = self.frame(&mut rest, output);
            if result.is_err() || rest.is_empty() {
                break result;
            }
        };
        if self.window_bytes > SCRATCH_KEPT_BYTES {
            *self = Self::default();
        }
        result
    }

    /// Reads one frame off the front of `rest`, or steps over a skippable one.
    fn frame(&mut self, rest: &mut &[u8], output: &mut Output<'_>) -> Result<(), DecodeError> {
        let window_bytes =
            output.left().clamp(*WINDOW_BYTES.start(), *WINDOW_BYTES.end()).next_power_of_two();
        self.frame.set_max_window_size(u64::try_from(window_bytes).unwrap_or(u64::MAX));
        let lowered = with_smaller_window(rest, window_bytes);
        let (head, tail) = rest.split_at(lowered.map_or(0, |head| head.len()));
        let mut source = lowered.as_ref().map_or(head, |head| &head[..]).chain(tail);
        let reset = self.frame.reset(&mut source);
        *rest = source.into_inner().1;
        match reset {
            Ok(()) => {}
            Err(FrameDecoderError::WindowSizeTooBig { .. }) => return Err(output.over_limit()),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                let after = usize::try_from(length).ok().and_then(|length| rest.get(length..));
                *rest = after.ok_or_else(|| output.corrupt())?;
                return Ok(());
            }
            Err(_) => return Err(output.corrupt()),
        }
        // 0 where the frame does not say.
        let content_bytes = usize::try_from(self.frame.content_size()).unwrap_or(usize::MAX);
        if content_bytes > output.left() {
            return Err(output.over_limit());
        }
        let window_bytes = lowered.map_or(content_bytes, |head| 2 << (10 + (head[5] >> 3)));
        self.window_bytes = self.window_bytes.max(window_bytes);
        let start = output.len();
        loop {
            let finished = self
                .frame
                .decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(|_| output.corrupt())?;
            let ready = self.frame.can_collect();
            if ready > 0 {
                let (_, room) = output.room(ready)?;
                self.frame.read_exact(room).map_err(|_| output.corrupt())?;
                output.advance(ready)?;
            }
            if finished {
                break;
            }
        }
        if content_bytes > 0 && output.len() - start != content_bytes {
            return Err(output.corrupt());
        }
        Ok(())
    }
}

/// The front of `frame` with its window lowered to `window_bytes`, a power of two; `None` if it states no window.
///
/// A window is memory that the reader sets aside, and Java at level 22 states 128 MiB for a batch of a few hundred
/// bytes. Nothing in a frame can refer further back than it has come, so a window as large as the cap on its output is
/// as good as any larger one.
fn with_smaller_window(frame: &[u8], window_bytes: usize) -> Option<[u8; 6]> {
    let &[m0, m1, m2, m3, flags, stated] = frame.first_chunk()?;
    if [m0, m1, m2, m3] != MAGIC || flags & SINGLE_SEGMENT != 0 {
        return None;
    }
    // Five bits of exponent over 2^10, then three of eighths.
    let lowered = u8::try_from(window_bytes.ilog2().saturating_sub(10) << 3).unwrap_or(u8::MAX);
    Some([m0, m1, m2, m3, flags, stated.min(lowered)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(src: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        let mut memory = Vec::new();
        let mut output = Output::new(&mut memory, limit, "zstd");
        Decoder::default().decompress(src, &mut output)?;
        Ok(output.written().to_vec())
    }

    fn written(plain: &[u8]) -> BytesMut {
        let mut dst = BytesMut::new();
        assert!(Encoder::default().compress(plain, &mut dst));
        dst
    }

    /// A frame header with this window descriptor and nothing after it but an empty last block.
    fn window(descriptor: u8) -> [u8; 9] {
        [0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 1, 0, 0]
    }

    #[test]
    fn several_frames_and_skippable_ones_are_read() {
        let mut frames = written(b"first ").to_vec();
        frames.extend_from_slice(&[0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        frames.extend_from_slice(&written(b"second"));
        assert_eq!(read(&frames, 12).unwrap(), b"first second");
        assert_eq!(read(&frames, 11), Err(DecodeError::DecompressLimit { codec: "zstd", limit: 11 }));
    }

    #[test]
    fn a_window_above_the_cap_is_lowered() {
        for (stated, limit, lowered) in [
            (17 << 3, 1000, 7 << 3),
            (0xff, 1 << 20, 10 << 3),
            (0xff, (1 << 20) + 1, 11 << 3),
            (0xff, usize::MAX, 20 << 3),
            (11 << 3, 8 << 20, 11 << 3),
        ] {
            let frame = window(stated);
            let window_bytes = limit.clamp(*WINDOW_BYTES.start(), *WINDOW_BYTES.end()).next_power_of_two();
            assert_eq!(with_smaller_window(&frame, window_bytes).unwrap()[5], lowered);
            assert_eq!(read(&frame, limit).unwrap(), b"");
        }
    }

    #[test]
    fn a_stated_size_above_the_cap_is_refused() {
        // One segment of 2^40 bytes; then a size of 2^40 with a window of 1 KiB.
        let one_segment = [0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0];
        let windowed = [0x28, 0xb5, 0x2f, 0xfd, 0b1100_0000, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0];
        let refused = DecodeError::DecompressLimit { codec: "zstd", limit: 1 << 20 };
        assert_eq!(read(&one_segment, 1 << 20), Err(refused.clone()));
        assert_eq!(read(&windowed, 1 << 20), Err(refused));
    }
}
