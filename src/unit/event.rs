//! What the machine is told, and what it answers.

use std::time::Duration;

use super::attributes::Stage;
use super::bonds::Bonds;
use super::history::History;
use super::table::{Signal, UnitId};
use super::time::Time;

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub i32);

/// An errno value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Code(u8),
    /// This signal ended it; `core` if it left a core dump.
    Signal {
        /// Which signal.
        signal: Signal,
        /// Whether it left a core dump.
        core: bool,
    },
    /// Nobody knows: it was gone when PID 1, which had broken, went on.
    Lost,
    /// The kernel killed it (SIGKILL) because its cgroup or the machine was out of memory.
    OutOfMemory,
}

/// Which of a unit's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The process of `exec`.
    Main,
    /// The process of `stop`.
    Stop,
    /// The process of `finish`.
    Finish,
    /// The process of a probe.
    Probe,
}

/// Why a process that was made could not become its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnError {
    /// How far it came.
    pub stage: Stage,
    /// What the kernel said; 0 where nothing failed but what was looked for is not there, or is no good.
    pub errno: Errno,
    /// The line of the `env-file`, or which of `groups` or `rlimits`, from 0; 0 elsewhere.
    pub detail: u32,
}

impl SpawnError {
    /// The program itself could not be executed.
    pub fn exec(errno: Errno) -> SpawnError {
        SpawnError { stage: Stage::Exec, errno, detail: 0 }
    }
}

/// One line of an sd_notify datagram that means something to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `READY=1`.
    Ready,
    /// `STOPPING=1`.
    Stopping,
    /// `STATUS=...`, printable and at most 256 bytes.
    Status(String),
    /// `WATCHDOG=1`.
    Watchdog,
    /// `WATCHDOG=trigger`.
    WatchdogTrigger,
    /// `WATCHDOG_USEC=...`.
    WatchdogSpan(Duration),
    /// `EXTEND_TIMEOUT_USEC=...`.
    ExtendTimeout(Duration),
}

/// How a shutdown is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// PID 1 exits (a container).
    Exit,
    /// The machine powers off.
    PowerOff,
    /// The machine restarts.
    Reboot,
    /// The machine halts.
    Halt,
}

/// What a person asks of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Start it, whatever its backoff.
    Start,
    /// Stop it and keep it stopped.
    Stop,
    /// Stop it if it runs, then start it.
    Restart,
    /// Send it its `reload-signal`.
    Reload,
}

impl Wish {
    /// `start`, `stop`, `restart` or `reload`.
    pub const fn word(self) -> &'static str {
        match self {
            Wish::Start => "start",
            Wish::Stop => "stop",
            Wish::Restart => "restart",
            Wish::Reload => "reload",
        }
    }
}

/// A person's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which unit.
    pub unit: UnitId,
    /// What of it.
    pub wish: Wish,
}

/// What became of the requests so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tally {
    /// Requests that were taken.
    pub taken: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Why the last refused one was; of a unit, none if the last one was taken.
    pub refusal: Option<String>,
}

impl Tally {
    pub(super) fn take(&mut self) {
        self.taken = self.taken.saturating_add(1);
    }

    pub(super) fn refuse(&mut self, cause: String) {
        self.refused = self.refused.saturating_add(1);
        self.refusal = Some(cause);
    }
}

