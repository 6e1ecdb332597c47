//! What the end of a process means.

use std::time::Duration;

use super::backoff::RECOVERED_AFTER;
use super::event::{Action, Ending, Errno, Goal, Level, Pid, Role, SpawnError};
use super::give_up::{GiveUp, Then};
use super::machine::Machine;
use super::policy::{Policy, needs_a_person, policy, scarce};
use super::shutdown::Life;
use super::state::{Sequel, State, Step, Why, status};
use super::table::{Kind, UnitId};
use super::time::Time;
use super::walk::leftovers;
use super::words;

/// EACCES: a shell's exit status for it is 126, for a program that is not there 127.
const EACCES: Errno = Errno(13);
const ENOEXEC: Errno = Errno(8);

impl Machine {
    pub(super) fn exited(&mut self, now: Time, pid: Pid, how: Ending) {
        self.life.child_ended();
        match self.owner(pid) {
            Some((id, Role::Main)) => self.main_ended(now, id, pid, how),
            Some((id, Role::Stop)) => self.stop_ended(now, id, how),
            Some((id, Role::Finish)) => self.finish_ended(now, id, how),
            Some((id, Role::Probe)) => self.probe_ended(now, id, how),
            // An orphan: it only had to be reaped.
            None => {}
        }
    }

    pub(super) fn not_execed(&mut self, pid: Pid, error: SpawnError) {
        let Some((id, role)) = self.owner(pid) else { return };
        let Some((unit, cell)) = self.pair(id) else { return };
        match role {
            Role::Main => cell.exec_error = Some(error),
            Role::Stop => {
                let text = words::stop_command_failed(unit, &words::cause(unit, &Why::Exec(error)));
                self.say(Level::Warning, text);
            }
            Role::Probe => self.probe_not_execed(id, error),
            Role::Finish => {
                let text = words::finish_failed(unit, &words::cause(unit, &Why::Exec(error)));
                self.say(Level::Warning, text);
            }
        }
    }

    pub(super) fn not_forked(&mut self, now: Time, id: UnitId, errno: Errno) {
        let Some((_, cell)) = self.pair(id) else { return };
        if matches!(cell.state, State::Starting { pid: None, .. }) {
            self.retry(now, id, Why::Fork(errno));
        }
    }

    pub(super) fn stop_not_forked(&mut self, now: Time, id: UnitId, errno: Errno) {
        let Some((unit, _)) = self.pair(id) else { return };
        let text = words::stop_command_failed(unit, &words::cause(unit, &Why::Fork(errno)));
        self.say(Level::Warning, text);
        self.after_stop_command(now, id);
    }

    fn main_ended(&mut self, now: Time, id: UnitId, pid: Pid, how: Ending) {
        let Some((unit, cell)) = self.pair(id) else { return };
        let main = unit.main;
        cell.last_exit = Some(how);
        let exec_error = cell.exec_error.take();
        let leftovers = leftovers(unit, pid);
        if main {
            self.main_status = Some(match exec_error.map(|error| error.errno) {
                Some(EACCES | ENOEXEC) => 126,
                Some(_) => 127,
                None => status(how),
            });
        }
        if let Some((target, signal)) = leftovers {
            self.queue.push_back(Action::Signal { target, signal });
        }
        self.kill_leftovers(id);
        match self.cell(id).map(|cell| cell.state.clone()) {
            Some(State::Starting { .. }) => match exec_error {
                Some(error) => self.ended(now, id, Policy::Retry, Why::Exec(error)),
                None => self.ended_by_policy(now, id, how, false),
            },
            Some(State::Up { .. }) => self.ended_by_policy(now, id, how, true),
            Some(State::Stuck { .. }) => {
                if !self.begin_finish(now, id, how, None) {
                    self.stopped(now, id);
                }
            }
            Some(State::Stopping(_)) => self.main_stopped(now, id, exec_error.is_none().then_some(how)),
            // These have no main process.
            Some(
                State::Off
                | State::Skipped(_)
                | State::Waiting
                | State::Backoff { .. }
                | State::Done
                | State::Failed(_),
            )
            | None => {}
        }
        if main && matches!(self.life, Life::Running) {
            let goal = self.options.goal;
            self.shut_down(now, goal);
        }
    }

