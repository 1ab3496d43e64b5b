//! The wire between a client and the mock, tapped: every Produce request as it left, and what came back when.

use super::*;
use bytes::{BufMut, Bytes, BytesMut};
use craftwire::{Compression, mock::Connector};
use kafka_protocol::{
    messages::{ProduceRequest, ProduceResponse},
    protocol::{Decodable, decode_request_header_from_buffer},
};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, duplex, split};

/// All that one client produces, in the order in which it left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    requests: Vec<Sent>,
    connections: u64,
    /// Counts what happens, for much of it happens at the same instant.
    step: u64,
}

/// A Produce request.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) broker: String,
    pub(crate) connection: u64,
    pub(crate) timeout_ms: i32,
    pub(crate) batches: Vec<Batch>,
    pub(crate) at: Instant,
    /// When its answer came or its connection ended.
    pub(crate) over_at: Option<Instant>,
    /// The same as numbers that tell what was first.
    pub(crate) sent: u64,
    pub(crate) over: Option<u64>,
    correlation_id: i32,
    version: i16,
}

/// What a request has for one partition.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) bytes: Bytes,
    /// What the answer said.
    pub(crate) code: Option<i16>,
}

impl Batch {
    /// Producer id, epoch, and the sequence of its first record.
    pub(crate) fn stamp(&self) -> (i64, i16, i32) {
        let at = |from, len| &self.bytes[from..from + len];
        (
            i64::from_be_bytes(at(43, 8).try_into().unwrap()),
            i16::from_be_bytes(at(51, 2).try_into().unwrap()),
            i32::from_be_bytes(at(53, 4).try_into().unwrap()),
        )
    }
}

impl Sent {
    pub(crate) fn is_in_flight_at(&self, step: u64) -> bool {
        self.sent <= step && self.over.is_none_or(|over| over > step)
    }

    pub(crate) fn of(&self, partition: i32) -> Option<&Batch> {
        self.batches.iter().find(|batch| batch.partition == partition)
    }
}

impl Wire {
    /// A producer whose connections are tapped, whose batches hold one [`wide`] record and leave without a gap.
    pub(crate) async fn producer(&self, mock: &MockCluster) -> Producer {
        self.producer_with(mock, |builder| builder).await
    }

    pub(crate) async fn producer_with(
        &self,
        mock: &MockCluster,
        set: impl FnOnce(ProducerBuilder) -> ProducerBuilder,
    ) -> Producer {
        let client = Client::builder(&mock.bootstrap()).memory(self.tap(mock));
        let client = client.metadata_max_age(5 * SECOND).request_timeout(2 * SECOND).build().await.unwrap();
        let builder = client.producer().batch_bytes(1_024).request_gap(Duration::ZERO);
        let producer = set(builder.compression(Compression::None)).build().await.unwrap();
        producer.prepare(TOPIC).await.unwrap();
        producer
    }

