//! What must not wear PID 1 out: orphans by the thousand, a stuck reader, having nothing to do.

use std::process::Stdio;
use std::time::Duration;

use crate::kit::{self, Plan, SOON, wait_until};
use crate::need;

#[test]
fn twenty_thousand_orphans_leave_no_zombie() {
    need!("twenty_thousand_orphans", kit::no_namespaces());
    let script = "i=0; while [ $i -lt 20000 ]; do (true &); i=$((i+1)); done; echo done > @/done; exec sleep 1000";
    let mut node = Plan::new("storm").table(&format!("[unit.storm]\nexec = [\"sh\", \"-c\", \"{script}\"]\n")).start();
    wait_until("the storm is over", Duration::from_secs(90), || node.read("done").contains("done"));
    wait_until("no zombie is left", SOON, || kit::zombies(node.pid) == 0);
    assert_eq!(kit::children(node.pid).len(), 2);
    node.signal(15);
    assert_eq!(node.end(), 0);
}

#[test]
fn idle_means_idle() {
    need!("idle_means_idle", kit::no_namespaces());
    let node = Plan::new("idle")
        .table(
            "[unit.web]\nexec = [\"sleep\", \"1000\"]\n[unit.say]\nexec = [\"sleep\", \"1000\"]\nready = \"notify\"\n",
        )
        .start();
    node.wait_state("web", "up");
    let switches = || (node.fact("voluntary_ctxt_switches"), node.fact("nonvoluntary_ctxt_switches"));
    // What is still to be written from the start is written within this.
    std::thread::sleep(Duration::from_secs(1));
    let before = switches();
    std::thread::sleep(Duration::from_secs(20));
    assert_eq!(switches(), before);
}

#[test]
fn a_stuck_stdout_stalls_nothing() {
    need!("a_stuck_stdout", kit::no_namespaces());
    let table = "[unit.loud]\nexec = [\"sh\", \"-c\", \"yes | head -c 500000; echo over > @/over; exec sleep 1000\"]\n";
    let mut node = Plan::new("stuck").table(table).output(Stdio::piped()).start();
    node.wait_state("loud", "up");
    for _ in 0..50 {
        node.signal(10);
    }
    std::fs::remove_file(node.dir.join("run/cluster-os/status.json")).expect("the status document");
    node.signal(10);
    node.wait_state("loud", "up");
    node.wait_for("over", "over");
    node.signal(15);
    node.end();
}

#[test]
fn a_flood_of_signals_fills_no_log() {
    need!("a_flood_of_signals", kit::no_namespaces());
    let flood =
        "while [ ! -e @/stop ]; do kill -USR1 1; kill -USR2 1; kill -HUP 1; kill -CHLD 1; done; exec sleep 1000";
    let mut node = Plan::new("flood").table(&format!("[unit.flood]\nexec = [\"sh\", \"-c\", \"{flood}\"]\n")).start();
    node.wait_for("out", "2 of 2 units up");
    std::thread::sleep(Duration::from_secs(2));
    assert!(node.read("out").lines().count() < 400, "{}", node.read("out").lines().count());
    node.signal(15);
    assert_eq!(node.end(), 0);
}
