//! A line of a unit: what it looks like to a person, and in its file.

/// How many bytes a time and the space after it take in a file.
pub const STAMPED: usize = 25;

/// One line, or one piece of a line that is too long for one, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The bytes.
    pub text: &'a [u8],
    /// The line goes on in the next piece; written with a backslash at its end.
    pub goes_on: bool,
}

/// `NAME | text` and a newline, the name padded to `width`. Tabs stay; what could drive a terminal does not: control
/// characters and bytes that are no UTF-8 are written as `\xNN`. A carriage return at the end is dropped.
pub fn shown(name: &str, width: usize, line: Line<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(width + 4 + line.text.len());
    out.extend_from_slice(format!("{name:width$} | ").as_bytes());
    tamed(if line.goes_on { line.text } else { line.text.strip_suffix(b"\r").unwrap_or(line.text) }, &mut out);
    out.extend_from_slice(if line.goes_on { b"\\\n" } else { b"\n" });
    out
}

/// Appends `text` as a terminal may have it: tabs stay, other control characters and bytes that are no UTF-8 become `\xNN`.
pub fn tamed(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let mut utf8 = [0; 4];
            let bytes = letter.encode_utf8(&mut utf8).as_bytes();
            if letter.is_control() && letter != '\t' { escape(bytes, out) } else { out.extend_from_slice(bytes) }
        }
        escape(chunk.invalid(), out);
    }
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
    }
}

/// Appends the line as its file keeps it: the time, a space, the bytes as they came, a newline.
pub fn kept(stamp: &str, line: Line<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(stamp.as_bytes());
    out.push(b' ');
    out.extend_from_slice(line.text);
    out.extend_from_slice(if line.goes_on { b"\\\n" } else { b"\n" });
}

/// Milliseconds since 1970 (UTC) as RFC 3339: `2026-01-31T23:59:59.999Z`. Times before 1970 are 1970.
pub fn stamp(millis: u64) -> String {
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01. Years are counted from March, so that the
/// leap day is the last of its year; an era is 400 years, 146,097 days.
pub(super) fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day_of_month)
}

/// What a unit said in a line that was written at `time`; the line itself where it has no time of its own.
pub fn said<'a>(line: &'a [u8], time: &[u8]) -> &'a [u8] {
    match line.strip_prefix(time) {
        Some([b' ', text @ ..]) if !time.is_empty() => text,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, STAMPED, kept, said, shown, stamp};

    fn line(text: &[u8]) -> Line<'_> {
        Line { text, goes_on: false }
    }

    fn face(text: &[u8]) -> String {
        String::from_utf8(shown("wg0", 6, line(text))).expect("escaped")
    }

    #[test]
    fn names_are_padded() {
        assert_eq!(face(b"hello"), "wg0    | hello\n");
        assert_eq!(shown("gossip", 6, line(b"")), b"gossip | \n");
    }

    #[test]
    fn a_service_cannot_drive_the_terminal() {
        assert_eq!(face(b"a\tb"), "wg0    | a\tb\n");
        assert_eq!(face(b"\x1b[2Jgone\x07\0\x7f"), "wg0    | \\x1b[2Jgone\\x07\\x00\\x7f\n");
        assert_eq!(face(b"back\rover\r"), "wg0    | back\\x0dover\n");
        // The eight-bit form of ESC [, as a character and as a lone byte.
        assert_eq!(face("\u{9b}2J".as_bytes()), "wg0    | \\xc2\\x9b2J\n");
        assert_eq!(face(b"\x9b2J"), "wg0    | \\x9b2J\n");
        assert_eq!(face("größer 你好".as_bytes()), "wg0    | größer 你好\n");
    }

    #[test]
    fn a_piece_says_that_it_goes_on() {
        let piece = Line { text: b"xx", goes_on: true };
        assert_eq!(shown("a", 1, piece), b"a | xx\\\n");
        let mut out = Vec::new();
        kept("T", piece, &mut out);
        kept("T", line(b"\x1braw\r"), &mut out);
        assert_eq!(out, b"T xx\\\nT \x1braw\r\n");
    }

    #[test]
    fn stamps() {
        assert_eq!(stamp(0).len() + 1, STAMPED);
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(stamp(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(stamp(1_709_251_200_000), "2024-03-01T00:00:00.000Z");
        assert_eq!(stamp(4_107_542_400_001), "2100-03-01T00:00:00.001Z");
        assert_eq!(stamp(1_798_761_599_000), "2026-12-31T23:59:59.000Z");
    }

    #[test]
    fn what_a_unit_said_keeps_its_shape() {
        let time = b"2026-01-01T00:00:00.000Z";
        for (line, text) in [
            ("2026-01-01T00:00:00.000Z     at main.rs:1", "    at main.rs:1"),
            ("2026-01-01T00:00:00.000Z ", ""),
            ("  somebody else wrote this", "  somebody else wrote this"),
        ] {
            assert_eq!(said(line.as_bytes(), time), text.as_bytes(), "{line}");
        }
        assert_eq!(said(b"  before any time", b""), b"  before any time");
    }
}
