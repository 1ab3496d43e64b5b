//! Produce (0), v3 to v13.
//!
//! * Exactly one batch a partition, magic 2.
//! * v7: zstd. v10: the leader with NOT_LEADER_OR_FOLLOWER (KIP-951). v13: topics by id.
//! * acks=0 has no answer; an error then closes the connection.
//! * acks=-1 waits until all replicas in sync have the batch, `timeout_ms` at most: REQUEST_TIMED_OUT then, with the
//!   batch in the log. Too few replicas in sync refuse it before the append; after it they let the time run out,
//!   since the high watermark stands still then (KAFKA-15583).
//! * A transactional batch is refused as a cluster does that knows no transactional id: 53 without one, 49 with any.
//!   Transactions are written with [`MockCluster::transaction`](crate::mock::MockCluster::transaction).
//!
//! Not there: recompression where the topic's codec is not the producer's.

use super::{frame, text, topic_name};
use crate::error::ErrorCode;
use crate::mock::batch::{BatchHeader, crc_matches};
use crate::mock::core::{Answer, Context, Core};
use crate::mock::hooks::When;
use crate::mock::log::Stored;
use crate::mock::producers::Verdict;
use crate::mock::records::{self, StoredRecord};
use bytes::Bytes;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{BrokerId, ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::Decodable;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A request whose answer waits for replicas.
#[derive(Debug)]
pub(crate) struct Pending {
    topics: Vec<(TopicProduceResponse, Vec<Part>)>,
    deadline: Instant,
}

/// What became of a partition's batch.
#[derive(Debug)]
struct Part {
    index: i32,
    topic: Option<TopicName>,
    appended: Appended,
    refusal: Option<Refusal>,
    awaits: Option<Awaited>,
}

#[derive(Debug, Clone, Copy)]
struct Appended {
    base_offset: i64,
    log_append_time_ms: i64,
    log_start_offset: i64,
}

/// Nothing was appended.
const NOWHERE: Appended = Appended { base_offset: -1, log_append_time_ms: -1, log_start_offset: -1 };

/// What the high watermark is to reach, under which leader epoch of which topic.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    high_watermark: i64,
    leader_epoch: i32,
    topic_id: Uuid,
}

pub(crate) fn serve(core: &mut Core, context: &Context, mut body: Bytes) -> Answer {
    let Ok(request) = ProduceRequest::decode(&mut body, context.version) else { return Answer::Close };
    let acks = request.acks;
    // Kafka stumbles over a magic that it has never heard of before it looks at partitions.
    let is_unheard_of = |records: &Bytes| BatchHeader::read(records).is_some_and(|header| header.magic > 2);
    let mut partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    if partitions.any(|partition| partition.records.as_ref().is_some_and(is_unheard_of)) {
        return frame(context, &corrupt(request));
    }
    let pending = append_all(core, context, request);
    if acks != 0 {
        return resume(core, context, Box::new(pending));
    }
    let mut parts = pending.topics.iter().flat_map(|(_, parts)| parts);
    if parts.any(|part| part.refusal.is_some()) { Answer::Close } else { Answer::Silent }
}

/// Looks whether the replicas have it all, or the time is over.
pub(crate) fn resume(core: &mut Core, context: &Context, mut pending: Box<Pending>) -> Answer {
    let is_due = context.now >= pending.deadline;
    let mut until = pending.deadline;
    for part in pending.topics.iter_mut().flat_map(|(_, parts)| parts) {
        look(core, context, is_due, part);
    }
    let mut parts = pending.topics.iter().flat_map(|(_, parts)| parts);
    if !parts.any(|part| part.awaits.is_some()) {
        return answer(core, context, *pending);
    }
    for part in pending.topics.iter().flat_map(|(_, parts)| parts) {
        if let Part { index, topic: Some(topic), awaits: Some(awaited), .. } = part {
            core.watch(context.origin.connection, awaited.topic_id, *index);
            until = core.next_look(topic, *index, until);
        }
    }
    Answer::Park(super::Pending::Produce(pending), until)
}

