//! A producer's settings as a table, for logs and eyes.
//!
//! Invariant: every setting has a row, the ones that cannot be changed too, so that it is seen what they are.

use super::config::{DEPTH_MAX, ProducerBuilder, ProducerConfig, Profile};
use std::{fmt, time::Duration};

/// The profile's settings as a table: setting, value, unit.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ProducerConfig::of(*self).fmt(f)
    }
}

/// The settings so far as a table: setting, value, unit.
impl fmt::Display for ProducerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl fmt::Display for ProducerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, rows) = (["setting", "value", "unit"], rows(self));
        let width = |at: usize| {
            rows.iter().chain([&head.map(str::to_owned)]).map(|row| row[at].len()).max().unwrap_or(0)
        };
        let [setting, value, unit] = [0, 1, 2].map(width);
        let mut line = |cells: [&str; 3]| {
            writeln!(f, "| {:setting$} | {:>value$} | {:unit$} |", cells[0], cells[1], cells[2])
        };
        line(head)?;
        line([&"-".repeat(setting), &"-".repeat(value), &"-".repeat(unit)])?;
        for [setting, value, unit] in &rows {
            line([setting, value, unit])?;
        }
        Ok(())
    }
}

fn rows(config: &ProducerConfig) -> Vec<[String; 3]> {
    let row = |setting: &str, value: &dyn fmt::Display, unit: &str| {
        [setting.to_owned(), value.to_string(), unit.to_owned()]
    };
    let bytes = |setting, value: usize| row(setting, &value, "bytes");
    let time = |setting, value| row(setting, &millis(value), "ms");
    let (first_retry, last_retry) = config.retry_backoff;
    let durability = match (config.require_durability, config.promises_durability) {
        (true, _) => "required",
        (false, true) => "looked at",
        (false, false) => "as the topic",
    };
    vec![
        row("profile", &config.profile.name(), ""),
        row("acks", &"all", "replicas in sync"),
        row("idempotence", &"always", ""),
        row("durability", &durability, ""),
        row("compression", &config.compression, ""),
        time("request_gap", config.gap),
        bytes("batch_bytes", config.batch_bytes),
        bytes("max_message_bytes", config.max_message_bytes),
        bytes("request_bytes", config.request_bytes),
        row("requests_in_flight", &config.depth, "per broker"),
        row("requests_in_flight_full", &DEPTH_MAX, "per broker"),
        row("in_flight_bytes", &config.in_flight_bytes, "bytes per broker"),
        bytes("buffer_bytes", config.buffer_bytes),
        time("delivery_timeout", config.delivery_timeout),
        time("topic_timeout", config.topic_timeout),
        time("retry_backoff_first", first_retry),
        time("retry_backoff_last", last_retry),
    ]
}

/// Milliseconds, with what is left of them behind the point.
fn millis(time: Duration) -> String {
    let whole = time.as_millis();
    let rest = time.subsec_micros() % 1_000;
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}").trim_end_matches('0').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILES: [Profile; 3] = [Profile::Durable, Profile::Realtime, Profile::Throughput];

    fn cells(table: &str) -> Vec<Vec<&str>> {
        table.lines().map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    #[test]
    fn every_profile_is_a_table_of_even_lines() {
        for profile in PROFILES {
            let table = profile.to_string();
            let widths: Vec<_> = table.lines().map(str::len).collect();
            assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
            assert_eq!(cells(&table)[0], ["setting", "value", "unit"]);
            assert!(cells(&table).contains(&vec!["profile", profile.name(), ""]), "{table}");
        }
    }

    #[test]
    fn no_profile_lowers_acks() {
        for profile in PROFILES {
            let table = profile.to_string();
            assert!(cells(&table).contains(&vec!["acks", "all", "replicas in sync"]), "{table}");
            assert!(cells(&table).contains(&vec!["idempotence", "always", ""]), "{table}");
        }
    }

    #[test]
    fn values_are_those_that_are_used() {
        let config = ProducerConfig {
            gap: Duration::from_micros(1_500),
            batch_bytes: 7_777,
            require_durability: true,
            ..ProducerConfig::of(Profile::Realtime)
        };
        let table = config.to_string();
        for row in [
            ["request_gap", "1.5", "ms"],
            ["batch_bytes", "7777", "bytes"],
            ["durability", "required", ""],
            ["compression", "lz4", ""],
        ] {
            assert!(cells(&table).contains(&row.to_vec()), "{table}");
        }
    }
}
