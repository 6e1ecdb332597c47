//! How a node ends: the signals, the deaf, a command with a table, a broken PID 1.

use std::time::{Duration, Instant};

use crate::kit::{self, Plan, SOON, wait_until};
use crate::need;

const SLEEPER: &str = "[unit.sleeper]\nexec = [\"sh\", \"-c\", \"trap 'echo bye >> @/events; exit' TERM; echo up >> @/events; while :; do sleep 0.02; done\"]\n";

#[test]
fn every_signal_that_ends_a_container() {
    need!("every_signal_that_ends", kit::no_namespaces());
    // TERM INT QUIT PWR RTMIN+3 RTMIN+4
    for signal in [15, 2, 3, 30, 37, 38] {
        let mut node = Plan::new("ends").table(SLEEPER).start();
        node.wait_for("events", "up");
        let began = Instant::now();
        node.signal(signal);
        assert_eq!(node.end(), 0, "signal {signal}");
        assert!(node.read("events").contains("bye"), "signal {signal}");
        assert!(began.elapsed() < Duration::from_secs(5), "signal {signal}: {:?}", began.elapsed());
    }
}

#[test]
fn a_deaf_service_is_killed() {
    need!("a_deaf_service", kit::no_namespaces());
    let table = "[unit.deaf]\nexec = [\"sh\", \"-c\", \"trap '' TERM; echo up > @/events; while :; do sleep 1; done\"]\nstop-timeout = \"500ms\"\n";
    let mut node = Plan::new("deaf").table(table).start();
    node.wait_for("events", "up");
    node.signal(15);
    assert_eq!(node.end(), 1);
}

#[test]
fn a_stopped_service_ends_too() {
    need!("a_stopped_service", kit::no_namespaces());
    let mut node = Plan::new("stopped").table(SLEEPER).start();
    node.wait_for("events", "up");
    node.wait_state("sleeper", "up");
    let sleeper = node.unit_pid("sleeper").expect("it runs");
    kit::kill(sleeper, 19);
    wait_until("it is stopped", SOON, || kit::fact(sleeper, "State").starts_with('T'));
    node.signal(15);
    assert_eq!(node.end(), 0);
    assert!(node.read("events").contains("bye"));
}

#[test]
fn a_third_term_kills_at_once() {
    need!("a_third_term", kit::no_namespaces());
    let table = "[unit.deaf]\nexec = [\"sh\", \"-c\", \"trap '' TERM; echo up > @/events; while :; do sleep 1; done\"]\nstop-timeout = \"60s\"\n";
    let mut node = Plan::new("third").table(table).start();
    node.wait_for("events", "up");
    let began = Instant::now();
    for _ in 0..3 {
        node.signal(15);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(node.end(), 1);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_command_beside_a_table_ends_it() {
    need!("a_command_beside_a_table", kit::no_namespaces());
    let call = ["--", "sh", "-c", "grep -q up @/events && exit 6"];
    let table = format!(
        "{SLEEPER}[unit.first]\ntype = \"oneshot\"\nexec = [\"sh\", \"-c\", \"while ! grep -q up @/events; do sleep 0.02; done\"]\n"
    );
    let mut node = Plan::new("both").table(&table).arguments(&call).start();
    assert_eq!(node.end(), 6);
    assert!(node.read("events").contains("bye"));
}

#[test]
fn a_fault_that_somebody_sends_breaks_nothing() {
    need!("a_fault_that_somebody_sends", kit::no_namespaces());
    let mut node = Plan::new("sent").table(SLEEPER).start();
    node.wait_for("events", "up");
    for fault in [11, 6, 7, 4, 8, 5, 31] {
        node.signal(fault);
    }
    node.signal(15);
    assert_eq!(node.end(), 0);
}

#[test]
fn a_machine_ends_as_it_is_told() {
    need!("a_machine_ends", kit::no_namespaces());
    // In a namespace of its own, reboot(2) ends PID 1 by SIGHUP for a restart and by SIGINT for the rest.
    for (signal, status) in [(30, 130), (38, 130), (37, 130), (39, 129), (2, 129)] {
        let mut node = Plan::new("machine").table(SLEEPER).arguments(&["--mode", "appliance"]).start();
        node.wait_for("events", "up");
        node.signal(15);
        node.wait_for("out", "TERM");
        assert!(!node.read("events").contains("bye"));
        node.signal(signal);
        assert_eq!(node.end(), status, "signal {signal}");
        assert!(node.read("events").contains("bye"));
    }
}

#[test]
fn a_machine_with_a_damaged_table_starts_the_last_good_one() {
    need!("a_machine_with_a_damaged_table", kit::no_namespaces());
    let damage = "sh -c 'echo nonsense > @/units.toml; exec \"$@\"' sh {}";
    let keep = "sh -c 'mkdir -p /var/lib/cluster-os/last-good-table && cp @/units.toml /var/lib/cluster-os/last-good-table/000.toml && echo nonsense > @/units.toml && exec \"$@\"' sh {}";
    let node = Plan::new("kept").table(SLEEPER).arguments(&["--mode", "appliance"]).start();
    node.wait_for("events", "up");
    assert_eq!(node.read("lib/cluster-os/last-good-table/000.toml"), node.read("units.toml"));
    let node = Plan::new("damaged").table(SLEEPER).started_as(keep).arguments(&["--mode", "appliance"]).start();
    node.wait_for("events", "up");
    assert!(node.read("out").contains("the unit table is damaged; starting the last good one"), "{}", node.read("out"));
    let node = Plan::new("lost").table(SLEEPER).started_as(damage).arguments(&["--mode", "appliance"]).start();
    node.wait_for("out", "unable to find a last good unit table");
    node.wait_state("logd", "up");
}