/// Settles a partition whose replicas are all there, or never will be.
fn look(core: &mut Core, context: &Context, is_due: bool, part: &mut Part) {
    let (Some(topic), Some(awaited)) = (&part.topic, part.awaits) else { return };
    core.advance(context.now, topic, part.index);
    let is_same = core.topics.get(topic).is_some_and(|topic| topic.id == awaited.topic_id);
    let rules = core.rules(topic).filter(|_| is_same);
    let code = match core.topics.partition(topic, part.index).zip(rules) {
        None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Some((found, _))
            if found.leader != Some(context.origin.broker) || found.leader_epoch != awaited.leader_epoch =>
        {
            ErrorCode::NOT_LEADER_OR_FOLLOWER
        }
        Some((found, rules)) if found.log.high_watermark() >= awaited.high_watermark => {
            let is_enough = found.isr.len() >= found.isr_min(rules);
            if is_enough { ErrorCode::NONE } else { ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND }
        }
        Some(_) if is_due => ErrorCode::REQUEST_TIMED_OUT,
        Some(_) => return,
    };
    part.awaits = None;
    part.refusal = (!code.is_ok()).then(|| code.into());
}

fn append_all(core: &mut Core, context: &Context, request: ProduceRequest) -> Pending {
    let transactional_refusal = match request.transactional_id {
        None => ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        Some(_) => ErrorCode::INVALID_PRODUCER_ID_MAPPING,
    };
    let mut topics = Vec::new();
    for topic in request.topic_data {
        let name = if context.version >= 13 {
            core.topics.name_of(topic.topic_id).map(topic_name)
        } else {
            Some(topic.name.clone())
        };
        let mut parts = Vec::new();
        for partition in topic.partition_data {
            let records = partition.records.unwrap_or_default();
            let is_transactional = BatchHeader::read(&records).is_some_and(|batch| batch.is_transactional());
            let result = match &name {
                _ if is_transactional => Err(transactional_refusal.into()),
                Some(name) => one(core, context, request.acks, name, partition.index, &records),
                None => Err(Refusal::from(ErrorCode::UNKNOWN_TOPIC_ID)),
            };
            let (appended, refusal, awaits) = match result {
                Ok((appended, awaited)) => (appended, None, Some(awaited).filter(|_| request.acks == -1)),
                Err(refusal) => (NOWHERE, Some(refusal), None),
            };
            parts.push(Part { index: partition.index, topic: name.clone(), appended, refusal, awaits });
        }
        // From v13 on only the id is told, before only the name.
        let answer = TopicProduceResponse::default()
            .with_name(if context.version >= 13 { TopicName::default() } else { topic.name })
            .with_topic_id(topic.topic_id);
        topics.push((answer, parts));
    }
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    Pending { topics, deadline: context.now + timeout }
}

/// An answer that calls every batch of the request corrupt.
fn corrupt(request: ProduceRequest) -> ProduceResponse {
    let topics = request.topic_data.into_iter().map(|topic| {
        let refusal = || Refusal {
            message: Some("a batch's magic is not known".to_owned()),
            ..ErrorCode::CORRUPT_MESSAGE.into()
        };
        let part =
            |index| Part { index, topic: None, appended: NOWHERE, refusal: Some(refusal()), awaits: None };
        let partitions = topic.partition_data.iter().map(|partition| told(part(partition.index), None));
        let partitions = partitions.collect();
        TopicProduceResponse::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
            .with_partition_responses(partitions)
    });
    ProduceResponse::default().with_responses(topics.collect())
}

fn answer(core: &Core, context: &Context, pending: Pending) -> Answer {
    let mut leaders = BTreeSet::new();
    let topics = pending.topics.into_iter().map(|(answer, parts)| {
        let parts = parts.into_iter().map(|part| {
            let code = part.refusal.as_ref().map_or(ErrorCode::NONE, |refusal| refusal.code);
            let topic = part.topic.as_ref();
            let leader = topic.and_then(|topic| leader_hint(core, context, code, topic, part.index));
            leaders.extend(leader.as_ref().map(|leader| leader.leader_id.0));
            told(part, leader)
        });
        answer.with_partition_responses(parts.collect())
    });
    let topics = topics.collect();
    let response = ProduceResponse::default().with_responses(topics);
    frame(context, &response.with_node_endpoints(endpoints(core, &leaders)))
}

#[derive(Debug)]
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    /// The records at fault, by their index in the batch.
    records: Vec<i32>,
    /// Told where the log itself refused.
    log_start_offset: Option<i64>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new(), log_start_offset: None }
    }
}

impl Refusal {
    /// Some of the records are at fault.
    fn of_records(code: ErrorCode, message: &str, records: Vec<i32>) -> Self {
        Self { message: Some(message.to_owned()), records, ..code.into() }
    }

