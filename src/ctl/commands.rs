//! The one table of commands: what is parsed, and what help, completions and the man page say.

use super::call::{self, Call, Whom};
use super::code::{ABSENT, CONFIGURATION, DOWN, NO, OK, USAGE};
use super::completions::SHELLS;
use super::logs::Wanted;
use super::man::PAGES;
use super::typed::Typed;
use crate::unit::{Goal, Wish};

/// A command.
pub(super) struct Command {
    /// Its names; those of one row differ in what they ask PID 1 for.
    pub names: &'static [&'static str],
    /// What it is for, in a line.
    pub brief: &'static str,
    /// What it does; an empty line parts paragraphs.
    pub text: &'static str,
    pub options: &'static [Flag],
    pub operands: Operands,
    /// What its exit codes mean, beside those of a wrong command line.
    pub codes: &'static [(u8, &'static str)],
    /// What was typed after the name, as a call; else what is wrong with it.
    pub read: fn(&str, Typed) -> Result<Call, String>,
}

/// An option.
pub(super) struct Flag {
    /// Its spellings.
    pub names: &'static [&'static str],
    pub value: Value,
    pub text: &'static str,
}

/// What follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    None,
    /// After a space or `=`.
    Must(&'static str, Kind),
    /// Only after `=`.
    May(&'static str),
}

/// What a value is, for who completes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Process,
    Folder,
}

/// What follows the options.
pub(super) enum Operands {
    None,
    /// Names of units, at least so many.
    Units(usize),
    Files,
    /// One of these words: how they are called, which they are, and whether one must be there.
    Word {
        label: &'static str,
        words: fn() -> Vec<&'static str>,
        needed: bool,
    },
}

const PID: Flag = Flag {
    names: &["--pid"],
    value: Value::Must("PID", Kind::Process),
    text: "the node whose PID 1 is the process PID here: a container, seen from outside",
};
const ROOT: Flag = Flag {
    names: &["--root"],
    value: Value::Must("DIR", Kind::Folder),
    text: "the node's root is DIR; nobody is asked unless --pid says who",
};
const ROOT_OF: Flag = Flag { text: "the node's root is DIR; needs --pid, which says who is asked", ..ROOT };

/// Every command, in the order of the page.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        names: &["status"],
        brief: "the units, their states, and why",
        text: "\
Asks PID 1 to write its status document anew (USR1) and shows it: one line a unit, or of each UNIT all that is known, with its last transitions and the last lines that it wrote. \
Where asking is not permitted, shows the document as it is and says so.

