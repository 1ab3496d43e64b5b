//! The four codecs, all pure Rust.
//!
//! Invariant: decompression gives no more than the caller's limit and takes memory in proportion to it, whatever the
//! bytes claim; a length in compressed data is checked against the bytes in hand and the limit before room is made.
//! Both directions keep their state and scratch memory from batch to batch. Absent: levels and dictionaries.

mod gzip;
mod lz4;
mod output;
mod pool;
mod snappy;
mod xxh32;
mod zstd;

use crate::error::DecodeError;
use bytes::{Bytes, BytesMut};
use output::Output;
use pool::Pool;
use std::{fmt, str::FromStr, sync::Arc};

/// Scratch memory above this is given back after the batch that needed it.
const SCRATCH_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// How the records of a batch are compressed.
///
/// A batch that does not get smaller is sent plain, whatever is chosen here. The names are those of Kafka's own
/// `compression.type`.
///
/// ```
/// use craftwire::Compression;
///
/// assert_eq!("lz4".parse(), Ok(Compression::Lz4));
/// assert_eq!(Compression::Zstd.to_string(), "zstd");
/// assert_eq!(Compression::default(), Compression::None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all: the default.
    #[default]
    None,
    /// Gzip, at its fastest level that still searches well (4). Slow, small.
    Gzip,
    /// Snappy, in the framing that Java clients use.
    Snappy,
    /// LZ4 frames. The quickest, and the usual choice.
    Lz4,
    /// Zstandard, at its fastest level.
    Zstd,
}

impl Compression {
    /// The number in the low three bits of a batch's attributes.
    pub(crate) const fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec of that number, `None` if Kafka has none.
    pub(crate) const fn from_id(id: i16) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Kafka's name of the codec.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| ParseCompressionError { name: name.to_owned() })
    }
}

/// A name that is no codec of Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("compression {name:?} is not known; use one of none, gzip, snappy, lz4, zstd")]
#[non_exhaustive]
pub struct ParseCompressionError {
    /// The name as given.
    pub name: String,
}

/// The writing side of the codecs, with what they keep from batch to batch. Each codec's memory is made at its first
/// use.
#[derive(Default)]
pub(crate) struct Compressor {
    gzip: Option<gzip::Encoder>,
    snappy: Option<snappy::Encoder>,
    lz4: Option<lz4::Encoder>,
    zstd: Option<zstd::Encoder>,
    /// Lent to the caller for the compressed bytes; see [`Compressor::take_scratch`].
    scratch: BytesMut,
}

impl Compressor {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends `src`, compressed, to `dst`. `false` if the codec refused, which leaves `dst` with bytes to throw away;
    /// `src` is then sent plain.
    #[must_use]
    pub(crate) fn compress(&mut self, codec: Compression, src: &[u8], dst: &mut BytesMut) -> bool {
        match codec {
            Compression::None => {
                dst.extend_from_slice(src);
                true
            }
            Compression::Gzip => self.gzip.get_or_insert_default().compress(src, dst),
            Compression::Snappy => self.snappy.get_or_insert_default().compress(src, dst),
            Compression::Lz4 => self.lz4.get_or_insert_default().compress(src, dst),
            Compression::Zstd => self.zstd.get_or_insert_default().compress(src, dst),
        }
    }

    /// An empty buffer that keeps its memory from batch to batch, to be given back with [`Compressor::put_scratch`].
    pub(crate) fn take_scratch(&mut self) -> BytesMut {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch
    }

    pub(crate) fn put_scratch(&mut self, scratch: BytesMut) {
        if scratch.capacity() <= SCRATCH_KEPT_BYTES {
            self.scratch = scratch;
        }
    }
}

/// The reading side of the codecs, with what they keep from batch to batch.
#[derive(Default)]
pub(crate) struct Decompressor {
    gzip: Option<gzip::Decoder>,
    zstd: Option<zstd::Decoder>,
    /// Where codecs write. A result keeps what it was written to, and gives it back when the last view of it is gone.
    pool: Arc<Pool>,
}

impl Decompressor {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The decompressed bytes of `src`, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::DecompressLimit`] if there would be more than `limit`, [`DecodeError::Decompress`] if the codec
    /// refuses the bytes. With [`Compression::None`] only the former.
    pub(crate) fn decompress(
        &mut self,
        codec: Compression,
        src: &[u8],
        limit: usize,
    ) -> Result<Bytes, DecodeError> {
        let mut memory = self.pool.take();
        let mut output = Output::new(&mut memory, limit, codec.name());
        let written = match codec {
            Compression::None => output.extend(src),
            Compression::Gzip => self.gzip.get_or_insert_default().decompress(src, &mut output),
            Compression::Snappy => snappy::decompress(src, &mut output),
            Compression::Lz4 => lz4::decompress(src, &mut output),
            Compression::Zstd => self.zstd.get_or_insert_default().decompress(src, &mut output),
        }
        .map(|()| output.len());
        match written {
            Ok(len) => Ok(pool::lend(&self.pool, memory, len)),
            Err(error) => {
                self.pool.put(memory);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
