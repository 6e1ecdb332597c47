//! All units and the shutdown: the machine.
//!
//! `handle` records, `next` walks every unit until nothing changes any more, `deadline` is asked for and never pushed.
//! The machine never looks at a clock: the caller tells it the time, and that time never goes back.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::bonds::Bonds;
use super::event::{Action, Event, Goal, Level, Notice, Pid, Role, Tally, View};
use super::links::{Links, numbered};
use super::readiness::Ready;
use super::shutdown::Life;
use super::state::{Cell, State, Step, Stop};
use super::table::{NotifyFrom, Signal, Table, Unit, UnitId};
use super::time::Time;
use super::words;

pub(super) const SIGABRT: Signal = Signal(6);
pub(super) const SIGKILL: Signal = Signal(9);
pub(super) const SIGTERM: Signal = Signal(15);
pub(super) const SIGCONT: Signal = Signal(18);

/// What the machine needs to know beside the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Makes backoff jitter differ between nodes (a hash of the node's name).
    pub seed: u64,
    /// The longest that a shutdown may take before everything left is killed.
    pub budget: Duration,
    /// What the end of the main command, or a unit that gave up, leads to: [`Goal::Exit`] in a container.
    pub goal: Goal,
}

/// Where the node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Starting and keeping units.
    Running,
    /// Stopping towards this goal.
    Stopping(Goal),
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    pub(super) table: Table,
    pub(super) cells: Vec<Cell>,
    /// By unit: it must not stay as it is (not wanted, to be restarted, or a bind of it is lost).
    pub(super) leaving: Vec<bool>,
    pub(super) links: Links,
    pub(super) options: Options,
    pub(super) life: Life,
    pub(super) queue: VecDeque<Action>,
    /// The main command's exit status, once it has ended.
    pub(super) main_status: Option<u8>,
    /// The exit status of the unit whose `give-up` ends the node.
    pub(super) cause_status: Option<u8>,
    /// Something had to be killed during the shutdown.
    pub(super) killed: bool,
    /// All requests.
    pub(super) tally: Tally,
}

impl Machine {
    /// A machine that will start every enabled unit of `table`. `skips` holds, by unit, why its `when` does not hold.
    pub fn new(table: Table, skips: Vec<Option<String>>, options: Options, now: Time) -> Machine {
        let mut skips = skips.into_iter().chain(std::iter::repeat(None));
        let cells = table.units.iter().map(|unit| Cell::new(unit.enabled, skips.next().flatten(), now)).collect();
        let leaving = vec![false; table.units.len()];
        let links = Links::new(&table);
        Machine {
            table,
            cells,
            leaving,
            links,
            options,
            life: Life::Running,
            queue: VecDeque::new(),
            main_status: None,
            cause_status: None,
            killed: false,
            tally: Tally::default(),
        }
    }

    /// A shutdown may take this long, whatever the options said of it.
    pub fn allow(&mut self, budget: Duration) {
        self.options.budget = budget;
    }

    /// Records what happened. Nothing is done until [`Machine::next`] is called.
    pub fn handle(&mut self, now: Time, event: Event) {
        match event {
            Event::Spawned { unit, role: Role::Probe, outcome } => self.probe_spawned(now, unit, outcome),
            Event::Spawned { unit, role, outcome: Ok(pid) } => self.spawned(unit, role, pid),
            Event::Spawned { unit, role: Role::Main, outcome: Err(errno) } => self.not_forked(now, unit, errno),
            Event::Spawned { unit, role: Role::Stop, outcome: Err(errno) } => self.stop_not_forked(now, unit, errno),
            Event::Spawned { unit, role: Role::Finish, outcome: Err(errno) } => {
                self.finish_not_forked(now, unit, errno)
            }
            Event::Newline { pid } => self.wrote_newline(now, pid),
            Event::Execed { pid } => self.execed(now, pid),
            Event::ExecFailed { pid, error } => self.not_execed(pid, error),
            Event::Exited { pid, how } => self.exited(now, pid, how),
            Event::Notify { unit, pid, kin, notices } => self.notified(now, unit, (pid, kin), notices),
            Event::Request(request) => self.requested(now, request),
            Event::Shutdown(goal) => self.shut_down(now, goal),
            Event::Forwarded(signal) => self.forwarded(signal),
            Event::Swept { left } => self.swept(now, left),
            Event::Tick => {}
        }
    }