    fn ended_by_policy(&mut self, now: Time, id: UnitId, how: Ending, was_ready: bool) {
        let Some(unit) = self.unit(id) else { return };
        let policy = policy(unit, how, was_ready);
        let why = if was_ready { Why::Ended(how) } else { Why::EarlyEnd(how) };
        if !self.begin_finish(now, id, how, Some(Sequel { policy, why: why.clone() })) {
            self.ended(now, id, policy, why);
        }
    }

    pub(super) fn ended(&mut self, now: Time, id: UnitId, policy: Policy, why: Why) {
        let running = matches!(self.life, Life::Running);
        let Some((unit, cell)) = self.pair(id) else { return };
        if !cell.wanted || (unit.last && !running) {
            cell.enter(State::Off, now);
        } else if unit.main {
            // Its end is the node's; the exit status tells the rest.
            let failure = match why {
                Why::Exec(_) => Some(words::main_not_started(unit, &why)),
                _ => None,
            };
            cell.wanted = false;
            let because = words::cause(unit, &why);
            cell.enter_because(State::Failed(why), now, &because);
            if let Some(text) = failure {
                self.say(Level::Error, text);
            }
        } else if cell.again {
            cell.again = false;
            cell.enter(State::Waiting, now);
        } else {
            match policy {
                Policy::Retry => self.retry(now, id, why),
                Policy::Done => {
                    let text = words::done(unit, now.since(cell.last_start));
                    if unit.kind == Kind::Oneshot {
                        cell.ready_after = Some(now.since(cell.last_start));
                    }
                    cell.failures = 0;
                    cell.enter(State::Done, now);
                    self.say(Level::Info, text);
                }
                Policy::Fail => {
                    let text = words::failed(unit, &why);
                    let because = words::cause(unit, &why);
                    cell.enter_because(State::Failed(why), now, &because);
                    self.say(Level::Error, text);
                }
            }
        }
    }

    /// To `backoff`, or to `off` if it is not wanted any more.
    pub(super) fn retry(&mut self, now: Time, id: UnitId, why: Why) {
        let seed = self.options.seed;
        let Some((unit, cell)) = self.pair(id) else { return };
        if !cell.wanted {
            cell.enter(State::Off, now);
            return;
        }
        if let Some(rule) = unit.give_up
            && !scarce(&why)
            && cell.failed.count(now, &rule)
        {
            return self.give_up(now, id, rule, why);
        }
        let was_up = match why {
            Why::Ended(_) | Why::Watchdog(_) => {
                cell.ready_after.map_or(Duration::ZERO, |after| now.since(cell.last_start + after))
            }
            Why::EarlyEnd(_) | Why::Fork(_) | Why::Exec(_) | Why::StartTimeout(_) | Why::GaveUp { .. } => {
                Duration::ZERO
            }
        };
        if was_up >= RECOVERED_AFTER.max(cell.delay.saturating_mul(2)) {
            cell.failures = 0;
        }
        cell.failures = cell.failures.saturating_add(1);
        cell.delay = match why {
            Why::Exec(error) if needs_a_person(error) => unit.backoff.cap,
            _ => unit.backoff.delay(cell.failures, seed, &unit.name),
        };
        // From the last start: what ran long starts again at once.
        let until = (cell.last_start + cell.delay).max(now);
        let text = words::retrying(unit, &why, until.since(now));
        let because = words::cause(unit, &why);
        cell.enter_because(State::Backoff { until, why }, now, &because);
        self.say(Level::Warning, text);
    }

