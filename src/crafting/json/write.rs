//! Writing into memory at hand.
//!
//! It can fail in one way: there is too little memory. What does not fit is left out, and so is all that would follow,
//! which [`Out::is_full`] tells at the end. The types hold nothing that JSON cannot say.
//!
//! Places and writers go by value, and what is small is inlined: where the next byte goes then stays in registers.
#![allow(clippy::inline_always, reason = "a call for each field costs more than the field")]

use uuid::Uuid;

use crate::crafting::timestamp::Timestamp;

/// The bytes of a UUID's text.
pub(crate) const UUID_BYTES: usize = 36;

/// Memory that is written from its start; this is what is left of it.
#[derive(Debug)]
pub(crate) struct Out<'o>(&'o mut [u8]);

impl<'o> Out<'o> {
    /// The bytes left.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Something may not have fit: a byte to spare would prove that all did.
    pub(crate) const fn is_full(&self) -> bool {
        self.0.is_empty()
    }

    /// Text that is JSON as it stands.
    #[inline(always)]
    pub(crate) fn put(self, bytes: &[u8]) -> Self {
        self.fill(bytes.len(), |to| to.copy_from_slice(bytes))
    }

    /// A string that has nothing to escape.
    #[inline(always)]
    pub(crate) fn plain(self, text: &str) -> Self {
        self.fill(text.len() + 2, |to| {
            if let [open, inside @ .., close] = to {
                (*open, *close) = (b'"', b'"');
                inside.copy_from_slice(text.as_bytes());
            }
        })
    }

    /// An object: each field is written with a comma before it, and the brace takes the first one's place.
    #[inline(always)]
    pub(crate) fn object(self, write: impl FnOnce(ObjectWriter<'_>) -> ObjectWriter<'_>) -> Self {
        let Self(memory) = self;
        let left = write(ObjectWriter(Out(&mut *memory))).0.len();
        let Some((fields, rest)) = memory.split_at_mut_checked(memory.len() - left) else {
            return Self::full();
        };
        match fields.first_mut() {
            Some(comma) => *comma = b'{',
            None => return Self(rest).put(b"{}"),
        }
        Self(rest).put(b"}")
    }

    #[inline(always)]
    fn fill(self, len: usize, write: impl FnOnce(&mut [u8])) -> Self {
        match self.0.split_at_mut_checked(len) {
            Some((to, rest)) => {
                write(to);
                Self(rest)
            }
            None => Self::full(),
        }
    }

    fn full() -> Self {
        Self(&mut [])
    }
}

/// Writes into memory that is kept for the next time, and grows it where it is too small.
pub(crate) fn write_into(memory: &mut Vec<u8>, write: impl Fn(Out<'_>) -> Out<'_>) -> &[u8] {
    loop {
        if let Some(len) = written(memory, &write) {
            return &memory[..len];
        }
        memory.resize(larger(memory.len()), 0);
    }
}

/// Writes after what is in `out` already.
pub(crate) fn append(out: &mut Vec<u8>, write: impl Fn(Out<'_>) -> Out<'_>) {
    let start = out.len();
    let mut room = larger(0);
    loop {
        out.resize(start + room, 0);
        if let Some(len) = written(&mut out[start..], &write) {
            return out.truncate(start + len);
        }
        room = larger(room);
    }
}

/// How much was written, if all of it fits for certain.
fn written(memory: &mut [u8], write: impl Fn(Out<'_>) -> Out<'_>) -> Option<usize> {
    let len = memory.len();
    let left = write(Out(memory));
    (!left.is_full()).then(|| len - left.len())
}

/// Room for any usual event, or else four times what was not enough.
const fn larger(bytes: usize) -> usize {
    if bytes == 0 { 1024 } else { bytes * 4 }
}

/// The fields of one JSON object; absent optionals are left out.
#[derive(Debug)]
#[must_use = "it holds the place of the next field"]
pub struct ObjectWriter<'o>(Out<'o>);

impl ObjectWriter<'_> {
    #[inline(always)]
    pub(crate) fn field(self, name: &'static str, value: &(impl ToJson + ?Sized)) -> Self {
        Self(value.write(self.name(name)))
    }

    #[inline(always)]
    pub(crate) fn optional(self, name: &'static str, value: Option<&(impl ToJson + ?Sized)>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }
}

impl<'o> ObjectWriter<'o> {
    #[inline(always)]
    pub(crate) fn object(
        self,
        name: &'static str,
        write: impl FnOnce(ObjectWriter<'_>) -> ObjectWriter<'_>,
    ) -> Self {
        Self(self.name(name).object(write))
    }

    #[inline(always)]
    fn name(self, name: &'static str) -> Out<'o> {
        self.0.fill(name.len() + 4, |to| {
            if let [comma, open, inside @ .., close, colon] = to {
                (*comma, *open, *close, *colon) = (b',', b'"', b'"', b':');
                inside.copy_from_slice(name.as_bytes());
            }
        })
    }
}

/// A value that can be written as JSON, always.
pub(crate) trait ToJson {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o>;
}

impl ToJson for str {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        if is_plain(self.as_bytes()) { out.plain(self) } else { escaped(self, out.put(b"\"")).put(b"\"") }
    }
}

impl ToJson for String {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        self.as_str().write(out)
    }
}

impl ToJson for Uuid {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        let mut quoted = [b'"'; UUID_BYTES + 2];
        quoted[1..=UUID_BYTES].copy_from_slice(&uuid_text(*self));
        out.put(&quoted)
    }
}

impl ToJson for Timestamp {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        // Known lengths are copied without a call: the publish clock has milliseconds.
        let (text, len) = self.text();
        let out = out.put(b"\"");
        match len {
            24 => out.put(&text[..24]),
            _ => out.put(&text[..len]),
        }
        .put(b"\"")
    }
}

impl ToJson for bool {
    #[inline(always)]
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        if *self { out.put(b"true") } else { out.put(b"false") }
    }
}

