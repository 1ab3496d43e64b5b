//! Task: keeps one lane connected: connects, drives, backs off, connects again to wherever the broker then is.

use super::refresher::Refresh;
use crate::{
    backoff::Backoff,
    config::HostPort,
    error::ConnectionError,
    net::{Lane, clock, connection::Connection, settings::ClientConfig, waker::LaneWaker},
};
use std::{future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::{select, task::JoinHandle, time::sleep_until};

/// Says where to connect to, anew at each attempt; `None` when that is not known now.
pub(crate) type NextAddress = Box<dyn FnMut() -> Option<HostPort> + Send>;

/// A lane's task. Dropping it ends the task and closes the connection.
#[derive(Debug)]
pub(crate) struct LaneTask(JoinHandle<()>);

impl LaneTask {
    /// Starts the task on the current runtime.
    pub(crate) fn spawn<L: Lane>(
        config: Arc<ClientConfig>,
        next_address: NextAddress,
        lane: L,
        waker: LaneWaker,
        refresh: Refresh,
    ) -> Self {
        let runner = Runner { config, next_address, lane, waker, refresh };
        Self(tokio::spawn(runner.run()))
    }

    /// Whether the lane is done (its owner said so) and the connection closed.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for LaneTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Runner<L> {
    config: Arc<ClientConfig>,
    next_address: NextAddress,
    lane: L,
    waker: LaneWaker,
    refresh: Refresh,
}

impl<L: Lane> Runner<L> {
    async fn run(mut self) {
        let mut backoff = Backoff::new(RECONNECT_MIN, RECONNECT_MAX, self.config.entropy.seed());
        while !self.lane.is_finished() {
            if !self.lane.wants_connection() {
                self.meanwhile(std::future::pending::<()>(), |lane| lane.wants_connection()).await;
                continue;
            }
            let address = (self.next_address)();
            let config = self.config.clone();
            let attempt = async move {
                match address {
                    Some(address) => Connection::open(&config, &address).await,
                    None => Err(ConnectionError::NoAddress),
                }
            };
            let cause = match self.meanwhile(attempt, Lane::is_finished).await {
                None => return,
                Some(Err(cause)) => cause,
                Some(Ok(mut connection)) => {
                    let connected_at = clock::now();
                    if !connection.pause().is_zero() {
                        let pause = sleep_until((connected_at + connection.pause()).into());
                        self.meanwhile(pause, Lane::is_finished).await;
                    }
                    self.lane.handle_connected(connection.versions(), clock::now());
                    let cause = connection.drive(&mut self.lane, &self.waker).await;
                    if connection.has_answered() || clock::now() >= connected_at + LIVED_LONG {
                        backoff.reset();
                    }
                    cause
                }
            };
            if self.lane.is_finished() {
                return;
            }
            tracing::debug!(%cause, "a connection ended");
            self.lane.handle_disconnected(&cause, clock::now());
            // The broker may have moved, or another may lead now; but no other takes credentials that are wrong.
            if cause.fatal_authentication().is_none() {
                self.refresh.request();
            }
            let pause = sleep_until((clock::now() + backoff.next_delay()).into());
            self.meanwhile(pause, Lane::is_finished).await;
        }
    }

    /// Waits for `other`, gives the lane its timeouts meanwhile, and stops early, with `None`, when `enough` holds.
    async fn meanwhile<T>(
        &mut self,
        other: impl Future<Output = T>,
        enough: impl Fn(&L) -> bool,
    ) -> Option<T> {
        let mut other = pin!(other);
        loop {
            if enough(&self.lane) || self.lane.is_finished() {
                return None;
            }
            let timeout = self.lane.poll_timeout();
            let at = timeout.unwrap_or_else(|| clock::now() + FAR_AWAY);
            select! {
                biased;
                result = &mut other => return Some(result),
                () = self.waker.woken() => {}
                () = sleep_until(at.into()) => {
                    if timeout.is_some() {
                        self.lane.handle_timeout(clock::now());
                    }
                }
            }
        }
    }
}

/// The first wait before connecting again, and the longest.
const RECONNECT_MIN: Duration = Duration::from_millis(50);
const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// A connection that was of use, or lived this long, makes the next wait the shortest again.
const LIVED_LONG: Duration = Duration::from_secs(5);
const FAR_AWAY: Duration = Duration::from_secs(3600);
