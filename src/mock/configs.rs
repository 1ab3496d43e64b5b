//! Configs of topics, brokers and groups: names, defaults, and what a value may be.
//!
//! Only those are known that a client is likely to read or set; another name is refused as Kafka refuses a wrong one.

use super::settings::Settings;
use super::topics::Topic;
use std::collections::BTreeMap;
use std::time::Duration;

/// A config as DescribeConfigs tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) value: String,
    /// 1 set on the topic, 2 set on the broker, 3 set on all brokers, 4 set when the broker started, 5 default, 8 set on the group.
    pub(crate) source: i8,
    pub(crate) kind: i8,
    pub(crate) is_read_only: bool,
}

/// Kafka's numbers for the types of values.
#[derive(Debug, Clone, Copy)]
#[repr(i8)]
enum Kind {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Long = 5,
    List = 7,
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    Bool,
    AtLeast(i64),
    OneOf(&'static [&'static str]),
    /// A comma-separated list of these.
    Among(&'static [&'static str]),
}

#[derive(Debug)]
struct Known {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    rule: Rule,
}

/// What was set on brokers and groups, and what groups may set.
#[derive(Debug)]
pub(crate) struct Configs {
    groups: BTreeMap<String, BTreeMap<String, String>>,
    brokers: BTreeMap<String, BTreeMap<String, String>>,
    started_with: BTreeMap<&'static str, String>,
    heartbeat_ms: GroupRange,
    session_ms: GroupRange,
}

#[derive(Debug, Clone, Copy)]
struct GroupRange {
    default: i64,
    min: i64,
    max: i64,
}

impl Configs {
    pub(crate) fn new(settings: &Settings) -> Self {
        let range = |default: Duration, min: Duration, max: i64| {
            let default = millis(default);
            GroupRange { default, min: millis(min).min(default), max: max.max(default) }
        };
        let heartbeat_ms = range(settings.heartbeat_interval, settings.heartbeat_interval_min, 15_000);
        let session_ms = range(settings.session_timeout, settings.session_timeout_min, 60_000);
        let started_with = BTreeMap::from([
            ("auto.create.topics.enable", settings.auto_create_topics.to_string()),
            ("default.replication.factor", settings.replication().to_string()),
            ("group.consumer.heartbeat.interval.ms", heartbeat_ms.default.to_string()),
            ("group.consumer.max.heartbeat.interval.ms", heartbeat_ms.max.to_string()),
            ("group.consumer.max.session.timeout.ms", session_ms.max.to_string()),
            ("group.consumer.min.heartbeat.interval.ms", heartbeat_ms.min.to_string()),
            ("group.consumer.min.session.timeout.ms", session_ms.min.to_string()),
            ("group.consumer.session.timeout.ms", session_ms.default.to_string()),
            ("group.initial.rebalance.delay.ms", millis(settings.classic.initial_delay).to_string()),
            ("group.max.session.timeout.ms", millis(settings.classic.session_max).to_string()),
            ("group.min.session.timeout.ms", millis(settings.classic.session_min).to_string()),
            ("log.retention.check.interval.ms", millis(settings.retention_check_interval).to_string()),
            ("num.partitions", settings.default_partitions.to_string()),
            ("producer.id.expiration.ms", millis(settings.producer_id_expiration).to_string()),
        ]);
        Self { groups: BTreeMap::new(), brokers: BTreeMap::new(), started_with, heartbeat_ms, session_ms }
    }

