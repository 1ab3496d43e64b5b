//! Fetch (1), v4 to v17.
//!
//! * v7: sessions (KIP-227). v9: leader epochs. v12: flexible, diverging epochs (KIP-320). v13: topics by id.
//! * v16: the leader with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH (KIP-951).
//! * It waits until `min_bytes` are there, a partition fails, or `max_wait_ms` are over.
//! * The first partition with records gives one whole batch however large (KIP-74); the last batch may be cut.
//!
//! * `isolation_level` 1 ends at the last stable offset, and lists the aborted transactions that overlap what is read.
//!   Kafka's list reaches up to the next entry of the offset index, here up to the next batch.
//! * Where brokers have racks, a leader sends readers of another rack to a replica in sync that is in theirs (KIP-392), and
//!   such a replica serves them. Without racks only leaders do; in Kafka every replica serves whoever comes.

use super::list_offsets::check_leader;
use super::{frame, text, topic_name};
use crate::error::ErrorCode;
use crate::mock::core::{Answer, Context, Core};
use crate::mock::fetch_session::{Asked, Mode, Seen, TopicKey, Wanted};
use crate::mock::quotas::Direction;
use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use kafka_protocol::protocol::Decodable;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A fetch that waits for records.
#[derive(Debug)]
pub(crate) struct Pending {
    mode: Mode,
    uses_ids: bool,
    wanted: Vec<Wanted>,
    min_bytes: usize,
    max_bytes: usize,
    is_read_committed: bool,
    rack: String,
    deadline: Instant,
}

pub(crate) fn serve(core: &mut Core, context: &Context, mut body: Bytes) -> Answer {
    let Ok(request) = FetchRequest::decode(&mut body, context.version) else { return Answer::Close };
    let uses_ids = context.version >= 13;
    let key = |id: Uuid, name: &str| {
        if uses_ids { TopicKey::Id(id) } else { TopicKey::Name(name.to_owned()) }
    };
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let known_as = core.topics.name_of(topic.topic_id).filter(|_| uses_ids).map(str::to_owned);
        wanted.extend(topic.partitions.iter().map(|partition| Wanted {
            topic: key(topic.topic_id, &topic.topic),
            known_as: known_as.clone(),
            index: partition.partition,
            leader_epoch: partition.current_leader_epoch,
            offset: partition.fetch_offset,
            last_fetched_epoch: partition.last_fetched_epoch,
            max_bytes: partition.partition_max_bytes,
        }));
    }
    let forgotten = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|index| (key(topic.topic_id, &topic.topic), *index)));
    let asked = Asked {
        session_id: request.session_id,
        epoch: if context.version < 7 { -1 } else { request.session_epoch },
        uses_ids,
        wanted,
        forgotten: forgotten.collect(),
    };
    let (mode, wanted) = match core.sessions.begin(context.origin.broker, asked) {
        Ok(begun) => begun,
        Err(code) => return refused(context, code),
    };
    let quota_bytes = core.quotas.fetch_bytes_max(&context.client_id);
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(quota_bytes);
    let pending = Pending {
        mode,
        uses_ids,
        wanted,
        min_bytes: usize::try_from(request.min_bytes).unwrap_or(0).min(max_bytes),
        max_bytes,
        is_read_committed: request.isolation_level == 1,
        rack: if context.version >= 11 { request.rack_id.to_string() } else { String::new() },
        deadline: context.now + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
    };
    resume(core, context, Box::new(pending))
}

/// Looks for the first time, or again: the connection was woken, or the time is over.
pub(crate) fn resume(core: &mut Core, context: &Context, pending: Box<Pending>) -> Answer {
    match evaluate(core, context, &pending, context.now >= pending.deadline) {
        Some(answer) => answer,
        None => park(core, context, pending),
    }
}

fn park(core: &mut Core, context: &Context, pending: Box<Pending>) -> Answer {
    let mut until = pending.deadline;
    for wanted in &pending.wanted {
        if let Some((id, name)) = resolve(core, &wanted.topic) {
            core.watch(context.origin.connection, id, wanted.index);
            until = core.next_look(&name, wanted.index, until);
        }
    }
    Answer::Park(super::Pending::Fetch(pending), until)
}

fn refused(context: &Context, code: ErrorCode) -> Answer {
    frame(context, &FetchResponse::default().with_error_code(code.0))
}

/// Past its quota a client is told so, and nothing else; its session stays as it is.
fn throttled(context: &Context, pending: &Pending, throttle_time_ms: i32) -> Answer {
    let session_id = match pending.mode {
        Mode::Continue(id, _) => id,
        Mode::Sessionless | Mode::Open => 0,
    };
    let context = Context { throttle_time_ms, ..context.clone() };
    frame(&context, &FetchResponse::default().with_session_id(session_id))
}

