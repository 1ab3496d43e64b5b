//! OffsetForLeaderEpoch (23), v2 to v4: where a leader epoch ends in the log (KIP-320).
//!
//! v3: a replica id, -1 for a consumer. Only the leader answers; an epoch that it does not know yet has no end.

use super::list_offsets::check_leader;
use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

pub(crate) fn handle(
    core: &mut Core,
    context: &Context,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let ends = topic.partitions.iter().map(|asked| one(core, context, &topic.topic, asked)).collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(ends)
    });
    let topics = topics.collect();
    OffsetForLeaderEpochResponse::default().with_topics(topics)
}

fn one(core: &mut Core, context: &Context, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(asked.partition);
    core.advance(context.now, topic, asked.partition);
    let found = match core.fault(context, topic, asked.partition) {
        Some((code, _)) => Err(code),
        None => core
            .topics
            .partition(topic, asked.partition)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            .and_then(|partition| {
                check_leader(partition, context.origin.broker, asked.current_leader_epoch)?;
                Ok(partition.log.end_of_epoch(asked.leader_epoch))
            }),
    };
    match found {
        Ok(Some((epoch, end))) => answer.with_leader_epoch(epoch).with_end_offset(end),
        Ok(None) => answer,
        Err(code) => answer.with_error_code(code.0),
    }
}