    /// Refused by a log that starts there. For some codes Kafka does not say where.
    fn by_log(self, start_offset: i64) -> Self {
        let is_silent = [ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::CORRUPT_MESSAGE].contains(&self.code);
        Self { log_start_offset: (!is_silent).then_some(start_offset), ..self }
    }
}

fn one(
    core: &mut Core,
    context: &Context,
    acks: i16,
    topic: &str,
    index: i32,
    records: &Bytes,
) -> Result<(Appended, Awaited), Refusal> {
    match core.fault(context, topic, index) {
        Some((code, When::Before)) => Err(code.into()),
        Some((code, When::After)) => append(core, context, acks, topic, index, records).and(Err(code.into())),
        None => append(core, context, acks, topic, index, records),
    }
}

fn append(
    core: &mut Core,
    context: &Context,
    acks: i16,
    name: &str,
    index: i32,
    records: &Bytes,
) -> Result<(Appended, Awaited), Refusal> {
    if !(-1..=1).contains(&acks) {
        return Err(ErrorCode::INVALID_REQUIRED_ACKS.into());
    }
    let topic = core.topics.get(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let limits = Limits {
        batch_bytes_max: core.configs.topic_number(topic, "max.message.bytes"),
        ahead_ms_max: core.configs.topic_number(topic, "message.timestamp.after.max.ms"),
        behind_ms_max: core.configs.topic_number(topic, "message.timestamp.before.max.ms"),
        is_append_time: core.configs.topic_value(topic, "message.timestamp.type") == "LogAppendTime",
        is_compacted: core.configs.topic_value(topic, "cleanup.policy").contains("compact"),
    };
    let unix_ms = core.unix_ms(context.now);
    let expiration = core.settings.producer_id_expiration;
    let topic_id = topic.id;
    let rules = core.rules(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    core.advance(context.now, name, index);
    let partition = core.topics.partition_mut(name, index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if partition.leader != Some(context.origin.broker) {
        return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER.into());
    }
    let log_start_offset = partition.log.start_offset();
    if acks == -1 && partition.isr.len() < partition.isr_min(rules) {
        return Err(Refusal::from(ErrorCode::NOT_ENOUGH_REPLICAS).by_log(log_start_offset));
    }
    let header = only_batch(records, context.version)?;
    checked(records, &header, &limits, unix_ms).map_err(|refusal| refusal.by_log(log_start_offset))?;
    let verdict = partition.producers.judge(&header, context.now, expiration, partition.log.transactions());
    let append_time = limits.is_append_time.then_some(unix_ms);
    let leader_epoch = partition.leader_epoch;
    let awaited = |base_offset: i64| {
        let high_watermark =
            base_offset.saturating_add(i64::from(header.last_offset_delta)).saturating_add(1);
        Awaited { high_watermark, leader_epoch, topic_id }
    };
    let base_offset = match verdict {
        Verdict::Refuse(code) => return Err(Refusal::from(code).by_log(log_start_offset)),
        Verdict::Duplicate(base_offset) => {
            // The time told is that of the batch in the log, whoever stamped it.
            let stored = partition.log.batches().find(|stored| stored.header.base_offset == base_offset);
            let log_append_time_ms = stored.map_or(-1, |stored| stored.header.max_timestamp_ms);
            return Ok((
                Appended { base_offset, log_append_time_ms, log_start_offset },
                awaited(base_offset),
            ));
        }
        Verdict::Append => {
            let end = partition.log.end_offset();
            let base_offset = partition.log.append(records, end, leader_epoch, append_time);
            partition.producers.appended(&header, base_offset, context.now);
            base_offset
        }
    };
    partition.advance(context.now, rules);
    core.wake(topic_id, index);
    let log_append_time_ms = append_time.unwrap_or(-1);
    Ok((Appended { base_offset, log_append_time_ms, log_start_offset }, awaited(base_offset)))
}

struct Limits {
    batch_bytes_max: i64,
    ahead_ms_max: i64,
    behind_ms_max: i64,
    is_append_time: bool,
    is_compacted: bool,
}

/// The header of the one batch that a partition may get.
fn only_batch(records: &Bytes, version: i16) -> Result<BatchHeader, Refusal> {
    let header = BatchHeader::read(records).filter(|header| header.magic == 2 && header.len == records.len());
    let header = header.ok_or(ErrorCode::INVALID_RECORD)?;
    if header.codec() == ZSTD && version < 7 {
        return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE.into());
    }
    Ok(header)
}

/// Why the batch is refused, in Kafka's order.
fn checked(records: &Bytes, header: &BatchHeader, limits: &Limits, unix_ms: i64) -> Result<(), Refusal> {
    if i64::try_from(header.len).unwrap_or(i64::MAX) > limits.batch_bytes_max {
        return Err(ErrorCode::MESSAGE_TOO_LARGE.into());
    }
    if !crc_matches(records, header) {
        return Err(ErrorCode::CORRUPT_MESSAGE.into());
    }
    if header.record_count != header.last_offset_delta.saturating_add(1)
        || header.record_count <= 0
        || header.is_control()
    {
        return Err(ErrorCode::INVALID_RECORD.into());
    }
    let is_timely = |time_ms: i64| {
        let (ahead, behind) = (time_ms.saturating_sub(unix_ms), unix_ms.saturating_sub(time_ms));
        limits.is_append_time || (ahead <= limits.ahead_ms_max && behind <= limits.behind_ms_max)
    };
    let looks_timely = is_timely(header.base_timestamp_ms) && is_timely(header.max_timestamp_ms);
    if header.codec() == 0 && looks_timely && !limits.is_compacted {
        return Ok(());
    }
    let stored = Stored { header: *header, bytes: records.clone() };
    // Kafka lets what the codec's library throws through as it is.
    let decoded = records::decode(&stored).ok_or(ErrorCode::UNKNOWN_SERVER_ERROR)?;
    let at_fault = |is_good: &dyn Fn(&StoredRecord) -> bool| -> Vec<i32> {
        (0i32..).zip(&decoded).filter(|(_, record)| !is_good(record)).map(|(at, _)| at).collect()
    };
    let untimely = at_fault(&|record| is_timely(record.timestamp_ms));
    if !untimely.is_empty() {
        let why = "One or more records have been rejected due to invalid timestamp";
        return Err(Refusal::of_records(ErrorCode::INVALID_TIMESTAMP, why, untimely));
    }
    let without_key = at_fault(&|record| !limits.is_compacted || record.key.is_some());
    if !without_key.is_empty() {
        let why = "One or more records have been rejected: a compacted topic needs keys";
        return Err(Refusal::of_records(ErrorCode::INVALID_RECORD, why, without_key));
    }
    Ok(())
}

fn told(part: Part, leader: Option<LeaderIdAndEpoch>) -> PartitionProduceResponse {
    let answer = PartitionProduceResponse::default()
        .with_index(part.index)
        .with_base_offset(part.appended.base_offset)
        .with_log_append_time_ms(part.appended.log_append_time_ms)
        .with_log_start_offset(part.appended.log_start_offset);
    let Some(refusal) = part.refusal else { return answer };
    let records = refusal.records.into_iter().map(|at| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(at)
            .with_batch_index_error_message(Some(text("this record is at fault")))
    });
    let log_start_offset = refusal.log_start_offset.unwrap_or(answer.log_start_offset);
    answer
        .with_error_code(refusal.code.0)
        .with_log_start_offset(log_start_offset)
        .with_error_message(refusal.message.map(text))
        .with_record_errors(records.collect())
        .with_current_leader(leader.unwrap_or_default())
}

/// KIP-951: who leads now, with NOT_LEADER_OR_FOLLOWER from v10 on.
fn leader_hint(
    core: &Core,
    context: &Context,
    code: ErrorCode,
    topic: &str,
    index: i32,
) -> Option<LeaderIdAndEpoch> {
    if context.version < 10 || code != ErrorCode::NOT_LEADER_OR_FOLLOWER {
        return None;
    }
    let partition = core.topics.partition(topic, index)?;
    let hint = LeaderIdAndEpoch::default().with_leader_id(BrokerId(partition.leader.unwrap_or(-1)));
    Some(hint.with_leader_epoch(partition.leader_epoch))
}

fn endpoints(core: &Core, ids: &BTreeSet<i32>) -> Vec<NodeEndpoint> {
    let told = |id: &i32| {
        let broker = core.brokers.get(id)?;
        let endpoint = NodeEndpoint::default().with_node_id(BrokerId(*id)).with_port(i32::from(broker.port));
        Some(endpoint.with_host(text(broker.host.as_str())).with_rack(broker.rack.as_deref().map(text)))
    };
    ids.iter().filter_map(told).collect()
}

const ZSTD: i16 = 4;
