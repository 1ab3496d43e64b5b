//! ListOffsets (2), v1 to v10.
//!
//! * -1 the end of the log, -2 its start, -3 (v7) the record with the highest timestamp, -4 (v8) the local start,
//!   -5 (v9) tiered storage, which there is none of; from 0 on the first record at or after that time.
//! * v2: with `isolation_level` 1 the log ends at the last stable offset, and nothing after it is found.
//! * v4: leader epochs, checked and told.
//! * Nothing from the high watermark on is told. A new leader whose high watermark is not known to have reached its
//!   epoch yet answers OFFSET_NOT_AVAILABLE (v5; LEADER_NOT_AVAILABLE before).

use crate::error::ErrorCode;
use crate::mock::core::{Context, Core};
use crate::mock::topics::Partition;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

pub(crate) fn handle(core: &mut Core, context: &Context, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let is_read_committed = request.isolation_level == READ_COMMITTED;
    let topics = request.topics.into_iter().map(|topic| {
        let one = |asked| one(core, context, &topic.name, asked, is_read_committed);
        let partitions = topic.partitions.iter().map(one);
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    let topics = topics.collect();
    ListOffsetsResponse::default().with_topics(topics)
}

fn one(
    core: &mut Core,
    context: &Context,
    topic: &str,
    asked: &ListOffsetsPartition,
    is_read_committed: bool,
) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
    core.advance(context.now, topic, asked.partition_index);
    let found = match core.fault(context, topic, asked.partition_index) {
        Some((code, _)) => Err(code),
        None => core
            .topics
            .partition(topic, asked.partition_index)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            .and_then(|partition| {
                check_leader(partition, context.origin.broker, asked.current_leader_epoch)?;
                let found = find(partition, asked.timestamp, is_read_committed);
                found.ok_or(if context.version >= 5 {
                    ErrorCode::OFFSET_NOT_AVAILABLE
                } else {
                    ErrorCode::LEADER_NOT_AVAILABLE
                })
            }),
    };
    match found {
        Ok((timestamp, offset, epoch)) => {
            let epoch = if context.version >= 4 { epoch } else { -1 };
            answer.with_timestamp(timestamp).with_offset(offset).with_leader_epoch(epoch)
        }
        Err(code) => answer.with_error_code(code.0).with_timestamp(-1).with_offset(-1),
    }
}

/// (timestamp, offset, leader epoch), -1 each where there is none; nothing where it cannot be said yet.
fn find(partition: &Partition, timestamp: i64, is_read_committed: bool) -> Option<(i64, i64, i32)> {
    let log = &partition.log;
    let end = if is_read_committed { log.last_stable_offset() } else { log.high_watermark() };
    let is_known = log.high_watermark() >= log.epoch_start();
    let found = match timestamp {
        LATEST => return is_known.then_some((-1, end, partition.leader_epoch)),
        EARLIEST | EARLIEST_LOCAL => {
            return Some((-1, log.start_offset(), log.epoch_at(log.start_offset())));
        }
        MAX_TIMESTAMP => log.find_max_time(),
        time if time >= 0 => log.find_time(time),
        _ => None,
    };
    match found {
        Some((_, offset, _)) if offset >= end => is_known.then_some((-1, -1, -1)),
        found => Some(found.unwrap_or((-1, -1, -1))),
    }
}

/// Whether `broker` leads the partition, under the leader epoch that the client knows (-1: not said).
pub(crate) fn check_leader(partition: &Partition, broker: i32, epoch: i32) -> Result<(), ErrorCode> {
    if epoch >= 0 && epoch < partition.leader_epoch {
        Err(ErrorCode::FENCED_LEADER_EPOCH)
    } else if epoch > partition.leader_epoch {
        Err(ErrorCode::UNKNOWN_LEADER_EPOCH)
    } else if partition.leader != Some(broker) {
        Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
    } else {
        Ok(())
    }
}

const READ_COMMITTED: i8 = 1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
