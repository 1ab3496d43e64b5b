//! What each broker is asked for, and what its answers do.

use super::{Core, is_refusal};
use crate::{
    consumer::{
        aborted::AbortedFilter,
        buffer::Chunk,
        error::ConsumeError,
        event::ConsumerEvent,
        fetch_session::Wanted,
        metrics::count,
        positions::{AssignmentId, PartitionState, Phase},
    },
    error::{DecodeError, ErrorCode},
    wire::{
        api::{
            fetch::FetchPartition,
            produce::{LeaderIdAndEpoch, NodeEndpoint},
        },
        record_batch::RawBatch,
    },
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a lane may fetch from its broker now.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) max_bytes: i32,
    /// Something was left out because its share of the buffer is full: do not wait long for the others.
    pub(crate) is_withholding: bool,
    /// When a partition that is backing off may be asked for again.
    pub(crate) retry_at: Option<Instant>,
}

/// One partition's part of a fetch answer, its batch headers walked.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) assignment: AssignmentId,
    pub(crate) serial: u64,
    /// The offset that was asked for.
    pub(crate) requested: i64,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    /// The replica that the leader wants it read from, -1 for the leader itself.
    pub(crate) preferred_read_replica: i32,
    pub(crate) outcome: Outcome,
}

/// What a broker answered for one partition.
#[derive(Debug)]
pub(crate) enum Outcome {
    Data {
        batches: VecDeque<RawBatch>,
        bytes: usize,
        /// Where the next fetch reads on.
        next_offset: i64,
        leader_epoch: i32,
        aborted: AbortedFilter,
        /// What stopped the walk.
        corrupt: Option<DecodeError>,
    },
    /// The leader's log does not hold what was read (KIP-320): they part at this epoch and offset.
    Diverged {
        leader_epoch: i32,
        end_offset: i64,
    },
    Failed {
        code: ErrorCode,
        hint: Option<LeaderIdAndEpoch>,
    },
}

impl Core {
    /// What `broker` shall be asked for now.
    pub(crate) fn wants(&mut self, broker: i32, now: Instant) -> Wants {
        let mut wants = Wants::default();
        // Half of the buffer is for what was fetched, half for what the lanes may have under way.
        self.is_full = self.buffer.bytes() > self.config.buffer_bytes / 2;
        if self.is_full {
            return wants;
        }
        let share = self.config.buffer_bytes / (2 * self.lane_count);
        wants.max_bytes = saturating_i32(share.min(self.config.fetch_max_bytes));
        let partition_bytes = self.config.partition_fetch_bytes.min(share);
        for (id, state) in self.partitions.iter_mut() {
            if state.read_replica.is_some_and(|(_, until)| until <= now) {
                // The leader says whether the other replica still is the one to read from.
                state.read_replica = None;
                self.wakes.lanes.extend(state.leader);
            }
            if state.source() != Some(broker) || !state.is_readable() {
                continue;
            }
            if let Some(at) = state.retry_at.filter(|&at| at > now) {
                wants.retry_at = Some(wants.retry_at.map_or(at, |before| before.min(at)));
                continue;
            }
            let would_hold = state.buffered_bytes.saturating_add(partition_bytes);
            state.is_withheld = state.buffered_bytes > 0 && would_hold > self.config.partition_buffer_bytes;
            if state.is_withheld {
                wants.is_withholding = true;
                continue;
            }
            wants.wanted.push(Wanted {
                topic_id: state.topic_id,
                spec: FetchPartition {
                    index: state.name.partition,
                    current_leader_epoch: state.leader_epoch,
                    fetch_offset: state.fetch_position,
                    last_fetched_epoch: state.fetch_epoch,
                    max_bytes: saturating_i32(partition_bytes),
                },
                assignment: id,
                serial: state.serial,
            });
        }
        if !wants.wanted.is_empty() {
            self.brokers.entry(broker).or_default().fetches += 1;
        }
        wants
    }

    /// Takes in a fetch answer. What belongs to an earlier reading, or was not asked for like this, is dropped.
    pub(crate) fn handle_fetched(
        &mut self,
        broker: i32,
        answer: Vec<Fetched>,
        endpoints: &Arc<[NodeEndpoint]>,
        now: Instant,
    ) {
        let counts = self.brokers.entry(broker).or_default();
        counts.answers += 1;
        counts.answered_at = Some(now);
        for part in answer {
            let Some(state) = self.partitions.current(part.assignment, part.serial) else { continue };
            if state.phase != Phase::Reading || state.fetch_position != part.requested {
                continue;
            }
            let id = part.assignment;
            let replica = part.preferred_read_replica;
            match part.outcome {
                Outcome::Data { batches, .. }
                    if replica >= 0
                        && replica != broker
                        && state.leader == Some(broker)
                        && batches.is_empty() =>
                {
                    state.read_replica = Some((replica, now + READ_REPLICA_TIME));
                    self.wakes.lanes.insert(replica);
                    self.wakes.driver = true;
                }
                Outcome::Data { batches, bytes, next_offset, leader_epoch, aborted, corrupt } => {
                    state.high_watermark = part.high_watermark;
                    state.last_stable_offset = part.last_stable_offset;
                    state.clear_failures();
                    if !batches.is_empty() {
                        state.fetch_position = next_offset;
                        state.fetch_epoch = leader_epoch;
                        state.buffered_bytes += bytes;
                        if let Some(counts) = self.brokers.get_mut(&broker) {
                            counts.bytes += count(bytes);
                        }
                        state.counts.fetched(bytes);
                        self.counts.fetched(bytes);
                        let serial = state.serial;
                        self.buffer.push(Chunk { assignment: id, serial, batches, aborted, bytes });
                        self.wakes.reader = true;
                    }
                    if let Some(error) = corrupt {
                        // What came before it is handed out first, if it is not to be fetched again anyway.
                        self.handle_corrupt(id, part.serial, next_offset, error);
                    }
                }
                Outcome::Diverged { leader_epoch, end_offset } => {
                    self.handle_diverged(id, leader_epoch, end_offset);
                }
                Outcome::Failed { code, hint } => {
                    if let Some(hint) = hint {
                        self.work.hints.push((state.name.clone(), hint, endpoints.clone()));
                        self.wakes.driver = true;
                    }
                    if state.read_replica.is_some_and(|(replica, _)| replica == broker) {
                        // Also for an offset that is out of its range: only the leader's word counts (librdkafka #4616).
                        self.leave_replica(id, now);
                    } else if state.leader == Some(broker) {
                        self.handle_fetch_failed(id, code, now);
                    }
                }
            }
        }
    }

