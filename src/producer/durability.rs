//! Whether a topic keeps what its producer promises: its replicas and settings against the rules.
//!
//! Invariant: a finding is made only of what the cluster said; what could not be read is a finding of its own. Absent:
//! asking for the settings, see `inspect`.

use super::partition::Limits;
use crate::wire::{api::describe_configs::DescribedConfig, compression::Compression};
use std::{fmt, sync::Arc};

/// Something about a topic that a producer should know.
///
/// Its `Display` says what the rule is, why, and what the topic has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicFinding {
    /// The topic.
    pub topic: Arc<str>,
    /// What should hold.
    pub rule: TopicRule,
    /// What is there instead.
    pub value: String,
}

/// What should hold for a topic that a producer writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicRule {
    /// Every partition has three replicas or more: with two in sync, writing goes on while one broker is down.
    Replicas,
    /// `min.insync.replicas` is 2 or more: an acked record survives the loss of a broker.
    InSyncReplicas,
    /// `unclean.leader.election.enable` is false: a replica that lacks acked records never leads.
    NoUncleanElection,
    /// The cluster has more than one broker. One is enough for development, and replicas are not asked for then.
    SeveralBrokers,
    /// `min.insync.replicas` is not above the number of replicas: else every write is refused.
    Writable,
    /// `compression.type` is `producer` or the producer's codec: else the broker compresses every batch anew.
    Compression,
    /// The topic's settings could be read, which takes the right to describe its configs.
    Readable,
}

impl TopicRule {
    /// Whether a topic that breaks the rule may lose acked records, or stop being written, when one broker is lost.
    ///
    /// Settings that cannot be read count: nobody knows.
    pub fn is_about_durability(self) -> bool {
        match self {
            Self::Replicas
            | Self::InSyncReplicas
            | Self::NoUncleanElection
            | Self::Writable
            | Self::Readable => true,
            Self::SeveralBrokers | Self::Compression => false,
        }
    }

    /// Whether it is common where all is well: a cluster for development, or rights kept to what a service needs.
    pub(crate) fn is_only_told(self) -> bool {
        matches!(self, Self::SeveralBrokers | Self::Readable)
    }
}

impl fmt::Display for TopicRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replicas => {
                "replicas: must be 3 or more, so that writing goes on while a broker is down"
            }
            Self::InSyncReplicas => {
                "min.insync.replicas: must be 2 or more, so that acked records survive the loss of a broker"
            }
            Self::NoUncleanElection => {
                "unclean.leader.election.enable: must be false, so that no replica leads that lacks acked records"
            }
            Self::SeveralBrokers => "brokers: should be 3 or more, so that there can be replicas",
            Self::Writable => {
                "min.insync.replicas: must not exceed the number of replicas, or nothing can be written"
            }
            Self::Compression => {
                "compression.type: should be producer, so that the broker need not compress every batch anew"
            }
            Self::Readable => {
                "the topic's settings: must be readable (DescribeConfigs) to know what an ack is worth"
            }
        })
    }
}

impl fmt::Display for TopicFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {:?}: {}; it is {}", self.topic, self.rule, self.value)
    }
}

/// The settings of a topic that matter to a producer; `None` where the broker did not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    pub(super) max_message_bytes: Option<usize>,
    pub(super) min_in_sync: Option<usize>,
    pub(super) unclean_election: Option<bool>,
    pub(super) compression: Option<String>,
}

impl TopicSettings {
    /// The names of the settings.
    pub(super) const NAMES: [&str; 4] = [MAX_MESSAGE_BYTES, MIN_IN_SYNC, UNCLEAN_ELECTION, COMPRESSION];

    pub(super) fn read(configs: Vec<DescribedConfig>) -> Self {
        let mut settings = Self::default();
        for DescribedConfig { name, value, .. } in configs {
            match name.as_str() {
                MAX_MESSAGE_BYTES => settings.max_message_bytes = number(value),
                MIN_IN_SYNC => settings.min_in_sync = number(value),
                UNCLEAN_ELECTION => settings.unclean_election = value.map(|value| value == "true"),
                COMPRESSION => settings.compression = value,
                _ => {}
            }
        }
        settings
    }

    /// `limits` within those of the topic. A batch may go out plain, so what it is before compression must fit, too.
    pub(super) fn limits(&self, limits: Limits) -> Limits {
        let topic_bytes = self.max_message_bytes.unwrap_or(usize::MAX).max(BATCH_BYTES_MIN);
        Limits {
            batch_bytes: limits.batch_bytes.min(topic_bytes),
            max_message_bytes: limits.max_message_bytes.min(topic_bytes),
            ..limits
        }
    }
}

/// What an inspection of a topic brought to light.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inspected<'a> {
    pub(super) topic: &'a Arc<str>,
    /// The fewest replicas that a partition has.
    pub(super) replicas: usize,
    pub(super) settings: &'a TopicSettings,
    /// `None` if the broker does not tell.
    pub(super) registered_brokers: Option<usize>,
}

