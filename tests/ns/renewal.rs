//! PID 1 goes on as another program, as asked or because it broke: nothing of the units is lost.

use std::fs;

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
