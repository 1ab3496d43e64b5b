//! From fetched chunks to records: checksum, decompression, checks, and the hand-out.
//!
//! Runs where the caller asks for records, outside the consumer's lock but for a glance before and after each batch.
//! Invariant: what it holds is worthless once its reading has ended, and every hand-out asks whether it has.

use super::{
    buffer::Chunk,
    core::HandOut,
    error::ConsumeError,
    record::{ConsumerRecord, Records, Rest},
    shared::Shared,
};
use crate::{
    error::DecodeError,
    wire::{
        compression::Decompressor,
        record_batch::{OpenBatch, RawBatch},
    },
};
use std::{sync::Arc, time::Instant};

/// What the reader has for its caller.
pub(crate) enum Next<T> {
    Item(T),
    Error(ConsumeError),
    /// Nothing now; the reader is woken when that changes.
    Nothing,
    /// Nothing any more.
    Closed,
}

/// See the module.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    decompressor: Decompressor,
    batch_bytes_max: usize,
    is_read_committed: bool,
    chunk: Option<Chunk>,
    /// The batch that is handed out record by record.
    open: Option<Open>,
}

struct Open {
    records: Records,
    rest: Rest,
    serial: u64,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let config = shared.with(|core| core.config.clone());
        Self {
            shared,
            decompressor: Decompressor::new(),
            batch_bytes_max: config.batch_bytes_max,
            is_read_committed: config.is_read_committed(),
            chunk: None,
            open: None,
        }
    }

    /// The next batch, or what is left of the one that is handed out record by record.
    pub(crate) fn next_batch(&mut self, now: Instant) -> Next<Records> {
        loop {
            let open = match self.open.take() {
                Some(open) if !open.rest.is_empty() => open,
                _ => match self.open_next() {
                    Next::Item(open) => open,
                    Next::Error(error) => return Next::Error(error),
                    Next::Nothing => return Next::Nothing,
                    Next::Closed => return Next::Closed,
                },
            };
            let Open { records, rest, serial } = open;
            let (assignment, epoch) = (records.origin().assignment, records.leader_epoch());
            let hand_out = self.shared.with(|core| {
                let hand_out =
                    core.hand_out(assignment, serial, records.last_offset(), epoch, rest.len(), now);
                if matches!(hand_out, HandOut::Covers { .. }) {
                    core.step_over(assignment, serial, records.next_offset(), epoch);
                }
                hand_out
            });
            match hand_out {
                HandOut::Covers { from } => {
                    return Next::Item(records.narrowed_to(rest).with_covers_from(from));
                }
                HandOut::NotNow => {
                    self.open = Some(Open { records, rest, serial });
                    return Next::Nothing;
                }
                HandOut::Ended => {}
            }
        }
    }

    /// The next record.
    pub(crate) fn next_record(&mut self, now: Instant) -> Next<ConsumerRecord> {
        loop {
            let Some(open) = &mut self.open else {
                match self.open_next() {
                    Next::Item(open) => self.open = Some(open),
                    Next::Error(error) => return Next::Error(error),
                    Next::Nothing => return Next::Nothing,
                    Next::Closed => return Next::Closed,
                }
                continue;
            };
            let mut rest = open.rest.clone();
            let Some(record) = rest.next(&open.records) else {
                self.open = None;
                continue;
            };
            let (assignment, epoch) = (open.records.origin().assignment, open.records.leader_epoch());
            let (offset, is_last) = (record.offset(), rest.is_empty());
            let hand_out = self.shared.with(|core| {
                let hand_out = core.hand_out(assignment, open.serial, offset, epoch, 1, now);
                if is_last && matches!(hand_out, HandOut::Covers { .. }) {
                    core.step_over(assignment, open.serial, open.records.next_offset(), epoch);
                }
                hand_out
            });
            match hand_out {
                HandOut::Covers { from } => {
                    let owned = record.to_owned().with_covers_from(from);
                    open.rest = rest;
                    if is_last {
                        self.open = None;
                    }
                    return Next::Item(owned);
                }
                HandOut::NotNow => return Next::Nothing,
                HandOut::Ended => self.open = None,
            }
        }
    }

    /// Opens the next batch that holds records for the caller, passing those that hold none.
    fn open_next(&mut self) -> Next<Open> {
        loop {
            let Some(mut chunk) = self.chunk.take() else {
                let (error, chunk, is_closed) = self.shared.with(|core| match core.take_error() {
                    Some(error) => (Some(error), None, false),
                    None => (None, core.take_chunk(), core.is_closed()),
                });
                match (error, chunk) {
                    (Some(error), _) => return Next::Error(error),
                    (None, Some(chunk)) => self.chunk = Some(chunk),
                    (None, None) => return if is_closed { Next::Closed } else { Next::Nothing },
                }
                continue;
            };
            let Some(batch) = chunk.batches.pop_front() else { continue };
            let (id, serial) = (chunk.assignment, chunk.serial);
            let reading = self.shared.with(|core| core.reading(id, serial));
            let Some((position, origin, name)) = reading else { continue };
            let header = batch.header;
            let records = self
                .open(&batch, &mut chunk)
                .and_then(|open| open.map_or(Ok(None), |open| Records::check(name, open, position, origin)));
            match records {
                Ok(Some(records)) => {
                    self.chunk = Some(chunk);
                    let rest = records.rest();
                    return Next::Item(Open { records, rest, serial });
                }
                Ok(None) => {
                    let (to, epoch) = (header.next_offset(), header.partition_leader_epoch);
                    if self.shared.with(|core| core.step_over(id, serial, to, epoch)) {
                        self.chunk = Some(chunk);
                    }
                }
                Err(error) => {
                    self.shared.with(|core| core.handle_corrupt(id, serial, header.base_offset, error));
                }
            }
        }
    }

    /// Checks and decompresses a batch. `None`: it is not for the caller.
    fn open(&mut self, batch: &RawBatch, chunk: &mut Chunk) -> Result<Option<OpenBatch>, DecodeError> {
        let header = &batch.header;
        if header.is_control {
            let control = batch.control_kind()?;
            chunk.aborted.is_aborted(header, Some(control));
            return Ok(None);
        }
        if self.is_read_committed && header.is_transactional {
            // The checksum covers what the filter goes by, so it comes first.
            batch.verify_crc()?;
            if chunk.aborted.is_aborted(header, None) {
                return Ok(None);
            }
        }
        let open = batch.open(self.batch_bytes_max, &mut self.decompressor)?;
        Ok((header.record_count > 0).then_some(open))
    }
}
