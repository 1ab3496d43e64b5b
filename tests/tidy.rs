//! The rules of the house that no compiler checks: which way imports point, which files may wait, who reads a clock,
//! and what text may not stand anywhere. Each rule is a function from a file to complaints, tried on bad input below.

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/source.rs"]
mod source;

use crate::{
    imports::{imports, leaves, module_of},
    source::{Token, find, tokens},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What all may import, and what imports nothing but its like.
const LEAVES: &[&str] = &["error", "config", "backoff", "metrics"];

/// What each folder may import besides itself and the leaves.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("config", &[]),
    ("backoff", &[]),
    ("metrics", &[]),
    ("wire", &[]),
    ("net", &["wire"]),
    ("cluster", &["wire", "net"]),
    ("producer", &["wire", "net", "cluster"]),
    ("consumer", &["wire", "net", "cluster"]),
    ("admin", &["wire", "net", "cluster"]),
    // `mock`: the one seam where a client is told to connect to a cluster in its own process.
    ("client", &["wire", "net", "cluster", "producer", "consumer", "admin", "mock"]),
    ("crafting", &["wire", "net", "cluster", "producer", "consumer", "admin", "client"]),
    ("gateway", &["wire", "net", "cluster", "producer", "consumer", "admin", "client", "crafting"]),
    // A second implementation, so that a symmetric mistake shows: it shares the framing and nothing else.
    ("mock", &["wire::frame"]),
];

/// The crate's root and the door for tests see everything.
const SEES_ALL: &[&str] = &["src/lib.rs", "src/internals.rs"];

/// The only files that read clocks. The mock imports nothing of `net`, and the program sees the public API only, so
/// each has one of its own.
const CLOCKS: &[&str] = &["src/net/clock.rs", "src/mock/clock.rs", "src/bin/craftwire/clock.rs"];

/// The first words of a file that may wait.
const TASK: &str = "//! Task:";

/// What a file that decides does not say.
const AWAITING: &[&[&str]] = &[
    &["async"],
    &["await"],
    &["tokio", "::"],
    &["Waker"],
    &["Instant", "::", "now"],
    &["clock", "::", "now"],
    &["wall_clock_ms"],
    &["elapsed", "("],
];

const READS_A_CLOCK: &[&[&str]] = &[
    &["Instant", "::", "now"],
    &["SystemTime", "::", "now"],
    &["Timestamp", "::", "now"],
    &["Zoned", "::", "now"],
];

/// Lines past which a file should be looked at: is it one concept?
const LONG_FILE_LINES: usize = 500;

#[test]
fn imports_point_one_way() {
    let files = crate_sources();
    let root_names = root_names(&files["src/lib.rs"]);
    let test_files = test_files(&files);
    check(
        files
            .iter()
            .filter(|(file, _)| !file.starts_with("src/bin/") && !SEES_ALL.contains(&file.as_str()))
            .flat_map(|(file, text)| {
                direction_complaints(file, text, &root_names, test_files.contains(file))
            }),
    );
}

#[test]
fn only_wire_and_mock_name_the_protocol_crate() {
    let files = crate_sources();
    let test_files = test_files(&files);
    let may = |file: &str| file.starts_with("src/wire/") || file.starts_with("src/mock/");
    check(
        files.iter().filter(|(file, _)| !may(file) && !test_files.contains(*file)).flat_map(
            |(file, text)| complaints(file, text, &[&["kafka_protocol"]], "belongs in wire and mock"),
        ),
    );
}

#[test]
fn a_file_decides_or_awaits() {
    let files = crate_sources();
    let test_files = test_files(&files);
    check(
        files
            .iter()
            .filter(|(file, _)| !test_files.contains(*file))
            .flat_map(|(file, text)| awaiting_complaints(file, text)),
    );
}

#[test]
fn one_file_reads_the_clocks() {
    check(crate_sources().iter().filter(|(file, _)| !CLOCKS.contains(&file.as_str())).flat_map(
        |(file, text)| {
            let found = tokens(text);
            let lines: Vec<String> = READS_A_CLOCK
                .iter()
                .flat_map(|wanted| find(&found, wanted))
                .map(|t| {
                    format!("{file}:{}: reads a clock: take `now` as an argument, or ask net::clock", t.line)
                })
                .collect();
            lines
        },
    ));
}

#[test]
fn tests_wait_for_the_thing_itself() {
    // The support code starts processes, and has nothing to wait on but their ports.
    let tests =
        rust_files().into_iter().filter(|(f, _)| f.starts_with("tests/") && !f.starts_with("tests/support/"));
    check(
        tests.flat_map(|(file, text)| {
            complaints_everywhere(&file, &text, &["sleep", "("], "wait for the thing")
        }),
    );
}

