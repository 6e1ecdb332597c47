//! The running table's files: kept, and published for whoever wants to know what a reload would change.

use super::turn::Node;
use super::{files, say};
use crate::unit::UnitId;

impl Node {
    /// Lets go of what was kept for a unit that is no more.
    pub(super) fn forget(&mut self, unit: UnitId) {
        if let Some(unit) = self.machine.table().units.get(unit.index()) {
            self.cgroups.ended(&unit.name);
        }
        self.channels.forget(unit);
        self.logs.forget(unit);
    }

    /// Puts a copy of the running table's files under `/run`.
    pub(super) fn publish(&self) {
        let Some(directory) = self.report.directory() else { return };
        if let Err(error) = files::publish(directory, &self.source.texts, self.report.generation()) {
            log::warn!(
                "unable to keep a copy of the unit table under {}: {}; initctl reload --plan cannot be answered",
                directory.display(),
                say::cause(&error)
            );
        }
    }
}
