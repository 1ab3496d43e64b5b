//! JSON's grammar: where each value ends.
//!
//! One pass, front to back, eight bytes at a time within strings. What it tells is where things are; that a text is not
//! JSON is told by `None`, and why is found out afterwards, by whoever has to say it. Nesting costs a bit a level and no
//! recursion, so there is no depth that it must refuse.
#![allow(clippy::inline_always, reason = "a call for each token costs more than the token")]

use super::write::specials;

/// A place in a text. Whitespace is passed over in front of what is asked for.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Goes into an object or an array.
    #[inline(always)]
    pub(super) fn open(&mut self, bracket: u8) -> Option<()> {
        self.token().filter(|byte| *byte == bracket)?;
        self.at += 1;
        Some(())
    }

    /// Whether another item follows in what `close` ends; where none does, that end is passed.
    #[inline(always)]
    pub(super) fn has_item(&mut self, is_first: bool, close: u8) -> Option<bool> {
        match self.token()? {
            byte if byte == close => {
                self.at += 1;
                return Some(false);
            }
            _ if is_first => {}
            b',' => self.at += 1,
            _ => return None,
        }
        Some(true)
    }

    /// A field's name, its quotes left out and its escapes as they are, and the colon.
    #[inline(always)]
    pub(super) fn name(&mut self) -> Option<&'a str> {
        self.open(b'"')?;
        let start = self.at;
        self.string()?;
        let name = self.text.get(start..self.at - 1)?;
        self.open(b':')?;
        Some(name)
    }

    /// Any value, whole.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Option<&'a str> {
        let first = self.token()?;
        let start = self.at;
        match first {
            b'{' | b'[' => self.nested(first)?,
            _ => self.scalar(first)?,
        }
        self.text.get(start..self.at)
    }

    /// What was passed since the scanner was as `start` is.
    pub(super) fn passed_since(&self, start: &Self) -> Option<&'a str> {
        self.text.get(start.at..self.at)
    }

    /// Whether nothing but whitespace is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.token().is_none()
    }

    /// The next byte that is not whitespace, which is not passed.
    #[inline(always)]
    pub(super) fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn nested(&mut self, bracket: u8) -> Option<()> {
        let mut around = Brackets::default();
        let (mut bracket, mut is_first) = (bracket, true);
        self.at += 1;
        loop {
            // In ASCII, both closing brackets are two after the opening ones.
            if !self.has_item(is_first, bracket + 2)? {
                let Some(outer) = around.pop() else { return Some(()) };
                (bracket, is_first) = (outer, false);
                continue;
            }
            if bracket == b'{' {
                self.open(b'"')?;
                self.string()?;
                self.open(b':')?;
            }
            is_first = false;
            match self.token()? {
                inner @ (b'{' | b'[') => {
                    around.push(bracket);
                    (bracket, is_first) = (inner, true);
                    self.at += 1;
                }
                first => self.scalar(first)?,
            }
        }
    }

    #[inline(always)]
    fn scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => {
                self.at += 1;
                self.string()
            }
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text.as_bytes().get(self.at..)?.strip_prefix(word)?;
        self.at += word.len();
        Some(())
    }

    /// The rest of a string and its closing quote.
    #[inline(always)]
    fn string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        loop {
            while let Some(word) = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
                let specials = specials(u64::from_le_bytes(*word));
                if specials != 0 {
                    // The lowest of them is the first byte's, and that one is never wrong.
                    self.at += specials.trailing_zeros() as usize / 8;
                    break;
                }
                self.at += 8;
            }
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    #[cold]
    fn escape(&mut self) -> Option<()> {
        let digits = match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
            b'u' => 4,
            _ => return None,
        };
        self.at += 1;
        let hex = self.text.as_bytes().get(self.at..self.at + digits)?;
        self.at += digits;
        hex.iter().all(u8::is_ascii_hexdigit).then_some(())
    }

    #[inline(always)]
    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let start = self.at;
        let has_leading_zero = self.peek() == Some(b'0');
        self.digits()?;
        if has_leading_zero && self.at - start > 1 {
            return None;
        }
        match self.peek() {
            Some(b'.' | b'e' | b'E') => self.fraction_and_exponent(),
            _ => Some(()),
        }
    }

    fn fraction_and_exponent(&mut self) -> Option<()> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    #[inline(always)]
    fn digits(&mut self) -> Option<()> {
        self.peek().filter(u8::is_ascii_digit)?;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Some(())
    }
}

