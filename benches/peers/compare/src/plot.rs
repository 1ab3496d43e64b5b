//! Percentiles of latency as curves, a picture (SVG) a scenario: each client's medians of the rounds.

use crate::table::{Row, clients, median, scenarios};
use std::{fmt::Write, fs, io, path::Path};

/// Writes `NAME.svg` into `folder` for each latency scenario.
pub fn write(rows: &[Row], folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for scenario in scenarios(rows).into_iter().filter(|name| name.starts_with("latency")) {
        let curves: Vec<_> = clients(rows)
            .into_iter()
            .map(|client| (client, curve(rows, scenario, client)))
            .filter(|(_, points)| !points.is_empty())
            .collect();
        fs::write(folder.join(format!("{scenario}.svg")), picture(scenario, &curves))?;
    }
    Ok(())
}

fn curve(rows: &[Row], scenario: &str, client: &str) -> Vec<(f64, f64)> {
    let own = rows.iter().filter(|row| row.scenario == scenario && row.client == client);
    let lines: Vec<_> = own.filter_map(|row| row.line.as_ref()).collect();
    let points = PERCENTILES.iter().filter_map(|(at, name, _)| Some((*at, median(&lines, name)?)));
    points.collect()
}

fn picture(title: &str, curves: &[(&str, Vec<(f64, f64)>)]) -> String {
    let times = || curves.iter().flat_map(|(_, points)| points.iter().map(|(_, ms)| ms.max(0.01).log10()));
    let (low, high) = (times().fold(f64::MAX, f64::min).floor(), times().fold(f64::MIN, f64::max).ceil());
    let last = PERCENTILES[PERCENTILES.len() - 1].0;
    let x = |at: f64| LEFT + at / last * (WIDTH - LEFT - RIGHT);
    let y = |ms: f64| TOP + (high - ms.max(0.01).log10()) / (high - low).max(1.0) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}: publish to hand-off, ms by percentile</text>\n"
    );
    for (at, _, label) in PERCENTILES {
        let (x, bottom) = (x(at), HEIGHT - BOTTOM);
        line(&mut svg, (x, TOP), (x, bottom), "#ddd");
        text(&mut svg, (x, bottom + 18.0), "middle", label);
    }
    let mut decade = low;
    while decade <= high {
        for step in [1.0, 2.0, 5.0] {
            let ms = step * 10_f64.powf(decade);
            if ms.log10() <= high {
                line(&mut svg, (LEFT, y(ms)), (WIDTH - RIGHT, y(ms)), "#ddd");
                text(&mut svg, (LEFT - 6.0, y(ms) + 4.0), "end", &ms.to_string());
            }
        }
        decade += 1.0;
    }
    for (place, (client, points)) in curves.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let path: String = points.iter().map(|(at, ms)| format!("{:.1},{:.1} ", x(*at), y(*ms))).collect();
        let width = if client.starts_with("craftwire") { 3 } else { 1 };
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            path.trim_end()
        );
        let key = TOP + 18.0 * place as f64;
        line(&mut svg, (WIDTH - RIGHT + 12.0, key), (WIDTH - RIGHT + 36.0, key), colour);
        text(&mut svg, (WIDTH - RIGHT + 42.0, key + 4.0), "start", client);
    }
    svg.push_str("</svg>\n");
    svg
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

/// How many nines, the member of the client's line, and the label.
const PERCENTILES: [(f64, &str, &str); 4] =
    [(0.301, "p50_ms", "p50"), (1.0, "p90_ms", "p90"), (2.0, "p99_ms", "p99"), (3.0, "p999_ms", "p99.9")];
const COLOURS: [&str; 9] = ["#c00", "#06c", "#090", "#c60", "#939", "#077", "#770", "#555", "#e6a"];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;
