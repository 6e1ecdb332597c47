//! All of the machine's state as a text, and back: what lets a renewed PID 1 go on where the old one was.
//!
//! The table travels as the texts of its files; here is everything else, by the names of units. Every field is named here, so
//! that a new one cannot be forgotten. Times stay what they are: the clock goes on.

pub mod page;

mod cell;
mod life;

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::event::{Action, Goal, Level, Pid, Role, Tally, Target, Verdict};
use super::links::Links;
use super::machine::{Machine, Options};
use super::probing::Probing;
use super::shutdown::Life;
use super::state::{Cell, State, Step, Stop};
use super::table::{Signal, Table, UnitId};
use super::time::Time;
use cell::pass_cell;
use life::pass_life;
use page::{Page, quote};

/// The version of the text. It grows when an older program could not rightly go on without what is new; it passes over
/// everything else that it does not know.
pub const VERSION: u32 = 1;

/// Writes snapshots of one machine, one after the other: what has not changed since the last is not put into words again.
#[derive(Default)]
pub struct Scribe {
    cells: Vec<(Cell, String)>,
}

impl Scribe {
    /// Writes a snapshot of `machine` at the end of `out`. Sections of the caller's own may follow.
    pub fn write(&mut self, machine: &Machine, out: &mut String) {
        let Machine {
            table,
            cells,
            leaving: _,
            links: _,
            options,
            life,
            queue,
            main_status,
            cause_status,
            killed,
            tally,
        } = machine;
        let mut head = Head {
            options: *options,
            life: *life,
            queue: queue.iter().cloned().collect(),
            main_status: *main_status,
            cause_status: *cause_status,
            killed: *killed,
            tally: tally.clone(),
        };
        Page::write(out).must("version", &mut { VERSION });
        out.push_str("[machine]\n");
        head.pass(table, &mut Page::write(out));
        self.cells.truncate(cells.len());
        for (at, (unit, cell)) in table.units.iter().zip(cells).enumerate() {
            out.push_str("[unit.");
            quote(&unit.name, out);
            out.push_str("]\n");
            match self.cells.get_mut(at) {
                Some((written, _)) if written == cell => {}
                Some((written, text)) => {
                    written.clone_from(cell);
                    text.clear();
                    pass_cell(written, &mut Page::write(text));
                }
                None => {
                    let (mut written, mut text) = (cell.clone(), String::new());
                    pass_cell(&mut written, &mut Page::write(&mut text));
                    self.cells.push((written, text));
                }
            }
            if let Some((_, text)) = self.cells.get(at) {
                out.push_str(text);
            }
        }
    }
}

/// A snapshot that can be read.
pub struct Snapshot<'a>(DeTable<'a>);