    /// To `failed`, and the node with it if the unit's `give-up` says so.
    fn give_up(&mut self, now: Time, id: UnitId, rule: GiveUp, last: Why) {
        let goal = self.options.goal;
        let Some((unit, cell)) = self.pair(id) else { return };
        let why = Why::GaveUp { after: rule.after, within: rule.within, last: Box::new(last) };
        let text = words::gave_up(unit, &why, rule.then);
        // That it ended well does not make it a success to have given up.
        let status = cell.last_exit.map(status).filter(|status| *status != 0).unwrap_or(1);
        let because = words::cause(unit, &why);
        cell.enter_because(State::Failed(why), now, &because);
        self.say(Level::Error, text);
        let goal = match rule.then {
            Then::Stay => return,
            // A container has no machine to start again.
            Then::Reboot if goal != Goal::Exit => Goal::Reboot,
            Then::Shutdown | Then::Reboot => goal,
        };
        if matches!(self.life, Life::Running) {
            self.cause_status = Some(status);
            self.shut_down(now, goal);
        }
    }

    /// `how`: none if it never became its program.
    fn main_stopped(&mut self, now: Time, id: UnitId, how: Option<Ending>) {
        let Some((_, cell)) = self.pair(id) else { return };
        let State::Stopping(stop) = &mut cell.state else { return };
        stop.main = None;
        stop.ended = how;
        match stop.step {
            // The stop command is still at work.
            Step::Command(_) | Step::Killed(Some(_)) => {}
            Step::Signalled | Step::Killed(None) => self.gone(now, id),
            // The main process ended before these.
            Step::Finish(_) | Step::FinishKilled(_) => {}
        }
    }

    /// Neither the main process nor the `stop` command runs any more.
    pub(super) fn gone(&mut self, now: Time, id: UnitId) {
        let Some((_, cell)) = self.pair(id) else { return };
        let owed = match &mut cell.state {
            State::Stopping(stop) => stop.ended.take(),
            _ => None,
        };
        if !owed.is_some_and(|how| self.begin_finish(now, id, how, None)) {
            self.stopped(now, id);
        }
    }

    fn stop_ended(&mut self, now: Time, id: UnitId, how: Ending) {
        let Some((unit, _)) = self.pair(id) else { return };
        if how != Ending::Code(0) {
            let text = words::stop_command_failed(unit, &format!("it {}", words::ending(how)));
            self.say(Level::Warning, text);
        }
        self.after_stop_command(now, id);
    }

    fn after_stop_command(&mut self, now: Time, id: UnitId) {
        let Some((_, cell)) = self.pair(id) else { return };
        let State::Stopping(stop) = &mut cell.state else { return };
        stop.step = match stop.step {
            Step::Command(_) | Step::Signalled => Step::Signalled,
            Step::Killed(_) => Step::Killed(None),
            Step::Finish(_) | Step::FinishKilled(_) => return,
        };
        match (stop.main, stop.step) {
            (None, _) => {
                self.kill_leftovers(id);
                self.gone(now, id);
            }
            (Some(pid), Step::Signalled) => self.signal_stop(id, pid),
            (Some(_), Step::Command(_) | Step::Killed(_) | Step::Finish(_) | Step::FinishKilled(_)) => {}
        }
    }

    /// A stop is over: nothing of the unit runs any more.
    pub(super) fn stopped(&mut self, now: Time, id: UnitId) {
        let Some((unit, cell)) = self.pair(id) else { return };
        let sequel = match &mut cell.state {
            State::Stopping(stop) => stop.sequel.take(),
            _ => None,
        };
        let again = std::mem::take(&mut cell.again);
        let text = words::stopped(unit, now.since(cell.since));
        let quiet = unit.main || unit.last;
        match sequel {
            Some(Sequel { policy, why }) if cell.wanted && !again => self.ended(now, id, policy, why),
            Some(_) | None => {
                cell.enter(if cell.wanted { State::Waiting } else { State::Off }, now);
                if !quiet {
                    self.say(Level::Info, text);
                }
            }
        }
    }
}