/// What happened. An event names a pid only while that pid is not yet reaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The answer to [`Action::Spawn`], given before anything else is handled.
    Spawned {
        /// Which unit.
        unit: UnitId,
        /// Which of its processes.
        role: Role,
        /// Its pid, or why there is none.
        outcome: Result<Pid, Errno>,
    },
    /// The exec pipe closed: exec succeeded (or the process died first, which its end will tell).
    Execed {
        /// Whose.
        pid: Pid,
    },
    /// The exec pipe carried a failure: the process did not become its program and is about to exit 126 or 127.
    ExecFailed {
        /// Whose.
        pid: Pid,
        /// Why.
        error: SpawnError,
    },
    /// A child has ended and is *still a zombie*: it is reaped after the actions that this yields are performed, so its
    /// pid and its process group can still be signalled by them, and by nothing later.
    Exited {
        /// Which child; any child of PID 1, known or orphan.
        pid: Pid,
        /// How.
        how: Ending,
    },
    /// A datagram on the notify socket of `unit`, sent by `pid` as the kernel says.
    Notify {
        /// Whose socket.
        unit: UnitId,
        /// The sender.
        pid: Pid,
        /// Whether the unit has `notify-from = "cgroup"` and this is one of its processes.
        kin: bool,
        /// What it said.
        notices: Vec<Notice>,
    },
    /// A newline came on the descriptor of `ready = "fd:N"`.
    Newline {
        /// Whose.
        pid: Pid,
    },
    /// A person asks something of a unit.
    Request(Request),
    /// A signal came that means nothing to PID 1: it goes to the units that ask for it.
    Forwarded(Signal),
    /// Shut down. A second time shortens every timeout to a second, a third kills.
    Shutdown(Goal),
    /// The answer to [`Action::Sweep`], given before anything else is handled: how many children are left.
    Swept {
        /// Living children (a zombie does not count, reaped or not) that belong to no unit with `last`.
        left: usize,
    },
    /// Time has passed; nothing else.
    Tick,
}

/// What a signal is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One process.
    Process(Pid),
    /// The process group that this pid leads; if there is no such group yet, the process.
    Group(Pid),
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something that was asked for will not happen.
    Error,
    /// Something went wrong and is being dealt with.
    Warning,
    /// What a person following along wants to know.
    Info,
}

/// How the node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What PID 1 does.
    pub goal: Goal,
    /// Its exit status where that counts: that of the unit whose `give-up` ended the node (never 0), else the main
    /// command's (128 + N after signal N), else 0, or 1 when something had to be killed.
    pub status: u8,
}

/// What the caller is to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a process; answer with [`Event::Spawned`] at once.
    Spawn {
        /// Of which unit.
        unit: UnitId,
        /// `exec`, `stop`, `finish` or a probe.
        role: Role,
    },
    /// Send a signal. That the target is gone is no error.
    Signal {
        /// To what.
        target: Target,
        /// Which.
        signal: Signal,
    },
    /// Kill every process in the unit's cgroup, if it has one. That nobody is in it is no error.
    KillCgroup {
        /// Whose.
        unit: UnitId,
    },
    /// Send `signal` to every child that belongs to no unit with `last`, each child once per signal; answer with
    /// [`Event::Swept`] at once.
    Sweep {
        /// Which.
        signal: Signal,
    },
    /// Close PID 1's own ends of the log pipes, so that `logd` reads their end and exits.
    CloseLogs,
    /// This unit was removed from the table and is down: nothing of it needs to be kept.
    Forget {
        /// Which.
        unit: UnitId,
    },
    /// Log a line: everything after `program: level: `.
    Say(Level, String),
    /// End the node. The last action ever.
    Halt(Verdict),
}

/// One unit as a person sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct View<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its description.
    pub description: &'a str,
    /// `off`, `skipped`, `waiting`, `backoff`, `starting`, `up`, `done`, `stopping`, `stuck` or `failed`.
    pub state: &'static str,
    /// Why it is in that state, where there is something to say: what it waits for, how it ended.
    pub why: Option<String>,
    /// Its main process.
    pub pid: Option<Pid>,
    /// When it entered the state.
    pub since: Time,
    /// When it leaves the state by itself, if it will (backoff, a timeout).
    pub until: Option<Time>,
    /// Starts beyond the first.
    pub restarts: u32,
    /// How its main process last ended.
    pub last_exit: Option<Ending>,
    /// From the last start to ready.
    pub ready_after: Option<Duration>,
    /// Its own last `STATUS=` line.
    pub status: Option<&'a str>,
    /// What was asked of it so far, and whether the last of that was refused.
    pub asked: &'a Tally,
    /// What was asked of it and is not done yet.
    pub pending: Option<Wish>,
    /// Its last transitions.
    pub history: &'a History,
    /// Which units it has to do with.
    pub bonds: Bonds<'a>,
}