    /// The next thing to do, or nothing. Called until it answers nothing.
    pub fn next(&mut self, now: Time) -> Option<Action> {
        loop {
            if let Some(action) = self.queue.pop_front() {
                return Some(action);
            }
            if !self.walk(now) {
                return None;
            }
        }
    }

    /// When to call [`Machine::handle`] with [`Event::Tick`] at the latest; none: only an event wakes the machine.
    pub fn deadline(&self) -> Option<Time> {
        let units = numbered(&self.table).zip(&self.cells);
        let of = |id, unit, cell| self.unit_deadline(id, cell, unit).into_iter().chain(self.probe_deadline(id)).min();
        let units = units.filter_map(|((id, unit), cell)| of(id, unit, cell));
        units.chain(self.life.deadline()).min()
    }

    /// What became of the requests so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Counts a request that names no unit, and so never became an event; `cause` is why.
    pub fn refuse(&mut self, cause: String) {
        self.tally.refuse(cause);
    }

    /// The table that it runs.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether every unit is where it stays by itself.
    pub fn is_at_rest(&self) -> bool {
        self.cells.iter().all(Cell::settled)
    }

    /// Where the node is in its life.
    pub fn phase(&self) -> Phase {
        self.life.goal().map_or(Phase::Running, Phase::Stopping)
    }

    /// The main process of the command given on the command line, while it runs.
    pub fn main_command(&self) -> Option<Pid> {
        self.table.units.iter().zip(&self.cells).find(|(unit, _)| unit.main).and_then(|(_, cell)| cell.main_pid())
    }

