//! One seeded lifetime of a node, with the invariants that must hold at every step.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use clusteros_init::unit::{
    Action, Ending, Event, Goal, Kill, Kind, Machine, Notice, Options, Phase, Pid, Ready, Request, Restart, Role,
    Scribe, Signal, Snapshot, Target, Then, Time, Unit, UnitId, View, Wish,
};

use crate::dice::Dice;
use crate::tables;
use crate::world::World;

/// From the end of all faults until everything wanted is up: eight units in a chain, each with its longest backoff, wants
/// and stop timeout.
const RECOVERY: Duration = Duration::from_secs(900);
/// Over the budget: a last kill (10 s), orphans (5 s + 2 s), logd (2 s + 2 s).
const AFTER_BUDGET: Duration = Duration::from_secs(25);

pub struct Life {
    pub machine: Machine,
    pub world: World,
    pub now: Time,
    /// The machine's, when it was last asked.
    deadline: Option<Time>,
    pub shutdown_at: Option<Time>,
    pub shutdowns: u32,
    /// By unit: it was stopping when the shutdown was first asked for.
    pub was_stopping: Vec<bool>,
    pub budget: Duration,
    /// By unit: ready, as the events that were delivered say.
    pub up: Vec<bool>,
    /// By unit: its main process has ended, and its `finish` command was not asked for since.
    pub owed: Vec<bool>,
    /// By unit: the same, whether the table had a `finish` command for it then or has one only since.
    pub ended: Vec<bool>,
    pub main_ended: Option<Ending>,
    /// A unit gave up and ended the node: how it ended last.
    pub cause: Option<Option<Ending>>,
    pub halted: bool,
    pub trace: bool,
    pub renewal: Renewal,
    /// The units of the table that was read last, by name.
    pub names_now: Vec<String>,
    /// The largest number that a unit's name has had.
    pub names: u16,
    /// Who was signalled since this was last emptied.
    pub signalled: Vec<i32>,
}

/// Lives one life; how many steps it took. `Err` says which invariant broke.
pub fn live(seed: u64, trace: bool) -> Result<u64, String> {
    lived(seed, trace, Renewal::default()).map(|(steps, _)| steps)
}

/// Lives one life twice, the second time with a machine that is replaced by its resumed copy again and again. `Err` says what
/// was not the same.
pub fn live_renewed(seed: u64) -> Result<u64, String> {
    let seen = |dice| Renewal { dice, seen: Some(DefaultHasher::new()), scribe: Scribe::default(), count: 0 };
    let (steps, plain) = lived(seed, false, seen(None))?;
    let (again, renewed) = lived(seed, false, seen(Some(Dice::new(!seed))))?;
    let acts = |renewal: Renewal| renewal.seen.map(|seen| seen.finish());
    let count = renewed.count;
    if steps != again || acts(plain) != acts(renewed) {
        return Err(format!("{steps} steps without renewal, {again} with {count}; or what was done is not the same"));
    }
    Ok(count)
}

/// Lives one life of the dice.
pub fn live_dice(dice: Dice, trace: bool) -> Result<u64, String> {
    lived_dice(dice, 0, trace, Renewal::default()).map(|(steps, _)| steps)
}

fn lived(seed: u64, trace: bool, renewal: Renewal) -> Result<(u64, Renewal), String> {
    lived_dice(Dice::new(seed), seed, trace, renewal)
}

fn lived_dice(mut dice: Dice, seed: u64, trace: bool, renewal: Renewal) -> Result<(u64, Renewal), String> {
    let table = tables::table(&mut dice);
    let skips =
        table.units.iter().map(|unit| (!unit.main && !unit.last && dice.chance(5)).then(|| "no".into())).collect();
    if trace {
        for unit in &table.units {
            eprintln!("{unit:?}");
        }
    }
    let count = table.units.len();
    let budget = Duration::from_millis(500 + dice.below(60_000));
    let now = Time::from_nanos(1 + dice.below(1_000_000_000));
    let options = Options { seed, budget, goal: Goal::Exit };
    let mut life = Life {
        machine: Machine::new(table.clone(), skips, options, now),
        world: World::new(table, Dice::new(dice.next())),
        now,
        deadline: None,
        shutdown_at: None,
        shutdowns: 0,
        was_stopping: Vec::new(),
        budget,
        up: vec![false; count],
        owed: vec![false; count],
        ended: vec![false; count],
        main_ended: None,
        cause: None,
        halted: false,
        trace,
        renewal,
        names_now: Vec::new(),
        names: 10,
        signalled: Vec::new(),
    };
    life.run(&mut dice).map(|steps| (steps, life.renewal))
}

