//! Totals that only grow, turned into what happened in a second.

use craftwire::crafting::Topic;
use serde_json::{Value, json};
use std::time::Duration;

use super::stats::Quantiles;

/// One topic's totals at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) published: u64,
    pub(crate) received: u64,
    /// Bytes of sent batches before compression.
    pub(crate) bytes_before: u64,
    /// The same as sent.
    pub(crate) bytes_after: u64,
}

/// One topic's last second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) topic: Topic,
    pub(crate) out_per_s: f64,
    pub(crate) in_per_s: f64,
    pub(crate) mb_before_per_s: f64,
    pub(crate) mb_after_per_s: f64,
    pub(crate) latency: Quantiles,
    /// Published and not handed out yet.
    pub(crate) waiting: u64,
    /// What the group has not committed, if the cluster said so lately.
    pub(crate) lag: Option<u64>,
}

/// The last second.
#[derive(Debug, Clone)]
pub(crate) struct Second {
    pub(crate) at: Duration,
    pub(crate) readings: [Reading; 2],
}

/// Remembers the totals of the last reading.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    at: Duration,
    totals: [Totals; 2],
}

impl Meter {
    /// What happened since the last call. The arrays are in the order of [`Topic::ALL`].
    pub(crate) fn read(
        &mut self,
        at: Duration,
        totals: [Totals; 2],
        latency: [Quantiles; 2],
        lag: [Option<u64>; 2],
    ) -> Second {
        let seconds = at.saturating_sub(self.at).as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| amount(now.saturating_sub(before)) / seconds;
        let reading = |at: usize| {
            let (now, before) = (totals[at], self.totals[at]);
            Reading {
                topic: Topic::ALL[at],
                out_per_s: rate(now.published, before.published),
                in_per_s: rate(now.received, before.received),
                mb_before_per_s: rate(now.bytes_before, before.bytes_before) / 1e6,
                mb_after_per_s: rate(now.bytes_after, before.bytes_after) / 1e6,
                latency: latency[at],
                waiting: now.published.saturating_sub(now.received),
                lag: lag[at],
            }
        };
        let second = Second { at, readings: [reading(0), reading(1)] };
        *self = Self { at, totals };
        second
    }
}

impl Second {
    /// As `--json` prints it.
    pub(crate) fn json(&self) -> Value {
        let topics = self.readings.iter().map(|reading| {
            let fields = json!({
                "published_per_s": rounded(reading.out_per_s),
                "received_per_s": rounded(reading.in_per_s),
                "mb_per_s": rounded(reading.mb_before_per_s),
                "mb_sent_per_s": rounded(reading.mb_after_per_s),
                "latency_ms": latency_json(&reading.latency),
                "waiting": reading.waiting,
                "group_lag": reading.lag,
            });
            (short_name(reading.topic).to_owned(), fields)
        });
        json!({
            "kind": "second",
            "at_s": rounded(self.at.as_secs_f64()),
            "topics": topics.collect::<serde_json::Map<_, _>>(),
        })
    }
}

/// The topic in the demo's own tables.
pub(crate) const fn short_name(topic: Topic) -> &'static str {
    match topic {
        Topic::Events => "events",
        Topic::Progress => "progress",
    }
}

/// The contract's limit of the 99th percentile.
pub(crate) const fn latency_limit(topic: Topic) -> Duration {
    match topic {
        Topic::Events => Duration::from_millis(50),
        Topic::Progress => Duration::from_millis(10),
    }
}

pub(crate) fn latency_json(latency: &Quantiles) -> Value {
    if latency.count == 0 {
        return Value::Null;
    }
    json!({
        "p50": millis(latency.p50_us),
        "p99": millis(latency.p99_us),
        "p99_9": millis(latency.p999_us),
        "max": millis(latency.max_us),
    })
}

/// Microseconds as milliseconds.
pub(crate) fn millis(micros: u64) -> f64 {
    amount(micros) / 1000.0
}

/// A count as a number to reckon with. Counts stay far below 2^53, where this is exact.
#[allow(clippy::cast_precision_loss, reason = "said above")]
pub(crate) const fn amount(count: u64) -> f64 {
    count as f64
}

/// Two digits behind the point.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(published: u64, received: u64) -> Totals {
        Totals { published, received, bytes_before: published * 500, bytes_after: published * 100 }
    }

    #[test]
    fn a_reading_is_the_difference_to_the_last_one() {
        let mut meter = Meter::default();
        let none = [Quantiles::default(); 2];
        meter.read(Duration::from_secs(1), [totals(100, 90), totals(0, 0)], none, [None; 2]);
        let second =
            meter.read(Duration::from_secs(3), [totals(300, 280), totals(8, 8)], none, [Some(7), None]);
        let [events, progress] = second.readings;
        assert_eq!((events.out_per_s, events.in_per_s, events.waiting), (100.0, 95.0, 20));
        assert_eq!((events.mb_before_per_s, events.mb_after_per_s), (0.05, 0.01));
        assert_eq!((progress.out_per_s, progress.waiting), (4.0, 0));
        let json = second.json();
        assert_eq!(json["topics"]["events"]["group_lag"], 7);
        assert_eq!(json["topics"]["progress"]["latency_ms"], Value::Null);
    }
}