    pub(crate) fn tap(&self, mock: &MockCluster) -> Connector {
        let (wire, connect) = (self.clone(), mock.connector());
        Arc::new(move |host, port| {
            let broker = connect(host, port)?;
            let (ours, theirs) = duplex(1 << 20);
            let connection = {
                let mut seen = wire.seen();
                seen.connections += 1;
                seen.connections
            };
            tokio::spawn(wire.clone().carry(host.to_owned(), connection, ours, broker));
            Ok(theirs)
        })
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Sent> {
        self.seen().requests.clone()
    }

    /// The most requests that were without an answer at once, among those chosen.
    pub(crate) fn in_flight_max(&self, chosen: impl Fn(&Sent) -> bool) -> usize {
        let requests: Vec<_> = self.requests().into_iter().filter(chosen).collect();
        let at = |step| requests.iter().filter(|request| request.is_in_flight_at(step)).count();
        requests.iter().map(|request| at(request.sent)).max().unwrap_or(0)
    }

    /// The most batches of a partition that were sent and not known to be written at once, wherever they were sent.
    pub(crate) fn unresolved_max(&self, partition: i32) -> usize {
        let mut open: BTreeMap<(i64, i16, i32), (u64, u64)> = BTreeMap::new();
        for request in self.requests() {
            let Some(batch) = request.of(partition) else { continue };
            let (_, over) = open.entry(batch.stamp()).or_insert((request.sent, u64::MAX));
            if batch.code == Some(0) {
                *over = request.over.unwrap_or(u64::MAX).min(*over);
            }
        }
        let at = |step| open.values().filter(|(from, to)| (*from..*to).contains(&step)).count();
        open.values().map(|(from, _)| at(*from)).max().unwrap_or(0)
    }

    /// What is in flight of a partition is on one connection, and each stamp stands for the same bytes for ever.
    pub(crate) fn check(&self, partition: i32) {
        let requests: Vec<_> =
            self.requests().into_iter().filter(|sent| sent.of(partition).is_some()).collect();
        let mut bytes_of: BTreeMap<_, Bytes> = BTreeMap::new();
        for request in &requests {
            for other in requests.iter().filter(|other| other.is_in_flight_at(request.sent)) {
                assert_eq!(other.connection, request.connection, "two connections: {other:?} {request:?}");
            }
            let batch = request.of(partition).unwrap();
            let first = bytes_of.entry(batch.stamp()).or_insert_with(|| batch.bytes.clone());
            assert_eq!(*first, batch.bytes, "{:?} was rebuilt", batch.stamp());
        }
    }

    async fn carry(self, host: String, connection: u64, client: DuplexStream, mock: DuplexStream) {
        let (mut from_client, mut to_client) = split(client);
        let (mut from_mock, mut to_mock) = split(mock);
        let there = async {
            while let Some(frame) = frame(&mut from_client).await {
                self.seen().sent(&host, connection, frame.clone());
                if to_mock.write_all(&frame).await.is_err() {
                    break;
                }
            }
        };
        let back = async {
            while let Some(frame) = frame(&mut from_mock).await {
                self.seen().answered(connection, &frame);
                if to_client.write_all(&frame).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = there => {}
            () = back => {}
        }
        self.seen().ended(connection);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }
}

impl Seen {
    fn sent(&mut self, broker: &str, connection: u64, frame: Bytes) {
        let mut body = frame.slice(4..);
        let header = decode_request_header_from_buffer(&mut body).unwrap();
        if header.request_api_key != 0 {
            return;
        }
        let request = ProduceRequest::decode(&mut body, header.request_api_version).unwrap();
        assert_eq!(request.acks, -1);
        let batches = request.topic_data.into_iter().flat_map(|topic| {
            let name = topic.name.to_string();
            topic.partition_data.into_iter().map(move |data| Batch {
                topic: name.clone(),
                partition: data.index,
                bytes: data.records.unwrap(),
                code: None,
            })
        });
        self.step += 1;
        self.requests.push(Sent {
            broker: broker.to_owned(),
            connection,
            timeout_ms: request.timeout_ms,
            batches: batches.collect(),
            at: Instant::now(),
            over_at: None,
            sent: self.step,
            over: None,
            correlation_id: header.correlation_id,
            version: header.request_api_version,
        });
    }

    fn answered(&mut self, connection: u64, frame: &Bytes) {
        let correlation_id = i32::from_be_bytes(frame[4..8].try_into().unwrap());
        let is_it = |sent: &&mut Sent| {
            sent.connection == connection && sent.correlation_id == correlation_id && sent.over.is_none()
        };
        let Some(request) = self.requests.iter_mut().find(is_it) else { return };
        self.step += 1;
        (request.over, request.over_at) = (Some(self.step), Some(Instant::now()));
        // From version 9 on the header ends with a count of tagged fields.
        let mut body = frame.slice(if request.version >= 9 { 9 } else { 8 }..);
        let Ok(response) = ProduceResponse::decode(&mut body, request.version) else { return };
        for topic in response.responses {
            for said in topic.partition_responses {
                let mut batches = request.batches.iter_mut();
                let batch =
                    batches.find(|batch| *batch.topic == **topic.name && batch.partition == said.index);
                batch.unwrap().code = Some(said.error_code);
            }
        }
    }

    fn ended(&mut self, connection: u64) {
        self.step += 1;
        for request in &mut self.requests {
            if request.connection == connection && request.over.is_none() {
                (request.over, request.over_at) = (Some(self.step), Some(Instant::now()));
            }
        }
    }
}

/// A record that leaves no room for another one in a batch of 1 KiB.
pub(crate) fn wide(n: u64) -> ProducerRecord {
    record(n).header("padding", vec![b'x'; 900])
}

/// Hands wide records over at once.
pub(crate) fn send_wide(producer: &Producer, numbers: std::ops::Range<u64>) -> Vec<(u64, Delivery)> {
    numbers.map(|n| (n, producer.try_send(wide(n)).unwrap())).collect()
}

/// The next frame with its length in front; `None` once the stream has ended.
async fn frame(from: &mut ReadHalf<DuplexStream>) -> Option<Bytes> {
    let len = from.read_u32().await.ok()?;
    let mut frame = BytesMut::zeroed(4 + usize::try_from(len).unwrap());
    (&mut frame[..4]).put_u32(len);
    from.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame.freeze())
}
