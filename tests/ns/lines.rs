//! The units' lines on a real node: where they go, and that none is lost.

use crate::kit::{self, Plan, SOON, wait_until};
use crate::need;

#[test]
fn lines_go_where_the_table_says() {
    need!("lines_go_where_the_table_says", kit::no_namespaces());
    let says = |what: &str| format!("exec = [\"sh\", \"-c\", \"echo {what}; exec sleep 1000\"]\n");
    let table = format!(
        "[unit.kept]\n{}[unit.straight]\nlog = \"inherit\"\n{}[unit.silent]\nlog = \"none\"\n\
         exec = [\"sh\", \"-c\", \"echo nobody hears; touch @/spoken; exec sleep 1000\"]\n\
         [unit.much]\nexec = [\"seq\", \"1\", \"50000\"]\ntype = \"oneshot\"\nlog = {{ size = \"64K\", keep = 2 }}\n",
        says("hear me"),
        says("as it is")
    );
    let node = Plan::new("where").table(&table).start();
    node.wait_for("out", "kept | hear me\n");
    node.wait_for("log/cluster-os/kept.log", "Z hear me\n");
    wait_until("the inherited line", SOON, || node.read("out").lines().any(|line| line == "as it is"));
    wait_until("the silent one spoke", SOON, || node.dir.join("spoken").exists());
    node.wait_for("log/cluster-os/much.log", " 50000\n");
    let much = |end: &str| node.dir.join(format!("log/cluster-os/much.log{end}"));
    assert!(much(".1").exists() && much(".2").exists() && !much(".3").exists());
    for end in ["", ".1", ".2"] {
        // One turn of 64 KiB of short lines is larger than that with its times.
        assert!(much(end).metadata().is_ok_and(|known| known.len() < 512 << 10), "{end}");
    }
    assert!(!node.read("out").contains("nobody hears"), "{}", node.read("out"));
    for name in ["straight", "silent"] {
        assert!(!node.dir.join(format!("log/cluster-os/{name}.log")).exists(), "{name}");
    }
}

#[test]
fn a_killed_logd_costs_no_line() {
    need!("a_killed_logd_costs_no_line", kit::no_namespaces());
    let table = "[unit.count]\nexec = [\"seq\", \"1\", \"100000000\"]\nlog = { size = \"1M\", keep = 99 }\n";
    // Each kill delays the next start of logd by its backoff, so that a few of them are enough here.
    let mut node = Plan::new("costless").table(table).output(std::process::Stdio::null()).start();
    let size = |node: &kit::Node| {
        let known = node.dir.join("log/cluster-os/count.log").metadata();
        known.map_or(0, |known| known.len())
    };
    for _ in 0..4 {
        node.wait_state("logd", "up");
        let before = size(&node);
        wait_until("lines are kept", SOON, || size(&node) != before);
        let logd = node.unit_pid("logd").expect("its pid");
        kit::kill(logd, 9);
        wait_until("it is another process", SOON, || node.unit_pid("logd").is_some_and(|now| now != logd));
    }
    node.wait_state("logd", "up");
    node.signal(15);
    node.end();
    let files = (1..100).rev().map(|number| node.read(&format!("log/cluster-os/count.log.{number}")));
    let text: String = files.chain([node.read("log/cluster-os/count.log")]).collect();
    let mut lines: Vec<&str> = text.lines().collect();
    // The unit was stopped in the middle of a line.
    lines.pop();
    for (line, expected) in lines.iter().zip(1..) {
        let number = line.split_once(' ').and_then(|(_, number)| number.parse::<usize>().ok());
        assert_eq!(number, Some(expected), "{line}");
    }
    eprintln!("4 kills of logd on a node: {} lines, each there once", lines.len());
    assert!(lines.len() > 1000, "{}", lines.len());
}