impl ToJson for u64 {
    /// Most numbers are short, and copying a length that is known is the cheapest.
    #[inline]
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        match self {
            0..10 => out.put(&[digit(*self)]),
            10..100 => out.put(&[digit(self / 10), digit(self % 10)]),
            100..1000 => out.put(&[digit(self / 100), digit(self / 10 % 10), digit(self % 10)]),
            _ => long_number(*self, out),
        }
    }
}

impl ToJson for f64 {
    /// The shortest text that reads back as the same number. The types admit finite numbers only.
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        let mut rest = out.0;
        match serde_json::to_writer(&mut rest, self) {
            Ok(()) => Out(rest),
            Err(_) => Out::full(),
        }
    }
}

impl<T: ToJson> ToJson for [T] {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        let Some((first, rest)) = self.split_first() else { return out.put(b"[]") };
        let out = rest.iter().fold(first.write(out.put(b"[")), |out, item| item.write(out.put(b",")));
        out.put(b"]")
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
        self.as_slice().write(out)
    }
}

/// A UUID's hyphenated text in lower case.
#[inline]
pub(crate) fn uuid_text(id: Uuid) -> [u8; UUID_BYTES] {
    let mut hex = [[0; 8]; 4];
    let (words, _) = id.as_bytes().as_chunks::<4>();
    for (to, word) in hex.iter_mut().zip(words) {
        *to = hex_digits(*word);
    }
    let mut text = [b'-'; UUID_BYTES];
    let hex = hex.as_flattened();
    text[..8].copy_from_slice(&hex[..8]);
    text[9..13].copy_from_slice(&hex[8..12]);
    text[14..18].copy_from_slice(&hex[12..16]);
    text[19..23].copy_from_slice(&hex[16..20]);
    text[24..].copy_from_slice(&hex[20..]);
    text
}

/// Four bytes as eight digits, all at once: a digit to each byte of a word.
#[inline(always)]
fn hex_digits(bytes: [u8; 4]) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from(u32::from_le_bytes(bytes));
    let spread = (word | word << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (spread >> 4 | spread << 8) & (EACH * 15);
    // Ten and more carry into the bit above when six is added; the letters stand 39 after where digits would go on.
    let letters = (nibbles + EACH * 6) >> 4 & EACH;
    (nibbles + EACH * 0x30 + letters * 39).to_le_bytes()
}

/// Whether nothing in the text is to be escaped.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let (words, tail) = text.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..tail.len()].copy_from_slice(tail);
    words.iter().chain([&last]).all(|word| specials(u64::from_le_bytes(*word)) == 0)
}

/// Which of eight bytes are quotes, backslashes or control characters: their high bits are set. The lowest bit that is
/// set is right; those above it may be set in error.
#[inline(always)]
pub(super) const fn specials(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // A byte's high bit shows that it is less than the one subtracted. A borrow reaches only bytes above one that is.
    const fn less(word: u64, than: u8) -> u64 {
        word.wrapping_sub(EACH * than as u64) & !word
    }
    let control = less(word, 0x20);
    let quote = less(word ^ (EACH * b'"' as u64), 1);
    let backslash = less(word ^ (EACH * b'\\' as u64), 1);
    (control | quote | backslash) & (EACH * 0x80)
}

