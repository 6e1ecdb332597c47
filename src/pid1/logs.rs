//! The pipes between the units and `logd`. PID 1 keeps both ends of each, so that neither a unit nor `logd` loses a line
//! when the other is started again.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::sys::{Errno, descriptor, memory, renewal};
use crate::unit::{Log, Table, Unit, UnitId};

use super::say;

/// The name under which PID 1's own lines are logged.
const OWN: &str = "init";

struct Pipe {
    unit: Option<UnitId>,
    name: String,
    log: Log,
    read: OwnedFd,
    write: OwnedFd,
}

/// The pipes; none when there is no `logd` to read them.
#[derive(Default)]
pub struct Logs {
    pipes: Vec<Pipe>,
    /// What `logd` has read and not yet written; it outlives `logd`.
    stage: Option<OwnedFd>,
}

impl Logs {
    /// A pipe for each unit that `piped` answers true for, and one of our own.
    pub fn open(table: &Table, piped: impl Fn(&Unit) -> bool) -> Result<Logs, Errno> {
        let mut pipes = Vec::with_capacity(table.units.len().saturating_add(1));
        let (read, write) = descriptor::pipe()?;
        // Ours alone: O_NONBLOCK belongs to the open file description, and a unit must not find it on its stdout.
        descriptor::set_nonblocking(&write)?;
        pipes.push(Pipe { unit: None, name: OWN.to_owned(), log: Log::default(), read, write });
        for (number, unit) in (0..).zip(&table.units) {
            if piped(unit) && matches!(unit.log, Log::File { .. }) {
                let (read, write) = descriptor::pipe()?;
                pipes.push(Pipe { unit: Some(UnitId(number)), name: unit.name.clone(), log: unit.log, read, write });
            }
        }
        let stage = memory::file(c"logd")
            .inspect_err(|errno| {
                log::warn!("unable to make memory for logd: {}; lines are lost if it is killed", errno.desc());
            })
            .ok();
        let logs = Logs { pipes, stage };
        // Should we break and `logd` end after that, a unit that writes must wait, not die of SIGPIPE.
        renewal::keep_open(logs.readers());
        Ok(logs)
    }

    /// What `unit` writes to; none: what we write to.
    pub fn writer(&self, unit: UnitId) -> Option<RawFd> {
        self.pipes.iter().find(|pipe| pipe.unit == Some(unit)).map(|pipe| pipe.write.as_raw_fd())
    }

    /// What `logd` reads from, under the same numbers.
    fn readers(&self) -> Vec<RawFd> {
        self.pipes.iter().map(|pipe| pipe.read.as_raw_fd()).collect()
    }

    /// What `logd` keeps open, under the same numbers.
    pub fn kept(&self) -> Vec<RawFd> {
        self.readers().into_iter().chain(self.stage.as_ref().map(AsRawFd::as_raw_fd)).collect()
    }

    /// The arguments that tell `logd` which is which and how much of it to keep: `FD=NAME:SIZE:KEEP`.
    pub fn arguments(&self) -> impl Iterator<Item = CString> {
        let stage = self.stage.as_ref().and_then(|stage| CString::new(format!("--stage={}", stage.as_raw_fd())).ok());
        stage.into_iter().chain(self.pipes.iter().filter_map(|pipe| {
            let Log::File { size, keep } = pipe.log else { return None };
            CString::new(format!("{}={}:{size}:{keep}", pipe.read.as_raw_fd(), pipe.name)).ok()
        }))
    }

    /// `logd` runs: our own lines go to it, too.
    pub fn started(&self) {
        if let Some(own) = self.pipes.iter().find(|pipe| pipe.unit.is_none()) {
            say::to_pipe(own.write.as_raw_fd());
        }
    }

    /// Closes our ends: `logd` reads the end of each pipe once its unit is gone, and exits.
    pub fn close(&mut self) {
        say::to_console();
        self.pipes.clear();
    }
}
