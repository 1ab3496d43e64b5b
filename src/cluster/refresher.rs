//! Task: keeps the metadata fresh, on request and by age.

use super::handle::Inner;
use crate::{backoff::Backoff, net::clock, wire::api::metadata::MetadataRequest};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// Asks for fresh metadata. Cheap to clone, may be called from machines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refresh(Arc<Notify>);

impl Refresh {
    /// The metadata looks stale. Many requests in a row make one refresh.
    pub(crate) fn request(&self) {
        self.0.notify_one();
    }
}

/// Runs until the cluster handle is gone.
///
/// `seed` decides the jitter of its waits.
pub(crate) async fn run(cluster: Weak<Inner>, refresh: Refresh, max_age: Duration, seed: u64) {
    let mut backoff = Backoff::new(REFRESH_MIN, REFRESH_MAX, seed);
    loop {
        // Due by age is due all the same, so the timeout is no error.
        let _requested = timeout(max_age, refresh.0.notified()).await;
        let Some(inner) = cluster.upgrade() else { return };
        let started = clock::now();
        let request = MetadataRequest { topics: Some(inner.wanted_topics()) };
        let complete = match inner.call_any(request, inner.config.request_timeout).await {
            Ok(answer) => inner.apply(answer),
            Err(cause) => {
                tracing::debug!(%cause, "no metadata");
                // Credentials that are wrong are not made good by asking again: that is for who needs something.
                if let Some(error) = cause.fatal_authentication() {
                    inner.note_stranger(error);
                    drop(inner);
                    sleep(backoff.next_delay()).await;
                    continue;
                }
                false
            }
        };
        drop(inner);
        if complete {
            backoff.reset();
        } else {
            refresh.request();
        }
        // Stale metadata is asked for at once, but then not again and again.
        let pause = if complete { REFRESH_MIN } else { backoff.next_delay() };
        sleep((started + pause).saturating_duration_since(clock::now())).await;
    }
}

/// Between two refreshes at least; KIP-580's retry back-off.
const REFRESH_MIN: Duration = Duration::from_millis(100);
const REFRESH_MAX: Duration = Duration::from_secs(1);
