//! What a node lives through while one of its system calls fails.

use std::fs;
use std::time::Duration;

use clusteros_init::control::request::{SIGNAL, number};
use clusteros_init::sys::signal::{queue, send};
use clusteros_init::unit::{Request, UnitId, Wish};

use crate::kit::{self, Node, Plan};
use crate::speaker;

/// Longer than any limit in the tables, on a busy host.
const LIMIT: Duration = Duration::from_secs(8);

/// Why a life did not go on as planned.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// PID 1 ended, with this status.
    Over(i32),
    /// This did not come within the limit, or is not so.
    Not(String),
}

/// One life and how it is meant to go.
pub struct Scenario {
    pub name: &'static str,
    pub plan: fn() -> Plan,
    /// Lives it up to its end; the status of the node.
    pub live: fn(&mut Life) -> Result<i32, End>,
    /// The statuses that it may end with.
    pub statuses: &'static [i32],
    /// What there is beside a namespace.
    pub ground: Ground,
    /// As `sh` text around the program: `{}` is the program with its arguments.
    pub entry: &'static str,
    /// How often PID 1 is broken on purpose.
    pub drills: usize,
}

impl Scenario {
    /// What most are.
    pub const PLAIN: Scenario = Scenario {
        name: "",
        plan: || Plan::new("plain"),
        live: |life| life.end(),
        statuses: &[0],
        ground: Ground::Namespace,
        entry: "{}",
        drills: 0,
    };
}

/// Where a life is lived.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    Namespace,
    /// A cgroup tree of its own, too.
    Cgroup,
}

/// A node while it lives.
pub struct Life {
    pub node: Node,
}

impl Life {
    /// Waits until `holds`.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Node) -> bool) -> Result<(), End> {
        let mut end = Err(End::Not(what.to_owned()));
        kit::within(LIMIT, || {
            if holds(&self.node) {
                end = Ok(());
            } else if let Some(status) = self.node.over() {
                end = Err(End::Over(status));
            } else {
                return false;
            }
            true
        });
        end
    }

    /// Waits until the units have written `word` so many times.
    pub fn events(&mut self, word: &str, times: usize) -> Result<(), End> {
        self.until(&format!("{word} {times} times"), |node| count(&node.read("events"), word) >= times)?;
        let seen = count(&self.node.read("events"), word);
        if seen == times { Ok(()) } else { Err(End::Not(format!("{word} {times} times, but {seen}"))) }
    }

    pub fn said(&self, text: &str) -> bool {
        self.node.read("out").contains(text) || self.node.read("log/cluster-os/init.log").contains(text)
    }

    pub fn signal(&self, signal: i32) {
        // That it has ended is seen by who waits next.
        let _ = send(self.node.pid, signal);
    }

    pub fn kill_one(&mut self, name: &str) -> Result<(), End> {
        let mut found = 0;
        self.until(&format!("{name} runs"), |node| {
            found = kit::children(node.pid).into_iter().find(|pid| kit::fact(*pid, "Name") == name).unwrap_or(0);
            found != 0
        })?;
        let _ = send(found, 9);
        self.until(&format!("{name} is reaped"), |_| !fs::exists(format!("/proc/{found}")).unwrap_or(false))
    }

    pub fn ask(&self, wish: Wish) {
        let _ = queue(self.node.pid, SIGNAL, number(Request { unit: UnitId(0), wish }, 1));
    }

    /// Sends `signal` until `done` holds: again only where PID 1 has said `refused` since, and four times at most.
    pub fn insist(&mut self, signal: i32, refused: &str, done: impl Fn(&Node) -> bool) -> Result<(), End> {
        let times = |node: &Node| node.read("out").matches(refused).count();
        for _ in 0..4 {
            let before = times(&self.node);
            self.signal(signal);
            self.until(&format!("done or {refused}"), |node| done(node) || times(node) > before)?;
            if done(&self.node) {
                return Ok(());
            }
        }
        Err(End::Not(format!("done, but four times {refused}")))
    }

    /// Nobody but these many processes is there, and no zombie.
    pub fn settled(&mut self, processes: usize) -> Result<(), End> {
        let logd = usize::from(!self.said("units write to our output"));
        self.until(&format!("{processes} processes beside logd and no zombie"), |node| {
            kit::zombies(node.pid) == 0 && kit::children(node.pid).len() == processes + logd
        })
    }

    /// The status document says that these are up; what cannot be had is not asked for.
    pub fn shown_up(&mut self, units: &[&str]) -> Result<(), End> {
        if self.said("status is in the log alone") {
            return Ok(());
        }
        for unit in units {
            self.until(&format!("{unit} is up in the status document"), |node| {
                node.unit(unit).contains("\"state\":\"up\"")
            })?;
        }
        Ok(())
    }

    /// Its end, and that it comes.
    pub fn end(&mut self) -> Result<i32, End> {
        match self.until("the end of the node", |_| false) {
            Err(End::Over(status)) => Ok(status),
            Err(end) => Err(end),
            Ok(()) => Err(End::Not("the end of the node".to_owned())),
        }
    }

    pub fn down(&mut self, signal: i32) -> Result<i32, End> {
        self.signal(signal);
        self.end()
    }

    /// These are up, nothing else is left, and then its end.
    pub fn up_and_down(&mut self, units: &[&str]) -> Result<i32, End> {
        self.settled(units.len())?;
        self.shown_up(units)?;
        self.down(15)
    }
}