#[test]
fn nothing_is_left_unfinished() {
    check(text_files().iter().flat_map(|(file, text)| unfinished_complaints(file, text)));
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    check(text_files().iter().flat_map(|(file, text)| machine_path_complaints(file, text)));
}

#[test]
fn every_example_in_the_documentation_runs() {
    check(text_files().iter().flat_map(|(file, text)| fence_complaints(file, text)));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = root();
    check(text_files().iter().filter(|(file, _)| file.ends_with(".md")).flat_map(|(file, text)| {
        let folder = root.join(file).parent().map(Path::to_path_buf).unwrap_or_default();
        link_complaints(file, text, |target| folder.join(target).exists())
    }));
}

#[test]
fn long_files_are_reported() {
    let mut long: Vec<(usize, String)> = rust_files()
        .into_iter()
        .map(|(file, text)| (text.lines().count(), file))
        .filter(|(lines, _)| *lines > LONG_FILE_LINES)
        .collect();
    long.sort_unstable_by(|a, b| b.cmp(a));
    for (lines, file) in long {
        println!("{file}: {lines} lines: is it one concept?");
    }
}

fn direction_complaints(
    file: &str,
    text: &str,
    root_names: &BTreeMap<String, String>,
    is_test_file: bool,
) -> Vec<String> {
    let module = module_of(file);
    let Some((_, may)) = MAY_IMPORT.iter().find(|(folder, _)| *folder == module[0]) else {
        return vec![format!("{file}:1: `{}` has no line in MAY_IMPORT of tests/tidy.rs", module[0])];
    };
    let mut found = Vec::new();
    for import in imports(&module, &tokens(text)) {
        let mut path = import.path;
        if let Some(folder) = path.first().and_then(|first| root_names.get(first)) {
            path[0].clone_from(folder);
        }
        let Some(folder) = path.first() else {
            found.push(format!("{file}:{}: imports the crate's root: name the module", import.line));
            continue;
        };
        let path_is =
            |allowed: &&str| path.iter().map(String::as_str).zip(allowed.split("::")).all(|(a, b)| a == b);
        let in_tests = import.in_tests || is_test_file;
        let allowed = *folder == module[0]
            || LEAVES.contains(&folder.as_str())
            || may.iter().any(|allowed| path.len() >= allowed.split("::").count() && path_is(allowed))
            || (in_tests && folder == "mock");
        if !allowed {
            let (from, to) = (&module[0], path.join("::"));
            found.push(format!("{file}:{}: `{from}` may not import `{to}`", import.line));
        }
    }
    found
}

fn awaiting_complaints(file: &str, text: &str) -> Vec<String> {
    if text.starts_with(TASK) {
        return Vec::new();
    }
    complaints(file, text, AWAITING, "is for files that await: they start with `//! Task: `")
}

/// Where shipped code holds one of `wanted`.
fn complaints(file: &str, text: &str, wanted: &[&[&str]], why: &str) -> Vec<String> {
    let shipped: Vec<Token> = tokens(text).into_iter().filter(|t| !t.in_tests).collect();
    wanted
        .iter()
        .flat_map(|wanted| {
            find(&shipped, wanted).map(|t| format!("{file}:{}: `{}` {why}", t.line, wanted.concat()))
        })
        .collect()
}

fn complaints_everywhere(file: &str, text: &str, wanted: &[&str], why: &str) -> Vec<String> {
    find(&tokens(text), wanted).map(|t| format!("{file}:{}: `{}`: {why}", t.line, wanted.concat())).collect()
}

fn unfinished_complaints(file: &str, text: &str) -> Vec<String> {
    // Put together here, so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let macros = [concat!("to", "do!"), concat!("unimplemented", "!(")];
    lines(text)
        .filter(|(_, line)| {
            let mut parts = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            parts.any(|part| words.contains(&part)) || macros.iter().any(|m| line.contains(m))
        })
        .map(|(n, line)| format!("{file}:{n}: unfinished: {}", line.trim()))
        .collect()
}

fn machine_path_complaints(file: &str, text: &str) -> Vec<String> {
    let roots = ["work", "farm", "root", "home", "Users"].map(|root| format!("/{root}/"));
    let starts = |line: &str, root: &String| {
        line.match_indices(root.as_str()).any(|(at, _)| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | '*'))
        })
    };
    lines(text)
        .filter(|(_, line)| roots.iter().any(|root| starts(line, root)))
        .map(|(n, line)| format!("{file}:{n}: a path of one machine: {}", line.trim()))
        .collect()
}

