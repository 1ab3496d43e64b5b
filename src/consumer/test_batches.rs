//! Batches for the tests of this folder.

use crate::{
    Compression,
    wire::{
        compression::Compressor,
        record_batch::{BatchBuilder, BatchHeader, ProducerStamp, RawBatch, RecordParts, walk},
    },
};
use bytes::Bytes;

/// A batch of `values` at `base_offset`, uncompressed.
pub(super) fn batch(base_offset: i64, values: &[&str]) -> Bytes {
    batch_with(base_offset, values, Compression::None)
}

pub(super) fn batch_with(base_offset: i64, values: &[&str], codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(1024);
    for value in values {
        builder.append(&RecordParts {
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            headers: &[("h", Some(b"1")), ("h", None)],
            timestamp_ms: 1000,
        });
    }
    let sealed = builder.seal(codec, ProducerStamp::NONE, &mut Compressor::new());
    patched(&sealed.bytes, |bytes| bytes[..8].copy_from_slice(&base_offset.to_be_bytes()))
}

/// A batch as compaction leaves it: its header, covering `count` offsets, and no record.
pub(super) fn empty_batch(base_offset: i64, count: i32) -> Bytes {
    let bytes = batch(base_offset, &[]);
    patched(&bytes, |bytes| bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes()))
}

/// The batch with its last offset moved, as if later records had been compacted away.
pub(super) fn with_last_delta(bytes: &Bytes, delta: i32) -> Bytes {
    patched(bytes, |bytes| bytes[23..27].copy_from_slice(&delta.to_be_bytes()))
}

pub(super) fn with_leader_epoch(bytes: &Bytes, epoch: i32) -> Bytes {
    patched(bytes, |bytes| bytes[12..16].copy_from_slice(&epoch.to_be_bytes()))
}

/// The batch as part of a transaction of this producer.
pub(super) fn transactional(bytes: &Bytes, producer_id: i64) -> Bytes {
    patched(bytes, |bytes| {
        bytes[22] |= 1 << 4;
        bytes[43..51].copy_from_slice(&producer_id.to_be_bytes());
    })
}

/// A control batch that ends this producer's transaction; kind 0 aborts, 1 commits.
pub(super) fn marker(base_offset: i64, producer_id: i64, kind: i16) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(128);
    let mut key = vec![0, 0];
    key.extend(kind.to_be_bytes());
    builder.append(&RecordParts { key: Some(&key), value: Some(b""), headers: &[], timestamp_ms: 0 });
    let sealed = builder.seal(Compression::None, ProducerStamp::NONE, &mut Compressor::new());
    patched(&transactional(&sealed.bytes, producer_id), |bytes| {
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes[22] |= 1 << 5;
    })
}

/// The batch with one bit of its records flipped.
pub(super) fn damaged(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    bytes.into()
}

/// The header of a batch that covers `count` offsets.
pub(super) fn header(base_offset: i64, count: i32) -> BatchHeader {
    raw(&empty_batch(base_offset, count)).header
}

pub(super) fn raw(bytes: &Bytes) -> RawBatch {
    walk(bytes.clone()).next().unwrap().unwrap()
}

fn patched(bytes: &Bytes, patch: impl FnOnce(&mut [u8])) -> Bytes {
    let mut bytes = bytes.to_vec();
    patch(&mut bytes);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}
