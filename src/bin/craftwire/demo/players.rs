//! The players: sessions that begin, go on and end, on a schedule that waits for nobody.
//!
//! Watched sessions send progress every 100 ms and are replaced when they end, so that their number stays. To bring
//! session events to a rate, further sessions run that nobody watches, as most of a game's do: they send events only.
//! Invariant: everything comes in the order in which it is due.

use craftwire::crafting::{ProgressUpdate, SessionEvent};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use super::{random::Random, session::Session};

/// What is to be played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How many sessions are watched.
    pub(crate) sessions: u32,
    /// Session events a second, if more than the watched sessions send.
    pub(crate) events_rate: Option<u32>,
    pub(crate) seed: u64,
    /// The time of day at the start of the run.
    pub(crate) started_ms: i64,
}

/// Something to publish.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Due {
    /// When, in microseconds from the start of the run.
    pub(crate) due_us: u64,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    Event(SessionEvent),
    Progress {
        update: ProgressUpdate,
        /// Whether it is the session's first.
        begins: bool,
    },
}

/// All players of a run.
#[derive(Debug)]
pub(crate) struct Players {
    plan: Plan,
    random: Random,
    /// Those watched come first; `None` where there is none at present.
    sessions: Vec<Option<Session>>,
    free: Vec<u32>,
    schedule: BinaryHeap<Reverse<(u64, u32)>>,
    ready: VecDeque<Due>,
    /// Session events so far.
    events: u64,
}

impl Players {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut random = Random::new(plan.seed);
        let schedule = (0..plan.sessions).map(|who| Reverse((random.below(UPDATE_US), who))).collect();
        let sessions = (0..plan.sessions).map(|_| None).collect();
        Self { plan, random, sessions, free: Vec::new(), schedule, ready: VecDeque::new(), events: 0 }
    }

    /// The next thing that is due by now.
    pub(crate) fn next(&mut self, now_us: u64) -> Option<Due> {
        loop {
            if let Some(due) = self.ready.pop_front() {
                return Some(due);
            }
            let scheduled_us = self.schedule.peek().map_or(u64::MAX, |Reverse((due_us, _))| *due_us);
            let wanted_us = self.next_wanted_us();
            if scheduled_us.min(wanted_us) > now_us {
                return None;
            }
            if wanted_us < scheduled_us {
                self.begin_unwatched(wanted_us);
            } else if let Some(Reverse((due_us, who))) = self.schedule.pop() {
                if who < self.plan.sessions {
                    self.play_watched(due_us, who);
                } else {
                    self.play_unwatched(due_us, who);
                }
            }
        }
    }

    /// How many sessions run.
    #[cfg(test)]
    fn running(&self) -> usize {
        self.sessions.iter().flatten().count()
    }

    /// When the rate asks for another event.
    fn next_wanted_us(&self) -> u64 {
        match self.plan.events_rate {
            Some(rate) => (self.events + 1).saturating_mul(1_000_000) / u64::from(rate.max(1)),
            None => u64::MAX,
        }
    }

    fn play_watched(&mut self, due_us: u64, who: u32) {
        self.schedule.push(Reverse((due_us + UPDATE_US, who)));
        if let Some(mut session) = self.take(who) {
            let mut events = Vec::new();
            while let Some(event) = session.next_event(due_us, self.time_of_day_ms(due_us), &mut self.random)
            {
                events.push(event);
            }
            let (update, begins) = session.progress(due_us);
            self.ready.push_back(Due { due_us, what: What::Progress { update, begins } });
            events.into_iter().for_each(|event| self.send(due_us, event));
            if session.next_event_us().is_some() {
                self.put(who, session);
                return;
            }
        }
        let session = self.begin(due_us);
        self.put(who, session);
    }

    fn play_unwatched(&mut self, due_us: u64, who: u32) {
        let Some(mut session) = self.take(who) else { return };
        if let Some(event) = session.next_event(due_us, self.time_of_day_ms(due_us), &mut self.random) {
            self.send(due_us, event);
        }
        match session.next_event_us() {
            Some(next_us) => {
                self.schedule.push(Reverse((next_us, who)));
                self.put(who, session);
            }
            None => self.free.push(who),
        }
    }

    fn begin_unwatched(&mut self, due_us: u64) {
        let session = self.begin(due_us);
        let who = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            u32::try_from(self.sessions.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(next_us) = session.next_event_us() {
            self.schedule.push(Reverse((next_us, who)));
        }
        self.put(who, session);
    }

    fn begin(&mut self, due_us: u64) -> Session {
        let (session, start) = Session::begin(due_us, &mut self.random);
        self.send(due_us, start);
        session
    }

    fn send(&mut self, due_us: u64, event: SessionEvent) {
        self.events += 1;
        self.ready.push_back(Due { due_us, what: What::Event(event) });
    }

    fn take(&mut self, who: u32) -> Option<Session> {
        self.sessions.get_mut(usize::try_from(who).ok()?)?.take()
    }

    fn put(&mut self, who: u32, session: Session) {
        if let Some(place) = usize::try_from(who).ok().and_then(|who| self.sessions.get_mut(who)) {
            *place = Some(session);
        }
    }

    fn time_of_day_ms(&self, due_us: u64) -> i64 {
        self.plan.started_ms.saturating_add_unsigned(due_us / 1000)
    }
}

