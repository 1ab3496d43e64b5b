//! What the cluster's topics and groups are like, as tables and as JSON.

use craftwire::crafting::{Drift, GroupOutcome, GroupReport, Provision, TopicOutcome, TopicReport};
use serde_json::{Value, json};
use std::fmt::Write;

/// Whether a topic is missing or not as the contract says. What a cluster refuses to set for the groups does not
/// count: they work all the same.
pub(crate) fn topics_differ(found: &Provision) -> bool {
    found.topics.iter().any(|topic| matches!(topic.outcome, TopicOutcome::Drift(_) | TopicOutcome::Missing))
}

/// A table of topics and one of groups, each difference on a line of its own.
pub(crate) fn tables(found: &Provision) -> String {
    let names =
        found.topics.iter().map(|topic| &topic.name).chain(found.groups.iter().map(|group| &group.id));
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    let mut text = String::new();
    let _ =
        writeln!(text, "{:width$}  {:9}  {:>10}  {:>11}", "topic", "outcome", "partitions", "replication");
    for TopicReport { name, outcome, partitions, replication, .. } in &found.topics {
        let (word, drifts) = topic_outcome(outcome);
        let _ = writeln!(text, "{name:width$}  {word:9}  {partitions:>10}  {replication:>11}");
        write_drifts(&mut text, drifts);
    }
    if !found.groups.is_empty() {
        let _ = writeln!(text, "\n{:width$}  outcome", "group");
    }
    for GroupReport { id, outcome, .. } in &found.groups {
        let (word, drifts, reason) = group_outcome(outcome);
        let _ = writeln!(text, "{id:width$}  {word}{}{reason}", if reason.is_empty() { "" } else { ": " });
        write_drifts(&mut text, drifts);
    }
    text
}

/// The same as one JSON object.
pub(crate) fn json(found: &Provision) -> Value {
    let topics = found.topics.iter().map(|topic| {
        let (outcome, drifts) = topic_outcome(&topic.outcome);
        json!({
            "name": topic.name,
            "outcome": outcome,
            "partitions": topic.partitions,
            "replication": topic.replication,
            "drift": drifts_json(drifts),
        })
    });
    let groups = found.groups.iter().map(|group| {
        let (outcome, drifts, reason) = group_outcome(&group.outcome);
        json!({
            "id": group.id,
            "outcome": outcome,
            "drift": drifts_json(drifts),
            "reason": if reason.is_empty() { Value::Null } else { reason.into() },
        })
    });
    json!({ "topics": topics.collect::<Vec<_>>(), "groups": groups.collect::<Vec<_>>() })
}

fn topic_outcome(outcome: &TopicOutcome) -> (&'static str, &[Drift]) {
    match outcome {
        TopicOutcome::Created => ("created", &[]),
        TopicOutcome::Unchanged => ("unchanged", &[]),
        TopicOutcome::Drift(drifts) => ("drift", drifts),
        TopicOutcome::Missing => ("missing", &[]),
        _ => ("unknown", &[]),
    }
}

fn group_outcome(outcome: &GroupOutcome) -> (&'static str, &[Drift], &str) {
    match outcome {
        GroupOutcome::Set => ("set", &[], ""),
        GroupOutcome::Unchanged => ("unchanged", &[], ""),
        GroupOutcome::Drift(drifts) => ("drift", drifts, ""),
        GroupOutcome::Refused { drift, reason } => ("refused", drift, reason),
        _ => ("unknown", &[], ""),
    }
}

fn write_drifts(text: &mut String, drifts: &[Drift]) {
    for drift in drifts {
        let _ = writeln!(text, "  {drift}");
    }
}

fn drifts_json(drifts: &[Drift]) -> Value {
    drifts.iter().map(|drift| json!({ "key": drift.key, "want": drift.want, "have": drift.have })).collect()
}
