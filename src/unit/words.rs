//! Every sentence that the machine says, in one place. Each is pinned by a test.

use std::time::Duration;

use super::attributes::{Attributes, RESOURCES, Stage, Who};
use super::duration::short;
use super::event::{Ending, Errno, Goal, Pid, SpawnError, Wish};
use super::give_up::Then;
use super::machine::{Machine, Phase};
use super::signal;
use super::state::{Cell, State, Step, Why};
use super::table::{NotifyFrom, Signal, Unit, UnitId};
use super::time::Time;

pub(super) const HURRIED: &str = "asked again to shut down; no timeout lasts longer than a second now";
pub(super) const FORCED: &str = "asked a third time to shut down; killing what is left";
pub(super) const KILLING_ORPHANS: &str =
    "unable to end the processes left over by SIGTERM: they are still there; killing them";

/// Why a unit left its state, after a reload.
pub(super) const CHANGED: &str = "its unit was changed";
pub(super) const SWITCHED_ON: &str = "switched on in the table";
pub(super) const SWITCHED_OFF: &str = "switched off in the table";
pub(super) const NOT_SKIPPED: &str = "its `when` holds now";
pub(super) const REMOVED: &str = "removed from the table";

/// How far a stop has come.
pub const STOP_RUNS: &str = "its stop command runs";
/// The same, after SIGKILL.
pub const KILLED: &str = "it was killed";
/// The same, after the end of the main process.
pub const FINISH_RUNS: &str = "its finish command runs";
/// The same, after that took too long.
pub const FINISH_KILLED: &str = "its finish command was killed";

/// How a failure begins that no end of a process says.
pub const NO_PROCESS: &str = "no process could be made";
/// The same, of what never was ready.
pub const NOT_READY: &str = "it was not ready within";
/// The same, of what was silent.
pub const NO_WATCHDOG: &str = "it sent no WATCHDOG=1 for";
/// The same, of what asked for it.
pub const TRIGGERED: &str = "it asked for its end (WATCHDOG=trigger)";
/// The same, of what is not tried again.
pub const GAVE_UP: &str = "gave up after";

pub(super) fn up(unit: &Unit, pid: Pid, after: Duration) -> String {
    format!("{} is up after {} (pid {})", unit.name, span(after), pid.0)
}

pub(super) fn done(unit: &Unit, after: Duration) -> String {
    format!("{} is done after {}", unit.name, span(after))
}

pub(super) fn stopping(unit: &Unit) -> String {
    format!("stopping {}", unit.name)
}

pub(super) fn stopped(unit: &Unit, after: Duration) -> String {
    format!("{} is down after {}", unit.name, span(after))
}

pub(super) fn shutting_down(goal: Goal) -> String {
    format!("shutting down to {}", goal_word(goal))
}

pub(super) fn down(goal: Goal, after: Duration) -> String {
    format!("everything is down after {}; going to {}", span(after), goal_word(goal))
}

pub(super) fn over_budget(budget: Duration) -> String {
    format!("unable to shut down in time: {} are over; killing what is left", span(budget))
}

pub(super) fn foreign_notice(unit: &Unit, sender: Pid) -> String {
    let (is, next) = match unit.notify_from {
        NotifyFrom::Main => ("not its main process", " (notify-from = \"cgroup\" would take them)"),
        NotifyFrom::Cgroup => ("none of its processes", ""),
    };
    format!(
        "unable to take a notification for {}: process {} is {is}; ignoring such until it starts again{next}",
        unit.name, sender.0
    )
}

pub(super) fn retrying(unit: &Unit, why: &Why, delay: Duration) -> String {
    let next =
        if delay.is_zero() { "starting it again now".to_owned() } else { format!("trying again in {}", span(delay)) };
    format!("unable to {} {}: {}; {next}", verb(why), unit.name, cause(unit, why))
}

pub(super) fn failed(unit: &Unit, why: &Why) -> String {
    let rule = match why {
        Why::Ended(how) | Why::EarlyEnd(how) if unit.permanent(*how) => "permanent-exit says so",
        _ => "restart = \"never\"",
    };
    let (verb, name, cause) = (verb(why), &unit.name, cause(unit, why));
    format!("unable to {verb} {name}: {cause}; not trying again: {rule}; `initctl start {name}` tries again")
}

