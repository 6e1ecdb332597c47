//! Which units a unit has to do with, by name.

use super::table::{Table, Unit, UnitId};

/// The names of the units that a unit needs, is bound to and wants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bonds<'a> {
    of: Option<(&'a Table, &'a Unit)>,
}

impl<'a> Bonds<'a> {
    /// Those of `unit` in `table`.
    pub const fn new(table: &'a Table, unit: &'a Unit) -> Bonds<'a> {
        Bonds { of: Some((table, unit)) }
    }

    /// What it needs; with a `?` at the end if it also starts where that is skipped or switched off.
    pub fn needs(self) -> impl Iterator<Item = String> + 'a {
        let needs = self.of.into_iter().flat_map(|(_, unit)| &unit.needs);
        needs.filter_map(move |need| Some(format!("{}{}", self.name(need.unit)?, if need.optional { "?" } else { "" })))
    }

    /// What it is bound to.
    pub fn binds(self) -> impl Iterator<Item = &'a str> {
        let binds = self.of.into_iter().flat_map(|(_, unit)| &unit.binds);
        binds.filter_map(move |id| self.name(*id))
    }

    /// What it wants.
    pub fn wants(self) -> impl Iterator<Item = &'a str> {
        let wants = self.of.into_iter().flat_map(|(_, unit)| &unit.wants);
        wants.filter_map(move |id| self.name(*id))
    }

    fn name(self, id: UnitId) -> Option<&'a str> {
        self.of.and_then(|(table, _)| table.units.get(id.index())).map(|unit| unit.name.as_str())
    }
}