    /// Back to the leader, after a pause: it may name the same replica again.
    fn leave_replica(&mut self, id: AssignmentId, now: Instant) {
        let Some(state) = self.partitions.get_mut(id) else { return };
        state.read_replica = None;
        state.handle_failure(now);
        self.wakes.lanes.extend(state.leader);
        self.work.refresh = true;
        self.wakes.driver = true;
    }

    fn handle_fetch_failed(&mut self, id: AssignmentId, code: ErrorCode, now: Instant) {
        let Some(state) = self.partitions.get_mut(id) else { return };
        if code == ErrorCode::OFFSET_OUT_OF_RANGE {
            let offset = state.fetch_position;
            if state.buffered_bytes > 0 || offset != state.tracker.position() {
                // What was fetched before is still good; the offset counts once reading stands there.
                state.handle_failure(now);
            } else if state.fetch_epoch >= 0 {
                // Kafka says the same of an epoch that it does not know; without one only the offset counts.
                state.fetch_epoch = -1;
                self.wakes.lanes.extend(state.source());
            } else {
                self.apply_rule(id, Some(offset));
            }
            return;
        }
        let first = state.failures == 0;
        state.handle_failure(now);
        let partition = state.name.clone();
        if first && is_refusal(code) {
            self.fail(ConsumeError::of_partition(partition, code));
        }
        self.work.refresh = true;
        self.wakes.driver = true;
    }

    pub(super) fn handle_diverged(&mut self, id: AssignmentId, leader_epoch: i32, end_offset: i64) {
        let serial = self.partitions.next_serial();
        let Some(state) = self.partitions.get_mut(id) else { return };
        self.wakes.lanes.extend(state.source());
        if end_offset < 0 {
            // -1 is "no epoch", never an order to go back to the start (franz-go #1331).
            state.fetch_epoch = -1;
            return;
        }
        let (partition, from) = (state.name.clone(), state.tracker.position());
        if end_offset >= from {
            // What was handed out is still there. What was fetched ahead may not be.
            let fetched_ahead = state.fetch_position > from;
            state.rewind(serial);
            if !fetched_ahead {
                state.fetch_epoch = leader_epoch;
            }
            self.buffer.purge(id);
            return;
        }
        let to = end_offset;
        self.report(ConsumerEvent::Truncated { partition: partition.clone(), from, to });
        self.fail(ConsumeError::LogTruncated { partition, from, to });
        self.start_at(id, to, leader_epoch, None);
        self.notice_commit(false);
    }

    /// A batch is damaged. Once, everything from there on is fetched again over a new connection; when that does not
    /// help the partition stops.
    pub(crate) fn handle_corrupt(&mut self, id: AssignmentId, serial: u64, offset: i64, source: DecodeError) {
        let next_serial = self.partitions.next_serial();
        let Some(state) = self.partitions.current(id, serial) else { return };
        let is_second = state.corrupt_at.is_some_and(|at| at == offset);
        state.rewind(next_serial);
        state.corrupt_at = Some(offset);
        self.buffer.purge(id);
        if is_second {
            state.phase = Phase::Stopped;
            let partition = state.name.clone();
            self.fail(ConsumeError::CorruptBatch { partition, offset, source });
        } else {
            self.work.reconnect.extend(state.source());
            self.wakes.driver = true;
        }
    }

    /// A fetch lane lost its connection: the metadata may be stale.
    pub(crate) fn handle_disconnected(&mut self, broker: i32, now: Instant) {
        let is_read_there = |state: &PartitionState| state.read_replica.is_some_and(|(id, _)| id == broker);
        let ids: Vec<_> =
            self.partitions.iter().filter(|(_, state)| is_read_there(state)).map(|(id, _)| id).collect();
        for id in ids {
            self.leave_replica(id, now);
        }
        self.work.refresh = true;
        self.wakes.driver = true;
    }
}

fn saturating_i32(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

/// How long a replica other than the leader is read from before the leader is asked again: as long as metadata is good for.
const READ_REPLICA_TIME: Duration = Duration::from_secs(300);
