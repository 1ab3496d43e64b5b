//! Brokers that break the protocol: typed errors, and a client that lives on and connects again.
//!
//! What single answers may hold is tried byte by byte beside their decoders; this is about the connection around them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use craftwire::{Client, ConnectError, error::ConnectionError};
use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsResponse, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader,
        api_versions_response::ApiVersion,
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
    },
    protocol::{Decodable, Encodable, StrBytes},
};
use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Enough for a few connections in a row.
const SHORT: Duration = Duration::from_secs(1);

/// What is done instead of answering honestly; each gets the honest frame, its length included.
type Mischief = Arc<dyn Fn(Vec<u8>) -> Told + Send + Sync>;

enum Told {
    /// These bytes; the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes, then the end of the connection.
    Last(Vec<u8>),
}

/// Makes another answer of an honest one.
type Bend = fn(Vec<u8>) -> Told;

/// A broker of one node that knows the topic `t`, and answers the handshake and Metadata.
struct FakeBroker {
    address: String,
    connections: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl FakeBroker {
    async fn start(tell: impl Fn(Vec<u8>) -> Told + Send + Sync + 'static) -> Self {
        let tell: Mischief = Arc::new(tell);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let listening = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                // It ends with the connection, whatever ends that.
                tokio::spawn(serve(socket, port, tell.clone()));
            }
        });
        Self { address: format!("127.0.0.1:{port}"), connections, listening }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    async fn connect(&self) -> Result<Client, ConnectError> {
        let builder = Client::builder(&self.address).connect_timeout(SHORT).request_timeout(SHORT);
        builder.build().await
    }
}

async fn serve(mut socket: TcpStream, port: u16, tell: Mischief) -> Option<()> {
    loop {
        let len = usize::try_from(socket.read_i32().await.ok()?).unwrap();
        let mut frame = vec![0; len];
        socket.read_exact(&mut frame).await.ok()?;
        match tell(honest(Bytes::from(frame), port)) {
            Told::Bytes(bytes) => socket.write_all(&bytes).await.ok()?,
            Told::Last(bytes) => {
                socket.write_all(&bytes).await.ok()?;
                return socket.shutdown().await.ok();
            }
        }
    }
}

fn honest(mut frame: Bytes, port: u16) -> Vec<u8> {
    let (number, version) = ((&frame[..]).get_i16(), (&frame[2..]).get_i16());
    let key = ApiKey::try_from(number).unwrap();
    let header = RequestHeader::decode(&mut frame, key.request_header_version(version)).unwrap();
    let mut body = BytesMut::new();
    let head = ResponseHeader::default().with_correlation_id(header.correlation_id);
    head.encode(&mut body, key.response_header_version(version)).unwrap();
    match key {
        ApiKey::ApiVersions => {
            let api = |key: ApiKey, max| {
                ApiVersion::default().with_api_key(key as i16).with_min_version(0).with_max_version(max)
            };
            let apis = vec![api(ApiKey::ApiVersions, 4), api(ApiKey::Metadata, 12)];
            ApiVersionsResponse::default().with_api_keys(apis).encode(&mut body, version).unwrap();
        }
        ApiKey::Metadata => {
            let asked = MetadataRequest::decode(&mut frame, version).unwrap().topics.unwrap_or_default();
            metadata(&asked, port).encode(&mut body, version).unwrap();
        }
        other => panic!("the fake broker does not know {other:?}"),
    }
    let mut answer = Vec::new();
    answer.put_i32(i32::try_from(body.len()).unwrap());
    answer.extend_from_slice(&body);
    answer
}

fn metadata(
    asked: &[kafka_protocol::messages::metadata_request::MetadataRequestTopic],
    port: u16,
) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(1.into())
        .with_host(StrBytes::from_static_str("127.0.0.1"))
        .with_port(port.into());
    let topic = |asked: &kafka_protocol::messages::metadata_request::MetadataRequestTopic| {
        let partition = MetadataResponsePartition::default()
            .with_leader_id(1.into())
            .with_replica_nodes(vec![1.into()])
            .with_isr_nodes(vec![1.into()]);
        MetadataResponseTopic::default().with_name(asked.name.clone()).with_partitions(vec![partition])
    };
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_controller_id(1.into())
        .with_topics(asked.iter().map(topic).collect())
}

