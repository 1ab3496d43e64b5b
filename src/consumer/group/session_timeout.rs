//! The group's session timeout, which is in no answer of the group's protocol: it is read as a config of the group.

use crate::wire::api::describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse, ResourceType};
use std::time::Duration;

/// Kafka's default, where the group's own cannot be read.
pub(crate) const DEFAULT: Duration = Duration::from_secs(45);
const KEY: &str = "consumer.session.timeout.ms";

/// Asks for it.
pub(crate) fn request(group: &str) -> DescribeConfigsRequest {
    let keys = Some(vec![KEY.to_owned()]);
    DescribeConfigsRequest { resources: vec![(ResourceType::Group, group.to_owned(), keys)] }
}

/// What the answer says of it, if it does.
pub(crate) fn read(answer: DescribeConfigsResponse) -> Option<Duration> {
    let resource = answer.resources.into_iter().next()?;
    let config = resource.configs.into_iter().find(|config| config.name == KEY)?;
    let timeout_ms = config.value?.parse().ok().filter(|&ms| ms > 0);
    timeout_ms.map(Duration::from_millis)
}
