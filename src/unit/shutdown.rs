//! The end of the node: units in reverse, then what is left of anybody's children, then PID 1's own units, then halt.

use std::time::Duration;

use super::event::{Action, Goal, Level, Target, Verdict};
use super::links::numbered;
use super::machine::{Machine, SIGKILL, SIGTERM};
use super::state::{Cell, State};
use super::table::Signal;
use super::time::Time;
use super::words;

/// What a second request leaves of every timeout.
const HURRY: Duration = Duration::from_secs(1);
/// What orphans get between SIGTERM and SIGKILL, at most; with none left the end comes at once.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);
/// What is waited for after a SIGKILL to everything: what is left then sleeps in the kernel.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Where the node is in its life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Life {
    Running,
    /// Units stop, dependents first.
    Stopping(Ending),
    /// Units are down; orphans get `signal`. `due`: children may have been left to us since we last looked.
    Sweeping {
        ending: Ending,
        signal: Signal,
        due: bool,
        until: Time,
    },
    /// Only PID 1's own units are left. `killed`: they got SIGKILL.
    Logs {
        ending: Ending,
        killed: bool,
        until: Time,
    },
    Halted(Goal),
}

/// What a shutdown keeps through its steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ending {
    pub goal: Goal,
    pub begun: Time,
    /// When the budget is used up.
    pub until: Time,
    /// After a second request: no timeout lasts longer than this.
    pub hurry: Option<Time>,
    /// Kill, do not wait.
    pub forced: bool,
}

impl Life {
    fn ending(&mut self) -> Option<&mut Ending> {
        match self {
            Life::Stopping(ending) | Life::Sweeping { ending, .. } | Life::Logs { ending, .. } => Some(ending),
            Life::Running | Life::Halted(_) => None,
        }
    }

    pub fn goal(&self) -> Option<Goal> {
        match self {
            Life::Running => None,
            Life::Stopping(ending) | Life::Sweeping { ending, .. } | Life::Logs { ending, .. } => Some(ending.goal),
            Life::Halted(goal) => Some(*goal),
        }
    }

    /// Units stop, and are waited for.
    pub fn stops_units(&self) -> bool {
        matches!(self, Life::Stopping(ending) if !ending.forced)
    }

    pub fn forced(&self) -> bool {
        match self {
            Life::Stopping(ending) | Life::Sweeping { ending, .. } | Life::Logs { ending, .. } => ending.forced,
            Life::Running | Life::Halted(_) => false,
        }
    }

    /// `deadline`, or sooner when the shutdown is in a hurry.
    pub fn hurried(&self, deadline: Time) -> Time {
        match self {
            Life::Stopping(Ending { hurry: Some(hurry), .. }) => deadline.min(*hurry),
            Life::Running | Life::Stopping(_) | Life::Sweeping { .. } | Life::Logs { .. } | Life::Halted(_) => deadline,
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        match self {
            Life::Running | Life::Halted(_) => None,
            Life::Stopping(ending) => (!ending.forced).then_some(ending.until),
            Life::Sweeping { until, .. } | Life::Logs { until, .. } => Some(*until),
        }
    }

    pub fn child_ended(&mut self) {
        if let Life::Sweeping { due, .. } = self {
            *due = true;
        }
    }
}

impl Machine {
    /// Recorded before anything else happens: from here on nothing starts.
    pub(super) fn shut_down(&mut self, now: Time, goal: Goal) {
        if let Some(ending) = self.life.ending() {
            let text = if ending.hurry.is_none() { words::HURRIED } else { words::FORCED };
            ending.forced |= ending.hurry.is_some();
            let hurry = now + HURRY;
            ending.hurry = Some(ending.hurry.map_or(hurry, |first| first.min(hurry)));
            if let Life::Sweeping { until, .. } = &mut self.life {
                *until = (*until).min(hurry);
            }
            self.say(Level::Warning, text.to_owned());
        } else if self.life == Life::Running {
            let until = now + self.options.budget;
            self.life = Life::Stopping(Ending { goal, begun: now, until, hurry: None, forced: false });
            for (unit, cell) in self.table.units.iter().zip(&mut self.cells) {
                // PID 1's own units end when their pipes are closed, after everybody else.
                cell.wanted &= unit.last;
                cell.again = false;
            }
            self.say(Level::Info, words::shutting_down(goal));
        }
    }

