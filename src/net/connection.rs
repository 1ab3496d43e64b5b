//! Task: one socket, both halves, and the loop that drives a lane over it.
//!
//! One wake-up serves everything: bytes that came, requests that are ready, the deadline. Nothing here decides what
//! to send; that is the lane's. A request that was handed over is written whole unless the connection ends.

#[cfg(feature = "sasl")]
use super::sasl::renewal::{Renewal, SASL_TOKEN};
use super::{
    Lane, Request, Versions, clock,
    handshake::{Handshake, Step},
    in_flight::InFlight,
    settings::ClientConfig,
    transport::Transport,
    waker::LaneWaker,
};
use crate::{
    config::HostPort,
    error::{ConnectionError, DecodeError},
    wire::{
        ApiKey,
        frame::next_frame,
        request::{self, Body},
    },
};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    time::{Sleep, sleep_until, timeout},
};

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Transport,
    versions: Versions,
    pause: Duration,
    has_answered: bool,
    client_id: Arc<str>,
    frame_bytes_max: usize,
    in_flight: InFlight,
    incoming: BytesMut,
    outgoing: Outgoing,
    /// Where the heads of requests are written.
    heads: BytesMut,
    unflushed: bool,
    #[cfg(feature = "sasl")]
    renewal: Option<Renewal>,
}

impl Connection {
    /// Connects to `address` and does the handshake.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping it closes the socket.
    pub(crate) async fn open(config: &ClientConfig, address: &HostPort) -> Result<Self, ConnectionError> {
        let within = config.connect_timeout;
        let mut connection = Self {
            socket: config.connector.connect(&address.host, address.port, within).await?,
            versions: Versions::default(),
            pause: Duration::ZERO,
            has_answered: false,
            client_id: config.client_id.clone(),
            frame_bytes_max: config.frame_bytes_max,
            in_flight: InFlight::default(),
            incoming: BytesMut::new(),
            outgoing: Outgoing::default(),
            heads: BytesMut::with_capacity(HEADS_BYTES),
            unflushed: false,
            #[cfg(feature = "sasl")]
            renewal: config
                .sasl
                .clone()
                .map(|sasl| Renewal::new(sasl, config.entropy.seed(), config.request_timeout, clock::now())),
        };
        let ready = async {
            let shaken = connection.shake_hands(within).await;
            #[cfg(feature = "tls")]
            let shaken = shaken.map_err(|error| super::tls::first_answer_error(address, error));
            shaken?;
            #[cfg(feature = "sasl")]
            connection.authenticate().await?;
            Ok(())
        };
        match timeout(within, ready).await {
            Ok(done) => done?,
            Err(_) => return Err(ConnectionError::TimedOut { api: "handshake", after: within }),
        }
        Ok(connection)
    }

    /// What the broker speaks.
    pub(crate) const fn versions(&self) -> &Versions {
        &self.versions
    }

    /// How long the broker wants to be left alone before the first request.
    pub(crate) const fn pause(&self) -> Duration {
        self.pause
    }

    /// Whether the lane took an answer: the connection was of use.
    pub(crate) const fn has_answered(&self) -> bool {
        self.has_answered
    }

