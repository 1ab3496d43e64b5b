//! The live panel: on a terminal a table that is drawn over itself, elsewhere a line a second.

use std::{fmt::Write, time::Duration};

use super::meter::{Reading, Second, latency_limit, millis, short_name};

/// What stands above the table.
#[derive(Debug, Clone)]
pub(crate) struct Heading {
    pub(crate) length: Duration,
    pub(crate) sessions: u32,
    /// What it runs on.
    pub(crate) ground: String,
}

/// Draws the panel over the one before.
#[derive(Debug)]
pub(crate) struct Panel {
    heading: Heading,
    lines_drawn: usize,
}

impl Panel {
    pub(crate) fn new(heading: Heading) -> Self {
        Self { heading, lines_drawn: 0 }
    }

    /// The text that shows `second` in place of what was shown before.
    pub(crate) fn redraw(&mut self, second: &Second) -> String {
        let mut text = String::new();
        if self.lines_drawn > 0 {
            let _ = write!(text, "\x1b[{}A", self.lines_drawn);
        }
        let lines = self.lines(second);
        for line in &lines {
            let _ = writeln!(text, "{line}\x1b[K");
        }
        self.lines_drawn = lines.len();
        text
    }

    /// At most 79 columns each: a line that wraps could not be drawn over.
    fn lines(&self, second: &Second) -> Vec<String> {
        let Heading { length, sessions, ground } = &self.heading;
        let mut lines = vec![
            clipped(&format!(
                "{:.0} s of {:.0} s, {sessions} sessions watched, on {ground}",
                second.at.as_secs_f64(),
                length.as_secs_f64()
            )),
            format!(
                "{:9}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}",
                "", "out/s", "in/s", "MB/s", "sent", "p50 ms", "p99", "p99.9", "max", "waits", "lag"
            ),
        ];
        lines.extend(second.readings.iter().map(row));
        lines
    }
}

/// The same in one line.
pub(crate) fn line(second: &Second) -> String {
    let mut text = format!("{:4.0} s", second.at.as_secs_f64());
    for reading in &second.readings {
        let latency = &reading.latency;
        let _ = write!(
            text,
            " | {} {:.0}/s out {:.0}/s in {:.2} MB/s sent as {:.2}, p50 {} p99 {} of {} p99.9 {} max {} ms, waiting {}, \
             lag {}",
            short_name(reading.topic),
            reading.out_per_s,
            reading.in_per_s,
            reading.mb_before_per_s,
            reading.mb_after_per_s,
            ms(latency.p50_us),
            ms(latency.p99_us),
            latency_limit(reading.topic).as_millis(),
            ms(latency.p999_us),
            ms(latency.max_us),
            reading.waiting,
            lag(reading),
        );
    }
    text
}

fn row(reading: &Reading) -> String {
    let latency = &reading.latency;
    format!(
        "{:9}{:>7.0}{:>7.0}{:>7.2}{:>7.2}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}",
        short_name(reading.topic),
        reading.out_per_s,
        reading.in_per_s,
        reading.mb_before_per_s,
        reading.mb_after_per_s,
        ms(latency.p50_us),
        ms(latency.p99_us),
        ms(latency.p999_us),
        ms(latency.max_us),
        reading.waiting,
        lag(reading),
    )
}

/// Milliseconds with as many digits as matter.
pub(crate) fn ms(micros: u64) -> String {
    let millis = millis(micros);
    if millis < 10.0 { format!("{millis:.2}") } else { format!("{millis:.1}") }
}

fn lag(reading: &Reading) -> String {
    reading.lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string())
}

fn clipped(line: &str) -> String {
    line.chars().take(79).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{
        meter::{Meter, Totals},
        stats::Quantiles,
    };

    fn second(count: u64) -> Second {
        let totals =
            Totals { published: count, received: count, bytes_before: count * 400, bytes_after: count * 90 };
        let latency = Quantiles { count, p50_us: 2_345, p99_us: 9_999, p999_us: 12_345, max_us: 59_999_999 };
        Meter::default().read(Duration::from_secs(1), [totals; 2], [latency; 2], [Some(count), None])
    }

    #[test]
    fn a_line_has_everything() {
        let line = line(&second(5_000));
        let events = "   1 s | events 5000/s out 5000/s in 2.00 MB/s sent as 0.45, p50 2.35 p99 10.00 of 50 p99.9 12.3 max \
                      60000.0 ms, waiting 0, lag 5000 | progress ";
        assert!(line.starts_with(events), "{line}");
    }

    #[test]
    fn the_panel_fits_a_narrow_terminal_and_is_drawn_over() {
        let heading = Heading {
            length: Duration::from_secs(10),
            sessions: 100_000,
            ground: format!("{}:9092", "k".repeat(200)),
        };
        let mut panel = Panel::new(heading);
        let first = panel.redraw(&second(99_999));
        assert!(first.lines().all(|line| line.trim_end_matches("\x1b[K").chars().count() <= 79), "{first}");
        assert!(!first.contains("\x1b[4A"));
        assert!(panel.redraw(&second(1)).starts_with("\x1b[4A"));
    }
}
