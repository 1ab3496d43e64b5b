//! Which paths of the crate a file names, wherever it names them: in `use` trees and in the middle of code.

use crate::source::{Token, is};

/// One path, from the crate's root, with the line that names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) in_tests: bool,
}

/// A leaf of a `use` tree: the path as written, and the name that it gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) path: Vec<String>,
    pub(crate) name: String,
    line: usize,
}

/// The module path of a file under `src`: `["net", "clock"]`; empty for `lib.rs`.
pub(crate) fn module_of(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod" || last == "lib") {
        path.pop();
    }
    path
}

/// All paths of this crate that the file of module `module` names through `crate`, `super` or `self`.
pub(crate) fn imports(module: &[String], tokens: &[Token]) -> Vec<Import> {
    let mut found = Vec::new();
    let mut braces: Vec<Option<String>> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let mut current = module.to_vec();
        current.extend(braces.iter().flatten().cloned());
        match token.text.as_str() {
            "{" => {
                let opens_module = at >= 2 && is(tokens, at - 2, "mod");
                braces.push(opens_module.then(|| tokens[at - 1].text.clone()));
            }
            "}" => {
                braces.pop();
            }
            "use" if !is(tokens, at + 1, "<") => {
                let mut leaves = Vec::new();
                at = use_tree(tokens, at + 1, &[], &mut leaves);
                for leaf in leaves {
                    if let Some(path) = resolve(&current, &leaf.path) {
                        found.push(Import { path, line: leaf.line, in_tests: token.in_tests });
                    }
                }
            }
            "crate" | "super" | "self" if is(tokens, at + 1, "::") => {
                let mut path = vec![token.text.clone()];
                while is(tokens, at + 1, "::") && tokens.get(at + 2).is_some_and(|t| is_name(&t.text)) {
                    path.push(tokens[at + 2].text.clone());
                    at += 2;
                }
                if let Some(path) = resolve(&current, &path) {
                    found.push(Import { path, line: token.line, in_tests: token.in_tests });
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The leaves of all `use` trees of a file.
pub(crate) fn leaves(tokens: &[Token]) -> Vec<Leaf> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].text == "use" && !is(tokens, at + 1, "<") {
            at = use_tree(tokens, at + 1, &[], &mut found);
        }
        at += 1;
    }
    found
}

/// Expands the tree that starts at `at` under `prefix`. Returns where it ended: its `;`, `,` or `}`.
fn use_tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Leaf>) -> usize {
    let mut path = prefix.to_vec();
    let mut name = None;
    let mut line = tokens.get(at).map_or(0, |t| t.line);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" | "," | "}" => break,
            "::" if path.is_empty() => path.push("::".to_owned()), // from outside, whatever it is called
            "::" => {}
            "as" => {
                name = tokens.get(at + 1).map(|t| t.text.clone());
                at += 1;
            }
            "{" => {
                while !is(tokens, at, "}") && at + 1 < tokens.len() {
                    if is(tokens, at + 1, "}") {
                        at += 1; // a comma before the end, or nothing at all
                    } else {
                        at = use_tree(tokens, at + 1, &path, found);
                    }
                }
                return at + 1;
            }
            word => {
                path.push(word.to_owned());
                line = token.line;
            }
        }
        at += 1;
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
    found.push(Leaf { path, name, line });
    at
}

/// `path`, written in module `current`, from the crate's root; nothing if it does not start with one of the keywords.
fn resolve(current: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut base = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => current.to_vec(),
        _ => return None,
    };
    for part in path {
        match part.as_str() {
            "crate" | "self" | "*" => {}
            "super" => {
                base.pop();
            }
            name => base.push(name.to_owned()),
        }
    }
    Some(base)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tokens;

    fn named(file: &str, text: &str) -> Vec<String> {
        imports(&module_of(file), &tokens(text)).into_iter().map(|i| i.path.join("::")).collect()
    }

    #[test]
    fn files_have_their_modules() {
        assert_eq!(module_of("src/lib.rs"), Vec::<String>::new());
        assert_eq!(module_of("src/net/mod.rs"), ["net"]);
        assert_eq!(module_of("src/wire/api/fetch.rs"), ["wire", "api", "fetch"]);
    }

    #[test]
    fn use_trees_are_expanded() {
        assert_eq!(
            named(
                "src/net/a.rs",
                "pub(crate) use crate::{error, wire::{self, frame::{A as B, C},}, config::*};"
            ),
            ["error", "wire", "wire::frame::A", "wire::frame::C", "config"]
        );
        assert_eq!(
            named("src/net/a.rs", "use std::{fmt, io}; use ::tokio::x; use crate::{};"),
            Vec::<String>::new()
        );
        assert_eq!(named("src/net/a.rs", "fn f() -> impl T + use<'_> { crate::wire::x() }"), ["wire::x"]);
    }

    #[test]
    fn super_goes_up_from_the_module_that_says_it() {
        assert_eq!(named("src/net/a.rs", "use super::b;"), ["net::b"]);
        assert_eq!(named("src/net/mod.rs", "use super::wire::x;"), ["wire::x"]);
        assert_eq!(
            named("src/net/a.rs", "mod tests { use super::*; use super::super::c; } use super::d;"),
            ["net::a", "net::c", "net::d"]
        );
        assert_eq!(named("src/admin.rs", "use super::*;"), [""]);
    }

    #[test]
    fn paths_in_code_are_seen_with_their_lines() {
        let found =
            imports(&module_of("src/wire/a.rs"), &tokens("fn f() {\n crate::producer::send::<u8>();\n}"));
        let path = ["producer", "send"].map(str::to_owned).to_vec();
        assert_eq!(found, [Import { path, line: 2, in_tests: false }]);
        assert_eq!(
            named("src/wire/a.rs", "#[cfg(test)] mod t { fn f() { super::super::b::c(); } }"),
            ["wire::b::c"]
        );
    }

    #[test]
    fn the_names_that_a_use_gives_are_known() {
        let given: Vec<(String, String)> =
            leaves(&tokens("pub use wire::compression::Compression; pub use a::B as C;"))
                .into_iter()
                .map(|l| (l.name, l.path[0].clone()))
                .collect();
        assert_eq!(given, [("Compression".to_owned(), "wire".to_owned()), ("C".to_owned(), "a".to_owned())]);
    }
}
