//! Decompresses records with the codecs' crates, apart from the client's own code for it.
//!
//! Both framings of snappy are read (raw, and Xerial's as the Java client writes it). There is no cap on the output:
//! the mock trusts the tests that feed it.

use bytes::Bytes;
use std::io::{Error, ErrorKind, Read, Result};

/// The records of a batch in plain, by the codec's number in the batch's attributes.
pub(crate) fn inflate(codec: i16, compressed: &[u8]) -> Result<Bytes> {
    match codec {
        0 => Ok(Bytes::copy_from_slice(compressed)),
        1 => {
            let mut out = Vec::new();
            flate2::read::MultiGzDecoder::new(compressed).read_to_end(&mut out)?;
            Ok(out.into())
        }
        2 => snappy(compressed),
        3 => lz4_frame(compressed).ok_or_else(|| invalid("lz4 frame")),
        4 => {
            let mut out = Vec::new();
            let mut source = compressed;
            let mut reader =
                ruzstd::decoding::StreamingDecoder::new(&mut source).map_err(|_| invalid("zstd frame"))?;
            reader.read_to_end(&mut out)?;
            Ok(out.into())
        }
        _ => Err(invalid("compression codec")),
    }
}

fn snappy(compressed: &[u8]) -> Result<Bytes> {
    let mut decoder = snap::raw::Decoder::new();
    let mut plain = |block: &[u8]| decoder.decompress_vec(block).map_err(|_| invalid("snappy block"));
    if !compressed.starts_with(XERIAL_MAGIC) {
        return Ok(plain(compressed)?.into());
    }
    let mut rest = compressed.get(XERIAL_HEADER_BYTES..).ok_or_else(|| invalid("Xerial header"))?;
    let mut out = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let (block, tail) = tail.split_at_checked(len).ok_or_else(|| invalid("Xerial block"))?;
        out.extend_from_slice(&plain(block)?);
        rest = tail;
    }
    Ok(out.into())
}

/// The LZ4 frame format: magic, flags, an optional size, a header checksum, then blocks up to a zero length.
fn lz4_frame(frame: &[u8]) -> Option<Bytes> {
    let rest = frame.strip_prefix(&[0x04, 0x22, 0x4d, 0x18])?;
    let (&[flags, descriptor], rest) = rest.split_first_chunk::<2>()?;
    let block_bytes_max = 1usize.checked_shl(8 + 2 * u32::from((descriptor >> 4) & 0b111))?;
    let block_checksum = if flags & 0b1_0000 != 0 { 4 } else { 0 };
    let content_size = if flags & 0b1000 != 0 { 8 } else { 0 };
    let mut rest = rest.get(content_size + 1..)?;
    let mut out = Vec::new();
    loop {
        let (word, tail) = rest.split_first_chunk::<4>()?;
        let word = u32::from_le_bytes(*word);
        if word == 0 {
            return Some(out.into());
        }
        let (block, tail) = tail.split_at_checked(usize::try_from(word & 0x7fff_ffff).ok()?)?;
        if word & 0x8000_0000 != 0 {
            out.extend_from_slice(block);
        } else {
            // Blocks may refer to the 64 KiB before them, unless the flags say that they do not.
            let dictionary = out.get(out.len().saturating_sub(64 * 1024)..)?;
            let plain = lz4_flex::block::decompress_with_dict(block, block_bytes_max, dictionary).ok()?;
            out.extend_from_slice(&plain);
        }
        rest = tail.get(block_checksum..)?;
    }
}

fn invalid(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_snappy_framings_are_read() {
        let raw = snap::raw::Encoder::new().compress_vec(b"crafting").unwrap();
        assert_eq!(inflate(2, &raw).unwrap(), "crafting");
        let mut framed = XERIAL_MAGIC.to_vec();
        framed.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
        for _ in 0..2 {
            framed.extend_from_slice(&u32::try_from(raw.len()).unwrap().to_be_bytes());
            framed.extend_from_slice(&raw);
        }
        assert_eq!(inflate(2, &framed).unwrap(), "craftingcrafting");
    }

    #[test]
    fn lz4_frames_of_compressed_and_raw_blocks_are_read() {
        let block = lz4_flex::block::compress(b"crafting crafting crafting");
        let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
        frame.extend_from_slice(&u32::try_from(block.len()).unwrap().to_le_bytes());
        frame.extend_from_slice(&block);
        frame.extend_from_slice(&(0x8000_0000u32 | 2).to_le_bytes());
        frame.extend_from_slice(b"ok");
        frame.extend_from_slice(&[0; 4]);
        assert_eq!(inflate(3, &frame).unwrap(), "crafting crafting craftingok");
        assert!(inflate(3, &frame[..frame.len() - 1]).is_err());
    }
}
