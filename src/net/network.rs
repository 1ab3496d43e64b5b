//! Task: a network in place of the system's, for simulations: a door of `internals`.

use std::{fmt, future::Future, io, net::SocketAddr, pin::Pin};
use tokio::io::{AsyncRead, AsyncWrite};

/// A network: it resolves names and connects to addresses, as late and as badly as it likes.
pub trait Network: fmt::Debug + Send + Sync {
    /// The addresses of a name, in the order in which they are to be tried.
    fn resolve(&self, host: &str, port: u16) -> Later<Vec<SocketAddr>>;

    /// Connects to an address.
    fn connect(&self, address: SocketAddr) -> Later<Box<dyn ByteStream>>;
}

/// What a network may take its time for.
pub type Later<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// A byte stream that is no socket.
pub trait ByteStream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> ByteStream for T {}
