//! From a unit to a process: its arguments, its environment, its descriptors.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::sys::attire::{Attire, EnvironmentFile, Who};
use crate::sys::cgroup::Membership;
use crate::sys::signal::{Entry, SignalSet};
use crate::sys::spawn::{OwnPid, Program};
use crate::sys::{Errno, descriptor, process};
use crate::unit::{self, Log, Role, Unit, stopping};

/// Where programs are looked up when nobody has said so: a kernel starts PID 1 without `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What belongs to PID 1, or to one of its units, and is no other unit's business.
const PRIVATE: [&str; 10] = [
    "NOTIFY_SOCKET",
    "INVOCATION_ID",
    LISTEN_PID,
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    WATCHDOG_SPAN,
    WATCHDOG_PID,
    stopping::REASON,
    stopping::SPAN,
];
/// Whose the sockets of the variables beside it are.
const LISTEN_PID: &str = "LISTEN_PID";
/// How long it may be silent, in microseconds.
const WATCHDOG_SPAN: &str = "WATCHDOG_USEC";
/// Who must not be silent.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// What every process that PID 1 starts is made from.
pub struct Outfit {
    /// Our environment as we were given it.
    environment: Vec<(OsString, OsString)>,
    /// The signal mask and the ignored signals as we were given them.
    entry: Entry,
    /// The command of the command line, exactly as it was typed.
    command: Vec<OsString>,
    /// The descriptors from 3 up that we were given: the command's.
    inherited: Vec<RawFd>,
    /// `/dev/null`.
    null: Option<RawFd>,
}

/// What differs from unit to unit and from start to start.
#[derive(Default)]
pub struct Occasion<'a> {
    /// The unit's `NOTIFY_SOCKET`.
    pub notify: Option<&'a Path>,
    /// How long it may be silent.
    pub watchdog: Option<Duration>,
    /// What becomes a descriptor of its own, and which.
    pub line: Option<(RawFd, RawFd)>,
    /// More of its environment.
    pub environment: Vec<(&'static str, String)>,
    /// What it writes to; none: what we write to.
    pub output: Option<RawFd>,
    /// Descriptors that it keeps under their numbers.
    pub keep: Vec<RawFd>,
    /// Arguments after its own.
    pub more: Vec<CString>,
    /// Its cgroup.
    pub cgroup: Option<Membership>,
}

impl Outfit {
    /// From what we were given.
    pub fn new(entry: Entry, command: Vec<OsString>, inherited: Vec<RawFd>, null: Option<RawFd>) -> Outfit {
        Outfit { environment: std::env::vars_os().collect(), entry, command, inherited, null }
    }

    /// The program of `unit`.
    ///
    /// # Errors
    /// `EINVAL` if an argument has a zero byte in it, or there is none.
    pub fn program(&self, unit: &Unit, role: Role, occasion: Occasion<'_>) -> Result<Program, Errno> {
        match role {
            Role::Main if unit.main => self.wrapped(occasion.cgroup),
            Role::Main => self.unit(unit, &unit.exec, occasion),
            Role::Stop => self.unit(unit, unit.stop.as_deref().unwrap_or_default(), occasion),
            Role::Probe => {
                let argv = unit.ready.probe().map(|probe| probe.argv.as_slice());
                self.unit(unit, argv.unwrap_or_default(), occasion)
            }
            Role::Finish => self.unit(unit, unit.finish.as_deref().unwrap_or_default(), occasion),
        }
    }

    /// What we were given that the command gets: its signals, its descriptors.
    pub fn given(&self) -> (Entry, &[RawFd]) {
        (self.entry, &self.inherited)
    }

    /// A program that says nothing, with our environment and `keep` open.
    ///
    /// # Errors
    /// `EINVAL` if a variable has a zero byte in it.
    pub fn plain(&self, candidates: Vec<CString>, arguments: Vec<CString>, keep: Vec<RawFd>) -> Result<Program, Errno> {
        Ok(Program {
            candidates,
            arguments,
            environment: self
                .environment
                .iter()
                .map(|(name, value)| assignment(name, value))
                .collect::<Result<_, _>>()?,
            own_pid: None,
            stdio: [self.null; 3],
            keep,
            line: None,
            signals: Entry::default(),
            ours_ignored: self.entry.ignored,
            foreground: false,
            attire: Attire::default(),
        })
    }

