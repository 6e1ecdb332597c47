//! What was typed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::commands;
use super::draw::Drawing;
use super::logs::Wanted;
use super::reload;
use super::renew;
use super::typed::Typed;
use crate::unit::{Goal, Wish, suggest};

/// One command with its options.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    Help,
    /// The page of the command with this name.
    HelpOf(String),
    HelpUnits,
    Version,
    Status(Asked),
    Check {
        root: PathBuf,
        files: Vec<PathBuf>,
    },
    Logs(Wanted),
    Graph(Drawing),
    BootChart {
        text: bool,
        of: Whom,
    },
    Units(Whom),
    /// For this shell.
    Completions(String),
    /// The page with this name.
    Man(String),
    Reload(reload::Wanted),
    Renew(renew::Wanted),
    Request(Demand),
    Shutdown {
        goal: Goal,
        of: Whom,
    },
}

/// The options of `status`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub json: bool,
    pub watch: bool,
    /// No line is shortened.
    pub wide: bool,
    /// The units; none: all, in a table.
    pub units: Vec<String>,
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
    /// What is done is not said.
    pub quiet: bool,
    pub of: Whom,
}

/// Which node is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Whom {
    pub pid: Option<i32>,
    pub root: Option<PathBuf>,
}

impl Whom {
    /// The node that the options name.
    pub fn read(typed: &Typed) -> Result<Whom, String> {
        Ok(Whom {
            pid: typed.value("--pid").map(process).transpose()?,
            root: typed.value("--root").map(folder).transpose()?,
        })
    }

    /// The node that the options name, of which something is to be asked: that needs somebody who takes it.
    pub fn somebody(typed: &Typed) -> Result<Whom, String> {
        match Whom::read(typed)? {
            Whom { pid: None, root: Some(_) } => Err("--root alone says where, not who; add --pid".to_owned()),
            whom => Ok(whom),
        }
    }

