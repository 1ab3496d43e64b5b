//! Task: Produce (0), and the producer ids for it (22).

use crate::{
    case::cases,
    checklist::versions_of,
    connection::Connection,
    records::{Batch, CRC_AT, LAST_OFFSET_DELTA_AT, MAGIC_AT},
    target::{Target, Topic},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, InitProducerIdRequest, ProduceRequest,
    produce_request::{PartitionProduceData, TopicProduceData},
    produce_response::PartitionProduceResponse,
};

cases! {
    1 brokers;
    Produce:
        appends_in_every_version
        appends_every_codec
        appends_to_several_partitions_and_says_of_each
        a_magic_unheard_of_spoils_the_whole_request
        refuses_unknown_topics_and_partitions
        finds_duplicates_among_the_last_five_batches
        refuses_sequences_out_of_order
        takes_any_first_sequence
        fences_old_producer_epochs
        refuses_batches_that_are_broken
        refuses_batches_that_are_too_large
        refuses_timestamps_out_of_bounds
        refuses_records_without_key_in_compacted_topics
        refuses_acks_that_are_none
        stamps_the_time_of_the_append
        acks_of_none_are_silent_until_something_fails;
    InitProducerId:
        gives_producer_ids_in_every_version;
}

/// A request with one batch for one partition.
pub(crate) fn produce(topic: &Topic, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic =
        TopicProduceData::default().with_name(topic.name.clone().into()).with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(-1)
        .with_timeout_ms(10_000)
        .with_topic_data(vec![topic])
}

/// Produces one batch to partition 0, notes the answer, and gives its one partition.
async fn send(
    connection: &mut Connection<'_>,
    label: &str,
    topic: &Topic,
    records: Bytes,
) -> PartitionProduceResponse {
    let answer = connection.noted(label, 12, &produce(topic, 0, records)).await;
    answer.responses[0].partition_responses[0].clone()
}

/// The code and the base offset.
async fn sent(connection: &mut Connection<'_>, label: &str, topic: &Topic, batch: Batch) -> (i16, i64) {
    let answer = send(connection, label, topic, batch.bytes()).await;
    (answer.error_code, answer.base_offset)
}

async fn appends_in_every_version(target: &Target) {
    let topic = target.topic("appends_in_every_version", 1, &[]).await;
    let mut connection = target.connect().await;
    for (at, version) in (0..).zip(versions_of(ApiKey::Produce)) {
        let answer = connection.noted("produce", version, &produce(&topic, 0, Batch::of(2).bytes())).await;
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, at * 2));
    }
    let answer = connection.noted("acks 1", 12, &produce(&topic, 0, Batch::of(2).bytes()).with_acks(1)).await;
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 8);
}

async fn appends_every_codec(target: &Target) {
    use craftwire::Compression;
    let topic = target.topic("appends_every_codec", 1, &[]).await;
    let mut connection = target.connect().await;
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let records: Vec<_> = (0..20)
            .map(|_| craftwire::internals::BenchRecord {
                key: Bytes::from_static(b"key"),
                value: Bytes::from_static(&[7; 100]),
                headers: Vec::new(),
            })
            .collect();
        let mut batch =
            BytesMut::from(&craftwire::internals::BatchCodec::default().encode(&records, 1 << 16, codec)[..]);
        // The benches' stamp is an idempotent producer's: take that off.
        batch[43..57].fill(0xff);
        let crc = crc32c::crc32c(&batch[21..]);
        batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        let answer = send(&mut connection, "batch", &topic, batch.freeze()).await;
        assert_eq!(answer.error_code, 0, "{codec:?}");
    }
    // A batch that says it is compressed, and is not.
    for attributes in 1..=4 {
        let plain = Batch { attributes, ..Batch::of(2) };
        send(&mut connection, "plain bytes of a codec", &topic, plain.bytes()).await;
    }
    send(&mut connection, "no such codec", &topic, Batch { attributes: 5, ..Batch::of(2) }.bytes()).await;
}

