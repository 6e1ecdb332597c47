//! What only a machine with every controller of cgroup v2 can show, as `tests/k3s/machine.sh` boots one: nothing is overridden,
//! kubelet's own gates are tried, and what must not be missing is missing alone.

use clusteros_init::unit::Wish;

use crate::container::{before, node, scene};
use crate::need;
use crate::tree::{NOBODY, Tree, ask, no_controllers};

#[test]
fn kubelets_gates_are_open() {
    need!("machine::kubelets_gates_are_open", no_controllers());
    let (scene, table) = scene("gates", &[("STAND_IN_PREFLIGHT", "1")], &[]);
    let tree = Tree::new("gates");
    // As a container has them that was not started with --privileged but may mount.
    let read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys || exit 1\n";
    let node = node(&scene, &tree, "gates", &table, read_only);
    node.wait_state("k3s", "up");
    let report = scene.text("report");
    let gates: Vec<&str> = report.lines().filter(|line| line.starts_with("preflight ")).collect();
    eprintln!("{report}");
    assert_eq!(gates.len(), 7, "{report}");
    assert!(gates.iter().all(|line| line.ends_with(": ok")), "{gates:#?}\n{}", node.read("out"));
    assert_eq!((scene.reported("kmsg").as_str(), scene.reported("cgroup").as_str()), ("opens", "/k3s.service"));
    assert!(tree.procs("k3s.service").contains(&node.unit_pid("k3s").expect("its pid")));
    assert_eq!(tree.procs("."), NOBODY);
    assert!(!tree.has("k3s"), "k3s moved itself out of its unit's cgroup");
    let out = node.read("out");
    assert!(out.contains("info: /proc/sys: read-only -> writable"), "{out}");
    assert!(
        out.contains("K3S: condition: enabled, every need met or overridden; server node1 begins the cluster"),
        "{out}"
    );
    assert!(!out.contains("error: "), "{out}");
}

#[test]
fn a_refusal_is_final_and_says_what_to_do() {
    need!("machine::a_refusal_is_final", no_controllers());
    // The host's tree, as where somebody mounts /sys/fs/cgroup into the container.
    let (scene, table) = scene("host-tree", &[], &[]);
    let tree = Tree::new("host-tree");
    let node = tree.start("host-tree", &table, "--net", &before(&scene, ""));
    node.wait_state("k3s", "failed");
    let out = node.read("out");
    assert!(out.contains("unable to start k3s: cgroup-namespace: PID 1 is in /"), "{out}");
    assert!(out.contains("start it with --cgroupns=private and without -v /sys/fs/cgroup"), "{out}");
    assert!(!scene.path("report").exists() && !out.contains(" -> "), "{out}");
    // --cgroupns=private, and no mount of the host's.
    drop(node);
    tree.join_up();
    crate::container::node(&scene, &tree, "own-tree", &table, "").wait_state("k3s", "up");
}

#[test]
fn values_that_cannot_be_set_are_set_on_the_host() {
    need!("machine::values_that_cannot_be_set", no_controllers());
    let file = "/proc/sys/vm/overcommit_memory";
    let before = std::fs::read_to_string(file).expect("read");
    std::fs::write(file, "0").expect("written");
    let (scene, table) = scene("values", &[], &["setpriv", "--bounding-set=-sys_admin"]);
    let tree = Tree::new("values");
    let read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys || exit 1\n";
    let node = node(&scene, &tree, "values", &table, read_only);
    node.wait_state("k3s", "failed");
    let out = node.read("out");
    let line = out.lines().find(|line| line.contains("unable to start k3s: kernel-sysctls: ")).expect("a line");
    assert!(line.contains("to remount /proc/sys for writing needs CAP_SYS_ADMIN; on the host: sysctl -w "), "{line}");
    // The remedy is followed to the letter.
    let values = line.split("sysctl -w ").nth(1).and_then(|rest| rest.split(';').next()).expect("values");
    for (key, value) in values.split(' ').filter_map(|pair| pair.split_once('=')) {
        std::fs::write(format!("/proc/sys/{}", key.replace('.', "/")), value).expect("set");
    }
    ask(&node, 0, Wish::Start);
    node.wait_state("k3s", "up");
    std::fs::write(file, before.trim()).expect("written");
}

