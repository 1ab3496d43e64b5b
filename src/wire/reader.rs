//! The one checked reader that every response goes through.
//!
//! Invariant: no allocation is sized by a number from the wire before that number was checked against the bytes in
//! hand, and no read goes past the end. Strings and byte fields are slices of the frame, never copies.

use crate::error::DecodeError;
use bytes::{Buf, Bytes};
use uuid::Uuid;

/// The most tagged fields one structure may carry; Kafka's own schemas have fewer than ten.
const TAGGED_FIELDS_MAX: usize = 1024;
/// The most elements for which room is made before the first is read.
const FIRST_CAPACITY_MAX: usize = 1024;

/// A cursor over one frame. Cheap to make; shares the frame's memory.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    bytes: Bytes,
    start_len: usize,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let start_len = bytes.len();
        Self { bytes, start_len }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.start_len - self.bytes.len()
    }

    /// Bytes not yet read.
    #[cfg(test)]
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn need(&self, what: &'static str, needed: usize) -> Result<(), DecodeError> {
        let left = self.bytes.len();
        if left < needed {
            return Err(DecodeError::Truncated { what, at: self.position(), needed, left });
        }
        Ok(())
    }

    pub(crate) fn i8(&mut self, what: &'static str) -> Result<i8, DecodeError> {
        self.need(what, 1)?;
        Ok(self.bytes.get_i8())
    }

    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(self.i8(what)? != 0)
    }

    pub(crate) fn i16(&mut self, what: &'static str) -> Result<i16, DecodeError> {
        self.need(what, 2)?;
        Ok(self.bytes.get_i16())
    }

    pub(crate) fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        self.need(what, 4)?;
        Ok(self.bytes.get_i32())
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.need(what, 8)?;
        Ok(self.bytes.get_i64())
    }

    pub(crate) fn uuid(&mut self, what: &'static str) -> Result<Uuid, DecodeError> {
        self.need(what, 16)?;
        Ok(Uuid::from_u128(self.bytes.get_u128()))
    }

    /// An unsigned varint of at most five bytes.
    pub(crate) fn unsigned_varint(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let at = self.position();
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            self.need(what, 1)?;
            let byte = self.bytes.get_u8();
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| DecodeError::Invalid {
                    what,
                    at,
                    value: value.cast_signed(),
                });
            }
        }
        Err(DecodeError::Invalid { what, at, value: value.cast_signed() })
    }

    /// A slice of the next `len` bytes, which shares the frame's memory.
    pub(crate) fn take(&mut self, what: &'static str, len: usize) -> Result<Bytes, DecodeError> {
        self.need(what, len)?;
        Ok(self.bytes.split_to(len))
    }

    /// A compact (length + 1 as varint) nullable byte field.
    pub(crate) fn compact_nullable_bytes(
        &mut self,
        what: &'static str,
    ) -> Result<Option<Bytes>, DecodeError> {
        match self.unsigned_varint(what)? {
            0 => Ok(None),
            n => self.take(what, n as usize - 1).map(Some),
        }
    }

    /// A compact nullable string.
    pub(crate) fn compact_nullable_string(
        &mut self,
        what: &'static str,
    ) -> Result<Option<String>, DecodeError> {
        let at = self.position();
        let Some(bytes) = self.compact_nullable_bytes(what)? else { return Ok(None) };
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(DecodeError::NotUtf8 { what, at }),
        }
    }

    /// A compact string that may not be null.
    pub(crate) fn compact_string(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let at = self.position();
        self.compact_nullable_string(what)?.ok_or(DecodeError::Null { what, at })
    }

    /// A compact array whose elements take at least `element_min_bytes` each; null gives `None`.
    pub(crate) fn compact_nullable_array<T>(
        &mut self,
        what: &'static str,
        element_min_bytes: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let at = self.position();
        let count = match self.unsigned_varint(what)? {
            0 => return Ok(None),
            n => n as usize - 1,
        };
        self.check_count(what, at, count, element_min_bytes)?;
        let mut elements = Vec::with_capacity(count.min(FIRST_CAPACITY_MAX));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// [`compact_array`](Self::compact_array), its elements handed over as they are read.
    pub(crate) fn each_in_compact_array(
        &mut self,
        what: &'static str,
        element_min_bytes: usize,
        mut element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let at = self.position();
        let count = match self.unsigned_varint(what)? {
            0 => return Err(DecodeError::Null { what, at }),
            n => n as usize - 1,
        };
        self.check_count(what, at, count, element_min_bytes)?;
        for _ in 0..count {
            element(self)?;
        }
        Ok(())
    }

    /// A compact array that may not be null.
    pub(crate) fn compact_array<T>(
        &mut self,
        what: &'static str,
        element_min_bytes: usize,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let at = self.position();
        self.compact_nullable_array(what, element_min_bytes, element)?.ok_or(DecodeError::Null { what, at })
    }

    /// An array with a four-byte count (the form of versions that are not flexible).
    pub(crate) fn array<T>(
        &mut self,
        what: &'static str,
        element_min_bytes: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let at = self.position();
        let stated = self.i32(what)?;
        let count = usize::try_from(stated).map_err(|_| DecodeError::Invalid {
            what,
            at,
            value: i64::from(stated),
        })?;
        self.check_count(what, at, count, element_min_bytes)?;
        let mut elements = Vec::with_capacity(count.min(FIRST_CAPACITY_MAX));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// A nullable string with a two-byte length (the form of versions that are not flexible).
    pub(crate) fn nullable_string(&mut self, what: &'static str) -> Result<Option<String>, DecodeError> {
        let at = self.position();
        let stated = self.i16(what)?;
        if stated == -1 {
            return Ok(None);
        }
        let len = usize::try_from(stated).map_err(|_| DecodeError::Invalid {
            what,
            at,
            value: i64::from(stated),
        })?;
        let bytes = self.take(what, len)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(DecodeError::NotUtf8 { what, at }),
        }
    }

    /// A string with a two-byte length that may not be null.
    pub(crate) fn string(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let at = self.position();
        self.nullable_string(what)?.ok_or(DecodeError::Null { what, at })
    }

    /// A nullable byte field with a four-byte length.
    pub(crate) fn nullable_bytes(&mut self, what: &'static str) -> Result<Option<Bytes>, DecodeError> {
        let at = self.position();
        let stated = self.i32(what)?;
        if stated == -1 {
            return Ok(None);
        }
        let len = usize::try_from(stated).map_err(|_| DecodeError::Invalid {
            what,
            at,
            value: i64::from(stated),
        })?;
        self.take(what, len).map(Some)
    }

    fn check_count(
        &self,
        what: &'static str,
        at: usize,
        count: usize,
        element_min_bytes: usize,
    ) -> Result<(), DecodeError> {
        let limit = self.bytes.len() / element_min_bytes.max(1);
        if count > limit {
            let value = i64::try_from(count).unwrap_or(i64::MAX);
            return Err(DecodeError::OverLimit { what, at, value, limit });
        }
        Ok(())
    }

    /// Steps over the tagged fields that end every structure of a flexible version.
    pub(crate) fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(()))
    }

    /// Gives each tagged field to `field` as (tag, reader over its bytes); what `field` does not read is skipped.
    pub(crate) fn tagged_fields(
        &mut self,
        mut field: impl FnMut(u32, &mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let at = self.position();
        let count = self.unsigned_varint("tagged fields")? as usize;
        if count > TAGGED_FIELDS_MAX {
            let value = i64::try_from(count).unwrap_or(i64::MAX);
            return Err(DecodeError::OverLimit {
                what: "tagged fields",
                at,
                value,
                limit: TAGGED_FIELDS_MAX,
            });
        }
        for _ in 0..count {
            let tag = self.unsigned_varint("tag")?;
            let size = self.unsigned_varint("tagged field's size")? as usize;
            let bytes = self.take("tagged field", size)?;
            let mut inner = Self { bytes, start_len: self.position() };
            field(tag, &mut inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> Reader {
        Reader::new(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused_before_anything_is_made() {
        let mut four_bytes = reader(&[0x7f, 0xff, 0xff, 0xff]);
        let error = four_bytes.array("brokers", 10, |r| r.i32("id")).unwrap_err();
        assert_eq!(
            error,
            DecodeError::OverLimit { what: "brokers", at: 0, value: i64::from(i32::MAX), limit: 0 }
        );
    }

    #[test]
    fn varints_over_five_bytes_or_32_bits_are_refused() {
        assert!(reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]).unsigned_varint("n").is_err());
        assert!(reader(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unsigned_varint("n").is_err());
        assert_eq!(reader(&[0xff, 0xff, 0xff, 0xff, 0x0f]).unsigned_varint("n"), Ok(u32::MAX));
    }

    #[test]
    fn every_cut_of_a_string_is_an_error() {
        let whole = [6, b'h', b'e', b'l', b'l', b'o'];
        assert_eq!(reader(&whole).compact_string("s").unwrap(), "hello");
        for cut in 0..whole.len() {
            assert!(matches!(reader(&whole[..cut]).compact_string("s"), Err(DecodeError::Truncated { .. })));
        }
    }

    #[test]
    fn strings_and_bytes_of_the_old_form_have_signed_lengths() {
        assert_eq!(reader(&[0, 2, b'h', b'i']).string("s").unwrap(), "hi");
        assert_eq!(reader(&[0xff, 0xff]).nullable_string("s").unwrap(), None);
        assert_eq!(reader(&[0xff, 0xff]).string("s"), Err(DecodeError::Null { what: "s", at: 0 }));
        assert!(matches!(reader(&[0xff, 0xfe]).string("s"), Err(DecodeError::Invalid { value: -2, .. })));
        assert!(matches!(reader(&[0, 2, b'h']).string("s"), Err(DecodeError::Truncated { .. })));
        assert!(matches!(reader(&[0, 1, 0xff]).string("s"), Err(DecodeError::NotUtf8 { .. })));
        assert_eq!(reader(&[0, 0, 0, 1, 7]).nullable_bytes("b").unwrap().unwrap()[..], [7]);
        assert_eq!(reader(&[0xff; 4]).nullable_bytes("b").unwrap(), None);
        assert!(reader(&[0x80, 0, 0, 0]).nullable_bytes("b").is_err());
        assert!(reader(&[0x7f, 0xff, 0xff, 0xff]).nullable_bytes("b").is_err());
    }

    #[test]
    fn errors_in_a_tagged_field_count_from_the_start_of_the_frame() {
        let mut r = reader(&[9, 9, 1, 0, 2, 7, 7]);
        r.take("before", 2).unwrap();
        let error = r.tagged_fields(|_, field| field.i32("epoch").map(drop)).unwrap_err();
        assert_eq!(error, DecodeError::Truncated { what: "epoch", at: 5, needed: 4, left: 2 });
    }

    #[test]
    fn tagged_fields_are_read_by_tag_and_the_rest_stepped_over() {
        let mut r = reader(&[2, 0, 4, 0, 0, 0, 9, 7, 2, 1, 1, 42]);
        let mut seen = None;
        r.tagged_fields(|tag, field| {
            if tag == 0 {
                seen = Some(field.i32("epoch")?);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, Some(9));
        assert_eq!(r.i8("after").unwrap(), 42);
    }
}
