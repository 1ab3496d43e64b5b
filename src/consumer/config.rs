//! What a consumer can be told, with its bounds.

use super::{
    protocol::{Assignor, GroupProtocol},
    record::TopicPartition,
    start::StartFrom,
};
use crate::{config::ConfigError, wire::api::fetch::IsolationLevel};
use std::{sync::Arc, time::Duration};

/// Which records of transactions a reader is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// Those of committed transactions, up to the first one that is still open. The default. Records that were written
    /// without a transaction are not affected, unless an open transaction lies before them.
    #[default]
    ReadCommitted,
    /// All, also those of transactions that are open or were aborted.
    ReadUncommitted,
}

/// What a consumer reads, and how. [`ConsumerBuilder`](super::ConsumerBuilder) fills it in.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerConfig {
    pub(crate) group: Option<Arc<str>>,
    pub(crate) group_protocol: GroupProtocol,
    /// Of the classic protocol, best first.
    pub(crate) assignors: Vec<Assignor>,
    /// Of a static member.
    pub(crate) group_instance_id: Option<Arc<str>>,
    /// Subscribed to (in a group), or read whole (without one).
    pub(crate) topics: Vec<Arc<str>>,
    /// Read whatever a group would say.
    pub(crate) partitions: Vec<TopicPartition>,
    pub(crate) start_from: StartFrom,
    pub(crate) on_out_of_range: Option<StartFrom>,
    pub(crate) isolation: IsolationLevel,
    pub(crate) buffer_bytes: usize,
    pub(crate) partition_buffer_bytes: usize,
    pub(crate) fetch_max_bytes: usize,
    pub(crate) partition_fetch_bytes: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) fetch_min_bytes: i32,
    pub(crate) fetch_max_wait: Duration,
    pub(crate) commit_interval: Option<Duration>,
    pub(crate) revoke_grace: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) session_timeout: Option<Duration>,
    /// Of the classic protocol, where `session_timeout` does not say.
    pub(crate) classic_session_timeout: Duration,
    /// Of the classic protocol.
    pub(crate) heartbeat_interval: Duration,
    pub(crate) rack: Option<Arc<str>>,
    pub(crate) stall_after: Duration,
    pub(crate) stall_limit: Option<Duration>,
    pub(crate) max_poll_interval: Option<Duration>,
    pub(crate) leave_after_max_poll: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group: None,
            group_protocol: GroupProtocol::default(),
            assignors: vec![Assignor::default()],
            group_instance_id: None,
            topics: Vec::new(),
            partitions: Vec::new(),
            start_from: StartFrom::default(),
            on_out_of_range: None,
            isolation: IsolationLevel::ReadCommitted,
            buffer_bytes: 64 << 20,
            partition_buffer_bytes: 2 << 20,
            fetch_max_bytes: 4 << 20,
            partition_fetch_bytes: 1 << 20,
            batch_bytes_max: 32 << 20,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            commit_interval: Some(Duration::from_secs(1)),
            revoke_grace: Duration::from_millis(500),
            rebalance_timeout: Duration::from_secs(60),
            session_timeout: None,
            classic_session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rack: None,
            stall_after: Duration::from_secs(30),
            stall_limit: Some(Duration::from_secs(300)),
            max_poll_interval: Some(Duration::from_secs(300)),
            leave_after_max_poll: false,
        }
    }
}

