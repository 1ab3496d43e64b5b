//! The group's committed offsets, asked for until every partition that waits for its own has it.
//!
//! Invariants: one request is unanswered at most; a partition that an answer leaves out, or has an error for, is asked
//! for again after a pause.

use super::request::{Identity, Setback, by_topic};
use crate::{
    backoff::Backoff,
    consumer::{error::ConsumeError, positions::AssignmentId, record::TopicPartition, shared::Shared},
    error::{ErrorCode, RequestError},
    wire::{
        ApiKey,
        api::{
            offset_commit::CommittedPartition,
            offset_fetch::{OffsetFetchRequest, OffsetFetchResponse},
        },
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// The partitions that a request asks for.
pub(crate) type Asked = Vec<(AssignmentId, TopicPartition)>;

/// See the module.
#[derive(Debug)]
pub(crate) struct CommittedOffsets {
    shared: Arc<Shared>,
    group: Arc<str>,
    is_in_flight: bool,
    retry_at: Option<Instant>,
    backoff: Backoff,
    /// The partitions of which it was told that they are not allowed.
    told: BTreeSet<TopicPartition>,
}

impl CommittedOffsets {
    pub(crate) fn new(shared: Arc<Shared>, group: Arc<str>, seed: u64) -> Self {
        Self {
            shared,
            group,
            is_in_flight: false,
            retry_at: None,
            backoff: Backoff::new(RETRY_MIN, RETRY_MAX, seed),
            told: BTreeSet::new(),
        }
    }

    /// What to ask the coordinator now, if anything. It counts as under way then.
    pub(crate) fn poll_request(
        &mut self,
        identity: Option<Identity>,
        now: Instant,
    ) -> Option<(Asked, OffsetFetchRequest)> {
        if self.is_in_flight || self.retry_at.is_some_and(|at| at > now) {
            return None;
        }
        let Identity { member_id, epoch, .. } = identity?;
        let asked = self.shared.with(|core| core.awaiting_committed());
        if asked.is_empty() {
            return None;
        }
        self.retry_at = None;
        self.is_in_flight = true;
        let names = asked.iter().map(|(_, name)| (name, name.partition));
        let request = OffsetFetchRequest {
            group_id: self.group.to_string(),
            member_id: (!member_id.is_empty()).then_some(member_id),
            member_epoch: epoch,
            topics: Some(by_topic(names)),
            require_stable: true,
        };
        Some((asked, request))
    }

    /// What came of the request for `asked`.
    pub(crate) fn handle_answer(
        &mut self,
        asked: &Asked,
        outcome: Result<OffsetFetchResponse, RequestError>,
        is_member: bool,
        now: Instant,
    ) -> Option<Setback> {
        self.is_in_flight = false;
        let mut retries = true;
        let setback = match outcome {
            Ok(answer) if answer.error.is_ok() => {
                retries = self.take_offsets(asked, answer);
                None
            }
            Ok(answer) => {
                let code = answer.error;
                tracing::debug!(%code, group = %self.group, "the coordinator gives no committed offsets");
                Setback::of(code, ApiKey::OffsetFetch, is_member)
            }
            Err(error) => {
                tracing::debug!(%error, group = %self.group, "no committed offsets");
                Some(Setback::of_no_answer(error))
            }
        };
        if retries {
            self.retry_at = Some(now + self.backoff.next_delay());
        } else {
            self.backoff.reset();
        }
        setback
    }

    /// Gives each partition its offset. Says whether some have none yet.
    fn take_offsets(&mut self, asked: &Asked, answer: OffsetFetchResponse) -> bool {
        let mut answered: BTreeMap<(String, i32), (CommittedPartition, ErrorCode)> = BTreeMap::new();
        for (topic, partitions) in answer.topics {
            for (partition, error) in partitions {
                answered.insert((topic.clone(), partition.index), (partition, error));
            }
        }
        let mut is_missing = false;
        let told = &mut self.told;
        self.shared.with(|core| {
            for (id, name) in asked {
                match answered.get(&(name.topic.to_string(), name.partition)) {
                    Some((found, code)) if code.is_ok() => {
                        told.remove(name);
                        core.handle_committed_offset(*id, found.offset, found.leader_epoch);
                    }
                    Some((_, code)) => {
                        tracing::debug!(%code, partition = %name, "no committed offset yet");
                        is_missing = true;
                        let is_forbidden = *code == ErrorCode::TOPIC_AUTHORIZATION_FAILED;
                        if is_forbidden && told.insert(name.clone()) {
                            core.fail(ConsumeError::of_partition(name.clone(), *code));
                        }
                    }
                    // An answer that leaves a partition out says nothing of it.
                    None => is_missing = true,
                }
            }
        });
        is_missing
    }

    /// When `poll_request` may have something although nothing happened.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.retry_at.filter(|&at| at > now)
    }
}

const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