    async fn shake_hands(&mut self, within: Duration) -> Result<(), ConnectionError> {
        let (mut body, mut handshake) = Handshake::start()?;
        loop {
            let request = Request { token: 0, body, timeout: within };
            self.submit(request, clock::now())?;
            let frame = poll_fn(|cx| {
                if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                    return Poll::Ready(Err(error));
                }
                loop {
                    if let Some((_, frame)) = self.next_answer(clock::now())? {
                        return Poll::Ready(Ok(frame));
                    }
                    std::task::ready!(self.poll_read(cx))?;
                }
            })
            .await?;
            match handshake.handle(frame)? {
                Step::Ask(next_body, next) => (body, handshake) = (next_body, next),
                Step::Ready { versions, pause } => {
                    (self.versions, self.pause) = (versions, pause);
                    return Ok(());
                }
            }
        }
    }

    /// Drives `lane` until the connection ends, and says why it did.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves requests unanswered: only drop it to close the connection.
    pub(crate) async fn drive<L: Lane>(&mut self, lane: &mut L, waker: &LaneWaker) -> ConnectionError {
        let mut woken = pin!(waker.woken());
        let mut timer = Timer { sleep: pin!(sleep_until(clock::now().into())), armed: None };
        poll_fn(|cx| {
            for _ in 0..ROUNDS_PER_POLL {
                let again = match self.poll_once(lane, cx) {
                    Ok(again) => again,
                    Err(cause) => return Poll::Ready(cause),
                };
                let mut rest = !again;
                if woken.as_mut().poll(cx).is_ready() {
                    woken.set(waker.woken());
                    rest = false;
                }
                let wake_at = earliest(lane.poll_timeout(), self.in_flight.deadline());
                #[cfg(feature = "sasl")]
                let wake_at = earliest(wake_at, self.renewal.as_ref().and_then(Renewal::poll_timeout));
                if rest && timer.poll(wake_at, cx).is_pending() {
                    return Poll::Pending;
                }
            }
            // Leave the other tasks of this thread their turn.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    /// Reads, has the lane act, writes. Says whether there may be more to do at once.
    fn poll_once<L: Lane>(&mut self, lane: &mut L, cx: &mut Context<'_>) -> Result<bool, ConnectionError> {
        let read = match self.poll_read(cx) {
            Poll::Ready(result) => result.map(|()| true)?,
            Poll::Pending => false,
        };
        let now = clock::now();
        while let Some((token, frame)) = self.next_answer(now)? {
            #[cfg(feature = "sasl")]
            if token == SASL_TOKEN {
                self.handle_authentication(frame, now).map_err(renewal_failed)?;
                continue;
            }
            lane.handle_response(token, frame, now)?;
            self.has_answered = true;
        }
        if let Some(cause) = self.in_flight.overdue(now) {
            return Err(cause);
        }
        if lane.poll_timeout().is_some_and(|at| at <= now) {
            lane.handle_timeout(now);
        }
        #[cfg(feature = "sasl")]
        let is_free = self.renew(now, cx)?;
        #[cfg(not(feature = "sasl"))]
        let is_free = true;
        while is_free && self.outgoing.len() < OUTGOING_BYTES_MAX {
            let Some(request) = lane.poll_request(now) else { break };
            self.submit(request, now)?;
        }
        let held_back = self.outgoing.len() >= OUTGOING_BYTES_MAX;
        if lane.is_finished() {
            return Err(ConnectionError::Shutdown);
        }
        match self.poll_write(cx) {
            Poll::Ready(Err(cause)) => Err(cause),
            _ => Ok(read || (held_back && self.outgoing.len() < OUTGOING_BYTES_MAX)),
        }
    }

    /// Authenticates before anything else is sent.
    #[cfg(feature = "sasl")]
    async fn authenticate(&mut self) -> Result<(), ConnectionError> {
        poll_fn(|cx| {
            loop {
                let now = clock::now();
                self.poll_renewal(now, cx)?;
                if self.renewal.as_ref().is_none_or(|renewal| renewal.is_settled(now)) {
                    return Poll::Ready(Ok(()));
                }
                if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                    return Poll::Ready(Err(error));
                }
                match self.next_answer(now)? {
                    Some((_, frame)) => self.handle_authentication(frame, now)?,
                    None => std::task::ready!(self.poll_read(cx))?,
                }
            }
        })
        .await
    }

    /// Authenticates again, when that is due. Says whether the lane may send.
    #[cfg(feature = "sasl")]
    fn renew(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<bool, ConnectionError> {
        let renewed = self.poll_renewal(now, cx);
        let Some(renewal) = &mut self.renewal else { return Ok(true) };
        match renewed {
            Err(cause) if !renewal.holds_the_wire() && cause.is_retriable() => {
                tracing::warn!(%cause, "a connection cannot authenticate again yet");
                renewal.postpone(now);
            }
            other => other.map_err(renewal_failed)?,
        }
        Ok(!renewal.holds_the_wire())
    }

    #[cfg(feature = "sasl")]
    fn poll_renewal(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), ConnectionError> {
        let Some(renewal) = &mut self.renewal else { return Ok(()) };
        match renewal.poll(&self.versions, now, cx)? {
            Some(request) => self.submit(request, now),
            None => Ok(()),
        }
    }

    #[cfg(feature = "sasl")]
    fn handle_authentication(&mut self, frame: Bytes, now: Instant) -> Result<(), ConnectionError> {
        let Some(renewal) = &mut self.renewal else { return Ok(()) };
        match renewal.handle_answer(frame, now)? {
            Some(request) => self.submit(request, now),
            None => Ok(()),
        }
    }

    fn submit(&mut self, request: Request, now: Instant) -> Result<(), ConnectionError> {
        let Request { token, body, timeout } = request;
        let Body { key, .. } = body;
        let correlation_id = self.in_flight.submit(token, key, timeout, now);
        let head = request::encode_head(&body, correlation_id, &self.client_id, &mut self.heads);
        self.outgoing.push(head.map_err(ConnectionError::Encode)?);
        for segment in body.segments {
            self.outgoing.push(segment);
        }
        Ok(())
    }

    /// The next whole answer among the bytes that came, and the token it belongs to.
    fn next_answer(&mut self, now: Instant) -> Result<Option<(u64, Bytes)>, ConnectionError> {
        let oldest = self.in_flight.oldest_api().map_or("nothing", ApiKey::name);
        let unreadable = |source: DecodeError| ConnectionError::Protocol { api: oldest, source };
        let Some(frame) = next_frame(&mut self.incoming, self.frame_bytes_max).map_err(unreadable)? else {
            return Ok(None);
        };
        let correlation_id = request::correlation_id(&frame).map_err(unreadable)?;
        let token = self.in_flight.answer(correlation_id, now)?;
        Ok(Some((token, frame)))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        reserve_for_read(&mut self.incoming);
        let read = pin!(self.socket.read_buf(&mut self.incoming));
        match std::task::ready!(read.poll(cx)) {
            Ok(0) => Poll::Ready(Err(ConnectionError::Closed)),
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(broken(error))),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        while self.outgoing.len() > 0 {
            self.unflushed = true;
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let filled = self.outgoing.slices(&mut slices);
            let socket = Pin::new(&mut self.socket);
            match std::task::ready!(socket.poll_write_vectored(cx, &slices[..filled])) {
                Ok(0) => return Poll::Ready(Err(ConnectionError::Closed)),
                Ok(written) => self.outgoing.advance(written),
                Err(error) => return Poll::Ready(Err(broken(error))),
            }
        }
        // What is encrypted may be held back until it is flushed; a plain socket holds nothing back.
        if self.unflushed {
            std::task::ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(broken)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

fn broken(error: io::Error) -> ConnectionError {
    ConnectionError::Io(Arc::new(error))
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Makes room for the next read: for the rest of a frame whose length is known, but never much more than came already,
/// so that a peer cannot make us hold memory by stating a length.
fn reserve_for_read(incoming: &mut BytesMut) {
    let room = incoming.capacity() - incoming.len();
    if room >= READ_BYTES_MIN {
        return;
    }
    let missing = match incoming.first_chunk::<4>() {
        Some(prefix) => {
            usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0).saturating_sub(incoming.len())
        }
        None => 0,
    };
    let most = incoming.len().max(READ_AHEAD_BYTES_MAX);
    incoming.reserve(missing.saturating_add(4).clamp(READ_BYTES, most));
}

/// What a failure on a connection that was of use means: a new connection shows whether it is final.
#[cfg(feature = "sasl")]
fn renewal_failed(cause: ConnectionError) -> ConnectionError {
    match cause {
        ConnectionError::Authentication(error) => ConnectionError::Reauthentication(error),
        other => other,
    }
}

/// A timer that is set earlier when it must be, and otherwise left to ring once too early: setting it costs more.
struct Timer<'a> {
    sleep: Pin<&'a mut Sleep>,
    armed: Option<Instant>,
}

impl Timer<'_> {
    /// Ready when the timer rang, whatever for: the caller looks again.
    fn poll(&mut self, wake_at: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wake_at) = wake_at else { return Poll::Pending };
        if self.armed.is_none_or(|armed| wake_at < armed) {
            self.sleep.as_mut().reset(wake_at.into());
            self.armed = Some(wake_at);
        }
        let rang = self.sleep.as_mut().poll(cx);
        if rang.is_ready() {
            self.armed = None;
        }
        rang
    }
}

/// Segments that wait for the socket, oldest first.
#[derive(Debug, Default)]
struct Outgoing {
    segments: VecDeque<Bytes>,
    len: usize,
}

impl Outgoing {
    const fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, segment: Bytes) {
        if !segment.is_empty() {
            self.len += segment.len();
            self.segments.push_back(segment);
        }
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, segment) in slices.iter_mut().zip(&self.segments) {
            *slot = IoSlice::new(segment);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut written: usize) {
        self.len -= written;
        while let Some(first) = self.segments.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.segments.pop_front();
        }
    }
}

