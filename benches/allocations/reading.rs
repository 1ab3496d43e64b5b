//! What reading allocates: batches as they are, by `decode`, and as the stream of owned events.

use bytes::Bytes;
use craftwire::{
    Compression,
    consumer::{Records, StartFrom},
    crafting::{Body, Crafting, ProgressUpdate, SessionEvent, Subscriber, SubscriberBuilder, Topic, decode},
    internals::{BatchCodec, BenchRecord},
    mock::MockCluster,
};
use stats_alloc::Region;

use crate::{
    ALLOCATOR, Row,
    load::{Load, raw_records},
};

/// As full as batches of 64 KiB are.
const RECORDS_IN_BATCH: usize = 128;
/// So many pass before anything is counted, and so many after.
const BATCHES: usize = 1_000;

pub(crate) async fn measure() -> Vec<Row> {
    let builder = MockCluster::builder().topic(Topic::Events.name(), 1).topic(Topic::Progress.name(), 1);
    let mock = builder.start().expect("a port is free");
    fill::<SessionEvent>(&mock, Compression::Snappy);
    fill::<ProgressUpdate>(&mock, Compression::Lz4);
    let crafting = Crafting::connect(&mock.bootstrap()).await.expect("the mock is there");
    let mut rows = Vec::new();
    rows.push(batches("raw batches, snappy", crafting.session_events(), look).await);
    rows.push(batches("raw batches, lz4", crafting.progress(), look).await);
    rows.push(batches("decode, session events", crafting.session_events(), events::<SessionEvent>).await);
    rows.push(batches("decode, progress updates", crafting.progress(), events::<ProgressUpdate>).await);
    rows.push(owned("owned, session events", crafting.session_events()).await);
    rows.push(owned("owned, progress updates", crafting.progress()).await);
    rows
}

/// Appends twice as many batches as are counted.
fn fill<B: Load>(mock: &MockCluster, codec: Compression) {
    let bench_record = |record: crate::load::RawRecord| BenchRecord {
        key: record.key,
        value: record.value,
        headers: vec![("event_type", Bytes::from_static(b"crafting.session.start"))],
    };
    let records: Vec<_> = raw_records::<B>().into_iter().map(bench_record).collect();
    let mut coder = BatchCodec::default();
    let batches: Vec<_> =
        records.chunks_exact(RECORDS_IN_BATCH).map(|records| coder.encode(records, 1 << 20, codec)).collect();
    for batch in batches.iter().cycle().take(2 * BATCHES) {
        mock.append_batch(B::TOPIC.name(), 0, batch).expect("the partition is there");
    }
}

async fn start<B: Body>(builder: SubscriberBuilder<B>) -> Subscriber<B> {
    builder.without_group().start_from(StartFrom::Earliest).build().await.expect("the reader starts")
}

async fn batches<B: Body>(name: &str, builder: SubscriberBuilder<B>, see: impl Fn(&Records) -> usize) -> Row {
    let mut subscriber = start(builder).await;
    let mut region = Region::new(ALLOCATOR);
    for number in 0..2 * BATCHES {
        if number == BATCHES {
            region = Region::new(ALLOCATOR);
        }
        let records = subscriber.recv_batch().await.expect("there are more").expect("nothing goes wrong");
        assert_eq!(see(&records), RECORDS_IN_BATCH);
    }
    row(format!("read: {name}"), &region, true)
}

async fn owned<B: Body>(name: &str, builder: SubscriberBuilder<B>) -> Row {
    let mut subscriber = start(builder).await;
    let mut region = Region::new(ALLOCATOR);
    for number in 0..2 * BATCHES * RECORDS_IN_BATCH {
        if number == BATCHES * RECORDS_IN_BATCH {
            region = Region::new(ALLOCATOR);
        }
        let event = subscriber.recv().await.expect("there are more").expect("nothing goes wrong");
        assert!(event.parsed().envelope().is_some());
        event.ack();
    }
    row(format!("read: {name}"), &region, false)
}

/// How many records have a key, a value and a header.
fn look(records: &Records) -> usize {
    let is_whole = |record: &craftwire::consumer::RecordRef<'_>| {
        record.key().is_some() && record.value().is_some() && record.headers().count() == 1
    };
    records.iter().filter(is_whole).count()
}

/// How many records are events whose texts are there.
fn events<B: Body>(records: &Records) -> usize {
    let events = records.iter().filter_map(|record| decode::<B>(record.value()?).ok());
    events.filter(|event| event.envelope().source == "crafting.network").count()
}

fn row(name: String, region: &Region<'_, std::alloc::System>, is_bound: bool) -> Row {
    let change = region.change();
    Row {
        name,
        new_per_batch: change.allocations as f64 / BATCHES as f64,
        grown_per_batch: change.reallocations as f64 / BATCHES as f64,
        records_per_batch: RECORDS_IN_BATCH as f64,
        is_bound,
    }
}
