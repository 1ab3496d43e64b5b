//! Whether a partition that should go forward does, and whether the application still asks for records.
//!
//! Both watches go by level: they look at where things stand from time to time and need nobody to tell them of a change, so
//! that they see also the wake-up that was lost. Absent: when to look, and what follows from a finding, which are `core`'s.

use super::event::StallCause;
use std::time::{Duration, Instant};

/// Where a partition stands when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Who would have to do something for the partition to go forward; `None` if nothing is to be had, or wanted.
    pub(crate) cause: Option<StallCause>,
    pub(crate) position: i64,
    pub(crate) fetch_position: i64,
}

/// What became of a partition since it was looked at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    Stalled {
        cause: StallCause,
        after: Duration,
    },
    /// It has been stalled for so long that whoever reads has to be told.
    Overdue {
        cause: StallCause,
        after: Duration,
    },
    Resumed,
}

/// The watch over one partition.
#[derive(Debug, Default)]
pub(crate) struct StallWatch {
    waiting: Option<Waiting>,
    told: Told,
    stalls: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: Instant,
    cause: StallCause,
    position: i64,
    fetch_position: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Told {
    #[default]
    Nothing,
    Stalled,
    Overdue,
}

impl StallWatch {
    /// A stall is told once `after`, and a second time after the `limit`.
    pub(crate) fn observe(
        &mut self,
        sight: Sight,
        after: Duration,
        limit: Option<Duration>,
        now: Instant,
    ) -> Option<Finding> {
        let Some(cause) = sight.cause else {
            self.waiting = None;
            return self.resume();
        };
        let waiting = match &mut self.waiting {
            Some(waiting) if !waiting.has_moved(sight, cause) => waiting,
            _ => {
                let Sight { position, fetch_position, .. } = sight;
                self.waiting = Some(Waiting { since: now, cause, position, fetch_position });
                return self.resume();
            }
        };
        waiting.cause = cause;
        let waited = now.saturating_duration_since(waiting.since);
        match self.told {
            Told::Nothing if waited >= after => {
                self.told = Told::Stalled;
                self.stalls += 1;
                Some(Finding::Stalled { cause, after: waited })
            }
            // An application that takes no records would not take this either, and once it does there is no stall.
            Told::Stalled
                if cause != StallCause::Application && limit.is_some_and(|limit| waited >= limit) =>
            {
                self.told = Told::Overdue;
                Some(Finding::Overdue { cause, after: waited })
            }
            _ => None,
        }
    }

    /// Nobody looked for so long that the whole process must have stood still: what it waits for had no time either.
    pub(crate) fn restart(&mut self, now: Instant) {
        if let Some(waiting) = &mut self.waiting {
            waiting.since = now;
        }
    }

    /// How often the partition has stalled.
    pub(crate) fn stalls(&self) -> u64 {
        self.stalls
    }

    /// Whom it waits for, if it is stalled.
    pub(crate) fn stalled(&self) -> Option<StallCause> {
        self.waiting.filter(|_| self.told != Told::Nothing).map(|waiting| waiting.cause)
    }

    fn resume(&mut self) -> Option<Finding> {
        let was = std::mem::take(&mut self.told);
        (was != Told::Nothing).then_some(Finding::Resumed)
    }
}

impl Waiting {
    /// Records that come for the first time are the broker's progress, and start the application's time. To fetch the same
    /// again and again is no progress, or a partition could go round in a circle for ever without a word.
    fn has_moved(&self, sight: Sight, cause: StallCause) -> bool {
        let has_come = self.cause != StallCause::Application && cause == StallCause::Application;
        self.position != sight.position || (has_come && sight.fetch_position > self.fetch_position)
    }
}

/// The watch over the application: how long it has not asked for records.
#[derive(Debug, Default)]
pub(crate) struct PollWatch {
    /// Since when it has something to do before it asks again; `None` while it waits for records.
    since: Option<Instant>,
    is_told: bool,
}

impl PollWatch {
    /// The application was given something.
    pub(crate) fn handle_taken(&mut self, now: Instant) {
        self.since = Some(now);
        self.is_told = false;
    }

    /// The application asked, and there was nothing.
    pub(crate) fn handle_waiting(&mut self) {
        self.since = None;
        self.is_told = false;
    }

    /// As long as nothing waits for it and it was given nothing, it is not late. A lateness is told once.
    pub(crate) fn observe(
        &mut self,
        has_records: bool,
        interval: Duration,
        now: Instant,
    ) -> Option<Duration> {
        if self.since.is_none() && has_records {
            self.since = Some(now);
        }
        let late = now.saturating_duration_since(self.since?);
        if self.is_told || late < interval {
            return None;
        }
        self.is_told = true;
        Some(late)
    }

