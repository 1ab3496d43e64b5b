//! What this process has used, as Linux counts it; nothing where there is no `/proc`.

use std::fs;

/// A moment of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    /// Nanoseconds since 1970.
    pub(crate) at_ns: u64,
    /// The processor time used up to then, user and system.
    pub(crate) cpu_ns: u64,
}

impl Mark {
    /// What is used up to now, which is `now_ns`.
    pub(crate) fn new(now_ns: u64) -> Self {
        Self { at_ns: now_ns, cpu_ns: cpu_ns() }
    }
}

/// The most memory that the process has held, in bytes.
pub(crate) fn peak_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    kib_of(&status, "VmHWM:").unwrap_or(0) * 1024
}

fn kib_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// By thread, which is exact to the nanosecond; the sum for the process comes in steps of 10 ms. A thread that has
/// ended counts no more, so those of a run last to its end.
fn cpu_ns() -> u64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let used = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("schedstat")).ok();
    threads.filter_map(used).filter_map(|text| first_number(&text)).sum()
}

fn first_number(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_the_kernel_are_read() {
        assert_eq!(kib_of("VmPeak:\t  10 kB\nVmHWM:\t    1696 kB\n", "VmHWM:"), Some(1696));
        assert_eq!(first_number("442938533 442930358 118\n"), Some(442_938_533));
        assert_eq!(first_number(""), None);
    }
}
