//! The man pages, made from the tables that the programs go by.

use super::code::CODES;
use super::commands::{COMMANDS, Command, Flag};
use super::habits::missing::{self, Missing};
use super::habits::systemctl::{OPTIONS, VERBS};
use super::habits::{journalctl, page as habits};
use super::page::{spelled, usage};
use crate::control::roff::{Roff, plain};
use crate::control::systemd::{self, property};
use crate::control::{signal, usage as init};
use crate::unit::duration::HOW;
use crate::unit::keys::KEYS;
use crate::unit::{Signal, signal as names};

/// The pages: what `initctl man` calls them, and their names and sections.
pub(super) const PAGES: [(&str, &str, u8); 6] = [
    ("initctl", "initctl", 1),
    ("clusteros-init", "clusteros-init", 8),
    ("logd", "logd", 8),
    ("units", "units", 5),
    ("systemctl", "systemctl", 1),
    ("journalctl", "journalctl", 1),
];

/// The page with this name in roff; that of initctl if there is none.
pub(super) fn page(name: &str) -> String {
    match name {
        "clusteros-init" => of_init(),
        "logd" => of_logd(),
        "units" => of_units(),
        "systemctl" => of_systemctl(),
        "journalctl" => of_journalctl(),
        _ => of_initctl(),
    }
}

/// The page's beginning.
fn begun(page: &str, what: &str) -> Roff {
    let (_, name, section) = PAGES.into_iter().find(|(known, ..)| *known == page).unwrap_or(PAGES[0]);
    Roff::new(name, section, what)
}

/// The page's end.
fn ended(roff: Roff, page: &str) -> String {
    roff.see_also(PAGES.into_iter().filter(|(known, ..)| *known != page).map(|(_, name, section)| (name, section)))
}

fn of_initctl() -> String {
    let mut roff = begun("initctl", "what PID 1 runs, and whether its table is right");
    roff.heading("SYNOPSIS");
    for command in COMMANDS {
        roff.line(".br");
        roff.line(&format!("\\fBinitctl\\fR {}", plain(&usage(command).join(" "))));
    }
    roff.heading("DESCRIPTION");
    roff.paragraph(
        "It reads the status document that `clusteros-init` writes, and asks it by signals. There is no socket: who may \
         signal PID 1 may ask.",
    );
    roff.heading("COMMANDS");
    for command in COMMANDS {
        described(&mut roff, command);
    }
    roff.heading("EXIT STATUS");
    roff.codes(CODES);
    roff.heading("ENVIRONMENT");
    roff.tagged("NO_COLOR", "If it is set and not empty, nothing is coloured.");
    roff.heading("FILES");
    roff.tagged("/run/cluster-os/status.json", "The status document, written by PID 1 at every change.");
    roff.tagged(
        "/var/log/cluster-os/UNIT.log",
        "What a unit wrote, written by `logd`; older files end in .1, .2 and so on.",
    );
    roff.tagged("/etc/cluster-os/units.toml, /etc/cluster-os/units.d/*.toml", "The unit table.");
    roff.heading("EXAMPLES");
    roff.example("initctl status\ninitctl restart web --wait\ninitctl logs -f web\ninitctl graph --svg >units.svg");
    ended(roff, "initctl")
}

fn described(roff: &mut Roff, command: &Command) {
    roff.line(&format!(".SS \"{}\"", plain(&usage(command).join(" "))));
    for paragraph in command.text.split("\n\n") {
        roff.paragraph(paragraph);
    }
    for flag in command.options {
        roff.tagged(&spelled(flag), flag.text);
    }
    if !command.codes.is_empty() {
        roff.paragraph("Exit status:");
        roff.line(".RS");
        roff.codes(command.codes);
        roff.line(".RE");
    }
}

fn of_init() -> String {
    let mut roff = begun("clusteros-init", "PID 1 for containers and machines");
    roff.heading("SYNOPSIS");
    roff.line(&plain(init::USAGE));
    roff.heading("DESCRIPTION");
    roff.paragraph(init::WHAT);
    roff.heading("OPTIONS");
    for (names, text) in init::OPTIONS {
        roff.tagged(names, text);
    }
    roff.paragraph(init::WITHOUT_TABLE);
    for (names, text) in init::WRAPPING {
        roff.tagged(names, text);
    }
    roff.paragraph(init::REST);
    roff.heading("SIGNALS");
    roff.paragraph("With a unit table; every other signal is passed on to the main command and to the units that ask for it. With a command alone every signal is the command's.");
    for (number, container, machine) in signal::table() {
        let (container, machine) = (container.words(), machine.words());
        let text = if container == machine {
            container
        } else {
            format!("In a container: {container}. On a machine: {machine}.")
        };
        roff.tagged(&names::name(Signal(number)), &text);
    }
    roff.paragraph("A second request for a shutdown leaves every timeout a second at most; a third kills.");
    roff.heading("EXIT STATUS");
    roff.paragraph("With a command: its status, or 128 + N if signal N ended it; 127 if it was not found, 126 if it could not be executed. Else:");
    for (code, text) in [
        ("0", "a shutdown in which everything ended when asked"),
        ("1", "something had to be killed"),
        ("64", "the command line is wrong"),
        ("70", "an internal error"),
        ("78", "the table or the configuration is wrong"),
    ] {
        roff.tagged(code, text);
    }
    roff.heading("FILES");
    roff.tagged("/etc/cluster-os/units.toml, /etc/cluster-os/units.d/*.toml", "The unit table.");
    roff.tagged("/run/cluster-os/status.json", "The status document.");
    roff.heading("EXAMPLES");
    roff.example("ENTRYPOINT [\"/clusteros-init\", \"--\"]\nCMD [\"my-service\"]");
    ended(roff, "clusteros-init")
}

