//! Task: hooks that bend answers, end connections and change the cluster.

use super::{Rig, answer, text, topic};
use crate::error::ErrorCode;
use crate::mock::core::{Origin, Outcome};
use crate::mock::{Api, Ending, MockCluster};
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    DescribeClusterRequest, InitProducerIdRequest, ListOffsetsRequest, RequestHeader,
};
use kafka_protocol::protocol::{Encodable, Request, encode_request_header_into_buffer};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn rig() -> Rig {
    Rig::new(MockCluster::builder().brokers(3).topic("t", 3))
}

fn ask() -> InitProducerIdRequest {
    InitProducerIdRequest::default().with_transactional_id(None)
}

/// The frame of an answer to [`ask`].
fn frame(rig: &Rig) -> Bytes {
    match rig.send(1, 4, &ask()) {
        Outcome::Reply(frame) => frame,
        other => panic!("no answer: {other:?}"),
    }
}

/// The correlation ids of the frames in a row.
fn ids(mut frames: Bytes) -> Vec<i32> {
    let mut ids = Vec::new();
    while !frames.is_empty() {
        let len = usize::try_from(frames.get_i32()).unwrap();
        ids.push(frames.split_to(len).get_i32());
    }
    ids
}

#[test]
fn an_answer_is_cut_at_a_byte_and_the_connection_ended() {
    let rig = rig();
    let whole = frame(&rig).len();
    for (bytes, ending) in [(0, Ending::Close), (5, Ending::Reset), (999, Ending::Silence)] {
        rig.mock.on(Api::InitProducerId).cut(bytes, ending);
        let Outcome::Last(written, ended) = rig.send(1, 4, &ask()) else { panic!("it must end") };
        assert_eq!((written.len(), ended), (bytes.min(whole), ending));
    }
    rig.mock.on(Api::InitProducerId).reset_before();
    rig.mock.on(Api::InitProducerId).reset_after();
    for _ in 0..2 {
        assert_eq!(rig.send(1, 4, &ask()), Outcome::Last(Bytes::new(), Ending::Reset));
    }
    assert_eq!(rig.ask(1, 4, &ask()).producer_id.0, 1005, "all but the first reset took effect");
}

#[test]
fn f46_answers_are_misnamed_doubled_unasked_and_swapped() {
    let rig = rig();
    rig.mock.on(Api::InitProducerId).misname();
    rig.mock.on(Api::InitProducerId).answer_twice();
    rig.mock.on(Api::InitProducerId).answer_nobody_first();
    assert_eq!(ids(frame(&rig)), [8]);
    assert_eq!(ids(frame(&rig)), [7, 7]);
    assert_eq!(ids(frame(&rig)), [1_000_007, 7]);
    rig.mock.on(Api::InitProducerId).swap_with_next();
    assert_eq!(rig.send(1, 4, &ask()), Outcome::Silent);
    let other = Origin { broker: 1, connection: 2 };
    assert!(matches!(rig.send_on(other, 4, &ask()), Outcome::Reply(_)), "another connection's is its own");
    assert_eq!(ids(frame(&rig)), [7, 7]);
    assert_eq!(ids(frame(&rig)), [7]);
}

#[test]
fn f47_a_body_is_rewritten_after_the_effect() {
    let rig = rig();
    rig.mock.on(Api::InitProducerId).rewrite(|body| {
        let mut body = body.to_vec();
        body[6..14].copy_from_slice(&77i64.to_be_bytes());
        body
    });
    assert_eq!(rig.ask(1, 4, &ask()).producer_id.0, 77);
    assert_eq!(rig.ask(1, 4, &ask()).producer_id.0, 1001);
}

fn list(partition: i32) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic("t")).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_topics(vec![topic])
}

#[test]
fn requests_are_chosen_by_partition_and_partitions_by_condition() {
    let rig = rig();
    rig.mock.on(Api::ListOffsets).partition("t", 1).disconnect_before();
    assert!(matches!(rig.send(1, 7, &list(0)), Outcome::Reply(_)));
    assert_eq!(rig.send(1, 7, &list(1)), Outcome::Close);
    let hook = rig.mock.on(Api::ListOffsets).when(|call| call.version() == 6);
    let hook = hook.fail_partition("t", 0, ErrorCode::KAFKA_STORAGE_ERROR);
    let code = |version| rig.ask(1, version, &list(0)).topics[0].partitions[0].error_code;
    assert_eq!([code(7), code(6), code(6)], [0, 56, 0]);
    assert_eq!(hook.hits(), 1);
}

#[test]
fn the_cluster_is_changed_before_and_after_the_effect() {
    let rig = rig();
    rig.mock.on(Api::ListOffsets).then(|mock| mock.move_leader("t", 0, 2).unwrap());
    rig.mock.on(Api::ListOffsets).then_after(|mock| mock.move_leader("t", 0, 1).unwrap());
    let here = Origin { broker: 1, connection: 1 };
    for (code, leader) in [(6, 2), (6, 1), (0, 1)] {
        let outcome = match rig.send(1, 7, &list(0)) {
            Outcome::Act(effect) => {
                (effect.0)(&rig.mock);
                rig.core(|core| core.resume(rig.now, here))
            }
            outcome => outcome,
        };
        let response = answer::<ListOffsetsRequest>(7, outcome);
        assert_eq!(response.topics[0].partitions[0].error_code, code);
        assert_eq!(rig.mock.leader("t", 0), Some(leader));
    }
}

fn request() -> Vec<u8> {
    let mut frame = BytesMut::from(&[0; 4][..]);
    let header = RequestHeader::default()
        .with_request_api_key(DescribeClusterRequest::KEY)
        .with_request_api_version(0)
        .with_client_id(Some(text("test")));
    encode_request_header_into_buffer(&mut frame, &header).unwrap();
    DescribeClusterRequest::default().encode(&mut frame, 0).unwrap();
    let len = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&len.to_be_bytes());
    frame.to_vec()
}

#[tokio::test]
async fn a_socket_is_reset_after_what_was_written_or_when_its_broker_is_killed() {
    let mock = MockCluster::builder().brokers(2).start().unwrap();
    let address = mock.bootstrap().split(',').next().unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    mock.on(Api::DescribeCluster).cut(0, Ending::Reset);
    stream.write_all(&request()).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let mut stream = TcpStream::connect(&address).await.unwrap();
    mock.on(Api::DescribeCluster).then_after(|mock| mock.kill_broker(1));
    stream.write_all(&request()).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it dies before it answers");
    assert!(TcpStream::connect(&address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_paused_broker_is_silent_on_its_connections_until_it_goes_on() {
    let mock = MockCluster::builder().start_in_memory().unwrap();
    let connect = mock.connector();
    let mut open = connect("mock-1", 9092).unwrap();
    mock.pause_broker(1);
    let mut fresh = connect("mock-1", 9092).unwrap();
    for stream in [&mut open, &mut fresh] {
        stream.write_all(&request()).await.unwrap();
        let waited = tokio::time::timeout(Duration::from_secs(3600), stream.read_u8()).await;
        assert!(waited.is_err(), "nothing comes, and nothing is closed");
    }
    mock.resume_broker(1);
    for stream in [&mut open, &mut fresh] {
        assert!(stream.read_u32().await.unwrap() > 4);
    }
}
