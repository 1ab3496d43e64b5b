//! Runs the bodies of the fuzz targets over their committed corpus, on stable and within their bounds of memory.
#![cfg(feature = "internals")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "shown if a test fails: the last file is the culprit"
)]

#[allow(
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "a library in the fuzz workspace, and a time to start from"
)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::{
    fs, io,
    path::{Path, PathBuf},
};
use targets::{
    EVENT_JSON, FETCH_SESSION_OPS, FRAMES, GROUP_METADATA, MEMBERSHIP_OPS, PRODUCER_OPS, RECORD_BATCH,
    RESPONSE, SASL, TARGETS, Target,
};

fn replay_corpus(target: Target) -> io::Result<()> {
    replay(&format!("fuzz/corpus/{}", target.name), target, |file| file)
}

/// Runs every file of the directory, which must hold some, in the form in which the target takes it.
fn replay(directory: &str, target: Target, form: fn(Vec<u8>) -> Vec<u8>) -> io::Result<()> {
    let entries = fs::read_dir(root().join(directory))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    files.sort();
    assert!(!files.is_empty(), "{directory} holds nothing to replay");
    for file in files {
        println!("{}", file.display());
        target.run(&form(fs::read(&file)?));
    }
    Ok(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn frames() -> io::Result<()> {
    replay_corpus(FRAMES)
}

#[test]
fn response() -> io::Result<()> {
    replay_corpus(RESPONSE)
}

#[test]
fn record_batch() -> io::Result<()> {
    replay_corpus(RECORD_BATCH)?;
    // The first byte of an input says that batches follow.
    replay("tests/golden/record_batch", RECORD_BATCH, |file| [vec![0], file].concat())
}

#[test]
fn group_metadata() -> io::Result<()> {
    replay_corpus(GROUP_METADATA)
}

#[test]
fn producer_ops() -> io::Result<()> {
    replay_corpus(PRODUCER_OPS)
}

#[test]
fn fetch_session_ops() -> io::Result<()> {
    replay_corpus(FETCH_SESSION_OPS)
}

#[test]
fn membership_ops() -> io::Result<()> {
    replay_corpus(MEMBERSHIP_OPS)
}

#[test]
fn sasl() -> io::Result<()> {
    replay_corpus(SASL)
}

#[test]
fn event_json() -> io::Result<()> {
    replay_corpus(EVENT_JSON)?;
    replay("tests/data", EVENT_JSON, |file| file)
}

/// A target that is left out above, or in the fuzz workspace, would be fuzzed or replayed by nobody.
#[test]
fn every_target_has_a_binary_and_a_corpus() {
    for target in TARGETS {
        let binary = root().join(format!("fuzz/fuzz_targets/{}.rs", target.name));
        assert!(binary.is_file(), "{}", binary.display());
        assert!(include_str!("fuzz_replay.rs").contains(&format!("fn {}()", target.name)), "{}", target.name);
    }
}
