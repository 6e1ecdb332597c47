//! `systemctl`: the one table of its commands, its options, and what was typed.

use std::ffi::OsString;

use log::error;

use super::super::call::Whom;
use super::super::commands::{Flag, Kind, Value};
use super::super::logs::count;
use super::super::shown;
use super::super::typed::Typed;
use super::answer::{self, Answer, Stop};
use super::{missing, page};
use crate::control::systemd::property::Choice;
use crate::control::systemd::{NO, OK};
use crate::unit::suggest;

/// A command.
pub(in crate::ctl) struct Verb {
    /// Its names; those of one row differ in what they ask PID 1 for.
    pub names: &'static [&'static str],
    /// What follows it.
    pub operands: &'static str,
    /// How many units must and may follow.
    pub count: (usize, usize),
    /// What it does.
    pub text: &'static str,
    pub run: fn(&str, &Asked) -> Answer,
}

const ANY: usize = usize::MAX;

/// Every command.
pub(in crate::ctl) const VERBS: &[Verb] = &[
    Verb {
        names: &["status"],
        operands: "[UNIT...]",
        count: (0, ANY),
        text: "each unit's state, why, what it uses, its last lines; without UNIT the node's",
        run: |_, asked| answer::status(asked),
    },
    Verb {
        names: &["show"],
        operands: "[UNIT...]",
        count: (0, ANY),
        text: "properties as NAME=VALUE; without UNIT the node's",
        run: |_, asked| answer::show(asked),
    },
    Verb {
        names: &["cat"],
        operands: "UNIT...",
        count: (1, ANY),
        text: "what the files of the table that runs say of it",
        run: |_, asked| answer::cat(asked),
    },
    Verb {
        names: &["is-active"],
        operands: "UNIT...",
        count: (1, ANY),
        text: "active, activating, deactivating, inactive or failed; exit code 0 if one is active",
        run: |_, asked| answer::is_active(asked),
    },
    Verb {
        names: &["is-failed"],
        operands: "[UNIT...]",
        count: (0, ANY),
        text: "the same word; exit code 0 if one has failed",
        run: |_, asked| answer::is_failed(asked),
    },
    Verb {
        names: &["is-enabled"],
        operands: "UNIT...",
        count: (1, ANY),
        text: "enabled or disabled, as the table that runs says; static or transient for what PID 1 adds",
        run: |_, asked| answer::is_enabled(asked),
    },
    Verb {
        names: &["is-system-running"],
        operands: "",
        count: (0, 0),
        text: "starting, running, degraded, stopping or offline; exit code 0 if running",
        run: |_, asked| answer::is_system_running(asked),
    },
    Verb {
        names: &["list-units"],
        operands: "[PATTERN...]",
        count: (0, ANY),
        text: "one line a unit; so it is without a command, too",
        run: |_, asked| answer::list_units(asked),
    },
    Verb {
        names: &["list-dependencies"],
        operands: "UNIT...",
        count: (1, ANY),
        text: "what it is started after, as a tree",
        run: |_, asked| answer::list_dependencies(asked),
    },
    Verb {
        names: &["start", "stop", "restart", "try-restart"],
        operands: "UNIT...",
        count: (1, ANY),
        text: "as initctl does, and wait up to 90 s until it is done; try-restart leaves alone what is not active",
        run: answer::request,
    },
    Verb {
        names: &["reload"],
        operands: "UNIT...",
        count: (1, ANY),
        text: "send it its reload-signal",
        run: answer::request,
    },
    Verb {
        names: &["reload-or-restart"],
        operands: "UNIT...",
        count: (1, ANY),
        text: "reload what is up and has a reload-signal, restart what is not or has none",
        run: answer::request,
    },
    Verb {
        names: &["try-reload-or-restart"],
        operands: "UNIT...",
        count: (1, ANY),
        text: "the same, but what is not active is left alone",
        run: answer::request,
    },
    Verb {
        names: &["daemon-reload"],
        operands: "",
        count: (0, 0),
        text: "read the unit table again and do what differs: initctl reload",
        run: |_, asked| answer::reload_table(asked),
    },
    Verb {
        names: &["daemon-reexec"],
        operands: "",
        count: (0, 0),
        text: "PID 1 goes on as the program that is now in its place: initctl reexec",
        run: |_, asked| answer::renew(asked),
    },
    Verb {
        names: &["poweroff", "reboot", "halt"],
        operands: "",
        count: (0, 0),
        text: "end the node; in a container each of them ends the container",
        run: answer::shut_down,
    },
];

const fn flag(names: &'static [&'static str], text: &'static str) -> Flag {
    Flag { names, value: Value::None, text }
}

const fn option(names: &'static [&'static str], value: &'static str, text: &'static str) -> Flag {
    Flag { names, value: Value::Must(value, Kind::Text), text }
}

/// Every option. They are taken before and after any command, as systemctl takes them.
pub(in crate::ctl) const OPTIONS: &[Flag] = &[
    flag(&["-q", "--quiet"], "is-active, is-failed, is-enabled, is-system-running: only the exit code"),
    flag(&["-a", "--all"], "list-units: what is inactive, too; show: empty properties, too"),
    option(&["-p", "--property"], "NAME", "show: only these, separated by commas; may be repeated"),
    option(&["-P"], "NAME", "as --value -p NAME"),
    flag(&["--value"], "show: without names"),
    option(&["-n", "--lines"], "N", "status: so many of its last lines, 10 if not said"),
    flag(&["-l", "--full"], "no line is shortened"),
    option(&["-t", "--type"], "TYPE", "list-units: only these; all are of type service"),
    option(&["--state"], "STATE", "list-units: only what is in one of these states"),
    flag(&["--failed"], "list-units: as --state failed"),
    flag(&["--plain"], "no marks, no lines of a tree"),
    flag(&["--no-legend"], "list-units: no head and no sum"),
    flag(&["--reverse"], "list-dependencies: what is started after it"),
    flag(&["--no-block"], "start, stop, restart: do not wait"),
    Flag {
        names: &["--pid"],
        value: Value::Must("PID", Kind::Process),
        text: "the node whose PID 1 is the process PID here: a container, seen from outside",
    },
    Flag {
        names: &["--root"],
        value: Value::Must("DIR", Kind::Folder),
        text: "the node's root is DIR; nobody is asked unless --pid says who",
    },
    flag(&["--no-pager", "--system", "--no-ask-password", "--no-wall"], "taken, and nothing: so it always is here"),
    flag(&["--version"], "the version"),
];