impl<'a> Snapshot<'a> {
    /// The snapshot in `text`.
    ///
    /// # Errors
    /// Why it is none, or none for this program.
    pub fn parse(text: &'a str) -> Result<Snapshot<'a>, String> {
        let root = DeTable::parse(text).map_err(|error| format!("it is damaged: {}", error.message()))?.into_inner();
        let mut version = 0;
        let mut refusal = None;
        Page::read(&root, "the snapshot", &mut refusal).must("version", &mut version);
        match (refusal, version) {
            (Some(refusal), _) => Err(refusal),
            (None, 1..=VERSION) => Ok(Snapshot(root)),
            (None, other) => Err(format!("it is of version {other}, and this program reads none after {VERSION}")),
        }
    }

    /// Reads the section `name`.
    ///
    /// # Errors
    /// It is not there, or what is wrong with it.
    pub fn section(&self, name: &str, pass: &mut dyn FnMut(&mut Page<'_>)) -> Result<(), String> {
        let Some(DeValue::Table(table)) = self.0.get(name).map(|found| found.get_ref()) else {
            return Err(format!("it has no section {name}"));
        };
        let mut refusal = None;
        pass(&mut Page::read(table, name, &mut refusal));
        refusal.map_or(Ok(()), Err)
    }

    /// The machine as it was, with `table`, which is the one that it had.
    ///
    /// # Errors
    /// Why it cannot be that machine.
    pub fn machine(&self, table: Table) -> Result<Machine, String> {
        let mut head = Head::default();
        self.section("machine", &mut |page| head.pass(&table, page))?;
        let Some(DeValue::Table(units)) = self.0.get("unit").map(|found| found.get_ref()) else {
            return Err("it has no units".to_owned());
        };
        if let Some(name) =
            units.keys().find(|name| !table.units.iter().any(|unit| unit.name == name.get_ref().as_ref()))
        {
            return Err(format!("the unit table has no unit {}", name.get_ref()));
        }
        let mut cells: Vec<Cell> = Vec::with_capacity(table.units.len());
        for unit in &table.units {
            let Some(DeValue::Table(found)) = units.get(unit.name.as_str()).map(|found| found.get_ref()) else {
                return Err(format!("it knows nothing of unit {}", unit.name));
            };
            let mut cell = Cell::new(false, None, Time::ZERO);
            let mut refusal = None;
            pass_cell(&mut cell, &mut Page::read(found, &unit.name, &mut refusal));
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
            let taken = |pid: Pid| cells.iter().any(|other| other.role(pid).is_some());
            if cell.processes().into_iter().filter_map(|(_, pid)| pid).any(taken) {
                return Err(format!("a process of unit {} is another unit's, too", unit.name));
            }
            cells.push(cell);
        }
        let Head { options, life, queue, main_status, cause_status, killed, tally } = head;
        let leaving = vec![false; table.units.len()];
        let links = Links::new(&table);
        let queue = queue.into();
        let mut machine =
            Machine { table, cells, leaving, links, options, life, queue, main_status, cause_status, killed, tally };
        machine.mark_leaving();
        Ok(machine)
    }
}

impl Machine {
    /// The units that the table as it was read does not have, and that still have their places: they are behind the others,
    /// in this order.
    pub fn behind(&self) -> Vec<String> {
        let gone = self.table.units.iter().zip(&self.cells).filter(|(_, cell)| cell.gone);
        gone.map(|(unit, _)| unit.name.clone()).collect()
    }

    /// The processes that were asked for by an action that was given out and not answered: a program that broke was making
    /// one of them.
    pub fn unanswered(&self) -> Vec<(UnitId, Role)> {
        let asked = |(id, cell): (UnitId, &Cell)| match &cell.state {
            State::Starting { pid: None, .. } => Some((id, Role::Main)),
            State::Stopping(Stop { step: Step::Command(None), .. }) => Some((id, Role::Stop)),
            State::Stopping(Stop { step: Step::Finish(None), .. }) => Some((id, Role::Finish)),
            State::Off
            | State::Skipped(_)
            | State::Waiting
            | State::Backoff { .. }
            | State::Starting { pid: Some(_), .. }
            | State::Up { .. }
            | State::Done
            | State::Stopping(_)
            | State::Stuck { .. }
            | State::Failed(_) => None,
        };
        let queued = |(unit, role): &(UnitId, Role)| self.queue.contains(&Action::Spawn { unit: *unit, role: *role });
        let probed = |(id, cell): (UnitId, &Cell)| (cell.probing == Probing::Asked).then_some((id, Role::Probe));
        let cells = || (0..=u16::MAX).map(UnitId).zip(&self.cells);
        cells().filter_map(asked).chain(cells().filter_map(probed)).filter(|asked| !queued(asked)).collect()
    }

    /// A child may have ended that nobody tells of any more.
    pub fn look_again(&mut self) {
        self.life.child_ended();
    }
}

/// What is the machine's own.
struct Head {
    options: Options,
    life: Life,
    queue: Vec<Action>,
    main_status: Option<u8>,
    cause_status: Option<u8>,
    killed: bool,
    tally: Tally,
}

impl Default for Head {
    fn default() -> Head {
        Head {
            options: Options { seed: 0, budget: Duration::ZERO, goal: Goal::Exit },
            life: Life::Running,
            queue: Vec::new(),
            main_status: None,
            cause_status: None,
            killed: false,
            tally: Tally::default(),
        }
    }
}

impl Head {
    fn pass(&mut self, table: &Table, page: &mut Page<'_>) {
        let Head { options: Options { seed, budget, goal }, life, queue, main_status, cause_status, killed, tally } =
            self;
        page.must("seed", seed);
        page.must("budget", budget);
        pass_goal(goal, page);
        page.part("life", &mut |page| pass_life(life, page));
        page.list("queue", queue, || Action::CloseLogs, |action, page| pass_action(action, table, page));
        page.may("main-status", main_status);
        page.may("cause-status", cause_status);
        page.may("killed", killed);
        pass_tally(tally, page);
    }
}

/// Whose it is, by name.
pub fn pass_unit(unit: &mut UnitId, table: &Table, page: &mut Page<'_>) {
    let name = table.units.get(unit.index()).map_or("", |unit| unit.name.as_str());
    page.word("unit", name, &mut |read| {
        let known = (0..=u16::MAX).zip(&table.units).find(|(_, unit)| unit.name == read);
        known.inspect(|(at, _)| *unit = UnitId(*at)).is_some()
    });
}

/// Which of a unit's processes.
pub fn pass_role(role: &mut Role, page: &mut Page<'_>) {
    let word = |role: Role| match role {
        Role::Main => "main",
        Role::Stop => "stop",
        Role::Finish => "finish",
        Role::Probe => "probe",
    };
    page.word("role", word(*role), &mut |read| {
        let known = [Role::Main, Role::Stop, Role::Finish, Role::Probe].into_iter().find(|role| word(*role) == read);
        known.inspect(|known| *role = *known).is_some()
    });
}

/// How the node ends.
pub fn pass_verdict(verdict: &mut Verdict, page: &mut Page<'_>) {
    let Verdict { goal, status } = verdict;
    pass_goal(goal, page);
    page.must("status", status);
}

fn pass_tally(tally: &mut Tally, page: &mut Page<'_>) {
    let Tally { taken, refused, refusal } = tally;
    page.may("taken", taken);
    page.may("refused", refused);
    page.may("refusal", refusal);
}

/// How a shutdown is to end.
pub fn pass_goal(goal: &mut Goal, page: &mut Page<'_>) {
    let word = |goal: Goal| match goal {
        Goal::Exit => "exit",
        Goal::PowerOff => "power-off",
        Goal::Reboot => "reboot",
        Goal::Halt => "halt",
    };
    page.word("goal", word(*goal), &mut |read| {
        let known = [Goal::Exit, Goal::PowerOff, Goal::Reboot, Goal::Halt].into_iter().find(|goal| word(*goal) == read);
        known.inspect(|known| *goal = *known).is_some()
    });
}

/// Before it is read.
const NOBODY: Pid = Pid(0);

fn pass_action(action: &mut Action, table: &Table, page: &mut Page<'_>) {
    let word = match action {
        Action::Spawn { .. } => "spawn",
        Action::Signal { target: Target::Process(_), .. } => "signal",
        Action::Signal { target: Target::Group(_), .. } => "signal-group",
        Action::KillCgroup { .. } => "kill-cgroup",
        Action::Sweep { .. } => "sweep",
        Action::Forget { .. } => "forget",
        Action::CloseLogs => "close-logs",
        Action::Say(..) => "say",
        Action::Halt(_) => "halt",
    };
    page.word("is", word, &mut |read| {
        *action = match read {
            "spawn" => Action::Spawn { unit: UnitId(0), role: Role::Main },
            "signal" => Action::Signal { target: Target::Process(NOBODY), signal: Signal(0) },
            "signal-group" => Action::Signal { target: Target::Group(NOBODY), signal: Signal(0) },
            "kill-cgroup" => Action::KillCgroup { unit: UnitId(0) },
            "sweep" => Action::Sweep { signal: Signal(0) },
            "forget" => Action::Forget { unit: UnitId(0) },
            "close-logs" => Action::CloseLogs,
            "say" => Action::Say(Level::Info, String::new()),
            "halt" => Action::Halt(Verdict { goal: Goal::Exit, status: 0 }),
            _ => return false,
        };
        true
    });
    match action {
        Action::Spawn { unit, role } => {
            pass_unit(unit, table, page);
            pass_role(role, page);
        }
        Action::Signal { target: Target::Process(pid) | Target::Group(pid), signal } => {
            page.must("pid", pid);
            page.must("signal", signal);
        }
        Action::KillCgroup { unit } => pass_unit(unit, table, page),
        Action::Sweep { signal } => page.must("signal", signal),
        Action::Forget { unit } => pass_unit(unit, table, page),
        Action::CloseLogs => {}
        Action::Say(level, text) => {
            let word = |level: Level| match level {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Info => "info",
            };
            page.word("level", word(*level), &mut |read| {
                let known = [Level::Error, Level::Warning, Level::Info].into_iter().find(|level| word(*level) == read);
                known.inspect(|known| *level = *known).is_some()
            });
            page.must("text", text);
        }
        Action::Halt(verdict) => pass_verdict(verdict, page),
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Ending, Event, Notice, Request, Wish};
    use super::super::table::Unit;
    use super::*;

    fn table() -> Table {
        let mut units = ["web", "a.b"].map(|name| Unit::new(name, vec!["x".to_owned()]));
        units[1].needs = vec![super::super::Need { unit: UnitId(0), optional: false }];
        Table { units: units.into() }
    }

    /// `web` is up as process 7 after a first end, `a.b` is to start.
    fn machine() -> Machine {
        let options = Options { seed: u64::MAX, budget: Duration::MAX, goal: Goal::Exit };
        let mut machine = Machine::new(table(), Vec::new(), options, Time::from_nanos(1));
        let mut now = Time::from_nanos(2);
        for (pid, how) in [(6, Some(Ending::Signal { signal: Signal(11), core: true })), (7, None)] {
            while let Some(action) = machine.next(now) {
                if let Action::Spawn { unit: UnitId(0), role } = action {
                    machine.handle(now, Event::Spawned { unit: UnitId(0), role, outcome: Ok(Pid(pid)) });
                }
            }
            if let Some(how) = how {
                machine.handle(now, Event::Exited { pid: Pid(pid), how });
                while machine.next(now).is_some() {}
                now = machine.deadline().unwrap();
            }
        }
        let status = Notice::Status("50 \"%\"\u{1b}".to_owned());
        machine.handle(now, Event::Notify { unit: UnitId(0), pid: Pid(7), kin: false, notices: vec![status] });
        machine.handle(now, Event::Request(Request { unit: UnitId(9), wish: Wish::Stop }));
        machine.handle(now, Event::Execed { pid: Pid(7) });
        machine
    }

    fn written(machine: &Machine) -> String {
        let mut text = String::new();
        Scribe::default().write(machine, &mut text);
        text
    }

    fn read(text: &str) -> Result<Machine, String> {
        Snapshot::parse(text)?.machine(table())
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let text = written(&machine());
        assert_eq!(written(&read(&text).unwrap()), text);
        assert!(text.contains("[unit.\"a.b\"]\nstate = {is = \"waiting\"}\n"), "{text}");
        assert!(text.contains("state = {is = \"up\", pid = 7}"), "{text}");
        assert!(
            text.contains("queue = [{is = \"say\", level = \"info\", text = \"web is up after 0 ms (pid 7)\"},]"),
            "{text}"
        );
        assert!(text.contains("last-exit = \"core 11\""), "{text}");
        let first = read(&text).unwrap().next(Time::from_nanos(9));
        assert_eq!(first, Some(Action::Say(Level::Info, "web is up after 0 ms (pid 7)".to_owned())));
    }

    #[test]
    fn who_is_forgotten_goes_by_its_own_name_as_long_as_it_has_a_place() {
        let now = Time::from_nanos(9);
        let units = ["web", "old", "top"].map(|name| Unit::new(name, vec!["x".to_owned()]));
        let options = Options { seed: 7, budget: Duration::MAX, goal: Goal::Exit };
        let mut machine = Machine::new(Table { units: units.to_vec() }, Vec::new(), options, now);
        while let Some(action) = machine.next(now) {
            if let Action::Spawn { unit, role } = action {
                machine.handle(now, Event::Spawned { unit, role, outcome: Ok(Pid(20 + i32::from(unit.0))) });
            }
        }
        machine.reload(now, Table { units: vec![units[2].clone()] }, Vec::new()).unwrap();
        while machine.next(now).is_some() {}
        assert_eq!(machine.behind(), ["web", "old"]);
        for pid in [20, 21] {
            machine.handle(now, Event::Exited { pid: Pid(pid), how: Ending::Code(0) });
        }
        while machine.next(now) != Some(Action::Forget { unit: UnitId(1) }) {}
        let text = written(&machine);
        assert!(text.contains("queue = [{is = \"forget\", unit = \"old\"},]"), "{text}");
        assert!(text.contains("[unit.\"web\"]") && text.contains("[unit.\"old\"]"), "{text}");
        assert_eq!(machine.behind(), ["web", "old"]);
        let copy = Snapshot::parse(&text).unwrap().machine(machine.table().clone()).unwrap();
        assert_eq!(written(&copy), text);
    }

    #[test]
    fn what_has_not_changed_is_written_again_as_it_was() {
        let (mut machine, mut scribe) = (machine(), Scribe::default());
        for _ in 0..3 {
            let mut text = String::new();
            scribe.write(&machine, &mut text);
            assert_eq!(text, written(&machine));
            machine
                .handle(Time::from_nanos(u64::MAX / 2), Event::Request(Request { unit: UnitId(0), wish: Wish::Stop }));
        }
    }

    #[test]
    fn what_a_newer_program_says_besides_is_passed_over() {
        let text = written(&machine());
        let newer =
            text.replace("wanted = true\n", "wanted = true\nmood = \"fine\"\n").replace("pid = 7", "pid = 7, x = 1");
        assert_eq!(written(&read(&newer).unwrap()), text);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let text = written(&machine());
        for (from, to, why) in [
            ("version = 1", "version = 2", "it is of version 2, and this program reads none after 1"),
            ("version = 1", "version = 0", "it is of version 0, and this program reads none after 1"),
            ("version = 1\n", "", "the snapshot has no version"),
            ("pid = 7", "pid = 1", "pid of web makes no sense"),
            ("pid = 7", "pid = -7", "pid of web makes no sense"),
            ("is = \"up\", pid", "is = \"up\", pit", "web has no pid"),
            ("is = \"up\"", "is = \"upside down\"", "is of web makes no sense"),
            ("is = \"waiting\"}\n", "is = \"up\", pid = 7}\n", "a process of unit a.b is another unit's, too"),
            ("wanted = true\n", "", "web has no wanted"),
            ("[machine]", "[machinery]", "it has no section machine"),
            ("[unit.\"a.b\"]", "[unit.\"a.c\"]", "the unit table has no unit a.c"),
            ("[unit.\"a.b\"]", "[other]", "it knows nothing of unit a.b"),
            ("is = \"say\"", "is = \"sing\"", "is of machine makes no sense"),
            ("]\nkilled", "\nkilled", "it is damaged"),
        ] {
            let Some(changed) = text.contains(from).then(|| text.replacen(from, to, 1)) else { continue };
            let said = read(&changed).map(|machine| written(&machine)).unwrap_err();
            assert!(said.starts_with(why), "{from:?} to {to:?}: {said}");
        }
        assert!(read("").is_err() && read("\0").is_err() && read("[unit]").is_err());
    }
}
