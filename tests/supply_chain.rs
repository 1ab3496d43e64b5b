//! What the dependency tree may hold, dev-dependencies included: no C, known licences, crates.io only.
//! The lists stand in `deny.toml`, once; this test holds the tree to them without `cargo deny` being installed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

use serde_json::Value;
use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

#[test]
fn nothing_banned_is_in_the_tree() {
    let banned = list(&deny_toml(), "bans", "deny");
    assert!(banned.iter().any(|name| name == "cc"), "deny.toml bans nothing of what it must: {banned:?}");
    assert_fine(packages().iter().filter_map(|package| ban_complaint(package, &banned)));
}

#[test]
fn every_licence_is_allowed() {
    let allowed = list(&deny_toml(), "licenses", "allow");
    assert_fine(packages().iter().filter_map(|package| licence_complaint(package, &allowed)));
}

#[test]
fn everything_comes_from_crates_io() {
    assert_fine(packages().iter().filter_map(source_complaint));
}

/// Optional dependencies belong to the program: a service that links the crate does not pay for them.
#[test]
fn the_default_features_are_lean() {
    let metadata = packages();
    let this =
        metadata.iter().find(|package| package["name"] == env!("CARGO_PKG_NAME")).expect("it lists itself");
    let optional: Vec<&str> = array(&this["dependencies"])
        .iter()
        .filter(|dependency| dependency["optional"] == true)
        .map(|dependency| text(&dependency["name"]))
        .collect();
    assert!(optional.contains(&"clap"), "the program's dependencies are not where they are looked for");
    let tree = cargo(&["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{lib}"]);
    let linked: BTreeSet<&str> = tree.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    println!("{} crates with the default features", linked.len());
    assert!(linked.contains("craftwire"), "cargo tree says: {tree}");
    assert_fine(
        optional
            .into_iter()
            .filter(|name| linked.contains(name.replace('-', "_").as_str()))
            .map(|name| format!("{name} is optional, yet the default features link it")),
    );
}

fn ban_complaint(package: &Value, banned: &[String]) -> Option<String> {
    let (name, links) = (text(&package["name"]), package["links"].as_str());
    if banned.iter().any(|banned| banned == name) {
        return Some(format!(
            "{}: deny.toml bans it (`cargo tree --all-features -i {name}` says who asks)",
            id(package)
        ));
    }
    let links = links.filter(|_| name.ends_with("-sys"))?;
    Some(format!("{}: it links the C library {links}", id(package)))
}

fn licence_complaint(package: &Value, allowed: &[String]) -> Option<String> {
    let Some(expression) = package["license"].as_str() else {
        return Some(format!("{}: it names no licence", id(package)));
    };
    let fine = Licences { words: &words(expression), at: 0, allowed }.expression();
    (!fine).then(|| {
        format!("{}: `{expression}` is not satisfied by the licences that deny.toml allows", id(package))
    })
}

fn source_complaint(package: &Value) -> Option<String> {
    // No source: a member of this workspace.
    let source = package["source"].as_str()?;
    let fine = source.starts_with("registry+") && source.ends_with("/crates.io-index");
    (!fine).then(|| format!("{}: it comes from {source}", id(package)))
}

/// A licence expression (SPDX; `/` is an old way to write OR), judged as it is read. AND binds tighter than OR.
struct Licences<'a> {
    words: &'a [String],
    at: usize,
    allowed: &'a [String],
}

impl Licences<'_> {
    fn expression(&mut self) -> bool {
        let mut fine = self.all_of();
        while self.takes("OR") || self.takes("/") {
            fine |= self.all_of();
        }
        fine
    }

    fn all_of(&mut self) -> bool {
        let mut fine = self.one();
        while self.takes("AND") {
            fine &= self.one();
        }
        fine
    }

    fn one(&mut self) -> bool {
        if self.takes("(") {
            let fine = self.expression();
            return self.takes(")") && fine;
        }
        let Some(mut licence) = self.words.get(self.at).cloned() else { return false };
        self.at += 1;
        if self.takes("WITH") {
            let exception = self.words.get(self.at).map_or("", String::as_str);
            licence = format!("{licence} WITH {exception}");
            self.at += 1;
        }
        self.allowed.contains(&licence)
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(is_next);
        is_next
    }
}

