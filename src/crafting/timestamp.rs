//! Points in time as RFC 3339 text has them.
//!
//! Invariant: the year is 0 to 9999 in UTC, so every value can be written. What is absent: clocks; the time is always
//! an argument.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

use jiff::{SignedDuration, civil::DateTime, tz::Offset};

use super::violation::{InvalidValue, Rule};

const UNIX_EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const NANOS_PER_MILLI: i32 = 1_000_000;
/// `2026-01-15T09:30:00.123456789Z`
const TEXT_BYTES_MAX: usize = 30;

/// A point in time, to the nanosecond, in the years 0 to 9999.
///
/// Read from RFC 3339 with any offset, written in UTC with `Z`. Fractions of a second are written with three, six or
/// nine digits, as many as it takes, and left out when zero; on reading, digits after the ninth are dropped. The leap
/// second `23:59:60` reads as `23:59:59`.
///
/// ```
/// use craftwire::crafting::Timestamp;
///
/// let time: Timestamp = "2026-01-15T10:30:00.25+01:00".parse()?;
/// assert_eq!(time.to_string(), "2026-01-15T09:30:00.250Z");
/// assert_eq!(time.unix_millis(), 1_768_469_400_250);
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
// Kept as civil time in UTC: reading and writing the usual `Z` form takes no calendar arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(DateTime);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(UNIX_EPOCH);

    /// The time this many milliseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// [`Rule::Timestamp`] if the year is not 0 to 9999.
    pub fn from_unix_millis(millis: i64) -> Result<Self, InvalidValue> {
        // Quicker by the calendar's own type, which ends some hours before the year 9999 does.
        let time = match jiff::Timestamp::from_millisecond(millis) {
            Ok(time) => Self::in_range(Offset::UTC.to_datetime(time)),
            Err(_) => Self::from_unix(SignedDuration::from_millis(millis)),
        };
        time.ok_or_else(|| InvalidValue::new(Rule::Timestamp, &format!("{millis} ms since 1970")))
    }

    /// Whole milliseconds since 1970-01-01T00:00:00Z, rounded down.
    pub fn unix_millis(self) -> i64 {
        // Years 0 to 9999 are some 10^14 ms: always an i64.
        let since = self.since_unix();
        let millis = since.as_secs() * 1000 + i64::from(since.subsec_nanos() / NANOS_PER_MILLI);
        if since.subsec_nanos() % NANOS_PER_MILLI < 0 { millis - 1 } else { millis }
    }

    /// The same time as the standard library has it; `None` where the platform's type cannot hold it.
    pub fn to_system_time(self) -> Option<SystemTime> {
        let since = self.since_unix();
        let distance = since.unsigned_abs();
        match since.is_negative() {
            true => SystemTime::UNIX_EPOCH.checked_sub(distance),
            false => SystemTime::UNIX_EPOCH.checked_add(distance),
        }
    }

    /// The RFC 3339 text, and how many of its bytes count.
    pub(crate) fn text(self) -> ([u8; TEXT_BYTES_MAX], usize) {
        let Self(time) = self;
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        let nanos = time.subsec_nanosecond().unsigned_abs();
        let year = u32::from(time.year().unsigned_abs());
        put_pair(&mut text, 0, year / 100);
        put_pair(&mut text, 2, year % 100);
        for (at, number) in
            [(5, time.month()), (8, time.day()), (11, time.hour()), (14, time.minute()), (17, time.second())]
        {
            put_pair(&mut text, at, number.unsigned_abs().into());
        }
        let (millis, micros) = (nanos / 1_000_000, nanos / 1_000);
        let end = match nanos {
            0 => 19,
            _ if millis * 1_000_000 == nanos => 23,
            _ if micros * 1_000 == nanos => 26,
            _ => 29,
        };
        for (at, three) in [(20, millis), (23, micros % 1_000), (26, nanos % 1_000)] {
            if at < end {
                text[at] = b'0' + (three / 100).to_le_bytes()[0];
                put_pair(&mut text, at + 1, three % 100);
            }
        }
        text[end] = b'Z';
        (text, end + 1)
    }

    fn since_unix(self) -> SignedDuration {
        self.0.duration_since(UNIX_EPOCH)
    }

    fn from_unix(since: SignedDuration) -> Option<Self> {
        Self::in_range(UNIX_EPOCH.checked_add(since).ok()?)
    }

    fn in_range(time: DateTime) -> Option<Self> {
        (0..=9999).contains(&time.year()).then_some(Self(time))
    }
}

impl FromStr for Timestamp {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        read(text.as_bytes()).ok_or_else(|| InvalidValue::new(Rule::Timestamp, text))
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = InvalidValue;

    fn try_from(time: SystemTime) -> Result<Self, InvalidValue> {
        let signed = |distance: Duration| SignedDuration::try_from(distance).ok();
        let since = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => signed(after),
            Err(before) => signed(before.duration()).map(|distance| -distance),
        };
        since
            .and_then(Self::from_unix)
            .ok_or_else(|| InvalidValue::new(Rule::Timestamp, &format!("{time:?}")))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, len) = self.text();
        f.write_str(&String::from_utf8_lossy(&text[..len]))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads RFC 3339's grammar to the letter; whether the day exists and what an offset does to it is left to the calendar.
