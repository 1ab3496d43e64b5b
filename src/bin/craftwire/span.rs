//! Lengths of time on the command line: `10s`, `500ms`, `2m`, `1h`.

use std::time::Duration;

/// Reads digits and a unit; seconds without one.
///
/// # Errors
///
/// What it must look like.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (amount, unit) = text.split_at(digits);
    let millis_each: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    let millis = amount.parse::<u64>().ok().and_then(|amount| amount.checked_mul(millis_each));
    match millis {
        Some(millis) if (1..=MILLIS_MAX).contains(&millis) => Ok(Duration::from_millis(millis)),
        _ => Err("must be digits and one of ms, s, m, h, more than nothing and a week at most".to_owned()),
    }
}

const MILLIS_MAX: u64 = 7 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_digits_and_a_unit() {
        for (text, millis) in
            [("500ms", 500), ("10s", 10_000), ("10", 10_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "0s", "-1s", "1.5s", "10 s", "10sec", "99999999999999999999h", "8000h", "é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
