//! Values of an event that cannot be wrong: each is checked once, when it is made.
//!
//! Invariant: whoever holds one of these holds a value that the contract allows. What is absent: JSON, which is read
//! and written in `json`.

use std::{borrow::Cow, fmt, num::IntErrorKind, str::FromStr, sync::Arc, time::Duration};

use super::{
    json::{Out, ToJson},
    violation::{InvalidValue, Rule},
};

macro_rules! integers {
    ($($(#[$doc:meta])* $name:ident($repr:ident) $min:literal..=$max:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($repr);

        impl $name {
            /// The smallest.
            pub const MIN: Self = Self($min);
            /// The largest.
            pub const MAX: Self = Self($max);

            /// Checks the number.
            ///
            /// # Errors
            ///
            /// [`Rule::Integer`] if it is out of range.
            pub fn new(number: $repr) -> Result<Self, InvalidValue> {
                Self::try_from(u64::from(number))
            }

            /// The number.
            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl TryFrom<u64> for $name {
            type Error = InvalidValue;

            fn try_from(number: u64) -> Result<Self, InvalidValue> {
                $repr::try_from(number)
                    .ok()
                    .map(Self)
                    .filter(|checked| (Self::MIN..=Self::MAX).contains(checked))
                    .ok_or_else(|| InvalidValue::new(<Self as Bounded>::RULE, &number.to_string()))
            }
        }

        impl From<$name> for u64 {
            fn from(checked: $name) -> Self {
                Self::from(checked.0)
            }
        }

        impl Bounded for $name {
            const RULE: Rule = Rule::Integer { min: $min as u64, max: $max as u64 };
        }

        impl ToJson for $name {
            fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
                u64::from(*self).write(out)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

/// An integer with bounds, for the JSON reader.
pub(crate) trait Bounded: TryFrom<u64> {
    const RULE: Rule;
}

impl Bounded for u64 {
    const RULE: Rule = Rule::Integer { min: Self::MIN, max: Self::MAX };
}

integers! {
    /// How far something is, 0 to 100.
    Percent(u8) 0..=100;
    /// A quality as a number, 1 to 100.
    QualityScore(u8) 1..=100;
    /// How many of a material, 1 to 1000.
    Quantity(u16) 1..=1000;
    /// How often an event was tried again, 0 to 10.
    RetryCount(u8) 0..=10;
    /// A size in bytes, 1 or more.
    SizeBytes(u64) 1..=u64::MAX;
    /// How long crafting is expected to take, 1 to 3600 whole seconds.
    EstimatedDuration(u16) 1..=3600;
    /// How long a completed session took, 1 or more whole seconds.
    CraftingDuration(u64) 1..=u64::MAX;
    /// A length of time in whole seconds, 0 or more.
    Seconds(u64) 0..=u64::MAX;
}

macro_rules! durations {
    ($($name:ident)*) => {$(
        impl TryFrom<Duration> for $name {
            type Error = InvalidValue;

            /// Drops what is less than a second.
            fn try_from(duration: Duration) -> Result<Self, InvalidValue> {
                Self::try_from(duration.as_secs())
            }
        }

        impl From<$name> for Duration {
            fn from(checked: $name) -> Self {
                Self::from_secs(checked.into())
            }
        }
    )*};
}

durations! { EstimatedDuration CraftingDuration Seconds }

impl Default for RetryCount {
    fn default() -> Self {
        Self::MIN
    }
}

/// What kind of event it is: `domain.entity.action`, each part of the letters a to z.
///
/// ```
/// use craftwire::crafting::EventType;
///
/// assert_eq!(EventType::SESSION_START.as_str(), "crafting.session.start");
/// assert_eq!("guild.bank.deposit".parse::<EventType>()?.entity(), "bank");
/// assert!("guild.bank".parse::<EventType>().is_err());
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(Cow<'static, str>);

impl EventType {
    /// A session began.
    pub const SESSION_START: Self = Self::known("crafting.session.start");
    /// A session ended with a result.
    pub const SESSION_COMPLETE: Self = Self::known("crafting.session.complete");
    /// A session ended without one.
    pub const SESSION_FAIL: Self = Self::known("crafting.session.fail");
    /// A session was called off.
    pub const SESSION_CANCEL: Self = Self::known("crafting.session.cancel");
    /// A session stands still.
    pub const SESSION_PAUSE: Self = Self::known("crafting.session.pause");
    /// A session goes on.
    pub const SESSION_RESUME: Self = Self::known("crafting.session.resume");
    /// How far a session is.
    pub const PROGRESS_UPDATE: Self = Self::known("crafting.progress.update");

    /// The most frequent ones first.
    const KNOWN: [Self; 7] = [
        Self::PROGRESS_UPDATE,
        Self::SESSION_START,
        Self::SESSION_COMPLETE,
        Self::SESSION_FAIL,
        Self::SESSION_CANCEL,
        Self::SESSION_PAUSE,
        Self::SESSION_RESUME,
    ];

    const fn known(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first part: `crafting`.
    pub fn domain(&self) -> &str {
        self.part(0)
    }

    /// The second part: `session`.
    pub fn entity(&self) -> &str {
        self.part(1)
    }

    /// The third part: `start`.
    pub fn action(&self) -> &str {
        self.part(2)
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('.').nth(index).unwrap_or_default()
    }
}

impl FromStr for EventType {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if let Some(known) = Self::KNOWN.iter().find(|known| known.0 == text) {
            return Ok(known.clone());
        }
        match is_dotted_words(text, 3) {
            true => Ok(Self(Cow::Owned(text.to_owned()))),
            false => Err(InvalidValue::new(Rule::EventType, text)),
        }
    }
}

/// Who sent an event: `domain.service`, each part of the letters a to z.
///
/// Cheap to clone.
///
/// ```
/// use craftwire::crafting::Source;
///
/// let source: Source = "crafting.network".parse()?;
/// assert_eq!(source.as_str(), "crafting.network");
/// assert!("Crafting.Network".parse::<Source>().is_err());
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(Arc<str>);

impl Source {
    pub(crate) fn check(text: &str) -> Result<(), InvalidValue> {
        match is_dotted_words(text, 2) {
            true => Ok(()),
            false => Err(InvalidValue::new(Rule::Source, text)),
        }
    }

    /// A name that was checked.
    pub(crate) fn as_checked(text: &str) -> Self {
        Self(text.into())
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Source {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::check(text).map(|()| Self::as_checked(text))
    }
}

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ToJson for $name {
            fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
                out.plain(self.as_str())
            }
        }
    )*};
}

as_text! { EventType Source }

/// The version of the contract that an event was written to: `MAJOR.MINOR.PATCH`.
///
/// ```
/// use craftwire::crafting::Version;
///
/// assert_eq!(Version::CURRENT.to_string(), "1.0.0");
/// assert!("1.10.0".parse::<Version>()? > "1.9.0".parse()?);
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// Changes that old readers cannot read.
    pub major: u64,
    /// Additions.
    pub minor: u64,
    /// Corrections.
    pub patch: u64,
}

impl Version {
    /// What this crate writes: `1.0.0`.
    pub const CURRENT: Self = Self { major: 1, minor: 0, patch: 0 };
}

impl Default for Version {
    fn default() -> Self {
        Self::CURRENT
    }
}

impl FromStr for Version {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mut parts = text.split('.').map(|part| {
            let is_number = is_digits(part) && (part == "0" || !part.starts_with('0'));
            if is_number { part.parse().ok() } else { None }
        });
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => {
                Ok(Self { major, minor, patch })
            }
            _ => Err(InvalidValue::new(Rule::Version, text)),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// How long an event matters: a number and a unit, such as `7d`.
///
/// ```
/// use std::time::Duration;
///
/// use craftwire::crafting::Ttl;
///
/// let ttl: Ttl = "90m".parse()?;
/// assert_eq!(ttl.to_duration(), Duration::from_secs(5400));
/// assert_eq!(Ttl::days(7).to_string(), "7d");
/// # Ok::<(), craftwire::crafting::InvalidValue>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ttl {
    amount: u64,
    unit: TtlUnit,
}

/// The unit of a [`Ttl`]; it is kept as given, so `24h` stays `24h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TtlUnit {
    Days,
    Hours,
    Minutes,
    Seconds,
}

impl Ttl {
    /// `<amount>d`.
    pub const fn days(amount: u64) -> Self {
        Self { amount, unit: TtlUnit::Days }
    }

    /// `<amount>h`.
    pub const fn hours(amount: u64) -> Self {
        Self { amount, unit: TtlUnit::Hours }
    }

    /// `<amount>m`.
    pub const fn minutes(amount: u64) -> Self {
        Self { amount, unit: TtlUnit::Minutes }
    }

    /// `<amount>s`.
    pub const fn seconds(amount: u64) -> Self {
        Self { amount, unit: TtlUnit::Seconds }
    }

    /// The same as a duration, at most `u64::MAX` seconds.
    pub const fn to_duration(self) -> Duration {
        let seconds = match self.unit {
            TtlUnit::Days => 86_400,
            TtlUnit::Hours => 3600,
            TtlUnit::Minutes => 60,
            TtlUnit::Seconds => 1,
        };
        Duration::from_secs(self.amount.saturating_mul(seconds))
    }

    pub(crate) const fn amount(self) -> u64 {
        self.amount
    }

    /// The unit as it is written.
    pub(crate) const fn letter(self) -> u8 {
        match self.unit {
            TtlUnit::Days => b'd',
            TtlUnit::Hours => b'h',
            TtlUnit::Minutes => b'm',
            TtlUnit::Seconds => b's',
        }
    }
}

impl FromStr for Ttl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let refused = || InvalidValue::new(Rule::Ttl, text);
        let (amount, unit) = match text.as_bytes() {
            [_, .., b'd'] => (&text[..text.len() - 1], TtlUnit::Days),
            [_, .., b'h'] => (&text[..text.len() - 1], TtlUnit::Hours),
            [_, .., b'm'] => (&text[..text.len() - 1], TtlUnit::Minutes),
            [_, .., b's'] => (&text[..text.len() - 1], TtlUnit::Seconds),
            _ => return Err(refused()),
        };
        if !is_digits(amount) {
            return Err(refused());
        }
        match amount.parse() {
            Ok(amount) => Ok(Self { amount, unit }),
            // The contract sets no largest: for ever stays for ever.
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => Ok(Self { amount: u64::MAX, unit }),
            Err(_) => Err(refused()),
        }
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.amount, char::from(self.letter()))
    }
}

