//! A scripted node: events in, a transcript out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use clusteros_init::unit::{
    Action, Difference, Ending, Errno, Event, Goal, Machine, Notice, Options, Pid, Reloaded, Role, Signal, SpawnError,
    Stage, Table, Target, Time, Unit, UnitId, Verdict,
};

pub struct Scene {
    machine: Machine,
    now: Time,
    names: Vec<String>,
    pids: BTreeMap<(u16, &'static str), Pid>,
    last_pid: i32,
    orphans: usize,
    refuse: BTreeMap<u16, Errno>,
    text: String,
}

impl Scene {
    /// Everything starts at 0 ms.
    pub fn new(units: Vec<Unit>) -> Scene {
        Scene::ending(units, Goal::Exit)
    }

    /// The same on a node that ends so by itself.
    pub fn ending(units: Vec<Unit>, goal: Goal) -> Scene {
        let names = units.iter().map(|unit| unit.name.clone()).collect();
        let options = Options { seed: 7, budget: Duration::from_secs(60), goal };
        let machine = Machine::new(Table { units }, Vec::new(), options, Time::ZERO);
        let mut scene = Scene {
            machine,
            now: Time::ZERO,
            names,
            pids: BTreeMap::new(),
            last_pid: 100,
            orphans: 0,
            refuse: BTreeMap::new(),
            text: String::new(),
        };
        scene.drain();
        scene
    }

    /// Goes on at this time, in milliseconds.
    pub fn at(&mut self, millis: u64) -> &mut Scene {
        self.now = Time::ZERO + Duration::from_millis(millis);
        self
    }

    /// Goes on at the machine's next deadline.
    pub fn tick(&mut self) -> &mut Scene {
        self.now = self.machine.deadline().map_or(self.now, |deadline| deadline.max(self.now));
        self.tell(Event::Tick)
    }

    pub fn tell(&mut self, event: Event) -> &mut Scene {
        if let Event::Exited { pid, .. } = event {
            self.pids.retain(|_, known| *known != pid);
        }
        if event != Event::Tick {
            let _ = writeln!(self.text, "{:>8} ms  {event:?}", self.now.nanos() / 1_000_000);
        }
        self.machine.handle(self.now, event);
        self.drain();
        self
    }

    pub fn exec(&mut self, name: &str) -> &mut Scene {
        let pid = self.pid(name, Role::Main);
        self.tell(Event::Execed { pid })
    }

    pub fn exec_stop(&mut self, name: &str) -> &mut Scene {
        let pid = self.pid(name, Role::Stop);
        self.tell(Event::Execed { pid })
    }

    pub fn stopped_at(&mut self, name: &str, stage: Stage, errno: i32, detail: u32) -> &mut Scene {
        let pid = self.pid(name, Role::Main);
        self.tell(Event::ExecFailed { pid, error: SpawnError { stage, errno: Errno(errno), detail } });
        self.tell(Event::Exited { pid, how: Ending::Code(126) })
    }

    pub fn exec_failed(&mut self, name: &str, errno: i32) -> &mut Scene {
        let pid = self.pid(name, Role::Main);
        self.tell(Event::ExecFailed { pid, error: SpawnError::exec(Errno(errno)) });
        self.tell(Event::Exited { pid, how: Ending::Code(127) })
    }

    pub fn exit(&mut self, name: &str, code: u8) -> &mut Scene {
        let pid = self.pid(name, Role::Main);
        self.tell(Event::Exited { pid, how: Ending::Code(code) })
    }

    pub fn exit_stop(&mut self, name: &str, code: u8) -> &mut Scene {
        let pid = self.pid(name, Role::Stop);
        self.tell(Event::Exited { pid, how: Ending::Code(code) })
    }

    pub fn exit_finish(&mut self, name: &str, code: u8) -> &mut Scene {
        let pid = self.pid(name, Role::Finish);
        if let Some((aftermath, how)) = self.machine.aftermath(self.id(name)) {
            let _ = writeln!(
                self.text,
                "{:>8} ms  : finish of {name}: {aftermath:?}, {how:?}",
                self.now.nanos() / 1_000_000
            );
        }
        self.tell(Event::Exited { pid, how: Ending::Code(code) })
    }

