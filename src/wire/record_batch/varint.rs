//! Zigzag varints, as records hold them: seven bits a byte, lowest first, sign in the lowest bit.
//!
//! A 32-bit number takes at most five bytes and a 64-bit one at most ten; longer forms are refused, and so are bits
//! that do not fit.

use crate::error::DecodeError;

/// The most bytes one varint takes.
pub(super) const VARINT_BYTES_MAX: usize = 10;

/// The whole of it, if it takes one byte.
#[inline]
pub(super) const fn one_byte(value: i64) -> Option<u8> {
    match value {
        -64..64 => Some(zigzag(value).to_le_bytes()[0]),
        _ => None,
    }
}

/// The bytes that `value` takes.
#[inline]
pub(super) const fn zigzag_len(value: i64) -> usize {
    if one_byte(value).is_some() {
        return 1;
    }
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes `value` to `out` from `at` and gives where it ends. `out` has ten bytes after `at`.
pub(super) fn put_zigzag(out: &mut [u8], at: usize, value: i64) -> usize {
    let mut rest = zigzag(value);
    let mut end = at;
    while rest >= 0x80 {
        out[end] = rest.to_le_bytes()[0] | 0x80;
        rest >>= 7;
        end += 1;
    }
    out[end] = rest.to_le_bytes()[0];
    end + 1
}

/// A place in a run of bytes, for reading. Positions in errors are counted from `base`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, as errors count.
    end: usize,
}

impl<'a> Cursor<'a> {
    /// `base` is where `bytes` start, as errors count.
    pub(super) const fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { rest: bytes, end: base + bytes.len() }
    }

    pub(super) const fn position(&self) -> usize {
        self.end - self.rest.len()
    }

    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(what, len));
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let Some((&byte, rest)) = self.rest.split_first() else { return Err(self.truncated(what, 1)) };
        self.rest = rest;
        Ok(byte)
    }

    /// A zigzag varint of at most 32 bits.
    #[inline]
    pub(super) fn varint(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        let at = self.position();
        let value = self.zigzag(what, 5)?;
        i32::try_from(value).map_err(|_| DecodeError::Invalid { what, at, value })
    }

    /// A zigzag varint of at most 64 bits.
    #[inline]
    pub(super) fn varlong(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.zigzag(what, VARINT_BYTES_MAX)
    }

    /// A length or count: a varint that is not negative.
    #[inline]
    pub(super) fn length(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let at = self.position();
        let stated = self.varint(what)?;
        usize::try_from(stated).map_err(|_| DecodeError::Invalid { what, at, value: i64::from(stated) })
    }

    /// A length and that many bytes; -1 is null.
    #[inline]
    pub(super) fn nullable_bytes(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
        let at = self.position();
        match self.varint(what)? {
            -1 => Ok(None),
            stated => match usize::try_from(stated) {
                Ok(len) => self.take(what, len).map(Some),
                Err(_) => Err(DecodeError::Invalid { what, at, value: i64::from(stated) }),
            },
        }
    }

    #[inline]
    fn zigzag(&mut self, what: &'static str, bytes_max: usize) -> Result<i64, DecodeError> {
        // Nearly all are one byte (deltas, nulls, lengths under 64) or two.
        match *self.rest {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                return Ok(unzigzag(u64::from(byte)));
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.rest = rest;
                return Ok(unzigzag(u64::from(low & 0x7f) | u64::from(high) << 7));
            }
            _ => {}
        }
        self.long_zigzag(what, bytes_max)
    }

    fn long_zigzag(&mut self, what: &'static str, bytes_max: usize) -> Result<i64, DecodeError> {
        let at = self.position();
        let mut value = 0_u64;
        for index in 0..bytes_max {
            let byte = self.byte(what)?;
            // The tenth byte has room for one bit.
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(unzigzag(value));
            }
        }
        Err(DecodeError::Invalid { what, at, value: unzigzag(value) })
    }

    #[cold]
    fn truncated(&self, what: &'static str, needed: usize) -> DecodeError {
        DecodeError::Truncated { what, at: self.position(), needed, left: self.rest.len() }
    }
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: i64) -> Vec<u8> {
        let mut out = [0; VARINT_BYTES_MAX];
        let end = put_zigzag(&mut out, 0, value);
        out[..end].to_vec()
    }

    #[test]
    fn known_forms() {
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            assert_eq!(encoded(value), bytes);
        }
    }

    #[test]
    fn forms_that_are_too_long_or_too_large_are_refused() {
        assert!(Cursor::new(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00], 0).varint("n").is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x1f], 0).varint("n").is_err());
        assert!(Cursor::new(&[0x80; 11], 0).varlong("n").is_err());
        let mut eleven_bytes = [0x80; 11];
        eleven_bytes[10] = 0;
        assert!(Cursor::new(&eleven_bytes, 0).varlong("n").is_err());
        let too_large = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(Cursor::new(&too_large, 0).varlong("n").is_err());
    }

    proptest! {
        #[test]
        fn every_number_comes_back(wide in any::<i64>(), shift in 0..64_u32, narrow in any::<i32>()) {
            let value = wide >> shift;
            let bytes = encoded(value);
            prop_assert_eq!(bytes.len(), zigzag_len(value));
            prop_assert_eq!(Cursor::new(&bytes, 0).varlong("n"), Ok(value));
            for cut in 0..bytes.len() {
                prop_assert!(Cursor::new(&bytes[..cut], 0).varlong("n").is_err());
            }
            prop_assert_eq!(Cursor::new(&encoded(i64::from(narrow)), 0).varint("n"), Ok(narrow));
        }
    }
}
