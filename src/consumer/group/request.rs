//! What the requests to a group's coordinator have in common: who asks, how partitions are named, and what it means
//! when the coordinator refuses.

use crate::{
    consumer::record::TopicPartition,
    error::{ConnectionError, ErrorCode, RequestError},
    wire::ApiKey,
};
use std::collections::BTreeMap;

/// Who asks, as requests carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    /// Of a static member.
    pub(crate) instance_id: Option<String>,
}

impl Identity {
    /// A consumer that commits to the group and is no member of it.
    pub(crate) fn outside() -> Self {
        Self { member_id: String::new(), epoch: NO_EPOCH, instance_id: None }
    }
}

/// What an answer means beyond the request it belongs to.
#[derive(Debug)]
pub(crate) enum Setback {
    /// The group's coordinator is another broker now, or cannot be reached.
    CoordinatorLost,
    /// The group does not count this member any more.
    Fenced,
    /// The member has a newer epoch; the next heartbeat brings it.
    Stale,
    /// The group will never take it.
    Refused(RequestError),
}

impl Setback {
    /// What a question without an answer means.
    pub(crate) fn of_no_answer(error: RequestError) -> Self {
        match error {
            RequestError::Connection { source: ConnectionError::Version { .. }, .. } => Self::Refused(error),
            _ if error.fatal_authentication().is_some() => Self::Refused(error),
            _ => Self::CoordinatorLost,
        }
    }

    /// What an error for the whole group means, whatever was asked. `None`: nothing beyond another try.
    pub(crate) fn of(code: ErrorCode, api: ApiKey, is_member: bool) -> Option<Self> {
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => Some(Self::CoordinatorLost),
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH => Some(Self::Fenced),
            // After the next heartbeat there is a newer epoch to ask under.
            ErrorCode::STALE_MEMBER_EPOCH => Some(Self::Stale),
            // What is wrong with a member is said by its heartbeats.
            code if code.is_retriable() || is_member => None,
            code => Some(Self::Refused(RequestError::Broker { api: api.name(), code, message: None })),
        }
    }
}

/// Groups what belongs to partitions by topic, as requests want it.
pub(crate) fn by_topic<'a, T>(items: impl Iterator<Item = (&'a TopicPartition, T)>) -> Vec<(String, Vec<T>)> {
    let mut topics: BTreeMap<&str, Vec<T>> = BTreeMap::new();
    for (name, item) in items {
        topics.entry(&name.topic).or_default().push(item);
    }
    topics.into_iter().map(|(topic, items)| (topic.to_owned(), items)).collect()
}

/// Outside of a membership.
const NO_EPOCH: i32 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_consumer_outside_the_group_takes_a_refusal_of_its_requests_for_the_last_word() {
        let of = |code, is_member| Setback::of(code, ApiKey::OffsetFetch, is_member);
        assert!(of(ErrorCode::GROUP_AUTHORIZATION_FAILED, true).is_none());
        assert!(matches!(of(ErrorCode::GROUP_AUTHORIZATION_FAILED, false), Some(Setback::Refused(_))));
        assert!(of(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, false).is_none());
        for is_member in [true, false] {
            assert!(matches!(of(ErrorCode::NOT_COORDINATOR, is_member), Some(Setback::CoordinatorLost)));
        }
    }
}