fn resolve(core: &Core, topic: &TopicKey) -> Option<(Uuid, String)> {
    let topic = match topic {
        TopicKey::Id(id) => core.topics.by_id(*id),
        TopicKey::Name(name) => core.topics.get(name),
    }?;
    Some((topic.id, topic.name.clone()))
}

/// What one partition gives.
struct Read {
    code: ErrorCode,
    high_watermark: i64,
    last_stable_offset: i64,
    log_start_offset: i64,
    records: Bytes,
    aborted: Vec<AbortedTransaction>,
    diverging: Option<(i32, i64)>,
    leader: Option<(i32, i32)>,
    preferred_replica: Option<i32>,
    /// Whether the answer must not wait.
    is_urgent: bool,
}

impl Read {
    fn failed(code: ErrorCode) -> Self {
        Self {
            code,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            records: Bytes::new(),
            aborted: Vec::new(),
            diverging: None,
            leader: None,
            preferred_replica: None,
            is_urgent: !is_unknown(code),
        }
    }
}

/// Such a partition does not end the wait, since the broker sorts it out before it looks into any log.
fn is_unknown(code: ErrorCode) -> bool {
    [ErrorCode::UNKNOWN_TOPIC_ID, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION].contains(&code)
}

/// The answer, or nothing if there is a reason to wait on.
fn evaluate(core: &mut Core, context: &Context, pending: &Pending, is_due: bool) -> Option<Answer> {
    let mut room = pending.max_bytes;
    let mut total = 0;
    let mut reads = Vec::with_capacity(pending.wanted.len());
    for wanted in &pending.wanted {
        let read = read(core, context, pending, wanted, room, total == 0);
        room = room.saturating_sub(read.records.len());
        total += read.records.len();
        reads.push(read);
    }
    let is_urgent = reads.iter().any(|read| read.is_urgent) || reads.iter().all(|read| !read.code.is_ok());
    if !is_due && !is_urgent && total < pending.min_bytes {
        return None;
    }
    let throttle_time_ms = core.use_quota(context, Direction::Fetch, total);
    if throttle_time_ms > 0 {
        let who = (context.origin.broker, Direction::Fetch, context.client_id.as_str());
        core.quotas.unrecord(who, total);
        return Some(throttled(context, pending, throttle_time_ms));
    }
    let seen = pending.wanted.iter().zip(&reads).map(|(wanted, read)| {
        let seen = Seen {
            high_watermark: read.high_watermark,
            log_start_offset: read.log_start_offset,
            has_records: !read.records.is_empty(),
            is_special: !read.code.is_ok() || read.diverging.is_some() || read.preferred_replica.is_some(),
        };
        (wanted.clone(), seen)
    });
    let seen: Vec<_> = seen.collect();
    let sessions_max = core.settings.fetch_sessions_max;
    let settled =
        core.sessions.settle(context.origin.broker, pending.mode, pending.uses_ids, sessions_max, &seen);
    let (session_id, named) = match settled {
        Ok(settled) => settled,
        Err(code) => return Some(refused(context, code)),
    };
    let mut response = FetchResponse::default().with_session_id(session_id);
    for ((wanted, read), is_named) in pending.wanted.iter().zip(reads).zip(named) {
        if is_named {
            add(core, context, &mut response, pending, wanted, read);
        }
    }
    Some(frame(context, &response))
}

