//! Another table in the middle of a life: what a reload leaves alone is not touched, what it removes goes, and whatever is
//! kept by number elsewhere finds its unit again.

use clusteros_init::unit::{Action, Event, Fate, Kind, Moves, Need, Restart, Role, Table, Unit, UnitId, View, When};

use crate::dice::Dice;
use crate::life::Life;
use crate::tables;

/// What is seen of a unit.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    name: String,
    state: &'static str,
    pid: Option<i32>,
    restarts: u32,
    pending: bool,
}

impl Life {
    /// Puts a table that is a little other in the place of the running one.
    pub fn reload(&mut self, dice: &mut Dice) -> Result<(), String> {
        // What is due at this very moment is nothing that the table does.
        self.event(Event::Tick)?;
        if self.halted {
            return Ok(());
        }
        let table = changed(dice, &self.world.table, &mut self.names);
        let skips: Vec<Option<String>> =
            table.units.iter().map(|unit| (unit.when.path.is_some() && dice.chance(60)).then(|| "no".into())).collect();
        if self.trace {
            eprintln!("{:>14} a new table", self.now.nanos());
            for unit in &table.units {
                eprintln!("{unit:?}");
            }
        }
        self.check_leftovers()?;
        let before: Vec<Seen> = self.seen();
        // Who was about to follow its bind stays where the new table has no such bind: then its watchdog counts again.
        let bound = |unit: &Unit| !unit.binds.is_empty();
        let bound: Vec<String> =
            self.world.table.units.iter().filter(|unit| bound(unit)).map(|unit| unit.name.clone()).collect();
        let reloaded = match (self.machine.reload(self.now, table.clone(), skips), self.shutdowns) {
            (Ok(reloaded), 0) => reloaded,
            (Err(_), 1..) => return Ok(()),
            (Ok(_), _) => return Err("a new table was taken in a shutdown".into()),
            (Err(why), 0) => return Err(format!("a new table was refused: {why}")),
        };
        if dice.chance(50) {
            self.machine.renew_own();
        }
        self.renumber(&reloaded.moves)?;
        self.names_now = table.units.iter().map(|unit| unit.name.clone()).collect();
        self.signalled.clear();
        self.drain()?;
        let after = self.seen();
        for found in reloaded.differences {
            let Some(then) = before.iter().find(|seen| seen.name == found.unit) else { continue };
            let now = after.iter().find(|seen| seen.name == found.unit);
            let unit = table.units.iter().find(|unit| unit.name == found.unit);
            match (found.fate, unit, now) {
                (Fate::Removed, _, Some(now))
                    if now.pid.is_none() && !matches!(now.state, "done" | "stopping" | "up") =>
                {
                    return Err(format!("{} was removed and is still there: {now:?}", found.unit));
                }
                // What is bound may follow another unit, what waits may go on, and what was to stop may do so now.
                (Fate::Same | Fate::Changed, Some(unit), Some(now))
                    if unit.binds.is_empty()
                        && !bound.contains(&unit.name)
                        && !found.keys.contains(&"when")
                        && !then.pending
                        && matches!(then.state, "starting" | "up" | "stopping" | "stuck") =>
                {
                    let late = found.keys.contains(&"start-timeout") && then.state == "starting";
                    let touched = then.pid.is_some_and(|pid| self.signalled.contains(&pid));
                    if !late && (now != then || touched) {
                        return Err(format!("{:?} touched {then:?}, which is {now:?} now", found.fate));
                    }
                }
                (_, Some(_), None) => return Err(format!("{} is lost", found.unit)),
                _ => {}
            }
        }
        Ok(())
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = |view: View<'_>| Seen {
            name: view.name.to_owned(),
            state: view.state,
            pid: view.pid.map(|pid| pid.0),
            restarts: view.restarts,
            pending: view.pending.is_some(),
        };
        self.machine.views(self.now).into_iter().map(seen).collect()
    }

    /// The units have other numbers.
    fn renumber(&mut self, moves: &Moves) -> Result<(), String> {
        self.world.table = self.machine.table().clone();
        let count = self.world.table.units.len();
        for (pid, process) in &mut self.world.processes {
            process.cgroup = process.cgroup.and_then(|id| moves.of(id));
            let Some(id) = process.unit else { continue };
            process.unit = moves.of(id);
            if process.unit.is_none() && process.role == Role::Main && !process.told {
                return Err(format!("pid {pid} is nobody's any more"));
            }
        }
        let (up, failure) = (std::mem::take(&mut self.up), std::mem::take(&mut self.world.resource_failure));
        let owed = std::mem::replace(&mut self.owed, vec![false; count]);
        let ended = std::mem::replace(&mut self.ended, vec![false; count]);
        self.up = vec![false; count];
        self.world.resource_failure = vec![false; count];
        let owed = owed.into_iter().zip(ended);
        for (at, ((up, failure), (owed, ended))) in (0u16..).zip(up.into_iter().zip(failure).zip(owed)) {
            if let Some(id) = moves.of(UnitId(at)) {
                self.up[id.index()] = up;
                self.owed[id.index()] = owed && self.world.table.units[id.index()].finish.is_some();
                self.ended[id.index()] = ended;
                self.world.resource_failure[id.index()] = failure;
            }
        }
        Ok(())
    }

    /// A unit is forgotten: nothing of it may run.
    pub fn forgotten(&self, id: UnitId) -> Result<(), String> {
        match self.world.process_of(id, Role::Main) {
            Some(pid) => Err(format!("{} is forgotten while {pid:?} runs", self.world.table.units[id.index()].name)),
            None => Ok(()),
        }
    }

    /// What the machine acts on is what the table says.
    pub fn note_action(&mut self, action: &Action) {
        if let Action::Signal { target, .. } = action {
            let (clusteros_init::unit::Target::Process(pid) | clusteros_init::unit::Target::Group(pid)) = target;
            self.signalled.push(pid.0);
        }
    }
}