async fn appends_to_several_partitions_and_says_of_each(target: &Target) {
    let topic = target.topic("appends_to_several_partitions", 3, &[]).await;
    let mut connection = target.connect().await;
    let mut request = produce(&topic, 0, Batch::of(1).bytes());
    for (partition, records) in [
        (1, Batch::of(3).forged(57, &2_i32.to_be_bytes())),
        (2, Batch::of(2).bytes()),
        (3, Batch::of(1).bytes()),
    ] {
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
        request.topic_data[0].partition_data.push(data);
    }
    let mut answer = connection.ask(12, &request).await;
    answer.responses[0].partition_responses.sort_by_key(|partition| partition.index);
    target.note("several", &answer);
    let codes: Vec<i16> = answer.responses[0].partition_responses.iter().map(|p| p.error_code).collect();
    assert_eq!(codes, [0, 87, 0, 3]);
}

async fn a_magic_unheard_of_spoils_the_whole_request(target: &Target) {
    let topic = target.topic("a_magic_unheard_of", 2, &[]).await;
    let mut connection = target.connect().await;
    let mut request = produce(&topic, 0, Batch::of(1).bytes());
    let future = Batch::of(3).forged(MAGIC_AT, &[3]);
    let data = PartitionProduceData::default().with_index(1).with_records(Some(future));
    request.topic_data[0].partition_data.push(data);
    let answer = connection.noted("magic 3", 12, &request).await;
    assert!(answer.responses[0].partition_responses.iter().all(|partition| partition.error_code == 2));
    let old = Batch::of(1).forged(MAGIC_AT, &[1]);
    send(&mut connection, "magic 1", &topic, old).await;
}

async fn refuses_unknown_topics_and_partitions(target: &Target) {
    let topic = target.topic("refuses_unknown_topics", 1, &[]).await;
    let mut connection = target.connect().await;
    let nowhere = Topic { name: "nobody_created_this".into(), ..topic.clone() };
    assert_eq!(sent(&mut connection, "topic", &nowhere, Batch::of(1)).await, (3, -1));
    let answer = connection.noted("partition", 12, &produce(&topic, 1, Batch::of(1).bytes())).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 3);
}

async fn finds_duplicates_among_the_last_five_batches(target: &Target) {
    let topic = target.topic("finds_duplicates", 1, &[]).await;
    let mut connection = target.connect().await;
    let id = target.producer_id().await;
    for sequence in 0..6 {
        let batch = Batch::of(1).by(id, 0, sequence);
        assert_eq!(sent(&mut connection, "new", &topic, batch).await, (0, sequence.into()));
    }
    for sequence in 1..6 {
        let batch = Batch::of(1).by(id, 0, sequence);
        assert_eq!(sent(&mut connection, "duplicate", &topic, batch).await, (0, sequence.into()));
    }
    assert_eq!(sent(&mut connection, "older", &topic, Batch::of(1).by(id, 0, 0)).await, (45, -1));
    assert_eq!(sent(&mut connection, "other length", &topic, Batch::of(2).by(id, 0, 5)).await, (45, -1));
    assert_eq!(sent(&mut connection, "next", &topic, Batch::of(1).by(id, 0, 6)).await, (0, 6));
}

async fn refuses_sequences_out_of_order(target: &Target) {
    let topic = target.topic("refuses_sequences_out_of_order", 1, &[]).await;
    let mut connection = target.connect().await;
    let id = target.producer_id().await;
    assert_eq!(sent(&mut connection, "first", &topic, Batch::of(2).by(id, 0, 0)).await, (0, 0));
    assert_eq!(sent(&mut connection, "gap", &topic, Batch::of(1).by(id, 0, 3)).await, (45, -1));
    assert_eq!(sent(&mut connection, "back", &topic, Batch::of(1).by(id, 0, 1)).await, (45, -1));
    assert_eq!(sent(&mut connection, "next", &topic, Batch::of(1).by(id, 0, 2)).await, (0, 2));
}

