//! The ids of events that come without one: UUIDs of version 7, in rising order.
//!
//! A source belongs to one thread and takes no lock. What its ids end in is random in each new millisecond and counts up
//! within it (RFC 9562, 6.2, method 2), so ids of several sources do not meet.

use uuid::Uuid;

/// Makes ids.
#[derive(Debug)]
pub(crate) struct EventIds {
    last: u128,
}

impl EventIds {
    pub(crate) const fn new() -> Self {
        Self { last: 0 }
    }

    /// The next id, for an event of now. `random` gives a UUID of version 4.
    pub(crate) fn next(&mut self, now_ms: i64, random: impl FnOnce() -> Uuid) -> Uuid {
        let now_ms = u128::try_from(now_ms).unwrap_or(0) & TIME_MAX_MS;
        // A clock that was set back does not set the ids back.
        self.last = if now_ms > self.last >> TIME_AT {
            now_ms << TIME_AT | VERSION_7 | random().as_u128() & RANDOM
        } else {
            self.last.wrapping_add(1)
        };
        Uuid::from_u128(self.last)
    }
}

/// The bit that the milliseconds start at; they are the highest 48.
const TIME_AT: u32 = 80;
const TIME_MAX_MS: u128 = (1 << 48) - 1;
const VERSION_7: u128 = 7 << 76;
/// What is kept of a random id: all below the version, its variant too, but not the highest of the bits that count up,
/// so that they have no end.
const RANDOM: u128 = ((1 << 76) - 1) & !(1 << 61);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_7_and_rise() {
        let mut ids = EventIds::new();
        let mut last = Uuid::nil();
        for now_ms in [1_795_464_960_000, 1_795_464_960_000, 1_795_464_960_001, 1_795_464_950_000] {
            let id = ids.next(now_ms, Uuid::new_v4);
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            assert!(id > last, "{id} after {last}");
            last = id;
        }
    }

    #[test]
    fn ids_name_their_millisecond() {
        let id = EventIds::new().next(1_795_464_960_123, Uuid::new_v4);
        assert_eq!(id.get_timestamp().map(|time| time.to_unix()), Some((1_795_464_960, 123_000_000)));
    }

    #[test]
    fn the_count_does_not_run_into_the_variant() {
        let mut ids = EventIds::new();
        let first = ids.next(1, || Uuid::from_u128(!(1 << 62)));
        let mut last = first;
        for _ in 0..1000 {
            last = ids.next(1, Uuid::new_v4);
        }
        assert_eq!(last.as_u128(), first.as_u128() + 1000);
        assert_eq!(last.get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn two_sources_differ() {
        assert_ne!(EventIds::new().next(1, Uuid::new_v4), EventIds::new().next(1, Uuid::new_v4));
    }
}
