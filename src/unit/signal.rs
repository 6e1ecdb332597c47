//! Signal names and numbers, as Linux on x86-64 and ARM counts them and as libc counts the real-time ones.

use super::table::Signal;

/// The first real-time signal: the kernel's is 32, and libc keeps two for itself.
pub const RTMIN: i32 = 34;

/// The last real-time signal.
pub const RTMAX: i32 = 64;

/// Every signal that is not real-time; a number's first row has the name that is shown.
pub const SIGNALS: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// Signals that never pass PID 1: they mean something to it where there is a unit table (`control` says what), they are a
/// fault of its own, or the kernel gives them to nobody.
pub const KEPT: &[i32] =
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 17, 19, 30, 31, RTMIN + 3, RTMIN + 4, RTMIN + 5, RTMIN + 8];

/// The signal called `name`: `TERM`, `SIGTERM`, `RTMIN`, `RTMIN+3`, `SIGRTMAX-1`, in any case. Nothing for any other text,
/// numbers included.
pub fn parse(name: &str) -> Option<Signal> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == bare) {
        return Some(Signal(*number));
    }
    let number = if let Some(more) = bare.strip_prefix("RTMIN") {
        RTMIN + offset(more, '+')?
    } else if let Some(less) = bare.strip_prefix("RTMAX") {
        RTMAX - offset(less, '-')?
    } else {
        return None;
    };
    (RTMIN..=RTMAX).contains(&number).then_some(Signal(number))
}

/// The name of `signal`, without `SIG`: `TERM`, `RTMIN+3`, `RTMAX-1`; `signal 99` for a number that has none.
pub fn name(signal: Signal) -> String {
    if let Some((known, _)) = SIGNALS.iter().find(|(_, number)| *number == signal.0) {
        return (*known).to_owned();
    }
    match signal.0 {
        RTMIN => "RTMIN".to_owned(),
        RTMAX => "RTMAX".to_owned(),
        // Halfway the two ways of counting meet, as shells show them.
        number @ RTMIN..=49 => format!("RTMIN+{}", number - RTMIN),
        number @ 50..=RTMAX => format!("RTMAX-{}", RTMAX - number),
        number => format!("signal {number}"),
    }
}

/// Every name that [`parse`] takes without counting, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    SIGNALS.iter().map(|(name, _)| *name)
}

/// `+3` with the sign `sign` as 3, nothing as 0.
fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(sign)?;
    if digits.is_empty() || digits.len() > 2 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_of_this_kernel() {
        assert_eq!(parse("TERM"), Some(Signal(libc::SIGTERM)));
        assert_eq!(parse("SIGPWR"), Some(Signal(libc::SIGPWR)));
        assert_eq!(parse("sigwinch"), Some(Signal(libc::SIGWINCH)));
        assert_eq!(parse("RTMIN"), Some(Signal(libc::SIGRTMIN())));
        assert_eq!(parse("RTMIN+3"), Some(Signal(37)));
        assert_eq!(parse("SIGRTMAX-1"), Some(Signal(libc::SIGRTMAX() - 1)));
        for bad in
            ["", "SIG", "TREM", "15", "RTMIN+31", "RTMIN-1", "RTMIN+", "RTMAX-31", "RTMIN+ 3", "RTMIN++3", "RTMIN3"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_number_has_a_name_that_reads_back() {
        for number in (1..=31).chain(RTMIN..=RTMAX) {
            assert_eq!(parse(&name(Signal(number))), Some(Signal(number)), "{number}");
        }
        assert_eq!(name(Signal(6)), "ABRT");
        assert_eq!(name(Signal(37)), "RTMIN+3");
        assert_eq!(name(Signal(99)), "signal 99");
        assert_eq!(name(Signal(32)), "signal 32");
    }
}