    /// The descriptors of the command are no longer ours to keep.
    pub fn hand_over(&mut self) {
        descriptor::close_inherited(std::mem::take(&mut self.inherited));
    }

    /// The command of the command line gets exactly what we were given. Sockets that are ours by `LISTEN_PID` become its own:
    /// it has another pid, and the id of ours would belie that.
    fn wrapped(&self, cgroup: Option<Membership>) -> Result<Program, Errno> {
        let arguments = self.command.iter().map(|word| c_string(word)).collect::<Result<Vec<_>, _>>()?;
        let name = self.command.first().ok_or(Errno::EINVAL)?;
        let ours = process::own_pid().to_string();
        let listens = self.variable(LISTEN_PID) == Some(OsStr::new(&ours));
        let passed: Vec<_> =
            self.environment.iter().filter(|(name, _)| !(listens && name == "LISTEN_PIDFDID")).collect();
        Ok(Program {
            candidates: candidates(name, self.variable("PATH"))?,
            arguments,
            own_pid: (if listens { passed.iter().position(|(name, _)| name == LISTEN_PID) } else { None })
                .map(|at| OwnPid { at, name: LISTEN_PID }),
            environment: passed.iter().map(|(name, value)| assignment(name, value)).collect::<Result<_, _>>()?,
            stdio: [None; 3],
            keep: self.inherited.clone(),
            line: None,
            signals: self.entry,
            ours_ignored: SignalSet::EMPTY,
            foreground: descriptor::is_terminal(0),
            attire: Attire { cgroup, ..Attire::default() },
        })
    }

    /// Our own program, one of `candidates`, with these `words` and our environment; what it writes goes to `output`.
    ///
    /// # Errors
    /// `EINVAL` if there is a zero byte in a word.
    pub fn own(&self, candidates: Vec<CString>, words: &[OsString], output: RawFd) -> Result<Program, Errno> {
        let arguments = words.iter().map(|word| c_string(word)).collect::<Result<_, _>>()?;
        let stdio = [self.null, Some(output), None];
        Ok(Program { stdio, ..self.plain(candidates, arguments, Vec::new())? })
    }

    fn unit(&self, unit: &Unit, words: &[String], occasion: Occasion<'_>) -> Result<Program, Errno> {
        let attributes = &unit.attributes;
        let passed =
            |name: &OsStr| !attributes.clear_env || attributes.pass_env.iter().any(|passed| name == passed.as_str());
        let ours = self.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
        let mut environment: BTreeMap<&OsStr, &OsStr> = ours.filter(|(name, _)| passed(name)).collect();
        for name in PRIVATE {
            environment.remove(OsStr::new(name));
        }
        environment.entry(OsStr::new("PATH")).or_insert(OsStr::new(DEFAULT_PATH));
        environment.extend(unit.env.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value))));
        if let Some(path) = occasion.notify {
            environment.insert(OsStr::new("NOTIFY_SOCKET"), path.as_os_str());
        }
        let span = occasion.watchdog.map(|span| span.as_micros().to_string());
        if let Some(span) = &span {
            environment.insert(OsStr::new(WATCHDOG_SPAN), OsStr::new(span));
            environment.insert(OsStr::new(WATCHDOG_PID), OsStr::new(""));
        }
        environment.extend(occasion.environment.iter().map(|(name, value)| (OsStr::new(*name), OsStr::new(value))));
        let name = words.first().ok_or(Errno::EINVAL)?;
        let mut arguments = words.iter().map(|word| c_string(OsStr::new(word))).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(occasion.more);
        let output = if unit.log == Log::Null { self.null } else { occasion.output };
        let mut attire = Attire { cgroup: occasion.cgroup, ..attire(unit, occasion.notify)? };
        for (name, _) in &occasion.environment {
            attire.settled.push(c_string(OsStr::new(name))?);
        }
        let own_pid = occasion.watchdog.and_then(|_| environment.keys().position(|name| *name == WATCHDOG_PID));
        Ok(Program {
            candidates: candidates(OsStr::new(name), environment.get(OsStr::new("PATH")).copied())?,
            arguments,
            environment: environment.iter().map(|(name, value)| assignment(name, value)).collect::<Result<_, _>>()?,
            own_pid: own_pid.map(|at| OwnPid { at, name: WATCHDOG_PID }),
            stdio: [self.null, output, output],
            keep: occasion.keep,
            line: occasion.line,
            signals: Entry::default(),
            ours_ignored: self.entry.ignored,
            foreground: false,
            attire,
        })
    }

    /// A variable of our environment.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }
}

