//! What was typed.

use std::ffi::OsString;
use std::path::PathBuf;

use super::logs::Wanted;

/// The page of `initctl help`.
pub(super) const HELP: &str = "\
initctl: what PID 1 runs, and whether its table is right

  initctl status [--json] [--watch] [--pid PID] [--root DIR]
      The units, their states, and why. Asks PID 1 to write its status document anew (USR1) and shows it; where that is not
      permitted, shows the document as it is and says so.
        --json      the document itself
        --watch     again at every change, until interrupted
        --pid PID   of the node whose PID 1 is the process PID here: a container, seen from outside
        --root DIR  the node's root is DIR; nobody is asked unless --pid says who
      Exit code: 0 if every unit that is not off is up, done or skipped; else 1.

  initctl logs [-f] [-n N] [--pid PID] [--root DIR] [UNIT...]
      The last lines of UNITs, or without any of all units and of PID 1 itself (init), by time; those from before the last
      restart, too. With more than one unit each line begins with the unit's name.
        -f, --follow       also what is written from now on, until interrupted
        -n, --lines N      so many lines, or \"all\"; 100 if not said
        --pid, --root      as above
      Exit code: 0; 1 if nothing can be shown.

  initctl check [--root DIR] [FILE...]
      Reads FILEs in this order as one unit table, or without any the node's own (/etc/cluster-os/units.toml, then
      /etc/cluster-os/units.d/*.toml), and says every mistake. Exit code: 0 if there is none; else 78.

  initctl help [units]
      This page; the keys of the unit table.

  initctl --version
";

/// One command with its options.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    Help,
    HelpUnits,
    Version,
    Status(Asked),
    Check { root: PathBuf, files: Vec<PathBuf> },
    Logs(Wanted),
}

/// The options of `status`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub json: bool,
    pub watch: bool,
    pub pid: Option<i32>,
    pub root: Option<PathBuf>,
}

impl Call {
    /// What `arguments` (without the program's name) ask for; else what is wrong with them.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Call, String> {
        let mut arguments = arguments;
        let Some(command) = arguments.next() else { return Err("no command is given".to_owned()) };
        match command.to_string_lossy().as_ref() {
            "status" => status(arguments),
            "check" => check(arguments),
            "logs" => Wanted::parse(arguments).map(Call::Logs),
            "help" => help(arguments),
            "--help" | "-h" => nothing_more(Call::Help, arguments),
            "--version" | "-V" => nothing_more(Call::Version, arguments),
            other => Err(format!("there is no command {other:?}")),
        }
    }
}

fn help(mut arguments: impl Iterator<Item = OsString>) -> Result<Call, String> {
    match arguments.next() {
        None => Ok(Call::Help),
        Some(page) if page == "units" => nothing_more(Call::HelpUnits, arguments),
        Some(page) => Err(format!("there is no page {page:?}")),
    }
}

fn nothing_more(call: Call, mut arguments: impl Iterator<Item = OsString>) -> Result<Call, String> {
    match arguments.next() {
        None => Ok(call),
        Some(more) => Err(format!("{more:?} is one argument too many")),
    }
}

fn status(mut arguments: impl Iterator<Item = OsString>) -> Result<Call, String> {
    let mut asked = Asked::default();
    while let Some(argument) = arguments.next() {
        let (name, value) = split(&argument);
        match name.as_str() {
            "--json" if value.is_none() => asked.json = true,
            "--watch" if value.is_none() => asked.watch = true,
            "--pid" => asked.pid = Some(process(value, &mut arguments)?),
            "--root" => asked.root = Some(folder(value, &mut arguments)?),
            _ => return Err(format!("status takes no {argument:?}")),
        }
    }
    Ok(Call::Status(asked))
}

fn check(mut arguments: impl Iterator<Item = OsString>) -> Result<Call, String> {
    let mut root = PathBuf::from("/");
    let mut files = Vec::new();
    while let Some(argument) = arguments.next() {
        let (name, value) = split(&argument);
        match name.as_str() {
            "--root" => root = folder(value, &mut arguments)?,
            "--" => files.extend(arguments.by_ref().map(PathBuf::from)),
            option if option.starts_with('-') => return Err(format!("check takes no {argument:?}")),
            _ => files.push(PathBuf::from(argument)),
        }
    }
    Ok(Call::Check { root, files })
}

/// `--name=value` as its two halves; anything else as it is.
pub(super) fn split(argument: &OsString) -> (String, Option<OsString>) {
    let text = argument.to_string_lossy();
    match text.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.into())),
        _ => (text.into_owned(), None),
    }
}

pub(super) fn process(value: Option<OsString>, arguments: &mut impl Iterator<Item = OsString>) -> Result<i32, String> {
    let text = value.or_else(|| arguments.next()).unwrap_or_default();
    let pid = text.to_string_lossy().parse().ok().filter(|pid| *pid > 0);
    pid.ok_or_else(|| "--pid needs the number of a process".to_owned())
}

pub(super) fn folder(
    value: Option<OsString>,
    arguments: &mut impl Iterator<Item = OsString>,
) -> Result<PathBuf, String> {
    let folder = value.or_else(|| arguments.next()).filter(|folder| !folder.is_empty());
    folder.map(PathBuf::from).ok_or_else(|| "--root needs a folder".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Call, String> {
        Call::parse(text.split_whitespace().map(OsString::from))
    }

    #[test]
    fn calls() {
        assert_eq!(words("help"), Ok(Call::Help));
        assert_eq!(words("help units"), Ok(Call::HelpUnits));
        assert_eq!(words("--version"), Ok(Call::Version));
        assert_eq!(words("status"), Ok(Call::Status(Asked::default())));
        let all = Asked { json: true, watch: true, pid: Some(7), root: Some("/r".into()) };
        assert_eq!(words("status --json --watch --pid 7 --root=/r"), Ok(Call::Status(all)));
        assert_eq!(words("check"), Ok(Call::Check { root: "/".into(), files: vec![] }));
        let files = vec!["a.toml".into(), "-b".into()];
        assert_eq!(words("check --root /r a.toml -- -b"), Ok(Call::Check { root: "/r".into(), files }));
    }

    #[test]
    fn mistakes() {
        for (text, mistake) in [
            ("", "no command is given"),
            ("stauts", "there is no command \"stauts\""),
            ("help me", "there is no page \"me\""),
            ("--version 2", "\"2\" is one argument too many"),
            ("status all", "status takes no \"all\""),
            ("status --json=1", "status takes no \"--json=1\""),
            ("status --pid", "--pid needs the number of a process"),
            ("status --pid 0", "--pid needs the number of a process"),
            ("status --pid=-1", "--pid needs the number of a process"),
            ("status --root", "--root needs a folder"),
            ("check -x", "check takes no \"-x\""),
        ] {
            assert_eq!(words(text), Err(mistake.to_owned()), "{text}");
        }
    }
}