    /// The value that a topic has.
    pub(crate) fn topic_value<'a>(&self, topic: &'a Topic, name: &str) -> &'a str {
        let default = || TOPIC.iter().find(|known| known.name == name).map_or("", |known| known.default);
        topic.configs.get(name).map_or_else(default, String::as_str)
    }

    /// The number that a topic has; 0 where it is none.
    pub(crate) fn topic_number(&self, topic: &Topic, name: &str) -> i64 {
        self.topic_value(topic, name).parse().unwrap_or(0)
    }

    /// All configs of a topic with these set on itself.
    #[allow(clippy::unused_self, reason = "asked of the same object as brokers' and groups'")]
    pub(crate) fn of_topic(&self, set: &BTreeMap<String, String>) -> Vec<Described> {
        let told = |known: &Known| {
            let own = set.get(known.name);
            // Clusters whose eligible leaders are tracked (KIP-966) set this one for all brokers.
            let inherited = if known.name == "min.insync.replicas" { 3 } else { 5 };
            Described {
                name: known.name.to_owned(),
                value: own.map_or(known.default, String::as_str).to_owned(),
                source: if own.is_some() { 1 } else { inherited },
                kind: known.kind as i8,
                is_read_only: false,
            }
        };
        TOPIC.iter().map(told).collect()
    }

    pub(crate) fn of_broker(&self, id: &str) -> Vec<Described> {
        let set = self.brokers.get(id);
        let started =
            self.started_with.iter().filter(|(name, _)| set.is_none_or(|set| !set.contains_key(**name)));
        let started = started.map(|(name, value)| Described {
            name: (*name).to_owned(),
            value: value.clone(),
            source: 4,
            kind: if value.parse::<i64>().is_ok() { Kind::Int as i8 } else { Kind::Boolean as i8 },
            is_read_only: true,
        });
        let set = set.into_iter().flatten().map(|(name, value)| Described {
            name: name.clone(),
            value: value.clone(),
            source: 2,
            kind: Kind::Text as i8,
            is_read_only: false,
        });
        started.chain(set).collect()
    }

    pub(crate) fn of_group(&self, group: &str) -> Vec<Described> {
        let set = self.groups.get(group);
        let told = |name: &str, range: GroupRange| {
            let own = set.and_then(|set| set.get(name)).cloned();
            Described {
                name: name.to_owned(),
                source: if own.is_some() { 8 } else { 5 },
                value: own.unwrap_or_else(|| range.default.to_string()),
                kind: Kind::Int as i8,
                is_read_only: false,
            }
        };
        vec![told(HEARTBEAT, self.heartbeat_ms), told(SESSION, self.session_ms)]
    }

    /// A group's (heartbeat interval, session timeout).
    pub(crate) fn group_times(&self, group: &str) -> (Duration, Duration) {
        let set = self.groups.get(group);
        let ms = |name: &str, range: GroupRange| {
            let value = set.and_then(|set| set.get(name)).and_then(|value| value.parse().ok());
            Duration::from_millis(u64::try_from(value.unwrap_or(range.default)).unwrap_or(0))
        };
        (ms(HEARTBEAT, self.heartbeat_ms), ms(SESSION, self.session_ms))
    }

    pub(crate) fn check_topic(&self, name: &str, value: &str) -> Result<(), String> {
        let known = TOPIC
            .iter()
            .find(|known| known.name == name)
            .ok_or_else(|| format!("Unknown topic config name: {name}"))?;
        if known.rule.allows(value) {
            Ok(())
        } else {
            Err(format!("Invalid value {value} for configuration {name}"))
        }
    }

    /// Sets or, with `None`, unsets a group's config.
    pub(crate) fn set_group(
        &mut self,
        group: &str,
        changes: &Changes,
        validate_only: bool,
    ) -> Result<(), String> {
        for (name, value) in changes {
            let range = match name.as_str() {
                HEARTBEAT => self.heartbeat_ms,
                SESSION => self.session_ms,
                _ => return Err(format!("Unknown group config name: {name}")),
            };
            let Some(value) = value else { continue };
            let number: i64 =
                value.parse().map_err(|_| format!("Invalid value {value} for configuration {name}"))?;
            if number < range.min {
                return Err(format!("{name} must be greater than or equal to group.{}", bound(name, "min")));
            }
            if number > range.max {
                return Err(format!("{name} must be less than or equal to group.{}", bound(name, "max")));
            }
        }
        let set = self.groups.get(group);
        let of = |name: &str, range: GroupRange| {
            let own = || set.and_then(|set| set.get(name)).cloned();
            let value = changes.get(name).map_or_else(own, Clone::clone);
            value.and_then(|value| value.parse().ok()).unwrap_or(range.default)
        };
        if of(SESSION, self.session_ms) <= of(HEARTBEAT, self.heartbeat_ms) {
            return Err(format!("{SESSION} must be greater than {HEARTBEAT}"));
        }
        if !validate_only {
            apply(self.groups.entry(group.to_owned()).or_default(), changes);
        }
        Ok(())
    }

    pub(crate) fn set_broker(&mut self, id: &str, changes: &Changes) {
        apply(self.brokers.entry(id.to_owned()).or_default(), changes);
    }

    pub(crate) fn broker_set(&self, id: &str) -> BTreeMap<String, String> {
        self.brokers.get(id).cloned().unwrap_or_default()
    }
}