impl Inspected<'_> {
    /// Whether the topic has fewer replicas than the promise needs.
    pub(super) fn lacks_replicas(&self) -> bool {
        self.replicas < REPLICAS_MIN || self.settings.min_in_sync.is_some_and(|min| min < IN_SYNC_MIN)
    }

    /// What the producer should know; the rules of durability only if it `promises` that.
    pub(super) fn findings(&self, codec: Compression, promises: bool) -> Vec<TopicFinding> {
        let mut findings = Vec::new();
        let mut find = |rule, value: &dyn fmt::Display| {
            findings.push(TopicFinding { topic: self.topic.clone(), rule, value: value.to_string() });
        };
        let settings = self.settings;
        if promises && self.lacks_replicas() && self.registered_brokers == Some(1) {
            find(TopicRule::SeveralBrokers, &1);
        } else if promises {
            if self.replicas < REPLICAS_MIN {
                find(TopicRule::Replicas, &self.replicas);
            }
            match settings.min_in_sync {
                Some(min) if min < IN_SYNC_MIN => find(TopicRule::InSyncReplicas, &min),
                Some(_) => {}
                None => find(TopicRule::Readable, &"not told by the broker"),
            }
        }
        if promises && settings.unclean_election == Some(true) {
            find(TopicRule::NoUncleanElection, &true);
        }
        if let Some(min) = settings.min_in_sync.filter(|min| *min > self.replicas) {
            find(TopicRule::Writable, &format_args!("{min} with {} replicas", self.replicas));
        }
        if let Some(kept) = settings.compression.as_deref().filter(|kept| !keeps(kept, codec)) {
            find(TopicRule::Compression, &kept);
        }
        findings
    }
}

/// Whether a topic of this `compression.type` keeps batches of this codec as they come.
fn keeps(compression_type: &str, codec: Compression) -> bool {
    let own = if codec == Compression::None { "uncompressed" } else { codec.name() };
    compression_type == "producer" || compression_type == own
}

fn number(value: Option<String>) -> Option<usize> {
    value?.parse().ok()
}

const REPLICAS_MIN: usize = 3;
const IN_SYNC_MIN: usize = 2;
/// A topic of a smaller limit takes hardly a record.
const BATCH_BYTES_MIN: usize = 128;
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const MIN_IN_SYNC: &str = "min.insync.replicas";
const UNCLEAN_ELECTION: &str = "unclean.leader.election.enable";
const COMPRESSION: &str = "compression.type";

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> TopicSettings {
        TopicSettings {
            max_message_bytes: Some(1_048_588),
            min_in_sync: Some(2),
            unclean_election: Some(false),
            compression: Some("producer".to_owned()),
        }
    }

    fn rules(replicas: usize, settings: &TopicSettings, brokers: Option<usize>) -> Vec<TopicRule> {
        findings(replicas, settings, brokers, true).into_iter().map(|finding| finding.rule).collect()
    }

    fn findings(
        replicas: usize,
        settings: &TopicSettings,
        brokers: Option<usize>,
        promises: bool,
    ) -> Vec<TopicFinding> {
        let topic: Arc<str> = "t".into();
        Inspected { topic: &topic, replicas, settings, registered_brokers: brokers }
            .findings(Compression::Snappy, promises)
    }

    #[test]
    fn a_topic_that_keeps_the_promise_has_no_findings() {
        assert_eq!(rules(3, &good(), None), []);
        assert_eq!(rules(5, &TopicSettings { min_in_sync: Some(3), ..good() }, Some(5)), []);
    }

    #[test]
    fn what_breaks_the_promise_is_named_with_its_value() {
        assert_eq!(rules(2, &good(), Some(2)), [TopicRule::Replicas]);
        let one = TopicSettings { min_in_sync: Some(1), ..good() };
        assert_eq!(rules(3, &one, Some(3)), [TopicRule::InSyncReplicas]);
        let unclean = TopicSettings { unclean_election: Some(true), ..good() };
        assert_eq!(rules(3, &unclean, None), [TopicRule::NoUncleanElection]);
        let text = findings(3, &one, None, true)[0].to_string();
        assert!(
            text.contains("\"t\"") && text.contains("min.insync.replicas") && text.ends_with("is 1"),
            "{text}"
        );
    }

    #[test]
    fn one_registered_broker_is_enough_and_only_said() {
        let one = TopicSettings { min_in_sync: Some(1), ..good() };
        assert_eq!(rules(1, &one, Some(1)), [TopicRule::SeveralBrokers]);
        assert!(!TopicRule::SeveralBrokers.is_about_durability());
        assert_eq!(
            rules(1, &one, None),
            [TopicRule::Replicas, TopicRule::InSyncReplicas],
            "not known to be one"
        );
    }

    #[test]
    fn what_hinders_every_producer_is_said_without_a_promise() {
        let never = TopicSettings { min_in_sync: Some(2), compression: Some("gzip".to_owned()), ..good() };
        let found = findings(1, &never, None, false);
        let rules: Vec<_> = found.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, [TopicRule::Writable, TopicRule::Compression]);
        assert_eq!(findings(1, &TopicSettings { min_in_sync: Some(1), ..good() }, None, false), []);
    }

    #[test]
    fn the_producers_codec_and_plain_are_kept() {
        for (kept, codec, keeps_it) in [
            ("snappy", Compression::Snappy, true),
            ("lz4", Compression::Snappy, false),
            ("uncompressed", Compression::None, true),
            ("uncompressed", Compression::Lz4, false),
            ("producer", Compression::Zstd, true),
        ] {
            assert_eq!(keeps(kept, codec), keeps_it, "{kept} {codec}");
        }
    }

    #[test]
    fn settings_are_read_by_name() {
        let config = |name: &str, value: Option<&str>| DescribedConfig {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            read_only: false,
            source: 5,
            is_sensitive: false,
        };
        let read = TopicSettings::read(vec![
            config(MIN_IN_SYNC, Some("2")),
            config(COMPRESSION, Some("producer")),
            config("retention.ms", Some("1")),
            config(UNCLEAN_ELECTION, Some("false")),
            config(MAX_MESSAGE_BYTES, Some("1048588")),
        ]);
        assert_eq!(read, good());
        let odd = TopicSettings::read(vec![config(MIN_IN_SYNC, Some("two")), config(COMPRESSION, None)]);
        assert_eq!(odd, TopicSettings::default());
    }
}
