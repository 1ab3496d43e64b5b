//! OffsetCommit (8), v2 to v9.
//!
//! * v6: leader epochs. v9: member epochs (KIP-848); a member of such a group must not use a version below.
//! * v7: static members. A member of the classic protocol states its generation in place of an epoch.
//! * A group without members takes commits from anybody who states a negative epoch.

use super::find_coordinator::check_coordinator;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::group::{Committed, Group};
use crate::mock::hooks::When;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let allowed = check(core, context, &request);
    let group = request.group_id.as_str();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let result = match core.fault(context, &topic.name, partition.partition_index) {
                Some((code, When::Before)) => Err(code),
                Some((code, When::After)) => {
                    allowed.and_then(|()| commit(core, group, &topic.name, partition)).and(Err(code))
                }
                None => allowed.and_then(|()| commit(core, group, &topic.name, partition)),
            };
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(result.err().unwrap_or(ErrorCode::NONE).0)
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    let topics = topics.collect();
    OffsetCommitResponse::default().with_topics(topics)
}

/// What holds for the request as a whole.
fn check(core: &mut Core, context: &Context, request: &OffsetCommitRequest) -> Result<(), ErrorCode> {
    let group_id = request.group_id.as_str();
    check_coordinator(core, context, group_id)?;
    let epoch = request.generation_id_or_member_epoch;
    let instance = request.group_instance_id.as_deref();
    match core.group(group_id, context.now) {
        Some(group) => group.check_commit(&request.member_id, instance, epoch, context.version),
        None if epoch < 0 => Ok(()),
        None if context.version >= 9 => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        None => Err(ErrorCode::ILLEGAL_GENERATION),
    }
}

fn commit(
    core: &mut Core,
    group: &str,
    topic: &str,
    partition: &OffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
    let index = partition.partition_index;
    if core.topics.partition(topic, index).is_none() {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    let metadata = partition.committed_metadata.as_ref().map(ToString::to_string).unwrap_or_default();
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
    // The first offset makes the group.
    let rules = core.settings.classic;
    let group = core.groups.entry(group.to_owned()).or_insert_with(|| Group::new(rules));
    let committed = Committed {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata,
    };
    group.offsets.insert((topic.to_owned(), index), committed);
    Ok(())
}

/// The broker's `offset.metadata.max.bytes`.
const METADATA_BYTES_MAX: usize = 4096;
