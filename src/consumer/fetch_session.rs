//! Fetch sessions (KIP-227): a broker remembers what this consumer fetches, so that a request names only changes.
//!
//! One session per consumer and broker, with at most one request unanswered. Invariant: what is kept here is what the
//! broker was last told; after any error, and after an answer that never came, everything is told again.

use super::positions::AssignmentId;
use crate::{
    error::ErrorCode,
    wire::api::fetch::{FetchPartition, FetchTopic},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Topic id and partition: how a fetch names a partition.
pub(crate) type PartitionKey = (Uuid, i32);

/// A partition that shall be in the next fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) topic_id: Uuid,
    /// What the broker shall know of it.
    pub(crate) spec: FetchPartition,
    /// Whose data the answer is.
    pub(crate) assignment: AssignmentId,
    /// The reading that the answer belongs to; see `positions`.
    pub(crate) serial: u64,
}

/// The part of a fetch request that the session decides.
#[derive(Debug)]
pub(crate) struct SessionRequest {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) topics: Vec<FetchTopic>,
    pub(crate) forgotten: Vec<(Uuid, Vec<i32>)>,
}

/// One consumer's session with one broker.
#[derive(Debug, Default)]
pub(crate) struct FetchSession {
    session_id: i32,
    /// The epoch of the next request; 0 tells everything.
    epoch: i32,
    told: BTreeMap<PartitionKey, Wanted>,
    /// Where the next full fetch starts its list, so that a byte limit does not favour the first partition for ever.
    rotation: usize,
}

impl FetchSession {
    /// What to send so that the broker fetches exactly `wanted`.
    pub(crate) fn build(&mut self, mut wanted: Vec<Wanted>) -> SessionRequest {
        let (session_id, session_epoch) = (self.session_id, self.epoch);
        let mut forgotten = Vec::new();
        if session_epoch == 0 {
            self.told.clear();
            if !wanted.is_empty() {
                let start = self.rotation % wanted.len();
                wanted.rotate_left(start);
                self.rotation = self.rotation.wrapping_add(1);
            }
        }
        let now: BTreeMap<PartitionKey, Wanted> = wanted.iter().map(|w| (key(w), w.clone())).collect();
        for (topic_id, index) in self.told.keys().filter(|told| !now.contains_key(*told)) {
            push_grouped(&mut forgotten, *topic_id, *index);
        }
        let mut topics: Vec<FetchTopic> = Vec::new();
        for new in wanted {
            if self.told.get(&key(&new)).is_some_and(|told| told.spec == new.spec) {
                continue;
            }
            match topics.last_mut() {
                Some(topic) if topic.topic_id == new.topic_id => topic.partitions.push(new.spec),
                _ => topics.push(FetchTopic { topic_id: new.topic_id, partitions: vec![new.spec] }),
            }
        }
        self.told = now;
        SessionRequest { session_id, session_epoch, topics, forgotten }
    }

    /// What the broker was asked for a partition, `None` if it was not asked.
    pub(crate) fn told(&self, topic_id: Uuid, partition: i32) -> Option<&Wanted> {
        self.told.get(&(topic_id, partition))
    }

    /// Takes the answer's head. `false`: the answer says nothing, and the next request tells everything again.
    pub(crate) fn handle_answer(&mut self, error: ErrorCode, session_id: i32) -> bool {
        if error == ErrorCode::FETCH_SESSION_ID_NOT_FOUND {
            self.session_id = 0;
        }
        if !error.is_ok() {
            self.epoch = 0;
            return false;
        }
        if self.epoch == 0 {
            // A broker whose session cache is full answers 0: legal, and the next request is a full one again.
            self.session_id = session_id;
            self.epoch = i32::from(session_id != 0);
            return true;
        }
        if session_id != self.session_id {
            self.epoch = 0;
            return false;
        }
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        true
    }

    /// The answer will not come: the broker may or may not have counted the request. The next one closes the session,
    /// if it still is there, and opens another.
    pub(crate) fn handle_lost(&mut self) {
        self.epoch = 0;
    }
}

fn key(wanted: &Wanted) -> PartitionKey {
    (wanted.topic_id, wanted.spec.index)
}