No line is longer than the terminal is wide, or than 80 columns where there is none. States are coloured on a terminal, \
unless NO_COLOR is set.",
        options: &[
            Flag { names: &["--json"], value: Value::None, text: "the document itself" },
            Flag { names: &["--watch"], value: Value::None, text: "again at every change, until interrupted" },
            Flag { names: &["--wide"], value: Value::None, text: "no line is shortened" },
            PID,
            ROOT,
        ],
        operands: Operands::Units(0),
        codes: &[
            (OK, "every unit that is not off is up, done or skipped; with UNIT: each of them is"),
            (NO, "one is not; or the document cannot be read"),
            (DOWN, "with UNIT: one of them is not"),
            (ABSENT, "there is no status to be had"),
        ],
        read: |_, typed| call::status(&typed),
    },
    Command {
        names: &["start", "stop", "restart"],
        brief: "start, stop or restart units",
        text: "\
Asks PID 1, by a queued signal, to start units whatever their backoff, to stop them and keep them stopped, or to stop \
and start them. Ends when PID 1 has taken the requests or refused them. Nothing is asked unless all the units are there.",
        options: &[
            Flag {
                names: &["--wait"],
                value: Value::May("SECONDS"),
                text: "until the units are up or done, or off; at most so long (60 seconds)",
            },
            PID,
            ROOT_OF,
        ],
        operands: Operands::Units(1),
        codes: &[
            (OK, "done; without --wait: taken"),
            (NO, "refused, failed, or not done in time"),
            (USAGE, "there is no such unit"),
            (ABSENT, "no PID 1 of ours answers"),
        ],
        read: |name, typed| {
            let wish = [Wish::Start, Wish::Stop, Wish::Restart].into_iter().find(|wish| wish.word() == name);
            call::request(wish.unwrap_or(Wish::Start), &typed)
        },
    },
    Command {
        names: &["reload"],
        brief: "read the unit table again, or have units read their files again",
        text: "\
Without UNIT: has PID 1 read the unit table again (HUP), waits for the outcome and shows what changed. An identical unit is \
not touched, a changed policy counts from then on, a changed process starts again with what binds to it, a removed unit is \
stopped. A table with a mistake changes nothing.

With UNITs: sends them their reload-signal.",
        options: &[
            Flag { names: &["--plan"], value: Value::None, text: "only show what a reload of the table would change" },
            Flag {
                names: &["--wait"],
                value: Value::May("SECONDS"),
                text: "with UNIT: until the units are up; at most so long (60 seconds)",
            },
            PID,
            ROOT_OF,
        ],
        operands: Operands::Units(0),
        codes: &[
            (OK, "done, or there is nothing to do; with --plan: it would be; with UNIT: taken"),
            (NO, "not permitted, or refused"),
            (USAGE, "there is no such unit"),
            (CONFIGURATION, "there are mistakes in the table"),
            (ABSENT, "no PID 1 of ours answers"),
        ],
        read: |_, typed| call::reload(&typed),
    },
    Command {
        names: &["reexec"],
        brief: "have PID 1 go on as the program that is now in its place",
        text: "\
Asks PID 1 (USR2) to go on, under the same pid, as the program that is now where its own was: an upgrade in place. It first \
asks that program whether it can. Processes, timers, sockets, log pipes and queued requests stay; if it cannot be done, nothing \
is changed. Ends when it is done or refused.",
        options: &[
            Flag {
                names: &["--wait"],
                value: Value::May("SECONDS"),
                text: "for the outcome; at most so long (15 seconds)",
            },
            PID,
            ROOT_OF,
        ],
        operands: Operands::None,
        codes: &[
            (OK, "PID 1 went on as that program"),
            (NO, "it could not, and goes on as before; or not permitted"),
            (ABSENT, "no PID 1 of ours answers"),
        ],
        read: |_, typed| call::renew(&typed),
    },
    Command {
        names: &["shutdown", "poweroff", "reboot", "halt"],
        brief: "end the node",
        text: "\
Asks PID 1 for an orderly shutdown, by RTMIN+4 (shutdown, poweroff), RTMIN+5 (reboot) or RTMIN+3 (halt), and does not wait \
for it. In a container each of them ends the container. Asked again, no timeout lasts longer than a second; a third time \
kills.",
        options: &[PID, ROOT_OF],
        operands: Operands::None,
        codes: &[(OK, "asked"), (NO, "not permitted"), (ABSENT, "PID 1 is not ours, or does not answer")],
        read: |name, typed| {
            let goal = match name {
                "reboot" => Goal::Reboot,
                "halt" => Goal::Halt,
                _ => Goal::PowerOff,
            };
            call::shutdown(goal, &typed)
        },
    },
    Command {
        names: &["logs"],
        brief: "what units wrote",
        text: "\
The last lines of UNITs, or without any of all units and of PID 1 itself (init), by time; those from before the last \
restart, too. With more than one unit each line begins with the unit's name.",
        options: &[
            Flag {
                names: &["-f", "--follow"],
                value: Value::None,
                text: "also what is written from now on, until interrupted",
            },
            Flag {
                names: &["-n", "--lines"],
                value: Value::Must("N", Kind::Text),
                text: "so many lines, or \"all\"; 100 if not said",
            },
            Flag {
                names: &["--previous"],
                value: Value::None,
                text: "only what UNITs wrote before their last starts, as the status document has those",
            },
            PID,
            ROOT,
        ],
        operands: Operands::Units(0),
        codes: &[(OK, "shown"), (NO, "nothing can be shown")],
        read: |_, typed| Wanted::read(&typed).map(Call::Logs),
    },
    Command {
        names: &["graph"],
        brief: "the units and what ties them together, as a picture",
        text: "\
Draws the units of the node, coloured by their states, or those of a table that is read from FILEs in this order, and what \
they need, are bound to and want: an arrow leads from a unit to what it is tied to.",
        options: &[
            Flag { names: &["--dot"], value: Value::None, text: "in the language of Graphviz; so it is if nothing is said" },
            Flag { names: &["--svg"], value: Value::None, text: "as SVG, for a browser" },
            PID,
            ROOT,
        ],
        operands: Operands::Files,
        codes: &[(OK, "drawn"), (NO, "the status cannot be read"), (CONFIGURATION, "the table is wrong"), (ABSENT, "there is no status to be had")],
        read: |_, typed| call::graph(&typed),
    },
    Command {
        names: &["boot-chart"],
        brief: "how the node came up, as a picture",
        text: "\
Draws a bar a unit: when it first waited for what it needs, when it was first started, and when it was ready. Times count \
from the start of PID 1.",
        options: &[
            Flag { names: &["--text"], value: Value::None, text: "as text, not as SVG" },
            PID,
            ROOT,
        ],
        operands: Operands::None,
        codes: &[(OK, "drawn"), (NO, "the status cannot be read"), (ABSENT, "there is no status to be had")],
        read: |_, typed| call::boot_chart(&typed),
    },
    Command {
        names: &["check"],
        brief: "what is wrong with a unit table",
        text: "\
Reads FILEs in this order as one unit table, or without any the node's own (/etc/cluster-os/units.toml, then \
/etc/cluster-os/units.d/*.toml), and says every mistake.",
        options: &[Flag { text: "the node's root is DIR", ..ROOT }],
        operands: Operands::Files,
        codes: &[(OK, "there is no mistake"), (CONFIGURATION, "there is one")],
        read: |_, typed| call::check(typed),
    },
    Command {
        names: &["list"],
        brief: "the names of the units, one a line",
        text: "\
The names that the status document has, in the order of the table. Nobody is asked: it is for scripts and for completions.",
        options: &[PID, ROOT],
        operands: Operands::None,
        codes: &[(OK, "shown"), (NO, "the document cannot be read"), (ABSENT, "there is no status to be had")],
        read: |_, typed| Ok(Call::Units(Whom::read(&typed)?)),
    },
    Command {
        names: &["completions"],
        brief: "what makes a shell complete this command",
        text: "\
Prints a script for bash, zsh or fish. For the shell that runs: source <(initctl completions bash), or in fish initctl \
completions fish | source. For good: into /usr/share/bash-completion/completions/initctl, as _initctl into a folder of \
zsh's fpath, or into ~/.config/fish/completions/initctl.fish.",
        options: &[],
        operands: Operands::Word { label: "bash|zsh|fish", words: || SHELLS.to_vec(), needed: true },
        codes: &[],
        read: |_, typed| Ok(Call::Completions(typed.word())),
    },
    Command {
        names: &["man"],
        brief: "a man page",
        text: "\
Prints the page of a program, or of the unit table, in roff: initctl man units | man -l - shows it. Without a name it is the \
page of initctl.",
        options: &[],
        operands: Operands::Word {
            label: "initctl|clusteros-init|logd|units|systemctl|journalctl",
            words: || PAGES.map(|(name, ..)| name).to_vec(),
            needed: false,
        },
        codes: &[],
        read: |_, typed| Ok(Call::Man(typed.word())),
    },
    Command {
        names: &["help"],
        brief: "this page, that of a command, or the keys of the unit table",
        text: "As COMMAND --help. The page `units` has the keys of the unit table.",
        options: &[],
        operands: Operands::Word { label: "COMMAND|units", words: pages, needed: false },
        codes: &[],
        read: |_, typed| call::help(&typed),
    },
];

/// The command that is called `name`.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.names.contains(&name))
}

/// The names of all commands.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().flat_map(|command| command.names).copied()
}

fn pages() -> Vec<&'static str> {
    names().chain(["units"]).collect()
}
