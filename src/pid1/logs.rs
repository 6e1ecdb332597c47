//! The pipes between the units and `logd`. PID 1 keeps both ends of each, so that neither a unit nor `logd` loses a line
//! when the other is started again.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::sys::{Errno, descriptor, memory};
use crate::unit::{Log, Moves, Table, Unit, UnitId};

use super::{estate, say};

/// The name under which PID 1's own lines are logged.
const OWN: &str = "init";

struct Pipe {
    owner: Owner,
    name: String,
    log: Log,
    read: OwnedFd,
    /// None: nobody gets it any more. Who has it still may write.
    write: Option<OwnedFd>,
}

/// Who writes into a pipe.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// PID 1.
    Own,
    Unit(UnitId),
    /// A unit that the table has no more, or that writes elsewhere now.
    Gone,
}

/// The pipes; none when there is no `logd` to read them.
#[derive(Default)]
pub struct Logs {
    pipes: Vec<Pipe>,
    /// What `logd` has read and not yet written; it outlives `logd`.
    stage: Option<OwnedFd>,
}

impl Logs {
    /// A pipe for each unit whose lines are kept, and one of our own.
    pub fn open(table: &Table) -> Result<Logs, Errno> {
        let (read, write) = descriptor::pipe()?;
        // Ours alone: O_NONBLOCK belongs to the open file description, and a unit must not find it on its stdout.
        descriptor::set_nonblocking(&write)?;
        let own = Pipe { owner: Owner::Own, name: OWN.to_owned(), log: Log::default(), read, write: Some(write) };
        let stage = memory::file(c"logd")
            .inspect_err(|errno| {
                log::warn!("unable to make memory for logd: {}; lines are lost if it is killed", errno.desc());
            })
            .ok();
        let mut logs = Logs { pipes: vec![own], stage };
        logs.complete(table)?;
        Ok(logs)
    }

    /// The pipes of another program and the memory of `logd`, which `take` takes over.
    ///
    /// # Errors
    /// What `take` says.
    pub fn take_over(
        pipes: Vec<estate::Pipe>,
        stage: Option<RawFd>,
        take: impl Fn(RawFd) -> Result<OwnedFd, String>,
    ) -> Result<Logs, String> {
        let pipe = |estate::Pipe { unit, name, size, keep, read, write }: estate::Pipe| {
            let owner = match unit {
                Some(unit) => Owner::Unit(unit),
                None if name == OWN => Owner::Own,
                None => Owner::Gone,
            };
            let write = write.map(&take).transpose()?;
            Ok(Pipe { owner, name, log: Log::File { size, keep }, read: take(read)?, write })
        };
        let pipes = pipes.into_iter().map(pipe).collect::<Result<_, String>>()?;
        Ok(Logs { pipes, stage: stage.map(take).transpose()? })
    }

    /// What another program takes over.
    pub fn estate(&self) -> Vec<estate::Pipe> {
        let pipe = |Pipe { owner, name, log, read, write }: &Pipe| {
            let Log::File { size, keep } = *log else { return None };
            let unit = match owner {
                Owner::Unit(unit) => Some(*unit),
                Owner::Own | Owner::Gone => None,
            };
            let (read, write) = (read.as_raw_fd(), write.as_ref().map(AsRawFd::as_raw_fd));
            Some(estate::Pipe { unit, name: name.clone(), size, keep, read, write })
        };
        self.pipes.iter().filter_map(pipe).collect()
    }

    /// The memory of `logd`.
    pub fn stage(&self) -> Option<RawFd> {
        self.stage.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// A pipe for each unit that needs one and has none. Whether there is a new one.
    fn complete(&mut self, table: &Table) -> Result<bool, Errno> {
        let mut news = false;
        for (number, unit) in (0..).zip(&table.units) {
            let owner = Owner::Unit(UnitId(number));
            if !piped(unit) || self.pipes.iter().any(|pipe| pipe.owner == owner) {
                continue;
            }
            // Its lines may be on their way still.
            let former = |pipe: &&mut Pipe| pipe.owner == Owner::Gone && pipe.name == unit.name && pipe.write.is_some();
            if let Some(pipe) = self.pipes.iter_mut().find(former) {
                news |= pipe.log != unit.log;
                (pipe.owner, pipe.log) = (owner, unit.log);
                continue;
            }
            let (read, write) = descriptor::pipe()?;
            self.pipes.push(Pipe { owner, name: unit.name.clone(), log: unit.log, read, write: Some(write) });
            news = true;
        }
        Ok(news)
    }

    /// Units have other numbers now, and `table` says whose lines are kept. Whether `logd` has to be started again to know
    /// of it. A unit whose pipe cannot be made writes to our output, which is said.
    pub fn renumber(&mut self, moves: &Moves, table: &Table) -> bool {
        if self.pipes.is_empty() {
            return false;
        }
        let mut news = false;
        self.pipes.retain(|pipe| pipe.write.is_some() || !descriptor::ended(&pipe.read));
        let was_gone: Vec<bool> = self.pipes.iter().map(|pipe| pipe.owner == Owner::Gone).collect();
        for pipe in &mut self.pipes {
            let Owner::Unit(before) = pipe.owner else { continue };
            let now = moves.of(before).and_then(|id| Some((id, table.units.get(id.index())?)));
            pipe.owner = match now {
                Some((id, unit)) if piped(unit) => {
                    news |= pipe.log != unit.log;
                    pipe.log = unit.log;
                    Owner::Unit(id)
                }
                Some(_) | None => Owner::Gone,
            };
        }
        match self.complete(table) {
            Ok(more) => news |= more,
            Err(errno) => {
                log::warn!("unable to make a log pipe: {}; some new units write to our output", errno.desc());
                news = true;
            }
        }
        for (pipe, was_gone) in self.pipes.iter_mut().zip(was_gone) {
            // It had time to come back. `logd` finds the end of what it wrote, and then, at the next reload, it goes.
            if was_gone && pipe.owner == Owner::Gone {
                pipe.write = None;
            }
        }
        news
    }

    /// The unit is no more. What it wrote stays there to be read.
    pub fn forget(&mut self, unit: UnitId) {
        for pipe in &mut self.pipes {
            if pipe.owner == Owner::Unit(unit) {
                pipe.owner = Owner::Gone;
            }
        }
    }

    /// What `unit` writes to; none: what we write to.
    pub fn writer(&self, unit: UnitId) -> Option<RawFd> {
        let pipe = self.pipes.iter().find(|pipe| pipe.owner == Owner::Unit(unit))?;
        pipe.write.as_ref().map(AsRawFd::as_raw_fd)
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
        let own = self.pipes.iter().find(|pipe| pipe.owner == Owner::Own);
        if let Some(write) = own.and_then(|own| own.write.as_ref()) {
            say::to_pipe(write.as_raw_fd());
        }
    }

    /// Closes our ends: `logd` reads the end of each pipe once its unit is gone, and exits.
    pub fn close(&mut self) {
        say::to_console();
        self.pipes.clear();
    }
}

/// Whether the lines of `unit` are kept.
fn piped(unit: &Unit) -> bool {
    !unit.main && !unit.last && matches!(unit.log, Log::File { .. })
}
