//! The running table's files: kept, and published for whoever wants to know what a reload would change.

use super::turn::Node;
use super::{files, say};

impl Node {
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