/// Without our PID 1 nobody has emptied the container's root cgroup.
#[test]
fn a_root_that_nobody_emptied_is_refused() {
    need!("machine::a_root_that_nobody_emptied", no_controllers());
    let (mut scene, _) = scene("crowded", &[], &[]);
    let tree = Tree::new("crowded");
    scene.variables.retain(|(name, _)| name != "STAND_IN_STAYS");
    let inner =
        format!("mount -t proc proc /proc && mount -t cgroup2 cgroup2 /sys/fs/cgroup && {}exec \"$@\"", scene.link());
    scene.wg0 = false;
    scene.before = format!("echo 0 >{}/cgroup.procs || exit 98\numount -l /sys/fs/cgroup\n", tree.path.display());
    scene.write("inner", &inner);
    scene.by = format!("unshare --cgroup --pid --fork --mount --net sh {}", scene.path("inner").display());
    let said = scene.run(&["k3s"]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    assert!(said.err.contains("unable to start k3s: evacuated: "), "{}", said.err);
    assert!(
        said.err.contains("; PID 1 does it: start the container with clusteros-init as its first process"),
        "{}",
        said.err
    );
}

/// The life of a server once more, where /kubepods has every controller. An emulated processor takes its time.
#[test]
fn a_server_ends_and_nothing_is_left() {
    need!("machine::a_server_ends", no_controllers());
    crate::life::of_a_server("whole-life", 60);
}

/// As a machine without a battery starts: k3s does not, and says it in its own way.
#[test]
fn a_clock_before_its_time_is_set() {
    need!("machine::a_clock_before_its_time", no_controllers());
    need!(
        "machine::a_clock_before_its_time",
        std::env::var_os("OWN_MACHINE").is_none().then_some("the clock is not ours")
    );
    let set = |seconds: u64| {
        let status = std::process::Command::new("date").args(["-u", "-s", &format!("@{seconds}")]).status();
        assert!(status.is_ok_and(|status| status.success()), "the clock could not be set");
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let (scene, table) = scene("clock", &[], &[]);
    let tree = Tree::new("clock");
    set(1_000);
    let node = node(&scene, &tree, "clock", &table, "");
    node.wait_state("k3s", "backoff");
    let line = "unable to start k3s: clock: it is before 1980, and k3s does not start then; set the clock of the host: date -s, or \
                an NTP client";
    assert!(node.read("out").contains(line), "{}", node.read("out"));
    // Nobody has to ask for it.
    set(now);
    node.wait_state("k3s", "up");
}

/// A host that hands on less than k3s needs.
#[test]
fn a_controller_that_is_not_there_is_named() {
    need!("machine::a_controller_that_is_not_there", no_controllers());
    let (scene, table) = scene("few", &[], &[]);
    let host = Tree::new("few");
    std::fs::write(host.path.join("cgroup.subtree_control"), "+cpu +memory +pids").expect("handed on");
    let container = |name: &str| {
        let path = host.path.join(name);
        std::fs::create_dir(&path).expect("a cgroup");
        Tree { path }
    };
    let first = container("first");
    let refused = node(&scene, &first, "few", &table, "");
    refused.wait_state("k3s", "failed");
    let out = refused.read("out");
    let line = "unable to start k3s: controllers: /sys/fs/cgroup lacks cpuset; start the container with --cgroupns=private \
                --privileged, on a host whose own cgroup has them";
    assert!(out.contains(line), "{out}");
    // A container on a host that has it.
    std::fs::write(host.path.join("cgroup.subtree_control"), "+cpuset").expect("handed on");
    let second = container("second");
    let taken = node(&scene, &second, "few-2", &table, "");
    taken.wait_state("k3s", "up");
    drop((refused, taken));
    drop((first, second));
}