/// The files that `name` may stand for: itself if it has a slash, else one in each directory of `path`.
pub fn candidates(name: &OsStr, path: Option<&OsStr>) -> Result<Vec<CString>, Errno> {
    if name.as_bytes().contains(&b'/') || name.is_empty() {
        return Ok(vec![c_string(name)?]);
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    std::env::split_paths(path).map(|directory| c_string(directory.join(name).as_os_str())).collect()
}

/// What the unit's processes put on.
fn attire(unit: &Unit, notify: Option<&Path>) -> Result<Attire, Errno> {
    let attributes = &unit.attributes;
    let text = |text: &str| c_string(OsStr::new(text));
    let who = |who: &unit::attributes::Who| match who {
        unit::attributes::Who::Number(number) => Ok(Who::Number(*number)),
        unit::attributes::Who::Name(name) => text(name).map(Who::Name),
    };
    // None of root's groups stays with who is somebody else.
    let groups = attributes.changes_identity().then(|| attributes.groups.as_deref().unwrap_or_default());
    let own = unit.env.keys().map(String::as_str);
    Ok(Attire {
        user: attributes.user.as_ref().map(who).transpose()?,
        group: attributes.group.as_ref().map(who).transpose()?,
        groups: groups.map(|groups| groups.iter().map(who).collect()).transpose()?,
        umask: attributes.umask,
        cwd: attributes.cwd.as_deref().map(text).transpose()?,
        nice: attributes.nice,
        oom_score_adj: attributes.oom_score_adj.map(|score| text(&score.to_string())).transpose()?,
        limits: attributes.rlimits.iter().map(|limit| (limit.resource.into(), limit.soft, limit.hard)).collect(),
        capabilities: attributes.capabilities,
        no_new_privileges: attributes.no_new_privileges,
        environment_file: match &attributes.env_file {
            Some(file) => Some(EnvironmentFile { path: text(&file.path)?, optional: file.optional }),
            None => None,
        },
        settled: own.chain(PRIVATE).map(text).collect::<Result<_, _>>()?,
        socket: notify.filter(|path| path.is_absolute()).map(|path| c_string(path.as_os_str())).transpose()?,
        cgroup: None,
    })
}

fn assignment(name: &OsStr, value: &OsStr) -> Result<CString, Errno> {
    let mut both = name.to_owned();
    both.push("=");
    both.push(value);
    c_string(&both)
}

fn c_string(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outfit() -> Outfit {
        let environment = [("PATH", "/a:/b"), ("EMPTY", ""), ("NOTIFY_SOCKET", "/theirs"), ("LISTEN_FDS", "3")];
        Outfit {
            environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            entry: Entry { mask: SignalSet(5), ignored: SignalSet(6) },
            command: vec!["sh".into(), "-c".into(), "true".into()],
            inherited: vec![7],
            null: Some(9),
        }
    }

    fn strings(list: &[CString]) -> Vec<&str> {
        list.iter().map(|text| text.to_str().unwrap()).collect()
    }

    #[test]
    fn a_unit_gets_a_clean_start_and_its_own_variables() {
        let mut unit = Unit::new("web", vec!["httpd".to_owned(), "-f".to_owned()]);
        unit.env.insert("PORT".to_owned(), "80".to_owned());
        let occasion = Occasion { notify: Some(Path::new("/n/web.sock")), output: Some(11), ..Occasion::default() };
        let program = outfit().program(&unit, Role::Main, occasion).unwrap();
        assert_eq!(strings(&program.candidates), ["/a/httpd", "/b/httpd"]);
        assert_eq!(strings(&program.arguments), ["httpd", "-f"]);
        assert_eq!(strings(&program.environment), ["EMPTY=", "NOTIFY_SOCKET=/n/web.sock", "PATH=/a:/b", "PORT=80"]);
        assert_eq!(program.stdio, [Some(9), Some(11), Some(11)]);
        assert_eq!(program.signals, Entry::default());
        assert_eq!(program.ours_ignored, SignalSet(6));
    }

    #[test]
    fn a_unit_with_a_watchdog_learns_of_it_and_a_finish_command_of_the_end() {
        let mut unit = Unit::new("web", vec!["httpd".to_owned()]);
        unit.finish = Some(vec!["clean".to_owned()]);
        let mut outfit = outfit();
        outfit.environment.push(("WATCHDOG_USEC".into(), "7".into()));
        let occasion = Occasion { watchdog: Some(Duration::from_millis(1500)), ..Occasion::default() };
        let program = outfit.program(&unit, Role::Main, occasion).unwrap();
        assert_eq!(strings(&program.environment), ["EMPTY=", "PATH=/a:/b", "WATCHDOG_PID=", "WATCHDOG_USEC=1500000"]);
        assert_eq!(program.own_pid, Some(OwnPid { at: 2, name: "WATCHDOG_PID" }));
        unit.env.insert("UNIT".to_owned(), "mine".to_owned());
        let occasion = Occasion { environment: vec![("UNIT", "web".to_owned())], ..Occasion::default() };
        let program = outfit.program(&unit, Role::Finish, occasion).unwrap();
        assert_eq!(strings(&program.candidates), ["/a/clean", "/b/clean"]);
        assert_eq!(strings(&program.environment), ["EMPTY=", "PATH=/a:/b", "UNIT=web"]);
        assert!(strings(&program.attire.settled).contains(&"UNIT"));
    }

    #[test]
    fn a_clear_environment_keeps_what_is_passed_and_a_path() {
        let mut unit = Unit::new("web", vec!["httpd".to_owned()]);
        unit.attributes.clear_env = true;
        unit.attributes.pass_env = vec!["EMPTY".to_owned(), "LISTEN_FDS".to_owned(), "ABSENT".to_owned()];
        let program = outfit().program(&unit, Role::Main, Occasion::default()).unwrap();
        assert_eq!(strings(&program.environment), ["EMPTY=", &format!("PATH={DEFAULT_PATH}")]);
    }

    #[test]
    fn whoever_changes_its_user_keeps_no_group_of_ours() {
        let mut unit = Unit::new("web", vec!["httpd".to_owned()]);
        let attire = |unit: &Unit| outfit().program(unit, Role::Main, Occasion::default()).unwrap().attire;
        assert_eq!(attire(&unit).groups, None);
        unit.attributes.user = Some(unit::attributes::Who::Name("www".to_owned()));
        assert_eq!(attire(&unit).groups, Some(Vec::new()));
        unit.attributes.groups = Some(vec![unit::attributes::Who::Number(4)]);
        assert_eq!(attire(&unit).groups, Some(vec![Who::Number(4)]));
        unit.main = true;
        assert_eq!(attire(&unit), Attire::default());
    }

    #[test]
    fn the_command_gets_exactly_what_we_were_given() {
        let mut unit = Unit::new("main", vec!["sh".to_owned()]);
        unit.main = true;
        let program = outfit().program(&unit, Role::Main, Occasion::default()).unwrap();
        assert_eq!(strings(&program.arguments), ["sh", "-c", "true"]);
        assert_eq!(strings(&program.environment), ["PATH=/a:/b", "EMPTY=", "NOTIFY_SOCKET=/theirs", "LISTEN_FDS=3"]);
        assert_eq!((program.stdio, program.keep), ([None; 3], vec![7]));
        assert_eq!(program.signals, Entry { mask: SignalSet(5), ignored: SignalSet(6) });
    }

    #[test]
    fn sockets_that_are_ours_become_the_commands() {
        let mut main = Unit::new("main", vec!["sh".to_owned()]);
        main.main = true;
        let ours = process::own_pid().to_string();
        for (pid, own_pid, variables) in [(ours.as_str(), Some(4), 5), ("1234567890", None, 6)] {
            let mut outfit = outfit();
            outfit.environment.push(("LISTEN_PID".into(), pid.into()));
            outfit.environment.push(("LISTEN_PIDFDID".into(), "77".into()));
            let program = outfit.program(&main, Role::Main, Occasion::default()).unwrap();
            assert_eq!((program.own_pid.map(|own| own.at), program.environment.len()), (own_pid, variables));
        }
    }

    #[test]
    fn a_name_with_a_slash_is_not_looked_up() {
        assert_eq!(strings(&candidates(OsStr::new("./x"), None).unwrap()), ["./x"]);
        assert_eq!(candidates(OsStr::new("x"), None).unwrap().len(), 6);
    }
}
