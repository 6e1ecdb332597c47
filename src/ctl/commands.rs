//! The one table of commands: what is parsed, what `initctl help` shows, what is suggested.

use std::ffi::OsString;
use std::fmt::Write;

use super::call::{self, Call};
use super::logs::Wanted;
use crate::unit::Goal;
use crate::unit::Wish;

/// What follows a command's name.
pub(super) type Words<'a> = &'a mut dyn Iterator<Item = OsString>;

/// A command.
pub(super) struct Command {
    /// Its names; all but `shutdown`'s stand for one thing.
    pub names: &'static [&'static str],
    /// What may follow the names.
    pub usage: &'static str,
    /// What it does, line by line.
    pub text: &'static str,
    /// Reads what follows the name.
    pub read: fn(&str, Words<'_>) -> Result<Call, String>,
}

/// Every command, in the order of the page.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        names: &["status"],
        usage: "[--json] [--watch] [--pid PID] [--root DIR]",
        text: "\
The units, their states, and why. Asks PID 1 to write its status document anew (USR1) and shows it; where that is not
permitted, shows the document as it is and says so.
  --json      the document itself
  --watch     again at every change, until interrupted
  --pid PID   of the node whose PID 1 is the process PID here: a container, seen from outside
  --root DIR  the node's root is DIR; nobody is asked unless --pid says who
Exit code: 0 if every unit that is not off is up, done or skipped; 3 if there is no status to be had; else 1.",
        read: |_, words| call::status(words),
    },
    Command {
        names: &["start", "stop", "restart"],
        usage: "UNIT... [--wait[=SECONDS]] [--pid PID] [--root DIR]",
        text: "\
Asks PID 1, by a queued signal, to start units whatever their backoff, to stop them and keep them stopped, or to stop and
start them. Ends when PID 1 has taken the requests or refused them.
  --wait[=SECONDS]  until the units are up or done, or off; at most so long (60 seconds)
  --pid, --root     as for status; --root needs --pid
Exit code: 0 if done (without --wait: if taken); 1 if refused, failed, or not done in time; 3 if no PID 1 of ours answers;
64 if there is no such unit. Nothing is asked unless all of them are there.",
        read: |name, words| {
            let wish = [Wish::Start, Wish::Stop, Wish::Restart].into_iter().find(|wish| wish.word() == name);
            call::request(wish.unwrap_or(Wish::Start), words)
        },
    },
    Command {
        names: &["shutdown", "poweroff", "reboot", "halt"],
        usage: "[--pid PID] [--root DIR]",
        text: "\
Asks PID 1 for an orderly shutdown, by RTMIN+4 (shutdown, poweroff), RTMIN+5 (reboot) or RTMIN+3 (halt), and does not wait
for it. In a container each of them ends the container. Asked again, no timeout lasts longer than a second; a third time
kills. Exit code: 0 if asked; 1 if not permitted; 3 if PID 1 is not ours.",
        read: |name, words| {
            let goal = match name {
                "reboot" => Goal::Reboot,
                "halt" => Goal::Halt,
                _ => Goal::PowerOff,
            };
            call::shutdown(goal, words)
        },
    },
    Command {
        names: &["logs"],
        usage: "[-f] [-n N] [--pid PID] [--root DIR] [UNIT...]",
        text: "\
The last lines of UNITs, or without any of all units and of PID 1 itself (init), by time; those from before the last
restart, too. With more than one unit each line begins with the unit's name.
  -f, --follow       also what is written from now on, until interrupted
  -n, --lines N      so many lines, or \"all\"; 100 if not said
  --pid, --root      as for status
Exit code: 0; 1 if nothing can be shown.",
        read: |_, words| Wanted::parse(words).map(Call::Logs),
    },
    Command {
        names: &["check"],
        usage: "[--root DIR] [FILE...]",
        text: "\
Reads FILEs in this order as one unit table, or without any the node's own (/etc/cluster-os/units.toml, then
/etc/cluster-os/units.d/*.toml), and says every mistake. Exit code: 0 if there is none; else 78.",
        read: |_, words| call::check(words),
    },
    Command {
        names: &["help"],
        usage: "[units]",
        text: "This page; the keys of the unit table.",
        read: |_, words| call::help(words),
    },
];

/// The page of `initctl help`.
pub(super) fn help() -> String {
    let mut page = "initctl: what PID 1 runs, and whether its table is right\n\n".to_owned();
    for command in COMMANDS {
        let _ = writeln!(page, "  initctl {} {}", command.names.join("|"), command.usage);
        for line in command.text.lines() {
            let _ = writeln!(page, "      {line}");
        }
        page.push('\n');
    }
    page.push_str("  initctl --version\n\nA wrong command line is exit code 64.\n");
    page
}
