//! One unit: its state and what is remembered of it.

use std::time::Duration;

use super::event::{Ending, Errno, Pid, Role, SpawnError, Tally, Wish};
use super::finish::Aftermath;
use super::give_up::Failures;
use super::history::History;
use super::machine::SIGKILL;
use super::policy::Policy;
use super::probing::Probing;
use super::readiness::Ready;
use super::table::{Kind, Signal, Unit};
use super::time::Time;
use super::watchdog::Watchdog;

/// Where a unit is. The words are the same in the status, the logs and the documentation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// Not wanted, nothing running.
    Off,
    /// Its `when` does not hold.
    Skipped(String),
    /// Wanted; what it needs is not there yet. Never a failure.
    Waiting,
    /// Wanted; starts again at `until`.
    Backoff { until: Time, why: Why },
    /// Its process was asked for (`pid` is known as soon as that is answered) and is not ready yet.
    Starting { pid: Option<Pid>, deadline: Option<Time> },
    /// Ready.
    Up { pid: Pid },
    /// Ended well; counts as up for its dependents.
    Done,
    /// On its way down.
    Stopping(Stop),
    /// SIGKILL did not help: the process is in an uninterruptible sleep.
    Stuck { pid: Pid },
    /// Ended for good.
    Failed(Why),
}

impl State {
    /// Its word, in the status, the logs, the documentation and the snapshot.
    pub fn word(&self) -> &'static str {
        match self {
            State::Off => "off",
            State::Skipped(_) => "skipped",
            State::Waiting => "waiting",
            State::Backoff { .. } => "backoff",
            State::Starting { .. } => "starting",
            State::Up { .. } => "up",
            State::Done => "done",
            State::Stopping(_) => "stopping",
            State::Stuck { .. } => "stuck",
            State::Failed(_) => "failed",
        }
    }
}

/// A stop under way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stop {
    /// The main process, while it lives.
    pub main: Option<Pid>,
    pub step: Step,
    /// When the step has taken too long.
    pub deadline: Time,
    /// What follows, where a failure of the unit, or its end by itself, made it stop.
    pub sequel: Option<Sequel>,
    /// How the main process ended during this stop, while its `finish` command has not run for that.
    pub ended: Option<Ending>,
}

/// What follows a stop, and why.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sequel {
    pub policy: Policy,
    pub why: Why,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// The `stop` command runs (`None`: asked for, not answered yet).
    Command(Option<Pid>),
    /// The stop signal was sent.
    Signalled,
    /// SIGKILL was sent; the `stop` command may still be unreaped.
    Killed(Option<Pid>),
    /// The main process has ended, and the `finish` command runs (`None`: asked for, not answered yet).
    Finish(Option<Pid>),
    /// It got SIGKILL.
    FinishKilled(Pid),
}

/// Why a unit is down.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Why {
    /// It was ready, and ended.
    Ended(Ending),
    /// It ended before it was ready.
    EarlyEnd(Ending),
    /// Its process could not be made.
    Fork(Errno),
    /// Its process did not become its program.
    Exec(SpawnError),
    /// It was not ready within this long.
    StartTimeout(Duration),
    /// It was silent for this long, or (`None`) asked for its end: `WATCHDOG=trigger`.
    Watchdog(Option<Duration>),
    /// It failed too often; `last` is what it failed of last.
    GaveUp { after: u32, within: Duration, last: Box<Why> },
}

