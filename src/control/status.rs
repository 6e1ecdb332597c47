//! The status document: what PID 1 writes to `/run/cluster-os/status.json` and what everything else reads.
//!
//! Times in it are milliseconds of Unix time, counted back from the moment of writing: a clock that was set meanwhile does
//! not tear the document apart.

use serde::Deserialize;

use super::change::Reload;
use super::consumption::Usage;
use super::json::Object;
use super::renewal::Renewals;
use crate::unit::signal;
use crate::unit::{Ending, Goal, Phase, Tally, Time, Transition, View};

/// The version of the document. It grows when a member changes its meaning or goes; a new member is no new version.
pub const VERSION: u32 = 1;

/// What the document says of the node beside its units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Program and version, such as `clusteros-init 0.1.0`.
    pub program: String,
    /// PID 1's pid as it sees itself: 1 unless it runs as a subreaper.
    pub pid: i32,
    /// Which table is running: 1 after start, one more after each reload.
    pub generation: u64,
    /// When PID 1 started.
    pub started: Time,
    /// What became of the requests so far.
    pub requests: Tally,
    /// What became of the last reload of the table.
    pub table: Reload,
    /// How PID 1 went on so far.
    pub renewals: Renewals,
}

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// [`VERSION`].
    pub version: u32,
    /// Program and version.
    pub program: String,
    /// PID 1's pid as it sees itself.
    pub pid: i32,
    /// Which table is running.
    pub generation: u64,
    /// `running` or `stopping`.
    pub phase: String,
    /// While stopping, what for: `exit`, `power-off`, `reboot` or `halt`.
    pub goal: Option<String>,
    /// When PID 1 started.
    pub started: u64,
    /// How long the kernel had run when PID 1 started, in milliseconds.
    pub booted_ms: Option<u64>,
    /// When the document was written.
    pub written: u64,
    /// What became of the requests so far.
    #[serde(default)]
    pub requests: Requests,
    /// What became of the last reload of the table.
    #[serde(default)]
    pub table: Reload,
    /// How PID 1 went on as another program, or after it had broken.
    #[serde(default)]
    pub renewals: Renewals,
    /// The units in the order of the table: a unit's place is its number in a request.
    pub units: Vec<UnitStatus>,
}

/// What became of the requests so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Requests {
    /// How many were taken.
    pub taken: u64,
    /// How many were refused.
    pub refused: u64,
    /// Why the last refused one was.
    pub refusal: Option<String>,
}

/// One unit in the document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct UnitStatus {
    /// Its name.
    pub name: String,
    /// Its description; empty if it has none.
    pub description: String,
    /// The state's name.
    pub state: String,
    /// Why it is in that state, where there is something to say.
    pub why: Option<String>,
    /// Its main process.
    pub pid: Option<i32>,
    /// When it entered the state.
    pub since: u64,
    /// When it leaves the state by itself, if it will.
    pub until: Option<u64>,
    /// Starts beyond the first.
    pub restarts: u32,
    /// How its main process last ended: `exit 1`, `signal KILL`.
    pub last_exit: Option<String>,
    /// Milliseconds from the last start to ready.
    pub ready_ms: Option<u64>,
    /// Its own last `STATUS=` line.
    pub status: Option<String>,
    /// How many requests came for it, refused ones too.
    #[serde(default)]
    pub requests: u64,
    /// Why the last of them was refused, if it was.
    pub refusal: Option<String>,
    /// What was asked of it and is not done yet: `start`, `stop` or `restart`.
    pub pending: Option<String>,
    /// What it needs; with a `?` at the end if it also starts where that is skipped or switched off.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What it is bound to.
    #[serde(default)]
    pub binds: Vec<String>,
    /// What it wants.
    #[serde(default)]
    pub wants: Vec<String>,
    /// Microseconds from PID 1's start to when it first waited for what it needs.
    pub first_waiting_us: Option<u64>,
    /// Microseconds from PID 1's start to its first start.
    pub first_start_us: Option<u64>,
    /// Microseconds from PID 1's start to when it first was ready or done.
    pub first_ready_us: Option<u64>,
    /// What it uses, where it has a cgroup and somebody asked for the document.
    pub usage: Option<Usage>,
    /// Its last transitions, oldest first.
    #[serde(default)]
    pub history: Vec<Passage>,
}

/// A change of state in the document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Passage {
    /// When.
    pub at: u64,
    /// The state that it entered.
    pub state: String,
    /// Its main process then, as far as it was known.
    pub pid: Option<i32>,
    /// Why, where there was something to say.
    pub why: Option<String>,
}

