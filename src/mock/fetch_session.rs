//! Fetch sessions (KIP-227): what each broker remembers of the partitions that a consumer reads.
//!
//! Invariant: a session's epoch rises by one with every request; one that is lost or out of step is refused, and the
//! client starts again with a full fetch. An answer in a session names only the partitions that changed.

use crate::error::ErrorCode;
use std::collections::BTreeMap;
use uuid::Uuid;

/// How a request names a topic: by id from v13 on, by name before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopicKey {
    Id(Uuid),
    Name(String),
}

/// A partition that is to be read, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) topic: TopicKey,
    /// The name behind the id when it was first asked for; a session remembers it when the topic is gone.
    pub(crate) known_as: Option<String>,
    pub(crate) index: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) offset: i64,
    pub(crate) last_fetched_epoch: i32,
    pub(crate) max_bytes: i32,
}

impl Wanted {
    fn is_at(&self, topic: &TopicKey, index: i32) -> bool {
        self.index == index && self.topic == *topic
    }
}

/// What one partition gives, as far as a session looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
    pub(crate) has_records: bool,
    /// An error, or a diverging epoch.
    pub(crate) is_special: bool,
}

/// How a request relates to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Sessionless,
    /// A session is opened with the answer.
    Open,
    /// (session id, the epoch that the next request states)
    Continue(i32, i32),
}

#[derive(Debug)]
struct Session {
    next_epoch: i32,
    uses_ids: bool,
    partitions: Vec<Cached>,
}

#[derive(Debug)]
struct Cached {
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
}

/// All brokers' sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_id: BTreeMap<(i32, i32), Session>,
    last_id: i32,
}

/// The part of a request that concerns its session.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) session_id: i32,
    pub(crate) epoch: i32,
    pub(crate) uses_ids: bool,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) forgotten: Vec<(TopicKey, i32)>,
}

impl Sessions {
    /// Takes a request in: how it relates to a session, and all the partitions to read for it.
    pub(crate) fn begin(&mut self, broker: i32, asked: Asked) -> Result<(Mode, Vec<Wanted>), ErrorCode> {
        let key = (broker, asked.session_id);
        if asked.epoch <= 0 {
            self.by_id.remove(&key);
            let mode = if asked.epoch == 0 { Mode::Open } else { Mode::Sessionless };
            return Ok((mode, asked.wanted));
        }
        let session = self.by_id.get_mut(&key).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.next_epoch != asked.epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.uses_ids != asked.uses_ids {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        for wanted in asked.wanted {
            let at = session.partitions.iter_mut().find(|c| c.wanted.is_at(&wanted.topic, wanted.index));
            match at {
                Some(cached) => {
                    let known_as = wanted.known_as.clone().or(cached.wanted.known_as.take());
                    cached.wanted = Wanted { known_as, ..wanted };
                }
                None => session.partitions.push(Cached { wanted, high_watermark: -1, log_start_offset: -1 }),
            }
        }
        session.partitions.retain(|cached| {
            !asked.forgotten.iter().any(|(topic, index)| cached.wanted.is_at(topic, *index))
        });
        if session.partitions.is_empty() {
            self.by_id.remove(&key);
            return Ok((Mode::Sessionless, Vec::new()));
        }
        session.next_epoch = next_epoch(asked.epoch);
        let wanted = session.partitions.iter().map(|cached| cached.wanted.clone()).collect();
        Ok((Mode::Continue(asked.session_id, session.next_epoch), wanted))
    }

    /// Settles an answer: its session id, and for each partition read whether the answer names it.
    pub(crate) fn settle(
        &mut self,
        broker: i32,
        mode: Mode,
        uses_ids: bool,
        sessions_max: usize,
        read: &[(Wanted, Seen)],
    ) -> Result<(i32, Vec<bool>), ErrorCode> {
        match mode {
            Mode::Sessionless => Ok((0, vec![true; read.len()])),
            Mode::Open if self.by_id.len() >= sessions_max => Ok((0, vec![true; read.len()])),
            Mode::Open => {
                self.last_id = self.last_id.checked_add(1).unwrap_or(1);
                let partitions = read.iter().map(|(wanted, seen)| Cached {
                    wanted: wanted.clone(),
                    high_watermark: if seen.is_special { -1 } else { seen.high_watermark },
                    log_start_offset: seen.log_start_offset,
                });
                let session = Session { next_epoch: 1, uses_ids, partitions: partitions.collect() };
                self.by_id.insert((broker, self.last_id), session);
                Ok((self.last_id, vec![true; read.len()]))
            }
            Mode::Continue(id, next_epoch) => {
                let session =
                    self.by_id.get_mut(&(broker, id)).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
                if session.next_epoch != next_epoch {
                    return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
                }
                Ok((id, read.iter().map(|(wanted, seen)| session.note(wanted, *seen)).collect()))
            }
        }
    }

    /// Whether a session, by broker and id, is about a partition.
    pub(crate) fn holds(&self, session: (i32, i32), topic: &TopicKey, index: i32) -> bool {
        let held = self.by_id.get(&session).map(|session| &session.partitions);
        held.is_some_and(|held| held.iter().any(|cached| cached.wanted.is_at(topic, index)))
    }

    /// Drops a broker's sessions, as its stop does.
    pub(crate) fn forget_broker(&mut self, broker: i32) {
        self.by_id.retain(|(at, _), _| *at != broker);
    }
}

impl Session {
    /// Whether the answer names the partition. One that gave records goes to the end of the list, so that the others
    /// have their turn.
    fn note(&mut self, wanted: &Wanted, seen: Seen) -> bool {
        let at = self.partitions.iter().position(|c| c.wanted.is_at(&wanted.topic, wanted.index));
        let Some(cached) = at.and_then(|at| self.partitions.get_mut(at)) else { return false };
        let changed =
            cached.high_watermark != seen.high_watermark || cached.log_start_offset != seen.log_start_offset;
        cached.high_watermark = if seen.is_special { -1 } else { seen.high_watermark };
        cached.log_start_offset = seen.log_start_offset;
        if let Some(at) = at.filter(|_| seen.has_records) {
            let cached = self.partitions.remove(at);
            self.partitions.push(cached);
        }
        changed || seen.has_records || seen.is_special
    }
}

fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(index: i32, offset: i64) -> Wanted {
        Wanted {
            topic: TopicKey::Name("t".to_owned()),
            known_as: None,
            index,
            leader_epoch: -1,
            offset,
            last_fetched_epoch: -1,
            max_bytes: 100,
        }
    }