fn of_logd() -> String {
    let mut roff = begun("logd", "lines of units to standard output and to files");
    roff.heading("SYNOPSIS");
    roff.line(&plain("logd --dir DIR [--stdout] [--stage=FD] FD=NAME[:SIZE:KEEP] ..."));
    roff.heading("DESCRIPTION");
    roff.paragraph(
        "`clusteros-init` starts it, before all units, and ends it after them; nobody else needs to. It reads the pipes of the \
         units and appends each line, with its time, to `NAME.log` in the folder; a file that is full becomes `NAME.log.1`, and \
         so on. What it has taken from a pipe and not yet written is in memory that PID 1 keeps: a logd that is killed loses, \
         tears and repeats no line of a file.",
    );
    roff.heading("OPTIONS");
    roff.tagged("--dir DIR", "The folder of the files.");
    roff.tagged("--stdout", "Show the lines on standard output, too, each after the name of its unit.");
    roff.tagged("--stage=FD", "The memory that PID 1 keeps.");
    roff.tagged(
        "FD=NAME[:SIZE:KEEP]",
        "A pipe to read, the name of its unit, how large its file may be in bytes, and how many older files are kept.",
    );
    roff.heading("EXIT STATUS");
    roff.tagged("0", "Every pipe has ended.");
    roff.tagged("64", "The command line is wrong.");
    roff.heading("FILES");
    roff.tagged("/var/log/cluster-os/UNIT.log", "What a unit wrote; `initctl logs` shows it.");
    ended(roff, "logd")
}

fn of_units() -> String {
    let mut roff = begun("units", "the unit table of clusteros-init");
    roff.heading("DESCRIPTION");
    roff.paragraph(
        "The table is `/etc/cluster-os/units.toml`, then `/etc/cluster-os/units.d/*.toml` in name order, in TOML. A later file \
         that names a unit again changes the keys that it says and leaves the others; `enabled = false` switches a unit off. A \
         table is taken whole or refused whole; `initctl check` says every mistake.",
    );
    roff.paragraph(&format!("A unit is a table [unit.NAME]. A duration is {HOW}."));
    roff.heading("KEYS");
    for key in KEYS {
        roff.tagged(key.name, key.what);
        roff.line(".br");
        roff.words(&format!("Values: {}. Default: {}.", key.values, key.default));
    }
    roff.heading("EXAMPLES");
    roff.example("[unit.database]\nexec  = [\"postgres\", \"-D\", \"/data\"]\nready = \"notify\"\n\n[unit.web]\nexec  = [\"web-server\"]\nneeds = [\"database\"]");
    ended(roff, "units")
}

fn of_systemctl() -> String {
    let mut roff = begun("systemctl", "initctl in systemd's words");
    roff.heading("SYNOPSIS");
    roff.line("\\fBsystemctl\\fR [OPTION...] COMMAND [UNIT...]");
    roff.heading("DESCRIPTION");
    roff.paragraph(habits::SYSTEMCTL);
    roff.heading("COMMANDS");
    for verb in VERBS {
        roff.tagged(&habits::usage(verb), verb.text);
    }
    roff.heading("OPTIONS");
    options(&mut roff, OPTIONS);
    roff.heading("PROPERTIES");
    let of_unit: Vec<&str> = property::UNIT.iter().map(|(name, _)| *name).collect();
    let of_node: Vec<&str> = property::NODE.iter().map(|(name, _)| *name).collect();
    roff.paragraph(&format!("Of a unit: {}.", of_unit.join(", ")));
    roff.paragraph(&format!("Of the node: {}.", of_node.join(", ")));
    roff.heading("WHAT IS NOT HERE");
    absent(&mut roff, &[missing::COMMANDS, missing::OPTIONS]);
    roff.heading("EXIT STATUS");
    roff.codes(systemd::CODES);
    ended(roff, "systemctl")
}

fn of_journalctl() -> String {
    let mut roff = begun("journalctl", "initctl logs in systemd's words");
    roff.heading("SYNOPSIS");
    roff.line("\\fBjournalctl\\fR [OPTION...]");
    roff.heading("DESCRIPTION");
    roff.paragraph(habits::JOURNALCTL);
    roff.heading("OPTIONS");
    options(&mut roff, journalctl::OPTIONS);
    roff.heading("WHAT IS NOT HERE");
    absent(&mut roff, &[missing::LOG_OPTIONS]);
    roff.heading("EXIT STATUS");
    roff.codes(journalctl::CODES);
    ended(roff, "journalctl")
}

fn options(roff: &mut Roff, options: &[Flag]) {
    for flag in options {
        roff.tagged(&spelled(flag), flag.text);
    }
}

fn absent(roff: &mut Roff, tables: &[Missing]) {
    for (names, instead) in tables.iter().copied().flatten() {
        roff.tagged(&names.join(", "), instead);
    }
}