/// The brackets that are open around the innermost one: a bit for each, in memory of its own from the 65th on.
#[derive(Debug, Default)]
struct Brackets {
    bits: u64,
    count: usize,
    outer: Vec<u64>,
}

impl Brackets {
    fn push(&mut self, bracket: u8) {
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(bracket == b'{');
        self.count += 1;
    }

    fn pop(&mut self) -> Option<u8> {
        self.count = self.count.checked_sub(1)?;
        let bracket = if self.bits & 1 == 1 { b'{' } else { b'[' };
        self.bits >>= 1;
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.bits = self.outer.pop()?;
        }
        Some(bracket)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// Whether both take the text for one value, the same one.
    fn agrees(text: &str) {
        let mut scanner = Scanner::new(text);
        let ours = scanner.value().filter(|_| scanner.is_at_end());
        let theirs: Option<&RawValue> = serde_json::from_str(text).ok();
        assert_eq!(ours, theirs.map(RawValue::get), "{text}");
    }

    #[test]
    fn values_are_those_of_serde_json() {
        for text in [
            "",
            " ",
            "nul",
            "null",
            "nulll",
            "true",
            "false ",
            "True",
            "0",
            "-0",
            "00",
            "-",
            "01",
            "-01",
            "1.",
            "1.0",
            ".5",
            "1e",
            "1e+",
            "1E-07",
            "1.5e3",
            "1e5.5",
            "+1",
            "1 2",
            "NaN",
            "-Infinity",
            "\"",
            "\"\"",
            "\"a",
            "\"\\",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"\t\"",
            "\"\u{7f}\"",
            "\"é\\\"\u{2028}\"",
            "[",
            "]",
            "[]",
            "[,]",
            "[1,]",
            "[1 2]",
            "[1,,2]",
            "[1}",
            "{]",
            "{",
            "{}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{1:1}",
            "[{\"a\":[{}]},[[]]]",
            "[\u{a0}1]",
            " [ 1 , { \"a\" : \"b\" } ] \r\n\t",
        ] {
            agrees(text);
        }
    }

    #[test]
    fn brackets_close_in_order_however_deep() {
        for depth in [1, 2, 63, 64, 65, 66, 127, 128, 129, 130, 1000] {
            let open: String = (0..depth).map(|level| if level % 3 == 0 { "[" } else { "{\"a\":" }).collect();
            let close: String =
                (0..depth).rev().map(|level| if level % 3 == 0 { ']' } else { '}' }).collect();
            agrees(&format!("{open}1{close}"));
            agrees(&format!("{open}1{}", close.replacen(']', "}", 1)));
            agrees(&format!("{open}1{}", &close[1..]));
        }
    }

    proptest! {
        #[test]
        fn any_text_of_jsons_letters_is_read_alike(text in "[-\\[\\]{},:\"\\\\ua01e.+ \tntrfé]{0,40}") {
            agrees(&text);
        }

        #[test]
        fn strings_end_where_serde_json_ends_them(text in any::<String>(), at in any::<prop::sample::Index>(), byte in 0..0x80_u8) {
            let mut json = serde_json::to_string(&text).unwrap();
            agrees(&json);
            let at = at.index(json.len());
            if json.is_char_boundary(at) {
                json.insert(at, char::from(byte));
                agrees(&json);
            }
        }
    }
}
