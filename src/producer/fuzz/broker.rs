//! Brokers as a producer sees them: logs with producer state, requests taken apart, answers put together.
//!
//! Producer state is kept as Kafka 4.1 does: any first sequence where there is no state, the last five batches for
//! finding duplicates, epochs that fence.

use crate::{
    net::Request,
    producer::idempotence::sequence_after,
    wire::{
        compression::Decompressor,
        reader::Reader,
        record_batch::{ProducerStamp, walk},
    },
};
use bytes::{BufMut, Bytes, BytesMut};

pub(super) const TOPIC: &str = "t";
const BATCHES_REMEMBERED: usize = 5;

/// One batch in a log.
#[derive(Debug, Clone)]
pub(super) struct Logged {
    stamp: ProducerStamp,
    pub(super) ids: Vec<u64>,
    committed: bool,
}

/// A partition as its brokers have it.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) batches: Vec<Logged>,
    pub(super) leader: usize,
    pub(super) leader_epoch: i32,
    /// Batches that came with a higher epoch than the one before.
    pub(super) bumps: u64,
    /// Batches that came again and were known.
    pub(super) duplicates: u64,
}

impl Log {
    /// Kafka's `ProducerStateManager` and `ProducerAppendInfo`: the index of the batch in the log, or the code.
    pub(super) fn append(&mut self, stamp: ProducerStamp, ids: &[u64]) -> Result<usize, i16> {
        let of_producer = |logged: &&Logged| logged.stamp.producer_id == stamp.producer_id;
        if let Some(last) = self.batches.iter().rfind(of_producer) {
            if stamp.producer_epoch < last.stamp.producer_epoch {
                return Err(47);
            }
            if stamp.producer_epoch > last.stamp.producer_epoch {
                self.bumps += 1;
                if stamp.base_sequence != 0 {
                    return Err(45);
                }
            } else {
                let mine = self.batches.iter().enumerate().rev().filter(|(_, logged)| of_producer(logged));
                let mut remembered = mine.take(BATCHES_REMEMBERED);
                let known = remembered.find(|(_, b)| b.stamp == stamp && b.ids.len() == ids.len());
                if let Some((at, known)) = known {
                    assert_eq!(known.ids, ids, "the broker takes another batch for a duplicate");
                    self.duplicates += 1;
                    return Ok(at);
                }
                let records = u32::try_from(last.ids.len()).unwrap_or(u32::MAX);
                if stamp.base_sequence != sequence_after(last.stamp.base_sequence, records) {
                    return Err(45);
                }
            }
        }
        self.batches.push(Logged { stamp, ids: ids.to_vec(), committed: false });
        Ok(self.batches.len() - 1)
    }

    pub(super) fn holds(&self, batch: &Sent) -> bool {
        self.batches.iter().any(|logged| logged.stamp == batch.stamp && logged.ids == batch.ids)
    }

    pub(super) fn commit(&mut self, up_to: usize) {
        for batch in self.batches.iter_mut().take(up_to + 1) {
            batch.committed = true;
        }
    }

    /// Another broker leads; what was not committed is lost, or committed now.
    pub(super) fn move_leader(&mut self, leader: usize, loses: bool) {
        self.leader = leader;
        self.leader_epoch += 1;
        if loses {
            self.batches.truncate(self.batches.iter().take_while(|batch| batch.committed).count());
        } else {
            self.commit(self.batches.len());
        }
    }

    pub(super) fn base_offset(&self, at: usize) -> i64 {
        let records: usize = self.batches[..at].iter().map(|batch| batch.ids.len()).sum();
        i64::try_from(records).unwrap_or(i64::MAX)
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.batches.iter().flat_map(|batch| batch.ids.iter().copied()).collect()
    }
}

/// A sealed batch, and what is in it.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) partition: usize,
    pub(super) stamp: ProducerStamp,
    pub(super) ids: Vec<u64>,
    pub(super) bytes: Bytes,
}

/// What a request carries, as a broker reads it; `None` if it cannot be read.
pub(super) fn batches_of(request: &Request) -> Option<Vec<Sent>> {
    let mut body = BytesMut::new();
    for segment in &request.body.segments {
        body.put_slice(segment);
    }
    let mut reader = Reader::new(body.freeze());
    reader.compact_nullable_string("transactional id").ok()?;
    (reader.i16("acks").ok()? == -1).then_some(())?;
    reader.i32("timeout").ok()?;
    let topics = reader.compact_array("topics", 1, |r| {
        let name = r.compact_string("topic")?;
        let partitions = r.compact_array("partitions", 1, |r| {
            let partition = (r.i32("partition")?, r.compact_nullable_bytes("records")?);
            r.skip_tagged_fields()?;
            Ok(partition)
        })?;
        r.skip_tagged_fields()?;
        Ok((name, partitions))
    });
    let [(name, partitions)] = &topics.ok()?[..] else { return None };
    (name == TOPIC).then_some(())?;
    partitions.iter().map(|(partition, records)| sent(*partition, records.clone()?)).collect()
}

fn sent(partition: i32, bytes: Bytes) -> Option<Sent> {
    let raw = walk(bytes.clone()).next()?.ok()?;
    let header = raw.header;
    let open = raw.open(1 << 20, &mut Decompressor::default()).ok()?;
    let id = |value: Option<&[u8]>| value?.first_chunk().copied().map(u64::from_be_bytes);
    Some(Sent {
        partition: usize::try_from(partition).ok()?,
        stamp: ProducerStamp {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        },
        ids: open.records().map(|record| id(record.ok()?.value)).collect::<Option<_>>()?,
        bytes,
    })
}

/// A broker's answer for one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub(super) partition: u8,
    pub(super) code: i16,
    pub(super) base_offset: i64,
    /// The record at fault.
    pub(super) record_error: Option<u8>,
}

/// The frame of the answer, version 11.
pub(super) fn answer(said: &[Said], throttle_ms: i32) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(0); // correlation id
    frame.put_u8(0); // the header's tagged fields
    frame.put_u8(2); // one topic
    frame.put_u8(1 + 1);
    frame.put_slice(TOPIC.as_bytes());
    frame.put_u8(u8::try_from(said.len()).unwrap_or(u8::MAX) + 1);
    for said in said {
        frame.put_i32(i32::from(said.partition));
        frame.put_i16(said.code);
        frame.put_i64(said.base_offset);
        frame.put_i64(-1); // no log append time
        frame.put_i64(0); // the log's start
        frame.put_u8(if said.record_error.is_some() { 2 } else { 1 });
        if let Some(index) = said.record_error {
            frame.put_i32(i32::from(index));
            frame.put_u8(0); // no message
            frame.put_u8(0); // the record error's tagged fields
        }
        frame.put_u8(0); // no message
        frame.put_u8(0); // the partition's tagged fields
    }
    frame.put_u8(0); // the topic's tagged fields
    frame.put_i32(throttle_ms);
    frame.put_u8(0); // the answer's tagged fields
    frame.freeze()
}