    /// Where the root of the node is.
    pub fn root(&self) -> PathBuf {
        match (&self.root, self.pid) {
            (Some(root), _) => root.clone(),
            (None, Some(pid)) => PathBuf::from(format!("/proc/{pid}/root")),
            (None, None) => PathBuf::from("/"),
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
        let Some(known) = commands::find(&name) else {
            let meant = suggest::nearest(&name, commands::names()).map(|near| format!(" (did you mean {near:?}?)"));
            return Err(format!("there is no command {name:?}{}", meant.unwrap_or_default()));
        };
        let typed = Typed::read(known, &name, arguments)?;
        if typed.help { Ok(Call::HelpOf(name.into_owned())) } else { (known.read)(&name, typed) }
    }
}

fn nothing_more(call: Call, words: &mut dyn Iterator<Item = OsString>) -> Result<Call, String> {
    match words.next() {
        None => Ok(call),
        Some(more) => Err(format!("{more:?} is one argument too many")),
    }
}

/// `help`.
pub(super) fn help(typed: &Typed) -> Result<Call, String> {
    Ok(match typed.operands.first() {
        None => Call::Help,
        Some(page) if page == "units" => Call::HelpUnits,
        Some(page) => Call::HelpOf(page.to_string_lossy().into_owned()),
    })
}

/// `status`.
pub(super) fn status(typed: &Typed) -> Result<Call, String> {
    let (json, watch, wide) = (typed.has("--json"), typed.has("--watch"), typed.has("--wide"));
    Ok(Call::Status(Asked { json, watch, wide, units: typed.units(), of: Whom::read(typed)? }))
}

/// `start`, `stop`, `restart`.
pub(super) fn request(wish: Wish, typed: &Typed) -> Result<Call, String> {
    let wait = typed.value("--wait").map(|value| match value.to_str() {
        Some("") => Ok(WAIT),
        text => {
            text.and_then(|text| text.parse().ok()).map(Duration::from_secs).ok_or("--wait needs a number of seconds")
        }
    });
    let wait = wait.transpose()?;
    Ok(Call::Request(Demand { wish, units: typed.units(), wait, quiet: false, of: Whom::somebody(typed)? }))
}

/// `reload`: of units, or of the table.
pub(super) fn reload(typed: &Typed) -> Result<Call, String> {
    let plan = typed.has("--plan");
    match typed.operands.first() {
        Some(_) if plan => Err("reload --plan is about the whole table".to_owned()),
        Some(_) => request(Wish::Reload, typed),
        None if typed.has("--wait") => Err("reload of the table always waits".to_owned()),
        None => Ok(Call::Reload(reload::Wanted { plan, of: Whom::somebody(typed)? })),
    }
}

/// `reexec`.
pub(super) fn renew(typed: &Typed) -> Result<Call, String> {
    let wait = match typed.value("--wait") {
        Some(text) if !text.is_empty() => {
            let seconds = text.to_string_lossy().parse().map_err(|_| "--wait needs a number of seconds".to_owned())?;
            Some(Duration::from_secs(seconds))
        }
        Some(_) | None => None,
    };
    Ok(Call::Renew(renew::Wanted { wait, of: Whom::somebody(typed)? }))
}

/// `shutdown` and its kin.
pub(super) fn shutdown(goal: Goal, typed: &Typed) -> Result<Call, String> {
    Ok(Call::Shutdown { goal, of: Whom::somebody(typed)? })
}

/// `graph`.
pub(super) fn graph(typed: &Typed) -> Result<Call, String> {
    let of = Whom::read(typed)?;
    let files: Vec<PathBuf> = typed.operands.iter().map(PathBuf::from).collect();
    match (typed.has("--dot"), typed.has("--svg")) {
        (true, true) => Err("graph takes either --dot or --svg".to_owned()),
        _ if !files.is_empty() && of != Whom::default() => Err("graph draws either files or a node".to_owned()),
        (_, svg) => Ok(Call::Graph(Drawing { svg, files, of })),
    }
}

/// `boot-chart`.
pub(super) fn boot_chart(typed: &Typed) -> Result<Call, String> {
    Ok(Call::BootChart { text: typed.has("--text"), of: Whom::read(typed)? })
}

/// `check`.
pub(super) fn check(typed: Typed) -> Result<Call, String> {
    let root = typed.value("--root").map(folder).transpose()?.unwrap_or_else(|| PathBuf::from("/"));
    Ok(Call::Check { root, files: typed.operands.into_iter().map(PathBuf::from).collect() })
}

/// How long `--wait` waits if it is not said.
const WAIT: Duration = Duration::from_secs(60);

/// The value of `--pid`.
fn process(value: &OsStr) -> Result<i32, String> {
    let pid = value.to_str().and_then(|text| text.parse().ok()).filter(|pid| *pid > 0);
    pid.ok_or_else(|| "--pid needs the number of a process".to_owned())
}

/// The value of `--root`.
fn folder(value: &OsStr) -> Result<PathBuf, String> {
    if value.is_empty() { Err("--root needs a folder".to_owned()) } else { Ok(PathBuf::from(value)) }
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
        let all = Asked { json: true, watch: true, wide: true, units: vec!["a".to_owned()], of: of() };
        assert_eq!(words("status --json --watch --wide a --pid 7 --root=/r a"), Ok(Call::Status(all)));
        assert_eq!(words("help stop"), Ok(Call::HelpOf("stop".to_owned())));
        assert_eq!(words("halt --help"), Ok(Call::HelpOf("halt".to_owned())));
        assert_eq!(words("check"), Ok(Call::Check { root: "/".into(), files: vec![] }));
        let files = vec!["a.toml".into(), "-b".into()];
        assert_eq!(words("check --root /r a.toml -- -b"), Ok(Call::Check { root: "/r".into(), files }));
        let demand = |wish, wait, of| {
            let units = vec!["a".to_owned(), "b".to_owned()];
            Ok(Call::Request(Demand { wish, units, wait, quiet: false, of }))
        };
        assert_eq!(words("start a b a"), demand(Wish::Start, None, Whom::default()));
        assert_eq!(words("reload a b"), demand(Wish::Reload, None, Whom::default()));
        let table = |plan| Ok(Call::Reload(reload::Wanted { plan, of: Whom::default() }));
        assert_eq!((words("reload"), words("reload --plan")), (table(false), table(true)));
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
            ("reboot now", "reboot takes no \"now\""),
            ("--version 2", "\"2\" is one argument too many"),
            ("status --pid", "--pid needs the number of a process"),
            ("status --pid 0", "--pid needs the number of a process"),
            ("status --pid=-1", "--pid needs the number of a process"),
            ("status --root", "--root needs a folder"),
            ("graph --svg --dot", "graph takes either --dot or --svg"),
            ("graph --pid 7 a.toml", "graph draws either files or a node"),
            ("check -x", "check takes no \"-x\""),
        ] {
            assert_eq!(words(text), Err(mistake.to_owned()), "{text}");
        }
    }
}
