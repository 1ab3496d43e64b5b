//! What went over the network: a hash of every byte with its time, counts to find hot loops in, and the last frames to
//! look at.
//!
//! Invariant: it only watches. Two runs with equal hashes sent the same bytes at the same times.

use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

/// One request as it left a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) at_ms: u64,
    pub(crate) client: usize,
    pub(crate) broker: i32,
    pub(crate) connection: u64,
    pub(crate) api: i16,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, client, broker, connection, api } = self;
        write!(f, "{at_ms:>6} ms  client {client} -> broker {broker}, connection {connection}: api {api}")
    }
}

/// Bytes that were written to a connection, and the hash of all up to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Write {
    at_ms: u64,
    connection: u64,
    side: u64,
    bytes: usize,
    hash: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    frames: u64,
    connects: u64,
    /// By client: the bytes that brokers wrote to it.
    answered: BTreeMap<usize, u64>,
    last: VecDeque<Sent>,
    /// After each write.
    writes: Vec<Write>,
    /// By (client, broker): the second that is counted, requests and connects in it, and the most there were in one.
    rates: BTreeMap<(usize, i32), Rate>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Rate {
    second: u64,
    requests: u64,
    connects: u64,
    requests_max: u64,
    connects_max: u64,
}

impl Rate {
    fn at(&mut self, at_ms: u64) -> &mut Self {
        if self.second != at_ms / 1000 {
            (self.second, self.requests, self.connects) = (at_ms / 1000, 0, 0);
        }
        self
    }
}

impl Trace {
    pub(crate) const fn new() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            frames: 0,
            answered: BTreeMap::new(),
            connects: 0,
            last: VecDeque::new(),
            writes: Vec::new(),
            rates: BTreeMap::new(),
        }
    }

    /// Takes note of bytes that were written to a connection.
    pub(crate) fn bytes(&mut self, at_ms: u64, connection: u64, side: u64, bytes: &[u8]) {
        self.mix(at_ms);
        self.mix(connection << 1 | side);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.mix(u64::from(*byte));
        }
        self.writes.push(Write { at_ms, connection, side, bytes: bytes.len(), hash: self.hash });
    }

    pub(crate) fn request(&mut self, sent: Sent) {
        self.frames += 1;
        let rate = self.rates.entry((sent.client, sent.broker)).or_default().at(sent.at_ms);
        rate.requests += 1;
        rate.requests_max = rate.requests_max.max(rate.requests);
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(sent);
    }

    /// A client tries to connect.
    pub(crate) fn connect(&mut self, at_ms: u64, client: usize, broker: i32) {
        self.connects += 1;
        self.mix(at_ms);
        self.mix(u64::from(broker.cast_unsigned()));
        let rate = self.rates.entry((client, broker)).or_default().at(at_ms);
        rate.connects += 1;
        rate.connects_max = rate.connects_max.max(rate.connects);
    }

    /// All writes, to find where two runs part.
    pub(crate) fn take_writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }

    /// A broker wrote to a client.
    pub(crate) fn answer(&mut self, client: usize, bytes: usize) {
        *self.answered.entry(client).or_default() += u64::try_from(bytes).unwrap();
    }

    pub(crate) fn answered(&self, client: usize) -> u64 {
        self.answered.get(&client).copied().unwrap_or(0)
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) const fn connects(&self) -> u64 {
        self.connects
    }

    /// The most requests, and the most connects, that one client made to one broker within a second.
    pub(crate) fn busiest(&self) -> (u64, u64) {
        let requests = self.rates.values().map(|rate| rate.requests_max).max();
        let connects = self.rates.values().map(|rate| rate.connects_max).max();
        (requests.unwrap_or(0), connects.unwrap_or(0))
    }

    pub(crate) fn last(&self) -> impl Iterator<Item = &Sent> {
        self.last.iter()
    }

    const fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// Requests that are kept to look at.
const LAST: usize = 60;

/// Finds the frames in a stream of requests: what API each is of, and all of those that are looked into.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    /// What is kept of the frame under way, if it is.
    kept: Option<Vec<u8>>,
    left: usize,
}

/// Something of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Begun(i16),
    /// All of it but its length.
    Whole(Bytes),
}

impl Frames {
    /// What these bytes begin and complete; `is_kept` says which APIs are looked into.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], is_kept: impl Fn(i16) -> bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            if self.left > 0 {
                let (taken, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= taken.len();
                bytes = rest;
                if let Some(kept) = &mut self.kept {
                    kept.extend_from_slice(taken);
                    if self.left == 0 {
                        pieces.extend(self.kept.take().map(|whole| Piece::Whole(whole.into())));
                    }
                }
                continue;
            }
            let (taken, rest) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(taken);
            bytes = rest;
            if let [a, b, c, d, e, f] = self.head[..] {
                let len = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(2);
                self.left = len.saturating_sub(2);
                self.head.clear();
                let api = i16::from_be_bytes([e, f]);
                pieces.push(Piece::Begun(api));
                self.kept = is_kept(api).then(|| vec![e, f]);
            }
        }
        pieces
    }
}

/// A frame's length and its API key.
const HEAD: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_bytes_come() {
        let bytes = [0, 0, 0, 4, 0, 18, 9, 9, 0, 0, 0, 5, 0, 1, 7, 8, 9];
        let expected =
            [Piece::Begun(18), Piece::Begun(1), Piece::Whole(Bytes::from_static(&[0, 1, 7, 8, 9]))];
        assert_eq!(Frames::default().feed(&bytes, |api| api == 1), expected);
        let mut frames = Frames::default();
        let feed = |byte: &u8| frames.feed(&[*byte], |api| api == 1);
        assert_eq!(bytes.iter().flat_map(feed).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn another_byte_or_time_is_another_hash() {
        let hash = |at_ms, bytes: &[u8]| {
            let mut trace = Trace::new();
            trace.bytes(at_ms, 1, 0, bytes);
            trace.hash()
        };
        assert_eq!(hash(1, b"123456789"), hash(1, b"123456789"));
        assert_ne!(hash(1, b"123456789"), hash(2, b"123456789"));
        assert_ne!(hash(1, b"123456789"), hash(1, b"123456780"));
    }

    #[test]
    fn the_busiest_second_is_kept() {
        let mut trace = Trace::new();
        for at_ms in [10, 20, 990, 1_010] {
            trace.request(Sent { at_ms, client: 0, broker: 1, connection: 1, api: 0 });
            trace.connect(at_ms, 0, 2);
        }
        assert_eq!(trace.busiest(), (3, 3));
    }
}
