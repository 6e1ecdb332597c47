//! What is thrown at with any bytes, and what must hold whatever they are. tests/properties throws with proptest, which makes
//! what fails small; tests/fuzz with libFuzzer, which follows the branches.

#[cfg(feature = "gossip")]
#[path = "node.rs"]
mod node;
#[cfg(feature = "mesh")]
#[path = "records.rs"]
pub mod records;
#[cfg(feature = "gossip")]
#[path = "wire.rs"]
mod wire;

use std::time::Duration;

use clusteros_init::control::{calendar, line, request, systemd};
use clusteros_init::logd::line::{LONGEST, Lines};
use clusteros_init::unit::{
    Event, Goal, Machine, Notice, Options, Scribe, Snapshot, Table, Time, account, assignment, duration, excerpt,
    notify, read, signal, size,
};

use crate::dice::Dice;
use crate::{life, soup};

/// Takes any bytes, and panics if they break what it promises.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("table", table),
    ("events", events),
    ("notify", notices),
    ("request", requests),
    ("snapshot", snapshot),
    ("values", values),
    ("lines", lines),
    #[cfg(feature = "gossip")]
    ("packets", wire::packets),
    #[cfg(feature = "gossip")]
    ("streams", wire::streams),
    #[cfg(feature = "gossip")]
    ("clients", node::clients),
    #[cfg(feature = "gossip")]
    ("nodes", node::nodes),
    #[cfg(feature = "mesh")]
    ("records", records::records),
];

/// The reader of the table: files between zero bytes. It takes a table whole, or says what is wrong and where.
pub fn table(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let files: Vec<(String, String)> =
        text.split('\0').enumerate().map(|(at, text)| (format!("{at}.toml"), text.to_owned())).collect();
    for (_, text) in &files {
        for part in ["a", "b", "web"].iter().filter_map(|name| excerpt::excerpt(text, name)) {
            assert!(
                part.lines().all(|line| line.is_empty() || text.lines().any(|own| own.trim_end() == line.trim_end())),
                "{part:?}"
            );
        }
    }
    match read::read(&files) {
        Ok(table) => {
            let units = table.units.len();
            let mut machine = machine(table);
            machine.handle(Time::ZERO, Event::Tick);
            let actions = std::iter::from_fn(|| machine.next(Time::ZERO)).take(units * 4 + 10).count();
            assert!(actions < units * 4 + 10, "{actions} actions at the start of {units} units");
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused, and nobody knows why");
            for mistake in mistakes {
                let (_, text) =
                    files.iter().find(|(name, _)| *name == mistake.file).expect("a mistake of one of the files");
                // The end of a file that ends in a newline is the line after it.
                let there = text.split('\n').nth(mistake.line - 1).expect("a mistake in a line of the file");
                assert!((1..=there.chars().count() + 2).contains(&mistake.column), "{mistake}");
                let said = mistake.to_string();
                assert!(!said.contains('\n') && !mistake.text.is_empty(), "{said:?}");
            }
        }
    }
}

fn machine(table: Table) -> Machine {
    let options = Options { seed: 0, budget: Duration::from_secs(9), goal: Goal::Exit };
    Machine::new(table, Vec::new(), options, Time::ZERO)
}

/// Lives and soups: each word is a throw of the dice.
pub fn events(bytes: &[u8]) {
    let Some((kind, words)) = bytes.split_first() else { return };
    let word = |chunk: &[u8]| chunk.iter().fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
    let dice = Dice::dealt(words.chunks(2).map(word).collect());
    let lived = if kind % 2 == 0 { soup::stir(dice) } else { life::live_dice(dice, false).map(drop) };
    lived.unwrap_or_else(|broken| panic!("{broken}"));
}

/// A datagram of a unit.
pub fn notices(bytes: &[u8]) {
    let notices = notify::parse(bytes);
    assert!(notices.len() <= 64);
    for notice in notices {
        if let Notice::Status(text) = notice {
            assert!(text.len() <= 256 && !text.chars().any(char::is_control), "{text:?}");
        }
    }
}

