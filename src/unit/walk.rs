//! The fixpoint: what each unit does next, decided on settled facts only.

use std::time::Duration;

use super::event::{Action, Level, Pid, Role, Target};
use super::machine::{Machine, SIGABRT, SIGCONT, SIGKILL};
use super::policy::Policy;
use super::probing::ProbeMove;
use super::shutdown::Life;
use super::state::{Cell, Sequel, State, Step, Stop, Why};
use super::table::{Kill, Need, Signal, Unit, UnitId};
use super::time::Time;
use super::watchdog::Watchdog;
use super::words;

/// How long `wants` are waited for (design: they are an order, not a condition).
pub(super) const WANTS_LIMIT: Duration = Duration::from_secs(30);
/// How long a killed process may take to go before it counts as stuck: SIGKILL acts at once unless it sleeps in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// The same when the shutdown is being forced.
const FORCED_KILL_LIMIT: Duration = Duration::from_secs(2);

/// What a unit does next.
enum Move {
    /// Go to `off`.
    Rest,
    /// Go to `waiting`.
    Wait,
    /// Do not wait for its `wants` any longer.
    GiveUpWants,
    Start,
    /// About its probe.
    Probe(ProbeMove),
    /// Begin to stop, because of this failure of its own if there is one.
    Stop(Option<Why>),
    /// The stop took too long.
    Kill,
    /// SIGKILL did not help.
    Stick(Pid),
    /// The stop goes on though its command, or its `finish` command, was never reaped.
    Leave,
    /// Its `when` holds no more: go to `skipped`.
    Skip,
    /// The table has it no more, and it is down.
    Forget,
}

impl Machine {
    /// One pass over the node's life and every unit, dependencies first. Whether anything changed or is to be done.
    pub(super) fn walk(&mut self, now: Time) -> bool {
        self.clear_forgotten();
        let mut changed = self.live(now);
        self.mark_leaving();
        for at in 0..self.links.order.len() {
            let Some(id) = self.links.order.get(at).copied() else { continue };
            if let Some(step) = self.decide(now, id) {
                self.apply(now, id, step);
                changed = true;
            }
        }
        changed || !self.queue.is_empty()
    }

    /// Dependencies first, so that a bind that is itself leaving takes those bound to it along.
    pub(super) fn mark_leaving(&mut self) {
        for id in &self.links.order {
            let (Some(unit), Some(cell)) = (self.table.units.get(id.index()), self.cells.get(id.index())) else {
                continue;
            };
            let lost = unit.binds.iter().any(|bind| {
                !self.cells.get(bind.index()).is_some_and(Cell::satisfied)
                    || self.leaving.get(bind.index()).copied().unwrap_or(true)
            });
            if let Some(flag) = self.leaving.get_mut(id.index()) {
                *flag = !cell.wanted || cell.again || cell.skip.is_some() || lost;
            }
        }
    }

    pub(super) fn leaving(&self, id: UnitId) -> bool {
        self.leaving.get(id.index()).copied().unwrap_or(true)
    }

    fn decide(&self, now: Time, id: UnitId) -> Option<Move> {
        let (unit, cell) = (self.unit(id)?, self.cell(id)?);
        let running = matches!(self.life, Life::Running);
        if let Some(step) = self.decide_probe(now, id) {
            return Some(Move::Probe(step));
        }
        match &cell.state {
            State::Off if cell.gone => (!cell.forgotten).then_some(Move::Forget),
            State::Off | State::Waiting | State::Backoff { .. } | State::Failed(_) if cell.skip.is_some() => {
                Some(Move::Skip)
            }
            State::Off => (cell.wanted && running).then_some(Move::Wait),
            State::Skipped(_) | State::Failed(_) | State::Stuck { .. } => None,
            State::Waiting if !cell.wanted => Some(Move::Rest),
            // The lines of a shutdown are kept, too: who was just being started again comes back.
            State::Waiting if !running && (!unit.last || !self.life.stops_units()) => None,
            State::Waiting if self.may_start(id, unit, cell) => Some(Move::Start),
            State::Waiting => (self.waits_for_wants(unit, cell) && now >= cell.wanted_since + WANTS_LIMIT)
                .then_some(Move::GiveUpWants),
            State::Backoff { .. } if !cell.wanted => Some(Move::Rest),
            State::Backoff { until, .. } => (now >= *until && running).then_some(Move::Wait),
            State::Starting { pid: None, .. } => None,
            State::Starting { pid: Some(_), .. } if self.leaving(id) => self.may_stop(id).then_some(Move::Stop(None)),
            State::Starting { pid: Some(_), .. } if !running => None,
            State::Starting { pid: Some(_), deadline } => {
                let late = deadline.is_some_and(|limit| now >= limit);
                let late = late.then(|| Why::StartTimeout(unit.start_timeout.unwrap_or_default()));
                late.or(cell.watchdog.bites(now)).map(|why| Move::Stop(Some(why)))
            }
            State::Up { .. } if self.leaving(id) => self.may_stop(id).then_some(Move::Stop(None)),
            State::Up { .. } if !running => None,
            State::Up { .. } => cell.watchdog.bites(now).map(|why| Move::Stop(Some(why))),
            State::Done if !(self.leaving(id) && self.may_stop(id)) => None,
            State::Done if unit.stop.is_some() => Some(Move::Stop(None)),
            State::Done if cell.wanted => Some(Move::Wait),
            State::Done => Some(Move::Rest),
            State::Stopping(stop) => self.decide_stop(now, stop),
        }
    }

