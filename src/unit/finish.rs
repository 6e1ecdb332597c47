//! `finish`: a command that runs after each end of a unit's main process, and what it is told of that end.

use super::event::{Action, Ending, Errno, Level, Role};
use super::machine::Machine;
use super::shutdown::Life;
use super::signal;
use super::state::{Sequel, State, Step, Stop, Why};
use super::table::{Unit, UnitId};
use super::time::Time;
use super::words;

/// What the end of a main process was, for its `finish` command: the words of systemd's `ExecStopPost=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// It ended well, or as it was asked to.
    Success,
    /// It exited with a status that is no success.
    ExitCode,
    /// A signal ended it.
    Signal,
    /// The same, and it left a core dump.
    CoreDump,
    /// The kernel killed it for want of memory.
    OutOfMemory,
    /// It was not ready, or not down, in time.
    Timeout,
    /// It did not feed its watchdog.
    Watchdog,
}

impl Aftermath {
    /// Every one.
    pub const ALL: [Aftermath; 7] = [
        Aftermath::Success,
        Aftermath::ExitCode,
        Aftermath::Signal,
        Aftermath::CoreDump,
        Aftermath::OutOfMemory,
        Aftermath::Timeout,
        Aftermath::Watchdog,
    ];

    /// `SERVICE_RESULT`.
    pub const fn word(self) -> &'static str {
        match self {
            Aftermath::Success => "success",
            Aftermath::ExitCode => "exit-code",
            Aftermath::Signal => "signal",
            Aftermath::CoreDump => "core-dump",
            Aftermath::OutOfMemory => "oom-kill",
            Aftermath::Timeout => "timeout",
            Aftermath::Watchdog => "watchdog",
        }
    }
}