/// Replaces a machine by its resumed copy at random moments, and remembers what is done.
#[derive(Default)]
pub struct Renewal {
    dice: Option<Dice>,
    seen: Option<DefaultHasher>,
    scribe: Scribe,
    count: u64,
}

impl Renewal {
    fn perhaps(&mut self, machine: &mut Machine) -> Result<(), String> {
        let Some(dice) = &mut self.dice else { return Ok(()) };
        if !dice.chance(2) {
            return Ok(());
        }
        let mut text = String::new();
        self.scribe.write(machine, &mut text);
        let refused = |why| format!("a snapshot is refused: {why}\n{text}");
        let mut copy =
            Snapshot::parse(&text).and_then(|read| read.machine(machine.table().clone())).map_err(refused)?;
        let mut again = String::new();
        Scribe::default().write(&copy, &mut again);
        if text != again {
            return Err(format!("the copy is another one:\n{text}\n{again}"));
        }
        std::mem::swap(machine, &mut copy);
        self.count += 1;
        Ok(())
    }

    fn see(&mut self, now: Time, action: &Action) {
        if let Some(seen) = &mut self.seen {
            (now, format!("{action:?}")).hash(seen);
        }
    }
}

impl Life {
    fn run(&mut self, dice: &mut Dice) -> Result<u64, String> {
        let mut steps = 0;
        self.drain()?;
        let storm_ends = self.now + Duration::from_millis(dice.below(120_000));
        let recovers = dice.chance(50);
        let mut next_wish = self.now + Duration::from_millis(dice.below(20_000));
        while !self.halted {
            steps += 1;
            if steps > 200_000 {
                return Err("no end after 200,000 steps: a busy loop".into());
            }
            let stop_at = if recovers && self.shutdowns == 0 { storm_ends + RECOVERY } else { storm_ends };
            let due = [self.deadline, self.world.next_deed(), Some(next_wish), Some(storm_ends), Some(stop_at)];
            self.now = due
                .into_iter()
                .flatten()
                .filter(|at| *at > self.now)
                .min()
                .unwrap_or(self.now + Duration::from_secs(1));
            if recovers && self.shutdowns == 0 && self.now >= storm_ends && !self.world.calm {
                self.world.calm_down(self.now);
                // Whatever was asked for before, everything is asked for now.
                for unit in 0..self.world.table.units.len() as u16 {
                    self.event(Event::Request(Request { unit: UnitId(unit), wish: Wish::Start }))?;
                }
            }
            for event in self.world.happen(self.now) {
                self.event(event)?;
                if self.halted {
                    return Ok(steps);
                }
            }
            if self.now >= next_wish && !self.world.calm {
                if dice.chance(15) {
                    self.reload(dice)?;
                    if self.halted {
                        return Ok(steps);
                    }
                }
                let unit = UnitId(dice.below(self.world.table.units.len() as u64) as u16);
                let wish = dice.pick(&[Wish::Start, Wish::Stop, Wish::Restart, Wish::Reload]);
                self.event(Event::Request(Request { unit, wish }))?;
                next_wish = self.now + Duration::from_millis(dice.below(40_000));
                self.event(Event::Forwarded(Signal(28)))?;
                if dice.chance(8) || (self.shutdowns > 0 && dice.chance(30)) {
                    self.event(Event::Shutdown(dice.pick(&[Goal::Exit, Goal::PowerOff, Goal::Reboot])))?;
                    next_wish = self.now + Duration::from_millis(dice.below(3_000));
                }
            }
            if self.now >= stop_at && self.shutdowns == 0 {
                if recovers {
                    self.recovered()?;
                }
                self.event(Event::Shutdown(Goal::Exit))?;
            }
            self.event(Event::Tick)?;
            self.in_time()?;
            self.check_leftovers()?;
        }
        Ok(steps)
    }

