//! Gzip (RFC 1952), with the inflating and deflating done by `flate2`'s Rust back end.
//!
//! The few bytes around the deflate stream are written and read here, because `flate2`'s own wrappers allocate their
//! large state anew for every stream.

use super::output::Output;
use crate::error::DecodeError;
use bytes::{BufMut, BytesMut};
use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};

/// Magic, deflate, no flags, no time, no hint, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const LEVEL: u32 = 4;
const CHUNK_BYTES: usize = 16 * 1024;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

pub(super) struct Encoder {
    deflate: Compress,
    chunk: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { deflate: Compress::new(flate2::Compression::new(LEVEL), false), chunk: vec![0; CHUNK_BYTES] }
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, src: &[u8], dst: &mut BytesMut) -> bool {
        self.deflate.reset();
        dst.extend_from_slice(&HEADER);
        let mut rest = src;
        loop {
            let (read, wrote) = (self.deflate.total_in(), self.deflate.total_out());
            let status = self.deflate.compress(rest, &mut self.chunk, FlushCompress::Finish);
            let (Ok(read), Ok(wrote)) = (
                usize::try_from(self.deflate.total_in() - read),
                usize::try_from(self.deflate.total_out() - wrote),
            ) else {
                return false;
            };
            rest = &rest[read..];
            dst.extend_from_slice(&self.chunk[..wrote]);
            match status {
                Ok(Status::StreamEnd) => break,
                Ok(Status::Ok | Status::BufError) if read + wrote > 0 => {}
                Ok(_) | Err(_) => return false,
            }
        }
        dst.put_slice(&trailer(src));
        true
    }
}

/// CRC-32 and length (modulo 2^32) of the plain bytes.
fn trailer(plain: &[u8]) -> [u8; 8] {
    let mut crc = Crc::new();
    crc.update(plain);
    let [c0, c1, c2, c3] = crc.sum().to_le_bytes();
    let [l0, l1, l2, l3, ..] = plain.len().to_le_bytes();
    [c0, c1, c2, c3, l0, l1, l2, l3]
}

pub(super) struct Decoder {
    inflate: Decompress,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { inflate: Decompress::new(false) }
    }
}

impl Decoder {
    pub(super) fn decompress(&mut self, src: &[u8], output: &mut Output<'_>) -> Result<(), DecodeError> {
        let mut rest = src;
        loop {
            rest = self.member(rest, output)?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads one member and gives what follows it.
    fn member<'a>(&mut self, src: &'a [u8], output: &mut Output<'_>) -> Result<&'a [u8], DecodeError> {
        let mut rest = after_header(src).ok_or_else(|| output.corrupt())?;
        let start = output.len();
        self.inflate.reset(false);
        loop {
            // Room grows with what came out so far, so a small bomb makes little. At the cap a byte of room beyond
            // it tells a stream that ends there from one that goes on.
            let mut spare = [0];
            let room_bytes = output.left().min(CHUNK_BYTES.max(output.len()));
            let room = match room_bytes {
                0 => &mut spare[..],
                bytes => output.room(bytes)?.1,
            };
            let (read, wrote) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(rest, room, FlushDecompress::None);
            let (Ok(read), Ok(wrote)) = (
                usize::try_from(self.inflate.total_in() - read),
                usize::try_from(self.inflate.total_out() - wrote),
            ) else {
                return Err(output.corrupt());
            };
            rest = &rest[read..];
            output.advance(wrote)?;
            match status {
                Ok(Status::StreamEnd) => break,
                Ok(Status::Ok | Status::BufError) if read + wrote > 0 => {}
                Ok(_) | Err(_) => return Err(output.corrupt()),
            }
        }
        let (stated, rest) = rest.split_first_chunk::<8>().ok_or_else(|| output.corrupt())?;
        if *stated != trailer(&output.written()[start..]) {
            return Err(output.corrupt());
        }
        Ok(rest)
    }
}

/// Steps over a member's header; `None` if it is not one.
fn after_header(src: &[u8]) -> Option<&[u8]> {
    let (&[id1, id2, method, flags, ..], mut rest) = src.split_first_chunk::<10>()?;
    if [id1, id2, method] != HEADER[..3] || flags & FLAGS_RESERVED != 0 {
        return None;
    }
    if flags & FLAG_EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    fn read(src: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        let mut memory = Vec::new();
        let mut output = Output::new(&mut memory, limit, "gzip");
        Decoder::default().decompress(src, &mut output)?;
        Ok(output.written().to_vec())
    }

    fn written(plain: &[u8]) -> BytesMut {
        let mut dst = BytesMut::new();
        assert!(Encoder::default().compress(plain, &mut dst));
        dst
    }

    #[test]
    fn flate2s_own_reader_reads_what_is_written() {
        let plain = b"a potion of healing ".repeat(5000);
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&written(&plain)[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, plain);
    }

    #[test]
    fn headers_with_every_field_are_read() {
        let mut writer = flate2::GzBuilder::new()
            .extra("extra")
            .filename("name")
            .comment("comment")
            .write(Vec::new(), flate2::Compression::new(9));
        writer.write_all(b"plain").unwrap();
        assert_eq!(read(&writer.finish().unwrap(), 100).unwrap(), b"plain");
    }

    #[test]
    fn several_members_are_read() {
        let members = [written(b"first "), written(b""), written(b"second")].concat();
        assert_eq!(read(&members, 12).unwrap(), b"first second");
        assert_eq!(read(&members, 11), Err(DecodeError::DecompressLimit { codec: "gzip", limit: 11 }));
    }

    #[test]
    fn a_stream_that_ends_at_the_limit_is_read_and_one_that_goes_on_is_not() {
        for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 100_000] {
            let gzip = written(&vec![7; len]);
            assert_eq!(read(&gzip, len).unwrap().len(), len);
            if len > 0 {
                let limit = len - 1;
                assert_eq!(read(&gzip, limit), Err(DecodeError::DecompressLimit { codec: "gzip", limit }));
            }
        }
    }

    #[test]
    fn a_wrong_trailer_or_cut_is_refused() {
        let gzip = written(b"plain plain plain plain");
        for cut in 0..gzip.len() {
            assert!(read(&gzip[..cut], 100).is_err(), "cut at {cut}");
        }
        for at in gzip.len() - 8..gzip.len() {
            let mut broken = gzip.to_vec();
            broken[at] ^= 1;
            assert!(read(&broken, 100).is_err(), "byte {at}");
        }
    }
}