pub(super) fn gave_up(unit: &Unit, why: &Why, then: Then) -> String {
    let (name, cause) = (&unit.name, cause(unit, why));
    let next = match then {
        Then::Stay => format!("`initctl start {name}` tries again"),
        Then::Shutdown => "shutting down, as its give-up says".to_owned(),
        Then::Reboot => "rebooting, as its give-up says".to_owned(),
    };
    format!("unable to {} {name}: {cause}; {next}", verb(why))
}

pub(super) fn reloading(unit: &Unit, signal: Signal) -> String {
    format!("{} was sent its reload-signal, {}", unit.name, signal::name(signal))
}

pub(super) fn main_not_started(unit: &Unit, why: &Why) -> String {
    let program = unit.exec.first().map_or("", String::as_str);
    format!("unable to start {program}: {}; exiting", cause(unit, why))
}

pub(super) fn stopping_failed(unit: &Unit, why: &Why) -> String {
    let next = if matches!(why, Why::Watchdog(_)) { "ending it with SIGABRT" } else { "stopping it" };
    format!("unable to {} {}: {}; {next}", verb(why), unit.name, cause(unit, why))
}

pub(super) fn stop_command_failed(unit: &Unit, cause: &str) -> String {
    format!("unable to run the stop command of {}: {cause}; going on with the stop", unit.name)
}

pub(super) fn killing(unit: &Unit, after: Duration, forced: bool) -> String {
    let cause =
        if forced { "the shutdown does not wait".to_owned() } else { format!("still there after {}", span(after)) };
    format!("unable to stop {} gently: {cause}; killing it", unit.name)
}

pub(super) fn finish_failed(unit: &Unit, cause: &str) -> String {
    format!("unable to run the finish command of {}: {cause}; going on without it", unit.name)
}

pub(super) fn probe_failed(unit: &Unit, cause: &str) -> String {
    let every = unit.probe().map_or(Duration::ZERO, |probe| probe.every);
    format!("unable to run the probe of {}: {cause}; trying again every {}", unit.name, span(every))
}

pub(super) fn probe_hangs(unit: &Unit, limit: Duration) -> String {
    let every = unit.probe().map_or(Duration::ZERO, |probe| probe.every);
    let (name, limit, every) = (&unit.name, span(limit), span(every));
    format!(
        "unable to wait for the probe of {name}: it is not done within {limit}; killing it, trying again every {every}"
    )
}

pub(super) fn killing_finish(unit: &Unit, forced: bool) -> String {
    let cause = if forced {
        "the shutdown does not wait".to_owned()
    } else {
        format!("it is not done within {}", span(unit.stop_timeout))
    };
    format!("unable to wait for the finish command of {}: {cause}; killing it", unit.name)
}

pub(super) fn stuck(unit: &Unit, pid: Pid) -> String {
    format!("unable to kill {}: process {} sleeps in the kernel; going on without it", unit.name, pid.0)
}

pub(super) fn refused(unit: &Unit, wish: Wish, cause: &str) -> String {
    format!("unable to {} {}: {cause}; nothing was changed", wish.word(), unit.name)
}

/// What a request is to a unit that follows it.
pub(super) const fn asked(wish: Wish) -> &'static str {
    match wish {
        Wish::Start => "asked to start",
        Wish::Stop => "asked to stop",
        Wish::Restart => "asked to restart",
        Wish::Reload => "asked to reload",
    }
}

fn verb(why: &Why) -> &'static str {
    match why {
        Why::Ended(_) | Why::Watchdog(_) => "keep up",
        Why::GaveUp { last, .. } => verb(last),
        Why::EarlyEnd(_) | Why::Fork(_) | Why::Exec(_) | Why::StartTimeout(_) => "start",
    }
}

/// A failure as a cause: what comes after the colon.
pub(super) fn cause(unit: &Unit, why: &Why) -> String {
    match why {
        Why::Ended(how) => format!("it {}", ending(*how)),
        Why::EarlyEnd(how) => format!("it {} before it was ready", ending(*how)),
        Why::Fork(errno) => format!("{NO_PROCESS}: {}", errno_text(*errno)),
        Why::Exec(error) => not_become(&unit.attributes, *error),
        Why::StartTimeout(limit) => format!("{NOT_READY} {}", span(*limit)),
        Why::Watchdog(Some(limit)) => format!("{NO_WATCHDOG} {}", span(*limit)),
        Why::Watchdog(None) => TRIGGERED.to_owned(),
        Why::GaveUp { after, within, last } => {
            let failures = if *after == 1 { "failure" } else { "failures" };
            format!("{GAVE_UP} {after} {failures} in {}: {}", short(*within), cause(unit, last))
        }
    }
}

