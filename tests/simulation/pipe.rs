//! Bytes on their way in one direction of a connection.
//!
//! Invariant: bytes come out in the order in which they went in, none before its time, and none is made up; what does not
//! come out was cut off at one place, with everything behind it.

use bytes::Bytes;
use std::{collections::VecDeque, task::Waker, time::Duration};
use tokio::time::Instant;

/// See the module. What holds the bytes up is told with each call, since it belongs to the link.
#[derive(Debug)]
pub(crate) struct Pipe {
    chunks: VecDeque<(Instant, Bytes)>,
    held: usize,
    /// Nothing that is written now overtakes this.
    last_at: Instant,
    /// The writer is done: after the last chunk comes the end.
    is_ended: bool,
    /// Nobody reads any more.
    is_deaf: bool,
    pub(crate) written: u64,
    /// After so many bytes the connection ends.
    pub(crate) cut_at: Option<u64>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// How a link treats what is written to it now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) delay: Duration,
    pub(crate) bytes_per_ms: Option<usize>,
    /// The largest piece that arrives at once.
    pub(crate) piece: Option<usize>,
}

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Bytes(Bytes),
    End,
    /// Nothing before this.
    NotBefore(Instant),
    Nothing,
}

impl Pipe {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            chunks: VecDeque::new(),
            held: 0,
            last_at: now,
            is_ended: false,
            is_deaf: false,
            written: 0,
            cut_at: None,
            reader: None,
            writer: None,
        }
    }

    /// How many bytes it takes now.
    pub(crate) const fn room(&self) -> usize {
        WINDOW_BYTES.saturating_sub(self.held)
    }

    /// Takes bytes, as many as there is room for at most. Whether that was the place to cut at.
    pub(crate) fn push(&mut self, bytes: &[u8], pace: Pace, now: Instant) -> bool {
        let left = self.cut_at.map_or(u64::MAX, |at| at.saturating_sub(self.written));
        let kept = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let is_cut = kept < bytes.len() || self.cut_at.is_some_and(|at| at <= self.written);
        self.written += u64::try_from(kept).unwrap();
        if self.is_deaf {
            return is_cut;
        }
        let bytes = Bytes::copy_from_slice(&bytes[..kept]);
        let mut at = self.last_at.max(now + pace.delay);
        // Slow, but not so slow that a test of many megabytes never ends.
        let piece = pace.piece.map_or(usize::MAX, |piece| piece.max(kept / PIECES_MAX + 1));
        let mut from = 0;
        while from < kept {
            let to = kept.min(from.saturating_add(piece));
            if let Some(rate) = pace.bytes_per_ms {
                at += Duration::from_millis(u64::try_from((to - from).div_ceil(rate)).unwrap());
            } else if from > 0 {
                at += Duration::from_millis(1);
            }
            self.chunks.push_back((at, bytes.slice(from..to)));
            from = to;
        }
        self.held += kept;
        self.last_at = at;
        if is_cut {
            self.is_ended = true;
        }
        self.wake_reader();
        is_cut
    }

    /// What there is to read, `max` bytes at the most.
    pub(crate) fn pull(&mut self, max: usize, is_held_up: bool, now: Instant) -> Found {
        if is_held_up {
            return Found::Nothing;
        }
        let Some((at, bytes)) = self.chunks.front_mut() else {
            return if self.is_ended { Found::End } else { Found::Nothing };
        };
        if *at > now {
            return Found::NotBefore(*at);
        }
        let taken = bytes.split_to(max.min(bytes.len()));
        if bytes.is_empty() {
            self.chunks.pop_front();
        }
        self.held -= taken.len();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        Found::Bytes(taken)
    }

    /// The link carries again: what was sent meanwhile is sent again.
    pub(crate) fn resend(&mut self, delay: Duration, now: Instant) {
        for (at, _) in &mut self.chunks {
            *at = (*at).max(now + delay);
        }
        self.last_at = self.last_at.max(now + delay);
        self.wake_both();
    }

    /// The writer is done.
    pub(crate) fn end(&mut self) {
        self.is_ended = true;
        self.wake_reader();
    }

    /// The reader is gone.
    pub(crate) fn deafen(&mut self) {
        self.is_deaf = true;
        self.chunks.clear();
        self.held = 0;
        self.wake_both();
    }

    pub(crate) const fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    pub(crate) fn wait_to_read(&mut self, waker: &Waker) {
        self.reader = Some(waker.clone());
    }

    pub(crate) fn wait_to_write(&mut self, waker: &Waker) {
        self.writer = Some(waker.clone());
    }

    pub(crate) fn wake_both(&mut self) {
        self.wake_reader();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// What both sides' socket buffers hold.
const WINDOW_BYTES: usize = 256 * 1024;
/// Pieces that one write arrives in at most.
const PIECES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { delay: Duration::from_millis(5), bytes_per_ms: None, piece: None };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn bytes_come_in_order_and_not_before_their_time() {
        let start = Instant::now();
        let mut pipe = Pipe::new(start);
        assert!(!pipe.push(b"one", PACE, start));
        assert!(!pipe.push(b"two", Pace { delay: ms(1), ..PACE }, start));
        assert_eq!(pipe.pull(9, false, start), Found::NotBefore(start + ms(5)));
        assert_eq!(pipe.pull(2, false, start + ms(5)), Found::Bytes(Bytes::from("on")));
        assert_eq!(pipe.pull(9, true, start + ms(5)), Found::Nothing);
        assert_eq!(pipe.pull(9, false, start + ms(5)), Found::Bytes(Bytes::from("e")));
        assert_eq!(pipe.pull(9, false, start + ms(5)), Found::Bytes(Bytes::from("two")));
        assert_eq!(pipe.pull(9, false, start + ms(5)), Found::Nothing);
        pipe.end();
        assert_eq!(pipe.pull(9, false, start + ms(5)), Found::End);
    }

    #[test]
    fn a_cut_leaves_what_is_before_it() {
        let start = Instant::now();
        let mut pipe = Pipe::new(start);
        pipe.cut_at = Some(4);
        assert!(!pipe.push(b"one", PACE, start));
        assert!(pipe.push(b"two", PACE, start));
        let now = start + ms(5);
        assert_eq!(pipe.pull(9, false, now), Found::Bytes(Bytes::from("one")));
        assert_eq!(pipe.pull(9, false, now), Found::Bytes(Bytes::from("t")));
        assert_eq!(pipe.pull(9, false, now), Found::End);
    }

    #[test]
    fn small_pieces_and_a_slow_link_take_their_time() {
        let start = Instant::now();
        let mut pipe = Pipe::new(start);
        pipe.push(b"abc", Pace { piece: Some(1), ..PACE }, start);
        assert_eq!(pipe.pull(9, false, start + ms(5)), Found::Bytes(Bytes::from("a")));
        assert_eq!(pipe.pull(9, false, start + ms(5)), Found::NotBefore(start + ms(6)));
        let mut pipe = Pipe::new(start);
        pipe.push(&[0; 100], Pace { bytes_per_ms: Some(10), ..PACE }, start);
        assert_eq!(pipe.pull(9, false, start), Found::NotBefore(start + ms(15)));
    }

    #[test]
    fn what_was_held_up_is_sent_again_later() {
        let start = Instant::now();
        let mut pipe = Pipe::new(start);
        pipe.push(b"one", PACE, start);
        assert_eq!(pipe.pull(9, true, start + ms(100)), Found::Nothing);
        pipe.resend(ms(5), start + ms(100));
        assert_eq!(pipe.pull(9, false, start + ms(100)), Found::NotBefore(start + ms(105)));
    }
}