fn escaped<'o>(text: &str, mut out: Out<'o>) -> Out<'o> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
        out = out.put(&rest[..at]);
        out = match rest[at] {
            b'\n' => out.put(b"\\n"),
            b'\r' => out.put(b"\\r"),
            b'\t' => out.put(b"\\t"),
            control @ 0..0x20 => out.put(&unicode_escape(control)),
            byte => out.put(&[b'\\', byte]),
        };
        rest = &rest[at + 1..];
    }
    out.put(rest)
}

fn unicode_escape(control: u8) -> [u8; 6] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    [b'\\', b'u', b'0', b'0', b'0' + (control >> 4), HEX[usize::from(control & 15)]]
}

fn long_number(mut number: u64, out: Out<'_>) -> Out<'_> {
    let mut digits = [0; 20];
    let mut start = digits.len();
    while let Some(before) = start.checked_sub(1) {
        start = before;
        digits[start] = digit(number % 10);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put(&digits[start..])
}

/// The last decimal digit of a number below ten.
#[inline(always)]
const fn digit(number: u64) -> u8 {
    b'0' + number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crafting::json::read::{Node, number, string};

    fn text_of(value: &(impl ToJson + ?Sized)) -> String {
        let mut out = b"before ".to_vec();
        append(&mut out, |out| value.write(out));
        String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_told() {
        let write = |memory: &mut [u8]| {
            let out = Out(memory).object(|fields| {
                fields.field("text", "a\tb").field("id", &Uuid::nil()).field("n", &1234).field("f", &0.5)
            });
            out.len()
        };
        let mut memory = [0; 128];
        let len = memory.len() - write(&mut memory);
        let text = r#"{"text":"a\tb","id":"00000000-0000-0000-0000-000000000000","n":1234,"f":0.5}"#;
        assert_eq!(std::str::from_utf8(&memory[..len]).unwrap(), text);
        for len in 0..=len {
            assert_eq!(write(&mut memory[..len]), 0, "{len} bytes are too few, or just enough");
        }
        assert_eq!(write(&mut memory[..=len]), 1);
    }

    #[test]
    fn memory_grows_until_all_fits() {
        let text = "x".repeat(70_000);
        let mut kept = Vec::new();
        for _ in 0..2 {
            assert_eq!(write_into(&mut kept, |out| text.write(out)).len(), 70_002);
        }
        assert_eq!(kept.len(), 256 * 1024);
        assert_eq!(text_of(text.as_str()).len(), 70_002);
    }

    #[test]
    fn an_object_may_be_empty() {
        let mut memory = [0; 3];
        assert_eq!(Out(&mut memory).object(|fields| fields).len(), 1);
        assert_eq!(&memory[..2], b"{}");
    }

    #[test]
    fn each_byte_that_needs_it_is_escaped_wherever_it_stands() {
        for before in 0..20 {
            for special in (0..=0x7f_u8).map(char::from) {
                let text = format!("{}{special}é\u{2028}", "x".repeat(before));
                assert_eq!(serde_json::from_str::<String>(&text_of(text.as_str())).unwrap(), text);
            }
        }
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_json_reads_them(text in any::<String>()) {
            let read: String = serde_json::from_str(&text_of(text.as_str())).unwrap();
            prop_assert_eq!(&read, &text);
            prop_assert_eq!(string(Node::root(&text_of(text.as_str()))).unwrap(), text);
        }

        #[test]
        fn integers_are_written_as_display_writes_them(wide in any::<u64>(), shift in 0..64_u32) {
            let number = wide >> shift;
            prop_assert_eq!(text_of(&number), number.to_string());
        }

        #[test]
        fn ids_are_written_as_display_writes_them(id in any::<u128>()) {
            let id = Uuid::from_u128(id);
            prop_assert_eq!(String::from_utf8(uuid_text(id).to_vec()).unwrap(), id.to_string());
            prop_assert_eq!(text_of(&id), format!("\"{id}\""));
        }

        #[test]
        fn numbers_read_back_exactly(bits in any::<f64>()) {
            prop_assume!(bits.is_finite());
            let text = text_of(&bits);
            prop_assert!(serde_json::from_str::<f64>(&text).is_ok());
            prop_assert_eq!(number(Node::root(&text)).unwrap().to_bits(), bits.to_bits());
        }
    }
}
