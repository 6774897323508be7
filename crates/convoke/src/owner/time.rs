//! Moments and durations as people write them.

use anyhow::{Context, Result};
use std::time::{SystemTime, UNIX_EPOCH};

/// `45s`, `90m`, `12h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(super) seconds: u64,
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = parse(text).map(|seconds| Self { seconds });
        parsed.ok_or_else(|| "give a number and its unit: 45s, 90m, 12h or 30d".to_owned())
    }
}

fn parse(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    // Not `+5d`, which `parse` would take.
    let number: u64 = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
    number.checked_mul(seconds)
}

/// In milliseconds since 1970, by this machine's clock.
pub(super) fn from_now(span: Span) -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock stands before 1970")?;
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    Ok(now_ms.saturating_add(span.seconds.saturating_mul(1_000)))
}

/// `2026-11-30 10:32:02Z`.
pub(super) fn utc(at_ms: u64) -> String {
    let seconds = at_ms / 1_000;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Of the proleptic Gregorian calendar, `days` after 1970-01-01. Years begin in March here, so that leap days come last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_in_utc() {
        let shown = [0, 951_782_400_000, 1_709_251_199_999, 4_102_444_800_000].map(utc);
        let dates = ["1970-01-01 00:00:00Z", "2000-02-29 00:00:00Z", "2024-02-29 23:59:59Z", "2100-01-01 00:00:00Z"];
        assert_eq!(shown, dates);
    }

    #[test]
    fn spans_have_a_unit() {
        let seconds = |text: &str| text.parse::<Span>().ok().map(|span| span.seconds);
        assert_eq!(["0s", "45s", "90m", "12h", "30d"].map(seconds), [0, 45, 5_400, 43_200, 2_592_000].map(Some));
        let bad = ["", "5", "d", "-5d", "+5d", "5w", "5 d", "99999999999999999999d", "999999999999999999d", "5ä"];
        assert_eq!(bad.map(seconds), [None; 10]);
    }
}
