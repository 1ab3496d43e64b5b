//! What a run used, and the line of JSON.

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{Client, Options, Result, Settings};

/// Nanoseconds since 1970 that never step back.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    began_ns: u64,
}

impl Clock {
    pub fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_ns: nanos(since) }
    }

    pub fn now_ns(self) -> u64 {
        self.began_ns + nanos(self.began.elapsed())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A moment, and the processor time used up to it, user and system.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at_ns: u64,
    cpu_us: i64,
}

impl Mark {
    pub fn now(clock: Clock) -> Result<Self> {
        let used = getrusage(UsageWho::RUSAGE_SELF)?;
        let cpu_us = used.user_time().num_microseconds() + used.system_time().num_microseconds();
        Ok(Self { at_ns: clock.now_ns(), cpu_us })
    }
}

pub struct Report {
    pub records: u64,
    pub start: Mark,
    pub end: Mark,
    pub errors: u64,
    pub settings: Value,
    /// Members of this mode only.
    pub more: Value,
}

impl Report {
    pub fn line<C: Client>(&self, options: &Options) -> Result<String> {
        let secs = (self.end.at_ns - self.start.at_ns) as f64 / 1e9;
        let cpu_s = (self.end.cpu_us - self.start.cpu_us) as f64 / 1e6;
        let records = self.records as f64;
        let mut line = json!({
            "client": C::NAME,
            "version": C::VERSION,
            "mode": options.mode.name(),
            "records": self.records,
            "secs": secs,
            "rate": (records / secs.max(1e-9)).round(),
            "cpu_s": cpu_s,
            "cpu_s_per_million": cpu_s * 1e6 / records.max(1.0),
            "max_rss_mb": getrusage(UsageWho::RUSAGE_SELF)?.max_rss() as f64 / 1024.0,
            "errors": self.errors,
            "settings": self.settings,
            "start_ns": self.start.at_ns,
            "end_ns": self.end.at_ns,
        });
        if let (Some(line), Some(more)) = (line.as_object_mut(), self.more.as_object()) {
            line.extend(more.clone());
        }
        Ok(line.to_string())
    }
}

pub fn settings_json(settings: &Settings) -> Value {
    let shown = settings.iter().filter(|(name, _)| !matches!(*name, "bootstrap.servers" | "group.id"));
    Value::Object(shown.map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<Map<_, _>>())
}

/// Exact percentiles, by nearest rank.
pub fn latency_members(latencies_ns: &mut [u64], expected: u64, span_ns: u64) -> Value {
    latencies_ns.sort_unstable();
    let percentile = |permille: usize| {
        let rank = (latencies_ns.len() * permille).div_ceil(1000).max(1);
        latencies_ns.get(rank - 1).copied().unwrap_or(0) as f64 / 1e6
    };
    let received = latencies_ns.len() as u64;
    json!({
        "p50_ms": percentile(500),
        "p90_ms": percentile(900),
        "p99_ms": percentile(990),
        "p999_ms": percentile(999),
        "max_ms": percentile(1000),
        "received": received,
        "lost": expected.saturating_sub(received),
        "rate_achieved": received as f64 * 1e9 / span_ns.max(1) as f64,
    })
}
