//! A broker as far as fetches go: logs, and fetch sessions kept strictly.

use crate::{
    consumer::test_batches::raw,
    error::ErrorCode,
    wire::api::fetch::{
        FetchPartition, FetchPartitionResponse, FetchRequest, FetchResponse, FetchTopicResponse,
    },
};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use uuid::Uuid;

pub(super) const TOPIC_ID: Uuid = Uuid::from_u128(0xfe7c);

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) batches: Vec<Bytes>,
    /// (producer id, first offset, the marker's offset), handed out in this order.
    pub(super) aborted: Vec<(i64, i64, i64)>,
    pub(super) start: i64,
    /// The next answer for this partition is this error.
    pub(super) error: Option<ErrorCode>,
    pub(super) diverging: Option<(i32, i64)>,
    /// Sent in place of the batch at this index, once.
    pub(super) instead: Option<(usize, Bytes)>,
    /// Bytes of the next batch that are sent after the last whole one.
    pub(super) cut: usize,
}

impl Log {
    pub(super) fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |batch| raw(batch).header.next_offset())
    }
}

#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) logs: BTreeMap<i32, Log>,
    /// Id, next epoch, and what it holds.
    session: Option<(i32, i32, BTreeMap<i32, FetchPartition>)>,
    last_session: i32,
    /// No session is opened.
    pub(super) is_cache_full: bool,
    /// Partitions that the last request asked for, in all.
    pub(super) last_asked: Vec<FetchPartition>,
}

impl Broker {
    pub(super) fn with(logs: Vec<Vec<Bytes>>) -> Self {
        let logs = (0..).zip(logs.into_iter().map(|batches| Log { batches, ..Log::default() })).collect();
        Self { logs, ..Self::default() }
    }

    pub(super) fn log(&mut self, index: i32) -> &mut Log {
        self.logs.entry(index).or_default()
    }

    /// The session is forgotten, as by a broker that started again.
    pub(super) fn forget_session(&mut self) {
        self.session = None;
    }

    pub(super) fn fetch(&mut self, request: &FetchRequest) -> FetchResponse {
        let told = request.topics.iter().flat_map(|topic| {
            assert_eq!(topic.topic_id, TOPIC_ID);
            topic.partitions.clone()
        });
        let told: BTreeMap<i32, FetchPartition> =
            told.map(|partition| (partition.index, partition)).collect();
        let (session_id, asked, is_full) = if request.session_epoch == 0 {
            self.session = None;
            let session_id = if self.is_cache_full {
                0
            } else {
                self.last_session += 1;
                self.session = Some((self.last_session, 1, told.clone()));
                self.last_session
            };
            (session_id, told, true)
        } else {
            let Some((id, epoch, held)) = &mut self.session else {
                return answer(ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0);
            };
            if *id != request.session_id {
                return answer(ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0);
            }
            if *epoch != request.session_epoch {
                return answer(ErrorCode::INVALID_FETCH_SESSION_EPOCH, 0);
            }
            *epoch += 1;
            for index in request.forgotten.iter().flat_map(|(_, partitions)| partitions) {
                assert!(held.remove(index).is_some(), "{index} was not in the session");
            }
            held.extend(told);
            (*id, held.clone(), false)
        };
        self.last_asked = asked.values().cloned().collect();
        let mut room = usize::try_from(request.max_bytes).unwrap();
        let mut partitions = Vec::new();
        for partition in asked.values() {
            let part = self.read(partition, &mut room);
            let says_something =
                is_full || !part.records.is_empty() || !part.error.is_ok() || part.diverging_epoch.is_some();
            partitions.extend(says_something.then_some(part));
        }
        let topics = vec![FetchTopicResponse { topic_id: TOPIC_ID, partitions }];
        FetchResponse { topics, ..answer(ErrorCode::NONE, session_id) }
    }

    fn read(&mut self, asked: &FetchPartition, room: &mut usize) -> FetchPartitionResponse {
        let is_first = *room > 0;
        let log = self.log(asked.index);
        let mut part = FetchPartitionResponse {
            index: asked.index,
            error: log.error.take().unwrap_or(ErrorCode::NONE),
            high_watermark: log.end(),
            last_stable_offset: log.end(),
            log_start_offset: log.start,
            diverging_epoch: log.diverging.take(),
            current_leader: None,
            aborted_transactions: log
                .aborted
                .iter()
                .filter(|(_, _, last)| *last >= asked.fetch_offset)
                .map(|(producer_id, first, _)| (*producer_id, *first))
                .collect(),
            preferred_read_replica: -1,
            records: Bytes::new(),
        };
        if !part.error.is_ok() || part.diverging_epoch.is_some() {
            return part;
        }
        if asked.fetch_offset < log.start || asked.fetch_offset > log.end() {
            part.error = ErrorCode::OFFSET_OUT_OF_RANGE;
            return part;
        }
        let mut limit = usize::try_from(asked.max_bytes).unwrap().min(*room);
        let mut records = BytesMut::new();
        for (index, batch) in log.batches.iter().enumerate() {
            if raw(batch).header.next_offset() <= asked.fetch_offset {
                continue;
            }
            let is_oversize_first = records.is_empty() && is_first;
            if batch.len() > limit && !is_oversize_first {
                records.extend_from_slice(&batch[..log.cut.min(batch.len() - 1)]);
                break;
            }
            match &log.instead {
                Some((other, bytes)) if *other == index => {
                    records.extend_from_slice(bytes);
                    log.instead = None;
                    break;
                }
                _ => records.extend_from_slice(batch),
            }
            limit = limit.saturating_sub(batch.len());
            *room = room.saturating_sub(batch.len());
        }
        part.records = records.freeze();
        part
    }
}

fn answer(error: ErrorCode, session_id: i32) -> FetchResponse {
    FetchResponse { throttle_time_ms: 0, error, session_id, topics: Vec::new(), node_endpoints: Vec::new() }
}