fn is_dotted_words(text: &str, parts: usize) -> bool {
    // One pass over the bytes: every event that is read has two of these.
    let (mut dots, mut last) = (0, b'.');
    for byte in text.bytes() {
        match (byte, last) {
            (b'.', b'.') => return false,
            (b'.', _) => dots += 1,
            (b'a'..=b'z', _) => {}
            _ => return false,
        }
        last = byte;
    }
    last != b'.' && dots + 1 == parts
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inside() {
        for (accepted, refused) in [
            (Percent::new(0).is_ok() && Percent::new(100).is_ok(), Percent::new(101).is_ok()),
            (QualityScore::new(1).is_ok() && QualityScore::new(100).is_ok(), QualityScore::new(0).is_ok()),
            (Quantity::new(1).is_ok() && Quantity::new(1000).is_ok(), Quantity::new(1001).is_ok()),
            (RetryCount::new(0).is_ok() && RetryCount::new(10).is_ok(), RetryCount::new(11).is_ok()),
            (SizeBytes::new(1).is_ok() && SizeBytes::new(u64::MAX).is_ok(), SizeBytes::new(0).is_ok()),
            (EstimatedDuration::new(3600).is_ok(), EstimatedDuration::new(3601).is_ok()),
            (CraftingDuration::new(1).is_ok(), CraftingDuration::new(0).is_ok()),
        ] {
            assert!(accepted);
            assert!(!refused);
        }
        assert!(Percent::try_from(256 + 50).is_err(), "no number wraps into range");
    }

    #[test]
    fn durations_lose_their_fraction() {
        assert_eq!(Seconds::try_from(Duration::from_millis(2999)).unwrap().get(), 2);
        assert!(CraftingDuration::try_from(Duration::from_millis(999)).is_err());
        assert_eq!(Duration::from(EstimatedDuration::MAX), Duration::from_secs(3600));
    }

    #[test]
    fn event_types_have_three_parts() {
        assert!("a.b.c".parse::<EventType>().is_ok());
        for text in [
            "", "a", "a.b", "a.b.c.d", "a..c", ".b.c", "a.b.", "A.b.c", "a.b.c1", "a.b_b.c", "a.b.ç",
            "a.b.c ",
        ] {
            assert!(text.parse::<EventType>().is_err(), "{text}");
        }
        assert_eq!("crafting.session.start".parse::<EventType>().unwrap(), EventType::SESSION_START);
    }

    #[test]
    fn sources_have_two_parts() {
        assert!("a.b".parse::<Source>().is_ok());
        for text in ["", "a", "a.b.c", "a.", ".b", "a.B", "a.b2", "a-b.c"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_have_three_numbers() {
        assert_eq!("10.20.30".parse(), Ok(Version { major: 10, minor: 20, patch: 30 }));
        for text in
            ["", "1", "1.0", "1.0.0.0", "1.0.x", "1..0", "v1.0.0", "1.0.-1", "+1.0.0", "01.0.0", "1.0.0-beta"]
        {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn ttls_are_digits_and_a_unit() {
        for text in ["7d", "0s", "24h", "90m"] {
            assert_eq!(text.parse::<Ttl>().unwrap().to_string(), text);
        }
        for text in ["", "d", "7", "7w", "7D", "-7d", "+7d", "7.5d", "7 d", "7dd", "7d ", "é", "7é", "７d"]
        {
            assert!(text.parse::<Ttl>().is_err(), "{text}");
        }
        assert_eq!("99999999999999999999d".parse::<Ttl>(), Ok(Ttl::days(u64::MAX)));
        assert_eq!(Ttl::days(u64::MAX).to_duration(), Duration::from_secs(u64::MAX));
    }
}
