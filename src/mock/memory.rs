//! Task: the in-memory front: a pair of pipes in place of a socket, to the same brokers.

use super::cluster::Shared;
use std::io;
use std::sync::Arc;
use tokio::io::{DuplexStream, duplex};

/// Opens a connection to the broker that is advertised as `host` and `port`.
///
/// It is refused where no broker is advertised so, where the broker is stopped, and outside a Tokio runtime.
pub(crate) fn connect(shared: &Arc<Shared>, host: &str, port: u16) -> io::Result<DuplexStream> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(io::Error::other("no Tokio runtime is running here"));
    }
    let broker = shared.broker_at(host, port).ok_or(io::ErrorKind::ConnectionRefused)?;
    let (ours, theirs) = duplex(PIPE_BYTES);
    shared.accept(broker, theirs);
    Ok(ours)
}

const PIPE_BYTES: usize = 256 * 1024;