    fn decide_stop(&self, now: Time, stop: &Stop) -> Option<Move> {
        let late = now >= self.life.hurried(stop.deadline) || self.life.forced();
        match (stop.step, stop.main) {
            (Step::Command(None) | Step::Finish(None), _) => None,
            (Step::Command(Some(_)) | Step::Signalled | Step::Finish(Some(_)), _) => late.then_some(Move::Kill),
            (Step::Killed(_), Some(pid)) => (now >= stop.deadline).then_some(Move::Stick(pid)),
            (Step::Killed(_), None) | (Step::FinishKilled(_), _) => (now >= stop.deadline).then_some(Move::Leave),
        }
    }

    /// Everything that it needs is there, everything that it wants has settled, and nobody bound to it is still up.
    fn may_start(&self, id: UnitId, unit: &Unit, cell: &Cell) -> bool {
        unit.needs.iter().all(|need| self.met(need))
            && unit.binds.iter().all(|bind| self.there(*bind))
            && !self.waits_for_wants(unit, cell)
            && self.links.bound(id).iter().all(|bound| self.cell(*bound).is_none_or(Cell::down))
    }

    pub(super) fn waits_for_wants(&self, unit: &Unit, cell: &Cell) -> bool {
        !cell.wants_over && !unit.wants.iter().all(|want| self.settled(*want))
    }

    pub(super) fn met(&self, need: &Need) -> bool {
        self.there(need.unit) || (need.optional && self.cell(need.unit).is_none_or(Cell::absent))
    }

    pub(super) fn there(&self, id: UnitId) -> bool {
        self.cell(id).is_some_and(Cell::satisfied) && !self.leaving(id)
    }

    pub(super) fn settled(&self, id: UnitId) -> bool {
        self.cell(id).is_none_or(Cell::settled)
    }

    /// Whoever must stop before it has stopped.
    fn may_stop(&self, id: UnitId) -> bool {
        let before = match self.life {
            // Who refers to what is gone is gone, too.
            Life::Running if self.cell(id).is_some_and(|cell| cell.gone) => self.links.dependents(id),
            Life::Running => self.links.bound(id),
            _ if self.life.forced() => return true,
            _ => self.links.dependents(id),
        };
        before.iter().all(|other| self.cell(*other).is_none_or(Cell::down))
    }

    fn apply(&mut self, now: Time, id: UnitId, step: Move) {
        let Some((unit, cell)) = self.pair(id) else { return };
        match step {
            Move::Rest => cell.enter(State::Off, now),
            Move::Wait => {
                cell.again = false;
                cell.enter(State::Waiting, now);
            }
            Move::Probe(step) => self.move_probe(id, step),
            Move::GiveUpWants => cell.wants_over = true,
            Move::Skip => {
                let why = cell.skip.take().unwrap_or_default();
                cell.enter(State::Skipped(why), now);
            }
            Move::Forget => {
                cell.forgotten = true;
                self.queue.push_back(Action::Forget { unit: id });
            }
            Move::Start => {
                let deadline = unit.start_timeout.map(|limit| now + limit);
                cell.enter(State::Starting { pid: None, deadline }, now);
                cell.starts = cell.starts.saturating_add(1);
                cell.last_start = now;
                cell.ready_after = None;
                cell.exec_error = None;
                cell.status = None;
                cell.foreign_said = false;
                Machine::reset_probing(cell);
                cell.changed = false;
                cell.watchdog = Watchdog::new(unit.watchdog);
                self.queue.push_back(Action::Spawn { unit: id, role: Role::Main });
            }
            Move::Stop(failure) => self.begin_stop(now, id, failure),
            Move::Kill => self.kill(now, id),
            Move::Stick(pid) => {
                let text = words::stuck(unit, pid);
                cell.enter(State::Stuck { pid }, now);
                self.say(Level::Error, text);
            }
            Move::Leave => self.gone(now, id),
        }
    }

