//! What a person asks of a unit, and signals that are passed on to it.

use super::event::{Action, Level, Request, Target, Wish};
use super::machine::Machine;
use super::shutdown::Life;
use super::state::State;
use super::table::Signal;
use super::time::Time;
use super::walk::target;
use super::words;

impl Machine {
    /// Only to units that are up: a process that is still starting may not expect the signal, and would die of it.
    pub(super) fn forwarded(&mut self, signal: Signal) {
        for (unit, cell) in self.table.units.iter().zip(&self.cells) {
            if let State::Up { pid } = cell.state
                && let Some(signal) = unit.passes(signal)
            {
                self.queue.push_back(Action::Signal { target: target(unit, pid), signal });
            }
        }
    }

    pub(super) fn requested(&mut self, now: Time, request: Request) {
        let running = matches!(self.life, Life::Running);
        let Some((unit, cell)) = self.pair(request.unit) else { return };
        let refusal = match &cell.state {
            _ if !running => Some("the node is shutting down"),
            _ if unit.main => Some("its end would end the node; send the node a SIGTERM for that"),
            _ if unit.last => Some("it belongs to PID 1 itself"),
            _ if cell.gone => Some("it was removed from the unit table"),
            _ if cell.skip.is_some() => Some("its `when` does not hold"),
            State::Skipped(_) => Some("its `when` does not hold"),
            _ if request.wish != Wish::Reload => None,
            _ if unit.reload_signal.is_none() => Some("it has no reload-signal"),
            State::Up { .. } => None,
            State::Off
            | State::Waiting
            | State::Backoff { .. }
            | State::Starting { .. }
            | State::Done
            | State::Stopping(_)
            | State::Stuck { .. }
            | State::Failed(_) => Some("it is not up"),
        };
        if let Some(cause) = refusal {
            let text = words::refused(unit, request.wish, cause);
            cell.asked.refuse(cause.to_owned());
            self.tally.refuse(text.clone());
            self.say(Level::Warning, text);
            return;
        }
        cell.asked.take();
        cell.asked.refusal = None;
        match request.wish {
            Wish::Stop => {
                cell.wanted = false;
                cell.again = false;
                if let State::Failed(_) = cell.state {
                    cell.enter_because(State::Off, now, words::asked(request.wish));
                }
            }
            Wish::Start | Wish::Restart => {
                if !cell.wanted {
                    cell.wanted = true;
                    cell.wanted_since = now;
                    cell.wants_over = false;
                }
                cell.failures = 0;
                cell.failed.forget();
                match cell.state {
                    State::Backoff { .. } | State::Failed(_) => {
                        cell.enter_because(State::Waiting, now, words::asked(request.wish));
                    }
                    State::Starting { .. } | State::Up { .. } | State::Done => {
                        cell.again |= request.wish == Wish::Restart
                    }
                    State::Off | State::Skipped(_) | State::Waiting | State::Stopping(_) | State::Stuck { .. } => {}
                }
            }
            Wish::Reload => {
                if let (Some(signal), State::Up { pid }) = (unit.reload_signal, &cell.state) {
                    let target = Target::Process(*pid);
                    let text = words::reloading(unit, signal);
                    self.queue.push_back(Action::Signal { target, signal });
                    self.say(Level::Info, text);
                }
            }
        }
        self.tally.take();
    }
}