/// Why a process did not become its program: what it was about, and what was wrong with that.
fn not_become(attributes: &Attributes, error: SpawnError) -> String {
    let detail = usize::try_from(error.detail).unwrap_or(usize::MAX);
    let there_is_no = |what: &str, who: Option<&Who>, file: &str| match error.errno {
        Errno(0) => format!("there is no {what} {} in {file}", shown(who)),
        errno => format!("{what} {}: {}", shown(who), errno_text(errno)),
    };
    let said = |what: String| format!("{what}: {}", errno_text(error.errno));
    match error.stage {
        Stage::Exec => said("its program could not be executed".to_owned()),
        Stage::Cgroup => said("its cgroup could not be entered".to_owned()),
        Stage::CgroupSetting => match attributes.cgroup.get(detail) {
            Some(setting) => said(format!("{} {}", setting.knob.key(), setting.text)),
            None => said("its cgroup".to_owned()),
        },
        Stage::Passwd => said(format!("user {}: /etc/passwd could not be read", shown(attributes.user.as_ref()))),
        Stage::GroupFile => said("group: /etc/group could not be read".to_owned()),
        Stage::User => there_is_no("user", attributes.user.as_ref(), "/etc/passwd"),
        Stage::Group => match &attributes.group {
            Some(group) => there_is_no("group", Some(group), "/etc/group"),
            None => said(format!("the group of user {}", shown(attributes.user.as_ref()))),
        },
        Stage::Groups => match (attributes.groups.as_deref().unwrap_or_default(), error.errno) {
            (groups, Errno(0)) => there_is_no("group", groups.get(detail), "/etc/group"),
            ([], _) => said("groups".to_owned()),
            (groups, _) => {
                said(format!("groups {}", groups.iter().map(|who| shown(Some(who))).collect::<Vec<_>>().join(", ")))
            }
        },
        Stage::EnvFile => {
            let path = attributes.env_file.as_ref().map_or("", |file| file.path.as_str());
            match error.errno {
                Errno(0) => format!("env-file {path}: line {detail} is not NAME=VALUE"),
                _ => said(format!("env-file {path}")),
            }
        }
        Stage::NotifySocket => said("its notify socket could not be given to its user".to_owned()),
        Stage::ReadyFd => said("the descriptor of its readiness could not be given to it".to_owned()),
        Stage::OomScoreAdj => said(format!("oom-score-adj {}", attributes.oom_score_adj.unwrap_or(0))),
        Stage::Nice => said(format!("nice {}", attributes.nice.unwrap_or(0))),
        Stage::Rlimits => {
            let resource = attributes.rlimits.get(detail).map_or(usize::MAX, |limit| usize::from(limit.resource));
            said(format!("rlimits {}", RESOURCES.get(resource).copied().unwrap_or_default()))
        }
        Stage::Capabilities => said("capabilities".to_owned()),
        Stage::Cwd => said(format!("cwd {}", attributes.cwd.as_deref().unwrap_or_default())),
        Stage::NoNewPrivileges => said("no-new-privileges".to_owned()),
    }
}

fn shown(who: Option<&Who>) -> String {
    match who {
        Some(Who::Name(name)) => name.clone(),
        Some(Who::Number(number)) => number.to_string(),
        None => String::new(),
    }
}

/// How a process ended, as a verb phrase.
pub fn ending(how: Ending) -> String {
    match how {
        Ending::Code(code) => format!("exited with status {code}"),
        Ending::Lost => "ended while PID 1 was broken, and how is not known".to_owned(),
        Ending::Signal { signal, core } => {
            let name = signal::name(signal);
            let sig = if name.starts_with("signal") { "" } else { "SIG" };
            format!("was killed by {sig}{name}{}", if core { " and left a core dump" } else { "" })
        }
        Ending::OutOfMemory => "was killed by SIGKILL, out of memory".to_owned(),
    }
}

fn goal_word(goal: Goal) -> &'static str {
    match goal {
        Goal::Exit => "exit",
        Goal::PowerOff => "power off",
        Goal::Reboot => "reboot",
        Goal::Halt => "halt",
    }
}

/// The C library's text for an errno, as a clause: `no such file or directory`.
pub fn errno_text(errno: Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.0).to_string();
    let plain = text.split(" (os error").next().unwrap_or_default();
    let mut letters = plain.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// A span as a person says it: `250 ms`, `1.5 s`, `2 min 5 s`.
