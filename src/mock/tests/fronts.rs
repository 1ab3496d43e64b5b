//! Task: the two fronts: bytes go in and out, waits end, connections are cut.

use super::text;
use crate::mock::{Api, MockCluster};
use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest, FetchResponse, RequestHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Request, encode_request_header_into_buffer};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

async fn send<R: Request>(stream: &mut (impl AsyncWrite + Unpin), version: i16, request: &R) {
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(text("test")));
    encode_request_header_into_buffer(&mut frame, &header).unwrap();
    request.encode(&mut frame, version).unwrap();
    let len = i32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&len.to_be_bytes());
    stream.write_all(&frame).await.unwrap();
}

async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let len = stream.read_i32().await.ok()?;
    let mut frame = vec![0; usize::try_from(len).unwrap()];
    stream.read_exact(&mut frame).await.ok()?;
    assert_eq!(frame[..4], [0, 0, 0, 7]);
    Some(frame[4..].to_vec())
}

fn fetch() -> FetchRequest {
    let partition = FetchPartition::default().with_partition(0).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(TopicName(text("t"))).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(60_000)
        .with_min_bytes(1)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

async fn records(stream: &mut (impl AsyncRead + Unpin), version: i16) -> usize {
    let body = receive(stream).await.unwrap();
    let response = FetchResponse::decode(&mut bytes::Bytes::from(body), version).unwrap();
    response.responses[0].partitions[0].records.as_ref().unwrap().len()
}

#[tokio::test]
async fn tcp_is_served_and_a_stopped_broker_is_back_on_its_port() {
    let mock = MockCluster::builder().brokers(2).topic("t", 1).start().unwrap();
    let address = mock.bootstrap().split(',').next().unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    send(&mut stream, 0, &ApiVersionsRequest::default()).await;
    assert!(receive(&mut stream).await.is_some());
    send(&mut stream, 11, &fetch()).await;
    while mock.request_count(Api::Fetch) == 0 {
        tokio::task::yield_now().await;
    }
    mock.append("t", 0, None, Some(b"v")).unwrap();
    assert!(records(&mut stream, 11).await > 61);

    mock.stop_broker(1);
    assert_eq!(receive(&mut stream).await, None);
    while let Ok(mut stream) = TcpStream::connect(&address).await {
        // The listener is closed by its task, which may not have run yet.
        assert_eq!(receive(&mut stream).await, None);
    }
    mock.start_broker(1).unwrap();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    send(&mut stream, 0, &ApiVersionsRequest::default()).await;
    assert!(receive(&mut stream).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn memory_is_served_in_virtual_time() {
    let mock = MockCluster::builder().topic("t", 1).start_in_memory().unwrap();
    let connect = mock.connector();
    assert!(connect("mock-9", 9092).is_err());
    let mut stream = connect("mock-1", 9092).unwrap();
    let started = crate::mock::clock::now();
    send(&mut stream, 11, &fetch()).await;
    assert_eq!(records(&mut stream, 11).await, 0);
    assert_eq!(crate::mock::clock::now() - started, Duration::from_secs(60));
    assert_eq!(mock.connection_count(), 1);

    send(&mut stream, 11, &fetch()).await;
    let appended = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        mock.append("t", 0, None, Some(b"v")).unwrap();
    };
    let (found, ()) = tokio::join!(records(&mut stream, 11), appended);
    assert!(found > 61);
    assert_eq!(crate::mock::clock::now() - started, Duration::from_secs(61));
}

#[tokio::test(start_paused = true)]
async fn connections_end_with_their_peer_their_broker_and_the_cluster() {
    let mock = MockCluster::builder().topic("t", 1).start_in_memory().unwrap();
    let connect = mock.connector();
    let mut parked = connect("mock-1", 9092).unwrap();
    send(&mut parked, 11, &fetch()).await;
    drop(parked);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(mock.connection_count(), 0);

    let mut cut = connect("mock-1", 9092).unwrap();
    mock.stop_broker(1);
    assert_eq!(receive(&mut cut).await, None);
    assert!(connect("mock-1", 9092).is_err());
    mock.start_broker(1).unwrap();

    let mut silent = connect("mock-1", 9092).unwrap();
    mock.on(Api::ApiVersions).drop_before();
    send(&mut silent, 0, &ApiVersionsRequest::default()).await;
    let waited = tokio::time::timeout(Duration::from_secs(3600), receive(&mut silent)).await;
    assert!(waited.is_err(), "nothing comes, and nothing is closed");
    drop(mock);
    assert_eq!(receive(&mut silent).await, None);
    assert_eq!(connect("mock-1", 9092).unwrap().read(&mut [0]).await.unwrap(), 0);
}
