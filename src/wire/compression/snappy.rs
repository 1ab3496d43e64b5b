//! Snappy: written in the framing of Java clients (Xerial's), read with and without it (librdkafka and franz-go write
//! raw Snappy).
//!
//! The framing: a header of 16 bytes, then blocks, each a four-byte big-endian length and raw Snappy.

use super::output::Output;
use crate::error::DecodeError;
use bytes::{BufMut, BytesMut};

const MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
/// The magic, then the version and the lowest version that can read it, both 1.
const HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// What Java clients write, too: one block's plain bytes.
const BLOCK_BYTES: usize = 32 * 1024;
/// A copy of up to 64 bytes takes three, so no Snappy is smaller than this fraction of its plain bytes.
const RATIO_MAX: usize = 22;

pub(super) struct Encoder {
    snap: snap::raw::Encoder,
    block: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        let block = vec![0; snap::raw::max_compress_len(BLOCK_BYTES)];
        Self { snap: snap::raw::Encoder::new(), block }
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, src: &[u8], dst: &mut BytesMut) -> bool {
        dst.extend_from_slice(HEADER);
        for plain in src.chunks(BLOCK_BYTES) {
            let Ok(len) = self.snap.compress(plain, &mut self.block) else { return false };
            let Ok(stated) = u32::try_from(len) else { return false };
            dst.put_u32(stated);
            dst.extend_from_slice(&self.block[..len]);
        }
        true
    }
}

pub(super) fn decompress(src: &[u8], output: &mut Output<'_>) -> Result<(), DecodeError> {
    if !src.starts_with(MAGIC) {
        return block(src, output);
    }
    let mut rest = src;
    while !rest.is_empty() {
        // Streams may be put one after the other, so a header can stand where a block's length is expected.
        if rest.starts_with(MAGIC) {
            rest = rest.get(HEADER.len()..).ok_or_else(|| output.corrupt())?;
            continue;
        }
        let (prefix, after) = rest.split_first_chunk::<4>().ok_or_else(|| output.corrupt())?;
        let len = usize::try_from(u32::from_be_bytes(*prefix)).map_err(|_| output.corrupt())?;
        let (compressed, next) = after.split_at_checked(len).ok_or_else(|| output.corrupt())?;
        block(compressed, output)?;
        rest = next;
    }
    Ok(())
}

/// One piece of raw Snappy, which starts with its plain length.
fn block(compressed: &[u8], output: &mut Output<'_>) -> Result<(), DecodeError> {
    let claimed = snap::raw::decompress_len(compressed).map_err(|_| output.corrupt())?;
    if claimed > output.left() {
        return Err(output.over_limit());
    }
    if claimed > compressed.len().saturating_mul(RATIO_MAX) {
        return Err(output.corrupt());
    }
    let (_, room) = output.room(claimed)?;
    match snap::raw::Decoder::new().decompress(compressed, room) {
        Ok(len) => output.advance(len),
        Err(_) => Err(output.corrupt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(src: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        let mut memory = Vec::new();
        let mut output = Output::new(&mut memory, limit, "snappy");
        decompress(src, &mut output)?;
        Ok(output.written().to_vec())
    }

    #[test]
    fn raw_snappy_is_read() {
        let plain = b"abcabcabcabcabcabcabcabcabcabc".repeat(10);
        let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        assert_eq!(read(&raw, 1000).unwrap(), plain);
    }

    #[test]
    fn framing_is_header_then_blocks_of_32_kib() {
        let plain = vec![7; BLOCK_BYTES + 1];
        let mut framed = BytesMut::new();
        assert!(Encoder::default().compress(&plain, &mut framed));
        assert_eq!(&framed[..16], HEADER);
        let first = usize::try_from(u32::from_be_bytes(*framed[16..].first_chunk().unwrap())).unwrap();
        assert_eq!(snap::raw::decompress_len(&framed[20..20 + first]).unwrap(), BLOCK_BYTES);
        assert_eq!(&framed[20 + first..20 + first + 4], [0, 0, 0, 3]);
        assert_eq!(read(&framed, plain.len()).unwrap(), plain);
    }

    #[test]
    fn streams_one_after_the_other_are_read() {
        let mut framed = BytesMut::new();
        let mut encoder = Encoder::default();
        assert!(encoder.compress(b"first ", &mut framed));
        assert!(encoder.compress(b"second", &mut framed));
        assert_eq!(read(&framed, 100).unwrap(), b"first second");
    }

    #[test]
    fn a_claim_of_4_gib_is_refused_before_room_is_made() {
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        let limit = DecodeError::DecompressLimit { codec: "snappy", limit: 1 << 20 };
        assert_eq!(read(&claim, 1 << 20), Err(limit.clone()));
        let mut framed = HEADER.to_vec();
        framed.extend_from_slice(&[0, 0, 0, 7]);
        framed.extend_from_slice(&claim);
        assert_eq!(read(&framed, 1 << 20), Err(limit));
    }

    #[test]
    fn a_claim_within_the_limit_that_the_bytes_cannot_hold_makes_no_room() {
        let mut memory = Vec::new();
        let mut output = Output::new(&mut memory, 1 << 20, "snappy");
        assert!(decompress(&[0x80, 0x80, 0x20, 0, b'a'], &mut output).is_err());
        assert!(memory.is_empty());
    }
}