    /// As for a partition's watch.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.since = self.since.map(|_| now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    const AFTER: Duration = Duration::from_secs(30);
    const LIMIT: Option<Duration> = Some(Duration::from_secs(300));

    fn sight(cause: impl Into<Option<StallCause>>, position: i64, fetch_position: i64) -> Sight {
        Sight { cause: cause.into(), position, fetch_position }
    }

    struct Watched {
        watch: StallWatch,
        now: Instant,
    }

    impl Watched {
        fn new() -> Self {
            Self { watch: StallWatch::default(), now: clock::now() }
        }

        fn after(&mut self, secs: u64, sight: Sight) -> Option<Finding> {
            self.now += Duration::from_secs(secs);
            self.watch.observe(sight, AFTER, LIMIT, self.now)
        }
    }

    #[test]
    fn a_stall_is_told_once_and_once_more_past_the_limit_and_its_end_is_told() {
        let mut watched = Watched::new();
        let waits = sight(StallCause::Broker, 5, 5);
        assert_eq!(watched.after(0, waits), None);
        assert_eq!(watched.after(29, waits), None);
        let told = Finding::Stalled { cause: StallCause::Broker, after: Duration::from_secs(30) };
        assert_eq!(watched.after(1, waits), Some(told));
        assert_eq!(watched.watch.stalled(), Some(StallCause::Broker));
        assert_eq!(watched.after(269, waits), None, "once");
        let overdue = Finding::Overdue { cause: StallCause::Broker, after: Duration::from_secs(300) };
        assert_eq!(watched.after(1, waits), Some(overdue));
        assert_eq!(watched.after(1000, waits), None);
        assert_eq!(watched.after(1, sight(StallCause::Broker, 6, 6)), Some(Finding::Resumed));
        assert_eq!((watched.watch.stalls(), watched.watch.stalled()), (1, None));
        assert_eq!(
            watched.after(30, sight(StallCause::Broker, 6, 6)).map(|_| watched.watch.stalls()),
            Some(2)
        );
    }

    #[test]
    fn what_has_nothing_to_get_is_not_stalled_however_long() {
        let mut watched = Watched::new();
        for _ in 0..100 {
            assert_eq!(watched.after(30, sight(None, 5, 5)), None);
        }
        assert_eq!(watched.after(1, sight(StallCause::Broker, 5, 5)), None, "it waits from now on");
    }

    #[test]
    fn records_that_came_start_the_applications_time() {
        let mut watched = Watched::new();
        watched.after(0, sight(StallCause::Broker, 5, 5));
        assert_eq!(watched.after(29, sight(StallCause::Application, 5, 9)), None);
        assert_eq!(watched.after(29, sight(StallCause::Application, 5, 20)), None);
        let told = Finding::Stalled { cause: StallCause::Application, after: Duration::from_secs(30) };
        assert_eq!(
            watched.after(1, sight(StallCause::Application, 5, 30)),
            Some(told),
            "more records change nothing"
        );
        assert_eq!(
            watched.after(1000, sight(StallCause::Application, 5, 30)),
            None,
            "nobody would take an error"
        );
    }

    #[test]
    fn fetching_the_same_for_ever_is_a_stall() {
        let mut watched = Watched::new();
        let mut told = 0;
        for _ in 0..10 {
            told += usize::from(watched.after(5, sight(StallCause::Broker, 5, 5)).is_some());
            told += usize::from(watched.after(5, sight(StallCause::Application, 5, 9)).is_some());
        }
        assert_eq!(told, 1);
    }

    #[test]
    fn a_process_that_stood_still_is_given_its_time_again() {
        let mut watched = Watched::new();
        let waits = sight(StallCause::Broker, 5, 5);
        watched.after(0, waits);
        watched.now += Duration::from_secs(1000);
        watched.watch.restart(watched.now);
        assert_eq!(watched.after(29, waits), None);
        assert!(watched.after(1, waits).is_some());
    }

    #[test]
    fn an_application_that_waits_for_records_is_never_late() {
        let (mut watch, start) = (PollWatch::default(), clock::now());
        let at = |secs| start + Duration::from_secs(secs);
        assert_eq!(watch.observe(false, AFTER, at(100)), None, "nothing was ever there");
        assert_eq!(watch.observe(true, AFTER, at(200)), None, "from now on");
        assert_eq!(watch.observe(true, AFTER, at(230)), Some(AFTER));
        assert_eq!(watch.observe(true, AFTER, at(300)), None, "once");
        watch.handle_waiting();
        assert_eq!(watch.observe(false, AFTER, at(900)), None);
        watch.handle_taken(at(1000));
        assert_eq!(watch.observe(false, AFTER, at(1029)), None);
        assert_eq!(
            watch.observe(false, AFTER, at(1030)),
            Some(AFTER),
            "it holds a record and does not come back"
        );
    }
}
