//! OffsetFetch (9), v1 to v9.
//!
//! * v2: null asks for all partitions. v5: leader epochs. v8: many groups in one request. v9: member epochs (KIP-848).
//! * A partition without a committed offset answers -1, and so does a group that is not there.

use super::find_coordinator::check_coordinator;
use super::{text, topic_name};
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::group::Committed;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use std::collections::BTreeMap;

pub(crate) fn handle(core: &mut Core, context: &Context, request: OffsetFetchRequest) -> OffsetFetchResponse {
    if context.version >= 8 {
        let groups = request.groups.iter().map(|group| many(core, context, group)).collect();
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let asked = request.topics.map(|topics| {
        topics.into_iter().map(|topic| (topic.name.to_string(), topic.partition_indexes)).collect()
    });
    let (code, found) = match offsets(core, context, &request.group_id, None, -1, asked.as_ref()) {
        Ok(found) => (ErrorCode::NONE, found),
        Err(code) => (code, BTreeMap::new()),
    };
    let topics = found.into_iter().map(|(topic, offsets)| {
        let partitions = offsets.into_iter().map(|(index, partition)| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(partition.committed.offset)
                .with_committed_leader_epoch(if context.version >= 5 {
                    partition.committed.leader_epoch
                } else {
                    -1
                })
                .with_metadata(Some(text(partition.committed.metadata)))
                .with_error_code(partition.code.0)
        });
        OffsetFetchResponseTopic::default()
            .with_name(topic_name(&topic))
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect()).with_error_code(code.0)
}

fn many(core: &mut Core, context: &Context, asked: &OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let answer = OffsetFetchResponseGroup::default().with_group_id(asked.group_id.clone());
    let wanted = asked.topics.as_ref().map(|topics| {
        topics.iter().map(|topic| (topic.name.to_string(), topic.partition_indexes.clone())).collect()
    });
    let member = asked.member_id.as_deref();
    let found = match offsets(core, context, &asked.group_id, member, asked.member_epoch, wanted.as_ref()) {
        Ok(found) => found,
        Err(code) => return answer.with_error_code(code.0),
    };
    let topics = found.into_iter().map(|(topic, offsets)| {
        let partitions = offsets.into_iter().map(|(index, partition)| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(index)
                .with_committed_offset(partition.committed.offset)
                .with_committed_leader_epoch(partition.committed.leader_epoch)
                .with_metadata(Some(text(partition.committed.metadata)))
                .with_error_code(partition.code.0)
        });
        OffsetFetchResponseTopics::default()
            .with_name(topic_name(&topic))
            .with_partitions(partitions.collect())
    });
    answer.with_topics(topics.collect())
}

struct Found {
    committed: Committed,
    code: ErrorCode,
}

/// Partitions by topic.
type Asked = BTreeMap<String, Vec<i32>>;

/// What a group has committed, for the partitions asked or for all.
fn offsets(
    core: &mut Core,
    context: &Context,
    group_id: &str,
    member_id: Option<&str>,
    epoch: i32,
    asked: Option<&Asked>,
) -> Result<BTreeMap<String, Vec<(i32, Found)>>, ErrorCode> {
    if let Some((code, _)) = context.fault {
        return Err(code);
    }
    check_coordinator(core, context, group_id)?;
    let mut committed = BTreeMap::new();
    if let Some(group) = core.group(group_id, context.now) {
        group.check_fetch(member_id, epoch)?;
        committed.clone_from(&group.offsets);
    }
    let mut wanted = Asked::new();
    match asked {
        Some(asked) => wanted.clone_from(asked),
        None => {
            for (topic, index) in committed.keys() {
                wanted.entry(topic.clone()).or_default().push(*index);
            }
        }
    }
    let found = wanted.into_iter().map(|(topic, indexes)| {
        let offsets = indexes.into_iter().map(|index| {
            let none = Committed { offset: -1, leader_epoch: -1, metadata: String::new() };
            let code = core.fault(context, &topic, index).map(|(code, _)| code);
            let own = committed.remove(&(topic.clone(), index)).filter(|_| code.is_none());
            (index, Found { committed: own.unwrap_or(none), code: code.unwrap_or(ErrorCode::NONE) })
        });
        let offsets = offsets.collect();
        (topic, offsets)
    });
    Ok(found.collect())
}
