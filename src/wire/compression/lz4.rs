//! LZ4 frames: written as Java clients do (independent blocks of 64 KiB, no checksums), read in every legal form
//! (any block size, linked blocks, checksums, several frames) but with a dictionary.

use super::{output::Output, xxh32::xxh32};
use crate::error::DecodeError;
use bytes::{BufMut, BytesMut};
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into_with_dict};

const MAGIC: u32 = 0x184d_2204;
const SKIPPABLE_MAGICS: std::ops::RangeInclusive<u32> = 0x184d_2a50..=0x184d_2a5f;
/// Version 1 with independent blocks; blocks of at most 64 KiB; the second byte of the xxHash of these two.
const DESCRIPTOR: [u8; 3] = [0x60, 0x40, 0x82];
const BLOCK_BYTES: usize = 64 * 1024;
/// In a block's length: the block is stored as it is.
const STORED: u32 = 1 << 31;
/// How far back a linked block may refer.
const WINDOW_BYTES: usize = 64 * 1024;
/// A length byte stands for at most this many plain bytes.
const RATIO_MAX: usize = 255;

pub(super) struct Encoder {
    table: CompressTable,
    block: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        let block = vec![0; lz4_flex::block::get_maximum_output_size(BLOCK_BYTES)];
        Self { table: CompressTable::default(), block }
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, src: &[u8], dst: &mut BytesMut) -> bool {
        dst.put_u32_le(MAGIC);
        dst.extend_from_slice(&DESCRIPTOR);
        for plain in src.chunks(BLOCK_BYTES) {
            let compressed = compress_into_with_table(plain, &mut self.block, &mut self.table)
                .ok()
                .filter(|&len| len < plain.len())
                .map(|len| &self.block[..len]);
            let (bytes, flag) = compressed.map_or((plain, STORED), |bytes| (bytes, 0));
            let Ok(len) = u32::try_from(bytes.len()) else { return false };
            dst.put_u32_le(len | flag);
            dst.extend_from_slice(bytes);
        }
        dst.put_u32_le(0);
        true
    }
}

pub(super) fn decompress(src: &[u8], output: &mut Output<'_>) -> Result<(), DecodeError> {
    let mut rest = Source(src);
    loop {
        let magic = rest.u32(output)?;
        if magic == MAGIC {
            frame(&mut rest, output)?;
        } else if SKIPPABLE_MAGICS.contains(&magic) {
            let len = rest.len(output)?;
            rest.take(len, output)?;
        } else {
            return Err(output.corrupt());
        }
        if rest.0.is_empty() {
            return Ok(());
        }
    }
}

/// What a frame's descriptor says.
struct Descriptor {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_bytes: Option<u64>,
    block_bytes: usize,
}

fn frame(rest: &mut Source<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let descriptor = descriptor(rest, output)?;
    if let Some(stated) = descriptor.content_bytes
        && !usize::try_from(stated).is_ok_and(|stated| stated <= output.left())
    {
        return Err(output.over_limit());
    }
    let start = output.len();
    loop {
        let stated = rest.u32(output)?;
        if stated == 0 {
            break;
        }
        let len = usize::try_from(stated & !STORED).map_err(|_| output.corrupt())?;
        if len > descriptor.block_bytes {
            return Err(output.corrupt());
        }
        let bytes = rest.take(len, output)?;
        if descriptor.block_checksums && rest.u32(output)? != xxh32(bytes) {
            return Err(output.corrupt());
        }
        if stated & STORED == 0 {
            block(bytes, &descriptor, start, output)?;
        } else {
            output.extend(bytes)?;
        }
    }
    let content = &output.written()[start..];
    if descriptor.content_bytes.is_some_and(|stated| usize::try_from(stated) != Ok(content.len())) {
        return Err(output.corrupt());
    }
    if descriptor.content_checksum && rest.u32(output)? != xxh32(content) {
        return Err(output.corrupt());
    }
    Ok(())
}

fn descriptor(rest: &mut Source<'_>, output: &Output<'_>) -> Result<Descriptor, DecodeError> {
    let whole = rest.0;
    let [flags, block_size] = rest.array::<2>(output)?;
    // Bits 7 and 6 are the version, bit 1 is reserved, bit 0 announces a dictionary.
    let block_bytes = match block_size {
        0x40 => 64 << 10,
        0x50 => 256 << 10,
        0x60 => 1 << 20,
        0x70 => 4 << 20,
        _ => return Err(output.corrupt()),
    };
    if flags & 0b1100_0011 != 0b0100_0000 {
        return Err(output.corrupt());
    }
    let content_bytes =
        if flags & 0b1000 == 0 { None } else { Some(u64::from_le_bytes(rest.array::<8>(output)?)) };
    let described = &whole[..whole.len() - rest.0.len()];
    let [_, expected, ..] = xxh32(described).to_le_bytes();
    let [checksum] = rest.array::<1>(output)?;
    if checksum != expected {
        return Err(output.corrupt());
    }
    Ok(Descriptor {
        linked: flags & 0b10_0000 == 0,
        block_checksums: flags & 0b1_0000 != 0,
        content_checksum: flags & 0b100 != 0,
        content_bytes,
        block_bytes,
    })
}

