//! One end of a connection as its owner reads and writes it.

use super::{Net, SERVER};
use crate::{
    epochs,
    pipe::Found,
    trace::{Piece, Sent},
};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// One end of a connection.
pub(super) struct SimStream {
    net: Net,
    id: u64,
    side: usize,
    /// When there is more to read.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl SimStream {
    pub(super) const fn new(net: Net, id: u64, side: usize) -> Self {
        Self { net, id, side, alarm: None }
    }
}

impl fmt::Debug for SimStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStream({}, {})", self.id, self.side)
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let mut state = this.net.lock();
            let Some(connection) = state.connections.get(&this.id) else { return Poll::Ready(Ok(())) };
            let from = 1 - this.side;
            let is_held =
                connection.is_severed || state.link(connection.client, connection.broker).held[from];
            let Some(connection) = state.connections.get_mut(&this.id) else { return Poll::Ready(Ok(())) };
            if connection.is_reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let pipe = &mut connection.pipes[from];
            match pipe.pull(buffer.remaining(), is_held, Instant::now()) {
                Found::Bytes(bytes) => {
                    buffer.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Found::End => return Poll::Ready(Ok(())),
                Found::Nothing => {
                    pipe.wait_to_read(cx.waker());
                    return Poll::Pending;
                }
                Found::NotBefore(at) => {
                    pipe.wait_to_read(cx.waker());
                    drop(state);
                    let alarm = this.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
                    if alarm.deadline() != at {
                        alarm.as_mut().reset(at);
                    }
                    std::task::ready!(alarm.as_mut().poll(cx));
                    this.alarm = None;
                }
            }
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut state = this.net.lock();
        let state = &mut *state;
        let gone = || Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        let Some(connection) = state.connections.get(&this.id) else { return gone() };
        let link = state.link(connection.client, connection.broker);
        let at_ms = state.now_ms();
        let Some(connection) = state.connections.get_mut(&this.id) else { return gone() };
        if connection.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        // That nobody reads any more is heard of only while the link carries it.
        let pipe = &mut connection.pipes[this.side];
        if pipe.is_deaf() && !link.held[1 - this.side] && !connection.is_severed {
            return gone();
        }
        let taken = bytes.len().min(pipe.room());
        if taken == 0 {
            pipe.wait_to_write(cx.waker());
            return Poll::Pending;
        }
        let bytes = &bytes[..taken];
        state.trace.bytes(at_ms, this.id, u64::from(this.side == SERVER), bytes);
        let (client, broker) = (connection.client, connection.broker);
        if this.side == SERVER {
            state.trace.answer(client, taken);
        } else {
            let life = (client, connection.life);
            for piece in connection.frames.feed(bytes, epochs::is_looked_at) {
                match piece {
                    Piece::Begun(api) => {
                        state.trace.request(Sent { at_ms, client, broker, connection: this.id, api });
                    }
                    Piece::Whole(frame) => state.went_back.extend(state.epochs.fetch(life, frame)),
                }
            }
        }
        if pipe.push(bytes, link.pace(&mut state.random), Instant::now()) {
            connection.finish();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.net.lock();
        if let Some(connection) = state.connections.get_mut(&self.id) {
            connection.pipes[self.side].end();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut state = self.net.lock();
        let Some(connection) = state.connections.get_mut(&self.id) else { return };
        connection.gone[self.side] = true;
        connection.pipes[self.side].end();
        connection.pipes[1 - self.side].deafen();
        if connection.gone == [true; 2] {
            state.connections.remove(&self.id);
        }
    }
}
