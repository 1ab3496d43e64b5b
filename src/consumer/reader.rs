//! From fetched chunks to records: checksum, decompression, checks, and the hand-out.
//!
//! Runs where the caller asks for records, outside the consumer's lock but for a glance before and after each batch.
//! Invariant: what it holds is worthless once its reading has ended, and every hand-out asks whether it has.

use super::{
    buffer::Chunk,
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
use std::sync::Arc;

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
    pub(crate) fn next_batch(&mut self) -> Next<Records> {
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
            let records = open.records.narrowed_to(open.rest);
            let (assignment, epoch) = (records.origin().assignment, records.leader_epoch());
            let covers_from = self.shared.with(|core| {
                let from = core.hand_out(assignment, open.serial, records.last_offset(), epoch)?;
                core.step_over(assignment, open.serial, records.next_offset(), epoch);
                Some(from)
            });
            if let Some(covers_from) = covers_from {
                return Next::Item(records.with_covers_from(covers_from));
            }
        }
    }

    /// The next record.
    pub(crate) fn next_record(&mut self) -> Next<ConsumerRecord> {
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
            let Some(record) = open.rest.next(&open.records) else {
                self.open = None;
                continue;
            };
            let (assignment, epoch) = (open.records.origin().assignment, open.records.leader_epoch());
            let (offset, is_last) = (record.offset(), open.rest.is_empty());
            let covers_from = self.shared.with(|core| {
                let from = core.hand_out(assignment, open.serial, offset, epoch)?;
                if is_last {
                    core.step_over(assignment, open.serial, open.records.next_offset(), epoch);
                }
                Some(from)
            });
            let owned = covers_from.map(|covers_from| record.to_owned().with_covers_from(covers_from));
            if is_last || owned.is_none() {
                self.open = None;
            }
            if let Some(owned) = owned {
                return Next::Item(owned);
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
