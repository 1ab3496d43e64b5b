//! Task: a connection that carries requests of `kafka-protocol`, or any bytes.

use crate::{target::Target, transcript::error_codes};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{RequestHeader, ResponseHeader},
    protocol::{Decodable, Encodable, HeaderVersion, Request},
};
use std::{fmt::Debug, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A request whose answer can be looked at; all are.
pub(crate) trait Ask: Request<Response: Debug> {}
impl<R: Request<Response: Debug>> Ask for R {}

/// One connection to one broker.
pub(crate) struct Connection<'a> {
    target: &'a Target,
    stream: TcpStream,
    last_correlation_id: i32,
}

impl<'a> Connection<'a> {
    pub(crate) async fn open(target: &'a Target, address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the broker listens");
        stream.set_nodelay(true).unwrap();
        Self { target, stream, last_correlation_id: 0 }
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask<R: Ask>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request).await;
        self.receive::<R>(version).await.expect("the broker answers")
    }

    /// As [`ask`](Self::ask), and notes the answer.
    pub(crate) async fn noted<R: Ask>(&mut self, label: &str, version: i16, request: &R) -> R::Response {
        let answer = self.ask(version, request).await;
        self.target.note(&format!("{label} v{version}"), &answer);
        answer
    }

    /// Notes an answer, or what was made of one.
    pub(crate) fn note(&self, label: &str, answer: &impl Debug) {
        self.target.note(label, answer);
    }

    /// Sends a request, and does not wait for what comes of it.
    pub(crate) async fn send<R: Ask>(&mut self, version: i16, request: &R) {
        self.last_correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.last_correlation_id)
            .with_client_id(Some("conformance".into()));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap();
        self.send_frame(&frame).await;
    }

    /// Reads the answer to the last request; `None` if the connection is closed instead.
    pub(crate) async fn receive<R: Ask>(&mut self, version: i16) -> Option<R::Response> {
        let mut frame = self.receive_frame().await?;
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.last_correlation_id, "the answer is to the last request");
        let answer = R::Response::decode(&mut frame, version).unwrap();
        assert!(!frame.has_remaining(), "{} bytes are left of the answer: {answer:?}", frame.remaining());
        self.target.answered(R::KEY, version, &error_codes(&answer));
        Some(answer)
    }

    /// Sends bytes with their length in front.
    pub(crate) async fn send_frame(&mut self, frame: &[u8]) {
        let mut out = BytesMut::new();
        out.put_i32(frame.len().try_into().unwrap());
        out.put_slice(frame);
        self.send_bytes(&out).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads bytes with a length in front; `None` if the connection is closed instead.
    pub(crate) async fn receive_frame(&mut self) -> Option<Bytes> {
        let read = async {
            let len = self.stream.read_i32().await.ok()?;
            let mut frame = vec![0; len.try_into().unwrap()];
            self.stream.read_exact(&mut frame).await.ok()?;
            Some(Bytes::from(frame))
        };
        timeout(PATIENCE, read).await.expect("the broker answers or closes the connection")
    }
}

/// Far longer than an answer takes.
const PATIENCE: Duration = Duration::from_secs(40);
