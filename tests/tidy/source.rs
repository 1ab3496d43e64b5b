//! A Rust file as the checks see it: its tokens, without comments and literals, each with its line and
//! whether it stands in test code. No parser: what the rules ask for can be told from tokens.

/// A word, `::`, or one sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Under `#[cfg(test)]`.
    pub(crate) in_tests: bool,
}

/// The tokens of a file. Comments, strings, characters and lifetimes are left out.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1 };
    let mut found = Vec::new();
    while let Some((text, line)) = lexer.next() {
        found.push(Token { text, line, in_tests: false });
    }
    mark_tests(&mut found);
    found
}

/// The tokens at which the sequence `wanted` begins.
pub(crate) fn find<'a>(tokens: &'a [Token], wanted: &'a [&'a str]) -> impl Iterator<Item = &'a Token> {
    tokens
        .windows(wanted.len())
        .filter(move |seen| seen.iter().zip(wanted).all(|(t, w)| t.text == *w))
        .map(|w| &w[0])
}

/// The modules that a file declares for tests only: `#[cfg(test)] mod name;`.
pub(crate) fn test_modules(tokens: &[Token]) -> Vec<String> {
    let declares = |w: &&[Token]| w[0].in_tests && w[0].text == "mod" && w[2].text == ";";
    tokens.windows(3).filter(declares).map(|w| w[1].text.clone()).collect()
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) {
        if self.peek(0) == '\n' {
            self.line += 1;
        }
        self.at += 1;
    }

    fn next(&mut self) -> Option<(String, usize)> {
        while self.at < self.chars.len() {
            let line = self.line;
            match (self.peek(0), self.peek(1)) {
                ('/', '/') => {
                    while self.at < self.chars.len() && self.peek(0) != '\n' {
                        self.bump();
                    }
                }
                ('/', '*') => self.block_comment(),
                ('"', _) => self.string(),
                ('\'', _) => self.quote(),
                (':', ':') => {
                    self.at += 2;
                    return Some(("::".to_owned(), line));
                }
                (c, _) if is_word(c) => {
                    if let Some(word) = self.word() {
                        return Some((word, line));
                    }
                }
                (c, _) => {
                    self.bump();
                    if !c.is_whitespace() {
                        return Some((c.to_string(), line));
                    }
                }
            }
        }
        None
    }

    /// A word, or nothing where it was the prefix of a literal, which is passed over.
    fn word(&mut self) -> Option<String> {
        let start = self.at;
        while is_word(self.peek(0)) {
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        if raw && matches!(self.peek(0), '"' | '#') {
            let hashes = (0..).take_while(|&n| self.peek(n) == '#').count();
            if self.peek(hashes) == '"' {
                self.raw_string(hashes);
                return None;
            }
            self.at += hashes; // r#name
            return self.word();
        }
        if matches!(word.as_str(), "b" | "c") && matches!(self.peek(0), '"' | '\'') {
            return None; // the quote that follows is passed over as any other
        }
        Some(word)
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            let step = match (self.peek(0), self.peek(1)) {
                ('/', '*') => 1,
                ('*', '/') => -1,
                _ => 0,
            };
            self.bump();
            if step != 0 {
                self.bump();
                depth += step;
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.bump();
        while self.at < self.chars.len() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.bump();
            }
            self.bump();
        }
        self.bump();
    }

    fn raw_string(&mut self, hashes: usize) {
        self.at += hashes + 1;
        while self.at < self.chars.len() {
            let ends = self.peek(0) == '"' && (1..=hashes).all(|n| self.peek(n) == '#');
            self.bump();
            if ends {
                self.at += hashes;
                return;
            }
        }
    }

    /// A character, or a lifetime.
    fn quote(&mut self) {
        if self.peek(1) == '\\' {
            self.at += 3;
            while self.at < self.chars.len() && self.peek(0) != '\'' {
                self.bump();
            }
            self.bump();
        } else if self.peek(2) == '\'' {
            self.bump();
            self.bump();
            self.bump();
        } else {
            self.bump();
            while is_word(self.peek(0)) {
                self.at += 1;
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let whole_file = is(tokens, at + 1, "!");
        let bracket = at + 1 + usize::from(whole_file);
        if !(is(tokens, at, "#") && is(tokens, bracket, "[") && is(tokens, bracket + 1, "cfg")) {
            at += 1;
            continue;
        }
        let end = closing(tokens, bracket);
        let says = |word: &str| tokens[bracket..end].iter().any(|t| t.text == word);
        if says("test") && !says("not") {
            let until = if whole_file { tokens.len() } else { item_end(tokens, end + 1) };
            for token in &mut tokens[at..until] {
                token.in_tests = true;
            }
            at = until;
        } else {
            at = end + 1;
        }
    }
}

/// Where the item that starts at `at` is over: behind its body, its `;`, or its `,`.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while is(tokens, at, "#") && is(tokens, at + 1, "[") {
        at = closing(tokens, at + 1) + 1;
    }
    let mut ends_at_body = false;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "fn" | "impl" | "struct" | "enum" | "trait" | "mod" => ends_at_body = true,
            ";" => return at + 1,
            "," if !ends_at_body => return at + 1,
            "}" | ")" | "]" => return at,
            "{" | "(" | "[" => {
                let body = token.text == "{" && ends_at_body;
                at = closing(tokens, at);
                if body {
                    return (at + 1).min(tokens.len());
                }
            }
            _ => {}
        }
        at += 1;
    }
    tokens.len()
}

