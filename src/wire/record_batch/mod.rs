//! Record batches, format 2 (Kafka 0.11 and later): written by appending, read as a lazy view.
//!
//! A batch is a header of 61 bytes and its records, which are compressed together:
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | base offset |
//! | 8 | 4 | length of all that follows it |
//! | 12 | 4 | partition leader epoch |
//! | 16 | 1 | magic: 2 |
//! | 17 | 4 | CRC-32C of all that follows it |
//! | 21 | 2 | attributes: codec, time stamp's kind, transactional, control |
//! | 23 | 4 | last offset delta |
//! | 27 | 8 | first record's time stamp, which the others' are relative to |
//! | 35 | 8 | largest time stamp |
//! | 43 | 8 | producer id |
//! | 51 | 2 | producer epoch |
//! | 53 | 4 | first record's sequence |
//! | 57 | 4 | count of records |
//!
//! Invariant of reading: nothing is allocated and nothing is read by a number from the wire that was not checked
//! against the bytes in hand. Absent: the formats before 2, which no supported broker sends.

mod decode;
mod encode;
#[cfg(feature = "internals")]
pub(crate) mod fuzz;
mod header;
mod record;
mod varint;

#[allow(unused_imports)] // goes away when the producer and the consumer use them all
pub(crate) use self::{
    decode::{ControlKind, OpenBatch, RawBatch, Walk, walk},
    encode::{BatchBuilder, ProducerStamp, RecordParts, SealedBatch},
    header::BatchHeader,
    record::{Headers, RecordCursor, RecordRef, Records},
};

/// The size of a batch's header.
pub(crate) const BATCH_HEADER_BYTES: usize = 61;

/// What the length field does not count: the base offset and itself.
const UNCOUNTED_BYTES: usize = 12;
const MAGIC: i8 = 2;

const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

const CODEC_BITS: i16 = 0b111;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
