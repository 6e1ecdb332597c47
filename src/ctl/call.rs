//! What was typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::commands::{COMMANDS, Words};
use super::logs::Wanted;
use crate::unit::{Goal, Wish, suggest};

/// One command with its options.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    Help,
    HelpUnits,
    Version,
    Status(Asked),
    Check { root: PathBuf, files: Vec<PathBuf> },
    Logs(Wanted),
    Request(Demand),
    Shutdown { goal: Goal, of: Whom },
}

/// The options of `status`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub json: bool,
    pub watch: bool,
    pub of: Whom,
}

/// The options of `start`, `stop` and `restart`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub wish: Wish,
    /// Each once.
    pub units: Vec<String>,
    /// How long to wait for the outcome, if at all.
    pub wait: Option<Duration>,
    pub of: Whom,
}

/// Which node is meant.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Whom {
    pub pid: Option<i32>,
    pub root: Option<PathBuf>,
}

impl Whom {
    /// Takes the option if it says which node; whether it did.
    fn take(&mut self, name: &str, value: Option<OsString>, words: Words<'_>) -> Result<bool, String> {
        match name {
            "--pid" => self.pid = Some(process(value, words)?),
            "--root" => self.root = Some(folder(value, words)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A request needs somebody who takes it.
    fn somebody(self) -> Result<Whom, String> {
        match self {
            Whom { pid: None, root: Some(_) } => Err("--root alone says where, not who; add --pid".to_owned()),
            whom => Ok(whom),
        }
    }
}

impl Call {
    /// What `arguments` (without the program's name) ask for; else what is wrong with them.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Call, String> {
        let mut arguments = arguments;
        let Some(command) = arguments.next() else { return Err("no command is given".to_owned()) };
        let name = command.to_string_lossy();
        match name.as_ref() {
            "--help" | "-h" => return nothing_more(Call::Help, &mut arguments),
            "--version" | "-V" => return nothing_more(Call::Version, &mut arguments),
            _ => {}
        }
        if let Some(known) = COMMANDS.iter().find(|known| known.names.contains(&name.as_ref())) {
            return (known.read)(&name, &mut arguments);
        }
        let names = COMMANDS.iter().flat_map(|known| known.names).copied();
        let meant = suggest::nearest(&name, names).map(|near| format!(" (did you mean {near:?}?)"));
        Err(format!("there is no command {name:?}{}", meant.unwrap_or_default()))
    }
}

/// `help`.
pub(super) fn help(words: Words<'_>) -> Result<Call, String> {
    match words.next() {
        None => Ok(Call::Help),
        Some(page) if page == "units" => nothing_more(Call::HelpUnits, words),
        Some(page) => Err(format!("there is no page {page:?}")),
    }
}

fn nothing_more(call: Call, words: Words<'_>) -> Result<Call, String> {
    match words.next() {
        None => Ok(call),
        Some(more) => Err(format!("{more:?} is one argument too many")),
    }
}

/// `status`.
pub(super) fn status(words: Words<'_>) -> Result<Call, String> {
    let mut asked = Asked::default();
    while let Some(argument) = words.next() {
        let (name, value) = split(&argument);
        match name.as_str() {
            "--json" if value.is_none() => asked.json = true,
            "--watch" if value.is_none() => asked.watch = true,
            _ if asked.of.take(&name, value, words)? => {}
            _ => return Err(format!("status takes no {argument:?}")),
        }
    }
    Ok(Call::Status(asked))
}

/// `start`, `stop`, `restart`.
pub(super) fn request(wish: Wish, words: Words<'_>) -> Result<Call, String> {
    let (mut units, mut wait, mut of): (Vec<String>, _, _) = (Vec::new(), None, Whom::default());
    while let Some(argument) = words.next() {
        let (name, value) = split(&argument);
        match name.as_str() {
            "--wait" => {
                let seconds = value.map_or(Some(WAIT.as_secs()), |text| text.to_string_lossy().parse().ok());
                wait = Some(Duration::from_secs(seconds.ok_or("--wait needs a number of seconds")?));
            }
            _ if of.take(&name, value, words)? => {}
            _ if name.starts_with('-') => return Err(format!("{} takes no {argument:?}", wish.word())),
            _ if units.contains(&name) => {}
            _ => units.push(name),
        }
    }
    if units.is_empty() {
        return Err(format!("{} needs the name of a unit", wish.word()));
    }
    Ok(Call::Request(Demand { wish, units, wait, of: of.somebody()? }))
}

/// `shutdown` and its kin.
pub(super) fn shutdown(goal: Goal, words: Words<'_>) -> Result<Call, String> {
    let mut of = Whom::default();
    while let Some(argument) = words.next() {
        let (name, value) = split(&argument);
        if !of.take(&name, value, words)? {
            return Err(format!("a shutdown takes no {argument:?}"));
        }
    }
    Ok(Call::Shutdown { goal, of: of.somebody()? })
}

/// `check`.
pub(super) fn check(words: Words<'_>) -> Result<Call, String> {
    let mut root = PathBuf::from("/");
    let mut files = Vec::new();
    while let Some(argument) = words.next() {
        let (name, value) = split(&argument);
        match name.as_str() {
            "--root" => root = folder(value, words)?,
            "--" => files.extend((&mut *words).map(PathBuf::from)),
            option if option.starts_with('-') => return Err(format!("check takes no {argument:?}")),
            _ => files.push(PathBuf::from(argument)),
        }
    }
    Ok(Call::Check { root, files })
}

/// How long `--wait` waits if it is not said.
const WAIT: Duration = Duration::from_secs(60);

/// `--name=value` as its two halves; anything else as it is.
pub(super) fn split(argument: &OsString) -> (String, Option<OsString>) {
    let text = argument.to_string_lossy();
    match text.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.into())),
        _ => (text.into_owned(), None),
    }
}

