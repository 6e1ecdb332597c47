//! `initctl` on a node that it sees from outside.

use std::process::{Command, Output};

use crate::kit::{self, Plan};
use crate::need;

fn initctl(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_initctl")).args(arguments).output().expect("initctl");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn asking_tells_what_is_true_now_and_leaves_the_log_alone() {
    need!("asking", kit::no_namespaces());
    let node = Plan::new("asked").table("[unit.web]\nexec = [\"sleep\", \"1000\"]\n").start();
    node.wait_state("web", "up");
    node.wait_state("logd", "up");
    let pid = node.pid.to_string();
    // Only an answer can bring it back.
    std::fs::remove_file(node.dir.join("run/cluster-os/status.json")).expect("the status document");
    let (code, out, err) = initctl(&["status", "--pid", &pid]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("UNIT ") && out.ends_with("2 of 2 units up\n"), "{out}");
    let (code, out, err) = initctl(&["status", "--json", "--pid", &pid]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out, node.read("run/cluster-os/status.json"));
    // A person's own USR1 prints the table; had the questions done so, there would be more than one.
    node.signal(10);
    node.wait_for("out", "2 of 2 units up");
    assert_eq!(node.read("out").matches("2 of 2 units up").count(), 1, "{}", node.read("out"));
}

#[test]
fn a_node_that_is_not_well_is_no_success() {
    need!("a_node_that_is_not_well", kit::no_namespaces());
    let table = "[unit.a]\nexec = [\"/no/such\"]\n[unit.b]\nexec = [\"sleep\", \"9\"]\nneeds = [\"a\"]\n";
    let node = Plan::new("unwell").table(table).start();
    node.wait_state("b", "waiting");
    node.wait_state("a", "backoff");
    let (code, out, _) = initctl(&["status", "--pid", &node.pid.to_string()]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("b is waiting for a (backoff)"), "{out}");
}
