//! The loop: wait in one place, tell the machine what happened, do what it says.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::control::{Mode, Wrap};
use crate::sys::attire::Failure;
use crate::sys::poll::Wait;
use crate::sys::signal::{self, Signals};
use crate::sys::store::Birth;
use crate::sys::{self, Errno, clock, memory};
use crate::unit::{
    self, Action, Event, Goal, Level, Machine, Options, Pid, Ready, Role, Signal, SpawnError, Table, Target, Time,
    UnitId, Verdict, finish, stopping,
};

use super::cgroup::Cgroups;
use super::files::Source;
use super::ignored::Ignored;
use super::logs::Logs;
use super::notify::Channels;
use super::place::Place;
use super::reader::Reader;
use super::readiness::Line;
use super::renewal::Renewal;
use super::spawn::{Occasion, Outfit};
use super::status::Report;
use super::sweep::Sweep;
use super::{conditions, drill, files, sweep};

/// A process that is a unit's.
pub(super) struct Process {
    pub(super) unit: UnitId,
    pub(super) role: Role,
    /// Tells how exec went; none once it has told.
    pub(super) exec: Option<OwnedFd>,
    /// Where it says that it is ready; none once it has.
    pub(super) line: Option<Line>,
}

/// PID 1: the machine, and everything it acts through.
pub struct Node {
    pub(super) machine: Machine,
    pub(super) source: Source,
    pub(super) place: Place,
    /// Who reads the table again, if somebody does.
    pub(super) reader: Option<Reader>,
    /// Somebody asked for that since it began.
    pub(super) read_again: bool,
    pub(super) mode: Mode,
    pub(super) wrap: Wrap,
    pub(super) outfit: Outfit,
    pub(super) cgroups: Cgroups,
    pub(super) signals: Signals,
    pub(super) channels: Channels,
    pub(super) logs: Logs,
    pub(super) report: Report,
    pub(super) sweep: Sweep,
    /// A sweep with this signal was answered from memory; look again when the dead of this turn are reaped.
    pub(super) sweep_again: Option<Signal>,
    /// The units' processes that are not reaped.
    pub(super) processes: BTreeMap<i32, Process>,
    /// Dead, and not reaped yet.
    pub(super) dying: Option<i32>,
    /// There may be more dead than one turn reaps.
    pub(super) more: bool,
    pub(super) ignored: Ignored,
    pub(super) wait: Wait,
    pub(super) verdict: Option<Verdict>,
    pub(super) renewal: Renewal,
}

impl Node {
    /// Everything made, nothing started. `wrap`: there is no unit table, only the command.
    ///
    /// # Errors
    /// There is no descriptor for signals; without it PID 1 is deaf.
    pub fn new(
        table: Table,
        source: Source,
        outfit: Outfit,
        place: Place,
        wrap: Option<Wrap>,
        cgroups: Cgroups,
        renewal: Renewal,
    ) -> Result<Node, Errno> {
        cgroups.say(&table);
        let signals = Signals::open()?;
        let now = time();
        let mode = mode(place, wrap.as_ref());
        let (budget, goal) = match place {
            Place::Container => (wrap.as_ref().map_or(Duration::from_secs(9), Wrap::budget), Goal::Exit),
            Place::Appliance => (Duration::from_secs(60), Goal::PowerOff),
        };
        let runtime = if wrap.is_some() { None } else { files::runtime() };
        let channels = Channels::open(&table, runtime.map(|runtime| runtime.join("notify")).as_deref());
        let logs = if table.units.iter().any(|unit| unit.last) {
            Logs::open(&table).unwrap_or_else(|errno| {
                log::warn!("unable to make the log pipes: {}; units write to our output", errno.desc());
                Logs::default()
            })
        } else {
            Logs::default()
        };
        let mut report = Report::new(runtime, now);
        if let Some(file) = &source.chosen {
            report.reads(file.display().to_string());
        }
        let skips = conditions::skips(&table, &outfit, place);
        let options = Options { seed: seed(), budget, goal };
        Ok(Node {
            machine: Machine::new(table, skips, options, now),
            source,
            place,
            reader: None,
            read_again: false,
            mode,
            wrap: wrap.unwrap_or_default(),
            outfit,
            cgroups,
            signals,
            channels,
            logs,
            report,
            sweep: Sweep::default(),
            sweep_again: None,
            processes: BTreeMap::new(),
            dying: None,
            more: false,
            ignored: Ignored::default(),
            wait: Wait::default(),
            verdict: None,
            renewal,
        })
    }