    pub fn event(&mut self, event: Event) -> Result<(), String> {
        if self.trace {
            eprintln!("{:>14} {event:?}", self.now.nanos());
        }
        let reaped = match &event {
            Event::Exited { pid, how } => {
                self.note_probe(*pid, *how);
                self.note_exit(*pid, *how);
                if let Some(process) = self.world.processes.get_mut(&pid.0) {
                    process.told = true;
                }
                Some(*pid)
            }
            Event::ExecFailed { pid, .. } => {
                if let Some(process) = self.world.processes.get_mut(&pid.0) {
                    process.not_execed = true;
                }
                None
            }
            Event::Execed { pid } => {
                self.note_ready(*pid, &Ready::Exec);
                if let Some(process) = self.world.processes.get_mut(&pid.0) {
                    process.execed = true;
                }
                None
            }
            Event::Newline { pid } => {
                self.note_ready(*pid, &Ready::Fd(3));
                None
            }
            Event::Notify { pid, notices, .. } => {
                if notices.contains(&Notice::Ready) {
                    self.note_ready(*pid, &Ready::Notify);
                }
                if notices.contains(&Notice::Watchdog)
                    && let Some(process) = self.world.processes.get_mut(&pid.0)
                {
                    process.fed = Some(self.now);
                }
                None
            }
            Event::Shutdown(_) => {
                self.note_shutdown();
                None
            }
            _ => None,
        };
        self.machine.handle(self.now, event);
        self.note_give_up()?;
        self.drain()?;
        if let Some(pid) = reaped {
            self.world.processes.remove(&pid.0);
        }
        if self.shutdowns > 0 && self.world.processes.is_empty() && !self.halted {
            return Err("nothing is left, and yet it waits".into());
        }
        Ok(())
    }

    fn note_shutdown(&mut self) {
        if self.shutdowns == 0 {
            self.was_stopping = self.machine.views(self.now).iter().map(|view| view.state == "stopping").collect();
        }
        self.shutdowns += 1;
        self.shutdown_at.get_or_insert(self.now);
    }

    /// A unit that gives up may end the node, and nobody was asked.
    fn note_give_up(&mut self) -> Result<(), String> {
        if self.shutdowns > 0 || matches!(self.machine.phase(), Phase::Running) {
            return Ok(());
        }
        let views = self.machine.views(self.now);
        let ends = |unit: &Unit| unit.give_up.is_some_and(|rule| rule.then != Then::Stay);
        let gave_up = |view: &&View<'_>| view.why.as_deref().is_some_and(|why| why.starts_with("gave up after "));
        let mut of = views.iter().zip(&self.world.table.units).filter(|(view, unit)| gave_up(view) && ends(unit));
        let Some((view, _)) = of.find(|(view, _)| view.since == self.now) else {
            return Err(format!("it shuts down, and nobody asked: {views:?}"));
        };
        self.cause = Some(view.last_exit);
        self.note_shutdown();
        Ok(())
    }

    fn note_ready(&mut self, pid: Pid, by: &Ready) {
        let Some(process) = self.world.processes.get(&pid.0) else { return };
        let Some(id) = process.unit.filter(|_| process.role == Role::Main) else { return };
        let unit = &self.world.table.units[id.index()];
        if unit.kind == Kind::Service && unit.ready == *by {
            let was_up = std::mem::replace(&mut self.up[id.index()], true);
            if let Some(process) = self.world.processes.get_mut(&pid.0).filter(|_| !was_up) {
                process.fed = Some(self.now);
            }
        }
    }

    /// A probe that ends well makes its unit ready, if that still starts.
    fn note_probe(&mut self, pid: Pid, how: Ending) {
        let probe = self.world.processes.get(&pid.0).filter(|process| process.role == Role::Probe);
        let unit = probe.and_then(|process| process.unit).filter(|_| how == Ending::Code(0));
        if let Some(Pid(main)) = unit.and_then(|unit| self.world.process_of(unit, Role::Main)) {
            let by = unit.map(|unit| self.world.table.units[unit.index()].ready.clone());
            if let Some(by @ Ready::Probe(_)) = by {
                self.note_ready(Pid(main), &by);
            }
        }
    }