pub fn span(span: Duration) -> String {
    let millis = span.as_millis();
    match (span.as_secs(), millis % 1000 / 100) {
        (0, _) => format!("{millis} ms"),
        (seconds @ 1..60, 0) => format!("{seconds} s"),
        (seconds @ 1..60, tenths) => format!("{seconds}.{tenths} s"),
        (seconds, _) if seconds % 60 == 0 => format!("{} min", seconds / 60),
        (seconds, _) => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

impl Machine {
    /// Why a unit is in its state, where there is something to say.
    pub(super) fn why(&self, now: Time, id: UnitId, unit: &Unit, cell: &Cell) -> Option<String> {
        match (cell.gone, self.why_so(now, id, unit, cell)) {
            (false, why) => why,
            (true, None) => Some(REMOVED.to_owned()),
            (true, Some(why)) => Some(format!("{REMOVED}; {why}")),
        }
    }

    fn why_so(&self, now: Time, id: UnitId, unit: &Unit, cell: &Cell) -> Option<String> {
        match &cell.state {
            State::Off => (!unit.enabled && !cell.wanted).then(|| "switched off in the table".to_owned()),
            State::Skipped(why) => Some(why.clone()),
            State::Waiting => {
                let waits = self.waits_for(id, unit, cell);
                (!waits.is_empty()).then(|| format!("waiting for {}", waits.join(", ")))
            }
            State::Backoff { until, why } => Some(format!("{}; again in {}", cause(unit, why), span(until.since(now)))),
            State::Failed(why) => Some(cause(unit, why)),
            State::Starting { .. } if unit.probe().is_some() => Some("its probe has not succeeded yet".to_owned()),
            State::Starting { .. } => Some("not ready yet".to_owned()),
            State::Stopping(stop) => Some(
                match stop.step {
                    Step::Command(_) => STOP_RUNS,
                    Step::Signalled => "the stop signal was sent",
                    Step::Killed(_) => KILLED,
                    Step::Finish(_) => FINISH_RUNS,
                    Step::FinishKilled(_) => FINISH_KILLED,
                }
                .to_owned(),
            ),
            State::Stuck { .. } => Some("SIGKILL did not help: it sleeps in the kernel".to_owned()),
            State::Up { .. } | State::Done => None,
        }
    }

    /// Why a stop of it begins now.
    pub(super) fn why_stop(&self, id: UnitId, failure: Option<&Why>) -> Option<String> {
        let (unit, cell) = (self.unit(id)?, self.cell(id)?);
        let lost = unit.binds.iter().copied().find(|bind| !self.there(*bind)).and_then(|bind| self.unit(bind));
        Some(match (failure, lost) {
            (Some(why), _) => cause(unit, why),
            (None, _) if self.phase() != Phase::Running => "the node shuts down".to_owned(),
            (None, _) if cell.gone => REMOVED.to_owned(),
            (None, _) if !cell.wanted && cell.changed => SWITCHED_OFF.to_owned(),
            (None, _) if !cell.wanted => asked(Wish::Stop).to_owned(),
            (None, _) if cell.skip.is_some() => cell.skip.clone().unwrap_or_default(),
            (None, _) if cell.again && cell.changed => CHANGED.to_owned(),
            (None, _) if cell.again => asked(Wish::Restart).to_owned(),
            (None, Some(bind)) => format!("bound to {}, which goes down", bind.name),
            (None, None) => return None,
        })
    }

    /// What it waits for, each with that unit's own state.
    fn waits_for(&self, id: UnitId, unit: &Unit, cell: &Cell) -> Vec<String> {
        let needs = unit.needs.iter().filter(|need| !self.met(need)).map(|need| need.unit);
        let binds = unit.binds.iter().copied().filter(|bind| !self.there(*bind));
        let wants = unit.wants.iter().copied().filter(|want| self.waits_for_wants(unit, cell) && !self.settled(*want));
        let bound = self.links.bound(id).iter().copied().filter(|bound| !self.cell(*bound).is_none_or(Cell::down));
        let mut said: Vec<String> = Vec::new();
        for other in needs.chain(binds).chain(wants).chain(bound) {
            if let (Some(unit), Some(cell)) = (self.unit(other), self.cell(other)) {
                let text = format!("{} ({})", unit.name, cell.word());
                if !said.contains(&text) {
                    said.push(text);
                }
            }
        }
        said
    }
}
