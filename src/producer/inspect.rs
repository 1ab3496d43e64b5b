//! Task: a topic is looked at before its first record: who leads it, what it takes, whether it keeps the promise.
//!
//! One topic at a time, so that many first records ask once. What a topic is found to be holds as long as the producer:
//! a limit that is lowered later is met by cutting batches.

use super::{
    durability::{Inspected, TopicFinding, TopicRule, TopicSettings},
    error::SendError,
    shared::Shared,
    topic::TopicHandle,
};
use crate::{
    cluster::{Target, Topic},
    error::RequestError,
    net::clock,
    wire::api::{
        describe_cluster::DescribeClusterRequest,
        describe_configs::{DescribeConfigsRequest, ResourceType},
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep_until;

impl Shared {
    /// The topic, looked at and taken in.
    ///
    /// # Errors
    ///
    /// [`SendError::Topic`] when its partitions cannot be learnt in time, [`SendError::NotDurable`],
    /// [`SendError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(super) async fn learn(&self, name: &str) -> Result<TopicHandle, SendError> {
        let topic = match self.cluster.topic(name, self.config.topic_timeout).await {
            Ok(topic) => topic,
            Err(RequestError::Closed) => return Err(SendError::Closed),
            Err(source) => self
                .topic_without_leaders(name)
                .ok_or_else(|| SendError::Topic { topic: name.into(), source })?,
        };
        let _turn = self.learning.lock().await;
        if let Some(known) = self.known_topic(name)? {
            return Ok(known);
        }
        let (settings, findings) = self.inspect(&topic).await;
        for finding in &findings {
            if finding.rule.is_only_told() {
                tracing::info!("{finding}");
            } else {
                tracing::warn!("{finding}");
            }
        }
        let broken = findings.iter().find(|finding| finding.rule.is_about_durability());
        if let Some(finding) = broken.filter(|_| self.config.require_durability) {
            let error = SendError::NotDurable(finding.clone());
            self.note_refusal(&topic.name, &error);
            return Err(error);
        }
        self.take_in(&topic, settings.limits(self.config.limits()), findings)
    }

    /// A topic with partitions some of which have no leader: records wait for it in the producer.
    fn topic_without_leaders(&self, name: &str) -> Option<Arc<Topic>> {
        let topology = self.cluster.topology();
        topology.topic(name).filter(|topic| topic.error.is_ok() && !topic.partitions.is_empty()).cloned()
    }

    async fn inspect(&self, topic: &Topic) -> (TopicSettings, Vec<TopicFinding>) {
        let promises = self.config.promises_durability || self.config.require_durability;
        let until = clock::now() + PATIENCE.min(self.config.topic_timeout);
        let settings = match self.settings_of(&topic.name, until).await {
            Ok(settings) => settings,
            Err(error) => {
                let finding = TopicFinding {
                    topic: topic.name.clone(),
                    rule: TopicRule::Readable,
                    value: format!("not: {}", said(&error)),
                };
                return (TopicSettings::default(), vec![finding]);
            }
        };
        let mut inspected = Inspected {
            topic: &topic.name,
            replicas: topic.partitions.iter().map(|partition| partition.replicas.len()).min().unwrap_or(0),
            settings: &settings,
            registered_brokers: None,
        };
        if promises && inspected.lacks_replicas() {
            inspected.registered_brokers = self.registered_brokers(until).await;
        }
        let findings = inspected.findings(self.config.compression, promises);
        (settings, findings)
    }

    async fn settings_of(&self, topic: &str, until: Instant) -> Result<TopicSettings, RequestError> {
        let names = TopicSettings::NAMES.map(str::to_owned).to_vec();
        let request =
            DescribeConfigsRequest { resources: vec![(ResourceType::Topic, topic.to_owned(), Some(names))] };
        loop {
            let answer = self.cluster.call(Target::Any, request.clone(), left(until)).await?;
            let Some(found) = answer.resources.into_iter().next() else {
                return Ok(TopicSettings::default());
            };
            if found.error.is_ok() {
                return Ok(TopicSettings::read(found.configs));
            }
            // A topic that is new is not known to all brokers at once.
            let next = clock::now() + RETRY_AFTER;
            if !found.error.is_retriable() || next >= until {
                let (code, message) = (found.error, found.error_message);
                return Err(RequestError::Broker { api: "DescribeConfigs", code, message });
            }
            sleep_until(next.into()).await;
        }
    }

    /// How many brokers are registered, those that are down among them; `None` if the broker does not tell.
    async fn registered_brokers(&self, until: Instant) -> Option<usize> {
        let answer = self.cluster.call(Target::Any, DescribeClusterRequest, left(until)).await.ok()?;
        answer.error.is_ok().then_some(answer.brokers.len())
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(clock::now()).max(Duration::from_millis(1))
}

/// An error and what is behind it.
fn said(error: &RequestError) -> String {
    match error {
        RequestError::Broker { code, .. } => code.to_string(),
        error => error.to_string(),
    }
}

/// What a first record waits for the topic's settings at most.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRY_AFTER: Duration = Duration::from_millis(100);
