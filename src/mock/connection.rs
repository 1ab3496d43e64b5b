//! Task: serves one connection: reads a request, has it answered, writes the answer, reads the next.
//!
//! One request at a time, as Kafka does: while one is parked, none behind it is answered.

use super::bend::Ending;
use super::cluster::Shared;
use super::core::{Origin, Outcome};
use crate::wire::frame::{FRAME_BYTES_MAX, next_frame};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep_until;

/// Serves until the peer closes, the bytes make no sense, or the cluster says so.
pub(crate) async fn serve<S>(shared: Arc<Shared>, origin: Origin, woken: Arc<Notify>, end: End<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut end = end;
    let resets = Arc::clone(&end.resets);
    let stream = &mut end.stream;
    let _registered = Registered { shared: Arc::clone(&shared), connection: origin.connection };
    let mut buffer = BytesMut::new();
    while let Some(frame) = read_frame(stream, &mut buffer).await {
        let mut outcome = shared.handle(origin, frame);
        loop {
            match outcome {
                Outcome::Reply(frame) => {
                    if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                    break;
                }
                Outcome::Silent => break,
                Outcome::Park(until) => {
                    tokio::select! {
                        biased;
                        () = woken.notified() => {}
                        () = sleep_until(until.into()) => {}
                        is_open = read_more(stream, &mut buffer), if buffer.len() < READ_AHEAD_BYTES => {
                            if !is_open {
                                return;
                            }
                            outcome = Outcome::Park(until);
                            continue;
                        }
                    }
                    outcome = shared.resume(origin);
                }
                Outcome::Hang => return hang(stream, &mut buffer).await,
                Outcome::Close => return,
                Outcome::Last(bytes, ending) => {
                    resets.store(ending == Ending::Reset, Ordering::Relaxed);
                    let is_written = stream.write_all(&bytes).await.is_ok() && stream.flush().await.is_ok();
                    if is_written && ending == Ending::Silence {
                        hang(stream, &mut buffer).await;
                    }
                    return;
                }
                Outcome::Act(effect) => {
                    shared.act(&effect);
                    // Should that have cut this very connection, then this is where it ends.
                    yield_now().await;
                    outcome = shared.resume(origin);
                }
            }
        }
    }
}

/// A connection's stream, and how it is let go of.
pub(crate) struct End<S> {
    stream: S,
    reset: fn(&S),
    /// Whether it is reset rather than closed.
    resets: Arc<AtomicBool>,
}

impl<S> End<S> {
    pub(crate) const fn new(stream: S, reset: fn(&S), resets: Arc<AtomicBool>) -> Self {
        Self { stream, reset, resets }
    }
}

impl<S> Drop for End<S> {
    fn drop(&mut self) {
        if self.resets.load(Ordering::Relaxed) {
            (self.reset)(&self.stream);
        }
    }
}

/// Swallows all that comes until the peer closes.
async fn hang<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) {
    while read_more(stream, buffer).await {
        buffer.clear();
    }
}

async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> Option<Bytes> {
    loop {
        if let Some(frame) = next_frame(buffer, FRAME_BYTES_MAX).ok()? {
            return Some(frame);
        }
        if !read_more(stream, buffer).await {
            return None;
        }
    }
}

/// Reads what is there; `false` once the peer has closed.
async fn read_more<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut BytesMut) -> bool {
    buffer.reserve(READ_BYTES);
    stream.read_buf(buffer).await.is_ok_and(|read| read > 0)
}

/// Takes the connection off the cluster's books when its task ends, however it ends.
struct Registered {
    shared: Arc<Shared>,
    connection: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.disconnected(self.connection);
    }
}

const READ_BYTES: usize = 64 * 1024;
/// How much is read past a parked request, to notice that the peer closes.
const READ_AHEAD_BYTES: usize = 1024 * 1024;
