//! The medians of the rounds, a table a scenario.

use serde_json::Value;

/// One run: scenario, client, and its line of JSON; no line if it failed.
pub struct Row {
    pub scenario: String,
    pub client: String,
    pub line: Option<Value>,
}

pub fn print(rows: &[Row]) {
    let mut scenarios: Vec<&str> = Vec::new();
    let mut clients: Vec<&str> = Vec::new();
    for row in rows {
        if !scenarios.contains(&row.scenario.as_str()) {
            scenarios.push(&row.scenario);
        }
        if !clients.contains(&row.client.as_str()) {
            clients.push(&row.client);
        }
    }
    for scenario in scenarios {
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

/// Median (least–most).
fn cell(lines: &[&Value], name: &str) -> String {
    let mut numbers: Vec<f64> = lines.iter().filter_map(|line| line[name].as_f64()).collect();
    numbers.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (numbers.first(), numbers.last()) else { return "–".to_owned() };
    let median = (numbers[(numbers.len() - 1) / 2] + numbers[numbers.len() / 2]) / 2.0;
    let [median, least, most] = [median, *least, *most].map(short);
    if least == most { median } else { format!("{median} ({least}–{most})") }
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
