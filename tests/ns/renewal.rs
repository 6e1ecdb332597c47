//! PID 1 goes on as another program, as asked or because it broke: nothing of the units is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::kit::{self, Node, Plan, SOON, wait_until};
use crate::need;
use crate::speaker;

pub const USR2: i32 = 12;

/// `done`, `refused` and `broken` of the status document.
pub fn renewals(node: &Node) -> (u64, u64, u64) {
    let head = node.read("run/cluster-os/status.json").lines().next().unwrap_or_default().to_owned();
    let part = head.split("\"renewals\":{").nth(1).unwrap_or_default();
    let number = |name: &str| {
        let value = part.split(&format!("\"{name}\":")).nth(1).unwrap_or_default();
        value.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(u64::MAX)
    };
    (number("done"), number("refused"), number("broken"))
}

/// What PID 1 has open, by what it is.
pub fn open(node: &Node) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{}/fd", node.pid)).expect("its descriptors");
    let link = |entry: fs::DirEntry| fs::read_link(entry.path()).ok().map(|to| to.display().to_string());
    let mut open: Vec<String> = entries.flatten().filter_map(link).collect();
    open.sort();
    open
}

fn table() -> String {
    format!(
        "[unit.sleeper]\nexec = [\"sleep\", \"1000\"]\n\
         [unit.speaker]\nexec = {}\nready = \"notify\"\nenv = {{ SPEAK = \"READY=1\" }}\n\
         [unit.talker]\nexec = [\"sh\", \"-c\", \"i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done\"]\n",
        speaker::exec()
    )
}

#[test]
fn a_renewal_keeps_everything() {
    need!("a_renewal_keeps_everything", kit::no_namespaces());
    let mut node = Plan::new("renewal").table(&table()).start();
    for unit in ["sleeper", "speaker", "talker", "logd"] {
        node.wait_state(unit, "up");
    }
    let pids = |node: &Node| ["sleeper", "speaker", "talker", "logd"].map(|unit| node.unit_pid(unit));
    let (before, had) = (pids(&node), open(&node));
    for number in 1..=3 {
        node.signal(USR2);
        wait_until("it went on", SOON, || renewals(&node) == (number, 0, 0));
    }
    assert_eq!(pids(&node), before);
    assert_eq!(open(&node), had);
    node.wait_for("out", "clusteros-init: info: went on as version");
    kit::kill(before[0].expect("the sleeper"), 9);
    wait_until("it starts again", SOON, || node.unit_pid("sleeper").is_some_and(|pid| Some(pid) != before[0]));
    node.wait_state("sleeper", "up");
    assert!(node.unit("sleeper").contains("\"restarts\":1"), "{}", node.unit("sleeper"));
    node.signal(15);
    assert_eq!(node.end(), 0);
}

/// Drills in the order of `pid1/drill.rs`, counted down from RTMAX, and what is said of each.
const DRILLS: [(i32, &str); 9] = [
    (0, "a panic"),
    (1, "signal 11"),
    (2, "signal 7"),
    (3, "signal 6"),
    (4, "signal 8"),
    (5, "signal 4"),
    (6, "signal 11"),
    (7, "signal 6"),
    (8, "signal 11"),
];
const RTMAX: i32 = 64;

#[test]
fn every_fault_is_survived() {
    need!("every_fault_is_survived", kit::no_namespaces());
    need!(
        "every_fault_is_survived",
        (!cfg!(debug_assertions)).then_some("a release build cannot be broken on purpose")
    );
    // Three within five minutes are gone on from.
    for drills in DRILLS.chunks(3) {
        let mut node = Plan::new("fault").table(&table()).arguments(&["--drill"]).start();
        let units = ["sleeper", "speaker", "talker", "logd"];
        for unit in units {
            node.wait_state(unit, "up");
        }
        let pids = |node: &Node| units.map(|unit| node.unit_pid(unit));
        let had = open(&node);
        for (number, (drill, said)) in (1..).zip(drills) {
            let before = pids(&node);
            node.signal(RTMAX - drill);
            node.wait_for("out", &format!("it had broken ({said})"));
            wait_until("the status says so", SOON, || renewals(&node) == (0, 0, number));
            assert_eq!(pids(&node), before, "drill {drill}");
            kit::kill(before[0].expect("the sleeper"), 9);
            wait_until("it starts again", SOON, || node.unit_pid("sleeper").is_some_and(|pid| Some(pid) != before[0]));
            node.wait_state("sleeper", "up");
            assert_eq!(open(&node), had, "drill {drill}");
        }
        let spoken = |node: &Node| node.read("out").matches("talker  | line").count();
        let before = spoken(&node);
        wait_until("lines go on", SOON, || spoken(&node) > before);
        node.signal(15);
        assert_eq!(node.end(), 0);
    }
}