    /// Takes the node's life as far as it goes now. Whether anything changed.
    pub(super) fn live(&mut self, now: Time) -> bool {
        match self.life {
            Life::Running | Life::Halted(_) => false,
            Life::Stopping(ending) if !ending.forced && now >= ending.until => {
                self.life = Life::Stopping(Ending { forced: true, ..ending });
                self.say(Level::Warning, words::over_budget(self.options.budget));
                true
            }
            Life::Stopping(ending) => {
                let back = |cell: &Cell| !matches!(cell.state, State::Waiting | State::Stopping(_));
                let down = self.others().all(Cell::down) && (ending.forced || self.own().all(back));
                if down {
                    let signal = if ending.forced { SIGKILL } else { SIGTERM };
                    if ending.forced {
                        self.kill_cgroups();
                    }
                    let until = match (ending.forced, ending.hurry) {
                        (true, _) => now + LAST_WAIT,
                        (false, Some(_)) => now + HURRY,
                        (false, None) => (now + ORPHAN_GRACE).min(ending.until.max(now)),
                    };
                    self.life = Life::Sweeping { ending, signal, due: true, until };
                }
                down
            }
            Life::Sweeping { due: true, ending, signal, until } => {
                self.life = Life::Sweeping { due: false, ending, signal, until };
                self.queue.push_back(Action::Sweep { signal });
                true
            }
            Life::Sweeping { ending, signal, due: false, until }
                if now >= until || (ending.forced && signal != SIGKILL) =>
            {
                if signal == SIGKILL {
                    self.close_logs(now);
                } else {
                    self.killed = true;
                    self.say(Level::Warning, words::KILLING_ORPHANS.to_owned());
                    self.life = Life::Sweeping { ending, signal: SIGKILL, due: true, until: now + LAST_WAIT };
                    self.kill_cgroups();
                }
                true
            }
            Life::Sweeping { .. } => false,
            Life::Logs { ending, .. } if self.last_units().next().is_none() => {
                self.halt(ending.goal);
                true
            }
            Life::Logs { ending, killed: false, until } if now >= until => {
                self.life = Life::Logs { ending, killed: true, until: now + LAST_WAIT };
                let pids: Vec<_> = self.last_units().collect();
                for pid in pids {
                    self.queue.push_back(Action::Signal { target: Target::Process(pid), signal: SIGKILL });
                }
                true
            }
            Life::Logs { ending, killed: true, until } if now >= until => {
                self.halt(ending.goal);
                true
            }
            Life::Logs { .. } => false,
        }
    }

    pub(super) fn swept(&mut self, now: Time, left: usize) {
        if left == 0 && matches!(self.life, Life::Sweeping { .. }) {
            self.close_logs(now);
        }
    }

    /// What is in a unit's cgroup and is nobody's child of ours is reached by no sweep.
    fn kill_cgroups(&mut self) {
        for ((id, unit), cell) in numbered(&self.table).zip(&self.cells) {
            if !unit.last && cell.starts > 0 {
                self.queue.push_back(Action::KillCgroup { unit: id });
            }
        }
    }

    fn close_logs(&mut self, now: Time) {
        let Life::Sweeping { ending, .. } = self.life else { return };
        self.say(Level::Info, words::down(ending.goal, now.since(ending.begun)));
        self.life = Life::Logs { ending, killed: false, until: now + LAST_WAIT };
        self.queue.push_back(Action::CloseLogs);
    }

    fn halt(&mut self, goal: Goal) {
        self.life = Life::Halted(goal);
        self.queue.extend(self.verdict().map(Action::Halt));
    }

    /// How the node ends, once that is decided.
    pub fn verdict(&self) -> Option<Verdict> {
        let Life::Halted(goal) = self.life else { return None };
        let status = self.cause_status.or(self.main_status).unwrap_or(u8::from(self.killed));
        Some(Verdict { goal, status })
    }

    /// PID 1's own units.
    fn own(&self) -> impl Iterator<Item = &Cell> {
        self.table.units.iter().zip(&self.cells).filter(|(unit, _)| unit.last).map(|(_, cell)| cell)
    }

    fn others(&self) -> impl Iterator<Item = &Cell> {
        self.table.units.iter().zip(&self.cells).filter(|(unit, _)| !unit.last).map(|(_, cell)| cell)
    }
}
