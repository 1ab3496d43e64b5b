//! ConsumerGroupHeartbeat (68), v0 and v1: the one request of KIP-848 membership.
//!
//! * v0: a member that joins without an id is given one. v1: the id is the member's own.
//! * The assignors `uniform` and `range` are taken; both spread evenly and keep what they can.
//!
//! * Without the feature `group.version` every request meets UNSUPPORTED_VERSION.
//!
//! Not there: subscriptions by regular expression (INVALID_REQUEST).

use super::find_coordinator::check_coordinator;
use super::text;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::group::Group;
use crate::mock::group::assign::Tp;
use crate::mock::group::consumer::{AWAY, Beat, Pulse};
use crate::mock::hooks::When;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let result = match context.fault {
        Some((code, When::Before)) => Err((code, "")),
        Some((code, When::After)) => beat(core, context, &request).and(Err((code, ""))),
        None => beat(core, context, &request),
    };
    let (interval, _) = core.configs.group_times(&request.group_id);
    match result {
        Ok(pulse) => ConsumerGroupHeartbeatResponse::default()
            .with_error_message(None)
            .with_member_id(Some(text(pulse.member_id)))
            .with_member_epoch(pulse.epoch)
            .with_heartbeat_interval_ms(match i32::try_from(interval.as_millis()) {
                // Who leaves is not told when to come back.
                _ if pulse.epoch < 0 => 0,
                interval_ms => interval_ms.unwrap_or(i32::MAX),
            })
            .with_assignment(pulse.assigned.as_ref().map(told)),
        Err((code, why)) => ConsumerGroupHeartbeatResponse::default()
            .with_error_code(code.0)
            .with_error_message(match code {
                // Nobody looked at a group.
                ErrorCode::NOT_COORDINATOR => None,
                _ if why.is_empty() => Some(text(code.to_string())),
                _ => Some(text(why)),
            })
            .with_member_id(None)
            .with_assignment(None),
    }
}

fn beat(
    core: &mut Core,
    context: &Context,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<Pulse, (ErrorCode, &'static str)> {
    let plain = |code| (code, "");
    if !core.settings.has_consumer_groups() {
        return Err(plain(ErrorCode::UNSUPPORTED_VERSION));
    }
    check(request, context.version)?;
    let group_id = request.group_id.as_str();
    check_coordinator(core, context, group_id).map_err(plain)?;
    let member_id = if request.member_id.is_empty() {
        core.random.uuid().to_string()
    } else {
        request.member_id.to_string()
    };
    let owned = |all: &Vec<kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions>| {
        all.iter().flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic_id, *index))).collect()
    };
    let beat = Beat {
        member_id,
        epoch: request.member_epoch,
        instance_id: request.instance_id.as_ref().map(ToString::to_string),
        client_id: context.client_id.clone(),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: request
            .subscribed_topic_names
            .as_ref()
            .map(|names| names.iter().map(|name| name.to_string()).collect()),
        owned: request.topic_partitions.as_ref().map(owned),
    };
    let (_, session_timeout) = core.configs.group_times(group_id);
    let rules = core.settings.classic;
    if beat.epoch == 0 {
        core.groups.entry(group_id.to_owned()).or_insert_with(|| Group::new(rules));
    }
    core.group(group_id, context.now).ok_or(plain(ErrorCode::GROUP_ID_NOT_FOUND))?;
    if let (0, Some(group)) = (beat.epoch, core.groups.get_mut(group_id)) {
        group.hand_over(&core.topics, context.now);
        core.deliver(group_id);
    }
    let group = core.groups.get_mut(group_id).and_then(|group| match beat.epoch {
        0 => group.as_consumer(&core.topics, context.now),
        _ => group.consumer_mut(),
    });
    let group = group.ok_or(plain(ErrorCode::GROUP_ID_NOT_FOUND))?;
    let result = group.heartbeat(&beat, &core.topics, session_timeout, context.now).map_err(plain);
    // Whoever left may have been the last of its kind.
    let _ = core.group(group_id, context.now);
    result
}

/// Kafka's checks of the request by itself.
fn check(request: &ConsumerGroupHeartbeatRequest, version: i16) -> Result<(), (ErrorCode, &'static str)> {
    let invalid = |why| Err((ErrorCode::INVALID_REQUEST, why));
    let epoch = request.member_epoch;
    if request.group_id.is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if request.member_id.is_empty() && (version >= 1 || epoch != 0) {
        return invalid("MemberId can't be empty.");
    }
    if request.instance_id.as_ref().is_some_and(|id| id.is_empty()) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_ref().is_some_and(|id| id.is_empty()) {
        return invalid("RackId can't be empty.");
    }
    if request.subscribed_topic_regex.as_ref().is_some_and(|regex| !regex.is_empty()) {
        return invalid("The mock takes no regular expressions.");
    }
    if epoch == 0 {
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.subscribed_topic_names.is_none() {
            return invalid("SubscribedTopicNames must be set in first request.");
        }
    }
    if epoch == AWAY && request.instance_id.is_none() {
        return invalid("InstanceId can't be null.");
    }
    if epoch < AWAY {
        return invalid("MemberEpoch is invalid.");
    }
    match request.server_assignor.as_deref() {
        None | Some("uniform" | "range") => Ok(()),
        Some(_) => Err((ErrorCode::UNSUPPORTED_ASSIGNOR, "The assignors are uniform and range.")),
    }
}

fn told(assigned: &BTreeSet<Tp>) -> Assignment {
    let mut by_topic: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, index) in assigned {
        by_topic.entry(*topic).or_default().push(*index);
    }
    let topics = by_topic
        .into_iter()
        .map(|(topic, indexes)| TopicPartitions::default().with_topic_id(topic).with_partitions(indexes));
    Assignment::default().with_topic_partitions(topics.collect())
}
