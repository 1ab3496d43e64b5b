//! What a run's options come to: when it is judged, and how much it can publish at the most.

use std::time::Duration;

use super::{meter::amount, players::UPDATES_PER_SECOND, session::LENGTH_MIN, stats::Judged};
use crate::args::DemoArgs;

/// The least time that connections, codecs and brokers get to warm up before anything is judged.
pub(crate) const WARM_UP_MIN: Duration = Duration::from_secs(3);

/// What comes after the first fifth, 3 s at the least. Of a run that is shorter than that, the second half.
pub(crate) fn judged(length: Duration) -> Judged {
    let warm_up = if length > WARM_UP_MIN { WARM_UP_MIN.max(length / 5) } else { length / 2 };
    Judged { from_us: micros(warm_up), until_us: micros(length) }
}

/// The most session events and updates that a run can publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes(pub(crate) [usize; 2]);

impl Sizes {
    /// `None`: more than can be kept account of.
    pub(crate) fn of(args: &DemoArgs) -> Option<Self> {
        let seconds = args.length.as_secs().checked_add(2)?;
        let sessions = u64::from(args.sessions);
        let lives = sessions.checked_mul(seconds / LENGTH_MIN.as_secs() + 2)?;
        // Those under way when the rate is reached may overshoot it for a while.
        let wanted = u64::from(args.events_rate.unwrap_or(0)).checked_mul(2)?.checked_mul(seconds)?;
        let events = lives.checked_mul(EVENTS_OF_A_LIFE_MAX)?.checked_add(wanted)?;
        let updates = sessions.checked_mul(u64::from(UPDATES_PER_SECOND))?.checked_mul(seconds)?;
        let fits = events.checked_add(updates)? <= NUMBERS_MAX;
        fits.then_some(Self([usize::try_from(events).ok()?, usize::try_from(updates).ok()?]))
    }
}

/// Updates a second that are asked for.
pub(crate) fn progress_rate(args: &DemoArgs) -> f64 {
    f64::from(args.sessions) * f64::from(UPDATES_PER_SECOND)
}

/// So many a second; 0 if there was no time.
pub(crate) fn rate(count: u64, within_us: u64) -> f64 {
    if within_us == 0 { 0.0 } else { amount(count) / seconds(within_us) }
}

pub(crate) fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

const EVENTS_OF_A_LIFE_MAX: u64 = 4;
/// A bit for each, some times over: about a gigabyte.
const NUMBERS_MAX: u64 = 2_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn args(length_s: u64, sessions: u32, events_rate: Option<u32>) -> DemoArgs {
        DemoArgs {
            brokers: None,
            length: Duration::from_secs(length_s),
            sessions,
            events_rate,
            shared: false,
            json: false,
            assert_slo: false,
        }
    }

    #[test]
    fn the_warm_up_is_a_fifth_and_three_seconds_at_least() {
        let from_us = |length_s| judged(Duration::from_secs(length_s)).from_us;
        assert_eq!([2, 4, 10, 60].map(from_us), [1_000_000, 3_000_000, 3_000_000, 12_000_000]);
    }

    #[test]
    fn a_day_at_both_floors_can_be_kept_account_of_and_a_week_of_more_cannot() {
        assert_eq!(Sizes::of(&args(10, 1, None)), Some(Sizes([32, 120])));
        assert!(Sizes::of(&args(24 * 3600, 1000, Some(5000))).is_some());
        assert_eq!(Sizes::of(&args(7 * 24 * 3600, 100_000, None)), None);
    }
}
