//! What a user is not allowed to do, by the broker's code: which resource it is about, and what to grant.

use super::ErrorCode;
use std::{fmt, sync::Arc};

/// The broker knows who this client is, and does not let it do this.
///
/// Only the named resource is concerned: other topics and groups go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{resource}: this client's user may not use it; grant {grant}")]
pub struct AuthorizationError {
    /// What it is about.
    pub resource: Resource,
    /// The operation to grant, by its name in Kafka's ACLs.
    pub grant: &'static str,
    /// The broker's code.
    #[source]
    pub code: ErrorCode,
}

/// What permissions are granted on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// A topic.
    Topic(Arc<str>),
    /// A group of consumers.
    Group(Arc<str>),
    /// A producer's transactional id.
    TransactionalId(Arc<str>),
    /// The cluster as a whole.
    Cluster,
}

impl AuthorizationError {
    /// What `code` says of the topic, group or transactional id of that name; `None` if it says nothing of permissions.
    pub(crate) fn of(code: ErrorCode, name: &str, grant: &'static str) -> Option<Self> {
        let resource = match code {
            ErrorCode::TOPIC_AUTHORIZATION_FAILED => Resource::Topic(name.into()),
            ErrorCode::GROUP_AUTHORIZATION_FAILED => Resource::Group(name.into()),
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => Resource::TransactionalId(name.into()),
            ErrorCode::CLUSTER_AUTHORIZATION_FAILED => Resource::Cluster,
            _ => return None,
        };
        Some(Self { resource, grant, code })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name:?}"),
            Self::Group(name) => write!(f, "group {name:?}"),
            Self::TransactionalId(name) => write!(f, "transactional id {name:?}"),
            Self::Cluster => f.write_str("the cluster"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_resource_and_what_to_grant() {
        let of = |code| AuthorizationError::of(code, "orders", "WRITE").map(|error| error.to_string());
        let told = of(ErrorCode::TOPIC_AUTHORIZATION_FAILED).unwrap();
        assert_eq!(told, "topic \"orders\": this client's user may not use it; grant WRITE");
        assert!(of(ErrorCode::GROUP_AUTHORIZATION_FAILED).unwrap().starts_with("group \"orders\""));
        assert!(of(ErrorCode::CLUSTER_AUTHORIZATION_FAILED).unwrap().starts_with("the cluster"));
        assert!(of(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED).is_some());
        assert!(of(ErrorCode::NOT_COORDINATOR).is_none() && of(ErrorCode::NONE).is_none());
    }
}
