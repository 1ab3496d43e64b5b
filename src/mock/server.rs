//! Task: the TCP front: one listener a broker on a free port of 127.0.0.1.

use super::cluster::Shared;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// A listener on `port`, 0 for any that is free. It refuses nobody from here on, though nobody is served yet.
pub(crate) fn bind(port: u16) -> io::Result<(StdListener, u16)> {
    let listener = StdListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Accepts connections for a broker until the task is aborted.
pub(crate) fn spawn(
    runtime: &Handle,
    shared: Arc<Shared>,
    broker: i32,
    listener: StdListener,
) -> io::Result<AbortHandle> {
    let _entered = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    let task = runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Answers are small and each is awaited, so they must not wait for more to send.
            if stream.set_nodelay(true).is_ok() {
                shared.accept_resettable(broker, stream, |stream| {
                    // A stream whose peer is gone already needs no reset.
                    let _ = stream.set_zero_linger();
                });
            }
        }
    });
    Ok(task.abort_handle())
}
