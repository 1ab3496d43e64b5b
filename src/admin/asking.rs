//! Task: how a call is made: asked once, and again while the failure is transient and there is time.

use super::{Admin, AdminError};
use crate::{
    backoff::Backoff,
    cluster::{Target, Topic},
    error::{AuthorizationError, ErrorCode, RequestError},
    net::clock,
    wire::Api,
};
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

impl Admin {
    pub(super) fn request_timeout(&self) -> Duration {
        self.cluster.config().request_timeout
    }

    pub(super) async fn topic_now(
        &self,
        operation: &'static str,
        name: &str,
        within: Duration,
    ) -> Result<Arc<Topic>, AdminError> {
        self.cluster.describe_topic(name, within).await.map_err(|source| failed(operation, name, source))
    }

    pub(super) async fn ask<A: Api + Clone + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        name: &str,
        target: Target,
        request: A,
        within: Duration,
    ) -> Result<A::Response, AdminError> {
        self.cluster.call(target, request, within).await.map_err(|source| failed(operation, name, source))
    }

    pub(super) async fn ask_coordinator<A: Api + Clone + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        group: &str,
        request: A,
        within: Duration,
    ) -> Result<A::Response, AdminError> {
        let request_failed = |source| failed(operation, group, source);
        let coordinator = self.cluster.coordinator(group, within).await.map_err(request_failed)?;
        let answer = self.cluster.call(Target::Broker(coordinator), request, within).await;
        if answer.is_err() {
            self.cluster.forget_coordinator(group);
        }
        answer.map_err(request_failed)
    }

    pub(super) fn check_coordinator(
        &self,
        operation: &'static str,
        group: &str,
        code: ErrorCode,
    ) -> Result<(), AdminError> {
        if code == ErrorCode::NOT_COORDINATOR || code == ErrorCode::COORDINATOR_NOT_AVAILABLE {
            self.cluster.forget_coordinator(group);
        }
        refused(operation, group, code, None)
    }

    /// Tries until it succeeds, the failure is final, or the time is up.
    pub(super) async fn retry<T, F: Future<Output = Result<T, AdminError>>>(
        &self,
        operation: &'static str,
        name: &str,
        attempt: impl Fn(Duration) -> F,
    ) -> Result<T, AdminError> {
        let within = self.request_timeout();
        let until: Instant = clock::now() + within * TRIES_TIME;
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX, 0);
        loop {
            let error = match attempt(within).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let pause = backoff.next_delay();
            if !error.is_retriable() || clock::now() + pause >= until {
                return Err(error);
            }
            tracing::debug!(operation, name, %error, "an admin call is tried again");
            sleep(pause).await;
        }
    }
}

pub(super) fn refused(
    operation: &'static str,
    name: &str,
    code: ErrorCode,
    message: Option<String>,
) -> Result<(), AdminError> {
    code.check().map_err(|code| refusal(operation, name, code, message))
}

pub(super) fn refusal(
    operation: &'static str,
    name: &str,
    code: ErrorCode,
    message: Option<String>,
) -> AdminError {
    let name = name.to_owned();
    match AuthorizationError::of(code, &name, grant_for(operation)) {
        Some(source) => AdminError::Unauthorized { operation, name, source },
        None => AdminError::Refused { operation, name, code, message },
    }
}

/// What permits a call, by the name in Kafka's ACLs.
fn grant_for(operation: &str) -> &'static str {
    match operation {
        "creating topic" => "CREATE, on it or on the cluster",
        "deleting topic" | "deleting group" => "DELETE",
        "reading the settings of" => "DESCRIBE_CONFIGS",
        "changing the settings of" => "ALTER_CONFIGS",
        _ => "DESCRIBE",
    }
}

/// An answer that says nothing of what was asked.
pub(super) fn no_answer(operation: &'static str, name: &str) -> AdminError {
    refusal(operation, name, ErrorCode::UNKNOWN_SERVER_ERROR, None)
}

pub(super) fn failed(operation: &'static str, name: &str, source: RequestError) -> AdminError {
    match source {
        RequestError::UnknownTopic { topic } => AdminError::UnknownTopic { topic: topic.to_string() },
        RequestError::Unauthorized { source, .. } => {
            AdminError::Unauthorized { operation, name: name.to_owned(), source }
        }
        source => AdminError::Request { operation, name: name.to_owned(), source },
    }
}

/// All tries together may take this many times the request timeout.
const TRIES_TIME: u32 = 3;
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