/// What a client makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Protocol,
    Correlation,
    Closed,
}

/// The connection's error at the root of another.
fn kind(error: &(dyn Error + 'static)) -> Option<Kind> {
    match error.downcast_ref::<ConnectionError>() {
        Some(ConnectionError::Protocol { .. }) => Some(Kind::Protocol),
        Some(ConnectionError::Correlation { .. }) => Some(Kind::Correlation),
        Some(ConnectionError::Closed | ConnectionError::Io(_)) => Some(Kind::Closed),
        Some(_) => None,
        None => kind(error.source()?),
    }
}

/// Ways to answer that no client should take, and what it says of them.
fn mischiefs() -> Vec<(&'static str, Kind, Bend)> {
    vec![
        ("a negative length", Kind::Protocol, |_| Told::Bytes((-1_i32).to_be_bytes().into())),
        ("a length of 2 GiB", Kind::Protocol, |_| Told::Bytes(i32::MAX.to_be_bytes().into())),
        ("an empty frame", Kind::Protocol, |_| Told::Bytes(vec![0; 4])),
        ("HTTP", Kind::Protocol, |_| Told::Last(b"HTTP/1.1 400 Bad Request\r\n\r\n".into())),
        ("a TLS alert", Kind::Protocol, |_| Told::Last(vec![0x15, 3, 3, 0, 2, 2, 50])),
        ("nothing, and the end", Kind::Closed, |_| Told::Last(Vec::new())),
        ("the answer to the next request", Kind::Correlation, |mut honest| {
            honest[7] = honest[7].wrapping_add(1);
            Told::Bytes(honest)
        }),
        ("a body of ones", Kind::Protocol, |mut honest| {
            honest[8..].fill(0xff);
            Told::Bytes(honest)
        }),
        ("half the answer, and the end", Kind::Closed, |honest| {
            Told::Last(honest[..honest.len() / 2].into())
        }),
        ("half the answer in a whole frame", Kind::Protocol, |honest| {
            let half = &honest[4..honest.len() / 2];
            Told::Bytes([&i32::try_from(half.len()).unwrap().to_be_bytes()[..], half].concat())
        }),
    ]
}

/// A broker that is up to mischief from the answer `first` on, for `times` answers.
async fn mischievous(mischief: Bend, first: usize, times: usize) -> FakeBroker {
    let answers = AtomicUsize::new(0);
    FakeBroker::start(move |honest| {
        let number = answers.fetch_add(1, Ordering::Relaxed);
        if (first..first.saturating_add(times)).contains(&number) {
            mischief(honest)
        } else {
            Told::Bytes(honest)
        }
    })
    .await
}

#[tokio::test]
async fn a_broker_that_never_keeps_to_the_protocol_is_named_so() {
    for (name, wanted, mischief) in mischiefs() {
        let broker = mischievous(mischief, 0, usize::MAX).await;
        let error = broker.connect().await.unwrap_err();
        assert!(error.is_retriable(), "{name}: {error}");
        assert_eq!(kind(&error), Some(wanted), "{name}: {error:?}");
        assert!(broker.connections() > 1, "{name}: it was not tried again");
    }
}

#[tokio::test]
async fn a_client_outlives_mischief_in_any_answer_and_connects_again() {
    for (name, _, mischief) in mischiefs() {
        // The handshake's first answer, the first metadata, and what comes on a connection that was fine.
        for first in [0, 1, 2] {
            let broker = mischievous(mischief, first, 1).await;
            let client =
                broker.connect().await.unwrap_or_else(|error| panic!("{name} in {first}: {error:?}"));
            for _ in 0..3 {
                let topic = client.admin().describe_topic("t").await;
                assert_eq!(topic.unwrap().partitions.len(), 1, "{name} in {first}");
            }
            assert!(broker.connections() > 1, "{name} in {first}: the connection was kept");
        }
    }
}

#[tokio::test]
async fn a_frame_that_never_comes_whole_ends_with_the_request() {
    // 64 MiB are announced, within the limit, and never come.
    let stingy = |_: Vec<u8>| Told::Bytes([&(64_i32 << 20).to_be_bytes()[..], &[0; 100]].concat());
    let broker = mischievous(stingy, 2, usize::MAX).await;
    let client = broker.connect().await.unwrap();
    let error = client.admin().describe_topic("t").await.unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
}
