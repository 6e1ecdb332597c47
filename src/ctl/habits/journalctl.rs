//! `journalctl`: what units wrote, by the options that hands know.

use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use log::error;

use super::super::call::Whom;
use super::super::commands::{Flag, Kind, Value};
use super::super::document::Document;
use super::super::logs::{self, Journal, Range, Wanted, count};
use super::super::reel;
use super::super::shown;
use super::super::typed::Typed;
use super::{missing, page};
use crate::control::calendar::{self, HOW};
use crate::control::systemd::bare;
use crate::unit::suggest;

const OK: u8 = 0;
const NO: u8 = 1;

/// How many lines `-n` and `-f` mean if they do not say it.
const FEW: u64 = 10;

/// Every exit code and what it means.
pub(in crate::ctl) const CODES: &[(u8, &str)] = &[
    (OK, "shown, or there is nothing to show"),
    (NO, "there is no such unit, nothing can be read, a wrong command line"),
];

const fn flag(names: &'static [&'static str], text: &'static str) -> Flag {
    Flag { names, value: Value::None, text }
}

const fn option(names: &'static [&'static str], value: &'static str, text: &'static str) -> Flag {
    Flag { names, value: Value::Must(value, Kind::Text), text }
}

/// Every option.
pub(in crate::ctl) const OPTIONS: &[Flag] = &[
    option(&["-u", "--unit"], "UNIT", "only what this unit wrote; may be repeated"),
    flag(&["-f", "--follow"], "also what is written from now on, until interrupted; begins with the last 10 lines"),
    Flag {
        names: &["-n", "--lines"],
        value: Value::May("N"),
        text: "the last N lines, 10 if not said, or \"all\"; without this option it is all",
    },
    option(
        &["-S", "--since"],
        "TIME",
        "what was written at that time or later: \"10 min ago\", -1h, today, \"2026-01-31 12:30\"",
    ),
    option(&["-U", "--until"], "TIME", "what was written at that time or earlier"),
    Flag { names: &["-b", "--boot"], value: Value::May("0"), text: "what was written since this PID 1 started" },
    option(&["-o", "--output"], "FORMAT", "cat: the text alone; short and its kin: as without it"),
    flag(&["-q", "--quiet"], "that there is nothing to show is not said"),
    Flag {
        names: &["--pid"],
        value: Value::Must("PID", Kind::Process),
        text: "the node whose PID 1 is the process PID here: a container, seen from outside",
    },
    Flag { names: &["--root"], value: Value::Must("DIR", Kind::Folder), text: "the node's root is DIR" },
    flag(
        &[
            "--no-pager",
            "-a",
            "--all",
            "-l",
            "--full",
            "-e",
            "--pager-end",
            "-x",
            "--catalog",
            "-m",
            "--merge",
            "--utc",
            "--system",
            "--no-hostname",
        ],
        "taken, and nothing: so it always is here",
    ),
    flag(&["--version"], "the version"),
];