    /// The main processes of PID 1's own units (`logd`): a sweep leaves them alone.
    pub fn last_units(&self) -> impl Iterator<Item = Pid> + '_ {
        self.table.units.iter().zip(&self.cells).filter(|(unit, _)| unit.last).filter_map(|(_, cell)| cell.main_pid())
    }

    /// Every unit as a person sees it, in the order of the table; behind them those that a reload removed and that are not
    /// down yet.
    pub fn views(&self, now: Time) -> Vec<View<'_>> {
        numbered(&self.table)
            .zip(&self.cells)
            .filter(|(_, cell)| !cell.forgotten)
            .map(|((id, unit), cell)| View {
                name: &unit.name,
                description: &unit.description,
                state: cell.word(),
                why: self.why(now, id, unit, cell),
                pid: cell.main_pid(),
                since: cell.since,
                until: cell.until(),
                restarts: cell.starts.saturating_sub(1),
                last_exit: cell.last_exit,
                ready_after: cell.ready_after,
                status: cell.status.as_deref(),
                asked: &cell.asked,
                pending: cell.pending(),
                history: &cell.history,
                bonds: Bonds::new(&self.table, unit),
            })
            .collect()
    }

    /// What of the views changes with an event and not with time alone: another number, another status.
    pub fn digest(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        (self.phase() == Phase::Running, self.tally()).hash(&mut hash);
        for (unit, cell) in self.table.units.iter().zip(&self.cells) {
            (&unit.name, cell.word(), cell.main_pid(), cell.starts, cell.since, cell.until()).hash(&mut hash);
            (&cell.status, &cell.asked, cell.pending()).hash(&mut hash);
        }
        hash.finish()
    }

    pub(super) fn unit(&self, id: UnitId) -> Option<&Unit> {
        self.table.units.get(id.index())
    }

    pub(super) fn cell(&self, id: UnitId) -> Option<&Cell> {
        self.cells.get(id.index())
    }

    /// Both halves of a unit, the cell to be changed.
    pub(super) fn pair(&mut self, id: UnitId) -> Option<(&Unit, &mut Cell)> {
        Some((self.table.units.get(id.index())?, self.cells.get_mut(id.index())?))
    }

    pub(super) fn say(&mut self, level: Level, text: String) {
        self.queue.push_back(Action::Say(level, text));
    }

    /// Whose process this is.
    pub(super) fn owner(&self, pid: Pid) -> Option<(UnitId, Role)> {
        numbered(&self.table).zip(&self.cells).find_map(|((id, _), cell)| Some((id, cell.role(pid)?)))
    }

    fn spawned(&mut self, id: UnitId, role: Role, process: Pid) {
        let Some(cell) = self.cells.get_mut(id.index()) else { return };
        match (role, &mut cell.state) {
            (Role::Main, State::Starting { pid, .. }) => *pid = Some(process),
            (Role::Stop, State::Stopping(Stop { step: step @ Step::Command(None), .. })) => {
                *step = Step::Command(Some(process));
            }
            (Role::Finish, State::Stopping(Stop { step: step @ Step::Finish(None), .. })) => {
                *step = Step::Finish(Some(process));
            }
            // Not asked for: nobody's process, reaped as an orphan.
            (Role::Main | Role::Stop | Role::Finish | Role::Probe, _) => {}
        }
    }

    fn execed(&mut self, now: Time, pid: Pid) {
        let Some((id, Role::Main)) = self.owner(pid) else { return };
        let Some((unit, cell)) = self.pair(id) else { return };
        if unit.readied_by(&Ready::Exec) && matches!(cell.state, State::Starting { .. }) {
            self.ready(now, id, pid);
        }
        self.begin_probing(now, id);
    }

    pub(super) fn ready(&mut self, now: Time, id: UnitId, pid: Pid) {
        let Some((unit, cell)) = self.pair(id) else { return };
        cell.ready_after = Some(now.since(cell.last_start));
        cell.enter(State::Up { pid }, now);
        cell.watchdog.feed(now);
        let text = words::up(unit, pid, now.since(cell.last_start));
        if !unit.main && !unit.last {
            self.say(Level::Info, text);
        }
    }

    fn notified(&mut self, now: Time, id: UnitId, (sender, kin): (Pid, bool), notices: Vec<Notice>) {
        let Some((unit, cell)) = self.pair(id) else { return };
        let main = cell.main_pid();
        let Some(main) = main.filter(|main| *main == sender || (kin && unit.notify_from == NotifyFrom::Cgroup)) else {
            let text = words::foreign_notice(unit, sender);
            if !cell.foreign_said && !notices.is_empty() {
                cell.foreign_said = true;
                self.say(Level::Warning, text);
            }
            return;
        };
        for notice in notices {
            self.noticed(now, id, main, notice);
        }
    }

    fn noticed(&mut self, now: Time, id: UnitId, main: Pid, notice: Notice) {
        let Some((unit, cell)) = self.pair(id) else { return };
        match notice {
            Notice::Ready => {
                if unit.readied_by(&Ready::Notify) && matches!(cell.state, State::Starting { .. }) {
                    self.ready(now, id, main);
                }
            }
            // It stops by itself: its end will tell.
            Notice::Stopping => {}
            Notice::Status(text) => cell.status = Some(text),
            Notice::Watchdog => {
                if matches!(cell.state, State::Up { .. }) {
                    cell.watchdog.feed(now);
                }
            }
            Notice::WatchdogTrigger => {
                if matches!(cell.state, State::Starting { .. } | State::Up { .. }) {
                    cell.watchdog.trigger(now);
                }
            }
            Notice::WatchdogSpan(span) => cell.watchdog.set(now, span, matches!(cell.state, State::Up { .. })),
            Notice::ExtendTimeout(span) => {
                let configured = unit.start_timeout.unwrap_or(Duration::MAX);
                // A service may ask for time again and again, but never for more than three times what was configured.
                match &mut cell.state {
                    State::Starting { deadline: Some(deadline), .. } => {
                        *deadline = (now + span).max(*deadline).min(cell.last_start + configured.saturating_mul(3));
                    }
                    State::Stopping(stop) if stop.step == Step::Signalled => {
                        let most = cell.since + unit.stop_timeout.saturating_mul(3);
                        stop.deadline = (now + span).max(stop.deadline).min(most.max(stop.deadline));
                    }
                    _ => {}
                }
            }
        }
    }
}