/// One unit's state and memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub state: State,
    /// When it entered the state.
    pub since: Time,
    /// Whether it should run.
    pub wanted: bool,
    /// Since when it should run; `wants` are waited for 30 s from then.
    pub wanted_since: Time,
    /// Its `wants` were waited for long enough.
    pub wants_over: bool,
    /// Stop it once, then start it again.
    pub again: bool,
    /// It goes down because the table says another thing of it.
    pub changed: bool,
    /// Its `when` does not hold any more: why. It is skipped once it is down.
    pub skip: Option<String>,
    /// The table has it no more: it goes down, and then it is forgotten.
    pub gone: bool,
    /// It was gone and is down. It keeps its place until no other unit's changes by its leaving.
    pub forgotten: bool,
    /// Failures in a row.
    pub failures: u32,
    /// When, as far as `give-up` counts them.
    pub failed: Failures,
    /// The last delay between starts.
    pub delay: Duration,
    pub starts: u32,
    pub last_start: Time,
    pub ready_after: Option<Duration>,
    pub last_exit: Option<Ending>,
    /// What the exec pipe of the running main process said, if it said an error.
    pub exec_error: Option<SpawnError>,
    /// Its own `STATUS=`.
    pub status: Option<String>,
    /// A notify datagram from a foreign process was already complained about since the last start.
    pub foreign_said: bool,
    /// What the last end of its main process was, for its `finish` command.
    pub aftermath: Option<Aftermath>,
    pub watchdog: Watchdog,
    pub probing: Probing,
    /// What is wrong with its probe was already said since the last start.
    pub probe_said: bool,
    /// What a person asked of it.
    pub asked: Tally,
    /// Its last transitions.
    pub history: History,
}

impl Cell {
    pub fn new(wanted: bool, skip: Option<String>, now: Time) -> Cell {
        Cell {
            state: skip.map_or(State::Off, State::Skipped),
            since: now,
            wanted,
            wanted_since: now,
            wants_over: false,
            again: false,
            changed: false,
            skip: None,
            gone: false,
            forgotten: false,
            failures: 0,
            failed: Failures::default(),
            delay: Duration::ZERO,
            starts: 0,
            last_start: now,
            ready_after: None,
            last_exit: None,
            exec_error: None,
            status: None,
            foreign_said: false,
            aftermath: None,
            watchdog: Watchdog::default(),
            probing: Probing::None,
            probe_said: false,
            asked: Tally::default(),
            history: History::new(),
        }
    }

    pub fn enter(&mut self, state: State, now: Time) {
        self.state = state;
        self.since = now;
        self.history.record(now, self.word(), self.main_pid());
    }

    /// Enters `state` because of `why`.
    pub fn enter_because(&mut self, state: State, now: Time, why: &str) {
        self.enter(state, now);
        self.history.explain(why);
    }

    /// The live main process, if there is one.
    pub fn main_pid(&self) -> Option<Pid> {
        match &self.state {
            State::Starting { pid, .. } => *pid,
            State::Up { pid } | State::Stuck { pid } => Some(*pid),
            State::Stopping(stop) => stop.main,
            State::Off
            | State::Skipped(_)
            | State::Waiting
            | State::Backoff { .. }
            | State::Done
            | State::Failed(_) => None,
        }
    }

    /// The live process of the `stop` command, if there is one.
    pub fn stop_pid(&self) -> Option<Pid> {
        match &self.state {
            State::Stopping(Stop { step: Step::Command(pid) | Step::Killed(pid), .. }) => *pid,
            _ => None,
        }
    }

    /// The live process of the `finish` command, if there is one.
    pub fn finish_pid(&self) -> Option<Pid> {
        match &self.state {
            State::Stopping(Stop { step: Step::Finish(pid), .. }) => *pid,
            State::Stopping(Stop { step: Step::FinishKilled(pid), .. }) => Some(*pid),
            _ => None,
        }
    }

    /// Which of its processes this is, if it is one.
    pub fn role(&self, pid: Pid) -> Option<Role> {
        self.processes().into_iter().find(|(_, known)| *known == Some(pid)).map(|(role, _)| role)
    }

    /// Every process that it may have.
    pub fn processes(&self) -> [(Role, Option<Pid>); 4] {
        [
            (Role::Main, self.main_pid()),
            (Role::Stop, self.stop_pid()),
            (Role::Finish, self.finish_pid()),
            (Role::Probe, self.probe_pid()),
        ]
    }

    /// Ready or done: what a dependent waits for. Who was ready and goes to `done` stays so while it finishes.
    pub fn satisfied(&self) -> bool {
        match &self.state {
            State::Up { .. } | State::Done => true,
            State::Stopping(Stop { step: Step::Finish(_) | Step::FinishKilled(_), sequel: Some(sequel), .. }) => {
                matches!(sequel, Sequel { policy: Policy::Done, why: Why::Ended(_) })
            }
            _ => false,
        }
    }

