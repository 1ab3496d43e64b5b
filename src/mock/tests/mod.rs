//! The core, asked as a client asks: requests are encoded by `kafka-protocol`, answers decoded by it.

mod classic_groups;
mod cleaning;
mod fronts;
mod groups;
mod hooks;
mod logs;
mod quotas;
mod replication;
mod scripting;
mod transactions;
mod versions;

use super::MockClusterBuilder;
use super::cluster::Shared;
use super::core::{Core, Origin, Outcome};
use super::handle::MockCluster;
use bytes::{Buf, BytesMut};
use kafka_protocol::messages::{RequestHeader, TopicName};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A cluster without fronts, on a clock of the test's own.
pub(crate) struct Rig {
    pub(crate) mock: MockCluster,
    pub(crate) now: Instant,
}

impl Rig {
    pub(crate) fn new(builder: MockClusterBuilder) -> Self {
        Self { mock: builder.start_in_memory().unwrap(), now: super::clock::now() }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.mock.shared()
    }

    pub(crate) fn core<T>(&self, work: impl FnOnce(&mut Core) -> T) -> T {
        self.shared().with_core(work)
    }

    pub(crate) fn after(&mut self, by: Duration) {
        self.now += by;
    }

    /// Sends a request on connection 1 of a broker; what the front would do next.
    pub(crate) fn send<R: Request>(&self, broker: i32, version: i16, request: &R) -> Outcome {
        self.send_on(Origin { broker, connection: 1 }, version, request)
    }

    pub(crate) fn send_on<R: Request>(&self, origin: Origin, version: i16, request: &R) -> Outcome {
        let mut frame = BytesMut::new();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .with_client_id(Some(text("test")));
        encode_request_header_into_buffer(&mut frame, &header).unwrap();
        request.encode(&mut frame, version).unwrap();
        self.core(|core| core.handle(self.now, origin, frame.freeze()))
    }

    /// Sends a request that is answered at once.
    pub(crate) fn ask<R: Request>(&self, broker: i32, version: i16, request: &R) -> R::Response {
        answer::<R>(version, self.send(broker, version, request))
    }
}

/// The answer in an outcome that is one.
pub(crate) fn answer<R: Request>(version: i16, outcome: Outcome) -> R::Response {
    let Outcome::Reply(mut frame) = outcome else { panic!("no answer: {outcome:?}") };
    assert_eq!(usize::try_from(frame.get_i32()).unwrap(), frame.len());
    assert_eq!(frame.get_i32(), 7);
    if <R::Response as HeaderVersion>::header_version(version) > 0 {
        assert_eq!(frame.get_u8(), 0);
    }
    let response = R::Response::decode(&mut frame, version).unwrap();
    assert!(frame.is_empty(), "{} bytes left over", frame.len());
    response
}

pub(crate) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub(crate) fn topic(value: &str) -> TopicName {
    TopicName(text(value))
}
