//! Moments and spans as systemd writes them and takes them: `Mon 2026-11-23 05:33:11 UTC`, `5min 3s ago`. All times are UTC.

use super::line::date;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// 30.44 days, as systemd counts.
const MONTH: u64 = 2_630_016 * SECOND;
/// 365.25 days, as systemd counts.
const YEAR: u64 = 31_557_600 * SECOND;

/// From the day of 1970-01-01 on.
const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// What a span may be written in, and how many milliseconds that is.
const UNITS: &[(&[&str], u64)] = &[
    (&["ms", "msec"], 1),
    (&["", "s", "sec", "second", "seconds"], SECOND),
    (&["m", "min", "minute", "minutes"], MINUTE),
    (&["h", "hr", "hour", "hours"], HOUR),
    (&["d", "day", "days"], DAY),
    (&["w", "week", "weeks"], WEEK),
    (&["M", "month", "months"], MONTH),
    (&["y", "year", "years"], YEAR),
];

/// How to write a moment, for the end of a message.
pub const HOW: &str = "\"10 min ago\", \"-1h\", \"today\", \"yesterday\", \"2026-01-31\", \"12:30\", \"2026-01-31 12:30:00\" or \"@SECONDS\"";

/// A moment, in milliseconds of Unix time, with its weekday: `Mon 2026-11-23 05:33:11 UTC`.
pub fn shown(millis: u64) -> String {
    let (days, second) = (millis / DAY, millis % DAY / SECOND);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let weekday = weekday(days).get(..3).unwrap_or_default();
    format!("{weekday} {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A span of so many milliseconds, in its two largest units: `5min 3s`, `1 day 2h`.
pub fn span(millis: u64) -> String {
    let long = |count: u64, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
    let (first, rest) = match millis {
        YEAR.. => (long(millis / YEAR, "year"), Some((millis % YEAR / MONTH, long(millis % YEAR / MONTH, "month")))),
        MONTH.. => (long(millis / MONTH, "month"), Some((millis % MONTH / DAY, long(millis % MONTH / DAY, "day")))),
        WEEK.. => (long(millis / WEEK, "week"), Some((millis % WEEK / DAY, long(millis % WEEK / DAY, "day")))),
        DAY.. => (long(millis / DAY, "day"), Some((millis % DAY / HOUR, format!("{}h", millis % DAY / HOUR)))),
        HOUR.. => {
            (format!("{}h", millis / HOUR), Some((millis % HOUR / MINUTE, format!("{}min", millis % HOUR / MINUTE))))
        }
        MINUTE.. => (
            format!("{}min", millis / MINUTE),
            Some((millis % MINUTE / SECOND, format!("{}s", millis % MINUTE / SECOND))),
        ),
        SECOND.. => (format!("{}s", millis / SECOND), None),
        _ => (format!("{millis}ms"), None),
    };
    match rest {
        Some((count, rest)) if count > 0 => format!("{first} {rest}"),
        _ => first,
    }
}

/// The moment that `text` writes, where it is `now`; both in milliseconds of Unix time. Nothing if it is none. [`HOW`] says
/// what is taken; besides, what [`shown`] writes.
pub fn parse(text: &str, now: u64) -> Option<u64> {
    let text = text.trim();
    let midnight = now - now % DAY;
    match text {
        "now" => return Some(now),
        "today" => return Some(midnight),
        "yesterday" => return Some(midnight.saturating_sub(DAY)),
        "tomorrow" => return midnight.checked_add(DAY),
        _ => {}
    }
    if let Some(seconds) = text.strip_prefix('@') {
        // In thousandths, which are milliseconds.
        return amount(seconds).filter(|(_, rest)| rest.is_empty()).map(|(millis, _)| millis);
    }
    if let Some(ahead) = text.strip_prefix('+') {
        return now.checked_add(length(ahead)?);
    }
    if let Some(back) = text.strip_prefix('-').or_else(|| text.strip_suffix("ago")) {
        return Some(now.saturating_sub(length(back)?));
    }
    written(text, midnight)
}

/// A date, a time, or both; a weekday may stand before, `UTC` behind.
fn written(text: &str, midnight: u64) -> Option<u64> {
    let text = text.strip_suffix("UTC").or_else(|| text.strip_suffix('Z')).unwrap_or(text).trim_end();
    let (named, bare) = match text.split_once(' ') {
        Some((word, rest)) if word.starts_with(|letter: char| letter.is_ascii_alphabetic()) => {
            (Some(word), rest.trim_start())
        }
        _ => (None, text),
    };
    let (day, time) = match bare.split_once([' ', 'T']) {
        Some((day, time)) => (days(day)?.checked_mul(DAY)?, clock(time.trim_start())?),
        None if bare.contains(':') => (midnight, clock(bare)?),
        None => (days(bare)?.checked_mul(DAY)?, 0),
    };
    let right = |word: &str| {
        let name = weekday(day / DAY);
        word.eq_ignore_ascii_case(name) || name.get(..3).is_some_and(|short| word.eq_ignore_ascii_case(short))
    };
    named.is_none_or(right).then_some(())?;
    day.checked_add(time)
}

/// `2026-01-31` as days since 1970-01-01.
fn days(text: &str) -> Option<u64> {
    let mut parts = text.split('-').map(digits);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    // Years are counted from March, as `date` counts them.
    let (year, month_from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let in_era = year % 400 * 365 + year % 400 / 4 - year % 400 / 100 + (153 * month_from_march + 2) / 5 + day - 1;
    let days = (year / 400 * 146_097 + in_era).checked_sub(719_468)?;
    // A day that its month does not have is another day.
    let (_, same_month, same_day) = date(days);
    ((same_month, same_day) == (month, day)).then_some(days)
}

/// `12:30`, `12:30:59` or `12:30:59.250` as milliseconds.
fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let (hour, minute) = (digits(parts.next()?)?, digits(parts.next()?)?);
    let second = match parts.next() {
        Some(text) => amount(text).filter(|(_, rest)| rest.is_empty())?.0,
        None => 0,
    };
    let fits = hour < 24 && minute < 60 && second < MINUTE && parts.next().is_none();
    fits.then(|| hour * HOUR + minute * MINUTE + second)
}

/// `1h 30min` as milliseconds.
fn length(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (count, behind) = amount(rest)?;
        let behind = behind.trim_start();
        let end = behind.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (name, next) = behind.split_at_checked(end)?;
        let (_, unit) = UNITS.iter().find(|(names, _)| names.contains(&name))?;
        // `count` is in thousandths.
        sum = sum.checked_add(count.checked_mul(*unit)? / 1000)?;
        rest = next.trim_start();
    }
    Some(sum)
}

/// The number at the beginning of `text` in thousandths, and what comes after it.
fn amount(text: &str) -> Option<(u64, &str)> {
    let split = |text: &str| text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at_checked(split(text))?;
    let whole = digits(whole)?.checked_mul(1000)?;
    match rest.strip_prefix('.') {
        Some(rest) => {
            let (part, rest) = rest.split_at_checked(split(rest))?;
            let part = format!("{part:0<3}");
            Some((whole.checked_add(digits(part.get(..3)?)?)?, rest))
        }
        None => Some((whole, rest)),
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn weekday(days: u64) -> &'static str {
    usize::try_from(days % 7).ok().and_then(|place| WEEKDAYS.get(place)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mon 2026-11-23 05:33:11.500 UTC.
    const NOW: u64 = 1_795_411_991_500;

    #[test]
    fn moments_are_shown() {
        assert_eq!(shown(0), "Thu 1970-01-01 00:00:00 UTC");
        assert_eq!(shown(NOW), "Mon 2026-11-23 05:33:11 UTC");
        assert_eq!(shown(951_782_400_000), "Tue 2000-02-29 00:00:00 UTC");
    }

    #[test]
    fn spans_are_shown() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (59_999, "59s"),
            (60_000, "1min"),
            (303_000, "5min 3s"),
            (7_260_000, "2h 1min"),
            (86_400_000, "1 day"),
            (93_600_000, "1 day 2h"),
            (9 * DAY, "1 week 2 days"),
            (32 * DAY, "1 month 1 day"),
            (400 * DAY, "1 year 1 month"),
        ] {
            assert_eq!(span(millis), text, "{millis}");
        }
    }

    #[test]
    fn moments_that_a_person_writes() {
        let midnight = NOW - NOW % DAY;
        for (text, moment) in [
            ("now", NOW),
            ("today", midnight),
            ("yesterday", midnight - DAY),
            ("tomorrow", midnight + DAY),
            ("10 min ago", NOW - 600_000),
            ("10min ago", NOW - 600_000),
            ("1h 30min ago", NOW - 5_400_000),
            ("2 weeks ago", NOW - 14 * DAY),
            ("-1h", NOW - HOUR),
            ("-1h30m", NOW - 5_400_000),
            ("-90", NOW - 90_000),
            ("-1.5s", NOW - 1_500),
            ("+5s", NOW + 5_000),
            ("@1700000000", 1_700_000_000_000),
            ("@1700000000.25", 1_700_000_000_250),
            ("2026-11-23", midnight),
            ("2026-11-23 05:33", midnight + 5 * HOUR + 33 * MINUTE),
            ("2026-11-23 05:33:11", NOW - 500),
            ("2026-11-23T05:33:11.500Z", NOW),
            ("Mon 2026-11-23 05:33:11 UTC", NOW - 500),
            ("monday 2026-11-23", midnight),
            ("05:33", midnight + 5 * HOUR + 33 * MINUTE),
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400_000),
        ] {
            assert_eq!(parse(text, NOW), Some(moment), "{text}");
            if moment.is_multiple_of(SECOND) {
                assert_eq!(parse(&shown(moment), NOW), Some(moment), "{text}");
            }
        }
        assert_eq!(parse("-100y", NOW), Some(0));
        for text in [
            "",
            "-",
            "ago",
            "soon",
            "10 apples ago",
            "-1h x",
            "2026-02-30",
            "2026-13-01",
            "2026-11",
            "1969-12-31",
            "24:00",
            "12:60",
            "12:30:60",
            "1:2:3:4",
            "Tue 2026-11-23",
            "@",
            "@x",
            "2026-11-23 ",
            "99999999999999999999y ago",
            "2026-11-23 noon",
        ] {
            let expected = (text == "2026-11-23 ").then_some(midnight);
            assert_eq!(parse(text, NOW), expected, "{text}");
        }
    }
}
