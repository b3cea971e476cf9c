//! A moment of the wall clock as people write it: `2027-01-31T12:00:00Z` (RFC 3339).
//!
//! For expiry dates and the lines of logs; decides nothing about causality. Knows no leap seconds.
//!
//! Invariant: what is written here is read back as the same second.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_S: i64 = 24 * 60 * 60;

/// Milliseconds since 1970, now. A clock before that counts as 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// To the millisecond, in UTC.
pub fn written(at_ms: u64) -> String {
    let seconds = (at_ms / 1000) as i64;
    let (year, month, day) = date_of(seconds.div_euclid(DAY_S));
    let of_day = seconds.rem_euclid(DAY_S);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let ms = at_ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// To the second, in UTC.
pub fn written_to_the_second(at_ms: u64) -> String {
    let text = written(at_ms);
    format!("{}Z", &text[..text.len() - ".000Z".len()])
}

/// A date and a time with its zone; none if the text is anything else, or before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    let mark = |at: usize, marks: &[u8]| {
        let found = text.as_bytes().get(at)?;
        marks.contains(found).then_some(())
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    mark(4, b"-")?;
    mark(7, b"-")?;
    mark(10, b"Tt ")?;
    mark(13, b":")?;
    mark(16, b":")?;
    let days = days_of(year, month, day);
    let is_date = (1..=12).contains(&month) && date_of(days) == (year, month, day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days * DAY_S + hour * 3600 + minute * 60 + second - offset(text.get(19..)?)?;
    u64::try_from(seconds).ok()?.checked_mul(1000)
}

/// The seconds that a zone is ahead of UTC; a fraction of a second before it is passed over.
fn offset(text: &str) -> Option<i64> {
    let zone = match text.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        None => text,
    };
    if ["Z", "z"].contains(&zone) {
        return Some(0);
    }
    let sign = match zone.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two = |digits: &str| -> Option<i64> {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970 of a date, years counted from March so that the leap day is the last one.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + days.div_euclid(146_097) * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn well_known_moments_are_read_and_written() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("2000-02-29T12:00:00Z"), Some(951_825_600_000));
        assert_eq!(
            parse("2027-01-31T01:30:00.25+01:30"),
            parse("2027-01-31T00:00:00Z")
        );
        assert_eq!(written(951_825_600_007), "2000-02-29T12:00:00.007Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        let bad = [
            "",
            "2027",
            "2027-02-29T00:00:00Z",
            "2027-01-31",
            "2027-01-31T00:00:00",
            "1969-12-31T23:59:59Z",
            "2027-13-01T00:00:00Z",
            "2027-01-31T24:00:00Z",
            "2027-01-31T00:00:00.Z",
            "2027-01-31T00:00:00+1:00",
            "+027-01-31T00:00:00Z",
            "2027-01-31T00:00:00Zé",
        ];
        for text in bad {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0u64..253_402_300_800) {
            prop_assert_eq!(parse(&written(seconds * 1000)), Some(seconds * 1000));
            prop_assert_eq!(parse(&written_to_the_second(seconds * 1000)), Some(seconds * 1000));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
