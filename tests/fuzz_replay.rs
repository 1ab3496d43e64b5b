//! Runs the bodies of the fuzz targets over their committed corpus, on stable.
#![cfg(feature = "internals")]
#![allow(clippy::print_stdout, reason = "shown if a test fails: the last file is the culprit")]

use craftwire::internals;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Calls `check` with every file of the directory, which must hold some.
fn replay(directory: &str, check: fn(&[u8])) -> io::Result<()> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    files.sort();
    assert!(!files.is_empty(), "{directory} holds nothing to replay");
    for file in files {
        println!("{}", file.display());
        check(&fs::read(&file)?);
    }
    Ok(())
}

#[test]
fn record_batch() -> io::Result<()> {
    replay("fuzz/corpus/record_batch", internals::check_record_batch)?;
    replay("tests/golden/record_batch", internals::check_record_batch)
}

#[test]
fn response() -> io::Result<()> {
    replay("fuzz/corpus/response", internals::check_response)
}

#[test]
fn event_json() -> io::Result<()> {
    replay("fuzz/corpus/event_json", internals::check_event_json)?;
    replay("tests/data", internals::check_event_json)
}
