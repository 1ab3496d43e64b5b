//! The one line of JSON that a run prints.

use serde_json::{Value, json};

use super::usage::{Mark, peak_rss_bytes};

/// A run's result.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) mode: &'static str,
    pub(crate) records: u64,
    pub(crate) start: Mark,
    pub(crate) end: Mark,
    pub(crate) errors: u64,
    pub(crate) settings: Value,
    /// Members of this mode only.
    pub(crate) more: Value,
}

impl Report {
    pub(crate) fn json(&self) -> Value {
        let Self { mode, records, start, end, errors, settings, more } = self;
        let secs = seconds(end.at_ns.saturating_sub(start.at_ns));
        let cpu_s = seconds(end.cpu_ns.saturating_sub(start.cpu_ns));
        let mut line = json!({
            "client": "craftwire",
            "version": env!("CARGO_PKG_VERSION"),
            "mode": mode,
            "records": records,
            "secs": rounded(secs, 4),
            "rate": (number(*records) / secs.max(1e-9)).round(),
            "cpu_s": rounded(cpu_s, 4),
            "cpu_s_per_million": rounded(cpu_s * 1e6 / number((*records).max(1)), 4),
            "max_rss_mb": rounded(number(peak_rss_bytes()) / 1024.0 / 1024.0, 1),
            "errors": errors,
            "settings": settings,
            "start_ns": start.at_ns,
            "end_ns": end.at_ns,
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more.clone());
        }
        line
    }
}

/// What a latency run adds: exact percentiles of all latencies, by nearest rank.
pub(crate) fn latency_members(latencies_ns: &mut [u64], expected: u64, span_ns: u64, requests: u64) -> Value {
    latencies_ns.sort_unstable();
    let percentile = |permille| rounded(number(nearest_rank(latencies_ns, permille)) / 1e6, 3);
    let received = u64::try_from(latencies_ns.len()).unwrap_or(u64::MAX);
    json!({
        "p50_ms": percentile(500),
        "p90_ms": percentile(900),
        "p99_ms": percentile(990),
        "p999_ms": percentile(999),
        "max_ms": percentile(1000),
        "received": received,
        "lost": expected.saturating_sub(received),
        "rate_achieved": rounded(number(received) / seconds(span_ns.max(1)), 1),
        "produce_requests_per_s": rounded(number(requests) / seconds(span_ns.max(1)), 1),
    })
}

/// Zero if there is nothing.
fn nearest_rank(sorted: &[u64], permille: usize) -> u64 {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn seconds(ns: u64) -> f64 {
    number(ns) / 1e9
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53, or far more digits than are shown")]
fn number(count: u64) -> f64 {
    count as f64
}

fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_cpu_are_of_the_timed_section() {
        let report = Report {
            mode: "produce",
            records: 2_000_000,
            start: Mark { at_ns: 5_000_000_000, cpu_ns: 1_000_000_000 },
            end: Mark { at_ns: 9_000_000_000, cpu_ns: 2_000_000_000 },
            errors: 0,
            settings: json!({}),
            more: json!({ "lost": 3 }),
        };
        let line = report.json();
        assert_eq!(line["secs"], 4.0);
        assert_eq!(line["rate"], 500_000.0);
        assert_eq!((&line["cpu_s"], &line["cpu_s_per_million"]), (&json!(1.0), &json!(0.5)));
        assert_eq!((&line["start_ns"], &line["lost"]), (&json!(5_000_000_000_u64), &json!(3)));
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let mut latencies: Vec<u64> = (1..=1000).rev().map(|ms| ms * 1_000_000).collect();
        let line = latency_members(&mut latencies, 1001, 1_000_000_000, 250);
        assert_eq!((&line["p50_ms"], &line["p99_ms"]), (&json!(500.0), &json!(990.0)));
        assert_eq!((&line["p999_ms"], &line["max_ms"]), (&json!(999.0), &json!(1000.0)));
        assert_eq!((&line["received"], &line["lost"]), (&json!(1000), &json!(1)));
        assert_eq!(
            (&line["rate_achieved"], &line["produce_requests_per_s"]),
            (&json!(1000.0), &json!(250.0))
        );
        assert_eq!(nearest_rank(&[], 500), 0);
        assert_eq!(nearest_rank(&[7], 1), 7);
    }
}
