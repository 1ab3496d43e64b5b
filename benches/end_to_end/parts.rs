//! What publishing typed events cannot do without: their JSON, its compression, and the checksum, in batches of the same
//! size, and nothing else.

use crate::load::Load;
use bytes::Bytes;
use craftwire::{
    crafting::{Event, EventDraft, Timestamp},
    internals::{BatchCodec, BenchRecord},
};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long these parts take for so many records. Putting records into a batch, between the parts, is not timed.
pub(crate) fn alone<B: Load>(bodies: Vec<B>, records: u64, records_in_batch: usize) -> Duration {
    let source = "crafting.network".parse().expect("a good name");
    let stamped = |body| EventDraft::new(body).stamp(&source, Uuid::now_v7(), Timestamp::UNIX_EPOCH);
    let events: Vec<Event<B>> = bodies.into_iter().map(stamped).collect();
    let (mut codec, mut json) = (BatchCodec::default(), Vec::new());
    let (mut taken, mut left) = (Duration::ZERO, records);
    for batch in events.chunks(records_in_batch.max(1)).cycle() {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(batch.len() as u64);
        let mut ends = Vec::with_capacity(batch.len());
        json.clear();
        let started = Instant::now();
        for event in batch {
            event.encode(&mut json);
            ends.push(json.len());
        }
        taken += started.elapsed();
        let records = batch_of(batch, &json, &ends);
        let open = BatchCodec::append(&records, json.len() * 2);
        let started = Instant::now();
        black_box(codec.seal(open, B::TOPIC.compression()));
        taken += started.elapsed();
    }
    taken
}

/// The records as they are published, with their keys and headers.
fn batch_of<B: Load>(events: &[Event<B>], json: &[u8], ends: &[usize]) -> Vec<BenchRecord> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let record = |(event, (start, end)): (&Event<B>, (usize, &usize))| BenchRecord {
        key: event.session_id().to_string().into(),
        value: Bytes::copy_from_slice(&json[start..*end]),
        headers: vec![
            ("content-type", Bytes::from_static(b"application/json")),
            ("event_type", event.event_type().to_string().into()),
            ("event_id", event.event_id().to_string().into()),
        ],
    };
    events.iter().zip(starts.zip(ends)).map(record).collect()
}