    /// Runs the node to its end. `breakable`: signals break it, for a drill.
    pub fn run(&mut self, breakable: bool) -> Verdict {
        loop {
            self.tell(Event::Tick);
            if let Some(verdict) = self.verdict {
                return verdict;
            }
            self.report.refresh(time(), &self.machine, &self.cgroups);
            self.renew();
            self.sleep();
            self.take_signals(breakable);
            self.take_exec_outcomes();
            self.take_newlines();
            self.take_notices();
            self.take_deaths();
        }
    }

    /// The one wait.
    fn sleep(&mut self) {
        self.wait.clear();
        self.wait.add(self.signals.as_raw_fd());
        for process in self.processes.values() {
            if let Some(exec) = &process.exec {
                self.wait.add(exec.as_raw_fd());
            }
            if let Some(line) = &process.line {
                self.wait.add(line.descriptor());
            }
        }
        for fd in self.channels.descriptors().chain(self.renewal.descriptor()) {
            self.wait.add(fd);
        }
        let others = self.report.deadline().into_iter().chain(self.renewal.deadline());
        let deadline = self.machine.deadline().into_iter().chain(others).min();
        if deadline.is_none() && !self.more && self.machine.is_at_rest() {
            memory::trim();
        }
        let limit = match deadline {
            _ if self.more => Some(Duration::ZERO),
            Some(deadline) => Some(deadline.since(time())),
            None => None,
        };
        if let Err(errno) = self.wait.sleep(limit) {
            // ENOMEM. What is ready is found out by reading; a turn a second keeps the machine going.
            log::warn!("unable to wait: {}; trying again", errno.desc());
        }
    }

