//! The medians of the rounds, a table a scenario.

use serde_json::Value;

/// One run: scenario, client, and its line of JSON; no line if it failed.
pub struct Row {
    pub scenario: String,
    pub client: String,
    pub line: Option<Value>,
}

pub fn print(rows: &[Row]) {
    let clients = clients(rows);
    for scenario in scenarios(rows) {
        let columns = if scenario.starts_with("latency") { LATENCY } else { RATE };
        println!("\n### {scenario}\n");
        println!("| client |{}", columns.iter().map(|(title, _)| format!(" {title} |")).collect::<String>());
        println!("|---|{}", "---|".repeat(columns.len()));
        for client in &clients {
            let own = rows.iter().filter(|row| row.scenario == scenario && row.client == *client);
            let (all, lines): (Vec<_>, Vec<_>) = own.map(|row| (row, row.line.as_ref())).unzip();
            if all.is_empty() {
                continue;
            }
            let lines: Vec<&Value> = lines.into_iter().flatten().collect();
            let failed = all.len() - lines.len();
            let note =
                if failed > 0 { format!(" ({failed} of {} failed)", all.len()) } else { String::new() };
            let cells = columns.iter().map(|(_, name)| format!(" {} |", cell(&lines, name)));
            println!("| {client}{note} |{}", cells.collect::<String>());
        }
    }
}

/// The scenarios, in the order of their first run.
pub fn scenarios(rows: &[Row]) -> Vec<&str> {
    in_order(rows.iter().map(|row| row.scenario.as_str()))
}

/// The clients, in the order of their first run.
pub fn clients(rows: &[Row]) -> Vec<&str> {
    in_order(rows.iter().map(|row| row.client.as_str()))
}

fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// The median of this member; `None` where no line has it.
pub fn median(lines: &[&Value], name: &str) -> Option<f64> {
    let numbers = numbers(lines, name);
    Some((numbers.get(numbers.len().checked_sub(1)? / 2)? + numbers[numbers.len() / 2]) / 2.0)
}

/// Median (least–most).
fn cell(lines: &[&Value], name: &str) -> String {
    let numbers = numbers(lines, name);
    let (Some(median), Some(least), Some(most)) = (median(lines, name), numbers.first(), numbers.last())
    else {
        return "–".to_owned();
    };
    let [median, least, most] = [median, *least, *most].map(short);
    if least == most { median } else { format!("{median} ({least}–{most})") }
}

fn numbers(lines: &[&Value], name: &str) -> Vec<f64> {
    let mut numbers: Vec<f64> = lines.iter().filter_map(|line| line[name].as_f64()).collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

fn short(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}

const RATE: &[(&str, &str)] = &[
    ("records/s", "rate"),
    ("client CPU s/M", "cpu_s_per_million"),
    ("broker CPU s/M", "broker_cpu_s_per_million"),
    ("rss MB", "max_rss_mb"),
    ("errors", "errors"),
];
const LATENCY: &[(&str, &str)] = &[
    ("p50 ms", "p50_ms"),
    ("p99 ms", "p99_ms"),
    ("p99.9 ms", "p999_ms"),
    ("max ms", "max_ms"),
    ("lost", "lost"),
    ("achieved/s", "rate_achieved"),
    ("client CPU s/M", "cpu_s_per_million"),
    ("broker CPU s/M", "broker_cpu_s_per_million"),
    ("errors", "errors"),
];