fn words(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " / ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// The list `key` of `[section]`, one entry a line: `"name",` or `{ crate = "name", … },`.
fn list(toml: &str, section: &str, key: &str) -> Vec<String> {
    let header = format!("[{section}]");
    let opens = format!("{key} = [");
    toml.lines()
        .map(str::trim)
        .skip_while(|line| *line != header)
        .skip(1)
        .take_while(|line| !(line.starts_with('[') && line.ends_with(']')))
        .skip_while(|line| *line != opens)
        .skip(1)
        .take_while(|line| *line != "]")
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

/// What some build of this workspace compiles, on whatever platform. `cargo metadata` alone lists more: what a feature
/// that nobody asks for would bring (`ring?/alloc` of a package is enough to list ring).
fn packages() -> Vec<Value> {
    let metadata = cargo(&["metadata", "--all-features", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let shape = ["--workspace", "--all-features", "--target", "all", "--prefix", "none", "--format", "{p}"];
    let tree = cargo(&[&["tree"], &shape[..]].concat());
    let built: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?.strip_prefix('v')?))
        })
        .collect();
    let is_built = |package: &&Value| built.contains(&(text(&package["name"]), text(&package["version"])));
    let packages: Vec<Value> = array(&metadata["packages"]).iter().filter(is_built).cloned().collect();
    assert_eq!(packages.len(), built.len(), "cargo metadata does not list what cargo tree does");
    packages
}

/// What cargo prints. With `--locked`: what is judged is what `Cargo.lock` says.
fn cargo(args: &[&str]) -> String {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let command = command.args(args).args(["--locked", "--manifest-path"]).arg(root().join("Cargo.toml"));
    let output = command.output().expect("cargo starts");
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

fn deny_toml() -> String {
    fs::read_to_string(root().join("deny.toml")).expect("deny.toml is there")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn id(package: &Value) -> String {
    format!("{} {}", text(&package["name"]), text(&package["version"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[track_caller]
fn assert_fine(complaints: impl IntoIterator<Item = String>) {
    let found: Vec<String> = complaints.into_iter().collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The rules themselves, on bad input: a rule that was never seen to complain checks nothing.
mod seen_to_fail {
    use super::*;
    use serde_json::json;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_package_that_compiles_c() {
        let banned = owned(&["cc"]);
        let complains = |package: Value| ban_complaint(&package, &banned).is_some();
        assert!(complains(json!({ "name": "cc", "version": "1.0.0", "links": null })));
        assert!(complains(json!({ "name": "new-sys", "version": "1.0.0", "links": "new" })));
        assert!(!complains(json!({ "name": "windows-sys", "version": "1.0.0", "links": null })));
        assert!(!complains(json!({ "name": "rayon-core", "version": "1.0.0", "links": "rayon-core" })));
    }

    #[test]
    fn a_licence_that_is_not_allowed() {
        let allowed = owned(&["MIT", "Apache-2.0", "Unicode-3.0"]);
        let fine = |licence: Value| {
            licence_complaint(&json!({ "name": "a", "version": "1.0.0", "license": licence }), &allowed)
                .is_none()
        };
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Unlicense/MIT",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "GPL-3.0 AND Zlib OR MIT",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(fine(json!(good)), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND GPL-3.0",
            "MIT AND (GPL-3.0 OR Zlib)",
            "Apache-2.0 WITH LLVM-exception",
            "(MIT",
        ] {
            assert!(!fine(json!(bad)), "{bad}");
        }
        assert!(!fine(Value::Null));
    }

    #[test]
    fn a_package_from_elsewhere() {
        let complains = |source: Value| {
            source_complaint(&json!({ "name": "a", "version": "1.0.0", "source": source })).is_some()
        };
        assert!(complains(json!("git+https://example.com/a")));
        assert!(complains(json!("registry+https://example.com/index")));
        assert!(!complains(json!("registry+https://example.com/crates.io-index")));
        assert!(!complains(Value::Null));
    }

    #[test]
    fn lists_are_read_from_their_section() {
        let toml = "[a]\nlist = [\n\"no\",\n]\n[b]\nx = 1\nlist = [\n  # c\n  { crate = \"d\", reason = \"e\" },\n  \"f\",\n]\n";
        assert_eq!(list(toml, "b", "list"), ["d", "f"]);
        assert_eq!(list(toml, "c", "list"), [""; 0]);
    }
}