    /// Tells the machine and does everything that it answers. Each step is kept before the next: what came is not told twice
    /// should we break, and what was done is not done twice.
    pub(super) fn tell(&mut self, event: Event) {
        // These change nothing, or are told again: an end as long as the dead one is not reaped.
        let again = matches!(event, Event::Tick | Event::Forwarded(_) | Event::Exited { .. });
        let counts = !matches!(event, Event::Forwarded(_));
        let mut due = matches!(&event, Event::Exited { pid, .. } if self.processes.contains_key(&pid.0));
        self.machine.handle(time(), event);
        if !again {
            self.keep();
        }
        while self.verdict.is_none()
            && let Some(action) = self.machine.next(time())
        {
            self.perform(action);
            due |= counts;
        }
        if due {
            self.keep();
        }
    }

    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Spawn { unit, role } => {
                self.keep();
                let outcome = self.spawn(unit, role).map(Pid).map_err(|errno| unit::Errno(errno as i32));
                self.machine.handle(time(), Event::Spawned { unit, role, outcome });
            }
            // That the target is gone is no error.
            Action::Signal { target: Target::Process(pid), signal } => {
                let _ = signal::send(pid.0, signal.0);
            }
            Action::Signal { target: Target::Group(pid), signal } => {
                let _ = signal::send_group(pid.0, signal.0);
            }
            Action::Sweep { signal } => {
                let left = if self.dying.is_some() && self.sweep.remembered() > 0 {
                    // A look at all children for each of thousands of dead ones takes minutes.
                    self.sweep_again = Some(signal);
                    self.sweep.remembered()
                } else {
                    self.sweep(signal)
                };
                self.machine.handle(time(), Event::Swept { left });
            }
            Action::KillCgroup { unit } => {
                if let Some(unit) = self.machine.table().units.get(unit.index()) {
                    self.cgroups.kill(&unit.name);
                }
            }
            Action::Forget { unit } => self.forget(unit),
            Action::CloseLogs => self.logs.close(),
            Action::Say(Level::Error, text) => log::error!("{text}"),
            Action::Say(Level::Warning, text) => log::warn!("{text}"),
            Action::Say(Level::Info, text) => log::info!("{text}"),
            Action::Halt(verdict) => self.verdict = Some(verdict),
        }
    }

    fn spawn(&mut self, id: UnitId, role: Role) -> Result<i32, Errno> {
        let unit = self.machine.table().units.get(id.index()).ok_or(Errno::EINVAL)?;
        let mut occasion = Occasion {
            notify: if role == Role::Main { self.channels.path(id) } else { None },
            output: self.logs.writer(id),
            cgroup: self.cgroups.membership(unit, role),
            watchdog: unit.watchdog.filter(|_| role == Role::Main),
            ..Occasion::default()
        };
        occasion.environment = match role {
            Role::Stop => self.machine.stopping(time(), id).map(|told| stopping::variables(told).into()),
            Role::Finish => {
                self.machine.aftermath(id).map(|(aftermath, how)| finish::variables(unit, aftermath, how).into())
            }
            Role::Main | Role::Probe => None,
        }
        .unwrap_or_default();
        // The writing end stays open here until the unit has its own.
        let (line, write) = match &unit.ready {
            Ready::Fd(number) if role == Role::Main => {
                let (line, write) = Line::open()?;
                occasion.line = Some((write.as_raw_fd(), RawFd::from(*number)));
                (Some(line), Some(write))
            }
            _ => (None, None),
        };
        if unit.last {
            occasion.keep = self.logs.kept();
            occasion.more = self.logs.arguments().collect();
        }
        let program = self.outfit.program(unit, role, occasion)?;
        let unkept = Birth::default();
        let made = sys::spawn::spawn(&program, self.renewal.birth(id, role).unwrap_or(&unkept))?;
        drill::at(drill::Point::Made);
        drop(write);
        self.made(id, role, made.pid, Some(made.exec), line);
        Ok(made.pid)
    }

    /// A process was made.
    pub(super) fn made(&mut self, id: UnitId, role: Role, pid: i32, exec: Option<OwnedFd>, line: Option<Line>) {
        let unit = self.machine.table().units.get(id.index());
        let (main, last) = unit.map_or((false, false), |unit| (unit.main, unit.last));
        if main {
            self.outfit.hand_over();
        }
        if last {
            self.logs.started();
        }
        self.processes.insert(pid, Process { unit: id, role, exec, line });
    }

    pub(super) fn sweep(&mut self, signal: Signal) -> usize {
        let (units, processes, dying) = (&self.machine.table().units, &self.processes, self.dying);
        let last = |process: &Process| units.get(process.unit.index()).is_some_and(|unit| unit.last);
        let left = self.sweep.signal(signal.0, |pid| dying == Some(pid) || processes.get(&pid).is_some_and(last));
        match left {
            Some(left) => left,
            // Nobody can tell our own from others': end without a grace.
            None if processes.values().any(last) => 0,
            None if dying.is_some() => {
                // The dead one would be counted; look again when it is reaped.
                self.sweep_again = Some(signal);
                1
            }
            None => usize::from(sweep::anybody()),
        }
    }

    fn take_exec_outcomes(&mut self) {
        let told: Vec<i32> = self
            .processes
            .iter()
            .filter(|(_, process)| process.exec.as_ref().is_some_and(|exec| self.wait.ready(exec.as_raw_fd())))
            .map(|(pid, _)| *pid)
            .collect();
        for pid in told {
            self.take_exec_outcome(pid);
        }
    }

    pub(super) fn take_exec_outcome(&mut self, pid: i32) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Some(outcome) = process.exec.as_ref().and_then(sys::spawn::exec_outcome) else { return };
        process.exec = None;
        self.tell(match outcome {
            Ok(()) => Event::Execed { pid: Pid(pid) },
            Err(Failure { stage, errno, detail }) => {
                let error = SpawnError { stage, errno: unit::Errno(errno), detail };
                Event::ExecFailed { pid: Pid(pid), error }
            }
        });
    }

    fn take_notices(&mut self) {
        for event in self.channels.receive(|_, fd| self.wait.ready(fd), |unit, pid| self.kin(unit, pid)) {
            self.tell(event);
        }
    }
}

/// What we are to our surroundings.
pub(super) fn mode(place: Place, wrap: Option<&Wrap>) -> Mode {
    match (place, wrap) {
        (Place::Container, Some(Wrap { pause: true, .. })) => Mode::Pause,
        (Place::Container, Some(_)) => Mode::Command,
        (Place::Container, None) => Mode::Container,
        (Place::Appliance, _) => Mode::Appliance,
    }
}

pub(super) fn time() -> Time {
    Time::from_nanos(clock::boottime())
}

/// Makes backoff jitter differ between nodes: FNV-1a of the node's name.
fn seed() -> u64 {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