async fn takes_any_first_sequence(target: &Target) {
    let topic = target.topic("takes_any_first_sequence", 1, &[]).await;
    let mut connection = target.connect().await;
    let (one, other) = (target.producer_id().await, target.producer_id().await);
    assert_eq!(sent(&mut connection, "first", &topic, Batch::of(1).by(one, 3, 40)).await, (0, 0));
    assert_eq!(
        sent(&mut connection, "before the first", &topic, Batch::of(1).by(one, 3, 39)).await,
        (45, -1)
    );
    // Sequences go on at 0 after the largest.
    assert_eq!(sent(&mut connection, "last", &topic, Batch::of(2).by(other, 0, i32::MAX - 1)).await, (0, 1));
    assert_eq!(sent(&mut connection, "wrapped", &topic, Batch::of(1).by(other, 0, 0)).await, (0, 3));
    let third = target.producer_id().await;
    assert_eq!(
        sent(&mut connection, "over the end", &topic, Batch::of(3).by(third, 0, i32::MAX)).await,
        (0, 4)
    );
    assert_eq!(sent(&mut connection, "behind it", &topic, Batch::of(1).by(third, 0, 2)).await, (0, 7));
}

async fn fences_old_producer_epochs(target: &Target) {
    let topic = target.topic("fences_old_producer_epochs", 1, &[]).await;
    let mut connection = target.connect().await;
    let id = target.producer_id().await;
    assert_eq!(sent(&mut connection, "epoch 1", &topic, Batch::of(1).by(id, 1, 0)).await, (0, 0));
    assert_eq!(sent(&mut connection, "old epoch", &topic, Batch::of(1).by(id, 0, 1)).await, (47, -1));
    assert_eq!(sent(&mut connection, "not at 0", &topic, Batch::of(1).by(id, 2, 1)).await, (45, -1));
    assert_eq!(sent(&mut connection, "epoch 2", &topic, Batch::of(1).by(id, 2, 0)).await, (0, 1));
    assert_eq!(sent(&mut connection, "duplicate", &topic, Batch::of(1).by(id, 2, 0)).await, (0, 1));
    assert_eq!(sent(&mut connection, "fenced", &topic, Batch::of(1).by(id, 1, 1)).await, (47, -1));
    assert_eq!(
        sent(&mut connection, "duplicate of the old epoch", &topic, Batch::of(1).by(id, 1, 0)).await,
        (47, -1)
    );
}

async fn refuses_batches_that_are_broken(target: &Target) {
    let topic = target.topic("refuses_batches_that_are_broken", 1, &[]).await;
    let mut connection = target.connect().await;
    let good = Batch::of(3);
    let mut flipped = BytesMut::from(&good.bytes()[..]);
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert_eq!(send(&mut connection, "a flipped bit", &topic, flipped.freeze()).await.error_code, 2);
    let count = good.forged(57, &2_i32.to_be_bytes());
    assert_eq!(send(&mut connection, "a wrong count", &topic, count).await.error_code, 87);
    let delta = good.forged(LAST_OFFSET_DELTA_AT, &5_i32.to_be_bytes());
    assert_eq!(send(&mut connection, "a wrong last offset", &topic, delta).await.error_code, 87);
    let none = Batch { records: Vec::new(), ..good.clone() }.bytes();
    send(&mut connection, "no record", &topic, none).await;
    let control = Batch { attributes: 0x20, ..good.clone() };
    assert_eq!(send(&mut connection, "a control batch", &topic, control.bytes()).await.error_code, 87);
    let cut = good.bytes().slice(..good.bytes().len() - 1);
    send(&mut connection, "cut", &topic, cut).await;
    send(&mut connection, "nothing", &topic, Bytes::new()).await;
    send(&mut connection, "half a header", &topic, good.bytes().slice(..30)).await;
    let two = [good.bytes(), good.bytes()].concat();
    assert_eq!(send(&mut connection, "two batches", &topic, two.into()).await.error_code, 87);
    assert_eq!(send(&mut connection, "a good one", &topic, good.bytes()).await.base_offset, 0);
}

