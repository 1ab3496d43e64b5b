//! The answers that a proxy hands on, as files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::frames::RequestHead;

/// An ApiVersions answer has the old header in every version.
const API_VERSIONS: i16 = 18;
/// The length and the correlation id.
const PREFIX_BYTES: usize = 4 + 4;

/// Where answers are written, each to a file of its own.
#[derive(Debug)]
pub(super) struct Tape {
    folder: PathBuf,
    written: AtomicUsize,
}

impl Tape {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), written: AtomicUsize::new(0) }
    }

    /// Writes what the fuzz target `response` takes: the API's number, the version, and the body.
    pub(super) fn write(&self, head: RequestHead, frame: &[u8]) {
        let Some(entry) = entry(head, frame) else { return };
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let name = format!("{number:05}-{}-v{}", head.api_key, head.api_version);
        let path = self.folder.join(name);
        fs::write(&path, entry).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// `None` for what no byte can name, or that has no body. Of the header's tagged fields, which no broker sends, only the
/// count is taken off.
fn entry(head: RequestHead, frame: &[u8]) -> Option<Vec<u8>> {
    let header_bytes = PREFIX_BYTES + usize::from(head.api_key != API_VERSIONS);
    let numbers = [u8::try_from(head.api_key).ok()?, u8::try_from(head.api_version).ok()?];
    Some([&numbers, frame.get(header_bytes..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_taken_off() {
        let head = |api_key| RequestHead { api_key, api_version: 4, correlation_id: 9 };
        let frame = b"\0\0\0\x07\0\0\0\x09\0ab";
        assert_eq!(entry(head(3), frame), Some(b"\x03\x04ab".to_vec()));
        assert_eq!(entry(head(18), frame), Some(b"\x12\x04\0ab".to_vec()));
        assert_eq!(entry(head(3), &frame[..8]), None);
        assert_eq!(entry(head(-1), frame), None);
    }
}
