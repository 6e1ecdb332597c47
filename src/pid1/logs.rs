//! The pipes between the units and `logd`. PID 1 keeps both ends of each, so that neither a unit nor `logd` loses a line
//! when the other is started again.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::sys::{Errno, descriptor, renewal};
use crate::unit::{Table, Unit, UnitId};

use super::say;

/// The name under which PID 1's own lines are logged.
const OWN: &str = "init";

struct Pipe {
    unit: Option<UnitId>,
    name: String,
    read: OwnedFd,
    write: OwnedFd,
}

/// The pipes; none when there is no `logd` to read them.
#[derive(Default)]
pub struct Logs(Vec<Pipe>);

impl Logs {
    /// A pipe for each unit that `piped` answers true for, and one of our own.
    pub fn open(table: &Table, piped: impl Fn(&Unit) -> bool) -> Result<Logs, Errno> {
        let mut pipes = Vec::with_capacity(table.units.len().saturating_add(1));
        let (read, write) = descriptor::pipe()?;
        // Ours alone: O_NONBLOCK belongs to the open file description, and a unit must not find it on its stdout.
        descriptor::set_nonblocking(&write)?;
        pipes.push(Pipe { unit: None, name: OWN.to_owned(), read, write });
        for (number, unit) in (0..).zip(&table.units) {
            if piped(unit) {
                let (read, write) = descriptor::pipe()?;
                pipes.push(Pipe { unit: Some(UnitId(number)), name: unit.name.clone(), read, write });
            }
        }
        let logs = Logs(pipes);
        // Should we break and `logd` end after that, a unit that writes must wait, not die of SIGPIPE.
        renewal::keep_open(logs.readers());
        Ok(logs)
    }

    /// What `unit` writes to; none: what we write to.
    pub fn writer(&self, unit: UnitId) -> Option<RawFd> {
        self.0.iter().find(|pipe| pipe.unit == Some(unit)).map(|pipe| pipe.write.as_raw_fd())
    }

    /// What `logd` reads from, under the same numbers.
    pub fn readers(&self) -> Vec<RawFd> {
        self.0.iter().map(|pipe| pipe.read.as_raw_fd()).collect()
    }

    /// The arguments that tell `logd` which is which: `FD=NAME`.
    pub fn arguments(&self) -> impl Iterator<Item = CString> {
        self.0.iter().filter_map(|pipe| CString::new(format!("{}={}", pipe.read.as_raw_fd(), pipe.name)).ok())
    }

    /// `logd` runs: our own lines go to it, too.
    pub fn started(&self) {
        if let Some(own) = self.0.iter().find(|pipe| pipe.unit.is_none()) {
            say::to_pipe(own.write.as_raw_fd());
        }
    }

    /// Closes our ends: `logd` reads the end of each pipe once its unit is gone, and exits.
    pub fn close(&mut self) {
        say::to_console();
        self.0.clear();
    }
}