/// New values by name; `None` takes a config back to its default.
pub(crate) type Changes = BTreeMap<String, Option<String>>;

/// Puts the changes into what is set.
pub(crate) fn apply(set: &mut BTreeMap<String, String>, changes: &Changes) {
    for (name, value) in changes {
        match value {
            Some(value) => set.insert(name.clone(), value.clone()),
            None => set.remove(name),
        };
    }
}

/// Whether a topic's config is a list, which can be appended to and subtracted from.
pub(crate) fn is_list(name: &str) -> bool {
    TOPIC.iter().any(|known| known.name == name && matches!(known.kind, Kind::List))
}

/// A topic config's default.
pub(crate) fn topic_default(name: &str) -> &'static str {
    TOPIC.iter().find(|known| known.name == name).map_or("", |known| known.default)
}

impl Rule {
    fn allows(self, value: &str) -> bool {
        match self {
            Self::Bool => matches!(value, "true" | "false"),
            Self::AtLeast(least) => value.parse::<i64>().is_ok_and(|number| number >= least),
            Self::OneOf(values) => values.contains(&value),
            Self::Among(values) => {
                value.is_empty() || value.split(',').all(|one| values.contains(&one.trim()))
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `consumer.session.timeout.ms` → `consumer.min.session.timeout.ms`.
fn bound(name: &str, which: &str) -> String {
    name.replacen("consumer.", &format!("consumer.{which}."), 1)
}

const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
const SESSION: &str = "consumer.session.timeout.ms";

const fn known(name: &'static str, default: &'static str, kind: Kind, rule: Rule) -> Known {
    Known { name, default, kind, rule }
}

/// The configs of a topic, with the defaults of Kafka 4.1.
const TOPIC: &[Known] = &[
    known("cleanup.policy", "delete", Kind::List, Rule::Among(&["delete", "compact"])),
    known(
        "compression.type",
        "producer",
        Kind::Text,
        Rule::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
    ),
    known("delete.retention.ms", "86400000", Kind::Long, Rule::AtLeast(0)),
    known("max.message.bytes", "1048588", Kind::Int, Rule::AtLeast(0)),
    known("message.timestamp.after.max.ms", "3600000", Kind::Long, Rule::AtLeast(0)),
    known("message.timestamp.before.max.ms", "9223372036854775807", Kind::Long, Rule::AtLeast(0)),
    known("message.timestamp.type", "CreateTime", Kind::Text, Rule::OneOf(&["CreateTime", "LogAppendTime"])),
    known("min.insync.replicas", "1", Kind::Int, Rule::AtLeast(1)),
    known("retention.bytes", "-1", Kind::Long, Rule::AtLeast(-1)),
    known("retention.ms", "604800000", Kind::Long, Rule::AtLeast(-1)),
    known("segment.bytes", "1073741824", Kind::Int, Rule::AtLeast(1024 * 1024)),
    known("segment.ms", "604800000", Kind::Long, Rule::AtLeast(1)),
    known("unclean.leader.election.enable", "false", Kind::Boolean, Rule::Bool),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn set(configs: &mut Configs, name: &str, value: &str) -> Result<(), String> {
        let changes = BTreeMap::from([(name.to_owned(), Some(value.to_owned()))]);
        configs.set_group("g", &changes, false)
    }

    #[test]
    fn groups_keep_to_the_brokers_minima() {
        let mut configs = Configs::new(&Settings::default());
        assert!(set(&mut configs, SESSION, "30000").unwrap_err().contains("consumer.min.session.timeout.ms"));
        assert!(set(&mut configs, HEARTBEAT, "3000").is_err());
        set(&mut configs, SESSION, "50000").unwrap();
        assert_eq!(configs.group_times("g"), (Duration::from_secs(5), Duration::from_secs(50)));
        let lowered = Settings { session_timeout_min: Duration::from_secs(1), ..Settings::default() };
        set(&mut Configs::new(&lowered), SESSION, "30000").unwrap();
    }

    #[test]
    fn topic_values_are_checked() {
        let configs = Configs::new(&Settings::default());
        for (name, value) in
            [("cleanup.policy", "compact,delete"), ("retention.ms", "-1"), ("segment.ms", "1")]
        {
            configs.check_topic(name, value).unwrap();
        }
        for (name, value) in [("no.such", "1"), ("segment.bytes", "1024"), ("compression.type", "brotli")] {
            configs.check_topic(name, value).unwrap_err();
        }
    }
}
