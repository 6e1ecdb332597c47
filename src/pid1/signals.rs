//! What signals to PID 1 ask for, as they come.

use crate::control::signal::QUIET;
use crate::control::{Meaning, Mode, Recipient, meaning, wrap};
use crate::sys::process;
use crate::sys::signal::{self, Received};
use crate::unit::{self, Event, Goal, Role, Signal};

use super::turn::{Node, time};
use super::{drill, request};

/// Signals taken in one turn: real-time signals queue, and a flood of them must not keep us from the children.
const SIGNALS: usize = 256;

impl Node {
    pub(super) fn take_signals(&mut self, breakable: bool) {
        for _ in 0..SIGNALS {
            let Some(received) = self.signals.next() else { return };
            if breakable {
                drill::break_at(received.signal);
            }
            // Our own: SIGPIPE from a write of ours, which has told us so already.
            if received.pid != process::own_pid() {
                self.obey(received);
            }
        }
    }

    fn obey(&mut self, received: Received) {
        // A text only for who is told: most signals are told to nobody.
        let name = || unit::signal::name(Signal(received.signal));
        match meaning(received.signal, self.mode) {
            Meaning::Child => {}
            Meaning::Shutdown(goal) => {
                if !self.ignored.hushed(time(), received.signal) {
                    log::info!("pid {} user {} asks to shut down ({})", received.pid, received.user, name());
                }
                self.tell(Event::Shutdown(goal));
            }
            Meaning::Status => self.report.ask(received.value == Some(QUIET)),
            Meaning::Reload => {
                if !self.ignored.hushed(time(), received.signal) {
                    log::info!(
                        "pid {} user {} asks to reload the unit table ({})",
                        received.pid,
                        received.user,
                        name()
                    );
                }
                self.ask_reload();
            }
            Meaning::Renew => {
                if !self.ignored.hushed(time(), received.signal) {
                    log::info!("pid {} user {} asks to be renewed ({})", received.pid, received.user, name());
                }
                self.ask_renewal();
            }
            Meaning::Request => self.take_request(received),
            Meaning::Forward if self.wrap.shuts_down(received.signal) => self.tell(Event::Shutdown(Goal::Exit)),
            Meaning::Forward => self.forward(received.signal),
            Meaning::Ignore(_) if self.ignored.hushed(time(), received.signal) => {}
            Meaning::Ignore(reason) => {
                log::info!("{} from pid {} user {} is ignored: {reason}", name(), received.pid, received.user);
            }
        }
    }

    fn take_request(&mut self, received: Received) {
        match request::read(received, self.report.generation(), self.machine.table()) {
            Ok(request) => self.tell(Event::Request(request)),
            Err(text) => {
                if !self.ignored.hushed(time(), received.signal) {
                    log::warn!("{text}");
                }
                self.machine.refuse(text);
            }
        }
    }

    fn forward(&mut self, number: i32) {
        self.tell(Event::Forwarded(Signal(number)));
        let Some(passed) = self.wrap.passes(number) else {
            log::debug!("{} is dropped, as asked", unit::signal::name(Signal(number)));
            return;
        };
        let units = &self.machine.table().units;
        let main = self.processes.iter().find(|(_, process)| {
            process.role == Role::Main && units.get(process.unit.index()).is_some_and(|unit| unit.main)
        });
        if let Some((pid, _)) = main {
            log::debug!("passing {} on to pid {pid}", unit::signal::name(passed));
            // That it is gone is no error.
            let _ = match self.wrap.to {
                Some(Recipient::Child) => signal::send(*pid, passed.0),
                Some(Recipient::Group) | None => signal::send_group(*pid, passed.0),
            };
        } else if self.mode == Mode::Command && wrap::ends(passed) {
            // It could not be started yet, or has ended and its orphans have not.
            self.tell(Event::Shutdown(Goal::Exit));
        }
    }
}
