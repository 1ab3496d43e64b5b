//! One connection to one broker. Imports: wire.
//!
//! A connection's task owns both halves of its socket and drives one [`Lane`], a pure machine that says what to send
//! and takes what came. A broker handles one request of a connection at a time (it reads the next when the last is
//! answered), so a lane whose requests may wait, such as a long poll, never shares its connection.

pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod entropy;
pub(crate) mod handshake;
pub(crate) mod in_flight;
#[cfg(feature = "internals")]
pub(crate) mod network;
#[cfg(feature = "sasl")]
pub(crate) mod sasl;
pub(crate) mod settings;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod waker;

use crate::{
    error::ConnectionError,
    wire::{Api, ApiKey, VersionRange, request::Body},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What a broker speaks, as its ApiVersions answer says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions {
    apis: BTreeMap<i16, VersionRange>,
}

impl Versions {
    pub(crate) fn new(apis: impl IntoIterator<Item = (i16, VersionRange)>) -> Self {
        Self { apis: apis.into_iter().collect() }
    }

    /// The highest version of `A` that both sides speak.
    pub(crate) fn of<A: Api>(&self) -> Result<i16, ConnectionError> {
        self.choose(A::KEY, A::VERSIONS)
    }

    /// The highest version of `key` within `ours` that the broker speaks.
    pub(crate) fn choose(&self, key: ApiKey, ours: VersionRange) -> Result<i16, ConnectionError> {
        let theirs = self.apis.get(&(key as i16)).copied();
        theirs.and_then(|range| ours.highest_common(range)).ok_or(ConnectionError::Version {
            api: key.name(),
            ours: (ours.min, ours.max),
            theirs: theirs.map(|range| (range.min, range.max)),
        })
    }
}

/// How long a broker may have a connection pause, from what its answer says (KIP-219: it answers at once, and takes up no
/// further request of the connection for that time). An order without sense counts for as little as it can.
pub(crate) fn throttle(throttle_time_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(throttle_time_ms).unwrap_or(0)).min(THROTTLE_MAX)
}

/// A request that a lane wants sent.
#[derive(Debug)]
pub(crate) struct Request {
    /// Given back with the answer; the lane's own name for the request.
    pub(crate) token: u64,
    pub(crate) body: Body,
    /// How long the answer may take, counted from when the request is the oldest one unanswered.
    pub(crate) timeout: Duration,
}

/// A pure machine behind one connection: it decides, the connection's task awaits.
///
/// The task calls, in this order: `handle_connected` once the handshake is done; then, whenever something happened
/// (bytes came, the lane's waker was called, `poll_timeout` passed), `handle_response` per answer, `handle_timeout`
/// if it is due, and `poll_request` until it gives `None`. When the connection ends, or could not be made,
/// `handle_disconnected`: all requests without an answer will get none, and each may or may not have had its effect.
/// Then the task waits for `wants_connection`, backs off, and connects again, to wherever the broker then is.
pub(crate) trait Lane: Send + 'static {
    /// The handshake is done; `versions` hold for this connection.
    fn handle_connected(&mut self, versions: &Versions, now: Instant);

    /// The next request, if one shall go out now. Called until it gives `None`, while the socket keeps up.
    fn poll_request(&mut self, now: Instant) -> Option<Request>;

    /// The answer to `token`: its whole frame, correlation id included (see `wire::request::decode_response`).
    /// Answers come in the order of the requests. An error closes the connection.
    fn handle_response(&mut self, token: u64, frame: Bytes, now: Instant) -> Result<(), ConnectionError>;

    /// The connection ended, or an attempt to make one failed.
    fn handle_disconnected(&mut self, cause: &ConnectionError, now: Instant);

    /// `poll_timeout` has passed. Called whether connected or not.
    fn handle_timeout(&mut self, now: Instant);

    /// When the lane wants to be called again although nothing came, if ever.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Whether a connection is of use now. While it is not, none is made; one that is there stays.
    fn wants_connection(&self) -> bool;

    /// Whether the lane's owner is done with it: its task ends and the connection closes.
    fn is_finished(&self) -> bool;
}

/// The longest pause that a broker may order.
const THROTTLE_MAX: Duration = Duration::from_secs(30);