/// Rounds of read, act and write before other tasks get their turn.
const ROUNDS_PER_POLL: usize = 32;
/// Above this nothing more is taken from the lane until the socket took some.
const OUTGOING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What one read makes room for.
const READ_BYTES: usize = 64 * 1024;
/// Below this much room, more is made.
const READ_BYTES_MIN: usize = 4 * 1024;
/// The most that is made room for ahead of the bytes, unless as much came already.
const READ_AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// Slices handed to one write.
const SLICES_PER_WRITE: usize = 64;
/// Room for the heads of many requests: once it is used up and all of them are sent, it is used again.
const HEADS_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outgoing_segments_leave_in_order_whatever_the_socket_takes() {
        for step in 1..12 {
            let mut outgoing = Outgoing::default();
            for segment in [&b"abc"[..], b"", b"defg", b"h"] {
                outgoing.push(Bytes::copy_from_slice(segment));
            }
            let mut written = Vec::new();
            while outgoing.len() > 0 {
                let mut slices = [IoSlice::new(&[]); 2];
                let filled = outgoing.slices(&mut slices);
                let bytes: Vec<u8> =
                    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
                let taken = step.min(bytes.len());
                written.extend_from_slice(&bytes[..taken]);
                outgoing.advance(taken);
            }
            assert_eq!(written, b"abcdefgh");
        }
    }

    #[test]
    fn a_stated_length_makes_no_more_room_than_the_bound() {
        let mut incoming = BytesMut::from(&[0x05, 0xff, 0xff, 0xff][..]);
        reserve_for_read(&mut incoming);
        assert!(incoming.capacity() <= 2 * READ_AHEAD_BYTES_MAX, "{}", incoming.capacity());
    }
}