/// What happened to a unit, as variables: which, how it went, and `EXIT_CODE` (`exited`, `killed`, `dumped`) with
/// `EXIT_STATUS` (a number, or a signal's name without SIG).
pub fn variables(unit: &Unit, aftermath: Aftermath, how: Ending) -> [(&'static str, String); 4] {
    let (code, status) = match how {
        Ending::Code(code) => ("exited", code.to_string()),
        Ending::Signal { signal, core } => (if core { "dumped" } else { "killed" }, signal::name(signal)),
        Ending::OutOfMemory => ("killed", "KILL".to_owned()),
        Ending::Lost => ("killed", String::new()),
    };
    [
        ("UNIT", unit.name.clone()),
        ("SERVICE_RESULT", aftermath.word().to_owned()),
        ("EXIT_CODE", code.to_owned()),
        ("EXIT_STATUS", status),
    ]
}

/// The end of a process that was not being stopped, or of one that was: then what for, and whether it had to be killed.
fn aftermath(unit: &Unit, how: Ending, stop: Option<&Stop>) -> Aftermath {
    let why = stop.and_then(|stop| stop.sequel.as_ref()).map(|sequel| &sequel.why);
    let asked = how == Ending::Signal { signal: unit.stop_signal, core: false };
    match (how, stop.map(|stop| stop.step)) {
        (Ending::OutOfMemory, _) => Aftermath::OutOfMemory,
        (_, Some(Step::Killed(_))) => Aftermath::Timeout,
        (_, Some(_)) if matches!(why, Some(Why::StartTimeout(_))) => Aftermath::Timeout,
        (_, Some(_)) if matches!(why, Some(Why::Watchdog(_))) => Aftermath::Watchdog,
        (_, Some(_)) if asked => Aftermath::Success,
        _ if unit.succeeded(how) => Aftermath::Success,
        (Ending::Code(_), _) => Aftermath::ExitCode,
        (Ending::Signal { core: true, .. }, _) => Aftermath::CoreDump,
        (Ending::Signal { core: false, .. } | Ending::Lost, _) => Aftermath::Signal,
    }
}

impl Machine {
    /// What happened to a unit, for its `finish` command; none if its main process never ended.
    pub fn aftermath(&self, id: UnitId) -> Option<(Aftermath, Ending)> {
        let cell = self.cell(id)?;
        Some((cell.aftermath?, cell.last_exit?))
    }

    /// Runs `finish` for the main process that has just ended; then `sequel` follows, or what the stop under way has. Whether
    /// there is anything to run, and time for it: a shutdown that kills waits for no command.
    pub(super) fn begin_finish(&mut self, now: Time, id: UnitId, how: Ending, sequel: Option<Sequel>) -> bool {
        let Some(unit) = self.table.units.get(id.index()) else { return false };
        let deadline = now + unit.stop_timeout;
        let open = match self.life {
            Life::Running => true,
            Life::Stopping(ending) => !ending.forced && self.life.hurried(deadline).min(ending.until) > now,
            Life::Sweeping { .. } | Life::Logs { .. } | Life::Halted(_) => false,
        };
        let Some(cell) = self.cells.get_mut(id.index()).filter(|_| open && unit.finish.is_some()) else { return false };
        let step = Step::Finish(None);
        match &mut cell.state {
            State::Stopping(stop) => {
                cell.aftermath = Some(aftermath(unit, how, Some(stop)));
                *stop = Stop { main: None, step, deadline, sequel: stop.sequel.take(), ended: None };
            }
            state => {
                let stuck = matches!(state, State::Stuck { .. });
                cell.aftermath = Some(if stuck { Aftermath::Timeout } else { aftermath(unit, how, None) });
                let stop = Stop { main: None, step, deadline, sequel, ended: None };
                let because = stop.sequel.as_ref().map(|sequel| words::cause(unit, &sequel.why)).unwrap_or_default();
                cell.enter_because(State::Stopping(stop), now, &because);
            }
        }
        self.queue.push_back(Action::Spawn { unit: id, role: Role::Finish });
        true
    }

    pub(super) fn finish_not_forked(&mut self, now: Time, id: UnitId, errno: Errno) {
        let Some((unit, cell)) = self.pair(id) else { return };
        if !matches!(cell.state, State::Stopping(Stop { step: Step::Finish(None), .. })) {
            return;
        }
        let text = words::finish_failed(unit, &words::cause(unit, &Why::Fork(errno)));
        self.say(Level::Warning, text);
        self.stopped(now, id);
    }

    pub(super) fn finish_ended(&mut self, now: Time, id: UnitId, how: Ending) {
        let Some((unit, cell)) = self.pair(id) else { return };
        let killed = matches!(cell.state, State::Stopping(Stop { step: Step::FinishKilled(_), .. }));
        if how != Ending::Code(0) && !killed {
            let text = words::finish_failed(unit, &format!("it {}", words::ending(how)));
            self.say(Level::Warning, text);
        }
        self.kill_leftovers(id);
        self.stopped(now, id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::Policy;
    use super::super::table::Signal;
    use super::*;

    #[test]
    fn every_end_in_systemds_words() {
        let mut unit = Unit::new("web", vec!["web".to_owned()]);
        unit.success_exit = vec![super::super::table::ExitRule::Code(3)];
        let signal = |number, core| Ending::Signal { signal: Signal(number), core };
        let stop = |step, why: Option<Why>| Stop {
            main: None,
            step,
            deadline: Time::ZERO,
            sequel: why.map(|why| Sequel { policy: Policy::Retry, why }),
            ended: None,
        };
        let asked = stop(Step::Signalled, None);
        let late = stop(Step::Signalled, Some(Why::StartTimeout(std::time::Duration::ZERO)));
        let silent = stop(Step::Signalled, Some(Why::Watchdog(None)));
        let killed = stop(Step::Killed(None), None);
        for (how, stop, expected) in [
            (Ending::Code(0), None, "success exited 0"),
            (Ending::Code(3), None, "success exited 3"),
            (Ending::Code(1), None, "exit-code exited 1"),
            (signal(15, false), None, "signal killed TERM"),
            (signal(11, true), None, "core-dump dumped SEGV"),
            (signal(15, false), Some(&asked), "success killed TERM"),
            (Ending::Code(143), Some(&asked), "exit-code exited 143"),
            (signal(2, false), Some(&asked), "signal killed INT"),
            (signal(15, false), Some(&late), "timeout killed TERM"),
            (signal(6, true), Some(&silent), "watchdog dumped ABRT"),
            (signal(9, false), Some(&killed), "timeout killed KILL"),
            (Ending::OutOfMemory, Some(&killed), "oom-kill killed KILL"),
            (Ending::Lost, None, "signal killed "),
        ] {
            let [name, told @ ..] = variables(&unit, aftermath(&unit, how, stop), how);
            assert_eq!(name, ("UNIT", "web".to_owned()));
            assert_eq!(told.map(|(_, value)| value).join(" "), expected);
        }
    }
}
