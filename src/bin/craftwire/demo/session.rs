//! One session of a player: how it will go is drawn when it begins, and what it sends follows from that and the time.

use craftwire::crafting::{
    CancelReason, CraftingDuration, EstimatedDuration, FailureReason, Location, Material, MaterialQuality,
    Materials, PauseReason, Percent, ProgressUpdate, Quality, Quantity, Seconds, SessionCancel,
    SessionComplete, SessionEvent, SessionFail, SessionPause, SessionResume, SessionStart, Status, Timestamp,
};
use std::time::Duration;
use uuid::Uuid;

use super::random::Random;

/// A session under way. Times are microseconds from the start of the run.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    begun_us: u64,
    ends_us: u64,
    ending: Ending,
    pause: Option<Pause>,
    stage: Stage,
    has_shown_progress: bool,
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Complete(Quality),
    Fail(FailureReason),
    Cancel(CancelReason),
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    reason: PauseReason,
    from_us: u64,
    until_us: u64,
}

/// What it sent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Paused,
    Ended,
}

impl Session {
    /// A session that begins now, and the event that says so.
    pub(crate) fn begin(now_us: u64, random: &mut Random) -> (Self, SessionEvent) {
        let length = LENGTH_MIN + random.exponential(LENGTH_MEAN - LENGTH_MIN).min(LENGTH_MAX - LENGTH_MIN);
        let length_us = micros(length);
        let ending = match random.below(100) {
            0..80 => Ending::Complete(random.pick(QUALITIES).unwrap_or(Quality::Common)),
            80..90 => Ending::Fail(random.pick(FailureReason::ALL).unwrap_or(FailureReason::Timeout)),
            _ => Ending::Cancel(random.pick(CancelReason::ALL).unwrap_or(CancelReason::PlayerRequest)),
        };
        let pause = random.percent(PAUSED_PERCENT).then(|| Pause {
            reason: random.pick(PauseReason::ALL).unwrap_or(PauseReason::PlayerAfk),
            from_us: now_us + length_us / 8 + random.below(length_us / 4),
            until_us: now_us + length_us / 2 + random.below(length_us / 4),
        });
        let session = Self {
            id: random.uuid(),
            begun_us: now_us,
            ends_us: now_us + length_us,
            ending,
            pause,
            stage: Stage::Running,
            has_shown_progress: false,
        };
        let start = session.start_event(random);
        (session, start)
    }

    /// When its next event is due; `None` once it has ended.
    pub(crate) fn next_event_us(&self) -> Option<u64> {
        match (self.stage, self.pause) {
            (Stage::Ended, _) => None,
            (Stage::Running, Some(pause)) => Some(pause.from_us),
            (Stage::Paused, Some(pause)) => Some(pause.until_us),
            (_, None) => Some(self.ends_us),
        }
    }

    /// Its next event, if that is due.
    pub(crate) fn next_event(
        &mut self,
        now_us: u64,
        time_of_day_ms: i64,
        random: &mut Random,
    ) -> Option<SessionEvent> {
        if self.next_event_us()? > now_us {
            return None;
        }
        let time = Timestamp::from_unix_millis(time_of_day_ms).ok();
        Some(match (self.stage, self.pause) {
            (Stage::Running, Some(pause)) => {
                self.stage = Stage::Paused;
                let event = SessionPause::new(self.id, pause.reason);
                time.map_or(event.clone(), |time| event.with_pause_time(time)).into()
            }
            (Stage::Paused, Some(_)) => {
                self.stage = Stage::Running;
                self.pause = None;
                let event = SessionResume::new(self.id)
                    .with_remaining_duration(seconds(self.ends_us - now_us.min(self.ends_us)));
                time.map_or(event.clone(), |time| event.with_resume_time(time)).into()
            }
            _ => {
                self.stage = Stage::Ended;
                self.end_event(now_us, random)
            }
        })
    }

    /// How far it is, and whether this is the first time that it says so.
    pub(crate) fn progress(&mut self, now_us: u64) -> (ProgressUpdate, bool) {
        let elapsed_us = now_us.saturating_sub(self.begun_us);
        let length_us = (self.ends_us - self.begun_us).max(1);
        let hundredths =
            if self.ends_us <= now_us { 10_000 } else { elapsed_us.saturating_mul(10_000) / length_us };
        let (status, percent) = match (self.stage, self.ending) {
            (Stage::Running, _) => (Status::Active, hundredths / 100),
            (Stage::Paused, _) => (Status::Paused, hundredths / 100),
            (Stage::Ended, Ending::Complete(_)) => (Status::Completed, 100),
            (Stage::Ended, Ending::Fail(reason)) => {
                (Status::Failed { reason: Some(reason.as_str().to_owned()) }, hundredths.min(9_900) / 100)
            }
            (Stage::Ended, Ending::Cancel(_)) => (Status::Interrupted, hundredths.min(9_900) / 100),
        };
        let step = usize::try_from(hundredths * 4 / 10_000).unwrap_or(0).min(STEPS.len() - 1);
        let step_percent = (hundredths * 4 / 100) % 100;
        let update = ProgressUpdate::new(self.id, checked_percent(percent), status)
            .with_elapsed(seconds(elapsed_us))
            .with_remaining(seconds(self.ends_us.saturating_sub(now_us)))
            .with_current_step(STEPS[step], Some(checked_percent(step_percent)));
        (update, !std::mem::replace(&mut self.has_shown_progress, true))
    }