/// A watched session shows its progress ten times a second.
const UPDATE_US: u64 = 100_000;

/// Progress updates a second of one watched session.
pub(crate) const UPDATES_PER_SECOND: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use craftwire::crafting::{Body, Status};
    use std::collections::HashMap;

    fn play(sessions: u32, events_rate: Option<u32>, until_us: u64) -> (Vec<Due>, usize) {
        let mut players = Players::new(Plan { sessions, events_rate, seed: 5, started_ms: 0 });
        let mut found = Vec::new();
        for now_us in (0..=until_us).step_by(1000) {
            while let Some(due) = players.next(now_us) {
                assert!(due.due_us <= now_us);
                found.push(due);
            }
        }
        (found, players.running())
    }

    fn events_between(found: &[Due], from_us: u64, until_us: u64) -> usize {
        found
            .iter()
            .filter(|due| (from_us..until_us).contains(&due.due_us) && matches!(due.what, What::Event(_)))
            .count()
    }

    #[test]
    fn every_watched_session_sends_ten_updates_a_second_and_is_replaced() {
        let (found, running) = play(50, None, 20_000_000);
        assert_eq!(running, 50);
        assert!(found.is_sorted_by_key(|due| due.due_us));
        let updates = found
            .iter()
            .filter(|due| {
                (5_000_000..15_000_000).contains(&due.due_us) && matches!(due.what, What::Progress { .. })
            })
            .count();
        assert_eq!(updates, 50 * 10 * 10);
        let ended = |due: &&Due| matches!(&due.what, What::Event(SessionEvent::Complete(_)));
        assert!(found.iter().filter(ended).count() > 40);
    }

    #[test]
    fn a_rate_is_held_from_the_first_second_on() {
        let (found, running) = play(10, Some(500), 20_000_000);
        for second in 0..20 {
            let events = events_between(&found, second * 1_000_000, (second + 1) * 1_000_000);
            assert!((485..=530).contains(&events), "second {second}: {events}");
        }
        assert!(running > 500, "sessions that nobody watches: {running}");
    }

    #[test]
    fn a_stall_is_made_up_for_with_the_times_at_which_things_were_due() {
        let mut players = Players::new(Plan { sessions: 1, events_rate: None, seed: 1, started_ms: 0 });
        let found: Vec<_> = std::iter::from_fn(|| players.next(1_000_000)).collect();
        assert!(found.len() >= 10);
        assert!(found[0].due_us < 100_000);
    }

    #[test]
    fn progress_of_a_session_begins_once_and_ends_once() {
        let (found, _) = play(20, None, 20_000_000);
        let mut ended: HashMap<_, bool> = HashMap::new();
        for due in found {
            let What::Progress { update, begins } = due.what else { continue };
            let over = update.status.is_final() || update.status == Status::Interrupted;
            let before = ended.insert(update.session_id(), over);
            assert_eq!(before.is_none(), begins);
            assert_ne!(before, Some(true), "nothing follows the end");
        }
    }
}