    fn note_exit(&mut self, pid: Pid, how: Ending) {
        let Some(process) = self.world.processes.get(&pid.0) else { return };
        let Some(id) = process.unit.filter(|_| process.role == Role::Main) else { return };
        self.ended[id.index()] = !process.not_execed;
        self.owed[id.index()] = self.world.table.units[id.index()].finish.is_some() && !process.not_execed;
        let unit = &self.world.table.units[id.index()];
        let success = how == Ending::Code(0) || (!unit.success_exit.is_empty() && how == Ending::Code(3));
        let stays = match (unit.kind, unit.restart) {
            (Kind::Oneshot, _) | (_, Restart::Never) => success,
            (_, Restart::OnFailure) => success && self.up[id.index()],
            (_, Restart::Always) => false,
        };
        self.up[id.index()] = stays;
        if unit.main {
            self.main_ended = Some(how);
            self.note_shutdown();
        }
    }

    pub fn drain(&mut self) -> Result<(), String> {
        let mut actions = 0;
        self.renewal.perhaps(&mut self.machine)?;
        while let Some(action) = self.machine.next(self.now) {
            self.renewal.see(self.now, &action);
            self.renewal.perhaps(&mut self.machine)?;
            self.note_give_up()?;
            actions += 1;
            if actions > 2_000 {
                return Err(format!("one event led to 2,000 actions; the last: {action:?}"));
            }
            if self.halted {
                return Err(format!("after the halt: {action:?}"));
            }
            if self.trace {
                eprintln!("{:>14}   -> {action:?}", self.now.nanos());
            }
            self.note_action(&action);
            self.perform(action)?;
        }
        self.deadline = self.machine.deadline();
        if self.deadline.is_some_and(|deadline| deadline <= self.now) {
            return Err(format!("a deadline that passed is still asked for: {:?}", self.machine.views(self.now)));
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Spawn { unit, role } => {
                self.check_spawn(unit, role)?;
                self.owed[unit.index()] &= role != Role::Finish;
                self.ended[unit.index()] &= !matches!(role, Role::Main | Role::Finish);
                let outcome = self.world.spawn(self.now, unit, role);
                self.machine.handle(self.now, Event::Spawned { unit, role, outcome });
            }
            Action::Signal { target, signal } => {
                self.check_signal(target, signal)?;
                self.world.signal(self.now, target, signal);
            }
            Action::Sweep { signal } => {
                self.check_units_down()?;
                let left = self.world.sweep(self.now, signal);
                self.machine.handle(self.now, Event::Swept { left });
            }
            Action::KillCgroup { unit } => {
                self.check_kill(unit)?;
                self.world.kill_cgroup(self.now, unit);
            }
            Action::Forget { unit } => self.forgotten(unit)?,
            Action::CloseLogs => self.world.close_logs(self.now),
            Action::Say(_, text) => {
                if text.is_empty() || text.contains('\n') {
                    return Err(format!("not a line: {text:?}"));
                }
            }
            Action::Halt(verdict) => {
                self.halted = true;
                if self.shutdowns == 0 {
                    return Err("halted though nobody asked".into());
                }
                let expected = match self.cause.unwrap_or(self.main_ended) {
                    Some(Ending::Code(0)) | None if self.cause.is_some() => 1,
                    Some(Ending::Code(code)) => code,
                    Some(Ending::Signal { signal, .. }) => 128 + signal.0 as u8,
                    Some(Ending::Lost) => 70,
                    Some(Ending::OutOfMemory) => 137,
                    None => verdict.status,
                };
                let not_execed = self.main_ended == Some(Ending::Code(127)) && matches!(verdict.status, 126 | 127);
                if verdict.status != expected && !not_execed {
                    return Err(format!("the command ended with {expected}, the verdict is {verdict:?}"));
                }
            }
        }
        Ok(())
    }

