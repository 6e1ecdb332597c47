//! Probes: a command is run again and again until it says that the service is ready. One at a time, and never longer than
//! the service itself is starting.

use std::time::Duration;

use super::event::{Action, Ending, Errno, Level, Pid, Role, SpawnError, Target};
use super::machine::{Machine, SIGKILL};
use super::readiness::{Probe, Ready};
use super::shutdown::Life;
use super::state::{Cell, State, Why};
use super::table::{Kind, Unit, UnitId};
use super::time::Time;
use super::words;

/// How long a probe may take: several fit into a start timeout.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// How far the probing of a unit is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Probing {
    #[default]
    None,
    /// The next one runs then, if the unit is still starting.
    Due(Time),
    /// It was asked for and not answered yet.
    Asked,
    /// It has until then.
    Runs { pid: Pid, until: Time },
    /// It got SIGKILL, and there is no other before it has gone; `again`: then there is.
    Killed { pid: Pid, again: bool },
}

/// What is to be done about a probe.
pub(super) enum ProbeMove {
    Run,
    Kill,
}

impl Unit {
    /// Its probe, if that is what makes it ready.
    pub(super) fn probe(&self) -> Option<&Probe> {
        if self.kind == Kind::Service { self.ready.probe() } else { None }
    }
}

impl Cell {
    /// The live process of the probe, if there is one.
    pub fn probe_pid(&self) -> Option<Pid> {
        match self.probing {
            Probing::Runs { pid, .. } | Probing::Killed { pid, .. } => Some(pid),
            Probing::None | Probing::Due(_) | Probing::Asked => None,
        }
    }

    fn starting(&self) -> Option<Pid> {
        match self.state {
            State::Starting { pid, .. } => pid,
            _ => None,
        }
    }
}

impl Machine {
    /// The program runs: it may be asked whether it is ready.
    pub(super) fn begin_probing(&mut self, now: Time, id: UnitId) {
        let Some((unit, cell)) = self.pair(id) else { return };
        if unit.probe().is_none() || cell.starting().is_none() {
            return;
        }
        match &mut cell.probing {
            Probing::None => cell.probing = Probing::Due(now),
            Probing::Killed { again, .. } => *again = true,
            Probing::Due(_) | Probing::Asked | Probing::Runs { .. } => {}
        }
    }

    pub(super) fn decide_probe(&self, now: Time, id: UnitId) -> Option<ProbeMove> {
        let cell = self.cell(id)?;
        match cell.probing {
            Probing::Runs { until, .. } => (cell.starting().is_none() || now >= until).then_some(ProbeMove::Kill),
            Probing::Due(at) => (self.probes(id) && now >= at).then_some(ProbeMove::Run),
            Probing::None | Probing::Asked | Probing::Killed { .. } => None,
        }
    }

    pub(super) fn probe_deadline(&self, id: UnitId) -> Option<Time> {
        let cell = self.cell(id)?;
        match cell.probing {
            Probing::Runs { until, .. } => Some(until),
            Probing::Due(at) => self.probes(id).then_some(at),
            Probing::None | Probing::Asked | Probing::Killed { .. } => None,
        }
    }

    /// Whether it is starting and to be probed.
    fn probes(&self, id: UnitId) -> bool {
        let (Some(unit), Some(cell)) = (self.unit(id), self.cell(id)) else { return false };
        let running = matches!(self.life, Life::Running);
        running && !self.leaving(id) && unit.probe().is_some() && cell.starting().is_some()
    }

    pub(super) fn move_probe(&mut self, id: UnitId, step: ProbeMove) {
        let Some((unit, cell)) = self.pair(id) else { return };
        match (step, cell.probing) {
            (ProbeMove::Run, _) => {
                cell.probing = Probing::Asked;
                self.queue.push_back(Action::Spawn { unit: id, role: Role::Probe });
            }
            (ProbeMove::Kill, Probing::Runs { pid, .. }) => {
                let hangs = cell.starting().is_some();
                let text = words::probe_hangs(unit, LIMIT);
                cell.probing = Probing::Killed { pid, again: hangs };
                self.queue.push_back(Action::Signal { target: Target::Group(pid), signal: SIGKILL });
                if hangs {
                    self.say_probe(id, text);
                }
            }
            (ProbeMove::Kill, _) => {}
        }
    }

    pub(super) fn probe_spawned(&mut self, now: Time, id: UnitId, outcome: Result<Pid, Errno>) {
        let Some((unit, cell)) = self.pair(id) else { return };
        if cell.probing != Probing::Asked {
            return;
        }
        match outcome {
            Ok(pid) => cell.probing = Probing::Runs { pid, until: now + LIMIT },
            Err(errno) => {
                cell.probing = next(unit, cell, now);
                let text = words::probe_failed(unit, &words::cause(unit, &Why::Fork(errno)));
                self.say_probe(id, text);
            }
        }
    }

    pub(super) fn probe_not_execed(&mut self, id: UnitId, error: SpawnError) {
        let Some(unit) = self.unit(id) else { return };
        let text = words::probe_failed(unit, &words::cause(unit, &Why::Exec(error)));
        self.say_probe(id, text);
    }

    pub(super) fn probe_ended(&mut self, now: Time, id: UnitId, how: Ending) {
        let Some((unit, cell)) = self.pair(id) else { return };
        let (ran, again) = match cell.probing {
            Probing::Runs { .. } => (true, true),
            Probing::Killed { again, .. } => (false, again),
            Probing::None | Probing::Due(_) | Probing::Asked => (false, false),
        };
        cell.probing = if again { next(unit, cell, now) } else { Probing::None };
        if let (true, Ending::Code(0), Some(pid)) = (ran, how, cell.starting()) {
            self.ready(now, id, pid);
        }
    }

    /// A newline came on the descriptor of `ready = "fd:N"`.
    pub(super) fn wrote_newline(&mut self, now: Time, pid: Pid) {
        let Some((id, Role::Main)) = self.owner(pid) else { return };
        let Some((unit, cell)) = self.pair(id) else { return };
        let asked = unit.kind == Kind::Service && matches!(unit.ready, Ready::Fd(_));
        if asked && cell.starting().is_some() {
            self.ready(now, id, pid);
        }
    }

    /// A new start: it is not asked before it runs.
    pub(super) fn reset_probing(cell: &mut Cell) {
        cell.probe_said = false;
        match &mut cell.probing {
            Probing::Due(_) => cell.probing = Probing::None,
            Probing::Killed { again, .. } => *again = false,
            Probing::None | Probing::Asked | Probing::Runs { .. } => {}
        }
    }

    /// Once a start: a probe fails every second.
    fn say_probe(&mut self, id: UnitId, text: String) {
        let Some(cell) = self.cells.get_mut(id.index()) else { return };
        if !std::mem::replace(&mut cell.probe_said, true) {
            self.say(Level::Warning, text);
        }
    }
}

/// What follows a probe.
fn next(unit: &Unit, cell: &Cell, now: Time) -> Probing {
    match unit.probe() {
        Some(probe) if cell.starting().is_some() => Probing::Due(now + probe.every),
        _ => Probing::None,
    }
}