    pub fn exit_probe(&mut self, name: &str, code: u8) -> &mut Scene {
        let pid = self.pid(name, Role::Probe);
        self.tell(Event::Exited { pid, how: Ending::Code(code) })
    }

    pub fn killed_probe(&mut self, name: &str) -> &mut Scene {
        let pid = self.pid(name, Role::Probe);
        self.tell(Event::Exited { pid, how: Ending::Signal { signal: Signal(9), core: false } })
    }

    pub fn no_probe(&mut self, name: &str, errno: i32) -> &mut Scene {
        let pid = self.pid(name, Role::Probe);
        self.tell(Event::ExecFailed { pid, error: SpawnError::exec(Errno(errno)) });
        self.exit_probe(name, 127)
    }

    /// The main process writes a newline to its descriptor.
    pub fn newline(&mut self, name: &str) -> &mut Scene {
        let pid = self.pid(name, Role::Main);
        self.tell(Event::Newline { pid })
    }

    pub fn killed_finish(&mut self, name: &str) -> &mut Scene {
        let pid = self.pid(name, Role::Finish);
        self.tell(Event::Exited { pid, how: Ending::Signal { signal: Signal(9), core: false } })
    }

    /// The main process says this.
    pub fn says(&mut self, name: &str, notice: Notice) -> &mut Scene {
        let pid = self.pid(name, Role::Main).0;
        self.notify(name, pid, vec![notice])
    }

    pub fn killed(&mut self, name: &str, signal: i32) -> &mut Scene {
        let pid = self.pid(name, Role::Main);
        self.tell(Event::Exited { pid, how: Ending::Signal { signal: Signal(signal), core: false } })
    }

    pub fn ready(&mut self, name: &str) -> &mut Scene {
        let pid = self.pid(name, Role::Main).0;
        self.notify(name, pid, vec![Notice::Ready])
    }

    pub fn notify(&mut self, name: &str, pid: i32, notices: Vec<Notice>) -> &mut Scene {
        let unit = self.id(name);
        self.tell(Event::Notify { unit, pid: Pid(pid), kin: false, notices })
    }

    /// The same of another process of the unit.
    pub fn notify_as_kin(&mut self, name: &str, pid: i32, notices: Vec<Notice>) -> &mut Scene {
        let unit = self.id(name);
        self.tell(Event::Notify { unit, pid: Pid(pid), kin: true, notices })
    }

    /// The next process of this unit cannot be made.
    pub fn no_process_next(&mut self, name: &str, errno: i32) -> &mut Scene {
        let unit = self.id(name);
        self.refuse.insert(unit.0, Errno(errno));
        self
    }

    /// Puts a table of these units in the place of the running one; a skip by name.
    pub fn reload(&mut self, units: Vec<Unit>, skips: &[(&str, &str)]) -> &mut Scene {
        let why = |unit: &Unit| skips.iter().find(|(name, _)| *name == unit.name).map(|(_, why)| (*why).to_owned());
        let skips = units.iter().map(why).collect();
        let millis = self.now.nanos() / 1_000_000;
        match self.machine.reload(self.now, Table { units }, skips) {
            Ok(Reloaded { moves, differences }) => {
                let _ = writeln!(self.text, "{millis:>8} ms  a new table");
                for Difference { unit, fate, keys, .. } in differences {
                    let text = format!("{unit} {} {}", fate.word(), keys.join(" "));
                    let _ = writeln!(self.text, "{millis:>8} ms  = {}", text.trim_end());
                }
                let pids = std::mem::take(&mut self.pids);
                let of = |id: u16| moves.of(UnitId(id)).expect("a process has a unit").0;
                self.pids = pids.into_iter().map(|((id, main), pid)| ((of(id), main), pid)).collect();
                self.names = self.machine.table().units.iter().map(|unit| unit.name.clone()).collect();
            }
            Err(why) => {
                let _ = writeln!(self.text, "{millis:>8} ms  no new table: {why}");
            }
        }
        self.drain();
        self
    }

    /// How many children are left when a sweep asks.
    pub fn orphans(&mut self, left: usize) -> &mut Scene {
        self.orphans = left;
        self
    }

    pub fn orphan_ends(&mut self) -> &mut Scene {
        self.tell(Event::Exited { pid: Pid(9_000), how: Ending::Code(0) })
    }