    fn check_spawn(&self, id: UnitId, role: Role) -> Result<(), String> {
        let unit = &self.world.table.units[id.index()];
        if let Some(pid) = self.world.process_of(id, role) {
            return Err(format!("a second {role:?} process of {} beside {pid:?}", unit.name));
        }
        match role {
            Role::Stop => return Ok(()),
            Role::Finish if unit.finish.is_none() || !self.ended[id.index()] => {
                return Err(format!("{} finishes, and its main process did not end", unit.name));
            }
            Role::Finish if self.over_budget() => {
                return Err(format!("{} finishes in a shutdown that kills", unit.name));
            }
            Role::Finish => return Ok(()),
            Role::Probe => {
                let main = self.world.process_of(id, Role::Main).map(|Pid(pid)| &self.world.processes[&pid]);
                if self.shutdowns > 0 || !main.is_some_and(|main| main.execed) {
                    return Err(format!("{} is probed, and does not run, or is to end", unit.name));
                }
                if self.state(&unit.name) != "starting" {
                    return Err(format!("{} is probed, and is not starting", unit.name));
                }
                return Ok(());
            }
            Role::Main if self.owed[id.index()] => {
                return Err(format!("{} starts, and its finish command did not run", unit.name));
            }
            Role::Main => {}
        }
        // A logd that a reload was starting again comes back for the lines of the shutdown.
        if self.shutdowns > 0 && !unit.last {
            return Err(format!("{} starts after the shutdown was asked for", unit.name));
        }
        let name = |id: UnitId| self.world.table.units[id.index()].name.as_str();
        let runs = |other: UnitId, role| {
            let pid = self.world.process_of(other, role)?;
            self.world.processes.get(&pid.0).filter(|_| self.state(name(other)) != "stuck")
        };
        if runs(id, Role::Stop).is_some() || runs(id, Role::Finish).is_some() {
            return Err(format!("{} starts while its stop or finish command runs", unit.name));
        }
        for (at, other) in self.world.table.units.iter().enumerate() {
            if other.binds.contains(&id) && runs(UnitId(at as u16), Role::Main).is_some() {
                return Err(format!("{} starts while {}, which binds to it, still runs", unit.name, other.name));
            }
        }
        for need in &unit.needs {
            let absent = || need.optional && matches!(self.state(name(need.unit)), "skipped" | "off");
            if !self.up[need.unit.index()] && !absent() {
                return Err(format!("{} starts before {} is up", unit.name, name(need.unit)));
            }
        }
        for bind in &unit.binds {
            if !self.up[bind.index()] {
                return Err(format!("{} starts before {}, which it binds to", unit.name, name(*bind)));
            }
        }
        Ok(())
    }

    fn check_signal(&self, target: Target, signal: Signal) -> Result<(), String> {
        let (Target::Process(pid) | Target::Group(pid)) = target;
        let Some(process) = self.world.processes.get(&pid.0) else {
            return Err(format!("{signal:?} to {pid:?}, which was reaped"));
        };
        let Some(id) = process.unit else {
            return Err(format!("{signal:?} to {pid:?}, which is no unit's process"));
        };
        let unit = &self.world.table.units[id.index()];
        if signal == Signal(6) {
            let silent = process.fed.is_none_or(|fed| self.now.since(fed) >= unit.watchdog.unwrap_or(Duration::MAX));
            return if silent || process.triggered {
                Ok(())
            } else {
                Err(format!("{} is ended by its watchdog, which was fed", unit.name))
            };
        }
        if tables::PASSED.contains(&signal) {
            return Ok(());
        }
        let forced = self.shutdowns >= 3 || self.over_budget();
        if self.shutdowns > 0 && process.zombie.is_none() && process.role == Role::Main && !forced && !unit.last {
            for (at, other) in self.world.table.units.iter().enumerate() {
                let refers = other.needs.iter().any(|need| need.unit == id)
                    || other.binds.contains(&id)
                    || other.wants.contains(&id);
                let Some(Pid(running)) = self.world.process_of(UnitId(at as u16), Role::Main).filter(|_| refers) else {
                    continue;
                };
                let process = &self.world.processes[&running];
                if process.zombie.is_none() && !process.stuck && !self.was_stopping[id.index()] {
                    return Err(format!("{} is stopped before {}", unit.name, other.name));
                }
            }
        }
        Ok(())
    }