/// How many lines of `text` are `word`.
pub fn count(text: &str, word: &str) -> usize {
    text.lines().filter(|line| *line == word).count()
}

/// A service that writes its name when it starts.
pub fn service(name: &str, more: &str) -> String {
    format!(
        "[unit.{name}]\nexec = [\"sh\", \"-c\", \"echo {name} >> @/events; exec sleep 1000\"]\nstop-timeout = \"400ms\"\nbackoff = \"10ms..80ms\"\n{more}"
    )
}

fn once() -> String {
    "[unit.once]\ntype = \"oneshot\"\nexec = [\"sh\", \"-c\", \"echo once >> @/events\"]\nbackoff = \"10ms..80ms\"\n"
        .to_owned()
}

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "start",
        plan: || {
            let table = once() + &service("a", "needs = [\"once\"]\n") + &service("b", "needs = [\"a\"]\n");
            Plan::new("start").table(&table)
        },
        live: |life| {
            life.events("b", 1)?;
            life.events("once", 1)?;
            life.events("a", 1)?;
            life.up_and_down(&["a", "b"])
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "crash",
        plan: || Plan::new("crash").table(&service("a", "")),
        live: |life| {
            life.events("a", 1)?;
            life.kill_one("sleep")?;
            life.events("a", 2)?;
            life.up_and_down(&["a"])
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "request",
        plan: || Plan::new("request").table(&service("a", "")),
        live: |life| {
            life.events("a", 1)?;
            life.settled(1)?;
            life.ask(Wish::Stop);
            life.settled(0)?;
            life.ask(Wish::Start);
            life.events("a", 2)?;
            life.up_and_down(&["a"])
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "orphans",
        plan: || {
            // A shell loses a TERM that comes to a child of its own before that is its program: so the sleeps are short.
            let orphan =
                "trap 'echo bye >> @/events; exit' TERM; echo orphan >> @/events; while :; do sleep 0.05; done";
            let exec = format!("(setsid sh -c \\\"{orphan}\\\" &); exec sleep 1000");
            Plan::new("orphans")
                .table(&format!("[unit.a]\nexec = [\"sh\", \"-c\", \"{exec}\"]\nstop-timeout = \"400ms\"\n"))
        },
        live: |life| {
            life.events("orphan", 1)?;
            life.settled(2)?;
            let status = life.down(15)?;
            life.events("bye", 1).map_err(|end| match end {
                End::Over(_) => End::Not("the orphan could not say bye".to_owned()),
                end => end,
            })?;
            Ok(status)
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "logd",
        plan: || {
            let talk =
                "echo one; echo one >> @/events; while [ ! -e @/go ]; do sleep 0.01; done; echo two; exec sleep 1000";
            Plan::new("logd")
                .table(&format!("[unit.a]\nexec = [\"sh\", \"-c\", \"{talk}\"]\nstop-timeout = \"400ms\"\n"))
        },
        live: |life| {
            life.events("one", 1)?;
            let kept = !life.said("units write to our output");
            let file = if kept { "log/cluster-os/a.log" } else { "out" };
            let has = |node: &Node, word: &str| {
                node.read(file).lines().filter(|line| line.ends_with(&format!(" {word}")) || *line == word).count()
            };
            life.until("the first line", |node| has(node, "one") == 1)?;
            if kept {
                life.kill_one("logd")?;
            }
            drop(fs::write(life.node.dir.join("go"), ""));
            life.until("the second line", |node| has(node, "two") == 1)?;
            life.settled(1)?;
            if has(&life.node, "one") != 1 {
                return Err(End::Not("the first line once".to_owned()));
            }
            life.down(15)
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "status",
        plan: || Plan::new("status").table(&service("a", "")),
        live: |life| {
            life.events("a", 1)?;
            life.settled(1)?;
            life.shown_up(&["a"])?;
            drop(fs::remove_file(life.node.dir.join("run/cluster-os/status.json")));
            life.signal(10);
            life.until("the status table", |node| node.read("out").contains("units up"))?;
            life.shown_up(&["a"])?;
            life.down(15)
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "notify",
        plan: || {
            let said = format!(
                "[unit.a]\nexec = {}\nready = \"notify\"\nenv = {{ SPEAK = \"READY=1\" }}\nstop-timeout = \"400ms\"\nbackoff = \"10ms..80ms\"\n",
                speaker::exec()
            );
            Plan::new("notify").table(&(said + &service("b", "needs = [\"a\"]\n")))
        },
        live: |life| {
            let deaf = |node: &Node| {
                ["cannot say that it is ready", "no unit can notify"].iter().any(|said| node.read("out").contains(said))
            };
            life.until("b has started", |node| deaf(node) || count(&node.read("events"), "b") == 1)?;
            if !deaf(&life.node) {
                life.settled(2)?;
                life.shown_up(&["a", "b"])?;
            }
            life.down(15)
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "command",
        plan: || {
            let script = "(sleep 0.03 &); echo ran >> @/events; exit 7";
            Plan::new("command").arguments(&["--", "sh", "-c", script])
        },
        live: |life| life.end(),
        statuses: &[7],
        ..Scenario::PLAIN
    },
    Scenario {
        name: "both",
        plan: || {
            let script = "while [ ! -e @/events ]; do sleep 0.01; done; exit 6";
            Plan::new("both").table(&service("a", "")).arguments(&["--", "sh", "-c", script])
        },
        live: |life| life.end(),
        statuses: &[6],
        ..Scenario::PLAIN
    },
    Scenario {
        name: "pause",
        plan: || Plan::new("pause").arguments(&["-P"]),
        live: |life| {
            life.until("it waits", |node| node.fact("SigBlk").starts_with('f') && node.fact("State").starts_with('S'))?;
            life.down(15)
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "machine",
        plan: || Plan::new("machine").table(&service("a", "")).arguments(&["--mode", "appliance"]),
        live: |life| {
            life.events("a", 1)?;
            life.settled(1)?;
            life.down(38)
        },
        // In a namespace of its own, reboot(2) ends PID 1 by SIGINT for a power-off.
        statuses: &[130],
        ..Scenario::PLAIN
    },
    Scenario {
        name: "reload",
        plan: || Plan::new("reload").table(&(service("a", "") + &service("b", ""))),
        live: |life| {
            life.events("a", 1)?;
            life.events("b", 1)?;
            life.settled(2)?;
            let table = (service("a", "") + &service("c", "")).replace('@', &life.node.dir.display().to_string());
            drop(fs::write(life.node.dir.join("units.toml"), table));
            life.insist(1, "unable to reload the unit table", |node| count(&node.read("events"), "c") == 1)?;
            life.settled(2)?;
            life.events("a", 1)?;
            life.up_and_down(&["a", "c"])
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "renewal",
        plan: || Plan::new("renewal").table(&service("a", "")),
        live: |life| {
            life.events("a", 1)?;
            life.settled(1)?;
            let went_on = |node: &Node| node.read("out").contains("went on as version");
            life.insist(12, "unable to go on as", went_on)?;
            life.settled(1)?;
            life.kill_one("sleep")?;
            life.events("a", 2)?;
            life.up_and_down(&["a"])
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "cgroup",
        plan: || {
            let exec = "(setsid tail -f /dev/null &); echo a >> @/events; exec sleep 1000";
            Plan::new("cgroup")
                .table(&format!("[unit.a]\nexec = [\"sh\", \"-c\", \"{exec}\"]\nstop-timeout = \"400ms\"\n"))
        },
        live: |life| {
            life.events("a", 1)?;
            life.settled(2)?;
            // What is in a session of its own is found by its cgroup alone.
            if !life.said("cgroup") {
                life.ask(Wish::Stop);
                life.settled(0)?;
                life.ask(Wish::Start);
                life.events("a", 2)?;
                life.settled(2)?;
            }
            life.shown_up(&["a"])?;
            life.down(15)
        },
        ground: Ground::Cgroup,
        ..Scenario::PLAIN
    },
    Scenario {
        name: "upkeep",
        plan: || {
            let more = "ready = { probe = [\"test\", \"-e\", \"@/go\"], every = \"20ms\" }\nfinish = [\"sh\", \"-c\", \"echo fin >> @/events\"]\n";
            Plan::new("upkeep").table(&service("a", more))
        },
        live: |life| {
            life.events("a", 1)?;
            drop(fs::write(life.node.dir.join("go"), ""));
            life.shown_up(&["a"])?;
            life.settled(1)?;
            life.kill_one("sleep")?;
            life.events("a", 2)?;
            // A finish command for which there is no process is left out, and that is said: an end does not wait for memory.
            let finished = |node: &Node| {
                count(&node.read("events"), "fin") == 1
                    || node.read("out").contains("unable to run the finish command of a")
            };
            life.until("fin, or that there is none", finished)?;
            life.up_and_down(&["a"])
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "forward",
        plan: || {
            let hear = "trap 'echo winch >> @/events' WINCH; trap 'echo hup >> @/events' HUP; echo a >> @/events; while :; do sleep 0.01; done";
            Plan::new("forward").table(&format!(
                "[unit.a]\nexec = [\"sh\", \"-c\", \"{hear}\"]\nforward = [\"WINCH\"]\nreload-signal = \"HUP\"\nstop-timeout = \"400ms\"\n"
            ))
        },
        live: |life| {
            life.events("a", 1)?;
            life.settled(1)?;
            // Signals are passed on to who is up, and that may be news to PID 1 when the unit has long spoken.
            let up =
                |node: &Node| node.unit("a").contains("\"state\":\"up\"") || node.read("out").contains("a is up after");
            life.until("a is up", up)?;
            life.signal(28);
            life.events("winch", 1)?;
            life.ask(Wish::Reload);
            life.events("hup", 1)?;
            life.up_and_down(&["a"])
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "give-up",
        plan: || {
            let crash = "[unit.crash]\nexec = [\"sh\", \"-c\", \"echo crash >> @/events; exit 9\"]\nbackoff = \"10ms\"\ngive-up = { after = 2, then = \"shutdown\" }\n";
            Plan::new("give-up").table(&(crash.to_owned() + &service("a", "")))
        },
        live: |life| life.end(),
        statuses: &[9],
        ..Scenario::PLAIN
    },
    Scenario {
        name: "deaf",
        plan: || {
            let script = "trap '' TERM; echo deaf >> @/events; while :; do sleep 0.05; done";
            Plan::new("deaf").arguments(&["--kill-after", "300ms", "--", "sh", "-c", script])
        },
        live: |life| {
            life.events("deaf", 1)?;
            life.down(15)
        },
        statuses: &[137],
        ..Scenario::PLAIN
    },
];
