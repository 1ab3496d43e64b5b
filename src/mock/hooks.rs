//! Rules that bend the mock's answers: which request, the how manieth, and what becomes of it.
//!
//! Invariant: rules are tried in the order in which they were added, and the first that applies is the only one.

use super::api::Api;
use super::bend::{Bend, Effect};
use crate::error::ErrorCode;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// A request that reached the mock, as a hook's condition sees it.
#[derive(Debug, Clone)]
pub struct Call {
    pub(crate) api: Api,
    pub(crate) version: i16,
    pub(crate) broker: i32,
    pub(crate) connection: u64,
    pub(crate) client_id: Option<String>,
    pub(crate) body: Bytes,
}

impl Call {
    /// Which API was asked.
    pub const fn api(&self) -> Api {
        self.api
    }

    /// The version of the request.
    pub const fn version(&self) -> i16 {
        self.version
    }

    /// The broker that it came to.
    pub const fn broker(&self) -> i32 {
        self.broker
    }

    /// The connection that it came on, counted from 1 over the whole cluster.
    pub const fn connection(&self) -> u64 {
        self.connection
    }

    /// What the client calls itself.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The request's body, header taken off.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

pub(crate) type Condition = Box<dyn Fn(&Call) -> bool + Send>;

/// Before the request took effect, or after it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Answered with this code wherever the answer has room for one.
    Fail(ErrorCode, When),
    /// Answered with these bytes as the body.
    Answer(Bytes),
    Delay(Duration, When),
    /// Answered with this throttle time told.
    Throttle(i32),
    /// The connection falls silent.
    Silence(When),
    Disconnect(When),
    /// The connection is reset.
    Reset(When),
    /// The answer is not what it should be.
    Bend(Bend),
    /// The cluster is changed first, or between the effect and the answer.
    Run(Effect, When),
}

/// A rule about whole requests, or about one partition in them.
pub(crate) struct Rule {
    pub(crate) id: u64,
    pub(crate) api: Api,
    pub(crate) broker: Option<i32>,
    pub(crate) partition: Option<(String, i32)>,
    /// Only requests that are about this partition.
    pub(crate) about: Option<(String, i32)>,
    pub(crate) condition: Option<Condition>,
    pub(crate) skip: u64,
    /// How often it still applies; `None`: always.
    pub(crate) left: Option<u64>,
    pub(crate) hits: u64,
    pub(crate) action: Action,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("api", &self.api).field("action", &self.action).finish_non_exhaustive()
    }
}

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    rules: Vec<Rule>,
    last_id: u64,
}

impl Hooks {
    pub(crate) fn add(&mut self, mut rule: Rule) -> u64 {
        self.last_id += 1;
        rule.id = self.last_id;
        self.rules.push(rule);
        self.last_id
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.rules.retain(|rule| rule.id != id);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn hits(&self, id: u64) -> u64 {
        self.rules.iter().find(|rule| rule.id == id).map_or(0, |rule| rule.hits)
    }

    /// What becomes of a whole request, if a rule says so; `is_about` tells which partitions it is about.
    pub(crate) fn judge(&mut self, call: &Call, is_about: impl Fn(&str, i32) -> bool) -> Option<Action> {
        let applies = |rule: &Rule| {
            rule.partition.is_none()
                && rule.api == call.api
                && rule.broker.is_none_or(|broker| broker == call.broker)
                && rule.about.as_ref().is_none_or(|(topic, index)| is_about(topic, *index))
                && rule.condition.as_ref().is_none_or(|condition| condition(call))
        };
        self.first(applies)
    }

    /// The code that one partition of a request is answered with, if a rule says so.
    pub(crate) fn judge_partition(
        &mut self,
        call: &Call,
        topic: &str,
        index: i32,
    ) -> Option<(ErrorCode, When)> {
        let applies = |rule: &Rule| {
            rule.api == call.api
                && rule.broker.is_none_or(|broker| broker == call.broker)
                && rule.partition.as_ref().is_some_and(|(name, at)| name == topic && *at == index)
                && rule.condition.as_ref().is_none_or(|condition| condition(call))
        };
        match self.first(applies) {
            Some(Action::Fail(code, when)) => Some((code, when)),
            _ => None,
        }
    }

    fn first(&mut self, applies: impl Fn(&Rule) -> bool) -> Option<Action> {
        for rule in &mut self.rules {
            if rule.left == Some(0) || !applies(rule) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.left = rule.left.map(|left| left - 1);
            rule.hits += 1;
            return Some(rule.action.clone());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    fn rule(skip: u64, left: Option<u64>, code: i16) -> Rule {
        Rule {
            id: 0,
            api: Api::Metadata,
            broker: Some(1),
            partition: None,
            about: None,
            condition: None,
            skip,
            left,
            hits: 0,
            action: Action::Fail(ErrorCode(code), When::Before),
        }
    }

    fn call(broker: i32) -> Call {
        Call { api: Api::Metadata, version: 12, broker, connection: 1, client_id: None, body: Bytes::new() }
    }

    #[test]
    fn rules_are_taken_in_order_each_as_often_as_it_says() {
        let mut hooks = Hooks::default();
        let first = hooks.add(rule(1, Some(2), 5));
        hooks.add(rule(0, None, 6));
        let codes: Vec<_> = (0..5)
            .map(|_| match hooks.judge(&call(1), |_, _| false) {
                Some(Action::Fail(code, _)) => code.0,
                _ => 0,
            })
            .collect();
        assert_eq!(codes, [6, 5, 5, 6, 6]);
        assert_eq!(hooks.hits(first), 2);
        assert_eq!(hooks.judge(&call(2), |_, _| false), None);
    }

    #[test]
    fn a_condition_is_asked_only_of_what_its_rule_is_about() {
        let asked = Arc::new(AtomicU32::new(0));
        let mut hooks = Hooks::default();
        for partition in [None, Some(("t".to_owned(), 0))] {
            let asked = asked.clone();
            let condition: Condition = Box::new(move |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                true
            });
            hooks.add(Rule { partition, condition: Some(condition), ..rule(0, None, 5) });
        }
        let times = || asked.swap(0, Ordering::Relaxed);
        assert!(hooks.judge_partition(&call(1), "t", 1).is_none());
        assert_eq!(times(), 0, "of another partition, and of whole requests");
        assert!(hooks.judge_partition(&call(1), "t", 0).is_some());
        assert_eq!(times(), 1);
        assert!(hooks.judge(&call(1), |_, _| false).is_some());
        assert_eq!(times(), 1);
    }
}