#[test]
fn the_fourth_fault_in_a_row_makes_a_reaper_that_keeps_the_children() {
    need!("the_fourth_fault", kit::no_namespaces());
    need!("the_fourth_fault", (!cfg!(debug_assertions)).then_some("a release build cannot be broken on purpose"));
    let table = "[unit.sleeper]\nexec = [\"sh\", \"-c\", \"trap 'echo bye >> @/events; exit' TERM; echo up >> @/events; while :; do sleep 0.02; done\"]\n\
                 [unit.parent]\nexec = [\"sh\", \"-c\", \"while :; do (true &); sleep 0.05; done\"]\n\
                 [unit.talker]\nexec = [\"sh\", \"-c\", \"while :; do echo a line; echo x >> @/spoken; sleep 0.02; done\"]\n";
    let mut node = Plan::new("fourth").table(table).arguments(&["--drill"]).start();
    for unit in ["sleeper", "talker", "logd"] {
        node.wait_state(unit, "up");
    }
    node.wait_for("events", "up");
    let [sleeper, logd] = ["sleeper", "logd"].map(|unit| node.unit_pid(unit).expect("its pid"));
    for number in 1..=3 {
        node.signal(RTMAX - 1);
        wait_until("it went on", SOON, || renewals(&node) == (0, 0, number));
    }
    node.signal(RTMAX - 1);
    node.wait_for("out", "unable to go on: it has broken too often within 5 minutes, the last time by signal 11; keeping the children and reaping, no unit is started again");
    // Orphans go on coming: at some moment after this, none is a zombie.
    let spoken = || node.read("spoken").len();
    let before = spoken();
    wait_until("the talker goes on", SOON, || spoken() > before + 20);
    wait_until("no zombie is left", SOON, || kit::zombies(node.pid) == 0);
    assert!(kit::lives(sleeper));
    // Nobody reads the units' lines any more: who writes must not die of it.
    kit::kill(logd, 9);
    wait_until("logd is gone", SOON, || !kit::lives(logd));
    let before = spoken();
    wait_until("the talker goes on", SOON, || spoken() > before + 20);
    node.signal(15);
    assert_eq!(node.end(), 70);
    assert!(node.read("events").contains("bye"));
}

#[test]
fn a_wrapped_command_outlives_every_fault() {
    need!("a_wrapped_command_outlives", kit::no_namespaces());
    need!(
        "a_wrapped_command_outlives",
        (!cfg!(debug_assertions)).then_some("a release build cannot be broken on purpose")
    );
    let script = "trap 'echo hup >> @/got' HUP; trap 'echo usr1 >> @/got' USR1; trap 'exit 7' INT; \
                  echo ready >> @/got; while :; do sleep 0.02; done";
    let start = || {
        let node = Plan::new("wrapped").arguments(&["--drill", "sh", "-c", script]).start();
        node.wait_for("got", "ready");
        node
    };
    for drills in DRILLS.chunks(3) {
        let mut node = start();
        let command = kit::children(node.pid);
        for (number, (drill, said)) in (1..).zip(drills) {
            node.signal(RTMAX - drill);
            wait_until("it went on", SOON, || node.read("out").matches("it had broken").count() == number);
            assert!(node.read("out").contains(&format!("it had broken ({said})")), "{}", node.read("out"));
            assert_eq!(kit::children(node.pid), command);
            // What it passed on before it passes on now, and its own signals are none of the command's.
            node.signal(if number == 2 { 1 } else { 10 });
            wait_until("it is passed on", SOON, || node.read("got").lines().count() == 1 + number);
        }
        node.signal(2);
        assert_eq!(node.end(), 7);
        assert_eq!(node.read("got"), "ready\nusr1\nhup\nusr1\n");
    }
    let mut node = start();
    for number in 1..=3 {
        node.signal(RTMAX - 1);
        wait_until("it went on", SOON, || node.read("out").matches("it had broken").count() == number);
    }
    node.signal(RTMAX - 1);
    node.wait_for("out", "keeping the children and reaping");
    assert_eq!(kit::children(node.pid).len(), 1);
    node.signal(15);
    assert_eq!(node.end(), 70);
}

/// `clusteros-init` and `logd` in a folder of their own.
fn programs(name: &str) -> PathBuf {
    let folder = kit::directory(name);
    for program in [Path::new(kit::INIT), Path::new(env!("CARGO_BIN_EXE_logd"))] {
        fs::copy(program, folder.join(program.file_name().expect("its name"))).expect("copied");
    }
    folder
}

/// Puts a program into the place of another by a rename; none: takes it away.
fn put(place: &Path, program: Option<&[u8]>) {
    let Some(program) = program else { return fs::remove_file(place).expect("removed") };
    let new = place.with_extension("new");
    fs::write(&new, program).expect("written");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("made executable");
    fs::rename(&new, place).expect("renamed");
}

/// `program` with `from` everywhere replaced by `to`, which is as long.
fn patched(program: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut patched = program.to_vec();
    let mut at = 0;
    while let Some(found) = patched[at..].windows(from.len()).position(|window| window == from) {
        patched[at + found..at + found + to.len()].copy_from_slice(to);
        at += found + to.len();
    }
    assert!(at > 0, "{from:?} is not in the program");
    patched
}