    /// Nothing runs, and nothing is left to be undone. `Stuck` counts: whoever waits for it must not wait for ever.
    pub fn down(&self) -> bool {
        match self.state {
            State::Off
            | State::Skipped(_)
            | State::Waiting
            | State::Backoff { .. }
            | State::Stuck { .. }
            | State::Failed(_) => true,
            State::Starting { .. } | State::Up { .. } | State::Done | State::Stopping(_) => false,
        }
    }

    /// Nothing more will come of it by itself: a `wants` need not wait.
    pub fn settled(&self) -> bool {
        match self.state {
            State::Up { .. } | State::Done | State::Failed(_) | State::Skipped(_) | State::Stuck { .. } => true,
            State::Off => !self.wanted,
            State::Waiting | State::Backoff { .. } | State::Starting { .. } | State::Stopping(_) => false,
        }
    }

    /// Switched off or skipped: an optional need is satisfied by that.
    pub fn absent(&self) -> bool {
        match self.state {
            State::Skipped(_) => true,
            State::Off => !self.wanted,
            State::Waiting
            | State::Backoff { .. }
            | State::Starting { .. }
            | State::Up { .. }
            | State::Done
            | State::Stopping(_)
            | State::Stuck { .. }
            | State::Failed(_) => false,
        }
    }

    /// The state's word.
    pub fn word(&self) -> &'static str {
        self.state.word()
    }

    /// What was asked of it and is not done yet.
    pub fn pending(&self) -> Option<Wish> {
        match self.state {
            _ if self.again => Some(Wish::Restart),
            State::Off if self.wanted => Some(Wish::Start),
            State::Off | State::Skipped(_) | State::Failed(_) => None,
            State::Waiting
            | State::Backoff { .. }
            | State::Starting { .. }
            | State::Up { .. }
            | State::Done
            | State::Stopping(_)
            | State::Stuck { .. } => (!self.wanted).then_some(Wish::Stop),
        }
    }

    /// When the state ends by itself, if it does.
    pub fn until(&self) -> Option<Time> {
        match &self.state {
            State::Backoff { until, .. } => Some(*until),
            State::Starting { deadline, .. } => *deadline,
            State::Stopping(stop) => Some(stop.deadline),
            State::Off
            | State::Skipped(_)
            | State::Waiting
            | State::Up { .. }
            | State::Done
            | State::Stuck { .. }
            | State::Failed(_) => None,
        }
    }
}

impl Unit {
    /// Whether this end counts as success: exit 0, or what `success-exit` lists.
    pub(super) fn succeeded(&self, how: Ending) -> bool {
        how == Ending::Code(0) || self.success_exit.iter().any(|rule| rule.matches(how))
    }

    /// Whether `sign` makes it ready; a oneshot is ready when it ends well, whatever it says before.
    pub(super) fn readied_by(&self, sign: &Ready) -> bool {
        self.kind == Kind::Service && self.ready == *sign
    }

    /// Whether this end is never retried.
    pub(super) fn permanent(&self, how: Ending) -> bool {
        self.permanent_exit.iter().any(|rule| rule.matches(how))
    }
}

impl super::table::ExitRule {
    fn matches(self, how: Ending) -> bool {
        match (self, how) {
            (Self::Code(code), Ending::Code(exited)) => code == exited,
            (Self::Signal(signal), Ending::Signal { signal: by, .. }) => signal == by,
            (Self::Signal(signal), Ending::OutOfMemory) => signal == SIGKILL,
            (Self::Code(_), Ending::Signal { .. } | Ending::OutOfMemory | Ending::Lost)
            | (Self::Signal(_), Ending::Code(_) | Ending::Lost) => false,
        }
    }
}

/// The exit status that a shell would give: the code, or 128 + N after signal N. That of nobody knows what is 70: PID 1 broke.
pub(super) fn status(how: Ending) -> u8 {
    match how {
        Ending::Code(code) => code,
        Ending::Signal { signal: Signal(number), .. } => u8::try_from(128_i32.saturating_add(number)).unwrap_or(255),
        Ending::Lost => 70,
        Ending::OutOfMemory => 137,
    }
}