fn fence_complaints(file: &str, text: &str) -> Vec<String> {
    let fence = |line: &str| -> Option<String> {
        let line = line.trim().trim_start_matches("//!").trim_start_matches("///").trim();
        line.strip_prefix("```").map(|info| info.trim_matches(['{', '}']).to_owned())
    };
    lines(text)
        .filter_map(|(n, line)| fence(line).map(|info| (n, info)))
        .filter(|(_, info)| info.split([',', ' ']).any(|word| word == "no_run" || word.starts_with("ignore")))
        .map(|(n, info)| format!("{file}:{n}: an example that does not run: {info}"))
        .collect()
}

fn link_complaints(file: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (n, line) in lines(text) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let reference =
            line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
        for target in inline.chain(reference) {
            let path = target.split('#').next().unwrap_or_default();
            let web = path.contains("://") || path.starts_with("mailto:");
            // In a page of the rustdoc a path of the code is rustdoc's to check.
            let code = file.starts_with("src/") && (path == "self" || path.contains("::"));
            let elsewhere = path.is_empty() || web || code;
            if !elsewhere && !exists(path) {
                found.push(format!("{file}:{n}: the link to {target} leads nowhere"));
            }
        }
    }
    found
}

/// What `lib.rs` names anew at the crate's root, and the folder that each comes from.
fn root_names(lib: &str) -> BTreeMap<String, String> {
    let local = |first: &String| !matches!(first.as_str(), "crate" | "self" | "super");
    leaves(&tokens(lib))
        .into_iter()
        .filter_map(|leaf| {
            leaf.path.iter().find(|part| local(part)).cloned().map(|folder| (leaf.name, folder))
        })
        .collect()
}

/// The files that a `#[cfg(test)] mod name;` declares.
fn test_files(files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, text) in files {
        for name in source::test_modules(&tokens(text)) {
            let module = [vec!["src".to_owned()], module_of(file), vec![name]].concat().join("/");
            found.extend([format!("{module}.rs"), format!("{module}/mod.rs")]);
        }
    }
    found
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

#[track_caller]
fn check(complaints: impl IntoIterator<Item = String>) {
    let found: Vec<String> = complaints.into_iter().collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn crate_sources() -> BTreeMap<String, String> {
    rust_files().into_iter().filter(|(file, _)| file.starts_with("src/")).collect()
}

fn rust_files() -> BTreeMap<String, String> {
    text_files().into_iter().filter(|(file, _)| file.ends_with(".rs")).collect()
}

/// Every file of the project that people wrote, by its path from the root.
fn text_files() -> BTreeMap<String, String> {
    let root = root();
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), ".git" | "target" | "corpus" | "artifacts" | "node_modules") {
                    folders.push(path);
                }
            } else if let (true, Ok(text)) = (is_text(&path), fs::read_to_string(&path)) {
                let file = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                found.insert(file, text);
            }
        }
    }
    assert!(found.contains_key("src/lib.rs"), "the sources are not where they are looked for");
    found
}