impl Status {
    /// The document about `views` at `now`, which is `wall` milliseconds of Unix time.
    pub fn new(views: &[View<'_>], phase: Phase, now: Time, wall: u64, node: &Node) -> Status {
        let (phase, goal) = match phase {
            Phase::Running => ("running", None),
            Phase::Stopping(goal) => ("stopping", Some(goal_name(goal).to_owned())),
        };
        Status {
            version: VERSION,
            program: node.program.clone(),
            pid: node.pid,
            generation: node.generation,
            phase: phase.to_owned(),
            goal,
            started: at(node.started, now, wall),
            booted_ms: Some(millis(node.started.since(Time::ZERO))),
            written: wall,
            requests: Requests {
                taken: node.requests.taken,
                refused: node.requests.refused,
                refusal: node.requests.refusal.clone(),
            },
            table: node.table.clone(),
            renewals: node.renewals.clone(),
            units: views.iter().map(|view| UnitStatus::new(view, node.started, now, wall)).collect(),
        }
    }

    /// The document with what each unit uses, by its name.
    pub fn measured(mut self, usage: impl Fn(&str) -> Option<Usage>) -> Status {
        for unit in &mut self.units {
            unit.usage = usage(&unit.name);
        }
        self
    }

    /// The document as JSON, one unit a line, with a newline at its end.
    pub fn to_json(&self) -> String {
        let mut text = Object::new()
            .number("version", Some(self.version))
            .text("program", Some(&self.program))
            .number("pid", Some(self.pid))
            .number("generation", Some(self.generation))
            .text("phase", Some(&self.phase))
            .text("goal", self.goal.as_deref())
            .number("started", Some(self.started))
            .number("booted_ms", self.booted_ms)
            .number("written", Some(self.written))
            .object("requests", self.requests.object())
            .object("table", self.table.object(self.generation))
            .object("renewals", self.renewals.object())
            .lines("units", self.units.iter().map(UnitStatus::object))
            .finish();
        text.push('\n');
        text
    }
}

impl Requests {
    fn object(&self) -> Object {
        Object::new()
            .number("taken", Some(self.taken))
            .number("refused", Some(self.refused))
            .text("refusal", self.refusal.as_deref())
    }
}

impl UnitStatus {
    fn new(view: &View<'_>, started: Time, now: Time, wall: u64) -> UnitStatus {
        let firsts = view.history.milestones();
        let after = |first: Option<Time>| first.map(|first| micros(first.since(started)));
        UnitStatus {
            name: view.name.to_owned(),
            description: view.description.to_owned(),
            state: view.state.to_owned(),
            why: view.why.clone(),
            pid: view.pid.map(|pid| pid.0),
            since: at(view.since, now, wall),
            until: view.until.map(|until| at(until, now, wall)),
            restarts: view.restarts,
            last_exit: view.last_exit.map(ending),
            ready_ms: view.ready_after.map(millis),
            status: view.status.map(str::to_owned),
            requests: view.asked.taken.saturating_add(view.asked.refused),
            refusal: view.asked.refusal.clone(),
            pending: view.pending.map(|wish| wish.word().to_owned()),
            needs: view.bonds.needs().collect(),
            binds: view.bonds.binds().map(str::to_owned).collect(),
            wants: view.bonds.wants().map(str::to_owned).collect(),
            first_waiting_us: after(firsts.waiting),
            first_start_us: after(firsts.starting),
            first_ready_us: after(firsts.ready),
            usage: None,
            history: view.history.transitions().map(|one| Passage::new(one, now, wall)).collect(),
        }
    }

    /// Whether nothing more is to be wished for: it is up, done or skipped.
    pub fn settled(&self) -> bool {
        matches!(self.state.as_str(), "up" | "done" | "skipped")
    }

    /// Whether it is switched off, by the table or by a person.
    pub fn off(&self) -> bool {
        self.state == "off"
    }

    fn object(&self) -> Object {
        let object = Object::new()
            .text("name", Some(&self.name))
            .text("description", Some(&self.description))
            .text("state", Some(&self.state))
            .text("why", self.why.as_deref())
            .number("pid", self.pid)
            .number("since", Some(self.since))
            .number("until", self.until)
            .number("restarts", Some(self.restarts))
            .text("last_exit", self.last_exit.as_deref())
            .number("ready_ms", self.ready_ms)
            .text("status", self.status.as_deref())
            .number("requests", Some(self.requests))
            .text("refusal", self.refusal.as_deref())
            .text("pending", self.pending.as_deref())
            .texts("needs", &self.needs)
            .texts("binds", &self.binds)
            .texts("wants", &self.wants)
            .number("first_waiting_us", self.first_waiting_us)
            .number("first_start_us", self.first_start_us)
            .number("first_ready_us", self.first_ready_us);
        let object = match &self.usage {
            Some(usage) => object.object("usage", usage.object()),
            None => object,
        };
        object.objects("history", self.history.iter().map(Passage::object))
    }
}

impl Passage {
    fn new(passed: &Transition, now: Time, wall: u64) -> Passage {
        Passage {
            at: at(passed.at, now, wall),
            state: passed.state.to_owned(),
            pid: passed.pid.map(|pid| pid.0),
            why: passed.why.as_deref().map(str::to_owned),
        }
    }

    fn object(&self) -> Object {
        let mut object = Object::new().number("at", Some(self.at)).text("state", Some(&self.state));
        // There are many of these: what is not there is left out.
        if self.pid.is_some() {
            object = object.number("pid", self.pid);
        }
        if self.why.is_some() {
            object = object.text("why", self.why.as_deref());
        }
        object
    }
}

/// How a process ended, in words: `exit 1`, `signal KILL`, `signal SEGV, core dumped`.
pub fn ending(how: Ending) -> String {
    match how {
        Ending::Code(code) => format!("exit {code}"),
        Ending::Lost => "not known".to_owned(),
        Ending::Signal { signal, core } => {
            let name = signal::name(signal);
            let name = name.strip_prefix("signal ").unwrap_or(&name);
            format!("signal {name}{}", if core { ", core dumped" } else { "" })
        }
        Ending::OutOfMemory => "signal KILL, out of memory".to_owned(),
    }
}

/// The name of a shutdown's goal.
pub const fn goal_name(goal: Goal) -> &'static str {
    match goal {
        Goal::Exit => "exit",
        Goal::PowerOff => "power-off",
        Goal::Reboot => "reboot",
        Goal::Halt => "halt",
    }
}

/// Unix time of `then` in milliseconds, where `now` is `wall`.
fn at(then: Time, now: Time, wall: u64) -> u64 {
    wall.saturating_add(millis(then.since(now))).saturating_sub(millis(now.since(then)))
}

fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
