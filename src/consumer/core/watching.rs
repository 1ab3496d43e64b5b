//! What is looked at from time to time although nothing happened: partitions that do not go forward, and an application
//! that does not ask. And where all of it can be read: the metrics.

use super::Core;
use crate::consumer::{
    config::ConsumerConfig,
    error::ConsumeError,
    event::{ConsumerEvent, StallCause},
    metrics::{ConsumerMetrics, PartitionMetrics, count},
    positions::{AssignmentId, PartitionState, Phase},
    stall::{Finding, Sight},
};
use std::time::{Duration, Instant};

impl Core {
    /// Looks at everything if it is time to. Gives when to come again, `None` while there is nothing to look at.
    pub(crate) fn watch(&mut self, now: Instant) -> Option<Instant> {
        if self.is_closed || self.partitions.iter().next().is_none() {
            self.watch_at = None;
            return None;
        }
        if let Some(at) = self.watch_at.filter(|&at| at > now) {
            return Some(at);
        }
        let pause = self.config.watch_pause();
        if self.watch_at.is_some_and(|at| now.saturating_duration_since(at) > pause) {
            self.polls.restart(now);
            self.partitions.iter_mut().for_each(|(_, state)| state.stall.restart(now));
        }
        self.watch_at = Some(now + pause);
        self.watch_partitions(pause, now);
        self.watch_polls(now);
        self.watch_at
    }

    fn watch_partitions(&mut self, pause: Duration, now: Instant) {
        let config = self.config.clone();
        let mut found = Vec::new();
        for (id, state) in self.partitions.iter_mut() {
            let answered_at = state.source().and_then(|broker| self.brokers.get(&broker)?.answered_at);
            // A fetch may be held back for as long as that although all is well.
            let within = config.fetch_max_wait + pause;
            let is_silent = answered_at.is_none_or(|at| now.saturating_duration_since(at) > within);
            let sight = Sight {
                cause: waits_for(state, &config, self.is_full, is_silent),
                position: state.tracker.position(),
                fetch_position: state.fetch_position,
            };
            found.extend(
                state.stall.observe(sight, config.stall_after, config.stall_limit, now).map(|it| (id, it)),
            );
        }
        for (id, finding) in found {
            self.tell(id, finding);
        }
    }

    fn tell(&mut self, id: AssignmentId, finding: Finding) {
        let Some(state) = self.partitions.get(id) else { return };
        let partition = state.name.clone();
        match finding {
            Finding::Stalled { cause, after } => {
                tracing::warn!(%partition, ?cause, ?after, "the partition does not go forward");
                self.stalls += 1;
                // Whatever the cause, metadata of today can only help.
                self.work.refresh |= cause != StallCause::Application;
                self.wakes.driver |= self.work.refresh;
                self.report(ConsumerEvent::Stalled { partition, cause, after });
            }
            Finding::Overdue { cause, after } => self.fail(ConsumeError::Stalled { partition, cause, after }),
            Finding::Resumed => self.report(ConsumerEvent::Resumed { partition }),
        }
    }

    fn watch_polls(&mut self, now: Instant) {
        let Some(interval) = self.config.max_poll_interval else { return };
        let has_records = self.buffer.bytes() > 0 || !self.errors.is_empty();
        let Some(after) = self.polls.observe(has_records, interval, now) else { return };
        tracing::warn!(?after, "the application has not asked for records");
        self.polls_missed += 1;
        self.report(ConsumerEvent::MaxPollExceeded { after });
        if self.config.leave_after_max_poll && self.config.is_member() {
            self.fail(ConsumeError::MaxPollExceeded { after });
        }
    }
}

impl Core {
    /// All counts, and where each partition stands.
    pub(crate) fn metrics(&self) -> ConsumerMetrics {
        let assigned = self.partitions.iter().map(|(_, state)| state);
        let partitions =
            assigned.filter(|state| state.phase != Phase::Revoking).map(|state| PartitionMetrics {
                partition: state.name.clone(),
                broker_id: state.source(),
                position: state.has_position().then(|| state.tracker.position()),
                lag: self.lag_of(state),
                buffered_bytes: count(state.buffered_bytes),
                records: state.counts.records,
                fetches: state.counts.fetches,
                bytes: state.counts.bytes,
                is_paused: state.is_paused,
                stalls: state.stall.stalls(),
                stalled: state.stall.stalled(),
            });
        ConsumerMetrics {
            records: self.counts.records,
            fetches: self.counts.fetches,
            bytes: self.counts.bytes,
            buffered_bytes: count(self.buffer.bytes()),
            buffer_bytes: count(self.config.buffer_bytes),
            stalls: self.stalls,
            max_polls_exceeded: self.polls_missed,
            brokers: self.brokers.iter().map(|(&id, counts)| counts.snapshot(id)).collect(),
            partitions: partitions.collect(),
        }
    }
}

/// Who has to do something before the partition can go forward. `None`: it is at its end, or not wanted to go on.
fn waits_for(
    state: &PartitionState,
    config: &ConsumerConfig,
    is_full: bool,
    is_silent: bool,
) -> Option<StallCause> {
    match state.phase {
        _ if state.is_paused => return None,
        // The caller was told by an error that it has to seek, or that the partition goes.
        Phase::Stopped | Phase::Revoking => return None,
        Phase::Committed | Phase::Lookup(_) => return Some(StallCause::Position),
        Phase::Reading => {}
    }
    let position = state.tracker.position();
    let end = state.readable_end(config.is_read_committed());
    if state.fetch_position > position || state.is_withheld || is_full {
        Some(StallCause::Application)
    } else if end > position || state.leader.is_none() || state.failures > 0 || is_silent {
        Some(StallCause::Broker)
    } else {
        (state.high_watermark > position).then_some(StallCause::OpenTransaction)
    }
}