fn read(text: &[u8]) -> Option<Timestamp> {
    let (head, mut rest) = text.split_first_chunk::<19>()?;
    let punctuation = [head[4], head[7], head[10].to_ascii_uppercase(), head[13], head[16]];
    if punctuation != *b"--T::" {
        return None;
    }
    let two = |at: usize| number(&head[at..at + 2]).and_then(|number| i8::try_from(number).ok());
    let year = i16::try_from(number(&head[..4])?).ok()?;
    let (month, day, hour, minute, second) = (two(5)?, two(8)?, two(11)?, two(14)?, two(17)?);

    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if len == 0 {
            return None;
        }
        let kept = &fraction[..len.min(9)];
        nanos = kept
            .iter()
            .chain(b"000000000")
            .take(9)
            .fold(0, |nanos, digit| nanos * 10 + i32::from(digit - b'0'));
        rest = &fraction[len..];
    }

    let is_leap_second = second == 60;
    let local = DateTime::new(year, month, day, hour, minute, second.min(59), nanos).ok()?;
    if second > 60 {
        return None;
    }
    let utc = match offset_minutes(rest)? {
        0 => local,
        minutes => local.checked_sub(SignedDuration::from_mins(minutes)).ok()?,
    };
    if is_leap_second && (utc.hour(), utc.minute()) != (23, 59) {
        return None;
    }
    Timestamp::in_range(utc)
}

/// Minutes east of UTC.
fn offset_minutes(text: &[u8]) -> Option<i64> {
    match text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', m1, m2] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*m1, *m2])?);
            let total = i64::from(hours * 60 + minutes);
            let total = if *sign == b'-' { -total } else { total };
            (hours <= 23 && minutes <= 59).then_some(total)
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
}

/// Writes a number below 100 as two digits.
fn put_pair(text: &mut [u8; TEXT_BYTES_MAX], at: usize, number: u32) {
    text[at] = b'0' + (number / 10).to_le_bytes()[0];
    text[at + 1] = b'0' + (number % 10).to_le_bytes()[0];
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_as(text: &str) -> String {
        text.parse::<Timestamp>().map_or_else(|_| "refused".to_owned(), |time| time.to_string())
    }

    #[test]
    fn reads_rfc_3339() {
        for (text, written) in [
            ("2026-01-15T09:30:00Z", "2026-01-15T09:30:00Z"),
            ("2026-01-15t09:30:00z", "2026-01-15T09:30:00Z"),
            ("2026-01-15T09:30:00+00:00", "2026-01-15T09:30:00Z"),
            ("2026-01-15T09:30:00-00:00", "2026-01-15T09:30:00Z"),
            ("2026-01-01T01:30:00+05:45", "2025-12-31T19:45:00Z"),
            ("2024-02-29T23:00:00-02:00", "2024-03-01T01:00:00Z"),
            ("2026-01-15T09:30:00.5Z", "2026-01-15T09:30:00.500Z"),
            ("2026-01-15T09:30:00.000Z", "2026-01-15T09:30:00Z"),
            ("2026-01-15T09:30:00.1234Z", "2026-01-15T09:30:00.123400Z"),
            ("2026-01-15T09:30:00.000000001Z", "2026-01-15T09:30:00.000000001Z"),
            ("2026-01-15T09:30:00.1234567899Z", "2026-01-15T09:30:00.123456789Z"),
            ("1990-12-31T15:59:60-08:00", "1990-12-31T23:59:59Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(read_as(text), written, "{text}");
        }
    }

    #[test]
    fn refuses_what_only_looks_like_it() {
        for text in [
            "",
            "2026-01-15",
            "2026-01-15T09:30Z",
            "2026-01-15T09:30:00",
            "2026-01-15 09:30:00Z",
            "2026-01-15T09:30:00,5Z",
            "2026-01-15T09:30:00.Z",
            "2026-01-15T09:30:00+01",
            "2026-01-15T09:30:00+0100",
            "2026-01-15T09:30:00+24:00",
            "2026-01-15T09:30:00+01:60",
            "2026-01-15T09:30:00Z[UTC]",
            "2026-01-15T09:30:00Z ",
            "2026-02-30T09:30:00Z",
            "2025-02-29T09:30:00Z",
            "2026-13-01T09:30:00Z",
            "2026-01-15T24:00:00Z",
            "2026-01-15T09:60:00Z",
            "2026-01-15T09:30:60Z",
            "2026-01-15T23:59:61Z",
            "+002026-01-15T09:30:00Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "２０２６-01-15T09:30:00Z",
            "1768469400",
        ] {
            assert_eq!(read_as(text), "refused", "{text}");
        }
    }

    #[test]
    fn milliseconds_round_down_on_both_sides_of_1970() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.0019Z", 1),
            ("1969-12-31T23:59:59.9989Z", -2),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().unix_millis(), millis, "{text}");
        }
    }

    #[test]
    fn years_out_of_range_are_refused() {
        assert!(Timestamp::from_unix_millis(i64::MAX).is_err());
        assert!(Timestamp::from_unix_millis(i64::MIN).is_err());
        assert!(Timestamp::from_unix_millis(253_402_300_799_999).is_ok());
        assert!(Timestamp::from_unix_millis(253_402_300_800_000).is_err());
    }

    proptest! {
        #[test]
        fn text_and_milliseconds_agree(millis in -62_167_219_200_000_i64..253_402_300_800_000) {
            let time = Timestamp::from_unix_millis(millis).unwrap();
            prop_assert_eq!(time.unix_millis(), millis);
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
            let system = time.to_system_time().unwrap();
            prop_assert_eq!(Timestamp::try_from(system).unwrap(), time);
        }

        #[test]
        fn agrees_with_the_calendar(text in "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])") {
            let ours = text.parse::<Timestamp>().ok().map(Timestamp::unix_millis);
            let theirs = text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond());
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn never_panics(text in "[-0-9TZtz:+. ]{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
