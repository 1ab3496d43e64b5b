//! The table of figures in the end.

use crate::{
    group::Book,
    ledger::Verdict,
    plan::{KINDS, Kind},
};
use std::{collections::BTreeMap, fs, time::Duration};

const MIB: f64 = (1 << 20) as f64;

/// What one kind of fault came to.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    times: u32,
    worst_gap: Duration,
    slowest: Duration,
}

/// All kinds so far.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<Kind, Row>);

impl Tally {
    /// `gap`: the longest time that a key was without an ack meanwhile; `again`: from
    /// the fault's end, with all nodes there, until every key had acks.
    pub(crate) fn note(&mut self, kind: Kind, gap: Duration, again: Duration) {
        let row = self.0.entry(kind).or_default();
        row.times += 1;
        row.worst_gap = row.worst_gap.max(gap);
        row.slowest = row.slowest.max(again);
    }

    pub(crate) fn times(&self) -> u32 {
        self.0.values().map(|row| row.times).sum()
    }

    pub(crate) fn print(&self) {
        println!("\n{:<28} {:>5} {:>18} {:>14}", "fault", "times", "longest ack gap", "acks again in");
        for kind in KINDS {
            let Some(row) = self.0.get(&kind) else { continue };
            println!(
                "{kind:<28} {:>5} {:>16.2} s {:>12.2} s",
                row.times,
                row.worst_gap.as_secs_f64(),
                row.slowest.as_secs_f64()
            );
        }
    }
}

/// What a process takes at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) resident: f64,
    pub(crate) files: usize,
    pub(crate) tasks: usize,
}

impl Usage {
    /// Of this process.
    pub(crate) fn now() -> Self {
        Self {
            resident: resident_mib(std::process::id()),
            files: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        }
    }
}

/// The resident memory of a process, in MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

pub(crate) fn print_usage(start: Usage, end: Usage, kept_bytes: usize, members: &[f64]) {
    #[allow(clippy::cast_precision_loss, reason = "a figure to read")]
    let kept = kept_bytes as f64 / MIB;
    println!(
        "resident             {:>10.1} MiB, then {:.1} MiB, of that {kept:.1} MiB the history kept here",
        start.resident, end.resident
    );
    let members: Vec<String> = members.iter().map(|mib| format!("{mib:.1}")).collect();
    println!("resident, members    {:>10} MiB", members.join(", "));
    println!("files                {:>10}, then {}", start.files, end.files);
    println!("tasks                {:>10}, then {}", start.tasks, end.tasks);
}

pub(crate) fn print_verdict(verdict: &Verdict, book: &Book) {
    println!();
    for (name, figure) in [
        ("records acked", verdict.acked),
        ("lost", verdict.lost),
        ("duplicates", verdict.duplicates),
        ("order breaks", verdict.order_breaks),
        ("acked elsewhere", verdict.misplaced),
        ("nobody's", verdict.foreign),
        ("not sent", verdict.not_sent),
        ("not sent yet written", verdict.written_not_sent),
        ("unknown", verdict.unknown),
        ("unknown and written", verdict.unknown_written),
        ("handed out", book.handed_out),
        ("handed out again", book.again),
        ("partitions lost", book.lost_partitions),
        ("cut back", book.truncated),
        ("errors told", book.errors),
    ] {
        println!("{name:<20} {figure:>10}");
    }
    println!("oldest again         {:>8.1} s", book.oldest_again.as_secs_f64());
}
