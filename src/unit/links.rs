//! The table's edges, the way the machine walks them.

use super::table::{Table, Unit, UnitId};

/// Edges between units, by [`UnitId`].
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    /// Every unit, those it refers to before it; units with `last` first.
    pub order: Vec<UnitId>,
    /// Who refers to a unit in any way: they stop before it in a shutdown.
    dependents: Vec<Vec<UnitId>>,
    /// Who binds to a unit: they stop before it always.
    bound: Vec<Vec<UnitId>>,
}

impl Links {
    pub fn new(table: &Table) -> Links {
        let mut links = Links {
            order: Vec::with_capacity(table.units.len()),
            dependents: vec![Vec::new(); table.units.len()],
            bound: vec![Vec::new(); table.units.len()],
        };
        for (id, unit) in numbered(table) {
            for on in edges(unit) {
                push(&mut links.dependents, on, id);
            }
            for on in &unit.binds {
                push(&mut links.bound, *on, id);
            }
        }
        links.sort(table);
        links
    }

    pub fn dependents(&self, id: UnitId) -> &[UnitId] {
        self.dependents.get(id.index()).map_or(&[], Vec::as_slice)
    }

    pub fn bound(&self, id: UnitId) -> &[UnitId] {
        self.bound.get(id.index()).map_or(&[], Vec::as_slice)
    }

    /// Kahn's algorithm. A table that was read has no cycle; units in one would come last, in the table's order.
    fn sort(&mut self, table: &Table) {
        let mut missing: Vec<usize> = table.units.iter().map(|unit| edges(unit).count()).collect();
        let mut placed = vec![false; table.units.len()];
        let mut free: Vec<UnitId> =
            numbered(table).filter(|(_, unit)| edges(unit).count() == 0).map(|(id, _)| id).collect();
        free.sort_unstable_by_key(|id| (!table.units.get(id.index()).is_some_and(|unit| unit.last), *id));
        let mut at = 0;
        while let Some(&id) = free.get(at) {
            at += 1;
            self.order.push(id);
            if let Some(flag) = placed.get_mut(id.index()) {
                *flag = true;
            }
            for dependent in self.dependents(id).to_vec() {
                if let Some(count) = missing.get_mut(dependent.index()) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        free.push(dependent);
                    }
                }
            }
        }
        for ((id, _), placed) in numbered(table).zip(placed) {
            if !placed {
                self.order.push(id);
            }
        }
    }
}

/// Every unit that this one refers to.
pub(super) fn edges(unit: &Unit) -> impl Iterator<Item = UnitId> + '_ {
    unit.needs.iter().map(|need| need.unit).chain(unit.binds.iter().copied()).chain(unit.wants.iter().copied())
}

/// The units with their ids.
pub(super) fn numbered(table: &Table) -> impl Iterator<Item = (UnitId, &Unit)> {
    (0..=u16::MAX).map(UnitId).zip(&table.units)
}

fn push(lists: &mut [Vec<UnitId>], at: UnitId, id: UnitId) {
    if let Some(list) = lists.get_mut(at.index()) {
        list.push(id);
    }
}
