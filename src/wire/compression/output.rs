//! Decompressed bytes under a cap.
//!
//! Invariant: at most `limit` bytes are ever kept, and room is made in steps that the caller has checked against the
//! compressed bytes in hand. The memory is zeroed once, when it grows, and reused after that.

use crate::error::DecodeError;

pub(super) struct Output<'a> {
    /// As long as it ever was; only the first `len` bytes are output.
    memory: &'a mut Vec<u8>,
    len: usize,
    limit: usize,
    codec: &'static str,
}

impl<'a> Output<'a> {
    pub(super) fn new(memory: &'a mut Vec<u8>, limit: usize, codec: &'static str) -> Self {
        Self { memory, len: 0, limit, codec }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How much more fits.
    pub(super) fn left(&self) -> usize {
        self.limit - self.len
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    /// What is written so far and room for `bytes` more.
    pub(super) fn room(&mut self, bytes: usize) -> Result<(&[u8], &mut [u8]), DecodeError> {
        if bytes > self.left() {
            return Err(self.over_limit());
        }
        let end = self.len + bytes;
        if self.memory.len() < end {
            if self.memory.capacity() < end {
                // It doubles, so that it grows seldom, but never past the cap, which `Vec` by itself would.
                let capacity = end.max(2 * self.memory.capacity()).min(self.limit);
                self.memory.reserve_exact(capacity.saturating_sub(self.memory.len()));
            }
            self.memory.resize(end, 0);
        }
        let (written, room) = self.memory.split_at_mut(self.len);
        Ok((written, &mut room[..bytes]))
    }

    /// Counts the first `bytes` of the room as written.
    pub(super) fn advance(&mut self, bytes: usize) -> Result<(), DecodeError> {
        if bytes > self.left() {
            return Err(self.over_limit());
        }
        self.len += bytes;
        Ok(())
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.room(bytes.len())?.1.copy_from_slice(bytes);
        self.advance(bytes.len())
    }

    /// The output would be larger than the cap.
    pub(super) fn over_limit(&self) -> DecodeError {
        DecodeError::DecompressLimit { codec: self.codec, limit: self.limit }
    }

    /// The bytes are not what the codec writes.
    pub(super) fn corrupt(&self) -> DecodeError {
        DecodeError::Decompress { codec: self.codec }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_never_outgrows_the_cap() {
        let mut memory = Vec::new();
        let mut output = Output::new(&mut memory, 1000, "gzip");
        for _ in 0..9 {
            output.extend(&[7; 111]).unwrap();
        }
        output.room(1).unwrap();
        assert!(output.room(2).is_err());
        assert_eq!(memory.capacity(), 1000);
    }
}
