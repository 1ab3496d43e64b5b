//! Fetch answers that are not what was asked for, and offsets that are not there, on the mock in virtual time.

use crate::recorder::{PATIENCE, SECOND, client, next, start, told, write};
use bytes::{Bytes, BytesMut};
use craftwire::{
    consumer::{ConsumeError, ConsumerEvent, StartFrom},
    mock::{Api, MockCluster},
};
use kafka_protocol::{
    messages::FetchResponse,
    protocol::{Decodable, Encodable},
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::timeout;
use uuid::Uuid;

/// The version in which the client asks the mock.
const VERSION: i16 = 17;

fn rewritten(body: &[u8], change: impl FnOnce(&mut FetchResponse)) -> Vec<u8> {
    let mut answer = FetchResponse::decode(&mut Bytes::copy_from_slice(body), VERSION).unwrap();
    change(&mut answer);
    let mut out = BytesMut::new();
    answer.encode(&mut out, VERSION).unwrap();
    out.to_vec()
}

/// Partitions twice, of other topics, out of any range, and left out.
fn garble(answer: &mut FetchResponse, turn: u64) {
    match turn % 4 {
        0 => {
            for topic in &mut answer.responses {
                let again = topic.partitions.clone();
                topic.partitions.extend(again);
            }
            let again = answer.responses.clone();
            answer.responses.extend(again);
        }
        1 => {
            for mut topic in answer.responses.clone() {
                topic.topic_id = Uuid::from_u128(turn.into());
                answer.responses.insert(0, topic);
            }
        }
        2 => {
            for topic in &mut answer.responses {
                for (partition, index) in
                    topic.partitions.clone().into_iter().zip([-1, 99, i32::MAX, i32::MIN])
                {
                    topic.partitions.insert(0, partition.with_partition_index(index));
                }
            }
        }
        // The session goes on from what it has not told: what was left out comes with the next change.
        _ => answer.responses.iter_mut().for_each(|topic| topic.partitions.truncate(1)),
    }
}

#[tokio::test(start_paused = true)]
async fn f47_partitions_twice_foreign_or_missing_in_an_answer_deliver_nothing_twice_and_strand_nobody() {
    for sessions in [0, 1000] {
        let mock = start(MockCluster::builder().brokers(2).topic("t", 4).fetch_sessions(sessions));
        let turn = AtomicU64::new(0);
        mock.on(Api::Fetch).always().rewrite(move |body| {
            let turn = turn.fetch_add(1, Relaxed);
            rewritten(body, |answer| garble(answer, turn))
        });
        let mut consumer = client(&mock).await.consumer().topics(["t"]).build().await.unwrap();
        let mut expected = [0; 4];
        for round in 0..30 {
            (0..4).for_each(|partition| write(&mock, partition, round * 3..round * 3 + 3));
            for _ in 0..12 {
                let (partition, offset) = next(&mut consumer).await;
                let expected = &mut expected[usize::try_from(partition).unwrap()];
                assert_eq!(offset, *expected, "partition {partition}");
                *expected += 1;
            }
        }
        assert_eq!(expected, [90; 4]);
    }
}

#[tokio::test(start_paused = true)]
async fn f35_offsets_below_the_start_and_above_the_end_go_by_the_policy() {
    for offset in [3, 500] {
        for (rule, to) in [(StartFrom::Earliest, 10), (StartFrom::Latest, 20)] {
            let mock = start(MockCluster::builder().topic("t", 1));
            write(&mock, 0, 0..20);
            mock.delete_records("t", 0, 10).unwrap();
            let builder = client(&mock).await.consumer().partitions("t", [0]);
            let builder = builder.start_from(StartFrom::Offset(offset)).on_out_of_range(rule);
            let mut consumer = builder.build().await.unwrap();
            let reset = told(&consumer, |event| match event {
                ConsumerEvent::Reset { from, to, .. } => Some((*from, *to)),
                _ => None,
            });
            assert_eq!(reset.await, (Some(offset), to));
            write(&mock, 0, 20..21);
            assert_eq!(next(&mut consumer).await, (0, to));
        }
        let mock = start(MockCluster::builder().topic("t", 1));
        write(&mock, 0, 0..20);
        mock.delete_records("t", 0, 10).unwrap();
        let builder = client(&mock).await.consumer().partitions("t", [0]);
        let mut consumer = builder.start_from(StartFrom::Offset(offset)).build().await.unwrap();
        let error = timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap_err();
        let is_it = matches!(error, ConsumeError::OffsetOutOfRange { offset: at, .. } if at == offset);
        assert!(is_it, "{error}");
        assert!(timeout(10 * SECOND, consumer.recv()).await.is_err(), "it stops until the caller seeks");
    }
}
