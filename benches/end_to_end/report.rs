//! Medians, and the tables that they are printed in.

use crate::kafka::Usage;

/// The runs of one measured thing: its median, and its extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    /// `None` of no runs.
    pub(crate) fn of(runs: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut runs: Vec<f64> = runs.into_iter().collect();
        runs.sort_by(f64::total_cmp);
        let (min, max) = (*runs.first()?, *runs.last()?);
        let middle = runs.len() / 2;
        let below = if runs.len().is_multiple_of(2) { runs[middle - 1] } else { runs[middle] };
        Some(Self { median: f64::midpoint(below, runs[middle]), min, max })
    }

    /// `median (min–max)`, the extremes only where they differ as printed.
    pub(crate) fn text(spread: Option<Self>, format: fn(f64) -> String) -> String {
        let Some(spread) = spread else { return "–".to_owned() };
        let (median, min, max) = (format(spread.median), format(spread.min), format(spread.max));
        if min == max { median } else { format!("{median} ({min}–{max})") }
    }
}

/// Whole numbers with commas.
pub(crate) fn whole(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Two places after the point; fewer for large numbers.
pub(crate) fn short(number: f64) -> String {
    if number < 9.995 {
        format!("{number:.2}")
    } else if number < 99.95 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    }
}

/// Seconds of processor time for a million records, of the client and of the broker.
pub(crate) fn cpu_per_million(usage: Usage, records: u64) -> (f64, Option<f64>) {
    let per_million = |time: std::time::Duration| time.as_secs_f64() * 1e6 / records.max(1) as f64;
    (per_million(usage.client), usage.broker.map(per_million))
}

/// What is held against a floor.
pub(crate) fn verdict(is_held: bool) -> &'static str {
    if is_held { "PASS" } else { "missed" }
}

/// A Markdown table, its columns as wide as their cells.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn print(&self) {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, cell)| format!("{cell:width$}", width = width(column).unwrap_or(0)))
                .collect();
            println!("| {} |", cells.join(" | "));
            if number == 0 {
                let rule: Vec<String> = cells.iter().map(|cell| "-".repeat(cell.chars().count())).collect();
                println!("| {} |", rule.join(" | "));
            }
        }
        println!();
    }
}
