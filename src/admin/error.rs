//! Why an admin call failed.

use crate::error::{AuthorizationError, ErrorCode, RequestError};

/// Why an admin call failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The topic is there already.
    #[error("topic {topic:?} exists already")]
    TopicExists {
        /// Its name.
        topic: String,
    },
    /// The topic is not there; create it first.
    #[error("topic {topic:?} does not exist; create it first")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The cluster refused.
    #[error("{operation} {name:?} was refused{}", said(.message.as_deref()))]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The topic, group or broker that it was asked of.
        name: String,
        /// The broker's code.
        #[source]
        code: ErrorCode,
        /// What the broker said besides, if anything.
        message: Option<String>,
    },
    /// The cluster does not let this client do it.
    #[error("{operation} {name:?} is not allowed")]
    Unauthorized {
        /// What was asked for.
        operation: &'static str,
        /// The topic, group or broker that it was asked of.
        name: String,
        /// What to grant.
        #[source]
        source: AuthorizationError,
    },
    /// There was no usable answer.
    #[error("{operation} {name:?} has no answer")]
    Request {
        /// What was asked for.
        operation: &'static str,
        /// The topic, group or broker that it was asked of.
        name: String,
        /// What kept it away.
        #[source]
        source: RequestError,
    },
}

impl AdminError {
    /// Whether another try, after a pause, may succeed without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::TopicExists { .. } | Self::UnknownTopic { .. } | Self::Unauthorized { .. } => false,
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Request { source, .. } => source.is_retriable(),
        }
    }
}

fn said(message: Option<&str>) -> String {
    message.map(|message| format!(": {message}")).unwrap_or_default()
}
