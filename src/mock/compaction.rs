//! What the log cleaner leaves of a partition: each key's last record, in batches that keep their offsets.
//!
//! It follows Kafka's cleaner: everything below the last stable offset is cleaned but the last batch, which stands for
//! the segment that is still written to. A batch keeps its base offset and its last offset however few records are
//! left; an emptied one vanishes, unless it is the last of a producer that is still remembered. Tombstones, and markers
//! of transactions without data, are given a time to be deleted at, and go with the first cleaning after it.
//!
//! Where it differs: batches that lose records are written uncompressed, and minimum and maximum lags do not count.

use super::batch::{self, BatchHeader, HEADER_BYTES};
use super::inflate::inflate;
use super::log::{Log, Stored};
use super::producers::Producers;
use super::raw_record::{RawRecord, read_all};
use super::transaction_index::Marker;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Cleans a log once; tombstones stay for `delete_retention_ms` after the first cleaning that meets them.
pub(crate) fn compact(log: &mut Log, producers: &Producers, now_ms: i64, delete_retention_ms: i64) {
    let end = log.last_stable_offset();
    let cleanable = log.batches().take_while(|batch| batch.header.last_offset() < end).count();
    let cleanable = cleanable.min(log.batches().count().saturating_sub(1));
    let latest = latest_offsets(log, cleanable);
    let mut cleaning = Cleaning {
        now_ms,
        delete_retention_ms,
        latest,
        with_data: BTreeSet::new(),
        emptied: BTreeSet::new(),
    };
    let mut kept = VecDeque::new();
    for (at, batch) in log.batches().enumerate() {
        if at >= cleanable {
            kept.push_back(batch.clone());
        } else {
            kept.extend(cleaning.clean(log, producers, batch));
        }
    }
    log.replace(kept, &cleaning.emptied);
}

struct Cleaning {
    now_ms: i64,
    delete_retention_ms: i64,
    latest: BTreeMap<Vec<u8>, i64>,
    /// Producers with a batch of the transaction that the next marker of theirs ends.
    with_data: BTreeSet<i64>,
    /// The offsets of markers whose transactions have no data any more.
    emptied: BTreeSet<i64>,
}

impl Cleaning {
    /// What is left of a batch.
    fn clean(&mut self, log: &Log, producers: &Producers, batch: &Stored) -> Option<Stored> {
        let header = &batch.header;
        let horizon = header.delete_horizon_ms();
        let is_for_nothing = header.is_control() && self.is_for_nothing(batch);
        let discards_all = if header.is_control() {
            is_for_nothing && horizon.is_some_and(|horizon| horizon <= self.now_ms)
        } else {
            if header.is_transactional() {
                self.with_data.insert(header.producer_id);
            }
            is_aborted(log, header)
        };
        let Some(plain) = plain(batch) else { return Some(batch.clone()) };
        let Some(records) = read_all(&plain, header.record_count) else { return Some(batch.clone()) };
        let kept: Vec<RawRecord<'_>> = records
            .iter()
            .filter(|record| !discards_all && (header.is_control() || self.keeps(header, record)))
            .copied()
            .collect();
        if kept.is_empty() {
            return is_last_of_producer(producers, header).then(|| emptied(header));
        }
        let has_tombstone = !header.is_control() && kept.iter().any(|record| record.value.is_none());
        let sets_horizon = horizon.is_none() && (has_tombstone || is_for_nothing);
        if kept.len() == records.len() && !sets_horizon {
            return Some(batch.clone());
        }
        let horizon = if sets_horizon { Some(self.now_ms + self.delete_retention_ms) } else { horizon };
        Some(rewritten(header, &kept, horizon))
    }

    /// Whether a control batch marks the end of a transaction that has no data left.
    fn is_for_nothing(&mut self, batch: &Stored) -> bool {
        let is_marker = Marker::read(&batch.header, &batch.bytes).is_some();
        let is_for_nothing = is_marker && !self.with_data.remove(&batch.header.producer_id);
        if is_for_nothing {
            self.emptied.insert(batch.header.last_offset());
        }
        is_for_nothing
    }

    fn keeps(&self, header: &BatchHeader, record: &RawRecord<'_>) -> bool {
        let offset = header.base_offset.saturating_add(record.offset_delta);
        let is_latest = record.key.and_then(|key| self.latest.get(key)).is_some_and(|last| offset >= *last);
        let is_dead =
            record.value.is_none() && header.delete_horizon_ms().is_some_and(|at| at <= self.now_ms);
        is_latest && !is_dead
    }
}

/// Each key's last offset in the first `cleanable` batches; aborted data does not count.
fn latest_offsets(log: &Log, cleanable: usize) -> BTreeMap<Vec<u8>, i64> {
    let mut latest = BTreeMap::new();
    for batch in log.batches().take(cleanable) {
        let header = &batch.header;
        if header.is_control() || is_aborted(log, header) {
            continue;
        }
        let Some(plain) = plain(batch) else { continue };
        for record in read_all(&plain, header.record_count).into_iter().flatten() {
            if let Some(key) = record.key {
                latest.insert(key.to_vec(), header.base_offset.saturating_add(record.offset_delta));
            }
        }
    }
    latest
}

fn is_aborted(log: &Log, header: &BatchHeader) -> bool {
    let next = header.last_offset().saturating_add(1);
    let mut aborted = log.transactions().aborted(header.base_offset, next);
    header.is_transactional() && aborted.any(|aborted| aborted.producer_id == header.producer_id)
}

/// An emptied batch stays where the producer's next sequence follows from it.
fn is_last_of_producer(producers: &Producers, header: &BatchHeader) -> bool {
    match producers.last_record(header.producer_id) {
        Some((Some(last_offset), _)) => last_offset == header.last_offset(),
        Some((None, epoch)) => header.is_control() && header.producer_epoch == epoch,
        None => false,
    }
}

fn plain(batch: &Stored) -> Option<bytes::Bytes> {
    let records = batch.bytes.get(HEADER_BYTES..)?;
    inflate(batch.header.codec(), records).ok()
}

fn emptied(header: &BatchHeader) -> Stored {
    let left = BatchHeader {
        attributes: header.attributes & !(batch::CODEC | batch::DELETE_HORIZON),
        base_timestamp_ms: -1,
        record_count: 0,
        ..*header
    };
    stored(&left, &[])
}

fn rewritten(header: &BatchHeader, kept: &[RawRecord<'_>], horizon_ms: Option<i64>) -> Stored {
    let time = |record: &RawRecord<'_>| header.base_timestamp_ms.saturating_add(record.timestamp_delta);
    let first = kept.first().map_or(header.base_timestamp_ms, time);
    let base_timestamp_ms = horizon_ms.unwrap_or(first);
    let highest = kept.iter().map(time).max().unwrap_or(header.max_timestamp_ms);
    let mut records = Vec::new();
    for record in kept {
        record.write(time(record).saturating_sub(base_timestamp_ms), &mut records);
    }
    let attributes = header.attributes & !batch::CODEC;
    let left = BatchHeader {
        attributes: if horizon_ms.is_some() { attributes | batch::DELETE_HORIZON } else { attributes },
        base_timestamp_ms,
        max_timestamp_ms: if header.is_log_append_time() { header.max_timestamp_ms } else { highest },
        record_count: i32::try_from(kept.len()).unwrap_or(i32::MAX),
        ..*header
    };
    stored(&left, &records)
}

fn stored(header: &BatchHeader, records: &[u8]) -> Stored {
    let bytes = batch::build(header, records);
    Stored { header: BatchHeader::read(&bytes).unwrap_or(*header), bytes }
}