/// `running` without PID 1's own units, a little changed.
fn changed(dice: &mut Dice, running: &Table, names: &mut u16) -> Table {
    let kept: Vec<usize> = (0..running.units.len())
        .filter(|at| !running.units[*at].main && !running.units[*at].last && !dice.chance(12))
        .collect();
    let mut units: Vec<Unit> = Vec::new();
    let added = dice.below(3) as u16;
    for _ in 0..added {
        // Sometimes one that was there before, and may be stopping still.
        *names += 1;
        let name = if dice.chance(30) { dice.below(u64::from(*names)) as u16 } else { *names };
        let unit = tables::unit(dice, name);
        if !running.units.iter().enumerate().any(|(at, known)| kept.contains(&at) && known.name == unit.name)
            && !units.iter().any(|known| known.name == unit.name)
        {
            units.push(Unit { needs: vec![], binds: vec![], wants: vec![], ..unit });
        }
    }
    let first = units.len() as u16;
    let place = |id: UnitId| kept.iter().position(|at| *at == id.index()).map(|at| UnitId(at as u16 + first));
    for (at, before) in kept.iter().map(|at| &running.units[*at]).enumerate() {
        let mut unit = before.clone();
        unit.needs = unit.needs.iter().filter_map(|need| Some(Need { unit: place(need.unit)?, ..*need })).collect();
        unit.binds = unit.binds.iter().filter_map(|id| place(*id)).collect();
        unit.wants = unit.wants.iter().filter_map(|id| place(*id)).collect();
        // A unit that was left behind by an earlier reload may come back before what it refers to.
        let earlier = |id: &UnitId| id.0 < at as u16 + first;
        unit.needs.retain(|need| earlier(&need.unit));
        unit.binds.retain(earlier);
        unit.wants.retain(earlier);
        if dice.chance(15) {
            unit.exec.push("x".into());
        }
        if dice.chance(10) {
            unit.enabled = !unit.enabled;
        }
        if dice.chance(10) {
            unit.restart = dice.pick(&[Restart::Always, Restart::OnFailure, Restart::Never]);
        }
        if dice.chance(10) {
            let millis = 100 + dice.below(20_000);
            unit.start_timeout = dice.chance(50).then(|| std::time::Duration::from_millis(millis));
        }
        if dice.chance(5) {
            unit.kind = if unit.kind == Kind::Service { Kind::Oneshot } else { Kind::Service };
        }
        if dice.chance(10) {
            unit.when = When { path: dice.chance(50).then(|| format!("/{}", dice.below(100))), ..When::default() };
        }
        if dice.chance(10) {
            tables::edges(dice, &mut unit, at as u16 + first, None);
        }
        units.push(unit);
    }
    if units.is_empty() {
        units.push(Unit { needs: vec![], binds: vec![], wants: vec![], ..tables::unit(dice, 0) });
    }
    Table { units }
}
