//! Task: makes sockets. A name may have many addresses: each is tried.

use crate::error::ConnectionError;
use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Opens an in-memory stream to the broker that is at this host and port.
#[cfg(feature = "mock")]
pub(crate) type MemoryConnect = dyn Fn(&str, u16) -> io::Result<tokio::io::DuplexStream> + Send + Sync;

/// How sockets are made.
#[derive(Clone)]
pub(crate) enum Connector {
    Tcp,
    #[cfg(feature = "tls")]
    Tls(super::tls::Tls),
    /// To a cluster in this process.
    #[cfg(feature = "mock")]
    Memory(Arc<MemoryConnect>),
    /// By a network that is simulated.
    #[cfg(feature = "internals")]
    Network(Arc<dyn super::network::Network>),
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "Tcp",
            #[cfg(feature = "tls")]
            Self::Tls(_) => "Tls",
            #[cfg(feature = "mock")]
            Self::Memory(_) => "Memory",
            #[cfg(feature = "internals")]
            Self::Network(_) => "Network",
        })
    }
}

/// A byte stream to a broker.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    #[cfg(feature = "mock")]
    Memory(tokio::io::DuplexStream),
    #[cfg(feature = "internals")]
    Simulated(Box<dyn super::network::ByteStream>),
}

impl Connector {
    /// Whether nobody on the way can read along.
    #[cfg(feature = "sasl")]
    pub(crate) const fn is_private(&self) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(_) => true,
            #[cfg(feature = "mock")]
            Self::Memory(_) => true,
            _ => false,
        }
    }

    /// Connects to the first address of `host` that accepts, `each` at the most for one address.
    pub(crate) async fn connect(
        &self,
        host: &Arc<str>,
        port: u16,
        each: Duration,
    ) -> Result<Transport, ConnectionError> {
        let connect_error = |source: io::Error| ConnectionError::Connect {
            host: host.clone(),
            port,
            source: Arc::new(source),
        };
        #[cfg(feature = "mock")]
        if let Self::Memory(connect) = self {
            return connect(host, port).map(Transport::Memory).map_err(connect_error);
        }
        let resolve_error = |source: io::Error| ConnectionError::Resolve {
            host: host.clone(),
            port,
            source: Arc::new(source),
        };
        let resolved = timeout(each, self.resolve(host, port))
            .await
            .map_err(|_| resolve_error(io::ErrorKind::TimedOut.into()))?
            .map_err(resolve_error)?;
        let transport = self.connect_to_any(&resolved, each).await.map_err(connect_error)?;
        match (self, transport) {
            #[cfg(feature = "tls")]
            (Self::Tls(tls), Transport::Tcp(stream)) => encrypt(tls, stream, host, port, each).await,
            (_, transport) => Ok(transport),
        }
    }

    /// All addresses of a name.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        #[cfg(feature = "internals")]
        if let Self::Network(network) = self {
            return network.resolve(host, port).await;
        }
        Ok(lookup_host((host, port)).await?.collect())
    }

    /// Tries one address after the other.
    async fn connect_to_any(&self, addresses: &[SocketAddr], each: Duration) -> io::Result<Transport> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match timeout(each, self.connect_to(*address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<Transport> {
        #[cfg(feature = "internals")]
        if let Self::Network(network) = self {
            return network.connect(address).await.map(Transport::Simulated);
        }
        let stream = TcpStream::connect(address).await?;
        prepare(&stream)?;
        Ok(Transport::Tcp(stream))
    }
}

/// Agrees on the encryption, `within` that time at the most.
#[cfg(feature = "tls")]
async fn encrypt(
    tls: &super::tls::Tls,
    stream: TcpStream,
    host: &Arc<str>,
    port: u16,
    within: Duration,
) -> Result<Transport, ConnectionError> {
    let failed = |error| super::tls::handshake_error(host, port, error);
    let name = super::tls::server_name(host)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    if tls.has_files() {
        let looking = tls.clone();
        // Even when nobody could look, what was read before holds.
        let _ = tokio::task::spawn_blocking(move || looking.look_at_files()).await;
    }
    let handshake = tokio_rustls::TlsConnector::from(tls.rustls()).connect(name, stream);
    let stream = timeout(within, handshake)
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    Ok(Transport::Tls(Box::new(stream)))
}

/// Small requests leave at once, and a peer that vanished is noticed even while nothing is asked.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE_AFTER);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// The same on whichever stream it is.
macro_rules! on_stream {
    ($transport:expr, $stream:ident => $call:expr) => {
        match $transport.get_mut() {
            Self::Tcp($stream) => $call,
            #[cfg(feature = "tls")]
            Self::Tls($stream) => $call,
            #[cfg(feature = "mock")]
            Self::Memory($stream) => $call,
            #[cfg(feature = "internals")]
            Self::Simulated($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_stream!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const SECOND: Duration = Duration::from_secs(1);

    /// An address that nobody listens on.
    async fn dead() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn each_address_of_a_name_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let addresses = [dead().await, dead().await, live, dead().await];
        let Transport::Tcp(stream) = Connector::Tcp.connect_to_any(&addresses, SECOND).await.unwrap() else {
            panic!("not by TCP")
        };
        assert_eq!(stream.peer_addr().unwrap(), live);
    }

    #[tokio::test]
    async fn what_the_last_address_answered_is_told() {
        let error = Connector::Tcp.connect_to_any(&[dead().await], SECOND).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_said_to_be_one() {
        let host = Arc::from("no-such-host.invalid");
        let error = Connector::Tcp.connect(&host, 9092, SECOND).await.unwrap_err();
        assert!(matches!(error, ConnectionError::Resolve { port: 9092, .. }), "{error:?}");
    }
}
