//! Limits that hold, and what the status says of them. Needs a tree with controllers.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use clusteros_init::unit::Wish;

use crate::kit::{self, SOON, wait_until};
use crate::need;
use crate::tree::{Tree, ask, no_controllers, read, wait_anew};

#[test]
fn who_wants_more_memory_is_killed_and_that_is_said() {
    need!("who_wants_more_memory", no_controllers());
    let tree = Tree::new("memory");
    let table = "[unit.hog]\nexec = [\"sh\", \"-c\", \"exec tail -c 60m /dev/zero\"]\nmemory-max = \"8M\"\nrestart = \"never\"\n";
    let node = tree.node("memory", table, "");
    node.wait_for("out", "hog: it was killed by SIGKILL, out of memory");
    node.wait_state("hog", "failed");
    assert!(node.unit("hog").contains("\"last_exit\":\"signal KILL, out of memory\""), "{}", node.unit("hog"));
    // One that is killed by a person is not.
    let tree = Tree::new("killed");
    let node = tree.node("killed", "[unit.hog]\nexec = [\"sleep\", \"1000\"]\nmemory-max = \"8M\"\n", "");
    node.wait_state("hog", "up");
    let pid = node.unit_pid("hog").expect("its pid");
    kit::kill(pid, 9);
    wait_anew(&node, "hog", pid);
    assert!(node.unit("hog").contains("\"last_exit\":\"signal KILL\""), "{}", node.unit("hog"));
}

#[test]
fn knobs_are_turned_before_the_program_runs() {
    need!("knobs_are_turned", no_controllers());
    let tree = Tree::new("knobs");
    let table = "[unit.web]\nexec = [\"sh\", \"-c\", \"cd /sys/fs/cgroup/web.service && cat memory.max memory.high cpu.max \
                 cpu.weight pids.max; exec sleep 1000\"]\nmemory-max = \"64M\"\nmemory-high = \"32M\"\ncpu-max = \"25%\"\n\
                 cpu-weight = 7\npids-max = 10\nuser = 65534\ngroup = 65534\n";
    let node = tree.node("knobs", table, "");
    node.wait_for("log/cluster-os/web.log", "10\n");
    let lines = node.read("log/cluster-os/web.log");
    let seen: Vec<&str> = lines.lines().map(|line| line.rsplit_once("Z ").map_or(line, |(_, text)| text)).collect();
    assert_eq!(seen, ["67108864", "33554432", "25000 100000", "7", "10"]);
    // What is not asked for any more is as in a new cgroup.
    let web = node.unit_pid("web").expect("its pid");
    let table = table.replace("memory-max = \"64M\"\n", "").replace("pids-max = 10\n", "");
    fs::write(node.dir.join("units.toml"), table).expect("written");
    node.signal(1);
    wait_anew(&node, "web", web);
    let web = tree.path.join("web.service");
    assert_eq!([read(&web, "memory.max"), read(&web, "pids.max"), read(&web, "cpu.weight")], ["max\n", "max\n", "7\n"]);
}

#[test]
fn a_share_of_the_disks_is_set() {
    let no_weight = || {
        let tree = Tree::new("probe");
        fs::create_dir(tree.path.join("below")).ok();
        drop(fs::write(tree.path.join("cgroup.subtree_control"), "+io"));
        (!tree.path.join("below/io.weight").exists()).then(|| "this kernel has no io.weight".to_owned())
    };
    need!("a_share_of_the_disks", no_controllers().or_else(no_weight));
    let tree = Tree::new("disks");
    let table =
        "[unit.web]\nexec = [\"sleep\", \"1000\"]\nio-weight = 77\n[unit.plain]\nexec = [\"sleep\", \"1000\"]\n";
    let node = tree.node("disks", table, "");
    node.wait_state("web", "up");
    node.wait_state("plain", "up");
    let weight = |unit: &str| read(&tree.path.join(unit), "io.weight");
    assert_eq!([weight("web.service"), weight("plain.service")], ["default 77\n", "default 100\n"]);
}

