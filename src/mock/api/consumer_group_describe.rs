//! ConsumerGroupDescribe (69), v0 and v1: groups of KIP-848 and their members. A classic group is none to it.
//!
//! * v1: which protocol a member speaks.

use super::describe_groups::{CLIENT_HOST, not_found};
use super::find_coordinator::check_coordinator;
use super::{text, topic_name};
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::group::assign::Tp;
use crate::mock::group::consumer::ConsumerGroup;
use crate::mock::topics::Topics;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let groups = request.group_ids.into_iter().map(|id| {
        let described = match describe(core, context, &id) {
            Ok(described) => described,
            Err(code) => {
                let message = (code == ErrorCode::GROUP_ID_NOT_FOUND).then(|| not_found(&id));
                DescribedGroup::default().with_error_code(code.0).with_error_message(message)
            }
        };
        described.with_group_id(id)
    });
    let groups = groups.collect();
    ConsumerGroupDescribeResponse::default().with_groups(groups)
}

fn describe(core: &mut Core, context: &Context, id: &str) -> Result<DescribedGroup, ErrorCode> {
    if let Some((code, _)) = context.fault {
        return Err(code);
    }
    if id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    check_coordinator(core, context, id)?;
    let group = core.group(id, context.now).and_then(|group| group.consumer_mut());
    if group.is_none() {
        return Err(ErrorCode::GROUP_ID_NOT_FOUND);
    }
    let group = core.groups.get_mut(id).and_then(|group| group.consumer_mut());
    Ok(described(group.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?, &core.topics, context.version))
}

fn described(group: &ConsumerGroup, topics: &Topics, version: i16) -> DescribedGroup {
    let (epoch, assignment_epoch) = group.epochs();
    let nothing = BTreeSet::new();
    let members = group.members().map(|(id, member)| {
        Member::default()
            .with_member_id(text(id))
            .with_instance_id(member.instance_id.clone().map(text))
            .with_rack_id(None)
            .with_member_epoch(member.epoch)
            .with_client_id(text(member.client_id.as_str()))
            .with_client_host(text(CLIENT_HOST))
            .with_subscribed_topic_names(member.topics.iter().map(|name| topic_name(name)).collect())
            .with_subscribed_topic_regex(Some(text("")))
            .with_assignment(told(&member.assigned, topics))
            .with_target_assignment(told(group.target_of(id).unwrap_or(&nothing), topics))
            .with_member_type(if version >= 1 { i8::from(member.classic.is_none()) } else { -1 })
    });
    DescribedGroup::default()
        .with_error_message(None)
        .with_group_state(text(group.state()))
        .with_group_epoch(epoch)
        .with_assignment_epoch(assignment_epoch)
        .with_assignor_name(text("uniform"))
        .with_members(members.collect())
}

fn told(partitions: &BTreeSet<Tp>, topics: &Topics) -> Assignment {
    let mut by_topic: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        by_topic.entry(*topic).or_default().push(*index);
    }
    let topics = by_topic.into_iter().filter_map(|(id, indexes)| {
        let name = topics.name_of(id)?;
        let of_topic = TopicPartitions::default().with_topic_id(id).with_partitions(indexes);
        Some(of_topic.with_topic_name(topic_name(name)))
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
