//! `initctl` on a node that it sees from outside.

use std::process::{Command, Output};

use crate::kit::{self, Plan};
use crate::need;

pub fn initctl(arguments: &[&str]) -> (Option<i32>, String, String) {
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

#[test]
fn logs_are_read_from_outside_and_outlive_the_node() {
    need!("logs_are_read_from_outside", kit::no_namespaces());
    let table = "[unit.web]\nexec = [\"sh\", \"-c\", \"echo hello; exec sleep 1000\"]\n";
    let mut node = Plan::new("outside").table(table).start();
    node.wait_for("log/cluster-os/web.log", "hello\n");
    let pid = node.pid.to_string();
    let (code, out, err) = initctl(&["logs", "web", "--pid", &pid]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with("Z hello\n") && out.lines().count() == 1, "{out}");
    let (_, out, _) = initctl(&["logs", "--pid", &pid]);
    assert!(out.contains("web  | ") && out.contains("init | ") && out.contains("web is up"), "{out}");
    let (code, _, err) = initctl(&["logs", "wep", "--pid", &pid]);
    assert_eq!(code, Some(1));
    assert!(err.ends_with("did you mean \"web\"?\n"), "{err}");
    node.signal(15);
    node.end();
    // The node's own folder of logs, with the place that --root gives it.
    let root = node.dir.join("root");
    std::fs::create_dir_all(root.join("var")).expect("a root");
    std::os::unix::fs::symlink(node.dir.join("log"), root.join("var/log")).expect("its logs");
    let (code, out, _) = initctl(&["logs", "init", "web", "--root", &root.display().to_string()]);
    assert_eq!(code, Some(0));
    assert!(out.contains("Z hello\n") && out.contains("init | "), "{out}");
}

#[test]
fn the_past_of_a_unit_is_told() {
    need!("the_past_of_a_unit", kit::no_namespaces());
    let script = "[ -e @/been ] && { echo second; exec sleep 1000; }; : >@/been; echo first; exit 7";
    let table = format!(
        "[unit.a]\nexec = [\"sleep\", \"1000\"]\n[unit.web]\nexec = [\"sh\", \"-c\", \"{script}\"]\nready = \"notify\"\nneeds = [\"a\"]\n"
    );
    let node = Plan::new("past").table(&table).start();
    node.wait_for("log/cluster-os/web.log", "second\n");
    let pid = node.pid.to_string();
    let (code, out, err) = initctl(&["status", "web", "--pid", &pid]);
    // It never says that it is ready.
    assert_eq!((code, err.as_str()), (Some(3), ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    let with = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(
        out.starts_with("web: starting for ") && with("  last exit    exit 7") && with("  needs        a (up)"),
        "{out}"
    );
    assert!(with("  backoff ") && with("it exited with status 7") && with("Z second"), "{out}");
    let (code, out, _) = initctl(&["logs", "web", "--previous", "--pid", &pid]);
    assert!(code == Some(0) && out.ends_with("Z first\n") && out.lines().count() == 1, "{out}");
    let (code, out, _) = initctl(&["boot-chart", "--text", "--pid", &pid]);
    assert!(code == Some(0) && out.contains(" units ready after ") && out.contains("\nweb "), "{out}");
    let (code, out, _) = initctl(&["graph", "--pid", &pid]);
    assert!(code == Some(0) && out.contains("\"web\" -> \"a\""), "{out}");
    assert_eq!(initctl(&["list", "--pid", &pid]).1.lines().filter(|name| *name == "web").count(), 1);
}