fn push_grouped(list: &mut Vec<(Uuid, Vec<i32>)>, topic_id: Uuid, index: i32) {
    match list.last_mut() {
        Some((topic, partitions)) if *topic == topic_id => partitions.push(index),
        _ => list.push((topic_id, vec![index])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(index: i32, fetch_offset: i64) -> Wanted {
        Wanted {
            topic_id: Uuid::from_u128(1),
            spec: FetchPartition {
                index,
                current_leader_epoch: 0,
                fetch_offset,
                last_fetched_epoch: -1,
                max_bytes: 1024,
            },
            assignment: AssignmentId(u64::from(index.unsigned_abs())),
            serial: 1,
        }
    }

    fn sent(request: &SessionRequest) -> Vec<(i32, i64)> {
        request.topics.iter().flat_map(|t| &t.partitions).map(|p| (p.index, p.fetch_offset)).collect()
    }

    #[test]
    fn only_changes_are_told_once_a_session_is_open() {
        let mut session = FetchSession::default();
        let request = session.build(vec![wanted(0, 0), wanted(1, 0)]);
        assert_eq!((request.session_id, request.session_epoch), (0, 0));
        assert_eq!(sent(&request), [(0, 0), (1, 0)]);
        assert!(session.handle_answer(ErrorCode::NONE, 77));

        let request = session.build(vec![wanted(0, 5), wanted(1, 0), wanted(2, 0)]);
        assert_eq!((request.session_id, request.session_epoch), (77, 1));
        assert_eq!(sent(&request), [(0, 5), (2, 0)]);
        assert!(session.handle_answer(ErrorCode::NONE, 77));

        let request = session.build(vec![wanted(1, 0)]);
        assert_eq!(request.session_epoch, 2);
        assert!(sent(&request).is_empty());
        assert_eq!(request.forgotten, [(Uuid::from_u128(1), vec![0, 2])]);
        assert!(session.told(Uuid::from_u128(1), 0).is_none());
    }

    #[test]
    fn session_id_zero_means_full_fetches_from_rotating_starts() {
        let mut session = FetchSession::default();
        session.build(vec![wanted(0, 0), wanted(1, 0)]);
        assert!(session.handle_answer(ErrorCode::NONE, 0));
        let request = session.build(vec![wanted(0, 0), wanted(1, 0)]);
        assert_eq!((request.session_id, request.session_epoch), (0, 0));
        assert_eq!(sent(&request), [(1, 0), (0, 0)]);
    }

    #[test]
    fn any_error_makes_the_next_fetch_a_full_one() {
        for code in [
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
            ErrorCode::INVALID_FETCH_SESSION_EPOCH,
            ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR,
            ErrorCode::UNKNOWN_SERVER_ERROR,
        ] {
            let mut session = FetchSession::default();
            session.build(vec![wanted(0, 0)]);
            session.handle_answer(ErrorCode::NONE, 9);
            session.build(vec![wanted(0, 3)]);
            assert!(!session.handle_answer(code, 0));
            let request = session.build(vec![wanted(0, 3)]);
            assert_eq!(request.session_epoch, 0, "{code}");
            assert_eq!(sent(&request), [(0, 3)]);
            let known = code != ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
            assert_eq!(request.session_id, if known { 9 } else { 0 });
        }
    }

    #[test]
    fn a_lost_answer_and_a_foreign_session_start_again_at_epoch_zero() {
        let mut session = FetchSession::default();
        session.build(vec![wanted(0, 0)]);
        session.handle_answer(ErrorCode::NONE, 9);
        session.build(vec![wanted(0, 4)]);
        session.handle_lost();
        let request = session.build(vec![wanted(0, 4)]);
        assert_eq!((request.session_id, request.session_epoch), (9, 0));
        assert_eq!(sent(&request), [(0, 4)]);
        assert!(session.handle_answer(ErrorCode::NONE, 10));
        session.build(vec![]);
        assert!(!session.handle_answer(ErrorCode::NONE, 11));
        assert_eq!(session.build(vec![]).session_epoch, 0);
    }

    #[test]
    fn the_epoch_wraps_to_one() {
        let mut session = FetchSession { session_id: 5, epoch: i32::MAX, ..FetchSession::default() };
        assert_eq!(session.build(vec![]).session_epoch, i32::MAX);
        assert!(session.handle_answer(ErrorCode::NONE, 5));
        assert_eq!(session.build(vec![]).session_epoch, 1);
    }

    #[test]
    fn a_new_reading_at_the_same_offset_is_known_without_telling() {
        let mut session = FetchSession::default();
        session.build(vec![wanted(0, 0)]);
        session.handle_answer(ErrorCode::NONE, 9);
        let again = Wanted { serial: 2, ..wanted(0, 0) };
        assert!(sent(&session.build(vec![again])).is_empty());
        assert_eq!(session.told(Uuid::from_u128(1), 0).map(|w| w.serial), Some(2));
    }
}