/// A number beside a signal: what is taken is what `initctl` would have sent.
pub fn requests(bytes: &[u8]) {
    let Some((number, rest)) = bytes.split_first_chunk() else { return };
    let number = i32::from_le_bytes(*number);
    let generation = rest.first_chunk().map_or(1, |bytes| u64::from(u16::from_le_bytes(*bytes)));
    let units = rest.get(2).map_or(8, |units| usize::from(*units));
    match request::read(Some(number), generation, units) {
        Ok(request) => {
            assert!(request.unit.index() < units);
            assert_eq!(request::number(request, generation), number);
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}

/// What an older or a newer PID 1 left: refused, or understood so that it can be written again as it was.
pub fn snapshot(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(read) = Snapshot::parse(&text) else { return };
    for seed in 0..4 {
        let table = crate::tables::table(&mut Dice::new(seed));
        let Ok(mut machine) = read.machine(table.clone()) else { continue };
        let (mut once, mut twice) = (String::new(), String::new());
        Scribe::default().write(&machine, &mut once);
        let again = Snapshot::parse(&once).and_then(|read| read.machine(table)).expect("our own snapshot");
        Scribe::default().write(&again, &mut twice);
        assert_eq!(once, twice);
        machine.handle(Time::from_nanos(u64::MAX / 2), Event::Tick);
        let _ = std::iter::from_fn(|| machine.next(Time::from_nanos(u64::MAX / 2))).take(100).count();
    }
}

/// The small readers: durations, sizes, signals, assignments, accounts.
pub fn values(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    const LAST: u64 = 253_402_300_799_999;
    if let Some(moment) = calendar::parse(&text, 1_795_411_991_500).filter(|moment| *moment <= LAST) {
        assert_eq!(calendar::parse(&calendar::shown(moment), 0), Some(moment / 1000 * 1000));
    }
    let _ = systemd::End::of(&text);
    let (pattern, name) = text.split_once('\n').unwrap_or((&text, "web.service"));
    assert!(systemd::like(&format!("*{name}*"), &format!("{pattern}{name}{pattern}")) || name.contains(['*', '?']));
    let _ = systemd::like(pattern, name);
    if let Some(span) = duration::parse(&text) {
        assert!(span <= Duration::from_secs(365 * 24 * 3600));
        assert!(!duration::short(span).is_empty());
    }
    let _ = size::parse(&text);
    if let Some(found) = signal::parse(&text) {
        assert_eq!(signal::parse(&signal::name(found)), Some(found));
    }
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut line = line.to_vec();
        if let Ok(Some(length)) = assignment::settle(&mut line) {
            let settled = line.get(..length).expect("no longer than the line");
            let name = settled.split(|byte| *byte == b'=').next().unwrap_or_default();
            assert!(settled.contains(&b'=') && !name.is_empty() && !settled.contains(&0), "{settled:?}");
        }
    }
    let name = bytes.split(|byte| *byte == b':').next().unwrap_or_default();
    let _ = (account::user(bytes, name), account::group(bytes, name));
}

/// Lines of a pipe, however its bytes are cut: none is lost, and what a terminal is shown does it no harm.
pub fn lines(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let (mut lines, mut whole, mut shown) = (Lines::default(), Vec::new(), Vec::new());
    let mut keep = |line: line::Line<'_>| {
        assert!(line.text.len() <= LONGEST);
        whole.extend_from_slice(line.text);
        if !line.goes_on {
            whole.push(b'\n');
        }
        line::tamed(line.text, &mut shown);
    };
    for piece in bytes.chunks(usize::from(*cut) + 1) {
        lines.take(piece, &mut keep);
    }
    lines.finish(keep);
    let ended = bytes.is_empty() || bytes.ends_with(b"\n");
    assert_eq!(whole.strip_suffix(if ended { &b""[..] } else { b"\n" }), Some(bytes));
    let harmless = String::from_utf8(shown).expect("UTF-8");
    assert!(!harmless.chars().any(|letter| letter.is_control() && letter != '\t'), "{harmless:?}");
}