fn block(
    bytes: &[u8],
    descriptor: &Descriptor,
    frame_start: usize,
    output: &mut Output<'_>,
) -> Result<(), DecodeError> {
    let most = descriptor.block_bytes.min(bytes.len().saturating_mul(RATIO_MAX));
    let room_bytes = most.min(output.left());
    let (written, room) = output.room(room_bytes)?;
    let frame = if descriptor.linked { &written[frame_start..] } else { &[] };
    let dictionary = &frame[frame.len().saturating_sub(WINDOW_BYTES)..];
    match decompress_into_with_dict(bytes, room, dictionary) {
        Ok(len) => output.advance(len),
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room_bytes < most => {
            Err(output.over_limit())
        }
        Err(_) => Err(output.corrupt()),
    }
}

/// The compressed bytes not yet read.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn take(&mut self, len: usize, output: &Output<'_>) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| output.corrupt())?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, output: &Output<'_>) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| output.corrupt())?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self, output: &Output<'_>) -> Result<u32, DecodeError> {
        self.array(output).map(u32::from_le_bytes)
    }

    fn len(&mut self, output: &Output<'_>) -> Result<usize, DecodeError> {
        usize::try_from(self.u32(output)?).map_err(|_| output.corrupt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(src: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        let mut memory = Vec::new();
        let mut output = Output::new(&mut memory, limit, "lz4");
        decompress(src, &mut output)?;
        Ok(output.written().to_vec())
    }

    fn written(plain: &[u8]) -> BytesMut {
        let mut dst = BytesMut::new();
        assert!(Encoder::default().compress(plain, &mut dst));
        dst
    }

    /// A frame with every optional part: linked blocks, sizes and checksums.
    fn full_frame(blocks: &[&[u8]]) -> Vec<u8> {
        let content = blocks.concat();
        let mut frame = MAGIC.to_le_bytes().to_vec();
        let mut described = vec![0b0101_1100, 0x40];
        described.extend_from_slice(&u64::try_from(content.len()).unwrap().to_le_bytes());
        frame.extend_from_slice(&described);
        frame.push(xxh32(&described).to_le_bytes()[1]);
        let mut before = Vec::new();
        for block in blocks {
            let bytes = lz4_flex::block::compress_with_dict(block, &before);
            frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
            frame.extend_from_slice(&bytes);
            frame.extend_from_slice(&xxh32(&bytes).to_le_bytes());
            before.extend_from_slice(block);
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&xxh32(&content).to_le_bytes());
        frame
    }

    #[test]
    fn the_descriptors_checksum_is_its_hashs_second_byte() {
        assert_eq!(xxh32(&DESCRIPTOR[..2]).to_le_bytes()[1], DESCRIPTOR[2]);
    }

    #[test]
    fn incompressible_blocks_are_stored() {
        let mut state = 1_u32;
        let plain: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(BLOCK_BYTES + 100)
        .collect();
        let frame = written(&plain);
        assert_eq!(frame.len(), 7 + 4 + BLOCK_BYTES + 4 + 100 + 4);
        assert_eq!(frame[7..11], [0, 0, 1, 0x80]);
        assert_eq!(read(&frame, plain.len()).unwrap(), plain);
    }

    #[test]
    fn linked_blocks_sizes_and_checksums_are_read() {
        let text = b"a potion of healing, a potion of mana, a potion of ".repeat(20);
        let frame = full_frame(&[&text, &text, b"healing, a potion of mana"]);
        let plain = [&text[..], &text, b"healing, a potion of mana"].concat();
        assert_eq!(read(&frame, plain.len()).unwrap(), plain);
        for at in 4..frame.len() {
            let mut broken = frame.clone();
            broken[at] ^= 1;
            assert_ne!(read(&broken, plain.len()).as_ref(), Ok(&plain), "byte {at}");
        }
        assert_eq!(
            read(&frame, plain.len() - 1),
            Err(DecodeError::DecompressLimit { codec: "lz4", limit: plain.len() - 1 })
        );
    }

    #[test]
    fn several_frames_and_skippable_ones_are_read() {
        let mut frames = written(b"first ").to_vec();
        frames.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        frames.extend_from_slice(&full_frame(&[b"second"]));
        assert_eq!(read(&frames, 100).unwrap(), b"first second");
    }

    #[test]
    fn a_block_that_is_cut_short_by_the_limit_says_so() {
        let frame = written(&[0; 50_000]);
        assert_eq!(read(&frame, 50_000).unwrap().len(), 50_000);
        assert_eq!(read(&frame, 49_999), Err(DecodeError::DecompressLimit { codec: "lz4", limit: 49_999 }));
    }
}
