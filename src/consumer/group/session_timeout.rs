//! The group's session timeout, which is in no answer of the group's protocol: it is read as a config of the group.
//!
//! It is read again now and then, since it can be changed while members live, and brokers hear of a change later than
//! whoever made it. A member that goes by a longer timeout than the group's would read partitions that are another's.

use crate::wire::api::describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse, ResourceType};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// When the timeout is read, and what is read.
#[derive(Debug)]
pub(crate) struct SessionTimeout {
    group: Arc<str>,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It was set by hand, or there is no membership.
    Never,
    Now,
    /// The question is under way.
    Asked,
    At(Instant),
}

impl SessionTimeout {
    pub(crate) fn new(group: Arc<str>, is_read: bool) -> Self {
        Self { group, next: if is_read { Next::Now } else { Next::Never } }
    }

    /// The question, if it is due.
    pub(crate) fn poll_request(&mut self, now: Instant) -> Option<DescribeConfigsRequest> {
        let is_due = match self.next {
            Next::Now => true,
            Next::At(at) => at <= now,
            Next::Never | Next::Asked => false,
        };
        is_due.then(|| {
            self.next = Next::Asked;
            let resource = (ResourceType::Group, self.group.to_string(), Some(vec![KEY.to_owned()]));
            DescribeConfigsRequest { resources: vec![resource] }
        })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.next {
            Next::At(at) => Some(at),
            Next::Never | Next::Now | Next::Asked => None,
        }
    }

    /// What the answer says, if there was one and it says anything.
    pub(crate) fn handle_answer(
        &mut self,
        answer: Option<DescribeConfigsResponse>,
        is_joined: bool,
        now: Instant,
    ) -> Option<Duration> {
        let timeout = answer.and_then(read);
        let is_settled = is_joined && timeout.is_some();
        self.next = Next::At(now + if is_settled { READ_AGAIN } else { READ_AGAIN_SOON });
        timeout
    }
}

fn read(answer: DescribeConfigsResponse) -> Option<Duration> {
    let resource = answer.resources.into_iter().next()?;
    let config = resource.configs.into_iter().find(|config| config.name == KEY)?;
    let timeout_ms = config.value?.parse().ok().filter(|&ms| ms > 0);
    timeout_ms.map(Duration::from_millis)
}

/// Kafka's default, where the group's own cannot be read.
pub(crate) const DEFAULT: Duration = Duration::from_secs(45);
const KEY: &str = "consumer.session.timeout.ms";
const READ_AGAIN: Duration = Duration::from_secs(60);
/// While the member has not joined yet, which may be right after somebody changed the timeout.
const READ_AGAIN_SOON: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorCode,
        net::clock,
        wire::api::describe_configs::{DescribedConfig, DescribedResource},
    };

    fn answer(value: &str) -> Option<DescribeConfigsResponse> {
        let config = DescribedConfig {
            name: KEY.to_owned(),
            value: Some(value.to_owned()),
            read_only: false,
            source: 5,
            is_sensitive: false,
        };
        let resource = DescribedResource {
            error: ErrorCode::NONE,
            error_message: None,
            resource_type: 32,
            name: "g".to_owned(),
            configs: vec![config],
        };
        Some(DescribeConfigsResponse { throttle_time_ms: 0, resources: vec![resource] })
    }

    #[test]
    fn it_is_read_at_once_and_again_soon_and_then_now_and_then() {
        let (mut timeout, start) = (SessionTimeout::new("g".into(), true), clock::now());
        assert!(timeout.poll_request(start).is_some());
        assert!(timeout.poll_request(start).is_none(), "one question at a time");
        let read = timeout.handle_answer(answer("6000"), false, start);
        assert_eq!(read, Some(Duration::from_secs(6)));

        let soon = start + READ_AGAIN_SOON;
        assert_eq!(timeout.poll_timeout(), Some(soon));
        assert!(timeout.poll_request(start).is_none());
        assert!(timeout.poll_request(soon).is_some());
        let read = timeout.handle_answer(answer("30000"), true, soon);
        assert_eq!(read, Some(Duration::from_secs(30)), "it was changed meanwhile");
        assert_eq!(timeout.poll_timeout(), Some(soon + READ_AGAIN));
    }

    #[test]
    fn an_answer_that_says_nothing_changes_nothing_and_is_asked_for_again_soon() {
        let (mut timeout, start) = (SessionTimeout::new("g".into(), true), clock::now());
        for nothing in [None, answer(""), answer("0"), answer("-5"), answer("soon")] {
            assert_eq!(timeout.handle_answer(nothing, true, start), None);
            assert_eq!(timeout.poll_timeout(), Some(start + READ_AGAIN_SOON));
        }
    }

    #[test]
    fn one_that_was_set_by_hand_is_not_read() {
        let mut timeout = SessionTimeout::new("g".into(), false);
        assert!(timeout.poll_request(clock::now()).is_none());
        assert_eq!(timeout.poll_timeout(), None);
    }
}
