//! Times and durations as people write and read them. On the wire a time is Unix milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::wire::MAX_UINT;

/// Why a text is not a time or a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not a duration.
    #[error(
        "'{0}' is not a duration: write numbers with units, such as 500ms, 60s, 10m, 2h30m or 1d"
    )]
    Duration(String),
    /// Not a time, or one without its offset from UTC.
    #[error(
        "'{0}' is not a time with its zone: write it as in 2027-03-01T18:00:00+01:00 or 2027-03-01T17:00:00Z (RFC 3339)"
    )]
    Time(String),
    /// A time or duration that no message can carry.
    #[error("'{0}' is too far away")]
    Range(String),
}

/// The clock, Unix milliseconds; 0 before 1970.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// Reads a duration: numbers with the units ms, s, m, h and d, one after the other.
pub fn parse_duration(text: &str) -> Result<Duration, TimeError> {
    let wrong = || TimeError::Duration(text.to_owned());
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total_ms = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit_ms = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        rest = rest[letters..].trim_start();
        total_ms = number
            .checked_mul(unit_ms)
            .and_then(|ms| total_ms.checked_add(ms))
            .filter(|ms| *ms <= MAX_UINT)
            .ok_or_else(|| TimeError::Range(text.to_owned()))?;
    }
    Ok(Duration::from_millis(total_ms))
}

/// Reads a time of RFC 3339, Unix milliseconds.
pub fn parse_time_ms(text: &str) -> Result<u64, TimeError> {
    let time: Timestamp = text
        .trim()
        .parse()
        .map_err(|_| TimeError::Time(text.to_owned()))?;
    u64::try_from(time.as_millisecond()).map_err(|_| TimeError::Range(text.to_owned()))
}

/// A time as RFC 3339 in UTC; the plain number if no calendar reaches that far.
pub fn rfc3339(ms: u64) -> String {
    timestamp(ms).map_or_else(|| ms.to_string(), |time| time.to_string())
}

/// A time in the local zone and how far away it is: `2027-03-01 18:00:00 +01:00 (in 2 h)`.
pub fn local_and_relative(ms: u64, now_ms: u64) -> String {
    let absolute = timestamp(ms).map_or_else(
        || format!("{ms} ms"),
        |time| {
            time.to_zoned(TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S %:z")
                .to_string()
        },
    );
    format!("{absolute} ({})", relative(ms, now_ms))
}

/// How far a time is away: `in 59 s`, `3 min ago`, `now`.
pub fn relative(ms: u64, now_ms: u64) -> String {
    let away = duration(ms.abs_diff(now_ms));
    match ms.cmp(&now_ms) {
        std::cmp::Ordering::Less if away != "0 s" => format!("{away} ago"),
        std::cmp::Ordering::Greater if away != "0 s" => format!("in {away}"),
        _ => "now".to_owned(),
    }
}

/// A duration in its largest sensible unit.
fn duration(ms: u64) -> String {
    match ms / 1_000 {
        s @ 0..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s @ 7_200..=172_799 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

fn timestamp(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        for (text, ms) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("10m", 600_000),
            ("2h30m", 9_000_000),
            ("1d 1s", 86_401_000),
            (" 0s ", 0),
        ] {
            assert_eq!(parse_duration(text).unwrap().as_millis(), ms, "{text}");
        }
        for text in [
            "",
            "60",
            "s",
            "-1s",
            "1.5h",
            "1y",
            "1s x",
            "99999999999999999999s",
        ] {
            assert_eq!(
                parse_duration(text),
                Err(TimeError::Duration(text.to_owned())),
                "{text}"
            );
        }
        assert!(matches!(
            parse_duration("9999999999999d"),
            Err(TimeError::Range(_))
        ));
    }

    #[test]
    fn times_need_their_zone() {
        assert_eq!(parse_time_ms("1970-01-01T00:00:01Z").unwrap(), 1_000);
        assert_eq!(
            parse_time_ms("2027-03-01T18:00:00+01:00"),
            parse_time_ms("2027-03-01T17:00:00Z")
        );
        for text in ["2027-03-01T18:00:00", "2027-03-01", "tomorrow", ""] {
            assert!(matches!(parse_time_ms(text), Err(TimeError::Time(_))));
        }
        assert!(matches!(
            parse_time_ms("1969-12-31T23:59:59Z"),
            Err(TimeError::Range(_))
        ));
    }

    #[test]
    fn times_are_shown_with_their_distance() {
        let now = parse_time_ms("2027-03-01T17:00:00Z").unwrap();
        assert_eq!(rfc3339(now), "2027-03-01T17:00:00Z");
        assert_eq!(relative(now + 59_999, now), "in 59 s");
        assert_eq!(relative(now - 180_000, now), "3 min ago");
        assert_eq!(relative(now + 10 * 86_400_000, now), "in 10 days");
        assert_eq!(relative(now + 999, now), "now");
        assert!(local_and_relative(now, now).ends_with("(now)"));
        assert_eq!(rfc3339(MAX_UINT), MAX_UINT.to_string());
    }
}
