//! Task: serves one connection: reads a request, has it answered, writes the answer, reads the next.
//!
//! One request at a time, as Kafka does: while one is parked, none behind it is answered.

use super::cluster::Shared;
use super::core::{Origin, Outcome};
use crate::wire::frame::{FRAME_BYTES_MAX, next_frame};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::sleep_until;

/// Serves until the peer closes, the bytes make no sense, or the cluster says so.
pub(crate) async fn serve<S>(shared: Arc<Shared>, origin: Origin, woken: Arc<Notify>, mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _registered = Registered { shared: Arc::clone(&shared), connection: origin.connection };
    let mut buffer = BytesMut::new();
    while let Some(frame) = read_frame(&mut stream, &mut buffer).await {
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
                        is_open = read_more(&mut stream, &mut buffer), if buffer.len() < READ_AHEAD_BYTES => {
                            if !is_open {
                                return;
                            }
                            outcome = Outcome::Park(until);
                            continue;
                        }
                    }
                    outcome = shared.resume(origin);
                }
                Outcome::Hang => {
                    while read_more(&mut stream, &mut buffer).await {
                        buffer.clear();
                    }
                    return;
                }
                Outcome::Close => return,
            }
        }
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