    /// By name: what is forgotten is not shown, but has its place still.
    fn state(&self, name: &str) -> &'static str {
        let views = self.machine.views(self.now).into_iter();
        views.into_iter().find(|view| view.name == name).map_or("off", |view| view.state)
    }

    /// A cgroup is killed when nobody is in it whom the machine still counts on.
    fn check_kill(&self, id: UnitId) -> Result<(), String> {
        let unit = &self.world.table.units[id.index()];
        let lives = |process: &crate::world::Process| process.zombie.is_none() && !process.stuck;
        let lives = |role| self.world.process_of(id, role).is_some_and(|pid| lives(&self.world.processes[&pid.0]));
        if unit.last || (self.shutdowns == 0 && (unit.kill != Kill::Cgroup || unit.main)) {
            return Err(format!("the cgroup of {} is killed, which is not its way", unit.name));
        }
        if !lives(Role::Main) && !lives(Role::Stop) {
            return Ok(());
        }
        match self.state(&unit.name) {
            "stopping" | "stuck" => Ok(()),
            state => Err(format!("the cgroup of {} is killed while it is {state}", unit.name)),
        }
    }

    /// What a unit leaves in its cgroup is gone, or dying, once it is down.
    pub fn check_leftovers(&mut self) -> Result<(), String> {
        let mut states = None;
        for (pid, process) in &mut self.world.processes {
            let orphan = process.unit.is_none() && process.zombie.is_none();
            let Some(id) = process.cgroup.filter(|_| orphan && !process.stuck && !process.dying()) else {
                continue;
            };
            let unit = &self.world.table.units[id.index()];
            let states = states.get_or_insert_with(|| self.machine.views(self.now));
            // By name: what is forgotten is not shown, but has its place still.
            let state = states.iter().find(|view| view.name == unit.name).map_or("off", |view| view.state);
            let down = !matches!(state, "starting" | "up" | "stopping" | "stuck");
            let ends_all = unit.kill == Kill::Cgroup && !unit.main && !unit.last;
            // Another `kill` counts from the next end on.
            process.spared = down && (process.spared || !ends_all);
            if down && !process.spared {
                return Err(format!("{} is {}, and pid {pid} is left of it", unit.name, state));
            }
        }
        Ok(())
    }

    fn over_budget(&self) -> bool {
        self.shutdown_at.is_some_and(|at| self.now >= at + self.budget)
    }

    fn check_units_down(&self) -> Result<(), String> {
        for (pid, process) in &self.world.processes {
            let Some(id) = process.unit else { continue };
            let unit = &self.world.table.units[id.index()];
            if process.zombie.is_none() && !process.stuck && !unit.last && process.role == Role::Main {
                return Err(format!("orphans are swept while {} (pid {pid}) still runs", unit.name));
            }
        }
        Ok(())
    }

    fn in_time(&self) -> Result<(), String> {
        let Some(at) = self.shutdown_at else { return Ok(()) };
        let limit = self.budget + AFTER_BUDGET;
        if self.now.since(at) > limit && !self.halted {
            return Err(format!("still not down {limit:?} after the shutdown: {:?}", self.machine.views(self.now)));
        }
        Ok(())
    }

    /// Long after the last fault: every unit is where it should be, or names what it waits for.
    fn recovered(&self) -> Result<(), String> {
        for view in &self.machine.views(self.now) {
            let own = self.world.table.units[self.index_of(view.name)].main || view.name == "logd";
            if !own && !self.names_now.is_empty() && !self.names_now.iter().any(|name| name == view.name) {
                return Err(format!("long after it was removed: {view:?}"));
            }
            let fine = match view.state {
                "up" | "done" | "skipped" => true,
                "failed" => !self.world.resource_failure[self.index_of(view.name)],
                "waiting" => {
                    view.why.as_ref().is_some_and(|why| !why.contains("(backoff)") && !why.contains("(starting)"))
                }
                _ => false,
            };
            if !fine {
                return Err(format!("long after the last fault: {view:?}"));
            }
        }
        Ok(())
    }

    fn index_of(&self, name: &str) -> usize {
        self.world.table.units.iter().position(|unit| unit.name == name).unwrap_or_default()
    }
}
