//! The notify sockets: a unit says on its own that it is ready, and that it lives. The kernel tells who says it; the machine
//! decides whether that counts.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use super::estate::Socket;
use super::say;
use super::turn::Node;
use crate::sys::process;
use crate::sys::socket::NotifySocket;
use crate::unit::{Event, Moves, NotifyFrom, Pid, Ready, Role, Table, Unit, UnitId, notify};

/// Datagrams taken from one socket in one turn: a unit that floods its socket does not keep us from the others.
const BATCH: usize = 32;

struct Channel {
    unit: UnitId,
    path: PathBuf,
    socket: NotifySocket,
}

impl Channel {
    fn close(self) {
        if self.path.is_absolute() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a unit has something to say by sd_notify.
fn speaks(unit: &Unit) -> bool {
    unit.ready == Ready::Notify || unit.watchdog.is_some()
}

/// A socket for each unit with `ready = "notify"` or a `watchdog`.
#[derive(Default)]
pub struct Channels(Vec<Channel>);

impl Channels {
    /// Binds `DIRECTORY/UNIT.sock` for each unit that needs one; without a directory, under a name that the kernel picks and
    /// no file system knows. A unit whose socket cannot be made goes without, which is said; it will not become ready.
    pub fn open(table: &Table, directory: Option<&Path>) -> Channels {
        let mut channels = Channels::default();
        channels.complete(table, directory);
        channels
    }

    /// As [`Channels::open`], for those that have none yet.
    pub fn complete(&mut self, table: &Table, directory: Option<&Path>) {
        for (number, unit) in (0..).zip(&table.units) {
            let id = UnitId(number);
            if !speaks(unit) || unit.main || unit.last || self.path(id).is_some() {
                continue;
            }
            let path = directory.map(|directory| directory.join(format!("{}.sock", unit.name)));
            let bound = match path {
                Some(path) => NotifySocket::bind(&path).map(|socket| (socket, path)),
                None => NotifySocket::bind_nameless().map(|(socket, name)| (socket, PathBuf::from(name))),
            };
            match bound {
                Ok((socket, path)) => self.0.push(Channel { unit: id, path, socket }),
                Err(error) => log::error!(
                    "unable to make the notify socket of {}: {}; it cannot say that it is ready, or lives",
                    unit.name,
                    say::cause(&error)
                ),
            }
        }
    }

    /// Units have other numbers now. Whoever `table` says has no use for its socket any more has none.
    pub fn renumber(&mut self, moves: &Moves, table: &Table) {
        for mut channel in std::mem::take(&mut self.0) {
            let id = moves.of(channel.unit);
            let unit = id.and_then(|id| table.units.get(id.index()));
            match id.filter(|_| unit.is_some_and(speaks)) {
                Some(id) => {
                    channel.unit = id;
                    self.0.push(channel);
                }
                None => channel.close(),
            }
        }
    }

    /// The unit has no use for its socket any more.
    pub fn forget(&mut self, unit: UnitId) {
        while let Some(at) = self.0.iter().position(|channel| channel.unit == unit) {
            self.0.remove(at).close();
        }
    }

    /// The sockets of another program, which `take` takes over.
    ///
    /// # Errors
    /// What `take` says.
    pub fn take_over(
        sockets: Vec<Socket>,
        take: impl Fn(RawFd) -> Result<OwnedFd, String>,
    ) -> Result<Channels, String> {
        let channel = |Socket { unit, path, number }: Socket| {
            Ok(Channel { unit, path: path.into(), socket: NotifySocket::from(take(number)?) })
        };
        sockets.into_iter().map(channel).collect::<Result<_, _>>().map(Channels)
    }

    /// What another program takes over.
    pub fn estate(&self) -> Vec<Socket> {
        let socket = |Channel { unit, path, socket }: &Channel| Socket {
            unit: *unit,
            path: path.to_string_lossy().into_owned(),
            number: socket.as_raw_fd(),
        };
        self.0.iter().map(socket).collect()
    }

    /// The unit's `NOTIFY_SOCKET`: a path, or `@` and a name that is none.
    pub fn path(&self, unit: UnitId) -> Option<&Path> {
        self.0.iter().find(|channel| channel.unit == unit).map(|channel| channel.path.as_path())
    }

    /// What to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.0.iter().map(|channel| channel.socket.as_raw_fd())
    }

    /// What the units said, oldest first: of those whose descriptor `chosen` answers true for. `kin`: whether a process is one
    /// of the unit's, if it matters.
    pub fn receive(&self, chosen: impl Fn(UnitId, RawFd) -> bool, kin: impl Fn(UnitId, i32) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        let mut bytes = [0; 4096];
        for channel in &self.0 {
            if !chosen(channel.unit, channel.socket.as_raw_fd()) {
                continue;
            }
            for _ in 0..BATCH {
                let Ok((length, pid)) = channel.socket.receive(&mut bytes) else { break };
                let notices = notify::parse(bytes.get(..length).unwrap_or_default());
                if !notices.is_empty() {
                    let kin = kin(channel.unit, pid);
                    events.push(Event::Notify { unit: channel.unit, pid: Pid(pid), kin, notices });
                }
            }
        }
        events
    }
}

impl Node {
    /// Whether `pid` may speak for the unit beside its main process.
    pub(super) fn kin(&self, id: UnitId, pid: i32) -> bool {
        let unit = self.machine.table().units.get(id.index());
        let Some(unit) = unit.filter(|unit| unit.notify_from == NotifyFrom::Cgroup) else { return false };
        let leads = |group| self.processes.get(&group).is_some_and(|one| one.unit == id && one.role == Role::Main);
        self.cgroups.has(&unit.name, pid).unwrap_or_else(|| process::group(pid).is_some_and(leads))
    }
}