#[test]
fn only_a_program_that_can_go_on_is_gone_on_as() {
    need!("only_a_program_that_can", kit::no_namespaces());
    let folder = programs("refused");
    let place = folder.join("clusteros-init");
    let good = fs::read(&place).expect("the program");
    let deaf = patched(&good, "check-snapshot", "check-snapshoT");
    let (older, newer) = (concat!("clusteros-init ", env!("CARGO_PKG_VERSION")), "clusteros-init 9.9.9");
    let mut node = Plan::new("refused").program(&place).table(&table()).start();
    let units = ["sleeper", "speaker", "talker", "logd"];
    for unit in units {
        node.wait_state(unit, "up");
    }
    let pids = |node: &Node| units.map(|unit| node.unit_pid(unit));
    let (before, had) = (pids(&node), open(&node).len());
    for (number, (program, cause)) in (1..).zip([
        (Some(&b"#!/bin/sh\nexit 0\n"[..]), "it does not know what it was asked: it exited with status 0"),
        (Some(&b"nothing that runs"[..]), "it could not be run: exec format error"),
        (Some(&deaf[..]), "it does not know what it was asked: it exited with status 64"),
        (None, "it could not be run: no such file or directory"),
    ]) {
        put(&place, program);
        node.signal(USR2);
        node.wait_for("out", &format!("unable to go on as {}: {cause}; going on as before", place.display()));
        wait_until("it is counted", SOON, || renewals(&node) == (0, number, 0));
        assert_eq!(pids(&node), before, "{cause}");
    }
    put(&place, Some(&patched(&good, older, newer)));
    node.signal(USR2);
    wait_until("it went on", SOON, || renewals(&node) == (1, 4, 0));
    assert!(node.read("run/cluster-os/status.json").contains(newer));
    assert!(node.read("run/cluster-os/status.json").contains("\"refusal\":null,\"broken\":0"));
    assert_eq!((pids(&node), open(&node).len()), (before, had));
    node.signal(15);
    assert_eq!(node.end(), 0);
    fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn a_fault_in_the_middle_of_a_step_does_nothing_twice() {
    need!("a_fault_in_the_middle", kit::no_namespaces());
    need!("a_fault_in_the_middle", (!cfg!(debug_assertions)).then_some("a release build cannot be broken on purpose"));
    let mut node = Plan::new("middle").table(&table()).arguments(&["--drill"]).start();
    for unit in ["sleeper", "speaker", "talker", "logd"] {
        node.wait_state(unit, "up");
    }
    let had = open(&node);
    // After a process was made, after one has ended, before a snapshot is kept.
    for (number, drill) in (1..).zip([9, 10, 11]) {
        let before = node.unit_pid("sleeper").expect("its pid");
        node.signal(RTMAX - drill);
        kit::kill(before, 9);
        wait_until("it went on", SOON, || renewals(&node) == (0, 0, number));
        wait_until("it starts again", SOON, || node.unit_pid("sleeper").is_some_and(|pid| pid != before));
        node.wait_state("sleeper", "up");
        let sleepers = || kit::children(node.pid).into_iter().filter(|pid| kit::fact(*pid, "Name") == "sleep").count();
        wait_until("there is one of it", SOON, || sleepers() == 1 && kit::zombies(node.pid) == 0);
        assert!(node.unit("sleeper").contains(&format!("\"restarts\":{number}")), "{}", node.unit("sleeper"));
        wait_until("nothing else is open", SOON, || open(&node) == had);
    }
    node.signal(15);
    assert_eq!(node.end(), 0);
}

#[test]
fn what_a_reload_left_behind_is_not_forgotten() {
    need!("what_a_reload_left_behind", kit::no_namespaces());
    let deaf =
        "[unit.deaf]\nexec = [\"sh\", \"-c\", \"trap '' TERM; while :; do sleep 0.05; done\"]\nstop-timeout = \"3s\"\n";
    let mut node = Plan::new("behind").table(&format!("{}{deaf}", table())).start();
    for unit in ["sleeper", "speaker", "deaf", "logd"] {
        node.wait_state(unit, "up");
    }
    let deaf = node.unit_pid("deaf").expect("its pid");
    fs::write(node.dir.join("units.toml"), table()).expect("another table");
    node.signal(1);
    node.wait_state("deaf", "stopping");
    node.signal(USR2);
    wait_until("it went on", SOON, || renewals(&node) == (1, 0, 0));
    assert!(kit::lives(deaf));
    assert!(node.unit("deaf").contains("\"state\":\"stopping\""), "{}", node.unit("deaf"));
    wait_until("it is killed in its time", SOON, || !kit::lives(deaf) && node.unit("deaf").is_empty());
    node.signal(15);
    assert_eq!(node.end(), 0);
}
