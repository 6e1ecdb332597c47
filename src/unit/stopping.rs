//! What a unit's `stop` command is told: what the stop is for, and how long it may take.

use std::time::Duration;

use super::machine::Machine;
use super::shutdown::Life;
use super::state::State;
use super::table::UnitId;
use super::time::Time;

/// The variable that says what the stop is for.
pub const REASON: &str = "CLUSTEROS_STOP";
/// The variable that says for how long it is waited, in microseconds.
pub const SPAN: &str = "CLUSTEROS_STOP_USEC";

/// What a unit is stopped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The node ends.
    Shutdown,
    /// It starts again: somebody asked for that, it failed, what it binds to stopped, or the table changed.
    Restart,
    /// It stays down: somebody asked for that, or the table has it no more.
    Stop,
}

impl Reason {
    /// Its word in the environment.
    pub const fn word(self) -> &'static str {
        match self {
            Reason::Shutdown => "shutdown",
            Reason::Restart => "restart",
            Reason::Stop => "stop",
        }
    }
}

/// What of a stop its command is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// What it is for.
    pub reason: Reason,
    /// When all that is left of the unit is killed, from now.
    pub within: Duration,
}

/// The same as variables.
pub fn variables(stopping: Stopping) -> [(&'static str, String); 2] {
    [(REASON, stopping.reason.word().to_owned()), (SPAN, stopping.within.as_micros().to_string())]
}

impl Machine {
    /// What the `stop` command of a unit is told; none if that unit does not stop.
    pub fn stopping(&self, now: Time, id: UnitId) -> Option<Stopping> {
        let cell = self.cell(id)?;
        let State::Stopping(stop) = &cell.state else { return None };
        let (reason, until) = match self.life {
            Life::Running if cell.wanted && cell.skip.is_none() => (Reason::Restart, stop.deadline),
            Life::Running => (Reason::Stop, stop.deadline),
            Life::Stopping(ending) => (Reason::Shutdown, self.life.hurried(stop.deadline).min(ending.until)),
            Life::Sweeping { until, .. } | Life::Logs { until, .. } => (Reason::Shutdown, stop.deadline.min(until)),
            Life::Halted(_) => (Reason::Shutdown, now),
        };
        Some(Stopping { reason, within: until.since(now) })
    }
}