/// The value of `--pid`.
pub(super) fn process(value: Option<OsString>, words: Words<'_>) -> Result<i32, String> {
    let text = value.or_else(|| words.next()).unwrap_or_default();
    let pid = text.to_string_lossy().parse().ok().filter(|pid| *pid > 0);
    pid.ok_or_else(|| "--pid needs the number of a process".to_owned())
}

/// The value of `--root`.
pub(super) fn folder(value: Option<OsString>, words: Words<'_>) -> Result<PathBuf, String> {
    let folder = value.or_else(|| words.next()).filter(|folder| !folder.is_empty());
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
        let of = || Whom { pid: Some(7), root: Some("/r".into()) };
        let all = Asked { json: true, watch: true, of: of() };
        assert_eq!(words("status --json --watch --pid 7 --root=/r"), Ok(Call::Status(all)));
        assert_eq!(words("check"), Ok(Call::Check { root: "/".into(), files: vec![] }));
        let files = vec!["a.toml".into(), "-b".into()];
        assert_eq!(words("check --root /r a.toml -- -b"), Ok(Call::Check { root: "/r".into(), files }));
        let demand = |wish, wait, of| {
            let units = vec!["a".to_owned(), "b".to_owned()];
            Ok(Call::Request(Demand { wish, units, wait, of }))
        };
        assert_eq!(words("start a b a"), demand(Wish::Start, None, Whom::default()));
        assert_eq!(words("stop a --wait b"), demand(Wish::Stop, Some(WAIT), Whom::default()));
        let some = Some(Duration::from_secs(5));
        assert_eq!(words("restart --wait=5 a b --pid=7 --root /r"), demand(Wish::Restart, some, of()));
        for (name, goal) in
            [("shutdown", Goal::PowerOff), ("poweroff", Goal::PowerOff), ("reboot", Goal::Reboot), ("halt", Goal::Halt)]
        {
            assert_eq!(words(name), Ok(Call::Shutdown { goal, of: Whom::default() }), "{name}");
        }
    }

    #[test]
    fn mistakes() {
        for (text, mistake) in [
            ("", "no command is given"),
            ("stauts", "there is no command \"stauts\" (did you mean \"status\"?)"),
            ("frobnicate", "there is no command \"frobnicate\""),
            ("start", "start needs the name of a unit"),
            ("stop --wait=soon a", "--wait needs a number of seconds"),
            ("restart --force a", "restart takes no \"--force\""),
            ("stop a --root /r", "--root alone says where, not who; add --pid"),
            ("reboot now", "a shutdown takes no \"now\""),
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
