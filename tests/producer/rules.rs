//! The rules of producing, by number, as they show on the wire: sequences, epochs, what is in flight, deadlines, sizes,
//! codecs and times. What follows from them for records is in `promises`.

use super::{
    wire::{Sent, Wire, send_wide, wide},
    *,
};
use bytes::Bytes;
use craftwire::{
    Compression,
    admin::ConfigOwner,
    crafting::{Crafting, SessionStart, Topic},
    error::ErrorCode,
    mock::Api,
    producer::{Profile, SendError, Unknown},
};
use uuid::Uuid;

const HALF_MIB: usize = 512 * 1_024;

#[tokio::test(start_paused = true)]
async fn rule_1_one_batch_until_the_first_is_acked_and_again_after_a_leader_change_or_a_long_pause() {
    let (mock, wire) = (mock(2, 1), Wire::default());
    let producer = wire.producer(&mock).await;
    mock.on(Api::Produce).always().delay(50 * MS);
    let mut all = outcomes(send_wide(&producer, 0..12)).await;
    mock.move_leader(TOPIC, 0, mock.leader(TOPIC, 0).unwrap() % 2 + 1).unwrap();
    pass(6 * SECOND).await;
    all.extend(outcomes(send_wide(&producer, 12..24)).await);
    pass(120 * SECOND).await;
    all.extend(outcomes(send_wide(&producer, 24..36)).await);
    check(&mock, &all);
    all_acked(&all);
    let requests = wire.requests();
    assert_eq!(requests.len(), 36, "nothing was sent twice");
    assert_ne!(requests[0].broker, requests[12].broker);
    for first in [0, 12, 24] {
        let (from, to) = (requests[first].sent, requests[first].over.unwrap());
        assert!(!requests.iter().any(|sent| (from + 1..to).contains(&sent.sent)), "request {first}");
        let part = |sent: &Sent| (from..from + 24).contains(&sent.sent);
        assert_eq!(wire.in_flight_max(part), 5, "after request {first}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_1_after_a_failure_only_the_oldest_is_sent_until_all_that_were_out_are_acked() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    let producer = wire.producer(&mock).await;
    mock.on(Api::Produce).always().delay(50 * MS);
    mock.on(Api::Produce).skip(1).fail_partition(TOPIC, 0, ErrorCode::NOT_ENOUGH_REPLICAS);
    let all = outcomes(send_wide(&producer, 0..12)).await;
    check(&mock, &all);
    all_acked(&all);
    let requests = wire.requests();
    let codes: Vec<_> = requests.iter().map(|sent| sent.batches[0].code.unwrap()).collect();
    assert_eq!(codes[..6], [0, 19, 45, 45, 45, 45]);
    assert!(codes[6..].iter().all(|code| *code == 0), "{codes:?}");
    for (again, first) in requests[6..11].iter().zip(&requests[1..6]) {
        assert_eq!(again.batches[0].bytes, first.batches[0].bytes);
        assert_eq!(wire.in_flight_max(|sent| sent.is_in_flight_at(again.sent)), 1);
    }
    assert_eq!(wire.in_flight_max(|sent| sent.sent > requests[10].sent), 5);
}

#[tokio::test(start_paused = true)]
async fn rule_1_a_topic_that_is_not_ready_everywhere_takes_first_batches_in_order() {
    for code in [3, 5, 6, 19] {
        let mock = mock(2, 4);
        let producer = producer_with(&mock, |builder| builder.batch_bytes(1_024)).await;
        for partition in 0..4 {
            // KAFKA-15591: the first is refused, and whatever is behind it is not.
            mock.on(Api::Produce).fail_partition(TOPIC, partition, ErrorCode(code));
        }
        let outcomes = outcomes(send_wide(&producer, 0..100)).await;
        check(&mock, &outcomes);
        all_acked(&outcomes);
        assert_eq!(producer.metrics().loss_suspected, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_five_batches_of_a_partition_are_open_at_most_and_on_one_connection_wherever_it_moves() {
    let (mock, wire) = (mock(3, 2), Wire::default());
    let producer = wire.producer(&mock).await;
    mock.on(Api::Produce).always().delay(8 * MS);
    let mut deliveries = Vec::new();
    for round in 0..60 {
        deliveries.extend(send_wide(&producer, round * 16..round * 16 + 16));
        for partition in 0..2 {
            if round % 3 == 0 {
                mock.move_leader(TOPIC, partition, i32::try_from(round / 3).unwrap() % 3 + 1).unwrap();
            }
        }
        pass(40 * MS).await;
    }
    let outcomes = outcomes(deliveries).await;
    check(&mock, &outcomes);
    all_acked(&outcomes);
    for partition in 0..2 {
        wire.check(partition);
        assert_eq!(wire.unresolved_max(partition), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_3_an_epoch_is_bumped_without_a_request_once_the_old_one_is_drained() {
    let (mock, wire) = (mock(1, 2), Wire::default());
    let producer = wire.producer(&mock).await;
    let mut all = outcomes(send_wide(&producer, 0..20)).await;
    let ids = mock.request_count(Api::InitProducerId);
    mock.on(Api::Produce).always().delay(20 * MS);
    mock.on(Api::Produce).fail_partition(TOPIC, 0, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    all.extend(outcomes(send_wide(&producer, 20..60)).await);
    check(&mock, &all);
    all_acked(&all);
    assert_eq!(mock.request_count(Api::InitProducerId), ids, "an epoch is bumped by the client alone");
    let batches = mock.batches(TOPIC, 0);
    let bump = batches.iter().position(|batch| batch.producer_epoch == 1).unwrap();
    assert!(batches.iter().all(|batch| batch.producer_id == batches[0].producer_id));
    assert!(batches.iter().zip(0..).all(|(batch, at)| {
        let sequence = if at < bump { at } else { at - bump };
        (usize::from(at >= bump), sequence)
            == (batch.producer_epoch.try_into().unwrap(), batch.base_sequence.try_into().unwrap())
    }));
    assert!(
        mock.batches(TOPIC, 1).iter().all(|batch| batch.producer_epoch == 0),
        "each partition has its own"
    );
    let requests = wire.requests();
    let epoch = |sent: &Sent| sent.of(0).map(|batch| batch.stamp().1);
    for new in requests.iter().filter(|sent| epoch(sent) == Some(1)) {
        let mut out = requests.iter().filter(|old| old.is_in_flight_at(new.sent));
        assert!(!out.any(|old| epoch(old) == Some(0)), "the old epoch was not drained");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_4_rejections_are_a_list_and_whatever_else_is_answered_may_be_written() {
    for code in [10, 18, 29, 32, 43, 76, 87] {
        let (mock, wire) = (mock(1, 1), Wire::default());
        let producer = wire.producer(&mock).await;
        let mut all = outcomes(send_wide(&producer, 0..1)).await;
        mock.on(Api::Produce).fail(ErrorCode(code));
        let rejected = outcomes(send_wide(&producer, 1..2)).await;
        assert!(matches!(rejected[&1], Err(DeliveryError::NotSent(_))), "{code}: {rejected:?}");
        assert_eq!(wire.requests().len(), 2, "{code}: it is not sent again");
        all.extend(rejected);
        all.extend(outcomes(send_wide(&producer, 2..3)).await);
        check(&mock, &all);
        assert!(all[&2].is_ok());
    }
    for code in [-1, 2, 3, 5, 6, 7, 20, 56, 74, 1_000] {
        let (mock, wire) = (mock(1, 1), Wire::default());
        let producer = wire.producer(&mock).await;
        // On a first try too: the answer may come after the append.
        mock.on(Api::Produce).fail_after(ErrorCode(code));
        let all = outcomes(send_wide(&producer, 0..2)).await;
        check(&mock, &all);
        all_acked(&all);
        let requests = wire.requests();
        assert_eq!(requests[0].batches[0].bytes, requests[1].batches[0].bytes, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_4_what_may_be_written_and_meets_45_47_or_59_is_unknown_and_never_gets_another_stamp() {
    for code in [45, 47, 59] {
        let (mock, wire) = (mock(1, 1), Wire::default());
        let producer = wire.producer(&mock).await;
        let mut all = outcomes(send_wide(&producer, 0..1)).await;
        mock.on(Api::Produce).disconnect_after();
        mock.on(Api::Produce).fail(ErrorCode(code));
        all.extend(outcomes(send_wide(&producer, 1..2)).await);
        let refused = Err(DeliveryError::Unknown(Unknown::Refused { code: ErrorCode(code) }));
        assert_eq!(all[&1], refused);
        all.extend(outcomes(send_wide(&producer, 2..3)).await);
        check(&mock, &all);
        assert_eq!(log(&mock)[&0], [0, 1, 2]);
        let stamps: Vec<_> = wire.requests().iter().map(|sent| sent.batches[0].stamp()).collect();
        assert_eq!(stamps[1], stamps[2], "{code}");
        assert!(
            stamps[3..].iter().all(|stamp| (stamp.0, stamp.1) != (stamps[1].0, stamps[1].1)),
            "{stamps:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn rule_5_a_duplicate_is_acked_with_its_first_offset_and_retention_takes_no_sequences() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    let producer = wire.producer(&mock).await;
    let mut all = outcomes(send_wide(&producer, 0..3)).await;
    mock.on(Api::Produce).times(2).disconnect_after();
    all.extend(outcomes(send_wide(&producer, 3..8)).await);
    check(&mock, &all);
    assert!(all.values().zip(0..).all(|(ack, n)| ack.as_ref().unwrap().offset == Some(n)), "{all:?}");
    assert_eq!(log(&mock)[&0].len(), 8, "the second time nothing is appended");
    // Brokers before 4.1 say so in another way, and not where it is.
    mock.on(Api::Produce).fail_after(ErrorCode::DUPLICATE_SEQUENCE_NUMBER);
    let duplicate = producer.send(wide(8)).await.unwrap().await.unwrap();
    assert_eq!(duplicate.offset, None);
    mock.delete_records(TOPIC, 0, 9).unwrap();
    let next = producer.send(wide(9)).await.unwrap().await.unwrap();
    assert_eq!(next.offset, Some(9));
    let [last] = &mock.batches(TOPIC, 0)[..] else { panic!("one batch is left") };
    assert_eq!((last.producer_epoch, last.base_sequence), (0, 9));
}

#[tokio::test(start_paused = true)]
async fn rule_6_batches_stay_within_the_limit_before_compression_and_half_a_mebibyte_does_not_fit() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    mock.create_topic_with("sized", 1, &[("max.message.bytes", &HALF_MIB.to_string())]).unwrap();
    // The topic's limit is read, and prevails.
    let producer = wire.producer_with(&mock, |builder| builder.profile(Profile::Throughput)).await;
    let of = |bytes: usize| ProducerRecord::new("sized", noise(1, bytes));
    let Err(SendError::TooLarge { bytes, limit }) = producer.send(of(HALF_MIB)).await else {
        panic!("an event of exactly 512 KiB fits")
    };
    assert_eq!(limit, HALF_MIB);
    let largest = HALF_MIB - (bytes - HALF_MIB);
    producer.send(of(largest)).await.unwrap().await.unwrap();
    let one_more = producer.send(of(largest + 1)).await.unwrap_err();
    assert!(matches!(one_more, SendError::TooLarge { bytes, .. } if bytes == HALF_MIB + 1), "{one_more:?}");
    assert_eq!(mock.batches("sized", 0)[0].bytes.len(), HALF_MIB, "it went out plain, and fits exactly");
    let many = (0..2_000).map(|n| ProducerRecord::new("sized", noise(n, 1_500)));
    let all: Vec<_> = many.map(|record| producer.try_send(record).unwrap()).collect();
    for delivery in all {
        delivery.await.unwrap();
    }
    let sizes: Vec<_> = mock.batches("sized", 0).iter().map(|batch| batch.bytes.len()).collect();
    assert!(sizes.iter().all(|size| *size <= HALF_MIB), "{sizes:?}");
    assert!(sizes[1..].iter().any(|size| *size > HALF_MIB - 2_000), "{sizes:?}");

    // Judged on a batch of one record, whatever else is in the batch.
    mock.create_topic_with("smaller", 1, &[("max.message.bytes", "2000")]).unwrap();
    let refused = producer.send(ProducerRecord::new("smaller", noise(1, 3_000))).await.unwrap_err();
    assert!(matches!(refused, SendError::TooLarge { limit: 2_000, .. }), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn rule_7_the_deadline_is_that_of_the_oldest_request_and_every_answer_sets_it_anew() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    let producer = wire.producer(&mock).await;
    let mut all = outcomes(send_wide(&producer, 0..1)).await;
    // Each takes less than the 2 s that an answer may take, those behind wait for all before them.
    let slow = mock.on(Api::Produce).times(8).delay(1_500 * MS);
    all.extend(outcomes(send_wide(&producer, 1..9)).await);
    assert_eq!((slow.hits(), producer.metrics().retries), (8, 0));
    let requests = wire.requests();
    assert_eq!(requests.len(), 9);
    let waited = requests[5].over_at.unwrap() - requests[5].at;
    assert!(waited >= 7 * SECOND, "{waited:?} is more than the 2 s");
    assert!(requests.iter().all(|sent| sent.connection == requests[0].connection));
    assert!(
        requests.iter().all(|sent| (1_000..2_000).contains(&sent.timeout_ms)),
        "less than an answer may take"
    );

    mock.on(Api::Produce).delay(1_500 * MS);
    mock.on(Api::Produce).drop_after();
    let started = Instant::now();
    all.extend(outcomes(send_wide(&producer, 9..14)).await);
    let silent = &wire.requests()[10];
    let given_up = silent.over_at.unwrap() - started;
    assert!((3_500 * MS..3_600 * MS).contains(&given_up), "2 s after the last answer, not {given_up:?}");
    check(&mock, &all);
    all_acked(&all);
}

#[tokio::test(start_paused = true)]
async fn rule_8_slow_acks_widen_the_gap_and_only_full_batches_go_five_deep() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    let producer = wire
        .producer_with(&mock, |builder| builder.profile(Profile::Realtime).compression(Compression::None))
        .await;
    let mut all = outcomes(send_all(&producer, 0..1).await).await;
    mock.on(Api::Produce).always().delay(40 * MS);
    let mut deliveries = Vec::new();
    for n in 1..2_000 {
        deliveries.push((n, producer.send(record(n)).await.unwrap()));
        pass(MS).await;
    }
    all.extend(outcomes(deliveries).await);
    let requests = wire.requests();
    assert_eq!(wire.in_flight_max(|_| true), 2);
    let gaps: Vec<_> = requests.windows(2).skip(10).map(|pair| pair[1].at - pair[0].at).collect();
    let narrow = gaps.iter().filter(|gap| **gap < 20 * MS).count();
    assert!(narrow <= gaps.len() / 20, "{narrow} of {} gaps are below half an ack time", gaps.len());

    let from = requests.last().unwrap().sent;
    let full = (0..40)
        .map(|n| (2_000 + n, producer.try_send(record(2_000 + n).header("padding", noise(1, 60_000)))));
    let full = full.map(|(n, sent)| (n, sent.unwrap())).collect();
    all.extend(outcomes(full).await);
    assert_eq!(wire.in_flight_max(|sent| sent.sent > from), 5);
    check(&mock, &all);
    all_acked(&all);
}

#[tokio::test(start_paused = true)]
async fn rule_9_topics_keep_our_codec_and_clock_and_the_log_holds_what_was_sent() {
    let mock = MockCluster::builder().brokers(3).start_in_memory().unwrap();
    let wire = Wire::default();
    let tap = wire.tap(&mock);
    let crafting =
        Crafting::builder(&mock.bootstrap()).client(|client| client.memory(tap)).build().await.unwrap();
    crafting.topics().ensure().await.unwrap().require_clean().unwrap();
    let publisher = crafting.publisher("crafting.network").build().await.unwrap();
    let start = SessionStart::new(Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let published = publisher.publish(start).await.unwrap();
    for topic in [Topic::Events, Topic::Progress] {
        let name = crafting.topic_name(topic);
        let configs = crafting.client().admin().describe_configs(ConfigOwner::Topic(&name)).await.unwrap();
        for (key, value) in [("compression.type", "producer"), ("message.timestamp.type", "CreateTime")] {
            assert_eq!(
                (configs[key].value.as_deref(), configs[key].is_own),
                (Some(value), true),
                "{name} {key}"
            );
        }
    }
    let events = crafting.topic_name(Topic::Events);
    let [stored] = &mock.batches(&events, published.partition)[..] else { panic!("one batch") };
    assert_eq!(
        stored.bytes[21..],
        wire.requests()[0].batches[0].bytes[21..],
        "all but the broker's own fields"
    );
    let clock_ms = i64::from_be_bytes(stored.bytes[27..35].try_into().unwrap());
    assert_eq!(Some(clock_ms), published.timestamp_ms);

    // An event that says that it is years old is as young as its publication, or retention would take it at once.
    let record = mock.records(&events, published.partition).remove(0);
    let mut event: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
    event["timestamp"] = "2020-01-01T00:00:00.000Z".into();
    event["event_id"] = Uuid::new_v4().to_string().into();
    let old = publisher.enqueue_json(Topic::Events, event.to_string().into()).await.unwrap().await.unwrap();
    assert!(old.timestamp_ms >= published.timestamp_ms);
}

#[tokio::test(start_paused = true)]
async fn rule_9_lz4_blocks_are_64_kib_at_most_and_what_does_not_shrink_lies_in_them_raw() {
    let (mock, wire) = (mock(1, 1), Wire::default());
    let set = |builder: ProducerBuilder| builder.profile(Profile::Throughput).compression(Compression::Lz4);
    let producer = wire.producer_with(&mock, set).await;
    let value = [noise(1, 150_000), vec![0; 150_000]].concat();
    producer.send(ProducerRecord::new(TOPIC, value.clone())).await.unwrap().await.unwrap();
    let batch: Bytes = mock.batches(TOPIC, 0)[0].bytes.clone();
    assert_eq!((mock.batches(TOPIC, 0)[0].codec, &batch[61..65]), (3, &0x184d_2204_u32.to_le_bytes()[..]));
    assert_eq!(batch[66] >> 4 & 7, 4, "the frame states blocks of 64 KiB");
    let (mut at, mut raw, mut packed) = (68, 0, 0);
    loop {
        let word = u32::from_le_bytes(batch[at..at + 4].try_into().unwrap());
        let len = usize::try_from(word & 0x7fff_ffff).unwrap();
        if len == 0 {
            break;
        }
        assert!(len <= 65_536, "{len}");
        *(if word >> 31 == 1 { &mut raw } else { &mut packed }) += 1;
        at += 4 + len;
    }
    assert!(raw >= 2 && packed >= 2, "{raw} raw, {packed} packed");
    assert_eq!(mock.records(TOPIC, 0)[0].value.as_ref().unwrap(), &value);
}

#[tokio::test(start_paused = true)]
async fn rule_9_snappy_is_read_with_the_framing_of_java_and_without() {
    let mock = MockCluster::builder().start_in_memory().unwrap();
    mock.create_topic_with(TOPIC, 1, &[("retention.ms", "-1")]).unwrap();
    let framed = include_bytes!("../golden/record_batch/java-snappy.bin");
    let bare = include_bytes!("../golden/record_batch/librdkafka-snappy.bin");
    assert_eq!(&framed[61..68], b"\x82SNAPPY");
    assert_ne!(&bare[61..68], b"\x82SNAPPY");
    for batch in [&framed[..], bare] {
        mock.append_batch(TOPIC, 0, batch).unwrap();
    }
    let wanted = mock.records(TOPIC, 0);
    let mut consumer = client(&mock).await.consumer().topics([TOPIC]).build().await.unwrap();
    for wanted in &wanted {
        let read = consumer.recv().await.unwrap().unwrap();
        assert_eq!((read.offset(), read.value()), (wanted.offset, wanted.value.as_deref()));
    }
    assert!(wanted.len() > 2);
}