/// Shows what `words` ask for; the exit code.
pub(super) fn run(words: &mut dyn Iterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = words.collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    match Call::parse(&words, now) {
        Ok(Call::Help) => shown(&page::journalctl()),
        Ok(Call::Version) => shown(concat!("clusteros-init ", env!("CARGO_PKG_VERSION"), " (journalctl)\n")),
        Ok(Call::Logs { wanted, boot }) => show(wanted, boot).unwrap_or_else(|mistake| {
            error!("{mistake}");
            NO
        }),
        Err(mistake) => {
            error!("{mistake}");
            NO
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Call {
    Help,
    Version,
    Logs {
        wanted: Wanted,
        /// Only what was written since PID 1 started.
        boot: bool,
    },
}

impl Call {
    /// What `words` ask; else what is wrong with them, as a whole sentence.
    fn parse(words: &[OsString], now: u64) -> Result<Call, String> {
        let wrong = |mistake: String| {
            format!("unable to read the command line: {mistake}; \"journalctl --help\" lists what there is")
        };
        let typed = Typed::divided(OPTIONS, "journalctl", attached(words).into_iter());
        let typed = typed.map_err(|mistake| match missing::option(missing::LOG_OPTIONS, words) {
            Some((name, instead)) => format!("unable to take {name}: it is not here; {instead}"),
            None => wrong(mistake),
        })?;
        match () {
            () if typed.help => Ok(Call::Help),
            () if typed.has("--version") => Ok(Call::Version),
            () => Call::logs(&typed, now).map_err(wrong),
        }
    }

    fn logs(typed: &Typed, now: u64) -> Result<Call, String> {
        if let Some(more) = typed.operands.first() {
            return Err(format!("lines have no fields to look for {more:?} in (did you mean -u?)"));
        }
        let follow = typed.has("-f");
        let count = match typed.value("-n") {
            Some(none) if none.is_empty() => FEW,
            Some(lines) => count(lines)?,
            None if follow => FEW,
            None => u64::MAX,
        };
        let moment = |option: &str| {
            let text = typed.value(option).map(OsStr::to_string_lossy);
            let read =
                |text: &str| calendar::parse(text, now).ok_or_else(|| format!("{text:?} is no time (it is {HOW})"));
            text.map(|text| read(&text)).transpose()
        };
        let range = Range { since: moment("-S")?, until: moment("-U")? };
        if follow && range.until.is_some() {
            return Err("journalctl takes either --follow or --until".to_owned());
        }
        let boot = typed.value("-b").map(|boot| match boot.to_str() {
            Some("" | "0" | "-0" | "all") => Ok(boot != "all"),
            _ => Err("lines do not say which boot they are of: -b takes no number".to_owned()),
        });
        let cat = match typed.value("-o").and_then(OsStr::to_str) {
            Some("cat") => true,
            Some(format) if !format.starts_with("short") => {
                return Err(format!("there is no output {format:?}, only short and cat"));
            }
            _ => false,
        };
        let mut names: Vec<String> = Vec::new();
        for name in typed.values("-u") {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let journal = Some(Journal { cat, quiet: typed.has("-q") });
        let wanted = Wanted { names, follow, previous: false, count, range, journal, of: Whom::read(typed)? };
        Ok(Call::Logs { wanted, boot: boot.transpose()?.unwrap_or(false) })
    }
}

/// `words` with the values of `-n` and `-b`, which may have one and need none, attached to them.
fn attached(words: &[OsString]) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        let next = words.peek().and_then(|next| next.to_str()).unwrap_or_default();
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = match optional(text) {
            Some('n') => number(next) || next == "all",
            Some('b') => number(next.strip_prefix(['-', '+']).unwrap_or(next)),
            _ => false,
        };
        let mut word = word.clone();
        if value {
            word.push(if text.starts_with("--") { "=" } else { "" });
            word.push(next);
            words.next();
        }
        out.push(word);
        if text == "--" {
            out.extend(words.by_ref().cloned());
        }
    }
    out
}

/// The option at the end of `word` whose value may follow.
fn optional(word: &str) -> Option<char> {
    match word {
        "--lines" => return Some('n'),
        "--boot" => return Some('b'),
        _ => {}
    }
    let letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'))?;
    let alone = |letter: char| {
        OPTIONS.iter().any(|flag| flag.value == Value::None && flag.names.contains(&&*format!("-{letter}")))
    };
    let last = letters.chars().last().filter(|last| ['n', 'b'].contains(last))?;
    letters.chars().take(letters.chars().count() - 1).all(alone).then_some(last)
}

fn show(wanted: Wanted, boot: bool) -> Result<u8, String> {
    let mut wanted = wanted;
    let known = reel::names(&logs::folder(&wanted.of)).unwrap_or_default();
    let status = || Document::open(&wanted.of).and_then(|document| document.read()).map(|reading| reading.status);
    let mut names = Vec::new();
    for typed in &wanted.names {
        let plain = if typed == "init.scope" { "init" } else { bare(typed) };
        let kept = [typed.as_str(), plain].into_iter().find(|name| known.iter().any(|known| known == name));
        let name = match kept {
            Some(name) => name.to_owned(),
            None => match status().ok().and_then(|status| status.called(typed).map(|unit| unit.name.clone())) {
                Some(name) => name,
                None => return Err(not_found(typed, plain, &known)),
            },
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if boot {
        let started = status().map_err(|unable| unable.to_string())?.started;
        wanted.range.since = Some(wanted.range.since.map_or(started, |since| since.max(started)));
    }
    wanted.names = names;
    Ok(logs::run(wanted))
}

fn not_found(typed: &str, plain: &str, known: &[String]) -> String {
    let next = match suggest::nearest(plain, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.is_empty() => "nothing is kept of any unit".to_owned(),
        None => format!("lines are kept of {}", known.join(", ")),
    };
    format!("unable to show the lines of {typed}: there is no such unit; {next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mon 2026-11-23 05:33:11.500 UTC.
    const NOW: u64 = 1_795_411_991_500;

    fn parse(text: &str) -> Result<Call, String> {
        let words: Vec<OsString> = text.split_whitespace().map(|word| word.replace('_', " ").into()).collect();
        Call::parse(&words, NOW)
    }

    fn logs(text: &str) -> Wanted {
        match parse(text) {
            Ok(Call::Logs { wanted, .. }) => wanted,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_hands_type() {
        let names = |text: &str| logs(text).names;
        assert_eq!(names("-xeu k3s"), ["k3s"]);
        assert_eq!(names("-u a.service --unit=b -u a.service -ugossipn"), ["a.service", "b", "gossipn"]);
        for (text, count) in [
            ("", u64::MAX),
            ("-f", 10),
            ("-n", 10),
            ("-fn 5", 5),
            ("-n5", 5),
            ("-n 20 -f", 20),
            ("--lines 7", 7),
            ("--lines=8", 8),
            ("-n all -f", u64::MAX),
            ("-n --no-pager", 10),
            ("-fu n -n 3", 3),
        ] {
            assert_eq!(logs(text).count, count, "{text}");
        }
        let range = |text| (logs(text).range.since, logs(text).range.until);
        assert_eq!(range("--since 10_min_ago"), (Some(NOW - 600_000), None));
        assert_eq!(range("-S -1h --until=now"), (Some(NOW - 3_600_000), Some(NOW)));
        assert_eq!(logs("-o cat -q").journal, Some(Journal { cat: true, quiet: true }));
        assert_eq!(logs("-o short-iso").journal, Some(Journal::default()));
        for (text, expected) in
            [("-b", true), ("-b 0", true), ("-b -u web", true), ("-xb", true), ("-b -n 5", true), ("-n 5", false)]
        {
            assert!(matches!(parse(text), Ok(Call::Logs { boot, .. }) if boot == expected), "{text}");
        }
        assert_eq!(parse("--help"), Ok(Call::Help));
    }

    #[test]
    fn what_is_wrong_or_not_here() {
        for (text, mistake) in [
            ("-k", "unable to take -k: it is not here; the kernel's lines are not kept: see dmesg"),
            ("-p err", "unable to take -p: it is not here; lines have no priority"),
            ("--vacuum-size=1G", "unable to take --vacuum-size: it is not here; a unit's log"),
            (
                "k3s",
                "unable to read the command line: lines have no fields to look for \"k3s\" in (did you mean -u?); ",
            ),
            (
                "--sicne today",
                "unable to read the command line: journalctl takes no \"--sicne\" (did you mean \"--since\"?); ",
            ),
            ("--since soon", "unable to read the command line: \"soon\" is no time (it is \"10 min ago\", "),
            ("-b -1", "unable to read the command line: lines do not say which boot they are of: "),
            ("-o json", "unable to read the command line: there is no output \"json\", only short and cat; "),
            ("-n x", "unable to read the command line: lines have no fields"),
            ("-nx", "unable to read the command line: -n needs a number of lines, or \"all\"; "),
            ("-f --until now", "unable to read the command line: journalctl takes either --follow or --until; "),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(mistake), "{text}: {error}");
        }
    }
}
