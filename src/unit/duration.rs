//! Durations as text: what a person writes in the table, and what a person reads in a status.

use std::time::Duration;

/// How to write a duration, for the end of a message.
pub const HOW: &str = "a whole number and ms, s, m or h, such as \"10s\"";

/// The longest duration that can be written: a year. Longer ones are slips of the finger, and sums stay far from overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The duration that `text` writes: `250ms`, `10s`, `5m`, `1h`, up to a year. Nothing if it is anything else.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let span = Duration::from_millis(number.checked_mul(millis)?);
    (span <= LONGEST).then_some(span)
}

/// `span` in at most two units, for a person: `250ms`, `1.5s`, `12s`, `3m10s`, `2h5m`, `3d4h`.
pub fn short(span: Duration) -> String {
    let millis = span.as_millis();
    let secs = span.as_secs();
    let pair = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        small => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match secs {
        0 => format!("{millis}ms"),
        1..10 if millis % 1000 >= 100 => format!("{secs}.{}s", millis % 1000 / 100),
        1..60 => format!("{secs}s"),
        60..3600 => pair(secs / 60, "m", secs % 60, "s"),
        3600..86_400 => pair(secs / 3600, "h", secs % 3600 / 60, "m"),
        _ => pair(secs / 86_400, "d", secs % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes() {
        assert_eq!(parse("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse("10s"), Some(Duration::from_secs(10)));
        assert_eq!(parse("5m"), Some(Duration::from_secs(300)));
        assert_eq!(parse("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(parse("0s"), Some(Duration::ZERO));
        for bad in
            ["", "s", "10", "10 s", "-1s", "+1s", "1.5s", "1d", "1S", "10sec", "99999999999999999999s", "8761h", "١s"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse("18446744073709551615h"), None);
    }

    #[test]
    fn what_a_person_reads() {
        let shown = |millis| short(Duration::from_millis(millis));
        assert_eq!(shown(0), "0ms");
        assert_eq!(shown(250), "250ms");
        assert_eq!(shown(1_050), "1s");
        assert_eq!(shown(1_500), "1.5s");
        assert_eq!(shown(12_900), "12s");
        assert_eq!(shown(60_000), "1m");
        assert_eq!(shown(190_000), "3m10s");
        assert_eq!(shown(7_500_000), "2h5m");
        assert_eq!(shown(273_600_000), "3d4h");
    }
}
