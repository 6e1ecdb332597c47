//! sd_notify datagrams. Their sender is a program of the operator's, but their bytes are taken as anyone's: whatever is not
//! understood is passed over, nothing is an error, and the work per datagram is bounded.

use std::time::Duration;

use super::event::Notice;

/// Lines looked at in one datagram; real senders use fewer than ten.
const LINES: usize = 64;

/// The longest `STATUS=` that is kept, in bytes: one line of a status table.
const STATUS: usize = 256;

/// What `datagram` says that means something to us, in its order.
pub fn parse(datagram: &[u8]) -> Vec<Notice> {
    datagram.split(|byte| *byte == b'\n').take(LINES).filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Notice> {
    match line {
        b"READY=1" => return Some(Notice::Ready),
        b"STOPPING=1" => return Some(Notice::Stopping),
        b"WATCHDOG=1" => return Some(Notice::Watchdog),
        b"WATCHDOG=trigger" => return Some(Notice::WatchdogTrigger),
        _ => {}
    }
    if let Some(text) = line.strip_prefix(b"STATUS=") {
        return Some(Notice::Status(status(text)));
    }
    if let Some(digits) = line.strip_prefix(b"WATCHDOG_USEC=") {
        return micros(digits).map(Notice::WatchdogSpan);
    }
    micros(line.strip_prefix(b"EXTEND_TIMEOUT_USEC=")?).map(Notice::ExtendTimeout)
}

fn micros(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().map(Duration::from_micros)
}

/// `text` as at most [`STATUS`] bytes that a terminal can be shown.
fn status(text: &[u8]) -> String {
    let near = text.get(..STATUS).unwrap_or(text);
    let mut kept = String::new();
    for letter in String::from_utf8_lossy(near).chars() {
        let letter = if letter.is_control() { '?' } else { letter };
        if kept.len() + letter.len_utf8() > STATUS {
            break;
        }
        kept.push(letter);
    }
    // A letter that the cut went through shows as a replacement; it was whole when it came.
    if near.len() < text.len() && kept.ends_with(char::REPLACEMENT_CHARACTER) {
        kept.pop();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_services_send() {
        assert_eq!(parse(b"READY=1"), [Notice::Ready]);
        assert_eq!(parse(b"READY=1\n"), [Notice::Ready]);
        assert_eq!(
            parse(b"WATCHDOG=1\nWATCHDOG=trigger\nWATCHDOG_USEC=20000000\nWATCHDOG=2\nWATCHDOG_USEC=x"),
            [Notice::Watchdog, Notice::WatchdogTrigger, Notice::WatchdogSpan(Duration::from_secs(20))]
        );
        assert_eq!(
            parse(b"READY=1\nSTATUS=serving\nMAINPID=7\nSTOPPING=1\nEXTEND_TIMEOUT_USEC=2500000"),
            [
                Notice::Ready,
                Notice::Status("serving".to_owned()),
                Notice::Stopping,
                Notice::ExtendTimeout(Duration::from_millis(2500)),
            ]
        );
    }

    #[test]
    fn what_nobody_should_send() {
        for nothing in
            [&b""[..], b"\n\n\n", b"READY=0", b"READY=11", b"ready=1", b" READY=1", b"READY=1\r", b"\xff\xfe=\x00"]
        {
            assert_eq!(parse(nothing), [], "{nothing:?}");
        }
        for number in ["", "-1", "+1", "1x", "99999999999999999999"] {
            assert_eq!(parse(format!("EXTEND_TIMEOUT_USEC={number}").as_bytes()), [], "{number}");
        }
        assert_eq!(parse(b"STATUS=\x1b[2Jgone\x07\xff"), [Notice::Status("?[2Jgone?\u{fffd}".to_owned())]);
        assert_eq!(parse(b"STATUS="), [Notice::Status(String::new())]);
    }

    #[test]
    fn over_long() {
        let long = [b"STATUS=".as_slice(), &[b'x'; 200_000]].concat();
        assert_eq!(parse(&long), [Notice::Status("x".repeat(256))]);
        let wide = format!("STATUS=x{}", "ä".repeat(1000));
        assert_eq!(parse(wide.as_bytes()), [Notice::Status(format!("x{}", "ä".repeat(127)))]);
        let broken = [b"STATUS=".as_slice(), &[0xff; 1000]].concat();
        let Some(Notice::Status(text)) = parse(&broken).pop() else { panic!("no status") };
        assert!(text.len() <= 256, "{}", text.len());
        let late = format!("{}READY=1", "X=1\n".repeat(64));
        assert_eq!(parse(late.as_bytes()), []);
        let just = format!("{}READY=1", "X=1\n".repeat(63));
        assert_eq!(parse(just.as_bytes()), [Notice::Ready]);
    }
}