impl ConsumerConfig {
    /// Says what cannot work.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, rule, value: String| Err(ConfigError { setting, rule, value });
        if self.topics.is_empty() == self.partitions.is_empty() {
            let value = if self.topics.is_empty() { "neither" } else { "both" };
            return refuse("topics", "either topics or partitions are needed", value.into());
        }
        if let Some(group) = self.group.as_ref().filter(|group| group.is_empty()) {
            return refuse("group", "the name must not be empty", format!("{group:?}"));
        }
        if let Some(id) = self.group_instance_id.as_ref().filter(|id| id.is_empty()) {
            return refuse("group_instance_id", "must not be empty", format!("{id:?}"));
        }
        if self.assignors.is_empty() {
            return refuse("assignors", "at least one is needed", "none".into());
        }
        if self.heartbeat_interval < Duration::from_millis(1) {
            return refuse("heartbeat_interval", "at least 1 ms", format!("{:?}", self.heartbeat_interval));
        }
        if let Some(wrong) = self.partitions.iter().find(|name| name.partition < 0) {
            return refuse("partitions", "numbers start at 0", wrong.to_string());
        }
        if let StartFrom::Offset(offset) = self.start_from
            && offset < 0
        {
            return refuse("start_from", "offsets start at 0", offset.to_string());
        }
        if self.buffer_bytes < BUFFER_BYTES_MIN {
            return refuse("buffer_bytes", "at least 1 MiB", self.buffer_bytes.to_string());
        }
        if self.partition_fetch_bytes == 0 || self.fetch_max_bytes == 0 {
            return refuse("fetch_max_bytes", "at least 1", "0".into());
        }
        if self.fetch_min_bytes < 1 {
            return refuse("fetch_min_bytes", "at least 1", self.fetch_min_bytes.to_string());
        }
        let longest = Duration::from_secs(60);
        if self.fetch_max_wait > longest {
            return refuse("fetch_max_wait", "at most 60 s", format!("{:?}", self.fetch_max_wait));
        }
        if self.rebalance_timeout < Duration::from_millis(1) {
            return refuse("rebalance_timeout", "at least 1 ms", format!("{:?}", self.rebalance_timeout));
        }
        if self.stall_after < STALL_AFTER_MIN {
            return refuse("stall_after", "at least 1 s", format!("{:?}", self.stall_after));
        }
        if let Some(limit) = self.stall_limit.filter(|&limit| limit < self.stall_after) {
            return refuse("stall_limit", "at least stall_after", format!("{limit:?}"));
        }
        if let Some(interval) = self.max_poll_interval.filter(|&interval| interval < STALL_AFTER_MIN) {
            return refuse("max_poll_interval", "at least 1 s", format!("{interval:?}"));
        }
        Ok(())
    }

    /// How often the partitions are looked at for stalls. A stall is seen so much late at most.
    pub(crate) fn watch_pause(&self) -> Duration {
        let shortest = self.max_poll_interval.map_or(self.stall_after, |it| it.min(self.stall_after));
        (shortest / 4).min(WATCH_PAUSE_MAX)
    }

    /// Whether the group decides what is read.
    pub(crate) fn is_member(&self) -> bool {
        self.group.is_some() && self.partitions.is_empty()
    }

    /// Whether there is a group to commit to.
    pub(crate) fn commits(&self) -> bool {
        self.group.is_some()
    }

    pub(crate) fn is_read_committed(&self) -> bool {
        self.isolation == IsolationLevel::ReadCommitted
    }

    /// The rule for offsets that do not exist any more.
    pub(crate) fn out_of_range_rule(&self) -> StartFrom {
        match self.on_out_of_range.unwrap_or(self.start_from) {
            StartFrom::Offset(_) => StartFrom::Fail,
            rule => rule,
        }
    }

    /// All topics that are read.
    pub(crate) fn topic_names(&self) -> Vec<Arc<str>> {
        let mut names = self.topics.clone();
        names.extend(self.partitions.iter().map(|name| name.topic.clone()));
        names.sort_unstable();
        names.dedup();
        names
    }
}

const BUFFER_BYTES_MIN: usize = 1 << 20;
const STALL_AFTER_MIN: Duration = Duration::from_secs(1);
const WATCH_PAUSE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> ConsumerConfig {
        ConsumerConfig { topics: vec!["t".into()], ..ConsumerConfig::default() }
    }

    #[test]
    fn the_defaults_need_a_topic_and_no_more() {
        assert!(topics().check().is_ok());
        assert!(ConsumerConfig::default().check().is_err());
        let both = ConsumerConfig { partitions: vec![TopicPartition::new("t", 0)], ..topics() };
        assert!(both.check().is_err());
    }

    #[test]
    fn errors_name_the_field_the_rule_and_the_value() {
        let config = ConsumerConfig { buffer_bytes: 12, ..topics() };
        let text = config.check().unwrap_err().to_string();
        assert_eq!(text, "buffer_bytes: at least 1 MiB, not \"12\"");
    }

    #[test]
    fn a_fixed_offset_that_is_gone_is_a_failure() {
        let config = ConsumerConfig { start_from: StartFrom::Offset(5), ..topics() };
        assert_eq!(config.out_of_range_rule(), StartFrom::Fail);
        let config = ConsumerConfig { on_out_of_range: Some(StartFrom::Latest), ..config };
        assert_eq!(config.out_of_range_rule(), StartFrom::Latest);
    }
}