    fn asked(session_id: i32, epoch: i32, wanted: Vec<Wanted>) -> Asked {
        Asked { session_id, epoch, uses_ids: false, wanted, forgotten: Vec::new() }
    }

    const QUIET: Seen =
        Seen { high_watermark: 0, log_start_offset: 0, has_records: false, is_special: false };

    fn opened() -> Sessions {
        let mut sessions = Sessions::default();
        let (mode, read) = sessions.begin(1, asked(0, 0, vec![wanted(0, 0), wanted(1, 0)])).unwrap();
        let read: Vec<_> = read.into_iter().map(|wanted| (wanted, QUIET)).collect();
        assert_eq!(sessions.settle(1, mode, false, 9, &read), Ok((1, vec![true, true])));
        sessions
    }

    #[test]
    fn only_what_changed_is_named_and_what_gave_records_goes_last() {
        let mut sessions = opened();
        let (mode, read) = sessions.begin(1, asked(1, 1, vec![])).unwrap();
        let with_data = Seen { high_watermark: 5, has_records: true, ..QUIET };
        let read = [(read[0].clone(), with_data), (read[1].clone(), QUIET)];
        assert_eq!(sessions.settle(1, mode, false, 9, &read), Ok((1, vec![true, false])));
        let (_, read) = sessions.begin(1, asked(1, 2, vec![wanted(0, 5)])).unwrap();
        assert_eq!(read, [wanted(1, 0), wanted(0, 5)]);
    }

    #[test]
    fn an_error_is_named_until_it_is_over_and_once_more_then() {
        let mut sessions = opened();
        let bad = Seen { high_watermark: -1, log_start_offset: -1, has_records: false, is_special: true };
        for (epoch, seen, named) in [(1, bad, true), (2, bad, true), (3, QUIET, true), (4, QUIET, false)] {
            let (mode, read) = sessions.begin(1, asked(1, epoch, vec![])).unwrap();
            let read: Vec<_> = read.into_iter().map(|wanted| (wanted, seen)).collect();
            assert_eq!(sessions.settle(1, mode, false, 9, &read), Ok((1, vec![named, named])), "{epoch}");
        }
    }

    #[test]
    fn requests_out_of_step_are_refused() {
        let mut sessions = opened();
        let refused = |sessions: &mut Sessions, broker, asked| sessions.begin(broker, asked).unwrap_err();
        assert_eq!(refused(&mut sessions, 1, asked(1, 2, vec![])), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        assert_eq!(refused(&mut sessions, 2, asked(1, 1, vec![])), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        let with_ids = Asked { uses_ids: true, ..asked(1, 1, vec![]) };
        assert_eq!(refused(&mut sessions, 1, with_ids), ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
    }

    #[test]
    fn a_session_without_partitions_or_room_is_none() {
        let mut sessions = opened();
        let forgotten = vec![(TopicKey::Name("t".to_owned()), 0), (TopicKey::Name("t".to_owned()), 1)];
        let all = Asked { forgotten, ..asked(1, 1, vec![]) };
        assert_eq!(sessions.begin(1, all), Ok((Mode::Sessionless, vec![])));
        assert_eq!(sessions.settle(1, Mode::Open, false, 0, &[]), Ok((0, vec![])));
    }
}
