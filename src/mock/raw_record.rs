//! The records of an uncompressed batch, read and rewritten without decoding what they hold.
//!
//! Apart from the client's own codec, as all of the mock is.

/// One record as it lies in its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawRecord<'a> {
    pub(crate) attributes: u8,
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// From the key's length to the end: all that does not depend on the batch's base timestamp and offset.
    tail: &'a [u8],
}

impl RawRecord<'_> {
    /// Appends the record, its timestamp told as `timestamp_delta`.
    pub(crate) fn write(&self, timestamp_delta: i64, out: &mut Vec<u8>) {
        let mut body = vec![self.attributes];
        put_varint(timestamp_delta, &mut body);
        put_varint(self.offset_delta, &mut body);
        body.extend_from_slice(self.tail);
        put_varint(i64::try_from(body.len()).unwrap_or(i64::MAX), out);
        out.extend_from_slice(&body);
    }
}

/// The `count` records in `plain`; `None` where the bytes hold fewer.
pub(crate) fn read_all(mut plain: &[u8], count: i32) -> Option<Vec<RawRecord<'_>>> {
    (0..count).map(|_| read(&mut plain)).collect()
}

/// A record without headers, alone in its batch.
pub(crate) fn write_plain(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut tail = Vec::new();
    for part in [key, value] {
        put_varint(i64::try_from(part.len()).unwrap_or(i64::MAX), &mut tail);
        tail.extend_from_slice(part);
    }
    put_varint(0, &mut tail);
    let record =
        RawRecord { attributes: 0, timestamp_delta: 0, offset_delta: 0, key: None, value: None, tail: &tail };
    let mut out = Vec::new();
    record.write(0, &mut out);
    out
}

fn read<'a>(from: &mut &'a [u8]) -> Option<RawRecord<'a>> {
    let len = usize::try_from(take_varint(from)?).ok()?;
    let (mut record, rest) = from.split_at_checked(len)?;
    *from = rest;
    let (attributes, after) = record.split_first()?;
    record = after;
    let timestamp_delta = take_varint(&mut record)?;
    let offset_delta = take_varint(&mut record)?;
    let tail = record;
    let key = take_bytes(&mut record)?;
    let value = take_bytes(&mut record)?;
    Some(RawRecord { attributes: *attributes, timestamp_delta, offset_delta, key, value, tail })
}

/// Bytes under their length, -1 for null.
fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let len = take_varint(from)?;
    if len < 0 {
        return Some(None);
    }
    let (bytes, rest) = from.split_at_checked(usize::try_from(len).ok()?)?;
    *from = rest;
    Some(Some(bytes))
}

fn take_varint(from: &mut &[u8]) -> Option<i64> {
    let mut bits = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        bits |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let magnitude = i64::try_from(bits >> 1).ok()?;
            return Some(if bits & 1 == 0 { magnitude } else { !magnitude });
        }
    }
    None
}

fn put_varint(value: i64, out: &mut Vec<u8>) {
    let mut bits = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    loop {
        let [low, ..] = bits.to_le_bytes();
        bits >>= 7;
        if bits == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::batch::HEADER_BYTES;
    use crate::mock::records::encode;
    use bytes::Bytes;

    #[test]
    fn varints_go_out_and_come_back() {
        for value in [0, 1, -1, 63, 64, -64, -65, 300, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(take_varint(&mut out.as_slice()), Some(value));
        }
        assert_eq!(take_varint(&mut &[0x80; 11][..]), None);
    }

    #[test]
    fn records_are_read_and_written_as_they_were() {
        let key = Bytes::from_static(b"key");
        let batch = encode(&[(Some(key.clone()), None, 70), (None, Some(key.clone()), 7_000)]).unwrap();
        let records = read_all(&batch[HEADER_BYTES..], 2).unwrap();
        assert_eq!((records[0].key, records[0].value), (Some(key.as_ref()), None));
        assert_eq!((records[1].key, records[1].value), (None, Some(key.as_ref())));
        assert_eq!((records[1].timestamp_delta, records[1].offset_delta), (6_930, 1));
        let mut out = Vec::new();
        for record in &records {
            record.write(record.timestamp_delta, &mut out);
        }
        assert_eq!(out, batch[HEADER_BYTES..]);
        assert_eq!(read_all(&batch[HEADER_BYTES..], 3), None);
    }
}
