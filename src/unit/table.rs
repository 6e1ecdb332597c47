//! The unit table: what was configured, already checked. [`Unit`] holds every key of a unit with its default filled in.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attributes::Attributes;
use super::give_up::GiveUp;
use super::log::Log;
use super::readiness::Ready;
use super::rewrite::Rewrite;

/// A unit's place in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(pub u16);

impl UnitId {
    /// The index into `Table::units`.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A signal number as this kernel counts (real-time signals are `SIGRTMIN` = 34 and up, as libc counts them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(pub i32);

/// Units in the order of the file, names unique, every reference resolved, no cycle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The units; a [`UnitId`] is an index into this.
    pub units: Vec<Unit>,
}

/// One unit, every key with its default filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Key of the table: lower-case letters, digits, `-`, `_`, `.`; at most 64 bytes.
    pub name: String,
    /// `type`.
    pub kind: Kind,
    /// `exec`: program and arguments; never empty.
    pub exec: Vec<String>,
    /// `needs`: ready or done before this one starts. A trailing `?` makes a skipped unit count.
    pub needs: Vec<Need>,
    /// `binds`: as `needs`, and this one stops before them and restarts after them.
    pub binds: Vec<UnitId>,
    /// `wants`: start after they have settled, or after 30 s.
    pub wants: Vec<UnitId>,
    /// `when`: conditions that must all hold, else the unit is skipped.
    pub when: When,
    /// `ready`.
    pub ready: Ready,
    /// `restart`.
    pub restart: Restart,
    /// `backoff`.
    pub backoff: Backoff,
    /// `give-up`; none: it is tried again for ever.
    pub give_up: Option<GiveUp>,
    /// `permanent-exit`: ends that are not retried.
    pub permanent_exit: Vec<ExitRule>,
    /// `success-exit`: ends that count as success beside exit 0.
    pub success_exit: Vec<ExitRule>,
    /// `start-timeout`: from exec to ready; none means for ever.
    pub start_timeout: Option<Duration>,
    /// `stop-timeout`: from the first act of stopping to SIGKILL.
    pub stop_timeout: Duration,
    /// `stop-signal`; SIGCONT follows it.
    pub stop_signal: Signal,
    /// `reload-signal`: what `initctl reload UNIT` sends to the main process.
    pub reload_signal: Option<Signal>,
    /// `stop`: a command that runs before the signal, and also when the unit is done.
    pub stop: Option<Vec<String>>,
    /// `finish`: a command that runs after each end of the main process.
    pub finish: Option<Vec<String>>,
    /// `kill`.
    pub kill: Kill,
    /// `notify-from`.
    pub notify_from: NotifyFrom,
    /// `watchdog`: it is killed when it is up and silent for this long.
    pub watchdog: Option<Duration>,
    /// `env`: added to PID 1's environment.
    pub env: BTreeMap<String, String>,
    /// The keys that shape its processes.
    pub attributes: Attributes,
    /// `log`.
    pub log: Log,
    /// `forward`: signals to PID 1 that are passed on to this unit while it is up.
    pub forward: Vec<Signal>,
    /// `rewrite`: what becomes of some of these; each of them once.
    pub rewrite: Vec<Rewrite>,
    /// `enabled`.
    pub enabled: bool,
    /// `description`.
    pub description: String,
    /// Not a key: this unit is the command given on the command line. Its end ends the node.
    pub main: bool,
    /// Not a key: this unit starts before and stops after all others (PID 1's own `logd`).
    pub last: bool,
}

impl Unit {
    /// A unit with `exec` and every other key at its default.
    pub fn new(name: &str, exec: Vec<String>) -> Unit {
        Unit {
            name: name.to_owned(),
            kind: Kind::Service,
            exec,
            needs: Vec::new(),
            binds: Vec::new(),
            wants: Vec::new(),
            when: When::default(),
            ready: Ready::Exec,
            restart: Restart::Always,
            backoff: Backoff::default(),
            give_up: None,
            permanent_exit: Vec::new(),
            success_exit: Vec::new(),
            start_timeout: None,
            stop_timeout: Duration::from_secs(10),
            stop_signal: Signal(15),
            reload_signal: None,
            stop: None,
            finish: None,
            kill: Kill::Cgroup,
            notify_from: NotifyFrom::Main,
            watchdog: None,
            env: BTreeMap::new(),
            attributes: Attributes::default(),
            log: Log::default(),
            forward: Vec::new(),
            rewrite: Vec::new(),
            enabled: true,
            description: String::new(),
            main: false,
            last: false,
        }
    }
}

/// One entry of `needs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The unit needed.
    pub unit: UnitId,
    /// Written with a trailing `?`: a skipped or switched-off unit satisfies it.
    pub optional: bool,
}

/// `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs until stopped.
    Service,
    /// Runs to its end; exit 0 makes it `done`.
    Oneshot,
}

/// `restart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// After every end that was not asked for.
    Always,
    /// After every end but a success.
    OnFailure,
    /// Never; an end that is no success is `failed`.
    Never,
}

/// `backoff`: delays between starts, doubling from `first` to `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay.
    pub first: Duration,
    /// The longest delay.
    pub cap: Duration,
}

impl Default for Backoff {
    /// 250 ms..30 s: fast for a person, slow for a computer; the cap is OpenRC's.
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(250), cap: Duration::from_secs(30) }
    }
}

/// `kill`: what a stop signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The unit's process group; at the end of the main process and at the timeout everything in its cgroup. Where there
    /// are no cgroups: as `Group`.
    Cgroup,
    /// The unit's process group.
    Group,
    /// The main process alone; what it leaves behind lives on until shutdown.
    Main,
}

/// `notify-from`: whose sd_notify counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyFrom {
    /// The main process's.
    Main,
    /// That of every process in the unit's cgroup. Where there are no cgroups: in its process group.
    Cgroup,
}

/// One entry of `permanent-exit` or `success-exit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitRule {
    /// An exit code.
    Code(u8),
    /// Ended by this signal.
    Signal(Signal),
}

/// `when`: every condition given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// This environment variable is set, and is neither empty, `0`, `false`, `no` nor `off`.
    pub env: Option<String>,
    /// This program is found in `PATH`.
    pub program: Option<String>,
    /// This path exists.
    pub path: Option<String>,
    /// PID 1 runs in a container (`true`) or on a machine of its own (`false`).
    pub container: Option<bool>,
}
