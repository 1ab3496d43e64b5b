//! When a connection's next request may leave: the batching rule.
//!
//! It may when a batch's worth of bytes is ready, or when the gap since the last request has passed. So the first record
//! after a pause leaves at once, and while records flow each request carries what came in a gap. The gap grows with
//! the time that answers take: else requests would pile up behind one another, and each would wait for all before it.

use super::config::DEPTH_MAX;
use std::time::{Duration, Instant};

/// Decides for one connection.
#[derive(Debug)]
pub(crate) struct Gate {
    gap: Duration,
    depth: usize,
    last_sent: Option<Instant>,
    ack_time: Option<Duration>,
    throttled_until: Option<Instant>,
}

/// Whether a request may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    Now,
    /// At this instant, or earlier if a batch's worth gets ready.
    At(Instant),
    /// Not before this instant.
    NotBefore(Instant),
    /// When an answer has come.
    AfterAnswer,
}

impl Gate {
    pub(crate) fn new(gap: Duration, depth: usize) -> Self {
        Self { gap, depth, last_sent: None, ack_time: None, throttled_until: None }
    }

    /// Whether a request may leave with `in_flight` before it; `enough`: a batch's worth of bytes is ready.
    pub(crate) fn leave(&self, now: Instant, in_flight: usize, enough: bool) -> Leave {
        if let Some(until) = self.throttled_until
            && now < until
        {
            return Leave::NotBefore(until);
        }
        if in_flight >= if enough { DEPTH_MAX } else { self.depth } {
            return Leave::AfterAnswer;
        }
        match self.last_sent.map(|sent| sent + self.gap_now()) {
            Some(at) if !enough && now < at => Leave::At(at),
            _ => Leave::Now,
        }
    }

    pub(crate) fn sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
    }

    /// An answer came after `ack_time`, and orders a pause of `throttle`.
    pub(crate) fn answered(&mut self, ack_time: Duration, throttle: Duration, now: Instant) {
        let sample = ack_time.min(ACK_TIME_MAX);
        // Smoothed over about eight answers, as TCP smooths its round trip time.
        self.ack_time = Some(self.ack_time.map_or(sample, |smooth| (smooth * 7 + sample) / 8));
        if !throttle.is_zero() {
            self.throttled_until = Some(now + throttle);
        }
    }

    /// Another connection: what was measured and ordered on the last one does not hold.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.gap, self.depth);
    }

    fn gap_now(&self) -> Duration {
        if self.gap.is_zero() {
            return Duration::ZERO;
        }
        let depth = u32::try_from(self.depth).unwrap_or(1).max(1);
        self.ack_time.map_or(self.gap, |ack_time| self.gap.max(ack_time / depth))
    }
}

/// One slow answer, such as during a leader change, does not slow down what comes after it for long.
const ACK_TIME_MAX: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        crate::net::clock::now()
    }

    #[test]
    fn the_first_record_leaves_at_once_and_the_next_after_the_gap() {
        let (mut gate, t0) = (Gate::new(2 * MS, 2), start());
        assert_eq!(gate.leave(t0, 0, false), Leave::Now);
        gate.sent(t0);
        assert_eq!(gate.leave(t0 + MS, 1, false), Leave::At(t0 + 2 * MS));
        assert_eq!(gate.leave(t0 + 2 * MS, 1, false), Leave::Now);
        assert_eq!(gate.leave(t0 + 1000 * MS, 0, false), Leave::Now, "after a pause");
    }

    #[test]
    fn a_batchs_worth_does_not_wait_and_may_go_deeper() {
        let (mut gate, t0) = (Gate::new(2 * MS, 2), start());
        gate.sent(t0);
        assert_eq!(gate.leave(t0, 2, false), Leave::AfterAnswer);
        assert_eq!(gate.leave(t0, 4, true), Leave::Now);
        assert_eq!(gate.leave(t0, 5, true), Leave::AfterAnswer);
    }

    #[test]
    fn the_gap_grows_with_the_time_of_answers() {
        let (mut gate, t0) = (Gate::new(MS, 2), start());
        for _ in 0..100 {
            gate.answered(20 * MS, Duration::ZERO, t0);
        }
        gate.sent(t0);
        assert_eq!(gate.leave(t0 + 9 * MS, 1, false), Leave::At(t0 + 10 * MS));
        for _ in 0..100 {
            gate.answered(MS / 2, Duration::ZERO, t0);
        }
        assert_eq!(gate.leave(t0 + MS, 1, false), Leave::Now);
    }

    #[test]
    fn an_ordered_pause_is_kept() {
        let (mut gate, t0) = (Gate::new(MS, 2), start());
        gate.answered(MS, 5_000 * MS, t0);
        assert_eq!(gate.leave(t0, 0, true), Leave::NotBefore(t0 + 5_000 * MS));
        assert_eq!(gate.leave(t0 + 5_000 * MS, 0, false), Leave::Now);
    }

    #[test]
    fn without_a_gap_everything_leaves_at_once() {
        let (mut gate, t0) = (Gate::new(Duration::ZERO, 5), start());
        gate.answered(20 * MS, Duration::ZERO, t0);
        gate.sent(t0);
        assert_eq!(gate.leave(t0, 4, false), Leave::Now);
    }
}