fn read(
    core: &mut Core,
    context: &Context,
    pending: &Pending,
    wanted: &Wanted,
    room: usize,
    at_least_one: bool,
) -> Read {
    let Some((_, topic)) = resolve(core, &wanted.topic) else {
        return Read::failed(match (&wanted.topic, &wanted.known_as) {
            (TopicKey::Id(_), None) => ErrorCode::UNKNOWN_TOPIC_ID,
            (TopicKey::Id(_), Some(name)) if core.topics.get(name).is_some() => {
                ErrorCode::INCONSISTENT_TOPIC_ID
            }
            _ => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        });
    };
    core.advance(context.now, &topic, wanted.index);
    if let Some((code, _)) = core.fault(context, &topic, wanted.index) {
        return Read { is_urgent: true, ..Read::failed(code) };
    }
    let Some(partition) = core.topics.partition(&topic, wanted.index) else {
        return Read::failed(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    };
    let has_racks = !core.settings.racks.is_empty() && !pending.rack.is_empty();
    let serves = has_racks && partition.isr.contains(&context.origin.broker);
    let asked = partition.leader.filter(|_| serves).unwrap_or(context.origin.broker);
    if let Err(code) = check_leader(partition, asked, wanted.leader_epoch) {
        let hinted = [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::FENCED_LEADER_EPOCH].contains(&code);
        let is_told = hinted && context.version >= 16;
        let leader = is_told.then(|| (partition.leader.unwrap_or(-1), partition.leader_epoch));
        return Read { leader, ..Read::failed(code) };
    }
    let log = &partition.log;
    let mut found = Read {
        high_watermark: log.high_watermark(),
        last_stable_offset: log.last_stable_offset(),
        log_start_offset: log.start_offset(),
        ..Read::failed(ErrorCode::NONE)
    };
    found.is_urgent = false;
    if wanted.last_fetched_epoch >= 0 {
        match log.end_of_epoch(wanted.last_fetched_epoch) {
            None => return Read::failed(ErrorCode::OFFSET_OUT_OF_RANGE),
            Some((epoch, end)) if epoch < wanted.last_fetched_epoch || end < wanted.offset => {
                return Read { diverging: Some((epoch, end)), is_urgent: true, ..found };
            }
            Some(_) => {}
        }
    }
    if !(log.start_offset()..=log.end_offset()).contains(&wanted.offset) {
        return Read::failed(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    if has_racks && partition.leader == Some(context.origin.broker) {
        let is_near =
            |id: &i32| core.brokers.get(id).is_some_and(|one| one.rack.as_ref() == Some(&pending.rack));
        let up = core.brokers_up();
        let nearest = partition.isr.iter().copied().find(|id| is_near(id) && up.contains(id));
        if let Some(replica) = nearest.filter(|_| !is_near(&context.origin.broker)) {
            return Read { preferred_replica: Some(replica), is_urgent: true, ..found };
        }
    }
    let max_bytes = usize::try_from(wanted.max_bytes).unwrap_or(0).min(room);
    let end = if pending.is_read_committed { log.last_stable_offset() } else { log.high_watermark() };
    found.records = log.read(wanted.offset, end, max_bytes, at_least_one);
    if pending.is_read_committed && !found.records.is_empty() {
        // Kafka looks up to the next entry of its offset index: transactions past what was read may be told, too.
        let reach = log.reach(wanted.offset, found.records.len() + INDEX_INTERVAL_BYTES);
        let aborted = log.transactions().aborted(wanted.offset, reach).map(|aborted| {
            AbortedTransaction::default()
                .with_producer_id(aborted.producer_id.into())
                .with_first_offset(aborted.first_offset)
        });
        found.aborted = aborted.collect();
        if core.settings.unsorted_aborted_transactions {
            core.random.shuffle(&mut found.aborted);
        }
    }
    found
}

fn add(
    core: &Core,
    context: &Context,
    response: &mut FetchResponse,
    pending: &Pending,
    wanted: &Wanted,
    read: Read,
) {
    // What is refused before any log is looked at comes with a list, be it asked for or not; errors of a log without.
    let is_refused = is_unknown(read.code);
    let has_aborted = is_refused || (pending.is_read_committed && read.code.is_ok());
    let mut data = PartitionData::default()
        .with_partition_index(wanted.index)
        .with_error_code(read.code.0)
        .with_high_watermark(read.high_watermark)
        .with_last_stable_offset(read.last_stable_offset)
        .with_log_start_offset(read.log_start_offset)
        .with_aborted_transactions(has_aborted.then_some(read.aborted))
        .with_records(Some(read.records));
    if let Some(replica) = read.preferred_replica {
        data.preferred_read_replica = BrokerId(replica);
    }
    if let Some((epoch, end_offset)) = read.diverging {
        data.diverging_epoch = EpochEndOffset::default().with_epoch(epoch).with_end_offset(end_offset);
    }
    if let Some((id, epoch)) = read.leader {
        data.current_leader =
            LeaderIdAndEpoch::default().with_leader_id(BrokerId(id)).with_leader_epoch(epoch);
        let known = response.node_endpoints.iter().any(|endpoint| endpoint.node_id == id);
        if let Some(broker) = core.brokers.get(&id).filter(|_| !known && context.version >= 16) {
            response.node_endpoints.push(
                NodeEndpoint::default()
                    .with_node_id(BrokerId(id))
                    .with_host(text(broker.host.as_str()))
                    .with_port(i32::from(broker.port))
                    .with_rack(broker.rack.as_deref().map(text)),
            );
        }
    }
    let fresh = match &wanted.topic {
        TopicKey::Id(id) => FetchableTopicResponse::default().with_topic_id(*id),
        TopicKey::Name(name) => FetchableTopicResponse::default().with_topic(topic_name(name)),
    };
    match response.responses.last_mut() {
        Some(last) if last.topic == fresh.topic && last.topic_id == fresh.topic_id => {
            last.partitions.push(data);
        }
        _ => response.responses.push(fresh.with_partitions(vec![data])),
    }
}

/// The default of `index.interval.bytes`.
const INDEX_INTERVAL_BYTES: usize = 4096;
