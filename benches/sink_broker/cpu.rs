//! The processor time of this process by side: the sink's threads, and all others. Zero where there is no `/proc`.

use crate::broker;
use std::{fs, time::Duration};

/// Processor time used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) client: Duration,
    pub(crate) sink: Duration,
}

impl Cpu {
    pub(crate) fn now() -> Self {
        let mut cpu = Self::default();
        for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            let nanos = read("schedstat").split(' ').next().and_then(|first| first.parse().ok());
            let side =
                if read("comm").trim_end() == broker::THREAD { &mut cpu.sink } else { &mut cpu.client };
            *side += Duration::from_nanos(nanos.unwrap_or(0));
        }
        cpu
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            client: self.client.saturating_sub(earlier.client),
            sink: self.sink.saturating_sub(earlier.sink),
        }
    }
}
