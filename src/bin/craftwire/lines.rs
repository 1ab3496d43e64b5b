//! Bytes as they arrive, cut into lines, with a bound on how much of a line is kept.

use bytes::{Bytes, BytesMut};

/// A line without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: u64,
    /// How long it is; more than `bytes` holds if it is longer than what is kept.
    pub(crate) len: usize,
    pub(crate) bytes: Bytes,
}

impl Line {
    pub(crate) fn is_blank(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    /// Whether only its beginning was kept.
    pub(crate) fn is_cut(&self) -> bool {
        self.len > self.bytes.len()
    }
}

/// Cuts lines at `\n`, a `\r` in front of it included.
#[derive(Debug)]
pub(crate) struct Lines {
    pending: BytesMut,
    /// Bytes of the line at the front of `pending` that were dropped.
    dropped: usize,
    number: u64,
    kept_max: usize,
}

impl Lines {
    /// Keeps the first `kept_max` bytes of a line.
    pub(crate) fn new(kept_max: usize) -> Self {
        Self { pending: BytesMut::new(), dropped: 0, number: 0, kept_max }
    }

    /// Takes bytes and hands out the lines that are whole.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(Line)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            take(self.cut());
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// The last line, if it has no end.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        (!self.pending.is_empty()).then(|| self.cut())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.kept_max.saturating_sub(self.pending.len()).min(bytes.len());
        self.pending.extend_from_slice(&bytes[..room]);
        self.dropped += bytes.len() - room;
    }

    fn cut(&mut self) -> Line {
        self.number += 1;
        let dropped = std::mem::take(&mut self.dropped);
        if dropped == 0 && self.pending.last() == Some(&b'\r') {
            self.pending.truncate(self.pending.len() - 1);
        }
        let bytes = self.pending.split().freeze();
        Line { number: self.number, len: bytes.len() + dropped, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str], kept_max: usize) -> Vec<(u64, usize, String)> {
        let mut lines = Lines::new(kept_max);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk.as_bytes(), |line| found.push(line));
        }
        found.extend(lines.finish());
        found.into_iter().map(|l| (l.number, l.len, String::from_utf8_lossy(&l.bytes).into_owned())).collect()
    }

    #[test]
    fn lines_are_cut_wherever_the_chunks_are() {
        let whole = [(1, 2, "ab".to_owned()), (2, 0, String::new()), (3, 3, "cde".to_owned())];
        assert_eq!(lines(&["ab\n\ncde\n"], 10), whole);
        assert_eq!(lines(&["a", "b\r", "\n\nc", "d", "e"], 10), whole);
        assert_eq!(lines(&[""], 10), []);
    }

    #[test]
    fn a_long_line_is_cut_and_its_length_known() {
        assert_eq!(lines(&["abc", "defgh\nxy\n"], 4), [(1, 8, "abcd".to_owned()), (2, 2, "xy".to_owned())]);
    }
}
