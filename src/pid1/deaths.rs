//! The children that have ended: told of, acted upon, and only then reaped.

use nix::libc;

use crate::sys::process::{self, Ended};
use crate::unit::{Ending, Event, Pid, Role, Signal, UnitId};

use super::drill;
use super::turn::{Node, Process};

/// Children reaped in one turn, before signals are looked at again.
const DEATHS: usize = 512;

impl Node {
    pub(super) fn take_deaths(&mut self) {
        self.more = false;
        for taken in 0.. {
            let Some((pid, ended)) = process::peek() else { break };
            if taken == DEATHS {
                self.more = true;
                break;
            }
            self.dying = Some(pid);
            self.sweep.forget(pid);
            let mut how = ending(ended);
            if let Some((unit, role)) = self.processes.get(&pid).map(|process| (process.unit, process.role)) {
                if role == Role::Main && self.was_out_of_memory(unit, how) {
                    how = Ending::OutOfMemory;
                }
                // What it said comes before its end.
                self.take_exec_outcome(pid);
                self.take_newline(pid);
                for event in self.channels.receive(|of, _| of == unit, |of, pid| self.kin(of, pid)) {
                    self.tell(event);
                }
            }
            self.tell(Event::Exited { pid: Pid(pid), how });
            let trial = self.trial_ended(pid, ended);
            drill::at(drill::Point::Ended);
            process::reap(pid);
            self.dying = None;
            match self.processes.remove(&pid) {
                Some(process) => {
                    if let Some(unit) = self.machine.table().units.get(process.unit.index()) {
                        self.cgroups.ended(&unit.name);
                    }
                }
                None if trial || self.take_reader(pid, how) => {}
                None => self.say_reaped(pid),
            }
        }
        if self.cgroups.untidy() {
            let units = &self.machine.table().units;
            let busy = |name: &str| {
                let named = |process: &Process| units.get(process.unit.index()).is_some_and(|unit| unit.name == name);
                self.processes.values().any(named)
            };
            self.cgroups.tidy(busy);
        }
        if let Some(signal) = self.sweep_again.take() {
            let left = self.sweep(signal);
            self.tell(Event::Swept { left });
        }
    }

    fn say_reaped(&self, pid: i32) {
        let level = if self.wrap.tell_reaped { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "an orphan, pid {pid}, has ended and is reaped");
    }

    fn was_out_of_memory(&self, unit: UnitId, how: Ending) -> bool {
        let killed = matches!(how, Ending::Signal { signal: Signal(libc::SIGKILL), .. });
        let unit = self.machine.table().units.get(unit.index());
        killed && unit.is_some_and(|unit| self.cgroups.lacked_memory(&unit.name))
    }
}

/// The same in the words of the machine.
pub(super) fn ending(ended: Ended) -> Ending {
    match ended {
        Ended::Code(code) => Ending::Code(code),
        Ended::Signal { signal, core } => Ending::Signal { signal: Signal(signal), core },
    }
}