fn is_text(path: &Path) -> bool {
    let known = ["rs", "md", "toml", "yml", "yaml", "sh", "xml", "json", "properties", "patch"];
    let in_ci = path.parent().and_then(Path::file_name).is_some_and(|folder| folder == ".ci");
    in_ci || path.extension().and_then(|e| e.to_str()).is_some_and(|e| known.contains(&e))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The rules themselves, on bad input: a rule that was never seen to complain checks nothing.
mod seen_to_fail {
    use super::*;

    fn direction(file: &str, text: &str) -> Vec<String> {
        direction_complaints(file, text, &root_names("pub use wire::compression::Compression;"), false)
    }

    #[test]
    fn an_import_against_the_direction() {
        assert_eq!(
            direction("src/wire/frame.rs", "\nuse crate::{error::E, net::{Lane}};"),
            ["src/wire/frame.rs:2: `wire` may not import `net::Lane`"]
        );
        assert_eq!(
            direction("src/producer/mod.rs", "use super::consumer::X;"),
            ["src/producer/mod.rs:1: `producer` may not import `consumer::X`"]
        );
        assert_eq!(direction("src/config.rs", "fn f() { crate::wire::x() }").len(), 1);
        assert_eq!(direction("src/error.rs", "#[cfg(test)] mod t { use crate::cluster::X; }").len(), 1);
        assert_eq!(direction("src/wire/a.rs", "use crate::internals::X;").len(), 1);
    }

    #[test]
    fn an_import_with_the_direction_is_fine() {
        assert_eq!(
            direction("src/net/a.rs", "use crate::{error::E, wire::X, net::b}; use super::*;"),
            [""; 0]
        );
        assert_eq!(
            direction("src/producer/a.rs", "#[cfg(test)] mod t { use crate::mock::MockCluster; }"),
            [""; 0]
        );
        assert_eq!(direction("src/producer/a.rs", "use crate::Compression;"), [""; 0]);
    }

    #[test]
    fn the_root_named_as_a_whole_or_by_a_new_name() {
        assert_eq!(
            direction("src/admin.rs", "use super::*;"),
            ["src/admin.rs:1: imports the crate's root: name the module"]
        );
        assert_eq!(direction("src/error.rs", "use crate::Compression;").len(), 1);
    }

    #[test]
    fn a_mock_that_shares_more_than_frames() {
        assert_eq!(
            direction("src/mock/a.rs", "use crate::wire::frame::Frames; use crate::error::E;"),
            [""; 0]
        );
        assert_eq!(direction("src/mock/a.rs", "use crate::wire::record_batch::walk;").len(), 1);
        assert_eq!(direction("src/mock/a.rs", "use crate::wire;").len(), 1);
        assert_eq!(direction("src/wire/a.rs", "use crate::mock::X;").len(), 1);
    }

    #[test]
    fn a_folder_that_nobody_placed() {
        assert_eq!(
            direction("src/util/a.rs", ""),
            ["src/util/a.rs:1: `util` has no line in MAY_IMPORT of tests/tidy.rs"]
        );
    }

    #[test]
    fn a_deciding_file_that_awaits() {
        let bad = [
            "async fn f() {}",
            "fn f() { g().await }",
            "use tokio::net;",
            "fn f() { Instant::now() }",
            "use std::task::{Context, Waker};",
            "fn f() { clock::now() }",
            "fn f() { started.elapsed() }",
        ];
        for text in bad {
            assert_eq!(awaiting_complaints("a.rs", text).len(), 1, "{text}");
            assert_eq!(awaiting_complaints("a.rs", &format!("//! Task: x\n{text}")), [""; 0]);
            assert_eq!(awaiting_complaints("a.rs", &format!("#[cfg(test)] mod tests {{ {text} }}")), [""; 0]);
        }
        assert_eq!(
            awaiting_complaints("a.rs", "//! It has no `async`.\nuse LaneWaker; // no tokio::"),
            [""; 0]
        );
    }

    #[test]
    fn a_test_that_sleeps() {
        let call = |text| complaints_everywhere("tests/a.rs", text, &["sleep", "("], "wait");
        assert_eq!(
            call("#[cfg(test)]\nmod t { fn f() { thread::sleep(x) } }"),
            ["tests/a.rs:2: `sleep(`: wait"]
        );
        assert_eq!(call("// sleep(x)\nsleep_until(x)"), [""; 0]);
    }

    #[test]
    fn a_note_to_finish_it_later() {
        for word in [concat!("// TO", "DO: x"), concat!("<!-- FIX", "ME -->"), concat!("to", "do!()")] {
            assert_eq!(
                unfinished_complaints("a", &format!("x\n{word}")),
                [format!("a:2: unfinished: {word}")]
            );
        }
        assert_eq!(unfinished_complaints("a", "mktemp name.XXXXXX"), [""; 0]);
    }

    #[test]
    fn a_path_of_one_machine() {
        for root in ["root", "home", "Users"] {
            assert_eq!(machine_path_complaints("a", &format!("cd /{root}/x")).len(), 1);
            assert_eq!(machine_path_complaints("a", &format!("https://example.com/{root}/x")), [""; 0]);
        }
    }

    #[test]
    fn an_example_that_does_not_run() {
        for info in ["no_run", "rust,ignore", "ignore-windows", "{.rust, no_run}"] {
            assert_eq!(fence_complaints("a", &format!("/// ```{info}\n/// ```")).len(), 1, "{info}");
        }
        assert_eq!(fence_complaints("a", "//! ```\n//! ```text\n/// ```should_panic"), [""; 0]);
    }

    #[test]
    fn a_link_to_nothing() {
        let text =
            "[a](there.md#x) [b](gone.md) [c](https://x.y) [d](#x)\n```\n[e](no.md)\n```\n[f]: lost.md";
        assert_eq!(
            link_complaints("R.md", text, |path| path == "there.md"),
            ["R.md:1: the link to gone.md leads nowhere", "R.md:5: the link to lost.md leads nowhere"]
        );
    }

    #[test]
    fn test_files_are_those_declared_for_tests() {
        let text = "#[cfg(test)] mod testing; mod shipped;".to_owned();
        let files = BTreeMap::from([("src/wire/api/mod.rs".to_owned(), text)]);
        assert!(test_files(&files).contains("src/wire/api/testing.rs"));
        assert!(!test_files(&files).contains("src/wire/api/shipped.rs"));
    }
}
