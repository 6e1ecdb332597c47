//! Another table in the place of the running one, by difference.
//!
//! Every unit that both tables have keeps its state, its process and its memory; its place may be another one. What only the
//! old one has stays behind the others until it is down, and is then forgotten.

use super::difference::{Difference, Fate, difference};
use super::event::Action;
use super::links::{Links, numbered};
use super::machine::Machine;
use super::read::MOST;
use super::shutdown::Life;
use super::state::{Cell, State};
use super::table::{Need, Table, Unit, UnitId};
use super::time::Time;
use super::words;

/// Where the units of the old table are now. Whatever is kept by [`UnitId`] elsewhere is renumbered by this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves(Vec<Option<UnitId>>);

impl Moves {
    /// Where the unit that was `old` is now; none if it is forgotten.
    pub fn of(&self, old: UnitId) -> Option<UnitId> {
        self.0.get(old.index()).copied().flatten()
    }
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Where the units are now.
    pub moves: Moves,
    /// What became of each unit.
    pub differences: Vec<Difference>,
}

impl Machine {
    /// Puts `table` in the place of the running one; `skips` holds, by unit of `table`, why its `when` does not hold. PID 1's
    /// own units go on as they are. What follows from it is done by [`Machine::next`]. `table` is as it was read: without
    /// PID 1's own units.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn reload(&mut self, now: Time, table: Table, skips: Vec<Option<String>>) -> Result<Reloaded, &'static str> {
        if self.life != Life::Running {
            return Err("the node is shutting down");
        }
        let still_there = self.cells.iter().filter(|cell| cell.gone && !cell.forgotten).count();
        if still_there > MOST {
            return Err("too many units that were removed before are still stopping");
        }
        let mut differences = difference(&self.table, &table);
        differences.retain_mut(|found| match self.table.units.iter().position(|unit| unit.name == found.unit) {
            // It was removed before. It is news only if it comes back.
            Some(at) if self.cells.get(at).is_some_and(|cell| cell.gone) => {
                let back = found.fate != Fate::Removed;
                found.fate = Fate::Added;
                found.keys.clear();
                back
            }
            Some(_) | None => true,
        });
        let mut skips = skips.into_iter().chain(std::iter::repeat(None));
        let table = self.with_own(table);
        let moves = self.moves(&table);
        let mut old: Vec<Option<(Unit, Cell)>> =
            std::mem::take(&mut self.table.units).into_iter().zip(std::mem::take(&mut self.cells)).map(Some).collect();
        for unit in &table.units {
            let skip = skips.next().flatten();
            let is = |(old, cell): &(Unit, Cell)| old.name == unit.name && !cell.forgotten;
            let before = old.iter_mut().find(|pair| pair.as_ref().is_some_and(is));
            let found = differences.iter_mut().find(|found| found.unit == unit.name);
            self.cells.push(match (before.and_then(Option::take), found) {
                (Some((_, mut cell)), Some(found)) => {
                    let skipped = matches!(cell.state, State::Skipped(_));
                    cell.adopt(unit, found, skip, now);
                    if found.fate == Fate::Restarted && !cell.wanted {
                        found.fate = Fate::Changed;
                    }
                    if cell.skip.is_some() {
                        found.fate = Fate::Skipped;
                    } else if skipped && !matches!(cell.state, State::Skipped(_)) && cell.wanted {
                        found.fate = Fate::Unskipped;
                    }
                    cell
                }
                // PID 1's own.
                (Some((_, cell)), None) => cell,
                (None, _) => Cell::new(unit.enabled, skip, now),
            });
        }
        self.table = table;
        for (unit, cell) in old.into_iter().flatten() {
            if !cell.forgotten {
                self.table.units.push(moved(unit, &moves));
                self.cells.push(cell.left_behind(now));
            }
        }
        self.leaving = vec![false; self.table.units.len()];
        self.links = Links::new(&self.table);
        // Who is forgotten already takes along what was still to be done for it.
        self.queue.retain_mut(|action| match action {
            Action::Spawn { unit, .. } | Action::KillCgroup { unit } | Action::Forget { unit } => {
                moves.of(*unit).inspect(|now| *unit = *now).is_some()
            }
            Action::Signal { .. } | Action::Sweep { .. } | Action::CloseLogs | Action::Say(..) | Action::Halt(_) => {
                true
            }
        });
        Ok(Reloaded { moves, differences })
    }

    /// Starts PID 1's own units again: what they were given at their start is another now. In a shutdown, and where they do
    /// not run, nothing is done: they are given it at their next start.
    pub fn renew_own(&mut self) {
        for (unit, cell) in self.table.units.iter().zip(&mut self.cells) {
            if unit.last && matches!(cell.state, State::Starting { .. } | State::Up { .. }) {
                cell.again = matches!(self.life, Life::Running);
            }
        }
    }

    /// `table` with PID 1's own units of the running one.
    fn with_own(&self, table: Table) -> Table {
        let own = |wanted: fn(&Unit) -> bool| self.table.units.iter().find(|unit| wanted(unit));
        let table = match own(|unit| unit.last) {
            Some(logd) => table.with_logd(logd.exec.clone()),
            None => table,
        };
        match own(|unit| unit.main) {
            Some(main) => table.with_main(main.exec.clone()),
            None => table,
        }
    }

    /// Where each unit of the running table is once `table` is in its place.
    fn moves(&self, table: &Table) -> Moves {
        let mut behind = (0..=u16::MAX).skip(table.units.len()).map(UnitId);
        let of = |(unit, cell): (&Unit, &Cell)| {
            if cell.forgotten {
                return None;
            }
            let kept = numbered(table).find(|(_, new)| new.name == unit.name).map(|(id, _)| id);
            kept.or_else(|| behind.next())
        };
        Moves(self.table.units.iter().zip(&self.cells).map(of).collect())
    }

    /// Takes the last units away as long as they are forgotten: no other unit's place changes by that.
    pub(super) fn clear_forgotten(&mut self) {
        let mut cleared = false;
        while self.cells.last().is_some_and(|cell| cell.forgotten) {
            self.cells.pop();
            self.table.units.pop();
            self.leaving.pop();
            cleared = true;
        }
        if cleared {
            self.links = Links::new(&self.table);
        }
    }
}