/// What is asked, beside the command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::ctl) struct Asked {
    /// Names or patterns, as they were typed.
    pub units: Vec<String>,
    pub quiet: bool,
    pub all: bool,
    pub full: bool,
    pub bare: bool,
    pub legend: bool,
    pub reverse: bool,
    pub wait: bool,
    pub choice: Choice,
    pub lines: u64,
    /// None: any.
    pub states: Vec<String>,
    pub kinds: Vec<String>,
    pub of: Whom,
}

impl Asked {
    fn new(typed: &Typed, units: Vec<String>) -> Result<Asked, String> {
        let several = |name| typed.values(name).flat_map(|names| list(&names)).collect::<Vec<_>>();
        let failed = typed.has("--failed").then(|| "failed".to_owned());
        let all = typed.has("-a");
        Ok(Asked {
            units,
            quiet: typed.has("-q"),
            all,
            full: typed.has("-l"),
            bare: typed.has("--plain"),
            legend: !typed.has("--no-legend"),
            reverse: typed.has("--reverse"),
            wait: !typed.has("--no-block"),
            choice: Choice {
                names: several("-p").into_iter().chain(several("-P")).collect(),
                value: typed.has("--value") || typed.has("-P"),
                all,
            },
            lines: typed.value("-n").map_or(Ok(10), count)?,
            states: several("--state").into_iter().chain(failed).collect(),
            kinds: several("-t"),
            of: Whom::read(typed)?,
        })
    }
}

fn list(names: &str) -> Vec<String> {
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Answers what `words` ask; the exit code.
pub(super) fn run(words: &mut dyn Iterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = words.collect();
    let call = match Call::parse(&words) {
        Ok(call) => call,
        Err(mistake) => {
            error!("{mistake}");
            return NO;
        }
    };
    match call {
        Call::Help => plainly(shown(&page::systemctl())),
        Call::Version => plainly(shown(concat!("clusteros-init ", env!("CARGO_PKG_VERSION"), " (systemctl)\n"))),
        Call::Verb(verb, name, asked) => match (verb.run)(&name, &asked) {
            Ok(code) | Err(Stop::Code(code)) => code,
            Err(Stop::Unable(unable)) => {
                error!("{unable}");
                unable.code
            }
        },
    }
}

/// An exit code of ours as one of systemctl's.
pub(super) fn plainly(code: u8) -> u8 {
    if code == OK { OK } else { NO }
}

enum Call {
    Help,
    Version,
    Verb(&'static Verb, String, Asked),
}

impl Call {
    /// What `words` ask; else what is wrong with them, as a whole sentence.
    fn parse(words: &[OsString]) -> Result<Call, String> {
        let wrong = |mistake: String| {
            format!("unable to read the command line: {mistake}; \"systemctl --help\" lists what there is")
        };
        let typed = Typed::divided(OPTIONS, "systemctl", words.iter().cloned());
        let typed = typed.map_err(|mistake| {
            let mut plain = words.iter().filter_map(|word| word.to_str()).filter(|word| !word.starts_with('-'));
            // What is asked is said first; its options follow from it.
            let verb = plain.next().and_then(|verb| absent(verb, plain.next()));
            verb.unwrap_or_else(|| match missing::option(missing::OPTIONS, words) {
                Some((name, instead)) => format!("unable to take {name}: it is not here; {instead}"),
                None => wrong(mistake),
            })
        })?;
        if typed.help {
            return Ok(Call::Help);
        }
        if typed.has("--version") {
            return Ok(Call::Version);
        }
        let mut operands = typed.operands.iter().map(|word| word.to_string_lossy().into_owned());
        let name = operands.next().unwrap_or_else(|| "list-units".to_owned());
        let units: Vec<String> = operands.collect();
        let Some(verb) = VERBS.iter().find(|verb| verb.names.contains(&name.as_str())) else {
            return Err(absent(&name, units.first().map(String::as_str)).unwrap_or_else(|| {
                let known = VERBS.iter().flat_map(|verb| verb.names).copied();
                let meant = suggest::nearest(&name, known).map(|near| format!(" (did you mean {near:?}?)"));
                wrong(format!("there is no command {name:?}{}", meant.unwrap_or_default()))
            }));
        };
        let (least, most) = verb.count;
        if let Some(more) = units.get(most) {
            return Err(wrong(format!("{name} takes no {more:?}")));
        }
        if units.len() < least {
            return Err(wrong(format!("{name} needs the name of a unit")));
        }
        Ok(Call::Verb(verb, name, Asked::new(&typed, units).map_err(wrong)?))
    }
}

/// That the command `verb` is not here, if systemd has it.
fn absent(verb: &str, unit: Option<&str>) -> Option<String> {
    let instead = missing::instead(missing::COMMANDS, verb)?;
    let object = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    Some(format!("unable to {verb}{object}: that is not here; {instead}"))
}
