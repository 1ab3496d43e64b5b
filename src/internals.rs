//! A door for the project's own tests, benches and fuzz targets. Outside semver.

pub use crate::net::network::{ByteStream, Later, Network};
#[cfg(feature = "sasl")]
pub use crate::net::sasl::fuzz::check_sasl;
pub use crate::{
    consumer::{
        fuzz::check_fetch_session_ops,
        group::fuzz::{check_group_metadata, check_membership_ops},
    },
    producer::fuzz::check_producer_ops,
    wire::{api::fuzz::check_response, fuzz::check_frames, record_batch::fuzz::check_record_batch},
};

use crate::{
    error::DecodeError,
    wire::{
        api::produce::{PRODUCE_VERSIONS, ProduceBatch, produce_body},
        compression::{Compression, Compressor, Decompressor},
        record_batch::{BatchBuilder, ProducerStamp, RecordParts, walk},
        request::encode_head,
    },
};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// Reads any bytes as an event of either topic: no panic, small errors, and what was read reads the same after it was
/// written.
pub fn check_event_json(data: &[u8]) {
    crate::crafting::check_event_json(data);
}

/// Every API that the client speaks: its number, its name, and its lowest and highest version.
pub fn spoken_apis() -> Vec<(i16, &'static str, i16, i16)> {
    let spoken = crate::wire::api::spoken::spoken();
    spoken.map(|(key, versions)| (key as i16, key.name(), versions.min, versions.max)).collect()
}

/// One record as a producer appends it: key, value, and headers by name.
#[derive(Debug, Clone)]
pub struct BenchRecord {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The headers.
    pub headers: Vec<(&'static str, Bytes)>,
}

/// Record batches as the producer makes and the consumer reads them, with the state that each keeps between batches.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "for benches")]
pub struct BatchCodec {
    compressor: Compressor,
    decompressor: Decompressor,
}

/// A batch that records were appended to.
#[expect(missing_debug_implementations, reason = "for benches")]
pub struct OpenBatch(BatchBuilder);

impl BatchCodec {
    /// Appends every record to a batch of the given capacity, and seals it.
    pub fn encode(&mut self, records: &[BenchRecord], capacity: usize, codec: Compression) -> Bytes {
        self.seal(Self::append(records, capacity), codec)
    }

    /// Appends every record to a batch of the given capacity.
    pub fn append(records: &[BenchRecord], capacity: usize) -> OpenBatch {
        let mut batch = BatchBuilder::with_capacity(capacity);
        let mut headers = Vec::with_capacity(4);
        for record in records {
            headers.clear();
            headers.extend(record.headers.iter().map(|(name, value)| (*name, Some(&value[..]))));
            batch.append(&RecordParts {
                key: Some(&record.key),
                value: Some(&record.value),
                headers: &headers,
                timestamp_ms: 1_767_225_600_000,
            });
        }
        OpenBatch(batch)
    }

    /// Compresses the records and writes the header with its checksum.
    pub fn seal(&mut self, batch: OpenBatch, codec: Compression) -> Bytes {
        let stamp = ProducerStamp { producer_id: 1, producer_epoch: 0, base_sequence: 0 };
        batch.0.seal(codec, stamp, &mut self.compressor).bytes
    }

    /// Compresses `plain` into memory that is kept; returns the length, `None` if the codec refused.
    pub fn compress(&mut self, plain: &[u8], codec: Compression) -> Option<usize> {
        let mut compressed = self.compressor.take_scratch();
        let len = self.compressor.compress(codec, plain, &mut compressed).then_some(compressed.len());
        self.compressor.put_scratch(compressed);
        len
    }

    /// Walks the batches, opens each, and looks at every record; returns how many there were, and the bytes of their keys
    /// and values.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes.
    pub fn decode(&mut self, batches: &Bytes) -> Result<(usize, usize), DecodeError> {
        let (mut count, mut bytes) = (0, 0);
        for batch in walk(batches.clone()) {
            let open = batch?.open(LIMIT_BYTES, &mut self.decompressor)?;
            for record in open.records() {
                let record = record?;
                count += 1;
                bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            }
        }
        Ok((count, bytes))
    }
}

/// Builds a Produce request with `batch` for each of so many partitions; returns its length, header included, without
/// the length field. `None` if it is too long for the protocol.
pub fn build_produce_request(topic: &Arc<str>, partitions: i32, batch: &Bytes) -> Option<usize> {
    let bytes = batch;
    let batch = |partition| ProduceBatch { topic: topic.clone(), partition, bytes: bytes.clone() };
    let batches: Vec<_> = (0..partitions).map(batch).collect();
    let mut heads = BytesMut::new();
    let body = produce_body(PRODUCE_VERSIONS.max, 30_000, &batches, &mut heads).ok()?;
    let head = encode_head(&body, 1, "craftwire", &mut heads).ok()?;
    Some(head.len() - 4 + body.len())
}

/// What a batch may decompress to.
const LIMIT_BYTES: usize = 64 << 20;
