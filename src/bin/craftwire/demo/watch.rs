//! Task: watches a run: reads the counters every second, shows them, and adds them up at the end.

use craftwire::crafting::{Crafting, Group, Publisher, Topic};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    cast::Desks,
    meter::{Meter, Second, Totals},
    panel::{self, Heading, Panel},
    publishing::Ledger,
    stats::{Latencies, Tally},
};
use crate::{
    clock::Epoch,
    output::{Data, DataError, stdout_is_terminal},
};

/// How a second is shown.
pub(crate) enum Display {
    Panel(Panel),
    Lines,
    Json,
}

impl Display {
    /// JSON if asked for, else what standard output is good for.
    pub(crate) fn choose(is_json: bool, heading: Heading) -> Self {
        match (is_json, stdout_is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Panel(Panel::new(heading)),
            (false, false) => Self::Lines,
        }
    }

    pub(crate) const fn is_json(&self) -> bool {
        matches!(self, Self::Json)
    }

    fn show(&mut self, second: &Second) -> Result<(), DataError> {
        let text = match self {
            Self::Panel(panel) => panel.redraw(second),
            Self::Lines => format!("{}\n", panel::line(second)),
            Self::Json => format!("{}\n", second.json()),
        };
        print(&text)
    }
}

/// Writes `text` to standard output at once.
pub(crate) fn print(text: &str) -> Result<(), DataError> {
    let mut out = Data::stdout();
    out.text(text)?;
    out.flush()
}

/// Everything that a second is read from.
pub(crate) struct Watch {
    epoch: Epoch,
    publisher: Publisher,
    ledger: Arc<Ledger>,
    desks: Arc<Desks>,
    pub(crate) lags: Arc<Lags>,
}

impl Watch {
    pub(crate) fn new(epoch: Epoch, publisher: &Publisher, ledger: &Arc<Ledger>, desks: &Arc<Desks>) -> Self {
        Self {
            epoch,
            publisher: publisher.clone(),
            ledger: ledger.clone(),
            desks: desks.clone(),
            lags: Arc::default(),
        }
    }

    /// Shows a second after the other, for ever or until nobody reads it any more.
    pub(crate) async fn show(&self, display: &mut Display) -> DataError {
        let mut meter = Meter::default();
        let mut tick = interval(SECOND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        tick.tick().await;
        loop {
            tick.tick().await;
            let at = Duration::from_micros(self.epoch.elapsed_us());
            let latency = self.windows().map(|window| window.quantiles());
            let second = meter.read(at, self.totals(), latency, self.lags.read());
            if let Err(error) = display.show(&second) {
                return error;
            }
        }
    }

    /// What all members of each topic counted.
    pub(crate) fn tallies(&self) -> [Tally; 2] {
        [0, 1].map(|at| {
            let mut tally = Tally::default();
            self.desks[at].iter().for_each(|desk| tally += desk.with_stats(|stats| stats.tally));
            tally
        })
    }

    /// What all members of each topic measured while latencies are judged.
    pub(crate) fn steady(&self) -> [Latencies; 2] {
        [0, 1].map(|at| {
            let mut all = Latencies::new();
            self.desks[at].iter().for_each(|desk| desk.with_stats(|stats| stats.collect_steady(&mut all)));
            all
        })
    }

    fn windows(&self) -> [Latencies; 2] {
        [0, 1].map(|at| {
            let mut all = Latencies::new();
            self.desks[at].iter().for_each(|desk| desk.with_stats(|stats| stats.collect_window(&mut all)));
            all
        })
    }

    fn totals(&self) -> [Totals; 2] {
        let metrics = self.publisher.metrics();
        let tallies = self.tallies();
        let sent = [metrics.events, metrics.progress];
        [0, 1].map(|at| Totals {
            published: self.ledger.taken[at].load(Relaxed),
            received: tallies[at].received,
            bytes_before: sent[at].bytes_uncompressed,
            bytes_after: sent[at].bytes_compressed,
        })
    }
}

/// The groups' lag, as the cluster said lately.
#[derive(Debug, Default)]
pub(crate) struct Lags([AtomicU64; 2]);

impl Lags {
    fn read(&self) -> [Option<u64>; 2] {
        // One more than the lag: nothing is known at first.
        [0, 1].map(|at| self.0[at].load(Relaxed).checked_sub(1))
    }

    /// Asks the cluster once a second.
    pub(crate) async fn follow(self: Arc<Self>, crafting: Crafting) {
        let mut tick = interval(SECOND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            for (lag, group) in self.0.iter().zip(Topic::ALL.map(Topic::group)) {
                lag.store(group_lag(&crafting, group).await.map_or(0, |known| known + 1), Relaxed);
            }
        }
    }
}

/// How many records a group has not committed, if the cluster says so in time.
pub(crate) async fn group_lag(crafting: &Crafting, group: Group) -> Option<u64> {
    let partitions = timeout(LAG_TIMEOUT, crafting.lag(group)).await.ok()?.ok()?;
    Some(partitions.values().filter_map(|partition| u64::try_from(partition.lag).ok()).sum())
}

const SECOND: Duration = Duration::from_secs(1);
const LAG_TIMEOUT: Duration = Duration::from_secs(5);