async fn refuses_batches_that_are_too_large(target: &Target) {
    let topic = target.topic("refuses_batches_that_are_too_large", 1, &[("max.message.bytes", "1000")]).await;
    let mut connection = target.connect().await;
    let of_bytes = |bytes: usize| {
        let empty = Batch { records: vec![(None, vec![0; 500])], ..Batch::of(1) };
        let rest = empty.bytes().len() - 500;
        Batch { records: vec![(None, vec![0; bytes - rest])], ..Batch::of(1) }
    };
    assert_eq!(of_bytes(1000).bytes().len(), 1000);
    assert_eq!(sent(&mut connection, "just fits", &topic, of_bytes(1000)).await, (0, 0));
    assert_eq!(sent(&mut connection, "one byte more", &topic, of_bytes(1001)).await, (10, -1));
}

async fn refuses_timestamps_out_of_bounds(target: &Target) {
    let topic = target
        .topic("refuses_timestamps_out_of_bounds", 1, &[("message.timestamp.before.max.ms", "1000")])
        .await;
    let mut connection = target.connect().await;
    let ahead = Batch { base_timestamp_ms: 4_000_000_000_000, ..Batch::of(2) };
    assert_eq!(sent(&mut connection, "in 2096", &topic, ahead).await, (32, -1));
    assert_eq!(sent(&mut connection, "in 2023", &topic, Batch::of(1)).await, (32, -1));
}

async fn refuses_records_without_key_in_compacted_topics(target: &Target) {
    let topic = target.topic("refuses_records_without_key", 1, &[("cleanup.policy", "compact")]).await;
    let mut connection = target.connect().await;
    let mut batch = Batch::of(3);
    batch.records[1].0 = None;
    assert_eq!(sent(&mut connection, "without key", &topic, batch).await, (87, -1));
    assert_eq!(sent(&mut connection, "with keys", &topic, Batch::of(3)).await, (0, 0));
}

async fn refuses_acks_that_are_none(target: &Target) {
    let topic = target.topic("refuses_acks_that_are_none", 1, &[]).await;
    let mut connection = target.connect().await;
    for acks in [2, -2] {
        let answer =
            connection.noted("acks", 12, &produce(&topic, 0, Batch::of(1).bytes()).with_acks(acks)).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 21);
    }
}

async fn stamps_the_time_of_the_append(target: &Target) {
    let topic = target
        .topic("stamps_the_time_of_the_append", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    let mut connection = target.connect().await;
    let mut answer = connection.ask(12, &produce(&topic, 0, Batch::of(1).bytes())).await;
    let time_ms = &mut answer.responses[0].partition_responses[0].log_append_time_ms;
    assert!(*time_ms > crate::records::FIRST_MS);
    *time_ms = 1;
    target.note("stamped", &answer);
}

async fn acks_of_none_are_silent_until_something_fails(target: &Target) {
    let topic = target.topic("acks_of_none_are_silent", 1, &[]).await;
    let mut connection = target.connect().await;
    connection.send(12, &produce(&topic, 0, Batch::of(1).bytes()).with_acks(0)).await;
    assert_eq!(sent(&mut connection, "after acks 0", &topic, Batch::of(1)).await, (0, 1));
    connection.send(12, &produce(&topic, 9, Batch::of(1).bytes()).with_acks(0)).await;
    assert!(connection.receive_frame().await.is_none(), "the connection is closed");
}

async fn gives_producer_ids_in_every_version(target: &Target) {
    let first = target.producer_id().await;
    let mut connection = target.connect().await;
    let request = InitProducerIdRequest::default().with_producer_id((-1).into()).with_producer_epoch(-1);
    let mut ids = std::collections::BTreeSet::from([first]);
    for version in versions_of(ApiKey::InitProducerId) {
        let answer = connection.noted("ask", version, &request.clone().with_transactional_id(None)).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        assert!(ids.insert(answer.producer_id.0), "a new one each time");
    }
    // An id that is there already is not bumped without a transactional id: another one is given.
    let bump = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(first.into())
        .with_producer_epoch(0);
    let answer = connection.noted("ask again", 5, &bump).await;
    assert!(answer.error_code == 0 && ids.insert(answer.producer_id.0), "{answer:?}");
}
