//! Task: finds the broker that coordinates a group, and remembers it until told that it no longer does.

use super::handle::{Cluster, lock, remaining};
use crate::{
    backoff::Backoff,
    error::{ErrorCode, RequestError},
    net::clock,
    wire::api::find_coordinator::FindCoordinatorRequest,
};
use std::time::Duration;
use tokio::time::sleep;

impl Cluster {
    /// The broker that coordinates `group`.
    ///
    /// # Errors
    ///
    /// The last failure when none was found `within` that time.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(crate) async fn coordinator(&self, group: &str, within: Duration) -> Result<i32, RequestError> {
        if let Some(id) = lock(&self.0.coordinators).get(group) {
            return Ok(*id);
        }
        let until = clock::now() + within;
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX, self.config().entropy.seed());
        loop {
            let error = match self.find_coordinator(group, remaining(until)).await {
                Ok(id) => return Ok(id),
                Err(error) => error,
            };
            let pause = backoff.next_delay();
            if !error.is_retriable() || clock::now() + pause >= until {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    async fn find_coordinator(&self, group: &str, within: Duration) -> Result<i32, RequestError> {
        let request = FindCoordinatorRequest { group_ids: vec![group.to_owned()] };
        let answer = self.0.call_any(request, within).await?;
        let refused = |code, message| RequestError::refused("FindCoordinator", code, message, group, "READ");
        let found = answer
            .coordinators
            .into_iter()
            .find(|coordinator| coordinator.group_id == group)
            .ok_or_else(|| refused(ErrorCode::COORDINATOR_NOT_AVAILABLE, None))?;
        found.error.check().map_err(|code| refused(code, found.error_message))?;
        if !self.topology().brokers.contains_key(&found.broker_id) {
            // Its address is not known yet; it will be once the metadata is fresh.
            self.request_refresh();
            return Err(refused(ErrorCode::COORDINATOR_NOT_AVAILABLE, None));
        }
        lock(&self.0.coordinators).insert(group.into(), found.broker_id);
        Ok(found.broker_id)
    }

    /// The broker that was found no longer coordinates `group`.
    pub(crate) fn forget_coordinator(&self, group: &str) {
        lock(&self.0.coordinators).remove(group);
    }
}

/// Between two tries to find a coordinator.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
