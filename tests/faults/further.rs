//! Further lives: what shapes a process, what wraps a command, ends that are hard, places that lack much, and PID 1 broken.

use std::fs;

use crate::kit::{Node, Plan};
use crate::scenario::{Scenario, count, service};
use crate::speaker;

/// `/etc` of the node's own, and a directory in which everybody may write.
const ACCOUNTS: &str = "sh -c 'mkdir @/etc; chmod 777 @/.; echo A=1 > @/env; \
     printf \"root:x:0:0::/root:/bin/sh\\nwww:x:3333:4444:Web:/:/bin/sh\\n\" > @/etc/passwd; \
     printf \"root:x:0:\\nwww:x:4444:\\nvideo:x:4445:\\n\" > @/etc/group; mount --bind @/etc /etc && exec \"$@\"' sh {}";
/// A table that cannot be read, and one that could be before.
const DAMAGED: &str = "sh -c 'mkdir -p /var/lib/cluster-os/last-good-table && \
     mv @/units.toml /var/lib/cluster-os/last-good-table/000.toml && echo nonsense > @/units.toml && exec \"$@\"' sh {}";
const DEAF: &str =
    "[unit.deaf]\nexec = [\"sh\", \"-c\", \"trap '' TERM; echo deaf >> @/events; while :; do sleep 0.05; done\"]\n";

pub const FURTHER: &[Scenario] = &[
    Scenario {
        name: "attire",
        plan: || {
            let more = "user = \"www\"\ngroups = [\"video\", 77]\numask = \"027\"\ncwd = \"/\"\nnice = 5\noom-score-adj = 300\n\
                        rlimits = { nofile = \"100:200\", core = 0 }\ncapabilities = [\"NET_BIND_SERVICE\"]\nno-new-privileges = true\n\
                        clear-env = true\npass-env = [\"PATH\"]\nenv-file = \"@/env\"\n";
            Plan::new("attire").table(&service("a", more))
        },
        live: |life| {
            life.events("a", 1)?;
            life.up_and_down(&["a"])
        },
        entry: ACCOUNTS,
        ..Scenario::PLAIN
    },
    Scenario {
        name: "watchdog",
        plan: || {
            let exec = speaker::exec();
            let more = "ready = \"notify\"\nwatchdog = \"100ms\"\nstop-timeout = \"400ms\"\nbackoff = \"10ms..80ms\"\n";
            Plan::new("watchdog").table(&format!("[unit.a]\nexec = {exec}\n{more}env = {{ SPEAK = \"READY=1\" }}\n"))
        },
        live: |life| {
            let bitten = |node: &Node| {
                let out = node.read("out");
                out.matches("it sent no WATCHDOG=1").count() >= 2
                    || ["cannot say that it is ready", "no unit can notify"].iter().any(|said| out.contains(said))
            };
            life.until("it is ended and starts again, twice", bitten)?;
            life.down(15)
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "newline",
        plan: || {
            let said = "[unit.a]\nexec = [\"sh\", \"-c\", \"echo a >> @/events; echo >&3; exec sleep 1000\"]\nready = \"fd:3\"\n\
                        stop-timeout = \"400ms\"\nbackoff = \"10ms..80ms\"\n";
            Plan::new("newline").table(&(said.to_owned() + &service("b", "needs = [\"a\"]\n")))
        },
        live: |life| {
            life.events("b", 1)?;
            life.events("a", 1)?;
            life.up_and_down(&["a", "b"])
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "small",
        plan: || Plan::new("small").table(&service("a", "")),
        live: |life| {
            life.events("a", 1)?;
            life.kill_one("sleep")?;
            life.events("a", 2)?;
            life.signal(10);
            life.until("the status table", |node| node.read("out").contains("units up"))?;
            life.up_and_down(&["a"])
        },
        entry: "sh -c 'mount -t tmpfs -o ro none /run && exec \"$@\"' sh setpriv --bounding-set=-all --inh-caps=-all {}",
        ..Scenario::PLAIN
    },
    Scenario {
        name: "child",
        plan: || Plan::new("child").not_pid_1().table(&service("a", "")),
        live: |life| {
            life.events("a", 1)?;
            life.kill_one("sleep")?;
            life.events("a", 2)?;
            life.up_and_down(&["a"])
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "stubborn",
        plan: || Plan::new("stubborn").table(&format!("{DEAF}stop-timeout = \"300ms\"\n")),
        live: |life| {
            life.events("deaf", 1)?;
            life.down(15)
        },
        // Who had to be killed has not ended well.
        statuses: &[1],
        ..Scenario::PLAIN
    },
    Scenario {
        name: "impatient",
        plan: || Plan::new("impatient").table(&format!("{DEAF}stop-timeout = \"60s\"\n")),
        live: |life| {
            life.events("deaf", 1)?;
            // The second shortens, the third kills.
            for number in 1..=3 {
                let said = ["shutting down", "asked again", "killing"];
                life.signal(15);
                if number < 3 {
                    life.until("it is heard", |node| node.read("out").contains(said[number - 1]))?;
                }
            }
            life.end()
        },
        statuses: &[1],
        ..Scenario::PLAIN
    },
    Scenario {
        name: "last-good",
        plan: || Plan::new("last-good").table(&service("a", "")).arguments(&["--mode", "appliance"]),
        live: |life| {
            life.events("a", 1)?;
            life.settled(1)?;
            life.down(38)
        },
        statuses: &[130],
        entry: DAMAGED,
        ..Scenario::PLAIN
    },
    Scenario {
        name: "bad-table",
        plan: || Plan::new("bad-table").table("[unit.a]\nexec = 7\nexek = [\"x\"]\n"),
        statuses: &[78],
        ..Scenario::PLAIN
    },
    Scenario {
        name: "wrap",
        plan: || {
            let script = "trap 'echo winch >> @/events' WINCH; echo up >> @/events; while [ ! -e @/go ]; do sleep 0.01; done; exit 9";
            let words = ["-g", "-s", "-r", "USR1:WINCH", "-e", "9", "-p", "TERM", "--", "sh", "-c", script];
            Plan::new("wrap").arguments(&words)
        },
        live: |life| {
            life.events("up", 1)?;
            life.signal(10);
            life.events("winch", 1)?;
            drop(fs::write(life.node.dir.join("go"), ""));
            life.end()
        },
        ..Scenario::PLAIN
    },
    Scenario {
        name: "rescue",
        plan: || Plan::new("rescue").table(&service("a", "")).arguments(&["--drill"]),
        live: |life| {
            life.events("a", 1)?;
            life.settled(1)?;
            // RTMAX - 1: a bad address.
            life.signal(63);
            // What it could not keep it cannot go on from, and it had said so.
            let lacks = |node: &Node| node.read("out").contains("unable to keep a snapshot");
            let reaps = |node: &Node| node.read("out").contains("; keeping the children and reaping");
            life.until("it went on", |node| {
                node.read("out").contains("it had broken") || (lacks(node) && reaps(node))
            })?;
            if reaps(&life.node) {
                life.settled(1)?;
                return life.down(15);
            }
            life.settled(1)?;
            life.kill_one("sleep")?;
            life.events("a", 2)?;
            if count(&life.node.read("out"), "a is up after") > 2 {
                return Err(crate::scenario::End::Not("two starts".to_owned()));
            }
            life.up_and_down(&["a"])
        },
        statuses: &[0, 70],
        drills: 1,
        ..Scenario::PLAIN
    },
];