/// `unit` with its references as places in the new table.
fn moved(mut unit: Unit, moves: &Moves) -> Unit {
    let all = |ids: &[UnitId]| ids.iter().filter_map(|id| moves.of(*id)).collect();
    unit.needs = unit.needs.iter().filter_map(|need| Some(Need { unit: moves.of(need.unit)?, ..*need })).collect();
    unit.binds = all(&unit.binds);
    unit.wants = all(&unit.wants);
    unit
}

impl Cell {
    /// `unit` is what the table says of it from now on, and `found` is what differs.
    fn adopt(&mut self, unit: &Unit, found: &Difference, skip: Option<String>, now: Time) {
        let back = std::mem::take(&mut self.gone);
        match found.fate {
            Fate::SwitchedOff => {
                self.wanted = false;
                self.again = false;
                self.changed = true;
                if let State::Failed(_) = self.state {
                    self.enter_because(State::Off, now, words::SWITCHED_OFF);
                }
            }
            Fate::SwitchedOn => self.want(now),
            Fate::Added if back && unit.enabled => self.want(now),
            Fate::Same
            | Fate::Changed
            | Fate::Restarted
            | Fate::Added
            | Fate::Removed
            | Fate::Skipped
            | Fate::Unskipped => {}
        }
        if found.stale {
            self.renew(now);
        }
        if found.keys.contains(&"start-timeout")
            && let State::Starting { deadline, .. } = &mut self.state
        {
            *deadline = unit.start_timeout.map(|limit| self.last_start + limit);
        }
        match (&mut self.state, skip) {
            (State::Skipped(why), Some(still)) => *why = still,
            (State::Skipped(_), None) => {
                self.wanted_since = now;
                self.enter_because(State::Off, now, words::NOT_SKIPPED);
            }
            // Who runs is only asked again where its condition is another one.
            (_, skip) if found.keys.contains(&"when") => self.skip = skip,
            (_, _) => {}
        }
    }

    /// As a person who asks for it.
    fn want(&mut self, now: Time) {
        self.wanted = true;
        self.wanted_since = now;
        self.wants_over = false;
        self.failures = 0;
        self.failed.forget();
        if let State::Failed(_) = self.state {
            self.enter_because(State::Waiting, now, words::SWITCHED_ON);
        }
    }

    /// Its process is not what the table says any more.
    fn renew(&mut self, now: Time) {
        if !self.wanted {
            return;
        }
        match self.state {
            State::Starting { .. } | State::Up { .. } | State::Done | State::Stopping(_) => {
                self.failures = 0;
                self.failed.forget();
                self.again = true;
                self.changed = true;
            }
            // What it failed at is another thing now.
            State::Backoff { .. } | State::Failed(_) => {
                self.failures = 0;
                self.failed.forget();
                self.enter_because(State::Waiting, now, words::CHANGED);
            }
            State::Off | State::Skipped(_) | State::Waiting | State::Stuck { .. } => {}
        }
    }

    /// The table has it no more.
    fn left_behind(mut self, now: Time) -> Cell {
        self.gone = true;
        self.wanted = false;
        self.again = false;
        self.skip = None;
        if let State::Skipped(_) | State::Failed(_) = self.state {
            self.enter_because(State::Off, now, words::REMOVED);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::event::{Ending, Event, Goal, Pid};
    use super::super::machine::Options;
    use super::*;

    fn table(names: &[&str]) -> Table {
        Table { units: names.iter().map(|name| Unit::new(name, vec!["x".to_owned()])).collect() }
    }

    /// Everything that there is to do; processes are made, with 20 and a unit's number as their pids.
    fn drain(machine: &mut Machine, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = machine.next(now) {
            if let Action::Spawn { unit, role } = action {
                machine.handle(now, Event::Spawned { unit, role, outcome: Ok(Pid(20 + i32::from(unit.0))) });
            }
            actions.push(action);
        }
        actions
    }

    #[test]
    fn what_is_to_be_done_for_the_forgotten_is_done_to_nobody_else() {
        let now = Time::from_nanos(9);
        let options = Options { seed: 7, budget: Duration::MAX, goal: Goal::Exit };
        let mut machine = Machine::new(table(&["web", "old", "top"]), Vec::new(), options, now);
        drain(&mut machine, now);
        machine.reload(now, table(&["top"]), Vec::new()).unwrap();
        drain(&mut machine, now);
        for pid in [20, 21] {
            machine.handle(now, Event::Exited { pid: Pid(pid), how: Ending::Code(0) });
        }
        while machine.next(now) != Some(Action::Forget { unit: UnitId(1) }) {}
        let reloaded = machine.reload(now, table(&["top", "a", "b"]), Vec::new()).unwrap();
        assert_eq!((0..3).map(|old| reloaded.moves.of(UnitId(old))).collect::<Vec<_>>(), [Some(UnitId(0)), None, None]);
        let actions = drain(&mut machine, now);
        assert!(!actions.iter().any(|action| matches!(action, Action::Forget { .. })), "{actions:?}");
        assert_eq!(machine.table().units.len(), 3);
    }
}