    fn start_event(&self, random: &mut Random) -> SessionEvent {
        let mut start = SessionStart::new(self.id, random.uuid(), random.uuid())
            .with_workstation_id(random.uuid())
            .with_zone_id(ZONES[usize::try_from(random.below(4)).unwrap_or(0)]);
        let materials = (0..=random.below(3)).filter_map(|_| material(random)).collect();
        if let Ok(materials) = Materials::new(materials) {
            start = start.with_materials(materials);
        }
        if let Ok(estimate) = EstimatedDuration::try_from(Duration::from_micros(self.ends_us - self.begun_us))
        {
            start = start.with_estimated_duration(estimate);
        }
        match Location::new(coordinate(random), coordinate(random), 0.0) {
            Ok(location) => start.with_location(location).into(),
            Err(_) => start.into(),
        }
    }

    fn end_event(&self, now_us: u64, random: &mut Random) -> SessionEvent {
        let took = seconds(now_us.saturating_sub(self.begun_us));
        match self.ending {
            Ending::Complete(quality) => {
                let duration = CraftingDuration::try_from(took.get()).unwrap_or(CraftingDuration::MIN);
                SessionComplete::new(self.id, random.uuid(), duration)
                    .with_quality(quality)
                    .with_experience_gained(10 + random.below(90))
                    .into()
            }
            Ending::Fail(reason) => SessionFail::new(self.id, reason).with_duration(took).into(),
            Ending::Cancel(reason) => SessionCancel::new(self.id, reason).with_duration(took).into(),
        }
    }
}

fn material(random: &mut Random) -> Option<Material> {
    let quantity = Quantity::try_from(1 + random.below(9)).ok()?;
    let quality = random.pick(MaterialQuality::ALL)?;
    Some(Material::new(random.uuid(), quantity).with_quality(quality))
}

fn coordinate(random: &mut Random) -> f64 {
    f64::from(u32::try_from(random.below(100_000)).unwrap_or(0)) / 100.0
}

fn checked_percent(percent: u64) -> Percent {
    Percent::try_from(percent).unwrap_or(Percent::MAX)
}

fn seconds(micros: u64) -> Seconds {
    Seconds::try_from(Duration::from_micros(micros)).unwrap_or(Seconds::MIN)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) const LENGTH_MIN: Duration = Duration::from_secs(2);
const LENGTH_MEAN: Duration = Duration::from_secs(8);
const LENGTH_MAX: Duration = Duration::from_secs(30);
const PAUSED_PERCENT: u64 = 30;
const STEPS: [&str; 4] = ["gathering", "heating", "forging", "finishing"];
const ZONES: [&str; 4] = ["harbour_forge", "old_town_market", "north_mine", "guild_hall"];
const QUALITIES: &[Quality] = Quality::ALL;

#[cfg(test)]
mod tests {
    use super::*;

    /// All events of a session, with their times.
    fn life(seed: u64) -> Vec<(u64, SessionEvent)> {
        let mut random = Random::new(seed);
        let (mut session, start) = Session::begin(1_000_000, &mut random);
        let mut events = vec![(1_000_000, start)];
        while let Some(due_us) = session.next_event_us() {
            assert!(session.next_event(due_us - 1, 0, &mut random).is_none());
            events.push((due_us, session.next_event(due_us, 0, &mut random).unwrap()));
        }
        events
    }

    #[test]
    fn a_life_is_start_then_pauses_that_are_resumed_then_one_end() {
        let (mut ends, mut pauses) = (0, 0);
        for seed in 0..500 {
            let events = life(seed);
            assert!(events.is_sorted_by_key(|(due_us, _)| *due_us));
            assert!(events.last().unwrap().0 - events[0].0 >= 2_000_000);
            match events.iter().map(|(_, event)| event).collect::<Vec<_>>()[..] {
                [SessionEvent::Start(_), ref middle @ .., ref end] => {
                    ends += usize::from(matches!(end, SessionEvent::Complete(_)));
                    match middle {
                        [] => {}
                        [SessionEvent::Pause(_), SessionEvent::Resume(_)] => pauses += 1,
                        other => panic!("{other:?}"),
                    }
                    assert!(matches!(
                        end,
                        SessionEvent::Complete(_) | SessionEvent::Fail(_) | SessionEvent::Cancel(_)
                    ));
                }
                ref other => panic!("{other:?}"),
            }
        }
        assert!((350..450).contains(&ends) && (100..200).contains(&pauses), "{ends} {pauses}");
    }

    #[test]
    fn progress_grows_and_ends_as_the_session_does() {
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let (mut session, _) = Session::begin(0, &mut random);
            let mut last = 0;
            let mut now_us = 0;
            while session.next_event_us().is_some() {
                now_us += 100_000;
                while session.next_event(now_us, 0, &mut random).is_some() {}
                let (update, is_first) = session.progress(now_us);
                assert_eq!(is_first, now_us == 100_000);
                assert!(update.progress.get() >= last, "it never goes back");
                last = update.progress.get();
                let ended = session.next_event_us().is_none();
                assert_eq!(ended, update.status.is_final() || update.status == Status::Interrupted);
            }
        }
    }
}
