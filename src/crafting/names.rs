//! The closed lists of names in an event: priorities, qualities, reasons.
//!
//! A name outside its list is an error, both ways, so these enums are exhaustive.

use std::{fmt, str::FromStr};

use super::{
    json::{Out, ToJson},
    violation::{InvalidValue, Rule},
};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* #[doc = concat!("`", $text, "`")] $variant,)*
        }

        impl $name {
            /// All of them, in the contract's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl Named for $name {
            const NAMES: &'static [&'static str] = &[$($text),*];

            fn of(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl ToJson for $name {
            fn write<'o>(&self, out: Out<'o>) -> Out<'o> {
                out.plain(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                Self::of(text).ok_or_else(|| InvalidValue::new(Rule::OneOf(Self::NAMES), text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}

/// A value out of a closed list, for the JSON reader.
pub(crate) trait Named: Sized {
    const NAMES: &'static [&'static str];

    fn of(text: &str) -> Option<Self>;
}

names! {
    /// How urgent an event is.
    #[derive(Default)]
    Priority {
        Low = "low",
        #[default]
        Normal = "normal",
        High = "high",
        Critical = "critical",
    }

    /// How an event's payload says that it was compressed. It is a statement of the sender; what Kafka does to a batch
    /// is another matter.
    #[derive(Default)]
    PayloadCompression {
        #[default]
        None = "none",
        Gzip = "gzip",
        Snappy = "snappy",
        Lz4 = "lz4",
    }

    /// The quality of what was made.
    Quality {
        Poor = "poor",
        Common = "common",
        Uncommon = "uncommon",
        Rare = "rare",
        Epic = "epic",
        Legendary = "legendary",
    }

    /// The quality of a material. Unlike results, materials are never legendary.
    MaterialQuality {
        Poor = "poor",
        Common = "common",
        Uncommon = "uncommon",
        Rare = "rare",
        Epic = "epic",
    }

    /// Why a session failed.
    FailureReason {
        InsufficientMaterials = "insufficient_materials",
        RecipeError = "recipe_error",
        WorkstationUnavailable = "workstation_unavailable",
        PlayerDisconnect = "player_disconnect",
        Timeout = "timeout",
        SystemError = "system_error",
    }

    /// Why a session was cancelled.
    CancelReason {
        PlayerRequest = "player_request",
        WorkstationUnavailable = "workstation_unavailable",
        ZoneChange = "zone_change",
        CombatStart = "combat_start",
    }

    /// Why a session was paused.
    PauseReason {
        PlayerAfk = "player_afk",
        CombatStart = "combat_start",
        SystemMaintenance = "system_maintenance",
        TechnicalIssue = "technical_issue",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for reason in FailureReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        assert_eq!(
            "Rare".parse::<Quality>().unwrap_err().to_string(),
            "must be one of poor, common, uncommon, rare, epic, legendary: Rare"
        );
        assert!("legendary".parse::<MaterialQuality>().is_err());
    }
}