/// The index of the bracket that closes the one at `open`, or the end.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

pub(crate) fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|t| t.text == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        tokens(text).into_iter().map(|t| t.text).collect::<Vec<_>>().join(" ")
    }

    fn shipped(text: &str) -> String {
        tokens(text).into_iter().filter(|t| !t.in_tests).map(|t| t.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_no_tokens() {
        assert_eq!(words("a // b\n/* c /* d */ e */ f"), "a f");
        assert_eq!(words(r##"a "b \" c" r"d\" e r#"f " g"# b"h" h b'i' '\'' '"' j"##), "a e h j");
        assert_eq!(words("fn f<'a>(x: &'a str) { 'x' }"), "fn f < > ( x : & str ) { }");
        assert_eq!(words("r#async::x"), "async :: x");
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let found = tokens("/*\n*/ a \"\n\n\" b r#\"\n\"# c");
        assert_eq!(
            found.iter().map(|t| (t.text.as_str(), t.line)).collect::<Vec<_>>(),
            [("a", 2), ("b", 4), ("c", 5)]
        );
    }

    #[test]
    fn test_code_is_told_from_shipped_code() {
        assert_eq!(shipped("a #[cfg(test)] mod tests { x { y } } b"), "a b");
        assert_eq!(
            shipped("#[cfg(test)] #[allow(dead_code)] pub(crate) fn f<A, B>() -> [u8; 2] { x } b"),
            "b"
        );
        assert_eq!(shipped("#[cfg(test)] use x::{y, z}; b"), "b");
        assert_eq!(shipped("struct S { #[cfg(test)] x: u8, b: u8 }"), "struct S { b : u8 }");
        assert_eq!(shipped("#[cfg(not(test))] fn f() {}"), "# [ cfg ( not ( test ) ) ] fn f ( ) { }");
        assert_eq!(shipped("#[cfg(all(test, unix))] mod t; b"), "b");
        assert_eq!(shipped("#![cfg(test)] a b"), "");
        assert_eq!(test_modules(&tokens("mod a; #[cfg(test)] mod b;")), ["b"]);
    }

    #[test]
    fn sequences_are_found_whole_word() {
        let found = tokens("LaneWaker\nWaker tokio\n:: x");
        assert_eq!(find(&found, &["Waker"]).map(|t| t.line).collect::<Vec<_>>(), [2]);
        assert_eq!(find(&found, &["tokio", "::"]).map(|t| t.line).collect::<Vec<_>>(), [2]);
    }
}