    /// What the status says now, into the transcript.
    pub fn status(&mut self) -> &mut Scene {
        for view in self.machine.views(self.now) {
            let why = view.why.unwrap_or_default();
            let _ = writeln!(self.text, "{:>8} ms  = {} {} {why}", self.now.nanos() / 1_000_000, view.name, view.state);
        }
        self
    }

    /// The last transitions of a unit, into the transcript.
    pub fn history(&mut self, name: &str) -> &mut Scene {
        let views = self.machine.views(self.now);
        let view = views.iter().find(|view| view.name == name).expect("a unit of the scene");
        let millis = |at: Time| at.nanos() / 1_000_000;
        for one in view.history.transitions() {
            let pid = one.pid.map(|pid| format!(" (pid {})", pid.0)).unwrap_or_default();
            let why = one.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let _ = writeln!(self.text, "{:>8} ms  < {name} {}{pid}{why}", millis(one.at), one.state);
        }
        let firsts = view.history.milestones();
        let [waiting, starting, ready] = [firsts.waiting, firsts.starting, firsts.ready].map(|at| at.map(millis));
        let _ = writeln!(self.text, "  firsts of {name}: waiting {waiting:?}, starting {starting:?}, ready {ready:?}");
        self
    }

    /// The node has ended like this.
    pub fn halted_with(&mut self, goal: Goal, status: u8) -> &mut Scene {
        let verdict = format!("{:?}", Action::Halt(Verdict { goal, status }));
        assert!(self.text.contains(&verdict), "no {verdict} in:\n{}", self.text);
        self
    }

    /// Compares the transcript with `tests/golden/machine/NAME.txt`.
    pub fn matches(&mut self, name: &str) {
        self.status();
        let path = format!("{}/tests/golden/machine/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &self.text).expect("the golden folder is there");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(golden == self.text, "{name} differs from {path}; it was:\n{}", self.text);
    }

    fn id(&self, name: &str) -> UnitId {
        UnitId(self.names.iter().position(|known| known == name).expect("a unit of the scene") as u16)
    }

    fn pid(&self, name: &str, role: Role) -> Pid {
        let key = (self.id(name).0, word(role));
        *self.pids.get(&key).unwrap_or_else(|| panic!("{name} has no {role:?} process:\n{}", self.text))
    }

    fn drain(&mut self) {
        while let Some(action) = self.machine.next(self.now) {
            let line = match &action {
                Action::Say(level, text) => format!("{level:?}: {text}"),
                Action::Spawn { unit, role: Role::Stop } => {
                    let told = self.machine.stopping(self.now, *unit).expect("it stops");
                    format!("spawn Stop of {}: {:?}, {:?}", self.names[unit.index()], told.reason, told.within)
                }
                Action::Spawn { unit, role } => format!("spawn {role:?} of {}", self.names[unit.index()]),
                Action::Signal { target, signal } => {
                    let (kind, pid) = match target {
                        Target::Process(pid) => ("process", pid),
                        Target::Group(pid) => ("group", pid),
                    };
                    format!("signal {} to {kind} {}", signal.0, pid.0)
                }
                Action::KillCgroup { unit } => format!("kill the cgroup of {}", self.names[unit.index()]),
                Action::Forget { unit } => format!("forget {}", self.names[unit.index()]),
                Action::Sweep { .. } | Action::CloseLogs | Action::Halt(_) => format!("{action:?}"),
            };
            let _ = writeln!(self.text, "{:>8} ms  -> {line}", self.now.nanos() / 1_000_000);
            match action {
                Action::Spawn { unit, role } => {
                    let outcome = match self.refuse.remove(&unit.0) {
                        Some(errno) => Err(errno),
                        None => {
                            self.last_pid += 1;
                            self.pids.insert((unit.0, word(role)), Pid(self.last_pid));
                            Ok(Pid(self.last_pid))
                        }
                    };
                    self.machine.handle(self.now, Event::Spawned { unit, role, outcome });
                }
                Action::Sweep { .. } => self.machine.handle(self.now, Event::Swept { left: self.orphans }),
                Action::Signal { .. }
                | Action::KillCgroup { .. }
                | Action::Forget { .. }
                | Action::CloseLogs
                | Action::Say(..)
                | Action::Halt(_) => {}
            }
        }
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Main => "main",
        Role::Stop => "stop",
        Role::Finish => "finish",
        Role::Probe => "probe",
    }
}
