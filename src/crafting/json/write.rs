//! Writing, which cannot fail: the types hold nothing that JSON cannot say.

use std::{fmt, io::Write};

use uuid::Uuid;

use crate::crafting::timestamp::Timestamp;

/// Writes one JSON object, field by field; absent optionals are left out.
#[derive(Debug)]
pub struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    separator: u8,
}

impl<'o> ObjectWriter<'o> {
    pub(crate) const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, separator: b'{' }
    }

    pub(crate) fn field(&mut self, name: &'static str, value: &(impl ToJson + ?Sized)) {
        self.name(name);
        value.write(self.out);
    }

    pub(crate) fn optional(&mut self, name: &'static str, value: Option<&(impl ToJson + ?Sized)>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    pub(crate) fn object(&mut self, name: &'static str, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.name(name);
        let mut fields = ObjectWriter::new(self.out);
        write(&mut fields);
        fields.end();
    }

    pub(crate) fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    fn name(&mut self, name: &'static str) {
        self.out.extend_from_slice(&[self.separator, b'"']);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.separator = b',';
    }
}

/// A value that can be written as JSON, always.
pub(crate) trait ToJson {
    fn write(&self, out: &mut Vec<u8>);
}

impl ToJson for str {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        let mut plain = 0;
        for (index, byte) in self.bytes().enumerate() {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0..0x20 => &control(byte),
                _ => continue,
            };
            out.extend_from_slice(&self.as_bytes()[plain..index]);
            out.extend_from_slice(escape);
            plain = index + 1;
        }
        out.extend_from_slice(&self.as_bytes()[plain..]);
        out.push(b'"');
    }
}

impl ToJson for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }
}

impl ToJson for Uuid {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        let mut text = Self::encode_buffer();
        out.extend_from_slice(self.hyphenated().encode_lower(&mut text).as_bytes());
        out.push(b'"');
    }
}

impl ToJson for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        Self::write(*self, out);
        out.push(b'"');
    }
}

impl ToJson for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl ToJson for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut rest = *self;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            start -= 1;
            if rest == 0 {
                break;
            }
        }
        out.extend_from_slice(&digits[start..]);
    }
}

impl ToJson for f64 {
    /// The shortest text that reads back as the same number. The types admit finite numbers only.
    fn write(&self, out: &mut Vec<u8>) {
        display(format_args!("{self:?}"), out);
    }
}

impl<T: ToJson> ToJson for [T] {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            item.write(out);
        }
        out.push(b']');
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

/// Appends what a `Display` prints: growing a vector never fails.
pub(crate) fn display(text: fmt::Arguments<'_>, out: &mut Vec<u8>) {
    let _ = out.write_fmt(text);
}

fn control(byte: u8) -> [u8; 6] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    [b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), HEX[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crafting::json::read::{Node, number, string};

    fn written(value: &(impl ToJson + ?Sized)) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_json_writes_them(text in any::<String>()) {
            let read: String = serde_json::from_str(&written(text.as_str())).unwrap();
            prop_assert_eq!(&read, &text);
            prop_assert_eq!(string(Node::root(&written(text.as_str()))).unwrap(), text);
        }

        #[test]
        fn integers_are_written_as_display_writes_them(number in any::<u64>()) {
            prop_assert_eq!(written(&number), number.to_string());
        }

        #[test]
        fn numbers_read_back_exactly(bits in any::<f64>()) {
            prop_assume!(bits.is_finite());
            let text = written(&bits);
            prop_assert!(serde_json::from_str::<f64>(&text).is_ok());
            prop_assert_eq!(number(Node::root(&text)).unwrap().to_bits(), bits.to_bits());
        }
    }
}