    fn begin_stop(&mut self, now: Time, id: UnitId, failure: Option<Why>) {
        let forced = self.life.forced();
        let because = self.why_stop(id, failure.as_ref()).unwrap_or_default();
        let Some((unit, cell)) = self.pair(id) else { return };
        let text = match &failure {
            Some(why) => Some((Level::Warning, words::stopping_failed(unit, why))),
            None if unit.main || unit.last => None,
            None => Some((Level::Info, words::stopping(unit))),
        };
        let main = cell.main_pid();
        let deadline = now + unit.stop_timeout;
        // Who has stopped answering is not asked; what it was doing is worth a core dump.
        let silent = matches!(failure, Some(Why::Watchdog(_)));
        let command = unit.stop.is_some() && !forced && !silent;
        let step = if command { Step::Command(None) } else { Step::Signalled };
        let sequel = failure.map(|why| Sequel { policy: Policy::Retry, why });
        cell.enter_because(State::Stopping(Stop { main, step, deadline, sequel, ended: None }), now, &because);
        if let Some((level, text)) = text {
            self.say(level, text);
        }
        match (command, main) {
            (true, _) => self.queue.push_back(Action::Spawn { unit: id, role: Role::Stop }),
            (false, Some(pid)) if silent => self.signal_both(Target::Process(pid), SIGABRT),
            (false, Some(pid)) => self.signal_stop(id, pid),
            (false, None) => self.stopped(now, id),
        }
    }

    /// The stop signal, and SIGCONT: a stopped process takes no other signal.
    pub(super) fn signal_stop(&mut self, id: UnitId, pid: Pid) {
        let Some(unit) = self.unit(id) else { return };
        self.signal_both(target(unit, pid), unit.stop_signal);
    }

    fn signal_both(&mut self, target: Target, signal: Signal) {
        for signal in [signal, SIGCONT] {
            self.queue.push_back(Action::Signal { target, signal });
        }
    }

    fn kill(&mut self, now: Time, id: UnitId) {
        let forced = self.life.forced();
        let in_shutdown = !matches!(self.life, Life::Running);
        let Some((unit, cell)) = self.pair(id) else { return };
        let State::Stopping(stop) = &mut cell.state else { return };
        let step = stop.step;
        let (next, command) = match step {
            Step::Command(pid) | Step::Killed(pid) => (Step::Killed(pid), pid),
            Step::Signalled => (Step::Killed(None), None),
            Step::Finish(Some(pid)) | Step::FinishKilled(pid) => (Step::FinishKilled(pid), Some(pid)),
            Step::Finish(None) => return,
        };
        stop.step = next;
        stop.deadline = now + if forced { FORCED_KILL_LIMIT } else { KILL_LIMIT };
        let targets = [stop.main.map(|pid| target(unit, pid)), command.map(Target::Group)];
        let cgroup = unit.kill == Kill::Cgroup && !unit.main;
        let text = match next {
            Step::FinishKilled(_) => words::killing_finish(unit, forced),
            _ => words::killing(unit, now.since(cell.since), forced),
        };
        self.killed |= in_shutdown;
        self.say(Level::Warning, text);
        for target in targets.into_iter().flatten() {
            self.queue.push_back(Action::Signal { target, signal: SIGKILL });
        }
        if cgroup {
            self.queue.push_back(Action::KillCgroup { unit: id });
        }
    }

    /// Kills what is left in the unit's cgroup once none of its own processes is left.
    pub(super) fn kill_leftovers(&mut self, id: UnitId) {
        let ends_all = |unit: &Unit| unit.kill == Kill::Cgroup && !unit.main;
        let empty = self.cell(id).is_none_or(|cell| cell.stop_pid().is_none());
        if self.unit(id).is_some_and(ends_all) && empty {
            self.queue.push_back(Action::KillCgroup { unit: id });
        }
    }

    /// When a unit needs to be looked at again. A deadline that nothing would act on is not one.
    pub(super) fn unit_deadline(&self, id: UnitId, cell: &Cell, unit: &Unit) -> Option<Time> {
        let running = matches!(self.life, Life::Running);
        match &cell.state {
            State::Waiting => (running && self.waits_for_wants(unit, cell)).then_some(cell.wanted_since + WANTS_LIMIT),
            State::Backoff { until, .. } => running.then_some(*until),
            // Not answered yet: nothing would act on it.
            State::Starting { pid: None, .. }
            | State::Stopping(Stop { step: Step::Command(None) | Step::Finish(None), .. }) => None,
            // It stops as soon as what binds to it has: a reload may bind who is up to who is not yet.
            State::Starting { .. } | State::Up { .. } if !running || self.leaving(id) => None,
            State::Starting { pid: Some(_), deadline } => deadline.iter().copied().chain(cell.watchdog.until).min(),
            State::Up { .. } => cell.watchdog.until,
            State::Stopping(stop) => match stop.step {
                Step::Command(_) | Step::Signalled | Step::Finish(_) => Some(self.life.hurried(stop.deadline)),
                Step::Killed(_) | Step::FinishKilled(_) => Some(stop.deadline),
            },
            State::Off | State::Skipped(_) | State::Done | State::Stuck { .. } | State::Failed(_) => None,
        }
    }
}

/// What a stop of this unit signals.
pub(super) fn target(unit: &Unit, pid: Pid) -> Target {
    match unit.kill {
        Kill::Cgroup | Kill::Group => Target::Group(pid),
        Kill::Main => Target::Process(pid),
    }
}

/// A signal to what is left of a unit's process group once its main process has ended.
pub(super) fn leftovers(unit: &Unit, pid: Pid) -> Option<(Target, Signal)> {
    (unit.kill != Kill::Main && !unit.main).then_some((Target::Group(pid), SIGKILL))
}