#[test]
fn no_more_processes_than_allowed() {
    need!("no_more_processes", no_controllers());
    let tree = Tree::new("pids");
    let bomb =
        "[unit.bomb]\nexec = [\"sh\", \"-c\", \"while :; do sleep 1000 & done\"]\npids-max = 10\nrestart = \"never\"\n";
    let node = tree.node("pids", bomb, "");
    let full = || read(&tree.path.join("bomb.service"), "pids.events").contains("max ");
    wait_until("it has come up against its limit", SOON, || full() || node.unit("bomb").contains("failed"));
    assert!(tree.procs("bomb.service").len() <= 10);
    ask(&node, 0, Wish::Stop);
    node.wait_state("bomb", "off");
    wait_until("its cgroup is gone", SOON, || !tree.has("bomb.service"));
}

#[test]
fn a_unit_that_divides_its_own_cgroup_starts_again() {
    need!("a_unit_that_divides", no_controllers());
    let tree = Tree::new("own");
    let divides = "cd /sys/fs/cgroup/web.service && mkdir -p leaf && echo $$ > leaf/cgroup.procs && \
                   echo +memory +pids > cgroup.subtree_control; setsid sleep 1000 & exec sleep 1000";
    let node = tree.node("own", &format!("[unit.web]\nexec = [\"sh\", \"-c\", \"{divides}\"]\n"), "");
    node.wait_state("web", "up");
    let divided = || read(&tree.path.join("web.service"), "cgroup.subtree_control").contains("pids");
    wait_until("it has divided its cgroup", SOON, divided);
    let pid = node.unit_pid("web").expect("its pid");
    kit::kill(pid, 9);
    wait_anew(&node, "web", pid);
    assert!(!node.read("out").contains("could not be entered"), "{}", node.read("out"));
}

#[test]
fn the_status_says_what_is_used() {
    need!("the_status_says", no_controllers());
    let tree = Tree::new("usage");
    let node = tree.node(
        "usage",
        "[unit.web]\nexec = [\"sleep\", \"1000\"]\n[unit.off]\nexec = [\"x\"]\nenabled = false\n",
        "",
    );
    node.wait_state("web", "up");
    node.signal(10);
    wait_until("it is measured", SOON, || node.unit("web").contains("\"usage\":{\"memory\":"));
    let line = node.unit("web");
    let number = |name: &str| {
        let text = line.split(&format!("\"{name}\":")).nth(1).unwrap_or_default();
        text.split([',', '}']).next().unwrap_or_default().parse::<u64>().unwrap_or_else(|_| panic!("{name} in {line}"))
    };
    assert!(number("memory") > 4096 && number("memory") < 64 << 20, "{line}");
    assert!(number("cpu_us") > 0 && number("cpu_us") < 60_000_000, "{line}");
    assert_eq!((number("pids"), number("oom_kills")), (1, 0), "{line}");
    assert!(!node.unit("off").contains("usage"), "{}", node.unit("off"));
}

/// Says that it is over when the test is, however it ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn visitors_from_outside_delay_it_and_no_more() {
    need!("visitors_from_outside", no_controllers());
    let tree = Tree::new("visitors");
    let (procs, over) = (tree.path.join("cgroup.procs"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // As somebody who is on the way into the container: in the root for a moment, and of no pid that it knows.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let visitor = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn();
                let Ok(mut visitor) = visitor else { return };
                drop(fs::write(&procs, visitor.id().to_string()));
                drop(visitor.stdin.take());
                drop(visitor.wait());
            }
        });
        let ends = Over(&over);
        let node = tree.node("visitors", "[unit.web]\nexec = [\"sleep\", \"1000\"]\n", "");
        node.wait_state("web", "up");
        drop(ends);
        let controllers = [tree.read("cgroup.controllers"), tree.read("cgroup.subtree_control")];
        assert_eq!(controllers[0].split_whitespace().count(), controllers[1].split_whitespace().count());
        assert!(!node.read("out").contains("cgroup"), "{}", node.read("out"));
        // From now on nobody comes into the root; a runtime then tries where PID 1 is.
        let visitor = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn();
        let mut visitor = visitor.expect("a visitor");
        let refused = fs::write(&procs, visitor.id().to_string()).expect_err("the root takes nobody");
        assert_eq!(refused.raw_os_error(), Some(16));
        fs::write(tree.path.join("init.scope/cgroup.procs"), visitor.id().to_string()).expect("beside PID 1");
        drop(visitor.stdin.take());
        drop(visitor.wait());
    });
}
